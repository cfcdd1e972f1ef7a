"""Every view yields the symbols that its definition says, on any weights."""

from __future__ import annotations

import math
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms import step_search
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import Every, Failed, Reducer, State, fold
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring.specs import parse_spec
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views import VIEWS, Encoded, Encoder, View, distortion
from tests import definitions
from tests.tensors import array_tensor as tensor_of
from tests.tensors import random_tensor

FLOATS = [code for code, d in DTYPES.items() if d.is_float and d.numpy is not None]
OTHERS = [code for code, d in DTYPES.items() if not d.is_float]
LOSSLESS = ["bytes", "bytes/planes", "bytes/bits", "words"]
QUANTISERS = [
    "sign",
    "sign-byte",
    "q2",
    "q4",
    "q8",
    "q8/bits",
    "q16",
    "l2",
    "l4",
    "l4/bits",
    "l9",
    "l65536",
]
CLIPPED = ["q8:clip=99.9", "q8:clip=99.9/bits", "q1:clip=50", "q4:clip=100"]


def view_of(text: str) -> View:
    view = parse_spec(f"entropy@{text}").view
    assert view is not None
    return view


def prepared(tensor: Tensor, view: View, pool: Pool) -> Encoder:
    """Make the passes of a view, each once, as a caller does."""
    passes: dict[Reducer, State] = {}

    def reduce(reducer: Reducer) -> State:
        if reducer not in passes:
            (passes[reducer],) = fold(tensor, [reducer], pool)
        state = passes[reducer]
        assert not isinstance(state, Failed), state.reason
        return state

    return view.prepare(tensor, reduce)


class Gathering(State):
    """All symbols and the errors of each leaf."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.parts: list[Encoded] = []

    def update(self, chunk: Any, at: Any) -> None:
        found = self.encoder.encode(chunk)
        assert all(stream.dtype.kind == "u" for stream in found.streams)
        self.parts.append(found._replace(streams=tuple(s.copy() for s in found.streams)))

    def __add__(self, other: Gathering) -> Gathering:
        total = Gathering(self.encoder)
        total.parts = self.parts + other.parts
        return total


class Gather:
    """Gather what an encoder yields; any chunk will do."""

    memory = 0

    def __init__(self, encoder: Encoder, cut: Any) -> None:
        self.encoder = encoder
        self.cut = cut

    def start(self) -> Gathering:
        return Gathering(self.encoder)


def encoded(values: np.ndarray, text: str) -> tuple[Encoder, list[np.ndarray], float | None]:
    """Encoder, symbols of each stream, relative squared error."""
    tensor = tensor_of(values)
    with Pool(1) as pool:
        encoder = prepared(tensor, view_of(text), pool)
        (state,) = fold(tensor, [Gather(encoder, Every())], pool)
    assert isinstance(state, Gathering), state
    streams = [np.concatenate(s) for s in zip(*(p.streams for p in state.parts), strict=True)]
    squares = math.fsum(s for part in state.parts for s in part.squares)
    errors = math.fsum(e for part in state.parts for e in part.squared_error)
    has_error = any(part.squares for part in state.parts)
    return encoder, streams, (errors / squares if squares else 0.0) if has_error else None


def check(values: np.ndarray, text: str) -> None:
    """Hold a view against its definition."""
    encoder, streams, relative_mse = encoded(values, text)
    expected = definitions.view(values, text)
    assert [a.size for a in encoder.streams] == [s.size for s in expected.streams]
    assert [a.per_weight for a in encoder.streams] == [s.per_weight for s in expected.streams]
    for alphabet, found, stream in zip(encoder.streams, streams, expected.streams, strict=True):
        assert alphabet.width == definitions.width(stream.size)
        np.testing.assert_array_equal(found.astype(np.uint64), stream.symbols)
    assert encoder.side_bits == expected.side_bits
    if expected.step is not None:
        assert encoder.step == expected.step
    assert (relative_mse is None) == (expected.relative_mse is None)
    if relative_mse is not None:
        # float32 levels place each weight to some 1e-7 of its level: on few weights that shows.
        few = 0.0 if values.size >= 1000 else 1e-7
        assert relative_mse == pytest.approx(expected.relative_mse, rel=1e-6, abs=few + 1e-12)


def narrow(values: np.ndarray, code: str) -> np.ndarray:
    """Cast to a stored type, and keep what stays finite (E8M0: what has a power of two)."""
    dtype = DTYPES[code].numpy
    assert dtype is not None
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(np.float32).astype(dtype) if code != "F64" else values.astype(dtype)
        if code == "F8_E8M0":
            cast = np.exp2(np.rint(np.clip(values, -9, 9))).astype(np.float32).astype(dtype)
        finite = np.isfinite(cast.astype(np.float32 if code != "F64" else np.float64))
    kept: np.ndarray = cast[finite]
    return kept


def made(kind: str, n: int, seed: int) -> np.ndarray:
    """Weights of one kind, in float64."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal(n)
    if kind == "outlier":
        normal[rng.integers(n)] = 1e6
    return {
        "normal": normal,
        "constant": np.full(n, 0.3),
        "negative constant": np.full(n, -7.25),
        "zero": np.zeros(n),
        "negative zero": np.full(n, -0.0),
        "ternary": rng.integers(-1, 2, n).astype(np.float64),
        "quantised": np.rint(normal * 4) / 8,
        "denormal": normal * 1e-40,
        "tiny": normal * 1e-44,
        "wide": normal * 10.0 ** rng.uniform(-30, 30, n),
        "heavy": rng.standard_cauchy(n),
        "outlier": normal,
        "shifted": 1 + normal * 1e-3,
        "huge": np.clip(normal, -1, 1) * 3e38,
        "sparse": normal * (rng.random(n) < 0.1),
    }[kind]


