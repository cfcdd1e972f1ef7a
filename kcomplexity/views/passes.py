"""The passes views make over a tensor before they encode it: range, percentiles.

Each is a :class:`~kcomplexity.parallel.Reducer` whose state holds integers, extremes, or one float
per leaf, so that what it finds does not depend on how the tensor was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.checkpoint import Tensor
from kcomplexity.dtypes import StoredDtype
from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import LEAF, Cut, Every, Piece, State, leaf_sums
from kcomplexity.views.base import Reduce, leaves

__all__ = [
    "Extent",
    "SumOfSquares",
    "compute_dtype",
    "extent",
    "finite_part",
    "floats",
    "quantile",
]


def compute_dtype(tensor_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type quantisers compute in: float64 for F64, float32 for every narrower float."""
    return np.dtype(np.float64 if tensor_dtype == np.float64 else np.float32)


def floats(piece: Piece) -> NDArray[Any]:
    """Return the weights of a piece, flat, in :func:`compute_dtype` (no copy if they are)."""
    weights = piece.weights.reshape(-1)
    return weights.astype(compute_dtype(weights.dtype), copy=False)


def finite_part(values: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
    """Return the finite ones among floats (copied), how many are NaN, and how many infinite."""
    finite = np.isfinite(values)
    n_nan = int(np.isnan(values).sum())
    return values[finite], n_nan, values.size - int(finite.sum()) - n_nan


@dataclass(frozen=True)
class Extent:
    """Smallest and largest weight, and how many are not finite."""

    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=4 * LEAF, init=False)

    def start(self) -> ExtentState:
        """Return a state that has seen nothing."""
        return ExtentState()


@dataclass
class ExtentState(State):
    """What :class:`Extent` has seen.

    Attributes
    ----------
    low, high : float
        Extremes of the finite weights; (inf, -inf) if there are none.
    n_nan, n_inf : int
    """

    low: float = math.inf
    high: float = -math.inf
    n_nan: int = 0
    n_inf: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        """Take the extremes leaf by leaf: a leaf is read from memory once."""
        flat = floats(chunk)
        for i in leaves(flat):
            leaf = flat[i : i + LEAF]
            low, high = float(leaf.min()), float(leaf.max())
            if not (math.isfinite(low) and math.isfinite(high)):
                leaf, n_nan, n_inf = finite_part(leaf)
                self.n_nan += n_nan
                self.n_inf += n_inf
                low, high = float(leaf.min(initial=math.inf)), float(leaf.max(initial=-math.inf))
            self.low, self.high = min(self.low, low), max(self.high, high)

    def __add__(self, other: ExtentState) -> ExtentState:
        return ExtentState(
            min(self.low, other.low),
            max(self.high, other.high),
            self.n_nan + other.n_nan,
            self.n_inf + other.n_inf,
        )


def extent(reduce: Reduce) -> ExtentState:
    """Return the range of the tensor's weights, all of which must be finite.

    Raises
    ------
    UnmeasurableError
        If some are NaN or infinite (the message counts them), or there is none.
    """
    state: ExtentState = reduce(Extent())
    if state.n_nan or state.n_inf:
        raise UnmeasurableError(
            f"{state.n_nan} NaN and {state.n_inf} infinite weights: there is no level for them; "
            "@bytes measures them as they are stored"
        )
    if state.low > state.high:
        raise UnmeasurableError("the tensor is empty: there is no weight to quantise")
    return state


@dataclass(frozen=True)
class SumOfSquares:
    """Sum of squared weights in float64, about zero: the mean is part of it."""

    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=8 * LEAF, init=False)

    def start(self) -> LeafSums:
        """Return a state that has seen nothing."""
        return LeafSums()


@dataclass
class LeafSums(State):
    """One float64 sum of squares per leaf; ``total`` adds them exactly."""

    sums: list[float] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        """Square each leaf in float64; a complex weight by its two parts."""
        flat = chunk.weights.reshape(-1)
        if chunk.dtype.kind == "complex":
            flat = flat.view(flat.real.dtype)
        scratch = np.empty(min(LEAF, flat.size))
        for i in leaves(flat):
            leaf = flat[i : i + LEAF]
            wide = scratch[: leaf.size]
            np.copyto(wide, leaf)
            self.sums += leaf_sums(np.square(wide, out=wide))

    def __add__(self, other: LeafSums) -> LeafSums:
        return LeafSums(self.sums + other.sums)

    @property
    def total(self) -> float:
        """The sum, correctly rounded over the leaves; inf where it leaves float64."""
        try:
            return math.fsum(self.sums)
        except OverflowError:
            return math.inf


