"""The bytes of pickles that follow each other, never more of them than there are."""

from __future__ import annotations

from kcomplexity.files.streams import ByteStream

#: A tensor takes some 200 bytes of pickle: no checkpoint's is so long.
MAX_PICKLE = 64 << 20
_BLOCK = 1 << 16


class PickleReader:
    """The bytes of pickles that follow each other from `start` on, read a block at a time.

    It has the few methods of a file that :func:`pickletools.genops` uses. A read never asks for
    more than there is, whatever length an opcode claims.
    """

    def __init__(self, stream: ByteStream, start: int = 0) -> None:
        self._stream = stream
        self._start = start
        self._end = min(stream.size, start + MAX_PICKLE)
        self._data = bytearray()
        self._at = 0

    def tell(self) -> int:
        return self._start + self._at

    def read(self, n: int) -> bytes:
        stop = self._at + max(n, 0)
        self._fill(stop)
        data = bytes(self._data[self._at : stop])
        self._at += len(data)
        return data

    def readline(self) -> bytes:
        known = self._at
        while (newline := self._data.find(b"\n", known)) < 0:
            known = len(self._data)
            self._fill(known + _BLOCK)
            if len(self._data) == known:
                return self.read(known - self._at)
        return self.read(newline + 1 - self._at)

    def _fill(self, stop: int) -> None:
        while len(self._data) < stop and (at := self._start + len(self._data)) < self._end:
            n = min(max(_BLOCK, stop - len(self._data)), self._end - at)
            self._data += self._stream.read(at, n).data
