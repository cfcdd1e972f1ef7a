"""``kcomplexity fit``: re-express trained weights as a mosaic of motifs."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.coding import coding_options, opened_to_code
from kcomplexity_cli.options import plot_option, selection_options
from kcomplexity_cli.plot import draw_into
from kcomplexity_cli.repeatable import Repeatable, command_text
from kcomplexity_cli.types import OutputFile, Size, completed_from

if TYPE_CHECKING:
    from kcomplexity.mosaics.fit_budget import FitBudget

__all__ = ["fit"]


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
    help="Target: motifs, indices and scales, a fitted weight.",
)
@click.option(
    "--size", type=Size(), default=None, metavar="SIZE", help="Target: the file, as 300KB."
)
@click.option(
    "--scope",
    type=click.Choice(["model", "group", "tensor"]),
    default="model",
    show_default=True,
    help="Which tensors share motifs: all, those of one name but for layer numbers, none.",
)
@click.option(
    "--scale",
    type=click.Choice(["none", "tensor", "row"]),
    default="none",
    show_default=True,
    help="What is divided out first, and stored.",
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
    help="Fit N controls (shuffle, signs) at the same error and tell the ratio of bits.",
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
@coding_options
@plot_option
@selection_options
def fit(checkpoint: str, **options: Any) -> None:
    """Re-express the weights of a checkpoint as blocks that are each one of k motifs.

    Tells how many bits that description takes, all side information counted, and how far the
    weights move. The file written is what was counted; 'kcomplexity expand' makes it a dense
    checkpoint again. Tensors that --include and --exclude leave out are kept as they are.
    """
    from kcomplexity.mosaics.fit_budget import fit_budget
    from kcomplexity.mosaics.fit_options import FitOptions
    from kcomplexity.mosaics.fit_plan import plan_fit
    from kcomplexity.mosaics.fit_report import fit_report, headline
    from kcomplexity.mosaics.fitting import run_fit
    from kcomplexity.mosaics.gain import gain_controls, motif_gain
    from kcomplexity.parallel.threads import available_processors
    from kcomplexity.results.provenance import describe, provenance
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import print_json, progress_line

    started = time.time()
    output, threads = options["output"], options["threads"]
    chosen = FitOptions(
        block_size=options["block_size"],
        method=options["method"],
        motifs=options["motifs"],
        capacity=options["capacity"],
        bits_per_weight=options["bits_per_weight"],
        relative_mse=options["relative_mse"],
        size=options["size"],
        scope=options["scope"],
        scale=options["scale"],
        motif_dtype=options["motif_dtype"],
        zero_motif=options["zero_motif"],
        train_points=options["train_points"],
        seed=options["seed"],
    )
    with opened_to_code(checkpoint, options) as (source, selection):
        plan = plan_fit(source, selection, chosen)
        controls = gain_controls(plan, options["controls"])
        if options["dry_run"]:
            budget = fit_budget(plan)
            if options["as_json"]:
                print_json(budget.to_dict())
            else:
                _tell_budget(budget)
            return
        with progress_line("fitting", quiet=options["quiet"]) as progress:
            mosaic = run_fit(plan, threads=threads, progress=progress)
            gains = tuple(
                motif_gain(plan, mosaic, control, threads=threads, progress=progress)
                for control in controls
            )
        if output:
            mosaic.save(output)
        origin = provenance(command_text(), chosen.seed, threads or available_processors(), started)
        report = fit_report(
            mosaic, source, describe(source), origin, str(output) if output else None, gains
        )
    if options["as_json"]:
        print_json(report.to_dict())
    else:
        for line in headline(report):
            click.echo(printable(line))
    if options["plots"]:
        draw_into(options["plots"], report.to_dict(), quiet=options["as_json"])


def _tell_budget(budget: FitBudget) -> None:
    from kcomplexity.text import human_bytes, plural

    click.echo(
        f"{plural(budget.n_fitted, 'weight')} in {plural(budget.n_blocks, 'block')} of "
        f"{budget.block}, {human_bytes(budget.source_bits / 8)} as stored; "
        f"{human_bytes(budget.kept_bits / 8)} are kept as they are"
    )
    if budget.motifs is None:
        bits = budget.target_bits or 0.0
        click.echo(
            f"the number of motifs follows from the target: about {human_bytes(bits / 8)} "
            f"({bits / budget.n_fitted:.2f} bits/weight) for motifs, indices and scales"
        )
        return
    motifs = budget.motifs
    click.echo(
        f"{plural(motifs.n_motifs, 'motif')}: nominally {human_bytes(motifs.motif_bits / 8)} of "
        f"motifs and {human_bytes(motifs.index_bits / 8)} of indices, "
        f"RAC {budget.source_bits / motifs.bits:.4f}"
    )
