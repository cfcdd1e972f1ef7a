"""TFLite models: constant tensors where they lie, with their scales and zero points."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.flatbuffer import Flat, Table
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import whole_file
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.notes import left_out, second_name
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES, StoredDtype, opaque
from kcomplexity.text import printable, shorten

_MAGIC = b"TFL3"
#: The codes of tflite.TensorType, which counts from 0.
_ORDER = """
    F32 F16 I32 U8 I64 TEXT BOOL I16 C64 I8 F64 COMPLEX128 U64 HANDLE HANDLE U32 U16 I4 BF16
"""
_COMPLEX = opaque(np.dtype(np.complex128), "complex128: only the bytes are measured")
_KNOWN = {**CODES, **DTYPES, "COMPLEX128": _COMPLEX}
_DTYPES = {n: _KNOWN[code] for n, code in enumerate(_ORDER.split()) if code in _KNOWN}
_NO_VALUES = {5: "it holds text", 13: "it is a handle", 14: "it is a handle"}
_MOST_AXES = 64


@dataclass(frozen=True)
class TfliteLoader:
    """One ``.tflite`` model; its tensors are in its own order."""

    extensions: tuple[str, ...] = (".tflite", ".lite")

    def sniff(self, path: Path, head: bytes) -> bool:
        return head[4:8] == _MAGIC

    def load(self, path: Path, options: Options) -> Checkpoint:
        with open_for_loading(path) as source:
            flat = Flat(whole_file(source), printable(path))
            if flat.take(4, 4) != _MAGIC:
                raise CorruptCheckpointError(
                    f"{printable(path)}: not a TFLite model, which has TFL3 at byte 4"
                )
            model = _Model(source, flat)
            model.read(flat.root())
            rest = source.size() - sum(tensor.n_bytes for tensor in model.tensors.values())
        sources, notes = (source,), tuple(model.notes)
        return Checkpoint(
            str(path), "tflite", model.tensors, model.metadata, sources, max(rest, 0), notes
        )


@dataclass
class _Model:
    """Walks over the model and gathers its constant tensors."""

    source: FileSource
    flat: Flat
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _seen: dict[int, str] = field(default_factory=dict)

    def read(self, model: Table) -> None:
        description = model.text(3)
        if description:
            self.metadata["description"] = description
        buffers = model.tables(4)
        for i, graph in enumerate(model.tables(2)):
            prefix = f"subgraph{i}/" if i else ""
            for tensor in graph.tables(0):
                self._take(tensor, buffers, prefix)

    def _take(self, tensor: Table, buffers: list[Table], prefix: str) -> None:
        name = prefix + tensor.text(3)
        number = tensor.number(2, "I")
        if number >= len(buffers):
            raise self.flat.damaged(f"tensor {shorten(name)} is in buffer {number}")
        offset, n_bytes = self._data(buffers[number])
        if not n_bytes:  # computed when the model runs
            return
        kind = tensor.number(1, "b")
        if kind in _NO_VALUES or tensor.table(6) is not None:
            reason = _NO_VALUES.get(kind, "it is sparse; only dense tensors are read")
            self.notes.append(left_out(name, reason))
            return
        if number in self._seen:
            self.notes.append(second_name(name, self._seen[number]))
            return
        self._seen[number] = name
        if kind not in _DTYPES:
            raise self.flat.damaged(f"tensor {shorten(name)} is of type {kind}, unknown here")
        shape = self._shape(tensor, name)
        dtype = _DTYPES[kind]
        if dtype.n_bytes(math.prod(shape)) != n_bytes:
            what = f"tensor {shorten(name)} of shape {shape} and dtype {dtype.code}"
            raise self.flat.damaged(f"{what} has {n_bytes} bytes")
        self._add(name, shape, dtype, offset)
        quantised = tensor.table(4)
        if quantised is not None and dtype.kind in ("int", "uint"):
            for number, code, side in ((2, "F32", "scale"), (3, "I64", "zero_point")):
                start, count = quantised.vector(number, DTYPES[code].bits // 8)
                if count:
                    self._add(f"{name}.{side}", (count,), DTYPES[code], start, side_of=name)

    def _data(self, buffer: Table) -> tuple[int, int]:
        """Return where a buffer's bytes lie; above 2 GiB they follow the tables."""
        start, count = buffer.vector(0, 1)
        offset, size = buffer.number(1, "Q"), buffer.number(2, "Q")
        if not count and offset > 1 and size:
            if offset + size > self.flat.stream.size:
                raise self.flat.damaged(f"a buffer of {size} bytes at {offset} leaves the file")
            return offset, size
        return start, count

    def _shape(self, tensor: Table, name: str) -> tuple[int, ...]:
        start, count = tensor.vector(0, 4)
        if count > _MOST_AXES:
            raise self.flat.damaged(f"tensor {shorten(name)} has {count} axes")
        shape = tuple(self.flat.number("i", start + 4 * i) for i in range(count))
        if any(n < 0 for n in shape):
            raise self.flat.damaged(f"tensor {shorten(name)} has shape {shape}")
        return shape

    def _add(
        self, name: str, shape: tuple[int, ...], dtype: StoredDtype, offset: int, side_of: str = ""
    ) -> None:
        if not name or name in self.tensors:
            raise self.flat.damaged(f"tensor {shorten(name)!r} has no name of its own")
        self.tensors[name] = StoredTensor(
            name, shape, dtype, side_of=side_of, source=self.source, offset=offset
        )
