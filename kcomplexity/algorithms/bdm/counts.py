"""The counting of blocks: of one array, or of a stream of chunks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.bdm.decomposition import Decomposition, as_symbols
from kcomplexity.algorithms.bdm.windows import block_codes, n_covered
from kcomplexity.algorithms.counting import SymbolCounter, Tally, merge_tallies
from kcomplexity.errors import SpecError


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
        sums = {size: merge_tallies([c[size] for c in both if size in c]) for size in sizes}
        return BlockCounts(self.how, sums, self.n_ignored + other.n_ignored)


class BlockCounter:
    """Counts blocks in chunks of symbols that are cut at block boundaries.

    Counters of parts of a stream add up (``+``) to that of the whole.
    """

    def __init__(self, how: Decomposition) -> None:
        self.how = how
        self.n_symbols = 0
        self._n_covered = 0
        self._by_size: dict[int, SymbolCounter] = {}

    def add(self, symbols: NDArray[Any]) -> None:
        """Count the blocks of one chunk: symbols of `how.ndim` dimensions, below the alphabet.

        Of the usual binary blocks any real numbers will do: what is above zero counts as 1.
        """
        how = self.how
        n_symbols = 0
        for size, codes in block_codes(symbols, how):
            if size not in self._by_size:
                n_codes = how.n_symbols**size
                self._by_size[size] = SymbolCounter(n_codes)
            self._by_size[size].add(codes)
            n_symbols += size * codes.size
        if how.partition == "correlated":
            n_symbols = math.prod(n_covered(n, how.side, how.shift) for n in symbols.shape)
        self._n_covered += n_symbols
        self.n_symbols += symbols.size

    def finish(self) -> None:
        """Make the counter small enough to travel between processes."""
        for counter in self._by_size.values():
            counter.finish()

    def __add__(self, other: BlockCounter) -> BlockCounter:
        total = BlockCounter(self.how)
        total.n_symbols = self.n_symbols + other.n_symbols
        total._n_covered = self._n_covered + other._n_covered
        total._by_size = self._by_size | other._by_size
        for size in self._by_size.keys() & other._by_size.keys():
            total._by_size[size] = self._by_size[size] + other._by_size[size]
        return total

    def counts(self) -> BlockCounts:
        """Return the counts."""
        by_size = {size: counter.tally() for size, counter in sorted(self._by_size.items())}
        return BlockCounts(self.how, by_size, self.n_symbols - self._n_covered)


def count_blocks(array: ArrayLike, how: Decomposition) -> BlockCounts:
    """Count the blocks of an array, which may be too small to hold any.

    The counts of pieces cut at multiples of `how.block` along every axis add up to those of the
    whole with "ignore" and "recursive". Memory beyond the array: one byte a symbol for input wider
    than 8 bits; for alphabets of more than 65,536 blocks also 24 bytes a block.

    Raises
    ------
    UnmeasurableError
        Wrong number of dimensions, not integers, or symbols not below ``how.n_symbols``.
    """
    counter = BlockCounter(how)
    counter.add(as_symbols(array, how))
    return counter.counts()
