"""BDM, the Block Decomposition Method: algorithmic complexity of arrays of symbols, in bits.

``BDM(X) = sum over distinct blocks of CTM(block) + log2(how often it occurs)`` [1]_. It is an
estimate, not a code length: nothing can decode it. Figures are those of pybdm 0.1.0 for each of its
tables, partitions and options; the methods differ:

1. **Decompose**: a :class:`Decomposition` says how an array is cut into blocks, and
   :func:`~kcomplexity.algorithms.bdm.windows.block_codes` gives each block an integer code.
2. **Count**: :func:`count_blocks` of an array, or a :class:`BlockCounter` of a stream, gives
   :class:`BlockCounts`, the number of occurrences of each code. Counts of pieces cut at block
   boundaries add up (``+``) to the counts of the whole.
3. **Aggregate**: :func:`bdm_result` looks the codes up in a CTM table.

:func:`bdm1d` and :func:`bdm2d` do all three and give the figure alone.

**BDM saturates.** Once blocks outnumber the codes there are (4,096 for twelve bits: from some
34,000 weights on) the sum hardly depends on the data any more. Every :class:`BdmResult` says so,
and :func:`bdm_tiles` measures pieces small enough not to.

References
----------
.. [1] Zenil, Hernandez-Orozco, Kiani, Soler-Toscano, Rueda-Toicen, Tegner: A decomposition method
       for global evaluation of Shannon entropy and local estimations of algorithmic complexity.
       Entropy 20(8):605 (2018).
"""

from kcomplexity.algorithms.bdm.arrays import bdm1d, bdm2d, block_entropy
from kcomplexity.algorithms.bdm.counts import BlockCounter, BlockCounts, count_blocks
from kcomplexity.algorithms.bdm.decomposition import Decomposition, Partition
from kcomplexity.algorithms.bdm.normalized import normalized_bdm, normalized_block_entropy
from kcomplexity.algorithms.bdm.tiles import BdmTiles, bdm_tiles
from kcomplexity.algorithms.bdm.value import BdmResult, bdm_result, bdm_value
from kcomplexity.algorithms.bdm.windows import n_covered

__all__ = [
    "BdmResult",
    "BdmTiles",
    "BlockCounter",
    "BlockCounts",
    "Decomposition",
    "Partition",
    "bdm1d",
    "bdm2d",
    "bdm_result",
    "bdm_tiles",
    "bdm_value",
    "block_entropy",
    "count_blocks",
    "n_covered",
    "normalized_bdm",
    "normalized_block_entropy",
]
