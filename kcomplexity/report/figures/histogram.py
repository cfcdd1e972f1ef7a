"""``histogram``: how the weights of the largest tensor are spread, with the quantiser's levels.

The one figure that needs the checkpoint itself: a result has no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import KComplexityError
from kcomplexity.report.figures.base import Chart, FigureKind
from kcomplexity.report.figures.marks import legend
from kcomplexity.report.figures.names import checkpoint_name
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, label, measured
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.text import plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 120
#: Beyond as many levels lines across would hide the bars.
_MOST_LEVELS = 64


def _charts(document: Json) -> list[Chart]:
    rows = [
        row
        for row in measured(document, "tensor")
        if row.get("level_step") and row.get("target_mse")
    ]
    charts = []
    for info in document.get("checkpoints", ()):
        own = [row for row in rows if row.get("checkpoint") == info["path"]]
        if own:
            row = max(own, key=lambda row: row["n_weights"])
            charts += _chart(info, row, several=len(document["checkpoints"]) > 1)
    return charts


def _chart(info: Json, row: Json, *, several: bool) -> list[Chart]:
    from kcomplexity.loaders import open_checkpoint

    step = float(row["level_step"])
    try:
        with open_checkpoint(str(info["path"])) as checkpoint:
            if checkpoint.fingerprint() != info["fingerprint"] or row["tensor"] not in checkpoint:
                return []
            tensor = checkpoint[row["tensor"]]
            ends = [0.0, 0.0]
            for part in _parts(tensor):
                ends = [min(ends[0], float(part.min())), max(ends[1], float(part.max()))]
            edges = np.linspace(ends[0], ends[1], _BINS + 1)
            counts = np.zeros(_BINS, np.int64)
            for part in _parts(tensor):
                counts += np.histogram(part, edges)[0]
    except (KComplexityError, OSError):
        return []
    lowest, highest = round(ends[0] / step), round(ends[1] / step)
    n_levels = highest - lowest + 1
    error = row.get("relative_mse")
    rows: list[tuple[Any, ...]] = [
        ("bar", float(edges[i]), float(edges[i + 1]), int(counts[i])) for i in range(_BINS)
    ]
    if n_levels <= _MOST_LEVELS:
        rows += [("level", at * step, None, None) for at in range(lowest, highest + 1)]
    ticks = "the ticks below are the levels"
    if n_levels > _MOST_LEVELS:
        ticks = "too many to draw are the levels"
    at_error = f" at {100 * error:.2g}% error" if error else ""
    return [
        Chart(
            variant=checkpoint_name(str(info["path"])) if several else "",
            title=f"{shorten(label(row), 40)}: {plural(n_levels, 'level')} {three_figures(step)} "
            f"apart span {plural(row['n_weights'], 'weight')}",
            subtitle=f"the largest tensor; {ticks} of {row['spec']}{at_error}",
            x="weight",
            y="number of weights",
            columns=("mark", "from", "to", "n_weights"),
            rows=tuple(rows),
        )
    ]


def _parts(tensor: Tensor) -> Iterator[NDArray[np.float64]]:
    """Yield the weights, a few megabytes at a time."""
    for span in tensor.spans():
        yield tensor.read(*span).astype(np.float64)


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
        ax.vlines(
            levels,  # type: ignore[arg-type]
            0,
            0.045,
            transform=ax.get_xaxis_transform(),
            color=theme.series[1],
            linewidth=1.1,
            zorder=3,
        )
        entries.append(("levels of the quantiser", theme.series[1], "line"))
    ax.set_xlabel(chart.x)
    ax.set_ylabel(chart.y)
    ax.grid(visible=True, axis="y")
    legend(ax, entries, theme)


HISTOGRAM = FigureKind(
    name="histogram",
    shows="the spread of the largest tensor's weights, with the quantiser's levels",
    needs=("rows[].level_step", "checkpoints[].fingerprint"),
    made_by="score -e entropy:two-part@rd0.01, with the checkpoint where it was",
    charts=_charts,
    draw=_draw,
)
