"""Open a checkpoint: find the loader by the content of the file, and check what it returns."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
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
from kcomplexity.files.opening import open_source
from kcomplexity.files.urls import UrlPath
from kcomplexity.loaders.base import HEAD, LOADERS, Loader, Options
from kcomplexity.loaders.mapping import from_mapping
from kcomplexity.loaders.quantised import with_codes
from kcomplexity.loaders.sharded import join_files
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import printable, shorten

#: What is one checkpoint on its own.
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
        cache; a URL, read by range; or arrays in memory under their names (NumPy, or anything
        with ``__array__`` or DLPack; contiguous little-endian ones are not copied, nested mappings
        are joined with dots). A Checkpoint is returned as it is.
    dtypes : mapping of str to str, optional
        Glob on tensor names -> dtype code of safetensors, for files that do not say what their
        values are: ``{"*.weight": "F8_E4M3"}``. It must be as wide as what is stored.
    root : str, optional
        In a file that nests its tensors (PyTorch, HDF5), the keys of the part to read, joined
        with dots: ``"ema.state_dict"``. ``"."`` reads everything. By default the weights are
        chosen by rules, which the checkpoint's notes report.
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
    # Codes of an open checkpoint were recognised when it was opened.
    return checkpoint if isinstance(source, Checkpoint) else with_codes(checkpoint)


def _open_located(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], options: Options
) -> Checkpoint:
    parts: Sequence[Any] = source if isinstance(source, list | tuple) else [source]
    if not parts or not all(isinstance(part, str | os.PathLike) for part in parts):
        raise CheckpointError(
            f"a {type(source).__name__} is not a checkpoint; expected a path or a mapping of "
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
            return _note_extension(_with_valid_names(loader.load(path, options)), path, loader)
    claimed = [loader for loader in LOADERS.values() if path.suffix.lower() in loader.extensions]
    if claimed and not path.is_dir():
        # Nothing recognises the content: the format that the ending claims says what is wrong.
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
    """Return the first bytes of a file, none of a folder; raise if it is neither."""
    if path.is_dir():
        return b""
    if not isinstance(path, UrlPath):
        if not path.exists():
            what = "a link to a file that is not there" if path.is_symlink() else "no such file"
            raise CheckpointNotFoundError(f"{printable(path)}: {what}; check the path")
        if not path.is_file():
            raise CheckpointError(
                f"{printable(path)}: neither a file nor a folder; copy it to a file"
            )
    with closing(open_source(path)) as source:
        size = source.size()
        if size == 0:
            raise CorruptCheckpointError(f"{printable(path)}: the file is empty; copy it again")
        return source.read(0, min(size, HEAD)).tobytes()


def _with_valid_names(checkpoint: Checkpoint) -> Checkpoint:
    """Refuse a name with a lone surrogate, which is not a character and cannot be stored."""
    for name in checkpoint:
        try:
            name.encode()
        except UnicodeEncodeError:
            checkpoint.close()
            raise CorruptCheckpointError(
                f"{printable(checkpoint.path)}: the name {shorten(name)} is not text; rename it"
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
