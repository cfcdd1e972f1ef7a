"""The passes views make over a tensor before they encode it: range, percentiles.

Each is a :class:`~kcomplexity.parallel.Reducer` whose state holds integers, extremes, or one float
per leaf, so that its result does not depend on how the tensor was cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity import kernels
from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Cut, Every, Piece, State
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import StoredDtype
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import Reduce, leaves


def compute_dtype(tensor_dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type quantisers compute in: float64 for F64, float32 for every narrower float."""
    return np.dtype(np.float64 if tensor_dtype == np.float64 else np.float32)


def floats(piece: Piece) -> NDArray[Any]:
    """Return the weights of a piece, flat, in :func:`compute_dtype` (no copy if they are)."""
    weights = piece.weights.reshape(-1)
    return weights.astype(compute_dtype(weights.dtype), copy=False)


def stored_floats(piece: Piece) -> NDArray[Any]:
    """Return the weights of a piece, flat, as kernels read them: only narrow floats are widened."""
    weights = piece.weights.reshape(-1)
    return weights if weights.dtype in kernels.WEIGHTS else weights.astype(np.float32)


def finite_part(values: NDArray[Any]) -> tuple[NDArray[Any], int, int]:
    """Return the finite floats (copied), the number of NaN, and the number of infinite ones."""
    finite = np.isfinite(values)
    n_nan = int(np.isnan(values).sum())
    return values[finite], n_nan, values.size - int(finite.sum()) - n_nan


@dataclass(frozen=True)
class Extent:
    """Smallest and largest weight, and how many are not finite."""

    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=4 * LEAF, init=False)

    def start(self) -> ExtentState:
        return ExtentState()


@dataclass
class ExtentState(State):
    """The range of the weights seen so far.

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
        If the tensor is empty, or some weights are NaN or infinite (the message counts them).
    """
    state: ExtentState = reduce(Extent())
    if state.n_nan or state.n_inf:
        raise UnmeasurableError(
            f"{state.n_nan:,} NaN and {state.n_inf:,} infinite weights: there is no level "
            "for them; @bytes measures them as they are stored"
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
        return LeafSums()


@dataclass
class LeafSums(State):
    """One float64 sum of squares per leaf; ``total`` adds them exactly."""

    sums: list[float] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        """Square each leaf in float64; a complex weight by its two parts."""
        if chunk.dtype.kind == "complex":
            weights = chunk.weights.reshape(-1)
            flat = weights.view(weights.real.dtype)
        else:
            flat = stored_floats(chunk)
        self.sums += kernels.square_sums(flat).tolist()

    def __add__(self, other: LeafSums) -> LeafSums:
        return LeafSums(self.sums + other.sums)

    @property
    def total(self) -> float:
        """The sum, correctly rounded over the leaves; inf where it leaves float64."""
        try:
            return math.fsum(self.sums)
        except OverflowError:
            return math.inf


def quantiles(tensor: Tensor, shares: Sequence[float], reduce: Reduce) -> list[float]:
    """Return exact quantiles of the tensor's finite weights, linearly interpolated.

    The one of a share lies at position ``share * (n - 1)`` of the sorted weights, interpolated in
    :func:`compute_dtype`, as QuBD's reference does in float32. Positions are found by counting 16
    bits a pass, in 0.5 MiB: one pass for 16-bit weights and two for float32; nothing is sorted.
    """
    assert tensor.dtype.numpy is not None  # noqa: S101 - weights_only() came first
    dtype = compute_dtype(tensor.dtype.numpy).type
    positions = [share * (tensor.n_weights - 1) for share in shares]
    below = [math.floor(position) for position in positions]
    above = [min(rank + 1, tensor.n_weights - 1) for rank in below]
    values = [dtype(value) for value in _order_statistics(tensor.dtype, below + above, reduce)]
    return [
        _between(low, high, position - math.floor(position))
        for low, high, position in zip(
            values[: len(below)], values[len(below) :], positions, strict=True
        )
    ]


def _between(low: np.floating[Any], high: np.floating[Any], share: float) -> float:
    with np.errstate(over="ignore"):
        gap = high - low
    if np.isinf(gap):  # the two are further apart than the type reaches
        return float(low) * (1 - share) + float(high) * share
    return float(low + gap * type(low)(share))


def _order_statistics(dtype: StoredDtype, ranks: Sequence[int], reduce: Reduce) -> list[float]:
    """Return the values at 0-based `ranks` of the sorted weights."""
    width = max(dtype.bits, 8)
    done = 0
    # By the first bits of the stored word: which are sought there, and their ranks among those.
    sought: dict[int, list[tuple[int, int]]] = {0: list(enumerate(ranks))}
    while done < width:
        step = min(16, width - done)
        counts = reduce(_DigitCounts(tuple(sought), done, step)).counts
        deeper: dict[int, list[tuple[int, int]]] = {}
        for (prefix, members), row in zip(sought.items(), counts, strict=True):
            digits = _ascending(dtype, prefix, done, step)
            ends = np.cumsum(row[digits])
            for i, rank in members:
                place = int(np.searchsorted(ends, rank, side="right"))
                digit = int(digits[place])
                rest = rank - (int(ends[place]) - int(row[digit]))
                deeper.setdefault(prefix << step | digit, []).append((i, rest))
        sought, done = deeper, done + step
    assert dtype.numpy is not None  # noqa: S101 - it has been decoded to be counted
    word_of = {i: word for word, members in sought.items() for i, _ in members}
    words = np.array([word_of[i] for i in range(len(ranks))], dtype.word)
    values: list[float] = words.view(dtype.numpy).astype(np.float64).tolist()
    return values


def _ascending(dtype: StoredDtype, prefix: int, done: int, step: int) -> NDArray[np.intp]:
    """Return the next digits of stored words in the order of the floats that they stand for."""
    digits = np.arange(1 << step)
    if not dtype.sign_bits:
        return digits
    if done:
        negative = prefix >> (min(done, dtype.bits) - 1)
        return digits[::-1] if negative else digits
    # Sign and magnitude: as integers, negative floats lie above the positive ones, backwards.
    half = 1 << (min(dtype.bits, step) - 1)
    return np.concatenate([digits[2 * half - 1 : half - 1 : -1], digits[:half]])


@dataclass(frozen=True)
class _DigitCounts:
    """Count the next `step` bits of stored words that begin with each of `prefixes`."""

    prefixes: tuple[int, ...]
    done: int
    step: int
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=64 * LEAF, init=False)

    def start(self) -> _DigitState:
        return _DigitState(self, np.zeros((len(self.prefixes), 1 << self.step), np.int64))


@dataclass
class _DigitState(State):
    reducer: _DigitCounts
    counts: NDArray[np.int64]

    def update(self, chunk: Piece, at: Any) -> None:
        words = chunk.words.reshape(-1)
        left = 8 * words.itemsize - self.reducer.done
        heads = words >> left if self.reducer.done else None
        for prefix, counts in zip(self.reducer.prefixes, self.counts, strict=True):
            begun = words if heads is None else words[heads == prefix]
            digits = begun >> (left - self.reducer.step) & ((1 << self.reducer.step) - 1)
            counts += np.bincount(digits.astype(np.intp), minlength=counts.size)

    def __add__(self, other: _DigitState) -> _DigitState:
        return _DigitState(self.reducer, self.counts + other.counts)
