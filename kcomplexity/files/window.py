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
    least : int
        How many bytes are read at once, as far as there are any.
    """

    def __init__(self, stream: ByteStream, least: int = 1 << 12) -> None:
        self._stream = stream
        self._least = least
        self._block = b""
        self._at = 0

    def read(self, start: int, stop: int) -> bytes:
        """Return a range, which the caller has checked to lie in the stream."""
        if not self._at <= start <= stop <= self._at + len(self._block):
            size = min(max(self._least, stop - start), self._stream.size - start)
            self._block, self._at = self._stream.read(start, size).tobytes(), start
        return self._block[start - self._at : stop - self._at]


class Cursor:
    """Reads a file forwards; a subclass sets the byte order and the advice of its errors.

    Parameters
    ----------
    source : FileSource
    shown : str
        Which file, printable, to begin an error message.
    """

    #: struct's letter of the byte order.
    order: ClassVar[str] = "<"
    #: How many bytes are read at once.
    least: ClassVar[int] = 1 << 12
    #: How the message of an error ends.
    advice: ClassVar[str]

    def __init__(self, source: FileSource, shown: str) -> None:
        self.shown = shown
        self.size = source.size()
        self.at = 0
        self._window = Window(whole_file(source), self.least)

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        start = self.at
        self.skip(n)
        return self._window.read(start, self.at)

    def skip(self, n: int) -> None:
        """Skip `n` bytes."""
        if n > self.size - self.at:
            raise self.damaged(f"{n} bytes should follow byte {self.at}")
        self.at += n

    def number(self, letter: str) -> Any:
        """Return the next number, of the kind that is `letter` in struct."""
        kind = self.order + letter
        return struct.unpack(kind, self.take(struct.calcsize(kind)))[0]

    def damaged(self, why: str) -> CorruptCheckpointError:
        """Return the error for a damaged file; `why` says what is wrong."""
        return CorruptCheckpointError(
            f"{self.shown}: {why}, and the file has {self.size}; {self.advice}"
        )
