"""The contexts of a tile: the features that coefficients are fitted on, and the table of levels.

The context code is defined in :mod:`kcomplexity.algorithms.context.model`. Levels h come here in
sixteenths, cut to +-127: whole numbers small enough that float32 (sums: float64) is exact, so the
values are those that a decoder computes in integers, whatever the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import ready
from kcomplexity.kernels.choice import compiled

Floats: TypeAlias = NDArray[np.float32]
Offset: TypeAlias = tuple[int, int]

#: The largest level, in sixteenths.
_MOST = 16 * 127
_CELLS = 512
_PATTERN = 5


def sample_contexts(
    levels: Floats, kernel: int, mean: int, near: Sequence[Offset], down: int, across: int
) -> NDArray[np.float64]:
    """Return what contexts are made of, at the weights of a regular grid.

    Parameters
    ----------
    levels : ndarray of float32, shape (n_rows, n_columns)
        h in sixteenths, from -2032 to 2032.
    kernel : int
        Weights of one kernel; 1 for a matrix.
    mean : int
        Mean of abs(h), in sixteenths.
    near : sequence of (int, int)
        Neighbours: rows up, columns left. At most 32.
    down, across : int
        The grid has every `down`-th row from the first on, and every `across`-th column.

    Returns
    -------
    ndarray of float64, shape (7 + n_near, n_sampled)
        Running means of h along the row, the column and the kernel (zeros if it is 1); the same of
        abs(h); h of each neighbour (outside the tile 0); h itself.
    """
    levels, places = _checked(levels, kernel, mean, near)
    if down < 1 or across < 1:
        raise ValueError(f"every {down} rows and {across} columns: expected 1 or more")
    if compiled is None:
        return sample_contexts_numpy(levels, kernel, mean, near, down, across)
    rows, columns = levels.shape
    fields = np.empty((7 + len(places), -(-rows // down) * -(-columns // across)))
    compiled.sample_contexts(
        levels, places, kernel, mean, down, across, np.empty(6 * columns), fields
    )
    return fields


def sample_contexts_numpy(
    levels: Floats, kernel: int, mean: int, near: Sequence[Offset], down: int, across: int
) -> NDArray[np.float64]:
    """Define :func:`sample_contexts`."""
    means = (*_means(levels, kernel, 0), *_means(np.abs(levels), kernel, mean))
    fields = chain(means, (_shifted(levels, place) for place in near), [levels])
    return np.array([field[::down, ::across].reshape(-1) for field in fields], np.float64)


def count_contexts(
    levels: Floats,
    kernel: int,
    mean: int,
    near: Sequence[Offset],
    *,
    magnitude: Sequence[int] = (),
    prediction: Sequence[int] = (),
    magnitude_cells: NDArray[np.uint8],
    prediction_cells: NDArray[np.uint8],
    pattern: int = 0,
    top: int = 15,
) -> NDArray[np.int64]:
    """Return how often each level occurs in each cell.

    Parameters
    ----------
    levels, kernel, mean, near
        As for :func:`sample_contexts`.
    magnitude : sequence of int
        Coefficients of m, in 64ths from -128 to 127: row, column and kernel means, the constant 1,
        neighbours, abs(mu). Those left out are 0; all of them, and there is no m.
    prediction : sequence of int
        Coefficients of mu: row, column and kernel means, neighbours.
    magnitude_cells, prediction_cells : ndarray of uint8, shape (16384,)
        M of m (below 32), and x of abs(mu) (below 16), both in 1024ths.
    pattern : int
        If not 0, M says which of this many first neighbours (5 at most) have the sign of mu.
    top : int
        Levels are cut to +-`top`.

    Returns
    -------
    ndarray of int64, shape (512, 2 * top + 1)
        By cell 16 M + x, and by h + top, h being mirrored where mu is negative.
    """
    levels, places = _checked(levels, kernel, mean, near)
    if not 1 <= top <= 127 or not 0 <= pattern <= min(_PATTERN, len(places)):
        raise ValueError(f"top={top}, pattern={pattern}: expected 1 to 127, at most 5 neighbours")
    by_m = _padded(magnitude, 5 + len(places))
    by_mu = _padded(prediction, 3 + len(places))
    cells = ready(magnitude_cells, "magnitude_cells", np.uint8, ndim=1)
    mu_cells = ready(prediction_cells, "prediction_cells", np.uint8, ndim=1)
    if compiled is None:
        return count_contexts_numpy(
            levels,
            kernel,
            mean,
            near,
            magnitude=magnitude,
            prediction=prediction,
            magnitude_cells=cells,
            prediction_cells=mu_cells,
            pattern=pattern,
            top=top,
        )
    table = np.zeros((_CELLS, 2 * top + 1), np.int64)
    scratch = np.empty(6 * levels.shape[1])
    compiled.count_contexts(
        levels, places, kernel, mean, by_m, by_mu, cells, mu_cells, pattern, scratch, table
    )
    return table


def count_contexts_numpy(
    levels: Floats,
    kernel: int,
    mean: int,
    near: Sequence[Offset],
    *,
    magnitude: Sequence[int] = (),
    prediction: Sequence[int] = (),
    magnitude_cells: NDArray[np.uint8],
    prediction_cells: NDArray[np.uint8],
    pattern: int = 0,
    top: int = 15,
) -> NDArray[np.int64]:
    """Define :func:`count_contexts`."""
    mu = np.zeros(levels.shape, np.float32)
    if prediction:
        around = (_shifted(levels, place) for place in near)
        mu = _weighted(levels.shape, prediction, chain(_means(levels, kernel, 0), around))
    size, negative = np.abs(mu), mu < 0
    cell = prediction_cells[np.minimum(size, np.float32(prediction_cells.size - 1)).astype(np.intp)]
    cell = cell.astype(np.intp)
    if pattern:
        for bit, place in enumerate(near[:pattern]):
            beside = _shifted(levels, place)
            alike = np.where(negative, -beside, beside) > 0
            cell += alike.astype(np.intp) << (4 + _PATTERN - 1 - bit)
    elif magnitude:
        sizes = np.abs(levels)
        sixteenths = np.minimum(np.floor(size / np.float32(64)), np.float32(_MOST))
        around = (np.abs(_shifted(levels, place)) for place in near)
        one = np.full(levels.shape, 16, np.float32)
        means = _means(sizes, kernel, mean)
        m = _weighted(levels.shape, magnitude, chain(means, [one], around, [sixteenths]))
        m = np.clip(m, 0, magnitude_cells.size - 1)
        cell += magnitude_cells[m.astype(np.intp)].astype(np.intp) << 4
    level = np.clip(levels / np.float32(16), -top, top).astype(np.intp)
    cell = cell * (2 * top + 1) + np.where(negative, -level, level) + top
    table = np.bincount(cell.reshape(-1), minlength=_CELLS * (2 * top + 1))
    return table.reshape(_CELLS, -1)


def _checked(
    levels: Floats, kernel: int, mean: int, near: Sequence[Offset]
) -> tuple[Floats, NDArray[np.int64]]:
    levels = ready(levels, "levels", np.float32, ndim=2)
    if kernel < 1 or not 0 <= mean <= _MOST:
        raise ValueError(f"kernel={kernel}, mean={mean}: expected 1 or more, and 0 to {_MOST}")
    if compiled is None and levels.size and not -_MOST <= levels.min() <= levels.max() <= _MOST:
        raise ValueError(f"levels: expected sixteenths from -{_MOST} to {_MOST}")
    return levels, np.array(near, np.int64).reshape(-1, 2)


def _padded(coefficients: Sequence[int], size: int) -> NDArray[np.int32]:
    """Return coefficients with a zero for each that is left out; none if none is there."""
    if len(coefficients) > size:
        raise ValueError(f"{len(coefficients)} coefficients: expected {size} at most")
    padded = np.zeros(size if len(coefficients) else 0, np.int32)
    padded[: len(coefficients)] = coefficients
    return padded


def _means(values: Floats, kernel: int, prior: int) -> tuple[Floats, Floats, Floats]:
    """Return running means along the row, the column and the kernel: numbers that came before.

    Four more numbers of `prior` are counted in, so that the first ones do not decide alone.
    """
    n_rows, n_columns = values.shape
    along = np.cumsum(values, axis=1, dtype=np.float64) - values
    down = np.cumsum(values, axis=0, dtype=np.float64) - values
    columns = np.arange(n_columns)
    inside = np.zeros(values.shape, np.float32)
    if kernel > 1:
        inside = _mean(along - along[:, columns - columns % kernel], columns % kernel, prior)
    return _mean(along, columns, prior), _mean(down, np.arange(n_rows)[:, None], prior), inside


def _mean(sums: NDArray[np.float64], counts: NDArray[Any], prior: int) -> Floats:
    """Return floor((sums + 4 prior) / (counts + 4)), which rounding never puts beyond a whole."""
    return np.floor((sums + 4.0 * prior) / (counts + 4.0)).astype(np.float32)


def _shifted(values: Floats, place: Offset) -> Floats:
    """Return the neighbour of each value; outside the tile zeros."""
    (up, left), (n_rows, n_columns) = place, values.shape
    shifted = np.zeros_like(values)
    if up < n_rows and abs(left) < n_columns:
        source = values[: n_rows - up, max(-left, 0) : n_columns - max(left, 0)]
        shifted[up:, max(left, 0) : n_columns - max(-left, 0)] = source
    return shifted


def _weighted(
    shape: tuple[int, ...], coefficients: Sequence[int], fields: Iterable[Floats]
) -> Floats:
    total = np.zeros(shape, np.float32)
    for coefficient, field in zip(coefficients, fields, strict=False):
        if coefficient:
            total += np.float32(coefficient) * field
    return total
