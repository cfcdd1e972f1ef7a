"""``rdE``: the coarsest uniform quantiser whose relative squared error stays at or below E.

Levels are round(w / step), half to even, in float64; a decoder puts level * step back. The error
is the tensor's sum of squared error over its sum of squares. The step is found as follows, so that
two implementations find the same one:

1. steps 8 * max|w| * 2**(-j / 16), j = 0, 1, ...: the first whose error is <= E;
2. bisect between it and its predecessor, keeping error <= E, until it is within 1e-4 * E, or 40
   times.

(The error is not monotone in the step on weights that are quantised already, and may jump.)

One pass over the tensor makes a histogram of magnitudes with sums and sums of squares per bin. It
gives rigorous bounds on the error of any step, since only bins that a decision threshold crosses
are uncertain. Only where the bounds leave a comparison open does another pass compute the error
exactly. The entropy of such a quantiser is within .2546 bit of the rate-distortion bound at high
rate (Gish & Pierce 1968); it is the cost of the *weights* at that error, and says nothing of what
was learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import LEAF, Cut, Every, Piece, State, leaf_sums
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    View,
    bit_planes,
    leaves,
    plane_alphabets,
    smallest,
    weights_only,
)
from kcomplexity.views.passes import LeafSums, SumOfSquares, extent

__all__ = ["DistortionView", "StepEncoder", "elias_gamma_bits", "find_step"]

Floats = NDArray[np.float64]

_BINS = 1 << 16
#: The histogram spans this many root mean squares. By Chebyshev at most n / 256 weights lie
#: beyond; they are kept as they are, so their part of the error is exact.
_SPAN = 16.0
#: Tensors of up to this many weights keep every magnitude instead of a histogram.
_FEW = 1 << 12
#: Rounding of the bounds, in sums of squares: they are differences of sums as large as that, a
#: leaf's 2**16 terms and a tensor's 2**16 leaves being added one by one: 2**17 * 2**-53 < 2e-11.
_SLACK = 2e-11
_TOLERANCE = 1e-4
_BISECTIONS = 40


@dataclass(frozen=True)
class DistortionView(View):
    """Uniform levels at relative squared error E."""

    error: float
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        if not 1e-9 <= self.error < 1:
            raise SpecError(
                f"rd{self.error:g}: expected a relative error from 1e-9 to 1, e.g. 0.01"
            )

    @property
    def target_mse(self) -> float:
        """The relative squared error E."""
        return self.error

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Find the step and the range of its levels."""
        weights_only(tensor.dtype)
        limits = extent(reduce)
        top = max(-limits.low, limits.high)
        if top == 0:
            raise UnmeasurableError("all weights are zero: there is no relative error to reach")
        step = find_step(tensor, top, self.error, reduce)
        lowest, highest = int(np.rint(limits.low / step)), int(np.rint(limits.high / step))
        size = highest - lowest + 1
        if size > 1 << 32:
            raise UnmeasurableError(f"{size} levels are needed at a step of {step:g}: over 2**32")
        # Told to the decoder: the step, the lowest level (a sign and a number), how many there are.
        side_bits = 64 + 1 + elias_gamma_bits(abs(lowest) + 1) + elias_gamma_bits(size)
        alphabet = Alphabet("", size)
        return StepEncoder(
            plane_alphabets(alphabet.width) if self.split else (alphabet,),
            float(side_bits),
            {"lowest": float(lowest)},
            step=step,
            lowest=lowest,
            size=size,
            split=self.split,
        )


@dataclass(frozen=True)
class StepEncoder(Encoder):
    """Levels round(w / step), counted from `lowest`."""

    step: float = field(kw_only=True)
    lowest: int = field(kw_only=True)
    size: int = field(kw_only=True)
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        flat = piece.weights.reshape(-1)
        symbols = np.empty(flat.size, smallest(self.size))
        errors: list[float] = []
        squares: list[float] = []
        # New memory costs more than the arithmetic on it: three leaves of it do for all.
        scratch = np.empty((3, min(LEAF, flat.size)))
        for i in leaves(flat):
            leaf = flat[i : i + LEAF]
            wide, level, spare = scratch[:, : leaf.size]
            np.copyto(wide, leaf)
            errors += leaf_sums(_squared_errors(wide, self.step, level, spare))
            squares += leaf_sums(np.square(wide, out=wide))
            np.subtract(level, self.lowest, out=level)
            np.copyto(symbols[i : i + LEAF], level, casting="unsafe")
        symbols = symbols.reshape(piece.shape)
        if self.split:
            return Encoded(bit_planes(symbols, len(self.streams)), errors, squares)
        return Encoded((symbols,), errors, squares)


