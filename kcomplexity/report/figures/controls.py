"""``controls``: bits over those of the same weights shuffled, with the shuffles' own range."""

from __future__ import annotations

from typing import TypeAlias

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import MANY, Along, legend
from kcomplexity.report.figures.names import variant
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, by_path_and_spec, control_of, label, measured
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.text import plural

#: Tensor, ratio, lowest and highest replicate over their mean, replicates, those above it, weights.
_Effect: TypeAlias = tuple[str, float, float, float, int, int, int]


def _charts(document: Json) -> list[Chart]:
    charts = []
    for path, spec, rows in by_path_and_spec(measured(document, "controls", "bits")):
        for kind in dict.fromkeys(control["kind"] for row in rows for control in row["controls"]):
            pairs = [(row, control_of(row, kind)) for row in rows]
            effects = [_effect(row, own) for row, own in pairs if own and own["bits"]]
            charts += [_chart(document, path, spec, kind, effects)] if effects else []
    return charts


def _chart(document: Json, path: str, spec: str, kind: str, effects: list[_Effect]) -> Chart:
    below = sum(n_lower == n for *_, n, n_lower, _ in effects)
    n = max(n for *_, n, _, _ in effects)
    noun = "shuffle" if kind.startswith(SHUFFLE) else f"{kind} replicate"
    # Exact where no two are equal; ties make it less.
    expected = sum(1 / (n + 1) for *_, n, _, _ in effects)
    whole = [
        (f"whole ({control['n_lower']} of {control['n']} above it)", control["ratio"])
        for row in document.get("summary", ())
        if str(row.get("checkpoint", "")) == path and row["spec"] == spec
        if (control := control_of(row, kind))
    ]
    return Chart(
        variant=variant(document, path, spec, kind),
        title=f"{spec}: {below} of {plural(len(effects), 'tensor')} below every one of its own "
        + (f"{n} {noun}s" if n > 1 else noun)
        + f" (by chance: up to {three_figures(expected)})",
        subtitle=f"bits over the mean of the {noun}s; the bar is the range of the {noun}s "
        "themselves: a mark inside it shows nothing",
        x=f"bits / mean bits of its {noun}s (lower = more structure)",
        y="tensor",
        columns=("tensor", "ratio", "lowest", "highest", "n", "n_lower", "n_weights"),
        rows=tuple(effects),
        levels=tuple(whole),
        size=len(effects) if len(effects) <= MANY else 0,
    )


def _effect(row: Json, control: Json) -> _Effect:
    bits, mean = control["bits"], control["mean_bits"]
    n_lower = sum(row["bits"] < b for b in bits)
    ends = min(bits) / mean, max(bits) / mean
    return label(row), control["ratio"], *ends, len(bits), n_lower, row["n_weights"]


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    names = chart["tensor"]
    along = Along(ax, names, theme)
    ratios, n, n_lower = chart["ratio"], chart["n"], chart["n_lower"]
    places = range(len(names))
    tips = [f"{names[at]}: {ratios[at]:.4f}, below {n_lower[at]} of {n[at]}" for at in places]
    along.bars(chart["lowest"], chart["highest"], theme.muted, tips, width=0.5, alpha=0.35)
    along.rule(1)
    below = [at for at in places if n_lower[at] == n[at]]
    others = [at for at in places if n_lower[at] < n[at]]
    areas = 22 if along.few else 9
    along.points(others, ratios, theme.muted, tips, areas=areas, hollow=True)
    along.points(below, ratios, theme.series[0], tips, areas=areas)
    for name, value in chart.levels:
        along.across(value, f"{name}: {value:.3f}")
    along.label(chart.x)
    entries = [
        ("below all of them", theme.series[0], "0"),
        ("not below all", theme.muted, "hollow"),
    ]
    legend(ax, [*entries, ("their own range", theme.muted, "band")], theme)


CONTROLS = FigureKind(
    name="controls",
    shows="bits of each tensor over those of its shuffled self, with the shuffles' own range",
    needs=("rows[].bits", "rows[].controls[].ratio", "rows[].controls[].bits"),
    made_by="score --control shuffle:19",
    charts=_charts,
    draw=_draw,
)
