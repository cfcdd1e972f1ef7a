"""Controls: what replicates keep, what they change, and what is said about them."""

import inspect
import json
import math
import pickle
import statistics
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.controls import (
    CONTROLS,
    Control,
    Init,
    parse_control,
    shuffles,
    shuffling,
    stores,
)
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.control_results import ControlResult, SummedControl
from kcomplexity.results.json_form import plain
from kcomplexity.tensors.checkpoint import ArrayTensor, StoredTensor
from kcomplexity.tensors.derived import Cast, Part, concat, origins, packed, stored_words
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.random import SignFlipped

DISTINCT = ["F4", "F8_E4M3", "BF16", "F32", "F64", "C64", "I8", "U16", "BOOL"]
SHUFFLES = ["shuffle", "shuffle-rows", "shuffle-cols"]
EVERY = [*SHUFFLES, "signs", "init:normal", "init:torch"]


@pytest.fixture(scope="module")
def pool():
    with Pool(2) as pool:
        yield pool


def of_words(words, code="F32", name="w", shape=None):
    dtype = DTYPES[code]
    words = np.asarray(words)
    data = packed(dtype, words.reshape(-1).astype(dtype.word))
    return ArrayTensor(name, shape or words.shape, dtype, data=data)


def of_values(values, code="F32", name="w", layout="out-in"):
    values = np.asarray(values, np.float64)
    data = DTYPES[code].encode(values.reshape(-1))
    return ArrayTensor(name, values.shape, DTYPES[code], data=data, layout=layout)


def counting(*shape, code="F32", name="w"):
    """A tensor whose stored words count up as far as the type goes: every value tells its place."""
    n = math.prod(shape)
    top = 2 if code == "BOOL" else 1 << min(DTYPES[code].bits, 32)
    return of_words(np.arange(n) % top, code, name, shape)


def normal(*shape, code="F32", name="w", layout="out-in", seed=0):
    return of_values(np.random.default_rng(seed).normal(0.1, 0.5, shape), code, name, layout)


def words_of(tensor):
    return stored_words(tensor, 0, tensor.n_weights).copy()


def replicas(text, tensor, pool, seed=0):
    with closing(parse_control(text).replicates(tensor, seed, pool)) as found:
        return [words_of(replicate) for replicate in found]


def first(text, tensor, pool, seed=0):
    return replicas(f"{text}:1", tensor, pool, seed)[0]


class TestText:
    @pytest.mark.parametrize(
        ("text", "canonical", "kind"),
        [
            ("shuffle", "shuffle:5", "shuffle"),
            (" Shuffle:19 ", "shuffle:19", "shuffle"),
            ("shuffle-rows:1", "shuffle-rows:1", "shuffle-rows"),
            ("shuffle-cols", "shuffle-cols:5", "shuffle-cols"),
            ("signs:008", "signs:8", "signs"),
            ("init:torch", "init:torch:5", "init:torch"),
            ("init:HE-normal:999", "init:he-normal:999", "init:he-normal"),
        ],
    )
    def test_canonical_text_names_an_equal_control(self, text, canonical, kind):
        control = parse_control(text)
        assert (str(control), control.kind) == (canonical, kind)
        assert parse_control(canonical) == control
        assert pickle.loads(pickle.dumps(control)) == control

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("shufle", "unknown control 'shufle': did you mean shuffle"),
            ("", "unknown control ''"),
            ("shuffle:0", "shuffle:0: expected 1 to 999 replicates"),
            ("shuffle:1000", "shuffle:1000: expected 1 to 999 replicates"),
            ("shuffle:-1", "'-1' is not a number: expected shuffle"),
            ("shuffle:x", "'x' is not a number"),
            ("shuffle:5:5", "'5' is one word too many: expected shuffle"),
            ("init", "unknown scheme '': expected one of normal, uniform, torch, glorot-uniform"),
            ("init:xavier", "unknown scheme 'xavier'"),
            ("init:torch:8:8", "expected init:SCHEME"),
        ],
    )
    def test_what_means_nothing_is_refused_with_what_would(self, text, message):
        with pytest.raises(SpecError, match=message):
            parse_control(text)

    def test_every_control_is_registered(self):
        def below(cls):
            return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

        ours = {c for c in below(Control) if c.__module__.startswith("kcomplexity.controls.")}
        own = {cls for cls in ours if not inspect.isabstract(cls)}
        assert own == set(CONTROLS.values())
        assert all(cls.summary for cls in own)


