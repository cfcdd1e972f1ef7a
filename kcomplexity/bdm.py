"""BDM, the Block Decomposition Method: algorithmic complexity of arrays of symbols, in bits.

``BDM(X) = sum over distinct blocks of CTM(block) + log2(how often it occurs)`` [1]_. It is an
estimate, not a code length: nothing can decode it. Figures are those of pybdm 0.1.0 for each of its
tables, partitions and options; the methods differ:

1. **Decompose**: a :class:`Decomposition` says how an array is cut into blocks, and
   :meth:`Decomposition.count` gives each block an integer code, with a fast path for the usual
   binary blocks (:func:`binary_counts_1d`, :func:`binary_counts_2d`).
2. **Count**: :class:`BlockCounts`, the number of occurrences of each code. Counts of pieces cut at
   block boundaries add up (``+``) to the counts of the whole.
3. **Aggregate**: :func:`bdm_result` looks the codes up in a CTM table.

**BDM saturates.** Once blocks outnumber the codes there are (4,096 for twelve bits: from some
34,000 weights on) the sum hardly depends on the data any more. Every :class:`BdmResult` says so,
and :func:`bdm_tiles` measures pieces small enough not to.

References
----------
.. [1] Zenil, Hernandez-Orozco, Kiani, Soler-Toscano, Rueda-Toicen, Tegner: A decomposition method
       for global evaluation of Shannon entropy and local estimations of algorithmic complexity.
       Entropy 20(8):605 (2018).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.ctm import CtmTable, ctm_table
from kcomplexity.errors import SpecError, UnmeasurableError

__all__ = [
    "BdmResult",
    "BdmTiles",
    "BlockCounts",
    "Decomposition",
    "bdm1d",
    "bdm2d",
    "bdm_result",
    "bdm_tiles",
    "bdm_value",
    "binary_counts_1d",
    "binary_counts_2d",
    "block_entropy",
    "count_blocks_1d",
    "count_blocks_2d",
    "measure_bdm",
    "normalized_bdm",
    "normalized_block_entropy",
]

Partition = Literal["ignore", "correlated", "recursive"]
Symbols = NDArray[np.integer[Any]]
Codes = NDArray[np.int64]
#: Ascending codes of the blocks seen, and how often each was.
Tally = tuple[Codes, NDArray[np.int64]]

_PARTITIONS: Final = ("ignore", "correlated", "recursive")
#: Side of a block where none is asked for, by number of dimensions.
_USUAL_BLOCK: Final = {1: 12, 2: 4}
#: Up to this many codes blocks are counted in a dense array; beyond it they are sorted.
_DENSE_CODES: Final = 1 << 16
#: Blocks to code at a time: their codes (8 bytes each) stay in the cache of a core.
_SLAB_BLOCKS: Final = 1 << 15


# --- the public functions -------------------------------------------------------------------------


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
    """BDM of a sequence of symbols.

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
    """BDM of a matrix of symbols, cut into square blocks.

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
    """Shannon entropy of the distribution of blocks, as pybdm's ``ent``.

    An estimate, biased downwards: n blocks never show more than log2(n) bits.

    Parameters
    ----------
    array : array_like of shape (n,) or (n_rows, n_columns), boolean or integer
        Values 0 to ``n_symbols - 1``.
    n_symbols : int, default 2
        Any alphabet with at most 2^62 blocks; only `normalized` needs a CTM table.
    block : int, optional
        Side of a block; 12 symbols in one dimension and 4x4 in two unless told.
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
    given = np.asarray(array)
    how = Decomposition(_ndim_of(given), n_symbols, block, partition, shift, min_length)
    counts = how.count(given)
    return normalized_block_entropy(counts) if normalized else _entropy_bits(_some(counts))


