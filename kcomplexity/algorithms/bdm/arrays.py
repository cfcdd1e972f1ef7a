"""BDM and block entropy of plain arrays: what most callers need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.bdm.counts import count_blocks
from kcomplexity.algorithms.bdm.decomposition import USUAL_BLOCK, Decomposition, Partition
from kcomplexity.algorithms.bdm.normalized import normalized_bdm, normalized_block_entropy
from kcomplexity.algorithms.bdm.value import (
    bdm_value,
    block_entropy_of,
    some_blocks,
    table_for,
)
from kcomplexity.errors import UnmeasurableError


def bdm1d(
    symbols: ArrayLike,
    *,
    n_symbols: int = 2,
    block: int = 12,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
    normalized: bool = False,
) -> float:
    """Return the BDM of a sequence of symbols.

    Parameters
    ----------
    symbols : array_like of shape (n,), boolean or integer
        Values 0 to ``n_symbols - 1``. Weights are first mapped to symbols, e.g. ``weights > 0``.
    n_symbols : {2, 4, 5, 6, 9}, default 2
        Size of the alphabet, whether or not all of it occurs.
    block : int, default 12
        Symbols a block, 1 to 12.
    partition : {"ignore", "correlated", "recursive"}, default "ignore"
        What happens at the end, see :class:`Decomposition`.
    shift : int, default 1
        Of the sliding window of "correlated".
    min_length : int, default 2
        The shortest block that "recursive" keeps.
    normalized : bool, default False
        Whether to place the value between the least (0) and the greatest (1) BDM that an array of
        this size can have, see :func:`normalized_bdm`.

    Returns
    -------
    float
        In bits (without unit if `normalized`). Higher = more complex.

    Raises
    ------
    UnmeasurableError
        Not one-dimensional, not integers, symbols out of range, or fewer than a block of them.
    SpecError
        No table for `n_symbols` or `block`, or an option without meaning.

    Notes
    -----
    O(n); above 10^9 binary symbols a second and core for "ignore". Boolean and 8-bit input is not
    copied, wider integers are cast; strides and byte order do not matter. Floats are refused, and
    with them NaN.

    Examples
    --------
    >>> bdm1d([0] * 24)
    26.6104137476
    >>> bdm1d([0] * 12 + [1] * 12)
    51.2208274952
    """
    how = Decomposition(1, n_symbols, block, partition, shift, min_length)
    return _bdm(symbols, how, normalized)


def bdm2d(
    matrix: ArrayLike,
    *,
    block: int = 4,
    n_symbols: int = 2,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
    normalized: bool = False,
) -> float:
    """Return the BDM of a matrix of symbols, cut into square blocks.

    The layout is part of what is measured: permuting rows or columns changes the value.
    Transposing the matrix or swapping the two symbols does not.

    Parameters
    ----------
    matrix : array_like of shape (n_rows, n_columns), boolean or integer
        Values 0 and 1.
    block : {4, 3, 2, 1}, default 4
        Side of a block.
    n_symbols : {2}, default 2
        Size of the alphabet; there is a table for two symbols only.
    partition, shift, min_length, normalized
        As in :func:`bdm1d`, along both axes.

    Returns
    -------
    float
        In bits (without unit if `normalized`). Higher = more complex.

    Raises
    ------
    UnmeasurableError
        Not two-dimensional, not integers, symbols out of range, or a side shorter than a block.
    SpecError
        No table for `n_symbols` or `block`, or an option without meaning.

    Notes
    -----
    As for :func:`bdm1d`.

    Examples
    --------
    >>> bdm2d(np.ones((12, 12), dtype=int))
    25.1766312937
    """
    how = Decomposition(2, n_symbols, block, partition, shift, min_length)
    return _bdm(matrix, how, normalized)


def block_entropy(
    array: ArrayLike,
    *,
    n_symbols: int = 2,
    block: int | None = None,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
    normalized: bool = False,
) -> float:
    """Return the Shannon entropy of the distribution of blocks, as pybdm's ``ent``.

    An estimate, biased downwards: n blocks never show more than log2(n) bits.

    Parameters
    ----------
    array : array_like of shape (n,) or (n_rows, n_columns), boolean or integer
        Values 0 to ``n_symbols - 1``.
    n_symbols : int, default 2
        Any alphabet with at most 2^62 blocks; only `normalized` needs a CTM table.
    block : int, optional
        Side of a block; by default 12 symbols in one dimension and 4x4 in two.
    partition, shift, min_length, normalized
        As in :func:`bdm1d`.

    Returns
    -------
    float
        In bits a block (without unit if `normalized`).

    Examples
    --------
    >>> block_entropy([0] * 12 + [1] * 12)
    1.0
    """
    symbols = np.asarray(array)
    how = Decomposition(ndim_of(symbols), n_symbols, block, partition, shift, min_length)
    counts = count_blocks(symbols, how)
    return normalized_block_entropy(counts) if normalized else block_entropy_of(some_blocks(counts))


def _bdm(array: ArrayLike, how: Decomposition, normalized: bool) -> float:
    table_for(how)  # a hopeless request fails before the array is read
    counts = count_blocks(array, how)
    return normalized_bdm(counts) if normalized else bdm_value(counts)


def ndim_of(array: NDArray[Any]) -> int:
    """Return the dimensions of an array that can be cut into blocks."""
    if array.ndim not in USUAL_BLOCK:
        raise UnmeasurableError(
            f"BDM is defined for 1-D and 2-D arrays; given shape {array.shape}. "
            "Reshape it, for instance to (shape[0], -1)"
        )
    return array.ndim
