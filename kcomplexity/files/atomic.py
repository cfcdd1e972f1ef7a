"""Writing files whole or not at all: to a temporary file in the same folder, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from kcomplexity.errors import KComplexityError, OutputError
from kcomplexity.text import printable


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that replaces `path` when the block ends without an error.

    Links are followed. The result has the mode that any new file would have. Where it cannot be
    written, OutputError is raised and what was at `path` is left as it was.
    """
    with temporary_beside(path) as (temporary, target):
        with temporary.open("wb") as file:
            yield file
        set_default_mode(temporary, 0o666)
        temporary.replace(target)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path`, as :func:`atomic_file` does."""
    with atomic_file(path) as file:
        file.write(data)


@contextmanager
def temporary_beside(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield an empty temporary file and the file in the same folder that it may replace.

    The temporary file is removed at the end if it has not been renamed. OutputError is raised if
    none can be created there, or `path` exists and is not a file.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OutputError(
            f"cannot write {printable(path)}: it is not a file; name one that may be replaced"
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
    """Raise OutputError if no file can be written, before hours of work depend on it."""
    with temporary_beside(path):
        pass


def refuse_paths(path: Path, taken: Iterable[Path]) -> None:
    """Raise OutputError if `path` is one of the files that are read, under any name or link."""
    if any(path.exists() and other.exists() and path.samefile(other) for other in taken):
        raise OutputError(f"{printable(path)} is the input: give the output another name")


def set_default_mode(path: Path, mode: int) -> None:
    """Give a file or folder `mode` less the umask, where temporary ones are the owner's alone."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(mode & ~mask)
