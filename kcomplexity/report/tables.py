"""What the tables for people show: cells and columns, whatever they are drawn with.

The terminal, Markdown and notebooks draw the same :class:`Table`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from kcomplexity.report.main_code import main_spec
from kcomplexity.results.control_results import ControlResult
from kcomplexity.results.records import Report, Score
from kcomplexity.text import human_bytes, plural, printable, shape_text, shorten, without_numbers

__all__ = ["Table", "extremes", "full_table", "problems", "summary_tables"]


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
    caption : str
        What its columns mean, where that is not plain; one line for each.
    bar : int or None
        Column whose numbers have one unit, from zero up: a terminal may draw them as bars.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    caption: str = ""
    bar: int | None = None


def summary_tables(report: Report) -> list[Table]:
    """Return the whole: codes, estimates and statistics apart, a row per checkpoint and spec."""
    found = []
    for kind, title in _KINDS.items():
        rows = [row for row in report.summary if row.kind == kind]
        if rows:
            found.append(_summary_table(title, rows, report))
    if found:
        found[-1] = replace(found[-1], caption=_caption(report))
    return found


#: What a person has to know of each kind of figure before reading one.
_KINDS = {
    "code": "the whole by decodable codes, all side information included: lower = simpler",
    "estimate": "the whole by estimates, which nothing decodes: lower = simpler",
    "statistic": "the whole by statistics",
}


def _summary_table(title: str, rows: Sequence[Score], report: Report) -> Table:
    is_code, is_statistic = rows[0].kind == "code", rows[0].kind == "statistic"
    names = _short_paths([info.path for info in report.checkpoints])
    columns: dict[str, list[str]] = {
        "checkpoint": [names[row.checkpoint] for row in rows],
        "spec": [row.spec for row in rows],
        "value": [_number(row.value) for row in rows],
        "unit": [f"{row.unit}, {row.direction}" for row in rows],
        "bits/weight": [_bits(row) for row in rows],
        "size": [human_bytes(row.bits / 8) if row.bits is not None else "" for row in rows],
        "error": [_error(row) for row in rows],
    }
    for kind in _control_kinds(report):
        columns[f"of {kind}"] = [_of_control(row.control(kind)) for row in rows]
    columns["largest"] = [f"{_largest_share(row, report.rows):.0%}" for row in rows]
    weights = _weights_by_checkpoint(report)
    columns["note"] = [_note(row, weights[row.checkpoint]) for row in rows]
    hidden = {"bits/weight", "size", "error"} if is_statistic else {"value", "unit"}
    hidden |= set() if is_code else {"size"}
    hidden |= set() if len(report.checkpoints) > 1 else {"checkpoint"}
    shown = {name: cells for name, cells in columns.items() if name not in hidden and any(cells)}
    left = {"checkpoint", "spec", "unit", "note"}
    return Table(
        title,
        tuple(shown),
        tuple(zip(*shown.values(), strict=True)),
        frozenset(i for i, name in enumerate(shown) if name not in left),
    )


def _caption(report: Report) -> str:
    """Say what the columns mean that not every table of figures has."""
    lines = ["largest: the largest tensor's share of the weights measured"]
    if any(row.relative_mse is not None for row in report.summary):
        lines.append(
            "error: squared, over the sum of squares, of all tensors together: the largest weights "
            "decide it; @rd: in each tensor"
        )
    for kind in _control_kinds(report):
        lines += [f"of {kind}: bits over its replicates' mean, and below how many"]
    return "\n".join(lines)


def _control_kinds(report: Report) -> list[str]:
    kinds = (control.kind for row in report.summary for control in row.controls)
    return list(dict.fromkeys(kinds))


def _short_paths(paths: Sequence[str]) -> dict[str, str]:
    """Return each path without the folders that all of them share."""
    # By characters: commonpath() refuses absolute and relative paths together.
    shared = os.path.commonprefix(list(paths))  # noqa: RUF071
    start = max(shared.rfind("/"), shared.rfind(os.sep)) + 1
    return {path: shorten(path[start:], 28) for path in paths}


def _weights_by_checkpoint(report: Report) -> dict[str, int]:
    """Return how many weights were to be measured in each checkpoint."""
    sizes = {
        (row.checkpoint, row.label, row.dtype): row.n_weights
        for row in report.rows
        if not row.side_of
    }
    totals: dict[str, int] = {}
    for (checkpoint, _, dtype), n_weights in sizes.items():
        # Tensors of mixed dtypes are measured by dtype as well.
        totals[checkpoint] = totals.get(checkpoint, 0) + (n_weights if dtype else 0)
    return totals


def _largest_share(total: Score, rows: Sequence[Score]) -> float:
    sizes = [
        row.largest[1]
        for row in rows
        if (row.checkpoint, row.spec, row.status) == (total.checkpoint, total.spec, "ok")
    ]
    return max(sizes) / max(total.n_weights, 1)


def _note(row: Score, n_selected: int) -> str:
    found = []
    if row.n_weights < 0.995 * n_selected:
        found.append(f"{_share(row.n_weights / n_selected)} of weights")
    if row.sampled_fraction < 1:
        found.append(f"{_share(row.sampled_fraction)} sampled")
    if row.saturated:
        found.append("saturated")
    return ", ".join(found)


def _share(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else "99%"


def _error(row: Score) -> str:
    """Return the squared error in percent, which is none of what stores the weights."""
    if row.decodes == "weights":
        return "none"
    return f"{100 * row.relative_mse:.2g}%" if row.relative_mse is not None else ""


def _of_control(control: ControlResult | None) -> str:
    """Effect size first, then how many replicates agree."""
    if control is None:
        return ""
    if control.ratio is None:
        return "none"
    return f"{control.ratio:.3f} {control.n_lower}/{control.n}"


def _bits(row: Score) -> str:
    text = _number(row.bits_per_weight)
    if row.se_bits is not None:
        text += f" ± {row.se_bits / row.n_weights:.2g}"
    return text


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4g}"


def full_table(report: Report) -> Table:
    """Return every row, in order."""
    columns = (
        *("tensor", "shape", "dtype", "spec"),
        *("bits/weight", "value", "unit", "raw/comp", "vs controls", "note"),
    )
    rows = tuple(
        (
            printable(row.label),
            shape_text(row.shape or ()),
            row.dtype or "mixed",
            row.spec,
            _bits(row),
            _number(row.value) if row.kind == "statistic" else "",
            row.unit if row.kind == "statistic" else "",
            f"{row.ratio_raw_over_comp:.3f}" if row.ratio_raw_over_comp else "",
            "; ".join(f"{_of_control(c)} of {c.kind}" for c in row.controls),
            f"{row.status}: {printable(row.reason)}" if row.reason else "",
        )
        for row in report.rows
    )
    return Table("every row", columns, rows, frozenset({4, 5, 7}))


def extremes(rows: Sequence[Score]) -> list[Table]:
    """Return the tensors that are simplest and most complex for their size, by the main code.

    The main code is the first at a fixed error, else the first lossy one, else the first, that
    takes most of the weights; a tensor must hold at least a thousandth of them: side information
    makes small ones look complex.
    """
    spec = main_spec(vars(row) for row in rows)
    chosen = [row for row in rows if row.spec == spec and row.bits_per_weight is not None]
    total = sum(row.n_weights for row in rows if row.spec == spec)
    chosen = [row for row in chosen if row.n_weights >= total / 1000]
    if len(chosen) < 2:
        return []
    chosen.sort(key=lambda row: (row.bits_per_weight or 0.0, row.label))
    n = min(5, len(chosen) // 2)
    return [
        _extreme(f"simplest for their size ({spec})", chosen[:n], total),
        _extreme(f"most complex for their size ({spec})", chosen[: -n - 1 : -1], total),
    ]


def _extreme(title: str, rows: Sequence[Score], total: int) -> Table:
    cells = tuple(
        (
            shorten(row.label),
            shape_text(row.shape or ()),
            row.dtype or "mixed",
            f"{row.n_weights / total:.1%}",
            _number(row.bits_per_weight),
        )
        for row in rows
    )
    columns = ("tensor", "shape", "dtype", "share of weights", "bits/weight")
    return Table(title, columns, cells, frozenset({3, 4}), bar=4)


def problems(rows: Sequence[Score]) -> list[str]:
    """Return one line per kind of reason for which rows were skipped or failed, failures first.

    Reasons that differ only in their numbers are one kind; the first is told.
    """
    kinds: dict[tuple[str, str], list[Score]] = {}
    for row in sorted(rows, key=lambda row: row.status):
        if row.reason:
            kinds.setdefault((row.status, without_numbers(row.reason)), []).append(row)
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