def measure_bdm(
    array: ArrayLike,
    *,
    n_symbols: int = 2,
    block: int | None = None,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
) -> BdmResult:
    """BDM of a sequence or a matrix, with all that is needed to judge it.

    Parameters are those of :func:`bdm1d` and :func:`bdm2d`, chosen by the array's dimensions.

    Returns
    -------
    BdmResult

    Examples
    --------
    >>> measure_bdm([0, 1] * 20).n_ignored
    4
    """
    given = np.asarray(array)
    how = Decomposition(_ndim_of(given), n_symbols, block, partition, shift, min_length)
    return bdm_result(how.count(given))


def _bdm(array: ArrayLike, how: Decomposition, normalized: bool) -> float:
    _table_for(how)  # a hopeless request fails before the array is read
    counts = how.count(array)
    return normalized_bdm(counts) if normalized else bdm_value(counts)


def _ndim_of(array: NDArray[Any]) -> int:
    if array.ndim not in _USUAL_BLOCK:
        raise UnmeasurableError(
            f"BDM is defined for 1-D and 2-D arrays; given shape {array.shape}. "
            "Reshape it, for instance to (shape[0], -1)"
        )
    return array.ndim


# --- decompose ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Decomposition:
    """How an array of symbols is cut into blocks. Picklable, and checked when made.

    Attributes
    ----------
    ndim : {1, 2}
        Dimensions of the array and of its blocks.
    n_symbols : int
        Size of the alphabet, at least 2.
    block : int
        Side of a block, the same along each axis; ``None`` stands for 12 or 4x4.
    partition : {"ignore", "correlated", "recursive"}
        "ignore": blocks side by side; what is left at the far edges is not covered, and counted in
        `n_ignored`. "correlated": a window that slides by `shift`, so that blocks overlap.
        "recursive": as "ignore", then the left-over strips are cut into the largest squares that
        fit (in one dimension, the left-over end is one shorter block), and so on down to
        `min_length`.
    shift : int
        Step of "correlated", at least 1.
    min_length : int
        The shortest side that "recursive" keeps, at least 1.
    """

    ndim: int
    n_symbols: int = 2
    block: int | None = None
    partition: Partition = "ignore"
    shift: int = 1
    min_length: int = 2

    def __post_init__(self) -> None:
        if self.ndim not in _USUAL_BLOCK:
            raise SpecError(f"ndim={self.ndim!r}: blocks have 1 or 2 dimensions")
        if self.block is None:
            object.__setattr__(self, "block", _USUAL_BLOCK[self.ndim])
        if self.partition not in _PARTITIONS:
            raise SpecError(f"partition={self.partition!r}: expected one of {_PARTITIONS}")
        for name, least in {"n_symbols": 2, "block": 1, "shift": 1, "min_length": 1}.items():
            object.__setattr__(self, name, _integer(name, getattr(self, name), least))
        if self.n_codes > 1 << 62:
            raise SpecError(
                f"blocks of {self.size} out of {self.n_symbols} symbols have more than 2^62 codes; "
                f"choose a smaller block"
            )

    @property
    def side(self) -> int:
        """Side of a block."""
        return _USUAL_BLOCK[self.ndim] if self.block is None else self.block

    @property
    def size(self) -> int:
        """Symbols in a block."""
        return int(self.side**self.ndim)

    @property
    def n_codes(self) -> int:
        """How many different blocks there can be."""
        return int(self.n_symbols**self.size)

    @property
    def is_usual_binary(self) -> bool:
        """Whether :func:`binary_counts_1d` or :func:`binary_counts_2d` counts all of the blocks."""
        return (
            self.n_symbols == 2
            and self.side == _USUAL_BLOCK[self.ndim]
            and self.partition == "ignore"
        )

    def count(self, array: ArrayLike) -> BlockCounts:
        """Count the blocks of an array, which may be too small to hold any.

        Parameters
        ----------
        array : array_like of `ndim` dimensions, boolean or integer
            Values 0 to ``n_symbols - 1``.

        Returns
        -------
        BlockCounts

        Raises
        ------
        UnmeasurableError
            Wrong number of dimensions, not integers, or symbols out of range.

        Notes
        -----
        Memory beyond the array: one byte a symbol for input wider than 8 bits; for alphabets of
        more than 65,536 blocks also 24 bytes a block.
        """
        return self._count_valid(_as_symbols(array, self))

    def _count_valid(self, symbols: Symbols) -> BlockCounts:
        """:meth:`count` of an array that came from :func:`_as_symbols`."""
        step = self.shift if self.partition == "correlated" else self.side
        tallies = {self.size: [_tally_windows(symbols, self, step)]}
        if self.partition == "recursive":
            for side, codes in _leftover_codes(symbols[np.newaxis], self, self.side):
                n_codes = self.n_symbols ** (side**self.ndim)
                tallies.setdefault(side**self.ndim, []).append(_tally(codes, n_codes))
        by_size = {size: _merged(parts) for size, parts in sorted(tallies.items())}
        if self.partition == "correlated":
            n_covered = math.prod(_n_covered(n, self.side, step) for n in symbols.shape)
        else:
            n_covered = sum(size * int(tally[1].sum()) for size, tally in by_size.items())
        by_size = {size: tally for size, tally in by_size.items() if tally[0].size}
        return BlockCounts(self, by_size, symbols.size - n_covered)


