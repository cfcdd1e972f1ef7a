"""ONNX models: initialisers and constants, where they lie in the file or beside it.

The protocol buffer is walked field by field (:mod:`kcomplexity.files.protobuf`), so no library
is needed and no weight is read to open a model. External data are read only from files inside the
model's folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.protobuf import Message, Reader
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import StoredBytes, whole_file
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.shard_index import leaves_folder, lies_inside
from kcomplexity.tensors.checkpoint import ArrayTensor, Checkpoint, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES, StoredDtype, opaque
from kcomplexity.text import plural, printable, shorten

__all__ = ["OnnxLoader"]

_COMPLEX = "safetensors has no code for complex128; only the bytes are measured"
#: onnx.TensorProto.DataType; 8 is text.
_DTYPES: dict[int, StoredDtype] = {
    1: DTYPES["F32"],
    2: DTYPES["U8"],
    3: DTYPES["I8"],
    4: DTYPES["U16"],
    5: DTYPES["I16"],
    6: DTYPES["I32"],
    7: DTYPES["I64"],
    9: DTYPES["BOOL"],
    10: DTYPES["F16"],
    11: DTYPES["F64"],
    12: DTYPES["U32"],
    13: DTYPES["U64"],
    14: DTYPES["C64"],
    15: opaque(np.dtype(np.complex128), _COMPLEX),
    16: DTYPES["BF16"],
    17: DTYPES["F8_E4M3"],
    18: DTYPES["F8_E4M3FNUZ"],
    19: DTYPES["F8_E5M2"],
    20: DTYPES["F8_E5M2FNUZ"],
    21: CODES["U4"],
    22: CODES["I4"],
    23: DTYPES["F4"],
    24: DTYPES["F8_E8M0"],
    25: CODES["U2"],
    26: CODES["I2"],
}
#: Fields whose packed numbers are the stored bytes themselves, and those that hold varints.
_FLOAT_DATA, _INT32_DATA, _INT64_DATA, _RAW_DATA, _DOUBLE_DATA, _UINT64_DATA = 4, 5, 7, 9, 10, 11
_AS_STORED = (_FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA)
_VARINTS = (_INT32_DATA, _INT64_DATA, _UINT64_DATA)
#: Varints are decoded into memory; writers use them for small constants.
_MOST_VARINTS = 64 << 20
_MOST_AXES = 64
_MOST_DEPTH = 16


@dataclass(frozen=True)
class OnnxLoader:
    """One ``.onnx`` model."""

    extensions: tuple[str, ...] = (".onnx",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether it is called ONNX and starts as a model does, with its version.

        A protocol buffer has no magic number, so the name has to help.
        """
        return path.suffix.lower() in self.extensions and head[:1] in (b"\x08", b"\x12", b"\x3a")

    def load(self, path: Path, options: Options) -> Checkpoint:
        """Open the model; tensors are in the order of the file.

        Raises
        ------
        CorruptCheckpointError
            If the file is damaged, or external data lie outside the model's folder.
        """
        with open_for_loading(path) as source:
            found = _Model(path, source, Reader(whole_file(source), printable(path)))
            try:
                found.read()
                sources = (source, *found.beside.values())
                tensors = found.named()
                total = sum(one.size() for one in sources)
            except BaseException:
                for other in found.beside.values():
                    other.close()
                raise
        n_bytes = sum(tensor.n_bytes for tensor in tensors.values())
        return Checkpoint(
            str(path),
            "onnx",
            tensors,
            found.metadata,
            sources,
            max(total - n_bytes, 0),
            tuple(found.notes),
        )


