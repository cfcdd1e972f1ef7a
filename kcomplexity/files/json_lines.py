"""JSON lines: one object a line, whose ``record`` says what kind of record it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["json_line", "read_lines"]


def json_line(record: str, values: Mapping[str, Any]) -> bytes:
    """Return one line: `values` with their kind of record first.

    Raises
    ------
    ValueError
        If a value is NaN or infinite.
    """
    return (json.dumps({"record": record} | dict(values), allow_nan=False) + "\n").encode()


def read_lines(data: bytes) -> list[Any]:
    """Parse JSON lines; a last line without its end, cut while it was written, is left out.

    Raises
    ------
    ValueError
        If another line is not JSON.
    """
    lines = data.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n") and line.strip()]
