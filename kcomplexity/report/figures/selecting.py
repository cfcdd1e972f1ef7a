"""What the figures take from a result: measured rows, in depth order, and words about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kcomplexity.loaders.registry import without_ending
from kcomplexity.report.figures.base import Record
from kcomplexity.report.figures.layers import in_depth_order
from kcomplexity.text import about_row, shorten

__all__ = [
    "about",
    "by_checkpoint",
    "checkpoint_name",
    "control_of",
    "depth_sorted",
    "label",
    "last_step",
    "measured",
    "number",
    "slug",
    "specs_of",
]


def measured(record: Record, *fields: str) -> list[dict[str, Any]]:
    """Return the rows that were measured and have all `fields`."""
    return [
        row
        for row in record.get("rows", ())
        if row.get("status", "ok") == "ok" and all(row.get(name) is not None for name in fields)
    ]


def last_step(record: Record) -> Record:
    """Return a trajectory as a score of its last checkpoint, and any other result as it is.

    A picture of every tensor at every step would be as many pictures as steps.
    """
    if not record.get("steps"):
        return record
    measured_steps = [row["step"] for row in record.get("rows", ()) if row.get("step") is not None]
    last = max(measured_steps, default=None)
    return {
        **record,
        "checkpoints": [
            step["info"] for step in record["steps"] if step.get("info") and step["step"] == last
        ],
        **{
            name: [row for row in record.get(name, ()) if row.get("step") == last]
            for name in ("rows", "summary")
        },
    }


def label(row: Record) -> str:
    """Return what a row is about: the tensor, the group, or all of them."""
    return str(about_row(row.get("tensor"), row.get("group"), row.get("dtype")))


def by_checkpoint(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return rows by their checkpoint, in order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row.get("checkpoint", "")), []).append(row)
    return groups


def depth_sorted(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows, one a tensor, in depth order."""
    return [rows[i] for i in in_depth_order([label(row) for row in rows])]


def control_of(row: Record, kind: str) -> dict[str, Any] | None:
    """Return the control of a kind that a row was held against; None if it has no ratio to it."""
    for control in row.get("controls") or ():
        if control["kind"] == kind and control.get("ratio") is not None:
            found: dict[str, Any] = control
            return found
    return None


def specs_of(rows: Iterable[Record]) -> list[str]:
    """Return the specs of rows, each once, in order."""
    return list(dict.fromkeys(str(row["spec"]) for row in rows))


def about(spec: str, rows: Sequence[Record]) -> str:
    """Return the spec with what kind of number it gives."""
    if not rows:
        return spec
    row = rows[0]
    kind = str(row.get("kind", ""))
    if kind == "code":
        decodes = f" of the {row['decodes']}" if row.get("decodes") else ""
        error = row.get("relative_mse")
        at = f" at {100 * error:.2g}% error" if error and "@rd" in spec else ""
        return f"{spec}, a code{decodes}{at}"
    return f"{spec}, an {kind}" if kind == "estimate" else spec


def checkpoint_name(path: str) -> str:
    """Return the last part of a path, without its ending, short enough for a legend."""
    name = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    return shorten(without_ending(name), 28)


def number(value: float) -> str:
    """Return a value with about three figures.

    Examples
    --------
    >>> number(3.4412), number(27.05), number(0.00123), number(128000.0)
    ('3.44', '27.1', '0.00123', '128,000')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def slug(*parts: str) -> str:
    """Return a file name made of `parts`: letters, digits, dots, dashes, at most 80 of them.

    Examples
    --------
    >>> slug("controls", "bdm2d@sign"), slug("bits", "")
    ('controls-bdm2d-sign', 'bits')
    """
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts if part]
    return "-".join(word for word in words if word)[:80]
