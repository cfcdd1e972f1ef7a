"""``kcomplexity bound``: what a description length says about generalisation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from kcomplexity_cli.options import json_option
from kcomplexity_cli.repeatable import Repeatable, command_text

if TYPE_CHECKING:
    from kcomplexity.bounds.bounding import BoundOptions


@click.command(
    cls=Repeatable,
    epilog="""\b
What must hold, and nothing here can check:
  - the training error is that of the model as decoded from these bits;
  - the code was fixed independently of the training data: what was searched (specs, rates,
    seeds) is paid for with --grid-bits, the log2 of how many were tried;
  - the samples are independent, from the distribution that the risk is about.

\b
Examples:
  kcomplexity bound --bits 8488.1 --prefix-free --train-error 0.136 --samples 50000
  kcomplexity bound model.mosaic.safetensors --train-error 0.02 --samples 60000 --classes 10
  kcomplexity bound scores.json --spec entropy:two-part@rd0.1 --train-error 0.05 --samples 60000
  kcomplexity bound --bits 2e6 --train-error 3.1 --samples 1e9 --vocabulary 50257 --smoothing 0.1
""",
)
@click.argument(
    "source", required=False, type=click.Path(path_type=Path), metavar="[MOSAIC|FILE|SCORE.json]"
)
@click.option("--bits", type=float, help="Length of the description, instead.")
@click.option("--spec", help="Which code of SCORE.json.")
@click.option("--checkpoint", help="Which checkpoint of SCORE.json.")
@click.option(
    "--train-error",
    type=float,
    required=True,
    metavar="SHARE",
    help="Of the decoded model, 0 to 1; with --vocabulary the smoothed loss in bits a token.",
)
@click.option(
    "--samples", type=float, required=True, metavar="N", help="Independent training samples."
)
@click.option(
    "--delta", default=0.05, show_default=True, help="Probability with which the bound may fail."
)
@click.option(
    "--grid-bits", default=0.0, show_default=True, help="log2 of the models that were tried."
)
@click.option(
    "--prefix-free", is_flag=True, help="The code is prefix-free already: add nothing for that."
)
@click.option("--classes", type=int, help="Classes: guessing errs at 1 - 1/classes.")
@click.option(
    "--method",
    type=click.Choice(["chernoff", "hoeffding", "maurer", "catoni", "all"]),
    default="chernoff",
    show_default=True,
    help="Which inequality turns bits into risk; 'all' prints each.",
)
@click.option("--range", "loss_high", type=float, help="Losses are 0 to this.")
@click.option("--vocabulary", type=int, help="Tokens of a language model.")
@click.option(
    "--smoothing",
    type=float,
    help="Share of uniform predictions that was mixed in to bound its loss.",
)
@json_option
def bound(
    source: Path | None,
    *,
    bits: float | None,
    spec: str | None,
    checkpoint: str | None,
    train_error: float,
    samples: float,
    method: str,
    loss_high: float | None,
    vocabulary: int | None,
    smoothing: float | None,
    as_json: bool,
    **options: Unpack[BoundOptions],
) -> None:
    """Bound the true risk of a model from the bits that describe it.

    The bits are those of a file that is the description (a mosaic), of a code in the result of
    'score', of the result of 'fit', or of --bits. The bits that state their number are added.
    """
    from kcomplexity.bounds.bounding import bound_by_methods
    from kcomplexity.bounds.descriptions import Description, describe_length
    from kcomplexity.bounds.generalisation import METHODS, smoothed_range
    from kcomplexity_cli.terminal import print_json, print_table

    if source is None and (spec, checkpoint) != (None, None) and bits is not None:
        raise click.UsageError(
            "--spec and --checkpoint choose a code of SCORE.json: give that file instead of --bits"
        )
    if source is None and bits is not None:
        description = Description("as given", bits)
    elif source is not None and bits is None:
        description = describe_length(source, spec, checkpoint)
    else:
        raise click.UsageError("expected either a file or --bits, the length of the description")
    classes, unit = options["classes"], ""
    guessing = "all wrong but one in as many samples: --classes states the error of guessing"
    if vocabulary is not None and smoothing is not None and (loss_high, classes) == (None, None):
        options["loss_range"] = smoothed_range(vocabulary, smoothing)
        options["chance"] = math.log2(vocabulary)
        unit, guessing = " bits a token", f"guessing among {vocabulary:,} tokens"
    elif (vocabulary, smoothing) != (None, None):
        raise click.UsageError(
            "--vocabulary and --smoothing go together, without --range and --classes"
        )
    elif loss_high is not None:
        options["loss_range"], unit = (0.0, loss_high), " (in units of the loss)"
    if classes is not None:
        guessing = f"guessing among {classes:,} classes"
    if not samples.is_integer():
        raise click.UsageError(f"--samples {samples:g}: expected a whole number")
    methods = METHODS if method == "all" else (method,)
    report = bound_by_methods(
        description, train_error, int(samples), methods, command=command_text(), **options
    )
    if as_json:
        print_json(report.to_dict())
        return
    click.echo("\n".join(report.sentences(unit, guessing)) + "\n")
    print_table(report.tables()[-1])
    click.echo("\n- ".join(("it holds if:", *report.assumptions)))