KINDS = ["normal", "constant", "negative constant", "zero", "negative zero", "ternary",
         "quantised", "denormal", "tiny", "wide", "heavy", "outlier", "shifted", "huge",
         "sparse"]  # fmt: skip
SIZES = st.one_of(
    st.integers(1, 9), st.integers(10, 3000), st.sampled_from([LEAF - 1, LEAF, LEAF + 1])
)


def bit_patterns(code: str, n: int, seed: int) -> np.ndarray:
    """Any stored bits at all, NaN of every kind included."""
    dtype = DTYPES[code]
    assert dtype.numpy is not None
    if code == "BOOL":
        return np.random.default_rng(seed).integers(0, 2, n).astype(bool)
    raw = np.random.default_rng(seed).integers(0, 256, n * dtype.word.itemsize, np.uint8)
    return (raw & (15 if dtype.bits == 4 else 255)).view(dtype.numpy)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FLOATS + OTHERS), st.sampled_from(LOSSLESS), SIZES, st.integers(0, 99))
def test_lossless_views_yield_the_stored_bits_of_every_dtype(code, text, n, seed):
    check(bit_patterns(code, n, seed), text)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FLOATS), SIZES, st.integers(0, 99))
def test_fields_are_sign_exponent_and_mantissa_of_every_float(code, n, seed):
    check(bit_patterns(code, n, seed), "bytes/fields")


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(["f32", "f32/planes", "f32/fields", "f32/bits"]),
    SIZES,
    st.integers(0, 99),
)
def test_f32_is_the_bytes_of_the_weights_cast_to_float32(code, text, n, seed):
    values = narrow(made("normal", n, seed), code)
    if values.size:
        check(values, text)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(QUANTISERS + CLIPPED),
    st.sampled_from(KINDS),
    SIZES,
    st.integers(0, 99),
)
def test_quantisers_yield_the_levels_of_their_definitions(code, text, kind, n, seed):
    values = narrow(made(kind, n, seed), code)
    if values.size:
        check(values, text)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(FLOATS),
    st.sampled_from(["rd0.5", "rd0.1", "rd0.01", "rd0.001/bits", "rd0.00001", "rd0.999"]),
    st.sampled_from(KINDS),
    st.one_of(st.integers(1, 9), st.integers(4000, 6000), st.just(LEAF + 1)),
    st.integers(0, 99),
)
def test_rd_finds_the_step_that_plain_bisection_finds(code, text, kind, n, seed):
    values = narrow(made(kind, n, seed), code)
    if not values.astype(np.float64).any():
        return
    check(values, text)
    error = float(text[2:].partition("/")[0])
    _, _, relative_mse = encoded(values, text)
    exact = values.astype(np.float64)
    expected = definitions.view(values, text)
    assert expected.step is not None
    assert relative_mse is not None
    assert relative_mse == pytest.approx(definitions.error_of(exact, expected.step), rel=1e-12)
    assert relative_mse <= error
    if kind == "normal" and code in ("F64", "F32") and n > 1000:
        assert relative_mse >= error * (1 - 1e-4)


