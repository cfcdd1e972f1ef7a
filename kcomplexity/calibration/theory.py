"""Bits of the made tensors by theory: bits a weight, unless a name says bits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def entropy(probabilities: Iterable[float]) -> float:
    """Return the entropy of a distribution in bits."""
    return -math.fsum(p * math.log2(p) for p in probabilities if p > 0)


#: Chance that a standard normal lies between 2**e and 2**(e+1) in size: that of its exponent.
_OCTAVES = {e: 2 * (_normal_cdf(2.0 ** (e + 1)) - _normal_cdf(2.0**e)) for e in range(-40, 4)}
#: Entropy of the exponent.
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
    """Return the entropy of a standard normal rounded to multiples of 1/2, clipped at 7/2."""
    edges = [-math.inf, *((i + 0.5) / 2 for i in range(-7, 7)), math.inf]
    return entropy(_normal_cdf(b) - _normal_cdf(a) for a, b in itertools.pairwise(edges))


def rank_8_less() -> float:
    """Return the bits a weight that the variances in a product of rank 8 can save (Jensen).

    A row mixes normals whose variance is chi-squared with 8 degrees of freedom, of which
    E ln = digamma(4) + ln 2, digamma(4) = 11/6 - gamma.
    """
    return 0.5 * (math.log(8) - (11 / 6 - 0.5772156649015329 + math.log(2))) / math.log(2)


def orders_of_blocks() -> float:
    """Return the bits a weight of one of the distinct orders of rows and columns of 16 blocks."""
    ways = math.lgamma(257) - 16 * math.lgamma(17)  # rows alone: 256! / (16!)**16
    return (2 * ways - math.lgamma(17)) / math.log(2) / 256**2  # blocks have no names


def bdm_of_blocks() -> float:
    """Return the bits of 2-D BDM of 256 blocks of ones among 3,840 of zeros, 4x4 each.

    Both have the same CTM value: that of ones((12, 12)), of nine such blocks, less log2 9.
    """
    ctm = 25.176631293734488 - math.log2(9)
    return 2 * ctm + math.log2(256) + math.log2(3840)


def saturated_bdm(n: int) -> float:
    """Return the bits a weight of the 1-D BDM of n fair coin flips, with far more than its codes.

    Each of the 4,096 codes of 12 bits is seen a Poisson number of times; their CTM values, which
    add up to 133,138.5, are paid once, and log2 of how often.
    """
    mean = n / 12 / 4096
    seen = {k: math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(1, 100)}
    counts = 4096 * math.fsum(p * math.log2(k) for k, p in seen.items())
    return (133_138.5 * -math.expm1(-mean) + counts) / n


def scale_share() -> float:
    """Return the share of the bits at `q8` that knowing a row's scale, 1 or 4, saves.

    What is saved is the entropy of the mixture less the mean of its parts', by a fine sum; the
    levels' step is the largest of 65,536 normals of scale 4, some 4 * 4.3, over 127.
    """
    step = 1e-3
    grid = [(i + 0.5) * step for i in range(-24_000, 24_000)]
    mixture = [(_normal_density(x) + _normal_density(x / 4) / 4) / 2 for x in grid]
    whole = -math.fsum(p * math.log2(p) for p in mixture) * step
    saved = whole - (_NORMAL + 0.5 * math.log2(4**2) / 2)
    return saved / (whole - math.log2(4 * 4.3 / 127))


def _normal_density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
