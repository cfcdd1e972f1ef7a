"""BDM of each tile of an array: small enough not to saturate."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.bdm.arrays import ndim_of
from kcomplexity.algorithms.bdm.counts import BlockCounter, BlockCounts
from kcomplexity.algorithms.bdm.decomposition import Decomposition, as_symbols, integer_option
from kcomplexity.algorithms.bdm.value import BdmResult, bdm_result, some_blocks, table_for


@dataclass(frozen=True, eq=False)
class BdmTiles:
    """BDM of each tile of an array, and their sum.

    Attributes
    ----------
    bits : float
        Sum of the tiles' BDM, in bits. Not the BDM of the whole, and larger: a block pays for its
        CTM value anew in each tile.
    values : ndarray of shape (n_tiles,) or (n_tile_rows, n_tile_columns), float64
        BDM of each tile, in bits; NaN where a tile at the edge is smaller than a block.
    n_blocks, n_codes_seen, n_missing, n_ignored : int
        As in :class:`BdmResult`, added up over the tiles: a block is seen anew in each.
    saturation : float
        The largest of any tile.
    """

    bits: float
    values: NDArray[np.float64] = field(repr=False)
    n_blocks: int
    n_codes_seen: int
    n_missing: int
    n_ignored: int
    saturation: float

    @property
    def saturated(self) -> bool:
        """Whether any tile's value says little more about its data."""
        return self.saturation >= 0.5


def bdm_tiles(
    array: ArrayLike, tile: int, *, n_symbols: int = 2, block: int | None = None
) -> BdmTiles:
    """Return the BDM of each tile of an array, so that the sum does not saturate.

    Parameters
    ----------
    array : array_like of shape (n,) or (n_rows, n_columns), boolean or integer
        Values 0 to ``n_symbols - 1``.
    tile : int
        Symbols a tile in one dimension; side of the square tiles in two. At least a block. Tiles
        at the far edges are smaller; those smaller than a block are counted in `n_ignored`.
    n_symbols, block
        As in :func:`bdm1d` and :func:`bdm2d`; the partition is "ignore".

    Returns
    -------
    BdmTiles

    Raises
    ------
    UnmeasurableError
        As :func:`bdm1d` and :func:`bdm2d`.
    SpecError
        The tile is smaller than a block, or there is no table.

    Examples
    --------
    >>> bdm_tiles(np.zeros((8, 10), dtype=int), 8).values.shape
    (1, 2)
    """
    whole = np.asarray(array)
    how = Decomposition(ndim_of(whole), n_symbols, block)
    tile = integer_option("tile", tile, how.side)
    table_for(how)
    symbols = as_symbols(whole, how)
    values = np.full([-(-n // tile) for n in symbols.shape], np.nan)
    results: list[BdmResult] = []
    n_ignored = 0
    for index in np.ndindex(values.shape):
        counter = BlockCounter(how)
        counter.add(symbols[tuple(slice(i * tile, (i + 1) * tile) for i in index)])
        counts = counter.counts()
        n_ignored += counts.n_ignored
        if counts.by_size:
            results.append(bdm_result(counts))
            values[index] = results[-1].bits
    if not results:
        some_blocks(BlockCounts(how, {}, n_ignored))
    return BdmTiles(
        bits=math.fsum(r.bits for r in results),
        values=values,
        n_blocks=sum(r.n_blocks for r in results),
        n_codes_seen=sum(r.n_codes_seen for r in results),
        n_missing=sum(r.n_missing for r in results),
        n_ignored=n_ignored,
        saturation=max(r.saturation for r in results),
    )
