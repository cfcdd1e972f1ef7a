"""A table in memory: CTM values of blocks by integer code."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Bits = NDArray[np.float64]

_LARGEST_SIZE: Final = 16  # symbols in the largest block of any table: 4x4


@dataclass(frozen=True, eq=False)
class CtmTable:
    """CTM values of blocks, by integer code.

    A block of `size` symbols, read in row-major order, has the code
    ``sum(symbol[i] * n_symbols ** (size - 1 - i))``. Renaming symbols does not change a CTM value,
    so a table holds *normalised* blocks only: symbols numbered in order of first appearance.

    Attributes
    ----------
    name : str
        pybdm's name of the table.
    n_symbols, ndim : int
        Size of the alphabet; 1 for strings, 2 for square blocks.
    keys : ndarray of shape (n_entries,), int64
        ``n_symbols ** size + code`` of every normalised block, ascending. The leading one keeps
        blocks of different sizes apart, and sorts them by size.
    values : ndarray of shape (n_entries,), float64
        CTM value of each key, in bits.
    """

    name: str
    n_symbols: int
    ndim: int
    keys: Codes = field(repr=False)
    values: Bits = field(repr=False)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Sizes, in symbols, of the blocks that the table knows, ascending."""
        return tuple(size for size in range(1, _LARGEST_SIZE + 1) if self._values(size).size)

    def lookup(self, codes: NDArray[np.integer[Any]], size: int) -> tuple[Bits, NDArray[np.bool_]]:
        """Return CTM values of blocks, missing ones imputed.

        Parameters
        ----------
        codes : ndarray of shape (n,), integer
            Codes of blocks, not normalised.
        size : int
            Symbols a block, one of `sizes`.

        Returns
        -------
        values : ndarray of shape (n,), float64
            In bits; :meth:`imputed` where the table has no entry, as pybdm does.
        known : ndarray of shape (n,), bool
            Whether the table has an entry.

        Notes
        -----
        O(n) for two symbols, O(n * (size + log n_entries)) else.
        """
        if self.n_symbols == 2:
            return self._dense[size][codes], np.ones(codes.shape, dtype=np.bool_)
        wanted = self.n_symbols**size + normalised_codes(codes, self.n_symbols, size)
        at = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        known = self.keys[at] == wanted
        values = self.values[at]
        if not known.all():
            values[~known] = self.imputed(size)
        return values, known

    def largest(self, size: int) -> float:
        """Return the largest CTM value of blocks of `size` symbols, in bits."""
        return float(self._values(size).max())

    def smallest(self, size: int) -> float:
        """Return the smallest CTM value of blocks of `size` symbols, in bits."""
        return float(self._values(size).min())

    def imputed(self, size: int) -> float:
        """Return the value of a block that no machine printed: one bit above the largest."""
        return self.largest(size) + 1.0

    def ranked(self, size: int) -> tuple[Bits, NDArray[np.int64]]:
        """Return the blocks of `size` symbols from the most to the least complex.

        Returns
        -------
        values : ndarray, float64
            CTM values of the normalised blocks, descending, in bits.
        n_renamings : ndarray, int64
            How many blocks become that normalised block: ``n_symbols! / (n_symbols - used)!``.
        """
        if size not in self._ranked:
            span = self._span(size)
            digits = _digits(self.keys[span] - self.n_symbols**size, self.n_symbols, size)
            n_used = 1 + np.maximum.reduce(digits)
            renamings = np.array([math.perm(self.n_symbols, u) for u in range(self.n_symbols + 1)])
            order = np.argsort(-self.values[span], kind="stable")
            self._ranked[size] = self.values[span][order], renamings[n_used[order]]
        return self._ranked[size]

    @cached_property
    def _ranked(self) -> dict[int, tuple[Bits, NDArray[np.int64]]]:
        """Results of :meth:`ranked`: half a second for three million blocks."""
        return {}

    @cached_property
    def _dense(self) -> dict[int, Bits]:
        """Two symbols: the values of all ``2 ** size`` codes, for each size."""
        # A normalised block starts with 0, and pybdm's binary tables hold all of those: they are
        # the first half of the codes. The other half are the complements, in reversed order.
        halves = {size: self._values(size) for size in self.sizes}
        return {size: np.concatenate([half, half[::-1]]) for size, half in halves.items()}

    def _values(self, size: int) -> Bits:
        return self.values[self._span(size)]

    def _span(self, size: int) -> slice:
        ends = np.array([self.n_symbols**size, self.n_symbols ** (size + 1)], dtype=np.int64)
        start, stop = np.searchsorted(self.keys, ends)
        return slice(int(start), int(stop))


def normalised_codes(codes: NDArray[np.integer[Any]], n_symbols: int, size: int) -> Codes:
    """Return codes of the same blocks with symbols numbered in order of first appearance.

    Parameters
    ----------
    codes : ndarray of shape (n,), integer
        Codes of blocks of `size` symbols.
    n_symbols, size : int

    Examples
    --------
    >>> normalised_codes(np.array([0b1100, 0b0011]), 2, 4)
    array([3, 3])
    """
    number = np.full((codes.size, n_symbols), -1, dtype=np.int8)
    n_used = np.zeros(codes.size, dtype=np.int8)
    rows = np.arange(codes.size)
    result = np.zeros(codes.size, dtype=np.int64)
    for digit in _digits(codes, n_symbols, size):
        new = number[rows, digit] < 0
        number[rows[new], digit[new]] = n_used[new]
        n_used += new
        result *= n_symbols
        result += number[rows, digit]
    return result


def _digits(codes: NDArray[np.integer[Any]], n_symbols: int, size: int) -> list[Codes]:
    """Return the symbols of each block, first symbol first."""
    rest = codes.astype(np.int64)
    digits: list[Codes] = []
    for _ in range(size):
        rest, digit = np.divmod(rest, n_symbols)
        digits.append(digit)
    return digits[::-1]
