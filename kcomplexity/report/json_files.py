"""JSON and JSON lines: the formats that hold everything."""

from __future__ import annotations

from typing import Any

from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import json_line, json_text
from kcomplexity.results.reading import RECORDS


def json_bytes(result: Document) -> bytes:
    """Return the result as one JSON document, indented, ending in a newline."""
    return f"{json_text(result.to_dict())}\n".encode()


def jsonl_bytes(result: Document) -> bytes:
    """Return the result as JSON lines.

    Each line is an object whose ``record`` says what it is: ``report`` first, with the version, the
    provenance, the headline and whatever is not a list of records; then ``checkpoint``, ``row``,
    ``summary``: an entry of each list of records.
    """
    head: dict[str, Any] = {}
    lines = []
    for name, value in result.to_dict().items():
        # An empty list has no lines, so the first line has it.
        if value and name in RECORDS:
            lines += [json_line(RECORDS[name], entry) for entry in value]
        else:
            head[name] = value
    return b"".join([json_line("report", head), *lines])
