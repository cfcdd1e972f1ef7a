"""The low-rank code of one band: a product of two small integer matrices, and what it leaves.

A band is decoded as ``grid * (left @ right) + step * levels``. All three matrices are whole numbers
and their product is exact in float64, so a decoder gets the same weights bit for bit.

1. The singular vectors of the band come from the eigenvectors of its smaller Gram matrix
   (:func:`singular_vectors`); sides are at most 2048, so this is exact and fast. Singular values
   below 1e-7 of the largest are noise of that and left out.
2. For a rank r and a fineness f both factors are rounded to grids that change the product by about
   f steps (:func:`_factors`).
3. The step of the residual is searched until the *decoded* band has the squared error that the
   view's plain levels have (:func:`_residual_step`).

The order of rows and of columns makes no difference to the length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.length import order0_code
from kcomplexity.algorithms.counting import count_symbols
from kcomplexity.algorithms.entropy_coding.lengths import elias_gamma_bits, two_part_bits
from kcomplexity.algorithms.step_search import find_step
from kcomplexity.errors import UnmeasurableError

Matrix: TypeAlias = NDArray[Any]
RANKS = (0, 1, 2, 4, 8, 16, 32, 64)
FINENESS = (1.0, 0.7, 0.5, 0.35)
#: Ranks tried in full, of those that look best by their singular values.
_TRIED = 3
#: That look costs a few per cent: ranks whose bits seem larger than this share are not tried.
_MARGIN = 1.03
_NOISE = 1e-7


@dataclass(frozen=True)
class LowRankModel:
    """What the decoder of one band needs.

    Attributes
    ----------
    left, right : ndarray of int64, shapes (rows, r) and (r, columns)
    grid : float
        What one unit of their product is in weights.
    step : float
        What one level is in weights.
    levels : ndarray of int64, shape (rows, columns)
        The residual.
    """

    left: Matrix
    right: Matrix
    grid: float
    step: float
    levels: Matrix

    @property
    def rank(self) -> int:
        """Columns of `left`."""
        return int(self.left.shape[1])

    @property
    def decoded(self) -> Matrix:
        """The weights that a decoder gets, in float64."""
        return _product(self.left, self.right, self.grid) + self.step * self.levels

    @cached_property
    def factor_bits(self) -> float:
        """Bits of both factors, column by column of `left` and row by row of `right`."""
        if not self.rank:
            return 0.0
        return 64 + math.fsum(_column_bits(column) for column in (*self.left.T, *self.right))

    @cached_property
    def residual_bits(self) -> float:
        """Bits of the levels and their step."""
        return 64 + residual_code(self.levels)[1]

    @property
    def bits(self) -> float:
        """Bits of the whole band, the choice of rank and fineness included."""
        choice = math.log2(len(RANKS) * len(FINENESS))
        return choice + self.factor_bits + self.residual_bits


def low_rank_code(weights: Matrix, step: float) -> LowRankModel:
    """Return the shortest low-rank code of a band that decodes at the error of plain levels.

    It is of rank 0, the plain levels themselves, if no other is shorter.

    Parameters
    ----------
    weights : ndarray of float64, shape (rows, columns)
        Finite; the smaller side at most 2048.
    step : float
        Of the plain levels round(w / step).
    """
    levels = np.rint(weights / step)
    target = float(np.square(weights - levels * step).sum())
    best = _plain(weights.shape, step, levels)
    if not target or min(weights.shape) < 2:
        return best
    left, right, energies = singular_vectors(weights, min(RANKS[-1], min(weights.shape) // 2))
    finenesses: tuple[float, ...] = FINENESS
    for rank in _promising(weights, energies, target, step):
        tried: list[float] = []
        for fineness in finenesses:
            model = _code(weights, left[:, :rank], right[:rank], step * fineness, target)
            if model.bits < best.bits:
                best = model
            tried.append(model.bits)
            if model.bits > min(tried):
                break  # finer factors cost more than they save from here on
        # The fineness that suits one rank suits the next: only that one is tried there.
        finenesses = (finenesses[tried.index(min(tried))],)
    return best


def singular_vectors(weights: Matrix, count: int) -> tuple[Matrix, Matrix, NDArray[np.float64]]:
    """Return at most `count` leading singular vectors, each scaled by the root of its value.

    Returns
    -------
    left : ndarray of float64, shape (rows, r)
    right : ndarray of float64, shape (r, columns)
        `left` @ `right` is the best approximation of rank r.
    energies : ndarray of float64, shape (r,)
        Squared singular values, falling.
    """
    from scipy.linalg import eigh

    rows, columns = weights.shape
    if rows > columns:
        right, left, energies = singular_vectors(weights.T, count)
        return left.T, right.T, energies
    scale = float(np.abs(weights).max())
    scaled = weights / scale
    gram = scaled @ scaled.T
    values, vectors = eigh(gram, subset_by_index=[rows - count, rows - 1], check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > values[0] * _NOISE**2
    roots = np.sqrt(np.sqrt(values[kept])) * math.sqrt(scale)
    vectors = vectors[:, kept]
    return vectors * roots, (vectors.T @ weights) / roots[:, None], values[kept] * scale**2


def residual_code(levels: Matrix) -> tuple[int, float]:
    """Return the lowest level and the bits of all levels, order-0, with their range."""
    lowest, size = int(levels.min()), int(np.ptp(levels)) + 1
    values, counts = count_symbols((levels - lowest).reshape(-1), size)
    code = order0_code(values, counts, size)
    return lowest, _range_bits(lowest, size) + min(code.values())


def _column_bits(column: Matrix) -> float:
    lowest, highest = int(column.min()), int(column.max())
    size = highest - lowest + 1
    return _range_bits(lowest, size) + two_part_bits(np.unique(column, return_counts=True)[1], size)


def _range_bits(lowest: int, size: int) -> int:
    """Return the bits of the lowest of some whole numbers and of how many there may be."""
    return 1 + elias_gamma_bits(abs(lowest) + 1) + elias_gamma_bits(size)


def _plain(shape: tuple[int, ...], step: float, levels: Matrix) -> LowRankModel:
    left, right = np.zeros((shape[0], 0), np.int64), np.zeros((0, shape[1]), np.int64)
    return LowRankModel(left, right, 0.0, step, levels.astype(np.int64))


def _promising(
    weights: Matrix, energies: NDArray[np.float64], target: float, step: float
) -> list[int]:
    """Return the ranks that may pay by the energy they leave, the most promising first."""
    total = float(np.square(weights).sum())
    n, sides = weights.size, sum(weights.shape)
    plain = n / 2 * math.log2(1 + total / target)
    ranks = []
    for rank in RANKS[1:]:
        if rank > energies.size:
            break
        left = max(total - float(energies[:rank].sum()), 0.0)
        spread = math.sqrt(float(energies[:rank].sum()) / n) / (step / 2)
        bits = n / 2 * math.log2(1 + left / target) + rank * sides * math.log2(1 + 4 * spread)
        if bits < _MARGIN * plain:
            ranks.append((bits, rank))
    return [rank for _, rank in sorted(ranks)[:_TRIED]]


def _code(
    weights: Matrix, left: Matrix, right: Matrix, change: float, target: float
) -> LowRankModel:
    left, right, grid = _factors(left, right, change)
    residual = weights - _product(left, right, grid)
    step = _residual_step(residual, target)
    return LowRankModel(left, right, grid, step, np.rint(residual / step).astype(np.int64))


def _factors(left: Matrix, right: Matrix, change: float) -> tuple[Matrix, Matrix, float]:
    """Round both factors so that each changes their product by about `change` / sqrt(12)."""
    root = math.sqrt(left.shape[1])
    of_left = change / (root * math.sqrt(float(np.square(right).mean())))
    of_right = change / (root * math.sqrt(float(np.square(left).mean())))
    rounded = np.rint(left / of_left), np.rint(right / of_right)
    return rounded[0].astype(np.int64), rounded[1].astype(np.int64), of_left * of_right


def _product(left: Matrix, right: Matrix, grid: float) -> Matrix:
    # Whole numbers below 2**53: exact in float64, in any order of additions.
    product: Matrix = (left.astype(np.float64) @ right.astype(np.float64)) * grid
    return product


def _residual_step(residual: Matrix, target: float) -> float:
    """Return the coarsest step whose squared error is at most `target`, by the search of rdE."""
    squares, top = float(np.square(residual).sum()), float(np.abs(residual).max())
    if squares <= target:
        return max(4 * top, 1e-300)  # every level is 0
    try:
        return find_step(residual, target / squares)
    except UnmeasurableError:
        # The target is tiny against the residual: no step in float64 is that fine.
        return math.sqrt(target / residual.size)
