"""``kcomplexity trajectory``: what training did to the complexity of the weights."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from kcomplexity_cli.terminal import print_json, show_document, show_result

__all__ = ["trajectory"]


@click.command(
    cls=Repeatable,
    epilog="""\b
Examples:
  kcomplexity trajectory run/*.safetensors
  kcomplexity trajectory run/ --panel fast -o run.csv
  kcomplexity trajectory 'run/step-*/' --steps 'step-(\\d+)'
  kcomplexity trajectory run/ --watch              (Ctrl-C ends it and prints the tables)
""",
)
@click.argument("checkpoints", nargs=-1, required=True, metavar="CHECKPOINT|FOLDER|GLOB|RESULT...")
@click.option(
    "--steps",
    default=None,
    metavar="REGEX",
    help="Where in the path the step is: its first group.  [default: step, global_step, iteration "
    "or epoch in the metadata, else the last number in the names]",
)
@click.option("--no-cache", is_flag=True, help="Use no rows of earlier runs and keep none.")
@click.option("--watch", is_flag=True, help="Go on with new checkpoints as they are written.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05),
    default=5.0,
    show_default=True,
    help="Seconds between two looks of --watch; a file counts once it rested that long.",
)
@measure_options
@click.option("--all", "everything", is_flag=True, help="Print every series, as plain text.")
@plot_option
@selection_options
@run_options
@output_options
def trajectory(checkpoints: tuple[str, ...], **options: Any) -> None:
    """Score the checkpoints of a training, and tell how the figures moved.

    Folders stand for the checkpoints in them. One that cannot be read becomes a row with the
    reason. The .json or .jsonl of an earlier run is shown again, and so is the file of
    kcomplexity.Tracker.

    Run it again after more steps: what was measured before is taken from the cache, also where
    single tensors did not change. Kendall's tau is 1 when a figure only rises with the steps, -1
    when it only falls.
    """
    from kcomplexity.report import check_target
    from kcomplexity.scoring.cache import Cache, cache_path

    if _show_saved(checkpoints, options):
        return
    output: Path | None = options["output"]
    if output:
        check_target(output)
    with ExitStack() as stack:
        cache = stack.enter_context(Cache(None if options["no_cache"] else cache_path()))
        if options["watch"]:
            found = _watched(checkpoints, cache, options)
        else:
            from kcomplexity.loaders.paths import expanded

            found = _measured(expanded(checkpoints), cache, options)
    if output:
        found.save(output)
    show_result(found, options)
    if options["plots"]:
        draw_into(options["plots"], found.to_dict(), quiet=options["as_json"])
    end_by_rows(
        len(found.rows),
        n_measured=sum(row.status == "ok" for row in found.rows),
        n_failed=sum(one.status == "failed" for one in (*found.rows, *found.steps)),
    )


def _show_saved(checkpoints: tuple[str, ...], options: dict[str, Any]) -> bool:
    """Show the result that the only argument is; False where it is not one."""
    from kcomplexity.errors import ResultError
    from kcomplexity.report.reading import read_result
    from kcomplexity.results.reading import KINDS, kind_of

    path = Path(checkpoints[0])
    if len(checkpoints) > 1 or path.suffix not in (".json", ".jsonl") or not path.is_file():
        return False
    try:
        document = read_result(path)
    except ResultError:
        return False  # the index of a sharded checkpoint ends in .json as well
    kind = kind_of(document)
    if kind != "trajectory":
        raise ResultError(
            f"{path} is the result of '{KINDS[kind]}': expected checkpoints, the result of "
            "'trajectory' or the file of kcomplexity.Tracker"
        )
    if options["output"]:
        raise click.UsageError("-o writes what was measured: leave it out to show a result again")
    if options["as_json"]:
        print_json(document)
    else:
        show_document(document, everything=options["everything"])
    if options["plots"]:
        draw_into(options["plots"], document, quiet=options["as_json"], inputs=[path])
    return True


def _measured(paths: list[str], cache: Any, options: dict[str, Any]) -> Any:
    from kcomplexity.training.trajectory import trajectory as follow
    from kcomplexity_cli.terminal import progress_bar

    with progress_bar(0, quiet=options["quiet"]) as progress:
        return follow(
            paths,
            steps=options["steps"],
            cache=cache,
            **measure_arguments(options),
            progress=progress,
            command=command_text(),
        )


def _watched(checkpoints: tuple[str, ...], cache: Any, options: dict[str, Any]) -> Any:
    """Measure what is there and what comes, a line each, until interrupted or terminated."""
    from kcomplexity.errors import CheckpointError, CheckpointNotFoundError
    from kcomplexity_cli.terminal import note

    found, unreadable = None, None
    told: set[str] = set()
    with _stopping() as stopped:
        for paths in _settled(checkpoints, options["interval"], stopped):
            try:
                found = _measured(paths, cache, options)
            except CheckpointError as error:  # of all there is: what comes may be readable
                if str(error) != str(unreadable):
                    note(f"{error}; waiting for more")
                unreadable = error
                continue
            for step in found.steps:
                if step.checkpoint not in told:
                    told.add(step.checkpoint)
                    if not options["quiet"]:
                        note(_line(found, step))
    if found is None:
        if unreadable is not None:
            raise unreadable
        raise CheckpointNotFoundError("stopped before the first checkpoint was written")
    return found


def _settled(
    checkpoints: tuple[str, ...], interval: float, stopped: list[bool]
) -> Iterator[list[str]]:
    """Yield the checkpoints that are complete, each time there are more of them."""
    from kcomplexity.errors import CheckpointNotFoundError
    from kcomplexity.loaders.paths import expanded

    before: dict[str, object] = {}
    done: dict[str, object] = {}
    while not stopped:
        try:
            now = {path: _state(Path(path)) for path in expanded(checkpoints)}
        except CheckpointNotFoundError:
            now = {}  # the training has not begun
        ready = {path: state for path, state in now.items() if state and before.get(path) == state}
        if ready and ready != done:
            yield list(ready)
            done = ready
        before = now
        until = time.monotonic() + interval
        while not stopped and time.monotonic() < until:
            time.sleep(min(0.1, interval))


def _state(path: Path) -> object:
    """Return what changes while a checkpoint is written; None if it is gone again."""
    try:
        files = [path, *path.iterdir()] if path.is_dir() else [path]
        return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    except OSError:
        return None


@contextmanager
def _stopping() -> Iterator[list[bool]]:
    """Note SIGINT and SIGTERM in a list that they make non-empty: the step at hand is finished."""
    stopped: list[bool] = []

    def stop(*_: object) -> None:
        stopped.append(True)

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _line(found: Any, step: Any) -> str:
    if step.status != "ok":
        return f"step {step.step:g}: {step.status}: {step.reason}"
    at = [one for one in found.steps if one.status == "ok"].index(step)
    figures = [
        f"{one.spec} {one.values[at]:.4g}"
        for one in found.series
        if one.scope == "all" and one.quantity == "bits_per_weight" and one.values[at] is not None
    ]
    values = [
        f"{one.spec} {one.values[at]:.4g} {one.unit}"
        for one in found.series
        if one.scope == "all" and one.quantity == "value" and one.values[at] is not None
    ]
    bits = [f"{', '.join(figures)} bits/weight"] if figures else []
    return f"step {step.step:g}: {'; '.join([*bits, *values]) or 'nothing was measured'}"
