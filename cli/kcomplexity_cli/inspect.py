"""``kcomplexity inspect``: what checkpoints hold, by their headers or by their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.options import (
    as_one_option,
    json_option,
    quiet_option,
    run_options,
    selection_options,
)
from kcomplexity_cli.types import OutputFile

if TYPE_CHECKING:
    from kcomplexity.loaders.selecting import Reading
    from kcomplexity.parallel.running import Running

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
"""
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
@quiet_option
@click.option(
    "-o",
    "--output",
    type=OutputFile(".json"),
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
    from kcomplexity.inspection.inspecting import inspect
    from kcomplexity.results.json_form import json_text
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
    for i, checkpoint in enumerate(document["checkpoints"]):
        if i and not output:
            click.echo()
        _show(checkpoint, values=values, everything=everything, silent=bool(output))


def _show(checkpoint: Any, *, values: bool, everything: bool, silent: bool) -> None:
    from kcomplexity.report import inspection_tables as tables
    from kcomplexity.text import human_bytes, plural, printable
    from kcomplexity_cli.terminal import print_table

    click.echo(
        f"{printable(checkpoint['path'])}: {checkpoint['format']}, "
        f"{plural(checkpoint['n_tensors'], 'tensor')}, "
        f"{plural(checkpoint['n_weights'], 'weight')}, {human_bytes(checkpoint['n_bytes'])}, "
        f"and {human_bytes(checkpoint['n_container_bytes'])} of container"
    )
    if silent:
        return
    _show_metadata(checkpoint["metadata"], everything=everything)
    click.echo()
    shown = tables.overview(checkpoint, everything=everything)
    if values or everything:
        shown.append(tables.tensors(checkpoint, values=values, everything=everything))
    for table in shown:
        print_table(table, everything=everything)
    for text in (*checkpoint["notes"], *tables.unread_values(checkpoint)):
        click.echo(f"note: {printable(text)}")


def _show_metadata(metadata: dict[str, str], *, everything: bool) -> None:
    from kcomplexity.text import printable, shorten

    entries = sorted(metadata.items())  # writers keep no order of their own
    for key, value in entries if everything else entries[:_MOST_METADATA]:
        name = printable(key) if everything else shorten(key, 30)
        text = printable(value) if everything else shorten(value, _WIDTH - len(name) - 4)
        click.echo(f"  {name}: {text}")
    if len(entries) > _MOST_METADATA and not everything:
        click.echo(f"  ... {len(entries) - _MOST_METADATA:,} more: --all prints every one")
