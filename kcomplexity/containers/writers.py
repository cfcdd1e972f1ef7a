"""The one writer of ``.safetensors`` files: whole or not at all, the same bytes every time.

Metadata are sorted, tensors keep the order they are given in, the header is padded to eight bytes
with spaces, as the safetensors library does it. Files go to a temporary name in the same folder
and are renamed when they are complete.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from kcomplexity.errors import KComplexityError, OutputError, SpecError
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import plural, printable

__all__ = [
    "FileLayout",
    "atomic_file",
    "check_writable",
    "header_bytes",
    "refuse_input",
    "refuse_paths",
    "successor",
    "write_dense",
    "write_safetensors",
]

RESERVED = "__metadata__"


@dataclass(frozen=True)
class FileLayout:
    """One file of a dense checkpoint.

    Attributes
    ----------
    name : str
        Relative to the checkpoint's folder.
    tensors : tuple of str
        Their names, in file-offset order.
    metadata : dict of str to str
    """

    name: str
    tensors: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when all is written.

    Links are followed. The result has the mode that any new file would have.

    Raises
    ------
    OutputError
        If it cannot be written; what was at `path` before is left as it was.
    """
    with successor(path) as (temporary, target):
        with temporary.open("wb") as file:
            yield file
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)


@contextmanager
def successor(path: Path) -> Iterator[tuple[Path, Path]]:
    """Give an empty file, and the one beside it that it may replace; remove it if it does not.

    Raises
    ------
    OutputError
        If no file can be made beside `path`, or `path` is something else than a file.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OutputError(
            f"cannot write {printable(path)}: it is no file; name one that may be replaced"
        )
    try:
        handle, name = tempfile.mkstemp(prefix=".kcomplexity-", dir=target.parent)
        os.close(handle)
        try:
            yield Path(name), target
        finally:
            Path(name).unlink(missing_ok=True)
    except KComplexityError:
        raise
    except OSError as error:
        absent = "" if target.parent.is_dir() else f"; there is no folder {target.parent}"
        raise OutputError(
            f"cannot write {printable(path)}: {error.strerror or error}{printable(absent)}"
        ) from error


def check_writable(path: Path) -> None:
    """Say at once if a file could not be written: hours of work should not end in that.

    Raises
    ------
    OutputError
        If no file can be made beside `path`, or `path` is something else than a file.
    """
    with successor(path):
        pass


def write_safetensors(
    path: Path, tensors: Sequence[Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to one file, a piece at a time.

    Raises
    ------
    OutputError
        If a dtype has no code in safetensors, or the file cannot be written.
    """
    header = header_bytes(tensors, metadata or {})
    with atomic_file(path) as file:
        file.write(header)
        for tensor in tensors:
            for piece in tensor.pieces():
                file.write(piece)


def write_dense(
    path: Path, checkpoint: Checkpoint, files: Sequence[FileLayout], index: Any
) -> None:
    """Write a checkpoint as one file, or as a folder of shards with their index.

    Parameters
    ----------
    path : Path
        The file, or the folder: it must not be there yet.
    checkpoint : Checkpoint
    files : sequence of FileLayout
    index : dict or None
        ``{"name": ..., "metadata": {...}}`` of the index; None for a single file.

    Raises
    ------
    OutputError
        If it cannot be written; nothing half-written is left.
    SpecError
        If the name is of a file and there are shards, or the other way round.
    """
    is_file = path.suffix.lower() == ".safetensors"
    if index is None and len(files) == 1:
        if not is_file:
            raise SpecError(f"{printable(path)}: expected a name that ends in .safetensors")
        (only,) = files
        write_safetensors(path, [checkpoint[name] for name in only.tensors], only.metadata)
        return
    if is_file:
        raise SpecError(
            f"{printable(path)}: {plural(len(files), 'shard')} and their index are to be written: "
            "expected the name of a folder"
        )
    if path.exists():
        raise OutputError(
            f"{printable(path)} is there already, and a folder of shards is written anew: "
            "remove it or give another name"
        )
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise OutputError(f"cannot write {printable(path)}: {error.strerror or error}") from error
    try:
        for file in files:
            tensors = [checkpoint[name] for name in file.tensors]
            write_safetensors(folder / file.name, tensors, file.metadata)
        if index is not None:
            weight_map = {name: file.name for file in files for name in file.tensors}
            document = {"metadata": index["metadata"], "weight_map": weight_map}
            text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
            with atomic_file(folder / index["name"]) as out:
                out.write(text.encode())
        folder.chmod(0o777 & ~_umask())
        folder.replace(path)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {printable(path)}: {error.strerror or error}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def refuse_input(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse to write over what is being read.

    Raises
    ------
    OutputError
        If `path` is one of the checkpoint's files, its index or its folder.
    """
    from kcomplexity.loaders.sharded import SUFFIX

    given = Path(checkpoint.path)
    taken = {source.path.resolve() for source in checkpoint.sources} | {given.resolve()}
    taken |= {source.path.resolve().parent for source in checkpoint.sources if path.is_dir()}
    if checkpoint.format == "sharded" and given.is_dir():
        taken |= {index.resolve() for index in given.glob(f"*{SUFFIX}")}
    refuse_paths(path, taken)


def refuse_paths(path: Path, taken: Iterable[Path]) -> None:
    """Refuse to write over one of the files that are read, by whatever name or link.

    Raises
    ------
    OutputError
        If `path` is one of `taken`.
    """
    same = (other for other in taken if path.exists() and other.exists() and path.samefile(other))
    if next(same, None) is not None:
        raise OutputError(f"{printable(path)} is the input: give the output another name")


def header_bytes(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the 8-byte length and the header of a file that holds `tensors` in their order.

    Raises
    ------
    OutputError
        If a dtype has no code in safetensors, or a name is the reserved one or there twice.
    """
    entries: dict[str, Any] = {}
    if metadata:
        entries[RESERVED] = dict(sorted(metadata.items()))
    at = 0
    for tensor in tensors:
        if tensor.dtype.code not in DTYPES:
            raise OutputError(
                f"{printable(tensor.name)}: safetensors has no dtype for {tensor.dtype.code}"
                f"{tensor.dtype.refusal and ': ' + tensor.dtype.refusal}"
            )
        if tensor.name in entries or tensor.name == RESERVED:
            raise OutputError(f"{printable(tensor.name)}: the name cannot be used: it is taken")
        offsets = [at, at + tensor.n_bytes]
        entries[tensor.name] = {
            "dtype": tensor.dtype.code,
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        at = offsets[1]
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
