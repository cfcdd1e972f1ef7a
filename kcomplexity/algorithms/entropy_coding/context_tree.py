"""Binary context trees: adaptive probabilities that learn which context matters.

A context is a number of `depth` bits, the most informative ones first. Context-tree weighting
(Willems, Shtarkov & Tjalkens, IEEE Trans. Inf. Theory 41:653, 1995) mixes all ways to cut it short:
a node's probability is half the Krichevsky-Trofimov estimate of the bits seen there, half the
product of its two children's. Two trees that read the context's bits in different orders are mixed
in turn, half and half.

:class:`ContextTrees` predicts one bit after the other. It uses +, -, * and / of IEEE doubles alone,
so encoder and decoder agree to the last bit on any machine.
:func:`~kcomplexity.kernels.tree_bits` is the length of the same code, from how often each bit
occurs in each context; the order of events does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Ratios of probabilities are kept inside these: past them one side counts for nothing anyway.
_LEAST, _GREATEST = 2.0**-900, 2.0**900


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


def _kt(node: list[float]) -> float:
    """Return Krichevsky & Trofimov's estimate that the next bit is 1."""
    return (node[1] + 0.5) / (node[0] + node[1] + 1)


def _of(bit: int, p_one: float) -> float:
    return p_one if bit else 1 - p_one


def _kept(ratio: float) -> float:
    return min(max(ratio, _LEAST), _GREATEST)
