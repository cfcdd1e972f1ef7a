"""Headers read piece by piece, through a block of the file kept in memory."""

from __future__ import annotations

import struct
from typing import Any, ClassVar

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.sources import FileSource
from kcomplexity.files.streams import ByteStream, whole_file


class Window:
    """Reads at any position of a stream; the block read last stays in memory.

    Parameters
    ----------
    stream : ByteStream
    where : str
        Which file, printable, to begin an error message.
    """

    #: How many bytes are read at once, as far as there are any.
    least: ClassVar[int] = 1 << 12

    def __init__(self, stream: ByteStream, where: str) -> None:
        self.stream = stream
        self.where = where
        self._block = b""
        self._block_at = 0

    def read(self, start: int, stop: int) -> bytes:
        """Return a range, which the caller has checked to lie in the stream."""
        if not self._block_at <= start <= stop <= self._block_at + len(self._block):
            size = min(max(self.least, stop - start), self.stream.size - start)
            self._block, self._block_at = self.stream.read(start, size).tobytes(), start
        return self._block[start - self._block_at : stop - self._block_at]

    def damaged(self, why: str) -> CorruptCheckpointError:
        """Return the error for a damaged file; `why` says what is wrong."""
        return CorruptCheckpointError(f"{self.where}: {why}; the file is damaged: copy it again")


class Cursor(Window):
    """Reads a file forwards; a subclass sets the byte order and the advice of its errors."""

    #: struct's letter of the byte order.
    order: ClassVar[str] = "<"
    #: How the message of an error ends.
    advice: ClassVar[str]

    def __init__(self, source: FileSource, where: str) -> None:
        super().__init__(whole_file(source), where)
        self.size = self.stream.size
        self.at = 0

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        start = self.at
        self.skip(n)
        return self.read(start, self.at)

    def skip(self, n: int) -> None:
        if n > self.size - self.at:
            raise self.damaged(f"{n} bytes should follow byte {self.at}")
        self.at += n

    def number(self, letter: str) -> Any:
        """Return the next number, of the kind that is `letter` in struct."""
        kind = self.order + letter
        return struct.unpack(kind, self.take(struct.calcsize(kind)))[0]

    def damaged(self, why: str) -> CorruptCheckpointError:
        text = f"{self.where}: {why}, and the file has {self.size}; {self.advice}"
        return CorruptCheckpointError(text)
