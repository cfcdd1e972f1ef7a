"""One read feeds every reducer, and the figures do not depend on how the work was cut."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.files.sources import FileSource
from kcomplexity.parallel import (
    Cut,
    Every,
    Failed,
    Piece,
    Reducer,
    Rows,
    State,
    Whole,
    fold,
    folding,
    leaf_sums,
    merge_states,
    read_key,
    spool,
)
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import ArrayTensor, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES, from_numpy
from kcomplexity.tensors.pieces import FRAME, LEAF
from tests.tensors import Counting
from tests.tensors import array_tensor as tensor_of


def stored(values: np.ndarray, path: Path) -> StoredTensor:
    """The same in a file, after a few other bytes."""
    dtype = from_numpy(values.dtype)
    assert dtype is not None
    path.write_bytes(b"12345" + dtype.encode(values.reshape(-1)).tobytes())
    return StoredTensor("w", values.shape, dtype, source=FileSource(path), offset=5)


def numbers(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


@dataclass(frozen=True)
class Collect:
    """Keep every chunk with where it was: the tensor can be put together again."""

    cut: Cut = field(default_factory=Every)
    memory: int = 0

    def start(self) -> Collected:
        return Collected(self)


@dataclass
class Collected(State):
    reducer: Collect
    chunks: list[tuple[Any, np.ndarray]] = field(default_factory=list)
    n_finished: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        assert chunk.words.shape == chunk.shape
        self.chunks.append((at, chunk.weights.copy()))

    def finish(self) -> None:
        self.n_finished += 1

    def __add__(self, other: Collected) -> Collected:
        chunks, n_finished = self.chunks + other.chunks, self.n_finished + other.n_finished
        return Collected(self.reducer, chunks, n_finished)


@dataclass(frozen=True)
class SumsAndWords:
    """A float a leaf and an exact sum of words: what states are made of."""

    cut: Cut = field(default_factory=Every)
    memory: int = 0

    def start(self) -> SumsState:
        return SumsState()


@dataclass
class SumsState(State):
    sums: list[float] = field(default_factory=list)
    total: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        self.sums += leaf_sums(np.square(chunk.weights.astype(np.float64)))
        self.total += int(chunk.words.sum(dtype=np.uint64))

    def __add__(self, other: SumsState) -> SumsState:
        return SumsState(self.sums + other.sums, self.total + other.total)


def one(tensor: Tensor, reducer: Reducer, pool: Pool) -> State:
    (state,) = fold(tensor, [reducer], pool)
    return state


def collected(tensor: Tensor, cut: Cut, pool: Pool) -> Collected:
    state = one(tensor, Collect(cut), pool)
    assert isinstance(state, Collected), state
    return state


# --- the same figures, however they are cut --------------------------------------------------

SIZES = [0, 1, LEAF - 1, LEAF, LEAF + 1, 5 * LEAF + 17]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("piece", [1, 2, 5])
def test_threads_and_pieces_change_no_figure(n, threads, piece, monkeypatch):
    values = np.random.default_rng(0).standard_normal(n).astype(np.float32)
    expected = SumsState()
    if n:
        expected.update(Piece(DTYPES["F32"], values.view(np.uint8), values.shape), 0)
    for job in (1, 2 * LEAF, 1 << 22):
        monkeypatch.setattr(folding, "_JOB", job)
        with Pool(threads, piece=piece) as pool:
            assert one(tensor_of(values), SumsAndWords(), pool) == expected
            assert one(tensor_of(values), SumsAndWords(Whole()), pool) == expected


def test_processes_and_any_other_executor_change_no_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(folding, "_JOB", LEAF)
    values = np.random.default_rng(0).standard_normal((7, 2 * LEAF)).astype(np.float32)
    reducers: list[Reducer] = [SumsAndWords(), SumsAndWords(Every(2 * LEAF)), SumsAndWords(Whole())]
    with Pool(1) as pool:
        expected = fold(tensor_of(values), reducers, pool)
    assert expected[0] == expected[1] == expected[2]
    with Pool(2, kind="process") as pool:
        for tensor in (tensor_of(values), stored(values, tmp_path / "w")):
            assert fold(spool(tensor, pool), reducers, pool) == expected
        bands = collected(stored(values, tmp_path / "v"), Rows(4, LEAF), pool)
        assert len(bands.chunks) == 4
    inline = Inline()
    with Pool(1, executor=inline) as pool:
        assert fold(tensor_of(values), reducers, pool) == expected
    assert inline.submit(int).result() == 0  # the pool has not shut down what it was lent


class Inline(Executor):
    """Run each job where it is submitted."""

    def __init__(self) -> None:
        self.closed = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert not self.closed
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except ValueError as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.closed = True


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4 * LEAF), st.lists(st.integers(1, 3), max_size=5), st.integers(0, 9))
def test_a_leaf_sum_depends_on_nothing_but_the_leaf(n, steps, seed):
    for dtype in (np.float32, np.float64):
        values = np.random.default_rng(seed).standard_normal(n).astype(dtype)
        parts: list[float] = []
        at = 0
        for step in [*steps, 99]:
            parts += leaf_sums(values[at : at + step * LEAF])
            at += step * LEAF
        assert leaf_sums(values) == parts
        assert len(parts) == -(-n // LEAF)


def test_every_chunk_is_a_whole_number_of_cuts_and_in_order():
    values = numbers(5 * LEAF + 3)
    for cut in (Every(), Every(2 * LEAF), Every(3 * LEAF), Whole()):
        for piece in (1, 2):
            with Pool(2, piece=piece) as pool:
                state = collected(tensor_of(values), cut, pool)
            starts = [at for at, _ in state.chunks]
            assert starts == sorted(starts)
            np.testing.assert_array_equal(np.concatenate([c for _, c in state.chunks]), values)
            if isinstance(cut, Every):
                assert all(at % cut.n == 0 for at in starts)


def test_an_ordered_stream_is_one_state_that_is_never_added():
    @dataclass
    class Alone(Collected):
        def __add__(self, other: Collected) -> Collected:
            raise AssertionError

    @dataclass(frozen=True)
    class Stream(Collect):
        cut: Cut = field(default_factory=Whole)

        def start(self) -> Collected:
            return Alone(self)

    with Pool(2) as pool:
        state = one(tensor_of(np.zeros(FRAME + 5, np.uint8)), Stream(), pool)
    assert isinstance(state, Alone)
    assert [at for at, _ in state.chunks] == [0, FRAME]
    assert state.n_finished == 1


@pytest.mark.parametrize("cut", [Every(), Whole(), Rows(4)])
@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (5, 0, 3)])
def test_a_tensor_without_weights_leaves_the_state_empty(cut, shape):
    with Pool(1) as pool:
        state = collected(tensor_of(np.empty(shape, np.float32)), cut, pool)
    assert state.chunks == []


# --- one read feeds all ----------------------------------------------------------------------


def test_reducers_with_different_cuts_share_one_read():
    values = numbers(9 * LEAF + 1)
    reads = np.zeros(values.size, int)
    counting = Counting("w", values.shape, DTYPES["F32"], data=values.view(np.uint8), reads=reads)
    reducers = [
        Collect(),
        Collect(Every(2 * LEAF)),
        Collect(Every(4 * LEAF)),
        Collect(Every(FRAME)),
    ]
    with Pool(1) as pool:
        fold(counting, reducers, pool)
        assert (reads == 1).all()
        # A stream and a 2-D cut read for themselves.
        fold(counting, [*reducers, Collect(Whole()), Collect(Rows(4)), Collect(Rows(4))], pool)
    assert (reads == 4).all()


def test_cuts_that_would_need_a_huge_piece_together_are_read_apart():
    values = np.zeros(30 * LEAF, np.uint8)
    reducers = [Collect(Every(n * LEAF)) for n in (1, 2, 7, 11, 13, 7)]
    with Pool(1) as pool:
        states = fold(tensor_of(values), reducers, pool)
    for reducer, state in zip(reducers, states, strict=True):
        assert isinstance(state, Collected)
        assert isinstance(reducer.cut, Every)
        longest = max(chunk.size for _, chunk in state.chunks)
        assert longest <= max(reducer.cut.n, FRAME)
        assert sum(chunk.size for _, chunk in state.chunks) == values.size
    assert read_key(Every(2 * LEAF)) == read_key(Every(FRAME))
    assert read_key(Every(7 * LEAF)) != read_key(Every(11 * LEAF))


# --- rectangles ------------------------------------------------------------------------------


def put_together(state: Collected, shape: tuple[int, int], cut: Rows) -> np.ndarray:
    """Rebuild the matrix from its chunks; every element must be there once."""
    matrix = np.full(shape, np.nan)
    for (row, column), chunk in state.chunks:
        assert row % cut.height == 0
        bottom = min([r for (r, c), _ in state.chunks if r > row], default=shape[0])
        assert column % cut.width == 0
        above = min(cut.halo, row)
        height, width = chunk.shape
        assert height == bottom - row + above
        assert width == min(cut.width, shape[1] - column)
        target = matrix[row:bottom, column : column + cut.width]
        assert np.isnan(target).all()
        target[...] = chunk[above:]
        halo = matrix[row - above : row, column : column + cut.width]
        np.testing.assert_array_equal(chunk[:above], halo)
    return matrix


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 60),
    st.sampled_from([1, 4, 12]),
    st.sampled_from([4, 16, 1 << 18]),
    st.integers(0, 5),
    st.sampled_from(["float32", "float16", "float4", "bfloat16", "float64"]),
    st.sampled_from([1, 100, 1 << 22]),
    st.sampled_from([1, 200, 1 << 18]),
)
def test_rectangles_put_together_are_the_matrix(
    rows, columns, height, width, halo, kind, job, piece
):
    dtype = getattr(ml_dtypes, "float4_e2m1fn" if kind == "float4" else kind, None) or kind
    rng = np.random.default_rng(0)
    values = rng.integers(-4, 5, (rows, columns)).astype(np.float32).astype(dtype)
    cut = Rows(height, width, halo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "_JOB", job)
        patch.setattr(folding, "_PIECE", piece)
        with Pool(2) as pool:
            state = collected(tensor_of(values), cut, pool)
    matrix = put_together(state, (rows, columns), cut)
    np.testing.assert_array_equal(matrix, values.astype(np.float64))


def test_a_fused_stack_is_cut_as_its_matrix_and_a_vector_as_one_row(tmp_path):
    cut = Rows(4, 8)
    with Pool(1) as pool:
        stack = collected(stored(numbers(6, 3, 5), tmp_path / "w"), cut, pool)
        vector = collected(tensor_of(numbers(21)), cut, pool)
        scalar = collected(tensor_of(np.full((), 3, np.float32)), cut, pool)
    np.testing.assert_array_equal(put_together(stack, (6, 15), cut), numbers(6, 15))
    np.testing.assert_array_equal(put_together(vector, (1, 21), cut), numbers(1, 21))
    assert [(at, c.tolist()) for at, c in scalar.chunks] == [((0, 0), [[3.0]])]


def test_a_matrix_wider_than_a_rectangle_has_several_column_chunks():
    values = np.arange(5 * (2 * 2**18 + 9), dtype=np.uint32).reshape(5, -1)
    cut = Rows(4)
    with Pool(1) as pool:
        state = collected(tensor_of(values), cut, pool)
    assert [at for at, _ in state.chunks] == [(r, c) for r in (0, 4) for c in (0, 1 << 18, 1 << 19)]
    np.testing.assert_array_equal(put_together(state, values.shape, cut), values)


# --- failures --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Breaks:
    """Raises at some stage."""

    stage: str
    cut: Cut = field(default_factory=Every)
    memory: int = 0

    def start(self) -> Breaking:
        if self.stage == "start":
            raise ValueError("broke at start")
        return Breaking(self.stage)


@dataclass
class Breaking(State):
    stage: str

    def update(self, chunk: Any, at: Any) -> None:
        if self.stage == "update" and at:
            raise ValueError(f"broke at {at}")

    def finish(self) -> None:
        if self.stage == "finish":
            raise KeyError("broke at finish")

    def __add__(self, other: Breaking) -> Breaking:
        if self.stage == "add":
            raise TypeError("broke at add")
        return self


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        ("start", "ValueError: broke at start"),
        ("update", f"ValueError: broke at {LEAF}"),
        ("finish", "KeyError: 'broke at finish'"),
        ("add", "TypeError: broke at add"),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_reducer_that_raises_harms_no_other(stage, reason, threads, monkeypatch):
    monkeypatch.setattr(folding, "_JOB", LEAF)
    monkeypatch.setattr(folding, "_PIECE", LEAF)
    values = numbers(4 * LEAF)
    with Pool(threads) as pool:
        first, broken, last = fold(tensor_of(values), [Collect(), Breaks(stage), Collect()], pool)
    assert broken == Failed(reason)  # of the first weights that failed, on any number of threads
    for state in (first, last):
        assert isinstance(state, Collected)
        np.testing.assert_array_equal(np.concatenate([c for _, c in state.chunks]), values)


def test_a_failure_keeps_its_reason_whatever_is_added():
    failed = Failed("ValueError: no")
    failed.update(None, 0)
    assert merge_states(failed, SumsState()) == failed
    assert merge_states(SumsState(), failed) == failed
    assert merge_states(failed, Failed("later")) == failed
    assert failed + SumsState() == failed
    assert pickle.loads(pickle.dumps(failed)) == failed


def test_a_file_that_was_cut_fails_the_whole_read(tmp_path):
    tensor = stored(numbers(4 * LEAF), tmp_path / "w")
    with (tmp_path / "w").open("r+b") as file:
        file.truncate(100)
    with Pool(2) as pool, pytest.raises(ValueError, match="the file ends at byte 100"):
        fold(tensor, [Collect()], pool)


# --- progress and memory ---------------------------------------------------------------------


@pytest.mark.parametrize("work", [0, 1, 3])
@pytest.mark.parametrize(
    "cuts", [[Every()], [Every(), Whole(), Rows(4)], [Rows(4), Rows(12, 20), Whole(), Whole()]]
)
def test_progress_adds_up_to_the_work(work, cuts, monkeypatch):
    monkeypatch.setattr(folding, "_JOB", LEAF)
    told: list[int] = []
    tensor = tensor_of(np.zeros((37, 9001), np.float16))
    with Pool(2, progress=told.append) as pool:
        fold(tensor, [Collect(cut) for cut in cuts], pool, work=work)
    assert sum(told) == work * tensor.n_bytes
    assert all(step >= 0 for step in told)


def jobs_of(tensor: Tensor, reducers: Sequence[Reducer]) -> list[Any]:
    """The jobs of a fold, caught on their way."""
    caught: list[Any] = []

    class Catching(Pool):
        def run(self, jobs: Any) -> Iterator[Any]:
            for job in jobs:
                caught.append(job)
                yield job()

    with Catching(1) as pool:
        fold(tensor, reducers, pool)
    return caught


def test_jobs_declare_their_chunk_and_the_largest_of_their_reducers():
    tensor = tensor_of(np.zeros((8, 1000), np.float64))
    (run,) = jobs_of(tensor, [Collect(memory=100), Collect(memory=7)])
    assert run.memory == 8 * 8000 + 100
    (band,) = jobs_of(tensor, [Collect(Rows(4, 500, 2), memory=11)])
    assert band.memory == 8 * (8 + 2) * 500 + 11
    assert pickle.loads(pickle.dumps(band)).memory == band.memory


# --- spooling --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Streamed(ArrayTensor):
    """A tensor that is only read cheaply from its start."""

    addressable = False


@pytest.mark.parametrize("code", ["F32", "BF16", "F4"])
def test_what_is_not_addressable_is_spooled_once_to_a_file(code, tmp_path):
    numpy = DTYPES[code].numpy
    values = np.random.default_rng(0).integers(0, 3, (FRAME // 8 + 3, 9)).astype(numpy)
    plain = tensor_of(values)
    tensor = Streamed("w", plain.shape, plain.dtype, layout="in-out", data=plain.data)
    with Pool(2, tmpdir=tmp_path) as pool:
        spooled = spool(tensor, pool)
        assert isinstance(spooled, StoredTensor)
        assert (spooled.name, spooled.shape, spooled.layout) == ("w", values.shape, "in-out")
        assert spool(spooled, pool) is spooled
        np.testing.assert_array_equal(spooled.to_numpy(), values)
        assert spooled.source.path.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        spooled.read()


def test_memory_is_shared_by_threads_and_spooled_for_processes_when_large(tmp_path, monkeypatch):
    tensor = tensor_of(numbers(1000))
    with Pool(1) as pool:
        assert spool(tensor, pool) is tensor
    with lent(tmp_path) as pool:
        assert spool(tensor, pool) is tensor  # its pickle carries the values
        monkeypatch.setattr("kcomplexity.parallel.spooling._PICKLED", 3999)
        spooled = spool(tensor, pool)
        assert isinstance(spooled, StoredTensor)
        np.testing.assert_array_equal(spooled.read(), tensor.read())


@contextmanager
def lent(tmpdir: Path) -> Iterator[Pool]:
    """A pool over an executor of one's own; no process is started as long as nothing is run."""
    with ProcessPoolExecutor(1) as executor, Pool(executor=executor, tmpdir=tmpdir) as pool:
        yield pool
