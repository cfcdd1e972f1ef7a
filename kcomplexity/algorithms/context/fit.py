"""The choice of lags and coefficients, which the decoder of a tile is sent.

Any choice gives a code that decodes; a good one gives a short code. Coefficients come from least
squares on a sample of the tile; those that save less than they cost are dropped.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.features import Floats, TileFeatures
from kcomplexity.algorithms.context.model import COEFFICIENT_BITS

#: Weights that coefficients are fitted on, at most: more would not change their 64ths.
MOST_FITTED = 1 << 15
#: Lines and their length that autocorrelations are taken of.
_LINES, _LENGTH = 32, 1 << 12
#: An autocorrelation of so many standard errors is not an accident: there are thousands of lags.
_STRONG = 5.0
_RIDGE = 1e-4


def coefficients(
    features: NDArray[np.float64], target: NDArray[np.float64], n: int
) -> tuple[int, ...]:
    """Return the coefficients of a weighted sum, in 64ths from -128 to 127.

    Parameters
    ----------
    features : ndarray of float64, shape (n_features, n_sampled)
    target : ndarray of float64, shape (n_sampled,)
        What the sum is to predict.
    n : int
        Weights in the tile.
    """
    gram, against = features @ features.T, features @ target
    squares = float(target @ target)
    kept = np.flatnonzero(gram.diagonal() > 0)
    weights = np.zeros(len(features))
    for _ in range(2):
        if not kept.size:
            break
        part = gram[np.ix_(kept, kept)]
        part = part + np.diag(_RIDGE * part.diagonal() + 1e-9)
        inverse = np.linalg.inv(part)
        solved = inverse @ against[kept]
        weights[:] = 0
        weights[kept] = solved
        error = max((squares - float(solved @ against[kept])) / target.size, 1e-12 * squares, 1e-9)
        # What leaving one out would cost, in bits: the rise of log2 of the error, over all weights.
        gain = np.square(solved) / (inverse.diagonal() * error * target.size * 2 * math.log(2))
        kept = kept[gain * n > COEFFICIENT_BITS + 1]
    weights[np.setdiff1d(np.arange(weights.size), kept)] = 0
    return tuple(int(c) for c in np.clip(np.rint(64 * weights), -128, 127))


def strong_lags(
    features: TileFeatures, known: tuple[tuple[int, int], ...]
) -> tuple[tuple[int, int], ...]:
    """Return neighbours, besides the `known` ones, at the strongest autocorrelations along an axis.

    Two of h and one of abs(h) along rows, one of each along columns, where they are strong.
    """
    rows, columns = features.shape
    lags: list[tuple[int, int]] = []
    for axis, across, wanted in ((1, rows, (2, 1)), (0, columns, (1, 1))):
        lines = np.unique(np.linspace(0, across - 1, min(across, _LINES)).astype(np.intp))
        for values, count in zip((features.signed, features.sized), wanted, strict=True):
            chosen = values[lines, :_LENGTH] if axis else values[:_LENGTH, lines].T
            score = _autocorrelation(chosen.astype(np.float64))
            for lag in np.argsort(-score, kind="stable")[: count + len(known) + len(lags)]:
                place = (0, int(lag)) if axis else (int(lag), 0)
                if score[lag] > _STRONG and count and place not in known and place not in lags:
                    lags.append(place)
                    count -= 1
    return tuple(lags)


def _autocorrelation(lines: Floats) -> Floats:
    """Return the autocorrelation at each lag up to half the length, in standard errors."""
    count, length = lines.shape
    if length < 8:
        return np.zeros(1)
    lines = lines - lines.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(lines, 2 * length, axis=1)
    power = np.fft.irfft(np.square(np.abs(spectrum)).sum(axis=0), 2 * length)[: length // 2]
    if power[0] <= 0:
        return np.zeros(1)
    pairs = count * (length - np.arange(power.size))
    score: Floats = np.abs(power) / power[0] * (count * length) / np.sqrt(pairs)
    score[0] = 0
    return score
