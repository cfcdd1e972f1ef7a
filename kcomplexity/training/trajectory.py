"""A series of checkpoints: what happened to the complexity of the weights while they were trained.

Each checkpoint is scored as :func:`kcomplexity.score` does; what was measured before, in this
series or in an earlier run, comes from the :mod:`~kcomplexity.scoring.cache`. Trends are over the
tensors that every readable checkpoint has, so that no change is a change of what was added up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

from kcomplexity.errors import CheckpointError
from kcomplexity.loaders.paths import find_checkpoints
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.running import part_of, pool_of, refuse_unknown
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import Provenance
from kcomplexity.scoring.cache import Cache, CachedRows, cache_path
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import measure_plan
from kcomplexity.scoring.specs import listed
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import percent_change, plural, shorten
from kcomplexity.training.series import Series, StepScore, make_series, sum_common_tensors
from kcomplexity.training.steps import Step, in_step_order


@dataclass(frozen=True, kw_only=True)
class Trajectory(Document):
    """Scores of a series of checkpoints, and how they moved.

    Attributes
    ----------
    steps : tuple of Step
        In order, with those that cannot be read.
    notes : tuple of str
        Where the steps come from, and what else a reader should know.
    headline : tuple of str
        The figures in sentences.
    series : tuple of Series
        Over all tensors for each spec, then tensor by tensor.
    rows : tuple of StepScore
        As in a score, step after step.
    summary : tuple of StepScore
        One row per step and spec over the tensors that every readable step has.
    """

    provenance: Provenance
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    headline: tuple[str, ...]
    series: tuple[Series, ...]
    rows: tuple[StepScore, ...]
    summary: tuple[StepScore, ...]
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "trajectory"


def trajectory(
    sources: str | Path | Sequence[Any],
    *,
    steps: str | Sequence[float] | None = None,
    cache: bool | Cache = True,
    **options: Unpack[Measuring],
) -> Trajectory:
    """Score a series of checkpoints and report how the figures moved.

    Parameters
    ----------
    sources : path, or sequence of path, mapping of arrays or Checkpoint
        Where all are paths, folders and globs stand for the checkpoints in them. A checkpoint that
        cannot be read becomes a step with the reason.
    steps : str or sequence of numbers, optional
        The step of each: see :func:`kcomplexity.training.steps.in_step_order`.
    cache : bool or Cache
        Whether rows are kept in the user's cache folder for later calls; or a cache of your own.
        Tensors that do not change from step to step are measured once in any case.
    **options : :class:`~kcomplexity.scoring.measuring.Measuring`
        What is measured by what, which tensors are read, and how the work is done.

    Returns
    -------
    Trajectory

    Raises
    ------
    CheckpointError
        If none of the checkpoints can be read.
    SpecError
        If a spec, panel, control or `steps` is invalid.

    Examples
    --------
    >>> import numpy as np
    >>> states = [{"w": np.linspace(0, 1, 512, dtype="f4") ** k} for k in (1, 2, 4)]
    >>> result = trajectory(states, specs=["entropy@q8"], cache=False)
    >>> [round(value, 1) for value in result.series[0].values], result.series[0].tau
    ([7.0, 6.6, 5.5], -1.0)
    """
    started = time.time()
    refuse_unknown(options, Measuring)
    options["specs"] = listed(options.get("specs"))  # read once for every checkpoint
    options["controls"] = listed(options.get("controls"))
    reading = part_of(options, Reading)
    include, exclude = reading.pop("include", ()), reading.pop("exclude", ())

    def read(source: Any) -> Checkpoint:
        (opened,) = open_selected([source], **reading)
        return opened

    ordered, notes = in_step_order(_find_checkpoints(sources), steps, read)
    measured_steps: list[Step] = []
    rows: list[StepScore] = []
    with ExitStack() as stack:
        if not isinstance(cache, Cache):
            cache = stack.enter_context(Cache(cache_path() if cache else None))
        pool = stack.enter_context(pool_of(options))
        for source, step in ordered:
            if step.status == "ok":
                try:
                    with read(source) as opened:
                        chosen = replace(opened.select(include, exclude), path=step.checkpoint)
                        plan = make_plan([chosen], **options)
                        pool.expect(plan.work * len(ordered), "measuring")
                        units = measure_plan(plan, pool, CachedRows(cache, plan))
                        measured = [row for of_unit in units for row in of_unit]
                        info = describe(plan.checkpoints[0])
                except (CheckpointError, OSError) as error:
                    step = replace(step, status="failed", reason=str(error))
                else:
                    n_cached = sum(row.cached for row in measured)
                    step = replace(step, info=info, n_rows=len(measured), n_cached=n_cached)
                    rows += [StepScore.at(step.step, row) for row in measured]
            measured_steps.append(step)
        made = provenance(options.get("command", ""), options.get("seed", 0), pool.threads, started)
    if all(step.reason for step in measured_steps):
        raise CheckpointError(f"no checkpoint can be read: {measured_steps[0].reason}")
    summary = sum_common_tensors(rows)
    series = (*make_series(summary, measured_steps), *make_series(rows, measured_steps))
    return Trajectory(
        provenance=made,
        steps=tuple(measured_steps),
        notes=(*notes, *_not_everywhere(rows)),
        headline=_headline(measured_steps, series),
        series=series,
        rows=tuple(rows),
        summary=summary,
    )


def _find_checkpoints(sources: str | Path | Sequence[Any]) -> list[Any]:
    """Return the checkpoints that folders and globs stand for, if all sources are paths."""
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    paths = [str(source) for source in listed if isinstance(source, str | Path)]
    return find_checkpoints(paths) if len(paths) == len(listed) else listed


def _not_everywhere(rows: Sequence[StepScore]) -> list[str]:
    """Name the tensors that are in no sum, because some checkpoint does not have them."""
    names: dict[str, set[str]] = {}
    for row in rows:
        names.setdefault(row.checkpoint, set()).add(row.tensor or row.group or "")
    everywhere = set.intersection(*names.values()) if names else set()
    left = sorted(set().union(*names.values()) - everywhere)
    if not left:
        return []
    shown = ", ".join(shorten(name) for name in left[:3]) + (", ..." if len(left) > 3 else "")
    if not everywhere:
        text = "a step without a sum has too little in common with the others"
        return [f"no tensor is in every checkpoint ({shown}): {text}"]
    return [f"{plural(len(left), 'tensor')} not in every checkpoint, so in no sum: {shown}"]


def _headline(steps: Sequence[Step], series: Sequence[Series]) -> tuple[str, ...]:
    read = [step for step in steps if step.status == "ok"]
    first, last = f"{read[0].step:g}", f"{read[-1].step:g}"
    when = f"step {first}" if first == last else f"from step {first} to {last}"
    text = f"{plural(len(read), 'checkpoint')}, {when}"
    failed = len(steps) - len(read)
    sentences = [text + (f"; {plural(failed, 'other')} not readable" if failed else "")]
    single: list[str] = []
    for trend in series:
        if trend.scope != "all" or trend.quantity == "value" or len(read) < 2:
            continue
        if trend.quantity == "of_shuffled" or trend.target_mse is not None:
            what = {"of_shuffled": " of its own shuffles"}.get(trend.quantity, f" {trend.unit}")
            if trend.change is None:
                single.append(trend.spec)
                continue
            gap = f"; {trend.gap}" if trend.gap else ""
            tau = "" if trend.tau is None else f"; Kendall's tau {trend.tau:+.2f}"
            sentences.append(
                f"{trend.spec}: from {trend.first:.3f} to {trend.last:.3f}{what} "
                f"({percent_change(trend.change)}{tau}{gap}), lower = simpler"
            )
    if single:
        sentences.append(f"one step alone has a figure of {', '.join(dict.fromkeys(single))}")
    n_rows, n_cached = (sum(getattr(s, name) for s in read) for name in ("n_rows", "n_cached"))
    if n_cached:
        sentences.append(
            f"{n_cached:,} of {plural(n_rows, 'row')} were known and not measured again"
        )
    sentences.append("describes these files; training runs vary")
    return tuple(sentences)
