"""Figures: pictures of a result, from its JSON form alone.

One file a figure, or a family of figures; :data:`FIGURES` has them by name. This package is the
only one that imports matplotlib, and it does so when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from kcomplexity.registry import Registry
from kcomplexity.report.figures.base import Chart, FigureKind, check_figure, missing
from kcomplexity.report.figures.bits import BITS
from kcomplexity.report.figures.bound import BOUND
from kcomplexity.report.figures.controls import CONTROLS
from kcomplexity.report.figures.histogram import HISTOGRAM
from kcomplexity.report.figures.mosaic import BUDGET, MOTIFS, USAGE
from kcomplexity.report.figures.names import slug
from kcomplexity.report.figures.rates import ACCURACY, RATES
from kcomplexity.report.figures.scatter import SCATTER
from kcomplexity.report.figures.stacks import ACCOUNT, STREAMS
from kcomplexity.report.figures.tiles import TILES
from kcomplexity.report.figures.trajectory import TRAJECTORY
from kcomplexity.report.rows import Json, expecting, last_step

__all__ = ["FIGURES", "Chart", "FigureKind", "Picture", "pictures", "unmet"]

#: Every kind of figure by its name.
FIGURES: Registry[FigureKind] = Registry("kcomplexity.figures", "figure", check_figure)


@dataclass(frozen=True)
class Picture:
    """A chart with its kind and the name of its files, without an ending."""

    kind: FigureKind
    chart: Chart
    name: str


def pictures(document: Json, kinds: Sequence[str] = ()) -> Iterator[Picture]:
    """Yield what can be drawn of a result, by the kinds asked for (SpecError if unknown) or all."""
    taken: set[str] = set()
    for kind in map(FIGURES.lookup, kinds or FIGURES):
        for chart in _charts(document, kind):
            plain = slug(kind.name, chart.variant)
            # Long specs may be cut to the same name.
            numbered = (f"{plain}-{i}" if i > 1 else plain for i in count(1))
            name = next(name for name in numbered if name not in taken)
            taken.add(name)
            yield Picture(kind, chart, name)


def _charts(document: Json, kind: FigureKind) -> list[Chart]:
    if missing(document, kind.needs):
        return []
    with expecting(f"figure {kind.name}"):
        if kind.over_steps or not document.get("steps"):
            return kind.charts(document)
        last = last_step(document)
        step = next((row["step"] for row in last["rows"]), None)
        charts = kind.charts(last)
        return [replace(chart, subtitle=f"step {step:,g}: {chart.subtitle}") for chart in charts]


def unmet(document: Json, kinds: Sequence[str] = ()) -> list[str]:
    """Return, for each kind that a result cannot be drawn as, what it needs and what makes that."""
    lines = []
    for kind in map(FIGURES.lookup, kinds or FIGURES):
        if not _charts(document, kind):
            absent = missing(document, kind.needs) or kind.needs
            fields = " and ".join(need.replace("|", " or ") for need in absent)
            lines.append(f"{kind.name} needs {fields} ({kind.made_by})")
    return lines


for _kind in (
    *(BITS, CONTROLS, ACCOUNT, RATES, ACCURACY, TRAJECTORY, SCATTER, BUDGET, MOTIFS, USAGE),
    *(TILES, STREAMS, HISTOGRAM, BOUND),
):
    FIGURES.register(_kind.name, _kind)
