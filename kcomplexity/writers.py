"""The one writer of ``.safetensors`` files: whole or not at all, the same bytes every time.

Metadata are sorted, tensors keep the order they are given in, the header is padded to eight bytes
with spaces, as the safetensors library does it. Files go to a temporary name in the same folder
and are renamed when they are complete.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from kcomplexity.checkpoint import Checkpoint, Tensor
from kcomplexity.dtypes import DTYPES
from kcomplexity.errors import OutputError
from kcomplexity.parallel import FRAME
from kcomplexity.text import printable

__all__ = ["atomic_file", "header_bytes", "refuse_input", "write_safetensors"]

RESERVED = "__metadata__"


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when all is written.

    Raises
    ------
    OutputError
        If it cannot be written; what was at `path` before is left as it was.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            # mkstemp makes private files; a result has the mode any new file would have.
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {printable(path)}: {error.strerror or error}") from error


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
            for piece in pieces(tensor):
                file.write(piece)


def refuse_input(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse to write over what is being read.

    Raises
    ------
    OutputError
        If `path` is one of the checkpoint's files or its folder.
    """
    taken = {source.path.resolve() for source in checkpoint.sources}
    taken |= {source.path.resolve().parent for source in checkpoint.sources if path.is_dir()}
    if path.resolve() in taken:
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
                f"{printable(tensor.name)}: safetensors has no dtype for {tensor.dtype.code}: "
                f"{tensor.dtype.refusal}"
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


def pieces(tensor: Tensor) -> Iterable[memoryview]:
    """Yield the stored bytes of a tensor, at most a frame at a time."""
    for start in range(0, tensor.n_weights, FRAME):
        yield tensor.raw(start, min(start + FRAME, tensor.n_weights)).data


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
