"""How long a description of a model is: from a file, a score or the report of a fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcomplexity.errors import CheckpointNotFoundError, SpecError
from kcomplexity.results.records import Score
from kcomplexity.scoring.specs import parse_spec
from kcomplexity.text import plural, printable

__all__ = ["Description", "describe_length"]

_FIRST = 1 << 16


@dataclass(frozen=True)
class Description:
    """A description that can be decoded to the model.

    Attributes
    ----------
    what : str
        In words.
    bits : float
        Its length; not prefix-free.
    """

    what: str
    bits: float


def describe_length(
    path: Path, spec: str | None = None, checkpoint: str | None = None
) -> Description:
    """Return the length of the description that a file is, or that a report tells of.

    Parameters
    ----------
    path : Path
        A mosaic or any other file that is itself the description; or a JSON document of
        ``kcomplexity score`` or ``kcomplexity fit``.
    spec, checkpoint : str, optional
        Which code, and which checkpoint, of a score; needed where it has several.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    SpecError
        If nothing can decode what the report tells of, it does not say how long it is, or a code
        is named where there is no choice.
    """
    if not path.is_file():
        raise CheckpointNotFoundError(f"{printable(path)}: no such file; check the path")
    document = _json(path)
    if (spec, checkpoint) != (None, None) and "rows" not in (document or {}):
        raise SpecError(
            f"{printable(path)} is no score: --spec and --checkpoint choose one of its codes; "
            "leave them out"
        )
    if document is None:
        return Description(f"the file {path.name}, as it is stored", 8.0 * path.stat().st_size)
    if "rows" in document:
        return _from_score(path, document, spec, checkpoint)
    bits = document.get("bits")
    if isinstance(bits, dict):
        length = bits.get("file") or bits.get("total_coded")
        if length:
            return Description(f"the mosaic of {path.name}, everything counted", float(length))
    raise SpecError(
        f"{printable(path)}: expected a file that is the model's description, or the JSON of "
        "'kcomplexity score' or 'kcomplexity fit'"
    )


def _json(path: Path) -> dict[str, Any] | None:
    with path.open("rb") as file:
        if not file.read(_FIRST).lstrip().startswith(b"{"):
            return None
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _from_score(
    path: Path, document: dict[str, Any], spec: str | None, checkpoint: str | None
) -> Description:
    rows = [Score.from_dict(record) for record in document["rows"]]
    name = printable(path)
    checkpoint = _the_one(
        f"{name}: --checkpoint", dict.fromkeys(row.checkpoint for row in rows), checkpoint
    )
    rows = [row for row in rows if row.checkpoint == checkpoint]
    codes = dict.fromkeys(row.spec for row in rows if row.kind == "code" and row.status == "ok")
    wanted = str(parse_spec(spec)) if spec else None
    if wanted and wanted not in codes and any(row.spec == wanted for row in rows):
        raise SpecError(
            f"{name}: {wanted} is no code, or measured nothing: nothing decodes it; "
            f"expected one of {', '.join(codes) or 'none is there'}"
        )
    chosen = _the_one(f"{name}: --spec", codes, wanted)
    return _whole([row for row in rows if row.spec == chosen], chosen)


def _the_one(what: str, known: dict[str, None], wanted: str | None) -> str:
    if wanted is None and len(known) == 1:
        return next(iter(known))
    if wanted in known:
        return str(wanted)
    given = f"{wanted} is not there" if wanted else "is needed"
    raise SpecError(f"{what} {given}: expected one of {', '.join(known) or 'none is there'}")


def _whole(rows: Sequence[Score], spec: str) -> Description:
    """Add up the codes, and what could not be coded as it is stored."""
    sampled = [row for row in rows if row.sampled_fraction < 1]
    if sampled:
        raise SpecError(
            f"{spec} was measured on a sample of {plural(len(sampled), 'tensor')}: an estimate is "
            "no description; score again with --exact"
        )
    coded = [row for row in rows if row.status == "ok"]
    kept = [row for row in rows if row.status != "ok"]
    bits = sum(row.bits or 0.0 for row in coded) + sum(row.raw_bits for row in kept)
    what = f"{spec} of {plural(len(coded), 'tensor')}"
    if kept:
        # One bit each tells which tensors are coded.
        bits += len(rows)
        what += f", {plural(len(kept), 'tensor')} as stored"
    return Description(what, bits)
