"""``kcomplexity report``: results as one page to send to a colleague."""

from __future__ import annotations

from pathlib import Path

import click

from kcomplexity_cli.types import OutputFile


@click.command(
    epilog="""\b
Examples:
  kcomplexity score model.safetensors --json > scores.json
  kcomplexity report scores.json -o report.html
  kcomplexity report before.json after.json -o report.html
"""
)
@click.argument(
    "results",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="RESULT...",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".html", ".htm"),
    metavar="FILE.html",
    help="The page: one file that opens from disk and loads nothing else.",
)
def report(results: tuple[Path, ...], output: Path) -> None:
    """Write results as one HTML page: figures, tables to sort, definitions, provenance.

    RESULT is what a command printed with --json, its -o file that ends in .json or .jsonl, or the
    file of kcomplexity.Tracker; '-' is the standard input.
    """
    from kcomplexity.files.atomic import check_writable, refuse_paths, write_atomically
    from kcomplexity.report.page import page_bytes
    from kcomplexity.report.reading import read_result
    from kcomplexity.text import printable

    refuse_paths(output, results)
    check_writable(output)
    write_atomically(output, page_bytes([(path.name, read_result(path)) for path in results]))
    click.echo(printable(output))
