"""``kcomplexity inspect``: what checkpoints hold, by their headers or by their values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.options import as_one_option, json_option, run_options, selection_options
from kcomplexity_cli.types import OutputFile

if TYPE_CHECKING:
    from kcomplexity.inspection import Inspection, TensorInfo, ValueInfo
    from kcomplexity.loaders.selecting import Reading
    from kcomplexity.parallel.running import Running
    from kcomplexity.report.tables import Table

__all__ = ["inspect"]

#: Lines of metadata that are shown without --all: some writers leave whole training logs there.
_MOST_METADATA = 20
_WIDTH = 100


@click.command(
    epilog="""\b
Examples:
  kcomplexity inspect model.safetensors
  kcomplexity inspect model/ --all
  kcomplexity inspect model.safetensors --values     (is float32 really bfloat16?)
  kcomplexity inspect model.ckpt --root ema.state_dict
  kcomplexity inspect https://host/model.safetensors
  kcomplexity inspect a.npz b.npz --json > inspected.json
  kcomplexity inspect model.npz --dtype '*.weight=F8_E4M3' -o inspected.json
""",
)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.option(
    "--values",
    is_flag=True,
    help="Read every weight: zeros, NaN, range, and whether a narrower dtype holds them all.",
)
@click.option("--all", "everything", is_flag=True, help="Print every tensor, as plain text.")
@click.option("--stored", is_flag=True, help="Of a mosaic file: the arrays in it, not the weights.")
@selection_options
@as_one_option
@run_options
@click.option(
    "-o",
    "--output",
    type=OutputFile(".json"),
    default=None,
    metavar="FILE.json",
    help="Write the JSON document to a file.",
)
@json_option
def inspect(
    checkpoints: tuple[str, ...],
    *,
    values: bool,
    everything: bool,
    stored: bool,
    as_one: bool,
    reading: Reading,
    running: Running,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show what checkpoints hold: dtypes, counts, sizes, metadata, layers.

    CHECKPOINT is a file, a folder or index of shards, a glob in quotes read as one, a URL, or
    hf:ORG/NAME in the local cache; its content decides the format. Only headers are read, unless
    --values asks for the weights too.
    """
    from kcomplexity.files.atomic import check_writable, write_atomically
    from kcomplexity.inspection import inspect
    from kcomplexity.text import json_text
    from kcomplexity_cli.terminal import print_json, progress_display

    if output:
        check_writable(output)
    sources = [checkpoints] if as_one else list(checkpoints)
    reading["stored"] = stored
    with progress_display(quiet or not values) as running["progress"]:
        report = inspect(sources, values=values, **reading, **running)
    document = report.to_dict()
    if output:
        write_atomically(output, f"{json_text(document)}\n".encode())
    if as_json:
        print_json(document)
        return
    for i, inspection in enumerate(report.checkpoints):
        if i and not output:
            click.echo()
        _show(inspection, values=values, everything=everything, silent=bool(output))


def _show(inspection: Inspection, *, values: bool, everything: bool, silent: bool) -> None:
    from kcomplexity.text import human_bytes, plural, printable
    from kcomplexity_cli.terminal import print_table

    click.echo(
        f"{printable(inspection.path)}: {inspection.format}, "
        f"{plural(inspection.n_tensors, 'tensor')}, {plural(inspection.n_weights, 'weight')}, "
        f"{human_bytes(inspection.n_bytes)}, "
        f"and {human_bytes(inspection.n_container_bytes)} of container"
    )
    if silent:
        return
    for line in _metadata_lines(inspection, everything=everything):
        click.echo(line)
    click.echo()
    if len(inspection.files) > 1:
        print_table(_file_table(inspection), everything=everything)
    print_table(_dtype_table(inspection))
    print_table(_layer_table(inspection, everything=everything), everything=everything)
    if values or everything:
        table = _tensor_table(inspection, values=values, everything=everything)
        print_table(table, everything=everything)
    for text in (*inspection.notes, *_reasons(inspection)):
        click.echo(f"note: {printable(text)}")


def _metadata_lines(inspection: Inspection, *, everything: bool) -> Iterator[str]:
    from kcomplexity.text import printable, shorten

    entries = sorted(inspection.metadata.items())  # writers keep them in no order
    for key, value in entries if everything else entries[:_MOST_METADATA]:
        if everything:
            yield f"  {printable(key)}: {printable(value)}"
        else:
            name = shorten(key, 30)
            yield f"  {name}: {shorten(value, _WIDTH - len(name) - 4)}"
    left = len(entries) - _MOST_METADATA
    if left > 0 and not everything:
        yield f"  ... {left:,} more: --all prints every one"


