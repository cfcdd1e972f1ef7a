"""How long a description of a model is: from a file, or from the result of a score or a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcomplexity.errors import CheckpointNotFoundError, SpecError
from kcomplexity.results.reading import KINDS, holds_json, kind_of, read_document
from kcomplexity.scoring.specs import parse_spec
from kcomplexity.text import plural, printable


@dataclass(frozen=True)
class Description:
    """What can be decoded to the model, in words, and its length in bits; not prefix-free."""

    what: str
    bits: float


def describe_length(
    path: Path, spec: str | None = None, checkpoint: str | None = None
) -> Description:
    """Return the length of the description that a file is, or that a result reports.

    `path` is a mosaic or any other file that is itself the description; or the result of ``score``,
    ``trajectory`` or ``fit``. `spec` and `checkpoint` choose one code where its rows have several.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    ResultError
        If it holds JSON that is not a result.
    SpecError
        If the result has no code of a model, its code was measured on a sample, or `spec` or
        `checkpoint` chooses nothing.
    """
    name = printable(path)
    if not path.is_file():
        raise CheckpointNotFoundError(f"{name}: no such file; check the path")
    document = read_document(path) if holds_json(path) else {}
    kind = kind_of(document) if document else ""
    if kind in ("score", "trajectory"):
        return _of_rows(name, document["rows"], spec, checkpoint)
    if (spec, checkpoint) != (None, None):
        raise SpecError(
            f"{name} is not a score: --spec and --checkpoint choose one of its codes; "
            "leave them out"
        )
    if kind == "fit":
        length = float(document["bits"].get("file") or document["bits"]["total_coded"])
        return Description(f"the mosaic of {path.name}, everything counted", length)
    if kind:
        raise SpecError(
            f"{name} is the result of '{KINDS[kind]}', which is not the length of one "
            "description: expected the file of a model, or the result of 'score' or 'fit'"
        )
    return Description(f"the file {path.name}, as it is stored", 8.0 * path.stat().st_size)


def _of_rows(
    name: str, rows: Sequence[Mapping[str, Any]], spec: str | None, checkpoint: str | None
) -> Description:
    checkpoint = _choice(
        f"{name}: --checkpoint", dict.fromkeys(row["checkpoint"] for row in rows), checkpoint
    )
    rows = [row for row in rows if row["checkpoint"] == checkpoint]
    codes = dict.fromkeys(
        row["spec"] for row in rows if row["kind"] == "code" and row["status"] == "ok"
    )
    wanted = str(parse_spec(spec)) if spec else None
    if wanted and wanted not in codes and any(row["spec"] == wanted for row in rows):
        raise SpecError(
            f"{name}: {wanted} is not a code, or measured nothing: nothing decodes it; "
            f"expected one of {_listed(codes)}"
        )
    chosen = _choice(f"{name}: --spec", codes, wanted)
    return _whole([row for row in rows if row["spec"] == chosen], chosen)


def _choice(option: str, known: dict[str, None], wanted: str | None) -> str:
    """Return the only one there is, or the one that is wanted."""
    if wanted is None and len(known) == 1:
        return next(iter(known))
    if wanted in known:
        return str(wanted)
    problem = f"{wanted} is not there" if wanted else "is needed"
    raise SpecError(f"{option} {problem}: expected one of {_listed(known)}")


def _listed(known: dict[str, None]) -> str:
    return ", ".join(known) or "none, for the result has no code"


def _whole(rows: Sequence[Mapping[str, Any]], spec: str) -> Description:
    """Add up the codes, and what could not be coded as it is stored."""
    sampled = [row for row in rows if row["sampled_fraction"] < 1]
    if sampled:
        raise SpecError(
            f"{spec} was measured on a sample of {plural(len(sampled), 'tensor')}: an estimate is "
            "not a description; score again with --exact"
        )
    coded = [row for row in rows if row["status"] == "ok"]
    kept = [row for row in rows if row["status"] != "ok"]
    bits = sum(row["bits"] or 0.0 for row in coded) + sum(row["raw_bits"] for row in kept)
    what = f"{spec} of {plural(len(coded), 'tensor')}"
    if kept:
        # One bit for each tensor says whether it is coded.
        bits += len(rows)
        what += f", {plural(len(kept), 'tensor')} as stored"
    return Description(what, bits)
