"""The parallel contract: cuts, leaves, pieces and :func:`fold`.

Everything that reads a tensor is a :class:`Reducer`. It says where the tensor may be cut, makes an
empty state, and the state takes chunks in order inside a cut and adds up across cuts. ``fold``
reads the tensor once and feeds every reducer, in any executor.

The figures are *identical* for any number of workers and any piece size, because states hold only
integers, or one float per leaf that :func:`math.fsum` adds exactly in any order:

* a **leaf** is 2**16 weights counted from the tensor's start;
* a **frame** (compressors) is 2**22 weights; it is cut at the same weights in every stream;
* 2-D cuts are bands of rows by at most 2**18 columns.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcomplexity.checkpoint import FileSource, StoredTensor, Tensor
from kcomplexity.dtypes import StoredDtype
from kcomplexity.pool import Pool

__all__ = [
    "FRAME",
    "LEAF",
    "Cut",
    "Every",
    "Failed",
    "Piece",
    "Reducer",
    "Rows",
    "State",
    "Whole",
    "fold",
    "guarded",
    "largest_chunk",
    "leaf_sums",
    "merge",
    "sharing",
    "spool",
]

LEAF = 1 << 16
FRAME = 1 << 22
#: Weights handled at once when nothing asks for more: 1 MiB of float32 stays in the L2 cache.
_PIECE = 1 << 18
#: Weights per job, so that handing it out costs nothing beside doing it.
_JOB = 1 << 22
#: Tensors in memory up to this size travel to another process inside the pickle.
_PICKLED = 64 << 20


@dataclass(frozen=True)
class Every:
    """The tensor may be cut at every multiple of `n` weights; `n` is a multiple of LEAF."""

    n: int = LEAF


@dataclass(frozen=True)
class Rows:
    """The matrix form is cut into rectangles of `height` rows by at most `width` columns.

    With a `halo` each chunk is preceded by that many rows from above, where there are any.
    Both sides are multiples of the block that the reducer works on. A chunk of a narrow matrix is
    several rectangles high.
    """

    height: int
    width: int = 1 << 18
    halo: int = 0


@dataclass(frozen=True)
class Whole:
    """One ordered stream over the whole tensor; its states are never added."""


Cut = Every | Rows | Whole


class Piece:
    """A run or a rectangle of one tensor, decoded when asked for.

    Attributes
    ----------
    dtype : StoredDtype
    shape : tuple of int
        ``(n,)``, or ``(height, width)`` for a 2-D cut.
    raw : ndarray of uint8
        Stored bytes, row-major. Read only.
    """

    __slots__ = ("_weights", "dtype", "raw", "shape")

    def __init__(self, dtype: StoredDtype, raw: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.raw = raw
        self.shape = shape
        self._weights: NDArray[Any] | None = None

    @property
    def n_weights(self) -> int:
        """Number of weights in the piece."""
        return math.prod(self.shape)

    @property
    def weights(self) -> NDArray[Any]:
        """The weights in their own dtype, in the piece's shape."""
        if self._weights is None:
            self._weights = self.dtype.decode(self.raw, self.n_weights).reshape(self.shape)
        return self._weights

    @property
    def words(self) -> NDArray[Any]:
        """The stored values as unsigned integers, in the piece's shape."""
        return self.dtype.words(self.raw, self.n_weights).reshape(self.shape)


class State(ABC):
    """What a reducer has gathered; picklable once finished."""

    @abstractmethod
    def update(self, chunk: Any, at: Any) -> None:
        """Take the next chunk, which starts at weight `at`, or at (row, column) for Rows."""

    @abstractmethod
    def __add__(self, other: Any) -> Any:
        """Return what one state would hold had it seen both parts."""

    def finish(self) -> None:  # noqa: B027 - most states have nothing to finish
        """Close a stream in the worker that wrote it: called once, after the last update."""


class Reducer(Protocol):
    """A recipe for one pass over a tensor; frozen and picklable.

    A chunk is a :class:`Piece` for reducers given to :func:`fold`. It is a whole number of cuts
    long, except at the tensor's end, and its memory is used again afterwards: a state that keeps
    any of it keeps a copy.
    """

    @property
    def cut(self) -> Cut:
        """Where the tensor may be cut."""

    @property
    def memory(self) -> int:
        """Bytes that one chunk of one cut takes at the peak, beside the chunk itself."""

    def start(self) -> State:
        """Return an empty state."""


@dataclass(frozen=True)
class Failed(State):
    """The state of a reducer that raised: the others of the same read go on.

    Attributes
    ----------
    reason : str
        Type and message of what was raised.
    """

    reason: str

    def update(self, chunk: Any, at: Any) -> None:
        """Ignore what follows."""

    def __add__(self, other: State) -> Failed:
        return self


