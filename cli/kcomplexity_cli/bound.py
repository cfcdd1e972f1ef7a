"""``kcomplexity bound``: what a description length says about generalisation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.options import json_option
from kcomplexity_cli.repeatable import Repeatable, command_text

if TYPE_CHECKING:
    from kcomplexity.bounds.bounding import BoundReport


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
def bound(source: Path | None, **options: Any) -> None:
    """Bound the true risk of a model from the bits that describe it.

    The bits are those of a file that is the description (a mosaic), of a code in the result of
    'score', of the result of 'fit', or of --bits. The bits that state their number are added.
    """
    from kcomplexity.bounds.bounding import bound_by_methods
    from kcomplexity.bounds.descriptions import Description, describe_length
    from kcomplexity.bounds.generalisation import METHODS
    from kcomplexity_cli.terminal import print_json

    if (source is None) == (options["bits"] is None):
        raise click.UsageError("expected either a file or --bits, the length of the description")
    if source is None and (options["spec"], options["checkpoint"]) != (None, None):
        raise click.UsageError(
            "--spec and --checkpoint choose a code of SCORE.json: give that file instead of --bits"
        )
    if source is not None:
        description = describe_length(source, options["spec"], options["checkpoint"])
    else:
        description = Description("as given", options["bits"])
    loss_range, chance = _range(options)
    n_samples = options["samples"]
    if not n_samples.is_integer():
        raise click.UsageError(f"--samples {n_samples:g}: expected a whole number")
    report = bound_by_methods(
        description,
        options["train_error"],
        int(n_samples),
        METHODS if options["method"] == "all" else (options["method"],),
        delta=options["delta"],
        prefix_free=options["prefix_free"],
        grid_bits=options["grid_bits"],
        classes=options["classes"],
        loss_range=loss_range,
        chance=chance,
        command=command_text(),
    )
    if options["as_json"]:
        print_json(report.to_dict())
    else:
        _show(report, *_words(options))


def _range(options: dict[str, Any]) -> tuple[tuple[float, float], float | None]:
    """Return the range of the loss, and the loss of guessing where that follows."""
    import math

    from kcomplexity.bounds.generalisation import smoothed_range

    smoothed = options["vocabulary"], options["smoothing"]
    if smoothed == (None, None):
        high = options["loss_high"]
        return (0.0, 1.0 if high is None else high), None
    if None in smoothed or options["loss_high"] is not None or options["classes"] is not None:
        raise click.UsageError(
            "--vocabulary and --smoothing go together, without --range and --classes"
        )
    return smoothed_range(*smoothed), math.log2(options["vocabulary"])


def _words(options: dict[str, Any]) -> tuple[str, str]:
    """Return the unit of the risk, and what risk an informative bound is below."""
    if options["vocabulary"] is not None:
        return " bits a token", f"guessing among {options['vocabulary']:,} tokens"
    unit = "" if options["loss_high"] is None else " (in units of the loss)"
    if options["classes"] is not None:
        return unit, f"guessing among {options['classes']:,} classes"
    return unit, "all wrong but one in as many samples: --classes states the error of guessing"


def _show(report: BoundReport, unit: str, chance: str) -> None:
    from kcomplexity_cli.terminal import print_table

    for bound in report.bounds:
        value, guessing = f"{bound.bound:.6f}{unit}", f"{bound.chance:.6g} ({chance})"
        if not bound.vacuous:
            click.echo(
                f"true risk <= {value} with probability {1 - bound.delta:g} ({bound.method}); "
                f"below {bound.budget_bits:,.0f} bits a bound is better than {guessing}"
            )
            continue
        need = (
            f"{bound.budget_bits:,.0f} bits would be needed, {bound.bits:,.0f} are there"
            if bound.budget_bits > 0
            else "no description is short enough at this training error and this many samples"
        )
        click.echo(
            f"vacuous ({bound.method}): the bound of {value} is no better than {guessing}; {need}"
        )
    click.echo()
    print_table(report.tables()[-1])
    click.echo("\n- ".join(("it holds if:", *report.assumptions)))
