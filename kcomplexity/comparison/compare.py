"""Compare checkpoints: did training make the weights simpler, and in what.

The stages, and where they are: lay the checkpoints beside each other
(:mod:`kcomplexity.comparison.align`), score them all by one plan
(:mod:`kcomplexity.scoring.score`), turn scores into changes
(:mod:`kcomplexity.comparison.effects`), say what they show (:mod:`kcomplexity.comparison.verdict`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from kcomplexity.comparison.align import Unmatched, align
from kcomplexity.comparison.changes import Change
from kcomplexity.comparison.conditional_codes import given_all
from kcomplexity.comparison.given import Given, told
from kcomplexity.comparison.sides import Sides, drawn, spooled
from kcomplexity.comparison.verdict import verdict
from kcomplexity.errors import SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import run_plan
from kcomplexity.tensors.checkpoint import Checkpoint, labelled
from kcomplexity.tensors.groups import Scope
from kcomplexity.text import human_bytes, printable

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, kw_only=True)
class Comparison(Document):
    """What changed between checkpoints, tensor by tensor and in the whole.

    Attributes
    ----------
    provenance : Provenance
    checkpoints : tuple of CheckpointInfo
        The reference or references first; only the tensors that are compared.
    unmatched : tuple of Unmatched
        Tensors without a counterpart, and why.
    warnings : tuple of str
        What a reader has to know before any figure.
    headline : tuple of str
        The figures in sentences.
    rows : tuple of Change
        In the order of comparisons, tensors, specs.
    summary : tuple of Change
        The same over all measured tensors, for each spec; where it tells of arrangement, without
        the tensors that have a `left_out`.
    conditional : tuple of Given
        What each of the others costs when the reference is known, where that was asked for: its
        tensors, then their sum.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    unmatched: tuple[Unmatched, ...]
    warnings: tuple[str, ...]
    headline: tuple[str, ...]
    rows: tuple[Change, ...]
    summary: tuple[Change, ...]
    conditional: tuple[Given, ...] = ()
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "compare"