def quantile(tensor: Tensor, share: float, reduce: Reduce) -> float:
    """Return the exact quantile of the tensor's weights, linearly interpolated.

    Parameters
    ----------
    tensor : Tensor
        All weights finite.
    share : float
        0 to 1; the quantile lies at position ``share * (n - 1)`` of the sorted weights.
    reduce : Reduce

    Returns
    -------
    float
        Interpolated in :func:`compute_dtype`, as QuBD's reference does in float32.

    Notes
    -----
    Sorted positions are found by counting 16 key bits a pass, so one pass for 16-bit weights and
    two for float32, in 0.5 MiB; nothing is sorted.
    """
    assert tensor.dtype.numpy is not None  # noqa: S101 - weights_only() came first
    position = share * (tensor.n_weights - 1)
    rank = math.floor(position)
    dtype = compute_dtype(tensor.dtype.numpy).type
    below = dtype(_order_statistic(tensor.dtype, rank, reduce))
    if rank + 1 == tensor.n_weights:
        return float(below)
    above = dtype(_order_statistic(tensor.dtype, rank + 1, reduce))
    with np.errstate(over="ignore"):
        gap = above - below
    if np.isinf(gap):  # the two are further apart than the type reaches
        return float(below) * (1 - (position - rank)) + float(above) * (position - rank)
    return float(below + gap * dtype(position - rank))


def _order_statistic(dtype: StoredDtype, rank: int, reduce: Reduce) -> float:
    """Return the value at 0-based `rank` of the sorted weights."""
    width = max(dtype.bits, 8)
    prefix, done = 0, 0
    while done < width:
        step = min(16, width - done)
        counts = reduce(_KeyCounts(prefix, done, step)).counts
        ends = np.cumsum(counts)
        digit = int(np.searchsorted(ends, rank, side="right"))
        rank -= int(ends[digit]) - int(counts[digit])
        prefix, done = prefix << step | digit, done + step
    return _value_of_key(prefix, dtype)


@dataclass(frozen=True)
class _KeyCounts:
    """Count the next `step` bits of the sort keys whose first `done` bits are `prefix`."""

    prefix: int
    done: int
    step: int
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=20 * LEAF, init=False)

    def start(self) -> _KeyState:
        return _KeyState(self, np.zeros(1 << self.step, np.int64))


@dataclass
class _KeyState(State):
    reducer: _KeyCounts
    counts: NDArray[np.int64]

    def update(self, chunk: Piece, at: Any) -> None:
        words = chunk.words.reshape(-1)
        for i in leaves(words):
            keys = _sort_keys(words[i : i + LEAF], chunk.dtype)
            left = 8 * keys.itemsize - self.reducer.done
            if self.reducer.done:
                keys = keys[keys >> left == self.reducer.prefix]
            digits = keys >> (left - self.reducer.step) & ((1 << self.reducer.step) - 1)
            self.counts += np.bincount(digits.astype(np.intp), minlength=self.counts.size)

    def __add__(self, other: _KeyState) -> _KeyState:
        return _KeyState(self.reducer, self.counts + other.counts)


def _sort_keys(words: NDArray[Any], dtype: StoredDtype) -> NDArray[Any]:
    """Map stored floats to unsigned integers that sort as the floats do."""
    if not dtype.sign_bits:
        return words
    top = words.dtype.type(1 << (dtype.bits - 1))
    # Negative floats sort backwards as integers: flip all their bits; lift the others above them.
    ones = words.dtype.type((1 << dtype.bits) - 1)
    keys: NDArray[Any] = np.where(words & top, words ^ ones, words | top)
    return keys


def _value_of_key(key: int, dtype: StoredDtype) -> float:
    top, ones = 1 << (dtype.bits - 1), (1 << dtype.bits) - 1
    word = key if not dtype.sign_bits else key ^ top if key & top else key ^ ones
    assert dtype.numpy is not None  # noqa: S101 - it has been decoded to be counted
    return float(np.array([word], dtype.word).view(dtype.numpy)[0])
