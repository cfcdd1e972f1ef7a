"""The tables of the page: one row a tensor and one column a spec, whatever made the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kcomplexity.report.figures.base import Record
from kcomplexity.report.figures.layers import kind_of_layer
from kcomplexity.report.figures.selecting import (
    control_of,
    depth_sorted,
    label,
    last_step,
    number,
    specs_of,
)
from kcomplexity.report.glossary import TERMS, definitions
from kcomplexity.report.tables import Table
from kcomplexity.text import human_bytes, printable

__all__ = ["Column", "PageTable", "tables", "text_tables"]


@dataclass(frozen=True)
class Column:
    """A column: what stands above it, what that means, whether it holds numbers."""

    name: str
    meaning: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class PageTable:
    """A table that can be sorted and filtered; the first cell of a row names it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


_MOST_COLUMNS = 14

#: The parts of a change, and the fields that have them.
_CHANGES = {
    "total": "total_change",
    "histogram": "values_change",
    "arrangement": "structure_change",
}

_ABOUT_TENSOR = (
    Column("tensor", "in depth order, as far as the names tell", numeric=False),
    Column("layer", "what the tensor seems to be, by its name and shape", numeric=False),
    Column("shape", "", numeric=False),
    Column("dtype", "as stored", numeric=False),
    Column("weights", "how many"),
)


def tables(record: Record) -> list[PageTable]:
    """Return the tables of a result: one row a tensor where it has specs, else its own lists."""
    if record.get("steps"):
        series = [one for one in record.get("series", ()) if one.get("tensor") is None]
        return [_plain("series", series), *tables(_without_steps(record))]
    rows = [row for row in record.get("rows", ()) if row.get("spec")]
    if any("reference_bits" in row for row in rows):
        found = [*_changes(record, rows), *_lists(record, ("conditional", "unmatched"))]
    elif any("estimator" in row for row in rows):
        several = len(record.get("checkpoints", ())) > 1
        found = [_whole(record, several=several)]
        for info in record.get("checkpoints", ()):
            of_it = [row for row in rows if row.get("checkpoint") == info["path"]]
            found.append(_by_tensor(of_it, str(info["path"]) if several else ""))
    else:
        names = ("summary", "rows", "points", "bounds", "controls", "tensors", "unmatched")
        found = [*_lists(record, names), _facts(record)]
    return [table for table in found if table.rows]


def text_tables(record: Record) -> list[Table]:
    """Return the tables of a result as they are printed: the names of columns alone."""
    return [
        Table(
            table.title,
            tuple(column.name for column in table.columns),
            table.rows,
            frozenset(i for i, column in enumerate(table.columns) if column.numeric),
        )
        for table in tables(record)
    ]


def _without_steps(record: Record) -> Record:
    """Return the last checkpoint of a trajectory as a score of its own."""
    return {key: value for key, value in last_step(record).items() if key != "steps"}


def _lists(record: Record, names: Sequence[str]) -> list[PageTable]:
    return [
        _plain(name, [one | {"setting": _setting(one)} for one in record[name]])
        for name in names
        if isinstance(record.get(name), list) and record[name]
    ]


def _setting(item: Record) -> str | None:
    """Return what a point of a sweep was asked for as text."""
    return ", ".join(f"{k} {v}" for k, v in (item.get("setting") or {}).items()) or None


