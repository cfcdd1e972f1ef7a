"""``tiles``: where in a matrix the structure is: bits of each tile over those of it shuffled."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.rows import Json, label, measured
from kcomplexity.text import plural, shorten


def _charts(document: Json) -> list[Chart]:
    rows = [row for row in measured(document, "tiles") if row["tiles"].get("ratios")]
    return [_chart(row, row["tiles"]) for row in rows]


def _chart(row: Json, tile_map: Json) -> Chart:
    cells = tuple(
        (i, j, ratio) for i, line in enumerate(tile_map["ratios"]) for j, ratio in enumerate(line)
    )
    ratios = [ratio for _, _, ratio in cells if ratio is not None]
    middle, lowest = (f"{of(ratios):.3f}" if ratios else "none" for of in (statistics.median, min))
    side = f" of {tile_map['tile']} x {tile_map['tile']} weights" if tile_map.get("tile") else ""
    n_clear = sum(ratio < 1 - _scatter(ratios) for ratio in ratios)
    return Chart(
        variant=f"{label(row)} {row['spec']}",
        title=f"{shorten(label(row), 40)}: bits over those of its shuffles are {middle} in the "
        f"middle tile, {lowest} in the lowest; {n_clear} of {plural(len(ratios), 'tile')} "
        "beyond the scatter",
        subtitle=f"{row['spec']}, {plural(len(cells), 'tile')}{side}; below 1 = simpler than the "
        "same weights shuffled; pale = no further from 1 than the highest tile, as by chance",
        x="tile across (columns of the matrix)",
        y="tile down (rows)",
        columns=("row", "column", "ratio"),
        rows=cells,
        size=12,
    )


def _scatter(ratios: list[float]) -> float:
    """Return how far from 1 chance takes a tile: as far as the highest is above it.

    Arrangement makes tiles simpler, and hardly any is more complex than its shuffles but by chance.
    """
    return max(max(ratios, default=1.0) - 1, 0.0)


def _draw(ax: Axes, chart: Chart, theme: Theme) -> None:
    from matplotlib import colors as mcolors
    from matplotlib.ticker import MaxNLocator

    picture = np.full((max(chart["row"]) + 1, max(chart["column"]) + 1), np.nan)
    for i, j, ratio in zip(chart["row"], chart["column"], chart["ratio"], strict=True):
        picture[i, j] = np.nan if ratio is None else ratio
    ratios = picture[np.isfinite(picture)]
    # Around 1, so that colour means the same on both sides.
    reach = max(float(np.abs(ratios - 1).max()) if ratios.size else 0.0, 0.01)
    scatter = _scatter([float(ratio) for ratio in ratios])
    pale = np.where(np.nan_to_num(np.abs(picture - 1)) > scatter, 1.0, 0.3)
    how: dict[str, Any] = {"cmap": "RdBu", "vmin": 1 - reach, "vmax": 1 + reach}
    drawn = ax.imshow(picture, interpolation="nearest", **how)
    # The bar has the full colours; over the picture a veil mutes what chance explains.
    veil = np.zeros((*picture.shape, 4))
    veil[..., :3] = mcolors.to_rgb(theme.ground)
    veil[..., 3] = 1 - pale
    ax.imshow(veil, interpolation="nearest")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    ax.set_xlabel(chart.x)
    ax.set_ylabel(chart.y)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.9)
    bar.set_label("bits / shuffled bits\n(lower = more structure)")
    bar.outline.set_visible(False)


TILES = FigureKind(
    name="tiles",
    shows="where in a matrix the structure is: each tile against the same tile shuffled",
    needs=("rows[].tiles.ratios",),
    made_by="score -e bdm2d@sign --tiles 64",
    charts=_charts,
    draw=_draw,
)
