"""File formats: one module each; :mod:`kcomplexity.loaders.base` tells the contract."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    SpecError,
    UnknownFormatError,
)
from kcomplexity.files.locations import locate
from kcomplexity.files.opening import opened
from kcomplexity.files.sources import FileSource
from kcomplexity.files.urls import UrlPath
from kcomplexity.loaders.base import HEAD, Loader, Options, check_loader
from kcomplexity.loaders.deferred import Deferred
from kcomplexity.loaders.mapping import from_mapping
from kcomplexity.loaders.mosaic import MosaicLoader
from kcomplexity.loaders.npy import NpyLoader
from kcomplexity.loaders.npz import NpzLoader
from kcomplexity.loaders.quantised import with_codes
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.loaders.sharded import ShardedLoader, join_files
from kcomplexity.registry import Registry
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import printable, shorten

__all__ = ["LOADERS", "Loader", "Options", "open_checkpoint"]

#: What is one checkpoint by itself.
Source = str | os.PathLike[str] | Mapping[str, Any] | Checkpoint


def open_checkpoint(
    source: Source | Sequence[str | os.PathLike[str]],
    *,
    dtypes: Mapping[str, str] | None = None,
    root: str | None = None,
    dequantize: bool = False,
    stored: bool = False,
) -> Checkpoint:
    """Open a checkpoint, reading its headers only.

    Parameters
    ----------
    source : path, URL, sequence of paths, mapping of str to array, or Checkpoint
        A file in any format of :data:`LOADERS`, whatever its extension; a folder of shards or
        their index; a glob, or several paths, read as one checkpoint; ``hf:ORG/NAME`` in the local
        cache; an URL, read by range; or arrays in memory under their names (NumPy, or anything
        with ``__array__`` or DLPack; contiguous little-endian ones are not copied, nested mappings
        are joined with dots). A Checkpoint is returned as it is.
    dtypes : mapping of str to str, optional
        Glob on tensor names -> dtype code of safetensors, for files that do not say what their
        values are: ``{"*.weight": "F8_E4M3"}``. It must be as wide as what is stored.
    root : str, optional
        In a file that nests its tensors (PyTorch, HDF5), the keys of the part to read, joined
        with dots: ``"ema.state_dict"``. ``"."`` reads everything. By default the weights are
        found by rules, which the checkpoint's notes tell.
    dequantize : bool
        Read quantised blocks (GGUF) as the float32 weights they stand for. By default they are
        read as what is stored: codes and scales.
    stored : bool
        Open the arrays that a mosaic file holds (motifs, coded indices), not the weights that
        they stand for.

    Returns
    -------
    Checkpoint
        Close it, or use it as a context manager.

    Raises
    ------
    CheckpointError
        If there is nothing there, nothing here reads it, or it breaks the rules of its format.
    SpecError
        If `dtypes` names no tensor, no dtype, or one of another width.

    Examples
    --------
    >>> import numpy as np
    >>> with open_checkpoint({"w": np.zeros((2, 3), np.float16)}) as checkpoint:
    ...     print(checkpoint["w"].shape, checkpoint["w"].dtype.code, checkpoint.n_bytes)
    (2, 3) F16 12
    """
    options = Options(dict(dtypes or {}), root, dequantize, stored)
    if isinstance(source, Checkpoint):
        checkpoint = source
    elif isinstance(source, Mapping):
        checkpoint = from_mapping(source)
    else:
        checkpoint = _open_located(source, options)
    if options.dtypes:
        checkpoint = options.apply(checkpoint)
    # An open checkpoint was looked at when it was opened.
    return checkpoint if isinstance(source, Checkpoint) else with_codes(checkpoint)


def _open_located(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], options: Options
) -> Checkpoint:
    parts: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
    if not parts or not all(isinstance(part, str | os.PathLike) for part in parts):
        raise CheckpointError(
            f"a {type(source).__name__} was given as a checkpoint; expected a path or a mapping of "
            "names to arrays, or a list of paths that are one checkpoint"
        )
    paths = [path for part in parts for path in locate(part)]
    shown = ", ".join(str(part) for part in parts)
    if len(paths) == 1:
        return replace(_open_path(paths[0], options), path=shown)
    return join_files(shown, paths, lambda path: _open_path(path, options))


def _open_path(path: Path, options: Options) -> Checkpoint:
    head = _head(path)
    for loader in LOADERS.values():
        if loader.sniff(path, head):
            _check_root(loader, path, options)
            return _note_extension(_named(loader.load(path, options)), path, loader)
    claimed = [loader for loader in LOADERS.values() if path.suffix.lower() in loader.extensions]
    if claimed and not path.is_dir():
        # Nothing recognises the content: let the format it claims to be say what is wrong.
        return claimed[0].load(path, options)
    known = ", ".join(LOADERS)
    broken = "".join(
        f"; {LOADERS.noun} {name!r} cannot be used: {printable(reason)}"
        for name, reason in LOADERS.broken.items()
    )
    raise UnknownFormatError(
        f"{printable(path)}: the content is of no known format; expected one of: {known}{broken}"
    )


def _check_root(loader: Loader, path: Path, options: Options) -> None:
    if options.root is not None and not getattr(loader, "nested", False):
        raise SpecError(
            f"{printable(path)}: the root {printable(options.root)!r} was given, and this format "
            "does not nest its tensors; choose them by --include"
        )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, none of a folder, and refuse what is neither."""
    if path.is_dir():
        return b""
    if isinstance(path, UrlPath):
        with opened(path) as source:
            head = source.read(0, min(source.size(), HEAD)).tobytes()
            source.close()
            return head
    if not path.exists():
        what = "a link to a file that is not there" if path.is_symlink() else "no such file"
        raise CheckpointNotFoundError(f"{printable(path)}: {what}; check the path")
    if not path.is_file():
        raise CheckpointError(f"{printable(path)}: neither a file nor a folder; copy it to a file")
    source = FileSource(path)
    try:
        size = source.size()
        if size == 0:
            raise CorruptCheckpointError(f"{printable(path)}: the file is empty; copy it again")
        return source.read(0, min(size, HEAD)).tobytes()
    finally:
        source.close()