def _whole(record: Record, *, several: bool) -> PageTable:
    columns = (
        Column("spec", TERMS["spec"], numeric=False),
        *([Column("checkpoint", "", numeric=False)] if several else []),
        Column("what it is", "code, estimate or statistic", numeric=False),
        Column("value", "bits per weight, or the statistic; the direction is in the next column"),
        Column("unit", "", numeric=False),
        Column("size", "bytes of a code, side information included; lower = simpler"),
        Column("raw/comp", TERMS["raw/comp"]),
        Column("error %", TERMS["error"]),
        Column("vs controls", TERMS["vs shuffled"]),
    )
    rows = []
    for row in record.get("summary", ()):
        of_bits = row.get("bits_per_weight") is not None
        decodes = f" of the {row['decodes']}" if row.get("decodes") else ""
        unit = "bits/weight, lower = simpler" if of_bits else f"{row['unit']}, {row['direction']}"
        error = row.get("relative_mse")
        rows.append(
            (
                printable(row["spec"]),
                *([printable(row["checkpoint"])] if several else []),
                f"{row['kind']}{decodes}",
                _figure(row["bits_per_weight"] if of_bits else row.get("value")),
                printable(unit),
                human_bytes(row["bits"] / 8) if row["kind"] == "code" and row["bits"] else "",
                _figure(row.get("ratio_raw_over_comp")),
                number(100 * error) if error is not None else "",
                _ratios(row),
            )
        )
    return PageTable("The whole", columns, tuple(rows))


def _ratios(row: Record) -> str:
    return "; ".join(
        f"{control['ratio']:.3f} {control['kind']} ({control['n_lower']} of {control['n']} lower)"
        for control in row.get("controls", ())
        if control.get("ratio") is not None
    )


