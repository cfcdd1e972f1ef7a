"""The tables of a trajectory."""

from __future__ import annotations

from collections.abc import Callable

from kcomplexity.report.numbers import four_figures
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table, columns, tabulate
from kcomplexity.text import percent_change, printable, short_names, shorten

_SUFFIX = {"bits_per_weight": "", "of_shuffled": " / shuffled", "value": ""}
_MEANINGS = {
    "new": "rows measured in this run; the others were known",
    "tau": "Kendall's tau-b of value and step: 1 = only rises, -1 = only falls",
    "p": "two-sided, as if steps were independent, which those of one training are not",
}


def steps(document: Json) -> Table:
    """Return one row per checkpoint: every figure of the whole."""
    series = [
        own
        for own in document["series"]
        if own.get("scope") == "all" and own["quantity"] != "of_shuffled"
    ]
    readable = [step for step in document["steps"] if step.get("status", "ok") == "ok"]
    names = short_names([_name(step) for step in document["steps"]], 32)
    rows = []
    for step in document["steps"]:
        ok = step in readable
        at = readable.index(step) if ok else 0
        figures = [four_figures(own["values"][at]) if ok else "" for own in series]
        new = str(step.get("n_rows", 0) - step.get("n_cached", 0)) if ok else ""
        reason = "" if ok else f"{step['status']}: {printable(step['reason'])}"
        rows.append((f"{step['step']:g}", names[_name(step)], *figures, new, reason))
    return Table(
        "over the steps, bits/weight unless a statistic: lower = simpler; new: rows measured now",
        columns(
            *("step", "checkpoint", *(own["spec"] for own in series), "new", "note"),
            numeric={0, *range(2, 3 + len(series))},
            meanings=_MEANINGS,
        ),
        tuple(rows),
    )


def trends(document: Json) -> Table:
    """Return one row per spec over all tensors: first, last, and whether it went one way."""
    return tabulate(
        "trends of the whole: Kendall's tau with the step; p as if steps were independent, which "
        "those of one training are not",
        [series for series in document["series"] if series.get("scope") == "all"],
        *_ENDS,
        ("p", lambda series: "" if series["p"] is None else f"{series['p']:.2g}"),
        ("direction", lambda series: series["direction"]),
        numeric=range(1, 6),
        meanings=_MEANINGS,
    )


def tensors(document: Json) -> Table:
    """Return one row per tensor and spec."""
    return tabulate(
        "every series",
        [series for series in document["series"] if series.get("scope") != "all"],
        ("tensor", lambda series: shorten(series["tensor"] or series["group"] or "all tensors")),
        *_ENDS,
        numeric=range(2, 6),
        meanings=_MEANINGS,
    )


def _name(step: Json) -> str:
    return str(step.get("checkpoint", step["step"]))


def _spec(series: Json) -> str:
    """Return the spec, with the steps of its values where those do not reach both ends."""
    steps, name = series["steps"], str(series["spec"]) + _SUFFIX[series["quantity"]]
    known = [step for step, v in zip(steps, series["values"], strict=True) if v is not None]
    if not known or (known[0], known[-1]) == (steps[0], steps[-1]):
        return name
    if len(known) == 1:
        return f"{name} (step {known[0]:g} alone)"
    return f"{name} (steps {known[0]:g} to {known[-1]:g} alone)"


_ENDS: tuple[tuple[str, Callable[[Json], str]], ...] = (
    ("spec", _spec),
    ("first", lambda series: four_figures(series["first"])),
    ("last", lambda series: four_figures(series["last"])),
    ("change", lambda s: "" if s["change"] is None else percent_change(s["change"])),
    ("tau", lambda series: "" if series["tau"] is None else f"{series['tau']:+.2f}"),
)
