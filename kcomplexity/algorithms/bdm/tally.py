"""How often each code occurs: the counting that all kinds of blocks share."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codes", "Tally", "few", "merged", "seen", "tally"]

Codes = NDArray[np.int64]
#: Ascending codes of the blocks seen, and how often each was.
Tally = tuple[Codes, NDArray[np.int64]]

#: Up to this many codes blocks are counted in a dense array; beyond it they are sorted.
_DENSE_CODES: Final = 1 << 16


def tally(codes: NDArray[np.integer[Any]], n_codes: int) -> Tally:
    """Count codes, which are below `n_codes`."""
    if few(codes.size, n_codes):
        found, counts = np.unique(codes, return_counts=True)
        return found.astype(np.int64), counts.astype(np.int64)
    return seen(np.bincount(codes, minlength=n_codes))


def few(n_blocks: int, n_codes: int) -> bool:
    """Whether sorting the blocks is cheaper, or only possible, against an array of all codes."""
    return n_codes > _DENSE_CODES or 8 * n_blocks < n_codes


def seen(counts: NDArray[np.int64]) -> Tally:
    """Return the codes that occur, from a number for each code."""
    codes = np.flatnonzero(counts != 0)  # of truth values: eight times as fast
    return codes.astype(np.int64), counts[codes]


def merged(tallies: list[Tally]) -> Tally:
    """One tally of several of the same block size."""
    if len(tallies) == 1:
        return tallies[0]
    codes, which = np.unique(np.concatenate([t[0] for t in tallies]), return_inverse=True)
    counts = np.zeros(codes.size, dtype=np.int64)
    np.add.at(counts, which, np.concatenate([t[1] for t in tallies]))
    return codes, counts