def guarded(state: State, step: Callable[[], None]) -> State:
    """Take one step with a state, and return :class:`Failed` in its place if that raises.

    Estimators come from anywhere; one that fails costs its own rows, with the reason in them.
    """
    try:
        step()
    except Exception as error:  # noqa: BLE001 - becomes the reason of its rows
        return _failed(error)
    return state


def _failed(error: Exception) -> Failed:
    return Failed(f"{type(error).__name__}: {error}")


def _begin(reducer: Reducer) -> State:
    try:
        return reducer.start()
    except Exception as error:  # noqa: BLE001 - becomes the reason of its rows
        return _failed(error)


def merge(left: State, right: State) -> State:
    """Add two states; the first that :class:`Failed` wins, in any grouping."""
    if isinstance(left, Failed) or isinstance(right, Failed):
        return left if isinstance(left, Failed) else right
    try:
        merged: State = left + right
    except Exception as error:  # noqa: BLE001 - becomes the reason of its rows
        return _failed(error)
    return merged


def sharing(cut: Cut) -> object:
    """Return a key that is equal for cuts which can share one read.

    Cuts that divide a frame are served by pieces of a frame. Any other keeps to itself: the least
    common multiple of, say, blocks of 7, 11 and 13 frames would be a piece of a thousand frames.
    """
    return Every if isinstance(cut, Every) and FRAME % cut.n == 0 else cut


def largest_chunk(cut: Cut) -> int:
    """Return how many weights a chunk of such cuts has at most, handled one at a time."""
    if isinstance(cut, Rows):
        return max(cut.height * cut.width, _PIECE) + cut.halo * cut.width
    return max(cut.n, _PIECE) if isinstance(cut, Every) else FRAME


def fold(tensor: Tensor, reducers: Sequence[Reducer], pool: Pool, *, work: int = 1) -> list[State]:
    """Run all `reducers` over `tensor` and return their final states, in the same order.

    Reducers that cut along weights share one read; each distinct 2-D cut and each ordered stream
    reads for itself.

    Parameters
    ----------
    tensor : Tensor
        Addressable; see :func:`spool`.
    reducers : sequence of Reducer
    pool : Pool
        Where the cuts are computed.
    work : int
        How many times the tensor's bytes count on the progress bar.

    Returns
    -------
    list of State
        :class:`Failed` in place of a state whose reducer raised.
    """
    states: list[State | None] = [None] * len(reducers)
    groups = _groups(reducers)
    total = tensor.n_bytes * work
    for order, members in enumerate(groups):
        chosen = tuple(reducers[i] for i in members)
        share = _part(total, order, order + 1, len(groups))
        for found in pool.run(_jobs(tensor, chosen, pool.piece, share)):
            for i, state in zip(members, found, strict=True):
                before = states[i]
                states[i] = state if before is None else merge(before, state)
    # A tensor without weights has no jobs.
    return [
        _begin(reducer) if state is None else state
        for reducer, state in zip(reducers, states, strict=True)
    ]


def _part(total: int, start: int, stop: int, of: int) -> int:
    """Return the share of `total` from `start` to `stop`, so that all shares add up to it."""
    return total * stop // of - total * start // of


def spool(tensor: Tensor, pool: Pool) -> Tensor:
    """Return `tensor` itself if any worker can read any range of it cheaply, else a copy on disk.

    The copy is the raw bytes in a temporary file that goes with the pool.
    """
    portable = pool.shares_memory or isinstance(tensor, StoredTensor)
    if tensor.addressable and (portable or tensor.n_bytes <= _PICKLED):
        return tensor
    path = pool.temporary_file()
    source = FileSource(path)
    pool.at_exit(source.close)
    with path.open("wb") as file:
        for start in range(0, tensor.n_weights, FRAME):
            file.write(tensor.raw(start, min(start + FRAME, tensor.n_weights)).data)
    return StoredTensor(
        tensor.name,
        tensor.shape,
        tensor.dtype,
        layout=tensor.layout,
        source=source,
        offset=0,
    )


def leaf_sums(values: NDArray[Any]) -> list[float]:
    """Sum a chunk leaf by leaf in float64: one float per leaf, for :func:`math.fsum` to add.

    NumPy's pairwise sum of one leaf depends on nothing but the leaf.
    """
    flat = values.reshape(-1)
    whole = flat.size - flat.size % LEAF
    sums: list[float] = flat[:whole].reshape(-1, LEAF).sum(axis=1, dtype=np.float64).tolist()
    return [*sums, float(flat[whole:].sum(dtype=np.float64))] if whole < flat.size else sums


