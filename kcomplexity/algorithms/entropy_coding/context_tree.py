"""Binary context trees: adaptive probabilities that learn which context matters.

A context is a number of `depth` bits, the most informative ones first. Context-tree weighting
(Willems, Shtarkov & Tjalkens, IEEE Trans. Inf. Theory 41:653, 1995) mixes all ways to cut it short:
a node's probability is half the Krichevsky-Trofimov estimate of the bits seen there, half the
product of its two children's. Two trees that read the context's bits in different orders are mixed
in turn, half and half.

:class:`ContextTrees` predicts one bit after the other. It uses +, -, * and / of IEEE doubles alone,
so encoder and decoder agree to the last bit on any machine. :func:`tree_bits` is the length of the
same code, from how often each bit occurs in each context; the order of events does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Ratios of probabilities are kept inside these: past them one side counts for nothing anyway.
_LEAST, _GREATEST = 2.0**-900, 2.0**900
#: Counts whose logarithms of Gamma are kept: nearly all are smaller.
_TABLE = 1 << 14


class ContextTrees:
    """The two trees of one kind of bit, and what they have seen.

    Parameters
    ----------
    orders : sequence of two sequences of int
        For each tree, the context's bits in the order they are read: 0 is the lowest bit.
    """

    def __init__(self, orders: Sequence[Sequence[int]]) -> None:
        self._orders = orders
        self._nodes: tuple[dict[int, list[float]], ...] = ({}, {})
        self._ratio = 1.0  # of the first tree's probability of everything seen to the second's
        self._paths: list[list[list[float]]] = []
        self._steps: list[list[float]] = []

    def predict(self, context: int) -> float:
        """Return the probability that the next bit, in `context`, is 1."""
        self._paths, self._steps = [], []
        for order, nodes in zip(self._orders, self._nodes, strict=True):
            key, keys = 1, [1]
            for bit in order:
                key = 2 * key + (context >> bit & 1)
                keys.append(key)
            # A node: zeros seen, ones seen, and its own estimate over the product of its children.
            path = [nodes.setdefault(key, [0.0, 0.0, 1.0]) for key in keys]
            step = [_kt(path[-1])]
            for node in reversed(path[:-1]):
                step.append((node[2] * _kt(node) + step[-1]) / (node[2] + 1))
            self._paths.append(path)
            self._steps.append(step[::-1])
        first, second = self._steps[0][0], self._steps[1][0]
        return (self._ratio * first + second) / (self._ratio + 1)

    def update(self, bit: int) -> None:
        """Learn the bit that :meth:`predict` was asked for."""
        for path, step in zip(self._paths, self._steps, strict=True):
            for node, below in zip(path, [*step[1:], None], strict=True):
                if below is not None:
                    node[2] = _kept(node[2] * _of(bit, _kt(node)) / _of(bit, below))
                node[bit] += 1
        first, second = self._steps[0][0], self._steps[1][0]
        self._ratio = _kept(self._ratio * _of(bit, first) / _of(bit, second))


def tree_bits(
    zeros: NDArray[Any], ones: NDArray[Any], orders: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """Return the bits that :class:`ContextTrees` needs, from counts.

    Parameters
    ----------
    zeros, ones : ndarray of int64, shape (n_kinds, 2 ** depth)
        How often each bit occurs in each context, for each kind of bit.
    orders : sequence of two sequences of int
        As for :class:`ContextTrees`.

    Returns
    -------
    ndarray of float64, shape (n_kinds,)
    """
    depth = len(orders[0])
    first, second = (_one_tree(zeros, ones, order, depth) for order in orders)
    bits: NDArray[np.float64] = 1 - np.logaddexp2(first, second)
    return np.maximum(bits, 0.0)


def _one_tree(
    zeros: NDArray[Any], ones: NDArray[Any], order: Sequence[int], depth: int
) -> NDArray[np.float64]:
    """Return log2 of the weighted probability at the root."""
    axes = [0, *(depth - bit for bit in order)]  # axis 1 is the highest bit
    a = zeros.reshape(-1, *[2] * depth).transpose(axes).reshape(len(zeros), -1)
    b = ones.reshape(-1, *[2] * depth).transpose(axes).reshape(len(ones), -1)
    weighted = _kt_log2(a, b)
    while a.shape[1] > 1:
        a, b = a[:, ::2] + a[:, 1::2], b[:, ::2] + b[:, 1::2]
        weighted = np.logaddexp2(_kt_log2(a, b), weighted[:, ::2] + weighted[:, 1::2]) - 1
    root: NDArray[np.float64] = weighted[:, 0]
    return root


def _kt_log2(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return log2 of Krichevsky & Trofimov's probability of any one order of a zeros and b ones."""
    log2: NDArray[np.float64] = _lookup(a, 0) + _lookup(b, 0) - _lookup(a + b, 1)
    return log2


def _lookup(counts: NDArray[Any], which: int) -> NDArray[np.float64]:
    """Return log2 of Gamma(i + 1/2) / sqrt(pi), or of i!, for each count i."""
    table = _tables()[which]
    values: NDArray[np.float64] = table[np.minimum(counts, _TABLE - 1)]
    large = counts >= _TABLE
    if large.any():
        values[large] = _log2_gammas(counts[large].astype(np.float64))[which]
    return values


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _log2_gammas(np.arange(_TABLE, dtype=np.float64))


def _log2_gammas(i: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from scipy.special import gammaln

    halves = (gammaln(i + 0.5) - np.log(np.pi) / 2) / np.log(2)
    return halves, gammaln(i + 1) / np.log(2)


def _kt(node: list[float]) -> float:
    """Return Krichevsky & Trofimov's estimate that the next bit is 1."""
    return (node[1] + 0.5) / (node[0] + node[1] + 1)


def _of(bit: int, p_one: float) -> float:
    return p_one if bit else 1 - p_one


def _kept(ratio: float) -> float:
    return min(max(ratio, _LEAST), _GREATEST)
