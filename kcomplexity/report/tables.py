"""What the tables for people show: cells and columns, whatever they are drawn with.

The terminal, Markdown and notebooks draw the same :class:`Table`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kcomplexity.records import Report, Score
from kcomplexity.text import human_bytes, plural, printable, shorten

__all__ = ["Table", "extremes", "full_table", "problems", "summary_table"]


@dataclass(frozen=True)
class Table:
    """A small table.

    Attributes
    ----------
    title : str
    columns : tuple of str
    rows : tuple of tuple of str
    numeric : frozenset of int
        Columns that are aligned to the right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


def summary_table(report: Report) -> Table:
    """One row per checkpoint and spec: the whole."""
    many = len(report.checkpoints) > 1
    weights = _weights_by_checkpoint(report)
    columns = ("spec", "bits/weight", "size", "raw/comp", "error", "vs controls", "what it is")
    rows = [
        ((shorten(row.checkpoint, 28),) if many else ())
        + _summary_cells(row, weights[row.checkpoint])
        for row in report.summary
    ]
    first = 2 if many else 1
    return Table(
        "the whole: lower = simpler",
        (("checkpoint",) if many else ()) + columns,
        tuple(rows),
        frozenset(range(first, first + 4)),
    )


def _weights_by_checkpoint(report: Report) -> dict[str, int]:
    """Return how many weights were to be measured in each checkpoint."""
    sizes = {(row.checkpoint, row.label, row.dtype): row.n_weights for row in report.rows}
    totals: dict[str, int] = {}
    for (checkpoint, _, dtype), n_weights in sizes.items():
        # Tensors of mixed dtypes are measured by dtype as well.
        totals[checkpoint] = totals.get(checkpoint, 0) + (n_weights if dtype else 0)
    return totals


def _summary_cells(row: Score, n_selected: int) -> tuple[str, ...]:
    what = "code" if row.kind == "code" else row.kind
    if row.decodes:
        what += f" of the {row.decodes}"
    if row.kind == "statistic":
        what = f"{row.unit}, {row.direction}"
    if row.sampled_fraction < 1:
        what += f", {row.sampled_fraction:.0%} sampled"
    if row.n_weights < 0.995 * n_selected:
        what += f", on {row.n_weights / n_selected:.2g} of the weights"
    if row.saturated:
        what += ", saturated"
    return (
        row.spec,
        _bits(row) if row.kind != "statistic" else _number(row.value),
        human_bytes(row.bits / 8) if row.bits is not None and row.kind == "code" else "",
        f"{row.ratio_raw_over_comp:.3f}" if row.ratio_raw_over_comp else "",
        f"{100 * row.relative_mse:.2g}%" if row.relative_mse is not None else "",
        _controls(row),
        what,
    )


def _bits(row: Score) -> str:
    text = _number(row.bits_per_weight)
    if row.se_bits is not None:
        text += f" ± {row.se_bits / row.n_weights:.2g}"
    return text


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def _controls(row: Score) -> str:
    """Effect size first, then how many replicates agree."""
    return "; ".join(
        f"{c['ratio']:.3f} of {c['kind']} ({c['n_lower']} of {c['n']} lower)"
        if c["ratio"] is not None
        else f"{c['kind']}: none"
        for c in row.controls
    )


def full_table(report: Report) -> Table:
    """Return every row, in order."""
    columns = ("tensor", "shape", "dtype", "spec", "bits/weight", "raw/comp", "vs controls", "note")
    rows = tuple(
        (
            printable(row.label),
            "x".join(map(str, row.shape or ())) or "scalar",
            row.dtype or "mixed",
            row.spec,
            _bits(row) if row.kind != "statistic" else _number(row.value),
            f"{row.ratio_raw_over_comp:.3f}" if row.ratio_raw_over_comp else "",
            _controls(row),
            f"{row.status}: {printable(row.reason)}" if row.reason else "",
        )
        for row in report.rows
    )
    return Table("every row", columns, rows, frozenset({4, 5}))


def extremes(rows: Sequence[Score], n: int = 5) -> list[Table]:
    """Return the tensors that are simplest and most complex for their size, by the main code.

    The main code is the first at a fixed error, else the first lossy one, else the first; a tensor
    must hold at least a thousandth of the weights: side information makes small ones look complex.
    """
    spec = _main_spec(rows)
    chosen = [row for row in rows if row.spec == spec and row.bits_per_weight is not None]
    total = sum(row.n_weights for row in chosen)
    chosen = [row for row in chosen if row.n_weights >= total / 1000]
    if len(chosen) < 2:
        return []
    chosen.sort(key=lambda row: (row.bits_per_weight or 0.0, row.label))
    n = min(n, len(chosen) // 2)
    return [
        _extreme(f"simplest for their size ({spec})", chosen[:n], total),
        _extreme(f"most complex for their size ({spec})", chosen[: -n - 1 : -1], total),
    ]


def _main_spec(rows: Sequence[Score]) -> str | None:
    codes = [row for row in rows if row.status == "ok" and row.kind == "code"]
    at_error = [row for row in codes if row.view and row.view.startswith("rd")]
    lossy = [row for row in codes if row.decodes == "view"]
    found = at_error or lossy or codes or [row for row in rows if row.bits is not None]
    return found[0].spec if found else None


def _extreme(title: str, rows: Sequence[Score], total: int) -> Table:
    cells = tuple(
        (
            shorten(row.label),
            "x".join(map(str, row.shape or ())) or "scalar",
            row.dtype or "mixed",
            f"{row.n_weights / total:.1%}",
            _number(row.bits_per_weight),
        )
        for row in rows
    )
    columns = ("tensor", "shape", "dtype", "share of weights", "bits/weight")
    return Table(title, columns, cells, frozenset({3, 4}))


def problems(rows: Sequence[Score]) -> list[str]:
    """Return one line per kind of reason for which rows were skipped or failed, failures first.

    Reasons that differ only in their numbers are one kind; the first is told.
    """
    kinds: dict[tuple[str, str], list[Score]] = {}
    for row in sorted(rows, key=lambda row: row.status):
        if row.reason:
            kinds.setdefault((row.status, re.sub(r"\d+", "#", row.reason)), []).append(row)
    return [_problem(status, rows) for (status, _), rows in kinds.items()]


def _problem(status: str, rows: Sequence[Score]) -> str:
    sizes = {row.label: row.n_bytes for row in rows}
    names = ", ".join(shorten(name, 32) for name in list(sizes)[:3])
    more = ", ..." if len(sizes) > 3 else ""
    specs = ", ".join(dict.fromkeys(row.spec for row in rows))
    reasons = {row.reason for row in rows}
    example = "e.g. " if len(reasons) > 1 else ""
    return (
        f"{status}: {plural(len(sizes), 'tensor')} of {human_bytes(sum(sizes.values()))} "
        f"({names}{more}) by {specs}: {example}{printable(rows[0].reason)}"
    )
