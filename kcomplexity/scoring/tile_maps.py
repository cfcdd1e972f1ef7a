"""Where is the structure? BDM of each tile of a matrix, compared with its own shuffled selves.

One figure for a layer says how much order there is, not where. A :class:`TileMap` is the picture:
a ratio for each tile, below 1 where the tile is simpler than the same tile of shuffled weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.bdm import bdm_tiles
from kcomplexity.controls.shuffles import Shuffle
from kcomplexity.errors import SpecError
from kcomplexity.loaders.mapping import from_mapping
from kcomplexity.parallel import Reducer, State, fold, spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.account import TileRatios
from kcomplexity.results.records import Score
from kcomplexity.scoring.plan import Plan
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.levels import SignView

#: The rows that a map belongs to.
TILED = "bdm2d@sign"
_SHUFFLES = 19


@dataclass(frozen=True, eq=False)
class TileMap:
    """2-D BDM of the signs of each tile of a matrix, and of the same tiles after shuffles.

    Attributes
    ----------
    tile : int
        Side of a tile, in weights.
    n_shuffles : int
    bits : ndarray of shape (n_tile_rows, n_tile_columns), float64
        BDM of each tile, in bits; NaN where a tile at the edge is smaller than a block of 4x4.
    shuffled_bits : ndarray of the same shape, float64
        Its mean over the shuffled matrices.
    """

    tile: int
    n_shuffles: int
    bits: NDArray[np.float64] = field(repr=False)
    shuffled_bits: NDArray[np.float64] = field(repr=False)

    @property
    def ratios(self) -> NDArray[np.float64]:
        """`bits` over `shuffled_bits`: below 1 = simpler than chance; NaN as in `bits`."""
        ratios: NDArray[np.float64] = self.bits / self.shuffled_bits
        return ratios

    def to_record(self) -> TileRatios:
        """Return what a report keeps of it: the ratios, None where a tile has none.

        Examples
        --------
        >>> tile_map(np.eye(8), 4, shuffles=2).to_record().n_shuffles
        2
        """
        ratios = tuple(tuple(None if np.isnan(r) else float(r) for r in row) for row in self.ratios)
        return TileRatios(tile=self.tile, n_shuffles=self.n_shuffles, ratios=ratios)


def tile_map(
    matrix: ArrayLike | Tensor,
    tile: int = 64,
    *,
    shuffles: int = _SHUFFLES,
    seed: int = 0,
    name: str = "matrix",
) -> TileMap:
    """Measure each tile of a matrix and compare it with the same tile of the shuffled matrix.

    The whole matrix is shuffled, so that a tile whose share of positive weights is unusual stands
    out as well as one with a pattern.

    Parameters
    ----------
    matrix : array_like of shape (n_rows, ...), real, or Tensor
        More than two dimensions are taken as (n_rows, product of the others).
    tile : int
        Side of a tile, at least 4. Up to 800 no tile saturates; with 32 or less a tile has so few
        blocks that its ratio scatters.
    shuffles : int
        How many shuffled matrices.
    seed : int
        The shuffles are those that the control ``shuffle`` makes of a tensor called `name`.
    name : str
        Of an array; a Tensor brings its own.

    Returns
    -------
    TileMap

    Raises
    ------
    UnmeasurableError
        A side shorter than a block of 4; NaN or infinite weights; no floating-point weights.
    SpecError
        `tile` or `shuffles` out of range.

    Notes
    -----
    O(n) for each shuffle, some 30 ns a weight and 5 us a tile. The matrix is held in memory.

    Examples
    --------
    A constant corner in noise:

    >>> weights = np.random.default_rng(0).standard_normal((128, 128))
    >>> weights[:64, 64:] = 1
    >>> (tile_map(weights, 64, shuffles=2).ratios < 0.5).tolist()
    [[False, True], [False, False]]
    """
    if shuffles < 1:
        raise SpecError(f"shuffles={shuffles}: expected at least 1, e.g. {_SHUFFLES}")
    with Pool(1) as pool:
        if isinstance(matrix, Tensor):
            return _map_of(matrix, tile, shuffles, seed, pool)
        with from_mapping({name: np.atleast_1d(np.asarray(matrix))}) as checkpoint:
            return _map_of(checkpoint[name], tile, shuffles, seed, pool)


def check_tiles(plan: Plan) -> None:
    """Refuse a map of tiles, with a SpecError, where no row of the plan could have one."""
    if TILED not in {str(task.spec) for task in plan.tasks}:
        raise SpecError(f"a map of tiles adds to the rows of {TILED}: name it among the specs")


def with_tile_maps(rows: Sequence[Score], plan: Plan, tile: int, pool: Pool) -> list[Score]:
    """Put a map of tiles of `tile` weights a side into the rows of ``bdm2d@sign``, one a tensor.

    Rows of other specs or of several tensors, and those that were not measured, are returned as
    they are.
    """
    tensors = {(c.path, t.name): t for c in plan.checkpoints for t in c.values()}
    mapped = []
    for row in rows:
        if row.spec == TILED and row.scope == "tensor" and row.status == "ok" and row.tensor:
            tensor = tensors[row.checkpoint, row.tensor]
            record = _map_of(tensor, tile, _SHUFFLES, plan.seed, pool).to_record()
            row = replace(row, tiles=record)
        mapped.append(row)
    return mapped


def _map_of(tensor: Tensor, tile: int, shuffles: int, seed: int, pool: Pool) -> TileMap:
    tensor = spool(tensor, pool)

    def reduce(reducer: Reducer) -> State:
        return fold(tensor, [reducer], pool, work=0)[0]

    SignView().prepare(tensor, reduce)  # raises where weights have no sign
    bits = _tile_bits(tensor, tile)
    total = np.zeros_like(bits)
    with closing(Shuffle(n=shuffles).replicates(tensor, seed, pool)) as replicates:
        for replicate in replicates:
            total += _tile_bits(replicate, tile)
    return TileMap(tile, shuffles, bits, total / shuffles)


def _tile_bits(tensor: Tensor, tile: int) -> NDArray[np.float64]:
    weights = tensor.read(0, tensor.n_weights)
    return bdm_tiles(weights.reshape(tensor.matrix_shape) > 0, tile).values
