"""The blocks in which GGML packs quantised weights, taken apart into codes and scales.

A block holds a fixed number of weights: their codes of a few bits, and what turns these back into
weights. Interleaved as they are stored, neither can be measured; here each part is a tensor of its
own, the codes in the order of the weights, and together they take exactly the stored bytes.

``codes``
    One integer a weight, `bits` wide, unsigned (signed in Q8_0).
``scales``, ``mins``
    What a run of codes is multiplied by, and what is then added or taken away.
``super_scales``, ``super_mins``
    In K-quants, what the small scales and mins of a block are multiplied by in turn.
``blocks``
    Types that are not taken apart: their bytes.

Source: the layouts of ggml-common.h, as the ``gguf`` package reads them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.files.sources import Bytes, FileSource
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES, StoredDtype

#: One code a byte.
Codes = NDArray[Any]
#: Gets blocks of shape (n, block bytes), returns the stored bytes of a part, one row a block.
Gather = Callable[[Bytes], Bytes]


@dataclass(frozen=True)
class Part:
    """One part of every block of a type: `per_block` values of a dtype."""

    name: str
    dtype: StoredDtype
    per_block: int
    gather: Gather


@dataclass(frozen=True)
class BlockType:
    """One of GGML's quantised types: its name there, and weights, bytes and parts of a block."""

    name: str
    n_weights: int
    n_bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _OfBlocks(Tensor):
    """A tensor whose values are computed from the blocks that a range touches."""

    source: FileSource = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)
    type_name: str = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "addressable", self.source.local)

    @property
    def kind(self) -> BlockType:
        """The type of the blocks."""
        return _BY_NAME[self.type_name]

    @abstractmethod
    def per_block(self) -> int:
        """Return how many values a block makes."""

    @abstractmethod
    def values(self, blocks: Bytes) -> NDArray[Any]:
        """Return the stored values that blocks of shape (n, bytes) make, one row a block."""

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        if start >= stop:
            return np.empty(0, np.uint8)
        per_block, width = self.per_block(), self.kind.n_bytes
        first, last = start // per_block, -(-stop // per_block)
        blocks = self.source.read(self.offset + first * width, (last - first) * width)
        values = np.ascontiguousarray(self.values(blocks.reshape(-1, width)))
        begin = (start - first * per_block) * self.dtype.bits // 8
        return values.reshape(-1).view(np.uint8)[begin : begin + self.dtype.n_bytes(stop - start)]


@dataclass(frozen=True)
class BlockPart(_OfBlocks):
    """One part of a tensor's blocks."""

    part_name: str = field(kw_only=True)

    @property
    def _part(self) -> Part:
        return next(part for part in self.kind.parts if part.name == self.part_name)

    def per_block(self) -> int:
        return self._part.per_block

    def values(self, blocks: Bytes) -> NDArray[Any]:
        return self._part.gather(blocks)


@dataclass(frozen=True)
class Dequantized(_OfBlocks):
    """The float32 weights that blocks stand for, computed by the ``gguf`` package as they are read.

    They take 32 bits each here, whatever the file stores.
    """

    def per_block(self) -> int:
        return self.kind.n_weights

    def values(self, blocks: Bytes) -> NDArray[Any]:
        from gguf import GGMLQuantizationType, quants

        weights: NDArray[Any] = quants.dequantize(blocks, GGMLQuantizationType[self.type_name])
        return weights.astype("<f4", copy=False)


# --- Bytes that lie together -------------------------------------------------------------------


def _half(name: str, start: int) -> Part:
    return Part(name, DTYPES["F16"], 1, lambda blocks: blocks[:, start : start + 2])


def _bytes(name: str, start: int, n: int, code: str = "U8") -> Part:
    return Part(name, DTYPES[code], n, lambda blocks: blocks[:, start : start + n])


# --- Codes -------------------------------------------------------------------------------------


def _pack(codes: Codes, bits: int) -> Bytes:
    """Pack one code a byte into `bits` each, row by row."""
    planes = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(planes.reshape(len(codes), -1), axis=1, bitorder="little")


def _joined(low: Codes, high: Codes, shift: int) -> Codes:
    codes: Codes = low | high << shift
    return codes


def _nibbles(qs: Bytes) -> Codes:
    """Return the low nibbles of each row, then the high ones."""
    return np.concatenate([qs & 0x0F, qs >> 4], axis=1)


def _codes_q4(blocks: Bytes, start: int) -> Codes:
    return _nibbles(blocks[:, start : start + 16])


def _codes_q5(blocks: Bytes, start: int) -> Codes:
    high = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    return _joined(_nibbles(blocks[:, start + 4 : start + 20]), high, 4)


