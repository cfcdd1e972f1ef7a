"""File formats: one module each; :mod:`kcomplexity.loaders.base` tells the contract."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kcomplexity.checkpoint import Checkpoint, FileSource
from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    UnknownFormatError,
)
from kcomplexity.loaders.base import HEAD, Loader, Options
from kcomplexity.loaders.mapping import from_mapping
from kcomplexity.loaders.mosaic import MosaicLoader
from kcomplexity.loaders.npy import NpyLoader
from kcomplexity.loaders.npz import NpzLoader
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.loaders.sharded import ShardedLoader
from kcomplexity.registry import Registry
from kcomplexity.text import printable

__all__ = ["LOADERS", "Loader", "Options", "open_checkpoint"]


def open_checkpoint(
    source: str | os.PathLike[str] | Mapping[str, Any] | Checkpoint,
    *,
    dtypes: Mapping[str, str] | None = None,
    stored: bool = False,
) -> Checkpoint:
    """Open a checkpoint, reading its headers only.

    Parameters
    ----------
    source : path, mapping of str to array, or Checkpoint
        A file in any format of :data:`LOADERS`, whatever its extension; a folder of shards or
        their index; or arrays in memory under their names (NumPy, or anything with ``__array__``
        or DLPack; contiguous little-endian ones are not copied, nested mappings are joined with
        dots). A Checkpoint is returned as it is.
    dtypes : mapping of str to str, optional
        Glob on tensor names -> dtype code of safetensors, for files that do not say what their
        values are: ``{"*.weight": "F8_E4M3"}``. It must be as wide as what is stored.
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
    options = Options(dict(dtypes or {}), stored)
    if isinstance(source, Checkpoint):
        checkpoint = source
    elif isinstance(source, Mapping):
        checkpoint = from_mapping(source)
    elif isinstance(source, str | os.PathLike):
        checkpoint = _open_path(Path(source), options)
    else:
        raise CheckpointError(
            f"a {type(source).__name__} was given as a checkpoint; "
            "expected a path or a mapping of names to arrays"
        )
    return options.apply(checkpoint) if options.dtypes else checkpoint


def _open_path(path: Path, options: Options) -> Checkpoint:
    head = _head(path)
    for loader in LOADERS.values():
        if loader.sniff(path, head):
            return _note_extension(loader.load(path, options), path, loader)
    claimed = [loader for loader in LOADERS.values() if path.suffix.lower() in loader.extensions]
    if claimed and not path.is_dir():
        # Nothing recognises the content: let the format it claims to be say what is wrong.
        return claimed[0].load(path, options)
    known = ", ".join(LOADERS)
    raise UnknownFormatError(
        f"{printable(path)}: the content is of no known format; expected one of: {known}"
    )


def _head(path: Path) -> bytes:
    """Return the first bytes of a file, none of a folder, and refuse what is neither."""
    if path.is_dir():
        return b""
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


def _note_extension(checkpoint: Checkpoint, path: Path, loader: Loader) -> Checkpoint:
    if path.is_dir() or not path.suffix or path.name.lower().endswith(loader.extensions):
        return checkpoint
    note = (
        f"{printable(path.name)} is {checkpoint.format} by its content, "
        f"whatever its extension {printable(path.suffix)} says"
    )
    return replace(checkpoint, notes=(*checkpoint.notes, note))


#: Every file format by the name that ``Checkpoint.format`` shows, in the order they are asked.
LOADERS: Registry[Loader] = Registry("kcomplexity.loaders", "file format")

LOADERS.register("mosaic", MosaicLoader())
LOADERS.register("safetensors", SafetensorsLoader())
LOADERS.register("sharded", ShardedLoader())
LOADERS.register("npz", NpzLoader())
LOADERS.register("npy", NpyLoader())
