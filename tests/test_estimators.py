"""Every estimator keeps the contract, and gives the value that its definition says."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms import counting
from kcomplexity.algorithms.entropy_coding.lengths import plug_in_bits, two_part_bits
from kcomplexity.algorithms.packing import pack
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators import ESTIMATORS, Estimator, Measure, compressors, entropy
from kcomplexity.parallel import Cut, Every, Failed, Reducer, Rows, State, Whole, fold, folding
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring.specs import Spec, parse_spec
from kcomplexity.tensors.pieces import FRAME, LEAF
from kcomplexity.views import Encoder
from tests import definitions
from tests.tensors import array_tensor as tensor_of

COMPRESSORS = ["gzip", "igzip", "zstd", "brotli", "bz2", "xz"]


@dataclass(frozen=True)
class Through:
    """A reducer of one stream, fed by an encoder."""

    encoder: Encoder
    index: int
    reducer: Reducer

    @property
    def cut(self) -> Cut:
        return self.reducer.cut

    @property
    def memory(self) -> int:
        return self.reducer.memory

    def start(self) -> State:
        return ThroughState(self, self.reducer.start())


@dataclass
class ThroughState(State):
    reducer: Through
    state: State

    def update(self, chunk: Any, at: Any) -> None:
        self.state.update(self.reducer.encoder.encode(chunk).streams[self.reducer.index], at)

    def finish(self) -> None:
        self.state.finish()

    def __add__(self, other: ThroughState) -> ThroughState:
        return ThroughState(self.reducer, self.state + other.state)


def gathered(values: np.ndarray, spec: Spec, pool: Pool) -> tuple[list[State], Encoder | None]:
    """The final state of each stream."""
    tensor = tensor_of(values)

    def reduce(reducer: Reducer) -> State:
        (state,) = fold(tensor, [reducer], pool)
        assert not isinstance(state, Failed), state.reason
        return state

    encoder = spec.view.prepare(tensor, reduce) if spec.view else None
    reducers = spec.estimator.reducers(encoder, tensor)
    if encoder is None or spec.estimator.sees_weights:
        return [reduce(reducer) for reducer in reducers], encoder
    found = fold(tensor, [Through(encoder, i, r) for i, r in enumerate(reducers)], pool)
    states: list[State] = []
    for state in found:
        assert isinstance(state, ThroughState), state
        states.append(state.state)
    return states, encoder


def measured(values: np.ndarray, text: str, pool: Pool | None = None) -> Measure:
    spec = parse_spec(text)
    with Pool(1) as own:
        states, encoder = gathered(values, spec, pool or own)
    return spec.estimator.measure(states, encoder.streams if encoder else ())


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- the contract, over the whole registry ---------------------------------------------------

VARIANTS = [
    *ESTIMATORS,
    "entropy:two-part",
    "entropy:two-part@bytes/fields",
    "entropy@words",
    "block-entropy:3@bytes/planes",
    *(f"{name}:frame=65536@bytes/planes" for name in COMPRESSORS),
    *(f"{name}:frame=0@q4" for name in COMPRESSORS),
]


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_an_estimator_says_what_it_is(name):
    cls = ESTIMATORS[name]
    assert issubclass(cls, Estimator)
    assert cls.summary
    assert "\n" not in cls.summary
    assert cls.reference
    assert cls.unit
    assert cls.direction
    assert cls.__doc__
    spec = parse_spec(name)
    estimator = spec.estimator
    assert estimator.kind in ("code", "estimate", "statistic")
    assert isinstance(estimator.positional, bool)
    assert (spec.view is None) == (cls.default_view is None)
    assert estimator.rate > 0
    assert estimator.cap is None or estimator.cap >= FRAME
    assert (estimator.unit == "bits") == (estimator.kind != "statistic")


@pytest.mark.parametrize("text", VARIANTS)
def test_an_estimator_and_its_reducers_travel_and_compare(text):
    spec = parse_spec(text)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(pickle.loads(pickle.dumps(spec))) == hash(spec)
    tensor, encoder = tensor_of(normal(64, 64)), None
    if spec.view:
        with Pool(1) as pool:
            encoder = spec.view.prepare(tensor, lambda r: fold(tensor, [r], pool)[0])
    reducer = spec.estimator.reducers(encoder, tensor)[0]
    assert isinstance(reducer.cut, Every | Rows | Whole)
    assert reducer.memory >= 0
    assert pickle.loads(pickle.dumps(reducer)) == reducer


@pytest.mark.parametrize("text", VARIANTS)
def test_a_finished_state_travels_and_measuring_it_again_gives_the_same(text):
    spec = parse_spec(text)
    with Pool(1) as pool:
        states, encoder = gathered(normal(80, 90), spec, pool)
    alphabets = encoder.streams if encoder else ()
    first = spec.estimator.measure(states, alphabets)
    again = spec.estimator.measure(pickle.loads(pickle.dumps(states)), alphabets)
    assert again == first
    assert math.isfinite(first.value)
    assert first.value >= 0


@pytest.mark.parametrize("text", VARIANTS)
def test_any_legal_cuts_add_up_to_the_same_value(text, monkeypatch):
    values = normal(400, 401)  # two leaves and a rest, rows that divide neither
    with Pool(1) as pool:
        expected = measured(values, text, pool)
    for job in (1, 3 * LEAF):
        monkeypatch.setattr(folding, "_JOB", job)
        monkeypatch.setattr(folding, "_PIECE", LEAF)
        for piece in (1, 2):
            with Pool(2, piece=piece) as pool:
                assert measured(values, text, pool) == expected


@pytest.mark.parametrize("text", VARIANTS)
def test_a_smaller_description_is_given_to_a_constant_than_to_noise(text):
    spec = parse_spec(text)
    if spec.estimator.kind == "statistic":
        pytest.skip("a statistic counts no bits")
    assert (
        measured(np.full((96, 96), 0.5, np.float32), text).value
        < measured(normal(96, 96), text).value
    )


# --- values are those of the definitions -----------------------------------------------------

VIEWS = ["bytes", "bytes/planes", "bytes/fields", "bytes/bits", "words", "sign", "f32",
         "f32/planes", "q8", "q4/bits", "q8:clip=99.9", "l4", "rd0.01", "rd0.1/bits"]  # fmt: skip
COUNTING = ["entropy", "entropy:two-part", "block-entropy", "block-entropy:3"]
LEVELS = ["gzip:1", "igzip:3", "zstd:19", "brotli:0", "bz2:1", "xz:0"]


def weights(kind: str) -> np.ndarray:
    rng = np.random.default_rng(5)
    made: dict[str, np.ndarray] = {
        "float32": rng.standard_t(3, 3001).astype(np.float32),
        "float64": rng.standard_normal(900),
        "bfloat16": rng.standard_normal((40, 60)).astype(np.float32).astype(ml_dtypes.bfloat16),
        "float4": rng.standard_normal(777).astype(np.float32).astype(ml_dtypes.float4_e2m1fn),
        "ternary": rng.integers(-1, 2, (30, 50)).astype(np.float32),
        "one": np.array([-0.7], np.float32),
    }
    return made[kind]


def fits(values: np.ndarray, view: str, size: int) -> bool:
    """Whether a block of every stream fits 63 bits, and some stream has one."""
    streams = definitions.view(values, view).streams
    return all(size * definitions.width(s.size) <= 63 for s in streams) and any(
        s.symbols.size >= size for s in streams
    )


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "float4", "ternary", "one"])
@pytest.mark.parametrize("view", VIEWS)
def test_values_equal_the_definitions(kind, view):
    values = weights(kind)
    for name in [*COUNTING, *COMPRESSORS, *LEVELS]:
        text = f"{name}@{view}"
        if name.startswith("block-entropy") and not fits(values, view, int(name[14:] or 2)):
            with pytest.raises(UnmeasurableError, match="block"):
                measured(values, text)
            continue
        found = measured(values, text)
        assert found.value == pytest.approx(definitions.value(values, text), rel=1e-9, abs=1e-6), (
            text
        )


@pytest.mark.parametrize("text", ["nonzero", "l2"])
@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16", "float4", "ternary", "one"])
def test_statistics_equal_the_definitions(text, kind):
    expected = definitions.value(weights(kind), text)
    assert measured(weights(kind), text).value == pytest.approx(expected, rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=40).filter(any),
    st.sampled_from([0, 1, 10, 2**16 - 40, 2**23, 2**32, 2**52, 2**64]),
)
def test_two_part_bits_are_the_logarithm_of_exact_integers(counts, more):
    size = len(counts) + more
    bits = two_part_bits(np.array(counts), size)
    assert bits == pytest.approx(definitions.two_part(counts, size), rel=1e-9, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50).filter(any))
def test_entropy_is_n_times_the_entropy_of_the_frequencies(counts):
    bits = plug_in_bits(np.array(counts))
    assert bits == pytest.approx(definitions.entropy(counts), rel=1e-9, abs=1e-3)


def test_entropy_and_two_part_by_hand():
    values = np.array([-1, -1, 1, 1], np.float32)
    assert measured(values, "entropy@sign").value == 4
    # Two symbols of two: log2 2 for how many, C(2, 2), C(3, 1) counts, 4! / (2! 2!) orders.
    assert measured(values, "entropy:two-part@sign").value == pytest.approx(1 + math.log2(18))
    assert measured(values, "nonzero").value == 1
    assert measured(values, "l2").value == 2
    blocks = measured(values, "block-entropy@sign")
    assert (blocks.value, blocks.n_blocks, blocks.n_codes_seen) == (2, 2, 2)


def test_a_remainder_shorter_than_a_block_is_counted_in_weights():
    assert measured(normal(11), "block-entropy:4@q4").n_ignored == 3
    assert measured(normal(11), "block-entropy:4@q4/bits").n_ignored == 3
    assert measured(normal(11), "block-entropy:4@bytes").n_ignored == 0
    with pytest.raises(UnmeasurableError, match="no block"):
        measured(normal(3), "block-entropy:4@q4")
    with pytest.raises(UnmeasurableError, match="does not fit 63 bits"):
        measured(normal(3), "block-entropy:8@q8")


@pytest.mark.parametrize("text", ["entropy@q8", "entropy:two-part@q12", "entropy@bytes/planes",
                                  "block-entropy@q8"])  # fmt: skip
def test_sorted_distinct_symbols_count_like_a_table(text, monkeypatch):
    values = normal(3 * LEAF + 5)
    expected = measured(values, text)
    monkeypatch.setattr(counting, "LARGEST_TABLE", 1)
    monkeypatch.setattr(folding, "_JOB", LEAF)
    for pending in (1, 1000, LEAF + 1):
        monkeypatch.setattr(counting, "_WAITING", pending)
        assert measured(values, text) == expected


def test_wide_words_are_counted_as_they_are(monkeypatch):
    monkeypatch.setattr(folding, "_JOB", LEAF)
    many = np.rint(normal(3 * LEAF + 5) * 1000)
    assert measured(many, "entropy@words").value == pytest.approx(
        definitions.value(many, "entropy@words"), rel=1e-12
    )
    values = np.random.default_rng(0).integers(0, 2**63, 3000, np.uint64) * 2 + 1
    doubled = np.concatenate([values, values])
    assert measured(doubled, "entropy@words").value == pytest.approx(6000 * math.log2(3000))


@pytest.mark.parametrize("job", [1, 1 << 22])
def test_more_distinct_symbols_than_the_limit_are_refused(job, monkeypatch):
    monkeypatch.setattr(entropy, "_MOST_DISTINCT", 1000)
    monkeypatch.setattr(folding, "_JOB", job)
    fine = np.resize(np.arange(1000, dtype=np.float32), 2 * LEAF)
    assert measured(fine, "entropy@words").details["n_distinct"] == 1000
    fine[-1] = -1
    with pytest.raises(UnmeasurableError, match="more than 1000 distinct symbols"):
        measured(fine, "entropy@words")


# --- compressors -----------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 64), st.integers(0, 300), st.integers(0, 99))
def test_packing_puts_the_top_bit_first(width, n, seed):
    dtype = np.dtype(f"u{next(size for size in (1, 2, 4, 8) if 8 * size >= width)}")
    symbols = np.random.default_rng(seed).integers(0, 2**width - 1, n, dtype, endpoint=True)
    text = "".join(f"{int(s):0{width}b}" for s in symbols)
    expected = bytes(int(text[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(text), 8))
    assert pack(symbols, width).tobytes() == expected
    assert definitions.pack(symbols, width) == expected


def test_packing_many_symbols_leaves_no_gap_between_leaves():
    symbols = np.random.default_rng(0).integers(0, 2**23, 2 * LEAF + 9, np.uint32)
    assert pack(symbols, 23).tobytes() == definitions.pack(symbols, 23)


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("view", ["bytes", "bytes/planes", "bytes/fields", "q3", "sign"])
@pytest.mark.parametrize("kind", [np.float32, ml_dtypes.float4_e2m1fn])
def test_frames_are_compressed_apart_and_cut_at_the_same_weights(name, view, kind):
    values = np.tile(normal(1000), 140).astype(kind)
    text = f"{name}:1:frame={LEAF}@{view}"
    assert measured(values, text).value == definitions.value(values, text)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_a_tensor_longer_than_a_frame_has_two(name):
    values = np.tile(normal(1000), 4200)
    assert values.size > FRAME
    text = f"{name}@sign"
    expected = definitions.value(values, text)
    assert measured(values, text).value == expected
    apart = [measured(part, text).value for part in (values[:FRAME], values[FRAME:])]
    assert expected == sum(apart)


def recorded(
    name: str, method: str, text: str, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> list[bytes]:
    """Everything a compressor puts out while a spec is measured."""
    log: list[bytes] = []

    class Recorder:
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def compress(self, data: Any) -> bytes:
            log.append(self.stream.compress(data))
            return log[-1]

        def flush(self) -> bytes:
            log.append(self.stream.flush())
            return log[-1]

    cls = ESTIMATORS[name]
    original: Callable[..., Any] = getattr(cls, method)

    def compress(self: Any, data: Any) -> bytes:
        log.append(original(self, data))
        return log[-1]

    def stream(self: Any) -> Recorder:
        return Recorder(original(self))

    monkeypatch.setattr(cls, method, {"compress": compress, "stream": stream}[method])
    assert measured(values, text).value == 8 * sum(map(len, log))
    return log


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("view", ["sign", "q5", "bytes"])
def test_a_frame_decodes_to_the_packed_symbols(name, view, monkeypatch):
    values = normal(3 * LEAF // 2)
    log = recorded(name, "compress", f"{name}:1:frame={LEAF}@{view}", values, monkeypatch)
    (stream,) = definitions.view(values, view).streams
    assert [definitions.DECOMPRESS[name](data) for data in log] == definitions.frames(stream, LEAF)


@pytest.mark.parametrize("name", COMPRESSORS)
def test_frame_0_is_one_stream_that_decodes_to_the_whole(name, monkeypatch):
    values = np.tile(normal(1000), 4200)
    text = f"{name}:frame=0@sign"
    expected = definitions.value(values, text)
    log = recorded(name, "stream", text, values, monkeypatch)
    (stream,) = definitions.view(values, "sign").streams
    whole = b"".join(definitions.frames(stream, FRAME))
    assert definitions.DECOMPRESS[name](b"".join(log)) == whole
    assert 8 * sum(map(len, log)) == expected


@pytest.mark.parametrize("text", [*COMPRESSORS, *LEVELS, "gzip:1:frame=0", "bz2:frame=0"])
def test_random_signs_cost_hardly_more_than_one_bit_each(text):
    n = 1 << 20
    signs = np.random.default_rng(1).choice(np.array([-1, 1], np.float32), n)
    bits = measured(signs, f"{text}@sign").value / n
    assert 1 <= bits <= (1.011 if text.startswith("bz2") else 1.002)


@pytest.mark.parametrize(
    "text",
    [
        "gzip:0",
        "gzip:10",
        "igzip:4",
        "zstd:0",
        "zstd:23",
        "brotli:12",
        "bz2:0",
        "xz:10",
        "zstd:frame=1",
        "zstd:frame=-65536",
        "entropy:three-part",
        "block-entropy:1",
        "block-entropy:33",
    ],
)
def test_parameters_out_of_range_are_refused_with_what_was_expected(text):
    with pytest.raises(SpecError, match="expected"):
        parse_spec(text)


def test_a_zstd_level_declares_the_memory_that_the_library_asks_for():
    sizes = [compressors.Zstd(level).working_memory for level in (3, 19, 22)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 256 << 20


# --- statistics and degenerate tensors -------------------------------------------------------


@pytest.mark.parametrize("kind", [*definitions.FIELDS])
def test_nan_is_not_zero_and_zero_of_either_sign_is(kind):
    with np.errstate(all="ignore"):
        values = np.array([0.0, -0.0, 1.0, np.nan], np.float32).astype(kind)
        expected = float(np.count_nonzero(values.astype(np.float64))) / 4
    assert measured(values, "nonzero").value == expected


def test_l2_of_weights_that_are_not_finite_is_refused():
    for values in ([np.nan, 1], [np.inf, -np.inf], [1e200, 1], [1.3e154] * 3):
        with pytest.raises(UnmeasurableError, match="no norm"):
            measured(np.array(values), "l2")


def test_statistics_of_several_tensors_combine_as_their_definitions():
    assert ESTIMATORS["nonzero"]().whole([0.5, 1.0], [4, 12]) == 0.875
    assert ESTIMATORS["l2"]().whole([3.0, 4.0], [1, 1]) == 5.0
    assert ESTIMATORS["zstd"]().whole([3.0, 4.0], [1, 1]) is None


@pytest.mark.parametrize("text", ["zstd@bytes", "gzip:frame=0@bytes", "entropy@bytes",
                                  "entropy:two-part@words", "l2"])  # fmt: skip
def test_an_empty_tensor_costs_nothing(text):
    assert measured(np.empty((0, 4), np.float32), text).value == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [("nonzero", "no share of its weights"), ("block-entropy@bytes", "no block")],
)
def test_an_empty_tensor_has_no_share_and_no_block(text, message):
    with pytest.raises(UnmeasurableError, match=message):
        measured(np.empty((0, 4), np.float32), text)


# --- what specs say of themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "of_estimator", "of_view"),
    [
        ("ctx@rd0.1", None, 0.1),
        ("entropy@rd0.01/bits", None, 0.01),
        ("entropy@q8", None, None),
        ("mosaic:mse=0.2", 0.2, None),
    ],
)
def test_a_spec_says_which_error_it_aims_at(text, of_estimator, of_view):
    spec = parse_spec(text)
    assert spec.estimator.target_mse == of_estimator
    assert (spec.view.target_mse if spec.view else None) == of_view


def test_two_codes_count_parts_of_structure_and_one_depends_on_the_machine():
    parts = {name: cls.structure_part for name, cls in ESTIMATORS.items() if cls.structure_part}
    assert parts == {"ctx": "context", "lowrank": "low rank"}
    assert [name for name, cls in ESTIMATORS.items() if cls.machine_dependent] == ["igzip"]


def test_streams_without_a_name_have_no_bits_of_their_own():
    assert measured(normal(9), "entropy@q4").stream_bits is None
    by_stream = measured(normal(9), "zstd@bytes/planes")
    assert by_stream.stream_bits is not None
    assert list(by_stream.stream_bits) == [f"plane {i}" for i in range(4)]
    assert sum(by_stream.stream_bits.values()) == by_stream.value