#: Weights are any bits: what is not finite is looked for and counted, not warned of.
_QUIET = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class _Run:
    """Feed some reducers the weights `start` to `stop`, `step` at a time."""

    tensor: Tensor
    reducers: tuple[Reducer, ...]
    start: int
    stop: int
    step: int
    share: int

    @property
    def memory(self) -> int:
        n = min(self.step, self.stop - self.start)
        # One reducer works at a time, on the same piece.
        return self.tensor.dtype.n_bytes(n) + max(reducer.memory for reducer in self.reducers)

    @property
    def work(self) -> int:
        return _part(self.share, self.start, self.stop, self.tensor.n_weights)

    @_QUIET
    def __call__(self) -> list[State]:
        states = [_begin(reducer) for reducer in self.reducers]
        dtype = self.tensor.dtype
        buffer = np.empty(dtype.n_bytes(min(self.step, self.stop - self.start)), np.uint8)
        for at in range(self.start, self.stop, self.step):
            end = min(at + self.step, self.stop)
            piece = Piece(dtype, self.tensor.raw(at, end, buffer), (end - at,))
            states = [guarded(s, partial(s.update, piece, at)) for s in states]
        return [guarded(s, s.finish) for s in states]


@dataclass(frozen=True)
class _Band:
    """Feed some reducers of one 2-D cut the rows `start` to `stop` of the matrix form."""

    tensor: Tensor
    reducers: tuple[Reducer, ...]
    cut: Rows
    start: int
    stop: int
    step: int
    share: int

    @property
    def memory(self) -> int:
        rows = min(self.step, self.stop - self.start) + self.cut.halo
        columns = min(self.cut.width, self.tensor.matrix_shape[1])
        chunk = self.tensor.dtype.n_bytes(rows * columns)
        return chunk + max(reducer.memory for reducer in self.reducers)

    @property
    def work(self) -> int:
        return _part(self.share, self.start, self.stop, self.tensor.matrix_shape[0])

    @_QUIET
    def __call__(self) -> list[State]:
        states = [_begin(reducer) for reducer in self.reducers]
        columns = self.tensor.matrix_shape[1]
        for row in range(self.start, self.stop, self.step):
            bottom = min(row + self.step, self.stop)
            for column in range(0, columns, self.cut.width):
                right = min(column + self.cut.width, columns)
                piece = _rectangle(self.tensor, max(row - self.cut.halo, 0), bottom, column, right)
                states = [guarded(s, partial(s.update, piece, (row, column))) for s in states]
        return [guarded(s, s.finish) for s in states]


def _groups(reducers: Sequence[Reducer]) -> list[list[int]]:
    """Put the reducers that can share a read together: by index into `reducers`."""
    groups: dict[object, list[int]] = {}
    for i, reducer in enumerate(reducers):
        cut = reducer.cut
        # An ordered stream is one long job: streams of their own run side by side.
        groups.setdefault((Whole, i) if cut == Whole() else sharing(cut), []).append(i)
    return list(groups.values())


def _jobs(
    tensor: Tensor, reducers: tuple[Reducer, ...], piece: int, share: int
) -> Iterator[_Run | _Band]:
    n = tensor.n_weights
    cut = reducers[0].cut
    if isinstance(cut, Rows):
        rows, columns = tensor.matrix_shape
        # By the matrix alone, never by the machine: floats are added chunk by chunk.
        step = max(_PIECE // max(cut.height * columns, 1), 1) * cut.height
        bands = max(_JOB // max(step * columns, 1), 1) * step
        for row in range(0, rows, bands):
            yield _Band(tensor, reducers, cut, row, min(row + bands, rows), step, share)
        return
    if isinstance(cut, Whole):
        if n:
            yield _Run(tensor, reducers, 0, n, FRAME, share)
        return
    unit = math.lcm(*(reducer.cut.n for reducer in reducers if isinstance(reducer.cut, Every)))
    step = piece * unit if piece > 1 else max(unit, _PIECE // unit * unit)
    length = max(_JOB // step, 1) * step
    for start in range(0, n, length):
        yield _Run(tensor, reducers, start, min(start + length, n), step, share)


def _rectangle(tensor: Tensor, top: int, bottom: int, left: int, right: int) -> Piece:
    """Read a rectangle of the matrix form: one read if it spans whole rows, else one a row."""
    columns = tensor.matrix_shape[1]
    shape = (bottom - top, right - left)
    if tensor.dtype.bits < 8:
        # Packed rows need not start on a byte: unpack, then pack the rectangle anew.
        values = [
            tensor.read(row * columns + left, row * columns + right) for row in range(top, bottom)
        ]
        return Piece(tensor.dtype, tensor.dtype.encode(np.concatenate(values)), shape)
    if right - left == columns:
        return Piece(tensor.dtype, tensor.raw(top * columns, bottom * columns), shape)
    width = tensor.dtype.n_bytes(right - left)
    raw = np.empty((bottom - top, width), np.uint8)
    for i, row in enumerate(range(top, bottom)):
        raw[i] = tensor.raw(row * columns + left, row * columns + right)
    return Piece(tensor.dtype, raw.reshape(-1), shape)
