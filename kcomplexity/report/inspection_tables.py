"""The tables of an inspection: files, dtypes, layers, tensors of one checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kcomplexity.report.numbers import four_figures
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table, columns, tabulate
from kcomplexity.tensors.groups import group_name
from kcomplexity.text import human_bytes, plural, printable, shape_text, shorten


def files(checkpoint: Json) -> Table:
    """Return one row a file."""
    rows = tuple((printable(Path(f["name"]).name), _size(f)) for f in checkpoint["files"])
    return Table("files", columns("file", "size", numeric={1}), rows)


def dtypes(checkpoint: Json) -> Table:
    """Return one row a stored dtype."""
    rows = tuple(
        (dtype["code"], f"{dtype['n_tensors']:,}", f"{dtype['n_weights']:,}", _size(dtype))
        for dtype in checkpoint["dtypes"]
    )
    return Table("dtypes", columns("dtype", "tensors", "weights", "size", numeric={1, 2, 3}), rows)


def layers(checkpoint: Json, *, everything: bool = True) -> Table:
    """Return one row for all tensors that differ in layer numbers alone; long names are cut."""
    total = max(checkpoint["n_weights"], 1)
    roles = {group_name(t["name"]): " codes" for t in checkpoint["tensors"] if t["code_bits"]}
    roles |= {group_name(t["name"]): " for codes" for t in checkpoint["tensors"] if t["side_of"]}
    shown = printable if everything else shorten
    return tabulate(
        "layers: # is a layer's number",
        checkpoint["layers"],
        ("name", lambda layer: shown(layer["pattern"])),
        ("tensors", lambda layer: f"{layer['n_tensors']:,}"),
        ("shape", lambda layer: _shapes(layer["shapes"])),
        ("dtype", lambda layer: ", ".join(layer["dtypes"]) + roles.get(layer["pattern"], "")),
        ("weights", lambda layer: f"{layer['n_weights']:,}"),
        ("share", lambda layer: f"{layer['n_weights'] / total:.1%}"),
        ("size", _size),
        numeric={1, 4, 5, 6},
    )


def tensors(checkpoint: Json, *, values: bool, everything: bool = True) -> Table:
    """Return one row a tensor; with `values`, what they are; without `everything`, what fits."""
    sizes = everything or not values  # both are too wide for most terminals
    names = ["tensor", "dtype", "shape", *(("weights", "size") if sizes else ())]
    numeric = {3, 4} if sizes else set()
    if values:
        numeric |= {len(names) + i for i in range(1, 6)}
        names += ["really", "zeros", "NaN", "Inf", "min", "max"]
    rows = tuple(
        (
            printable(tensor["name"]) if everything else shorten(tensor["name"], 32),
            tensor["dtype"],
            shape_text(tensor["shape"]),
            *((f"{tensor['n_weights']:,}", _size(tensor)) if sizes else ()),
            *(_values(tensor) if values else ()),
        )
        for tensor in checkpoint["tensors"]
    )
    return Table("tensors", columns(*names, numeric=numeric), rows)


def unread_values(checkpoint: Json) -> list[str]:
    """Return one line per reason for which values were not read."""
    reasons = Counter(tensor["reason"] for tensor in checkpoint["tensors"] if tensor["reason"])
    return [
        f"the values of {plural(count, 'tensor')} were not read: {reason}"
        for reason, count in reasons.items()
    ]


def _size(record: Json) -> str:
    return human_bytes(record["n_bytes"])


def _values(tensor: Json) -> tuple[str, ...]:
    values = tensor["values"]
    if values is None:
        return ("not looked at", "", "", "", "", "")
    return (
        _really(tensor, values),
        f"{values['n_zero'] / tensor['n_weights']:.1%}" if tensor["n_weights"] else "",
        f"{values['n_nan']:,}",
        f"{values['n_inf']:,}",
        four_figures(values["min"]),
        four_figures(values["max"]),
    )


def _really(tensor: Json, values: Json) -> str:
    if values["constant"]:  # any dtype holds it; for a single value that says nothing
        return "constant" if tensor["n_weights"] > 1 else str(tensor["dtype"])
    return "/".join(values["effective_dtypes"])


def _shapes(shapes: Sequence[Sequence[int]], most: int = 2) -> str:
    more = f", {len(shapes) - most} more" if len(shapes) > most else ""
    return ", ".join(map(shape_text, shapes[:most])) + more
