"""Tensors made from tensors: any range is the slice of the whole, whatever they are made of."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.errors import UnmeasurableError
from kcomplexity.tensors.checkpoint import ArrayTensor
from kcomplexity.tensors.derived import Cast, Part, concat, origins, rebuilt
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.random import SignFlipped
from tests.tensors import Slow, numbers, random_tensor, same, tensor_of, words_of

NUMERIC = [d.code for d in DTYPES.values() if d.numpy is not None]


class TestConcat:
    @given(
        sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
        code=st.sampled_from(NUMERIC),
        data=st.data(),
    )
    @settings(max_examples=150, deadline=None)
    def test_a_range_is_the_slice_of_the_members_laid_end_to_end(self, sizes, code, data):
        members = [random_tensor(n, code, i) for i, n in enumerate(sizes)]
        joined = concat("all", members)
        assert joined.shape == (sum(sizes),)
        expected = np.concatenate([words_of(m) for m in members])
        np.testing.assert_array_equal(words_of(joined), expected)
        start, stop = sorted(data.draw(st.integers(0, sum(sizes))) for _ in range(2))
        assert same(joined, start, stop)

    def test_a_range_inside_one_member_is_not_copied(self):
        members = [random_tensor(16), random_tensor(16, seed=1)]
        assert np.shares_memory(concat("all", members).raw(20, 28), members[1].data)

    def test_members_of_several_stored_dtypes_are_refused_by_name(self):
        with pytest.raises(UnmeasurableError, match="stored as BF16, F32 cannot be laid"):
            concat("all", [random_tensor(4), random_tensor(4, "BF16")])

    def test_nothing_cannot_be_laid_end_to_end(self):
        with pytest.raises(UnmeasurableError, match="stored as nothing"):
            concat("all", [])

    def test_six_bit_members_are_joined_only_where_they_start_on_a_byte(self):
        def six(n):
            code = DTYPES["F6_E2M3"]
            return ArrayTensor("w", (n,), code, data=np.arange(code.n_bytes(n), dtype=np.uint8))

        whole = concat("all", [six(8), six(4)])
        np.testing.assert_array_equal(whole.raw(0, 12), [0, 1, 2, 3, 4, 5, 0, 1, 2])
        with pytest.raises(UnmeasurableError, match="packed"):
            concat("all", [six(5), six(8)]).raw(0, 13)


class TestCast:
    def test_bfloat16_reads_as_the_same_float32_numbers(self):
        tensor = tensor_of([1.5, -2.25, 0.0, np.inf, np.nan], "BF16", name="b")
        cast = Cast.of(tensor, "F32")
        assert (cast.name, cast.shape, cast.dtype.code) == ("b", (5,), "F32")
        np.testing.assert_array_equal(cast.read(), [1.5, -2.25, 0, np.inf, np.nan])

    @pytest.mark.parametrize("source", [c for c in NUMERIC if c != "C64"])
    @pytest.mark.parametrize("target", ["F32", "F16", "F4", "F8_E4M3"])
    def test_any_range_is_the_slice_of_the_whole(self, source, target):
        cast = Cast.of(random_tensor(41, source), target)
        for start, stop in [(0, 41), (8, 9), (3, 17), (40, 41), (5, 5)]:
            assert same(cast, start, stop)

    @pytest.mark.parametrize("code", ["C64", "F6_E2M3"])
    def test_what_has_no_real_values_is_refused(self, code):
        dtype = DTYPES[code]
        tensor = ArrayTensor("w", (4,), dtype, data=np.zeros(dtype.n_bytes(4), np.uint8))
        with pytest.raises(UnmeasurableError, match="w cannot be cast to F32"):
            Cast.of(tensor, "F32")


class TestPart:
    @given(code=st.sampled_from(["F4", "F8_E4M3", "BF16", "F32"]), data=st.data())
    @settings(max_examples=80, deadline=None)
    def test_it_holds_the_run_it_is_cut_from(self, code, data):
        tensor = random_tensor(53, code)
        start, stop = sorted(data.draw(st.integers(0, 53)) for _ in range(2))
        part = Part.of(tensor, start, stop)
        assert (part.name, part.shape) == (f"w[{start}:{stop}]", (stop - start,))
        assert part.stop == stop
        np.testing.assert_array_equal(words_of(part), words_of(tensor)[start:stop])
        a, b = sorted(data.draw(st.integers(0, stop - start)) for _ in range(2))
        assert same(part, a, b)

    def test_whole_rows_keep_their_shape(self):
        tensor = tensor_of(np.arange(60.0).reshape(5, 3, 4))
        part = Part.of(tensor, 12, 36, rows=True)
        assert part.shape == (2, 3, 4)
        np.testing.assert_array_equal(part.to_numpy(), np.arange(12.0, 36).reshape(2, 3, 4))

    def test_a_vector_is_cut_into_vectors(self):
        assert Part.of(random_tensor(9), 2, 5, rows=True).shape == (3,)

    def test_broken_rows_and_ranges_outside_are_refused(self):
        tensor = tensor_of(np.zeros((4, 3)))
        with pytest.raises(ValueError, match="2 to 6 are not whole rows of 3"):
            Part.of(tensor, 2, 6, rows=True)
        with pytest.raises(ValueError, match="0 to 13 are not within 0 to 12"):
            Part.of(tensor, 0, 13)


def made_from(tensor):
    return [
        concat("all", [tensor, random_tensor(5)]),
        Cast.of(tensor, "F64"),
        Part.of(tensor, 1, 4),
    ]


def test_what_is_made_from_a_tensor_is_as_addressable_as_it():
    slow = Slow("w", (4,), DTYPES["F32"], data=np.zeros(16, np.uint8))
    assert all(tensor.addressable for tensor in made_from(random_tensor(5)))
    assert not any(tensor.addressable for tensor in made_from(slow))


def test_all_survive_a_pickle_with_the_same_weights():
    tensor = random_tensor(40)
    for made in made_from(tensor):
        again = pickle.loads(pickle.dumps(made))
        assert again == made
        np.testing.assert_array_equal(words_of(again), words_of(made))


class Negate:
    """A change that remembers what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, tensor):
        self.seen.append(tensor.name)
        return tensor_of(-numbers(tensor), tensor.dtype.code, name=tensor.name)


class TestRebuilt:
    def test_each_origin_is_changed_on_its_own(self):
        a, b = tensor_of([1, 2, 3], "BF16", name="a"), tensor_of([4.0, 5], "BF16", name="b")
        joined = concat("all", [Cast.of(a, "F32"), Cast.of(b, "F32")])
        made = Part.of(joined, 1, 4)
        assert [t.name for t in origins(made)] == ["a", "b"]
        change = Negate()
        again = rebuilt(made, change)
        assert change.seen == ["a", "b"]
        assert (again.name, again.shape, again.dtype.code) == ("all[1:4]", (3,), "F32")
        np.testing.assert_array_equal(again.read(), [-2, -3, -4])

    def test_a_part_can_be_changed_itself_origin_by_origin(self):
        a, b = tensor_of([1, 2, 3], name="a"), tensor_of([4.0, 5], name="b")
        change = Negate()
        again = rebuilt(Part.of(concat("all", [a, b]), 1, 5), change, whole=False)
        assert change.seen == ["a[1:3]", "b"]
        np.testing.assert_array_equal(again.read(), [-2, -3, -4, -5])

    def test_rows_stay_rows(self):
        part = Part.of(tensor_of(np.ones((4, 3))), 3, 9, rows=True)
        assert rebuilt(part, lambda t: SignFlipped.of(t, 1)).shape == (2, 3)
