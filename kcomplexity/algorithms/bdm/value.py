"""From counted blocks to bits: the CTM values looked up and added."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm.counts import BlockCounts
from kcomplexity.algorithms.bdm.decomposition import Decomposition
from kcomplexity.algorithms.ctm import CtmTable, ctm_table
from kcomplexity.errors import SpecError, UnmeasurableError


@dataclass(frozen=True)
class BdmResult:
    """A BDM value and what is needed to judge it.

    Attributes
    ----------
    bits : float
        BDM, in bits. An estimate; higher = more complex.
    block_entropy : float
        Shannon entropy of the distribution of blocks, in bits a block.
    n_blocks : int
        Blocks counted, of all sizes.
    n_codes_seen : int
        Different blocks among them.
    n_missing : int
        Different blocks among those that the table does not know, imputed as pybdm does: the
        largest value of the table for their size, plus one bit.
    n_ignored : int
        Elements that no block covers.
    saturation : float
        ``1 - exp(-n_blocks / n_codes)`` for the blocks of full size: the share of all codes that
        as many random blocks would have shown. In [0, 1].
    """

    bits: float
    block_entropy: float
    n_blocks: int
    n_codes_seen: int
    n_missing: int
    n_ignored: int
    saturation: float

    @property
    def saturated(self) -> bool:
        """Whether the value says little more about the data (`saturation` at least one half)."""
        return self.saturation >= 0.5


def bdm_result(counts: BlockCounts) -> BdmResult:
    """Return the BDM of counted blocks: a function of the counts alone, however they were added up.

    Raises
    ------
    UnmeasurableError
        No block was counted: there is nothing to measure, which is not zero bits.
    SpecError
        No CTM table for these blocks.
    """
    table = table_for(counts.how)
    terms: list[float] = []
    n_missing = 0
    for size, (codes, occurrences) in some_blocks(counts).by_size.items():
        values, known = table.lookup(codes, size)
        terms += [float(values.sum()), float(np.log2(occurrences).sum())]
        n_missing += int(codes.size - np.count_nonzero(known))
    full = counts.by_size.get(counts.how.size)
    n_full = int(full[1].sum()) if full else 0
    return BdmResult(
        bits=math.fsum(terms),
        block_entropy=block_entropy_of(counts),
        n_blocks=counts.n_blocks,
        n_codes_seen=counts.n_codes_seen,
        n_missing=n_missing,
        n_ignored=counts.n_ignored,
        saturation=-math.expm1(-n_full / counts.how.n_codes),
    )


def bdm_value(counts: BlockCounts) -> float:
    """Return the BDM of counted blocks, in bits; see :func:`bdm_result`."""
    return bdm_result(counts).bits


def table_for(how: Decomposition) -> CtmTable:
    """Return the CTM table of such blocks; SpecError where there is no table of their size."""
    table = ctm_table(how.n_symbols, how.ndim)
    if how.size not in table.sizes:
        sides = ", ".join(str(round(size ** (1 / how.ndim))) for size in table.sizes)
        raise SpecError(
            f"no CTM values for block={how.side} in {how.ndim} dimension(s); "
            f"the table {table.name} holds blocks of side {sides}"
        )
    return table


def some_blocks(counts: BlockCounts) -> BlockCounts:
    """Return `counts`, which must hold a block: nothing measured is not zero bits."""
    if not counts.by_size:
        shape = "x".join([str(counts.how.side)] * counts.how.ndim)
        other = "" if counts.how.partition == "recursive" else ' or use partition="recursive"'
        raise UnmeasurableError(
            f"not one block of {shape} symbols fits into the {counts.n_ignored} given; "
            f"measure a larger array, choose a smaller block{other}"
        )
    return counts


def block_entropy_of(counts: BlockCounts) -> float:
    """Return the entropy of blocks in bits a block."""
    return entropy_of_counts(np.concatenate([n for _, n in counts.by_size.values()]))


def entropy_of_counts(occurrences: NDArray[np.int64]) -> float:
    """Return the Shannon entropy, in bits, of a distribution given by its counts."""
    shares = occurrences / occurrences.sum()
    return 0.0 - float((shares * np.log2(shares)).sum())  # not -x: that is -0.0 for equal blocks
