"""``kcomplexity compare``: whether training made it simpler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kcomplexity_cli.ending import finish
from kcomplexity_cli.options import Output, measure_options, output_options, quiet_option
from kcomplexity_cli.repeatable import Repeatable
from kcomplexity_cli.types import Renaming

if TYPE_CHECKING:
    from kcomplexity.scoring.measuring import Measuring


@click.command(
    cls=Repeatable,
    epilog="""\b
Directions: a change is OTHER against REFERENCE; negative = OTHER is simpler.
  total        bits now over bits before, less one
  histogram    the same of the shuffled weights: what the values alone changed
  arrangement  the rest, the order of the values; (1+total) = (1+histogram)(1+arrangement)

\b
Examples:
  kcomplexity compare init.safetensors trained.safetensors
  kcomplexity compare base.safetensors a.safetensors b.safetensors --json
  kcomplexity compare --reference init:torch trained.safetensors
  kcomplexity compare --reference-runs 'init-*.npz' --runs 'trained-*.npz'
  kcomplexity compare init.npz trained.npz --rerun trained-again.npz
  kcomplexity compare a/ b/ --strip-prefix module. --rename '^enc=encoder'
""",
)
@click.argument("checkpoints", nargs=-1, metavar="[REFERENCE] OTHER...")
@click.option(
    "--reference",
    metavar="FILE|init:KIND",
    help="The reference, instead of the first argument; init:torch (or glorot-uniform, he-normal, "
    "lecun-normal, normal, uniform) draws one where there is no initial checkpoint.",
)
@click.option(
    "--reference-runs",
    multiple=True,
    metavar="FILE|GLOB",
    help="Runs of the first condition. Repeatable.",
)
@click.option("--runs", multiple=True, metavar="FILE|GLOB", help="Runs of the second. Repeatable.")
@click.option(
    "--paired/--unpaired",
    default=None,
    help="Whether run i of one side belongs to run i of the other.  [default: if as many]",
)
@click.option(
    "--strip-prefix",
    multiple=True,
    metavar="PREFIX",
    help="Take it off the names that start with it, e.g. module. Repeatable.",
)
@click.option(
    "--rename",
    type=Renaming(),
    multiple=True,
    metavar="PATTERN=NEW",
    help="Change names of OTHER by a regular expression. Repeatable.",
)
@click.option(
    "--conditional",
    is_flag=True,
    help="Also code OTHER with REFERENCE known: K(other | reference), decodable.",
)
@click.option(
    "--rerun",
    metavar="FILE",
    help="A run from the same start, its data in another order: the noise floor of --conditional.",
)
@measure_options
@quiet_option
@output_options
def compare(
    checkpoints: tuple[str, ...],
    *,
    reference: str | None,
    reference_runs: tuple[str, ...],
    runs: tuple[str, ...],
    paired: bool | None,
    strip_prefix: tuple[str, ...],
    rename: tuple[tuple[str, str], ...],
    conditional: bool,
    rerun: str | None,
    measuring: Measuring,
    output: Output,
    quiet: bool,
) -> None:
    """Compare checkpoints with a REFERENCE: how bits changed, and how much of that is order.

    Tensors are matched by name. Each change is reported in total, for the values (their histogram)
    and for their arrangement, with how many shuffles agree and what one tensor could change.
    """
    from kcomplexity.comparison.compare import compare as compare_checkpoints
    from kcomplexity_cli.terminal import note, progress_display

    _check_sides(checkpoints, reference, reference_runs, runs, paired)
    before = list(reference_runs) if runs else reference or checkpoints[0]
    after = runs or (checkpoints if reference else checkpoints[1:])
    with progress_display(quiet) as measuring["progress"]:
        result = compare_checkpoints(
            before,
            list(after),
            over_runs=bool(runs),
            paired=paired,
            conditional=conditional,
            rerun=rerun,
            strip_prefix=strip_prefix,
            rename=dict(rename),
            **measuring,
        )
    if not quiet:
        for text in result.warnings:
            note(f"warning: {text}")
    finish(result, output)


def _check_sides(
    checkpoints: tuple[str, ...],
    reference: str | None,
    reference_runs: tuple[str, ...],
    runs: tuple[str, ...],
    paired: bool | None,
) -> None:
    """Refuse arguments and options that do not name two sides."""
    if bool(reference_runs) != bool(runs):
        raise click.UsageError("--reference-runs and --runs go together: name both sides")
    if runs and (checkpoints or reference):
        raise click.UsageError(
            "checkpoints were given with --runs: name all of them with --reference-runs and --runs"
        )
    if runs:
        return
    if paired is not None:
        raise click.UsageError("--paired and --unpaired are about --reference-runs and --runs")
    if reference and not checkpoints:
        raise click.UsageError("OTHER is missing: name at least one checkpoint to compare")
    if not reference and len(checkpoints) < 2:
        raise click.UsageError(
            "expected REFERENCE and OTHER; without an initial checkpoint: --reference init:torch"
        )
