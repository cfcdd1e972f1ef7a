"""The tables of a trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from kcomplexity.report.numbers import four_figures
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table, columns
from kcomplexity.text import percent_change, printable, short_names, shorten

_SUFFIX = {"bits_per_weight": "", "of_shuffled": " / shuffled", "value": ""}
_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "new": "rows measured in this run; the others were known",
        "tau": "Kendall's tau-b of value and step: 1 = only rises, -1 = only falls",
        "p": "two-sided, as if steps were independent, which those of one training are not",
    }
)


def steps(document: Json) -> Table:
    """Return one row per checkpoint: every figure of the whole."""
    series = [
        one
        for one in document["series"]
        if one.get("scope") == "all" and one["quantity"] != "of_shuffled"
    ]
    readable = [step for step in document["steps"] if step.get("status", "ok") == "ok"]
    names = short_names([_name(step) for step in document["steps"]], 32)
    rows = []
    for step in document["steps"]:
        ok = step in readable
        at = readable.index(step) if ok else 0
        figures = [four_figures(one["values"][at]) if ok else "" for one in series]
        new = str(step.get("n_rows", 0) - step.get("n_cached", 0)) if ok else ""
        reason = "" if ok else f"{step['status']}: {printable(step['reason'])}"
        rows.append((f"{step['step']:g}", names[_name(step)], *figures, new, reason))
    return Table(
        "over the steps, bits/weight unless a statistic: lower = simpler; new: rows measured now",
        columns(
            *("step", "checkpoint", *(one["spec"] for one in series), "new", "note"),
            numeric={0, *range(2, 3 + len(series))},
            meanings=_MEANINGS,
        ),
        tuple(rows),
    )


def trends(document: Json) -> Table:
    """Return one row per spec over all tensors: first, last, and whether it went one way."""
    rows = tuple(
        (
            *_ends(one),
            "" if one["p"] is None else f"{one['p']:.2g}",
            one["direction"],
        )
        for one in document["series"]
        if one.get("scope") == "all"
    )
    heads = ("spec", "first", "last", "change", "tau", "p", "direction")
    return Table(
        "trends of the whole: Kendall's tau with the step; p as if steps were independent, which "
        "those of one training are not",
        columns(*heads, numeric=range(1, 6), meanings=_MEANINGS),
        rows,
    )


def tensors(document: Json) -> Table:
    """Return one row per tensor and spec."""
    rows = tuple(
        (shorten(one["tensor"] or one["group"] or "all tensors"), *_ends(one))
        for one in document["series"]
        if one.get("scope") != "all"
    )
    heads = ("tensor", "spec", "first", "last", "change", "tau")
    return Table("every series", columns(*heads, numeric=range(2, 6), meanings=_MEANINGS), rows)


def _name(step: Json) -> str:
    return str(step.get("checkpoint", step["step"]))


def _ends(series: Json) -> tuple[str, ...]:
    """Return the cells of a trend: the spec, both ends, their change, Kendall's tau."""
    gap = _gap(series["steps"], series["values"])
    return (
        series["spec"] + _SUFFIX[series["quantity"]] + (f" ({gap})" if gap else ""),
        four_figures(series["first"]),
        four_figures(series["last"]),
        "" if series["change"] is None else percent_change(series["change"]),
        "" if series["tau"] is None else f"{series['tau']:+.2f}",
    )


def _gap(steps: Sequence[float], values: Sequence[float | None]) -> str:
    """Say which steps the first and the last value are of, where those are not the ends."""
    known = [step for step, value in zip(steps, values, strict=True) if value is not None]
    if not known or (known[0], known[-1]) == (steps[0], steps[-1]):
        return ""
    if len(known) == 1:
        return f"step {known[0]:g} alone"
    return f"steps {known[0]:g} to {known[-1]:g} alone"
