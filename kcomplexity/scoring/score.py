"""Score a checkpoint: the main job, from the file to a report.

:func:`score` is the whole of it: :func:`open_plan` opens the checkpoints and decides what is
measured by what, :func:`score_plan` measures, adds up, and writes the sentences.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Unpack

from kcomplexity.errors import CheckpointError
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.running import Running, part_of, pool_of, refuse_unknown
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import Report, Score
from kcomplexity.scoring.headline import headline
from kcomplexity.scoring.journal import Journal
from kcomplexity.scoring.measure import measure_unit
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.scoring.plan import Plan, make_plan
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.structure import mark_left_out, structure, with_savings, with_structure
from kcomplexity.scoring.summary import summarise
from kcomplexity.scoring.tile_maps import check_tiles, with_tile_maps
from kcomplexity.scoring.units import Unit


class KnownRows(Protocol):
    """Rows that were measured before: the journal of an interrupted score, a trajectory's cache.

    Used from one thread: every unit is looked up, then kept, in plan order.
    """

    def find(self, path: str, unit: Unit) -> dict[Spec, Score]:
        """Return the rows of a unit of the checkpoint at `path` that are known."""

    def keep(self, path: str, unit: Unit, rows: Mapping[Spec, Score]) -> None:
        """Keep the rows of a unit that were measured just now."""


def score(
    source: Any,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    tiles: int | None = None,
    **options: Unpack[Measuring],
) -> Report:
    """Measure the complexity of a checkpoint, tensor by tensor.

    Parameters
    ----------
    source : path, mapping of arrays, Checkpoint, or a list of them
        What :func:`kcomplexity.open_checkpoint` opens.
    output : path, optional
        Where the report is written; the ending chooses the format, as in ``Report.save``. Rows of
        a ``.jsonl`` file are kept in ``FILE.part`` as they are measured.
    resume : bool
        Go on with the ``FILE.part`` of an interrupted run.
    tiles : int, optional
        Add a map of the ratios to 19 shuffles, for every tile of so many weights a side, to the
        rows of ``bdm2d@sign``.
    **options
        Which tensors, measured by what and how:
        :class:`~kcomplexity.scoring.measuring.Measuring`. A tensor counts once in the progress for
        every spec, and once more for every replicate of its controls.

    Returns
    -------
    Report

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    SpecError
        If a spec, panel, control, glob or option means nothing.
    OutputError
        If `output` cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> halves = np.tile(np.float32([-1, 1]), 2048)
    >>> report = score({"w": halves}, specs=["entropy@q8"])
    >>> report.rows[0].bits_per_weight
    1.0
    """
    with open_plan(source, **options) as plan:
        return score_plan(
            plan, output=output, resume=resume, tiles=tiles, **part_of(options, Running)
        )


@contextmanager
def open_plan(source: Any, **options: Unpack[Measuring]) -> Iterator[Plan]:
    """Open what is to be scored and decide what is measured by what; no weight is read yet."""
    refuse_unknown(options, Measuring)
    with ExitStack() as stack:
        opened = open_selected(source, **part_of(options, Reading))
        yield make_plan([stack.enter_context(checkpoint) for checkpoint in opened], **options)


def score_plan(
    plan: Plan,
    *,
    output: str | Path | None = None,
    resume: bool = False,
    tiles: int | None = None,
    **running: Unpack[Running],
) -> Report:
    """Measure what a plan says and make the report; parameters as for :func:`score`."""
    started = time.time()
    command = running.get("command", "")
    if tiles is not None:
        check_tiles(plan)
    if output is not None:
        Report.check_target(output)
    with ExitStack() as stack:
        path = None if output is None else Path(output)
        journal = stack.enter_context(Journal(path, plan, command, resume=resume))
        pool = stack.enter_context(pool_of(running))
        pool.expect(plan.work, "measuring")
        rows = [row for unit in measure_plan(plan, pool, journal) for row in unit]
        if tiles is not None:
            rows = with_tile_maps(rows, plan, tiles, pool)
        report = make_report(plan, rows, pool.threads, started, command)
        if output is not None:
            report.save(output)
            journal.discard()
    return report


def measure_plan(plan: Plan, pool: Pool, known: KnownRows | None = None) -> Iterator[list[Score]]:
    """Yield the rows of one unit after the other, in their order.

    Several units are under way at once, each driven by a thread of its own that hands its cuts to
    the pool: small tensors fill the pool together, a big one fills it alone. Rows that are `known`
    are not measured again; it keeps the others.
    """
    if any(task.spec.estimator.linear_algebra for task in plan.tasks):
        pool.limit_linear_algebra()
    started: deque[tuple[str, Unit, dict[Spec, Score]]] = deque()

    def unknown() -> Iterator[tuple[str, Unit]]:
        for path, unit in plan.each_unit():
            rows = _known_rows(known, path, unit)
            pool.progress(plan.work_of(unit, rows))
            started.append((path, unit, rows))
            missing = tuple(spec for spec in unit.specs if spec not in rows)
            yield path, replace(unit, specs=missing)

    for measured in pool.map(lambda of: measure_unit(*of, plan, pool), unknown()):
        path, unit, rows = started.popleft()
        missing = [spec for spec in unit.specs if spec not in rows]
        new = dict(zip(missing, measured, strict=True))
        if known:
            known.keep(path, unit, new)
        rows |= new
        yield [rows[spec] for spec in unit.specs]


def _known_rows(known: KnownRows | None, path: str, unit: Unit) -> dict[Spec, Score]:
    try:
        return known.find(path, unit) if known else {}
    except (CheckpointError, OSError):
        return {}  # measuring meets the same error, and its rows have the reason


def make_report(
    plan: Plan, rows: Sequence[Score], threads: int, started: float, command: str
) -> Report:
    """Put rows, sums, sentences and provenance together."""
    infos = tuple(describe(checkpoint) for checkpoint in plan.checkpoints)
    rows = mark_left_out(plan.checkpoints, rows)
    structures = {
        info.path: of
        for info in infos
        if (of := structure([row for row in rows if row.checkpoint == info.path])) is not None
    }
    rows = with_savings(rows, structures)
    summary = with_structure(plan.checkpoints, summarise(rows), structures)
    sentences = headline(infos, rows, summary, structures)
    return Report(
        provenance=provenance(command, plan.seed, threads, started),
        checkpoints=infos,
        rows=tuple(rows),
        summary=summary,
        headline=(plan.warning, *sentences) if plan.warning else sentences,
    )