def _squared_errors(weights: Floats, step: float, level: Floats, out: Floats) -> Floats:
    """Write the level of each weight to `level` and its squared error to `out`, all float64."""
    np.rint(np.divide(weights, step, out=level), out=level)
    np.subtract(weights, np.multiply(level, step, out=out), out=out)
    return np.square(out, out=out)


def elias_gamma_bits(value: int) -> int:
    """Length of Elias' gamma code of a positive integer: 2 * floor(log2(value)) + 1 bits."""
    return 2 * value.bit_length() - 1


def find_step(tensor: Tensor, top: float, target: float, reduce: Reduce) -> float:
    """Return the step that reaches a relative squared error, as the module's page defines it.

    Parameters
    ----------
    tensor : Tensor
    top : float
        Its largest magnitude, > 0.
    target : float
        Relative squared error E.
    reduce : Reduce
        Runs passes over the tensor: two, and one more for each comparison left open.
    """
    squares = reduce(SumOfSquares()).total
    if not 0 < squares < math.inf:
        raise UnmeasurableError(f"the sum of squares is {squares:g} in float64: scale the tensor")
    errors = _Errors(tensor, top, squares, reduce)
    # Above 2 * max|w| every level is 0 and the error is 1: start there, at j = 32.
    j, low = 32, 2 * top
    while not errors.at_most(low, target):
        j += 1
        low = 8 * top * 2 ** (-j / 16)
        if low < top * 2.0**-52:
            raise UnmeasurableError(f"no step reaches a relative error of {target:g} in float64")
    high = 8 * top * 2 ** (-(j - 1) / 16)
    for _ in range(_BISECTIONS):
        if not errors.below(low, target * (1 - _TOLERANCE)):
            break
        middle = (low + high) / 2
        if errors.at_most(middle, target):
            low = middle
        else:
            high = middle
    return low


class _Errors:
    """The relative squared error as a function of the step: bounds first, exact where needed."""

    def __init__(self, tensor: Tensor, top: float, squares: float, reduce: Reduce) -> None:
        self._reduce = reduce
        self._squares = squares
        self._exact: dict[float, float] = {}
        span = min(top, _SPAN * math.sqrt(squares / tensor.n_weights))
        few = tensor.n_weights <= _FEW
        found: _Magnitudes = reduce(_Histogram(0.0 if few else span)).joined()
        # The coarse one settles most of the steps far from the target, sixty times faster.
        self._histograms = (found,) if few else (found.coarser(64), found.coarser(8), found)

    def at_most(self, step: float, limit: float) -> bool:
        """Whether the error of `step` is <= `limit`."""
        return self._bounds(step, limit)[1] <= limit

    def below(self, step: float, limit: float) -> bool:
        """Whether the error of `step` is < `limit`."""
        return self._bounds(step, limit)[1] < limit

    def _bounds(self, step: float, limit: float) -> tuple[float, float]:
        """Return bounds on the error that do not have `limit` between them."""
        for histogram in self._histograms:
            low, high = histogram.error_bounds(step)
            low, high = low / self._squares - _SLACK, high / self._squares + _SLACK
            if not low <= limit <= high:
                return low, high
        if step not in self._exact:
            self._exact[step] = self._reduce(_SquaredError(step)).total / self._squares
        return self._exact[step], self._exact[step]


@dataclass(frozen=True)
class _SquaredError:
    """Squared error of one step, exactly, a float a leaf."""

    step: float
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=24 * LEAF, init=False)

    def start(self) -> _SquaredErrorState:
        return _SquaredErrorState(step=self.step)


@dataclass
class _SquaredErrorState(LeafSums):
    step: float = 0.0

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        scratch = np.empty((3, min(LEAF, flat.size)))
        for i in leaves(flat):
            leaf = flat[i : i + LEAF]
            wide, level, spare = scratch[:, : leaf.size]
            np.copyto(wide, leaf)
            self.sums += leaf_sums(_squared_errors(wide, self.step, level, spare))

    def __add__(self, other: LeafSums) -> _SquaredErrorState:
        return _SquaredErrorState(self.sums + other.sums, self.step)


