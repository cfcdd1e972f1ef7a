"""Follow a training under way: measure its checkpoints as they are written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Unpack

from kcomplexity.errors import CheckpointError, CheckpointNotFoundError
from kcomplexity.loaders.paths import find_checkpoints
from kcomplexity.scoring.cache import Cache
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.training.steps import Step
from kcomplexity.training.trajectory import Trajectory, trajectory


def watch(
    names: Sequence[str],
    *,
    stopped: Callable[[], bool],
    interval: float = 5.0,
    waiting: Callable[[str], None] | None = None,
    steps: str | None = None,
    cache: bool | Cache = True,
    **options: Unpack[Measuring],
) -> Iterator[Trajectory]:
    """Yield the trajectory so far each time there are more complete checkpoints.

    Parameters
    ----------
    names : sequence of str
        Checkpoints, folders of them, globs; they need not exist yet.
    stopped : callable
        Asked several times a second; once it is true the generator ends, after the measurement
        under way.
    interval : float
        Seconds between two looks; a checkpoint is complete once it did not change for that long.
    waiting : callable, optional
        Called with the reason when none of the checkpoints there can be read yet.
    steps, cache, **options
        As for :func:`~kcomplexity.training.trajectory.trajectory`.

    Raises
    ------
    CheckpointError
        When it is stopped before any checkpoint could be read.
    """
    error: CheckpointError = CheckpointNotFoundError(
        "stopped before the first checkpoint was written"
    )
    measured = False
    for paths in complete_checkpoints(names, interval, stopped):
        try:
            result = trajectory(paths, steps=steps, cache=cache, **options)
        except CheckpointError as unreadable:
            if waiting and str(unreadable) != str(error):
                waiting(str(unreadable))
            error = unreadable
            continue
        measured = True
        yield result
    if not measured:
        raise error


def complete_checkpoints(
    names: Sequence[str], interval: float, stopped: Callable[[], bool]
) -> Iterator[list[str]]:
    """Yield the paths of all complete checkpoints, each time they have changed."""
    before: dict[str, object] = {}
    yielded: dict[str, object] = {}
    while not stopped():
        try:
            now = {path: _files_state(Path(path)) for path in find_checkpoints(names)}
        except CheckpointNotFoundError:
            now = {}  # the training has not begun
        complete = {
            path: state for path, state in now.items() if state and before.get(path) == state
        }
        if complete and complete != yielded:
            yield list(complete)
            yielded = complete
        before = now
        until = time.monotonic() + interval
        while not stopped() and time.monotonic() < until:
            time.sleep(min(0.1, interval))


def _files_state(path: Path) -> object:
    """Return names, sizes and times of a checkpoint's files; None if it is gone again."""
    try:
        files = [path, *path.iterdir()] if path.is_dir() else [path]
        return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    except OSError:
        return None


def step_sentence(result: Trajectory, step: Step) -> str:
    """Return the figures of one step over all tensors, in one line."""
    if step.status != "ok":
        return f"step {step.step:g}: {step.status}: {step.reason}"
    at = [known for known in result.steps if known.status == "ok"].index(step)
    whole = [
        (series, series.values[at])
        for series in result.series
        if series.scope == "all" and series.values[at] is not None
    ]
    bits = [f"{s.spec} {value:.4g}" for s, value in whole if s.quantity == "bits_per_weight"]
    figures = [f"{', '.join(bits)} bits/weight"] if bits else []
    figures += [f"{s.spec} {value:.4g} {s.unit}" for s, value in whole if s.quantity == "value"]
    return f"step {step.step:g}: {'; '.join(figures) or 'nothing was measured'}"
