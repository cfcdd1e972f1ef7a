"""``kcomplexity score``: the main job."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.ending import finish
from kcomplexity_cli.options import (
    Output,
    as_one_option,
    measure_options,
    output_options,
    quiet_option,
)
from kcomplexity_cli.repeatable import Repeatable

if TYPE_CHECKING:
    from kcomplexity.scoring.measuring import Measuring
    from kcomplexity.scoring.plan import Plan


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity score model.safetensors
  kcomplexity score model/ --panel fast
  kcomplexity score model.pt model.gguf -e zstd@bytes/planes,entropy@codes
  kcomplexity score hf:org/name
  kcomplexity score model.npz -e zstd:19@bytes/planes,entropy@q8 --control shuffle:19
  kcomplexity score a.safetensors b.safetensors -o scores.csv
  kcomplexity score model.npz -e bdm2d@sign --tiles 64 -o tiles.json
  kcomplexity score big/ -o scores.jsonl           (after Ctrl-C: add --resume)
""",
)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT...")
@click.option(
    "--tiles",
    type=click.IntRange(min=4),
    metavar="N",
    help="Add to each row of bdm2d@sign, in the JSON, the ratio to 19 shuffles of every tile of "
    "NxN weights (e.g. 64): where is the structure?",
)
@click.option("--dry-run", is_flag=True, help="Show what would be measured, and how long it takes.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted -o FILE.jsonl.")
@click.option("--stored", is_flag=True, help="Of a mosaic file: the arrays in it, not the weights.")
@as_one_option
@measure_options
@quiet_option
@output_options
def score(
    checkpoints: tuple[str, ...],
    *,
    tiles: int | None,
    dry_run: bool,
    resume: bool,
    stored: bool,
    as_one: bool,
    measuring: Measuring,
    output: Output,
    quiet: bool,
) -> None:
    """Measure the complexity of checkpoints: bits, bits per weight, structure against controls.

    CHECKPOINT is a file, a folder or index of shards, a glob in quotes read as one, a URL, or
    hf:ORG/NAME in the local cache; its content decides the format. Nothing in a file is ever
    executed.
    """
    from kcomplexity.errors import JournalWarning
    from kcomplexity.parallel.running import Running, part_of
    from kcomplexity.scoring.score import open_plan, score_plan
    from kcomplexity_cli.terminal import progress_display

    if resume and (output.file is None or output.file.suffix.lower() != ".jsonl"):
        raise click.UsageError("--resume goes on with a .jsonl file: name it with -o FILE.jsonl")
    # A file that two globs name is one checkpoint.
    sources = [checkpoints] if as_one else list(dict.fromkeys(checkpoints))
    measuring["stored"] = stored
    with open_plan(sources, **measuring) as plan:
        if dry_run:
            _show_plan(plan, measuring["threads"], as_json=output.as_json)
            return
        if quiet:
            warnings.simplefilter("ignore", JournalWarning)
        else:
            _note(plan)
        with progress_display(quiet) as measuring["progress"]:
            report = score_plan(
                plan, output=output.file, resume=resume, tiles=tiles, **part_of(measuring, Running)
            )
    finish(report, output, saved=True)


def _note(plan: Plan) -> None:
    """Print what a reader should know about the checkpoints, and what is not sampled."""
    from kcomplexity_cli.terminal import note

    for checkpoint in plan.checkpoints:
        which = f"{checkpoint.path}: " if len(plan.checkpoints) > 1 else ""
        for text in checkpoint.notes:
            note(which + text)
    if plan.not_sampled:
        note(
            f"not sampled: {', '.join(map(str, plan.not_sampled))} (parts of a tensor do not add "
            "up to it, or its controls need all of it)"
        )


def _show_plan(plan: Plan, threads: int | None, *, as_json: bool) -> None:
    from kcomplexity.parallel.threads import available_processors
    from kcomplexity.report.table import Table, columns
    from kcomplexity.text import human_bytes, plural
    from kcomplexity_cli.terminal import print_json, print_table

    threads = threads or available_processors()
    document = plan.to_dict(threads)
    if as_json:
        print_json(document)
        return
    seconds = document["predicted_seconds"]
    time = f"about {seconds:.1f} s" if seconds >= 0.05 else "less than 0.1 s"
    size = f"{plural(document['n_tensors'], 'tensor')}, {human_bytes(document['n_bytes'])}"
    click.echo(f"{size}; {time} with {plural(threads, 'worker')}")
    rows = []
    for task in plan.tasks:
        share = "all" if task.fraction >= 1 else f"{task.fraction:.2%} of big tensors"
        rows.append((str(task.spec), ", ".join(map(str, task.controls)), share))
    print_table(
        Table("what would be measured", columns("spec", "controls", "measured"), tuple(rows))
    )
