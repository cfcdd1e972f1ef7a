"""The tables of a score: the whole, its extremes, every row, and one row a tensor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kcomplexity.report.glossary import TERMS, definitions
from kcomplexity.report.layers import kind_of_layer
from kcomplexity.report.main_code import main_spec
from kcomplexity.report.numbers import any_value, four_decimals
from kcomplexity.report.rows import (
    Json,
    by_spec,
    control_of,
    label,
    largest,
    last_step,
    specs_of,
)
from kcomplexity.report.table import Column, Table, columns
from kcomplexity.text import human_bytes, printable, shape_text, shorten

# --- The whole ---------------------------------------------------------------------------------

#: What a person has to know of each kind of figure before reading one.
_KINDS = {
    "code": "the whole by decodable codes, all side information included: lower = simpler",
    "estimate": "the whole by estimates, which nothing decodes: lower = simpler",
    "statistic": "the whole by statistics",
}


def whole(document: Json) -> list[Table]:
    """Return the whole: codes, estimates and statistics apart, a row per checkpoint and spec."""
    document = last_step(document)
    weights = _weights_by_checkpoint(document)
    tables = []
    for kind, title in _KINDS.items():
        rows = [row for row in document.get("summary", ()) if row.get("kind") == kind]
        if rows:
            tables.append(_whole_of_kind(kind, title, rows, document, weights))
    if tables:
        tables[-1] = replace(tables[-1], caption=_caption(document))
    return tables


def _whole_of_kind(
    kind: str, title: str, rows: Sequence[Json], document: Json, weights: Mapping[str, int]
) -> Table:
    """Return the sums of one kind; an empty column is left out."""
    checkpoints = document.get("checkpoints", ())
    names = _short_paths([str(info["path"]) for info in checkpoints])
    cells: dict[Column, list[str]] = {}
    if len(checkpoints) > 1:
        cells[Column("checkpoint")] = [names[str(row["checkpoint"])] for row in rows]
    cells[Column("spec", TERMS["spec"])] = [printable(row["spec"]) for row in rows]
    if kind == "statistic":
        cells[Column("value", numeric=True)] = [four_decimals(row.get("value")) for row in rows]
        cells[Column("unit")] = [f"{row.get('unit')}, {row.get('direction')}" for row in rows]
    else:
        cells[Column("bits/weight", TERMS["bits/weight"], numeric=True)] = list(map(_bits, rows))
    if kind == "code":
        decodes = Column("decodes", "what a decoder gets back", wide=True)
        cells[decodes] = [f"the {row['decodes']}" if row.get("decodes") else "" for row in rows]
        size = Column("size", "bytes, side information included; lower = simpler", numeric=True)
        cells[size] = [
            human_bytes(row["bits"] / 8) if row.get("bits") is not None else "" for row in rows
        ]
        cells[Column("raw/comp", TERMS["raw/comp"], numeric=True, wide=True)] = [
            any_value(row.get("ratio_raw_over_comp")) for row in rows
        ]
    if kind != "statistic":
        cells[Column("error", TERMS["error"], numeric=True)] = list(map(_error, rows))
    for control in _control_kinds(document):
        cells[Column(f"of {control}", TERMS["vs shuffled"], numeric=True)] = [
            _of_control(_control(row, control)) for row in rows
        ]
    cells[Column("largest", "the largest tensor's share of the weights measured", numeric=True)] = [
        f"{_largest_share(row, document):.0%}" for row in rows
    ]
    cells[Column("note")] = [_note(row, weights.get(str(row.get("checkpoint")), 0)) for row in rows]
    shown = {column: texts for column, texts in cells.items() if any(texts)}
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
    kinds = (
        control["kind"] for row in document["summary"] for control in row.get("controls") or ()
    )
    return list(dict.fromkeys(kinds))


def _short_paths(paths: Sequence[str]) -> dict[str, str]:
    """Return each path without the folders that all of them share."""
    # By characters: commonpath() refuses absolute and relative paths together.
    shared = os.path.commonprefix(list(paths))  # noqa: RUF071
    start = max(shared.rfind("/"), shared.rfind(os.sep)) + 1
    return {path: shorten(path[start:], 28) for path in paths}


def _weights_by_checkpoint(document: Json) -> dict[str, int]:
    """Return how many weights were to be measured in each checkpoint."""
    sizes = {
        (str(row.get("checkpoint")), label(row), row.get("dtype")): row["n_weights"]
        for row in document.get("rows", ())
        if not row.get("side_of")
    }
    totals: dict[str, int] = {}
    for (checkpoint, _, dtype), n_weights in sizes.items():
        # Tensors of mixed dtypes are measured by dtype as well.
        totals[checkpoint] = totals.get(checkpoint, 0) + (n_weights if dtype else 0)
    return totals


def _largest_share(total: Json, document: Json) -> float:
    key = total.get("checkpoint"), total["spec"], "ok"
    sizes = [
        largest(row)
        for row in document.get("rows", ())
        if (row.get("checkpoint"), row["spec"], row["status"]) == key
    ]
    n_weights: int = total["n_weights"]
    return max(sizes, default=0) / max(n_weights, 1)


def _note(row: Json, n_selected: int) -> str:
    notes = []
    if row["n_weights"] < 0.995 * n_selected:
        notes.append(f"{_share(row['n_weights'] / n_selected)} of weights")
    if row.get("sampled_fraction", 1) < 1:
        notes.append(f"{_share(row['sampled_fraction'])} sampled")
    if row.get("saturated"):
        notes.append("saturated")
    return ", ".join(notes)


def _share(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.995 else "99%"


def _error(row: Json) -> str:
    """Return the squared error in percent; a code of the stored weights has none."""
    if row.get("decodes") == "weights":
        return "none"
    error = row.get("relative_mse")
    return f"{100 * error:.2g}%" if error is not None else ""


def _control(row: Json, kind: str) -> Json | None:
    return next((c for c in row.get("controls") or () if c["kind"] == kind), None)


def _of_control(control: Json | None) -> str:
    """Return the effect size first, then how many replicates agree."""
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


# --- Rows --------------------------------------------------------------------------------------


def every_row(document: Json) -> Table:
    """Return every row, in order."""
    names = (
        *("tensor", "shape", "dtype", "spec"),
        *("bits/weight", "value", "unit", "raw/comp", "vs controls", "note"),
    )
    rows = tuple(
        (
            printable(label(row)),
            shape_text(row.get("shape") or ()),
            row.get("dtype") or "mixed",
            row["spec"],
            _bits(row),
            four_decimals(row["value"]) if row["kind"] == "statistic" else "",
            row["unit"] if row["kind"] == "statistic" else "",
            f"{row['ratio_raw_over_comp']:.3f}" if row["ratio_raw_over_comp"] else "",
            "; ".join(f"{_of_control(c)} of {c['kind']}" for c in row["controls"]),
            f"{row['status']}: {printable(row['reason'])}" if row["reason"] else "",
        )
        for row in document["rows"]
    )
    return Table("every row", columns(*names, numeric={4, 5, 7}), rows)


def extremes(document: Json) -> list[Table]:
    """Return the tensors that are simplest and most complex for their size, by the main code.

    A tensor must hold at least a thousandth of the weights: side information makes small ones look
    complex.
    """
    rows = document["rows"]
    spec = main_spec(rows)
    total = sum(row["n_weights"] for row in rows if row["spec"] == spec)
    chosen = [
        row
        for row in rows
        if row["spec"] == spec
        and row["bits_per_weight"] is not None
        and row["n_weights"] >= total / 1000
    ]
    if len(chosen) < 2:
        return []
    chosen.sort(key=lambda row: (row["bits_per_weight"], label(row)))
    n = min(5, len(chosen) // 2)
    return [
        _extreme(f"simplest for their size ({spec})", chosen[:n], total),
        _extreme(f"most complex for their size ({spec})", chosen[: -n - 1 : -1], total),
    ]


def _extreme(title: str, rows: Sequence[Json], total: int) -> Table:
    cells = tuple(
        (
            shorten(label(row)),
            shape_text(row["shape"] or ()),
            row["dtype"] or "mixed",
            f"{row['n_weights'] / total:.1%}",
            four_decimals(row["bits_per_weight"]),
        )
        for row in rows
    )
    names = columns("tensor", "shape", "dtype", "share of weights", numeric={3})
    return Table(title, (*names, Column("bits/weight", numeric=True, bar=True)), cells)


# --- One row a tensor --------------------------------------------------------------------------

ABOUT_TENSOR = (
    Column("tensor", "in depth order, as far as the names show it"),
    Column("layer", "what the tensor seems to be, by its name and shape"),
    Column("shape"),
    Column("dtype", "as stored"),
    Column("weights", "how many", numeric=True),
)
"""The columns that :func:`about_tensor` fills."""


def about_tensor(row: Json) -> tuple[str, ...]:
    """Return the first cells of a tensor's row."""
    return (
        printable(label(row)),
        kind_of_layer(label(row), row.get("shape")),
        "x".join(map(str, row.get("shape") or ())) or "-",
        str(row.get("dtype") or "mixed"),
        f"{row['n_weights']:,}",
    )


