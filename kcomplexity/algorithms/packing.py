"""Packing of symbols into bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Symbols packed at once through single bits; a multiple of 8, so that they end on a byte.
_AT_ONCE = 1 << 16


def pack(symbols: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Pack unsigned symbols of `width` bits, most significant bit first.

    Parameters
    ----------
    symbols : ndarray of unsigned int, any shape
        Taken row-major; each below ``2**width``.
    width : int
        Bits a symbol.

    Returns
    -------
    ndarray of uint8, shape (ceil(n * width / 8),)
        Zero-padded at the end. A view of `symbols` when they are contiguous bytes already.

    Examples
    --------
    >>> pack(np.array([1, 0, 1, 1, 0], np.uint8), 1).tolist()
    [176]
    >>> pack(np.array([5, 3], np.uint8), 3).tolist()
    [172]
    """
    flat = np.ascontiguousarray(symbols).reshape(-1)
    if width == 1:
        return np.packbits(flat)
    if width == 8 * flat.itemsize:
        return flat.astype(flat.dtype.newbyteorder(">"), copy=False).view(np.uint8)
    if 8 % width == 0:
        return _pack_several(flat, width)
    starts = range(0, flat.size, _AT_ONCE)
    parts = [_pack_by_bits(flat[i : i + _AT_ONCE], width) for i in starts]
    return np.concatenate(parts) if parts else np.empty(0, np.uint8)


def _pack_several(flat: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Pack symbols of 2 or 4 bits: a byte takes several, each shifted to its place."""
    several = 8 // width
    padded = np.pad(flat, (0, -flat.size % several)) if flat.size % several else flat
    columns = padded.reshape(-1, several).T.astype(np.uint8, copy=False)
    packed: NDArray[np.uint8] = columns[0] << np.uint8(8 - width)
    for place, column in enumerate(columns[1:], start=2):
        packed |= column << np.uint8(8 - width * place)
    return packed


def _pack_by_bits(symbols: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Pack symbols of any width, taken apart into single bits."""
    big = symbols.astype(symbols.dtype.newbyteorder(">")).view(np.uint8)
    bits = np.unpackbits(big.reshape(symbols.size, -1), axis=1)
    return np.packbits(bits[:, bits.shape[1] - width :])
