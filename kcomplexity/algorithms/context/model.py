"""The context code of one tile: what its decoder needs, and in which cell each level falls.

Everything a decoder computes is whole numbers, so that it finds the encoder's contexts bit for bit
on any machine.

1. **Levels.** The symbols that occur are sent; each becomes its rank less that of the median,
   and ranks that are large on average lose their low bits, which are sent as they are
   (:class:`Ranks`). What is left, h, is near 0.
2. **Neighbours.** h of weights already decoded, to the left and above, cut to +-127; outside the
   tile there are zeros (:func:`offsets`). Means of h and of abs(h) so far along the row, the column
   and the kernel, in sixteenths (:func:`running_mean`).
3. **Two weighted sums** with coefficients in 64ths that are sent: mu predicts h, m predicts abs(h);
   both in 1024ths.
4. **Cell** = (M, x): M is m in quarter octaves, x is abs(mu) in half octaves
   (:data:`MAGNITUDE_CELLS`, :data:`PREDICTION_CELLS`). Where only two symbols occur, h is -1 or 1
   and M says which of five neighbours have the sign of mu.
5. **Flags.** h = 0?; is its sign that of mu?; abs(h) > g for g = 1 to 14, each with the tree of its
   own contexts (cell, sign as mu?); beyond that Elias' gamma code with adaptive lengths.
   :mod:`kcomplexity.algorithms.entropy_coding.context_tree` has their probabilities.

The modes (:data:`MODES`) nest: each may use what the ones before it use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.lengths import log2_binomial

Mode: TypeAlias = Literal["enumerated", "order-0", "scale", "magnitude", "prediction"]
#: In the order of their numbers in the file.
MODES: tuple[Mode, ...] = get_args(Mode)

#: Neighbours are cut to this, so that every weighted sum is exact in float32.
CLIP = 127
#: abs(h) above this is coded by Elias' gamma code of what is beyond.
ESCAPE = 14
#: Flags: h = 0, the sign, abs(h) > 1 ... abs(h) > 14.
N_FLAGS = 2 + ESCAPE
#: A context: whether the sign is that of mu (bit 9), M (bits 4 to 8), x (bits 0 to 3).
_SIDE, _M, _X = (9,), (8, 7, 6, 5, 4), (3, 2, 1, 0)
FLAG_ORDERS = (_SIDE + _M + _X, _SIDE + _X + _M)
N_CELLS = 512
#: Neighbours whose signs make the cell where only two symbols occur.
PATTERN = 5
#: A coefficient that is not zero costs these bits and one more; a zero costs one.
COEFFICIENT_BITS = 8
#: The mean of abs(h) over the tile, in sixteenths.
MEAN_BITS = 11
SHIFT_BITS = 5
#: Tiles with fewer weights use the nearest neighbours alone: more coefficients would not pay.
LEAST_FOR_MORE = 4096

Offset: TypeAlias = tuple[int, int]


def _thresholds(first: int, step: int, count: int) -> NDArray[np.int32]:
    """Return ceil(2 ** (e / 4)) for e = first, first + step, ...: fourth roots in integers."""
    thresholds = []
    for e in range(first, first + step * count, step):
        root = math.isqrt(math.isqrt(1 << e))
        thresholds.append(root if root**4 == 1 << e else root + 1)
    return np.array(thresholds, np.int32)


def _cells(thresholds: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the table value -> how many thresholds it reaches, for values below 2**14."""
    return np.searchsorted(thresholds, np.arange(1 << 14), side="right").astype(np.uint8)


#: M of m in 1024ths, 0 to 31: quarter octaves from 1/16 up.
MAGNITUDE_CELLS = _cells(_thresholds(25, 1, 31))
#: x of abs(mu) in 1024ths, 0 to 15: half octaves from 1/16 up.
PREDICTION_CELLS = _cells(_thresholds(24, 2, 15))
#: The same where only two symbols occur: sixteenths.
SIGN_CELLS = np.minimum(np.arange(1 << 14) >> 6, 15).astype(np.uint8)


@dataclass(frozen=True)
class Kernel:
    """How weights that belong together lie in a row of the matrix form."""

    #: Weights of one kernel: the product of the shape from the third axis on; 1 for a matrix.
    size: int = 1
    #: Weights in a row of the kernel: its last side if there are two; else `size`.
    width: int = 1

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Kernel:
        """Return the kernel of a tensor's shape (out, in, *kernel)."""
        size = math.prod(shape[2:])
        return cls(size, shape[-1] if len(shape) >= 4 else size)


def offsets(kernel: Kernel, *, more: bool) -> tuple[Offset, ...]:
    """Return the neighbours, the farther ones too if there are to be `more`.

    They are (rows up, columns left), all decoded before the weight itself.
    """
    k = kernel.size
    if k == 1:
        near = [(0, 1), (1, 0), (0, 2), (2, 0)]
        far = [(1, 1), (1, -1)]
    else:
        near = [(0, 1), (1, 0), (0, k), (0, kernel.width)]
        far = [(1, 1), (0, 2), (2, 0), (1, -1), (0, 2 * k), (0, k + 1), (0, k - 1), (1, k), (1, -k)]
    places = near + far if more else near
    return tuple(dict.fromkeys(o for o in places if o[0] > 0 or o[1] > 0))


