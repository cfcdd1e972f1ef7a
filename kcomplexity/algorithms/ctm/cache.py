"""Converted tables in the user's cache folder, mapped from there by later processes."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from kcomplexity.algorithms.ctm.source import CtmSource
from kcomplexity.algorithms.ctm.table import Bits, Codes

# File: this header, then the keys (little-endian int64), then the values (little-endian float64).
# The magic ends in the version of the layout; the last field is the CRC-32 of all that follows.
_MAGIC: Final = b"kc-ctm\x00\x01"
_HEADER: Final = struct.Struct("<8sQQ")


def ctm_cache_folder() -> Path:
    """Return the folder of converted tables: in ``$KCOMPLEXITY_CACHE`` or the user's own."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("KCOMPLEXITY_CACHE")
    return (Path(chosen) if chosen else user_cache_path("kcomplexity", appauthor=False)) / "ctm"


def stored_path(source: CtmSource) -> Path:
    """Return where a converted table lies, if it has been stored."""
    return ctm_cache_folder() / f"ctm-{source.name}-v{_MAGIC[-1]}-{source.sha256[:16]}.bin"


def load_stored(path: Path) -> tuple[Codes, Bits] | None:
    """Map a stored table; ``None`` where there is none, or where it is damaged."""
    try:
        content = np.memmap(path, dtype=np.uint8, mode="r")
    except (OSError, ValueError):  # ValueError: an empty file cannot be mapped
        return None
    if content.size < _HEADER.size:
        return None
    magic, n_entries, checksum = _HEADER.unpack(content[: _HEADER.size].tobytes())
    body = np.asarray(content)[_HEADER.size :]
    if magic != _MAGIC or body.size != 16 * n_entries or zlib.crc32(body.data) != checksum:
        return None
    return body[: 8 * n_entries].view("<i8"), body[8 * n_entries :].view("<f8")


def store(path: Path, keys: Codes, values: Bits) -> None:
    """Keep a table for the next process, if the folder can be written.

    Whoever loses a race replaces the winner's file by an equal one. Readers only ever see a whole
    file, since a rename within a folder is atomic.
    """
    import tempfile

    body = keys.astype("<i8").tobytes() + values.astype("<f8").tobytes()
    header = _HEADER.pack(_MAGIC, keys.size, zlib.crc32(body))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(header + body)
                file.close()  # Windows renames closed files only
                temporary.replace(path)
            except BaseException:
                file.close()
                temporary.unlink(missing_ok=True)
                raise
    except OSError:
        # A read-only or full cache costs time in the next process, never a figure in this one.
        return
