"""What a reader of tensors is: where it may be cut, what it is fed, what it gathers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.tensors.dtypes import StoredDtype
from kcomplexity.tensors.pieces import FRAME, LEAF

__all__ = [
    "Cut",
    "Every",
    "Failed",
    "Piece",
    "Reducer",
    "Rows",
    "State",
    "Whole",
    "begin",
    "guarded",
    "leaf_sums",
    "merge",
    "sharing",
]


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


def sharing(cut: Cut) -> object:
    """Return a key that is equal for cuts which can share one read.

    Cuts that divide a frame are served by pieces of a frame. Any other keeps to itself: the least
    common multiple of, say, blocks of 7, 11 and 13 frames would be a piece of a thousand frames.
    """
    return Every if isinstance(cut, Every) and FRAME % cut.n == 0 else cut


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

    A chunk is a :class:`Piece` for reducers given to :func:`~kcomplexity.parallel.fold`. It is a
    whole number of cuts long, except at the tensor's end, and its memory is used again afterwards:
    a state that keeps any of it keeps a copy.
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
        Type and message of what was raised; of an UnmeasurableError the message alone.
    unmeasurable : bool
        Whether it was an UnmeasurableError: its rows are skipped, nothing went wrong.
    """

    reason: str
    unmeasurable: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """Return the state that tells of `error`."""
        if isinstance(error, UnmeasurableError):
            return cls(str(error), unmeasurable=True)
        return cls(f"{type(error).__name__}: {error}")

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
        return Failed.of(error)
    return state


def begin(reducer: Reducer) -> State:
    """Return the empty state of a reducer, or :class:`Failed` if it cannot make one."""
    try:
        return reducer.start()
    except Exception as error:  # noqa: BLE001 - becomes the reason of its rows
        return Failed.of(error)


def merge(left: State, right: State) -> State:
    """Add two states; the first that :class:`Failed` wins, in any grouping."""
    if isinstance(left, Failed) or isinstance(right, Failed):
        return left if isinstance(left, Failed) else right
    try:
        merged: State = left + right
    except Exception as error:  # noqa: BLE001 - becomes the reason of its rows
        return Failed.of(error)
    return merged


def leaf_sums(values: NDArray[Any]) -> list[float]:
    """Sum a chunk leaf by leaf in float64: one float per leaf, for :func:`math.fsum` to add.

    NumPy's pairwise sum of one leaf depends on nothing but the leaf.
    """
    flat = values.reshape(-1)
    whole = flat.size - flat.size % LEAF
    sums: list[float] = flat[:whole].reshape(-1, LEAF).sum(axis=1, dtype=np.float64).tolist()
    return [*sums, float(flat[whole:].sum(dtype=np.float64))] if whole < flat.size else sums
