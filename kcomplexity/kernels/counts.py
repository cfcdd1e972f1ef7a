"""How often symbols occur: the tables of entropies and of BDM."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import SYMBOLS, own, ready
from kcomplexity.kernels.choice import compiled

Counts: TypeAlias = NDArray[np.int64]

#: Bytes from which on a table of pairs pays.
_PAIRED = 1 << 16


def count_symbols(symbols: NDArray[Any], counts: Counts) -> None:
    """Add to `counts` how often each symbol occurs.

    Parameters
    ----------
    symbols : ndarray of uint8 or uint16, shape (n,)
    counts : ndarray of int64, shape (alphabet_size,)

    Raises
    ------
    ValueError
        If a symbol is not below the size of the alphabet; `counts` is then as it was.
    """
    symbols = ready(symbols, "symbols", *SYMBOLS[:2], ndim=1)
    counts = own(counts, "counts", np.int64, ndim=1)
    if compiled is None:
        count_symbols_numpy(symbols, counts)
    else:
        compiled.count(symbols, counts)


def count_symbols_numpy(symbols: NDArray[Any], counts: Counts) -> None:
    """Define :func:`count_symbols`."""
    if symbols.dtype == np.uint8 and symbols.size >= _PAIRED:
        # A pair of bytes takes one step of the counting loop instead of two.
        pairs = np.bincount(symbols[: symbols.size // 2 * 2].view(np.uint16), minlength=1 << 16)
        both = pairs.reshape(256, 256)
        seen = both.sum(axis=0) + both.sum(axis=1)
        seen[symbols[symbols.size // 2 * 2 :]] += 1
    else:
        seen = np.bincount(symbols, minlength=counts.size)
    if seen[counts.size :].any():
        raise ValueError(f"symbols: one is beyond the table of {counts.size} counts")
    counts[: seen.size] += seen[: counts.size]
