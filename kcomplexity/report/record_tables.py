"""The tables of results that are not about specs: fits, sweeps, bounds, calibrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kcomplexity.inference import gaussian_bits
from kcomplexity.report.glossary import TERMS
from kcomplexity.report.numbers import any_value, four_figures
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Column, Table, columns, tabulate
from kcomplexity.text import printable, shorten

_MOST_COLUMNS = 14


def lists(document: Json, names: Sequence[str]) -> list[Table]:
    """Return the lists of records of those names, as they are."""
    return [_records(name, document[name]) for name in names if document.get(name)]


def _records(name: str, items: Sequence[Json]) -> Table:
    """Return a list of records without the fields that hold more than one value."""
    fields = {key: [item.get(key) for item in items] for item in items for key in item}
    kept = [
        key
        for key, values in fields.items()
        if any(value is not None for value in values)
        and not any(isinstance(value, list | dict) for value in values)
    ]
    if len(kept) > _MOST_COLUMNS and len(items) > 1:
        # What all rows have in common distinguishes none of them.
        kept = [key for key in kept if any(value != fields[key][0] for value in fields[key])]
    first = next((key for key in ("tensor", "name", "method", "spec") if key in kept), None)
    if first is not None:
        kept = [first, *(key for key in kept if key != first)]
    heads = tuple(
        Column(
            printable(key).replace("_", " "),
            TERMS.get(key, ""),
            numeric=all(isinstance(value, int | float | None) for value in fields[key]),
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


def points(document: Json) -> Table:
    """Return one row a coding and setting, by its bits."""
    evaluated = document.get("eval_command") is not None or any(
        point.get("metric") is not None for point in document["points"]
    )
    meanings = {
        "bits/weight": TERMS["bits/weight"],
        "error": TERMS["error"],
        "Gaussian": "bits that independent Gaussian weights of one variance need at that error",
        "metric": "the last number that the evaluation of the decoded checkpoint printed",
    }
    return tabulate(
        "bits against error: lower = better in both; Gaussian: what weights of one Gaussian "
        "variance need at that error",
        sorted(document["points"], key=_by_bits),
        ("coding", lambda point: printable(point["coding"])),
        ("setting", _setting),
        ("bits/weight", _measured("bits_per_weight", "{:.4f}".format)),
        ("error", _measured("relative_mse", "{:.4g}".format)),
        ("Gaussian", _measured("relative_mse", lambda e: f"{gaussian_bits(e):.3f}" if e else "")),
        ("front", _measured("on_front", lambda on_front: "front" if on_front else "")),
        *((("metric", _metric),) if evaluated else ()),
        ("note", lambda point: shorten(point["reason"], 60) if point.get("reason") else ""),
        numeric={2, 3, 4},
        meanings=meanings,
    )


def _measured(name: str, text: Callable[[Any], str]) -> Callable[[Json], str]:
    """Return what writes a field of a point, if the point was measured."""
    return lambda point: "" if point.get("bits_per_weight") is None else text(point.get(name))


def _metric(point: Json) -> str:
    return "" if point.get("metric") is None else f"{point['metric']:g}"


def _by_bits(point: Json) -> tuple[bool, float]:
    bits = point.get("bits", point.get("bits_per_weight"))
    return bits is None, bits or 0.0


def _setting(point: Json) -> str:
    values = (point.get("setting") or {}).items()
    texts = (f"{k}={four_figures(v) if isinstance(v, float) else v}" for k, v in values)
    return printable(" ".join(texts))


def bits_of_bound(document: Json) -> Table:
    """Return what a bound was made from."""
    first = document["bounds"][0]
    raw_bits, grid_bits = first.get("raw_bits"), first.get("grid_bits") or 0
    own = raw_bits or first["bits"] - grid_bits
    rows = [("description", printable(document.get("description", "")), f"{own:,.4f}")]
    if raw_bits is not None:
        rows.append(("prefix-free", "with its own length in front", f"{first['prefix_bits']:,.4f}"))
    if grid_bits:
        rows.append(("grid", "which of the models tried", f"{grid_bits:,.4f}"))
    rows += [
        ("L", "all bits", f"{first['bits']:,.4f}"),
        ("train error", "of the decoded model", f"{first['train_error']:g}"),
        ("samples", "", f"{first['n_samples']:,}"),
    ]
    heads = columns("part", "what it is", "value", numeric={2})
    return Table("what the bound rests on", heads, tuple(rows))


_MET = {True: " ok ", False: " NOT"}


def answers(case: Json) -> Table:
    """Return the known answers of a case, and what was measured."""

    def measured(answer: Json) -> str:
        return "" if answer["measured"] is None else f"{answer['measured']:.3f}".rjust(8)

    return tabulate(
        f"{case['name']}: {case['what']}",
        case["answers"],
        # As wide as the widest of all cases, so that the columns of the tables meet.
        ("measure", lambda answer: _measure(case, answer).ljust(31)),
        ("measured", measured),
        ("known   ", lambda answer: _known(answer).rjust(15) + _MET[answer["met"]]),
        ("sees it", lambda answer: answer["sees"].ljust(7)),
        ("because", lambda answer: answer["reason"] or answer["why"]),
        numeric={1, 2},
    )


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


def sight(document: Json) -> Table:
    """Return what each measure sees: cases by spec, from the answers of all cases."""
    sights = ("sees", "partly", "blind", "misled")
    by_spec: dict[str, dict[str, dict[str, None]]] = {}
    for case in document["cases"]:
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
    verdicts = {own["sees"] for own in case["answers"] if own["spec"] == answer["spec"]}
    return _part(case, answer) if len(verdicts - {None, ""}) > 1 else str(case["name"])
