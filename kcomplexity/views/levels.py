"""Views that quantise to levels fixed by the range of the tensor: sign, abs-max, percentiles.

``sign``
    1 where w > 0, else 0 (zeros of either sign count as 0); ``sign-byte`` spends a byte on each.
``qB``
    Symmetric abs-max levels as in quantisation-aware training: level = round(w / step),
    step = max|w| / (2**(B-1) - 1), half to even, 2**B - 1 levels.
``qB:clip=P``
    Affine levels between two-sided percentiles as in QuBD (arXiv 2605.15551): the central P % of
    the weights span lo to hi, level = clip(round((w - lo) / step), 0, 2**B - 1).
``lN``
    N uniform levels from the smallest to the largest weight, both included: the alphabets of BDM.

All of them compute in float32 (float64 for F64), as the quantisers of the field do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import Piece
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    View,
    bit_planes,
    leaves,
    plane_alphabets,
    smallest,
    weights_only,
)
from kcomplexity.views.passes import ExtentState, compute_dtype, extent, floats, quantiles

Floats = NDArray[Any]
#: Magnitudes from one to the other have squares, and sums of squares, that float64 holds.
_SQUARABLE = 1e-150, 1e150
#: Partial sums of this many float32 squares keep seven digits; they are then added in float64.
_RUN = 256
#: A range narrower than this is one value for QuBD's reference: all levels are zero.
_NO_RANGE = 1e-8


@dataclass(frozen=True)
class SignView(View):
    """Which weights are positive."""

    common_dtype: ClassVar[str | None] = "F64"

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Check that every weight has a sign."""
        weights_only(tensor.dtype)
        extent(reduce)
        return _SignEncoder((Alphabet("", 2),))


@dataclass(frozen=True)
class SignByteView(SignView):
    """Which weights are positive, one byte each: a trap that published figures fell into.

    Compressors then spend most of their effort on the seven empty bits. For comparison only.
    """

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Check that every weight has a sign."""
        super().prepare(tensor, reduce)
        return _SignEncoder((Alphabet("", 256),))


@dataclass(frozen=True)
class _SignEncoder(Encoder):
    def encode(self, piece: Piece) -> Encoded:
        # In float32: E8M0 has no zero to compare with.
        return Encoded(((floats(piece) > 0).view(np.uint8).reshape(piece.shape),))


@dataclass(frozen=True)
class SymmetricView(View):
    """B-bit levels: abs-max symmetric, or affine between percentiles with ``clip``."""

    bits: int
    clip: float | None = None
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        least = 2 if self.clip is None else 1
        if not least <= self.bits <= 16:
            raise SpecError(f"q{self.bits}: expected {least} to 16 bits, e.g. q8")
        if self.clip is not None and not 0 < self.clip <= 100:
            raise SpecError(f"q{self.bits}:clip={self.clip:g}: expected a percentage, e.g. 99.9")

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Find the range, or the percentiles, and from them the step."""
        limits = _limits(tensor, reduce)
        if self.clip is None:
            top = (1 << (self.bits - 1)) - 1
            return _level_encoder(tensor, 0.0, max(-limits.low, limits.high), -top, top, self.split)
        tail = (1 - self.clip / 100) / 2
        low, high = quantiles(tensor, (tail, 1 - tail), reduce)
        if high - low < _NO_RANGE:
            high = low
        encoder = _level_encoder(tensor, low, high, 0, (1 << self.bits) - 1, self.split)
        return replace(encoder, clipped=True)


