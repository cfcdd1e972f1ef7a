"""Inner loops, compiled, and beside each its NumPy twin.

NumPy needs several passes over memory where a loop needs one. The twin of a kernel
(``two_lowest`` and ``two_lowest_numpy``) is its definition, what runs where no compiler was at
hand, and what a property test compares it with: both give the same bits.

Arrays come in and go out; nothing here knows of tensors, views or estimators. Each module checks
its arguments and calls either side:

:mod:`~kcomplexity.kernels.levels`
    Weights to levels, their errors, and magnitudes in bins.
:mod:`~kcomplexity.kernels.counts`
    How often symbols occur.
:mod:`~kcomplexity.kernels.permutation`
    Shuffles.
:mod:`~kcomplexity.kernels.contexts`, :mod:`~kcomplexity.kernels.trees`
    The context code: features, table of levels, flags, code lengths.
:mod:`~kcomplexity.kernels.nearest`
    The lowest and second lowest score.

The C code is in ``src``: loops in the headers, the boundary to Python in ``module.c``. No loop
holds the GIL. ``KCOMPLEXITY_KERNELS=numpy`` chooses the twins; ``KCOMPLEXITY_KERNELS=compiled``
makes an installation without compiled kernels fail, for checks that must not pass by accident.
"""

from kcomplexity.kernels.checks import WEIGHTS
from kcomplexity.kernels.choice import NAME
from kcomplexity.kernels.contexts import count_contexts, sample_contexts
from kcomplexity.kernels.counts import count_symbols
from kcomplexity.kernels.levels import (
    add_magnitudes,
    affine_levels,
    square_sums,
    step_errors,
    step_levels,
)
from kcomplexity.kernels.nearest import two_lowest
from kcomplexity.kernels.permutation import shuffle_rows
from kcomplexity.kernels.trees import count_flags, tree_bits

__all__ = [
    "NAME",
    "WEIGHTS",
    "add_magnitudes",
    "affine_levels",
    "count_contexts",
    "count_flags",
    "count_symbols",
    "sample_contexts",
    "shuffle_rows",
    "square_sums",
    "step_errors",
    "step_levels",
    "tree_bits",
    "two_lowest",
]
