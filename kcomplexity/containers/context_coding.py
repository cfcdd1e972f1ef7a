"""Motif indices coded in context: large weights lie together.

Motifs are sorted by size (sum of squares) into *classes* of about equal use: at most 16, fewer
where there are few blocks to learn from. The class of a block is coded under adaptive counts of
its tensor and its neighbourhood, which is the sum of the classes of the blocks to the left and
above. These counts start as those of all tensors in that neighbourhood, which start as the global
use of the classes. Then the motif is coded inside its class by its global use.

All counts are integers and change by the same rules in the encoder and the decoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import (
    AnsDecoder,
    AnsEncoder,
    counts_of_levels,
    model_of,
)
from kcomplexity.containers.blocks import Tiling

Ints = NDArray[np.int64]
Indices = NDArray[np.uint32]

_MOST_CLASSES = 16
#: What one symbol adds to a count, and the sum of all counts when they are new.
_SEEN, _NEW = 32, 512
#: The model is built again when the sum of the counts has grown by one part in this many.
_GROWTH = 16


def classes_of(usage: Ints, values: NDArray[Any], n_blocks: int) -> NDArray[np.uint32]:
    """Return the class of each motif, 0 for the smallest.

    Parameters
    ----------
    usage : ndarray of shape (k,)
        Usage level of each motif.
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
    counts = counts_of_levels(usage)[order]
    ends = np.cumsum(counts)
    middle = ends - counts // 2
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
    usage: Ints,
    values: NDArray[Any],
    encoder: AnsEncoder,
) -> None:
    """Add the indices of the tensors that share motifs; some 2 us a block."""
    classes = classes_of(usage, values, sum(tiling.n_blocks for tiling in tilings))
    members = _Members(classes, usage)
    contexts = _Contexts(members.shares)
    classes_of_blocks = [classes[of_tensor] for of_tensor in indices]
    for symbols, tiling in zip(classes_of_blocks, tilings, strict=True):
        contexts.next_tensor()
        for symbol, model in contexts.walk(symbols.tolist(), tiling.blocks_across):
            encoder.modelled(symbol, model)
    all_indices = np.concatenate(indices)
    all_classes = np.concatenate(classes_of_blocks)
    for number, motifs in enumerate(members.motifs):
        inside = members.rank[all_indices[all_classes == number]]
        encoder.symbols(inside, counts_of_levels(usage[motifs]))


def decode_in_context(
    tilings: Sequence[Tiling], usage: Ints, values: NDArray[Any], decoder: AnsDecoder
) -> list[Indices]:
    """Take the indices that :func:`encode_in_context` wrote."""
    n_blocks = sum(tiling.n_blocks for tiling in tilings)
    members = _Members(classes_of(usage, values, n_blocks), usage)
    contexts = _Contexts(members.shares)
    classes_of_blocks = []
    for tiling in tilings:
        contexts.next_tensor()
        classes_of_blocks.append(contexts.fill(tiling.n_blocks, tiling.blocks_across, decoder))
    all_classes = np.concatenate(classes_of_blocks)
    all_indices = np.zeros(all_classes.size, np.uint32)
    for number, motifs in enumerate(members.motifs):
        chosen = np.flatnonzero(all_classes == number)
        inside = decoder.symbols(chosen.size, counts_of_levels(usage[motifs]))
        all_indices[chosen] = motifs[inside]
    sizes = [of_tensor.size for of_tensor in classes_of_blocks]
    return list(np.split(all_indices, np.cumsum(sizes)[:-1]))


class _Members:
    """The motifs of each class."""

    def __init__(self, classes: NDArray[np.uint32], usage: Ints) -> None:
        self.motifs = [
            np.flatnonzero(classes == number) for number in range(int(classes.max()) + 1)
        ]
        self.rank = np.zeros(classes.size, np.int64)
        for motifs in self.motifs:
            self.rank[motifs] = np.arange(motifs.size)
        counts = counts_of_levels(usage)
        self.shares = [int(counts[motifs].sum()) for motifs in self.motifs]


class _AdaptiveCounts:
    """Adaptive counts of one context, and the coder's model of them."""

    __slots__ = ("counts", "due", "model", "total")

    def __init__(self, start: list[int]) -> None:
        whole = sum(start)
        self.counts = [max(count * _NEW // whole, 1) for count in start]
        self.total = sum(self.counts)
        self._build()

    def _build(self) -> None:
        self.due = self.total + max(self.total // _GROWTH, _SEEN)
        self.model = model_of(np.array(self.counts, np.int64))

    def add(self, symbol: int) -> None:
        self.counts[symbol] += _SEEN
        self.total += _SEEN
        if self.total >= self.due:
            self._build()


class _Contexts:
    """The counts of every context, created when the context first occurs."""

    def __init__(self, shares: list[int]) -> None:
        self.n = len(shares)
        self._shares = shares
        self._shared: dict[int, _AdaptiveCounts] = {}
        self._own: dict[int, _AdaptiveCounts] = {}

    def next_tensor(self) -> None:
        self._own = {}

    def _counts_of(self, context: int) -> tuple[_AdaptiveCounts, _AdaptiveCounts]:
        shared = self._shared.get(context)
        if shared is None:
            shared = self._shared[context] = _AdaptiveCounts(self._shares)
        own = self._own.get(context)
        if own is None:
            own = self._own[context] = _AdaptiveCounts(shared.counts)
        return own, shared

    def walk(self, symbols: list[int], across: int) -> Iterator[tuple[int, Any]]:
        """Yield each symbol with the model it is coded under."""
        if self.n == 1:
            return
        for at, symbol in enumerate(symbols):
            left = symbols[at - 1] if at else 0
            up = symbols[at - across] if at >= across else left
            own, shared = self._counts_of(left + up)
            yield symbol, own.model
            own.add(symbol)
            shared.add(symbol)

    def fill(self, n: int, across: int, decoder: AnsDecoder) -> NDArray[np.uint32]:
        """Decode the classes of the `n` blocks of one tensor."""
        if self.n == 1:
            return np.zeros(n, np.uint32)
        symbols: list[int] = []
        decode = decoder.coder.decode
        for at in range(n):
            left = symbols[at - 1] if at else 0
            up = symbols[at - across] if at >= across else left
            own, shared = self._counts_of(left + up)
            symbol = int(decode(own.model))
            symbols.append(symbol)
            own.add(symbol)
            shared.add(symbol)
        return np.array(symbols, np.uint32)