def by_tensor(document: Json) -> list[Table]:
    """Return, for each checkpoint, one row a tensor and one column a spec, then one a control."""
    document = last_step(document)
    checkpoints = document.get("checkpoints", ())
    return [
        _of_checkpoint(
            [row for row in document["rows"] if row.get("checkpoint") == info["path"]],
            str(info["path"]) if len(checkpoints) > 1 else "",
        )
        for info in checkpoints
    ]


def _of_checkpoint(rows: Sequence[Json], checkpoint: str) -> Table:
    specs = specs_of(rows)
    controls = list(
        dict.fromkeys((r["spec"], c["kind"]) for r in rows for c in r.get("controls") or ())
    )
    in_bits = {str(row["spec"]) for row in rows if row["kind"] != "statistic"}
    meanings = definitions(specs)
    heads = (
        *ABOUT_TENSOR,
        *(_head(spec, meanings, in_bits=spec in in_bits) for spec in specs),
        *(
            Column(f"{spec} vs {kind}", TERMS["vs shuffled"], numeric=True)
            for spec, kind in controls
        ),
    )
    cells = tuple(
        (
            *about_tensor(next(iter(of_tensor.values()))),
            *(_measured(of_tensor.get(spec)) for spec in specs),
            *(_ratio(of_tensor.get(spec), kind) for spec, kind in controls),
        )
        for of_tensor in by_spec(rows)
    )
    what = "Every tensor" if all(row.get("tensor") for row in rows) else "Every part"
    return Table(what + (f" of {printable(checkpoint)}" if checkpoint else ""), heads, cells)


def _head(spec: str, meanings: Mapping[str, str], *, in_bits: bool) -> Column:
    meaning = meanings.get(spec, spec) + (". Bits/weight; lower = simpler" if in_bits else "")
    return Column(f"{spec}{'' if in_bits else ' (statistic)'}", meaning, numeric=True)


def _measured(row: Json | None) -> str:
    if row is None:
        return ""
    if row["status"] != "ok":
        return str(row["status"])
    return any_value(row["value"] if row["kind"] == "statistic" else row["bits_per_weight"])


def _ratio(row: Json | None, kind: str) -> str:
    control = control_of(row or {}, kind)
    return f"{control['ratio']:.4f}" if control else ""
