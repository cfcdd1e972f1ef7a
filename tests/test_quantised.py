"""Codes told apart from weights: packed words, scales beside them, and what only looks so."""

import jsonschema
import ml_dtypes
import numpy as np
import pytest

from kcomplexity.inspection.inspecting import inspect_checkpoint
from kcomplexity.inspection.records import InspectionReport
from kcomplexity.loaders import open_checkpoint
from kcomplexity.schemas import load_schema
from kcomplexity.scoring.score import score
from tests import test_loaders_gguf
from tests.test_loaders_gguf import NUMBER_OF

IN, OUT, GROUP = 64, 16, 32


def packed_rows(codes, bits):
    """GPTQ: the codes of 32 / bits inputs in each word, the first in the lowest bits."""
    per_word = 32 // bits
    runs = codes.reshape(codes.shape[0] // per_word, per_word, codes.shape[1]).astype(np.uint64)
    shifts = (np.arange(per_word, dtype=np.uint64) * np.uint64(bits))[None, :, None]
    return (runs << shifts).sum(axis=1).astype(np.uint32).view(np.int32)


def layer(bits, *, awq=False, seed=0):
    codes = np.random.default_rng(seed).integers(0, 1 << bits, (IN, OUT))
    words = packed_rows(codes.T, bits).T if awq else packed_rows(codes, bits)
    per_word = 32 // bits
    return codes, {
        "fc.qweight": np.ascontiguousarray(words),
        "fc.qzeros": np.zeros((IN // GROUP, OUT // per_word), np.int32),
        "fc.scales": np.ones((IN // GROUP, OUT), np.float16),
    }


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("awq", [False, True])
def test_packed_words_are_read_as_the_codes_they_hold(bits, awq):
    codes, arrays = layer(bits, awq=awq)
    checkpoint = open_checkpoint(arrays)
    tensor = checkpoint["fc.qweight"]
    assert tensor.dtype.code == f"U{bits}"
    assert tensor.n_weights == codes.size
    assert tensor.n_bytes == arrays["fc.qweight"].nbytes
    found = tensor.to_numpy()  # (rows of words, columns of words, codes in a word)
    expected = found.reshape(IN, OUT) if awq else found.transpose(0, 2, 1).reshape(IN, OUT)
    assert np.array_equal(expected, codes)
    assert {name: t.side_of for name, t in checkpoint.items()} == {
        "fc.qweight": "",
        "fc.qzeros": "fc.qweight",
        "fc.scales": "fc.qweight",
    }
    assert "1 tensor holds codes of quantised weights" in checkpoint.notes[0]


def test_inspect_tells_which_tensors_are_codes_and_how_wide():
    _, arrays = layer(4)
    arrays["norm"] = np.ones(4, np.float32)
    found = inspect_checkpoint(open_checkpoint(arrays))
    told = {t.name: (t.dtype, t.code_bits, t.side_of) for t in found.tensors}
    assert told == {
        "fc.qweight": ("U4", 4, None),
        "fc.qzeros": ("I32", None, "fc.qweight"),
        "fc.scales": ("F16", None, "fc.qweight"),
        "norm": ("F32", None, None),
    }
    jsonschema.validate(InspectionReport(checkpoints=(found,)).to_dict(), load_schema("inspect"))


def test_codes_of_three_bits_stay_words():
    n_out = 32
    arrays = {
        "fc.qweight": np.zeros((IN * 3 // 32, n_out), np.int32),
        "fc.qzeros": np.zeros((IN // GROUP, n_out * 3 // 32), np.int32),
        "fc.scales": np.ones((IN // GROUP, n_out), np.float16),
    }
    assert open_checkpoint(arrays)["fc.qweight"].dtype.code == "I32"


def test_scales_are_known_by_their_codes_alone():
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.integers(-128, 128, (4, 4)).astype(np.int8),
        "a.scale": np.ones(4, np.float32),
        "a_zero_point": np.zeros(4, np.int64),
        "norm": np.ones(4, np.float32),
        "norm.scale": np.ones(4, np.float32),
        "scale": np.ones(4, np.float32),
    }
    checkpoint = open_checkpoint(arrays)
    assert {name: t.side_of for name, t in checkpoint.items() if t.side_of} == {
        "a.scale": "a",
        "a_zero_point": "a",
    }


def test_entropy_of_packed_codes_is_that_of_the_codes():
    codes, arrays = layer(4)
    row = next(r for r in score(arrays, specs=["entropy@codes"]).rows if r.status == "ok")
    shares = np.bincount(codes.reshape(-1), minlength=16) / codes.size
    entropy = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()
    assert row.bits_per_weight == pytest.approx(entropy, rel=1e-12)


def test_a_checkpoint_without_codes_is_left_as_it_is():
    arrays = {"w": np.ones((4, 4), np.float32), "steps": np.zeros(1, np.int64)}
    checkpoint = open_checkpoint(arrays)
    assert checkpoint.notes == ()
    assert [t.dtype.code for t in checkpoint.values()] == ["F32", "I64"]


def test_an_open_checkpoint_is_not_looked_at_again():
    checkpoint = open_checkpoint(layer(4)[1])
    assert open_checkpoint(checkpoint) is checkpoint


def test_one_network_in_many_formats_stands_side_by_side(tmp_path):
    gguf = pytest.importorskip("gguf")
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.05, (64, 128)).astype(np.float32)
    files = {}
    for name in ("Q8_0", "Q5_1", "Q4_0"):
        number = NUMBER_OF[name]
        blocks = gguf.quantize(weights, gguf.GGMLQuantizationType(number)).tobytes()
        tensors = {"w": (weights.shape, number, blocks)}
        files[name] = test_loaders_gguf.save(tmp_path / f"{name}.gguf", tensors)
    dense = {"F32": "f4", "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn}
    sources = {name: {"w": weights.astype(dtype)} for name, dtype in dense.items()} | files
    stored = {"F32": 32, "BF16": 16, "F8_E4M3": 8, "Q8_0": 8.5, "Q5_1": 6, "Q4_0": 4.5}
    for name, source in sources.items():
        (row,) = score(source, specs=["entropy:two-part@words"]).summary
        assert row.n_weights == weights.size, name
        assert row.raw_bits / row.n_weights == stored[name]
        assert row.bits_per_weight is not None
        # No code of noise is far from what is stored, and none is much longer.
        assert 0.6 * stored[name] < row.bits_per_weight < 1.1 * stored[name]


def test_shuffles_and_planes_of_packed_codes_are_measured():
    _, arrays = layer(4)
    specs = ["bdm2d@codes/bits", "zstd@codes"]
    report = score(arrays, specs=specs, controls=["shuffle:2"])
    ok = [row for row in report.rows if row.status == "ok"]
    assert {row.spec for row in ok} == {"zstd@codes", "bdm2d@codes/bits"}
    assert all(len(row.controls[0].bits) == 2 for row in ok)
