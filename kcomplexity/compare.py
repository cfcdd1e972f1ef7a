"""Compare checkpoints: did training make the weights simpler, and in what.

The stages, and where they are: lay the checkpoints beside each other (:mod:`kcomplexity.align`),
score them all by one plan (:mod:`kcomplexity.score`), turn scores into changes
(:mod:`kcomplexity.changes`), say what they show (:mod:`kcomplexity.verdict`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from kcomplexity.align import Unmatched, align
from kcomplexity.changes import Change, change_between, change_over_runs, left_out
from kcomplexity.checkpoint import Checkpoint
from kcomplexity.conditional_codes import given_all
from kcomplexity.controls import Init, parse_control
from kcomplexity.differences import unchanged
from kcomplexity.errors import SpecError
from kcomplexity.given import Given, told
from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel import spool
from kcomplexity.plan import Plan, make_plan
from kcomplexity.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.provenance import describe, provenance
from kcomplexity.records import SCHEMA_VERSION, CheckpointInfo, Document, Provenance, Score
from kcomplexity.score import run_plan
from kcomplexity.summary import summarise
from kcomplexity.units import Scope
from kcomplexity.verdict import verdict

if TYPE_CHECKING:
    from kcomplexity.report.tables import Table

__all__ = ["Comparison", "compare", "labelled", "spooled"]

#: Where a tensor is found among the rows of a checkpoint.
_Key = tuple[str, str, str | None, str | None]


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
        The same over all measured tensors, for each spec.
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

    parts: ClassVar[tuple[str, ...]] = (
        "provenance",
        "checkpoints",
        "unmatched",
        "warnings",
        "headline",
        "rows",
        "summary",
        "conditional",
    )
    row_type: ClassVar[type[Any]] = Change

    def tables(self) -> list[Table]:
        """Return the whole, the tensors that changed most, conditional bits, and every row."""
        from kcomplexity.report.comparisons import changes_table, most_changed, whole_table
        from kcomplexity.report.given import given_table

        given = [given_table(self.conditional)] if self.conditional else []
        return [whole_table(self), *most_changed(self), *given, changes_table(self)]

    def remarks(self) -> list[str]:
        """Return what was not compared, and why."""
        from kcomplexity.report.comparisons import remarks

        return remarks(self)


def compare(
    reference: Any,
    other: Any,
    *,
    over_runs: bool = False,
    paired: bool | None = None,
    conditional: bool = False,
    rerun: Any = None,
    panel: str = "default",
    specs: Iterable[str] | None = None,
    controls: Iterable[str] | None = None,
    scope: Scope | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    seed: int = 0,
    sample: float | None = None,
    exact: bool = False,
    threads: int | None = None,
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
    panel, specs, controls, scope, include, exclude, dtypes, seed, sample, exact
        As for :func:`kcomplexity.score`; one plan measures all checkpoints.
    threads, max_memory
        As for :func:`kcomplexity.score`; no figure depends on them.
    strip_prefix, rename
        As for :func:`kcomplexity.align.align`.
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
        pool = stack.enter_context(Pool(threads, max_memory=max_memory))
        opened = [
            stack.enter_context(open_checkpoint(one, dtypes=dtypes)).select(include, exclude)
            for one in others
        ]
        starts: list[Checkpoint] = []
        kept: tuple[Unmatched, ...] = ()
        for one in references:
            if isinstance(one, str) and one.startswith("init:"):
                drawn, kept = _drawn(one, opened[0], seed, pool)
                starts.append(drawn)
            else:
                found = stack.enter_context(open_checkpoint(one, dtypes=dtypes))
                starts.append(found.select(include, exclude))
        again = []
        if rerun is not None:
            found = stack.enter_context(open_checkpoint(rerun, dtypes=dtypes))
            again = [found.select(include, exclude)]
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
        sides = _Sides(plan, measured, len(starts), pool)
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
        warnings = (*filter(None, [plan.warning]), *aligned.warnings, *_same_twice(infos))
        return Comparison(
            provenance=provenance(command, seed, pool.threads, started),
            checkpoints=infos,
            unmatched=(*aligned.unmatched, *kept),
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


def labelled(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints under paths that tell them apart."""
    times = Counter(checkpoint.path for checkpoint in checkpoints)
    seen: Counter[str] = Counter()
    found = []
    for checkpoint in checkpoints:
        seen[checkpoint.path] += 1
        several = times[checkpoint.path] > 1
        path = f"{checkpoint.path} ({seen[checkpoint.path]})" if several else checkpoint.path
        found.append(replace(checkpoint, path=path))
    return found


