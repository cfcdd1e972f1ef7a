"""The table of a conditional complexity."""

from __future__ import annotations

from collections.abc import Sequence

from kcomplexity.comparison.conditional_bits import ERROR, ConditionalBits
from kcomplexity.report.tables import Table
from kcomplexity.text import printable, shorten

__all__ = ["given_table"]


#: Tensors that a page shows; the JSON has all.
_MOST = 8


def given_table(rows: Sequence[ConditionalBits]) -> Table:
    """Return the tensors that cost most, then the sums: with the reference known and without."""
    chosen = [
        row
        for other in dict.fromkeys(row.other for row in rows)
        for row in _chosen([row for row in rows if row.other == other])
    ]
    at = f"{ERROR:.0%} error"
    columns = (
        "tensor",
        "dtype",
        "given",
        "alone",
        "share",
        f"given, {at}",
        f"alone, {at}",
        "share",
        "floor",
        "unchanged",
        "ncd",
        "code",
    )
    return Table(
        "bits/weight when the reference is known, and alone; lower = follows more from it",
        columns,
        tuple(_cells(row) for row in chosen),
        frozenset(range(2, 11)),
    )


def _chosen(rows: Sequence[ConditionalBits]) -> list[ConditionalBits]:
    tensors = sorted((r for r in rows if r.scope != "all"), key=lambda row: -(row.bits or 0.0))
    return [*tensors[:_MOST], *(row for row in rows if row.scope == "all")]


def _cells(row: ConditionalBits) -> tuple[str, ...]:
    def bits(value: float | None) -> str:
        return "" if value is None or not row.n_weights else f"{value / row.n_weights:.3f}"

    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    code = row.code or ""
    if row.error_code and row.error_code != row.code:
        code += f"; {row.error_code}"
    return (
        shorten(row.tensor or "all tensors", 32),
        row.dtype or "mixed",
        bits(row.bits),
        bits(row.alone_bits),
        share(row.ratio),
        bits(row.error_bits),
        bits(row.alone_error_bits),
        share(row.error_ratio),
        bits(row.floor_error_bits),
        share(row.unchanged_share),
        "" if row.ncd is None else f"{row.ncd:.3f}",
        f"{row.status}: {printable(row.reason)}" if row.reason else code,
    )