@pytest.mark.parametrize("kind", ["normal", "ternary", "quantised", "outlier", "heavy"])
@pytest.mark.parametrize("n", [5000, 2 * LEAF + 3])
def test_rd_decides_the_same_with_bounds_and_with_exact_errors(kind, n, monkeypatch):
    values = made(kind, n, 3).astype(np.float32)

    def steps() -> list[float]:
        return [encoded(values, f"rd{e}")[0].step or 0.0 for e in (0.3, 0.02, 1e-4)]

    bounded = steps()
    # Bounds that say nothing leave every comparison to an exact pass.
    monkeypatch.setattr(step_search.Magnitudes, "error_bounds", lambda *_: (0.0, math.inf))
    assert steps() == bounded
    monkeypatch.undo()
    monkeypatch.setattr(step_search, "_FEW", 1 << 30)
    assert steps() == bounded


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KINDS), st.integers(5000, 9000), st.integers(0, 99), st.floats(-12, 3))
def test_rd_bounds_hold_the_exact_error_between_them(kind, n, seed, exponent):
    values = made(kind, n, seed).astype(np.float32)
    exact = values.astype(np.float64)
    top = float(np.abs(exact).max())
    if not top:
        return
    step = top * 2.0**exponent
    span = min(top, 16 * math.sqrt(float(np.square(exact).mean())))
    with Pool(1) as pool:
        (state,) = fold(tensor_of(values), [distortion._Histogram(span)], pool)
    error = math.fsum(np.square(exact - np.rint(exact / step) * step).tolist())
    assert isinstance(state, distortion._HistogramState)
    fine = state.magnitudes.joined()
    for histogram in (fine, fine.coarser(64)):
        low, high = histogram.error_bounds(step)
        slack = step_search._SLACK * float(np.square(exact).sum())
        assert low - slack <= error <= high + slack


@pytest.mark.parametrize("code", ["I4", "U1", "U2", "U3", "U4", "U5", "U6", "I8", "U8", "I16"])
def test_codes_count_stored_integers_from_the_lowest(code):
    tensor = random_tensor(1001, code)
    width = tensor.dtype.bits
    values = tensor.read().astype(int)
    lowest = -(1 << width - 1) if code.startswith("I") else 0
    with Pool(1) as pool:
        for text in ("codes", "codes/bits"):
            encoder = prepared(tensor, view_of(text), pool)
            (state,) = fold(tensor, [Gather(encoder, Every())], pool)
            assert isinstance(state, Gathering)
            parts = [part.streams for part in state.parts]
            streams = [np.concatenate(stream) for stream in zip(*parts, strict=True)]
            assert [a.size for a in encoder.streams] == (
                [1 << width] if text == "codes" else [2] * width
            )
            if text == "codes":
                assert streams[0].tolist() == (values - lowest).tolist()
            else:
                planes = [values - lowest >> bit & 1 for bit in reversed(range(width))]
                assert np.array_equal(streams, planes)


@pytest.mark.parametrize("code", ["F32", "BOOL", "I32", "U64", "C64"])
def test_what_is_no_code_has_no_codes(code):
    with Pool(1) as pool, pytest.raises(UnmeasurableError, match="code"):
        prepared(random_tensor(10, code), view_of("codes"), pool)


def test_every_registered_view_is_held_against_its_definition():
    texts = [*LOSSLESS, *QUANTISERS, *CLIPPED, "codes", "f32", "rd0.1"]
    assert {type(view_of(text)) for text in texts} == set(VIEWS.values())


def test_rd_reports_the_error_it_reaches_where_the_error_jumps():
    # Ternary weights: a step of 1 is exact, and every coarser one near it costs (1 - step)**2.
    values = np.array([-1, 0, 1, 1], np.float32)
    encoder, (symbols,), relative_mse = encoded(values, "rd0.01")
    assert encoder.step == pytest.approx(1.1, rel=1e-4)
    assert symbols.tolist() == [0, 1, 2, 2]
    assert relative_mse == pytest.approx(0.01, rel=1e-4)


def test_q8_and_the_others_by_hand():
    values = np.array([-2.0, 0.0, 1.0, 2.0], np.float32)
    assert encoded(values, "q3")[1][0].tolist() == [0, 3, 5, 6]  # 1 / (2/3) = 1.5, to even
    assert encoded(values, "l5")[1][0].tolist() == [0, 2, 3, 4]
    assert encoded(values, "sign")[1][0].tolist() == [0, 0, 1, 1]
    planes = [plane.tolist() for plane in encoded(values, "q3/bits")[1]]
    assert planes == [[0, 1, 1, 1], [0, 0, 1, 1], [1, 0, 0, 1]]  # 1, 4, 6, 7


