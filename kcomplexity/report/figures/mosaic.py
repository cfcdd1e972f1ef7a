"""``motifs``, ``usage`` and ``budget``: a mosaic's motifs, how often each is used, its bits."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from kcomplexity.errors import ResultError
from kcomplexity.report.figures.base import Axes, Cell, Chart, FigureKind
from kcomplexity.report.figures.marks import dots, finish, legend, log_scale
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json
from kcomplexity.text import human_bytes

#: More tiles than this are too small to see.
_MOST_TILES = 96
_ACROSS = 12


def _motif_charts(document: Json) -> list[Chart]:
    motifs = document["motifs"]
    values, counts = motifs["values"], motifs["counts"]
    listed = min(_n_motifs(motifs), len(counts), _MOST_TILES)
    size = document.get("block_size") or len(values[0])
    if len(values) < listed or {*map(len, values)} != {size}:
        raise ResultError(
            f"figure motifs: motifs.values were cut: expected {listed} motifs or more of {size} "
            "weights each; make the result again with fit"
        )
    shape, by, _ = str(document.get("block_shape", "")).partition("x")
    height = int(shape) if by else 1
    width = len(values[0]) // height
    kept = min(len(values), _MOST_TILES)
    rows: list[tuple[Cell, ...]] = [
        (rank + 1, counts[rank], *map(float, values[rank])) for rank in range(kept)
    ]
    covered = sum(counts[:kept]) / _n_blocks(motifs)
    return [
        Chart(
            title=f"The {kept} most used of {_n_motifs(motifs):,} motifs stand for "
            f"{100 * covered:.0f}% of the blocks{_of_set(motifs)}",
            subtitle=f"each tile is a motif of {height} x {width} weights, sorted by use from the "
            "top left",
            x="",
            y="",
            columns=("rank", "n_used", *(f"weight_{j}" for j in range(height * width))),
            rows=tuple(rows),
            levels=(("rows", float(height)),),
            size=22 * -(-kept // _ACROSS) / _ACROSS * (height + 1) / (width + 1) - 1,
        )
    ]


def _n_blocks(motifs: Json) -> int:
    return int(motifs.get("n_blocks") or sum(motifs["counts"]) or 1)


def _n_motifs(motifs: Json) -> int:
    return int(motifs.get("n_motifs") or len(motifs["counts"]))


def _of_set(motifs: Json) -> str:
    return f" (largest of {n:,} sets)" if (n := motifs.get("n_sets", 1)) > 1 else ""


def _draw_motifs(ax: Axes, chart: Chart, _theme: Theme) -> None:
    height = int(chart.levels[0][1])
    width = (len(chart.columns) - 2) // height
    down = -(-len(chart.rows) // _ACROSS)
    # One unit of ground between tiles, wider tiles counting for more.
    gap = max(1, width // 4)
    picture = np.full((down * (height + gap) - gap, _ACROSS * (width + gap) - gap), np.nan)
    for at, row in enumerate(chart.rows):
        top, left = (at // _ACROSS) * (height + gap), (at % _ACROSS) * (width + gap)
        tile = np.array(row[2:], np.float64).reshape(height, width)
        picture[top : top + height, left : left + width] = tile
    largest = float(np.nanmax(np.abs(picture))) or 1.0
    how: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    drawn = ax.imshow(picture, interpolation="nearest", **how)
    ax.set_axis_off()
    ax.set_anchor("N")
    bar = ax.figure.colorbar(drawn, ax=ax, orientation="horizontal", shrink=0.6, aspect=40)
    bar.set_label("weight")
    bar.outline.set_visible(False)


MOTIFS = FigureKind(
    name="motifs",
    shows="the motifs of a mosaic as tiles, most used first",
    needs=("motifs.values", "motifs.counts"),
    made_by="fit",
    charts=_motif_charts,
    draw=_draw_motifs,
)


def _usage_charts(document: Json) -> list[Chart]:
    motifs = document["motifs"]
    total, n_motifs = _n_blocks(motifs), _n_motifs(motifs)
    used = [count for count in motifs["counts"] if count]
    ends = [(at, n) for at, n in enumerate(accumulate(used), 1) if 2 * n >= total]
    half = f"{ends[0][0]:,}" if ends else f"More than {len(used):,}"
    return [
        Chart(
            title=f"{half} of {n_motifs:,} motifs stand for half of the blocks{_of_set(motifs)}; "
            f"{n_motifs - motifs.get('n_used', len(used)):,} are not used",
            subtitle="how often each motif is used, most used first; a flat line would be one that "
            "coding cannot shorten",
            x="rank of the motif",
            y="blocks that use it (share of all)",
            columns=("rank", "n_used", "share"),
            rows=tuple((i + 1, count, count / total) for i, count in enumerate(used)),
        )
    ]


def _draw_usage(ax: Axes, chart: Chart, theme: Theme) -> None:
    ranks, shares = chart["rank"], chart["share"]
    ax.plot(ranks, shares, color=theme.series[0], linewidth=1.4)
    if len(ranks) <= 1000:
        tips = [f"rank {r}: {n:,} blocks" for r, n in zip(ranks, chart["n_used"], strict=True)]
        dots(ax, ranks, shares, tips, s=8, color=theme.series[0])
    log_scale(ax, "x", "y")
    finish(ax, chart, theme)


USAGE = FigureKind(
    name="usage",
    shows="how often each motif of a mosaic is used, most used first",
    needs=("motifs.counts",),
    made_by="fit",
    charts=_usage_charts,
    draw=_draw_usage,
)


_PARTS = ("motifs", "indices_coded", "scales", "kept", "container")
_WORDS = {"indices_coded": "indices, coded", "kept": "kept as they were"}


def _budget_charts(document: Json) -> list[Chart]:
    bits: dict[str, Any] = document["bits"]
    coded, nominal = bits["total_coded"], bits.get("total_nominal")
    rows: list[tuple[Cell, ...]] = [
        ("coded", _WORDS.get(part, part), bits[part]) for part in _PARTS if bits.get(part)
    ]
    title = f"{human_bytes(coded / 8)} in all"
    if document.get("bits_per_weight") is not None:
        title += f", {three_figures(document['bits_per_weight'])} bits/weight"
    error = (document.get("distortion") or {}).get("relative_mse")
    if error is not None:
        title += f" at {100 * error:.3g}% error"
    if nominal:
        kept, indices = bits.get("kept") or 0, bits.get("indices_fixed") or 0
        # Not the motifs as they are stored: a nominal one has the source's bits a weight.
        fixed = (("motifs", nominal - indices - kept), ("indices, fixed", indices))
        rows += [("nominal", *part) for part in (*fixed, (_WORDS["kept"], kept)) if part[1]]
        title += f"; the nominal size is {human_bytes(nominal / 8)}"
    return [
        Chart(
            title=title,
            subtitle="what a decoder needs, part by part; nominal: motifs as wide as the "
            "source's weights, indices of one width",
            x="size in kB (lower = smaller)",
            y="",
            columns=("size", "part", "bits"),
            rows=tuple(rows),
            size=2,
        )
    ]


def _draw_budget(ax: Axes, chart: Chart, theme: Theme) -> None:
    sizes = list(dict.fromkeys(chart["size"]))
    parts = list(dict.fromkeys(chart["part"]))
    left = dict.fromkeys(sizes, 0.0)
    for size, part, bits in zip(chart["size"], chart["part"], chart["bits"], strict=True):
        colour, width = theme.series[parts.index(part)], bits / 8000
        ax.barh(sizes.index(size), width, left=left[size], height=0.6, color=colour)
        left[size] += width
    ax.set_yticks(range(len(sizes)), sizes)
    ax.set_ylim(len(sizes) - 0.5, -0.5)
    ax.set_xlabel(chart.x)
    ax.grid(visible=True, axis="x")
    ax.tick_params(axis="y", length=0)
    legend(ax, [(part, theme.series[i], "bar") for i, part in enumerate(parts)], theme)


BUDGET = FigureKind(
    name="budget",
    shows="the bits of a mosaic, part by part, and its nominal size",
    needs=("bits.total_coded", "bits.motifs", "bits.indices_coded"),
    made_by="fit",
    charts=_budget_charts,
    draw=_draw_budget,
)
