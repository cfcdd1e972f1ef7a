"""The headline on the page: sentences, each with the effect in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kcomplexity.report.rows import Json
from kcomplexity.text import printable


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
    said = []
    for text in document.get("headline", ()):
        match = _FIGURE.search(str(text))
        effect = match and not _NO_EFFECT.search(str(text)[: match.start()])
        said.append(Sentence(match[0] if match and effect else "", printable(text)))
    return said
