"""What theory says that the made tensors cost, in bits a weight unless a name says bits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

__all__ = [
    "AT_1_PERCENT",
    "EXPONENT",
    "FLOAT",
    "bdm_of_blocks",
    "entropy",
    "fifteen_levels",
    "orders_of_blocks",
    "rank_8_less",
    "saturated_bdm",
]


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def entropy(probabilities: Iterable[float]) -> float:
    """Entropy in bits of a distribution."""
    return -math.fsum(p * math.log2(p) for p in probabilities if p > 0)


#: Chance that a standard normal lies between 2**e and 2**(e+1) in size: that of its exponent.
_OCTAVES = {e: 2 * (_normal_cdf(2.0 ** (e + 1)) - _normal_cdf(2.0**e)) for e in range(-40, 4)}
#: Its entropy.
EXPONENT = entropy(_OCTAVES.values())
#: Differential entropy of a standard normal.
_NORMAL = 0.5 * math.log2(2 * math.pi * math.e)
#: Entropy of a normal stored as a float, to which each mantissa bit adds one: differential entropy
#: minus the mean log2 of the spacing of floats.
FLOAT = _NORMAL - math.fsum(p * e for e, p in _OCTAVES.items())
#: A finely and uniformly quantised normal at relative squared error E = 1 %: the step is
#: sqrt(12 E); 0.5 * log2(pi e / 6) = 0.2546 bits above the least that any code needs.
AT_1_PERCENT = _NORMAL - 0.5 * math.log2(12 * 0.01)


def fifteen_levels() -> float:
    """Entropy of a standard normal rounded to multiples of a half, at most seven either way."""
    edges = [-math.inf, *((i + 0.5) / 2 for i in range(-7, 7)), math.inf]
    return entropy(_normal_cdf(b) - _normal_cdf(a) for a, b in itertools.pairwise(edges))


def rank_8_less() -> float:
    """Bits a weight that the variances in a product of rank 8 can save (Jensen).

    A row mixes normals whose variance is chi-squared with 8 degrees of freedom, of which
    E ln = digamma(4) + ln 2, digamma(4) = 11/6 - gamma.
    """
    return 0.5 * (math.log(8) - (11 / 6 - 0.5772156649015329 + math.log(2))) / math.log(2)


def orders_of_blocks() -> float:
    """Bits a weight that name one of the distinct orders of the rows and columns of 16 blocks."""
    ways = math.lgamma(257) - 16 * math.lgamma(17)  # rows alone: 256! / (16!)**16
    return (2 * ways - math.lgamma(17)) / math.log(2) / 256**2  # blocks have no names


def bdm_of_blocks() -> float:
    """Bits of 2-D BDM of 256 blocks of ones among 3,840 of zeros, 4x4 each.

    Both have the same CTM value: that of ones((12, 12)), of nine such blocks, less log2 9.
    """
    ctm = 25.176631293734488 - math.log2(9)
    return 2 * ctm + math.log2(256) + math.log2(3840)


def saturated_bdm(n: int) -> float:
    """Bits a weight of the 1-D BDM of n fair coin flips, far more than it has codes.

    Each of the 4,096 codes of 12 bits is seen a Poisson number of times; their CTM values, which
    add up to 133,138.5, are paid once, and log2 of how often.
    """
    mean = n / 12 / 4096
    seen = {k: math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(1, 100)}
    counts = 4096 * math.fsum(p * math.log2(k) for k, p in seen.items())
    return (133_138.5 * -math.expm1(-mean) + counts) / n