class TestSeeds:
    @pytest.mark.parametrize("text", EVERY)
    def test_replicates_differ_repeat_and_start_alike(self, text, pool):
        tensor = normal(16, 8)
        five = replicas(f"{text}:5", tensor, pool)
        assert len({words.tobytes() for words in five}) == 5
        assert words_of(tensor).tobytes() not in {words.tobytes() for words in five}
        np.testing.assert_array_equal(five, replicas(f"{text}:7", tensor, pool)[:5])
        assert first(text, tensor, pool, seed=1).tobytes() != five[0].tobytes()
        assert first(text, normal(16, 8, name="v"), pool).tobytes() != five[0].tobytes()

    def test_the_key_is_what_it_is_said_to_be(self):
        import hashlib

        digest = hashlib.sha256(b"7\0init:torch\0w\0" + b"3").digest()
        key = parse_control("init:torch:9").key(normal(2, 2), 7, 3)
        assert key == int.from_bytes(digest[:16], "little")

    @pytest.mark.parametrize("text", EVERY)
    def test_end_to_end_each_member_has_the_replicates_it_has_alone(self, text, pool):
        members = [normal(6, 4, name="a"), normal(5, 3, name="b"), normal(7, name="c")]
        joined = replicas(text, concat("all", members), pool)
        alone = zip(*(replicas(text, member, pool) for member in members), strict=True)
        np.testing.assert_array_equal(joined, [np.concatenate(words) for words in alone])

    @pytest.mark.parametrize("text", EVERY)
    def test_a_cast_tensor_has_its_own_replicates_cast(self, text, pool):
        tensor = normal(6, 4, code="BF16")
        with closing(parse_control(text).replicates(tensor, 0, pool)) as found:
            expected = [words_of(Cast.of(replicate, "F32")) for replicate in found]
        np.testing.assert_array_equal(replicas(text, Cast.of(tensor, "F32"), pool), expected)

    @pytest.mark.parametrize("text", ["signs", "init:uniform", "init:lecun-normal"])
    def test_a_part_has_the_weights_it_has_in_the_whole(self, text, pool):
        tensor = normal(40, 10)
        part = first(text, Part.of(tensor, 100, 300, rows=True), pool)
        np.testing.assert_array_equal(part, first(text, tensor, pool)[100:300])


