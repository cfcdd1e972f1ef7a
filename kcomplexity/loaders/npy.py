"""``.npy``: one NumPy array behind a short header, alone in a file or as a member of an ``.npz``.

Whatever lies in one piece, row-major and little-endian, is read from the file by range. Big-endian
values are turned around as they are read; Fortran-order arrays are copied in row-major order on
first use.
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.streams import ByteStream, StoredBytes, whole_file
from kcomplexity.loaders.arrays import little, stored_dtype, why_left_out
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.streamed import StreamedTensor, TransposedCopy
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.text import printable

MAGIC = b"\x93NUMPY"
#: NumPy's own limit is 10,000; a record type with very many fields may need more.
MAX_HEADER = 1 << 16


@dataclass(frozen=True)
class NpyLoader:
    """One array in a file of its own; the tensor is named after the file."""

    extensions: tuple[str, ...] = (".npy",)
    in_folders: tuple[str, ...] = ()

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def load(self, path: Path, options: Options) -> Checkpoint:
        with open_for_loading(path) as source:
            stream = whole_file(source)
            parsed = parse(path.stem, stream, options, printable(path))
        tensors = {} if parsed.tensor is None else {parsed.tensor.name: parsed.tensor}
        rest = parsed.header_bytes if tensors else source.size()
        return Checkpoint(str(path), "npy", tensors, {}, (source,), rest, parsed.notes)


@dataclass(frozen=True)
class Parsed:
    """The result of parsing one array: a tensor, or a note why it is left out."""

    tensor: Tensor | None
    header_bytes: int
    notes: tuple[str, ...] = ()


def parse(name: str, stream: ByteStream, options: Options, where: str) -> Parsed:
    """Read the header of a whole ``.npy`` file and return the tensor over its bytes."""
    shape, fortran, dtype, offset = _read_header(stream, where)
    if reason := why_left_out(dtype):
        return Parsed(None, offset, (f"{printable(name)} is left out: {reason}",))
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    expected = math.prod(shape) * dtype.itemsize
    if expected != stream.size - offset:
        raise CorruptCheckpointError(
            f"{where}: an array of shape {shape} and type {dtype} takes {expected} bytes, but "
            f"{stream.size - offset} follow its header; the file is cut or holds more than one "
            "array"
        )
    stored = stored_dtype(dtype)
    notes = []
    if dtype.str == "|V2" and options.dtype_of(name) is None:
        notes.append(
            f"{printable(name)} is stored as |V2, which is what NumPy makes of bfloat16: "
            "read as BF16"
        )
    tensor: Tensor
    if fortran and sum(n > 1 for n in shape) > 1:
        copy = TransposedCopy(stream, offset, dtype, shape, where)
        ordered = little(dtype)
        tensor = StreamedTensor(name, shape, stored, stream=copy, offset=0, stored_as=ordered)
    elif isinstance(stream, StoredBytes) and dtype == little(dtype):
        tensor = StoredTensor(
            name, shape, stored, source=stream.source, offset=stream.offset + offset
        )
    else:
        tensor = StreamedTensor(name, shape, stored, stream=stream, offset=offset, stored_as=dtype)
    return Parsed(tensor, offset, tuple(notes))


def _read_header(
    stream: ByteStream, where: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether in Fortran order, NumPy dtype, and the offset of the first value."""
    head = stream.read(0, min(12, stream.size)).tobytes()
    if not head.startswith(MAGIC) or len(head) < 12:
        raise CorruptCheckpointError(
            f"{where}: not an array in NumPy's format, which starts with {MAGIC!r}"
        )
    version = head[6]
    if version not in (1, 2, 3):
        raise CorruptCheckpointError(
            f"{where}: version {version} of NumPy's format is not known; expected 1, 2 or 3"
        )
    width = 2 if version == 1 else 4
    offset = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if offset > min(MAX_HEADER, stream.size):
        raise CorruptCheckpointError(
            f"{where}: the header claims {offset} bytes of {stream.size}; at most {MAX_HEADER} "
            "are read: the file is damaged"
        )
    header = io.BytesIO(stream.read(8, offset - 8).tobytes())
    # Version 3 differs from 2 in how field names are encoded, and no name is used here.
    lib = np.lib.format
    reader = lib.read_array_header_1_0 if version == 1 else lib.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            # Python 2 wrote 10L for 10: NumPy reads that, and says how slow it is.
            warnings.simplefilter("ignore")
            shape, fortran, dtype = reader(header, max_header_size=MAX_HEADER)
    # NumPy's parser, which evaluates literals only, fails in many ways on a damaged header.
    except Exception as error:  # noqa: BLE001
        text = f"{where}: the header is damaged: {printable(error)[:120]}"
        raise CorruptCheckpointError(text) from None
    if any(type(n) is not int or n < 0 for n in shape):
        raise CorruptCheckpointError(f"{where}: shape {shape} is invalid; the header is damaged")
    return shape, fortran, dtype, offset
