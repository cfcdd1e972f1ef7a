"""``kcomplexity expand``: turn a mosaic into a dense checkpoint again."""

from __future__ import annotations

from pathlib import Path

import click

from kcomplexity_cli.options import silent_option


@click.command(
    epilog="""\b
Examples:
  kcomplexity expand model.mosaic.safetensors -o dense.safetensors
  kcomplexity expand sharded.mosaic.safetensors -o dense/
""",
)
@click.argument("mosaic", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="The .safetensors file to write, or the folder of shards if the source had them.",
)
@silent_option
def expand(mosaic: Path, output: Path, *, quiet: bool) -> None:
    """Write the dense checkpoint that a mosaic decodes to.

    It has the names, shapes, dtypes, metadata and shards of the checkpoint that the mosaic was
    fitted to, so that every program that loads the one loads the other.
    """
    from kcomplexity.containers.mosaic import Mosaic
    from kcomplexity.text import human_bytes, plural, printable

    with Mosaic.load(mosaic) as loaded:
        loaded.expand(output)
        if not quiet:
            dense = loaded.checkpoint()
            click.echo(
                f"{printable(output)}: {plural(len(dense), 'tensor')}, "
                f"{human_bytes(dense.n_bytes)}; {plural(len(loaded.fitted), 'tensor')} from motifs "
                f"at a relative squared error of {loaded.distortion.relative_mse:.4g}"
            )
