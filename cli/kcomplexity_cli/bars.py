"""Bars of text after numbers, where a terminal can show them."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def can_show(encoding: str) -> bool:
    """Whether a terminal of this encoding has the characters."""
    try:
        _EIGHTHS.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def bars(cells: Sequence[str], width: int = 12) -> list[str]:
    """Return a bar for each cell, the longest `width` characters; empty where there is no number.

    Parameters
    ----------
    cells : sequence of str
        Numbers from zero up, as they are shown; what follows a space is left out.
    width : int

    Examples
    --------
    >>> bars(["4.0000", "2.0000 ± 0.1", "", "0.25"], 4)
    ['████', '██', '', '▎']
    """
    values = [_value(cell) for cell in cells]
    largest = max((value for value in values if value is not None), default=0)
    return ["" if value is None else _bar(value, largest, width) for value in values]


def _value(cell: str) -> float | None:
    try:
        return max(float(cell.partition(" ")[0]), 0)
    except ValueError:
        return None


def _bar(value: float, largest: float, width: int) -> str:
    eighths = round(8 * width * value / largest) if largest else 0
    return (_EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()
