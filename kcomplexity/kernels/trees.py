"""The length of the code of binary context trees, from counts.

The code is that of :mod:`kcomplexity.algorithms.entropy_coding.context_tree`. What a node's own
counts take is looked up in tables; the two sides of a node are mixed by NumPy, level by level, so
that no logarithm is the kernel's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.kernels.checks import own, ready
from kcomplexity.kernels.choice import compiled

Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

#: Cells of a table of levels.
_CELLS = 512
#: Counts whose logarithms of Gamma are kept: nearly all are smaller.
_TABLE = 1 << 14
#: Bits of a context, at most.
_DEEPEST = 20


def tree_bits(zeros: Counts, ones: Counts, orders: Sequence[Sequence[int]]) -> Floats:
    """Return the bits that a pair of context trees needs, from counts.

    Parameters
    ----------
    zeros, ones : ndarray of int64, shape (n_kinds, 2 ** depth)
        How often each bit occurs in each context, for each kind of bit.
    orders : sequence of two sequences of int
        For each tree, the context's bits in the order they are read: 0 is the lowest bit.

    Returns
    -------
    ndarray of float64, shape (n_kinds,)
    """
    zeros = ready(zeros, "zeros", np.int64, ndim=2)
    ones = ready(ones, "ones", np.int64, ndim=2)
    n_kinds, leaves = zeros.shape
    depth = leaves.bit_length() - 1
    fit = zeros.shape == ones.shape and leaves == 1 << depth and depth <= _DEEPEST
    if not fit or [len(order) for order in orders] != [depth, depth]:
        raise ValueError(
            f"counts of shape {zeros.shape} and {ones.shape}, orders {orders}: expected "
            "2**depth contexts and two orders of as many bits"
        )
    if compiled is None:
        return tree_bits_numpy(zeros, ones, orders)
    tables = _tables()
    nodes = np.empty((2 * n_kinds, 2 * leaves))
    places = _places(tuple(map(tuple, orders)))
    empty = _empty()[: depth + 1][::-1].copy()  # from the root down
    arguments = zeros, ones, places, *tables, empty, np.empty(4 * leaves, np.int64), nodes
    large = np.empty((64, 3), np.int64)
    n_large: int = compiled.fill_trees(*arguments, large)
    if n_large > len(large):
        large = np.empty((n_large, 3), np.int64)
        compiled.fill_trees(*arguments, large)
    if n_large:
        place, a, b = large[:n_large].T
        nodes.reshape(-1)[place] = _kt_log2(a, b)
    own_bits, below = np.empty((2, n_kinds * leaves))
    where = np.empty(n_kinds * leaves, np.int64)
    level = leaves // 2
    while level:
        # The others have seen nothing, and their value.
        n: int = compiled.list_level(nodes, level, own_bits, below, where)
        mixed = np.logaddexp2(own_bits[:n], below[:n])
        nodes.reshape(-1)[where[:n]] = np.subtract(mixed, 1, out=mixed)
        level //= 2
    return _mixed(nodes[::2, 1], nodes[1::2, 1])


def tree_bits_numpy(zeros: Counts, ones: Counts, orders: Sequence[Sequence[int]]) -> Floats:
    """Define :func:`tree_bits`."""
    roots = []
    for places in _places(tuple(map(tuple, orders))):
        a, b = zeros[:, places], ones[:, places]
        weighted = _kt_log2(a, b)
        while a.shape[1] > 1:
            a, b = a[:, ::2] + a[:, 1::2], b[:, ::2] + b[:, 1::2]
            below = weighted[:, ::2] + weighted[:, 1::2]
            weighted = np.logaddexp2(_kt_log2(a, b), below) - 1
        roots.append(weighted[:, 0])
    return _mixed(*roots)


def count_flags(table: Counts) -> tuple[Counts, Counts]:
    """Return how often each flag is 0 and 1 in each context, from a table of levels.

    Parameters
    ----------
    table : ndarray of int64, shape (512, 2 * top + 1)
        As :func:`~kcomplexity.kernels.contexts.count_contexts` makes it.

    Returns
    -------
    zeros, ones : ndarray of int64, shape (1 + top, 1024)
        Flags: h = 0, the sign (1 where it is not that of mu), abs(h) > 1 ... abs(h) > top - 1. A
        context is the cell, and half a table further on where h and mu differ in sign.
    """
    table = ready(table, "table", np.int64, ndim=2)
    top = table.shape[1] // 2
    if table.shape != (_CELLS, 2 * top + 1) or not 1 <= top < 128:
        raise ValueError(f"table of shape {table.shape}: expected (512, an odd number)")
    if compiled is None:
        return count_flags_numpy(table)
    zeros, ones = np.empty((2, 1 + top, 2 * _CELLS), np.int64)
    compiled.count_flags(table, own(zeros, "zeros", np.int64), own(ones, "ones", np.int64))
    return zeros, ones


def count_flags_numpy(table: Counts) -> tuple[Counts, Counts]:
    """Define :func:`count_flags`."""
    top = table.shape[1] // 2
    zeros = np.zeros((1 + top, 2, _CELLS), np.int64)
    ones = np.zeros_like(zeros)
    below, above = table[:, :top][:, ::-1], table[:, top + 1 :]  # by abs(h) - 1
    ones[0, 0] = table[:, top]
    zeros[0, 0] = below.sum(axis=1) + above.sum(axis=1)
    ones[1, 0], zeros[1, 0] = below.sum(axis=1), above.sum(axis=1)
    for side, sized in enumerate((above, below)):
        zeros[2:, side] = sized[:, : top - 1].T
        ones[2:, side] = sized.sum(axis=1) - sized[:, : top - 1].cumsum(axis=1).T
    return zeros.reshape(1 + top, -1), ones.reshape(1 + top, -1)


def _mixed(first: Floats, second: Floats) -> Floats:
    """Return the bits of two trees, half and half."""
    bits: Floats = np.maximum(1 - np.logaddexp2(first, second), 0.0)
    return bits


def _kt_log2(a: Counts, b: Counts) -> Floats:
    """Return log2 of Krichevsky & Trofimov's probability of any one order of a zeros and b ones."""
    ones: Floats = _log_gamma(a, 0) + _log_gamma(b, 0)
    return ones - _log_gamma(a + b, 1)


