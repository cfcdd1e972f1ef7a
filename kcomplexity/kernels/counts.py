"""How often symbols occur, and blocks of bits: the tables of entropies and of BDM."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import SYMBOLS, own, ready
from kcomplexity.kernels.choice import compiled

__all__ = ["count_blocks", "count_blocks_numpy", "count_symbols", "count_symbols_numpy"]

Counts: TypeAlias = NDArray[np.int64]

#: Codes of a plane that wait to be counted.
_WAITING = 1 << 15


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
    seen = np.bincount(symbols, minlength=counts.size)
    if seen.size > counts.size:
        raise ValueError(f"symbol {seen.size - 1} is beyond a table of {counts.size} counts")
    counts += seen


def count_blocks(symbols: NDArray[np.uint8], counts: Counts) -> None:
    """Add to `counts` how often each block of bits occurs, in every plane of the symbols.

    Parameters
    ----------
    symbols : ndarray of uint8, shape (n,) or (n_rows, n_columns)
    counts : ndarray of int64, shape (n_planes, 4096) or (n_planes, 65536)
        For blocks of 12 bits in a row, or of 4x4 bits. Plane 0 is the highest of the `n_planes`
        lowest bits of a symbol. A code has the block's first bit, in row-major order, as its most
        significant. The last ``n % 12`` symbols, or ``n % 4`` rows and columns, are left out.
    """
    symbols = ready(symbols, "symbols", np.uint8)
    counts = own(counts, "counts", np.int64, ndim=2)
    n_codes = {1: 1 << 12, 2: 1 << 16}.get(symbols.ndim)
    if counts.shape[1] != n_codes or not 1 <= len(counts) <= 8:
        raise ValueError(
            f"symbols of shape {symbols.shape}, counts of shape {counts.shape}: expected one or "
            "two axes, and one to eight planes of 4096 or 65536 codes"
        )
    if compiled is None:
        count_blocks_numpy(symbols, counts)
    else:
        scratch = np.empty(_WAITING * len(counts) if len(counts) > 1 else 0, np.uint16)
        compiled.count_blocks(symbols, counts, scratch)


def count_blocks_numpy(symbols: NDArray[np.uint8], counts: Counts) -> None:
    """Define :func:`count_blocks`."""
    for plane, row in enumerate(counts):
        bits = symbols >> np.uint8(len(counts) - 1 - plane) & np.uint8(1)
        codes = _runs(bits) if bits.ndim == 1 else _squares(bits)
        row += np.bincount(codes, minlength=row.size)


def _runs(bits: NDArray[np.uint8]) -> NDArray[np.intp]:
    blocks = bits[: bits.size // 12 * 12].reshape(-1, 12)
    # Twelve bits fill a byte and half of the next.
    high, low = np.packbits(blocks, axis=1).astype(np.intp).T
    codes: NDArray[np.intp] = high << 4 | low >> 4
    return codes


def _squares(bits: NDArray[np.uint8]) -> NDArray[np.intp]:
    n_rows, n_columns = (n // 4 for n in bits.shape)
    blocks = bits[: 4 * n_rows, : 4 * n_columns].reshape(n_rows, 4, n_columns, 4)
    high, low = np.packbits(blocks.transpose(0, 2, 1, 3).reshape(-1, 16), axis=1).T.astype(np.intp)
    codes: NDArray[np.intp] = high << 8 | low
    return codes
