"""``bound``: what a description of so many bits promises about errors on new data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcomplexity.report.figures.base import Chart, FigureKind, Record
from kcomplexity.report.figures.marks import legend, line_across, log_scale, marker, tip_links
from kcomplexity.report.figures.selecting import number
from kcomplexity.report.figures.themes import Theme
from kcomplexity.text import human_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BOUND"]


def _charts(record: Record) -> list[Chart]:
    found = [
        one
        for one in record["bounds"]
        if one.get("bits") is not None and one.get("bound") is not None
    ]
    if not found:
        return []
    best = min(found, key=lambda one: one["bound"])
    useful = best["bound"] < 1
    error = best.get("train_error")
    words = f"at most {100 * best['bound']:.1f}%" if useful else "vacuous"
    return [
        Chart(
            title=f"Error on new data: {words} from {human_bytes(best['bits'] / 8)} "
            f"({best.get('name', 'bound')})",
            subtitle="holds with the stated confidence, for the decoded model and examples that "
            "were not used to build the code",
            x="description length in bits (lower = simpler)",
            y="bound on the error rate (lower = better)",
            columns=("name", "bits", "bound"),
            rows=tuple((str(one.get("name", "bound")), one["bits"], one["bound"]) for one in found),
            levels=(() if error is None else (("train error", float(error)),))
            + (("vacuous from here on", 1.0),),
        )
    ]


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    entries = []
    for index, name in enumerate(dict.fromkeys(chart["name"])):
        at = [i for i, found in enumerate(chart["name"]) if found == name]
        points = sorted((chart["bits"][i], chart["bound"][i]) for i in at)
        colour = theme.series[index % len(theme.series)]
        x, y = [p[0] for p in points], [p[1] for p in points]
        ax.plot(x, y, color=colour, linewidth=1.0)
        drawn = ax.scatter(x, y, s=22, marker=marker(index), color=colour, zorder=3)
        drawn.set_urls(
            tip_links([f"{name}: {a:,} bits, {b:.4f}" for a, b in zip(x, y, strict=True)])
        )
        entries.append((str(name), colour, str(index)))
    if len(set(chart["bits"])) > 1:
        log_scale(ax, "x")
    for name, value in chart.levels:
        line_across(ax, value, f"{name} {number(value)}", theme)
    ax.set_ylim(0, 1.12)
    ax.set_xlabel(chart.x)
    ax.set_ylabel(chart.y.replace(" (", "\n("))
    ax.grid(visible=True, axis="y")
    legend(ax, entries, theme)


BOUND = FigureKind(
    name="bound",
    shows="bounds on the error rate against the bits of the description",
    needs=("bounds[].bits", "bounds[].bound"),
    made_by="bound",
    charts=_charts,
    draw=_draw,
)
