"""The tables of a trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcomplexity.report.tables import Table, problems
from kcomplexity.text import printable, short_names, shorten

if TYPE_CHECKING:
    from kcomplexity.training.series import Series, Step
    from kcomplexity.training.trajectory import Trajectory

__all__ = ["remarks", "steps_table", "tensors_table", "trends_table"]

_WHAT = {"bits_per_weight": "", "of_shuffled": " / shuffled", "value": ""}


def steps_table(found: Trajectory) -> Table:
    """One row per checkpoint: every figure of the whole."""
    series = [one for one in found.series if one.scope == "all" and one.quantity != "of_shuffled"]
    columns = ("step", "checkpoint", *(one.spec for one in series), "new", "note")
    names = short_names([step.checkpoint for step in found.steps], 32)
    rows = tuple(_cells(found, step, names[step.checkpoint], series) for step in found.steps)
    return Table(
        "over the steps, bits/weight unless a statistic: lower = simpler; new: rows measured now",
        columns,
        rows,
        frozenset({0, *range(2, 3 + len(series))}),
    )


def _cells(found: Trajectory, step: Step, name: str, series: list[Series]) -> tuple[str, ...]:
    """Return the cells of one checkpoint."""
    readable = [one for one in found.steps if one.status == "ok"]
    if step.status != "ok":
        blank = ("",) * len(series)
        reason = f"{step.status}: {printable(step.reason)}"
        return f"{step.step:g}", name, *blank, "", reason
    at = readable.index(step)
    figures = (_number(one.values[at]) for one in series)
    new = str(step.n_rows - step.n_cached)
    return f"{step.step:g}", name, *figures, new, ""


def trends_table(found: Trajectory) -> Table:
    """One row per spec over all tensors: first, last, and whether it went one way."""
    columns = ("spec", "first", "last", "change", "tau", "p", "direction")
    rows = tuple(
        (
            _named(one),
            _number(one.first),
            _number(one.last),
            "" if one.change is None else f"{one.change:+.1%}",
            "" if one.tau is None else f"{one.tau:+.2f}",
            "" if one.p is None else f"{one.p:.2g}",
            one.direction,
        )
        for one in found.series
        if one.scope == "all"
    )
    return Table(
        "trends of the whole: Kendall's tau with the step; p as if steps were independent, which "
        "those of one training are not",
        columns,
        rows,
        frozenset({1, 2, 3, 4, 5}),
    )


def tensors_table(found: Trajectory) -> Table:
    """One row per tensor and spec."""
    columns = ("tensor", "spec", "first", "last", "change", "tau")
    rows = tuple(
        (
            shorten(one.tensor or one.group or "all tensors"),
            _named(one),
            _number(one.first),
            _number(one.last),
            "" if one.change is None else f"{one.change:+.1%}",
            "" if one.tau is None else f"{one.tau:+.2f}",
        )
        for one in found.series
        if one.scope != "all"
    )
    return Table("every series", columns, rows, frozenset({2, 3, 4, 5}))


def _named(one: Series) -> str:
    return one.spec + _WHAT[one.quantity] + (f" ({one.gap})" if one.gap else "")


def remarks(found: Trajectory) -> list[str]:
    """Return where the steps are from, and one line per reason for what was not measured."""
    unread = [
        f"step {step.step:g}, {shorten(step.checkpoint)}: {printable(step.reason)}"
        for step in found.steps
        if step.reason
    ]
    return [*found.notes, *unread, *problems(found.rows)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
