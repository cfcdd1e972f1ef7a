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

from collections.abc import Callable, Mapping
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
    """One part of every block of a type.

    Attributes
    ----------
    name : str
    dtype : StoredDtype
    per_block : int
        Values in a block.
    gather : Gather
    """

    name: str
    dtype: StoredDtype
    per_block: int
    gather: Gather


@dataclass(frozen=True)
class BlockType:
    """One of GGML's quantised types.

    Attributes
    ----------
    name : str
        As GGML writes it, e.g. ``"Q4_0"``.
    n_weights, n_bytes : int
        Of a block.
    parts : tuple of Part
        Which together take `n_bytes`.
    """

    name: str
    n_weights: int
    n_bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class BlockPart(Tensor):
    """One part of a tensor's blocks, read by range."""

    source: FileSource = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)
    type_name: str = field(kw_only=True)
    part_name: str = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "addressable", self.source.local)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read the blocks that the range touches and gather the part from them."""
        if start >= stop:
            return np.empty(0, np.uint8)
        kind = _BY_NAME[self.type_name]
        part = next(part for part in kind.parts if part.name == self.part_name)
        first, last = start // part.per_block, -(-stop // part.per_block)
        raw = self.source.read(
            self.offset + first * kind.n_bytes, (last - first) * kind.n_bytes
        ).reshape(-1, kind.n_bytes)
        begin = (start - first * part.per_block) * self.dtype.bits // 8
        gathered = np.ascontiguousarray(part.gather(raw)).reshape(-1)
        return gathered[begin : begin + self.dtype.n_bytes(stop - start)]


@dataclass(frozen=True)
class Dequantized(Tensor):
    """The float32 weights that blocks stand for, computed by the ``gguf`` package as they are read.

    They take 32 bits each here, whatever the file stores.
    """

    source: FileSource = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)
    type_name: str = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "addressable", self.source.local)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read the blocks that the range touches and compute their weights."""
        from gguf import GGMLQuantizationType, quants

        if start >= stop:
            return np.empty(0, np.uint8)
        kind = _BY_NAME[self.type_name]
        first, last = start // kind.n_weights, -(-stop // kind.n_weights)
        n_bytes = (last - first) * kind.n_bytes
        blocks = self.source.read(self.offset + first * kind.n_bytes, n_bytes)
        weights: NDArray[Any] = quants.dequantize(
            blocks.reshape(last - first, kind.n_bytes), GGMLQuantizationType[kind.name]
        )
        begin = start - first * kind.n_weights
        flat = weights.reshape(-1)[begin : begin + stop - start]
        return np.ascontiguousarray(flat, "<f4").view(np.uint8)


# --- Bytes that lie together -------------------------------------------------------------------


@dataclass(frozen=True)
class _Slice:
    """The bytes `start` to `stop` of each block."""

    start: int
    stop: int

    def __call__(self, blocks: Bytes) -> Bytes:
        return blocks[:, self.start : self.stop]


def _half(name: str, start: int) -> Part:
    return Part(name, DTYPES["F16"], 1, _Slice(start, start + 2))


def _bytes(name: str, start: int, n: int, code: str = "U8") -> Part:
    return Part(name, DTYPES[code], n, _Slice(start, start + n))


# --- Codes -------------------------------------------------------------------------------------


def _pack(codes: Codes, bits: int) -> Bytes:
    """Pack one code a byte into `bits` each, row by row."""
    planes = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    return np.packbits(planes.reshape(len(codes), -1), axis=1, bitorder="little")


def _nibbles(qs: Bytes) -> Codes:
    """Return the low nibbles of each row, then the high ones."""
    return np.concatenate([qs & 0x0F, qs >> 4], axis=1)


def _codes_q4(blocks: Bytes, start: int) -> Codes:
    return _nibbles(blocks[:, start : start + 16])


def _codes_q5(blocks: Bytes, start: int) -> Codes:
    high = np.unpackbits(blocks[:, start : start + 4], axis=1, bitorder="little")
    codes: Codes = _nibbles(blocks[:, start + 4 : start + 20]) | high << 4
    return codes


