"""Tensors derived from two: the difference between a reference and another.

:class:`Xor` and :class:`Delta` are lossless: with the reference at hand the other's stored bytes
follow from them. :class:`Difference` is the numeric difference, for lossy codes, and :class:`Blend`
a reference made of two. All are lazy, and are measured like any tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.files.sources import Bytes
from kcomplexity.parallel import Cut, Every, Failed, Piece, State, fold, leaf_sums
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import set_addressable
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.tensors.pieces import LEAF

Words = NDArray[Any]


@dataclass(frozen=True)
class _Pair(Tensor):
    """Base: a tensor of the other's name and shape, read from both."""

    reference: Tensor = field(kw_only=True)
    other: Tensor = field(kw_only=True)

    @classmethod
    def of(cls, reference: Tensor, other: Tensor) -> Self:
        """Combine two tensors of one shape and stored dtype.

        Raises
        ------
        UnmeasurableError
            If shapes or stored dtypes differ, or the dtype does not support the difference.
        """
        if reference.shape != other.shape or reference.dtype != other.dtype:
            sides = [f"{t.dtype.code} {'x'.join(map(str, t.shape))}" for t in (reference, other)]
            raise UnmeasurableError(
                f"{other.name}: {sides[1]} cannot be compared with {sides[0]}: "
                "expected one shape and one stored dtype"
            )
        dtype = cls._dtype(other.dtype)
        return cls(
            other.name, other.shape, dtype, layout=other.layout, reference=reference, other=other
        )

    @classmethod
    def _dtype(cls, dtype: StoredDtype) -> StoredDtype:
        return DTYPES.get(f"U{dtype.bits}", dtype)

    def __post_init__(self) -> None:
        set_addressable(self, self.reference, self.other)


@dataclass(frozen=True)
class Xor(_Pair):
    """Stored bytes, exclusive or: a bit is 1 where the two differ."""

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        return self.reference.raw(start, stop) ^ self.other.raw(start, stop)


@dataclass(frozen=True)
class Delta(_Pair):
    """How many representable numbers lie between the two: small where weights moved little.

    Stored words are put in the order of their values (negative floats turned round), subtracted
    modulo 2**bits and written 0, -1, 1, -2, ... as 0, 1, 2, 3: leading zeros compress.

    References
    ----------
    Lindstrom & Isenburg, Fast and efficient compression of floating-point data, IEEE TVCG 12, 2006:
    the map of floats to integers.
    """

    @classmethod
    def _dtype(cls, dtype: StoredDtype) -> StoredDtype:
        if dtype.bits not in (8, 16, 32, 64):
            raise UnmeasurableError(f"{dtype.code}: packed values have no numeric difference here")
        return super()._dtype(dtype)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        dtype = self.other.dtype
        before, after = (
            _ordered(dtype, tensor.raw(start, stop), stop - start)
            for tensor in (self.reference, self.other)
        )
        after -= before
        sign = np.right_shift(after, dtype.bits - 1)
        after <<= after.dtype.type(1)
        # All ones where the difference is negative: -d - 1 and the sign in the last bit.
        after ^= (0 - sign).astype(after.dtype)
        return after.view(np.uint8)


def _ordered(dtype: StoredDtype, raw: Bytes, n: int) -> Words:
    """Return stored words as unsigned integers in the order of the values; a copy."""
    words = dtype.words(raw, n).copy()
    if dtype.sign_bits:
        top = words.dtype.type(1 << (dtype.bits - 1))
        negative = words >= top
        words ^= np.where(negative, ~words.dtype.type(0), top)
    return words


@dataclass(frozen=True)
class Difference(_Pair):
    """The numeric difference, other - reference, in float64."""

    @classmethod
    def _dtype(cls, dtype: StoredDtype) -> StoredDtype:
        if not dtype.holds_weights:
            why = dtype.refusal or "they are not weights"
            raise UnmeasurableError(f"{dtype.code} values are not subtracted: {why}")
        return DTYPES["F64"]

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        with np.errstate(invalid="ignore"):
            values = self.other.read(start, stop).astype(np.float64)
            values -= self.reference.read(start, stop).astype(np.float64)
        return values.view(np.uint8)


@dataclass(frozen=True)
class Blend(_Pair):
    """A prediction on the line through two tensors: reference + weight * (other - reference).

    Computed in float64 and rounded to the stored dtype, so that a decoder computes the same.
    """

    weight: float = field(kw_only=True, default=1.0)

    @classmethod
    def _dtype(cls, dtype: StoredDtype) -> StoredDtype:
        Difference._dtype(dtype)  # the same dtypes have both
        return dtype

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        with np.errstate(invalid="ignore", over="ignore"):
            before = self.reference.read(start, stop).astype(np.float64)
            after = self.other.read(start, stop).astype(np.float64)
            return self.dtype.encode(before + self.weight * (after - before))


def blended(reference: Tensor, second: Tensor, target: Tensor, pool: Pool) -> Tensor:
    """Return the blend of two tensors that is nearest to `target`, its weight in 16 bits.

    Tensors that hold no numbers, or no finite ones, give `second` itself.
    """
    try:
        blend = Blend.of(reference, second)
    except UnmeasurableError:
        return second
    (state,) = fold(target, [_Products(reference, second)], pool, work=0)
    if isinstance(state, Failed):
        return second
    assert isinstance(state, _ProductsState)  # noqa: S101 - our own reducer
    if not all(map(math.isfinite, state.across + state.along)) or not any(state.along):
        return second
    weight = math.fsum(state.across) / math.fsum(state.along)
    return replace(blend, weight=float(np.float16(np.clip(weight, -8, 8))))


@dataclass(frozen=True)
class _Products:
    """The inner products that give the nearest blend, a float for each leaf."""

    reference: Tensor
    second: Tensor
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=64 * LEAF, init=False)

    def start(self) -> _ProductsState:
        return _ProductsState(self.reference, self.second)


@dataclass
class _ProductsState(State):
    reference: Tensor
    second: Tensor
    across: list[float] = field(default_factory=list)
    along: list[float] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        stop = at + chunk.n_weights
        before = self.reference.read(at, stop).astype(np.float64)
        line = self.second.read(at, stop).astype(np.float64) - before
        self.across += leaf_sums(line * (chunk.weights.astype(np.float64) - before))
        self.along += leaf_sums(np.square(line))

    def __add__(self, other: _ProductsState) -> _ProductsState:
        return _ProductsState(
            self.reference, self.second, self.across + other.across, self.along + other.along
        )


def unchanged(reference: Tensor, other: Tensor, pool: Pool) -> int | None:
    """Count the weights whose stored bits are the same; None if the stored dtypes differ."""
    if reference.dtype != other.dtype or reference.n_weights != other.n_weights:
        return None
    (state,) = fold(other, [_Same(reference)], pool, work=0)
    return None if isinstance(state, Failed) else state.n_same  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Same:
    """Counts the weights that are stored alike in a second tensor."""

    reference: Tensor
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=16 * LEAF, init=False)

    def start(self) -> _SameState:
        return _SameState(self.reference)


@dataclass
class _SameState(State):
    reference: Tensor
    n_same: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        n = chunk.n_weights
        words = chunk.dtype.words(self.reference.raw(at, at + n), n)
        self.n_same += int(np.count_nonzero(words == chunk.words))

    def __add__(self, other: _SameState) -> _SameState:
        return _SameState(self.reference, self.n_same + other.n_same)
