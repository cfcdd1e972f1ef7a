"""The fast path: integer codes of the usual binary blocks, 12 in a row and 4x4, by packing bits.

Every function here equals the plain definition in :mod:`kcomplexity.algorithms.bdm.windows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Default side of a block, by number of dimensions.
USUAL_BLOCK: Final = {1: 12, 2: 4}
#: Blocks to code at a time: their codes (8 bytes each) stay in the cache of a core.
SLAB_BLOCKS: Final = 1 << 15


def usual_codes(values: NDArray[Any]) -> Iterator[NDArray[np.integer[Any]]]:
    """Yield the codes of the usual blocks of ``values > 0``, a slab at a time.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n_rows, n_columns)
        Real numbers of any dtype; a value counts as 1 where it is above zero (NaN is not). Bits and
        booleans are thus taken as they are, and weights by their sign.

    Yields
    ------
    ndarray of int, shape (n_blocks,)
        In no particular order. A block is read in row-major order from its most significant bit
        on. What no whole block covers at the far ends is left out.

    Notes
    -----
    With counting, 3 * 10^9 float32 weights a second and core. Memory: 1 to 2 MB, more for rows
    above 10^5.

    Examples
    --------
    >>> [codes.tolist() for codes in usual_codes(np.array([-1.0] * 11 + [0.5]))]
    [[1]]
    """
    if values.ndim == 1:
        covered = values[: values.size // 12 * 12]
        for start in range(0, covered.size, 12 * SLAB_BLOCKS):
            yield _codes_1d(_bits(covered[start : start + 12 * SLAB_BLOCKS]))
        return
    n_rows, n_columns = (n // 4 * 4 for n in values.shape)
    slab = max(4, 16 * SLAB_BLOCKS // max(n_columns, 1) // 4 * 4)
    for start in range(0, n_rows, slab):
        yield _codes_2d(_bits(values[start : min(start + slab, n_rows), :n_columns]))


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Return where values are above zero; no copy where packing reads truth values anyway."""
    return values if values.dtype in (np.bool_, np.uint8) else values > 0


def _codes_1d(bits: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of the blocks of a positive multiple of 12 bits, in no particular order."""
    n_blocks = bits.size // 12
    packed = np.packbits(bits)
    packed.resize(3 * -(-n_blocks // 2), refcheck=False)  # two blocks make three bytes
    codes = np.empty((2, packed.size // 3), np.uint16)
    # Bytes 0 and 1 of three, read as one big-endian word, start with the first block of the pair;
    # bytes 1 and 2 end with the second.
    heads, tails = (np.ndarray(codes.shape[1:], ">u2", packed, at, strides=(3,)) for at in (0, 1))
    np.right_shift(heads, 4, out=codes[0], casting="unsafe")
    np.bitwise_and(tails, 0xFFF, out=codes[1], casting="unsafe")
    return codes.reshape(-1)[:n_blocks]  # of an odd number the last second block is padding


def _codes_2d(bits: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the codes of 4x4 blocks of a matrix whose sides 4 divides, in no particular order."""
    n_rows, n_columns = bits.shape
    packed = np.packbits(bits, axis=1)
    rows = packed.reshape(n_rows // 4, 4, packed.shape[1]).astype(np.uint16)
    # A byte is four columns of a left block (high nibble) and four of a right block (low nibble).
    left = (rows[:, 0] & 0xF0) << 8
    left |= (rows[:, 1] & 0xF0) << 4
    left |= rows[:, 2] & 0xF0
    left |= rows[:, 3] >> 4
    right = (rows[:, 0] & 0x0F) << 12
    right |= (rows[:, 1] & 0x0F) << 8
    right |= (rows[:, 2] & 0x0F) << 4
    right |= rows[:, 3] & 0x0F
    right = right[:, : n_columns // 8]  # an odd number of blocks: the last right one is padding
    return np.concatenate([left.reshape(-1), right.reshape(-1)])
