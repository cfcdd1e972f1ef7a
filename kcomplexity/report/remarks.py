"""The lines of a result: its headline, and what a reader has to know in addition to the tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from kcomplexity.report.inspection_tables import unread_values
from kcomplexity.report.reading import as_trajectory
from kcomplexity.report.rows import Json, label, specs_of
from kcomplexity.results.reading import kind_of
from kcomplexity.text import human_bytes, plural, printable, shorten, without_numbers


@dataclass(frozen=True)
class Sentence:
    """A sentence of the headline, and the effect in it, which is set large; most have none."""

    figure: str
    text: str


_FIGURE = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*(?:%| ?[kMGT]?B\b)")
#: Before a size or share that is a threshold or a part of the weights, not an effect.
_NO_EFFECT = re.compile(r"\bno \w+|the largest tensor,|left out of")


def sentences(document: Json) -> list[Sentence]:
    """Return the headline, each sentence with its first size or percentage if that is an effect."""
    result = []
    for text in map(str, document.get("headline", ())):
        match = _FIGURE.search(text)
        effect = match and not _NO_EFFECT.search(text[: match.start()])
        result.append(Sentence(match[0] if match and effect else "", printable(text)))
    return result


def remarks(document: Json) -> list[str]:
    """Return what was left out of a result and why; warnings are for the top of a page."""
    document = as_trajectory(document)
    return [line for make in _REMARKS.get(kind_of(document), ()) for line in make(document)]


def cautions(document: Json) -> list[str]:
    """Return what a reader has to keep in mind: warnings, notes, what a bound assumes."""
    return [
        printable(text)
        for name in ("warnings", "notes", "assumptions")
        for text in document.get(name) or ()
    ]


def problems(document: Json) -> list[str]:
    """Return one line per kind of reason for which rows were skipped or failed, failures first.

    Reasons that differ only in their numbers are one kind; the line has the first.
    """
    kinds: dict[tuple[str, str], list[Json]] = {}
    for row in sorted(document.get("rows", ()), key=lambda row: str(row.get("status"))):
        if row.get("reason"):
            key = str(row.get("status", "")), without_numbers(str(row["reason"]))
            kinds.setdefault(key, []).append(row)
    return [_problem(status, rows) for (status, _), rows in kinds.items()]


def _problem(status: str, rows: Sequence[Json]) -> str:
    sizes = {label(row): row.get("n_bytes") for row in rows}
    known = [n_bytes for n_bytes in sizes.values() if n_bytes is not None]
    size = f" of {human_bytes(sum(known))}" if known else ""
    specs = ", ".join(specs_of(row for row in rows if row.get("spec")))
    by = f" by {specs}" if specs else ""
    example = "e.g. " if len({row["reason"] for row in rows}) > 1 else ""
    return printable(
        f"{status}: {plural(len(sizes), 'tensor')}{size} ({_names(sizes)}){by}: "
        f"{example}{rows[0]['reason']}"
    )


def _not_compared(document: Json) -> list[str]:
    """Return one line per checkpoint and reason for which tensors have no counterpart."""
    reasons: dict[tuple[str, str], dict[str, int]] = {}
    for tensor in document["unmatched"]:
        key = tensor["checkpoint"], tensor["reason"]
        reasons.setdefault(key, {})[tensor["tensor"]] = tensor["n_bytes"]
    return [
        f"not compared: {plural(len(sizes), 'tensor')} of {human_bytes(sum(sizes.values()))} "
        f"({_names(sizes)}) of {shorten(checkpoint, 40)}: {printable(reason)}"
        for (checkpoint, reason), sizes in reasons.items()
    ]


def _trajectory(document: Json) -> list[str]:
    unread = [
        f"step {step['step']:g}, {shorten(step['checkpoint'])}: {printable(step['reason'])}"
        for step in document["steps"]
        if step.get("reason")
    ]
    return [*map(printable, document.get("notes", ())), *unread]


def _inspected(document: Json) -> list[str]:
    return [
        printable(text)
        for checkpoint in document["checkpoints"]
        for text in (*checkpoint["notes"], *unread_values(checkpoint))
    ]


def _names(names: Iterable[str]) -> str:
    first, more = [shorten(name, 32) for name in islice(names, 4)], ", ..."
    return ", ".join(first[:3]) + (more if len(first) > 3 else "")


_REMARKS: dict[str, tuple[Callable[[Json], list[str]], ...]] = {
    "score": (problems,),
    "compare": (_not_compared, problems),
    "conditional": (_not_compared, problems),
    "trajectory": (_trajectory, problems),
    "inspect": (_inspected,),
}
