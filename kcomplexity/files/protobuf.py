"""Protocol buffers, field by field: only what is asked for is read.

The library parses a whole file of at most 2 GiB into memory, weights and all. Here a message is a
range of the file, and so is each string or message in it: the values of tensors are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kcomplexity.files.streams import ByteStream
from kcomplexity.files.window import Window

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
#: A model has some ten fields a node or tensor.
_MOST_FIELDS = 5_000_000


@dataclass(frozen=True)
class Message:
    """The bytes `start` to `stop` of a file."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


class Reader(Window):
    """Reads the fields of one file and counts them, so that a hostile file ends too."""

    def __init__(self, stream: ByteStream, where: str) -> None:
        super().__init__(stream, where)
        self._fields = 0

    def fields(self, message: Message) -> Iterator[tuple[int, int | Message]]:
        """Yield the number and the value of the fields of a message, in file order.

        A value is a number, or where a string, a nested message or packed numbers lie.
        """
        at = message.start
        while at < message.stop:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise self.damaged(f"it has more than {_MOST_FIELDS:,} fields")
            tag, at = self._varint(at, message.stop)
            kind = tag & 7
            value: int | Message
            if kind == _VARINT:
                value, at = self._varint(at, message.stop)
            elif kind in (_FIXED32, _FIXED64):
                end = at + (4 if kind == _FIXED32 else 8)
                value, at = Message(at, end), end
            elif kind == _BYTES:
                size, at = self._varint(at, message.stop)
                value, at = Message(at, at + size), at + size
            else:
                raise self.damaged(f"byte {at} starts a field of kind {kind}")
            if at > message.stop:
                raise self.damaged(f"the field that ends at byte {at} leaves its message")
            yield tag >> 3, value

    def messages(self, message: Message) -> Iterator[tuple[int, Message]]:
        """Yield the fields that are not plain numbers."""
        for number, value in self.fields(message):
            if isinstance(value, Message):
                yield number, value

    def text(self, value: int | Message, most: int = 4096) -> str:
        """Return a string of at most `most` bytes."""
        if not isinstance(value, Message) or value.size > most:
            raise self.damaged(f"a name is longer than {most} bytes, or not a text")
        return self.read(value.start, value.stop).decode("utf-8", "replace")

    def numbers(self, value: int | Message, most: int) -> NDArray[np.uint64]:
        """Return one number, or packed ones of at most `most` bytes together."""
        if isinstance(value, int):
            return np.array([value], np.uint64)
        if value.size > most:
            raise self.damaged(f"{value.size} bytes of packed numbers; at most {most} are read")
        return self._unpacked(np.frombuffer(self.read(value.start, value.stop), np.uint8))

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        value = 0
        for i, byte in enumerate(self.read(at, min(at + 10, stop))):
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value & (1 << 64) - 1, at + i + 1
        raise self.damaged(f"the number at byte {at} does not end")

    def _unpacked(self, data: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Decode varints that follow each other."""
        last = np.flatnonzero(data < 0x80)
        if not data.size:
            return np.zeros(0, np.uint64)
        if not last.size or last[-1] != data.size - 1:
            raise self.damaged("packed numbers do not end")
        starts = np.concatenate([[0], last[:-1] + 1])
        lengths = last - starts + 1
        if lengths.max() > 10:
            raise self.damaged("a packed number takes more than ten bytes")
        values = np.zeros(last.size, np.uint64)
        for i in range(int(lengths.max())):
            longer = lengths > i
            digits = (data[starts[longer] + i] & 0x7F).astype(np.uint64)
            values[longer] |= digits << np.uint64(7 * i)
        return values
