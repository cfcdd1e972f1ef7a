"""The tables of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from kcomplexity.comparison.align import Unmatched
from kcomplexity.comparison.changes import Change, Effect
from kcomplexity.report.tables import Table
from kcomplexity.text import (
    human_bytes,
    percent_change,
    plural,
    printable,
    shape_text,
    short_names,
    shorten,
    without_numbers,
)

if TYPE_CHECKING:
    from kcomplexity.comparison.compare import Comparison

__all__ = ["changes_table", "most_changed", "not_compared", "remarks", "whole_table"]

_LABELS = ("total", "histogram", "arrangement")


def whole_table(comparison: Comparison) -> Table:
    """One row per comparison and spec: both sides and the three changes, over all tensors."""
    several = len({(row.reference, row.other) for row in comparison.summary}) > 1
    runs = any(row.paired is not None for row in comparison.summary)
    extra = _interval if runs else _leave_one_out
    names = _names_of(comparison)
    columns = ("spec", "reference", "other", *_LABELS, "agree", "range", "what it is")
    rows = tuple(
        ((names[row.other],) if several else ())
        + (
            row.spec,
            _amount(row, row.reference_bits_per_weight, row.reference_value),
            _amount(row, row.bits_per_weight, row.value),
            *_percents(row),
            _agreement(row.structure or row.total),
            extra(row.structure or row.total),
            _what(row),
        )
        for row in comparison.summary
    )
    first = 2 if several else 1
    what = "95 % t-interval over runs" if runs else "when any one tensor is left out"
    return Table(
        f"the whole, bits/weight: lower = simpler; range: of the arrangement (else of the total), "
        f"{what}",
        (("other",) if several else ()) + columns,
        rows,
        frozenset(range(first, first + 7)),
    )


def changes_table(comparison: Comparison) -> Table:
    """Return every row, in order."""
    names = _names_of(comparison)
    columns = (
        "other",
        "tensor",
        "shape",
        "dtype",
        "spec",
        "reference",
        "bits/weight",
        *_LABELS,
        "unchanged",
        "note",
    )
    rows = tuple(
        (
            names[row.other],
            printable(row.label),
            shape_text(row.shape or ()),
            _dtypes(row),
            row.spec,
            _amount(row, row.reference_bits_per_weight, row.reference_value),
            _amount(row, row.bits_per_weight, row.value),
            *_percents(row),
            "" if row.unchanged_share is None else f"{row.unchanged_share:.1%}",
            f"{row.status}: {printable(row.reason)}" if row.reason else "",
        )
        for row in comparison.rows
    )
    return Table("every row", columns, rows, frozenset(range(5, 11)))


def most_changed(comparison: Comparison) -> list[Table]:
    """Return the five tensors that changed most, by the first spec with shuffles."""
    rows, names = comparison.rows, _names_of(comparison)
    spec = next((row.spec for row in rows if row.structure), None) or next(
        (row.spec for row in rows if row.total and row.bits is not None), None
    )
    tables = []
    for other in dict.fromkeys(row.other for row in rows):
        chosen = [
            row for row in rows if row.spec == spec and row.other == other and row.total is not None
        ]
        if len(chosen) < 2:
            continue
        total = sum(row.n_weights for row in chosen)
        chosen.sort(key=lambda row: -abs((row.bits or 0.0) - (row.reference_bits or 0.0)))
        of = f", {names[other]}" if len(comparison.checkpoints) > 2 else ""
        cells = tuple(
            (
                shorten(row.label),
                shape_text(row.shape or ()),
                f"{row.n_weights / total:.1%}",
                _amount(row, row.reference_bits_per_weight, None),
                _amount(row, row.bits_per_weight, None),
                *_percents(row),
                "" if row.unchanged_share is None else f"{row.unchanged_share:.1%}",
            )
            for row in chosen[:5]
        )
        columns = ("tensor", "shape", "share", "reference", "other", *_LABELS, "unchanged")
        tables.append(Table(f"changed most ({spec}{of})", columns, cells, frozenset(range(2, 9))))
    return tables


def remarks(comparison: Comparison) -> list[str]:
    """Return one line per reason for which something was not compared."""
    lines = [f"warning: {text}" for text in comparison.warnings]
    lines += not_compared(comparison.unmatched)
    kinds: dict[tuple[str, str], list[Change]] = {}
    for row in comparison.rows:
        if row.reason:
            kinds.setdefault((row.status, without_numbers(row.reason)), []).append(row)
    for (status, _), rows in kinds.items():
        specs = ", ".join(dict.fromkeys(row.spec for row in rows))
        names = dict.fromkeys(row.label for row in rows)
        lines.append(f"{status}: {_names(names)} by {specs}: e.g. {printable(rows[0].reason)}")
    return lines


def not_compared(unmatched: Iterable[Unmatched]) -> list[str]:
    """Return one line per checkpoint and reason for which tensors have no counterpart."""
    reasons: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for one in unmatched:
        reasons.setdefault((one.checkpoint, one.reason), []).append((one.tensor, one.n_bytes))
    return [
        f"not compared: {_named(tensors)} of {shorten(checkpoint, 40)}: {reason}"
        for (checkpoint, reason), tensors in reasons.items()
    ]


def _names_of(comparison: Comparison) -> dict[str, str]:
    return short_names(dict.fromkeys(row.other for row in comparison.rows), 28)


def _named(tensors: Sequence[tuple[str, int]]) -> str:
    size = human_bytes(sum(n_bytes for _, n_bytes in tensors))
    return f"{plural(len(tensors), 'tensor')} of {size} ({_names(name for name, _ in tensors)})"


def _names(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(shorten(name, 32) for name in known[:3]) + (", ..." if len(known) > 3 else "")


def _amount(row: Change, per_weight: float | None, value: float | None) -> str:
    found = per_weight if per_weight is not None else value
    return "" if found is None else f"{found:.4g}" if row.kind == "statistic" else f"{found:.3f}"


def _percents(row: Change) -> tuple[str, str, str]:
    total, values, structure = (
        "" if change is None else percent_change(change)
        for change in (row.total_change, row.values_change, row.structure_change)
    )
    return total, values, structure


def _agreement(effect: Effect | None) -> str:
    if effect is None:
        return ""
    parts = effect.runs or effect.seeds
    return f"{effect.n_agree} of {len(parts)}" if parts else ""


def _leave_one_out(effect: Effect | None) -> str:
    return "" if effect is None else _span(effect.leave_one_out)


def _interval(effect: Effect | None) -> str:
    if effect is None or effect.interval is None:
        return ""
    word = {True: "differs", False: "not shown", None: ""}[effect.differs]
    return f"{_span(effect.interval)} {word}".rstrip()


def _span(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{percent_change(ends[0])} to {percent_change(ends[1])}"


def _what(row: Change) -> str:
    if row.kind == "statistic":
        return f"{row.unit}, {row.direction}"
    what = row.kind + (f" of the {row.decodes}" if row.decodes else "")
    if row.relative_mse is not None and row.reference_relative_mse is not None:
        what += f", error {100 * row.reference_relative_mse:.2g}->{100 * row.relative_mse:.2g}%"
    if row.sampled_fraction < 1:
        what += f", {row.sampled_fraction:.0%} sampled"
    return what


def _dtypes(row: Change) -> str:
    if row.reference_dtype == row.dtype:
        return row.dtype or "mixed"
    return f"{row.reference_dtype or 'mixed'}->{row.dtype or 'mixed'}"
