"""JSON and JSON lines: the formats that hold everything."""

from __future__ import annotations

import json
from typing import Any

from kcomplexity.records import Report, plain

__all__ = ["json_bytes", "json_line", "jsonl_bytes", "read_lines"]


def json_bytes(report: Report) -> bytes:
    """Return the report as one JSON document, indented, ending in a newline."""
    return (json.dumps(report.to_dict(), indent=1, allow_nan=False) + "\n").encode()


def jsonl_bytes(report: Report) -> bytes:
    """Return the report as JSON lines.

    Each line is an object whose ``record`` says what it is: ``report`` (version, provenance,
    headline), ``checkpoint``, ``row``, ``summary``.
    """
    lines = [
        json_line(
            "report",
            plain(
                {
                    "schema_version": report.schema_version,
                    "provenance": report.provenance,
                    "headline": report.headline,
                }
            ),
        )
    ]
    lines += [json_line("checkpoint", plain(info)) for info in report.checkpoints]
    lines += [json_line("row", row.to_dict()) for row in report.rows]
    lines += [json_line("summary", row.to_dict()) for row in report.summary]
    return b"".join(lines)


def json_line(record: str, values: dict[str, Any]) -> bytes:
    """Return one line of JSON lines."""
    return (json.dumps({"record": record} | values, allow_nan=False) + "\n").encode()


def read_lines(data: bytes) -> list[dict[str, Any]]:
    """Parse JSON lines; a last line that was cut while it was written is left out."""
    lines = data.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n") and line.strip()]
