"""What one tensor has that another has not, and that a decoder gets it back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.comparison.differences import (
    Blend,
    Delta,
    Difference,
    Xor,
    _ordered,
    blended,
    unchanged,
)
from kcomplexity.errors import UnmeasurableError
from kcomplexity.files.sources import Bytes
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from tests.tensors import numbers, random_tensor, same, tensor_of, words_of

CODES = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I8", "U8", "I32", "U16", "I64", "BOOL"]


def restored(reference: Tensor, delta: Bytes) -> Bytes:
    """The other's stored bytes from the reference and a delta: what a decoder does."""
    dtype, n = reference.dtype, reference.n_weights
    words = _ordered(dtype, reference.raw(0, n), n)
    zigzag = delta.view(words.dtype)
    one = words.dtype.type(1)
    words += (zigzag >> one) ^ (0 - (zigzag & one)).astype(words.dtype)
    if dtype.sign_bits:
        top = words.dtype.type(1 << (dtype.bits - 1))
        words ^= np.where(words >= top, top, ~words.dtype.type(0))
    return words.view(np.uint8)


@pytest.mark.parametrize("code", CODES)
def test_a_decoder_gets_every_stored_bit_back_from_a_delta(code):
    reference, other = random_tensor(301, code, seed=1), random_tensor(301, code, seed=2)
    delta = Delta.of(reference, other)
    assert np.array_equal(restored(reference, delta.raw(0, 301)), other.raw(0, 301))


@pytest.mark.parametrize("code", [*CODES, "F4"])
def test_a_decoder_gets_every_stored_bit_back_from_an_xor(code):
    reference, other = random_tensor(301, code, seed=1), random_tensor(301, code, seed=2)
    difference = Xor.of(reference, other).raw(0, 301)
    assert np.array_equal(difference ^ reference.raw(0, 301), other.raw(0, 301))


def test_a_delta_counts_the_numbers_between():
    # By hand: 1, its neighbours on both sides, -0 (one below +0), and across zero.
    one = np.float32(1)
    near = [np.nextafter(one, np.float32(2)), np.nextafter(one, np.float32(0)), -0.0]
    small = np.nextafter(np.float32(0), one)
    reference = tensor_of([1, 1, 0, small], "F32")
    other = tensor_of([*near, -small], "F32")
    # 0, -1, 1, -2, 2, -3 are written 0, 1, 2, 3, 4, 5.
    assert words_of(Delta.of(reference, other)).tolist() == [2, 1, 1, 5]


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from(["F32", "BF16", "U8"]))
@settings(max_examples=20, deadline=None)
def test_a_range_of_a_difference_is_the_slice_of_the_whole(start, stop, code):
    reference, other = random_tensor(301, code, seed=1), random_tensor(301, code, seed=2)
    start, stop = sorted((start, stop))
    assert same(Delta.of(reference, other), start, stop)
    assert same(Xor.of(reference, other), start, stop)


def test_a_numeric_difference_is_in_float64():
    reference, other = tensor_of([1, 2, 3], "F16"), tensor_of([1.5, 2, -3], "F16")
    difference = Difference.of(reference, other)
    assert difference.dtype.code == "F64"
    assert difference.read().tolist() == [0.5, 0.0, -6.0]


def test_sides_that_are_not_alike_are_refused():
    with pytest.raises(UnmeasurableError, match="F32 3 cannot be compared with F16 3"):
        Xor.of(tensor_of([1, 2, 3], "F16"), tensor_of([1, 2, 3], "F32"))
    with pytest.raises(UnmeasurableError, match="expected one shape"):
        Delta.of(tensor_of([1, 2], "F32"), tensor_of([1, 2, 3], "F32"))
    with pytest.raises(UnmeasurableError, match="packed values"):
        Delta.of(random_tensor(8, "F4"), random_tensor(8, "F4"))
    with pytest.raises(UnmeasurableError, match="not weights"):
        Difference.of(random_tensor(8, "I8"), random_tensor(8, "I8"))


def test_a_blend_is_the_nearest_point_on_the_line():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500))
    reference, second = tensor_of(a, "F64"), tensor_of(b, "F64")
    target = tensor_of(a + 0.25 * (b - a), "F64")
    with Pool(2) as pool:
        blend = blended(reference, second, target, pool)
    assert isinstance(blend, Blend)
    assert blend.weight == 0.25
    assert np.array_equal(numbers(blend), a + 0.25 * (b - a))


def test_what_has_no_blend_gives_the_second():
    reference, second = random_tensor(8, "I8"), random_tensor(8, "I8", seed=3)
    broken = tensor_of([np.nan, 1], "F32")
    with Pool(1) as pool:
        assert blended(reference, second, reference, pool) is second
        assert blended(broken, broken, broken, pool) is broken


@pytest.mark.parametrize("threads", [1, 3])
def test_unchanged_weights_are_counted_by_their_stored_bits(threads):
    before = np.zeros(200_001, np.float32)
    after = before.copy()
    after[[3, 70_000, 200_000]] = [1.0, -0.0, np.nan]  # -0 is stored otherwise than 0
    with Pool(threads) as pool:
        assert unchanged(tensor_of(before), tensor_of(after), pool) == 200_001 - 3
        assert unchanged(tensor_of(before), tensor_of(before, "F16"), pool) is None
