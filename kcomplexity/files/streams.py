"""Runs of bytes, in a file or in a deflated zip member, read by range."""

from __future__ import annotations

import errno
import io
import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Protocol

import numpy as np

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.sources import Bytes, FileSource, buffer_for
from kcomplexity.text import printable

_CHUNK = 1 << 18


class ByteStream(Protocol):
    """A run of bytes; cheap to pickle."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, start: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        """Return `n_bytes` bytes from `start`, in `out` if there is one."""

    def sample(self) -> Iterator[Bytes]:
        """Yield bytes that distinguish this run from others, without reading all of it."""


@dataclass(frozen=True)
class StoredBytes:
    """Bytes that are stored as they are in a file."""

    source: FileSource
    offset: int
    size: int

    def read(self, start: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        return self.source.read(self.offset + start, n_bytes, out)

    def sample(self) -> Iterator[Bytes]:
        """Yield up to 16 runs of 4 KiB, spread evenly."""
        run = 4096
        if self.size <= 16 * run:
            yield self.read(0, self.size)
            return
        for i in range(16):
            yield self.read((self.size - run) * i // 15, run)


@dataclass(frozen=True)
class JoinedBytes:
    """Separate runs of bytes, read as one."""

    parts: tuple[StoredBytes, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def read(self, start: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        buffer = buffer_for(n_bytes, out)
        done, at = 0, 0
        for part in self.parts:
            skip = start + done - at
            n = min(part.size - skip, n_bytes - done)
            if n > 0:
                part.read(skip, n, buffer[done : done + n])
                done += n
            at += part.size
        return buffer

    def sample(self) -> Iterator[Bytes]:
        return chain.from_iterable(part.sample() for part in self.parts)


def whole_file(source: FileSource) -> StoredBytes:
    """Return all bytes of a file as a stream."""
    return StoredBytes(source, 0, source.size())


@dataclass(eq=False)
class DeflatedBytes:
    """A deflated zip member, inflated forwards a chunk at a time and never held whole.

    Reading on from where the last read ended costs that range alone; going back starts over.
    """

    source: FileSource
    #: Of the member, for messages.
    name: str
    #: Where the deflated bytes lie in the file.
    offset: int
    compressed_size: int
    #: Length and checksum of the inflated bytes by the zip's directory. The checksum is compared
    #: when the last byte is reached.
    size: int
    crc: int

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._restart()

    def __reduce__(self) -> tuple[type[DeflatedBytes], tuple[object, ...]]:
        return DeflatedBytes, tuple(getattr(self, field.name) for field in fields(self))

    def read(self, start: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        buffer = buffer_for(n_bytes, out)
        with self._lock:
            if start < self._at:
                self._restart()
            try:
                while self._at < start:
                    self._inflate(min(_CHUNK, start - self._at))
                view, done = buffer.data, 0
                while done < n_bytes:
                    data = self._inflate(min(_CHUNK, n_bytes - done))
                    view[done : done + len(data)] = data
                    done += len(data)
            except (zlib.error, CorruptCheckpointError) as error:
                self._restart()
                raise CorruptCheckpointError(
                    f"{printable(self.source.path)}: the bytes of member {printable(self.name)} "
                    f"are damaged: {printable(error)}; copy the file again"
                ) from None
        return buffer

    def sample(self) -> Iterator[Bytes]:
        # Checksum and length: nothing needs inflating.
        yield np.array([self.crc, self.size], "<u8").view(np.uint8)

    def _restart(self) -> None:
        self._at = self._taken = self._sum = 0
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def _inflate(self, limit: int) -> bytes:
        """Return the next 1 to `limit` bytes; at the end compare the checksum."""
        data = b""
        while not data:
            fresh = self._inflater.unconsumed_tail or self._fetch()
            data = self._inflater.decompress(fresh, limit)
            if not data and (self._inflater.eof or not fresh):
                raise CorruptCheckpointError(f"they end after {self._at} of {self.size} bytes")
        self._at += len(data)
        self._sum = zlib.crc32(data, self._sum)
        if self._at == self.size and self._sum != self.crc:
            raise CorruptCheckpointError("their checksum is wrong")
        return data

    def _fetch(self) -> bytes:
        n = min(_CHUNK, self.compressed_size - self._taken)
        data = self.source.read(self.offset + self._taken, n)
        self._taken += n
        return data.tobytes()


class StreamFile(io.RawIOBase):
    """A file object over a stream, for libraries that expect one; the stream stays open."""

    def __init__(self, stream: ByteStream) -> None:
        super().__init__()
        self._stream = stream
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._stream.size}[whence]
        if start + offset < 0:
            # As a file does: zipfile relies on the error.
            raise OSError(errno.EINVAL, f"a seek to byte {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n = max(min(len(view), self._stream.size - self._at), 0)
        self._stream.read(self._at, n, np.frombuffer(view, np.uint8))
        self._at += n
        return n

    def read(self, n: int | None = -1) -> bytes:
        # The base class allocates all that is asked for, and a hostile file decides how much.
        left = max(self._stream.size - self._at, 0)
        n_bytes = left if n is None or n < 0 else min(n, left)
        data = self._stream.read(self._at, n_bytes).tobytes()
        self._at += n_bytes
        return data
