"""Reading result files: the JSON and JSON lines that commands, ``save`` and ``Tracker`` write."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kcomplexity.errors import ResultError
from kcomplexity.results.json_form import SCHEMA_VERSION, read_lines

#: Every kind of result: the name of its schema, the key that only it has among those that follow,
#: and what makes one. A document is of the first kind whose key it has.
_RESULTS = (
    ("trajectory", "series", "trajectory"),
    ("conditional", "whole", "kcomplexity.conditional"),
    ("compare", "unmatched", "compare"),
    ("fit", "block_shape", "fit"),
    ("sweep", "points", "sweep"),
    ("bound", "bounds", "bound"),
    ("calibrate", "cases", "demo --calibrate"),
    ("tracker", "calls", "kcomplexity.Tracker"),
    ("score", "rows", "score"),
    ("inspect", "checkpoints", "inspect"),
    ("fit-plan", "n_blocks", "fit --dry-run"),
)
#: What makes a result of each kind.
KINDS: Mapping[str, str] = MappingProxyType({kind: maker for kind, _, maker in _RESULTS})

#: The lists of records that JSON lines hold line by line, and what each line is called.
RECORDS: Mapping[str, str] = MappingProxyType(
    {
        "checkpoints": "checkpoint",
        "unmatched": "unmatched",
        "steps": "step",
        "series": "series",
        "rows": "row",
        "summary": "summary",
        "conditional": "conditional",
        "points": "point",
        "bounds": "bound",
        "cases": "case",
        "tensors": "tensor",
        "controls": "control",
    }
)
#: What a line of a Tracker's file is called.
TRACKED = "tracked"
_LISTS = {record: name for name, record in RECORDS.items()}
#: Bytes that show whether a file may be JSON.
_FIRST = 1 << 16
_EXPECTED = "expected what a command prints with --json"


def kind_of(document: Mapping[str, Any], name: object = "this") -> str:
    """Return the kind of a result called `name`, a key of :data:`KINDS`.

    Raises
    ------
    ResultError
        If it has none of their keys.
    """
    for kind, key, _ in _RESULTS:
        if key in document:
            return kind
    keys = ", ".join(key for _, key, _ in _RESULTS)
    raise ResultError(f"{name} is not a result: expected one of the fields {keys}")


def read_document(path: str | Path) -> dict[str, Any]:
    """Read a result file and return its document, in the fields of ``kcomplexity schema``.

    `path` is what ``--json`` printed, an ``-o`` file that ends in .json or .jsonl, or the file of a
    :class:`kcomplexity.Tracker`, whose lines become ``calls``; ``-`` is the standard input.

    Raises
    ------
    ResultError
        If the file cannot be read, is not a result, is empty, or is of a later schema version.
    """
    path = Path(path)
    try:
        data = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror or error}") from error
    if not data.strip():
        raise ResultError(f"{path} is empty: {_EXPECTED}")
    try:
        document = _parsed(data)
    except UnicodeDecodeError as error:
        raise ResultError(f"{path} is not text: {_EXPECTED}") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is not JSON: {error}; {_EXPECTED}") from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ResultError(
            f"{path} is not a result: it has no schema_version; {_EXPECTED}, or its -o file "
            "(.json, .jsonl)"
        )
    version = document["schema_version"]
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise ResultError(
            f"{path} has schema version {version!r}, this version of kcomplexity reads "
            f"1 to {SCHEMA_VERSION}: make the result again, or install a later kcomplexity"
        )
    kind_of(document, path)
    return document


def holds_json(path: Path) -> bool:
    """Whether a file holds JSON objects, whatever they are."""
    with path.open("rb") as file:
        if not file.read(_FIRST).lstrip().startswith(b"{"):
            return False
    try:
        _parsed(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(data: bytes) -> Any:
    first, _, rest = data.lstrip().partition(b"\n")
    if rest.strip() and first.rstrip().endswith(b"}"):
        return _of_lines(read_lines(data))
    document = json.loads(data, parse_constant=_refused)
    return _of_lines([document]) if _is_call(document) else document


def _of_lines(lines: list[Any]) -> dict[str, Any]:
    """Put the lines of a file together again."""
    if all(map(_is_call, lines)):
        calls = [{key: line[key] for key in line if key != "record"} for line in lines]
        return {"schema_version": SCHEMA_VERSION, "calls": calls}
    document: dict[str, Any] = {}
    for line in lines:
        record = line.pop("record", None) if isinstance(line, dict) else None
        name = _LISTS.get(str(record))
        if record == "report":
            document |= line
        elif name is not None:
            document.setdefault(name, []).append(line)
        else:
            raise ValueError(f"a line is not a record of a result, but {record!r}")
    return document


def _is_call(line: Any) -> bool:
    """Whether a line is one that a Tracker writes for each of its calls."""
    return isinstance(line, dict) and line.get("record") == TRACKED


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")
