"""Lengths of codes in bits, from counts and numbers: nothing is written."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def plug_in_bits(counts: NDArray[Any]) -> float:
    """Return n * H, the plug-in entropy of observed counts, in bits.

    Parameters
    ----------
    counts : ndarray of int, shape (n_symbols,)
        How often each symbol occurs; zeros are left out.

    Examples
    --------
    >>> plug_in_bits(np.array([4, 4]))
    8.0
    """
    seen = np.sort(counts[counts > 0]).astype(np.float64)
    n = seen.sum()
    return float(max(n * np.log2(n) - (seen * np.log2(seen)).sum(), 0.0)) if seen.size > 1 else 0.0


def two_part_bits(counts: NDArray[Any], alphabet_size: int) -> float:
    """Return the length in bits of an enumerative code of symbols with these counts.

    For a decoder that knows n and the alphabet; each part is the index in an enumeration:

    1. how many different symbols occur, d: log2 min(A, n);
    2. which ones: log2 C(A, d);
    3. how often each (d positive numbers that sum to n): log2 C(n - 1, d - 1);
    4. which of the sequences with these counts it is: log2 (n! / prod c_i!).

    Parameters
    ----------
    counts : ndarray of int, shape (n_symbols,)
        How often each symbol occurs; zeros are left out.
    alphabet_size : int
        A, the number of symbols there might be.

    Returns
    -------
    float
        Not rounded up; add one bit for a real code.

    Examples
    --------
    Four symbols 0 0 1 1: log2 2 for d, then C(2, 2) = 1, C(3, 1) = 3 and 4! / (2! 2!) = 6 ways.

    >>> round(two_part_bits(np.array([2, 2]), 2), 6), round(1 + math.log2(3 * 6), 6)
    (5.169925, 5.169925)
    """
    from scipy.special import gammaln

    seen = np.sort(counts[counts > 0]).astype(np.float64)
    n, d = float(seen.sum()), float(seen.size)
    if not n:
        return 0.0
    ways = float(gammaln(n + 1) - gammaln(seen + 1).sum()) / math.log(2)
    ways += log2_binomial(float(alphabet_size), d) + log2_binomial(n - 1, d - 1)
    return max(ways, 0.0) + math.log2(min(alphabet_size, n))


def elias_gamma_bits(value: int) -> int:
    """Return the length of Elias' gamma code of a positive integer: 2 floor(log2(value)) + 1."""
    return 2 * value.bit_length() - 1


def log2_binomial(n: float, k: float) -> float:
    """Return log2 of C(n, k), to some eight digits for an n of any size."""
    from scipy.special import betaln

    # Differences of lgamma would cancel where n is large: betaln does not.
    return (-math.log1p(n) - float(betaln(n - k + 1, k + 1))) / math.log(2)
