"""``scatter``: each tensor of one checkpoint against the same tensor of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import areas_of, legend, log_scale, marker, tip_links
from kcomplexity.report.figures.names import about, checkpoint_name
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.layers import KINDS, kind_of_layer
from kcomplexity.report.main_code import main_spec
from kcomplexity.report.rows import Json, depth_sorted, label, measured
from kcomplexity.text import LEAST_SHARE, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _charts(document: Json) -> list[Chart]:
    rows = measured(document, "reference_bits", "bits", "n_weights")
    spec = main_spec(rows)
    chosen = [row for row in rows if row["spec"] == spec]
    others = list(dict.fromkeys(str(row.get("other", "")) for row in chosen))
    return [
        _chart(other, [row for row in chosen if str(row.get("other", "")) == other], len(others))
        for other in others
    ]


def _chart(other: str, rows: Sequence[Json], n_others: int) -> Chart:
    ordered = depth_sorted(rows)
    spec = str(ordered[0]["spec"])
    simpler = sum(row["bits"] < (1 - LEAST_SHARE) * row["reference_bits"] for row in ordered)
    complexer = sum(row["bits"] > (1 + LEAST_SHARE) * row["reference_bits"] for row in ordered)
    reference = checkpoint_name(str(ordered[0].get("reference", "") or "reference"))
    name = checkpoint_name(other or "other")
    return Chart(
        variant=name if n_others > 1 else "",
        title=f"{simpler} of {plural(len(ordered), 'tensor')} need fewer bits in {name}, "
        f"{complexer} more",
        subtitle=f"{about(spec, ordered)}; below the line = simpler than in {reference}",
        x=f"bits per weight in {reference} (lower = simpler)",
        y=f"bits per weight in {name} (lower = simpler)",
        columns=("tensor", "layer_kind", "n_weights", "reference", "other"),
        rows=tuple(
            (
                label(row),
                kind_of_layer(label(row), row.get("shape")),
                row["n_weights"],
                row["reference_bits"] / row["n_weights"],
                row["bits"] / row["n_weights"],
            )
            for row in ordered
        ),
        size=12,
    )


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    x, y = chart["reference"], chart["other"]
    areas = areas_of(chart["n_weights"])
    entries = []
    for index, kind in enumerate(KINDS):
        chosen = [at for at, own in enumerate(chart["layer_kind"]) if own == kind]
        if not chosen:
            continue
        drawn = ax.scatter(
            [x[at] for at in chosen],
            [y[at] for at in chosen],
            s=[areas[at] for at in chosen],
            marker=marker(index),
            facecolors=theme.series[index],
            edgecolors=theme.ground,
            linewidths=0.4,
            zorder=3,
        )
        drawn.set_urls(
            tip_links(
                [f"{chart['tensor'][at]}: {x[at]:.4g} to {y[at]:.4g} bits/weight" for at in chosen]
            )
        )
        entries.append((kind, theme.series[index], str(index)))
    ends = [min(*x, *y), max(*x, *y)]
    if ends[0] > 0 and ends[1] > 6 * ends[0]:
        log_scale(ax, "x", "y")
    ax.plot(ends, ends, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    ax.set_xlabel(chart.x, parse_math=False)
    ax.set_ylabel(chart.y.replace(" (", "\n("), parse_math=False)
    ax.grid(visible=True)
    legend(ax, [*entries, ("no change", theme.muted, "dashed")], theme)


SCATTER = FigureKind(
    name="scatter",
    shows="bits per weight of each tensor, other checkpoint against reference",
    needs=("rows[].reference_bits", "rows[].bits", "rows[].n_weights"),
    made_by="compare",
    charts=_charts,
    draw=_draw,
)
