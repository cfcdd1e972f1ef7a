"""Intervals over runs, trends over steps, and the limits and front of rates at an error.

The unit of an interval is the training run, never the tensor: one checkpoint is fully observed, and
its tensors are not exchangeable.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CONFIDENCE = 0.95
#: A relative difference of errors that is smaller is chance.
_CHANCE = 1e-3


class Interval(NamedTuple):
    """A mean and its two-sided 95 % t-interval."""

    mean: float
    low: float
    high: float


class Trend(NamedTuple):
    """Kendall's rank correlation with time.

    Attributes
    ----------
    tau : float
        tau-b: 1 when the values only rise, -1 when they only fall.
    p : float
        Two-sided, as if the steps could have come in any order: neighbouring steps of one training
        are alike, so it is too small for anything but a description.
    """

    tau: float
    p: float


def gaussian_bits(error: float) -> float:
    """Return R(E) = log2(1 / E) / 2: bits a weight of a Gaussian at a relative squared error.

    Examples
    --------
    >>> gaussian_bits(0.25)
    1.0
    """
    return max(0.5 * math.log2(1 / error), 0.0)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points (bits, error) that no other beats in both, by bits.

    No bits at all give an error of 1. A point with more bits whose error is lower by less than a
    thousandth is left out: such differences are chance.

    Examples
    --------
    >>> pareto_front([(2, 0.1), (1, 0.5), (3, 0.2)])
    [1, 0]
    """
    front, best = [], 1 / (1 - _CHANCE)
    for i in sorted(range(len(points)), key=points.__getitem__):
        if points[i][1] <= (1 - _CHANCE) * best:
            best = points[i][1]
            front.append(i)
    return front


def paired_interval(differences: Sequence[float]) -> Interval | None:
    """Return the mean of paired differences with its 95 % t-interval; None for fewer than two.

    Examples
    --------
    >>> [round(x, 4) for x in paired_interval([1.0, 2.0, 3.0])]
    [2.0, -0.4841, 4.4841]
    """
    n = len(differences)
    if n < 2:
        return None
    error = statistics.stdev(differences) / math.sqrt(n)
    return _interval(math.fsum(differences) / n, error, freedom=n - 1)


def welch_interval(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Return the difference of two means with Welch's 95 % interval; None below two a side.

    References
    ----------
    Welch, The generalization of 'Student's' problem when several different population variances
    are involved, Biometrika 34, 1947.
    """
    if min(len(before), len(after)) < 2:
        return None
    mean = math.fsum(after) / len(after) - math.fsum(before) / len(before)
    parts = [statistics.variance(side) / len(side) for side in (before, after)]
    variance = sum(parts)
    if variance == 0:
        return Interval(mean, mean, mean)
    freedom = variance**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (before, after), strict=True)
    )
    return _interval(mean, math.sqrt(variance), freedom)


def _interval(mean: float, error: float, freedom: float) -> Interval:
    from scipy.special import stdtrit

    half = float(stdtrit(freedom, (1 + _CONFIDENCE) / 2)) * error
    return Interval(mean, mean - half, mean + half)


def kendall(times: Sequence[float], values: Sequence[float]) -> Trend | None:
    """Return Kendall's tau-b of values over time; None where nothing varies or one is not finite.

    p is exact without ties, from the distribution of inversions, and by the normal approximation
    with its correction for ties otherwise. Cost O(n**2), and O(n**3) for an exact p.

    References
    ----------
    Kendall, Rank Correlation Methods, 1970, sections 3.3 and 5.

    Examples
    --------
    >>> kendall([0, 1, 2, 3], [9.0, 8.0, 5.0, 1.0])
    Trend(tau=-1.0, p=0.08333333333333333)
    """
    x, y = np.asarray(times, float), np.asarray(values, float)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):  # NaN has no place in an order
        return None
    n = x.size
    above = np.triu_indices(n, 1)
    signs = (np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y)))[above]
    score, pairs = int(signs.sum()), n * (n - 1) // 2
    ties_x, ties_y = _ties(x), _ties(y)
    free_x, free_y = pairs - _pairs(ties_x), pairs - _pairs(ties_y)
    if not free_x or not free_y:
        return None
    # Under the root the product is exact, so that a perfect order gives exactly 1.
    tau = score / math.sqrt(free_x * free_y)
    if free_x == free_y == pairs and n <= _EXACT:
        return Trend(tau, _exact_p((pairs - score) // 2, n))
    return Trend(tau, _normal_p(score, n, ties_x, ties_y))


#: Steps up to which p is exact; beyond, the normal approximation is good to many digits.
_EXACT = 100


def _ties(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.unique(values, return_counts=True)[1].astype(np.int64)


def _pairs(ties: NDArray[np.int64]) -> int:
    return int((ties * (ties - 1) // 2).sum())


def _exact_p(inversions: int, n: int) -> float:
    """Return the two-sided p of a number of inversions among all orders of n (Mahonian numbers)."""
    share = np.ones(1)
    for k in range(2, n + 1):
        share = np.convolve(share, np.full(k, 1 / k))
    tail = min(inversions, share.size - 1 - inversions)
    return min(1.0, 2 * math.fsum(share[: tail + 1]))


def _normal_p(score: int, n: int, ties_x: NDArray[np.int64], ties_y: NDArray[np.int64]) -> float:
    def term(size: float) -> float:
        return size * (size - 1) * (2 * size + 5)

    def both(power: int) -> float:
        falling = (np.prod([ties - i for i in range(power)], axis=0) for ties in (ties_x, ties_y))
        return math.prod(float(product.sum()) for product in falling)

    free = term(n) - sum(term(t) for t in ties_x.tolist()) - sum(term(t) for t in ties_y.tolist())
    variance = free / 18 + both(2) / (2 * n * (n - 1))
    if n > 2:
        variance += both(3) / (9 * n * (n - 1) * (n - 2))
    return math.erfc(abs(score) / math.sqrt(2 * variance))
