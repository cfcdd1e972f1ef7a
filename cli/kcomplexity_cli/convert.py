"""``kcomplexity convert``: any checkpoint as one clean safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.options import selection_options, silent_option

if TYPE_CHECKING:
    from kcomplexity.loaders.selecting import Reading


@click.command(
    epilog="""\b
Examples:
  kcomplexity convert model.pt model.safetensors
  kcomplexity convert run.ckpt ema.safetensors --root ema.state_dict
  kcomplexity convert model.gguf dense.safetensors --dequantize
  kcomplexity convert hf:org/name one.safetensors --exclude '*.inv_freq'
  kcomplexity convert 'pytorch_model-*.bin' model.safetensors
""",
)
@click.argument("checkpoint", metavar="IN")
@click.argument("output", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT")
@selection_options
@silent_option
def convert(checkpoint: str, output: Path, *, reading: Reading, quiet: bool) -> None:
    """Write a checkpoint of any known format to one safetensors file, whole or not at all.

    Names, dtypes, shapes and stored bytes are kept, and so are metadata. Nothing in IN is ever
    executed, and no framework is needed.
    """
    from kcomplexity.loaders.convert import convert as write
    from kcomplexity.loaders.selecting import open_selected
    from kcomplexity.text import human_bytes, plural, printable
    from kcomplexity_cli.terminal import note

    (opened,) = open_selected(checkpoint, **reading)
    with opened:
        written = write(opened, output)
        if quiet:
            return
        for text in (*opened.notes, *written.notes):
            note(text)
    click.echo(
        f"{printable(output)}: {plural(written.n_tensors, 'tensor')}, "
        f"{plural(written.n_weights, 'weight')}, {human_bytes(written.n_bytes)}, "
        f"from {opened.format}"
    )
