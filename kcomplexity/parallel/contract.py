"""The contract of a reducer: where a tensor may be cut, what an update gets, what is kept."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.tensors.dtypes import StoredDtype
from kcomplexity.tensors.pieces import FRAME, LEAF

T = TypeVar("T")


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


def read_key(cut: Cut) -> object:
    """Return a key that is equal for cuts which can share one read.

    Cuts that divide a frame are served by pieces of a frame. Every other cut is read alone: the
    least common multiple of, say, 7, 11 and 13 frames would be a piece of a thousand frames.
    """
    return Every if isinstance(cut, Every) and FRAME % cut.n == 0 else cut


class Piece:
    """A run or a rectangle of one tensor, decoded on first use.

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
    """What a reducer has gathered so far; it can be pickled once finished."""

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

    For reducers passed to :func:`~kcomplexity.parallel.fold` a chunk is a :class:`Piece`. It is a
    whole number of cuts long, except at the tensor's end. Its memory is reused after the update: a
    state that keeps any of it must copy it.
    """

    @property
    def cut(self) -> Cut:
        """Where the tensor may be cut."""

    @property
    def memory(self) -> int:
        """Bytes that one chunk of one cut takes at the peak, the chunk itself not counted."""

    def start(self) -> State:
        """Return an empty state."""


@dataclass(frozen=True)
class Failed(State):
    """The state of a reducer that raised; the other reducers of the same read go on.

    Attributes
    ----------
    reason : str
        Type and message of the exception; of an UnmeasurableError the message alone.
    unmeasurable : bool
        Whether it was an UnmeasurableError: its rows are skipped, not failed.
    """

    reason: str
    unmeasurable: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failed:
        if isinstance(error, UnmeasurableError):
            return cls(str(error), unmeasurable=True)
        return cls(f"{type(error).__name__}: {error}")

    def update(self, chunk: Any, at: Any) -> None:
        pass

    def __add__(self, other: State) -> Failed:
        return self


# The steps of a reducer. One that raises costs its own rows, with the reason in them.


def start_state(reducer: Reducer) -> State:
    """Return the empty state of a reducer, or :class:`Failed` if that raises."""
    return _attempt(reducer.start)


def update_state(state: State, chunk: Any, at: Any) -> State:
    """Return `state` with the next chunk taken, or :class:`Failed` if that raises."""
    failed = _attempt(state.update, chunk, at)
    return failed if isinstance(failed, Failed) else state


def finish_state(state: State) -> State:
    """Return `state` finished, or :class:`Failed` if that raises."""
    failed = _attempt(state.finish)
    return failed if isinstance(failed, Failed) else state


def merge_states(left: State, right: State) -> State:
    """Add two states; the first that :class:`Failed` wins, in any grouping."""
    if isinstance(left, Failed) or isinstance(right, Failed):
        return left if isinstance(left, Failed) else right
    return _attempt(operator.add, left, right)


def _attempt(step: Callable[..., T], *args: Any) -> T | Failed:
    try:
        return step(*args)
    except Exception as error:  # noqa: BLE001 - estimators come from anywhere
        return Failed.of(error)


def leaf_sums(values: NDArray[Any]) -> list[float]:
    """Sum a chunk leaf by leaf in float64: one float per leaf, for :func:`math.fsum` to add.

    NumPy's pairwise sum of one leaf depends on nothing but the leaf.
    """
    flat = values.reshape(-1)
    whole = flat.size - flat.size % LEAF
    sums: list[float] = flat[:whole].reshape(-1, LEAF).sum(axis=1, dtype=np.float64).tolist()
    return [*sums, float(flat[whole:].sum(dtype=np.float64))] if whole < flat.size else sums
