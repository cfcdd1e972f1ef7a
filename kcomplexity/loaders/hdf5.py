"""HDF5 (``.h5 .hdf5``) and Keras (``.h5``, ``.weights.h5``, ``.keras``), through h5py.

Datasets in one piece are read from the file by range; chunked and compressed ones through the
library, a range at a time. Links to other files, external storage and virtual datasets are not
followed. What Keras' optimiser keeps is left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kcomplexity.errors import CorruptCheckpointError, SpecError
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import StoredBytes, StreamFile, whole_file
from kcomplexity.files.zips import member_names, read_directory
from kcomplexity.loaders.arrays import little, stored_dtype, why_left_out
from kcomplexity.loaders.base import Options, import_extra
from kcomplexity.loaders.notes import left_out, read_under, second_name, training_left_out
from kcomplexity.loaders.slabs import DAMAGE, SlabTensor, why_too_large
from kcomplexity.loaders.streamed import StreamedTensor
from kcomplexity.tensors.checkpoint import Checkpoint, Layout, StoredTensor, Tensor
from kcomplexity.text import printable, shorten

_MAGIC = b"\x89HDF\r\n\x1a\n"
#: The member of a ``.keras`` archive that holds the weights.
_KERAS_MEMBER = "model.weights.h5"
#: Where Keras 2 keeps the weights of a whole model, and what its optimisers keep.
_KERAS_WEIGHTS = "model_weights"
_KERAS_TRAINING = frozenset({"optimizer_weights", "optimizer"})
#: Groups at the top of what Keras 3 writes.
_KERAS_GROUPS = frozenset({"layers", "_layer_checkpoint_dependencies", _KERAS_WEIGHTS})
_MOST_DEPTH = 64
_MOST_FACT = 200
#: Attributes are read whole.
_MOST_ATTRIBUTE = 1 << 16


@dataclass(frozen=True)
class Hdf5Loader:
    """One HDF5 file, or the one in a ``.keras`` archive; tensors are in the order of the groups."""

    extensions: tuple[str, ...] = (".h5", ".hdf5", ".keras")
    nested: bool = True

    def sniff(self, path: Path, head: bytes) -> bool:
        return head.startswith(_MAGIC) or _KERAS_MEMBER in member_names(path, head)

    def load(self, path: Path, options: Options) -> Checkpoint:
        h5py = import_extra("h5py", "hdf5", f"{printable(path)}: reading HDF5")
        with open_for_loading(path) as source:
            inner = _inner(source, printable(path))
            try:
                file = h5py.File(StreamFile(inner), "r")
                groups = _Groups(h5py, inner, printable(path), options)
                groups.read(file)
            except (SpecError, CorruptCheckpointError):
                raise
            except DAMAGE as error:
                text = f"{printable(path)}: not a whole HDF5 file: {printable(error)[:160]}"
                raise CorruptCheckpointError(text) from None
            rest = max(source.size() - groups.stored(file), 0)
        tensors, metadata, notes = groups.tensors, groups.metadata, tuple(groups.notes)
        return Checkpoint(str(path), "hdf5", tensors, metadata, (source,), rest, notes)


def _inner(source: FileSource, shown: str) -> StoredBytes:
    """Return the bytes of the HDF5 file itself."""
    if not source.read(0, min(4, source.size())).tobytes().startswith(b"PK"):
        return whole_file(source)
    members = {member.name: member for member in read_directory(source)}
    member = members.get(_KERAS_MEMBER)
    if member is None or member.deflated:
        what = "is deflated: unpack it" if member else "is missing: it is not a Keras archive"
        raise CorruptCheckpointError(f"{shown}: its member {_KERAS_MEMBER} {what}")
    return StoredBytes(source, member.offset, member.size)


@dataclass
class _Groups:
    """Walks over the groups and gathers their tensors, metadata and notes."""

    h5py: Any
    inner: StoredBytes
    shown: str
    options: Options
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _layout: Layout = "out-in"
    _seen: dict[int, str] = field(default_factory=dict)

    def read(self, file: Any) -> None:
        for key in file.attrs:
            attribute = file.attrs.get_id(key)
            # The library trusts the file about the length of a text of variable length.
            if attribute.dtype.hasobject or attribute.get_storage_size() > _MOST_ATTRIBUTE:
                continue
            value = file.attrs[key]
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            if len(text) <= _MOST_FACT:
                self.metadata[key] = text
        keys = set(file.keys())
        if "keras_version" in file.attrs or keys & _KERAS_GROUPS or _KERAS_TRAINING & keys:
            self._layout = "in-out"
        self._walk(self._root(file, keys), "", 0)

    def stored(self, file: Any) -> int:
        """Return the bytes that all datasets take in the file, read or left out."""
        return sum(dataset.id.get_storage_size() for dataset in self._below(file, 0, set()))

    def _root(self, file: Any, keys: set[str]) -> Any:
        root = self.options.root
        if root is not None:
            path = root.strip("./").replace(".", "/") if root.strip("./") not in file else root
            group = self._target(file, path.strip("./")) if path.strip("./") else file
            if not isinstance(group, self.h5py.Group):
                known = ", ".join(shorten(key) for key in sorted(keys)[:8])
                raise SpecError(
                    f"{self.shown}: no group {printable(root)!r} for the root; there are: {known}"
                )
            return group
        for key in sorted(keys & _KERAS_TRAINING):
            n = sum(1 for _ in self._below(self._target(file, key), 0, set()))
            if n:
                self.notes.append(training_left_out(n, key, key))
        weights = self._target(file, _KERAS_WEIGHTS)
        if isinstance(weights, self.h5py.Group):
            self.notes.append(read_under(_KERAS_WEIGHTS))
            return weights
        return file

    def _target(self, group: Any, path: str) -> Any:
        """Return what is at a path of hard links, None if there is another kind of link."""
        item = group
        for key in path.split("/"):
            if not isinstance(item, self.h5py.Group) or key not in item:
                return None
            if not isinstance(item.get(key, getlink=True), self.h5py.HardLink):
                return None
            item = item[key]
        return item

    def _below(self, item: Any, depth: int, seen: set[int]) -> Iterator[Any]:
        """Yield the datasets below an item, each once: groups may contain themselves."""
        if item is None or depth > _MOST_DEPTH or self._address(item) in seen:
            return
        seen.add(self._address(item))
        if isinstance(item, self.h5py.Dataset):
            yield item
        elif isinstance(item, self.h5py.Group):
            for key in item:
                yield from self._below(self._target(item, key), depth + 1, seen)

    def _address(self, item: Any) -> int:
        return int(self.h5py.h5o.get_info(item.id).addr)

    def _walk(self, group: Any, name: str, depth: int) -> None:
        if depth > _MOST_DEPTH:
            text = f"{self.shown}: groups more than {_MOST_DEPTH} deep at {shorten(name)}"
            raise CorruptCheckpointError(text)
        for key in group:
            inner = f"{name}/{key}" if name else key
            link = group.get(key, getlink=True)
            if not isinstance(link, self.h5py.HardLink):
                where = f" to {shorten(link.filename)}" if hasattr(link, "filename") else ""
                self.notes.append(left_out(inner, f"it is a link{where}, which is not followed"))
                continue
            if not name and key in _KERAS_TRAINING and self.options.root is None:
                continue
            item = group[key]
            address = self._address(item)
            if address in self._seen:
                self.notes.append(second_name(inner, self._seen[address]))
                continue
            self._seen[address] = inner
            if isinstance(item, self.h5py.Group):
                self._walk(item, inner, depth + 1)
            elif isinstance(item, self.h5py.Dataset):
                if reason := _why_not(item):
                    self.notes.append(left_out(inner, reason))
                else:
                    self.tensors[inner] = self._tensor(inner, item)

    def _tensor(self, name: str, dataset: Any) -> Tensor:
        stored, shape = stored_dtype(dataset.dtype), tuple(dataset.shape)
        layout = self._layout
        offset = dataset.id.get_offset()
        plain = dataset.chunks is None and offset is not None and dataset.file.userblock_size == 0
        if not plain or (dataset.dtype.kind == "b" and dataset.dtype.itemsize != 1):
            box, dtype = dataset.__getitem__, dataset.dtype
            return SlabTensor(name, shape, stored, layout=layout, box=box, stored_as=dtype)
        n_bytes = math.prod(shape) * dataset.dtype.itemsize
        if offset + n_bytes > self.inner.size:
            raise CorruptCheckpointError(
                f"{self.shown}: dataset {shorten(name)} of {n_bytes} bytes at byte {offset} leaves "
                f"the file of {self.inner.size}; the file is cut: copy it again"
            )
        source, at = self.inner.source, self.inner.offset + offset
        if dataset.dtype != little(dataset.dtype):
            part = StoredBytes(source, at, n_bytes)
            return StreamedTensor(
                name, shape, stored, layout=layout, stream=part, offset=0, stored_as=dataset.dtype
            )
        return StoredTensor(name, shape, stored, layout=layout, source=source, offset=at)


def _why_not(dataset: Any) -> str:
    """Return why a dataset is not read; empty if it is."""
    if dataset.shape is None:
        return "it is empty"
    if dataset.is_virtual or dataset.external:
        return "its values are in other files, which are not followed"
    if why_left_out(dataset.dtype):
        return why_left_out(dataset.dtype)
    chunk_bytes = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    return why_too_large(dataset.nbytes, chunk_bytes, "stored", dataset.id.get_storage_size())
