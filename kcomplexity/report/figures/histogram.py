"""``histogram``: how the weights of the largest tensor are spread, with the quantiser's levels.

The one figure that needs the checkpoint itself: a result has no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import KComplexityError
from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import finish
from kcomplexity.report.figures.names import variant
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, label, measured
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.text import plural, shorten

_BINS = 120
#: Beyond as many levels lines across would hide the bars.
_MOST_LEVELS = 64


def _charts(document: Json) -> list[Chart]:
    charts = []
    for info in document.get("checkpoints", ()):
        own = [
            row
            for row in measured(document, "tensor")
            if row.get("level_step")
            and row.get("target_mse")
            and row.get("checkpoint") == info["path"]
        ]
        if own:
            row = max(own, key=lambda row: row["n_weights"])
            with suppress(KComplexityError, OSError):
                charts += _chart(info, row, variant(document, str(info["path"])))
    return charts


def _chart(info: Json, row: Json, name: str) -> list[Chart]:
    from kcomplexity.loaders import open_checkpoint

    with open_checkpoint(str(info["path"])) as checkpoint:
        if checkpoint.fingerprint() != info["fingerprint"] or row["tensor"] not in checkpoint:
            return []
        counts, edges = _histogram(checkpoint[row["tensor"]])
    step = float(row["level_step"])
    lowest, highest = round(edges[0] / step), round(edges[-1] / step)
    n_levels = highest - lowest + 1
    error = row.get("relative_mse")
    rows: list[tuple[Any, ...]] = [
        ("bar", *ends, n) for *ends, n in zip(edges, edges[1:], counts, strict=False)
    ]
    ticks = "too many to draw are the levels"
    if n_levels <= _MOST_LEVELS:
        rows += [("level", at * step, None, None) for at in range(lowest, highest + 1)]
        ticks = "the ticks below are the levels"
    at_error = f" at {100 * error:.2g}% error" if error else ""
    return [
        Chart(
            variant=name,
            title=f"{shorten(label(row), 40)}: {plural(n_levels, 'level')} {three_figures(step)} "
            f"apart span {plural(row['n_weights'], 'weight')}",
            subtitle=f"the largest tensor; {ticks} of {row['spec']}{at_error}",
            x="weight",
            y="number of weights",
            columns=("mark", "from", "to", "n_weights"),
            rows=tuple(rows),
        )
    ]


def _histogram(tensor: Tensor) -> tuple[list[int], list[float]]:
    """Return the counts and the edges of the bins, which include 0; reads the weights twice."""

    def parts() -> Iterator[NDArray[np.float64]]:
        return (tensor.read(*span).astype(np.float64) for span in tensor.spans())

    low = high = 0.0
    for part in parts():
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    edges = np.linspace(low, high, _BINS + 1)
    counts = sum((np.histogram(part, edges)[0] for part in parts()), np.zeros(_BINS, np.int64))
    return counts.tolist(), edges.tolist()


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    from matplotlib.ticker import FuncFormatter

    bars = [row for row in chart.rows if row[0] == "bar"]
    levels = [row[1] for row in chart.rows if row[0] == "level"]
    edges = [bars[0][1], *(row[2] for row in bars)]
    ax.stairs([row[3] for row in bars], edges, fill=True, color=theme.series[0])  # type: ignore[arg-type]
    ax.set_yscale("symlog", linthresh=1)
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: three_figures(value)))
    entries = [("weights", theme.series[0], "bar")]
    if levels:
        how: Any = {"transform": ax.get_xaxis_transform(), "color": theme.series[1]}
        ax.vlines(levels, 0, 0.045, linewidth=1.1, zorder=3, **how)  # type: ignore[arg-type]
        entries.append(("levels of the quantiser", theme.series[1], "line"))
    finish(ax, chart, theme, entries, grid="y")


HISTOGRAM = FigureKind(
    name="histogram",
    shows="the spread of the largest tensor's weights, with the quantiser's levels",
    needs=("rows[].level_step", "checkpoints[].fingerprint"),
    made_by="score -e entropy:two-part@rd0.01, with the checkpoint where it was",
    charts=_charts,
    draw=_draw,
)
