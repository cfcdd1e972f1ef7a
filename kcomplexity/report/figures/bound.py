"""``bound``: what a description of so many bits promises about errors on new data."""

from __future__ import annotations

from typing import Any

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import dots, finish, line_across, log_scale, marker
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json
from kcomplexity.text import human_bytes


def _charts(document: Json) -> list[Chart]:
    bounds = [b for b in document["bounds"] if None not in (b.get("bits"), b.get("bound"))]
    if not bounds:
        return []
    best = min(bounds, key=lambda b: b["bound"])
    first = bounds[0]
    chance = float(first.get("chance", 1.0))
    rate = first.get("high", 1.0) == 1
    error, budget = first.get("train_error"), best.get("budget_bits")
    words = f"{100 * best['bound']:.1f}%" if rate else three_figures(best["bound"])
    promise = f"at most {words}" if best["bound"] < chance else f"nothing is promised ({words})"
    title = f"Error on new data: {promise} from {human_bytes(best['bits'] / 8)}"
    if budget:
        title += f"; from {human_bytes(budget / 8)} on the bound is vacuous"
    rows = [(str(b["method"]), "bound", b["bits"], b["bound"]) for b in bounds]
    budgets = [(str(b["method"]), "budget", b.get("budget_bits"), chance) for b in bounds]
    rows += [row for row in budgets if row[2]]
    own = () if error is None else (("error in training", float(error)),)
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
            levels=(*own, ("guessing", chance)),
        )
    ]


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    entries = []
    for index, method in enumerate(dict.fromkeys(chart["method"])):
        colour = theme.series[index % len(theme.series)]
        for what, fill in (("bound", colour), ("budget", "none")):
            own: list[Any] = [row[2:] for row in chart.rows if row[:2] == (method, what)]
            tips = [f"{method}, {what}: {bits:,.0f} bits, {bound:.4f}" for bits, bound in own]
            how = {"marker": marker(index), "facecolors": fill, "edgecolors": colour}
            dots(ax, [b for b, _ in own], [b for _, b in own], tips, s=26, zorder=3, **how)
        entries.append((method, colour, str(index)))
    log_scale(ax, "x")
    for name, value in chart.levels:
        line_across(ax, value, f"{name} {three_figures(value)}", theme)
    ax.set_ylim(0, 1.15 * max(*chart["bound"], chart.levels[-1][1]))
    ax.margins(x=0.15)
    finish(ax, chart, theme, entries, grid="y")


BOUND = FigureKind(
    name="bound",
    shows="bounds on the error rate against the bits of the description",
    needs=("bounds[].bits", "bounds[].bound", "bounds[].method"),
    made_by="bound",
    charts=_charts,
    draw=_draw,
)
