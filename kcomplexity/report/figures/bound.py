"""``bound``: what a description of so many bits promises about errors on new data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import legend, line_across, log_scale, marker, tip_links
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json
from kcomplexity.text import human_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _charts(document: Json) -> list[Chart]:
    bounds = [
        one
        for one in document["bounds"]
        if one.get("bits") is not None and one.get("bound") is not None
    ]
    if not bounds:
        return []
    best = min(bounds, key=lambda one: one["bound"])
    first = bounds[0]
    chance = float(first.get("chance", 1.0))
    rate = first.get("high", 1.0) == 1
    error, budget = first.get("train_error"), best.get("budget_bits")
    words = f"{100 * best['bound']:.1f}%" if rate else three_figures(best["bound"])
    promise = f"at most {words}" if best["bound"] < chance else f"nothing is promised ({words})"
    title = f"Error on new data: {promise} from {human_bytes(best['bits'] / 8)}"
    if budget:
        title += f"; from {human_bytes(budget / 8)} on the bound is vacuous"
    rows = [(str(one["method"]), "bound", one["bits"], one["bound"]) for one in bounds]
    rows += [
        (str(one["method"]), "budget", one["budget_bits"], chance)
        for one in bounds
        if one.get("budget_bits")
    ]
    holds = ""
    if first.get("delta") is not None and first.get("n_samples") is not None:
        holds = f", with probability {1 - first['delta']:g} for {first['n_samples']:,} samples"
    return [
        Chart(
            title=title,
            subtitle=f"for the decoded model{holds}; hollow: the bits at which a bound is as bad "
            "as guessing",
            x="description length in bits (lower = simpler)",
            y=f"bound on the {'error rate' if rate else 'loss'} (lower = better)",
            columns=("method", "what", "bits", "bound"),
            rows=tuple(rows),
            levels=(() if error is None else (("error in training", float(error)),))
            + (("guessing", chance),),
        )
    ]


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    entries = []
    methods = list(dict.fromkeys(chart["method"]))
    for index, method in enumerate(methods):
        colour = theme.series[index % len(theme.series)]
        for what, fill in (("bound", colour), ("budget", "none")):
            at = [
                i
                for i, (name, kind) in enumerate(zip(chart["method"], chart["what"], strict=True))
                if (name, kind) == (method, what)
            ]
            x, y = [chart["bits"][i] for i in at], [chart["bound"][i] for i in at]
            drawn = ax.scatter(
                x, y, s=26, marker=marker(index), facecolors=fill, edgecolors=colour, zorder=3
            )
            tips = [f"{method}, {what}: {a:,.0f} bits, {b:.4f}" for a, b in zip(x, y, strict=True)]
            drawn.set_urls(tip_links(tips))
        entries.append((method, colour, str(index)))
    log_scale(ax, "x")
    for name, value in chart.levels:
        line_across(ax, value, f"{name} {three_figures(value)}", theme)
    ax.set_ylim(0, 1.15 * max(*chart["bound"], chart.levels[-1][1]))
    ax.margins(x=0.15)
    ax.set_xlabel(chart.x)
    ax.set_ylabel(chart.y.replace(" (", "\n("))
    ax.grid(visible=True, axis="y")
    legend(ax, entries, theme)


BOUND = FigureKind(
    name="bound",
    shows="bounds on the error rate against the bits of the description",
    needs=("bounds[].bits", "bounds[].bound", "bounds[].method"),
    made_by="bound",
    charts=_charts,
    draw=_draw,
)
