"""A result as the bytes of a file: JSON and JSON lines, which hold everything; CSV and Parquet.

The last two are the rows as a table, one measure a row, with nested fields as JSON text.
"""

from __future__ import annotations

import csv
import io
import json
from importlib.util import find_spec
from typing import Any

from kcomplexity.errors import SpecError
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


def csv_bytes(result: Document) -> bytes:
    """Return the rows as CSV with a header line; None is an empty field."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, result.columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(_flat, result.records()))
    return text.getvalue().encode()


def parquet_bytes(result: Document) -> bytes:
    """Return the rows as a Parquet table (needs the extra ``kcomplexity[parquet]``)."""
    require_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_flat(row) for row in result.records()]
    table = pa.table({name: [row[name] for row in rows] for name in result.columns()})
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def require_pyarrow() -> None:
    """Raise SpecError where Parquet cannot be written, without importing what writes it."""
    if find_spec("pyarrow") is None:
        raise SpecError("Parquet needs pyarrow: pip install 'kcomplexity[parquet]', or write .csv")


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in row.items()
    }
