"""GGUF models (llama.cpp): float tensors as they are, quantised blocks as codes and scales.

The header is read here: the library maps the file, and makes an array of every word of the
vocabulary. It is needed only to read blocks as the weights they stand for
(``--dequantize``).
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.window import Cursor
from kcomplexity.loaders.base import Options, import_extra
from kcomplexity.loaders.ggml_blocks import BLOCKS, BlockPart, BlockType, Dequantized
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.text import plural, printable, shorten

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
#: GGML's number of a plain type -> its code.
_PLAIN = {0: "F32", 1: "F16", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"}
#: Types of newer writers, whose blocks are not known here.
_NEWER = {40: "NVFP4", 41: "Q1_0"}
#: struct's letter of each number in the metadata; 8 is text and 9 an array.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_NUMBERS[12] = "d"
_TEXT, _ARRAY = 8, 9
#: The library's own limits are 64 bytes and 4 axes.
_MOST_NAME, _MOST_AXES = 1 << 16, 8
_MOST_METADATA = 200
_MOST_DEPTH = 4
#: Words of vocabularies that are passed over one by one, and entries of either table.
_MOST_TEXTS, _MOST_ENTRIES = 20_000_000, 1_000_000


@dataclass(frozen=True)
class GgufLoader:
    """One ``.gguf`` file of version 2 or 3; its tensors are in file-offset order."""

    extensions: tuple[str, ...] = (".gguf",)

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def load(self, path: Path, options: Options) -> Checkpoint:
        shown = printable(path)
        if options.dequantize:
            import_extra("gguf", "gguf", f"{shown}: reading quantised blocks as weights")
        with open_for_loading(path) as source:
            cursor = _Cursor(source, shown)
            n_tensors, n_entries = _start(cursor)
            metadata = _metadata(cursor, n_entries)
            infos = [_Info.read(cursor) for _ in range(n_tensors)]
            infos.sort(key=lambda info: info.offset)
            start = _aligned(cursor, metadata.get("general.alignment"))
            _check(infos, source.size() - start, shown)
            tensors: dict[str, Tensor] = {}
            for info in infos:
                for tensor in _tensors(info, source, start, options):
                    if tensor.name in tensors:
                        raise CorruptCheckpointError(
                            f"{shown}: {shorten(tensor.name)} is the name of a tensor and of a "
                            "part of a quantised one; --dequantize takes none apart"
                        )
                    tensors[tensor.name] = tensor
            rest = source.size() - sum(info.n_bytes for info in infos)
        notes = _notes(infos, options)
        return Checkpoint(str(path), "gguf", tensors, metadata, (source,), rest, notes)


class _Cursor(Cursor):
    """Reads the header."""

    least: ClassVar[int] = 1 << 16
    advice: ClassVar[str] = "it is cut or damaged: copy it again"

    #: Words of vocabularies that were passed over.
    texts = 0

    def text(self, most: int) -> str:
        """Return the next text, of at most `most` bytes."""
        n = self.number("Q")
        if n > most:
            raise self.damaged(f"a name of {n} bytes")
        return self.take(n).decode("utf-8", "replace")


def _start(cursor: _Cursor) -> tuple[int, int]:
    """Return how many tensors and metadata entries there are."""
    if cursor.take(4) != _MAGIC:
        raise CorruptCheckpointError(f"{cursor.where}: not a GGUF file, which starts with GGUF")
    version = cursor.number("I")
    if version not in _VERSIONS:
        swapped = version.to_bytes(4, "little") == (version >> 24).to_bytes(4, "big")
        what = "big-endian" if swapped else f"of version {version}"
        raise CorruptCheckpointError(
            f"{cursor.where}: a GGUF file {what}; expected little-endian of version 2 or 3: "
            "convert it again"
        )
    n_tensors, n_entries = cursor.number("Q"), cursor.number("Q")
    # The least that an entry takes: its counts, without a name.
    for count, least in ((n_tensors, 24), (n_entries, 13)):
        if count > _MOST_ENTRIES or count * least > cursor.size:
            raise cursor.damaged(
                f"the header claims {n_tensors} tensors and {n_entries} metadata entries"
            )
    return n_tensors, n_entries


def _metadata(cursor: _Cursor, n_entries: int) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for _ in range(n_entries):
        key = cursor.text(_MOST_NAME)
        if key in metadata:
            raise cursor.damaged(f"the entry {shorten(key)} is there twice")
        metadata[key] = _value(cursor, cursor.number("I"), 0)
    return metadata


def _value(cursor: _Cursor, kind: int, depth: int) -> str:
    if kind in _NUMBERS:
        return str(cursor.number(_NUMBERS[kind]))
    if kind == _TEXT:
        n = cursor.number("Q")
        kept = cursor.take(min(n, _MOST_METADATA)).decode("utf-8", "replace")
        cursor.skip(max(n - _MOST_METADATA, 0))
        return kept if n <= _MOST_METADATA else f"{kept}... ({n} bytes)"
    if kind != _ARRAY or depth > _MOST_DEPTH:
        raise cursor.damaged(f"a metadata entry is of kind {kind}, {depth} deep")
    inner, count = cursor.number("I"), cursor.number("Q")
    if inner in _NUMBERS:
        cursor.skip(count * struct.calcsize(f"<{_NUMBERS[inner]}"))
        return f"{count} numbers"
    if count * 8 > cursor.size - cursor.at:
        raise cursor.damaged(f"an array of {count} texts or arrays at byte {cursor.at}")
    cursor.texts += count
    if cursor.texts > _MOST_TEXTS:
        raise cursor.damaged(f"more than {_MOST_TEXTS} texts")
    for _ in range(count):
        if inner == _TEXT:
            cursor.skip(cursor.number("Q"))
        else:
            _value(cursor, inner, depth + 1)
    return f"{count} {'texts' if inner == _TEXT else 'arrays'}"


@dataclass(frozen=True)
class _Info:
    """What the header says about one tensor."""

    name: str
    shape: tuple[int, ...]
    kind: StoredDtype | BlockType
    offset: int
    n_bytes: int

    @classmethod
    def read(cls, cursor: _Cursor) -> _Info:
        name = cursor.text(_MOST_NAME)
        n_axes = cursor.number("I")
        if n_axes > _MOST_AXES:
            raise cursor.damaged(f"tensor {shorten(name)} has {n_axes} axes")
        # The axis whose values follow each other comes first.
        shape = tuple(cursor.number("Q") for _ in range(n_axes))[::-1]
        number, offset = cursor.number("I"), cursor.number("Q")
        kind = DTYPES[_PLAIN[number]] if number in _PLAIN else BLOCKS.get(number)
        if kind is None:
            newer = f" ({_NEWER[number]})" if number in _NEWER else ""
            raise CorruptCheckpointError(
                f"{cursor.where}: tensor {shorten(name)} is of type {number}{newer}, which "
                "is not read; convert the model to another type, such as Q8_0 or F16"
            )
        n = math.prod(shape)
        if isinstance(kind, StoredDtype):
            return cls(name, shape, kind, offset, kind.n_bytes(n))
        if not shape or shape[-1] % kind.n_weights:
            raise cursor.damaged(
                f"tensor {shorten(name)} of shape {shape} does not fill blocks of {kind.n_weights}"
            )
        return cls(name, shape, kind, offset, n // kind.n_weights * kind.n_bytes)


def _aligned(cursor: _Cursor, alignment: str | None) -> int:
    step = int(alignment) if alignment and alignment.isdecimal() else 32
    if not 0 < step <= 1 << 20:
        raise cursor.damaged(f"tensors are aligned to {step} bytes")
    return -(-cursor.at // step) * step


def _check(infos: list[_Info], n_data: int, shown: str) -> None:
    """Refuse tensors that leave the file, overlap or share a name; they are sorted by offset."""
    at, names = 0, set[str]()
    for info in infos:
        where = f"{shown}: tensor {shorten(info.name)}"
        if info.name in names:
            raise CorruptCheckpointError(f"{where} is there twice; the file is damaged")
        if info.offset < at:
            raise CorruptCheckpointError(f"{where} overlaps another; the file is damaged")
        at = info.offset + info.n_bytes
        if at > max(n_data, 0):
            raise CorruptCheckpointError(
                f"{where} of {info.n_bytes} bytes ends at data byte {at}, and {max(n_data, 0)} are "
                "there; the file is cut: copy it again"
            )
        names.add(info.name)


def _tensors(info: _Info, source: FileSource, start: int, options: Options) -> list[Tensor]:
    offset = start + info.offset
    if isinstance(info.kind, StoredDtype):
        return [StoredTensor(info.name, info.shape, info.kind, source=source, offset=offset)]
    kind = info.kind
    if options.dequantize:
        f32, name = DTYPES["F32"], kind.name
        return [
            Dequantized(info.name, info.shape, f32, source=source, offset=offset, type_name=name)
        ]
    n_blocks = info.shape[-1] // kind.n_weights
    own = f"{info.name}.{kind.parts[0].name}"
    return [
        BlockPart(
            f"{info.name}.{part.name}",
            (*info.shape[:-1], n_blocks * part.per_block),
            part.dtype,
            side_of="" if i == 0 else own,
            source=source,
            offset=offset,
            type_name=kind.name,
            part_name=part.name,
        )
        for i, part in enumerate(kind.parts)
    ]


def _notes(infos: list[_Info], options: Options) -> tuple[str, ...]:
    counts = Counter(info.kind for info in infos if isinstance(info.kind, BlockType))
    notes = []
    for kind, n in counts.items():
        per_weight = 8 * kind.n_bytes / kind.n_weights
        what = f"{plural(n, 'tensor')} stored as {kind.name}, {per_weight:g} bits/weight: "
        if options.dequantize:
            what += "read as the float32 weights they stand for"
        elif kind.parts[0].name == "blocks":
            what += "read as the bytes of their blocks, which are not taken apart"
        else:
            what += "read as codes and scales; --dequantize reads the weights they stand for"
        notes.append(what)
    return tuple(notes)
