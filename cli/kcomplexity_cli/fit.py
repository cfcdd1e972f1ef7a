"""``kcomplexity fit``: re-express trained weights as a mosaic of motifs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from kcomplexity_cli.options import (
    OutputFile,
    Repeatable,
    Size,
    coding_options,
    command_text,
    plot_option,
    selection_options,
)
from kcomplexity_cli.plot import draw_into

__all__ = ["fit", "show_progress"]


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
    help="Which tensors share motifs.",
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
    help="Blocks that the rounds see, drawn at random.  [default: kmeans all, ecvq 262144]",
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
    from kcomplexity.loaders import open_checkpoint
    from kcomplexity.mosaics.fit_options import FitOptions
    from kcomplexity.mosaics.fit_plan import plan_fit
    from kcomplexity.mosaics.fit_report import fit_report, headline
    from kcomplexity.mosaics.fitting import run_fit
    from kcomplexity.mosaics.gain import gain_controls, motif_gain
    from kcomplexity.mosaics.selection import select_fitted
    from kcomplexity.pool import available_processors
    from kcomplexity.provenance import describe, provenance
    from kcomplexity.text import printable
    from kcomplexity.writers import refuse_input, successor
    from kcomplexity_cli.terminal import note

    started = time.time()
    quiet, output = options["quiet"], options["output"]
    names = FitOptions.__dataclass_fields__
    chosen = FitOptions(**{key: value for key, value in options.items() if key in names})
    with open_checkpoint(
        checkpoint,
        dtypes=dict(options["dtypes"]),
        root=options["root"],
        dequantize=options["dequantize"],
    ) as source:
        if output:
            refuse_input(output, source)
            with successor(output):
                pass  # an hour of fitting should not end in a folder that is not there
        selection = select_fitted(
            source,
            options["include"],
            options["exclude"],
            all_tensors=options["all_tensors"],
            skip_nonfinite=options["skip_nonfinite"],
        )
        if not quiet:
            for text in (*source.notes, *selection.notes):
                note(text)
        plan = plan_fit(source, selection, chosen)
        controls = gain_controls(plan, options["controls"])
        if options["dry_run"]:
            _tell_plan(plan, as_json=options["as_json"])
            return
        threads, progress = options["threads"], show_progress(quiet=quiet)
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
        click.echo(json.dumps(report.to_dict(), indent=1, allow_nan=False))
    else:
        for line in headline(report):
            click.echo(printable(line))
    if options["plots"]:
        draw_into(options["plots"], report.to_dict(), quiet=options["as_json"])


def show_progress(*, quiet: bool) -> Callable[[str], None] | None:
    """Show the last round on a terminal, and nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        return None
    return lambda text: click.echo(f"\r\x1b[Kfitting: {text}", nl=False, err=True)


def _tell_plan(plan: Any, *, as_json: bool) -> None:
    import math

    from kcomplexity.records import SCHEMA_VERSION
    from kcomplexity.text import human_bytes, plural

    stored = sum(8 * tensor.n_bytes for tensor in plan.selection.fitted.values())
    width = max(tensor.dtype.bits for tensor in plan.selection.fitted.values())
    options, motif_bits, index_bits, k_all = plan.options, 0, 0, 0
    decided = options.relative_mse is None and (
        options.motifs is not None or options.capacity is not None or not options.has_target
    )
    for found in plan.sets:
        k = options.k_of(found.m) or max(1, found.m // 100)
        k_all += k
        motif_bits += k * options.block.size * width
        index_bits += found.m * math.ceil(math.log2(k))
    document = {
        "schema_version": SCHEMA_VERSION,
        "n_fitted": plan.n_fitted,
        "n_blocks": sum(found.m for found in plan.sets),
        "n_motifs": k_all if decided else None,
        "bits": {
            "source": stored,
            "motifs": motif_bits if decided else None,
            "indices_fixed": index_bits if decided else None,
            "kept": plan.kept_bits,
            "total_nominal": motif_bits + index_bits + plan.kept_bits if decided else None,
        },
    }
    if as_json:
        click.echo(json.dumps(document, indent=1))
        return
    click.echo(
        f"{plural(plan.n_fitted, 'weight')} in {plural(document['n_blocks'], 'block')} of "
        f"{options.block}, {human_bytes(stored / 8)} as stored; "
        f"{human_bytes(plan.kept_bits / 8)} are kept as they are"
    )
    if decided:
        click.echo(
            f"{plural(k_all, 'motif')}: nominally {human_bytes(motif_bits / 8)} of motifs and "
            f"{human_bytes(index_bits / 8)} of indices, "
            f"RAC {stored / (motif_bits + index_bits):.4f}"
        )
    else:
        click.echo("the number of motifs follows from the target")
