"""``codes``: the stored integers of a quantised tensor, one symbol each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Piece
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    View,
    bit_planes,
    plane_alphabets,
    smallest,
)

#: A wider integer is a bias, an index or a counter, not a code out of a small set.
_MOST_BITS = 16


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
class _CodesEncoder(Encoder):
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        dtype = piece.dtype
        symbols = piece.words.astype(smallest(1 << dtype.bits), copy=False)
        if dtype.kind == "int":
            # The sign bit turned over counts two's complement from the lowest value.
            symbols = symbols ^ symbols.dtype.type(1 << (dtype.bits - 1))
        return Encoded(bit_planes(symbols, dtype.bits) if self.split else (symbols,))
