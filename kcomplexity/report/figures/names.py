"""How figures name what they show: specs, checkpoints, files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from kcomplexity.report.rows import Json
from kcomplexity.text import shorten


def about(spec: str, rows: Sequence[Json]) -> str:
    """Return the spec with what kind of number it gives."""
    row = rows[0] if rows else {}
    kind = row.get("kind")
    if kind == "code":
        decodes = f" of the {row['decodes']}" if row.get("decodes") else ""
        error = row.get("relative_mse")
        at = f" at {100 * error:.2g}% error" if error and row.get("target_mse") else ""
        return f"{spec}, a code{decodes}{at}"
    return f"{spec}, an {kind}" if kind == "estimate" else spec


def variant(document: Json, path: str, *parts: str) -> str:
    """Return what distinguishes a picture: the checkpoint where there are several, and `parts`."""
    several = len(document.get("checkpoints", ())) > 1
    return " ".join(filter(None, (checkpoint_name(path) if several else "", *parts)))


def checkpoint_name(path: str) -> str:
    """Return the last part of a path, without its ending, short enough for a legend."""
    name = re.split(r"[\\/]", path.rstrip("\\/"))[-1]
    ending = next((ending for ending in _endings() if name.endswith(ending)), "")
    return shorten(name.removesuffix(ending), 28)


@cache
def _endings() -> tuple[str, ...]:
    """Return the endings of checkpoint files, the longest first."""
    from kcomplexity.loaders import LOADERS

    endings = {ending for loader in LOADERS.values() for ending in loader.extensions}
    return tuple(sorted(endings, key=len, reverse=True))


def slug(*parts: str) -> str:
    """Return a file name made of `parts`: letters, digits, dots, dashes, at most 80 of them.

    Examples
    --------
    >>> slug("controls", "bdm2d@sign"), slug("bits", "")
    ('controls-bdm2d-sign', 'bits')
    """
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts if part]
    return "-".join(word for word in words if word)[:80]
