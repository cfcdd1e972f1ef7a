"""FlatBuffers, table by table: only what is asked for is read, and no library is needed.

Every position is checked against the file before it is read. Offsets cannot lead in a circle,
because callers follow a schema that has none.
"""

from __future__ import annotations

import struct
from typing import Any

from kcomplexity.files.streams import ByteStream
from kcomplexity.files.window import Window

_MOST_TEXT = 4096
#: Fields of a table; more are a sign of damage.
_MOST_FIELDS = 1000
#: Tables read; many positions may lead to one table, so the file's length does not bound them.
_MOST_TABLES = 2_000_000


class Flat(Window):
    """The bytes of one file."""

    def __init__(self, stream: ByteStream, where: str) -> None:
        super().__init__(stream, where)
        self.n_tables = 0

    def root(self) -> Table:
        return Table(self, self.number("I", 0))

    def number(self, letter: str, at: int) -> Any:
        """Return the little-endian number at a position."""
        return struct.unpack(f"<{letter}", self.take(at, struct.calcsize(f"<{letter}")))[0]

    def take(self, at: int, n: int) -> bytes:
        """Return `n` bytes from a position."""
        if not 0 <= at <= at + n <= self.stream.size:
            raise self.damaged(f"bytes {at} to {at + n} of {self.stream.size} are asked for")
        return self.read(at, at + n)


class Table:
    """A table at a position of the file; its fields are known by their numbers in the schema."""

    def __init__(self, flat: Flat, at: int) -> None:
        flat.n_tables += 1
        if flat.n_tables > _MOST_TABLES:
            raise flat.damaged(f"more than {_MOST_TABLES:,} tables")
        self._flat = flat
        self._at = at
        self._fields = at - int(flat.number("i", at))
        n_bytes = int(flat.number("H", self._fields))
        self._n_fields = (n_bytes - 4) // 2
        if n_bytes < 4 or self._n_fields > _MOST_FIELDS:
            raise flat.damaged(f"there is no table at byte {at}")

    def number(self, field: int, letter: str) -> Any:
        """Return a number; 0 if the field is absent."""
        at = self._field(field)
        return 0 if at is None else self._flat.number(letter, at)

    def table(self, field: int) -> Table | None:
        at = self._field(field)
        return None if at is None else Table(self._flat, self._follow(at))

    def vector(self, field: int, width: int) -> tuple[int, int]:
        """Return where a vector of items of `width` bytes starts, and how many there are."""
        at = self._field(field)
        if at is None:
            return 0, 0
        start = self._follow(at)
        count = int(self._flat.number("I", start))
        if start + 4 + count * width > self._flat.stream.size:
            raise self._flat.damaged(f"a vector of {count} items at byte {start} leaves the file")
        return start + 4, count

    def tables(self, field: int) -> list[Table]:
        start, count = self.vector(field, 4)
        return [Table(self._flat, self._follow(start + 4 * i)) for i in range(count)]

    def text(self, field: int) -> str:
        """Return a text; empty if it is absent."""
        start, count = self.vector(field, 1)
        if count > _MOST_TEXT:
            raise self._flat.damaged(f"a name of {count} bytes")
        return self._flat.take(start, count).decode("utf-8", "replace")

    def _field(self, field: int) -> int | None:
        if field >= self._n_fields:
            return None
        offset = int(self._flat.number("H", self._fields + 4 + 2 * field))
        return self._at + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + int(self._flat.number("I", at))
