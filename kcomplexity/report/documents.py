"""JSON and JSON lines: the formats that hold everything."""

from __future__ import annotations

from typing import Any

from kcomplexity.files.json_lines import json_line
from kcomplexity.results.records import Document
from kcomplexity.text import json_text

__all__ = ["json_bytes", "jsonl_bytes"]

#: Lists of sentences, which belong to the head, and not of records.
_TEXTS = frozenset({"headline", "notes", "warnings"})


def json_bytes(report: Document) -> bytes:
    """Return the report as one JSON document, indented, ending in a newline."""
    return f"{json_text(report.to_dict())}\n".encode()


def jsonl_bytes(report: Document) -> bytes:
    """Return the report as JSON lines.

    Each line is an object whose ``record`` says what it is: ``report`` (version, provenance,
    headline), then ``checkpoint``, ``row``, ``summary``: an entry of each list of records.
    """
    head: dict[str, Any] = {}
    lines = []
    for name, value in report.to_dict().items():
        records = isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
        if records and name not in _TEXTS:
            lines += [json_line(name.removesuffix("s"), entry) for entry in value]
        else:
            head[name] = value
    return b"".join([json_line("report", head), *lines])