def _named(checkpoint: Checkpoint) -> Checkpoint:
    """Refuse a name with a lone surrogate, which is no character: nothing could store it."""
    for name in checkpoint:
        try:
            name.encode()
        except UnicodeEncodeError:
            checkpoint.close()
            raise CorruptCheckpointError(
                f"{printable(checkpoint.path)}: the name {shorten(name)} is no text; rename it"
            ) from None
    return checkpoint


def _note_extension(checkpoint: Checkpoint, path: Path, loader: Loader) -> Checkpoint:
    if path.is_dir() or not path.suffix or path.name.lower().endswith(loader.extensions):
        return checkpoint
    note = (
        f"{printable(path.name)} is {checkpoint.format} by its content, "
        f"whatever its extension {printable(path.suffix)} says"
    )
    return replace(checkpoint, notes=(*checkpoint.notes, note))


#: Every file format by the name that ``Checkpoint.format`` shows, in the order they are asked.
LOADERS: Registry[Loader] = Registry("kcomplexity.loaders", "file format", check_loader)

_ZIP = b"PK\x03\x04"
LOADERS.register("mosaic", MosaicLoader())
LOADERS.register("safetensors", SafetensorsLoader())
LOADERS.register("zarr", Deferred("zarr", "ZarrLoader", folders=True))
LOADERS.register("sharded", ShardedLoader())
LOADERS.register("npz", NpzLoader())
LOADERS.register("npy", NpyLoader())
LOADERS.register(
    "pytorch", Deferred("pytorch", "PytorchLoader", heads=(_ZIP, b"\x80\x02", b"sys_info"))
)
LOADERS.register("hdf5", Deferred("hdf5", "Hdf5Loader", heads=(_ZIP, b"\x89HDF")))
LOADERS.register("onnx", Deferred("onnx", "OnnxLoader", suffixes=(".onnx",)))
LOADERS.register("gguf", Deferred("gguf", "GgufLoader", heads=(b"GGUF",)))
LOADERS.register("tflite", Deferred("tflite", "TfliteLoader", heads=(b"TFL3",), at=4))
LOADERS.register("flax", Deferred("flax", "FlaxLoader", suffixes=(".msgpack",)))
