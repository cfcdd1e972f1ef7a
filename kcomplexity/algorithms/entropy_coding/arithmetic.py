"""Arithmetic coding in integers: Witten, Neal & Cleary, Communications of the ACM 30:520 (1987).

An event is an interval ``start`` to ``start + size`` of ``total``; it costs log2(total / size)
bits, and a whole message costs at most two bits more than the sum of its events. Registers of 62
bits keep the loss of rounding below 1e-8 of a bit an event.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_WIDTH = 62
_HALF = 1 << (_WIDTH - 1)
_QUARTER = 1 << (_WIDTH - 2)
#: An interval is coded in at most this many parts, far fewer than the registers have.
_MOST = 1 << 32
#: A probability is coded in this many parts.
_PARTS = 1 << 31


class _Interval:
    """The part of the number line, from `_low` to `_high`, that the events so far lead to."""

    def __init__(self) -> None:
        self._low, self._high = 0, (1 << _WIDTH) - 1

    def _narrow(self, start: int, size: int, total: int) -> Iterator[int]:
        """Go on to an event; yield what is taken off before each doubling: 0, 1/4 or 1/2."""
        span = self._high - self._low + 1
        self._high = self._low + span * (start + size) // total - 1
        self._low += span * start // total
        while True:
            if self._high < _HALF:
                less = 0
            elif self._low >= _HALF:
                less = _HALF
            elif self._low >= _QUARTER and self._high < 3 * _QUARTER:
                less = _QUARTER
            else:
                return
            self._low = 2 * (self._low - less)
            self._high = 2 * (self._high - less) + 1
            yield less


class BitWriter(_Interval):
    """Writes events as `bits`, which are complete after :meth:`finish`."""

    def __init__(self) -> None:
        super().__init__()
        self.bits: list[int] = []
        self._pending = 0

    def write(self, start: int, size: int, total: int) -> None:
        """Write the event `start` to `start + size` of `total` (at most 2**32 parts)."""
        if start < 0 or size <= 0 or not start + size <= total <= _MOST:
            raise ValueError(f"event {start} + {size} of {total}: expected a part of 2**32 at most")
        for less in self._narrow(start, size, total):
            if less == _QUARTER:
                self._pending += 1
            else:
                self._put(int(less == _HALF))

    def number(self, value: int, count: int) -> None:
        """Write one of `count` equally likely numbers: log2(count) bits."""
        for low, size in _digits(count):
            digit = value >> low & (_PARTS - 1)
            self.write(digit, 1, size)

    def flag(self, bit: int, p_one: float) -> None:
        """Write a bit that is 1 with probability `p_one`."""
        ones = _parts(p_one)
        self.write(0 if bit else ones, ones if bit else _PARTS - ones, _PARTS)

    def finish(self) -> None:
        """Write what determines the last interval: two bits."""
        self._pending += 1
        self._put(0 if self._low < _QUARTER else 1)

    def to_bytes(self) -> bytes:
        """Return the bits, the first one the highest, with zeros up to a whole byte."""
        return np.packbits(np.array(self.bits, np.uint8)).tobytes()

    def _put(self, bit: int) -> None:
        self.bits.append(bit)
        self.bits += [1 - bit] * self._pending
        self._pending = 0


class BitReader(_Interval):
    """Reads what a :class:`BitWriter` wrote, event by event; beyond the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._bits = np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
        self._at = self._value = 0
        for _ in range(_WIDTH):
            self._value = 2 * self._value + self._next()

    def target(self, total: int) -> int:
        """Return a part of `total` that lies in the next event; then :meth:`skip` that event."""
        span = self._high - self._low + 1
        return ((self._value - self._low + 1) * total - 1) // span

    def skip(self, start: int, size: int, total: int) -> None:
        """Go past the event `start` to `start + size` of `total`."""
        for less in self._narrow(start, size, total):
            self._value = 2 * (self._value - less) + self._next()

    def number(self, count: int) -> int:
        """Read one of `count` equally likely numbers."""
        value = 0
        for low, size in _digits(count):
            digit = self.target(size)
            self.skip(digit, 1, size)
            value |= digit << low
        return value

    def flag(self, p_one: float) -> int:
        """Read a bit that is 1 with probability `p_one`."""
        ones = _parts(p_one)
        bit = int(self.target(_PARTS) < ones)
        self.skip(0 if bit else ones, ones if bit else _PARTS - ones, _PARTS)
        return bit

    def _next(self) -> int:
        bit = self._bits[self._at] if self._at < len(self._bits) else 0
        self._at += 1
        return bit


def _parts(p_one: float) -> int:
    return min(max(round(p_one * _PARTS), 1), _PARTS - 1)


def _digits(count: int) -> list[tuple[int, int]]:
    """Return the digits of a number below `count`, highest first: (lowest bit, how many values)."""
    if not 1 <= count <= _MOST:
        raise ValueError(f"one of {count} numbers: expected 1 to 2**32")
    if count <= _PARTS:
        return [(0, count)]
    return [(31, -(-count // _PARTS)), (0, _PARTS)]
