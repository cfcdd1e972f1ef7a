"""Codes of blocks: the plain definition, vectorised, and a fast path for the usual binary blocks.

The usual blocks, 12 in a row and 4x4, are coded by packing bits; their codes equal the definition.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm.decomposition import USUAL_BLOCK, Decomposition, Symbols

Codes = NDArray[np.integer[Any]]

#: Blocks to code at a time: their codes stay in the cache of a core.
_SLAB_BLOCKS = 1 << 15


def block_codes(symbols: Symbols, how: Decomposition) -> Iterator[tuple[int, Codes]]:
    """Yield block size in symbols, and codes in no particular order, of all blocks, slab by slab.

    There are several sizes with "recursive".
    """
    n_windows = [max((n - how.side) // how.step + 1, 0) for n in symbols.shape]
    if math.prod(n_windows):
        usual = how.n_symbols == 2 and how.side == how.step == USUAL_BLOCK[how.ndim]
        slabs = usual_codes(symbols) if usual else _slab_codes(symbols, how, n_windows)
        for codes in slabs:
            yield how.size, codes
    if how.partition == "recursive":
        for side, codes in _leftover_codes(symbols[np.newaxis], how, how.side):
            yield side**how.ndim, codes


def _leftover_codes(pieces: Symbols, how: Decomposition, side: int) -> Iterator[tuple[int, Codes]]:
    """Yield (side, codes) of the blocks that "recursive" cuts out of each kind of strip.

    The equal `pieces`, shape (n_pieces, ...), were cut into blocks of `side` from their corners.
    """
    n_whole = [n // side * side for n in pieces.shape[1:]]
    for ragged in itertools.product((False, True), repeat=how.ndim):
        at = (slice(n, None) if r else slice(n) for n, r in zip(n_whole, ragged, strict=True))
        strip = pieces[(slice(None), *at)]
        if not any(ragged) or not strip.size:
            continue
        shape = [n if r else side for n, r in zip(strip.shape[1:], ragged, strict=True)]
        parts = _cut(strip, shape)
        inner = min(shape)
        if inner >= how.min_length:
            yield inner, _window_codes(parts, inner, inner, how.n_symbols)
            yield from _leftover_codes(parts, how, inner)


def n_covered(n: int, side: int, step: int) -> int:
    """Return how many of n elements windows of `side`, `step` apart, cover."""
    n_windows = max((n - side) // step + 1, 0)
    return n_windows * min(side, step) + (max(side - step, 0) if n_windows else 0)


def _slab_codes(symbols: Symbols, how: Decomposition, n_windows: list[int]) -> Iterator[Codes]:
    """Yield the codes of blocks, some rows of blocks at a time."""
    step = how.step
    n_rows = max(1, _SLAB_BLOCKS // math.prod(n_windows[1:]))
    for start in range(0, n_windows[0], n_rows):
        stop = min(start + n_rows, n_windows[0])
        slab = symbols[start * step : (stop - 1) * step + how.side]
        yield _window_codes(slab[np.newaxis], how.side, step, how.n_symbols)


def _window_codes(pieces: Symbols, side: int, step: int, n_symbols: int) -> Codes:
    """Return the codes of all blocks of a stack of equal pieces: the definition, vectorised."""
    n_windows = [(n - side) // step + 1 for n in pieces.shape[1:]]
    codes = np.zeros((pieces.shape[0], *n_windows), dtype=np.int64)
    for corner in itertools.product(range(side), repeat=len(n_windows)):
        at = tuple(slice(c, c + n * step, step) for c, n in zip(corner, n_windows, strict=True))
        codes *= n_symbols
        codes += pieces[(slice(None), *at)]
    return codes.reshape(-1)


def _cut(stack: Symbols, shape: list[int]) -> Symbols:
    """Cut each array of a stack into parts of `shape`, which divides it, and stack the parts."""
    split = [(n // k, k) for n, k in zip(stack.shape[1:], shape, strict=True)]
    axes = range(1, 1 + 2 * len(shape))
    cut = stack.reshape(stack.shape[0], *itertools.chain(*split))
    return cut.transpose(0, *axes[::2], *axes[1::2]).reshape(-1, *shape)


def usual_codes(values: NDArray[Any]) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield the codes of the usual blocks of ``values > 0``, slab by slab, in no particular order.

    A block is read in row-major order from its most significant bit on. What no whole block covers
    at the far ends is left out. Memory: 1 to 2 MB, more for rows above 10^5.

    Examples
    --------
    >>> [codes.tolist() for codes in usual_codes(np.array([-1.0] * 11 + [0.5]))]
    [[1]]
    """
    if values.ndim == 1:
        covered = values[: values.size // 12 * 12]
        for start in range(0, covered.size, 12 * _SLAB_BLOCKS):
            yield _codes_1d(_bits(covered[start : start + 12 * _SLAB_BLOCKS]))
        return
    n_rows, n_columns = (n // 4 * 4 for n in values.shape)
    slab = max(4, 16 * _SLAB_BLOCKS // max(n_columns, 1) // 4 * 4)
    for start in range(0, n_rows, slab):
        yield _codes_2d(_bits(values[start : min(start + slab, n_rows), :n_columns]))


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return where values are above zero; no copy where packing reads truth values anyway."""
    return values if values.dtype in (np.bool_, np.uint8) else values > 0


def _codes_1d(bits: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of the blocks of a positive multiple of 12 bits, in no particular order."""
    n_blocks = bits.size // 12
    packed = np.packbits(bits)
    packed.resize(3 * -(-n_blocks // 2), refcheck=False)  # two blocks make three bytes
    codes = np.empty((2, packed.size // 3), np.uint16)
    # Bytes 0 and 1 of three, read as one big-endian word, start with the first block of the pair;
    # bytes 1 and 2 end with the second.
    heads, tails = (np.ndarray(codes.shape[1:], ">u2", packed, at, strides=(3,)) for at in (0, 1))
    np.right_shift(heads, 4, out=codes[0], casting="unsafe")
    np.bitwise_and(tails, 0xFFF, out=codes[1], casting="unsafe")
    return codes.reshape(-1)[:n_blocks]  # of an odd number the last second block is padding


def _codes_2d(bits: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of 4x4 blocks of a matrix whose sides 4 divides, in no particular order."""
    n_rows, n_columns = bits.shape
    packed = np.packbits(bits, axis=1)
    rows = packed.reshape(n_rows // 4, 4, packed.shape[1]).astype(np.uint16)
    # A byte is four columns of a left block (high nibble) and four of a right block (low nibble).
    left = (rows[:, 0] & 0xF0) << 8
    left |= (rows[:, 1] & 0xF0) << 4
    left |= rows[:, 2] & 0xF0
    left |= rows[:, 3] >> 4
    right = (rows[:, 0] & 0x0F) << 12
    right |= (rows[:, 1] & 0x0F) << 8
    right |= (rows[:, 2] & 0x0F) << 4
    right |= rows[:, 3] & 0x0F
    right = right[:, : n_columns // 8]  # an odd number of blocks: the last right one is padding
    return np.concatenate([left.reshape(-1), right.reshape(-1)])