@dataclass(frozen=True)
class _Histogram:
    """Magnitudes in 2**16 bins from 0 to `span`; those beyond are kept one by one.

    Its float sums depend on the order of addition in their last digits; no figure does, because
    bounds are widened by more than that.
    """

    span: float
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=40 * LEAF + 24 * _BINS, init=False)

    def start(self) -> _Magnitudes:
        bins = _BINS if self.span else 0
        zeros = np.zeros(bins)
        return _Magnitudes(self.span, zeros, zeros.copy(), zeros.copy(), [])


@dataclass
class _Magnitudes(State):
    """Count, sum and sum of squares of the magnitudes in each bin, and the magnitudes beyond."""

    span: float
    counts: Floats
    sums: Floats
    squares: Floats
    beyond: list[Floats]

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        bins = self.counts.size
        if not bins:
            self.beyond.append(np.abs(flat.astype(np.float64)))
            return
        scratch, indices = np.empty((2, min(LEAF, flat.size))), np.empty(LEAF, np.intp)
        for i in leaves(flat):
            leaf, place = scratch[:, : flat[i : i + LEAF].size]
            np.copyto(leaf, flat[i : i + LEAF])
            np.abs(leaf, out=leaf)
            if leaf.max() > self.span:
                self.beyond.append(leaf[leaf > self.span])
                leaf = leaf[leaf <= self.span]
            index = indices[: leaf.size]
            np.multiply(leaf, bins / self.span, out=place[: leaf.size])
            np.copyto(index, place[: leaf.size], casting="unsafe")
            np.minimum(index, bins - 1, out=index)
            self.counts += np.bincount(index, minlength=bins)
            self.sums += np.bincount(index, leaf, minlength=bins)
            self.squares += np.bincount(index, np.square(leaf, out=leaf), minlength=bins)

    def __add__(self, other: _Magnitudes) -> _Magnitudes:
        return _Magnitudes(
            self.span,
            self.counts + other.counts,
            self.sums + other.sums,
            self.squares + other.squares,
            self.beyond + other.beyond,
        )

    def joined(self) -> _Magnitudes:
        """Return the same with the magnitudes beyond in one piece, in their order."""
        beyond = [np.concatenate(self.beyond)] if self.beyond else []
        return replace(self, beyond=beyond)

    def coarser(self, factor: int) -> _Magnitudes:
        """Return the histogram with `factor` bins put in one."""

        def joined(bins: Floats) -> Floats:
            total: Floats = bins.reshape(-1, factor).sum(axis=1)
            return total

        parts = joined(self.counts), joined(self.sums), joined(self.squares)
        return _Magnitudes(self.span, *parts, self.beyond)

    def error_bounds(self, step: float) -> tuple[float, float]:
        """Return a lower and an upper bound on the squared error of `step`."""
        beyond = sum(
            float(np.square(kept - np.rint(kept / step) * step).sum()) for kept in self.beyond
        )
        if not self.counts.size:
            return beyond, beyond
        width = self.span / self.counts.size
        # Binning rounds: an edge may be off by a few units in the last place of the span.
        margin = 1e-12 * self.span
        edges = np.arange(self.counts.size + 1) * width
        first = np.rint((edges[:-1] - margin) / step)
        last = np.rint((edges[1:] + margin) / step)
        point = first * step
        error = self.squares - 2 * point * self.sums + self.counts * point * point
        crossed = last > first
        # Of a crossed bin, putting all on the lower level is an upper bound, and so is the worst
        # case of half a step; moving one weight t past the threshold up a level gains 2 t step.
        most = np.minimum(error, self.counts * (step * step / 4))
        gain = np.where(last - first > 1, np.inf, 2 * (width + 2 * margin) * step)
        with np.errstate(invalid="ignore"):  # empty bins: 0 * inf
            least = np.where(self.counts > 0, np.maximum(error - self.counts * gain, 0), 0)
        low = float(np.where(crossed, least, error).sum())
        high = float(np.where(crossed, most, error).sum())
        return low + beyond, high + beyond
