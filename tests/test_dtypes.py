"""Stored dtypes: bit fields, decoding and packing, against NumPy and ml_dtypes."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from kcomplexity.errors import UnmeasurableError
from kcomplexity.tensors.dtypes import DTYPES, from_numpy, opaque

DECODABLE: list[Any] = [dtype for dtype in DTYPES.values() if dtype.numpy is not None]
PACKED_SIX = ["F6_E2M3", "F6_E3M2"]
WIDE = [dtype for dtype in DECODABLE if dtype.bits >= 8]


def every_byte_pattern(dtype):
    """All values of a small dtype, a seeded mix of a wide one, as stored bytes."""
    if dtype.code == "BOOL":
        return np.array([0, 1, 1, 0], np.uint8)
    if dtype.bits <= 16:
        return np.arange(1 << dtype.bits, dtype=dtype.word).view(np.uint8)
    return np.random.default_rng(0).integers(0, 256, 8 * dtype.bits, np.uint8)


def test_the_codes_are_exactly_those_of_safetensors(tmp_path):
    import json

    from safetensors import SafetensorError, safe_open

    header = json.dumps({"w": {"dtype": "?", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path = tmp_path / "unknown.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(SafetensorError, match="expected one of") as refused:
        safe_open(path, "np")
    known = str(refused.value).partition("expected one of")[2].split("`")[1::2]
    assert set(known) == set(DTYPES)


@pytest.mark.parametrize("dtype", WIDE, ids=lambda d: d.code)
def test_bytes_decode_to_what_numpy_sees_and_encode_back(dtype):
    raw = every_byte_pattern(dtype)
    n = raw.size * 8 // dtype.bits
    values = dtype.decode(raw, n)
    assert values.dtype == dtype.numpy
    assert values.shape == (n,)
    assert np.shares_memory(values, raw)
    assert dtype.encode(values).tobytes() == raw.tobytes()
    assert dtype.n_bytes(n) == raw.size


@pytest.mark.parametrize("dtype", DECODABLE, ids=lambda d: d.code)
def test_from_numpy_finds_the_code_in_any_byte_order(dtype):
    assert from_numpy(dtype.numpy) == dtype
    assert from_numpy(dtype.numpy.newbyteorder(">")) == dtype


@pytest.mark.parametrize("dtype", [d for d in DTYPES.values() if d.is_float], ids=lambda d: d.code)
def test_the_fields_of_a_float_add_up(dtype):
    assert dtype.sign_bits + dtype.exponent_bits + dtype.mantissa_bits == dtype.bits
    if dtype.numpy is not None:
        info = ml_dtypes.finfo(dtype.numpy)
        assert info.bits == dtype.bits
        assert info.nmant == dtype.mantissa_bits


def test_four_bit_floats_are_packed_low_nibble_first():
    # E2M1: 0b0010 is 1.0, 0b1111 is -6.0, 0b0001 is 0.5
    values = np.array([1.0, -6.0, 0.5], ml_dtypes.float4_e2m1fn)
    raw = DTYPES["F4"].encode(values)
    assert raw.tolist() == [0b1111_0010, 0b0000_0001]
    assert DTYPES["F4"].decode(raw, 3).astype(float).tolist() == [1.0, -6.0, 0.5]
    assert DTYPES["F4"].words(raw, 3).tolist() == [0b0010, 0b1111, 0b0001]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 16])
def test_every_count_of_four_bit_floats_comes_back(n):
    codes = np.arange(n, dtype=np.uint8) % 16
    raw = DTYPES["F4"].encode(codes.view(ml_dtypes.float4_e2m1fn))
    assert raw.size == DTYPES["F4"].n_bytes(n) == (n + 1) // 2
    assert DTYPES["F4"].words(raw, n).tolist() == codes.tolist()


def test_encode_casts_and_puts_in_order():
    matrix = np.arange(6, dtype=">f8").reshape(2, 3).T
    raw = DTYPES["BF16"].encode(matrix)
    assert raw.ndim == 1
    assert DTYPES["BF16"].decode(raw, 6).astype(float).tolist() == [0, 3, 1, 4, 2, 5]
    assert DTYPES["F4"].encode(matrix).size == 3


@pytest.mark.parametrize("code", PACKED_SIX)
def test_six_bit_floats_are_counted_but_not_decoded(code):
    dtype = DTYPES[code]
    raw = np.zeros(3, np.uint8)
    assert dtype.n_bytes(4) == 3
    assert dtype.n_bytes(1) == 1
    refusals = [
        lambda: dtype.decode(raw, 4),
        lambda: dtype.words(raw, 4),
        lambda: dtype.encode(np.zeros(4)),
        lambda: dtype.word,
    ]
    for refused in refusals:
        with pytest.raises(UnmeasurableError, match=rf"{code}: .*only the bytes"):
            refused()


@pytest.mark.parametrize("kind", ["V1", "c16", "M8[ns]", "f4,i4,f4", "m8"])
def test_types_without_a_code_keep_their_width_and_refuse_their_values(kind):
    numpy = np.dtype(kind)
    dtype = opaque(numpy, "why not")
    assert from_numpy(numpy) is None
    assert dtype.bits == 8 * numpy.itemsize
    assert not dtype.is_float
    with pytest.raises(UnmeasurableError, match="why not"):
        dtype.decode(np.zeros(numpy.itemsize, np.uint8), 1)


def test_the_words_of_an_opaque_type_are_there_when_an_integer_is_as_wide():
    raw = np.arange(16, dtype=np.uint8)
    assert opaque(np.dtype("V1"), "").words(raw, 16).tolist() == raw.tolist()
    with pytest.raises(UnmeasurableError, match="complex128"):
        opaque(np.dtype("c16"), "").words(raw, 1)
