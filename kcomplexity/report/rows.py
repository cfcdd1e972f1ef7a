"""What a row of a result says: one function for each thing that is read from more than one place.

Tables, figures and pages read results as JSON documents, never as the records of the room that made
them. What a row means is decided here and nowhere else, by its fields alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from kcomplexity.errors import ResultError
from kcomplexity.report.layers import in_depth_order, kind_of_layer
from kcomplexity.text import about_row, printable

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
        problem = f"a field is not what its schema says ({type(error).__name__}: {error})"
        if isinstance(error, KeyError):
            problem = f"the field {error} is missing"
        raise ResultError(f"{what}: {problem}; make the result again") from error


def label(row: Json) -> str:
    """Return what a row is about: the tensor, the group, or all of them."""
    return str(about_row(row.get("tensor"), row.get("group"), row.get("dtype")))


def problem(row: Json) -> str:
    """Return why a row was not measured; empty where it was."""
    return f"{row['status']}: {printable(row['reason'])}" if row["reason"] else ""


def by_layer(row: Json) -> tuple[str, str, int]:
    """Return the label of a tensor's row, what kind of layer it seems to be, its weights."""
    return label(row), kind_of_layer(label(row), row.get("shape")), row["n_weights"]


def stream_bits(row: Json) -> Mapping[str, float]:
    """Return the bits of each named stream of the view; empty where it has one stream."""
    return row.get("stream_bits") or {}


def control_of(row: Json, kind: str) -> Json | None:
    """Return the comparison of a row with a kind of control; None if it has no ratio to it."""
    controls: Iterable[Json] = row.get("controls") or ()
    return next((c for c in controls if c["kind"] == kind and c.get("ratio") is not None), None)


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
    infos = [step.get("info") for step in document["steps"] if step["step"] == last]
    own: Json = {
        name: [row for row in document.get(name, ()) if row.get("step") == last]
        for name in ("rows", "summary")
    }
    return {**document, **own, "checkpoints": [info for info in infos if info]}


def by_path_and_spec(rows: Iterable[Json]) -> Iterator[tuple[str, str, list[Json]]]:
    """Yield the path of each checkpoint with each spec and its rows, in depth order."""
    groups: dict[tuple[str, str], list[Json]] = {}
    for row in rows:
        groups.setdefault((str(row.get("checkpoint", "")), str(row["spec"])), []).append(row)
    for (checkpoint, spec), own in groups.items():
        yield checkpoint, spec, depth_sorted(own)


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


def main_spec(rows: Iterable[Json]) -> str | None:
    """Return the main code: the first at a set error, else the first lossy one, else the first.

    Codes come before estimates. A spec that measures less than half of the weights of the widest
    one is passed over: the scales of integer weights alone are not the network. None if no row has
    bits.

    Examples
    --------
    >>> row = {"n_weights": 9, "bits": 20.0, "kind": "code"}
    >>> at_error = row | {"spec": "entropy@rd0.01", "target_mse": 0.01}
    >>> main_spec([row | {"spec": "zstd@bytes"}, at_error])
    'entropy@rd0.01'
    """
    taken: dict[str, int] = {}
    firsts: dict[str, Json] = {}
    for row in rows:
        if row.get("bits") is not None:
            spec = str(row["spec"])
            taken[spec] = taken.get(spec, 0) + int(row.get("n_weights") or 0)
            firsts.setdefault(spec, row)
    widest = max(taken.values(), default=0)
    wide = {spec: row for spec, row in firsts.items() if taken[spec] >= 0.5 * widest}
    codes = {spec: row for spec, row in wide.items() if row.get("kind", "code") == "code"}
    at_error = [spec for spec, row in codes.items() if row.get("target_mse")]
    lossy = [spec for spec, row in codes.items() if row.get("decodes") == "view"]
    return next(iter(at_error or lossy or codes or wide), None)
