"""Tensors whose bytes are put in order as they are read: deflated, big-endian, Fortran-order.

They are not addressable, so each is copied once to a temporary file before it is measured.
"""

from __future__ import annotations

import math
import mmap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import OutputError
from kcomplexity.files.sources import Bytes, buffer_for
from kcomplexity.files.streams import ByteStream
from kcomplexity.loaders.arrays import little
from kcomplexity.loaders.slabs import slabs
from kcomplexity.tensors.checkpoint import Tensor

#: Bytes that are reordered at once, and bytes of the copy that are written to at once.
_BLOCK = 32 << 20


@dataclass(frozen=True)
class StreamedTensor(Tensor):
    """Row-major values in a stream of bytes, from `offset` on, in the byte order of `stored_as`."""

    stream: ByteStream = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)
    stored_as: np.dtype[Any] = field(kw_only=True)

    addressable = False

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        size = self.stored_as.itemsize
        raw = self.stream.read(self.offset + start * size, (stop - start) * size, out)
        return _to_little(raw, self.stored_as)

    def sample(self) -> Iterator[Bytes]:
        # Without reading the stream to its end.
        return self.stream.sample()


@dataclass(eq=False)
class TransposedCopy:
    """A row-major, little-endian copy of a Fortran-order array, in a temporary file while in use.

    The array is read once, on first use, in its own order, and each block is written where it
    belongs; memory stays bounded whatever the shape. The copy is let go when its last value has
    been read, so that a checkpoint of many of them does not fill the disk.
    """

    stream: ByteStream
    #: Of the first value in the stream.
    offset: int
    #: In the stream's byte order.
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    #: What it is and in which file, printable, for error messages.
    where: str

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def __reduce__(self) -> tuple[type[TransposedCopy], tuple[object, ...]]:
        return TransposedCopy, (self.stream, self.offset, self.dtype, self.shape, self.where)

    def __del__(self) -> None:
        self._drop()

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, start: int, n_bytes: int, out: Bytes | None = None) -> Bytes:
        buffer = buffer_for(n_bytes, out)
        if not n_bytes:
            return buffer
        with self._lock:
            if self._file is None:
                self._file = self._lay_out()
            self._file.seek(start)
            self._file.readinto(buffer.data)  # type: ignore[attr-defined]
            if start + n_bytes == self.size:
                self._drop()
        return buffer

    def sample(self) -> Iterator[Bytes]:
        return self.stream.sample()

    def _lay_out(self) -> IO[bytes]:
        file = self._reserve(self.size)
        size, n = self.dtype.itemsize, math.prod(self.shape)
        step = max(_BLOCK // size, 1)
        try:
            for start in range(0, n, step):
                count = min(step, n - start)
                block = self.stream.read(self.offset + start * size, count * size)
                self._place(_to_little(block, self.dtype).view(little(self.dtype)), start, file)
        except BaseException:
            file.close()
            raise
        return file

    def _reserve(self, n_bytes: int) -> IO[bytes]:
        from tempfile import TemporaryFile, gettempdir

        file = TemporaryFile(prefix="kcomplexity-")  # noqa: SIM115 - open while the copy is in use
        # Written, not merely made long: to write through a mapping when the disk is full kills
        # the process, while a write says so.
        zeros = bytes(min(n_bytes, 1 << 20))
        try:
            for at in range(0, n_bytes, len(zeros)):
                file.write(zeros[: n_bytes - at])
            file.flush()
        except OSError as error:
            file.close()
            raise OutputError(
                f"{self.where}: the row-major copy of a Fortran-order array needs {n_bytes} "
                f"bytes in {gettempdir()}: {error.strerror}; make room or set TMPDIR"
            ) from None
        return file

    def _place(self, block: NDArray[Any], start: int, file: IO[bytes]) -> None:
        """Write values `start` onwards in Fortran order to where they are in row-major order."""
        mapped = mmap.mmap(file.fileno(), 0)
        values: NDArray[Any] = np.frombuffer(mapped, block.dtype)
        rows = max(_BLOCK * self.shape[0] // values.nbytes, 1)
        at = 0
        transposed = values.reshape(self.shape).T
        for slab in slabs(transposed.shape, start, start + block.size):
            part = transposed[slab]
            ordered = block[at : at + part.size].reshape(part.shape)
            for row in range(0, part.shape[-1], rows):
                part[..., row : row + rows] = ordered[..., row : row + rows]
                # What was written stays in the file; mapped, it would count as our memory.
                if hasattr(mapped, "madvise"):
                    mapped.madvise(mmap.MADV_DONTNEED)
            at += part.size

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _to_little(raw: Bytes, dtype: np.dtype[Any]) -> Bytes:
    """Turn bytes stored as `dtype` into little-endian ones, in place."""
    if dtype != little(dtype):
        raw[...] = raw.view(dtype).astype(little(dtype)).view(np.uint8)
    return raw
