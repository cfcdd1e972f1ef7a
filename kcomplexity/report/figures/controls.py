"""``controls``: bits over those of the same weights shuffled, with the shuffles' own range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import MANY, Along, legend
from kcomplexity.report.figures.names import checkpoint_name
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import (
    Json,
    by_checkpoint,
    control_of,
    depth_sorted,
    label,
    measured,
    specs_of,
)
from kcomplexity.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _charts(document: Json) -> list[Chart]:
    rows = measured(document, "controls", "bits")
    charts = []
    for path, of_checkpoint in by_checkpoint(rows).items():
        for spec in specs_of(of_checkpoint):
            of_spec = [row for row in of_checkpoint if row["spec"] == spec]
            kinds = dict.fromkeys(c["kind"] for row in of_spec for c in row["controls"])
            charts += [_chart(document, path, spec, kind, of_spec) for kind in kinds]
    return [chart for chart in charts if chart.rows]


def _chart(document: Json, path: str, spec: str, kind: str, rows: Sequence[Json]) -> Chart:
    pairs = [
        (row, control)
        for row in depth_sorted(rows)
        if (control := control_of(row, kind)) and control["bits"]
    ]
    effects = [_against(row, control) for row, control in pairs]
    below = sum(one[4] == one[3] for one in effects)
    n = max((one[3] for one in effects), default=0)
    noun = "shuffle" if kind.startswith("shuffle") else f"{kind} replicate"
    # Exact where no two are equal; ties make it less.
    expected = sum(1 / (one[3] + 1) for one in effects)
    several = len(document.get("checkpoints", ())) > 1
    whole = [
        (f"whole ({control['n_lower']} of {control['n']} above it)", control["ratio"])
        for row in document.get("summary", ())
        if str(row.get("checkpoint", "")) == path and row["spec"] == spec
        if (control := control_of(row, kind))
    ]
    return Chart(
        variant=" ".join(
            part for part in (checkpoint_name(path) if several else "", spec, kind) if part
        ),
        title=f"{spec}: {below} of {plural(len(pairs), 'tensor')} below every one of its own "
        + (f"{n} {noun}s" if n > 1 else noun)
        + f" (by chance: up to {three_figures(expected)})",
        subtitle=f"bits over the mean of the {noun}s; the bar is the range of the {noun}s "
        "themselves: a mark inside it shows nothing",
        x=f"bits / mean bits of its {noun}s (lower = more structure)",
        y="tensor",
        columns=("tensor", "ratio", "lowest", "highest", "n", "n_lower", "n_weights"),
        rows=tuple(
            (label(row), *one, row["n_weights"])
            for (row, _), one in zip(pairs, effects, strict=True)
        ),
        levels=tuple(whole),
        size=len(pairs) if len(pairs) <= MANY else 0,
    )


def _against(row: Json, control: Json) -> tuple[float, float, float, int, int]:
    """Return ratio, lowest and highest replicate over their mean, how many, how many above it."""
    bits, mean = control["bits"], control["mean_bits"]
    n_lower = sum(row["bits"] < b for b in bits)
    return control["ratio"], min(bits) / mean, max(bits) / mean, len(bits), n_lower


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    names = chart["tensor"]
    along = Along(ax, names, theme)
    places = range(len(names))
    tips = [
        f"{name}: {ratio:.4f}, below {lower} of {n}"
        for name, ratio, n, lower in zip(
            names, chart["ratio"], chart["n"], chart["n_lower"], strict=True
        )
    ]
    along.bars(chart["lowest"], chart["highest"], theme.muted, tips, width=0.5, alpha=0.35)
    along.rule(1)
    below = [at for at in places if chart["n_lower"][at] == chart["n"][at]]
    others = [at for at in places if chart["n_lower"][at] < chart["n"][at]]
    for chosen, colour, hollow in (
        (others, theme.muted, True),
        (below, theme.series[0], False),
    ):
        along.points(
            chosen,
            [chart["ratio"][at] for at in chosen],
            colour,
            [tips[at] for at in chosen],
            areas=22 if along.few else 9,
            hollow=hollow,
        )
    for name, value in chart.levels:
        along.across(value, f"{name}: {value:.3f}")
    along.label(chart.x)
    legend(
        ax,
        [
            ("below all of them", theme.series[0], "0"),
            ("not below all", theme.muted, "hollow"),
            ("their own range", theme.muted, "band"),
        ],
        theme,
    )


CONTROLS = FigureKind(
    name="controls",
    shows="bits of each tensor over those of its shuffled self, with the shuffles' own range",
    needs=("rows[].bits", "rows[].controls[].ratio", "rows[].controls[].bits"),
    made_by="score --control shuffle:19",
    charts=_charts,
    draw=_draw,
)
