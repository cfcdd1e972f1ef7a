"""``kcomplexity fit``: re-express trained weights as a mosaic of motifs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kcomplexity_cli.lossy_options import lossy_options
from kcomplexity_cli.plot import draw_into
from kcomplexity_cli.repeatable import Repeatable, command_text
from kcomplexity_cli.types import OutputFile, Size, completed_from

if TYPE_CHECKING:
    from kcomplexity.mosaics.fit_budget import FitBudget
    from kcomplexity.mosaics.fit_options import Fitting


def _methods() -> Iterable[str]:
    from kcomplexity.mosaics.fitters import FITTERS

    return FITTERS


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity fit model.safetensors --capacity 0.01 -o model.mosaic.safetensors
  kcomplexity fit model.safetensors --relative-mse 0.1
  kcomplexity fit model.safetensors --bits-per-weight 1.5 --block-size 8
  kcomplexity fit model.safetensors --size 300KB -o small.mosaic.safetensors
  kcomplexity fit model.safetensors --method sample --motifs 1024 --json
  kcomplexity fit model.safetensors --relative-mse 0.3 --block-size 8 --control shuffle:3
""",
)
@click.argument("checkpoint")
@click.option(
    "-m",
    "--method",
    default="ecvq",
    show_default=True,
    shell_complete=completed_from(_methods),
    help="How motifs are found: sample (the paper's: blocks at random), kmeans (least error), ecvq "
    "(fewest bits at an error; with -k or -c at that of as many sampled motifs).",
)
@click.option(
    "-s",
    "--block-size",
    default="4",
    show_default=True,
    metavar="S|RxC",
    help="Weights in a block: a run of S, or R rows by C columns.",
)
@click.option("-k", "--motifs", type=int, default=None, metavar="K", help="Number of motifs.")
@click.option(
    "-c",
    "--capacity",
    type=float,
    default=None,
    metavar="C",
    help="Motifs as a share of the blocks.  [default without any target: 0.01]",
)
@click.option(
    "--relative-mse", type=float, default=None, metavar="E", help="Target: squared error, relative."
)
@click.option(
    "--bits-per-weight",
    type=float,
    default=None,
    metavar="B",
    help="Target: bits of motifs, indices and scales per fitted weight.",
)
@click.option(
    "--size", type=Size(), default=None, metavar="SIZE", help="Target: the file, as 300KB."
)
@click.option(
    "--scope",
    type=click.Choice(["model", "group", "tensor"]),
    default="model",
    show_default=True,
    help="Which tensors share motifs: all, those whose names differ in layer numbers only, none.",
)
@click.option(
    "--scale",
    type=click.Choice(["none", "tensor", "row"]),
    default="none",
    show_default=True,
    help="Whose root mean square is divided out first, and stored.",
)
@click.option(
    "--motif-dtype",
    type=click.Choice(["f32", "f16", "bf16", "grid"]),
    default=None,
    help="How motifs are stored.  [default: sample f32, kmeans f16, ecvq grid]",
)
@click.option("--zero-motif", is_flag=True, help="One of the motifs is the zero block.")
@click.option(
    "--train-points",
    type=int,
    default=None,
    help="Blocks that the rounds see, drawn at random; ecvq takes 16384 at least.  "
    "[default: kmeans all, ecvq 262144]",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="KIND[:N]",
    help="Fit N controls (shuffle, signs) at the same error and report the ratio of bits.",
)
@click.option("--dry-run", is_flag=True, help="Print the bit budget; fit nothing.")
@click.option(
    "-o",
    "--output",
    type=OutputFile(".safetensors"),
    default=None,
    metavar="FILE",
    help="Write the mosaic, e.g. to model.mosaic.safetensors.",
)
@lossy_options
def fit(
    checkpoint: str,
    *,
    controls: tuple[str, ...],
    dry_run: bool,
    output: Path | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    plots: Path | None,
    **options: Unpack[Fitting],
) -> None:
    """Re-express the weights of a checkpoint as blocks that are each one of k motifs.

    Reports how many bits that description takes, all side information counted, and how far the
    weights move. The file written is what was counted; 'kcomplexity expand' makes it a dense
    checkpoint again. Tensors that --include and --exclude leave out are kept as they are.
    """
    from kcomplexity.mosaics.fit_budget import fit_budget
    from kcomplexity.mosaics.fitting import fit_and_report, open_fit
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import note, print_json, progress_display

    with open_fit(checkpoint, output=output, controls=controls, **options) as plan:
        for text in () if quiet else plan.selection.notes:
            note(text)
        if dry_run:
            budget = fit_budget(plan)
            if as_json:
                print_json(budget.to_dict())
            else:
                _print_budget(budget, options["block_size"])
            return
        with progress_display(quiet) as progress:
            report = fit_and_report(
                plan, threads=threads, progress=progress, command=command_text()
            )
    if as_json:
        print_json(report.to_dict())
    else:
        for line in report.headline:
            click.echo(printable(line))
    if plots:
        draw_into(plots, report.to_dict(), quiet=as_json)


def _print_budget(budget: FitBudget, block_size: str | int) -> None:
    from kcomplexity.text import human_bytes, plural

    bits = budget.bits
    click.echo(
        f"{plural(budget.n_fitted, 'weight')} in {plural(budget.n_blocks, 'block')} of "
        f"{block_size}, {human_bytes(bits.source / 8)} as stored; "
        f"{human_bytes(bits.kept / 8)} are kept as they are"
    )
    if budget.n_motifs is None or bits.motifs is None or bits.indices_fixed is None:
        target = bits.target or 0.0
        click.echo(
            f"the number of motifs follows from the target: about {human_bytes(target / 8)} "
            f"({target / budget.n_fitted:.2f} bits/weight) for motifs, indices and scales"
        )
        return
    click.echo(
        f"{plural(budget.n_motifs, 'motif')}: nominally {human_bytes(bits.motifs / 8)} of "
        f"motifs and {human_bytes(bits.indices_fixed / 8)} of indices, "
        f"RAC {bits.source / (bits.motifs + bits.indices_fixed):.4f}"
    )
