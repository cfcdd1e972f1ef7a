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
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from kcomplexity import kernels
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import Piece
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    Symbols,
    View,
    bit_planes,
    plane_alphabets,
    smallest,
    weights_only,
)
from kcomplexity.views.passes import (
    ExtentState,
    compute_dtype,
    extent,
    floats,
    quantiles,
    stored_floats,
)

#: Magnitudes from one to the other have squares, and sums of squares, that float64 holds.
_SQUARABLE = 1e-150, 1e150
#: A range narrower than this is one value for QuBD's reference: all levels are zero.
_NO_RANGE = 1e-8


@dataclass(frozen=True)
class SignView(View):
    """Which weights are positive."""

    common_dtype: ClassVar[str | None] = "F64"

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        weights_only(tensor.dtype)
        extent(reduce)
        return _SignEncoder((Alphabet("", 2),))


@dataclass(frozen=True)
class SignByteView(SignView):
    """Which weights are positive, one byte each: a trap that published figures fell into.

    Compressors then spend most of their effort on the seven empty bits. For comparison only.
    """

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
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
        limits = _limits(tensor, reduce)
        if self.clip is None:
            top = (1 << (self.bits - 1)) - 1
            return _level_encoder(tensor, 0.0, max(-limits.low, limits.high), -top, top, self.split)
        tail = (1 - self.clip / 100) / 2
        low, high = quantiles(tensor, (tail, 1 - tail), reduce)
        if high - low < _NO_RANGE:
            high = low
        return _level_encoder(tensor, low, high, 0, (1 << self.bits) - 1, self.split)


@dataclass(frozen=True)
class UniformView(View):
    """N uniform levels from the smallest to the largest weight."""

    levels: int
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 65536:
            raise SpecError(f"l{self.levels}: expected 2 to 65536 levels, e.g. l4")

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
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
        wide=dtype == np.float64,
        split=split,
    )


@dataclass(frozen=True)
class _LevelEncoder(Encoder):
    step: float = field(kw_only=True)
    zero: float = field(kw_only=True)
    lowest: int = field(kw_only=True)
    highest: int = field(kw_only=True)
    wide: bool = field(kw_only=True)
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        symbols = np.empty(piece.shape, smallest(self.highest - self.lowest + 1))
        errors, squares = kernels.affine_levels(
            stored_floats(piece),
            symbols.reshape(-1),
            zero=self.zero,
            step=self.step,
            lowest=self.lowest,
            highest=self.highest,
            wide=self.wide,
        )
        streams: tuple[Symbols, ...] = (symbols,)
        if self.split == "bits":
            # Symmetric levels count from -2**(B-1), so that the top plane is the sign.
            symbols += symbols.dtype.type(self.lowest < 0)
            streams = bit_planes(symbols, len(self.streams))
        return Encoded(streams, errors.tolist(), squares.tolist())
