"""``streams`` and ``account``: what the bits of each tensor are made of, stacked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kcomplexity.report.figures.base import Axes, Chart, FigureKind
from kcomplexity.report.figures.marks import MANY, Along, Entry, legend
from kcomplexity.report.figures.names import about, variant
from kcomplexity.report.figures.themes import Theme
from kcomplexity.report.numbers import three_figures
from kcomplexity.report.rows import Json, by_path_and_spec, label, measured, stream_bits

#: Parts up to this many differ in colour, more in shade.
_MOST_COLOURS = 4
_LOW_RANK = "low rank"


def _stream_charts(document: Json) -> list[Chart]:
    rows = [row for row in measured(document, "bits") if stream_bits(row)]
    return [_stream_chart(document, *own) for own in by_path_and_spec(rows)]


def _stream_chart(document: Json, path: str, spec: str, rows: Sequence[Json]) -> Chart:
    # Stored dtypes of other widths have fewer planes: the widest names them all.
    widest = stream_bits(max(rows, key=lambda row: len(stream_bits(row))))
    parts = list(dict.fromkeys([*widest, *(p for row in rows for p in stream_bits(row))]))
    n_weights = sum(row["n_weights"] for row in rows)
    sums = {
        part: math.fsum(stream_bits(row).get(part, 0) for row in rows) / n_weights for part in parts
    }
    named = [max(sums, key=lambda part: sums[part])]
    if len(parts) > _MOST_COLOURS:
        named = [parts[0], parts[-1]]  # from the top plane to the bottom one
    return Chart(
        variant=variant(document, path, spec),
        title=", ".join(f"{part} takes {three_figures(sums[part])}" for part in named)
        + f" of {three_figures(math.fsum(sums.values()))} bits/weight",
        subtitle=f"{about(spec, rows)}, stream by stream; side information is not drawn",
        x="bits per weight (lower = simpler)",
        y="tensor",
        columns=("tensor", "n_weights", *parts),
        rows=tuple(
            (
                label(row),
                row["n_weights"],
                *(stream_bits(row).get(part, 0) / row["n_weights"] for part in parts),
            )
            for row in rows
        ),
        size=len(rows) if len(rows) <= MANY else 0,
    )


def _draw_streams(ax: Axes, chart: Chart, theme: Theme) -> None:
    along = Along(ax, chart["tensor"], theme)
    parts = chart.columns[2:]
    whole = [math.fsum(chart[part][at] for part in parts) for at in range(len(chart.rows))]
    beyond = along.limit(whole, chart["n_weights"])
    _stack(along, chart, parts, theme, "bits/weight", beyond)
    along.from_zero()
    along.label(chart.x)


STREAMS = FigureKind(
    name="streams",
    shows="what each part of a stored word takes: sign, exponent, mantissa; byte or bit planes",
    needs=("rows[].stream_bits", "rows[].bits"),
    made_by="score with a spec that splits: -e entropy:two-part@bytes/fields",
    charts=_stream_charts,
    draw=_draw_streams,
)


def _account_charts(document: Json) -> list[Chart]:
    rows = [row for row in measured(document, "bits") if row.get("account")]
    return [_account_chart(document, *own) for own in by_path_and_spec(rows)]


def _account_chart(document: Json, path: str, spec: str, rows: Sequence[Json]) -> Chart:
    stages = list(dict.fromkeys(stage for row in rows for stage in row["account"]["saved_bits"]))
    low_rank = {
        label(row): row["bits"]
        for row in measured(document, "bits")
        if str(row.get("checkpoint", "")) == path
        and row.get("structure_part") == _LOW_RANK
        and row.get("target_mse") == rows[0].get("target_mse")
    }
    # Copies, and weights that were not learned, do not count as structure, as in the headline.
    counted = [row for row in rows if not row.get("left_out")] or rows
    order0 = math.fsum(_order0(row) for row in counted)
    shortest = math.fsum(_shortest(row, low_rank.get(label(row))) for row in counted)
    shares = ", ".join(
        f"{100 * math.fsum(_saved(row, stage) for row in counted) / order0:.1f}% by {stage}"
        for stage in stages
    )

    def instead_of(row: Json) -> float | None:
        bits = low_rank.get(label(row))
        # A code that is longer is not chosen, and loses nothing.
        return None if bits is None else max(100 * (1 - bits / _order0(row)), 0.0)

    instead = "; the mark is what a low-rank code saves instead, 0 where it is the longer"
    return Chart(
        variant=variant(document, path, spec),
        title=f"Structure saves {100 * (1 - shortest / order0):.1f}% of the bits"
        + ("; the context code alone " if low_rank else ": ")
        + shares,
        subtitle=f"{about(spec, rows)}, against coding the same levels in any order"
        + (instead if low_rank else ""),
        x="order-0 bits saved, % (higher = more structure)",
        y="tensor",
        columns=("tensor", "n_weights", *stages, *([_LOW_RANK] if low_rank else ())),
        rows=tuple(
            (
                label(row),
                row["n_weights"],
                *(100 * _saved(row, stage) / _order0(row) for stage in stages),
                *([instead_of(row)] if low_rank else ()),
            )
            for row in rows
        ),
        size=len(rows) if len(rows) <= MANY else 0,
    )


def _saved(row: Json, stage: str) -> float:
    """Return the bits that a stage saves; of a sample, scaled up to all weights."""
    return float(row["account"]["saved_bits"].get(stage, 0)) / (row.get("sampled_fraction") or 1)


def _order0(row: Json) -> float:
    """Return the bits without structure: with the same header as those of the codes."""
    return float(row["bits"] + math.fsum(_saved(row, s) for s in row["account"]["saved_bits"]))


def _shortest(row: Json, low_rank: float | None) -> float:
    """Return the bits of the shortest code, and one for the choice where there is one."""
    codes = [row["bits"]] if low_rank is None else [row["bits"] + 1, low_rank + 1]
    return float(min(*codes, _order0(row)))


def _draw_account(ax: Axes, chart: Chart, theme: Theme) -> None:
    along = Along(ax, chart["tensor"], theme)
    stages = [name for name in chart.columns[2:] if name != _LOW_RANK]
    other: list[Entry] = []
    if _LOW_RANK in chart.columns:
        shares = chart[_LOW_RANK]
        known = [at for at, share in enumerate(shares) if share is not None]
        names = chart["tensor"]
        tips = [f"{names[i]}: {share or 0:.2f}% by low rank" for i, share in enumerate(shares)]
        areas = 16 if along.few else min(16, max(3, 800 / len(chart.rows)))
        along.points(known, shares, theme.ink, tips, mark=2, areas=areas)
        other = [("low rank, instead", theme.ink, "2")]
    _stack(along, chart, stages, theme, "% saved", other)
    along.rule(0)
    along.label(chart.x)


ACCOUNT = FigureKind(
    name="account",
    shows="what structure saves of each tensor's bits: scale, magnitude, signed prediction",
    needs=("rows[].account",),
    made_by="score -e ctx@rd0.1,lowrank@rd0.1",
    charts=_account_charts,
    draw=_draw_account,
)


def _stack(
    along: Along,
    chart: Chart,
    parts: Sequence[str],
    theme: Theme,
    unit: str,
    other: Sequence[Entry] = (),
) -> None:
    """Stack the columns `parts`; what is below zero is stacked downwards."""
    names = chart["tensor"]
    up, down = [0.0] * len(names), [0.0] * len(names)
    entries = []
    for index, part in enumerate(parts):
        values = chart[part]
        shaded = len(parts) > _MOST_COLOURS
        colour = theme.series[0 if shaded else index]
        alpha = 1 - 0.85 * index / len(parts) if shaded else 1.0
        low = [up[at] if value >= 0 else down[at] for at, value in enumerate(values)]
        high = [a + value for a, value in zip(low, values, strict=True)]
        tips = [
            f"{name}: {part} {value:.4g} {unit}" for name, value in zip(names, values, strict=True)
        ]
        along.bars(low, high, colour, tips, alpha=alpha)
        for at, value in enumerate(values):
            (up if value >= 0 else down)[at] = high[at]
        entries.append((part, colour, f"bar:{alpha:.3f}"))
    whole = [
        f"{name}: {', '.join(f'{part} {chart[part][at]:.4g}' for part in parts)} {unit}"
        for at, name in enumerate(names)
    ]
    along.hints(down, up, whole)
    legend(along.ax, [*entries, *other], theme)