class TestShuffle:
    @given(code=st.sampled_from(DISTINCT), rows=st.integers(0, 9), columns=st.integers(0, 9))
    @settings(max_examples=60, deadline=None)
    def test_values_stay_in_the_tensor_the_row_or_the_column(self, pool, code, rows, columns):
        tensor = counting(rows, columns, code=code)
        before = words_of(tensor).reshape(rows, columns)
        found = [first(text, tensor, pool).reshape(rows, columns) for text in SHUFFLES]
        np.testing.assert_array_equal(np.sort(before, axis=None), np.sort(found[0], axis=None))
        np.testing.assert_array_equal(np.sort(before, axis=1), np.sort(found[1], axis=1))
        np.testing.assert_array_equal(np.sort(before, axis=0), np.sort(found[2], axis=0))

    def test_the_order_is_that_of_the_position_not_of_the_type(self, pool):
        orders = [first("shuffle", counting(200, code=c), pool) for c in ("U8", "BF16", "F64")]
        np.testing.assert_array_equal(orders[0], orders[1])
        np.testing.assert_array_equal(orders[0], orders[2])

    @pytest.mark.parametrize("limit", [shuffling._IN_MEMORY, 1])
    def test_every_order_is_as_likely(self, pool, monkeypatch, limit):
        monkeypatch.setattr(shuffling, "_IN_MEMORY", limit)
        rng_seeds, n = 3, 4
        seen = Counter(
            tuple(words)
            for seed in range(rng_seeds)
            for words in replicas("shuffle:200", counting(n, code="U8"), pool, seed)
        )
        expected = 200 * rng_seeds / math.factorial(n)
        chi_square = sum((seen[order] - expected) ** 2 / expected for order in seen)
        assert len(seen) == math.factorial(n)
        assert chi_square < 49.7  # 23 degrees of freedom, p = .001

    @pytest.mark.parametrize("code", ["F32", "F4", "U8"])
    def test_buckets_keep_the_values_and_forget_the_places(self, pool, monkeypatch, code):
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 64)
        for module in (shuffling, stores):
            monkeypatch.setattr(module, "FRAME", 4096)
        n = 20_001
        tensor = counting(n, code=code)
        words = first("shuffle", tensor, pool)
        np.testing.assert_array_equal(np.sort(words), np.sort(words_of(tensor)))
        if code == "F32":
            cells, _, _ = np.histogram2d(np.arange(n), words, bins=20)
            chi_square = float(((cells - n / 400) ** 2 / (n / 400)).sum())
            assert chi_square < 447  # 361 degrees of freedom, p = .001

    def test_buckets_do_not_depend_on_the_frame(self, pool, monkeypatch):
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 64)
        tensor = counting(10_000)
        whole = first("shuffle", tensor, pool)
        for module in (shuffling, stores):
            monkeypatch.setattr(module, "FRAME", 512)
        np.testing.assert_array_equal(first("shuffle", tensor, pool), whole)

    @pytest.mark.parametrize("code", ["F32", "F4"])
    def test_blocks_of_any_height_or_width_give_the_same_weights(self, pool, monkeypatch, code):
        tensor = counting(70, 33, code=code)
        whole = [first(text, tensor, pool) for text in SHUFFLES[1:]]
        monkeypatch.setattr(shuffling, "_BLOCK", 100)
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 300)
        for text, words in zip(SHUFFLES[1:], whole, strict=True):
            np.testing.assert_array_equal(first(text, tensor, pool), words)

    def test_rows_too_long_for_memory_stay_rows(self, pool, monkeypatch):
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 64)
        words = first("shuffle-rows", counting(3, 500), pool).reshape(3, 500)
        np.testing.assert_array_equal(np.sort(words, axis=1), np.arange(1500).reshape(3, 500))
        assert (words != np.arange(1500).reshape(3, 500)).any(axis=1).all()
        assert len({tuple(row) for row in words - 500 * np.arange(3)[:, None]}) == 3

    @pytest.mark.parametrize("text", SHUFFLES)
    def test_files_hold_the_same_weights_as_memory_and_go(self, pool, monkeypatch, tmp_path, text):
        members = [normal(30, 4, name="a"), normal(9, 5, name="b"), normal(7, 4, name="c")]
        joined = concat("all", members)
        in_memory = replicas(text, joined, pool)
        monkeypatch.setattr(shuffles, "_LARGEST_IN_MEMORY", 100)
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 64)
        small = replicas(text, joined, pool)
        monkeypatch.setattr(shuffling, "_IN_MEMORY", 1 << 26)
        with Pool(1, tmpdir=tmp_path) as own:
            with closing(parse_control(text).replicates(joined, 0, own)) as found:
                for replicate, expected in zip(found, in_memory, strict=True):
                    kinds = {type(one) for one in origins(replicate)}
                    assert StoredTensor in kinds
                    again = pickle.loads(pickle.dumps(replicate))
                    np.testing.assert_array_equal(words_of(again), expected)
                    assert len(files(tmp_path)) == 1
            assert files(tmp_path) == []
        if text != "shuffle":
            np.testing.assert_array_equal(small, in_memory)

    def test_a_replicate_left_early_leaves_no_file_and_no_reservation(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shuffles, "_LARGEST_IN_MEMORY", 100)
        with Pool(1, tmpdir=tmp_path) as own:
            found = parse_control("shuffle").replicates(normal(30, 4), 0, own)
            next(found)
            assert files(tmp_path)
            found.close()
            assert files(tmp_path) == []
            assert own._budget.reserved == 0

    def test_what_has_no_single_values_is_not_changed(self, pool):
        six = ArrayTensor("w", (8,), DTYPES["F6_E2M3"], data=np.arange(6, dtype=np.uint8))
        control = parse_control("shuffle:2")
        assert not control.applies(six)
        assert all(one is six for one in control.replicates(six, 0, pool))

    def test_a_sampled_part_of_several_is_shuffled_inside_each(self, pool):
        joined = concat("all", [counting(50, name="a"), of_words(np.arange(50, 90), name="b")])
        words = first("shuffle", Part.of(joined, 30, 80), pool)
        assert set(words[:20]) == set(range(30, 50))
        assert set(words[20:]) == set(range(50, 80))

    def test_the_tensor_is_not_written_to(self, pool):
        tensor = counting(6, 6)
        for text in SHUFFLES:
            first(text, tensor, pool)
        np.testing.assert_array_equal(words_of(tensor), np.arange(36))


