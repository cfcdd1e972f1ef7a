"""Reading results back: the JSON and JSON Lines files that the commands write."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

from kcomplexity.errors import ResultError
from kcomplexity.files.json_lines import read_lines
from kcomplexity.results.records import SCHEMA_VERSION

__all__ = ["read_metric", "read_result"]

#: Lines of a JSON Lines result, by what they are, and where they go in the JSON form.
_PLACES = {"checkpoint": "checkpoints", "row": "rows", "summary": "summary"}


def read_result(path: str | Path) -> dict[str, Any]:
    """Read a result file in its JSON form.

    Parameters
    ----------
    path : str or path
        What ``--json`` printed, or an ``-o`` file that ends in .json or .jsonl; ``-`` is the
        standard input.

    Returns
    -------
    dict
        The document; its fields are those of ``kcomplexity schema``.

    Raises
    ------
    ResultError
        If the file cannot be read, is no result, is empty, or is of a later schema version.
    """
    path = Path(path)
    try:
        data = sys.stdin.buffer.read() if path == Path("-") else path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: {error.strerror or error}") from error
    if not data.strip():
        raise ResultError(f"{path} is empty: expected what a command prints with --json")
    try:
        document = _parsed(data)
    except UnicodeDecodeError as error:
        raise ResultError(
            f"{path} is no text: expected what a command prints with --json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ResultError(
            f"{path} is no JSON: {error}; expected what a command prints with --json"
        ) from error
    if not isinstance(document, dict) or "schema_version" not in document:
        raise ResultError(
            f"{path} is no result: it has no schema_version; expected what a command prints with "
            "--json, or its -o file (.json, .jsonl)"
        )
    version = document["schema_version"]
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise ResultError(
            f"{path} has schema version {version!r}, this version of kcomplexity reads "
            f"1 to {SCHEMA_VERSION}: make the result again, or install a later kcomplexity"
        )
    return document


def _parsed(data: bytes) -> Any:
    first, _, rest = data.lstrip().partition(b"\n")
    if not (rest.strip() and first.rstrip().endswith(b"}")):
        return json.loads(data, parse_constant=_refused)
    # Several objects, one a line.
    document: dict[str, Any] = {name: [] for name in _PLACES.values()}
    lines: list[Any] = list(read_lines(data))  # of a file that may be anything
    for line in lines:
        kind = line.pop("record", None) if isinstance(line, dict) else None
        if kind in _PLACES:
            document[_PLACES[kind]].append(line)
        elif kind == "report":
            document |= line
        else:
            raise ValueError(f"a line is no record of a result, but {kind!r}")
    return document


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def read_metric(path: str | Path) -> dict[str, Any]:
    """Read a metric of training, step by step, to draw beside a trajectory.

    Parameters
    ----------
    path : str or path
        CSV with a header line; the first column, or the one called ``step``, is the step, and the
        next one the metric.

    Returns
    -------
    dict
        ``name`` of the metric, and ``points``: steps with values.

    Raises
    ------
    ResultError
        If it cannot be read as such.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *lines = [line for line in csv.reader(file) if line]
    except (OSError, ValueError, csv.Error) as error:
        raise ResultError(f"{path}: expected CSV with a header line: {error}") from error
    names = [name.strip() for name in header]
    step = names.index("step") if "step" in names else 0
    others = [i for i in range(len(names)) if i != step]
    if not others:
        raise ResultError(f"{path}: expected two columns, a step and a metric, not {names}")
    points = []
    for number, line in enumerate(lines, 2):
        try:
            at, value = float(line[step]), float(line[others[0]])
        except (ValueError, IndexError) as error:
            raise ResultError(
                f"{path}, line {number}: {','.join(line)!r}: expected a step and a number"
            ) from error
        if math.isfinite(at) and math.isfinite(value):
            points.append([at, value])
    return {"name": names[others[0]], "points": points}
