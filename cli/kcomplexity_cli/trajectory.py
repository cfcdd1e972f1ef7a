"""``kcomplexity trajectory``: what training did to the complexity of the weights."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.ending import finish, show
from kcomplexity_cli.options import Output, measure_options, output_options, quiet_option
from kcomplexity_cli.repeatable import Repeatable

if TYPE_CHECKING:
    from kcomplexity.scoring.measuring import Measuring
    from kcomplexity.training.trajectory import Trajectory


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
    help="Seconds between two looks of --watch; a file counts once it is unchanged for that long.",
)
@measure_options
@quiet_option
@output_options
def trajectory(
    checkpoints: tuple[str, ...],
    *,
    steps: str | None,
    no_cache: bool,
    watch: bool,
    interval: float,
    measuring: Measuring,
    output: Output,
    quiet: bool,
) -> None:
    """Score the checkpoints of a training, and report how the figures moved.

    Folders stand for the checkpoints in them. One that cannot be read becomes a row with the
    reason. A saved result (.json, .jsonl) or the file of kcomplexity.Tracker is shown again.

    Run it again after more steps: what was measured before is taken from the cache, and so are
    tensors that did not change. Kendall's tau is 1 when a figure only rises with the steps, -1
    when it only falls.
    """
    from kcomplexity.training.trajectory import trajectory as follow
    from kcomplexity_cli.terminal import progress_display

    if len(checkpoints) == 1 and (saved := _saved(Path(checkpoints[0]))):
        if output.file:
            raise click.UsageError(
                "-o writes what was measured: leave it out to show a result again"
            )
        show(saved, saved["headline"], output)
        return
    with progress_display(quiet) as measuring["progress"]:
        if watch:
            result = _watch(checkpoints, steps, not no_cache, interval, quiet, measuring)
        else:
            result = follow(checkpoints, steps=steps, cache=not no_cache, **measuring)
    finish(result, output, sources=result.steps)


def _saved(path: Path) -> dict[str, Any] | None:
    """Return the trajectory in a result file or a Tracker's file; None for a checkpoint.

    The index of a sharded checkpoint ends in .json as well.
    """
    from kcomplexity.errors import ResultError
    from kcomplexity.report.reading import read_result
    from kcomplexity.results.reading import KINDS, kind_of

    if path.suffix not in (".json", ".jsonl") or not path.is_file():
        return None
    try:
        document = read_result(path)
    except ResultError:
        return None
    kind = kind_of(document)
    if kind != "trajectory":
        raise ResultError(
            f"{path} is the result of '{KINDS[kind]}': expected checkpoints, the result of "
            "'trajectory' or the file of kcomplexity.Tracker"
        )
    return document


def _watch(
    checkpoints: tuple[str, ...],
    steps: str | None,
    cache: bool,
    interval: float,
    quiet: bool,
    measuring: Measuring,
) -> Trajectory:
    """Print a line for each new step, until interrupted or terminated."""
    from kcomplexity.training.watching import step_sentence, watch
    from kcomplexity_cli.terminal import note

    printed: set[str] = set()
    with _until_signalled() as stopped:
        for result in watch(
            checkpoints,
            stopped=stopped,
            interval=interval,
            waiting=lambda reason: note(f"{reason}; waiting for more"),
            steps=steps,
            cache=cache,
            **measuring,
        ):
            new = [step for step in result.steps if step.checkpoint not in printed]
            printed.update(step.checkpoint for step in new)
            for step in new if not quiet else ():
                note(step_sentence(result, step))
    return result


@contextmanager
def _until_signalled() -> Iterator[Callable[[], bool]]:
    """Yield whether SIGINT or SIGTERM has come; the step under way is finished all the same."""
    signals: list[int] = []

    def keep(number: int, _frame: object) -> None:
        signals.append(number)

    before = {number: signal.signal(number, keep) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
