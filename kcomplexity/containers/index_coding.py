"""The motif indices as an entropy-coded stream, and how often each motif is used.

How often each motif is used is rounded to eighths of an octave, its *usage level*. Motifs are
sorted, the most used first, so that their levels are a short histogram however many motifs there
are.

The indices of the tensors that share motifs are coded in one of three ways, whichever is smallest:

``uniform``
    log2 k bits a block.
``counts``
    Under the rounded counts.
``context``
    First the *class* of the motif (how large it is), given the tensor and the classes of the
    blocks to the left and above: large weights lie together. Then the motif inside its class,
    under the rounded counts. See :mod:`kcomplexity.containers.context_coding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import (
    AnsDecoder,
    AnsEncoder,
    counts_of_levels,
    levels_of_counts,
)
from kcomplexity.containers.blocks import Tiling
from kcomplexity.containers.context_coding import (
    Indices,
    Ints,
    decode_in_context,
    encode_in_context,
)
from kcomplexity.errors import CorruptCheckpointError

Mode = Literal["uniform", "counts", "context"]
MODES: tuple[Mode, ...] = ("uniform", "counts", "context")
#: Blocks of one set above which coding in context is not used, because it goes block by block.
MOST_IN_CONTEXT = 1 << 20
#: log2 of a count is below 48.
_MOST_LEVELS = 8 * 48


def canonical_order(counts: Ints, values: NDArray[Any]) -> tuple[Ints, Ints]:
    """Return the order in which used motifs are stored, and their usage levels in that order.

    `counts` says how often each motif of `values`, of shape (k, s), is used. Levels fall; motifs of
    one level are sorted by their weights.
    """
    used = np.flatnonzero(counts)
    levels = levels_of_counts(counts[used])
    keys = [values[used, column] for column in reversed(range(values.shape[1]))]
    order = np.lexsort([*keys, -levels])
    return used[order], levels[order]


def encode_usage(usage: Ints, encoder: AnsEncoder) -> None:
    """Add the usage levels of all motifs; the decoder knows the number of motifs."""
    encoder.uniform(usage[:1], _MOST_LEVELS)
    encoder.integers(np.bincount(usage)[::-1])


def decode_usage(k: int, decoder: AnsDecoder) -> Ints:
    """Take the usage levels of `k` motifs."""
    top = int(decoder.uniform(1, _MOST_LEVELS)[0])
    counts = decoder.integers(top + 1)
    if int(counts.sum()) != k:
        raise CorruptCheckpointError("the motifs' usage does not add up; the file is damaged")
    return np.repeat(np.arange(top, -1, -1), counts)


def encode_indices(
    indices: Sequence[Indices],
    tilings: Sequence[Tiling],
    usage: Ints,
    values: NDArray[Any],
    mode: Mode,
    encoder: AnsEncoder,
) -> None:
    """Add the indices of tensors that share motifs, `values`, whose usage levels are `usage`."""
    if mode == "context":
        encode_in_context(indices, tilings, usage, values, encoder)
        return
    joined = np.concatenate(indices) if indices else np.zeros(0, np.uint32)
    if mode == "uniform":
        encoder.uniform(joined, len(usage))
    else:
        encoder.symbols(joined, counts_of_levels(usage))


def decode_indices(
    tilings: Sequence[Tiling], usage: Ints, values: NDArray[Any], mode: Mode, decoder: AnsDecoder
) -> list[Indices]:
    """Take the indices that :func:`encode_indices` wrote, tensor by tensor."""
    if len(usage) == 1:
        # The number of blocks costs no bits, so the indices must take no memory either.
        return [np.broadcast_to(np.uint32(0), (tiling.n_blocks,)) for tiling in tilings]
    if mode == "context":
        return decode_in_context(tilings, usage, values, decoder)
    sizes = [tiling.n_blocks for tiling in tilings]
    if mode == "uniform":
        joined = decoder.uniform(sum(sizes), len(usage))
    else:
        joined = decoder.symbols(sum(sizes), counts_of_levels(usage)).astype(np.int64)
    return list(np.split(joined.astype(np.uint32), np.cumsum(sizes)[:-1]))
