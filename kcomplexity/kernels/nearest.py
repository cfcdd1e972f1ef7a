"""The nearest of many motifs, and how far off the next one is."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import ready
from kcomplexity.kernels.choice import compiled

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]


def two_lowest(scores: Floats) -> tuple[Ints, Floats, Floats]:
    """Return the column of each row's lowest score, that score, and the lowest of the others.

    Parameters
    ----------
    scores : ndarray of float32, shape (n_rows, n_columns)
        At least one column; no NaN.

    Returns
    -------
    best : ndarray of int64, shape (n_rows,)
        The first column of equals.
    lowest, second : ndarray of float32, shape (n_rows,)
        Of a single column, the second is infinite.
    """
    scores = ready(scores, "scores", np.float32, ndim=2)
    if not scores.shape[1]:
        raise ValueError(f"scores of shape {scores.shape}: expected at least one column")
    if compiled is None:
        return two_lowest_numpy(scores)
    best = np.empty(len(scores), np.int64)
    lowest, second = np.empty((2, len(scores)), np.float32)
    compiled.find_two_lowest(scores, best, lowest, second)
    return best, lowest, second


def two_lowest_numpy(scores: Floats) -> tuple[Ints, Floats, Floats]:
    """Define :func:`two_lowest`."""
    rows = np.arange(len(scores))
    best: Ints = scores.argmin(axis=1)
    others = scores.copy()
    others[rows, best] = np.inf
    return best, scores[rows, best], others.min(axis=1)
