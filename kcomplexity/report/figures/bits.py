"""``bits``: how many bits a weight of each tensor takes, in depth order, by kind of layer."""

from __future__ import annotations

import math

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import MANY, Along, areas_of, layer_kinds, legend, weighty
from kcomplexity.report.figures.names import about, variant
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, by_layer, by_path_and_spec, label, main_spec, measured
from kcomplexity.text import plural, shorten

#: Values this many times the middle one ask for a logarithmic axis.
_WIDE = 6


def _charts(document: Json) -> list[Chart]:
    rows = measured(document, "bits_per_weight", "n_weights")
    main = main_spec(rows)
    charts = []
    for path, spec, ordered in by_path_and_spec(row for row in rows if row["spec"] == main):
        total = math.fsum(row["bits_per_weight"] * row["n_weights"] for row in ordered)
        n_weights = sum(row["n_weights"] for row in ordered)
        if not n_weights:
            continue
        whole = total / n_weights
        # Side information makes small tensors look complex: the extremes are those of big ones.
        big = [ordered[at] for at in weighty([row["n_weights"] for row in ordered])]
        least = min(big, key=lambda row: row["bits_per_weight"])
        most = max(big, key=lambda row: row["bits_per_weight"])
        title = f"{three_figures(whole)} bits/weight over {plural(len(ordered), 'tensor')}"
        if len(big) > 1:
            title += (
                f": {three_figures(least['bits_per_weight'])} in {shorten(label(least), 34)}, "
                f"{three_figures(most['bits_per_weight'])} in {shorten(label(most), 34)}"
            )
        charts.append(
            Chart(
                variant=variant(document, path),
                title=title,
                subtitle=f"{about(spec, ordered)}; the area of a mark is the number of weights",
                x="bits per weight (lower = simpler)",
                y="tensor",
                columns=("tensor", "layer_kind", "n_weights", "spec", "bits_per_weight"),
                rows=tuple(
                    (*by_layer(row), row["spec"], row["bits_per_weight"]) for row in ordered
                ),
                levels=(("whole", whole),),
                size=len(ordered) if len(ordered) <= MANY else 0,
            )
        )
    return charts


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    names, bits = chart["tensor"], chart["bits_per_weight"]
    along = Along(ax, names, theme)
    tips = [
        f"{name}: {value:.4g} bits/weight, {plural(n, 'weight')}"
        for name, value, n in zip(names, bits, chart["n_weights"], strict=True)
    ]
    areas = areas_of(chart["n_weights"])
    entries = []
    for index, kind, chosen in layer_kinds(chart):
        along.points(chosen, bits, theme.series[index], tips, mark=index, areas=areas)
        entries.append((kind, theme.series[index], str(index)))
    heavy = [bits[at] for at in weighty(chart["n_weights"])]
    positive = sorted(value for value in heavy if value > 0)
    log = bool(positive) and positive[-1] > _WIDE * positive[len(positive) // 2]
    along.label(chart.x, log=log and min(bits) > 0)
    if not log and positive and positive[0] < positive[-1] / 2:
        along.from_zero()
    entries += along.limit(bits, chart["n_weights"])
    for name, value in chart.levels:
        along.across(value, f"{name} {three_figures(value)}")
    legend(ax, entries, theme)


BITS = FigureKind(
    name="bits",
    shows="bits per weight of each tensor, in depth order, by kind of layer",
    needs=("rows[].bits_per_weight", "rows[].estimator"),
    made_by="score",
    charts=_charts,
    draw=_draw,
)
