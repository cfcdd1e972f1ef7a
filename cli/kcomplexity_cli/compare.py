"""``kcomplexity compare``: whether training made it simpler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.options import (
    Repeatable,
    command_text,
    measure_arguments,
    measure_options,
    output_options,
    plot_option,
    run_options,
    selection_options,
)
from kcomplexity_cli.plot import draw_into
from kcomplexity_cli.terminal import show_result

__all__ = ["compare"]


class Renaming(click.ParamType[tuple[str, str]]):
    """``PATTERN=REPLACEMENT``: what names become."""

    name = "pattern=replacement"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        pattern, equals, replacement = str(value).partition("=")
        if not equals or not pattern:
            self.fail(rf"{value!r}: expected PATTERN=REPLACEMENT, e.g. '^enc\.=encoder.'", param)
        return pattern, replacement


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
    default=None,
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
    default=None,
    metavar="FILE",
    help="A run from the same start, its data in another order: the noise floor of --conditional.",
)
@measure_options
@click.option("--all", "everything", is_flag=True, help="Print every row, as plain text.")
@plot_option
@selection_options
@run_options
@output_options
def compare(checkpoints: tuple[str, ...], **options: Any) -> None:
    """Compare checkpoints with a REFERENCE: bits, and what of the change is order.

    Tensors are matched by name. Each change is told in total, for the values (their histogram) and
    for their arrangement, with how many shuffles agree and what one tensor could change.
    """
    from kcomplexity.comparison.compare import compare as compare_checkpoints
    from kcomplexity.report import check_target
    from kcomplexity_cli.terminal import note, progress_bar

    output: Path | None = options["output"]
    if output:
        check_target(output)
    reference, other, over_runs = _sides(checkpoints, options)
    with progress_bar(0, quiet=options["quiet"]) as progress:
        found = compare_checkpoints(
            reference,
            other,
            over_runs=over_runs,
            paired=options["paired"] if over_runs else None,
            conditional=options["conditional"],
            rerun=options["rerun"],
            strip_prefix=options["strip_prefix"],
            rename=dict(options["rename"]),
            **measure_arguments(options),
            progress=progress,
            command=command_text(),
        )
    if not options["quiet"]:
        for text in found.warnings:
            note(f"warning: {text}")
    if output:
        found.save(output)
    show_result(found, options)
    if options["plots"]:
        draw_into(options["plots"], found.to_dict(), quiet=options["as_json"])
    end_by_rows(
        len(found.rows),
        n_measured=sum(row.status == "ok" for row in found.rows),
        n_failed=sum(row.status == "failed" for row in found.rows),
    )


def _sides(checkpoints: tuple[str, ...], options: dict[str, Any]) -> tuple[Any, Any, bool]:
    """Return the reference side, the other side, and whether they are runs."""
    from kcomplexity.loaders.paths import find_checkpoints

    if bool(options["reference_runs"]) != bool(options["runs"]):
        raise click.UsageError("--reference-runs and --runs go together: name both sides")
    if options["runs"]:
        if checkpoints or options["reference"]:
            raise click.UsageError(
                "checkpoints were given beside --runs: name all of them with --reference-runs "
                "and --runs"
            )
        return find_checkpoints(options["reference_runs"]), find_checkpoints(options["runs"]), True
    if options["paired"] is not None:
        raise click.UsageError("--paired and --unpaired are about --reference-runs and --runs")
    if options["reference"]:
        if not checkpoints:
            raise click.UsageError("OTHER is missing: name at least one checkpoint to compare")
        return options["reference"], list(checkpoints), False
    if len(checkpoints) < 2:
        raise click.UsageError(
            "expected REFERENCE and OTHER; without an initial checkpoint: --reference init:torch"
        )
    return checkpoints[0], list(checkpoints[1:]), False