def compare(
    reference: Any,
    other: Any,
    *,
    over_runs: bool = False,
    paired: bool | None = None,
    conditional: bool = False,
    rerun: Any = None,
    panel: str = "default",
    specs: str | Iterable[str] | None = None,
    controls: str | Iterable[str] | None = None,
    scope: Scope | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    root: str | None = None,
    dequantize: bool = False,
    seed: int = 0,
    sample: float | None = None,
    exact: bool = False,
    threads: int | None = None,
    workers: Literal["thread", "process"] = "thread",
    max_memory: int = DEFAULT_MAX_MEMORY,
    progress: Callable[[int, int], None] | None = None,
    command: str = "",
) -> Comparison:
    """Compare a checkpoint, or several, with a reference.

    Parameters
    ----------
    reference : path, mapping of arrays, Checkpoint, or a list of them
        What :func:`kcomplexity.open_checkpoint` opens; or ``"init:KIND"``, an initialisation drawn
        for the shapes of the first of `other` (``"init:torch"``: see the controls).
    other : the same, or a list
        Each is compared with the reference.
    over_runs : bool
        Whether the lists are training runs under two conditions: then changes are means over runs
        with 95 % t-intervals.
    paired : bool, optional
        Whether run i of one side belongs to run i of the other (the same seed, say); by default
        when there are as many on both sides.
    conditional : bool
        Whether to code each of the others with the reference known as well: see
        :func:`kcomplexity.conditional`.
    rerun : path, mapping of arrays or Checkpoint, optional
        The same for a run from the same start whose data came in another order; implies
        `conditional`.
    panel, specs, controls, scope, include, exclude, dtypes, root, dequantize, seed, sample, exact
        As for :func:`kcomplexity.score`; one plan measures all checkpoints.
    threads, workers, max_memory
        As for :func:`kcomplexity.score`; no figure depends on them.
    strip_prefix, rename
        As for :func:`kcomplexity.comparison.align.align`.
    progress : callable, optional
        Called with the bytes just measured and the bytes in all.
    command : str
        What the user typed, for the provenance.

    Returns
    -------
    Comparison

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be read.
    SpecError
        If the checkpoints have nothing in common, or an option means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> start = rng.normal(size=(64, 64)).astype("f4")
    >>> comparison = compare(
    ...     {"w": start}, {"w": np.sort(start)}, specs=["zstd:9@q4"], controls=["shuffle:5"]
    ... )
    >>> change = comparison.summary[0]
    >>> change.structure_change < -0.3, change.values_change
    (True, 0.0)
    """
    started = time.time()
    references, others = (_listed(side) for side in (reference, other))
    paired = _pairing(references, others, over_runs=over_runs, paired=paired)
    if over_runs and (conditional or rerun is not None):
        raise SpecError("conditional complexity is of one reference: leave out the runs")
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(threads, kind=workers, max_memory=max_memory))

        def read(one: Any) -> Checkpoint:
            found = open_checkpoint(one, dtypes=dtypes, root=root, dequantize=dequantize)
            return stack.enter_context(found).select(include, exclude)

        opened = [read(one) for one in others]
        starts: list[Checkpoint] = []
        kept: tuple[Unmatched, ...] = ()
        for one in references:
            if isinstance(one, str) and one.startswith("init:"):
                start, kept = drawn(one, opened[0], seed, pool)
                starts.append(start)
            else:
                starts.append(read(one))
        again = [] if rerun is None else [read(rerun)]
        aligned = align(
            labelled([*starts, *opened, *again]), strip_prefix=strip_prefix, rename=rename
        )
        aligned_sides = [spooled(checkpoint, pool) for checkpoint in aligned.checkpoints]
        plan = make_plan(
            aligned_sides[: len(starts) + len(opened)],
            panel_name=panel,
            specs=specs,
            controls=controls,
            scope=scope,
            seed=seed,
            sample=sample,
            exact=exact,
        )
        if progress:
            total = plan.work
            pool.progress = lambda n_bytes: progress(n_bytes, total)
        measured = [row for found in run_plan(plan, pool) for row in found]
        sides = Sides(plan, measured, len(starts), pool)
        if over_runs:
            rows, summary = sides.over_runs(paired=bool(paired))
        else:
            rows, summary = sides.one_by_one()
        costs = [
            given_all(plan.checkpoints[0], one, pool, *aligned_sides[len(starts) + len(opened) :])
            for one in plan.checkpoints[1:]
            if conditional or again
        ]
        infos = tuple(describe(checkpoint) for checkpoint in plan.checkpoints)
        unmatched = (*aligned.unmatched, *kept)
        warnings = (
            *filter(None, [plan.warning]),
            *aligned.warnings,
            *_mostly_unmatched(infos, unmatched),
            *_same_twice(infos),
        )
        return Comparison(
            provenance=provenance(command, seed, pool.threads, started),
            checkpoints=infos,
            unmatched=unmatched,
            warnings=warnings,
            headline=(
                *verdict(infos, measured, rows, summary),
                *(
                    f"{PurePath(cost[-1].other).name}: {text}"
                    for cost in costs
                    for text in told(cost[-1])
                ),
            ),
            rows=rows,
            summary=summary,
            conditional=tuple(row for cost in costs for row in cost),
        )


def _listed(side: Any) -> list[Any]:
    return list(side) if isinstance(side, list | tuple) else [side]


def _pairing(
    references: Sequence[Any], others: Sequence[Any], *, over_runs: bool, paired: bool | None
) -> bool | None:
    counts = len(references), len(others)
    if not all(counts):
        raise SpecError("a side is empty: expected at least one checkpoint on each")
    if not over_runs:
        if counts[0] > 1:
            raise SpecError(
                f"{counts[0]} references were given: expected one, or runs on both sides "
                "(--reference-runs and --runs)"
            )
        return None
    if paired and counts[0] != counts[1]:
        raise SpecError(
            f"{counts[0]} runs cannot be paired with {counts[1]}: expected as many on both sides"
        )
    return counts[0] == counts[1] if paired is None else paired


def _mostly_unmatched(
    infos: Sequence[CheckpointInfo], unmatched: Sequence[Unmatched]
) -> Iterator[str]:
    left: Counter[str] = Counter()
    for one in unmatched:
        left[one.checkpoint] += one.n_bytes
    for info in infos:
        if left[info.path] > info.n_bytes:
            yield (
                f"{human_bytes(left[info.path])} of {printable(info.path)} have no counterpart, "
                f"and every figure is of the other {human_bytes(info.n_bytes)}"
            )


def _same_twice(infos: Sequence[CheckpointInfo]) -> Iterator[str]:
    first: dict[str, str] = {}
    for info in infos:
        known = first.setdefault(info.fingerprint, info.path)
        if known != info.path:
            yield f"{info.path} holds the same weights as {known}: there is nothing to compare"
