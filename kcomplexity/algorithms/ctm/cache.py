"""A table by its alphabet: from the user's cache folder, else from pybdm's package.

Later processes map a converted table from that folder.
"""

from __future__ import annotations

import os
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from kcomplexity.algorithms.ctm.source import (
    CTM_SOURCES,
    CtmSource,
    flatten,
    read_pickle,
    source_bytes,
)
from kcomplexity.algorithms.ctm.table import Bits, Codes, CtmTable
from kcomplexity.errors import SpecError

# File: this header, then the keys (little-endian int64), then the values (little-endian float64).
# The magic ends in the version of the layout; the last field is the CRC-32 of all that follows.
_MAGIC: Final = b"kc-ctm\x00\x01"
_HEADER: Final = struct.Struct("<8sQQ")


def ctm_table(n_symbols: int = 2, ndim: int = 1) -> CtmTable:
    """Return the CTM table for an alphabet.

    Parameters
    ----------
    n_symbols : {2, 4, 5, 6, 9}
        Size of the alphabet.
    ndim : {1, 2}
        1 for strings of up to 12 symbols; 2 for square blocks of side 1 to 4 (two symbols only).

    Returns
    -------
    CtmTable
        Kept for the life of the process.

    Raises
    ------
    SpecError
        There is no such table.
    CtmTableError
        pybdm is not installed, or its tables are not those of version 0.1.0.

    Notes
    -----
    A table of more than two symbols takes seconds and some hundred megabytes once; it is then
    mapped from a file in :func:`ctm_cache_folder`. A damaged file is rebuilt; where none can be
    written the table is converted anew in each process.

    Examples
    --------
    >>> import numpy as np
    >>> values, known = ctm_table().lookup(np.array([0b0, 0b111111111111]), 12)
    >>> values
    array([25.6104..., 25.6104...])
    """
    if (n_symbols, ndim) not in CTM_SOURCES:
        there_are = ", ".join(str(n) for n, d in CTM_SOURCES if d == ndim)
        raise SpecError(
            f"no CTM table for n_symbols={n_symbols} in {ndim} dimension(s); there are tables for "
            f"{there_are or 'one and two dimensions only'}. Map the weights to one of those "
            "alphabets, for instance with the views sign (2 symbols) or l9 (9 symbols)"
        )
    return _load(n_symbols, ndim)


@lru_cache
def _load(n_symbols: int, ndim: int) -> CtmTable:
    source = CTM_SOURCES[n_symbols, ndim]
    # Reading the tables of two symbols takes milliseconds; the others are worth a file.
    path = _stored_path(source) if n_symbols > 2 else None
    entries = _load_stored(path) if path else None
    if entries is None:
        entries = flatten(read_pickle(source_bytes(source)), n_symbols)
        if path:
            _store(path, *entries)
    return CtmTable(source.name, n_symbols, ndim, *entries)


def ctm_cache_folder() -> Path:
    """Return the folder of converted tables: in ``$KCOMPLEXITY_CACHE`` or the user's own."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("KCOMPLEXITY_CACHE")
    return (Path(chosen) if chosen else user_cache_path("kcomplexity", appauthor=False)) / "ctm"


def _stored_path(source: CtmSource) -> Path:
    """Return where a converted table lies, if it has been stored."""
    return ctm_cache_folder() / f"ctm-{source.name}-v{_MAGIC[-1]}-{source.sha256[:16]}.bin"


def _load_stored(path: Path) -> tuple[Codes, Bits] | None:
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


def _store(path: Path, keys: Codes, values: Bits) -> None:
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
