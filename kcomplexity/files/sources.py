"""Files read by byte ranges: the only way in which this package reads a checkpoint."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import CheckpointError, CheckpointNotFoundError, CorruptCheckpointError
from kcomplexity.text import printable

Bytes = NDArray[np.uint8]


class FileSource:
    """One open file, read by ranges; safe to share between threads, cheap to pickle.

    Where ``os.preadv`` is missing (Windows) a lock guards seek and read. A pickled source holds the
    path and opens it again on first use, so it can be sent to another process.
    """

    #: Whether any range can be read at the cost of that range alone.
    local = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._closed = False

    def __reduce__(self) -> tuple[type[FileSource], tuple[Path]]:
        # Absolute: the other process may have another current folder.
        return FileSource, (self.path.absolute(),)

    def size(self) -> int:
        """Size of the file in bytes, now."""
        return self.status().st_size

    def status(self) -> os.stat_result:
        """Return the status of the open file now, even if another file has taken its path."""
        return os.fstat(self._descriptor())

    def read(self, offset: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        """Read exactly `n_bytes` from `offset`, into `out` if there is one.

        Raises
        ------
        CorruptCheckpointError
            If the file ends first: it was cut since it was opened.
        """
        buffer = buffer_for(n_bytes, out)
        view, done = buffer.data, 0
        while done < n_bytes:
            got = self._read_into(view[done:], offset + done)
            if got == 0:
                raise CorruptCheckpointError(
                    f"{printable(self.path)}: the file ends at byte {offset + done}, while "
                    f"{n_bytes} bytes from {offset} were expected; it was cut since it was opened"
                )
            done += got
        return buffer

    def close(self) -> None:
        """Close the file; further reads raise CheckpointError."""
        with self._lock:
            self._closed = True
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _check_open(self) -> None:
        if self._closed:
            shown = printable(self.path)
            raise CheckpointError(f"{shown}: the checkpoint was closed; open it again")

    def _descriptor(self) -> int:
        if self._fd is None:
            with self._lock:
                self._check_open()
                if self._fd is None:
                    self._fd = _open(self.path)
        return self._fd

    def _read_into(self, view: memoryview, offset: int) -> int:
        fd = self._descriptor()
        if hasattr(os, "preadv"):
            return os.preadv(fd, [view], offset)
        with self._lock:
            os.lseek(fd, offset, os.SEEK_SET)
            data = os.read(fd, len(view))
        view[: len(data)] = data
        return len(data)

    def __del__(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


def buffer_for(n_bytes: int, out: Bytes | None) -> Bytes:
    """Return the first `n_bytes` of `out`, or a new array where there is none."""
    return np.empty(n_bytes, np.uint8) if out is None else out[:n_bytes]


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"{printable(path)}: no such file; check the path") from None
    except OSError as error:
        raise CheckpointError(f"{printable(path)}: cannot be opened: {error.strerror}") from None
