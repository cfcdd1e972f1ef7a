"""``kcomplexity sweep``: rate against distortion for every lossy coding."""

from __future__ import annotations

import time
from typing import Any

import click

from kcomplexity_cli.coding import coding_options, opened_to_code
from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.options import (
    Commas,
    OutputFile,
    Repeatable,
    command_text,
    plot_option,
    selection_options,
)
from kcomplexity_cli.plot import draw_into

__all__ = ["sweep"]

_NUMBERS = Commas(float, "numbers with commas, e.g. 0.1,0.2")
_NAMES = Commas(str, "names with commas between them")


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
    default="ecvq,kmeans,sample,scalar,prune,low-rank",
    show_default=True,
    metavar="NAME,...",
    help="Which codings compete.",
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
    "--eval-timeout", default=600.0, show_default=True, help="Seconds an evaluation may take."
)
@click.option(
    "-o",
    "--output",
    type=OutputFile(".json"),
    default=None,
    metavar="FILE",
    help="Write the JSON document.",
)
@coding_options
@plot_option
@selection_options
def sweep(checkpoint: str, **options: Any) -> None:
    """Draw bits against error: mosaics, scalar quantisers, pruning and low rank on one footing.

    Every point is a stream that was really written, side information included. The Pareto front is
    marked; what Gaussian weights of one variance need stands beside for reference. With --eval,
    your own measure of each expanded checkpoint does too.
    """
    from kcomplexity.parallel.pool import available_processors
    from kcomplexity.report import write_atomically
    from kcomplexity.report.tables import tables
    from kcomplexity.results.json_form import json_text
    from kcomplexity.results.provenance import describe, provenance
    from kcomplexity.sweeps.sweep import SweepReport, gaussian_bits
    from kcomplexity.sweeps.sweep import sweep as run_sweep
    from kcomplexity_cli.terminal import print_json, print_table, progress_line

    started = time.time()
    with opened_to_code(checkpoint, options) as (source, selection):
        with progress_line("sweeping", quiet=options["quiet"]) as progress:
            points = run_sweep(
                source,
                selection,
                codings=options["codings"],
                errors=options["errors"],
                capacities=options["capacities"],
                block_sizes=options["block_size"],
                eval_command=options["eval_command"],
                timeout=options["eval_timeout"],
                seed=options["seed"],
                threads=options["threads"],
                progress=progress,
            )
        threads = options["threads"] or available_processors()
        report = SweepReport(
            provenance(command_text(), options["seed"], threads, started),
            describe(source),
            sum(tensor.n_weights for tensor in selection.fitted.values()),
            options["eval_command"],
            points,
            tuple((error, gaussian_bits(error)) for error in options["errors"]),
            eval_direction=options["eval_direction"] if options["eval_command"] else None,
        )
    document = report.to_dict()
    if options["output"]:
        write_atomically(options["output"], f"{json_text(document)}\n".encode())
    if options["as_json"]:
        print_json(document)
    else:
        print_table(tables(document)[0], everything=True)
    if options["plots"]:
        draw_into(options["plots"], document, quiet=options["as_json"])
    end_by_rows(
        len(points),
        n_measured=sum(point.bits is not None for point in points),
        n_failed=sum(point.status == "failed" for point in points),
    )
