"""A series of checkpoints: what happened to the complexity of the weights while they were trained.

Each checkpoint is scored as :func:`kcomplexity.score` does; what was measured before, in this
series or in an earlier run, comes from the :mod:`~kcomplexity.scoring.cache`. Trends are over the
tensors that every readable checkpoint has, so that no change is a change of what was added up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

from kcomplexity.errors import CheckpointError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance, Score
from kcomplexity.scoring.cache import Cache, cache_path, run_cached
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.specs import listed
from kcomplexity.tensors.groups import Scope
from kcomplexity.text import percent_change, plural, shorten
from kcomplexity.training.series import Series, Step, StepScore, over_common, series_of
from kcomplexity.training.steps import Moment, in_order

__all__ = ["Series", "Step", "StepScore", "Trajectory", "trajectory"]


@dataclass(frozen=True, kw_only=True)
class Trajectory(Document):
    """Scores of a series of checkpoints, and how they moved.

    Attributes
    ----------
    provenance : Provenance
    steps : tuple of Step
        In order, those that cannot be read among them.
    notes : tuple of str
        Where the steps are from, and what else a reader should know.
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
    sources: Sequence[Any],
    *,
    steps: str | Sequence[float] | None = None,
    panel: str = "default",
    specs: str | Iterable[str] | None = None,
    controls: str | Iterable[str] | None = None,
    scope: Scope | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    dtypes: Mapping[str, str] | None = None,
    root: str | None = None,
    dequantize: bool = False,
    seed: int = 0,
    sample: float | None = None,
    exact: bool = False,
    cache: bool | Cache = True,
    threads: int | None = None,
    workers: Literal["thread", "process"] = "thread",
    max_memory: int = DEFAULT_MAX_MEMORY,
    progress: Callable[[int, int], None] | None = None,
    command: str = "",
) -> Trajectory:
    """Score a series of checkpoints and tell how the figures moved.

    Parameters
    ----------
    sources : sequence of path, mapping of arrays or Checkpoint
        One that cannot be read becomes a step with the reason.
    steps : str or sequence of numbers, optional
        Where the step of each is from: see :func:`kcomplexity.training.steps.in_order`.
    panel, specs, controls, scope, include, exclude, dtypes, root, dequantize, seed, sample, exact
        As for :func:`kcomplexity.score`.
    cache : bool or Cache
        Whether rows are kept in the user's cache folder for the next time, or a cache of your own.
        Tensors that do not change from step to step are measured once in any case.
    threads, workers, max_memory
        As for :func:`kcomplexity.score`; no figure depends on them.
    progress : callable, optional
        Called with the bytes just done and the bytes in all, as far as they are known.
    command : str
        What the user typed, for the provenance.

    Returns
    -------
    Trajectory

    Raises
    ------
    CheckpointError
        If not one checkpoint can be read.
    SpecError
        If a spec, panel, control or `steps` means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> states = [{"w": np.linspace(0, 1, 512, dtype="f4") ** k} for k in (1, 2, 4)]
    >>> found = trajectory(states, specs=["entropy@q8"], cache=False)
    >>> [round(value, 1) for value in found.series[0].values], found.series[0].tau
    ([7.0, 6.6, 5.5], -1.0)
    """
    started = time.time()
    read = partial(open_checkpoint, dtypes=dtypes, root=root, dequantize=dequantize)
    moments, notes = in_order(list(sources), steps, read)
    plan_options: dict[str, Any] = {
        "panel_name": panel,
        "specs": listed(specs),
        "controls": listed(controls),
        "scope": scope,
        "seed": seed,
        "sample": sample,
        "exact": exact,
    }
    told: list[Step] = []
    rows: list[StepScore] = []
    with ExitStack() as stack:
        if not isinstance(cache, Cache):
            cache = stack.enter_context(Cache(cache_path() if cache else None))
        pool = stack.enter_context(Pool(threads, kind=workers, max_memory=max_memory))
        for moment in moments:
            measured: list[Score] = []
            info, reason = None, moment.reason
            if reason is None:
                try:
                    with read(moment.source) as opened:
                        chosen = replace(opened.select(include, exclude), path=moment.name)
                        plan = make_plan([chosen], **plan_options)
                        _report_to(progress, plan.work * len(moments), pool)
                        measured = run_cached(plan, pool, cache)
                        info = describe(plan.checkpoints[0])
                except (CheckpointError, OSError) as error:
                    reason = str(error)
            told.append(_step(moment, reason, info, measured))
            rows += [StepScore.at(moment.step, row) for row in measured]
        made = provenance(command, seed, pool.threads, started)
    if all(step.reason for step in told):
        raise CheckpointError(f"no checkpoint can be read: {told[0].reason}")
    summary = over_common(rows)
    series = (*series_of(summary, told), *series_of(rows, told))
    return Trajectory(
        provenance=made,
        steps=tuple(told),
        notes=(*notes, *_not_everywhere(rows)),
        headline=_headline(told, series),
        series=series,
        rows=tuple(rows),
        summary=summary,
    )


def _not_everywhere(rows: Sequence[StepScore]) -> list[str]:
    """Say which tensors are in no sum, for some checkpoint does not have them."""
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


def _report_to(progress: Callable[[int, int], None] | None, total: int, pool: Pool) -> None:
    if progress:
        pool.progress = lambda n_bytes: progress(n_bytes, total)


def _step(
    moment: Moment, reason: str | None, info: CheckpointInfo | None, rows: Sequence[Score]
) -> Step:
    return Step(
        step=moment.step,
        checkpoint=moment.name,
        status="failed" if reason else "ok",
        reason=reason,
        info=info,
        n_rows=len(rows),
        n_cached=sum(row.cached for row in rows),
    )


def _headline(steps: Sequence[Step], series: Sequence[Series]) -> tuple[str, ...]:
    read = [step for step in steps if step.status == "ok"]
    first, last = f"{read[0].step:g}", f"{read[-1].step:g}"
    when = f"step {first}" if first == last else f"from step {first} to {last}"
    text = f"{plural(len(read), 'checkpoint')}, {when}"
    failed = len(steps) - len(read)
    sentences = [text + (f"; {plural(failed, 'other')} not readable" if failed else "")]
    single: list[str] = []
    for one in series:
        if one.scope != "all" or one.quantity == "value" or len(read) < 2:
            continue
        if one.quantity == "of_shuffled" or "@rd" in one.spec:
            what = {"of_shuffled": " of its own shuffles"}.get(one.quantity, f" {one.unit}")
            if one.change is None:
                single.append(one.spec)
                continue
            gap = f"; {one.gap}" if one.gap else ""
            trend = "" if one.tau is None else f"; Kendall's tau {one.tau:+.2f}"
            sentences.append(
                f"{one.spec}: from {one.first:.3f} to {one.last:.3f}{what} "
                f"({percent_change(one.change)}{trend}{gap}), lower = simpler"
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
