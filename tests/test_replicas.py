"""Tensors with chance in them: what is drawn, what is kept, and that any range is the slice."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.errors import UnmeasurableError
from kcomplexity.tensors.checkpoint import ArrayTensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.random import Law, Reinit, SignFlipped, generator
from tests.tensors import Slow, numbers, random_tensor, same, tensor_of, words_of

SIGNED = [d.code for d in DTYPES.values() if d.numpy is not None and d.sign_bits]

ranges = st.tuples(st.integers(0, 9000), st.integers(0, 9000)).map(sorted)


class TestSignFlipped:
    @pytest.mark.parametrize("code", SIGNED)
    def test_magnitudes_nan_and_zeros_stay_for_every_signed_float(self, code):
        tensor = random_tensor(3000, code)
        flipped = SignFlipped.of(tensor, 7)
        before, after = words_of(tensor), words_of(flipped)
        top = before.dtype.type(1 << (tensor.dtype.bits - 1))
        np.testing.assert_array_equal(before & ~top, after & ~top)
        values = numbers(tensor)
        still = np.isnan(values) | (values == 0)
        np.testing.assert_array_equal(before[still], after[still])
        assert np.isnan(numbers(flipped)).sum() == np.isnan(values).sum()
        moved = ~still
        negative = ((after & top) != 0)[moved].mean()
        assert abs(negative - 0.5) < 5 * 0.5 / np.sqrt(moved.sum())
        agree = ((before & top) == (after & top))[moved].mean()
        assert abs(agree - 0.5) < 5 * 0.5 / np.sqrt(moved.sum())

    @given(span=ranges, code=st.sampled_from(["F4", "F16", "F32"]))
    @settings(max_examples=50, deadline=None)
    def test_any_range_is_the_slice_of_the_whole(self, span, code):
        assert same(SignFlipped.of(random_tensor(9000, code), 2**127 + 1), *span)

    @pytest.mark.parametrize("code", ["F8_E8M0", "I8", "BOOL", "C64", "F6_E2M3"])
    def test_what_has_no_sign_bit_is_refused(self, code):
        tensor = ArrayTensor("w", (0,), DTYPES[code], data=np.zeros(0, np.uint8))
        with pytest.raises(UnmeasurableError, match=f"{code} signs"):
            SignFlipped.of(tensor, 1)

    def test_the_bits_are_those_of_one_philox_stream(self):
        flipped = SignFlipped.of(tensor_of(np.ones(600)), 5)
        drawn = np.random.Philox(key=5).random_raw(10)
        expected = [(int(drawn[i // 64]) >> (i % 64)) & 1 for i in range(600)]
        np.testing.assert_array_equal(flipped.read() < 0, np.array(expected, bool))


class TestReinit:
    @pytest.mark.parametrize("family", ["normal", "truncated", "uniform"])
    def test_any_range_is_the_slice_of_the_whole(self, family):
        tensor = Reinit.like(random_tensor(9000), Law(family, 1.0, 2.0), 3)
        for span in [(0, 9000), (4095, 4097), (4096, 8192), (8191, 9000), (17, 23), (5, 5)]:
            assert same(tensor, *span)

    def test_laws_have_the_moments_and_the_bounds_they_promise(self):
        n = 200_000
        for law, sd, reach in [
            (Law("normal", 3.0, 2.0), 2.0, np.inf),
            (Law("uniform", -1.0, 3.0), np.sqrt(3), 3.0),
            (Law("truncated", 0.5, 1.0), 0.87962566103423978, 2.0),
        ]:
            values = Reinit.like(random_tensor(n, "F64"), law, 11).read()
            assert abs(values.mean() - law.centre) < 5 * sd / np.sqrt(n)
            assert values.std() == pytest.approx(sd, rel=0.01)
            assert np.abs(values - law.centre).max() <= reach

    @pytest.mark.parametrize("code", SIGNED)
    def test_values_beyond_the_type_become_its_ends_never_nan(self, code):
        values = Reinit.like(random_tensor(500, code), Law("normal", 0.0, 1e308), 1).read()
        assert np.isfinite(values.astype(np.float64)).all()

    def test_it_forgets_the_tensor_it_is_like(self):
        tensor = random_tensor(100_000)
        assert len(pickle.dumps(Reinit.like(tensor, Law("normal", 0.0, 1.0), 1))) < 2000

    @pytest.mark.parametrize("code", ["F8_E8M0", "I32", "F6_E3M2"])
    def test_what_holds_no_signed_floats_is_refused(self, code):
        tensor = ArrayTensor("w", (0,), DTYPES[code], data=np.zeros(0, np.uint8))
        with pytest.raises(UnmeasurableError, match=f"{code} cannot be drawn"):
            Reinit.like(tensor, Law("normal", 0.0, 1.0), 1)


def test_random_signs_are_as_addressable_as_the_tensor_and_drawn_weights_always_are():
    slow = Slow("w", (4,), DTYPES["F32"], data=np.zeros(16, np.uint8))
    assert SignFlipped.of(random_tensor(5), 1).addressable
    assert not SignFlipped.of(slow, 1).addressable
    assert Reinit.like(slow, Law("normal", 0.0, 1.0), 1).addressable


def test_both_survive_a_pickle_with_the_same_weights():
    tensor = random_tensor(40)
    drawn = Reinit.like(tensor, Law("uniform", 0.0, 1.0), 9)
    for made in [SignFlipped.of(tensor, 1), drawn]:
        again = pickle.loads(pickle.dumps(made))
        assert again == made
        np.testing.assert_array_equal(words_of(again), words_of(made))


def test_streams_of_a_key_differ_and_repeat():
    draws = {(key, i): generator(key, i).random() for key in (1, 2) for i in range(3)}
    assert len(set(draws.values())) == 6
    assert generator(1, 2).random() == draws[1, 2]
