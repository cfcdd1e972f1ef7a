"""What the page says of a result in words: the headline, what to keep in mind, what failed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kcomplexity.report.figures.base import Record
from kcomplexity.report.figures.selecting import label, specs_of
from kcomplexity.text import plural, printable, without_numbers

__all__ = ["Sentence", "cautions", "sentences", "troubles"]


@dataclass(frozen=True)
class Sentence:
    """A sentence of the headline, with the effect in it that is set large; most have none."""

    figure: str
    text: str


_FIGURE = re.compile(r"(?<![\w.])[-+]?\d[\d.,]*(?:%| ?[kMGT]?B\b)")
#: Before a size or share that is no effect, but a threshold or a part of the weights.
_NO_EFFECT = re.compile(r"\bno \w+|the largest tensor,|left out of")


def sentences(record: Record) -> list[Sentence]:
    """Return the headline, each sentence with its first size or percentage if that is an effect."""
    found = []
    for text in record.get("headline", ()):
        match = _FIGURE.search(str(text))
        effect = match and not _NO_EFFECT.search(str(text)[: match.start()])
        found.append(Sentence(match[0] if match and effect else "", printable(text)))
    return found


def cautions(record: Record) -> list[str]:
    """Return what a reader has to know: warnings, notes, what a bound assumes."""
    return [
        printable(text)
        for name in ("warnings", "notes", "assumptions")
        for text in record.get(name) or ()
    ]


def troubles(record: Record) -> list[str]:
    """Return one line for each reason for which something was not measured."""
    reasons: dict[tuple[str, str], list[Record]] = {}
    for row in record.get("rows", ()):
        if row.get("reason"):
            # Reasons that differ in their numbers are one.
            key = (str(row.get("status", "")), without_numbers(str(row["reason"])))
            reasons.setdefault(key, []).append(row)
    lines = []
    for (status, _), rows in reasons.items():
        n = len({label(row) for row in rows})
        specs = ", ".join(specs_of(row for row in rows if row.get("spec")))
        by = f" by {specs}" if specs else ""
        lines.append(printable(f"{status}: {plural(n, 'tensor')}{by}: {rows[0]['reason']}"))
    return lines
