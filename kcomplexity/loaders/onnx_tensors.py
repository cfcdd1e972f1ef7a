"""Tensors of an ONNX model: what a TensorProto says, and where its values are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.files.protobuf import Message, Reader
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import StoredBytes
from kcomplexity.loaders.shard_index import leaves_folder, lies_inside
from kcomplexity.tensors.checkpoint import ArrayTensor, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES, StoredDtype, opaque
from kcomplexity.text import printable, shorten

#: onnx.TensorProto.DataType of texts.
TEXT = 8
_COMPLEX = "safetensors has no code for complex128; only the bytes are measured"
#: The codes of onnx.TensorProto.DataType, which counts from 1.
_ORDER = """
    F32 U8 I8 U16 I16 I32 I64 TEXT BOOL F16 F64 U32 U64 C64 COMPLEX128 BF16
    F8_E4M3 F8_E4M3FNUZ F8_E5M2 F8_E5M2FNUZ U4 I4 F4 F8_E8M0 U2 I2
"""
_KNOWN = {**CODES, **DTYPES, "COMPLEX128": opaque(np.dtype(np.complex128), _COMPLEX)}
_DTYPES = {n: _KNOWN[code] for n, code in enumerate(_ORDER.split(), 1) if code in _KNOWN}
#: Fields whose packed numbers are the stored bytes themselves, and those that hold varints.
_FLOAT_DATA, _INT32_DATA, _INT64_DATA, _RAW_DATA, _DOUBLE_DATA, _UINT64_DATA = 4, 5, 7, 9, 10, 11
_AS_STORED = (_FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA)
_VARINTS = (_INT32_DATA, _INT64_DATA, _UINT64_DATA)
#: Varints are decoded into memory; writers use them for small constants.
_MOST_VARINTS = 64 << 20
_MOST_AXES = 64


@dataclass
class Proto:
    """The fields of a TensorProto that are used."""

    name: str = ""
    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    data: list[tuple[int, int | Message]] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    outside: bool = False

    @classmethod
    def read(cls, message: Message, reader: Reader) -> Proto:
        """Read the message of a TensorProto."""
        proto = cls()
        for number, value in reader.fields(message):
            if number == 1:
                proto.dims += reader.numbers(value, 10 * _MOST_AXES).tolist()
            elif number == 2 and isinstance(value, int):
                proto.data_type = value
            elif number == 8:
                proto.name = reader.text(value)
            elif number in _AS_STORED or number in _VARINTS:
                proto.data.append((number, value))
            elif number == 13 and isinstance(value, Message):
                proto.external |= [read_entry(value, reader)]
            elif number == 14:
                proto.outside = value == 1
        return proto


@dataclass
class TensorReader:
    """Makes the tensors of the model at `path`."""

    path: Path
    source: FileSource
    reader: Reader
    #: Files with external data, by the names that the model has for them.
    external: dict[str, FileSource] = field(default_factory=dict)

    def tensor(self, name: str, proto: Proto) -> Tensor:
        """Return the tensor that `proto` describes, under a name that the caller has checked."""
        where = f"{self.reader.where}: tensor {shorten(name)}"
        if proto.data_type not in _DTYPES:
            raise CorruptCheckpointError(f"{where} is of data type {proto.data_type}, unknown here")
        dtype, shape = _DTYPES[proto.data_type], tuple(proto.dims)
        if len(shape) > _MOST_AXES or any(n >= 1 << 62 for n in shape):
            raise CorruptCheckpointError(f"{where} has an impossible shape; the file is damaged")
        n_bytes = dtype.n_bytes(math.prod(shape))
        if proto.outside:
            stream = self._external(proto, n_bytes, where)
        elif not proto.data and not n_bytes:
            stream = StoredBytes(self.source, 0, 0)
        elif len(proto.data) == 1 and proto.data[0][0] in _AS_STORED:
            value = proto.data[0][1]
            if not isinstance(value, Message):
                raise CorruptCheckpointError(f"{where}: its values are not bytes")
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
        self, name: str, shape: tuple[int, ...], dtype: StoredDtype, proto: Proto, where: str
    ) -> Tensor:
        """Decode a small constant that is written number by number."""
        n = math.prod(shape)
        if any(number not in _VARINTS for number, _ in proto.data) or n > _MOST_VARINTS:
            raise CorruptCheckpointError(f"{where} keeps its values in several ways; save it again")
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

    def _external(self, proto: Proto, n_bytes: int, where: str) -> StoredBytes:
        """Return the bytes of external data, which lie in a file inside the model's folder."""
        location = proto.external.get("location", "")
        if not self.source.local:
            raise CheckpointError(
                f"{where}: its data are in {printable(location)!r} next to the model, which "
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
            raise CorruptCheckpointError(f"{where}: its offset or length is not a number") from None
        if location not in self.external:
            if not (folder / location).is_file():
                raise CheckpointError(
                    f"{where}: its data should be in {printable(location)}, which is missing; "
                    "copy it next to the model"
                )
            self.external[location] = FileSource(folder / location)
        source = self.external[location]
        if offset < 0 or length < 0 or offset + length > source.size():
            raise CorruptCheckpointError(
                f"{where}: bytes {offset} to {offset + length} leave {printable(location)} of "
                f"{source.size()}; copy it again"
            )
        return StoredBytes(source, offset, length)


def read_entry(entry: Message, reader: Reader) -> tuple[str, str]:
    """Return the key and the value of a StringStringEntryProto."""
    texts = {1: "", 2: ""}
    for number, value in reader.fields(entry):
        if number in texts:
            texts[number] = reader.text(value, 1 << 20)
    return texts[1], texts[2]
