"""``kcomplexity plot``: pictures of a result."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from kcomplexity_cli.types import Commas, OutputFolder, completed_from

_NAMES = Commas(str, "names with commas between them")


def _figures() -> Iterable[str]:
    from kcomplexity.report.figures import FIGURES

    return FIGURES


@click.command(
    epilog="""\b
Examples:
  kcomplexity score model.safetensors --json > scores.json
  kcomplexity plot scores.json -o figures
  kcomplexity plot scores.json -o figures --kind bits,controls --format svg,pdf --theme paper
  kcomplexity plot scores.json --list
  kcomplexity score model.safetensors --json | kcomplexity plot - -o figures
  kcomplexity plot run.json -o figures --kind trajectory --metric validation.csv
"""
)
@click.argument(
    "result", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), metavar="RESULT"
)
@click.option(
    "-o",
    "--output",
    type=OutputFolder(),
    metavar="DIR",
    help="The folder of the pictures; each comes with its numbers as CSV.",
)
@click.option(
    "--kind",
    "kinds",
    type=_NAMES,
    default=(),
    metavar="NAME,...",
    shell_complete=completed_from(_figures),
    help="Which figures; --list names them.  [default: all that the result has fields for]",
)
@click.option(
    "--format",
    "forms",
    type=_NAMES,
    default="png",
    show_default=True,
    metavar="NAME,...",
    help="png, svg, pdf, or several of them.",
)
@click.option(
    "--theme",
    type=click.Choice(["light", "dark", "paper"]),
    default="light",
    show_default=True,
    help="paper is one column wide.",
)
@click.option(
    "--metric",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.csv",
    help="Steps and a metric, drawn with a trajectory on an axis of its own.",
)
@click.option("--list", "listing", is_flag=True, help="List what can be drawn, and what cannot.")
def plot(
    result: Path,
    output: Path | None,
    *,
    kinds: tuple[str, ...],
    forms: tuple[str, ...],
    theme: str,
    metric: Path | None,
    listing: bool,
) -> None:
    """Draw what a result holds: pictures for a paper, a page or a slide.

    RESULT is what a command printed with --json, its -o file that ends in .json or .jsonl, or the
    file of kcomplexity.Tracker; '-' is the standard input.
    """
    from kcomplexity.report.reading import read_metric, read_result

    document = read_result(result)
    if metric is not None:
        document["metric"] = read_metric(metric)
        _note_unused(document, kinds)
    if listing:
        _list_kinds(document)
    elif output is None:
        raise click.UsageError("name the folder of the pictures with -o DIR, or ask with --list")
    else:
        inputs = [path for path in (result, metric) if path]
        draw_into(output, document, kinds=kinds, forms=forms, theme=theme, inputs=inputs)


def _note_unused(document: dict[str, Any], kinds: Sequence[str]) -> None:
    """Print a note if no figure shows the metric."""
    from kcomplexity.report.figures import unmet
    from kcomplexity_cli.terminal import note

    if kinds and "trajectory" not in kinds:
        note("--metric is not drawn: it belongs to the figure trajectory, which --kind leaves out")
    for text in unmet(document, ["trajectory"]) if not kinds else ():
        note(f"--metric is not drawn: {text}")


def _list_kinds(document: dict[str, Any]) -> None:
    from kcomplexity.report.figures import FIGURES, pictures, unmet
    from kcomplexity.report.table import Table, columns
    from kcomplexity_cli.terminal import print_table

    lacking = dict(line.partition(" ")[::2] for line in unmet(document))
    names = [picture.kind.name for picture in pictures(document)]
    rows = tuple(
        (name, kind.shows, lacking.get(name) or str(names.count(name)))
        for name, kind in FIGURES.items()
    )
    print_table(Table("figures", columns("kind", "shows", "pictures of this result"), rows))


def draw_into(
    folder: Path,
    document: dict[str, Any],
    *,
    kinds: Sequence[str] = (),
    forms: Sequence[str] = ("png",),
    theme: str = "light",
    quiet: bool = False,
    inputs: Sequence[Path] = (),
) -> None:
    """Draw a result into a folder and print the paths of the pictures, unless `quiet`.

    The files `inputs` are never written over.
    """
    from kcomplexity.report.figures import unmet
    from kcomplexity.report.figures.files import save_figures
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import note

    paths = save_figures(document, folder, kinds, forms=forms, look=theme, inputs=inputs)
    for text in unmet(document, kinds) if kinds else ():
        note(f"not drawn: {text}")
    if not quiet:
        click.echo("\n".join(printable(path) for path in paths))
