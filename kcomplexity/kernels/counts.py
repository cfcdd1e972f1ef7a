"""How often symbols occur, and blocks of bits: the tables of entropies and of BDM."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import SYMBOLS, own, ready
from kcomplexity.kernels.choice import compiled

Counts: TypeAlias = NDArray[np.int64]

#: Codes of a plane that wait to be counted.
_WAITING = 1 << 15
#: Symbols that the twins code at a time: their codes stay in the cache. A multiple of 12 and 16.
_SLAB = 12 << 15
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
    if n_codes is None or counts.shape[1] != n_codes or not 1 <= len(counts) <= 8:
        raise ValueError(
            f"symbols of shape {symbols.shape}, counts of shape {counts.shape}: expected one or "
            "two axes, and one to eight planes of 4096 or 65536 codes"
        )
    if compiled is None:
        count_blocks_numpy(symbols, counts)
    else:
        scratch = np.empty(len(counts) * _WAITING + n_codes if len(counts) > 1 else 0, np.uint16)
        compiled.count_blocks(symbols, counts, scratch)


def count_blocks_numpy(symbols: NDArray[np.uint8], counts: Counts) -> None:
    """Define :func:`count_blocks`."""
    if symbols.ndim == 1:
        parts = np.split(symbols[: symbols.size // 12 * 12], range(_SLAB, symbols.size, _SLAB))
    else:
        n_rows, n_columns = (n // 4 * 4 for n in symbols.shape)
        height = max(_SLAB // max(n_columns, 1) // 4 * 4, 4)
        parts = np.split(symbols[:n_rows, :n_columns], range(height, n_rows, height))
    code = _runs if symbols.ndim == 1 else _squares
    for part in parts:
        for plane, row in enumerate(counts if part.size else ()):
            codes = code(part & np.uint8(1 << (len(counts) - 1 - plane)))
            row += np.bincount(codes, minlength=row.size)


def _runs(bits: NDArray[np.uint8]) -> NDArray[Any]:
    """Codes of the blocks of a multiple of 12 bits, in no particular order."""
    n_blocks = bits.size // 12
    packed = np.packbits(bits)
    packed.resize(3 * -(-n_blocks // 2), refcheck=False)  # two blocks make three bytes
    codes = np.empty((2, packed.size // 3), np.intp)
    # Bytes 0 and 1 of three, read as one big-endian word, start with the first block of the pair;
    # bytes 1 and 2 end with the second.
    heads, tails = (np.ndarray(codes.shape[1:], ">u2", packed, at, strides=(3,)) for at in (0, 1))
    np.right_shift(heads, 4, out=codes[0], casting="unsafe")
    np.bitwise_and(tails, 0xFFF, out=codes[1], casting="unsafe")
    return codes.reshape(-1)[:n_blocks]  # of an odd number the last second block is padding


def _squares(bits: NDArray[np.uint8]) -> NDArray[Any]:
    """Codes of the 4x4 blocks of a matrix with sides that 4 divides, in no particular order."""
    n_rows, n_columns = bits.shape
    packed = np.packbits(bits, axis=1)
    rows = packed.reshape(n_rows // 4, 4, packed.shape[1]).astype(np.uint16)
    # A byte is four columns of a left block (high nibble) and four of a right block (low nibble).
    left = (rows[:, 0] & 0xF0) << 8 | (rows[:, 1] & 0xF0) << 4 | rows[:, 2] & 0xF0 | rows[:, 3] >> 4
    low = rows & 0x0F
    right = low[:, 0] << 12 | low[:, 1] << 8 | low[:, 2] << 4 | low[:, 3]
    right = right[:, : n_columns // 8]  # an odd number of blocks: the last right one is padding
    return np.concatenate([left.reshape(-1), right.reshape(-1)])
