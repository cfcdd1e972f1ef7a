"""The coarsest uniform quantiser whose relative squared error stays at or below a target.

Levels are round(w / step), half to even, in float64; a decoder puts level * step back. The error
is the sum of squared error over the sum of squares. :func:`search_step` finds the step as follows,
so that two implementations find the same one:

1. steps 8 * max|w| * 2**(-j / 16), j = 0, 1, ...: the first whose error is at most the target;
2. bisect between it and its predecessor, keeping the error at most the target, until it is within
   1e-4 of the target, relatively, or 40 times.

(The error is not monotone in the step on weights that are quantised already, and may jump.)

The search needs few passes over the weights. A histogram of magnitudes with sums and sums of
squares per bin (:class:`Magnitudes`) gives rigorous bounds on the error of any step, since only
bins that a decision threshold crosses are uncertain. The error is computed exactly only where the
bounds leave a comparison open.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity import kernels
from kcomplexity.errors import UnmeasurableError

Floats = NDArray[np.float64]

N_BINS = 1 << 16
#: The histogram spans this many root mean squares. By Chebyshev at most n / 256 weights lie
#: beyond; they are kept as they are, so their part of the error is exact.
_SPAN = 16.0
#: Up to this many weights every magnitude is kept instead of a histogram.
_FEW = 1 << 12
#: Rounding of the bounds, in sums of squares: they are differences of sums as large as that, a
#: leaf's 2**16 terms and a tensor's 2**16 leaves being added one by one: 2**17 * 2**-53 < 2e-11.
_SLACK = 2e-11
_TOLERANCE = 1e-4
_BISECTIONS = 40


def find_step(weights: Floats, target: float) -> float:
    """Return the step at which finite weights have the relative squared error `target`.

    Raises
    ------
    UnmeasurableError
        As :func:`search_step`.
    """
    flat = np.ascontiguousarray(weights.reshape(-1), np.float64)

    def histogram(span: float) -> Magnitudes:
        magnitudes = Magnitudes.empty(span)
        magnitudes.add(flat)
        return magnitudes

    return search_step(
        n_weights=flat.size,
        top=float(np.abs(flat).max()),
        squares=math.fsum(kernels.square_sums(flat)),
        target=target,
        histogram=histogram,
        squared_error=lambda step: math.fsum(kernels.step_errors(flat, step)),
    )


def search_step(
    *,
    n_weights: int,
    top: float,
    squares: float,
    target: float,
    histogram: Callable[[float], Magnitudes],
    squared_error: Callable[[float], float],
) -> float:
    """Return the step that reaches a relative squared error, as this page defines it.

    `top`, the largest magnitude, is above 0; `squares` is the sum of squared weights. `histogram`
    takes a span, returns the magnitudes of all weights, and is called once; `squared_error` is
    called for each step whose comparison the bounds leave open.

    Raises
    ------
    UnmeasurableError
        If the sum of squares is zero or infinite, or no step is fine enough.
    """
    if not 0 < squares < math.inf:
        raise UnmeasurableError(f"the sum of squares is {squares:g} in float64: scale the tensor")
    span = 0.0 if n_weights <= _FEW else min(top, _SPAN * math.sqrt(squares / n_weights))
    errors = _Errors(histogram(span), squares, squared_error)
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

    def __init__(
        self, magnitudes: Magnitudes, squares: float, squared_error: Callable[[float], float]
    ) -> None:
        self._squares = squares
        self._squared_error = squared_error
        self._exact: dict[float, float] = {}
        fine = magnitudes.joined()
        # The coarse one settles most of the steps far from the target, sixty times faster.
        coarser = (fine.coarser(64), fine.coarser(8)) if fine.span else ()
        self._histograms = (*coarser, fine)

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
            self._exact[step] = self._squared_error(step) / self._squares
        return self._exact[step], self._exact[step]


@dataclass
class Magnitudes:
    """Magnitudes in 2**16 bins from 0 to `span`; those beyond are kept one by one.

    Its float sums depend on the order of addition in their last digits; no figure does, because
    bounds are widened by more than that.

    Attributes
    ----------
    span : float
        0 keeps every magnitude.
    bins : ndarray of float64, shape (n_bins, 3)
        Number, sum and sum of squares of the magnitudes in each bin.
    beyond : list of ndarray of float64
        The magnitudes above the span.
    """

    span: float
    bins: Floats
    beyond: list[Floats] = field(default_factory=list)

    @classmethod
    def empty(cls, span: float) -> Self:
        """Return the histogram of no weights."""
        return cls(span, np.zeros((N_BINS if span else 0, 3)))

    def add(self, flat: NDArray[Any]) -> None:
        """Count the magnitudes of weights."""
        if self.span:
            self.beyond.append(kernels.add_magnitudes(flat, self.span, self.bins))
        else:
            self.beyond.append(np.abs(flat.astype(np.float64)))

    def __add__(self, other: Magnitudes) -> Magnitudes:
        return Magnitudes(self.span, self.bins + other.bins, self.beyond + other.beyond)

    def joined(self) -> Magnitudes:
        """Return the same with the magnitudes beyond in one piece, in their order."""
        return replace(self, beyond=[np.concatenate(self.beyond)] if self.beyond else [])

    def coarser(self, factor: int) -> Magnitudes:
        """Return the histogram with `factor` bins put in one."""
        return replace(self, bins=self.bins.reshape(-1, factor, 3).sum(axis=1))

    def error_bounds(self, step: float) -> tuple[float, float]:
        """Return a lower and an upper bound on the squared error of `step`."""
        beyond = sum(
            float(np.square(kept - np.rint(kept / step) * step).sum()) for kept in self.beyond
        )
        if not self.bins.size:
            return beyond, beyond
        counts, sums, squares = self.bins.T
        width = self.span / counts.size
        # Binning rounds: an edge may be off by a few units in the last place of the span.
        margin = 1e-12 * self.span
        edges = np.arange(counts.size + 1) * width
        first = np.rint((edges[:-1] - margin) / step)
        last = np.rint((edges[1:] + margin) / step)
        point = first * step
        error = squares - 2 * point * sums + counts * point * point
        crossed = last > first
        # Of a crossed bin, putting all on the lower level is an upper bound, and so is the worst
        # case of half a step; moving one weight t past the threshold up a level gains 2 t step.
        most = np.minimum(error, counts * (step * step / 4))
        gain = np.where(last - first > 1, np.inf, 2 * (width + 2 * margin) * step)
        with np.errstate(invalid="ignore"):  # empty bins: 0 * inf
            least = np.where(counts > 0, np.maximum(error - counts * gain, 0), 0)
        low = float(np.where(crossed, least, error).sum())
        high = float(np.where(crossed, most, error).sum())
        return low + beyond, high + beyond