def _drawn(
    text: str, like: Checkpoint, seed: int, pool: Pool
) -> tuple[Checkpoint, tuple[Unmatched, ...]]:
    """Return an initialisation with the shapes of `like`; what it does not draw is left out."""
    control = parse_control(text if text.count(":") > 1 else f"{text}:1")
    if not isinstance(control, Init) or control.n != 1:
        raise SpecError(f"reference {text!r}: expected one draw of an initialisation: init:torch")
    tensors, kept = {}, []
    for name, tensor in like.items():
        if control.applies(tensor):
            tensors[name] = next(control.replicates(spool(tensor, pool), seed, pool))
        else:
            reason = f"{control.kind} does not say how it starts"
            kept.append(
                Unmatched(checkpoint=like.path, tensor=name, n_bytes=tensor.n_bytes, reason=reason)
            )
    if not tensors:
        raise SpecError(
            f"reference {text!r}: {like.path} has no tensor that it draws: expected matrices of "
            "signed floating-point numbers"
        )
    return Checkpoint(control.kind, "drawn", tensors), tuple(kept)


def spooled(checkpoint: Checkpoint, pool: Pool) -> Checkpoint:
    """Read once what cannot be read by range: scores and counts of what is unchanged share it."""
    tensors = {name: spool(tensor, pool) for name, tensor in checkpoint.items()}
    return replace(checkpoint, tensors=tensors)


def _same_twice(infos: Sequence[CheckpointInfo]) -> Iterator[str]:
    first: dict[str, str] = {}
    for info in infos:
        known = first.setdefault(info.fingerprint, info.path)
        if known != info.path:
            yield f"{info.path} holds the same weights as {known}: there is nothing to compare"


class _Sides:
    """The scores of all checkpoints, and the changes between them."""

    def __init__(self, plan: Plan, rows: Sequence[Score], n_references: int, pool: Pool) -> None:
        self._paths = [checkpoint.path for checkpoint in plan.checkpoints]
        self._units = [
            {(u.scope, u.name, u.group, u.dtype): u.tensor for u in found} for found in plan.units
        ]
        self._n_references = n_references
        self._pool = pool
        self._rows: dict[str, dict[_Key, Score]] = {path: {} for path in self._paths}
        for row in rows:
            self._rows[row.checkpoint][self._key(row)] = row

    def _key(self, row: Score) -> _Key:
        # By dtype only where several units share a name: "model" measures each dtype alone.
        dtype = row.dtype if row.scope != "tensor" else None
        return row.spec, row.scope, row.tensor or row.group, dtype

    def one_by_one(self) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return the changes from the reference to each of the others."""
        rows: list[Change] = []
        summary: list[Change] = []
        for i, path in enumerate(self._paths[1:], start=1):
            pairs = list(self._matched([self._paths[0], path]))
            same = self._unchanged(0, i)
            rows += [
                replace(change_between(a, b), unchanged_share=_share(same, [(a, b)]))
                for a, b in pairs
            ]
            for a, b in self._wholes(pairs):
                members = [(c, d) for c, d in pairs if c.spec == a.spec and _ok((c, d))]
                whole = left_out(change_between(a, b), members)
                summary.append(replace(whole, unchanged_share=_share(same, members)))
        return tuple(rows), tuple(summary)

    def over_runs(self, *, paired: bool) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
        """Return the mean changes from the runs of one side to those of the other."""
        matched = list(self._matched(self._paths))
        n = self._n_references
        rows = [change_over_runs(m[:n], m[n:], paired=paired) for m in matched]
        summary = [change_over_runs(m[:n], m[n:], paired=paired) for m in self._wholes(matched)]
        return tuple(rows), tuple(summary)

    def _matched(self, paths: Sequence[str]) -> Iterator[tuple[Score, ...]]:
        """Yield the rows of one tensor and spec in each checkpoint, where all have it."""
        for key in self._rows[paths[0]]:
            found = [self._rows[path].get(key) for path in paths]
            if all(found):
                yield tuple(row for row in found if row)

    def _wholes(self, matched: Iterable[tuple[Score, ...]]) -> Iterator[tuple[Score, ...]]:
        """Yield the sums of each spec over the tensors that all sides could measure."""
        sides = list(zip(*(rows for rows in matched if _ok(rows)), strict=True))
        yield from zip(*(summarise(side) for side in sides), strict=True)

    def _unchanged(self, i: int, j: int) -> dict[tuple[str | None, ...], int]:
        found: dict[tuple[str | None, ...], int] = {}
        for key, tensor in self._units[j].items():
            before = self._units[i].get(key)
            count = unchanged(before, tensor, self._pool) if before else None
            if count is not None:
                found[key] = count
        return found


def _ok(rows: Sequence[Score]) -> bool:
    return all(row.status == "ok" for row in rows)


def _share(
    same: Mapping[tuple[str | None, ...], int], pairs: Sequence[tuple[Score, ...]]
) -> float | None:
    """Return the share of weights that are stored alike, where that can be told for all."""
    keys = [(after.scope, after.tensor, after.group, after.dtype) for _, after in pairs]
    if not keys or not all(key in same for key in keys):
        return None
    n_weights = sum(after.n_weights for _, after in pairs)
    return sum(same[key] for key in keys) / n_weights if n_weights else None
