"""Motif indices coded in context: large weights keep company.

Motifs are sorted by size (sum of squares) into *classes* of about equal use: at most 16, fewer
where there are few blocks to learn their company from. A block's
class is coded under counts that adapt: those of the same tensor and the same neighbourhood, which
start as what all tensors together have seen in that neighbourhood, which starts as the global use
of the classes. The neighbourhood is the sum of the classes of the block to the left and the block
above. Then the motif is coded inside its class by its global use.

All counts are integers and change by the same rules in the encoder and the decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, AnsEncoder, model_of, weights_of
from kcomplexity.containers.blocks import Tiling
from kcomplexity.containers.index_coding import Indices, Ints

__all__ = ["decode_in_context", "encode_in_context"]

_MOST_CLASSES = 16
#: What one symbol adds to a count, and what all counts of a table add up to when it is new.
_SEEN, _NEW = 32, 512
#: A table's model is built again when its total has grown by this share.
_GROWTH = 16


def classes_of(levels: Ints, values: NDArray[Any], n_blocks: int) -> NDArray[np.uint32]:
    """Return the class of each motif, 0 for the smallest.

    Parameters
    ----------
    levels : ndarray of shape (k,)
        Usage.
    values : ndarray of shape (k, s), float32
    n_blocks : int
        In all tensors.

    Returns
    -------
    ndarray of shape (k,), uint32
    """
    size = np.zeros(len(values))
    for column in values.T:  # one after the other: the same sum on any machine
        size += np.square(column.astype(np.float64))
    order = np.lexsort((np.arange(len(values)), size))
    ends = np.cumsum(weights_of(levels)[order])
    middle = ends - weights_of(levels)[order] // 2
    n_classes = min(max(math.isqrt(n_blocks) // 16, 2), _MOST_CLASSES)
    raw = middle * n_classes // int(ends[-1])
    # A motif that fills several shares leaves gaps in the numbers.
    dense = np.cumsum(np.diff(raw, prepend=raw[0]) > 0)
    classes = np.zeros(len(values), np.uint32)
    classes[order] = dense
    return classes


def encode_in_context(
    indices: Sequence[Indices],
    tilings: Sequence[Tiling],
    levels: Ints,
    values: NDArray[Any],
    encoder: AnsEncoder,
) -> None:
    """Add the indices of the tensors that share motifs; some 2 us a block."""
    classes = classes_of(levels, values, sum(tiling.n_blocks for tiling in tilings))
    members = _Members(classes, levels)
    contexts = _Contexts(members.shares)
    told = [classes[found] for found in indices]
    for found, tiling in zip(told, tilings, strict=True):
        contexts.next_tensor()
        symbols = found.tolist()
        for symbol, table in contexts.walk(symbols, tiling.blocks_across):
            encoder.modelled(symbol, table)
    joined = np.concatenate(indices)
    every = np.concatenate(told)
    for number, motifs in enumerate(members.motifs):
        inside = members.rank[joined[every == number]]
        encoder.symbols(inside, weights_of(levels[motifs]))


def decode_in_context(
    tilings: Sequence[Tiling], levels: Ints, values: NDArray[Any], decoder: AnsDecoder
) -> list[Indices]:
    """Take the indices that :func:`encode_in_context` wrote."""
    n_blocks = sum(tiling.n_blocks for tiling in tilings)
    members = _Members(classes_of(levels, values, n_blocks), levels)
    contexts = _Contexts(members.shares)
    told = []
    for tiling in tilings:
        contexts.next_tensor()
        told.append(contexts.fill(tiling.n_blocks, tiling.blocks_across, decoder))
    every = np.concatenate(told)
    joined = np.zeros(every.size, np.uint32)
    for number, motifs in enumerate(members.motifs):
        chosen = np.flatnonzero(every == number)
        inside = decoder.symbols(chosen.size, weights_of(levels[motifs]))
        joined[chosen] = motifs[inside]
    return list(np.split(joined, np.cumsum([found.size for found in told])[:-1]))


class _Members:
    """Which motifs each class has."""

    def __init__(self, classes: NDArray[np.uint32], levels: Ints) -> None:
        self.motifs = [
            np.flatnonzero(classes == number) for number in range(int(classes.max()) + 1)
        ]
        self.rank = np.zeros(classes.size, np.int64)
        for motifs in self.motifs:
            self.rank[motifs] = np.arange(motifs.size)
        weights = weights_of(levels)
        self.shares = [int(weights[motifs].sum()) for motifs in self.motifs]


class _Table:
    """Adaptive counts of one context, and the model they make."""

    __slots__ = ("counts", "due", "model", "total")

    def __init__(self, like: list[int]) -> None:
        whole = sum(like)
        self.counts = [max(count * _NEW // whole, 1) for count in like]
        self.total = sum(self.counts)
        self._build()

    def _build(self) -> None:
        self.due = self.total + max(self.total // _GROWTH, _SEEN)
        self.model = model_of(np.array(self.counts, np.int64))

    def saw(self, symbol: int) -> None:
        self.counts[symbol] += _SEEN
        self.total += _SEEN
        if self.total >= self.due:
            self._build()


class _Contexts:
    """The tables of all contexts, made when they are first met."""

    def __init__(self, shares: list[int]) -> None:
        self.n = len(shares)
        self._shares = shares
        self._shared: dict[int, _Table] = {}
        self._own: dict[int, _Table] = {}

    def next_tensor(self) -> None:
        self._own = {}

    def _tables(self, context: int) -> tuple[_Table, _Table]:
        shared = self._shared.get(context)
        if shared is None:
            shared = self._shared[context] = _Table(self._shares)
        own = self._own.get(context)
        if own is None:
            own = self._own[context] = _Table(shared.counts)
        return own, shared

    def walk(self, symbols: list[int], across: int) -> Iterator[tuple[int, Any]]:
        """Yield each symbol with the model that it is coded under."""
        if self.n == 1:
            return
        for at, symbol in enumerate(symbols):
            left = symbols[at - 1] if at else 0
            up = symbols[at - across] if at >= across else left
            own, shared = self._tables(left + up)
            yield symbol, own.model
            own.saw(symbol)
            shared.saw(symbol)

    def fill(self, n: int, across: int, decoder: AnsDecoder) -> NDArray[np.uint32]:
        """Take the classes of one tensor."""
        if self.n == 1:
            return np.zeros(n, np.uint32)
        symbols: list[int] = []
        decode = decoder.coder.decode
        for at in range(n):
            left = symbols[at - 1] if at else 0
            up = symbols[at - across] if at >= across else left
            own, shared = self._tables(left + up)
            symbol = int(decode(own.model))
            symbols.append(symbol)
            own.saw(symbol)
            shared.saw(symbol)
        return np.array(symbols, np.uint32)
