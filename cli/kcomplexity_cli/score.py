"""``kcomplexity score``: the main job."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.options import (
    Repeatable,
    as_one_option,
    command_text,
    measure_options,
    output_options,
    plot_option,
    run_options,
    selection_options,
)
from kcomplexity_cli.plot import draw_into

__all__ = ["score"]


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
@measure_options
@click.option(
    "--tiles",
    type=click.IntRange(min=4),
    metavar="N",
    help="Add to each row of bdm2d@sign, in its JSON details, the ratio to 19 shuffles of every "
    "tile of NxN weights (e.g. 64): where is the structure?",
)
@click.option("--all", "everything", is_flag=True, help="Print every row, as plain text.")
@click.option("--dry-run", is_flag=True, help="Tell what would be measured, and how long it takes.")
@plot_option
@click.option("--resume", is_flag=True, help="Go on with an interrupted -o FILE.jsonl.")
@click.option("--stored", is_flag=True, help="Of a mosaic file: the arrays in it, not the weights.")
@selection_options
@as_one_option
@run_options
@output_options
def score(checkpoints: tuple[str, ...], **options: Any) -> None:
    """Measure the complexity of checkpoints: bits, bits per weight, structure against controls.

    CHECKPOINT is of any known format (safetensors, PyTorch, NumPy, HDF5/Keras, Zarr/Orbax, ONNX,
    Flax, GGUF, TFLite): a file, a folder or index of shards, a glob in quotes read as one, an URL,
    or hf:ORG/NAME in the local cache. The content decides the format. Nothing in a file is ever
    executed.
    """
    from kcomplexity.parallel.pool import Pool
    from kcomplexity.report import check_target
    from kcomplexity.scoring.plan import make_plan
    from kcomplexity.scoring.score import assemble, open_selected, run_plan
    from kcomplexity.scoring.tile_maps import TILED, with_tile_maps
    from kcomplexity_cli.resume import Journal
    from kcomplexity_cli.terminal import note, progress_bar

    started = time.time()
    output: Path | None = options["output"]
    kind = check_target(output) if output else None
    if options["resume"] and kind != "jsonl":
        raise click.UsageError("--resume goes on with a .jsonl file: name it with -o FILE.jsonl")
    controls = options["controls"] or None
    with ExitStack() as stack:
        # A file that two globs name is one checkpoint.
        opened = open_selected(
            [checkpoints] if options["as_one"] else list(dict.fromkeys(checkpoints)),
            options["include"],
            options["exclude"],
            dict(options["dtypes"]),
            root=options["root"],
            dequantize=options["dequantize"],
            stored=options["stored"],
        )
        plan = make_plan(
            [stack.enter_context(checkpoint) for checkpoint in opened],
            panel_name=options["panel"],
            specs=options["estimators"],
            controls=() if controls == ("none",) else controls,
            scope=options["scope"],
            seed=options["seed"],
            sample=options["sample"],
            exact=options["exact"],
        )
        if options["tiles"] and TILED not in {str(task.spec) for task in plan.tasks}:
            raise click.UsageError(f"--tiles adds to the rows of {TILED}: name it with -e")
        pool = Pool(options["threads"], kind=options["workers"], max_memory=options["max_memory"])
        if options["dry_run"]:
            _tell_plan(plan, pool.threads, as_json=options["as_json"])
            return
        if not options["quiet"]:
            for checkpoint in plan.checkpoints:
                which = f"{checkpoint.path}: " if len(plan.checkpoints) > 1 else ""
                for text in checkpoint.notes:
                    note(which + text)
            whole = [str(task.spec) for task in plan.tasks if task.fraction >= 1]
            if (options["sample"] or 1) < 1 and whole:
                why = "parts of a tensor do not add up to it, or its controls need all of it"
                note(f"not sampled: {', '.join(whole)} ({why})")
        journal = stack.enter_context(
            Journal(
                output if kind == "jsonl" else None,
                plan,
                command_text(),
                resume=options["resume"],
                quiet=options["quiet"],
            )
        )
        pool.progress = stack.enter_context(progress_bar(plan.work, quiet=options["quiet"]))
        stack.enter_context(pool)
        rows = []
        for found in run_plan(plan, pool, journal.known):
            if options["tiles"]:
                found = with_tile_maps(found, plan, options["tiles"], pool)
            journal.write(found)
            rows += found
        report = assemble(plan, rows, pool.threads, started, command_text())
    if output:
        report.save(output)
        journal.discard()
    _show(report, as_json=options["as_json"], everything=options["everything"], silent=bool(output))
    if options["plots"]:
        draw_into(options["plots"], report.to_dict(), quiet=options["as_json"])
    end_by_rows(
        len(rows),
        n_measured=sum(row.status == "ok" for row in rows),
        n_failed=sum(row.status == "failed" for row in rows),
    )


def _show(report: Any, *, as_json: bool, everything: bool, silent: bool) -> None:
    from kcomplexity.report.remarks import remarks
    from kcomplexity.report.tables import tables, whole_tables
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import print_json, print_table

    if as_json:
        print_json(report.to_dict())
        return
    for sentence in report.headline:
        click.echo(printable(sentence))
    if silent:
        return
    click.echo()
    document = report.to_dict()
    *short, full = tables(document)
    if everything or len(report.checkpoints) > 1:
        short = whole_tables(document)
    for table in short:
        print_table(table)
    if everything:
        print_table(full, everything=True)
    for line in remarks(document):
        click.echo(line)


def _tell_plan(plan: Any, threads: int, *, as_json: bool) -> None:
    from kcomplexity.report.table import Table, columns
    from kcomplexity.results.json_form import SCHEMA_VERSION
    from kcomplexity.text import human_bytes, plural
    from kcomplexity_cli.terminal import print_json, print_table

    seconds = plan.seconds(threads)
    n_tensors = sum(len(checkpoint) for checkpoint in plan.checkpoints)
    if as_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "n_tensors": n_tensors,
            "n_weights": sum(checkpoint.n_weights for checkpoint in plan.checkpoints),
            "n_bytes": plan.n_bytes,
            "tasks": [
                {
                    "spec": str(task.spec),
                    "controls": [str(control) for control in task.controls],
                    "fraction": task.fraction,
                }
                for task in plan.tasks
            ],
            "threads": threads,
            "predicted_seconds": seconds,
        }
        print_json(document)
        return
    click.echo(
        f"{plural(n_tensors, 'tensor')}, {human_bytes(plan.n_bytes)}; "
        f"{f'about {seconds:.1f} s' if seconds >= 0.05 else 'less than 0.1 s'} with "
        f"{plural(threads, 'worker')}"
    )
    rows = tuple(
        (
            str(task.spec),
            ", ".join(str(control) for control in task.controls),
            "all" if task.fraction >= 1 else f"{task.fraction:.2%} of big tensors",
        )
        for task in plan.tasks
    )
    print_table(Table("what would be measured", columns("spec", "controls", "measured"), rows))
