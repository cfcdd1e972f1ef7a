"""``trajectory``: the whole network over the steps of training, and its own shuffles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import DASHES, Entry, dots, finish
from kcomplexity.report.figures.names import about
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, main_spec, specs_of
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.text import shorten


def _charts(document: Json) -> list[Chart]:
    rows = [row for row in _whole(document) if row.get("bits_per_weight") is not None]
    if len({row["step"] for row in rows}) < 2:
        return []
    first = main_spec(rows)
    by_spec = {spec: [row for row in rows if row["spec"] == spec] for spec in specs_of(rows)}
    return [
        _chart(document, spec, own)
        for spec, own in by_spec.items()
        if spec == first or any(row.get("controls") for row in own)
    ]


def _whole(document: Json) -> list[Json]:
    """Return the rows over whole checkpoints, each with its step."""
    candidates = [*document.get("summary", ()), *document.get("rows", ())]
    stepped: list[Json] = [row for row in candidates if row.get("step") is not None]
    if stepped:
        stepped = [row for row in stepped if row.get("scope") in ("all", "model")]
    else:
        # Checkpoints that were scored together are a series too, if their metadata has the step.
        steps = {
            str(info["path"]): int(step)
            for info in document.get("checkpoints", ())
            if (step := str((info.get("metadata") or {}).get("step", ""))).isdigit()
        }
        stepped = [
            {**row, "step": steps[str(row["checkpoint"])]}
            for row in document.get("summary", ())
            if str(row.get("checkpoint")) in steps
        ]
    return sorted(stepped, key=lambda row: row["step"])


def _chart(document: Json, spec: str, rows: list[Json]) -> Chart:
    first, last = rows[0]["bits_per_weight"], rows[-1]["bits_per_weight"]
    change = f"{100 * (last / first - 1):+.1f}%" if first else "from 0"
    metric: Mapping[str, Any] = document.get("metric") or {}
    points: dict[Any, Any] = dict(metric.get("points", ()))
    name = str(metric.get("name", ""))
    subtitle = about(spec, rows)
    if any(_band(row) != (None, None) for row in rows):
        subtitle += "; the band is the range of the same weights shuffled"
    of_whole = {"quantity": "bits_per_weight", "spec": spec, "tensor": None, "group": None}
    for series in document.get("series", ()):
        if series.get("tau") is not None and of_whole == {key: series.get(key) for key in of_whole}:
            subtitle += f"; Kendall's tau with the step {series['tau']:.2f}"
            break
    steps = [row["step"] for row in rows]
    table: list[Any] = [
        (step, row["bits_per_weight"], *_band(row), *((points.get(step),) if name else ()))
        for row, step in zip(rows, steps, strict=True)
    ]
    table += [(step, None, None, None, points[step]) for step in sorted(set(points) - set(steps))]
    table.sort(key=lambda row: row[0])
    return Chart(
        variant=spec,
        title=f"{three_figures(first)} to {three_figures(last)} bits/weight from step "
        f"{steps[0]:,g} to {steps[-1]:,g} ({change})",
        subtitle=subtitle,
        x="step",
        y="bits per weight (lower = simpler)",
        columns=("step", "bits_per_weight", "lowest_shuffled", "highest_shuffled")
        + ((f"metric: {name}",) if name else ()),
        rows=tuple(table),
    )


def _band(row: Json) -> tuple[float | None, float | None]:
    for control in row.get("controls") or ():
        if control["kind"] == SHUFFLE and control["bits"]:
            n = row["n_weights"]
            return min(control["bits"]) / n, max(control["bits"]) / n
    return None, None


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    steps, bits = chart["step"], chart["bits_per_weight"]
    own = [at for at, value in enumerate(bits) if value is not None]
    columns = zip(steps, chart["lowest_shuffled"], chart["highest_shuffled"], strict=True)
    band = [ends for ends, value in zip(columns, bits, strict=True) if None not in (value, ends[1])]
    entries = [("the weights", theme.series[0], "line")]
    if band:
        at_steps, low, high = zip(*band, strict=True)
        ax.fill_between(at_steps, low, high, color=theme.series[0], alpha=0.3, linewidth=0.8)
        entries.append(("the same, shuffled", theme.series[0], "band"))
    x, y = [steps[at] for at in own], [bits[at] for at in own]
    ax.plot(x, y, color=theme.series[0], linewidth=1.4)
    tips = [f"step {a:,g}: {b:.4f} bits/weight" for a, b in zip(x, y, strict=True)]
    dots(ax, x, y, tips, s=14, color=theme.series[0], zorder=3)
    if len(chart.columns) > 4:
        entries.append(_draw_metric(ax, chart, theme))
    finish(ax, chart, theme, entries, grid="y")


def _draw_metric(ax: Axes, chart: Chart, theme: Theme) -> Entry:
    column = chart.columns[4]
    name = column.removeprefix("metric: ")
    points = [(s, v) for s, v in zip(chart["step"], chart[column], strict=True) if v is not None]
    right = ax.twinx()
    right.spines["right"].set_visible(True)
    colour = theme.series[1]
    line = [step for step, _ in points], [value for _, value in points]
    right.plot(*line, color=colour, linewidth=1.2, linestyle=DASHES, marker="s", markersize=3)
    right.set_ylabel(shorten(name, 32), color=colour, parse_math=False)
    return shorten(name, 24), colour, "dashed"


TRAJECTORY = FigureKind(
    name="trajectory",
    shows="the whole network over the steps of training, with its shuffles and a metric",
    needs=("summary[].step|rows[].step|checkpoints[].metadata.step",),
    made_by="trajectory, or score of several checkpoints whose metadata have a step",
    charts=_charts,
    draw=_draw,
    over_steps=True,
)