def count_blocks_1d(
    chunk: ArrayLike,
    *,
    n_symbols: int = 2,
    block: int = 12,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
) -> BlockCounts:
    """Count the blocks of a piece of a sequence; parameters as in :func:`bdm1d`.

    Pieces cut at multiples of `block` add up to the whole with "ignore" and "recursive". A piece
    may be shorter than a block.

    Examples
    --------
    >>> halves = count_blocks_1d([0] * 12) + count_blocks_1d([0] * 12)
    >>> bdm_value(halves) == bdm1d([0] * 24)
    True
    """
    return Decomposition(1, n_symbols, block, partition, shift, min_length).count(chunk)


def count_blocks_2d(
    chunk: ArrayLike,
    *,
    block: int = 4,
    n_symbols: int = 2,
    partition: Partition = "ignore",
    shift: int = 1,
    min_length: int = 2,
) -> BlockCounts:
    """Count the blocks of a rectangle of a matrix; parameters as in :func:`bdm2d`.

    Rectangles cut at multiples of `block` along both axes add up to the whole with "ignore" and
    "recursive". A rectangle may be smaller than a block.
    """
    return Decomposition(2, n_symbols, block, partition, shift, min_length).count(chunk)


def _integer(name: str, value: object, least: int) -> int:
    """An option as a Python integer: numbers of codes would wrap around in NumPy's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SpecError(f"{name}={value!r}: expected an integer >= {least}")
    return int(value)


def _as_symbols(array: ArrayLike, how: Decomposition) -> Symbols:
    """The one door for arrays: checked, and as uint8 where the alphabet fits."""
    given = np.asarray(array)
    if given.ndim != how.ndim:
        raise UnmeasurableError(
            f"expected a {how.ndim}-D array of symbols, given shape {given.shape}; "
            + ("flatten it with .ravel()" if how.ndim == 1 else "reshape it to a matrix")
        )
    if given.dtype.kind not in "biu":
        raise UnmeasurableError(
            f"symbols must be booleans or integers, given {given.dtype}; "
            "map the weights to symbols first, for instance with `weights > 0`"
        )
    if given.dtype.kind == "b":
        return given.view(np.uint8)
    if given.size and (int(given.min()) < 0 or int(given.max()) >= how.n_symbols):
        raise UnmeasurableError(
            f"symbols range from {given.min()} to {given.max()}, expected 0 to "
            f"{how.n_symbols - 1} for n_symbols={how.n_symbols}; set n_symbols or map the values"
        )
    return given.astype(np.uint8 if how.n_symbols <= 256 else np.int64, copy=False)


# --- block codes ----------------------------------------------------------------------------------


def binary_counts_1d(
    values: NDArray[Any], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Count the 12-bit blocks of ``values > 0``: the fast path of streaming reducers.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Real numbers of any dtype; a value counts as 1 where it is above zero (NaN is not). Bits and
        booleans are thus counted as they are, and weights by their sign.
    out : ndarray of shape (4096,), int64, optional
        Counts to add to, in place. Spares many small pieces an array each.

    Returns
    -------
    ndarray of shape (4096,), int64
        `out`, or a new array: occurrences of each code, the first symbol being the most significant
        bit. The last ``n % 12`` values are left out.

    Notes
    -----
    About 3 * 10^9 float32 weights a second and core. Memory: 1 MB.

    Examples
    --------
    >>> np.flatnonzero(binary_counts_1d(np.array([-1.0] * 11 + [0.5])))
    array([1])
    """
    counts = np.zeros(1 << 12, dtype=np.int64) if out is None else out
    covered = values[: values.size // 12 * 12]
    for start in range(0, covered.size, 12 * _SLAB_BLOCKS):
        _add_counts(counts, _codes_1d(_bits(covered[start : start + 12 * _SLAB_BLOCKS])))
    return counts


def binary_counts_2d(
    values: NDArray[Any], out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Count the 4x4 blocks of ``values > 0``: the fast path of streaming reducers.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        As in :func:`binary_counts_1d`.
    out : ndarray of shape (65536,), int64, optional
        Counts to add to, in place. Spares many small pieces an array each.

    Returns
    -------
    ndarray of shape (65536,), int64
        `out`, or a new array: occurrences of each code, a block being read in row-major order from
        its most significant bit on. The last ``n_rows % 4`` rows and ``n_columns % 4`` columns are
        left out.

    Notes
    -----
    About 4 * 10^9 float32 weights a second and core. Memory: 2 MB, more for rows above 10^5.
    """
    counts = np.zeros(1 << 16, dtype=np.int64) if out is None else out
    n_rows, n_columns = (n // 4 * 4 for n in values.shape)
    slab = max(4, 16 * _SLAB_BLOCKS // max(n_columns, 1) // 4 * 4)
    for start in range(0, n_rows, slab):
        bits = _bits(values[start : min(start + slab, n_rows), :n_columns])
        _add_counts(counts, _codes_2d(bits))
    return counts


def _add_counts(counts: NDArray[np.int64], codes: NDArray[np.integer[Any]]) -> None:
    if _few(codes.size, counts.size):
        np.add.at(counts, codes, 1)  # does not touch all of a large array for a few blocks
    else:
        counts += np.bincount(codes, minlength=counts.size)


def _bits(values: NDArray[Any]) -> NDArray[Any]:
    """Where values are above zero; not copied where packing reads them as truth values anyway."""
    return values if values.dtype in (np.bool_, np.uint8) else values > 0


def _codes_1d(bits: NDArray[Any]) -> NDArray[np.intp]:
    """Codes of the blocks of a positive multiple of 12 bits, in no particular order."""
    n_blocks = bits.size // 12
    packed = np.packbits(bits)
    packed.resize(3 * -(-n_blocks // 2), refcheck=False)  # two blocks make three bytes
    codes = np.empty((2, packed.size // 3), dtype=np.intp)
    # Bytes 0 and 1 of three, read as one big-endian word, start with the first block of the pair;
    # bytes 1 and 2 end with the second.
    heads, tails = (np.ndarray(codes.shape[1:], ">u2", packed, at, strides=(3,)) for at in (0, 1))
    np.right_shift(heads, 4, out=codes[0], casting="unsafe")
    np.bitwise_and(tails, 0xFFF, out=codes[1], casting="unsafe")
    return codes.reshape(-1)[:n_blocks]  # of an odd number the last second block is padding


def _codes_2d(bits: NDArray[Any]) -> NDArray[np.uint16]:
    """Codes of the 4x4 blocks of a matrix with sides that 4 divides, in no particular order."""
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


def _tally_windows(symbols: Symbols, how: Decomposition, step: int) -> Tally:
    """Count the blocks whose starts are `step` apart along each axis."""
    n_windows = [max((n - how.side) // step + 1, 0) for n in symbols.shape]
    n_blocks = math.prod(n_windows)
    if not n_blocks:
        return _tally(np.empty(0, dtype=np.int64), how.n_codes)
    if how.n_symbols == 2 and how.side == step == _USUAL_BLOCK[how.ndim]:
        if _few(n_blocks, how.n_codes):
            covered = symbols[tuple(slice(n * how.side) for n in n_windows)]
            return _tally((_codes_1d if how.ndim == 1 else _codes_2d)(covered), how.n_codes)
        return _seen((binary_counts_1d if how.ndim == 1 else binary_counts_2d)(symbols))
    slabs = _slab_codes(symbols, how, step, n_windows)
    if _few(n_blocks, how.n_codes):
        return _tally(np.concatenate(list(slabs)), how.n_codes)
    counts = np.zeros(how.n_codes, dtype=np.int64)
    for codes in slabs:
        counts += np.bincount(codes, minlength=counts.size)
    return _seen(counts)


def _slab_codes(
    symbols: Symbols, how: Decomposition, step: int, n_windows: list[int]
) -> Iterator[Codes]:
    """Codes of the blocks, some rows of blocks at a time."""
    n_rows = max(1, _SLAB_BLOCKS // math.prod(n_windows[1:]))
    for start in range(0, n_windows[0], n_rows):
        stop = min(start + n_rows, n_windows[0])
        slab = symbols[start * step : (stop - 1) * step + how.side]
        yield _window_codes(slab[np.newaxis], how.side, step, how.n_symbols)


def _window_codes(pieces: Symbols, side: int, step: int, n_symbols: int) -> Codes:
    """Codes of the blocks of each of a stack of equal pieces: the plain definition, vectorised."""
    n_windows = [(n - side) // step + 1 for n in pieces.shape[1:]]
    codes = np.zeros((pieces.shape[0], *n_windows), dtype=np.int64)
    for corner in itertools.product(range(side), repeat=len(n_windows)):
        at = tuple(slice(c, c + n * step, step) for c, n in zip(corner, n_windows, strict=True))
        codes *= n_symbols
        codes += pieces[(slice(None), *at)]
    return codes.reshape(-1)


def _leftover_codes(pieces: Symbols, how: Decomposition, side: int) -> Iterator[tuple[int, Codes]]:
    """Blocks that "recursive" finds beside the whole ones: (side, codes) for each kind of strip.

    Parameters
    ----------
    pieces : ndarray of shape (n_pieces, ...)
        Equal pieces, each of which was cut into blocks of `side` from its own corner.
    """
    n_whole = [n // side * side for n in pieces.shape[1:]]
    for ragged in itertools.product((False, True), repeat=how.ndim):
        at = (slice(n, None) if r else slice(n) for n, r in zip(n_whole, ragged, strict=True))
        strip = pieces[(slice(None), *at)]
        if not any(ragged) or not strip.size:
            continue
        shape = [n if r else side for n, r in zip(strip.shape[1:], ragged, strict=True)]
        parts = _cut(strip, shape)
        inner = min(shape)
        if inner >= how.min_length:
            yield inner, _window_codes(parts, inner, inner, how.n_symbols)
            yield from _leftover_codes(parts, how, inner)


def _cut(stack: Symbols, shape: list[int]) -> Symbols:
    """Cut each array of a stack into parts of `shape`, which divides it, and stack the parts."""
    split = [(n // k, k) for n, k in zip(stack.shape[1:], shape, strict=True)]
    axes = range(1, 1 + 2 * len(shape))
    cut = stack.reshape(stack.shape[0], *itertools.chain(*split))
    return cut.transpose(0, *axes[::2], *axes[1::2]).reshape(-1, *shape)


def _n_covered(n: int, side: int, step: int) -> int:
    """Elements of an axis of n that windows of `side`, `step` apart, cover."""
    n_windows = max((n - side) // step + 1, 0)
    return n_windows * min(side, step) + (max(side - step, 0) if n_windows else 0)


# --- count ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlockCounts:
    """How often each block was seen. Counts of pieces cut at block boundaries add up with ``+``.

    Attributes
    ----------
    how : Decomposition
        How the blocks were cut.
    by_size : mapping of int to (codes, counts)
        For each block size in symbols, the ascending codes of the blocks seen (int64; row-major,
        most significant symbol first) and their numbers of occurrences (int64, at least 1).
    n_ignored : int
        Elements that no block covers.
    """

    how: Decomposition
    by_size: Mapping[int, Tally] = field(repr=False)
    n_ignored: int = 0

    @classmethod
    def from_dense(
        cls, counts: NDArray[np.integer[Any]], how: Decomposition, n_ignored: int = 0
    ) -> BlockCounts:
        """Counts from an array with one number for each code, zeros included.

        Parameters
        ----------
        counts : ndarray of shape (how.n_codes,), integer
            As made, for example, by :func:`binary_counts_1d`.
        how : Decomposition
            How the blocks were cut.
        n_ignored : int, default 0
            Elements that no block covers.

        Examples
        --------
        >>> dense = binary_counts_1d(np.zeros(30, dtype=np.uint8))
        >>> bdm_value(BlockCounts.from_dense(dense, Decomposition(1), n_ignored=6))
        26.6104137476
        """
        if counts.shape != (how.n_codes,):
            raise SpecError(
                f"dense counts have shape {counts.shape}, expected ({how.n_codes},): "
                f"one for each block of {how.size} out of {how.n_symbols} symbols"
            )
        tally = _seen(counts.astype(np.int64, copy=False))
        return cls(how, {how.size: tally} if tally[0].size else {}, n_ignored)

    @property
    def n_blocks(self) -> int:
        """How many blocks were seen, of all sizes."""
        return sum(int(counts.sum()) for _, counts in self.by_size.values())

    @property
    def n_codes_seen(self) -> int:
        """How many different blocks were seen, of all sizes."""
        return sum(codes.size for codes, _ in self.by_size.values())

    def __add__(self, other: BlockCounts) -> BlockCounts:
        if not isinstance(other, BlockCounts):
            return NotImplemented
        if self.how != other.how:
            raise SpecError(f"counts of different blocks do not add up: {self.how}, {other.how}")
        sizes = sorted({*self.by_size, *other.by_size})
        both = (self.by_size, other.by_size)
        merged = {size: _merged([c[size] for c in both if size in c]) for size in sizes}
        return BlockCounts(self.how, merged, self.n_ignored + other.n_ignored)


def _few(n_blocks: int, n_codes: int) -> bool:
    """Whether sorting the blocks is cheaper, or only possible, against an array of all codes."""
    return n_codes > _DENSE_CODES or 8 * n_blocks < n_codes


def _tally(codes: NDArray[np.integer[Any]], n_codes: int) -> Tally:
    if _few(codes.size, n_codes):
        seen, counts = np.unique(codes, return_counts=True)
        return seen.astype(np.int64), counts.astype(np.int64)
    return _seen(np.bincount(codes, minlength=n_codes))


def _seen(counts: NDArray[np.int64]) -> Tally:
    codes = np.flatnonzero(counts)
    return codes.astype(np.int64), counts[codes]


def _merged(tallies: list[Tally]) -> Tally:
    """One tally of several of the same block size."""
    if len(tallies) == 1:
        return tallies[0]
    codes, which = np.unique(np.concatenate([t[0] for t in tallies]), return_inverse=True)
    counts = np.zeros(codes.size, dtype=np.int64)
    np.add.at(counts, which, np.concatenate([t[1] for t in tallies]))
    return codes, counts


# --- aggregate ------------------------------------------------------------------------------------


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
    """BDM of counted blocks, with the facts about it.

    Raises
    ------
    UnmeasurableError
        No block was counted: there is nothing to measure, which is not zero bits.
    SpecError
        No CTM table for these blocks.

    Notes
    -----
    O(n_codes_seen). The value is a function of the counts alone, however they were added up.
    """
    table = _table_for(counts.how)
    terms: list[float] = []
    n_missing = 0
    for size, (codes, occurrences) in _some(counts).by_size.items():
        values, known = table.lookup(codes, size)
        terms += [float(values.sum()), float(np.log2(occurrences).sum())]
        n_missing += int(codes.size - np.count_nonzero(known))
    full = counts.by_size.get(counts.how.size)
    n_full = int(full[1].sum()) if full else 0
    return BdmResult(
        bits=math.fsum(terms),
        block_entropy=_entropy_bits(counts),
        n_blocks=counts.n_blocks,
        n_codes_seen=counts.n_codes_seen,
        n_missing=n_missing,
        n_ignored=counts.n_ignored,
        saturation=-math.expm1(-n_full / counts.how.n_codes),
    )


def bdm_value(counts: BlockCounts) -> float:
    """BDM of counted blocks, in bits; see :func:`bdm_result`."""
    return bdm_result(counts).bits


def normalized_bdm(counts: BlockCounts) -> float:
    """BDM between the least (0) and the greatest (1) that an array of this size can have.

    The least has equal blocks only, the greatest the most complex blocks of the table, each once,
    then each again. As pybdm's ``nbdm``; imputed blocks may push the value above 1.

    Parameters
    ----------
    counts : BlockCounts
        Of a whole array, with the partition "ignore" or "recursive".

    Returns
    -------
    float
        Without unit. Higher = more complex.

    Raises
    ------
    SpecError
        The partition is "correlated".
    UnmeasurableError
        No block; too small an array, whose bounds meet or cross; or a matrix with left-over
        strips under "recursive", for which no bounds are defined.
    """
    table = _table_for(counts.how)
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
    """Block entropy between the least (0) and the greatest (1) of an array of this size.

    As pybdm's ``nent``; parameters and errors as in :func:`normalized_bdm`.
    """
    table = _table_for(counts.how)
    # pybdm numbers the parts of each size from 0, and a number that two sizes share counts as one
    # block seen twice.
    limits = [
        min(n_blocks, int(table.ranked(size)[1].sum()))
        for size, n_blocks in _bounding_blocks(counts).items()
    ]
    limits.sort(reverse=True)
    n_sharing = [a - b for a, b in itertools.pairwise([*limits, 0])]
    shared = np.repeat(np.arange(1, len(limits) + 1), n_sharing)
    return _between(_entropy_bits(counts), math.log2(len(limits)), _entropy_of(shared))


def _table_for(how: Decomposition) -> CtmTable:
    table = ctm_table(how.n_symbols, how.ndim)
    if how.size not in table.sizes:
        sides = ", ".join(str(round(size ** (1 / how.ndim))) for size in table.sizes)
        raise SpecError(
            f"no CTM values for block={how.side} in {how.ndim} dimension(s); "
            f"the table {table.name} holds blocks of side {sides}"
        )
    return table


def _some(counts: BlockCounts) -> BlockCounts:
    if not counts.by_size:
        shape = "x".join([str(counts.how.side)] * counts.how.ndim)
        raise UnmeasurableError(
            f"not one block of {shape} symbols fits into the {counts.n_ignored} given; "
            'measure a larger array, choose a smaller block or use partition="recursive"'
        )
    return counts


def _bounding_blocks(counts: BlockCounts) -> dict[int, int]:
    """Block size -> number of blocks of the arrays among which a value is to be placed."""
    how = counts.how
    if how.partition == "correlated":
        raise SpecError(
            'no normalized value is defined for partition="correlated", whose blocks overlap; '
            'use "ignore" or "recursive"'
        )
    blocks = {size: int(n.sum()) for size, (_, n) in _some(counts).by_size.items()}
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


def _entropy_bits(counts: BlockCounts) -> float:
    return _entropy_of(np.concatenate([n for _, n in counts.by_size.values()]))


def _entropy_of(occurrences: NDArray[np.int64]) -> float:
    shares = occurrences / occurrences.sum()
    return 0.0 - float((shares * np.log2(shares)).sum())  # not -x: that is -0.0 for equal blocks


# --- tiles ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BdmTiles:
    """BDM of each tile of an array, and their sum.

    Attributes
    ----------
    bits : float
        Sum of the tiles' BDM, in bits. Not the BDM of the whole, and larger: a block pays for its
        CTM value anew in each tile.
    values : ndarray of shape (n_tiles,) or (n_tile_rows, n_tile_columns), float64
        BDM of each tile, in bits; NaN where a tile at the edge is smaller than a block.
    n_blocks, n_codes_seen, n_missing, n_ignored : int
        As in :class:`BdmResult`, added up over the tiles: a block is seen anew in each.
    saturation : float
        The largest of any tile.
    """

    bits: float
    values: NDArray[np.float64] = field(repr=False)
    n_blocks: int
    n_codes_seen: int
    n_missing: int
    n_ignored: int
    saturation: float

    @property
    def saturated(self) -> bool:
        """Whether any tile's value says little more about its data."""
        return self.saturation >= 0.5


def bdm_tiles(
    array: ArrayLike, tile: int, *, n_symbols: int = 2, block: int | None = None
) -> BdmTiles:
    """BDM of each tile of an array, so that the sum does not saturate.

    Parameters
    ----------
    array : array_like of shape (n,) or (n_rows, n_columns), boolean or integer
        Values 0 to ``n_symbols - 1``.
    tile : int
        Symbols a tile in one dimension; side of the square tiles in two. At least a block. Tiles
        at the far edges are smaller; those smaller than a block are counted in `n_ignored`.
    n_symbols, block
        As in :func:`bdm1d` and :func:`bdm2d`; the partition is "ignore".

    Returns
    -------
    BdmTiles

    Raises
    ------
    UnmeasurableError
        As :func:`bdm1d` and :func:`bdm2d`.
    SpecError
        The tile is smaller than a block, or there is no table.

    Examples
    --------
    >>> bdm_tiles(np.zeros((8, 10), dtype=int), 8).values.shape
    (1, 2)
    """
    given = np.asarray(array)
    how = Decomposition(_ndim_of(given), n_symbols, block)
    tile = _integer("tile", tile, how.side)
    _table_for(how)
    symbols = _as_symbols(given, how)
    values = np.full([-(-n // tile) for n in symbols.shape], np.nan)
    results: list[BdmResult] = []
    n_ignored = 0
    for index in np.ndindex(values.shape):
        counts = how._count_valid(symbols[tuple(slice(i * tile, (i + 1) * tile) for i in index)])
        n_ignored += counts.n_ignored
        if counts.by_size:
            results.append(bdm_result(counts))
            values[index] = results[-1].bits
    if not results:
        _some(BlockCounts(how, {}, n_ignored))
    return BdmTiles(
        bits=math.fsum(r.bits for r in results),
        values=values,
        n_blocks=sum(r.n_blocks for r in results),
        n_codes_seen=sum(r.n_codes_seen for r in results),
        n_missing=sum(r.n_missing for r in results),
        n_ignored=n_ignored,
        saturation=max(r.saturation for r in results),
    )