def files(folder: Path):
    return [path for path in folder.rglob("*") if path.is_file()]


class TestSigns:
    def test_replicates_are_the_tensor_with_its_signs_drawn(self, pool):
        tensor = normal(50, 4)
        control = parse_control("signs:2")
        found = list(control.replicates(tensor, 0, pool))
        assert found[1] == SignFlipped.of(tensor, control.key(tensor, 0, 1))

    @pytest.mark.parametrize("code", ["I8", "BOOL", "F8_E8M0"])
    @pytest.mark.parametrize("text", ["signs:2", "init:normal:2", "init:torch:2"])
    def test_what_has_no_signs_stays_so_that_sums_are_complete(self, pool, code, text):
        codes = counting(4, 2, code=code)
        control = parse_control(text)
        assert not control.applies(codes)
        assert list(control.replicates(codes, 0, pool)) == [codes, codes]


class TestInit:
    @pytest.mark.parametrize(
        ("shape", "layout", "fans"),
        [
            ((10, 20), "out-in", (20, 10)),
            ((10, 20), "in-out", (10, 20)),
            ((64, 3, 7, 5), "out-in", (105, 2240)),
            ((7, 5, 3, 64), "in-out", (105, 2240)),
            ((8, 6, 3), "out-in", (18, 24)),
            ((3, 6, 8), "in-out", (18, 24)),
        ],
    )
    def test_laws_follow_from_the_fans_of_the_layout(self, pool, shape, layout, fans):
        tensor = of_values(np.zeros(shape), layout=layout)
        ins, outs = fans

        def law(scheme):
            found = Init(scheme).law(tensor, pool)
            return found.family, found.centre, found.scale

        assert law("torch") == ("uniform", 0, pytest.approx(1 / math.sqrt(ins)))
        assert law("glorot-uniform") == ("uniform", 0, pytest.approx(math.sqrt(6 / (ins + outs))))
        he, lecun = math.sqrt(2 / ins) / 0.8796256610, math.sqrt(1 / ins) / 0.8796256610
        assert law("he-normal") == ("truncated", 0, pytest.approx(he))
        assert law("lecun-normal") == ("truncated", 0, pytest.approx(lecun))

    @pytest.mark.parametrize(
        ("scheme", "sd"),
        [
            ("torch", math.sqrt(1 / (3 * 400))),
            ("glorot-uniform", math.sqrt(2 / 700)),
            ("he-normal", math.sqrt(2 / 400)),
            ("lecun-normal", math.sqrt(1 / 400)),
        ],
    )
    def test_the_weights_have_the_standard_deviation_of_the_definition(self, pool, scheme, sd):
        with closing(parse_control(f"init:{scheme}").replicates(normal(300, 400), 0, pool)) as r:
            values = next(r).read()
        assert values.std() == pytest.approx(sd, rel=0.01)
        assert abs(values.mean()) < 5 * sd / math.sqrt(values.size)

    @pytest.mark.parametrize("scheme", ["normal", "uniform"])
    def test_the_tensors_own_moments_are_matched(self, pool, scheme):
        tensor = of_values(np.random.default_rng(0).laplace(100.0, 0.01, 150_000), "F64")
        mean, sd = tensor.read().mean(), tensor.read().std()
        with closing(parse_control(f"init:{scheme}").replicates(tensor, 0, pool)) as found:
            values = next(found).read()
        assert values.mean() == pytest.approx(mean, abs=5 * sd / math.sqrt(values.size))
        assert values.std() == pytest.approx(sd, rel=0.01)
        reach = math.sqrt(3) * sd if scheme == "uniform" else 6 * sd
        assert np.abs(values - mean).max() <= reach * (1 + 1e-9)

    def test_moments_are_exact_whatever_the_pieces(self, pool):
        tensor = of_values(np.random.default_rng(1).normal(1e6, 1e-3, 300_000), "F64")
        exact = tensor.read() - 1e6
        law = Init("normal").law(tensor, pool)
        assert law.centre == pytest.approx(1e6 + math.fsum(exact) / exact.size, rel=1e-15)
        assert law.scale == pytest.approx(exact.std(), rel=1e-6)
        with Pool(3, piece=2) as other:
            assert Init("normal").law(tensor, other) == law

    def test_a_constant_stays_the_constant(self, pool):
        tensor = of_values(np.full((3, 4), 0.25))
        np.testing.assert_array_equal(first("init:normal", tensor, pool), words_of(tensor))

    def test_vectors_have_no_fans_and_stay(self, pool):
        bias = normal(7)
        assert not parse_control("init:torch").applies(bias)
        assert parse_control("init:normal").applies(bias)
        np.testing.assert_array_equal(first("init:he-normal", bias, pool), words_of(bias))

    def test_one_member_that_can_be_drawn_is_enough_to_apply(self):
        joined = concat("all", [normal(7, name="a"), normal(2, 3, name="b")])
        assert parse_control("init:torch").applies(joined)

    def test_weights_that_are_not_finite_are_counted_and_refused(self, pool):
        tensor = of_values([1.0, np.nan, np.inf, -np.inf, np.nan, np.nan])
        message = "w: 3 NaN and 2 infinite weights: there is no mean"
        with pytest.raises(UnmeasurableError, match=message):
            next(parse_control("init:normal").replicates(tensor, 0, pool))
        assert sorted(first("shuffle", tensor, pool)) == sorted(words_of(tensor))

    def test_weights_too_large_for_a_standard_deviation_are_refused(self, pool):
        tensor = of_values([1e300, -1e300], "F64")
        with pytest.raises(UnmeasurableError, match="too large for a standard deviation"):
            next(parse_control("init:uniform").replicates(tensor, 0, pool))


