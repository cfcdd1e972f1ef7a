"""``rates`` and ``accuracy``: what each method needs at which error, and how the network fares."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from kcomplexity.inference import gaussian_bits, pareto_front
from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import DASHES, Entry, dots, finish, log_scale, mark_of
from kcomplexity.report.figures.names import checkpoint_name
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json
from kcomplexity.text import plural

_BOUND = "Gaussian bound"
_FIELDS = ("method", "what", "bits", "error")


def _points(document: Json) -> list[dict[str, Any]]:
    """Return the points of a sweep, or the codes of a score whose every tensor has one error."""
    points = [
        {
            "method": str(point["coding"]),
            "what": str(point["coding"])
            + "".join(f", {k} {v}" for k, v in (point.get("setting") or {}).items()),
            "bits": point["bits_per_weight"],
            "error": point["relative_mse"],
            "accuracy": point.get("metric"),
            "on_front": bool(point.get("on_front")),
        }
        for point in document.get("points", ())
        if point.get("status", "ok") == "ok"
        and point.get("bits_per_weight") is not None
        and point.get("relative_mse") is not None
    ]
    return [point for point in points or _codes(document) if point["error"] > 0]


def _codes(document: Json) -> list[dict[str, Any]]:
    points = []
    several = len(document.get("checkpoints", ())) > 1
    for row in document.get("summary", ()):
        # A comparison has two codes in a row, of two checkpoints. Without a target a few tensors of
        # large weights make the error of the whole.
        known = all(row.get(key) for key in ("target_mse", "relative_mse", "bits_per_weight"))
        if "checkpoint" not in row or row.get("kind") != "code" or not known:
            continue
        name = f"{checkpoint_name(str(row['checkpoint']))}: " if several else ""
        points.append(
            {
                "method": name + str(row["estimator"]),
                "what": str(row["spec"]),
                "bits": row["bits_per_weight"],
                # Steps meet an error but nearly: two codes at one error have the same.
                "error": float(f"{row['relative_mse']:.2g}"),
                "accuracy": None,
            }
        )
    places = [(point["bits"], point["error"]) for point in points]
    ends = {places[i] for i in pareto_front(places)}
    return [point | {"on_front": at in ends} for point, at in zip(points, places, strict=True)]


def _rate_charts(document: Json) -> list[Chart]:
    points = _points(document)
    if not points:
        return []
    methods = list(dict.fromkeys(p["method"] for p in points))
    leaders = Counter(p["method"] for p in points if p["on_front"]).most_common()
    rows = [(*(p[key] for key in _FIELDS), int(p["on_front"])) for p in points]
    # R(E) = 0.5 log2(1/E), the fewest bits at which a Gaussian source can have the error E.
    errors = [p["error"] for p in points]
    low, high = math.log(min(*errors, 0.1)), math.log(min(max(*errors, 0.2), 0.99))
    for i in range(33):
        error = math.exp(low + (high - low) * i / 32)
        rows.append((_BOUND, "", gaussian_bits(error), error, 0))
    title = f"{plural(len(points), 'point')} of {plural(len(methods), 'method')}"
    if leaders:
        title += f"; fewest bits at its error: {', '.join(name for name, _ in leaders[:2])}"
    return [
        Chart(
            title=title + (", ..." if len(leaders) > 2 else ""),
            subtitle="all side information is in the bits; the line joins the points that no other "
            "beats; the dashed line is what independent Gaussian weights of one variance need",
            x="bits per weight (lower = smaller)",
            y="relative squared error (lower = closer)",
            columns=("method", "what", "bits_per_weight", "relative_mse", "on_front"),
            rows=tuple(rows),
            size=10,
        )
    ]


def _draw_rates(ax: Axes, chart: Chart, theme: Theme) -> None:
    methods = [name for name in dict.fromkeys(chart["method"]) if name != _BOUND]
    bits, errors = chart["bits_per_weight"], chart["relative_mse"]
    entries = _scatter(ax, chart, methods, errors, theme, "relative error")
    on = zip(bits, errors, chart["on_front"], strict=True)
    ends = sorted((bit, error) for bit, error, is_on in on if is_on)
    ax.plot([b for b, _ in ends], [e for _, e in ends], color=theme.ink, linewidth=0.8, zorder=2)
    bound = [at for at, name in enumerate(chart["method"]) if name == _BOUND]
    line = [bits[at] for at in bound], [errors[at] for at in bound]
    ax.plot(*line, color=theme.muted, linewidth=1.1, linestyle=DASHES)
    log_scale(ax, "y")
    ax.set_xlim(0, None)
    entries += [("not beaten", theme.ink, "line"), (_BOUND, theme.muted, "dashed")]
    finish(ax, chart, theme, entries)


RATES = FigureKind(
    name="rates",
    shows="bits per weight against error for every method, Pareto front and Gaussian bound",
    needs=("points[].relative_mse|summary[].relative_mse",),
    made_by="sweep, or score with views of a given error such as @rd0.01",
    charts=_rate_charts,
    draw=_draw_rates,
)


def _accuracy_charts(document: Json) -> list[Chart]:
    points = [p for p in _points(document) if p["accuracy"] is not None]
    if not points:
        return []
    better = document.get("eval_direction")
    return [
        Chart(
            title=_accuracy_title(points, better),
            subtitle="what the user's own evaluation printed for the decoded checkpoint",
            x="bits per weight (lower = smaller)",
            y="result of the evaluation"
            + (f" ({better} = better)" if better else " (which end is better is unknown)"),
            columns=("method", "what", "bits_per_weight", "relative_mse", "accuracy"),
            rows=tuple(tuple(p[key] for key in (*_FIELDS, "accuracy")) for p in points),
            size=10,
        )
    ]


def _accuracy_title(points: list[dict[str, Any]], better: str | None) -> str:
    values = [p["accuracy"] for p in points]
    if better not in ("higher", "lower"):
        # A loss has its best at the other end: an older result does not say which it is.
        ends = f"{three_figures(min(values))} to {three_figures(max(values))}"
        return f"{plural(len(points), 'point')} whose evaluation gave {ends}"
    best = max(values) if better == "higher" else min(values)
    near = [p for p in points if abs(p["accuracy"] - best) <= 0.01 * abs(best)]
    least = min(near, key=lambda p: p["bits"])
    return (
        f"{three_figures(least['accuracy'])} at {three_figures(least['bits'])} bits/weight "
        f"({least['method']}), within 1% of the best, {three_figures(best)}"
    )


def _draw_accuracy(ax: Axes, chart: Chart, theme: Theme) -> None:
    methods = list(dict.fromkeys(chart["method"]))
    entries = _scatter(ax, chart, methods, chart["accuracy"], theme, "evaluation")
    ax.set_xlim(0, None)
    finish(ax, chart, theme, entries)


ACCURACY = FigureKind(
    name="accuracy",
    shows="what an evaluation of the decoded checkpoints gave, against bits per weight",
    needs=("points[].metric", "points[].bits_per_weight", "points[].coding"),
    made_by="sweep --eval",
    charts=_accuracy_charts,
    draw=_draw_accuracy,
)


def _scatter(
    ax: Axes, chart: Chart, methods: list[str], y: list[float], theme: Theme, what: str
) -> list[Entry]:
    entries: list[Entry] = []
    bits = chart["bits_per_weight"]
    for index, method in enumerate(methods):
        chosen = sorted(
            (at for at, name in enumerate(chart["method"]) if name == method), key=bits.__getitem__
        )
        colour = theme.series[index % len(theme.series)]
        x = [bits[at] for at in chosen]
        ax.plot(x, [y[at] for at in chosen], color=colour, linewidth=0.7, alpha=0.6)
        tips = [
            f"{chart['what'][at] or method}: {bits[at]:.4g} bits/weight, {what} {y[at]:.4g}"
            for at in chosen
        ]
        dots(ax, x, [y[at] for at in chosen], tips, s=24, **mark_of(index, theme))
        entries.append((method, colour, str(index)))
    return entries
