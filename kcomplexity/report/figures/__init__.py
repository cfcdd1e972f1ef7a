"""Figures: pictures of a result, from its JSON form alone.

One file a figure, or a family of figures; :data:`FIGURES` has them by name. This package is the
only one that imports matplotlib, and it does so when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from kcomplexity.registry import Registry
from kcomplexity.report.figures.base import (
    Chart,
    FigureKind,
    Record,
    check_figure,
    expecting,
    missing,
)
from kcomplexity.report.figures.bits import BITS
from kcomplexity.report.figures.bound import BOUND
from kcomplexity.report.figures.controls import CONTROLS
from kcomplexity.report.figures.histogram import HISTOGRAM
from kcomplexity.report.figures.mosaic import BUDGET, MOTIFS, USAGE
from kcomplexity.report.figures.rates import ACCURACY, RATES
from kcomplexity.report.figures.scatter import SCATTER
from kcomplexity.report.figures.selecting import last_step, slug
from kcomplexity.report.figures.stacks import ACCOUNT, STREAMS
from kcomplexity.report.figures.tiles import TILES
from kcomplexity.report.figures.trajectory import TRAJECTORY

__all__ = ["FIGURES", "Chart", "FigureKind", "Picture", "Record", "pictures", "unmet"]

#: Every kind of figure by its name.
FIGURES: Registry[FigureKind] = Registry("kcomplexity.figures", "figure", check_figure)


@dataclass(frozen=True)
class Picture:
    """A chart with its kind and the name of its files, without an ending."""

    kind: FigureKind
    chart: Chart
    name: str


def pictures(record: Record, kinds: Sequence[str] = ()) -> Iterator[Picture]:
    """Yield what can be drawn of a result, by the kinds asked for, else by all.

    Raises
    ------
    SpecError
        If there is no such kind.
    """
    taken: set[str] = set()
    for name in kinds or FIGURES:
        kind = FIGURES.lookup(name)
        for chart in _charts(record, kind):
            plain = slug(kind.name, chart.variant)
            # Long specs may be cut to the same name.
            found = next(
                n for n in (plain, *(f"{plain}-{i}" for i in range(2, 10_000))) if n not in taken
            )
            taken.add(found)
            yield Picture(kind, chart, found)


def _charts(record: Record, kind: FigureKind) -> list[Chart]:
    if missing(record, kind.needs):
        return []
    with expecting(f"figure {kind.name}"):
        if kind.over_steps or not record.get("steps"):
            return kind.charts(record)
        last = last_step(record)
        step = next((row["step"] for row in last["rows"]), None)
        return [
            replace(chart, subtitle=f"step {step:,g}: {chart.subtitle}")
            for chart in kind.charts(last)
        ]


def unmet(record: Record, kinds: Sequence[str] = ()) -> list[str]:
    """Return, for each kind that cannot be drawn of a result, what it needs and what has it."""
    told = []
    for name in kinds or FIGURES:
        kind = FIGURES.lookup(name)
        absent = missing(record, kind.needs)
        if not _charts(record, kind):
            fields = " and ".join(need.replace("|", " or ") for need in absent or kind.needs)
            told.append(f"{name} needs {fields} ({kind.made_by})")
    return told


for _kind in (
    BITS,
    CONTROLS,
    ACCOUNT,
    RATES,
    ACCURACY,
    TRAJECTORY,
    SCATTER,
    BUDGET,
    MOTIFS,
    USAGE,
    TILES,
    STREAMS,
    HISTOGRAM,
    BOUND,
):
    FIGURES.register(_kind.name, _kind)