@pytest.mark.parametrize("code", FLOATS)
@pytest.mark.parametrize("text", ["sign", "q8", "l4", "q8:clip=99.9", "rd0.01"])
def test_weights_that_are_not_finite_are_counted_in_the_refusal(code, text):
    numpy = DTYPES[code].numpy
    assert numpy is not None
    values = np.full(LEAF + 5, 1.0, np.float32).astype(numpy)
    with np.errstate(invalid="ignore"):
        has = np.array([np.nan, np.inf], np.float32).astype(numpy).astype(np.float32)
    if not np.isnan(has[0]):
        pytest.skip(f"{code} has no NaN")
    has_inf = np.isinf(has[1])
    values[[3, LEAF + 1]] = numpy.type(np.nan)
    values[7] = numpy.type(np.inf)  # types without infinity make a NaN or their largest of it
    n_nan, n_inf = 2 + bool(np.isnan(has[1])), int(has_inf)
    with pytest.raises(UnmeasurableError, match=f"{n_nan} NaN and {n_inf} infinite weights"):
        encoded(values, text)


def test_signalling_nan_is_counted_without_a_warning():
    values = np.array([0x7FA0, 0x3F80], np.uint16).view(ml_dtypes.bfloat16)
    with pytest.raises(UnmeasurableError, match="1 NaN and 0 infinite"):
        encoded(values, "q8")


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("text", ["sign", "q8", "l4", "rd0.01", "f32"])
def test_quantisers_refuse_what_is_no_weight(code, text):
    values = np.ones(5, DTYPES[code].numpy)
    with pytest.raises(UnmeasurableError, match=f"{code} values are not weights"):
        encoded(values, text)


@pytest.mark.parametrize("text", ["sign", "q8", "l4", "q8:clip=99.9", "rd0.01"])
def test_quantisers_refuse_an_empty_tensor(text):
    with Pool(1) as pool, pytest.raises(UnmeasurableError, match="empty"):
        prepared(tensor_of(np.empty((0, 3), np.float32)), view_of(text), pool)


@pytest.mark.parametrize("text", ["words", "bytes/fields", "bytes/bits", "q8"])
def test_six_bit_floats_are_refused_by_name_where_values_are_needed(text):
    tensor = ArrayTensor("w", (4,), DTYPES["F6_E2M3"], data=np.arange(3, dtype=np.uint8))
    with Pool(1) as pool, pytest.raises(UnmeasurableError, match="F6_E2M3"):
        prepared(tensor, view_of(text), pool)


def test_integers_have_no_fields():
    with Pool(1) as pool, pytest.raises(UnmeasurableError, match="I8 values are not weights"):
        prepared(tensor_of(np.ones(3, np.int8)), view_of("bytes/fields"), pool)


def test_rd_refuses_weights_that_are_all_zero():
    with pytest.raises(UnmeasurableError, match="all weights are zero"):
        encoded(np.zeros(9, np.float32), "rd0.01")


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_rd_refuses_a_sum_of_squares_that_float64_does_not_hold(scale):
    with pytest.raises(UnmeasurableError, match="scale the tensor"):
        encoded(np.full(5, scale), "rd0.01")


@pytest.mark.parametrize("text", ["rd0", "rd1", "rd2", "q1", "q17", "l1", "l65537", "q8:clip=0",
                                  "q8:clip=101", "q8:clip=nan"])  # fmt: skip
def test_parameters_out_of_range_are_refused_with_an_example(text):
    with pytest.raises(SpecError, match="expected"):
        view_of(text)


@pytest.mark.parametrize(
    "text", [*LOSSLESS, "bytes/fields", "f32", *QUANTISERS, *CLIPPED, "rd0.01"]
)
def test_an_encoder_travels_and_compares(text):
    encoder = encoded(made("normal", 50, 0).astype(np.float32), text)[0]
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy == encoder
    assert hash(copy) == hash(encoder)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["F16", "F32", "F64", "BF16", "F4"]), st.integers(1, 5000),
       st.integers(0, 99), st.floats(0, 1))  # fmt: skip
def test_a_quantile_is_that_of_the_sorted_weights(code, n, seed, share):
    from kcomplexity.views.passes import quantiles

    values = narrow(made("heavy", n, seed), code)
    if not values.size:
        return
    tensor = tensor_of(values)
    with Pool(1) as pool:
        (found,) = quantiles(tensor, [share], lambda reducer: fold(tensor, [reducer], pool)[0])
    kind: type[Any] = np.float64 if code == "F64" else np.float32
    assert found == definitions._quantile(values.astype(np.float64), kind, share)
    expected = np.quantile(values.astype(np.float64), share)
    assert found == pytest.approx(
        expected, rel=1e-6, abs=1e-6 * float(np.ptp(values.astype(float)))
    )