def _by_tensor(rows: Sequence[dict[str, Any]], checkpoint: str) -> PageTable:
    """Return one row a tensor and one column a spec, then one a control."""
    specs = specs_of(rows)
    kinds = list(
        dict.fromkeys((r["spec"], c["kind"]) for r in rows for c in r.get("controls") or ())
    )
    by_tensor: dict[tuple[str, Any], dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_tensor.setdefault((label(row), row.get("dtype")), {})[str(row["spec"])] = row
    in_bits = {str(row["spec"]) for row in rows if row["kind"] != "statistic"}
    meanings = definitions(specs)
    columns = (
        *_ABOUT_TENSOR,
        *(
            Column(
                f"{spec}{'' if spec in in_bits else ' (statistic)'}",
                f"{meanings.get(spec, spec)}"
                + (". Bits/weight; lower = simpler" if spec in in_bits else ""),
            )
            for spec in specs
        ),
        *(Column(f"{spec} vs {kind}", TERMS["vs shuffled"]) for spec, kind in kinds),
    )
    firsts = depth_sorted([next(iter(of_tensor.values())) for of_tensor in by_tensor.values()])
    cells = []
    for first in firsts:
        of_tensor = by_tensor[label(first), first.get("dtype")]
        cells.append(
            (
                *_about_tensor(first),
                *(_measured(of_tensor.get(spec)) for spec in specs),
                *(_ratio(of_tensor.get(spec), kind) for spec, kind in kinds),
            )
        )
    what = "Every tensor" if all(row.get("tensor") for row in rows) else "Every part"
    title = what + (f" of {printable(checkpoint)}" if checkpoint else "")
    return PageTable(title, columns, tuple(cells))


def _about_tensor(row: Record) -> tuple[str, ...]:
    return (
        printable(label(row)),
        kind_of_layer(label(row), row.get("shape")),
        "x".join(map(str, row.get("shape") or ())) or "-",
        str(row.get("dtype") or "mixed"),
        f"{row['n_weights']:,}",
    )


def _changes(record: Record, rows: Sequence[dict[str, Any]]) -> list[PageTable]:
    """Return the tables of a comparison: the whole, then one row a tensor and a column a spec."""
    others = list(dict.fromkeys(str(row.get("other", "")) for row in rows))
    found = [_whole_change(record, several=len(others) > 1)]
    for other in others:
        of_it = [row for row in rows if str(row.get("other", "")) == other and row.get("tensor")]
        found.append(_changes_by_tensor(of_it, other if len(others) > 1 else ""))
    return found


def _whole_change(record: Record, *, several: bool) -> PageTable:
    columns = (
        Column("spec", TERMS["spec"], numeric=False),
        *([Column("other", "", numeric=False)] if several else []),
        Column("reference", "bits/weight of the reference; lower = simpler"),
        Column("bits/weight", TERMS["bits/weight"]),
        *(Column(f"{name} %", TERMS[f"{name} %"]) for name in _CHANGES),
    )
    rows = tuple(
        (
            printable(row["spec"]),
            *([printable(row.get("other", ""))] if several else []),
            _figure(row.get("reference_bits_per_weight")),
            _figure(row.get("bits_per_weight")),
            *(_percent(row.get(key)) for key in _CHANGES.values()),
        )
        for row in record.get("summary", ())
    )
    return PageTable("The whole, against the reference", columns, rows)


def _changes_by_tensor(rows: Sequence[dict[str, Any]], other: str) -> PageTable:
    specs = specs_of(rows)
    meanings = definitions(specs)
    shown = [
        (spec, name, key)
        for spec in specs
        for name, key in (("total", "total_change"), ("arrangement", "structure_change"))
        if any(row["spec"] == spec and row.get(key) is not None for row in rows)
    ]
    by_tensor: dict[tuple[str, Any], dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_tensor.setdefault((label(row), row.get("dtype")), {})[str(row["spec"])] = row
    columns = _ABOUT_TENSOR + tuple(
        Column(f"{spec}: {name} %", f"{meanings.get(spec, spec)}. {TERMS[f'{name} %']}")
        for spec, name, key in shown
    )
    firsts = depth_sorted([next(iter(of_tensor.values())) for of_tensor in by_tensor.values()])
    cells = tuple(
        (
            *_about_tensor(first),
            *(
                _percent(by_tensor[label(first), first.get("dtype")].get(spec, {}).get(key))
                for spec, _, key in shown
            ),
        )
        for first in firsts
    )
    title = "The change of every tensor" + (f" in {printable(other)}" if other else "")
    return PageTable(title, columns, cells)


def _percent(share: Any) -> str:
    return f"{100 * share:+.2f}" if isinstance(share, int | float) else ""


def _measured(row: Record | None) -> str:
    if row is None:
        return ""
    if row["status"] != "ok":
        return str(row["status"])
    value = row["value"] if row["kind"] == "statistic" else row["bits_per_weight"]
    return _figure(value)


def _ratio(row: Record | None, kind: str) -> str:
    control = control_of(row or {}, kind)
    return f"{control['ratio']:.4f}" if control else ""


def _figure(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return printable(value)
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1e3:
        return f"{value:,.0f}"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.4g}"


def _plain(name: str, items: Sequence[Record]) -> PageTable:
    """Return a list of records as it is, without the fields that hold more than one value."""
    known = list(dict.fromkeys(key for item in items for key in item))
    kept = [
        key
        for key in known
        if any(item.get(key) is not None for item in items)
        and not any(isinstance(item.get(key), list | dict) for item in items)
    ]
    if len(kept) > _MOST_COLUMNS and len(items) > 1:
        # What all rows have in common tells none from another.
        kept = [key for key in kept if any(item.get(key) != items[0].get(key) for item in items)]
    first = next((key for key in ("tensor", "name", "method", "spec") if key in kept), None)
    if first is not None:
        kept = [first, *(key for key in kept if key != first)]
    columns = tuple(
        Column(
            printable(key).replace("_", " "),
            TERMS.get(key, ""),
            numeric=all(isinstance(item.get(key), int | float | None) for item in items),
        )
        for key in kept
    )
    rows = tuple(tuple(_figure(item.get(key)) for key in kept) for item in items)
    return PageTable(name.capitalize(), columns, rows)


def _facts(record: Record) -> PageTable:
    """Return what stands alone in a result, groups one level deep included."""
    facts: dict[str, Any] = {}
    for key, value in record.items():
        if key in ("schema_version", "provenance", "source", "metric", "motifs"):
            continue
        if isinstance(value, Mapping):
            facts |= {f"{key}: {name}": v for name, v in value.items()}
        else:
            facts[key] = value
    return PageTable(
        "The figures",
        (Column("what", "", numeric=False), Column("value", "")),
        tuple(
            (printable(key).replace("_", " "), _figure(value))
            for key, value in facts.items()
            if value is not None and not isinstance(value, list | dict)
        ),
    )
