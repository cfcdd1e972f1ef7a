"""Flax checkpoints (``.msgpack``), as ``flax.serialization`` writes them: arrays where they lie.

MessagePack is walked here, value by value: the library would copy every array. An array is an
extension of type 1 that holds its shape, the name of its dtype and its bytes. The rules by which
tensors are chosen are those of :mod:`kcomplexity.loaders.torch_tree`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import JoinedBytes, StoredBytes
from kcomplexity.files.window import Cursor
from kcomplexity.loaders.arrays import stored_dtype
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.streamed import StreamedTensor
from kcomplexity.loaders.torch_objects import Storage, TensorRef
from kcomplexity.loaders.torch_tree import find_tensors
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.text import printable, shorten

_ARRAY, _SCALAR = 1, 3
#: Flax cuts arrays above 1 GiB into pieces, under this key.
_CHUNKED = "__msgpack_chunked_array__"
_MOST_DEPTH, _MOST_VALUES, _MOST_TEXT, _MOST_AXES = 64, 4_000_000, 1 << 20, 64
#: The byte that starts a number -> struct's letter of it.
_NUMBERS = dict(enumerate("fdBHIQbhiq", start=0xCA))
#: Names of dtypes; NumPy would parse others, some as programs of types.
_TYPES = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + [name for name in ml_dtypes.__all__ if name not in ("__version__", "finfo", "iinfo")]
)
_TEXT_TYPE = re.compile(r"[<>|]?[USO]\d{0,9}|(?:str|bytes)\d{0,9}|object", re.ASCII)
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}
#: The byte that starts a value -> the letter of the length that follows it.
_TEXTS = {0xD9: "B", 0xDA: "H", 0xDB: "I"}
_BYTES = {0xC4: "B", 0xC5: "H", 0xC6: "I"}
_LISTS = {0xDC: "H", 0xDD: "I"}
_MAPS = {0xDE: "H", 0xDF: "I"}
_EXTENSIONS = {0xC7: "B", 0xC8: "H", 0xC9: "I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


@dataclass(frozen=True)
class FlaxLoader:
    """One ``.msgpack`` file; its tensors are in its own order."""

    extensions: tuple[str, ...] = (".msgpack",)
    nested: bool = True

    def sniff(self, path: Path, head: bytes) -> bool:
        # MessagePack has no magic number, so the name has to help; a map of text keys comes first.
        first = head[0] if head else 0
        return path.suffix.lower() in self.extensions and (0x80 < first <= 0x8F or first in _MAPS)

    def load(self, path: Path, options: Options) -> Checkpoint:
        with open_for_loading(path) as source:
            shown = printable(path)
            walk = _Walk(source, shown)
            tree = walk.value(0)
            if walk.at != walk.size or not isinstance(tree, dict):
                raise walk.damaged("it does not hold a single map")
            # Nothing in a Flax state wraps the rest: batch_stats are siblings of params.
            chosen = find_tensors(tree, options.root, path.stem, shown, wrappers=())
            tensors = {
                name: _tensor(name, ref, source, walk.pieces.get(ref.storage.key))
                for name, ref in chosen.tensors.items()
            }
            rest = source.size() - sum(tensor.n_bytes for tensor in tensors.values())
        notes = (*walk.notes, *chosen.notes)
        return Checkpoint(str(path), "flax", tensors, chosen.metadata, (source,), rest, notes)


def _tensor(
    name: str, ref: TensorRef, source: FileSource, pieces: list[TensorRef] | None
) -> Tensor:
    if pieces is None:
        at = int(ref.storage.key)
        return StoredTensor(name, ref.shape, ref.dtype, layout="in-out", source=source, offset=at)
    runs = [StoredBytes(source, int(piece.storage.key), piece.storage.n_bytes) for piece in pieces]
    stream = JoinedBytes(tuple(runs))
    # Written as this machine's bytes, which are little-endian: there is nothing to turn.
    plain = np.dtype(f"V{ref.dtype.bits // 8}")
    return StreamedTensor(
        name, ref.shape, ref.dtype, layout="in-out", stream=stream, offset=0, stored_as=plain
    )


@dataclass(frozen=True)
class _Bytes:
    """Where a run of bytes lies."""

    start: int
    stop: int


def _as_list(items: Any) -> list[Any]:
    """Return a tuple, which Flax writes as a map with keys from "0", as a list; empty if not."""
    if isinstance(items, dict) and list(items) == [str(i) for i in range(len(items))]:
        return list(items.values())
    return []


class _Walk(Cursor):
    """Goes through the values of the file in order."""

    order: ClassVar[str] = ">"
    advice: ClassVar[str] = "it is damaged, or not a Flax checkpoint"

    def __init__(self, source: FileSource, shown: str) -> None:
        super().__init__(source, shown)
        self.notes: list[str] = []
        #: The pieces of an array above 1 GiB, by the key of its storage, which is its first one's.
        self.pieces: dict[str, list[TensorRef]] = {}
        self._values = 0

    def value(self, depth: int) -> Any:
        """Return the next value; an array as a reference to where it lies."""
        self._values += 1
        if depth > _MOST_DEPTH or self._values > _MOST_VALUES:
            raise self.damaged("it is nested deeper, or has more values, than any checkpoint")
        first = self.take(1)[0]
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 256
        if first in _CONSTANTS:
            return _CONSTANTS[first]
        if first in _NUMBERS:
            return self.number(_NUMBERS[first])
        for lengths, fixed, mask, read in self._kinds():
            if first in lengths or (fixed <= first <= fixed + mask if mask else False):
                n = self.number(lengths[first]) if first in lengths else first & mask
                return read(n, depth)
        if first in _EXTENSIONS or first in _FIXED_EXTENSIONS:
            n = _FIXED_EXTENSIONS.get(first) or self.number(_EXTENSIONS[first])
            return self._extension(n, depth)
        raise self.damaged(f"byte {self.at - 1} starts no value")

    def _kinds(self) -> tuple[tuple[dict[int, str], int, int, Callable[[int, int], Any]], ...]:
        """Return, of each kind: bytes before a length, short forms, and what reads it."""
        return (
            (_TEXTS, 0xA0, 0x1F, self._text),
            (_BYTES, 0, 0, self._bytes),
            (_LISTS, 0x90, 0x0F, self._list),
            (_MAPS, 0x80, 0x0F, self._map),
        )

    def _text(self, n: int, _depth: int) -> str:
        if n > _MOST_TEXT:
            raise self.damaged(f"a text of {n} bytes")
        return self.take(n).decode("utf-8", "replace")

    def _bytes(self, n: int, _depth: int) -> _Bytes:
        start = self.at
        self.skip(n)
        return _Bytes(start, self.at)

    def _list(self, n: int, depth: int) -> list[Any]:
        return [self.value(depth + 1) for _ in range(n)]

    def _map(self, n: int, depth: int) -> Any:
        entries: dict[str, Any] = {}
        for _ in range(n):
            key = self.value(depth + 1)
            if not isinstance(key, str | int) or key in entries:
                raise self.damaged(f"the key {shorten(key)} is not text, or is there twice")
            entries[str(key)] = self.value(depth + 1)
        return self._joined(entries) if _CHUNKED in entries else entries

    def _joined(self, entries: dict[str, Any]) -> TensorRef:
        """Return the array whose flat pieces a map holds, numbered from 0."""
        shape, chunks = (_as_list(entries.get(key)) for key in ("shape", "chunks"))
        natural = all(type(n) is int and 0 <= n < 1 << 62 for n in shape)
        arrays = [piece for piece in chunks if isinstance(piece, TensorRef)]
        pieces = [piece for piece in arrays if piece.storage.key not in self.pieces]
        if not natural or len(shape) > _MOST_AXES or not pieces or len(pieces) != len(chunks):
            raise self.damaged(f"the array in pieces before byte {self.at} lacks a shape or pieces")
        first = pieces[0]
        storage = Storage(f"{first.storage.key}+", first.storage.n_bytes, first.dtype)
        ref = TensorRef(storage, first.dtype, 0, tuple(shape), (0,) * len(shape))
        same = all(piece.dtype == first.dtype for piece in pieces)
        if not same or sum(piece.n_values for piece in pieces) != ref.n_values:
            raise self.damaged(f"the pieces before byte {self.at} do not make up {ref.shape}")
        self.pieces[storage.key] = pieces
        return ref

    def _extension(self, n: int, depth: int) -> TensorRef | None:
        kind = self.number("b")
        end = self.at + n
        if kind not in (_ARRAY, _SCALAR):
            self.skip(n)
            return None
        parts = self.value(depth + 1)
        if self.at != end or not isinstance(parts, list) or len(parts) != 3:
            raise self.damaged(f"the array that ends at byte {end} is damaged")
        return self._array(*parts)

    def _array(self, shape: Any, name: Any, data: Any) -> TensorRef | None:
        natural = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
        if not natural or len(shape) > _MOST_AXES or not isinstance(data, _Bytes):
            raise self.damaged(f"the array before byte {self.at} has no shape or no bytes")
        if isinstance(name, str) and _TEXT_TYPE.fullmatch(name):
            self.notes.append("an array is left out: it holds text or objects")
            return None
        if not isinstance(name, str) or name not in _TYPES:
            shown = shorten(name) if isinstance(name, str) else f"a {type(name).__name__}"
            raise self.damaged(f"an array is of type {shown}, unknown here")
        dtype = np.dtype(getattr(ml_dtypes, name, None) or name)
        stored = stored_dtype(dtype)
        storage = Storage(str(data.start), data.stop - data.start, stored)
        # Always written row-major: the strides are not used.
        ref = TensorRef(storage, stored, 0, tuple(shape), (0,) * len(shape))
        if ref.n_values * dtype.itemsize != data.stop - data.start or stored.bits < 8:
            raise self.damaged(
                f"an array of shape {ref.shape} and type {dtype} has {data.stop - data.start} bytes"
            )
        return ref
