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
from collections.abc import Callable, Sequence
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
    """Return the class of each motif, 0 for the smallest, from usage levels and `values` (k, s).

    There are `n_blocks` blocks in all tensors.
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
        contexts.walk(tiling, _writer(symbols, encoder))
    all_indices = np.concatenate(indices)
    all_classes = np.concatenate(classes_of_blocks)
    for number, motifs in enumerate(members.motifs):
        inside = members.rank[all_indices[all_classes == number]]
        encoder.symbols(inside, counts_of_levels(usage[motifs]))


def _writer(symbols: Indices, encoder: AnsEncoder) -> Callable[[Any], int]:
    following = iter(symbols.tolist())

    def encode(model: Any) -> int:
        symbol: int = next(following)
        encoder.modelled(symbol, model)
        return symbol

    return encode


def decode_in_context(
    tilings: Sequence[Tiling], usage: Ints, values: NDArray[Any], decoder: AnsDecoder
) -> list[Indices]:
    """Take the indices that :func:`encode_in_context` wrote."""
    n_blocks = sum(tiling.n_blocks for tiling in tilings)
    members = _Members(classes_of(usage, values, n_blocks), usage)
    contexts = _Contexts(members.shares)
    decode = decoder.coder.decode
    classes_of_blocks = [contexts.walk(t, lambda model: int(decode(model))) for t in tilings]
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
        numbers = range(int(classes.max()) + 1)
        self.motifs = [np.flatnonzero(classes == number) for number in numbers]
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
        self._shares = shares
        self._shared: dict[int, _AdaptiveCounts] = {}

    def walk(self, tiling: Tiling, code: Callable[[Any], int]) -> NDArray[np.uint32]:
        """Code the classes of the blocks of one tensor, and return them.

        `code` encodes or decodes the class of the next block under a model.
        """
        if len(self._shares) == 1:
            return np.zeros(tiling.n_blocks, np.uint32)
        own_counts: dict[int, _AdaptiveCounts] = {}
        symbols: list[int] = []
        across = tiling.blocks_across
        for at in range(tiling.n_blocks):
            left = symbols[at - 1] if at else 0
            up = symbols[at - across] if at >= across else left
            context = left + up
            shared = self._shared.get(context)
            if shared is None:
                shared = self._shared[context] = _AdaptiveCounts(self._shares)
            own = own_counts.get(context)
            if own is None:
                own = own_counts[context] = _AdaptiveCounts(shared.counts)
            symbol = code(own.model)
            symbols.append(symbol)
            own.add(symbol)
            shared.add(symbol)
        return np.array(symbols, np.uint32)
