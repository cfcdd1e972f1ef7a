"""When each checkpoint of a series was made: its step, and the order that follows."""

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
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import distinguished, printable

__all__ = ["Moment", "in_order"]

#: Names under which files say their step, the first that is there.
_KEYS = ("step", "global_step", "iteration", "epoch")


@dataclass(frozen=True)
class Moment:
    """One checkpoint of a series.

    Attributes
    ----------
    source : path, mapping of arrays or Checkpoint
    name : str
        Its path, or what stands for it.
    step : int or float
    reason : str or None
        Why it cannot be read.
    """

    source: Any
    name: str
    step: float
    reason: str | None = None


def in_order(
    sources: Sequence[Any],
    steps: str | Sequence[float] | None,
    open_one: Callable[[Any], Checkpoint] = open_checkpoint,
) -> tuple[list[Moment], list[str]]:
    """Put checkpoints in the order of their steps.

    Parameters
    ----------
    sources : sequence
        What :func:`kcomplexity.open_checkpoint` opens.
    steps : str, sequence of numbers or None
        A regular expression whose first group (or whole match) is the number in the path, or the
        numbers themselves. By default what the files' metadata says (``step``, ``global_step``,
        ``iteration``, ``epoch``), else the last number in the file names, else 0, 1, 2, ... in
        natural order.
    open_one : callable
        Opens one of the sources.

    Returns
    -------
    moments : list of Moment
    notes : list of str
        Where the steps are from, and which tie.

    Raises
    ------
    SpecError
        If `steps` finds no number in a path, or there are not as many numbers as checkpoints.
    """
    if not sources:
        raise SpecError("no checkpoint was given: expected at least one")
    ordered = list(sources)
    if steps is None or isinstance(steps, str):
        ordered.sort(key=lambda source: natural_key(_name(source)))
    names = [_name(source) for source in ordered]
    read = [_read(source, open_one) for source in ordered]
    if steps is None:
        found, origin = _told(names, [told for told, _ in read])
    elif isinstance(steps, str):
        found, origin = [_matched(steps, name) for name in names], f"{steps} in the names"
    else:
        if len(steps) != len(sources):
            raise SpecError(f"{len(steps)} steps were given for {len(sources)} checkpoints")
        found, origin = [float(step) for step in steps], "as given"
    moments = [
        Moment(source, name, int(step) if float(step).is_integer() else step, reason)
        for source, name, step, (_, reason) in zip(
            ordered, distinguished(names), found, read, strict=True
        )
    ]
    moments.sort(key=lambda one: one.step)  # stable: those that tie stay in natural order
    notes = [f"steps: {origin}"]
    ties = [step for step, count in Counter(one.step for one in moments).items() if count > 1]
    if ties:
        shown = ", ".join(f"{step:g}" for step in ties[:3]) + (", ..." if len(ties) > 3 else "")
        notes.append(f"several checkpoints tie at step {shown}: they stand in natural order")
    return moments, notes


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


def _read(
    source: Any, open_one: Callable[[Any], Checkpoint]
) -> tuple[dict[str, float], str | None]:
    """Return the numbers of a checkpoint's metadata, and why it cannot be read."""
    try:
        with open_one(source) as checkpoint:
            told = {key: _number(checkpoint.metadata.get(key)) for key in _KEYS}
    except (CheckpointError, OSError) as error:
        return {}, str(error)
    return {key: number for key, number in told.items() if number is not None}, None


def _told(names: Sequence[str], metadata: Sequence[dict[str, float]]) -> tuple[list[float], str]:
    """Return the steps that files or names tell; what tells only some of them tells nothing."""
    for key in _KEYS:
        if all(key in told for told in metadata):
            return [told[key] for told in metadata], f"{key} in the metadata"
    numbers = [re.findall(r"\d+", PurePath(name).name) for name in names]
    if all(numbers):
        return [float(found[-1]) for found in numbers], "the last number in each name"
    return [float(i) for i in range(len(names))], "natural order of the names"
