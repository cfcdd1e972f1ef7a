"""Many specs in one go: what shares a read, and what a step that fails costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import ml_dtypes
import numpy as np
import pytest

from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators import Estimator, Measure
from kcomplexity.parallel import Cut, Every, Failed, Piece, State, folding
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring.measure import finish, gather, prepare_views
from kcomplexity.scoring.panels import PANELS
from kcomplexity.scoring.specs import parse_spec, parse_specs
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype, opaque
from kcomplexity.tensors.pieces import FRAME, LEAF
from kcomplexity.views import Encoder, View
from tests.tensors import Counting, array_tensor


class Watched(Pool):
    """A pool that remembers the most memory that a job declared."""

    most = 0

    def run(self, jobs: Any) -> Iterator[Any]:
        def watched() -> Iterator[Any]:
            for job in jobs:
                self.most = max(self.most, job.memory)
                yield job

        return super().run(watched())


def measured(tensor: Tensor, texts: Sequence[str], pool: Pool) -> dict[str, Measure | Failed]:
    specs = parse_specs(texts)
    encoders = prepare_views(tensor, specs, pool)
    gathered = gather(tensor, specs, encoders, pool)
    return {str(spec): finish(spec, encoders[spec.view], gathered[spec]) for spec in specs}


def failure(result: Measure | Failed) -> Failed | None:
    return result if isinstance(result, Failed) else None


# --- one read ------------------------------------------------------------------------------------


def test_cuts_of_odd_lengths_together_are_each_alone_and_within_memory():
    texts = [f"block-entropy:{n}@sign" for n in (7, 11, 13)] + ["zstd@sign", "bdm1d@sign"]
    values = np.random.default_rng(0).normal(size=FRAME + 123_457)
    tensor = array_tensor(values.astype(ml_dtypes.bfloat16))
    with Watched(2) as pool:
        together = measured(tensor, texts, pool)
        assert not any(map(failure, together.values()))
        assert together == {text: measured(tensor, [text], pool)[text] for text in texts}
        # 7 * 11 * 13 leaves, in whole frames, would be 4.2 billion weights.
        assert pool.most < 1 << 28


def test_specs_of_one_view_share_reads_where_their_cuts_divide_a_frame():
    n = 300_000
    reads = np.zeros(n, int)
    tensor = Counting("w", (n,), DTYPES["U8"], data=np.zeros(n, np.uint8), reads=reads)
    with Pool(1) as pool:
        measured(tensor, ["entropy@bytes", "block-entropy:4@bytes", "zstd@bytes"], pool)
        assert (reads == 1).all()
        measured(tensor, ["block-entropy:3@bytes", "block-entropy:6@bytes"], pool)
    assert (reads == 2).all()


# --- what cannot be measured ---------------------------------------------------------------------

STORED = [
    *DTYPES.values(),
    opaque(np.dtype("V1"), "the file does not say what its values are"),
    opaque(np.dtype("V3"), "nothing is three bytes wide"),
    opaque(np.dtype("c16"), "complex128 has no stored dtype"),
]
SPECS = dict.fromkeys(
    [
        *(text for panel in PANELS.values() for text in panel.specs),
        *("zstd@bytes", "entropy@words", "entropy@bytes/bits", "entropy@f32", "nonzero", "l2"),
    ]
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", STORED, ids=lambda dtype: dtype.code)
@pytest.mark.parametrize("top", [256, 1], ids=["random", "zero"])
def test_no_stored_dtype_makes_a_spec_fail(dtype: StoredDtype, top: int):
    """What a dtype has no figure for is skipped, with a reason: nothing went wrong."""
    top = min(top, 2) if dtype.code == "BOOL" else top
    raw = np.random.default_rng(0).integers(0, top, dtype.n_bytes(512))
    tensor = ArrayTensor("w", (16, 32), dtype, data=raw.astype(np.uint8))
    with Pool(1) as pool:
        results = measured(tensor, list(SPECS), pool)
    failures = {text: failed for text, result in results.items() if (failed := failure(result))}
    assert {text: one.reason for text, one in failures.items() if not one.unmeasurable} == {}
    assert all(one.reason for one in failures.values())
    assert not {"zstd@bytes", "zstd@bytes/planes"} & failures.keys()


@pytest.mark.parametrize("dtype", [DTYPES["F6_E2M3"], STORED[-2]], ids=lambda dtype: dtype.code)
def test_words_as_wide_as_no_integer_are_refused_before_anything_is_read(dtype: StoredDtype):
    reads = np.zeros(16, int)
    data = np.zeros(dtype.n_bytes(16), np.uint8)
    tensor = Counting("w", (16,), dtype, data=data, reads=reads)
    with Pool(1) as pool:
        (result,) = measured(tensor, ["entropy@words"], pool).values()
    assert result == Failed(f"{dtype.code}: {dtype.refusal}", unmeasurable=True)
    assert not reads.any()


def test_complex_weights_count_with_both_parts():
    tensor = array_tensor(np.array([3 + 4j, 12j, 0, 0], np.complex64))
    with Pool(1) as pool:
        results = measured(tensor, ["l2", "nonzero"], pool)
    values = {text: one.value for text, one in results.items() if isinstance(one, Measure)}
    assert values == {"l2": 13, "nonzero": 0.5}


STEPS = ("reducer", "start", "update", "add", "finish", "measure")


@dataclass(frozen=True)
class Breaking(Estimator):
    """Raises at one step."""

    step: str = "update"
    error: type[Exception] = ValueError

    summary = "breaks"
    kind = "estimate"
    positional = False
    default_view = "bytes"
    reference = "none"
    cut: ClassVar[Cut] = Every()
    memory: ClassVar[int] = 0

    def at(self, step: str) -> None:
        if step == self.step:
            raise self.error("oh no")

    def reducer(self, alphabet: Any, shape: Any) -> Any:
        self.at("reducer")
        return self

    def start(self) -> State:
        self.at("start")
        return BreakingState(self)

    def measure(self, states: Any, alphabets: Any) -> Measure:
        self.at("measure")
        return Measure(1.0)


@dataclass
class BreakingState(State):
    reducer: Breaking

    def update(self, chunk: Any, at: Any) -> None:
        self.reducer.at("update")

    def __add__(self, other: Any) -> Any:
        self.reducer.at("add")
        return self

    def finish(self) -> None:
        self.reducer.at("finish")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError, Failed("ValueError: oh no")),
        (UnmeasurableError, Failed("oh no", unmeasurable=True)),
    ],
)
def test_a_step_that_raises_costs_its_own_row(step, error, expected, monkeypatch):
    monkeypatch.setattr(folding, "_JOB", LEAF)  # several jobs, so that states are added
    tensor = array_tensor(np.zeros(6 * LEAF, np.uint8))
    beside = parse_spec("entropy@bytes")
    breaking = replace(beside, estimator=Breaking(step, error))
    with Pool(1) as pool:
        encoders = prepare_views(tensor, [breaking, beside], pool)
        gathered = gather(tensor, [breaking, beside], encoders, pool)
    encoder = encoders[beside.view]
    assert finish(breaking, encoder, gathered[breaking]) == expected
    assert isinstance(finish(beside, encoder, gathered[beside]), Measure)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError, Failed("RuntimeError: ValueError: oh no")),
        (UnmeasurableError, Failed("oh no", unmeasurable=True)),
    ],
)
def test_a_pass_of_a_view_that_raises_costs_the_rows_of_the_view(error, expected):
    @dataclass(frozen=True)
    class Passing(View):
        def prepare(self, tensor: Tensor, reduce: Any) -> Encoder:
            return reduce(Breaking("update", error))

    tensor = array_tensor(np.zeros(4, np.uint8))
    spec = replace(parse_spec("entropy@bytes"), view=Passing())
    with Pool(1) as pool:
        encoders = prepare_views(tensor, [spec], pool)
        gathered = gather(tensor, [spec], encoders, pool)[spec]
    assert gathered == encoders[spec.view] == expected


@pytest.mark.parametrize("width", [2, 3, 8, 16])
def test_byte_planes_of_any_width_are_the_columns_of_the_bytes(width: int):
    data = np.random.default_rng(width).integers(0, 256, (50, width), np.uint8)
    dtype = opaque(np.dtype(f"V{width}"), "any bytes")
    tensor = ArrayTensor("w", (50,), dtype, data=data.reshape(-1))
    spec = parse_spec("zstd@bytes/planes")
    with Pool(1) as pool:
        encoder = prepare_views(tensor, [spec], pool)[spec.view]
    assert isinstance(encoder, Encoder)
    piece = Piece(dtype, data.reshape(-1), (50,))
    for plane, column in zip(encoder.encode(piece).streams, data.T, strict=True):
        np.testing.assert_array_equal(plane, column)
