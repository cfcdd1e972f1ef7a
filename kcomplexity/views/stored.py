"""Views of the stored bits themselves: lossless, any dtype, no number is interpreted.

``bytes``
    The stored little-endian bytes, as they lie in the file.
``words``
    Whole stored words as one symbol each.
``codes``
    The stored integers of a quantised tensor, one symbol each.
``f32``
    The weights cast to float32, then as ``bytes``: only to compare checkpoints of several dtypes.

``/planes`` makes a stream of each byte of the word (least significant first), ``/fields`` of sign,
exponent and mantissa, ``/bits`` of each bit (most significant first).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Piece
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    View,
    bit_planes,
    plane_alphabets,
    smallest,
    weights_only,
)

#: A wider integer is a bias, an index or a counter, not a code out of a small set.
_MOST_BITS = 16


@dataclass(frozen=True)
class BytesView(View):
    """The stored bytes; lossless for every dtype, NaN and packed types included."""

    lossless: ClassVar[bool] = True
    splits: ClassVar[tuple[str, ...]] = ("planes", "fields", "bits")

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        return _BytesEncoder(_alphabets(tensor.dtype, self.split), split=self.split)


@dataclass(frozen=True)
class WordsView(View):
    """Whole stored words; entropies over distinct values see every dependence inside a word."""

    lossless: ClassVar[bool] = True

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Need no pass; there has to be an integer as wide as the words."""
        _ = tensor.dtype.word  # raises here and not once per piece
        return _WordsEncoder((Alphabet("", 1 << tensor.dtype.bits),))


@dataclass(frozen=True)
class CodesView(View):
    """Stored integers as they are, of 1 to 16 bits; lossless.

    Signed codes are counted from the lowest: symbol 0 is -2**(B-1). ``/bits`` makes a stream of
    each bit of the symbol, most significant first.
    """

    lossless: ClassVar[bool] = True
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        dtype = tensor.dtype
        if dtype.kind not in ("int", "uint"):
            raise UnmeasurableError(
                f"{dtype.code} values are not integer codes, which @codes measures; @words "
                "measures them as they are stored"
            )
        if dtype.bits > _MOST_BITS:
            raise UnmeasurableError(
                f"{dtype.code} values are too wide for codes, which have {_MOST_BITS} bits at most"
            )
        planes = plane_alphabets(dtype.bits)
        alone = (Alphabet("", 1 << dtype.bits),)
        return _CodesEncoder(planes if self.split == "bits" else alone, split=self.split)


@dataclass(frozen=True)
class Float32View(View):
    """The bytes of the weights cast to float32."""

    splits: ClassVar[tuple[str, ...]] = ("planes", "fields", "bits")
    common_dtype: ClassVar[str | None] = "F32"

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        weights_only(tensor.dtype)
        return _Float32Encoder(_alphabets(DTYPES["F32"], self.split), split=self.split)


@dataclass(frozen=True)
class _BytesEncoder(Encoder):
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        return Encoded(_split(piece.raw, piece.dtype, piece.n_weights, self.split))


@dataclass(frozen=True)
class _WordsEncoder(Encoder):
    def encode(self, piece: Piece) -> Encoded:
        return Encoded((piece.words,))


@dataclass(frozen=True)
class _CodesEncoder(Encoder):
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        dtype = piece.dtype
        symbols = piece.words.astype(smallest(1 << dtype.bits), copy=False)
        if dtype.kind == "int":
            # The sign bit turned over counts two's complement from the lowest value.
            symbols = symbols ^ symbols.dtype.type(1 << (dtype.bits - 1))
        return Encoded(bit_planes(symbols, dtype.bits) if self.split else (symbols,))


@dataclass(frozen=True)
class _Float32Encoder(Encoder):
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        with np.errstate(over="ignore"):  # F64 beyond float32 becomes Inf, as any cast does
            cast = piece.weights.astype("<f4", copy=False).reshape(-1)
        return Encoded(_split(cast.view(np.uint8), DTYPES["F32"], cast.size, self.split))


def _alphabets(dtype: StoredDtype, split: str | None) -> tuple[Alphabet, ...]:
    if split is None:
        return (Alphabet("", 256, dtype.bits / 8),)
    if split == "planes":
        if dtype.bits < 8:
            return (Alphabet("plane 0", 256, dtype.bits / 8),)
        return tuple(Alphabet(f"plane {i}", 256) for i in range(dtype.bits // 8))
    if dtype.numpy is None:
        raise UnmeasurableError(f"{dtype.code}: {dtype.refusal}")
    if split == "bits":
        return plane_alphabets(dtype.bits)
    weights_only(dtype)
    return tuple(Alphabet(name, 1 << width) for name, _, width in _fields(dtype))


def _fields(dtype: StoredDtype) -> list[tuple[str, int, int]]:
    """Return name, lowest bit and width of each field of the dtype, from the top down."""
    fields = [
        ("sign", dtype.exponent_bits + dtype.mantissa_bits, dtype.sign_bits),
        ("exponent", dtype.mantissa_bits, dtype.exponent_bits),
        ("mantissa", 0, dtype.mantissa_bits),
    ]
    return [f for f in fields if f[2]]


def _byte_planes(raw: NDArray[np.uint8], width: int) -> tuple[NDArray[np.uint8], ...]:
    """Take words of `width` bytes apart, lowest byte first."""
    planes = np.empty((width, raw.size // width), np.uint8)
    if width not in (2, 4, 8):  # no integer is as wide
        planes[...] = raw.reshape(-1, width).T
        return tuple(planes)
    words = raw.view(f"<u{width}")
    for i, plane in enumerate(planes):
        # Shifts run several times as fast as strided copies.
        np.right_shift(words, 8 * i, out=plane, dtype=words.dtype, casting="unsafe")
    return tuple(planes)


def _split(
    raw: NDArray[np.uint8], dtype: StoredDtype, n: int, split: str | None
) -> tuple[NDArray[Any], ...]:
    if split is None or (split == "planes" and dtype.bits <= 8):
        return (raw,)
    if split == "planes":
        return _byte_planes(raw, dtype.bits // 8)
    words = dtype.words(raw, n)
    if split == "bits":
        return bit_planes(words, dtype.bits)
    return tuple(
        (words >> low & ((1 << width) - 1)).astype(smallest(1 << width))
        for _, low, width in _fields(dtype)
    )
