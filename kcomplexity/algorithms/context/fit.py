"""The choice of lags and coefficients, which the decoder of a tile is sent.

Any choice gives a code that decodes; a good one gives a short code. Coefficients come from least
squares on a sample of the tile; those that save less than they cost are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.model import (
    CLIP,
    COEFFICIENT_BITS,
    LEAST_FOR_MORE,
    Mode,
    Offset,
    TileModel,
)
from kcomplexity.kernels import sample_contexts

#: h in sixteenths, cut to +-127.
Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]

#: Weights that coefficients are fitted on, about: more would not change their 64ths.
_MOST_FITTED = 1 << 15
#: Lines and their length that autocorrelations are taken of.
_LINES, _LENGTH = 32, 1 << 12
#: An autocorrelation of so many standard errors is not an accident: there are thousands of lags.
_STRONG = 5.0
_RIDGE = 1e-4


def fitted_models(levels: Floats, plain: TileModel) -> list[TileModel]:
    """Return the model of each mode that sees positions.

    Parameters
    ----------
    levels : ndarray of float32, shape (rows, columns)
        h in sixteenths, cut to +-127: of two values at least.
    plain : TileModel
        Without lags and coefficients.
    """
    lags = _strong_lags(levels, plain.neighbours) if levels.size >= LEAST_FOR_MORE else ()
    model = replace(plain, mode="prediction", lags=lags)
    near = (*plain.neighbours, *lags)
    grid = _grid(levels.shape, plain.kernel.size)
    fields = sample_contexts(levels, plain.kernel.size, plain.mean, near, *grid)
    n, n_fitted = levels.size, fields.shape[1]
    signed = np.concatenate([fields[:3], fields[6:]])
    places = range(3 + len(near))
    model = replace(model, prediction=_coefficients(signed @ signed.T, places, n, n_fitted))
    if plain.ranks.binary:
        return [model]
    mu = np.array(model.prediction, np.float64) @ signed[:-1]
    expected = np.minimum(np.floor(np.abs(mu) / 64), 16.0 * CLIP)
    one = np.full(n_fitted, 16.0)
    sized = np.abs([*fields[3:6], one, *fields[6:-1], expected, fields[-1]])
    gram = sized @ sized.T
    nested: dict[Mode, Sequence[int]] = {
        "scale": (0, 1, 3),
        "magnitude": range(4 + len(near)),
        "prediction": range(5 + len(near)),
    }
    return [
        replace(model.at(mode), magnitude=_coefficients(gram, places, n, n_fitted))
        for mode, places in nested.items()
    ]


def _grid(shape: tuple[int, ...], kernel: int) -> tuple[int, int]:
    """Return the steps, down and across, of a regular grid of about `_MOST_FITTED` weights.

    It has whole rows, or where there are too few of them, columns.
    """
    n_rows, n_columns = shape
    step = -(-n_rows * n_columns // _MOST_FITTED)
    down = min(step, max(n_rows // 16, 1))
    across = -(-step // down)
    while across > 1 and kernel % across == 0:
        across += 1  # else it would meet the same places of each kernel alone
    return down, across


def _coefficients(gram: Doubles, used: Sequence[int], n: int, n_fitted: int) -> tuple[int, ...]:
    """Return the coefficients of a weighted sum, in 64ths from -128 to 127.

    Parameters
    ----------
    gram : ndarray of float64, shape (n_features + 1, n_features + 1)
        Inner products of features, and of what the sum is to predict: whole numbers, exact.
    used : sequence of int
        Features that may have coefficients, ascending.
    n, n_fitted : int
        Weights in the tile, and those that the inner products are of.
    """
    target, squares = gram[-1], float(gram[-1, -1])
    kept = np.array([i for i in used if gram[i, i] > 0], np.intp)
    solved = np.zeros(kept.size)
    for _ in range(2):
        if not kept.size:
            break
        part = gram[np.ix_(kept, kept)]
        part = part + np.diag(_RIDGE * part.diagonal() + 1e-9)
        inverse = np.linalg.inv(part)
        solved = inverse @ target[kept]
        error = max((squares - float(solved @ target[kept])) / n_fitted, 1e-12 * squares, 1e-9)
        # What leaving one out would cost, in bits: the rise of log2 of the error, over all weights.
        gain = np.square(solved) / (inverse.diagonal() * error * n_fitted * 2 * math.log(2))
        pays = gain * n > COEFFICIENT_BITS + 1
        kept, solved = kept[pays], solved[pays]
    weights = np.zeros(used[-1] + 1)
    weights[kept] = solved
    return tuple(int(c) for c in np.clip(np.rint(64 * weights), -128, 127))


def _strong_lags(levels: Floats, known: tuple[Offset, ...]) -> tuple[Offset, ...]:
    """Return neighbours, besides the `known` ones, at the strongest autocorrelations along an axis.

    Two of h and one of abs(h) along rows, one of each along columns, where they are strong.
    """
    rows, columns = levels.shape
    lags: list[Offset] = []
    for axis, across, wanted in ((1, rows, (2, 1)), (0, columns, (1, 1))):
        lines = np.unique(np.linspace(0, across - 1, min(across, _LINES)).astype(np.intp))
        chosen = (levels[lines, :_LENGTH] if axis else levels[:_LENGTH, lines].T).astype(np.float64)
        for values, count in zip((chosen, np.abs(chosen)), wanted, strict=True):
            score = _autocorrelation(values)
            for lag in np.argsort(-score, kind="stable")[: count + len(known) + len(lags)]:
                place = (0, int(lag)) if axis else (int(lag), 0)
                if score[lag] > _STRONG and count and place not in known and place not in lags:
                    lags.append(place)
                    count -= 1
    return tuple(lags)


def _autocorrelation(lines: Doubles) -> Doubles:
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
    score: Doubles = np.abs(power) / power[0] * (count * length) / np.sqrt(pairs)
    score[0] = 0
    return score