@dataclass
class _Proto:
    """What a TensorProto says about itself."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    data: list[tuple[int, int | Message]] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    outside: bool = False


@dataclass
class _Model:
    """Walks over the model and gathers its tensors."""

    path: Path
    source: FileSource
    reader: Reader
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    #: Files with external data, by what the model calls them.
    beside: dict[str, FileSource] = field(default_factory=dict)
    #: Constants that are no tensors of the graph.
    _n_numbers: int = 0
    _n_inner: int = 0
    #: Inputs that a matrix product takes as (in, out).
    _in_out: set[str] = field(default_factory=set)
    #: Scales and zero points -> the codes they belong to.
    _side_of: dict[str, str] = field(default_factory=dict)

    def read(self) -> None:
        facts = {2: "producer_name", 3: "producer_version", 4: "domain"}
        n_graphs = 0
        for part in self.reader.fields(self.reader.whole()):
            if part.number == 7 and isinstance(part.value, Message):
                n_graphs += 1
                self._graph(part.value, "", 0)
            elif part.number == 14 and isinstance(part.value, Message):
                key, value = self._entry(part.value)
                self.metadata[key] = value
            elif part.number == 25 and isinstance(part.value, Message):
                self._function(part.value)
            elif part.number in facts and isinstance(part.value, Message):
                self.metadata[facts[part.number]] = self.reader.text(part.value)
        self._tell_constants()
        if n_graphs != 1:
            raise self.reader.damaged(f"it holds {n_graphs} graphs; expected one")

    def _function(self, function: Message) -> None:
        for part in self.reader.fields(function):
            if part.number == 7 and isinstance(part.value, Message):
                kinds = [
                    self.reader.text(f.value)
                    for f in self.reader.fields(part.value)
                    if f.number == 4
                ]
                self._n_inner += kinds == ["Constant"]

    def _tell_constants(self) -> None:
        for n, what in (
            (self._n_numbers, "written as numbers or texts"),
            (self._n_inner, "of local functions"),
        ):
            if n:
                verb = "is" if n == 1 else "are"
                self.notes.append(
                    f"{plural(n, 'constant')} {what} {verb} left out: only tensors of the graph "
                    "are read"
                )

    def named(self) -> dict[str, Tensor]:
        """Return the tensors with what the nodes say about them."""
        return {
            name: replace(
                tensor,
                layout="in-out" if name in self._in_out else "out-in",
                side_of=self._codes_of(name),
            )
            for name, tensor in self.tensors.items()
        }

    def _codes_of(self, name: str) -> str:
        codes = self._side_of.get(name, "")
        return codes if codes in self.tensors else ""

    def _graph(self, graph: Message, prefix: str, depth: int) -> None:
        if depth > _MOST_DEPTH:
            raise self.reader.damaged(f"graphs lie more than {_MOST_DEPTH} deep in each other")
        for part in self.reader.fields(graph):
            if not isinstance(part.value, Message):
                continue
            if part.number == 1:
                self._node(part.value, prefix, depth)
            elif part.number == 5:
                self._add(self._proto(part.value), prefix)
            elif part.number == 15:
                self.notes.append(
                    f"a sparse tensor of {part.value.size} bytes is left out: only dense ones are "
                    "read"
                )

    def _node(self, node: Message, prefix: str, depth: int) -> None:
        kind, inputs, outputs, transposed = "", [], [], False
        attributes = []
        for part in self.reader.fields(node):
            if part.number == 1:
                inputs.append(prefix + self.reader.text(part.value))
            elif part.number == 2:
                outputs.append(self.reader.text(part.value))
            elif part.number == 4:
                kind = self.reader.text(part.value)
            elif part.number == 5 and isinstance(part.value, Message):
                attributes.append(part.value)
        for attribute in attributes:
            name, number, nested = self._attribute(attribute)
            transposed |= name == "transB" and number == 1
            for inner in nested[6]:
                self._graph(inner, f"{prefix}{outputs[0] if outputs else kind}/", depth + 1)
            self._n_numbers += kind == "Constant" and name != "value"
            if kind == "Constant" and name == "value" and nested[5] and outputs:
                proto = self._proto(nested[5][0])
                proto.name = outputs[0]
                self._add(proto, prefix)
        if len(inputs) > 1 and (kind == "MatMul" or (kind == "Gemm" and not transposed)):
            self._in_out.add(inputs[1])
        if kind == "DequantizeLinear":
            self._side_of |= dict.fromkeys(inputs[1:3], inputs[0])

    def _attribute(self, attribute: Message) -> tuple[str, int, dict[int, list[Message]]]:
        """Return an attribute's name, its number, and the tensors (5) and graphs (6) in it."""
        name, number = "", 0
        nested: dict[int, list[Message]] = {5: [], 6: []}
        for part in self.reader.fields(attribute):
            if part.number == 1:
                name = self.reader.text(part.value)
            elif part.number == 3 and isinstance(part.value, int):
                number = part.value
            elif part.number in (5, 6, 11) and isinstance(part.value, Message):
                nested[5 if part.number == 5 else 6].append(part.value)
        return name, number, nested

    def _entry(self, entry: Message) -> tuple[str, str]:
        texts = {1: "", 2: ""}
        for part in self.reader.fields(entry):
            if part.number in texts:
                texts[part.number] = self.reader.text(part.value, 1 << 20)
        return texts[1], texts[2]

    def _proto(self, message: Message) -> _Proto:
        proto = _Proto()
        for part in self.reader.fields(message):
            if part.number == 1:
                proto.dims += self.reader.numbers(part.value, 10 * _MOST_AXES).tolist()
            elif part.number == 2 and isinstance(part.value, int):
                proto.data_type = part.value
            elif part.number == 8:
                proto.name = self.reader.text(part.value)
            elif part.number in _AS_STORED or part.number in _VARINTS:
                proto.data.append((part.number, part.value))
            elif part.number == 13 and isinstance(part.value, Message):
                key, value = self._entry(part.value)
                proto.external[key] = value
            elif part.number == 14:
                proto.outside = part.value == 1
        return proto

    def _add(self, proto: _Proto, prefix: str) -> None:
        name = prefix + proto.name
        where = f"{self.reader.where}: tensor {shorten(name)}"
        if proto.data_type == 8:
            self.notes.append(f"{shorten(name)} is left out: it holds text")
            return
        if proto.data_type not in _DTYPES:
            raise CorruptCheckpointError(f"{where} is of data type {proto.data_type}, unknown here")
        if not name or name in self.tensors:
            raise CorruptCheckpointError(f"{where} has no name of its own; the file is damaged")
        dtype, shape = _DTYPES[proto.data_type], tuple(proto.dims)
        if len(shape) > _MOST_AXES or any(n >= 1 << 62 for n in shape):
            raise CorruptCheckpointError(f"{where} has an impossible shape; the file is damaged")
        self.tensors[name] = self._tensor(name, shape, dtype, proto, where)

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: StoredDtype, proto: _Proto, where: str
    ) -> Tensor:
        n_bytes = dtype.n_bytes(math.prod(shape))
        if proto.outside:
            stream = self._outside(proto, n_bytes, where)
        elif not proto.data and not n_bytes:
            stream = StoredBytes(self.source, 0, 0)
        elif len(proto.data) == 1 and proto.data[0][0] in _AS_STORED:
            value = proto.data[0][1]
            if not isinstance(value, Message):
                raise CorruptCheckpointError(f"{where}: its values are no bytes")
            stream = StoredBytes(self.source, value.start, value.size)
        else:
            return self._of_varints(name, shape, dtype, proto, where)
        if stream.size != n_bytes:
            raise CorruptCheckpointError(
                f"{where} of shape {shape} and dtype {dtype.code} takes {n_bytes} bytes, and "
                f"{stream.size} are stored; the file is damaged"
            )
        return StoredTensor(name, shape, dtype, source=stream.source, offset=stream.offset)

    def _of_varints(
        self, name: str, shape: tuple[int, ...], dtype: StoredDtype, proto: _Proto, where: str
    ) -> Tensor:
        """Decode small constants that are written number by number."""
        n = math.prod(shape)
        if any(number not in _VARINTS for number, _ in proto.data) or n > _MOST_VARINTS:
            raise CorruptCheckpointError(f"{where} keeps its values in several ways; save it anew")
        parts = [self.reader.numbers(value, _MOST_VARINTS) for _, value in proto.data]
        words = np.concatenate([np.zeros(0, np.uint64), *parts])
        # Several four-bit codes share a number, as they share a byte.
        per_number = 8 // dtype.bits if dtype.bits < 8 else 1
        if words.size != -(-n // per_number) or dtype.kind in ("complex", "opaque"):
            raise CorruptCheckpointError(
                f"{where} of shape {shape} holds {words.size} numbers; the file is damaged"
            )
        data = words.astype("u1" if dtype.bits < 8 else dtype.word).view(np.uint8)
        return ArrayTensor(name, shape, dtype, data=data)

    def _outside(self, proto: _Proto, n_bytes: int, where: str) -> StoredBytes:
        """Return the bytes of external data, which lie in a file inside the model's folder."""
        location = proto.external.get("location", "")
        if not self.source.local:
            raise CheckpointError(
                f"{where}: its data are in {printable(location)!r} beside the model, and the model "
                "is on a server; download both"
            )
        folder = self.path.parent
        if leaves_folder(location) or not lies_inside(folder / location, folder):
            raise CorruptCheckpointError(
                f"{where}: its data are in {printable(location)!r}, which is not inside the "
                "model's folder, and is not read"
            )
        try:
            offset = int(proto.external.get("offset", "0"))
            length = int(proto.external.get("length", str(n_bytes)))
        except ValueError:
            raise CorruptCheckpointError(f"{where}: its offset or length is no number") from None
        if location not in self.beside:
            if not (folder / location).is_file():
                raise CheckpointError(
                    f"{where}: its data should be in {printable(location)}, which is missing; "
                    "copy it beside the model"
                )
            self.beside[location] = FileSource(folder / location)
        source = self.beside[location]
        if offset < 0 or length < 0 or offset + length > source.size():
            raise CorruptCheckpointError(
                f"{where}: bytes {offset} to {offset + length} leave {printable(location)} of "
                f"{source.size()}; copy it again"
            )
        return StoredBytes(source, offset, length)