def _pairs(qs: Bytes) -> Codes:
    """Return 2-bit codes: of each run of 32 bytes the lowest pairs of bits, then the next."""
    runs = qs.reshape(len(qs), -1, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    codes: Codes = (runs >> shifts & 3).reshape(len(qs), -1)
    return codes


def _codes_q2k(blocks: Bytes, _start: int) -> Codes:
    return _pairs(blocks[:, 16:80])


def _codes_q3k(blocks: Bytes, _start: int) -> Codes:
    # The top bits of run i are bit i of the 32 bytes of the mask.
    mask = blocks[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    codes: Codes = _pairs(blocks[:, 32:96]) | mask.reshape(len(blocks), -1) << 2
    return codes


def _runs_of_64(qs: Bytes) -> Codes:
    """Return 4-bit codes: of each run of 32 bytes the low nibbles, then the high ones."""
    runs = qs.reshape(len(qs), -1, 1, 32)
    codes: Codes = (runs >> np.array([0, 4], np.uint8)[:, None] & 0x0F).reshape(len(qs), -1)
    return codes


def _codes_q4k(blocks: Bytes, _start: int) -> Codes:
    return _runs_of_64(blocks[:, 16:144])


def _codes_q5k(blocks: Bytes, _start: int) -> Codes:
    high = blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    codes: Codes = _runs_of_64(blocks[:, 48:176]) | high.reshape(len(blocks), -1) << 4
    return codes


def _codes_q6k(blocks: Bytes, _start: int) -> Codes:
    n = len(blocks)
    # In each half of 128: the low nibbles of 64 bytes, then their high ones.
    low = blocks[:, :128].reshape(n, 2, 1, 64) >> np.array([0, 4], np.uint8)[:, None] & 0x0F
    high = _pairs(blocks[:, 128:192])
    codes: Codes = low.reshape(n, -1) | high << 4
    return codes


@dataclass(frozen=True)
class _Packed:
    """Codes that `codes` unpacks from byte `start` of the blocks, packed in their order."""

    bits: int
    start: int
    codes: Callable[[Bytes, int], Codes]

    def __call__(self, blocks: Bytes) -> Bytes:
        return _pack(self.codes(blocks, self.start), self.bits)


def _codes(bits: int, n: int, codes: Callable[[Bytes, int], Codes], start: int = 0) -> Part:
    return Part("codes", CODES[f"U{bits}"], n, _Packed(bits, start, codes))


# --- The types ---------------------------------------------------------------------------------


def _opaque(name: str, n_weights: int, n_bytes: int) -> BlockType:
    return BlockType(name, n_weights, n_bytes, (_bytes("blocks", 0, n_bytes),))


#: GGML's number of a quantised type -> how its blocks are laid out.
BLOCKS: Mapping[int, BlockType] = MappingProxyType(
    {
        2: BlockType("Q4_0", 32, 18, (_codes(4, 32, _codes_q4, 2), _half("scales", 0))),
        3: BlockType(
            "Q4_1", 32, 20, (_codes(4, 32, _codes_q4, 4), _half("scales", 0), _half("mins", 2))
        ),
        6: BlockType("Q5_0", 32, 22, (_codes(5, 32, _codes_q5, 2), _half("scales", 0))),
        7: BlockType(
            "Q5_1", 32, 24, (_codes(5, 32, _codes_q5, 4), _half("scales", 0), _half("mins", 2))
        ),
        8: BlockType("Q8_0", 32, 34, (_bytes("codes", 2, 32, "I8"), _half("scales", 0))),
        10: BlockType(
            "Q2_K",
            256,
            84,
            (
                _codes(2, 256, _codes_q2k),
                _bytes("scales", 0, 16),
                _half("super_scales", 80),
                _half("super_mins", 82),
            ),
        ),
        11: BlockType(
            "Q3_K",
            256,
            110,
            (_codes(3, 256, _codes_q3k), _bytes("scales", 96, 12), _half("super_scales", 108)),
        ),
        12: BlockType(
            "Q4_K",
            256,
            144,
            (
                _codes(4, 256, _codes_q4k),
                _bytes("scales", 4, 12),
                _half("super_scales", 0),
                _half("super_mins", 2),
            ),
        ),
        13: BlockType(
            "Q5_K",
            256,
            176,
            (
                _codes(5, 256, _codes_q5k),
                _bytes("scales", 4, 12),
                _half("super_scales", 0),
                _half("super_mins", 2),
            ),
        ),
        14: BlockType(
            "Q6_K",
            256,
            210,
            (
                _codes(6, 256, _codes_q6k),
                _bytes("scales", 192, 16, "I8"),
                _half("super_scales", 208),
            ),
        ),
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
