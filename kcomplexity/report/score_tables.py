"""The tables of a score: the whole, its extremes, every row, and one row a tensor."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from kcomplexity.report.glossary import TERMS, definitions
from kcomplexity.report.layers import kind_of_layer
from kcomplexity.report.numbers import any_value, four_decimals
from kcomplexity.report.rows import (
    Json,
    by_spec,
    control_of,
    label,
    last_step,
    main_spec,
    problem,
    specs_of,
)
from kcomplexity.report.table import Column, Table, tabulate
from kcomplexity.text import human_bytes, printable, shape_text, shorten

#: What a person has to know of each kind of figure before reading one.
_KINDS = {
    "code": "the whole by decodable codes, all side information included: lower = simpler",
    "estimate": "the whole by estimates, which nothing decodes: lower = simpler",
    "statistic": "the whole by statistics",
}


def whole(document: Json) -> list[Table]:
    """Return the whole: codes, estimates and statistics apart, a row per checkpoint and spec."""
    document = last_step(document)
    tables = []
    for kind, title in _KINDS.items():
        if rows := [row for row in document.get("summary", ()) if row.get("kind") == kind]:
            tables.append(_whole_of_kind(kind, title, rows, document))
    if tables:
        tables[-1] = replace(tables[-1], caption=_caption(document))
    return tables


def _whole_of_kind(kind: str, title: str, rows: Sequence[Json], document: Json) -> Table:
    """Return the sums of one kind; an empty column is left out."""
    names = _short_paths([str(info["path"]) for info in document.get("checkpoints", ())])
    weights = _weights_by_checkpoint(document)
    cells: dict[Column, Callable[[Json], str]] = {}
    if len(document.get("checkpoints", ())) > 1:
        cells[Column("checkpoint")] = lambda row: names[str(row["checkpoint"])]
    cells[Column("spec", TERMS["spec"])] = lambda row: printable(row["spec"])
    if kind == "statistic":
        cells[Column("value", numeric=True)] = lambda row: four_decimals(row.get("value"))
        cells[Column("unit")] = lambda row: f"{row.get('unit')}, {row.get('direction')}"
    else:
        cells[Column("bits/weight", TERMS["bits/weight"], numeric=True)] = _bits
    if kind == "code":
        decodes = Column("decodes", "what a decoder gets back", wide=True)
        cells[decodes] = lambda row: f"the {row['decodes']}" if row.get("decodes") else ""
        size = Column("size", "bytes, side information included; lower = simpler", numeric=True)
        cells[size] = lambda row: "" if row.get("bits") is None else human_bytes(row["bits"] / 8)
        ratio = Column("raw/comp", TERMS["raw/comp"], numeric=True, wide=True)
        cells[ratio] = lambda row: any_value(row.get("ratio_raw_over_comp"))
    if kind != "statistic":
        cells[Column("error", TERMS["error"], numeric=True)] = _error
    for control in _control_kinds(document):
        head = Column(f"of {control}", TERMS["vs shuffled"], numeric=True)
        cells[head] = partial(_of_control, kind=control)
    share = Column("largest", "the largest tensor's share of the weights measured", numeric=True)
    cells[share] = lambda row: f"{_largest_share(row, document):.0%}"
    cells[Column("note")] = lambda row: _note(row, weights[str(row.get("checkpoint"))])
    texts = {column: tuple(map(cell, rows)) for column, cell in cells.items()}
    shown = {column: own for column, own in texts.items() if any(own)}
    return Table(title, tuple(shown), tuple(zip(*shown.values(), strict=True)))


def _caption(document: Json) -> str:
    """Say what the columns mean that not every table of figures has."""
    lines = ["largest: the largest tensor's share of the weights measured"]
    if any(row.get("relative_mse") is not None for row in document["summary"]):
        lines.append(
            "error: squared, over the sum of squares, of all tensors together: the largest weights "
            "decide it; @rd: in each tensor"
        )
    for kind in _control_kinds(document):
        lines += [f"of {kind}: bits over its replicates' mean, and below how many"]
    return "\n".join(lines)


def _control_kinds(document: Json) -> list[str]:
    return list(
        dict.fromkeys(c["kind"] for r in document["summary"] for c in r.get("controls") or ())
    )


def _short_paths(paths: Sequence[str]) -> dict[str, str]:
    """Return each path without the folders that all of them share."""
    # By characters: commonpath() refuses absolute and relative paths together.
    shared = os.path.commonprefix(list(paths))  # noqa: RUF071
    start = max(shared.rfind("/"), shared.rfind(os.sep)) + 1
    return {path: shorten(path[start:], 28) for path in paths}


def _weights_by_checkpoint(document: Json) -> Counter[str]:
    """Return how many weights were to be measured in each checkpoint."""
    sizes = {
        (str(row.get("checkpoint")), label(row), row["dtype"]): row["n_weights"]
        for row in document.get("rows", ())
        # Tensors of mixed dtypes, which have none, are measured by dtype as well.
        if row.get("dtype") and not row.get("side_of")
    }
    totals: Counter[str] = Counter()
    for (checkpoint, _, _), n_weights in sizes.items():
        totals[checkpoint] += n_weights
    return totals


def _largest_share(total: Json, document: Json) -> float:
    key = total.get("checkpoint"), total["spec"], "ok"
    sizes = (
        row.get("largest_tensor_weights") or row["n_weights"]  # a group or a model has several
        for row in document.get("rows", ())
        if (row.get("checkpoint"), row["spec"], row["status"]) == key
    )
    return float(max(sizes, default=0) / max(total["n_weights"], 1))


def _note(row: Json, n_selected: int) -> str:
    notes = []
    if row["n_weights"] < 0.995 * n_selected:
        notes.append(f"{_share(row['n_weights'] / n_selected)} of weights")
    if row.get("sampled_fraction", 1) < 1:
        notes.append(f"{_share(row['sampled_fraction'])} sampled")
    return ", ".join(notes + (["saturated"] if row.get("saturated") else []))


def _share(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else "99%"


def _error(row: Json) -> str:
    """Return the squared error in percent; a code of the stored weights has none."""
    if row.get("decodes") == "weights":
        return "none"
    error = row.get("relative_mse")
    return f"{100 * error:.2g}%" if error is not None else ""


def _of_control(row: Json, kind: str) -> str:
    """Return the effect size first, then how many replicates agree."""
    control = next((c for c in row.get("controls") or () if c["kind"] == kind), None)
    if control is None:
        return ""
    if control.get("ratio") is None:
        return "none"
    return f"{control['ratio']:.3f} {control['n_lower']}/{control['n']}"


def _bits(row: Json) -> str:
    text = four_decimals(row.get("bits_per_weight"))
    if row.get("se_bits") is not None:
        text += f" ± {row['se_bits'] / row['n_weights']:.2g}"
    return text


def every_row(document: Json) -> Table:
    """Return every row, in order."""
    return tabulate(
        "every row",
        document["rows"],
        ("tensor", lambda row: printable(label(row))),
        ("shape", lambda row: shape_text(row.get("shape") or ())),
        ("dtype", lambda row: row.get("dtype") or "mixed"),
        ("spec", lambda row: row["spec"]),
        ("bits/weight", _bits),
        ("value", lambda row: four_decimals(row["value"]) if row["kind"] == "statistic" else ""),
        ("unit", lambda row: row["unit"] if row["kind"] == "statistic" else ""),
        ("raw/comp", lambda row: f"{ratio:.3f}" if (ratio := row["ratio_raw_over_comp"]) else ""),
        ("vs controls", _vs_controls),
        ("note", problem),
        numeric={4, 5, 7},
    )


def _vs_controls(row: Json) -> str:
    kinds = (control["kind"] for control in row["controls"])
    return "; ".join(f"{_of_control(row, kind)} of {kind}" for kind in kinds)


_TENSOR: tuple[tuple[str, Callable[[Json], str]], ...] = (
    ("tensor", lambda row: shorten(label(row))),
    ("shape", lambda row: shape_text(row.get("shape") or ())),
    ("dtype", lambda row: row.get("dtype") or "mixed"),
)


def extremes(document: Json) -> list[Table]:
    """Return the tensors that are simplest and most complex for their size, by the main code.

    A tensor must hold at least a thousandth of the weights: side information makes small ones look
    complex.
    """
    spec = main_spec(document["rows"])
    rows = [row for row in document["rows"] if row["spec"] == spec]
    total = sum(row["n_weights"] for row in rows)
    rows = [row for row in rows if row["bits_per_weight"] is not None]
    chosen = [row for row in rows if row["n_weights"] >= total / 1000]
    if len(chosen) < 2:
        return []
    chosen.sort(key=lambda row: (row["bits_per_weight"], label(row)))
    n = min(5, len(chosen) // 2)
    return [
        _extreme(f"simplest for their size ({spec})", chosen[:n], total),
        _extreme(f"most complex for their size ({spec})", chosen[: -n - 1 : -1], total),
    ]


def _extreme(title: str, rows: Sequence[Json], total: int) -> Table:
    table = tabulate(
        title,
        rows,
        *_TENSOR,
        ("share of weights", lambda row: f"{row['n_weights'] / total:.1%}"),
        ("bits/weight", lambda row: four_decimals(row["bits_per_weight"])),
        numeric={3, 4},
    )
    *others, bits = table.columns
    return replace(table, columns=(*others, replace(bits, bar=True)))


def without_whole(document: Json) -> list[Table]:
    """Return the tensors of each statistic that has no value for all of them together."""
    sums = (row for row in document["summary"] if row["kind"] == "statistic")
    undefined = {row["spec"] for row in sums if row["value"] is None}
    several = len(document["checkpoints"]) > 1
    names = _short_paths([str(info["path"]) for info in document["checkpoints"]])
    return [
        tabulate(
            f"{spec}, tensor by tensor: the values do not add up to one of the whole",
            [row for row in document["rows"] if row["spec"] == spec],
            *((("checkpoint", lambda row: names[str(row["checkpoint"])]),) if several else ()),
            *_TENSOR,
            ("value", lambda row: four_decimals(row["value"])),
            ("unit", lambda row: f"{row['unit']}, {row['direction']}"),
            ("note", problem),
            numeric={3 + several},
        )
        for spec in specs_of(document["rows"])
        if spec in undefined
    ]


_ABOUT_TENSOR = (
    Column("tensor", "in depth order, as far as the names show it"),
    Column("layer", "what the tensor seems to be, by its name and shape"),
    Column("shape"),
    Column("dtype", "as stored"),
    Column("weights", "how many", numeric=True),
)


def per_tensor(
    title: str, rows: Sequence[Json], cells: Sequence[tuple[Column, str, Callable[[Json], str]]]
) -> Table:
    """Return one row a tensor, in depth order: what it is, then a column for each of `cells`.

    Those are the head of the column, the spec of the row that is shown, and what makes the cell.
    """
    lines = []
    for of_tensor in by_spec(rows):
        first = next(iter(of_tensor.values()))
        about = (
            printable(label(first)),
            kind_of_layer(label(first), first.get("shape")),
            "x".join(map(str, first.get("shape") or ())) or "-",
            str(first.get("dtype") or "mixed"),
            f"{first['n_weights']:,}",
        )
        shown = (cell(of_tensor[spec]) if spec in of_tensor else "" for _, spec, cell in cells)
        lines.append((*about, *shown))
    return Table(title, (*_ABOUT_TENSOR, *(head for head, _, _ in cells)), tuple(lines))


def by_tensor(document: Json) -> list[Table]:
    """Return, for each checkpoint, one row a tensor and one column a spec, then one a control."""
    document = last_step(document)
    checkpoints = document.get("checkpoints", ())
    tables = []
    for path in (info["path"] for info in checkpoints):
        rows = [row for row in document["rows"] if row.get("checkpoint") == path]
        what = "Every tensor" if all(row.get("tensor") for row in rows) else "Every part"
        title = what + (f" of {printable(path)}" if len(checkpoints) > 1 else "")
        tables.append(_of_checkpoint(title, rows))
    return tables


def _of_checkpoint(title: str, rows: Sequence[Json]) -> Table:
    specs = specs_of(rows)
    controls = dict.fromkeys((r["spec"], c["kind"]) for r in rows for c in r.get("controls") or ())
    in_bits = {str(row["spec"]) for row in rows if row["kind"] != "statistic"}
    meanings = definitions(specs)
    columns = [(_head(spec, meanings, spec in in_bits), spec, _measured) for spec in specs]
    columns += [
        (Column(f"{spec} vs {kind}", TERMS["vs shuffled"], True), spec, partial(_ratio, kind=kind))
        for spec, kind in controls
    ]
    return per_tensor(title, rows, columns)


def _head(spec: str, meanings: Mapping[str, str], in_bits: bool) -> Column:
    meaning = meanings.get(spec, spec) + (". Bits/weight; lower = simpler" if in_bits else "")
    return Column(f"{spec}{'' if in_bits else ' (statistic)'}", meaning, numeric=True)


def _measured(row: Json) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    return any_value(row["value"] if row["kind"] == "statistic" else row["bits_per_weight"])


def _ratio(row: Json, kind: str) -> str:
    control = control_of(row, kind)
    return f"{control['ratio']:.4f}" if control else ""
