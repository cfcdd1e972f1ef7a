"""Codes of blocks of any alphabet, side and step: the plain definition, vectorised."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm.codes import SLAB_BLOCKS, USUAL_BLOCK, usual_codes
from kcomplexity.algorithms.bdm.decomposition import Decomposition, Symbols

Codes = NDArray[np.integer[Any]]


def block_codes(symbols: Symbols, how: Decomposition) -> Iterator[tuple[int, Codes]]:
    """Yield the codes of all blocks of an array, a slab at a time.

    Parameters
    ----------
    symbols : ndarray of `how.ndim` dimensions
        Below `how.n_symbols`.
    how : Decomposition

    Yields
    ------
    size : int
        Symbols in each block of the slab: several sizes with "recursive".
    codes : ndarray of int, shape (n_blocks,)
        In no particular order.
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

    Parameters
    ----------
    pieces : ndarray of shape (n_pieces, ...)
        Equal pieces, each of which was cut into blocks of `side` from its own corner.
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
    n_rows = max(1, SLAB_BLOCKS // math.prod(n_windows[1:]))
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
