"""Zarr folders and Orbax checkpoints, through tensorstore.

An Orbax checkpoint keeps its arrays in one database (OCDBT) or in a folder each; either way each is
a Zarr array, and its name is the path to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcomplexity.errors import CorruptCheckpointError, SpecError
from kcomplexity.files.sources import FileSource
from kcomplexity.loaders.arrays import stored_dtype, why_left_out
from kcomplexity.loaders.base import Options, import_extra
from kcomplexity.loaders.notes import left_out, training_left_out
from kcomplexity.loaders.shard_index import lies_inside
from kcomplexity.loaders.slabs import DAMAGE, Slab, SlabTensor, why_too_large
from kcomplexity.loaders.torch_tree import is_training
from kcomplexity.tensors.checkpoint import Checkpoint, Layout, Tensor
from kcomplexity.text import printable, shorten

_MANIFEST = "manifest.ocdbt"
#: What describes an array -> tensorstore's name of the version of Zarr.
_DRIVERS = {".zarray": "zarr", "zarr.json": "zarr3"}
_MOST_ARRAYS = 1_000_000
#: Folders that may hold the arrays of an Orbax step.
_ITEMS = ("", "default", "params", "state")


@dataclass(frozen=True)
class ZarrLoader:
    """One Zarr group or Orbax checkpoint, a folder; its tensors are in the order of their names."""

    extensions: tuple[str, ...] = (".zarr",)
    in_folders: tuple[str, ...] = ()
    nested: bool = True

    def sniff(self, path: Path, head: bytes) -> bool:
        return path.is_dir() and _item(path) is not None

    def load(self, path: Path, options: Options) -> Checkpoint:
        shown = printable(path)
        folder = _item(path) if path.is_dir() else None
        if folder is None:
            raise CorruptCheckpointError(f"{shown}: it holds no Zarr array; give the folder of one")
        ts = import_extra("tensorstore", "orbax", f"{shown}: reading Zarr")
        _refuse_links(folder, shown)
        gate = FileSource(_described(folder))
        stored = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        tensors: dict[str, Tensor] = {}
        notes: list[str] = []
        n_training = 0
        try:
            orbax = (folder / _MANIFEST).is_file() or (folder / "_METADATA").is_file()
            layout: Layout = "in-out" if orbax else "out-in"
            for path_of, store in _stores(ts, folder):
                name = _under(path_of, options.root)
                if name is None:
                    continue
                if options.root is None and is_training(name.replace("/", ".").partition(".")[0]):
                    n_training += 1
                    continue
                if reason := _why_not(store, stored):
                    notes.append(left_out(name, reason))
                    continue
                box, shape, dtype = _Box(store, gate), tuple(store.shape), store.dtype.numpy_dtype
                kind = stored_dtype(dtype)
                tensors[name] = SlabTensor(
                    name, shape, kind, layout=layout, box=box, stored_as=dtype
                )
        except DAMAGE as error:
            gate.close()
            text = f"{shown}: an array cannot be opened: {printable(error)[:160]}"
            raise CorruptCheckpointError(text) from None
        if n_training:
            notes.append(training_left_out(n_training))
        if options.root is not None and not tensors:
            gate.close()
            raise SpecError(f"{shown}: no array is under the root {printable(options.root)!r}")
        rest = max(stored - sum(tensor.n_bytes for tensor in tensors.values()), 0)
        return Checkpoint(str(path), "zarr", tensors, {}, (gate,), rest, tuple(notes))


@dataclass(frozen=True)
class _Box:
    """Reads boxes of one array while the checkpoint is open."""

    store: Any
    gate: FileSource

    def __call__(self, slab: Slab) -> Any:
        self.gate.size()
        return self.store[slab].read().result() if slab else self.store.read().result()


def _item(path: Path) -> Path | None:
    """Return the folder that holds the arrays: `path`, or an item of an Orbax step; else None."""
    for name in _ITEMS:
        folder = path / name
        if (folder / _MANIFEST).is_file() or any(_files(folder, deep=False)):
            return folder
    return None


def _files(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """Yield what describes the arrays of a folder and of those in it, all of them if `deep`."""
    for described in _DRIVERS:
        if deep:
            yield from folder.rglob(described)
        else:  # every folder is sniffed, so this has to be quick
            yield from folder.glob(described)
            yield from folder.glob(f"*/{described}")


def _refuse_links(folder: Path, shown: str) -> None:
    """Refuse a folder whose chunks would be read from outside it."""
    for entry in folder.rglob("*"):
        if entry.is_symlink() and not lies_inside(entry, folder):
            raise CorruptCheckpointError(
                f"{shown}: {shorten(entry.relative_to(folder))} is a link that leaves the folder, "
                "and is not followed; replace it by a copy of its target"
            )


def _under(name: str, root: str | None) -> str | None:
    """Return the rest of a name below the root; None if it is not there."""
    if root is None or not root.strip("."):
        return name
    plain = root.replace("/", ".").strip(".") + "."
    return name[len(plain) :] if name.replace("/", ".").startswith(plain) else None


def _described(folder: Path) -> Path:
    manifest = folder / _MANIFEST
    return manifest if manifest.is_file() else next(_files(folder))


def _stores(ts: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name of each array, and the array opened."""
    base = f"file://{folder.resolve().as_posix()}/"
    inside: dict[str, Any] = {"driver": "ocdbt", "base": base}
    if (folder / _MANIFEST).is_file():
        listed = ts.KvStore.open(inside).result().list().result()
        keys = sorted(key.decode("utf-8", "replace") for key in listed)
    else:
        inside = {"driver": "file", "path": f"{folder.resolve().as_posix()}/"}
        keys = sorted({file.relative_to(folder).as_posix() for file in _files(folder)})
    opened = 0
    for key in keys:
        name, _, last = key.rpartition("/")
        if last not in _DRIVERS or (last == "zarr.json" and not _is_array(ts, inside, key)):
            continue
        opened += 1
        if opened > _MOST_ARRAYS:
            raise ValueError(f"more than {_MOST_ARRAYS} arrays")
        kvstore = dict(inside)
        kvstore["path"] = f"{inside.get('path', '')}{name}/" if name else inside.get("path", "")
        spec = {"driver": _DRIVERS[last], "kvstore": kvstore}
        yield name or folder.name, ts.open(spec, read=True, open=True).result()


def _is_array(ts: Any, inside: dict[str, Any], key: str) -> bool:
    """Whether a ``zarr.json`` describes an array; groups have one too."""
    text = ts.KvStore.open(inside).result().read(key).result().value
    return b'"array"' in text[: 1 << 20]


def _why_not(store: Any, stored: int) -> str:
    """Return why an array is not read; empty if it is."""
    dtype = store.dtype.numpy_dtype
    if why_left_out(dtype):
        return why_left_out(dtype)
    chunk_bytes = math.prod(store.chunk_layout.read_chunk.shape or ()) * dtype.itemsize
    n_bytes = math.prod(store.shape) * dtype.itemsize
    return why_too_large(n_bytes, chunk_bytes, "stored in all", stored)
