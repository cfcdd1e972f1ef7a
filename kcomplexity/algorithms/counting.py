"""Counts of symbols, chunk by chunk: what the entropies, BDM and the context code share.

Symbols of an alphabet of up to 2**16 are counted in a table, one entry a symbol, unless there are
too few of them to fill it. Larger alphabets are counted as sorted distinct values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity import kernels
from kcomplexity.errors import UnmeasurableError

Counts: TypeAlias = NDArray[np.int64]
#: The symbols that occur, ascending, and how often each does (at least once).
Tally: TypeAlias = tuple[NDArray[Any], Counts]

#: Largest alphabet that is counted in a table.
LARGEST_TABLE = 1 << 16
#: Where two counters are added, a table of a larger alphabet may be no larger than their values.
_LARGEST_TABLE_OF_SUM = 1 << 24
#: Symbols that wait to be sorted together, at least.
_WAITING = 1 << 22
#: Bytes that sorting and counting them takes.
SORTING_MEMORY = 40 * _WAITING


def count_symbols(symbols: NDArray[Any], alphabet_size: int) -> Tally:
    """Count the symbols of an array.

    Parameters
    ----------
    symbols : ndarray of unsigned int, any shape
        Below `alphabet_size`.
    alphabet_size : int

    Returns
    -------
    values : ndarray of int64, shape (d,)
        The symbols that occur, ascending.
    counts : ndarray of int64, shape (d,)

    Examples
    --------
    >>> count_symbols(np.array([3, 0, 3], np.uint8), 4)
    (array([0, 3]), array([1, 2]))
    """
    flat = symbols.reshape(-1)
    if _table_pays(flat.size, alphabet_size):
        table = np.zeros(alphabet_size, np.int64)
        add_to_table(table, flat)
        return tally_of_table(table)
    values, counts = _tally_by_sorting(flat)
    return values.astype(np.int64), counts


class SymbolCounter:
    """How often each symbol occurs in a stream that arrives in chunks.

    Parameters
    ----------
    alphabet_size : int
        Symbols are below it.
    most_distinct : int, optional
        More distinct symbols than this are not counted, see :attr:`counts`.

    Notes
    -----
    New symbols wait until there are as many as distinct ones, so that each is sorted a bounded
    number of times. Two counters of parts of a stream add up (``+``) to that of the whole.
    """

    def __init__(self, alphabet_size: int, most_distinct: int | None = None) -> None:
        self.alphabet_size = alphabet_size
        self.most_distinct = most_distinct
        self._table: Counts | None = None
        self._sorted: Tally = np.empty(0, np.uint8), np.empty(0, np.int64)
        self._waiting: list[NDArray[Any]] = []
        self._n_waiting = 0

    @property
    def counts(self) -> Counts:
        """How often each symbol occurs, ascending by symbol; zeros may be among them.

        Raises
        ------
        UnmeasurableError
            If there are more than `most_distinct` different symbols.
        """
        if self._table is not None:
            return self._table
        self.finish()
        if self._too_many:
            raise UnmeasurableError(
                f"more than {self.most_distinct} distinct symbols: a count of each says nothing; "
                "quantise (@q8) or split (@bytes/fields)"
            )
        return self._sorted[1]

    def tally(self) -> Tally:
        """Return the symbols that occur, ascending, as int64, and how often each does."""
        if self._table is not None:
            return tally_of_table(self._table)
        counts = self.counts
        return self._sorted[0].astype(np.int64, copy=False), counts

    def add(self, symbols: NDArray[Any]) -> None:
        """Count the symbols of one chunk, whose memory may be used again afterwards."""
        flat = symbols.reshape(-1)
        if self._table is None and _table_pays(self._n_waiting + flat.size, self.alphabet_size):
            self._table = self._as_table()
        if self._table is not None:
            add_to_table(self._table, flat)
        elif not self._too_many:
            self._waiting.append(flat.copy())
            self._n_waiting += flat.size
            if self._n_waiting >= max(self._sorted[0].size, _WAITING):
                self.finish()

    def finish(self) -> None:
        """Sort the symbols that wait; a counter travels between processes after this."""
        if self._waiting:
            symbols = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
            self._waiting, self._n_waiting = [], 0
            new = _tally_by_sorting(symbols)
            self._sorted = merge_tallies([self._sorted, new]) if self._sorted[0].size else new

    def __add__(self, other: SymbolCounter) -> SymbolCounter:
        total = SymbolCounter(self.alphabet_size, self.most_distinct)
        self.finish()
        other.finish()
        n_distinct = self._sorted[0].size + other._sorted[0].size
        small = self.alphabet_size < min(4 * n_distinct, _LARGEST_TABLE_OF_SUM + 1)
        if small or self._table is not None or other._table is not None:
            total._table = self._as_table() + other._as_table()
        elif self._too_many:
            total._sorted = self._sorted
        else:
            total._sorted = merge_tallies([self._sorted, other._sorted])
        return total

    def _as_table(self) -> Counts:
        """Return one entry a symbol of the alphabet; not copied if it is one already."""
        self.finish()
        if self._table is not None:
            return self._table
        table = np.zeros(self.alphabet_size, np.int64)
        values, counts = self._sorted
        table[values] = counts
        return table

    @property
    def _too_many(self) -> bool:
        return self.most_distinct is not None and self._sorted[0].size > self.most_distinct


def _table_pays(n_symbols: int, alphabet_size: int) -> bool:
    """Whether a table of all symbols is small, and as cheap as sorting those there are."""
    return alphabet_size <= min(LARGEST_TABLE, 8 * n_symbols)


def add_to_table(table: Counts, symbols: NDArray[Any]) -> None:
    """Add the counts of symbols, which are below ``table.size``, to a table in place."""
    flat = symbols.reshape(-1)
    if table.size == 2:
        ones = np.count_nonzero(flat)
        table += (flat.size - ones, ones)
    elif flat.dtype in (np.uint8, np.uint16):
        kernels.count_symbols(flat, table)
    elif 2 * flat.size < table.size:
        np.add.at(table, flat, 1)  # does not touch all of a large table for a few symbols
    else:
        table += np.bincount(flat.astype(np.intp, copy=False), minlength=table.size)


def tally_of_table(table: NDArray[np.integer[Any]]) -> Tally:
    """Return the symbols that occur, and how often, from a table of one entry a symbol."""
    values = np.flatnonzero(table != 0)  # of truth values: eight times as fast
    return values.astype(np.int64, copy=False), table[values].astype(np.int64, copy=False)


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """Add tallies of the same alphabet."""
    some = [tally for tally in tallies if tally[0].size]
    if len(some) < 2:
        return some[0] if some else tallies[0]
    values = np.concatenate([tally[0] for tally in some])
    order = np.argsort(values, kind="stable")  # merges sorted runs
    values = values[order]
    first = _first_of_equals(values)
    counts = np.concatenate([tally[1] for tally in some])[order]
    return values[first], np.add.reduceat(counts, first)


def _tally_by_sorting(flat: NDArray[Any]) -> Tally:
    """Count by sorting: as :func:`numpy.unique`, which is slower for a few symbols."""
    # NumPy sorts little numbers several times as fast as wide ones.
    values = np.sort(flat)
    first = _first_of_equals(values)
    counts = np.empty(first.size, np.int64)
    np.subtract(first[1:], first[:-1], out=counts[:-1])
    counts[-1:] = values.size - first[-1:]
    return values[first], counts


def _first_of_equals(ascending: NDArray[Any]) -> NDArray[np.intp]:
    """Return where each distinct value begins."""
    is_first = np.ones(ascending.size, np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=is_first[1:])
    return np.flatnonzero(is_first)
