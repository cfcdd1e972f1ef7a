"""``kcomplexity sweep``: rate against distortion for every lossy coding."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.lossy_options import lossy_options
from kcomplexity_cli.plot import draw_into
from kcomplexity_cli.repeatable import Repeatable, command_text
from kcomplexity_cli.types import Commas, OutputFile, completed_from

if TYPE_CHECKING:
    from kcomplexity.sweeps.sweep import Sweeping

_NUMBERS = Commas(float, "numbers with commas, e.g. 0.1,0.2")
_NAMES = Commas(str, "names with commas between them")


def _codings() -> Iterable[str]:
    from kcomplexity.codings import CODINGS

    return CODINGS


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity sweep model.safetensors
  kcomplexity sweep model.safetensors --codings ecvq,scalar --errors 0.05,0.1,0.2
  kcomplexity sweep model.safetensors --eval 'python evaluate.py {checkpoint}' -o sweep.json
  kcomplexity sweep model.safetensors --eval 'python loss.py {checkpoint}' --eval-direction lower
""",
)
@click.argument("checkpoint")
@click.option(
    "--codings",
    type=_NAMES,
    default=None,
    metavar="NAME,...",
    shell_complete=completed_from(_codings),
    help="Which codings compete.  [default: ecvq,kmeans,sample,scalar,prune,low-rank, and those of "
    "plug-ins]",
)
@click.option(
    "--errors",
    type=_NUMBERS,
    default="0.01,0.03,0.1,0.2,0.3,0.5",
    show_default=True,
    metavar="E,...",
    help="Relative squared errors that ecvq and scalar aim at.",
)
@click.option(
    "--capacities",
    type=_NUMBERS,
    default="0.0003,0.001,0.003,0.01,0.03",
    show_default=True,
    metavar="C,...",
    help="Motifs of sample and kmeans, as a share of the blocks.",
)
@click.option(
    "-s",
    "--block-size",
    "block_sizes",
    type=Commas(str, "block sizes with commas, e.g. 4,2x2"),
    default="4",
    show_default=True,
    metavar="S,...",
    help="Of the mosaics.",
)
@click.option(
    "--eval",
    "eval_command",
    default=None,
    metavar="CMD",
    help="Run on each expanded checkpoint ({checkpoint}); its last printed number is kept.",
)
@click.option(
    "--eval-direction",
    type=click.Choice(["higher", "lower"]),
    default="higher",
    show_default=True,
    help="Which end of that number is better: lower for a loss.",
)
@click.option(
    "--eval-timeout",
    "timeout",
    default=600.0,
    show_default=True,
    help="Seconds an evaluation may take.",
)
@click.option(
    "-o",
    "--output",
    type=OutputFile(".json", ".csv"),
    default=None,
    metavar="FILE",
    help="Write the JSON document, or the points as CSV.",
)
@lossy_options
def sweep(
    checkpoint: str,
    *,
    output: Path | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    plots: Path | None,
    **options: Unpack[Sweeping],
) -> None:
    """Draw bits against error: mosaics, scalar quantisers, pruning and low rank on one footing.

    Every point is a stream that was really written, side information included. The Pareto front is
    marked; the bits that weights of one Gaussian variance need are printed for reference. With
    --eval, your own measure of each decoded checkpoint is printed too.
    """
    from kcomplexity.sweeps.sweep import open_sweep, run_sweep
    from kcomplexity_cli.terminal import note, print_json, print_table, progress_display

    with open_sweep(checkpoint, output=output, **options) as plan:
        for text in () if quiet else plan.selection.notes:
            note(text)
        with progress_display(quiet) as progress:
            report = run_sweep(plan, threads=threads, progress=progress, command=command_text())
    if output:
        report.save(output)
    if as_json:
        print_json(report.to_dict())
    else:
        print_table(report.tables()[0], everything=True)
    if plots:
        draw_into(plots, report.to_dict(), quiet=as_json)
    end_by_rows(
        len(report.points),
        n_measured=sum(point.bits is not None for point in report.points),
        n_failed=sum(point.status == "failed" for point in report.points),
    )
