"""Counted blocks, which add up: what travels between pieces, threads and processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm.tally import Tally, merged, seen
from kcomplexity.errors import SpecError

if TYPE_CHECKING:
    from kcomplexity.algorithms.bdm.decomposition import Decomposition

__all__ = ["BlockCounts"]


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """How often each block was seen. Counts of pieces cut at block boundaries add up with ``+``.

    Attributes
    ----------
    how : Decomposition
        How the blocks were cut.
    by_size : mapping of int to (codes, counts)
        For each block size in symbols, the ascending codes of the blocks seen (int64; row-major,
        most significant symbol first) and their numbers of occurrences (int64, at least 1).
    n_ignored : int
        Elements that no block covers.
    """

    how: Decomposition
    by_size: Mapping[int, Tally] = field(repr=False)
    n_ignored: int = 0

    @classmethod
    def from_dense(
        cls, counts: NDArray[np.integer[Any]], how: Decomposition, n_ignored: int = 0
    ) -> BlockCounts:
        """Counts from an array with one number for each code, zeros included.

        Parameters
        ----------
        counts : ndarray of shape (how.n_codes,), integer
            As made, for example, by :func:`binary_counts_1d`.
        how : Decomposition
            How the blocks were cut.
        n_ignored : int, default 0
            Elements that no block covers.

        Examples
        --------
        >>> from kcomplexity.algorithms.bdm import Decomposition, bdm_value, binary_counts_1d
        >>> dense = binary_counts_1d(np.zeros(30, dtype=np.uint8))
        >>> bdm_value(BlockCounts.from_dense(dense, Decomposition(1), n_ignored=6))
        26.6104137476
        """
        if counts.shape != (how.n_codes,):
            raise SpecError(
                f"dense counts have shape {counts.shape}, expected ({how.n_codes},): "
                f"one for each block of {how.size} out of {how.n_symbols} symbols"
            )
        tally = seen(counts.astype(np.int64, copy=False))
        return cls(how, {how.size: tally} if tally[0].size else {}, n_ignored)

    @property
    def n_blocks(self) -> int:
        """How many blocks were seen, of all sizes."""
        return sum(int(counts.sum()) for _, counts in self.by_size.values())

    @property
    def n_codes_seen(self) -> int:
        """How many different blocks were seen, of all sizes."""
        return sum(codes.size for codes, _ in self.by_size.values())

    def __add__(self, other: BlockCounts) -> BlockCounts:
        if not isinstance(other, BlockCounts):
            return NotImplemented
        if self.how != other.how:
            raise SpecError(f"counts of different blocks do not add up: {self.how}, {other.how}")
        sizes = sorted({*self.by_size, *other.by_size})
        both = (self.by_size, other.by_size)
        sums = {size: merged([c[size] for c in both if size in c]) for size in sizes}
        return BlockCounts(self.how, sums, self.n_ignored + other.n_ignored)
