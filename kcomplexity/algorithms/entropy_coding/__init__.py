"""Plain sequential codes: small, slow and readable, the definition of what the estimators count.

An estimator of kind ``code`` computes its length from counts, without writing a bit. What stands
here writes the bits and reads them back: the proof that the length is one.
"""

from __future__ import annotations

from kcomplexity.algorithms.entropy_coding.arithmetic import BitReader, BitWriter
from kcomplexity.algorithms.entropy_coding.context_tree import ContextTrees
from kcomplexity.algorithms.entropy_coding.order0 import read_order0, write_order0

__all__ = [
    "BitReader",
    "BitWriter",
    "ContextTrees",
    "read_order0",
    "write_order0",
]