def _spread(qs: Bytes, run: int, shifts: Sequence[int], mask: int) -> Codes:
    """Return the bits of each run of bytes at the first shift, then those at the next."""
    steps = np.array(shifts, np.uint8)[:, None]
    codes: Codes = (qs.reshape(len(qs), -1, 1, run) >> steps & mask).reshape(len(qs), -1)
    return codes


def _pairs(qs: Bytes) -> Codes:
    return _spread(qs, 32, (0, 2, 4, 6), 0b11)


def _bits(masks: Bytes) -> Codes:
    return _spread(masks, 32, range(8), 1)


def _codes_q2k(blocks: Bytes, _start: int) -> Codes:
    return _pairs(blocks[:, 16:80])


def _codes_q3k(blocks: Bytes, _start: int) -> Codes:
    return _joined(_pairs(blocks[:, 32:96]), _bits(blocks[:, :32]), 2)


def _codes_q4k(blocks: Bytes, _start: int) -> Codes:
    return _spread(blocks[:, 16:144], 32, (0, 4), 0x0F)


def _codes_q5k(blocks: Bytes, _start: int) -> Codes:
    return _joined(_spread(blocks[:, 48:176], 32, (0, 4), 0x0F), _bits(blocks[:, 16:48]), 4)


def _codes_q6k(blocks: Bytes, _start: int) -> Codes:
    return _joined(_spread(blocks[:, :128], 64, (0, 4), 0x0F), _pairs(blocks[:, 128:192]), 4)


def _codes(bits: int, n: int, codes: Callable[[Bytes, int], Codes], start: int = 0) -> Part:
    """Return the codes that `codes` unpacks from byte `start` of the blocks, packed in order."""
    return Part("codes", CODES[f"U{bits}"], n, lambda blocks: _pack(codes(blocks, start), bits))


# --- The types ---------------------------------------------------------------------------------


def _type(name: str, n_weights: int, n_bytes: int, *parts: Part) -> BlockType:
    return BlockType(name, n_weights, n_bytes, parts)


def _opaque(name: str, n_weights: int, n_bytes: int) -> BlockType:
    return _type(name, n_weights, n_bytes, _bytes("blocks", 0, n_bytes))


_SCALE = _half("scales", 0)
_SIDES_2K = (_bytes("scales", 0, 16), _half("super_scales", 80), _half("super_mins", 82))
_SIDES_3K = (_bytes("scales", 96, 12), _half("super_scales", 108))
_SIDES_45K = (_bytes("scales", 4, 12), _half("super_scales", 0), _half("super_mins", 2))
_SIDES_6K = (_bytes("scales", 192, 16, "I8"), _half("super_scales", 208))

#: GGML's number of a quantised type -> how its blocks are laid out.
BLOCKS: Mapping[int, BlockType] = MappingProxyType(
    {
        2: _type("Q4_0", 32, 18, _codes(4, 32, _codes_q4, 2), _SCALE),
        3: _type("Q4_1", 32, 20, _codes(4, 32, _codes_q4, 4), _SCALE, _half("mins", 2)),
        6: _type("Q5_0", 32, 22, _codes(5, 32, _codes_q5, 2), _SCALE),
        7: _type("Q5_1", 32, 24, _codes(5, 32, _codes_q5, 4), _SCALE, _half("mins", 2)),
        8: _type("Q8_0", 32, 34, _bytes("codes", 2, 32, "I8"), _SCALE),
        10: _type("Q2_K", 256, 84, _codes(2, 256, _codes_q2k), *_SIDES_2K),
        11: _type("Q3_K", 256, 110, _codes(3, 256, _codes_q3k), *_SIDES_3K),
        12: _type("Q4_K", 256, 144, _codes(4, 256, _codes_q4k), *_SIDES_45K),
        13: _type("Q5_K", 256, 176, _codes(5, 256, _codes_q5k), *_SIDES_45K),
        14: _type("Q6_K", 256, 210, _codes(6, 256, _codes_q6k), *_SIDES_6K),
        9: _opaque("Q8_1", 32, 36),
        15: _opaque("Q8_K", 256, 292),
        16: _opaque("IQ2_XXS", 256, 66),
        17: _opaque("IQ2_XS", 256, 74),
        18: _opaque("IQ3_XXS", 256, 98),
        19: _opaque("IQ1_S", 256, 50),
        20: _opaque("IQ4_NL", 32, 18),
        21: _opaque("IQ3_S", 256, 110),
        22: _opaque("IQ2_S", 256, 82),
        23: _opaque("IQ4_XS", 256, 136),
        29: _opaque("IQ1_M", 256, 56),
        34: _opaque("TQ1_0", 256, 54),
        35: _opaque("TQ2_0", 256, 66),
        39: _opaque("MXFP4", 32, 17),
    }
)
_BY_NAME = {kind.name: kind for kind in BLOCKS.values()}
