"""The motif indices as an entropy-coded stream, and how often each motif is used.

Motifs are told apart by how often they are used, rounded to eighths of an octave: sorted so that
the most used come first, their counts are a short histogram, however many motifs there are.

Three ways of coding the indices of the tensors that share motifs; the smallest is taken:

``uniform``
    log2 k bits a block.
``counts``
    By the rounded counts.
``context``
    First the *class* of the motif (how large it is), given the classes of the block to the left
    and the block above and the tensor: large weights keep company. Then the motif inside its
    class, by the rounded counts. See :mod:`kcomplexity.containers.context_coding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, AnsEncoder, quantised, weights_of
from kcomplexity.containers.blocks import Tiling
from kcomplexity.errors import CorruptCheckpointError

__all__ = [
    "MODES",
    "MOST_IN_CONTEXT",
    "Indices",
    "Ints",
    "Mode",
    "canonical_order",
    "decode_indices",
    "decode_usage",
    "encode_indices",
    "encode_usage",
]

Ints = NDArray[np.int64]
Indices = NDArray[np.uint32]
Mode = Literal["uniform", "counts", "context"]
MODES: tuple[Mode, ...] = ("uniform", "counts", "context")
#: Blocks in one set beyond which coding in context, which goes block by block, is not used.
MOST_IN_CONTEXT = 1 << 20
#: log2 of a count is below 48.
_MOST_LEVELS = 8 * 48


def canonical_order(counts: Ints, values: NDArray[Any]) -> tuple[Ints, Ints]:
    """Return the order in which used motifs are stored, and their usage levels in that order.

    Parameters
    ----------
    counts : ndarray of shape (k,)
        How often each is used; those that are not are left out.
    values : ndarray of shape (k, s)

    Returns
    -------
    order : ndarray of shape (k_used,)
    levels : ndarray of shape (k_used,)
        Falling. Equal levels are sorted by the motif's weights.
    """
    used = np.flatnonzero(counts)
    levels = quantised(counts[used])
    keys = [values[used, column] for column in reversed(range(values.shape[1]))]
    order = np.lexsort([*keys, -levels])
    return used[order], levels[order]


def encode_usage(levels: Ints, encoder: AnsEncoder) -> None:
    """Add the usage levels of all motifs; the decoder knows how many there are."""
    encoder.uniform(levels[:1], _MOST_LEVELS)
    encoder.integers(np.bincount(levels)[::-1])


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
    levels: Ints,
    values: NDArray[Any],
    mode: Mode,
    encoder: AnsEncoder,
) -> None:
    """Add the indices of the tensors that share motifs.

    Parameters
    ----------
    indices : sequence of ndarray of shape (n_blocks,)
    tilings : sequence of Tiling
        Where the blocks of each tensor lie.
    levels : ndarray of shape (k,)
        Usage of each motif.
    values : ndarray of shape (k, s)
        The motifs, as the decoder knows them.
    mode : {"uniform", "counts", "context"}
    encoder : AnsEncoder
    """
    if mode == "context":
        from kcomplexity.containers.context_coding import encode_in_context

        encode_in_context(indices, tilings, levels, values, encoder)
        return
    joined = np.concatenate(indices) if indices else np.zeros(0, np.uint32)
    if mode == "uniform":
        encoder.uniform(joined, len(levels))
    else:
        encoder.symbols(joined, weights_of(levels))


def decode_indices(
    tilings: Sequence[Tiling], levels: Ints, values: NDArray[Any], mode: Mode, decoder: AnsDecoder
) -> list[Indices]:
    """Take the indices that :func:`encode_indices` wrote, tensor by tensor."""
    if len(levels) == 1:
        # No bits tell how many blocks there are: none of them takes memory either.
        return [np.broadcast_to(np.uint32(0), (tiling.n_blocks,)) for tiling in tilings]
    if mode == "context":
        from kcomplexity.containers.context_coding import decode_in_context

        return decode_in_context(tilings, levels, values, decoder)
    sizes = [tiling.n_blocks for tiling in tilings]
    if mode == "uniform":
        joined = decoder.uniform(sum(sizes), len(levels))
    else:
        joined = decoder.symbols(sum(sizes), weights_of(levels)).astype(np.int64)
    return list(np.split(joined.astype(np.uint32), np.cumsum(sizes)[:-1]))
