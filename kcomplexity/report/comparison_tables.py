"""The tables of a comparison, and of a conditional complexity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from kcomplexity.report.glossary import TERMS, definitions
from kcomplexity.report.rows import Json, label, problem, specs_of
from kcomplexity.report.score_tables import per_tensor
from kcomplexity.report.table import Column, Table, tabulate
from kcomplexity.text import percent_change, printable, shape_text, short_names, shorten

_Cell: TypeAlias = Callable[[Json], str]

#: The parts of a change, the fields that have them, and what they mean.
_CHANGES = {
    "total": "total_change",
    "histogram": "values_change",
    "arrangement": "structure_change",
}
_MEANINGS = {name: TERMS[f"{name} %"] for name in _CHANGES} | {
    "spec": TERMS["spec"],
    "reference": "bits/weight of the reference, or its statistic; lower = simpler",
    "other": "bits/weight of the other, or its statistic; lower = simpler",
    "bits/weight": TERMS["bits/weight"],
    "agree": "how many of the shuffles, or of the pairs of runs, have the sign of the change",
    "unchanged": "share of the weights whose stored bits are the same on both sides",
}


def _percent_of(key: str) -> _Cell:
    return lambda row: "" if row.get(key) is None else percent_change(row[key])


_PERCENTS = tuple((name, _percent_of(key)) for name, key in _CHANGES.items())
_SIDES: tuple[tuple[str, _Cell], ...] = (
    ("reference", lambda row: _amount(row, "reference_bits_per_weight", "reference_value")),
    ("other", lambda row: _amount(row, "bits_per_weight", "value")),
)


def whole(document: Json) -> Table:
    """Return one row per comparison and spec: both sides and the three changes, over all."""
    summary = document.get("summary", ())
    runs = any(row.get("paired") is not None for row in summary)
    what = "95 % t-interval over runs" if runs else "when any one tensor is left out"
    table = tabulate(
        f"the whole, bits/weight: lower = simpler; range: of the arrangement (else of the total), "
        f"{what}",
        summary,
        ("spec", lambda row: printable(row["spec"])),
        *_SIDES,
        *_PERCENTS,
        ("agree", _agreement),
        ("range", _interval if runs else _leave_one_out),
        ("what it is", _what_it_is),
        numeric=range(1, 8),
        meanings=_MEANINGS,
    )
    if len({(row.get("reference"), row.get("other")) for row in summary}) < 2:
        return table
    names = _names_of_others(document)
    rows = zip((names[str(row["other"])] for row in summary), table.rows, strict=True)
    columns = (Column("other"), *table.columns)
    return replace(table, columns=columns, rows=tuple((name, *row) for name, row in rows))


def every_row(document: Json) -> Table:
    """Return every row, in order."""
    names = _names_of_others(document)
    (reference, bits_before), (_, bits) = _SIDES
    return tabulate(
        "every row",
        document["rows"],
        ("other", lambda row: names[str(row["other"])]),
        ("tensor", lambda row: printable(label(row))),
        ("shape", lambda row: shape_text(row["shape"] or ())),
        ("dtype", _dtypes),
        ("spec", lambda row: row["spec"]),
        (reference, bits_before),
        ("bits/weight", bits),
        *_PERCENTS,
        ("unchanged", lambda row: _percent(row["unchanged_share"])),
        ("note", problem),
        numeric=range(5, 11),
        meanings=_MEANINGS,
    )


def most_changed(document: Json) -> list[Table]:
    """Return the five tensors that changed most, by the first spec with shuffles."""
    rows, names = document["rows"], _names_of_others(document)
    spec = next((row["spec"] for row in rows if row["structure"]), None) or next(
        (row["spec"] for row in rows if row["total"] and row["bits"] is not None), None
    )
    tables = []
    for other in names:
        chosen = [row for row in rows if (row["spec"], row["other"]) == (spec, other)]
        chosen = [row for row in chosen if row["total"] is not None]
        if len(chosen) > 1:
            of = f", {names[other]}" if len(document["checkpoints"]) > 2 else ""
            tables.append(_most_changed(f"changed most ({spec}{of})", chosen))
    return tables


def _most_changed(title: str, rows: Sequence[Json]) -> Table:
    total = sum(row["n_weights"] for row in rows)
    return tabulate(
        title,
        sorted(rows, key=lambda row: -abs((row["bits"] or 0.0) - (row["reference_bits"] or 0.0)))[
            :5
        ],
        ("tensor", lambda row: shorten(label(row))),
        ("shape", lambda row: shape_text(row["shape"] or ())),
        ("share", lambda row: f"{row['n_weights'] / total:.1%}"),
        *_SIDES,
        *_PERCENTS,
        ("unchanged", lambda row: _percent(row["unchanged_share"])),
        numeric=range(2, 9),
        meanings=_MEANINGS,
    )


def by_tensor(document: Json) -> list[Table]:
    """Return, for each of the others, one row a tensor and the changes by each spec."""
    others: dict[str, list[Json]] = {}
    for row in document["rows"]:
        if row.get("tensor"):
            others.setdefault(str(row.get("other", "")), []).append(row)
    return [_of_other(rows, other if len(others) > 1 else "") for other, rows in others.items()]


def _of_other(rows: Sequence[Json], other: str) -> Table:
    specs = specs_of(rows)
    meanings = definitions(specs)
    columns = [
        (
            Column(f"{spec}: {name} %", f"{meanings.get(spec, spec)}. {TERMS[f'{name} %']}", True),
            spec,
            _signed(key),
        )
        for spec in specs
        for name, key in _CHANGES.items()
        if name != "histogram"  # what the other two leave
        and any(row["spec"] == spec and row.get(key) is not None for row in rows)
    ]
    title = "The change of every tensor" + (f" in {printable(other)}" if other else "")
    return per_tensor(title, rows, columns)


def _names_of_others(document: Json) -> dict[str, str]:
    return short_names(dict.fromkeys(str(row.get("other", "")) for row in document["rows"]), 28)


def _amount(row: Json, per_weight: str, value: str) -> str:
    amount = row.get(value) if row.get(per_weight) is None else row[per_weight]
    if amount is None:
        return ""
    return f"{amount:.4g}" if row.get("kind") == "statistic" else f"{amount:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _signed(key: str) -> _Cell:
    return lambda row: "" if row.get(key) is None else f"{100 * row[key]:+.2f}"


def _effect(row: Json) -> Json:
    return row.get("structure") or row.get("total") or {}


def _agreement(row: Json) -> str:
    effect = _effect(row)
    parts = effect.get("runs") or effect.get("seeds")
    return f"{effect['n_agree']} of {len(parts)}" if parts else ""


def _leave_one_out(row: Json) -> str:
    return _span(_effect(row).get("leave_one_out"))


def _interval(row: Json) -> str:
    effect = _effect(row)
    if effect.get("interval") is None:
        return ""
    word = {True: "differs", False: "not shown", None: ""}[effect["differs"]]
    return f"{_span(effect['interval'])} {word}".rstrip()


def _span(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{percent_change(ends[0])} to {percent_change(ends[1])}"


def _what_it_is(row: Json) -> str:
    if row["kind"] == "statistic":
        return f"{row['unit']}, {row['direction']}"
    what = str(row["kind"]) + (f" of the {row['decodes']}" if row.get("decodes") else "")
    before, after = row.get("reference_relative_mse"), row.get("relative_mse")
    if before is not None and after is not None:
        what += f", error {100 * before:.2g}->{100 * after:.2g}%"
    if row.get("sampled_fraction", 1) < 1:
        what += f", {row['sampled_fraction']:.0%} sampled"
    return what


def _dtypes(row: Json) -> str:
    both = (row["reference_dtype"] or "mixed", row["dtype"] or "mixed")
    return "->".join(dict.fromkeys(both))


#: Relative squared error of the lossy codes of a conditional complexity.
_ERROR = 0.01
#: Tensors that a table for a terminal shows; the page and the JSON have all.
_MOST = 8


def conditional(rows: Sequence[Json], *, everything: bool = False) -> Table:
    """Return the tensors that cost most, or all, then the sums: with the reference and without."""
    chosen = []
    for other in dict.fromkeys(row["other"] for row in rows):
        own = [row for row in rows if row["other"] == other]
        tensors = [row for row in own if row["scope"] != "all"]
        tensors.sort(key=lambda row: -(row["bits"] or 0.0))
        chosen += tensors if everything else tensors[:_MOST]
        chosen += [row for row in own if row["scope"] == "all"]
    at = f"{_ERROR:.0%} error"
    meanings = _MEANINGS | {
        "given": "bits/weight when the reference is known",
        "alone": "bits/weight of the shortest code that does without the reference",
        "share": "the one over the other: 0 = follows from the reference, 1 = nothing does",
        "floor": "the same error when a rerun is known as well: the noise of the training",
        "ncd": "normalised compression distance",
    }
    return tabulate(
        "bits/weight when the reference is known, and alone; lower = follows more from it",
        chosen,
        ("tensor", lambda row: shorten(row["tensor"] or "all tensors", 32)),
        ("dtype", lambda row: row["dtype"] or "mixed"),
        ("given", _per_weight("bits")),
        ("alone", _per_weight("alone_bits")),
        ("share", lambda row: _percent(row["ratio"])),
        (f"given, {at}", _per_weight("error_bits")),
        (f"alone, {at}", _per_weight("alone_error_bits")),
        ("share", lambda row: _percent(row["error_ratio"])),
        ("floor", _per_weight("floor_error_bits")),
        ("unchanged", lambda row: _percent(row["unchanged_share"])),
        ("ncd", lambda row: "" if row["ncd"] is None else f"{row['ncd']:.3f}"),
        ("code", lambda row: problem(row) or _codes(row)),
        numeric=range(2, 11),
        meanings=meanings,
    )


def _per_weight(name: str) -> _Cell:
    return lambda row: (
        "" if row[name] is None or not row["n_weights"] else f"{row[name] / row['n_weights']:.3f}"
    )


def _codes(row: Json) -> str:
    other = row["error_code"] if row["error_code"] != row["code"] else None
    return (row["code"] or "") + (f"; {other}" if other else "")
