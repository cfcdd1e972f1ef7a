"""Score a checkpoint: the main job, from the file to a report.

The stages, and where they are: open and select (:func:`open_selected`), decide what is measured by
what (:mod:`kcomplexity.scoring.plan`), measure one unit after the other, several side by side
(:func:`run_plan`, :mod:`kcomplexity.scoring.rows`), add up (:mod:`kcomplexity.scoring.summary`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from typing import Any, Literal

from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import Report, Score
from kcomplexity.scoring.headline import headline
from kcomplexity.scoring.plan import Plan, make_plan
from kcomplexity.scoring.rows import measure_unit
from kcomplexity.scoring.structure import mark_structure, with_structure
from kcomplexity.scoring.summary import summarise
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.tensors.groups import Scope

__all__ = ["assemble", "open_selected", "run_plan", "score"]


def score(
    source: Any,
    *,
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
    threads: int | None = None,
    workers: Literal["thread", "process"] = "thread",
    executor: Executor | None = None,
    max_memory: int = DEFAULT_MAX_MEMORY,
    piece: int = 1,
    progress: Callable[[int], None] | None = None,
    command: str = "",
) -> Report:
    """Measure the complexity of a checkpoint, tensor by tensor.

    Parameters
    ----------
    source : path, mapping of arrays, Checkpoint, or a list of them
        What :func:`kcomplexity.open_checkpoint` opens.
    panel : str
        A named list of specs with their controls; see ``kcomplexity estimators``.
    specs : str or iterable of str, optional
        Specs instead of a panel, e.g. ``"zstd:19@bytes/planes,entropy@q8"`` or a list.
    controls : str or iterable of str, optional
        Controls for every spec that can see them, e.g. ``["shuffle:19"]``; by default the
        panel's own, none with `specs`.
    scope : {"tensor", "group", "model"}, optional
        What is measured as one; by default what the panel says, mostly each tensor.
    include, exclude : sequence of str
        Globs on tensor names.
    dtypes : mapping of str to str, optional
        Globs to dtype codes, for files that do not say.
    root : str, optional
        Keys of the part to read of a file that nests its tensors.
    dequantize : bool
        Read quantised blocks as the weights they stand for, not as codes.
    seed : int
        Of the controls and of the sample.
    sample : float, optional
        Share of each big tensor to measure, 0 to 1, for every spec.
    exact : bool
        Forbid sampling; expensive specs then take as long as they take.
    threads : int, optional
        Workers; all processors by default. No figure depends on it.
    workers : {"thread", "process"}
    executor : concurrent.futures.Executor, optional
        One of your own instead.
    max_memory : int
        Bytes that the work in flight may take.
    piece : int
        Cuts handled at once; no figure depends on it.
    progress : callable, optional
        Called with the number of bytes done since the last call. A tensor counts once for every
        spec, and once more for every replicate of its controls.
    command : str
        What the user typed, for the provenance.

    Returns
    -------
    Report

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    SpecError
        If a spec, panel, control, glob or option means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> halves = np.tile(np.float32([-1, 1]), 2048)
    >>> report = score({"w": halves}, specs=["entropy@q8"])
    >>> report.rows[0].bits_per_weight
    1.0
    """
    started = time.time()
    with ExitStack() as stack:
        plan = make_plan(
            [
                stack.enter_context(opened)
                for opened in open_selected(
                    source, include, exclude, dtypes or {}, root=root, dequantize=dequantize
                )
            ],
            panel_name=panel,
            specs=specs,
            controls=controls,
            scope=scope,
            seed=seed,
            sample=sample,
            exact=exact,
        )
        pool = stack.enter_context(
            Pool(
                threads,
                kind=workers,
                executor=executor,
                max_memory=max_memory,
                piece=piece,
                progress=progress,
            )
        )
        rows = [row for found in run_plan(plan, pool) for row in found]
        return assemble(plan, rows, pool.threads, started, command)


def assemble(
    plan: Plan, rows: Sequence[Score], threads: int, started: float, command: str
) -> Report:
    """Put rows, sums, sentences and provenance together."""
    infos = tuple(describe(checkpoint) for checkpoint in plan.checkpoints)
    rows = mark_structure(plan.checkpoints, rows)
    summary = with_structure(plan.checkpoints, rows, summarise(rows))
    return Report(
        provenance=provenance(command, plan.seed, threads, started),
        checkpoints=infos,
        rows=tuple(rows),
        summary=summary,
        headline=((plan.warning,) if plan.warning else ()) + headline(infos, rows, summary),
    )


def open_selected(
    source: Any,
    include: Sequence[str],
    exclude: Sequence[str],
    dtypes: Mapping[str, str],
    *,
    root: str | None = None,
    dequantize: bool = False,
    stored: bool = False,
) -> Iterator[Checkpoint]:
    """Open each source and keep the tensors that the globs admit."""
    for one in source if isinstance(source, list | tuple) else [source]:
        opened = open_checkpoint(
            one, dtypes=dtypes, root=root, dequantize=dequantize, stored=stored
        )
        yield opened.select(include, exclude)


def run_plan(
    plan: Plan, pool: Pool, done: Callable[[str, Unit], list[Score] | None] | None = None
) -> Iterator[list[Score]]:
    """Yield the rows of one unit after the other, in their order.

    Several units are under way at once, each driven by a thread of its own that hands its cuts to
    the pool: small tensors fill the pool together, a big one fills it alone.

    Parameters
    ----------
    plan : Plan
    pool : Pool
    done : callable, optional
        Rows that an earlier run has measured already, or None.
    """
    if any(task.spec.estimator.linear_algebra for task in plan.tasks):
        pool.limit_linear_algebra()
    units = (
        (checkpoint.path, unit)
        for checkpoint, members in zip(plan.checkpoints, plan.units, strict=True)
        for unit in members
    )
    return pool.map(lambda unit: _rows_of(*unit, plan, pool, done), units)


def _rows_of(
    path: str,
    unit: Unit,
    plan: Plan,
    pool: Pool,
    done: Callable[[str, Unit], list[Score] | None] | None,
) -> list[Score]:
    known = done(path, unit) if done else None
    return measure_unit(path, unit, plan.task_of, plan.seed, pool) if known is None else known
