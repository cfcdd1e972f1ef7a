"""What a row of a result says: one function for each thing that is read from more than one place.

Tables, figures and pages read results as JSON documents, never as the records of the room that made
them. What a row means is decided here and nowhere else, by its fields alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from kcomplexity.errors import ResultError
from kcomplexity.report.layers import in_depth_order
from kcomplexity.text import about_row

__all__ = [
    "Json",
    "account",
    "by_checkpoint",
    "by_spec",
    "control_of",
    "depth_sorted",
    "expecting",
    "is_side_information",
    "label",
    "largest",
    "last_step",
    "left_out",
    "level_step",
    "measured",
    "specs_of",
    "stream_bits",
    "structure_part",
    "target_mse",
    "tiles",
]

Json: TypeAlias = Mapping[str, Any]
"""A result, or a record in it, in its JSON form."""


@contextmanager
def expecting(what: str) -> Iterator[None]:
    """Raise what goes wrong because a field is not of its type as an error of the result.

    A result is a file that anyone may have written; its schema is not checked before, because
    later versions of a record are read too.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ResultError):
            raise
        if isinstance(error, KeyError):
            raise ResultError(
                f"{what}: the field {error} is missing; make the result again"
            ) from error
        raise ResultError(
            f"{what}: a field is not what its schema says ({type(error).__name__}: {error}); "
            "make the result again"
        ) from error


# --- Fields ------------------------------------------------------------------------------------


def label(row: Json) -> str:
    """Return what a row is about: the tensor, the group, or all of them."""
    return str(about_row(row.get("tensor"), row.get("group"), row.get("dtype")))


def target_mse(row: Json) -> float | None:
    """Return the relative squared error that the spec asks for; None where it asks for none."""
    if "target_mse" in row:
        target: float | None = row["target_mse"]
        return target
    match = re.match(r"rd([\d.]+(?:e-?\d+)?)", str(row.get("spec")).partition("@")[2])
    return float(match[1]) if match else None


def structure_part(row: Json) -> str | None:
    """Return which part of structure the bits count, "context" or "low rank"; None for others."""
    if "structure_part" in row:
        part: str | None = row["structure_part"]
        return part
    name = re.split("[:@]", str(row.get("spec")))[0]
    return {"ctx": "context", "lowrank": "low rank"}.get(name)


def stream_bits(row: Json) -> Mapping[str, float]:
    """Return the bits of each named stream of the view; empty where it has one stream."""
    return row.get("stream_bits") or _details(row).get("bits") or {}


def account(row: Json) -> Json | None:
    """Return where the bits come from: ``order0_bits``, ``saved_bits`` by stage."""
    details = _details(row)
    own: Json = row.get("account") or details
    return own if own.get("saved_bits") and own.get("order0_bits") else None


def tiles(row: Json) -> Json | None:
    """Return the tile map: ``tile``, and the ``ratios`` to the shuffles by row and column."""
    tile_map: Json = row.get("tiles") or _details(row).get("tiles") or {}
    return tile_map if tile_map.get("ratios") else None


def level_step(row: Json) -> float | None:
    """Return the distance between two levels, in weights, where it is one for the tensor."""
    # The field `step` of the rows of a trajectory is the step of the training.
    step: float | None = _details(row).get("step")
    return step


def left_out(row: Json) -> str | None:
    """Return why the structure of the whole does not count a tensor."""
    reason: str | None = row.get("left_out") or _details(row).get("left_out")
    return reason


def is_side_information(row: Json) -> bool:
    """Whether a tensor holds the scales or zero points of another: bits, and no weights."""
    return bool(row.get("side_of") or _details(row).get("side_of"))


def largest(row: Json) -> int:
    """Return the number of weights of the largest tensor of a row, which may be over several."""
    n_weights = row.get("largest_tensor_weights") or _details(row).get("largest_tensor_weights")
    return int(n_weights or row["n_weights"])


def control_of(row: Json, kind: str) -> Json | None:
    """Return the comparison of a row with a kind of control; None if it has no ratio to it."""
    for control in row.get("controls") or ():
        if control["kind"] == kind and control.get("ratio") is not None:
            own: Json = control
            return own
    return None


def _details(row: Json) -> Json:
    details: Json = row.get("details") or {}
    return details


# --- Rows --------------------------------------------------------------------------------------


def measured(document: Json, *fields: str) -> list[Json]:
    """Return the rows that were measured and have all `fields`."""
    return [
        row
        for row in document.get("rows", ())
        if row.get("status", "ok") == "ok" and all(row.get(name) is not None for name in fields)
    ]


def last_step(document: Json) -> Json:
    """Return a trajectory as a score of its last checkpoint, and any other result as it is.

    A picture of every tensor at every step would be as many pictures as steps.
    """
    if not document.get("steps"):
        return document
    steps = [row["step"] for row in document.get("rows", ()) if row.get("step") is not None]
    last = max(steps, default=None)
    return {
        **document,
        "checkpoints": [
            step["info"] for step in document["steps"] if step.get("info") and step["step"] == last
        ],
        **{
            name: [row for row in document.get(name, ()) if row.get("step") == last]
            for name in ("rows", "summary")
        },
    }


def by_checkpoint(rows: Iterable[Json]) -> dict[str, list[Json]]:
    """Return rows by their checkpoint, in order."""
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(str(row.get("checkpoint", "")), []).append(row)
    return groups


def by_spec(rows: Iterable[Json]) -> list[dict[str, Json]]:
    """Return the rows of each tensor by their spec, the tensors in depth order."""
    tensors: dict[tuple[str, Any], dict[str, Json]] = {}
    for row in rows:
        tensors.setdefault((label(row), row.get("dtype")), {})[str(row["spec"])] = row
    firsts = depth_sorted([next(iter(of_tensor.values())) for of_tensor in tensors.values()])
    return [tensors[label(first), first.get("dtype")] for first in firsts]


def depth_sorted(rows: Sequence[Json]) -> list[Json]:
    """Return rows, one a tensor, in depth order."""
    return [rows[i] for i in in_depth_order([label(row) for row in rows])]


def specs_of(rows: Iterable[Json]) -> list[str]:
    """Return the specs of rows, each once, in order."""
    return list(dict.fromkeys(str(row["spec"]) for row in rows))
