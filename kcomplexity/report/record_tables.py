"""The tables of results that are not about specs: fits, sweeps, bounds, calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kcomplexity.report.glossary import TERMS
from kcomplexity.report.numbers import any_value, four_figures, gaussian_bits
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Column, Table, columns
from kcomplexity.text import printable, shorten

_MOST_COLUMNS = 14


# --- Any record --------------------------------------------------------------------------------


def lists(document: Json, names: Sequence[str]) -> list[Table]:
    """Return the lists of records of those names, as they are."""
    return [_records(name, document[name]) for name in names if document.get(name)]


def _records(name: str, items: Sequence[Json]) -> Table:
    """Return a list of records without the fields that hold more than one value."""
    known = list(dict.fromkeys(key for item in items for key in item))
    kept = [
        key
        for key in known
        if any(item.get(key) is not None for item in items)
        and not any(isinstance(item.get(key), list | dict) for item in items)
    ]
    if len(kept) > _MOST_COLUMNS and len(items) > 1:
        # What all rows have in common distinguishes none of them.
        kept = [key for key in kept if any(item.get(key) != items[0].get(key) for item in items)]
    first = next((key for key in ("tensor", "name", "method", "spec") if key in kept), None)
    if first is not None:
        kept = [first, *(key for key in kept if key != first)]
    heads = tuple(
        Column(
            printable(key).replace("_", " "),
            TERMS.get(key, ""),
            numeric=all(isinstance(item.get(key), int | float | None) for item in items),
        )
        for key in kept
    )
    rows = tuple(tuple(any_value(item.get(key)) for key in kept) for item in items)
    return Table(name.capitalize(), heads, rows)


def facts(document: Json) -> Table:
    """Return the single values of a result, groups one level deep included."""
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in ("schema_version", "provenance", "source", "metric", "motifs"):
            continue
        if isinstance(value, Mapping):
            values |= {f"{key}: {name}": v for name, v in value.items()}
        else:
            values[key] = value
    rows = tuple(
        (printable(key).replace("_", " "), any_value(value))
        for key, value in values.items()
        if value is not None and not isinstance(value, list | dict)
    )
    return Table("The figures", columns("what", "value", numeric={1}), rows)


# --- Sweep -------------------------------------------------------------------------------------


def points(document: Json) -> Table:
    """Return one row a coding and setting, by its bits."""
    evaluated = document.get("eval_command") is not None or any(
        point.get("metric") is not None for point in document["points"]
    )
    rows = []
    for point in sorted(document["points"], key=_by_bits):
        bits, error, metric = (point.get(n) for n in ("bits_per_weight", "relative_mse", "metric"))
        measured = bits is not None
        rows.append(
            (
                printable(point["coding"]),
                _setting(point),
                f"{bits:.4f}" if measured else "",
                f"{error:.4g}" if measured else "",
                f"{gaussian_bits(error):.3f}" if measured and error else "",
                "front" if measured and point.get("on_front") else "",
                *((f"{metric:g}" if metric is not None else "",) if evaluated else ()),
                shorten(point["reason"], 60) if point.get("reason") else "",
            )
        )
    heads = ["coding", "setting", "bits/weight", "error", "Gaussian", "front"]
    heads += ["metric", "note"] if evaluated else ["note"]
    meanings = {
        "bits/weight": TERMS["bits/weight"],
        "error": TERMS["error"],
        "Gaussian": "bits that independent Gaussian weights of one variance need at that error",
        "metric": "the last number that the evaluation of the decoded checkpoint printed",
    }
    return Table(
        "bits against error: lower = better in both; Gaussian: what weights of one Gaussian "
        "variance need at that error",
        columns(*heads, numeric={2, 3, 4}, meanings=meanings),
        tuple(rows),
    )


def _by_bits(point: Json) -> tuple[bool, float]:
    bits = point.get("bits", point.get("bits_per_weight"))
    return bits is None, bits or 0.0


def _setting(point: Json) -> str:
    return printable(
        " ".join(
            f"{key}={four_figures(value) if isinstance(value, float) else value}"
            for key, value in (point.get("setting") or {}).items()
        )
    )


# --- Bound -------------------------------------------------------------------------------------


def bits_of_bound(document: Json) -> Table:
    """Return what a bound was made from."""
    first = document["bounds"][0]
    raw_bits, grid_bits = first.get("raw_bits"), first.get("grid_bits") or 0
    own = raw_bits or first["bits"] - grid_bits
    rows = [("description", printable(document.get("description", "")), f"{own:,.4f}")]
    if raw_bits is not None:
        rows.append(("prefix-free", "its length comes first", f"{first['prefix_bits']:,.4f}"))
    if grid_bits:
        rows.append(("grid", "which of the models tried", f"{grid_bits:,.4f}"))
    rows.append(("L", "all bits", f"{first['bits']:,.4f}"))
    rows.append(("train error", "of the decoded model", f"{first['train_error']:g}"))
    rows.append(("samples", "", f"{first['n_samples']:,}"))
    return Table(
        "what it was made from", columns("part", "what it is", "value", numeric={2}), tuple(rows)
    )


# --- Calibration -------------------------------------------------------------------------------


def answers(case: Json) -> Table:
    """Return the known answers of a case, and what was measured."""
    rows = tuple(
        (
            # As wide as the widest of all cases, so that the columns of the tables meet.
            _measure(case, answer).ljust(31),
            "" if answer["measured"] is None else f"{answer['measured']:.3f}".rjust(8),
            _known(answer).rjust(15) + (" ok " if answer["met"] else " NOT"),
            answer["sees"].ljust(7),
            answer["reason"] or answer["why"],
        )
        for answer in case["answers"]
    )
    heads = columns("measure", "measured", "known   ", "sees it", "because", numeric={1, 2})
    return Table(f"{case['name']}: {case['what']}", heads, rows)


def _measure(case: Json, answer: Json) -> str:
    spec: str = answer["spec"]
    unit = "" if answer["quantity"] == "bits/weight" else f", {answer['quantity']}"
    several = len(case["tensors"]) > 1
    return (f"{_part(case, answer)}: " if several else "") + spec + unit


def _part(case: Json, answer: Json) -> str:
    return str(answer["tensor"] or f"{case['name']} as one")


def _known(answer: Json) -> str:
    low, high = answer["low"], answer["high"]
    if answer["value"] is not None:
        return f"{answer['value']:.3f}"
    if high is None:
        return f">= {low:.3f}"
    return f"{low:.3f} to {high:.3f}" if low is not None and low > 0 else f"<= {high:.3f}"


def sight(cases: Sequence[Json]) -> Table:
    """Return what each measure sees: cases by spec, from the answers of all cases."""
    sights = ("sees", "partly", "blind", "misled")
    by_spec: dict[str, dict[str, dict[str, None]]] = {}
    for case in cases:
        for answer in case["answers"]:
            if answer["sees"]:
                by_sight = by_spec.setdefault(answer["spec"], {})
                by_sight.setdefault(answer["sees"], {})[_structure(case, answer)] = None
    rows = tuple(
        (spec, *(", ".join(by_sight.get(column, ())) for column in sights))
        for spec, by_sight in sorted(by_spec.items())
    )
    title = "what each measure sees, and what it does not"
    return Table(title, columns("measure", *sights), rows)


def _structure(case: Json, answer: Json) -> str:
    """Name what was put in: the tensor alone, where a measure sees it in one and not in another."""
    verdicts = {
        other["sees"]
        for other in case["answers"]
        if other["spec"] == answer["spec"] and other["sees"]
    }
    return _part(case, answer) if len(verdicts) > 1 else str(case["name"])
