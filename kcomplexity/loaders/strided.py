"""Strided windows on values in a file: transposed, sliced or repeated, read in row-major order."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.files.sources import Bytes, FileSource, buffer_for
from kcomplexity.files.streams import StoredBytes
from kcomplexity.loaders.slabs import copy_range
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.text import printable, shorten

#: A file on a server cannot be mapped: the window is in memory while a range is gathered.
_MOST_DOWNLOADED = 256 << 20


@dataclass(frozen=True)
class StridedWindow(Tensor):
    """Values that lie in a file at regular steps, not one after the other.

    A range is gathered through a mapping of the window that lasts as long as the read, so no copy
    of the window is ever held; the caller has checked that it lies within the file.

    Attributes
    ----------
    source : FileSource
    offset : int
        Of the first value, in bytes.
    strides : tuple of int
        Steps in values, none negative.
    span : int
        Values from the first to the last that the window shows.
    """

    source: FileSource = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)
    strides: tuple[int, ...] = field(kw_only=True)
    span: int = field(kw_only=True)

    addressable = False

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        size = self.dtype.bits // 8
        n_bytes = (stop - start) * size
        buffer = buffer_for(n_bytes, out)
        if not n_bytes:
            return buffer
        # As bytes: what the values mean does not matter, and any width has strides.
        box = self._window(size).__getitem__
        copy_range(box, self.shape, start, stop, buffer.view(f"V{size}"))
        return buffer

    def sample(self) -> Iterator[Bytes]:
        """Yield a sample of the bytes that the window covers, in the order of the file."""
        return StoredBytes(self.source, self.offset, self.span * self.dtype.bits // 8).sample()

    def _window(self, size: int) -> NDArray[np.void]:
        n_bytes = self.span * size
        steps = tuple(step * size for step in self.strides)
        if not self.source.local:
            whole = self._downloaded(n_bytes).view(f"V{size}")
            return as_strided(whole, self.shape, steps, writeable=False)
        if self.source.size() < self.offset + n_bytes:
            # Reading a page of a mapping past the end of the file kills the process.
            raise CorruptCheckpointError(
                f"{printable(self.source.path)}: the file was cut since it was opened"
            )
        lead = self.offset % mmap.ALLOCATIONGRANULARITY
        fd = os.open(self.source.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            at = self.offset - lead
            mapped = mmap.mmap(fd, lead + n_bytes, access=mmap.ACCESS_READ, offset=at)
        finally:
            os.close(fd)
        values = np.frombuffer(mapped, f"V{size}", self.span, lead)
        return as_strided(values, self.shape, steps, writeable=False)

    def _downloaded(self, n_bytes: int) -> Bytes:
        if n_bytes > _MOST_DOWNLOADED:
            raise CheckpointError(
                f"{printable(self.source.path)}: tensor {shorten(self.name)} is strided and shows "
                f"{n_bytes} bytes; on a server at most {_MOST_DOWNLOADED} are put in order: "
                "download it first"
            )
        return self.source.read(self.offset, n_bytes)