@dataclass(frozen=True)
class UniformView(View):
    """N uniform levels from the smallest to the largest weight."""

    levels: int
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 65536:
            raise SpecError(f"l{self.levels}: expected 2 to 65536 levels, e.g. l4")

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Find the range."""
        limits = _limits(tensor, reduce)
        return _level_encoder(tensor, limits.low, limits.high, 0, self.levels - 1, self.split)


def _limits(tensor: Tensor, reduce: Reduce) -> ExtentState:
    """Return the range of weights that can be quantised and whose squares can be added."""
    weights_only(tensor.dtype)
    limits = extent(reduce)
    top, (least, most) = max(-limits.low, limits.high), _SQUARABLE
    if top and not least < top < most:
        raise UnmeasurableError(
            f"the largest magnitude is {top:g}: float64 does not hold its square; scale the tensor"
        )
    return limits


def _level_encoder(
    tensor: Tensor, zero: float, end: float, lowest: int, highest: int, split: str | None
) -> _LevelEncoder:
    """Build the encoder whose level `highest` stands for `end`, and level 0 for `zero`."""
    assert tensor.dtype.numpy is not None  # noqa: S101 - weights_only() came first
    dtype = compute_dtype(tensor.dtype.numpy)
    with np.errstate(over="ignore"):
        step = float((dtype.type(end) - dtype.type(zero)) / dtype.type(highest))
    if dtype == np.float32 and end != zero and not 2.0**-126 <= step < math.inf:
        # The step falls below or above float32's normal numbers: one wider type is exact again.
        dtype, step = np.dtype(np.float64), (end - zero) / highest
    size = highest - lowest + 1
    width = Alphabet("", size).width
    # A decoder needs a scale, or a scale and an offset.
    side_bits = 8.0 * dtype.itemsize * (1 if lowest < 0 else 2)
    return _LevelEncoder(
        plane_alphabets(width) if split == "bits" else (Alphabet("", size),),
        side_bits,
        {"zero": zero},
        step**2 if step else 1.0,
        step=step,
        zero=zero,
        lowest=lowest,
        highest=highest,
        clipped=False,
        dtype=dtype.char,
        split=split,
    )


@dataclass(frozen=True)
class _LevelEncoder(Encoder):
    step: float = field(kw_only=True)
    zero: float = field(kw_only=True)
    lowest: int = field(kw_only=True)
    highest: int = field(kw_only=True)
    clipped: bool = field(kw_only=True)
    dtype: str = field(kw_only=True)
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        flat = floats(piece)
        size = self.highest - self.lowest + 1
        symbols = np.empty(flat.size, smallest(size))
        errors: list[float] = []
        squares: list[float] = []
        # New memory costs more than the arithmetic on it: two leaves of it do for all.
        scratch = np.empty((2, min(LEAF, flat.size)), self.dtype)
        for i in leaves(flat):
            leaf = flat[i : i + LEAF].astype(self.dtype, copy=False)
            error, square = self._encode_leaf(leaf, symbols[i : i + LEAF], scratch[:, : leaf.size])
            errors.append(error)
            squares.append(square)
        symbols = symbols.reshape(piece.shape)
        if self.split == "bits":
            # Symmetric levels count from -2**(B-1), so that the top plane is the sign.
            symbols = symbols + symbols.dtype.type(self.lowest < 0)
            return Encoded(bit_planes(symbols, len(self.streams)), errors, squares)
        return Encoded((symbols,), errors, squares)

    def _encode_leaf(self, leaf: Floats, out: NDArray[Any], scratch: Floats) -> tuple[float, float]:
        """Write the symbols of one leaf; return its squared error and its squares.

        Both are in units of the step (of 1 if there is none), where no square leaves float32,
        whatever the tensor's scale.
        """
        zero, step = leaf.dtype.type(self.zero), leaf.dtype.type(self.step)
        if not step:
            out[...] = -self.lowest
            wide = leaf.astype(np.float64)
            return _squares(wide - self.zero), _squares(wide)
        level, spare = scratch
        square = _squares(np.divide(leaf, step, out=level))
        if zero:
            np.divide(np.subtract(leaf, zero, out=level), step, out=level)
        np.rint(level, out=level)
        if self.clipped:
            np.clip(level, self.lowest, self.highest, out=level)
        np.copyto(out, np.subtract(level, self.lowest, out=spare), casting="unsafe")
        return _squares(self._rest(leaf, level, spare)), square

    def _rest(self, leaf: Floats, level: Floats, out: Floats) -> Floats:
        """Return (w - decoded) / step, where a decoder in float64 puts zero + level * step back.

        ``leaf / step - level`` would be off by 2**-24 of the *level*, alike for equal weights.
        """
        if self.zero or leaf.dtype == np.float64:
            # In place: three temporaries would push each other out of the cache.
            rest = level.astype(np.float64)
            rest *= self.step
            rest += self.zero
            np.subtract(leaf, rest, out=rest)
            rest /= self.step
            return rest
        # Eight bits of the step times a level of at most 16 is exact in float32, and so is what it
        # leaves of a weight so near; the other bits of the step are a small matter.
        step = np.float32(self.step)
        most = np.float32(step.astype(bfloat16))
        np.subtract(leaf, np.multiply(level, most, out=out), out=out)
        np.subtract(out, np.multiply(level, step - most, out=level), out=out)
        return np.divide(out, step, out=out)


def _squares(values: Floats) -> float:
    """Return the sum of squares; float32 in short runs, four times as fast as in float64."""
    whole = values.size - values.size % _RUN
    runs = values[:whole].reshape(-1, _RUN)
    total = np.einsum("ij,ij->i", runs, runs).sum(dtype=np.float64)
    total += np.square(values[whole:].astype(np.float64)).sum()
    if np.isinf(total) and values.dtype == np.float32:
        return _squares(values.astype(np.float64))
    return float(total)