def _file_table(inspection: Inspection) -> Table:
    from kcomplexity.report.tables import Table
    from kcomplexity.text import human_bytes, printable

    rows = tuple(
        (printable(Path(file.name).name), human_bytes(file.n_bytes)) for file in inspection.files
    )
    return Table("files", ("file", "size"), rows, frozenset({1}))


def _dtype_table(inspection: Inspection) -> Table:
    from kcomplexity.report.tables import Table
    from kcomplexity.text import human_bytes

    rows = tuple(
        (d.code, f"{d.n_tensors:,}", f"{d.n_weights:,}", human_bytes(d.n_bytes))
        for d in inspection.dtypes
    )
    return Table("dtypes", ("dtype", "tensors", "weights", "size"), rows, frozenset({1, 2, 3}))


def _layer_table(inspection: Inspection, *, everything: bool) -> Table:
    from kcomplexity.report.tables import Table
    from kcomplexity.tensors.groups import group_name
    from kcomplexity.text import human_bytes, printable, shorten

    total = max(inspection.n_weights, 1)
    roles = {group_name(t.name): " codes" for t in inspection.tensors if t.code_bits}
    roles |= {group_name(t.name): " beside codes" for t in inspection.tensors if t.side_of}
    rows = tuple(
        (
            printable(layer.pattern) if everything else shorten(layer.pattern),
            f"{layer.n_tensors:,}",
            _shapes(layer.shapes),
            ", ".join(layer.dtypes) + roles.get(layer.pattern, ""),
            f"{layer.n_weights:,}",
            f"{layer.n_weights / total:.1%}",
            human_bytes(layer.n_bytes),
        )
        for layer in inspection.layers
    )
    columns = ("name", "tensors", "shape", "dtype", "weights", "share", "size")
    return Table("layers: # is a layer's number", columns, rows, frozenset({1, 4, 5, 6}))


def _tensor_table(inspection: Inspection, *, values: bool, everything: bool) -> Table:
    from kcomplexity.report.tables import Table
    from kcomplexity.text import human_bytes, printable, shorten

    sizes = everything or not values  # both are too wide for most terminals
    columns = ("tensor", "dtype", "shape", *(("weights", "size") if sizes else ()))
    numeric = {3, 4} if sizes else set()
    if values:
        numeric |= {len(columns) + i for i in range(1, 6)}
        columns += ("really", "zeros", "NaN", "Inf", "min", "max")
    rows = tuple(
        (
            printable(tensor.name) if everything else shorten(tensor.name, 32),
            tensor.dtype,
            _shapes((tensor.shape,)),
            *((f"{tensor.n_weights:,}", human_bytes(tensor.n_bytes)) if sizes else ()),
            *(_value_cells(tensor) if values else ()),
        )
        for tensor in inspection.tensors
    )
    return Table("tensors", columns, rows, frozenset(numeric))


def _value_cells(tensor: TensorInfo) -> tuple[str, ...]:
    values = tensor.values
    if values is None:
        return ("not read", "", "", "", "", "")
    return (
        _really(tensor, values),
        f"{values.n_zero / tensor.n_weights:.1%}" if tensor.n_weights else "",
        f"{values.n_nan:,}",
        f"{values.n_inf:,}",
        _number(values.min),
        _number(values.max),
    )


def _really(tensor: TensorInfo, values: ValueInfo) -> str:
    if values.constant:  # any dtype holds it, and a single value always is
        return "constant" if tensor.n_weights > 1 else tensor.dtype
    return "/".join(values.effective_dtypes)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _shapes(shapes: tuple[tuple[int, ...], ...], most: int = 2) -> str:
    texts = ["x".join(map(str, shape)) or "scalar" for shape in shapes[:most]]
    more = f", {len(shapes) - most} more" if len(shapes) > most else ""
    return ", ".join(texts) + more


def _reasons(inspection: Inspection) -> list[str]:
    """Return one line for each reason why values were not read."""
    from kcomplexity.text import plural

    reasons: dict[str, int] = {}
    for tensor in inspection.tensors:
        if tensor.reason:
            reasons[tensor.reason] = reasons.get(tensor.reason, 0) + 1
    return [
        f"the values of {plural(count, 'tensor')} were not read: {reason}"
        for reason, count in reasons.items()
    ]