def running_mean(total: int, count: int, prior: int) -> int:
    """Return the mean of `count` numbers that sum to `total`, in sixteenths, rounded down.

    Four more numbers of `prior` sixteenths each are counted in, so that the first ones do not
    decide alone.
    """
    return (16 * total + 4 * prior) // (count + 4)


@dataclass(frozen=True)
class Ranks:
    """How symbols become small signed numbers h, and back.

    Attributes
    ----------
    values : ndarray of int64, shape (d,)
        The symbols that occur, ascending.
    centre : int
        The rank that becomes 0.
    shift : int
        Low bits of the rank that are sent as they are.
    """

    values: NDArray[np.int64]
    centre: int
    shift: int

    @classmethod
    def of(cls, values: NDArray[np.int64], counts: NDArray[np.int64]) -> Ranks:
        """Centre on the median; shift so that abs(h) is below 8 on average."""
        n = int(counts.sum())
        centre = int(np.searchsorted(np.cumsum(counts), (n + 1) // 2))
        total = int((counts * np.abs(np.arange(counts.size) - centre)).sum())
        return cls(values, centre, max((total // n).bit_length() - 3, 0))

    @property
    def binary(self) -> bool:
        """Whether only two symbols occur: h is then -1 or 1."""
        return self.values.size == 2

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """What h is of each rank."""
        if self.binary:
            return np.array([-1, 1])
        return self._moved >> self.shift

    @cached_property
    def low(self) -> NDArray[np.int64]:
        """The low bits of each rank."""
        return self._moved & ((1 << self.shift) - 1)

    @property
    def _moved(self) -> NDArray[np.int64]:
        return np.arange(self.values.size) - self.centre + ((1 << self.shift) >> 1)

    @property
    def n_greater(self) -> int:
        """How many of the flags abs(h) > g are coded: the others are known to be 0."""
        return min(max(-int(self.levels[0]), int(self.levels[-1])) - 1, ESCAPE)

    def rank(self, level: int, low: int) -> int:
        """Return the rank of an h and its low bits."""
        if self.binary:
            return (level + 1) // 2
        return (level << self.shift) + low + self.centre - ((1 << self.shift) >> 1)

    def bits(self, alphabet_size: int, n: int) -> float:
        """Return the bits of the symbols that occur, the centre and the shift."""
        d = self.values.size
        symbols = math.log2(min(alphabet_size, n)) + log2_binomial(alphabet_size, d)
        return symbols + math.log2(d) + SHIFT_BITS


@dataclass(frozen=True)
class TileModel:
    """What the decoder of one tile needs besides the flags.

    Attributes
    ----------
    mode : Mode
    ranks : Ranks
    kernel : Kernel
        Known from the tensor's shape.
    neighbours : tuple of (int, int)
        Known from `kernel` and the size of the tile, and then the `lags`.
    lags : tuple of (int, int)
        Neighbours found in this tile.
    mean : int
        Mean of abs(h), in sixteenths, at least 1.
    magnitude : tuple of int
        Coefficients of m, in 64ths: row, column and kernel means, the constant 1, neighbours,
        abs(mu). A mode uses those it has, the others are 0.
    prediction : tuple of int
        Coefficients of mu: row, column and kernel means, neighbours.
    """

    mode: Mode
    ranks: Ranks
    kernel: Kernel
    neighbours: tuple[Offset, ...]
    lags: tuple[Offset, ...] = ()
    mean: int = 1
    magnitude: tuple[int, ...] = ()
    prediction: tuple[int, ...] = ()

    def at(self, mode: Mode) -> TileModel:
        """Return the model cut down to `mode`."""
        level = MODES.index(mode)
        return replace(
            self,
            mode=mode,
            lags=self.lags if level >= 3 else (),
            magnitude=self.magnitude if level >= 2 else (),
            prediction=self.prediction if level == 4 else (),
        )


def header_bits(model: TileModel, alphabet_size: int, rows: int, columns: int) -> float:
    """Return the bits of everything in a tile that is not a flag, a gamma code or a low bit."""
    mode = math.log2(len(MODES))
    if model.mode == "enumerated":
        return mode
    bits = mode + model.ranks.bits(alphabet_size, rows * columns)
    if model.mode == "order-0":
        return bits
    bits += MEAN_BITS + sum(map(_coefficient_bits, model.magnitude + model.prediction))
    if model.mode != "scale":
        bits += 3 + sum(math.log2(lag_range(lag, rows, columns)) + 1 for lag in model.lags)
    return bits


def lag_range(lag: Offset, rows: int, columns: int) -> int:
    """Return how many lags there are along the axis of `lag`, the axis itself taking one bit."""
    return rows if lag[0] else columns


def _coefficient_bits(value: int) -> int:
    return 1 + COEFFICIENT_BITS if value else 1
