"""``scatter``: each tensor of one checkpoint against the same tensor of another."""

from __future__ import annotations

from collections.abc import Sequence

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import areas_of, dots, finish, layer_kinds, log_scale, mark_of
from kcomplexity.report.figures.names import about, checkpoint_name
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.rows import Json, by_layer, depth_sorted, main_spec, measured
from kcomplexity.text import LEAST_SHARE, plural


def _charts(document: Json) -> list[Chart]:
    rows = measured(document, "reference_bits", "bits", "n_weights")
    spec = main_spec(rows)
    others: dict[str, list[Json]] = {}
    for row in rows:
        if row["spec"] == spec:
            others.setdefault(str(row.get("other", "")), []).append(row)
    return [_chart(other, own, len(others)) for other, own in others.items()]


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
            (*by_layer(row), *(row[side] / row["n_weights"] for side in ("reference_bits", "bits")))
            for row in ordered
        ),
        size=12,
    )


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    x, y = chart["reference"], chart["other"]
    areas = areas_of(chart["n_weights"])
    entries = []
    for index, kind, chosen in layer_kinds(chart):
        tips = [f"{chart['tensor'][at]}: {x[at]:.4g} to {y[at]:.4g} bits/weight" for at in chosen]
        own_x, own_y, own_areas = ([values[at] for at in chosen] for values in (x, y, areas))
        dots(ax, own_x, own_y, tips, s=own_areas, **mark_of(index, theme))
        entries.append((kind, theme.series[index], str(index)))
    ends = [min(*x, *y), max(*x, *y)]
    if ends[0] > 0 and ends[1] > 6 * ends[0]:
        log_scale(ax, "x", "y")
    ax.plot(ends, ends, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    finish(ax, chart, theme, [*entries, ("no change", theme.muted, "dashed")])


SCATTER = FigureKind(
    name="scatter",
    shows="bits per weight of each tensor, other checkpoint against reference",
    needs=("rows[].reference_bits", "rows[].bits", "rows[].n_weights"),
    made_by="compare",
    charts=_charts,
    draw=_draw,
)