def _log_gamma(counts: Counts, which: int) -> Floats:
    bits: Floats = _tables()[which][np.minimum(counts, _TABLE - 1)]
    large = counts >= _TABLE
    if large.any():
        bits[large] = _log2_gammas(counts[large].astype(np.float64))[which]
    return bits


@lru_cache(maxsize=1)
def _tables() -> tuple[Floats, Floats]:
    return _log2_gammas(np.arange(_TABLE, dtype=np.float64))


def _log2_gammas(i: Floats) -> tuple[Floats, Floats]:
    """Return log2 of Gamma(i + 1/2) / sqrt(pi), and of i!."""
    from scipy.special import gammaln

    halves = (gammaln(i + 0.5) - np.log(np.pi) / 2) / np.log(2)
    return halves, gammaln(i + 1) / np.log(2)


@lru_cache(maxsize=1)
def _empty() -> Floats:
    """Return what a node has that has seen nothing: a leaf, a node above leaves, and so on.

    It would be 0 if the tables were exact.
    """
    zero = np.zeros(1, np.int64)
    own_bits = _kt_log2(zero, zero)
    values = [own_bits]
    for _ in range(_DEEPEST):
        values.append(np.logaddexp2(own_bits, values[-1] + values[-1]) - 1)
    return np.concatenate(values)


@lru_cache(maxsize=8)
def _places(orders: tuple[tuple[int, ...], ...]) -> Counts:
    """Return where the leaves of each tree, in its order, lie among the contexts."""
    contexts = np.arange(1 << len(orders[0]))
    places = [
        sum(
            ((contexts >> (len(order) - 1 - i) & 1) << bit for i, bit in enumerate(order)),
            np.zeros_like(contexts),
        )
        for order in orders
    ]
    return np.array(places, np.int64)
