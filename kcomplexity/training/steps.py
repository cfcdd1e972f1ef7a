"""The step at which each checkpoint of a series was made, and the order that follows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from kcomplexity.errors import CheckpointError, SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.loaders.mapping import UNNAMED
from kcomplexity.loaders.paths import natural_key
from kcomplexity.results.records import CheckpointInfo, Status
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import distinguished, printable

#: Names of a step in the metadata of files; the first that all files have counts.
_KEYS = ("step", "global_step", "iteration", "epoch")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One checkpoint of a series; `reason` says why it cannot be read.

    `n_cached` of its `n_rows` rows came from the cache.
    """

    step: float
    checkpoint: str
    status: Status
    reason: str | None = None
    info: CheckpointInfo | None = None
    n_rows: int = 0
    n_cached: int = 0


def in_step_order(
    sources: Sequence[Any],
    steps: str | Sequence[float] | None,
    open_one: Callable[[Any], Checkpoint] = open_checkpoint,
) -> tuple[list[tuple[Any, Step]], list[str]]:
    """Put checkpoints in the order of their steps.

    Parameters
    ----------
    sources : sequence
        What :func:`kcomplexity.open_checkpoint` opens.
    steps : str, sequence of numbers or None
        A regular expression whose first group (or whole match) is the number in the path, or the
        numbers themselves. By default the number in the files' metadata (``step``, ``global_step``,
        ``iteration``, ``epoch``), else the last number in the file names, else 0, 1, 2, ... in
        natural order.
    open_one : callable
        Opens one of the sources.

    Returns
    -------
    ordered : list of (source, Step)
        Each with its step, which has failed where the source cannot be read.
    notes : list of str
        Where the steps come from, and which steps several checkpoints share.

    Raises
    ------
    SpecError
        If `steps` finds no number in a path, or there are not as many numbers as checkpoints.
    """
    if not sources:
        raise SpecError("no checkpoint was given: expected at least one")
    in_order = list(sources)
    if steps is None or isinstance(steps, str):
        in_order.sort(key=lambda source: natural_key(_name(source)))
    names = [_name(source) for source in in_order]
    metadata = [_metadata(source, open_one) for source in in_order]
    if steps is None:
        numbers, origin = _stated(names, [stated for stated, _ in metadata])
    elif isinstance(steps, str):
        numbers, origin = [_matched(steps, name) for name in names], f"{steps} in the names"
    else:
        if len(steps) != len(sources):
            raise SpecError(f"{len(steps)} steps were given for {len(sources)} checkpoints")
        numbers, origin = [float(step) for step in steps], "as given"
    made = [
        Step(
            step=int(number) if float(number).is_integer() else number,
            checkpoint=name,
            status="failed" if reason else "ok",
            reason=reason,
        )
        for name, number, (_, reason) in zip(distinguished(names), numbers, metadata, strict=True)
    ]
    # Stable: checkpoints of one step stay in natural order.
    ordered = sorted(zip(in_order, made, strict=True), key=lambda pair: pair[1].step)
    notes = [f"steps: {origin}"]
    times = Counter(step.step for _, step in ordered)
    ties = [step for step, count in times.items() if count > 1]
    if ties:
        shown = ", ".join(f"{step:g}" for step in ties[:3]) + (", ..." if len(ties) > 3 else "")
        notes.append(f"several checkpoints tie at step {shown}: they stand in natural order")
    return ordered, notes


def _name(source: Any) -> str:
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        return str(source)
    return str(source.path) if isinstance(source, Checkpoint) else UNNAMED


def _matched(pattern: str, name: str) -> float:
    try:
        match = re.search(pattern, name)
    except re.error as error:
        raise SpecError(f"steps {pattern!r}: {error}; expected a regular expression") from None
    number = _number(match[1] if match and match.re.groups else match[0] if match else None)
    if number is None:
        raise SpecError(
            f"steps {pattern!r} finds no number in {printable(name)}: expected a group that "
            r"matches one, e.g. 'step-(\d+)'"
        )
    return number


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _metadata(
    source: Any, open_one: Callable[[Any], Checkpoint]
) -> tuple[dict[str, float], str | None]:
    """Return the numbers of a checkpoint's metadata, and why it cannot be read."""
    try:
        with open_one(source) as checkpoint:
            stated = {key: _number(checkpoint.metadata.get(key)) for key in _KEYS}
    except (CheckpointError, OSError) as error:
        return {}, str(error)
    return {key: number for key, number in stated.items() if number is not None}, None


def _stated(names: Sequence[str], metadata: Sequence[dict[str, float]]) -> tuple[list[float], str]:
    """Return the steps that metadata or names state for every file, and where they come from."""
    for key in _KEYS:
        if all(key in stated for stated in metadata):
            return [stated[key] for stated in metadata], f"{key} in the metadata"
    numbers = [re.findall(r"\d+", PurePath(name).name) for name in names]
    if all(numbers):
        return [float(digits[-1]) for digits in numbers], "the last number in each name"
    return [float(i) for i in range(len(names))], "natural order of the names"
