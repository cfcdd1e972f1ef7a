"""PyTorch files (``.pt .pth .bin .ckpt``), read without PyTorch and without running the pickle.

Two formats share the pickle and differ in where the storages are:

* since 1.6 a zip archive: ``*/data.pkl``, and each storage a stored member ``*/data/KEY``;
* before, pickles one after the other in one file (:mod:`kcomplexity.loaders.torch_legacy`).

Storages are read by range where they lie. What the pickle may refer to is listed in
:mod:`kcomplexity.loaders.torch_objects`, which tensors are read in
:mod:`kcomplexity.loaders.torch_tree`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kcomplexity.errors import CorruptCheckpointError, UnknownFormatError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.pickle_reader import MAX_PICKLE, PickleReader
from kcomplexity.files.pickles import read_pickle
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import ByteStream, DeflatedBytes, StoredBytes
from kcomplexity.files.zips import Member, member_names, read_directory
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.streamed import StreamedTensor
from kcomplexity.loaders.strided import StridedWindow
from kcomplexity.loaders.torch_legacy import MAGIC, read_legacy
from kcomplexity.loaders.torch_objects import HANDLERS, TensorRef, storage_of
from kcomplexity.loaders.torch_tree import find_tensors
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor, Tensor
from kcomplexity.text import printable, shorten

_PICKLE = "data.pkl"
#: The first member of PyTorch's old tar format.
_TAR_MEMBER = b"sys_info\0"


@dataclass(frozen=True)
class PytorchLoader:
    """One file that ``torch.save`` wrote; tensors are in the order in which the model has them."""

    extensions: tuple[str, ...] = (".pt", ".pth", ".bin", ".ckpt", ".th", ".model", ".tar")
    in_folders: tuple[str, ...] = (".bin", ".pt", ".pth", ".ckpt")
    nested: bool = True

    def sniff(self, path: Path, head: bytes) -> bool:
        if head.startswith((MAGIC, _TAR_MEMBER)):
            return True
        names = member_names(path, head)
        return any(name == _PICKLE or name.endswith(f"/{_PICKLE}") for name in names)

    def load(self, path: Path, options: Options) -> Checkpoint:
        with open_for_loading(path) as source:
            shown = printable(path)
            head = source.read(0, min(source.size(), len(MAGIC))).tobytes()
            if head.startswith(b"PK"):
                tree, storages, byte_order = _read_zip(source, shown)
            elif head == MAGIC:
                tree, storages = read_legacy(source, shown)
                byte_order = "<"
            else:
                raise _unknown(head, shown)
            chosen = find_tensors(tree, options.root, path.stem, shown)
            tensors: dict[str, Tensor] = {}
            for name, ref in chosen.tensors.items():
                where = f"{shown}: tensor {shorten(name)}"
                stream = storages.get(ref.storage.key)
                _check(ref, stream, where)
                if ref.n_values > ref.span:
                    chosen.notes.append(
                        f"{shorten(name)} is left out: it shows values of its storage more than "
                        f"once ({ref.n_values:,} from {ref.span:,}); save a contiguous copy"
                    )
                elif stream is not None:
                    tensors[name] = _tensor(name, ref, stream, byte_order, where)
            rest = source.size() - sum(tensor.n_bytes for tensor in tensors.values())
            read = {chosen.tensors[name].storage.key for name in tensors}
            rest -= sum(_stored(storages[key]) for key in storages.keys() - read)
        # Windows that overlap can add up to more than the file.
        rest, notes = max(rest, 0), tuple(chosen.notes)
        return Checkpoint(str(path), "pytorch", tensors, chosen.metadata, (source,), rest, notes)


def _unknown(head: bytes, shown: str) -> UnknownFormatError:
    if head.startswith(_TAR_MEMBER):
        return UnknownFormatError(
            f"{shown}: the tar format of PyTorch before 0.1.10, which PyTorch itself no longer "
            "reads safely; save it again with a PyTorch of that age"
        )
    if head[:1] == b"\x80":
        return UnknownFormatError(
            f"{shown}: a plain pickle, which can run anything when it is read, and is not read; "
            "save the arrays as .npz or .safetensors"
        )
    return UnknownFormatError(
        f"{shown}: not a PyTorch file: neither a zip archive nor PyTorch's magic number at its "
        "start; copy it again, or give it the extension of what it is"
    )


def _read_zip(source: FileSource, shown: str) -> tuple[Any, dict[str, ByteStream], str]:
    """Return what the pickle describes, each storage by its key, and the byte order."""
    members = {member.name: member for member in read_directory(source)}
    pickles = [n for n in members if n == _PICKLE or n.endswith(f"/{_PICKLE}")]
    if len(pickles) != 1:
        raise CorruptCheckpointError(
            f"{shown}: {len(pickles)} members called {_PICKLE} in the archive; expected one"
        )
    base = pickles[0].removesuffix(_PICKLE)
    pickle = members[pickles[0]]
    if pickle.size > MAX_PICKLE:
        raise CorruptCheckpointError(
            f"{shown}: {pickle.name} takes {pickle.size} bytes; at most {MAX_PICKLE} are read"
        )
    where = f"{shown}: {printable(pickle.name)}"
    tree = read_pickle(PickleReader(pickle.stream(source)), where, HANDLERS, storage_of)
    prefix = f"{base}data/"
    storages = {
        name.removeprefix(prefix): member.stream(source)
        for name, member in members.items()
        if name.startswith(prefix)
    }
    return tree, storages, _byte_order(members.get(f"{base}byteorder"), source, shown)


def _byte_order(member: Member | None, source: FileSource, shown: str) -> str:
    if member is None:  # older archives do not say: the writer was little-endian, nearly always
        return "<"
    text = member.stream(source).read(0, min(member.size, 16)).tobytes()
    orders = {b"little": "<", b"big": ">"}
    if text not in orders:
        raise CorruptCheckpointError(f"{shown}: byteorder is {text!r}; expected little or big")
    return orders[text]


def _check(ref: TensorRef, stream: ByteStream | None, where: str) -> None:
    """Refuse a window that is not inside its storage."""
    if stream is None:
        if ref.n_values == 0 and ref.storage.n_bytes == 0:
            return
        raise CorruptCheckpointError(
            f"{where}: its storage {shorten(ref.storage.key)} is not in the file; copy it again"
        )
    size = ref.dtype.bits // 8
    if stream.size < ref.storage.n_bytes:
        raise CorruptCheckpointError(
            f"{where}: its storage should take {ref.storage.n_bytes} bytes and takes "
            f"{stream.size}; the file is cut or malicious"
        )
    end = (ref.offset + ref.span) * size
    if ref.n_values and end > ref.storage.n_bytes:
        raise CorruptCheckpointError(
            f"{where} of shape {ref.shape}, strides {ref.strides} and offset {ref.offset} reaches "
            f"byte {end} of a storage of {ref.storage.n_bytes}; the file is damaged or malicious"
        )


def _stored(stream: ByteStream) -> int:
    """Return how many bytes of the file a storage takes."""
    return stream.compressed_size if isinstance(stream, DeflatedBytes) else stream.size


def _tensor(name: str, ref: TensorRef, stream: ByteStream, byte_order: str, where: str) -> Tensor:
    size = ref.dtype.bits // 8
    offset = ref.offset * size
    # Half of a complex value is what is turned around.
    width = size // 2 if ref.dtype.kind == "complex" or "complex" in ref.dtype.code else size
    foreign = byte_order == ">" and width > 1
    shape, dtype = ref.shape, ref.dtype
    if not foreign and isinstance(stream, StoredBytes):
        source, at = stream.source, stream.offset + offset
        if ref.contiguous:
            return StoredTensor(name, shape, dtype, source=source, offset=at)
        steps, span = ref.strides, ref.span
        return StridedWindow(name, shape, dtype, source=source, offset=at, strides=steps, span=span)
    if not ref.contiguous:
        how = "deflated" if isinstance(stream, DeflatedBytes) else "big-endian"
        raise CorruptCheckpointError(
            f"{where} is strided and {how}, which torch.save does not write; save it again"
        )
    stored_as = np.dtype(f"{byte_order}u{size}" if foreign else f"V{size}")
    if foreign and width < size:
        stored_as = np.dtype((np.dtype(f"{byte_order}u{width}"), (2,)))
    return StreamedTensor(name, shape, dtype, stream=stream, offset=offset, stored_as=stored_as)
