"""Rows that were measured before: one way to ask for them, and to keep new ones.

The journal of an interrupted score (:mod:`kcomplexity.scoring.journal`) and the cache of a
trajectory (:mod:`kcomplexity.scoring.cache`) both answer it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kcomplexity.results.records import Score
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit


class KnownRows(Protocol):
    """A store of rows, used from one thread: every unit is looked up, then kept, in plan order."""

    def find(self, path: str, unit: Unit) -> dict[Spec, Score]:
        """Return the rows of a unit of the checkpoint at `path` that are known."""

    def keep(self, path: str, unit: Unit, rows: Mapping[Spec, Score]) -> None:
        """Keep the rows of a unit that were measured just now."""


class NothingKnown:
    """Knows no row and keeps none."""

    def find(self, path: str, unit: Unit) -> dict[Spec, Score]:
        return {}

    def keep(self, path: str, unit: Unit, rows: Mapping[Spec, Score]) -> None:
        pass