class TestStatistics:
    def test_by_hand(self):
        assert plain(ControlResult.of("shuffle", 8.0, [10, 12, 10, 8, 10])) == {
            "kind": "shuffle",
            "n": 5,
            "bits": [10, 12, 10, 8, 10],
            "mean_bits": 10.0,
            "sd_bits": pytest.approx(math.sqrt(2)),
            "ratio": 0.8,
            "z": pytest.approx(-math.sqrt(2)),
            "p": pytest.approx(2 / 6),
            "n_lower": 4,
            "reason": None,
        }

    def test_nineteen_of_nineteen_shuffles_lower_gives_five_percent(self):
        result = ControlResult.of("shuffle", 1.0, range(2, 21))
        assert (result.n_lower, result.p) == (19, 0.05)
        assert result.z == pytest.approx((1 - 11) / statistics.stdev(range(2, 21)))

    def test_there_is_no_z_below_five_replicates_or_without_spread(self):
        assert ControlResult.of("signs", 1.0, [2.0, 3.0, 4.0, 5.0]).z is None
        alike = ControlResult.of("signs", 1.0, [0.1] * 9)
        assert (alike.sd_bits, alike.z, alike.n_lower, alike.p) == (0, None, 0, 1)

    def test_one_replicate_has_no_standard_deviation(self):
        result = ControlResult.of("signs", 1.0, [2.0])
        assert (result.mean_bits, result.sd_bits, result.p) == (2.0, None, 0.5)

    def test_nothing_is_no_share_of_nothing(self):
        assert ControlResult.of("signs", 0.0, [0.0, 0.0]).ratio is None

    @pytest.mark.parametrize(
        "result",
        [
            ControlResult.of("shuffle", 8.0, [10.0, 12.0, 10.0, 8.0, 10.0]),
            ControlResult(kind="signs", n=0, bits=(), reason="it is raining"),
            SummedControl.over(3, ControlResult.of("init:torch", 8.0, [9.0])),
        ],
        ids=lambda result: result.kind,
    )
    def test_the_json_form_gives_it_back(self, result):
        record = json.loads(json.dumps(plain(result)))
        assert ("n_tensors" in record) == isinstance(result, SummedControl)
        assert ControlResult.from_dict(record | {"of a later version": 1}) == result
