"""Random tensors: signs drawn again, weights drawn again.

All are lazy, and *counter-based* (Philox; Salmon et al., Parallel random numbers: as easy as 1, 2,
3, SC 2011): what a weight becomes depends on the key and its position alone, so any range gives the
same weights whatever the pieces, from any process. Recipes over them are in
:mod:`kcomplexity.controls`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.files.sources import Bytes
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import Derived, packed

#: Weights that are drawn together. Starting a generator costs about as much as drawing 500
#: normals, so smaller units waste time on starts, larger ones on short reads: rows of a matrix.
_UNIT = 1 << 12
#: Signs that one step of the Philox counter gives: four words of 64 bits.
_SIGNS_PER_STEP = 256


@dataclass(frozen=True)
class SignFlipped(Derived):
    """The magnitudes of a tensor with random signs: a fair bit per position in the sign bit.

    Zeros (of either sign) and NaN have no sign to draw and keep their stored bytes; what is -0
    elsewhere is NaN in the FNUZ types, so this rule covers them too. About 6 ns a weight.
    """

    key: int = field(kw_only=True)

    @classmethod
    def of(cls, tensor: Tensor, key: int) -> Self:
        """Draw the signs of `tensor` from the 128-bit `key`.

        Raises
        ------
        UnmeasurableError
            If the stored dtype has no sign bit (E8M0, integers) or cannot be decoded.
        """
        if not tensor.dtype.is_signed:
            why = tensor.dtype.refusal or "there is no sign bit"
            raise UnmeasurableError(f"{tensor.name}: {tensor.dtype.code} signs: {why}")
        layout = tensor.layout
        return cls(tensor.name, tensor.shape, tensor.dtype, layout=layout, tensor=tensor, key=key)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        dtype = self.dtype
        raw = self.tensor.raw(start, stop, out)
        words = dtype.words(raw, stop - start)
        magnitudes = words & words.dtype.type((1 << (dtype.bits - 1)) - 1)
        signs = _random_bits(self.key, start, stop).astype(words.dtype)
        signs <<= dtype.bits - 1
        with np.errstate(invalid="ignore"):
            kept = (magnitudes == 0) | np.isnan(dtype.decode(raw, stop - start))
        return packed(dtype, np.where(kept, words, magnitudes | signs))


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of weights.

    Attributes
    ----------
    family : {"normal", "truncated", "uniform"}
        ``"truncated"`` is a normal one cut off at two `scale` either side of the centre and drawn
        again there; its standard deviation is .8796 of `scale`.
    centre : float
    scale : float
        Standard deviation before any truncation; half the width of a uniform one.
    """

    family: Literal["normal", "truncated", "uniform"]
    centre: float
    scale: float

    def draw(self, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
        """Draw `n` weights, as float64."""
        if self.family == "uniform":
            return self.centre + self.scale * (2 * rng.random(n) - 1)
        values = rng.standard_normal(n)
        if self.family == "truncated":
            while (outside := np.flatnonzero(np.abs(values) > 2)).size:
                values[outside] = rng.standard_normal(outside.size)
        return self.centre + self.scale * values


@dataclass(frozen=True)
class Reinit(Tensor):
    """Weights drawn from a law and rounded to the stored dtype; beyond its range, to its ends.

    7 to 30 ns a weight.
    """

    law: Law = field(kw_only=True)
    key: int = field(kw_only=True)

    @classmethod
    def like(cls, tensor: Tensor, law: Law, key: int) -> Self:
        """Draw a tensor with the name, shape and dtype of `tensor` from the 128-bit `key`.

        Raises
        ------
        UnmeasurableError
            If the dtype is not a signed floating-point type that can be encoded.
        """
        if not tensor.dtype.is_signed:
            why = tensor.dtype.refusal or "it holds no signed floating-point numbers"
            raise UnmeasurableError(f"{tensor.name}: {tensor.dtype.code} cannot be drawn: {why}")
        return cls(tensor.name, tensor.shape, tensor.dtype, layout=tensor.layout, law=law, key=key)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        first = start // _UNIT
        values = np.empty((math.ceil(stop / _UNIT) - first, _UNIT))
        with np.errstate(over="ignore"):
            for i, unit in enumerate(values):
                unit[:] = self.law.draw(generator(self.key, first + i), _UNIT)
        np.clip(values, -self.dtype.largest, self.dtype.largest, out=values)
        return self.dtype.encode(values.reshape(-1)[start - first * _UNIT :][: stop - start])


def generator(key: int, stream: int) -> np.random.Generator:
    """Return generator number `stream` of a 128-bit key; its streams never overlap."""
    return np.random.Generator(np.random.Philox(key=key, counter=stream << 128))


def _random_bits(key: int, start: int, stop: int) -> NDArray[np.uint8]:
    """Return bits `start` to `stop` of the key's endless row of fair bits, as 0 and 1."""
    step = start // _SIGNS_PER_STEP
    first = step * _SIGNS_PER_STEP
    drawn = np.random.Philox(key=key, counter=step).random_raw(math.ceil((stop - first) / 64))
    bits = np.unpackbits(drawn.astype("<u8", copy=False).view(np.uint8), bitorder="little")
    return bits[start - first : stop - first]
