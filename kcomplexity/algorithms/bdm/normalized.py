"""Values between the least (0) and the greatest (1) of arrays of one size, as pybdm has them."""

from __future__ import annotations

import itertools
import math

import numpy as np

from kcomplexity.algorithms.bdm.counts import BlockCounts
from kcomplexity.algorithms.bdm.value import (
    bdm_value,
    block_entropy_of,
    entropy_of_counts,
    some_blocks,
    table_for,
)
from kcomplexity.errors import SpecError, UnmeasurableError


def normalized_bdm(counts: BlockCounts) -> float:
    """Return the BDM, between the least (0) and the greatest (1) of arrays of this size.

    The least has equal blocks only, the greatest the most complex blocks of the table, each once,
    then each again. As pybdm's ``nbdm``; imputed blocks may push the value above 1.

    Raises
    ------
    SpecError
        The partition is "correlated".
    UnmeasurableError
        No block; too small an array, whose bounds meet or cross; or a matrix with left-over
        strips under "recursive", for which no bounds are defined.
    """
    table = table_for(counts.how)
    least, greatest = 0.0, 0.0
    for size, n_blocks in _bounding_blocks(counts).items():
        least += table.smallest(size) + math.log2(n_blocks)
        values, n_renamings = table.ranked(size)
        n_parts = int(n_renamings.sum())
        rounds, extra = divmod(n_blocks, n_parts)
        used = n_renamings
        if not rounds:  # only the first, most complex parts occur, once each
            used = np.clip(n_blocks - (np.cumsum(n_renamings) - n_renamings), 0, n_renamings)
        else:
            greatest += (n_parts - extra) * math.log2(rounds) + extra * math.log2(rounds + 1)
        greatest += float((values * used).sum())
    return _between(bdm_value(counts), least, greatest)


def normalized_block_entropy(counts: BlockCounts) -> float:
    """Return the block entropy, between the least (0) and the greatest (1) of this size.

    As pybdm's ``nent``; parameters and errors as in :func:`normalized_bdm`.
    """
    table = table_for(counts.how)
    # pybdm numbers the parts of each size from 0, and a number that two sizes share counts as one
    # block seen twice.
    limits = [
        min(n_blocks, int(table.ranked(size)[1].sum()))
        for size, n_blocks in _bounding_blocks(counts).items()
    ]
    limits.sort(reverse=True)
    n_sharing = [a - b for a, b in itertools.pairwise([*limits, 0])]
    shared = np.repeat(np.arange(1, len(limits) + 1), n_sharing)
    return _between(block_entropy_of(counts), math.log2(len(limits)), entropy_of_counts(shared))


def _bounding_blocks(counts: BlockCounts) -> dict[int, int]:
    """Return block size -> number of blocks of the arrays that bound a value."""
    how = counts.how
    if how.partition == "correlated":
        raise SpecError(
            'no normalized value is defined for partition="correlated", whose blocks overlap; '
            'use "ignore" or "recursive"'
        )
    blocks = {size: int(n.sum()) for size, (_, n) in some_blocks(counts).by_size.items()}
    if how.partition == "recursive" and how.ndim == 1 and counts.n_ignored:
        # pybdm's bounds count an end that is too short to be kept as a block all the same.
        blocks[counts.n_ignored] = 1
    if how.partition == "recursive" and how.ndim == 2:
        squares = how.size in blocks or blocks == dict.fromkeys(blocks, 1)
        if counts.n_ignored or len(blocks) > 1 or not squares:
            raise UnmeasurableError(
                "no normalized value is defined for the left-over strips of a matrix; "
                f'crop it to multiples of {how.side} or use partition="ignore"'
            )
    return blocks


def _between(value: float, least: float, greatest: float) -> float:
    if greatest <= least:
        raise UnmeasurableError(
            f"nothing to normalize: arrays of this size have at least {least} and at most "
            f"{greatest} bits by pybdm's bounds; measure a larger array"
        )
    return (value - least) / (greatest - least)
