"""Compare checkpoints: did training make the weights simpler, and in what.

The stages and their modules: match the tensors of the checkpoints
(:mod:`kcomplexity.comparison.align`), score them all by one plan
(:mod:`kcomplexity.scoring.score`), turn scores into changes
(:mod:`kcomplexity.comparison.effects`), say what they show (:mod:`kcomplexity.comparison.verdict`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, ClassVar, Unpack

from kcomplexity.comparison.align import Unmatched, align
from kcomplexity.comparison.changes import Change
from kcomplexity.comparison.conditional_bits import ConditionalBits, conditional_sentences
from kcomplexity.comparison.conditional_codes import measure_conditional_bits
from kcomplexity.comparison.reference import draw_initialisation, spool_checkpoint
from kcomplexity.comparison.sides import ScoredSides
from kcomplexity.comparison.verdict import verdict
from kcomplexity.errors import SpecError
from kcomplexity.loaders.paths import find_checkpoints
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.running import part_of, pool_of, refuse_unknown
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import measure_plan
from kcomplexity.tensors.checkpoint import Checkpoint, labelled
from kcomplexity.text import human_bytes, printable


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
        What a reader must know before any figure.
    headline : tuple of str
        The figures in sentences.
    rows : tuple of Change
        In the order of comparisons, tensors, specs.
    summary : tuple of Change
        The same over all measured tensors, for each spec; changes of arrangement without the
        tensors that have a `left_out`.
    conditional : tuple of ConditionalBits
        The bits of each of the others when the reference is known, if asked for: its tensors,
        then their sum.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    unmatched: tuple[Unmatched, ...]
    warnings: tuple[str, ...]
    headline: tuple[str, ...]
    rows: tuple[Change, ...]
    summary: tuple[Change, ...]
    conditional: tuple[ConditionalBits, ...] = ()
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
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    **options: Unpack[Measuring],
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
        Whether the sides are training runs under two conditions: then changes are means over runs
        with 95 % t-intervals, and folders and globs stand for the runs in them.
    paired : bool, optional
        Whether run i of one side belongs to run i of the other (the same seed, say); by default
        when there are as many on both sides.
    conditional : bool
        Whether to code each of the others with the reference known as well: see
        :func:`kcomplexity.conditional`.
    rerun : path, mapping of arrays or Checkpoint, optional
        The same for a run from the same start whose data came in another order; implies
        `conditional`.
    strip_prefix, rename
        As for :func:`kcomplexity.comparison.align.align`.
    **options : :class:`~kcomplexity.scoring.measuring.Measuring`
        What is measured by what, which tensors are read, and how the work is done; one plan
        measures all checkpoints.

    Returns
    -------
    Comparison

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be read.
    SpecError
        If the checkpoints have nothing in common, or an option is invalid.

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
    refuse_unknown(options, Measuring)
    seed = options.get("seed", 0)
    references, others = (_listed(side, are_runs=over_runs) for side in (reference, other))
    paired = _pairing(references, others, over_runs=over_runs, paired=paired)
    if over_runs and (conditional or rerun is not None):
        raise SpecError("conditional complexity needs a single reference: leave out the runs")
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(options))

        def read(source: Any) -> Checkpoint:
            (opened,) = open_selected([source], **part_of(options, Reading))
            return stack.enter_context(opened)

        opened = [read(source) for source in others]
        starts: list[Checkpoint] = []
        not_drawn: tuple[Unmatched, ...] = ()
        for source in references:
            if isinstance(source, str) and source.startswith("init:"):
                start, not_drawn = draw_initialisation(source, opened[0], seed, pool)
                starts.append(start)
            else:
                starts.append(read(source))
        reruns = [] if rerun is None else [read(rerun)]
        aligned = align(
            labelled([*starts, *opened, *reruns]), strip_prefix=strip_prefix, rename=rename
        )
        spooled = [spool_checkpoint(checkpoint, pool) for checkpoint in aligned.checkpoints]
        n_scored = len(starts) + len(opened)
        plan = make_plan(spooled[:n_scored], **options)
        pool.expect(plan.work, "measuring")
        measured = [row for of_unit in measure_plan(plan, pool) for row in of_unit]
        sides = ScoredSides(plan, measured, len(starts), pool)
        changes = sides.over_runs(paired=bool(paired)) if over_runs else sides.one_by_one()
        known = [
            measure_conditional_bits(plan.checkpoints[0], checkpoint, pool, *spooled[n_scored:])
            for checkpoint in plan.checkpoints[1:]
            if conditional or reruns
        ]
        infos = tuple(map(describe, plan.checkpoints))
        unmatched = (*aligned.unmatched, *not_drawn)
        warnings = (
            *filter(None, [plan.warning]),
            *aligned.warnings,
            *_mostly_unmatched(infos, unmatched),
            *_same_twice(infos),
        )
        return Comparison(
            provenance=provenance(options.get("command", ""), seed, pool.threads, started),
            checkpoints=infos,
            unmatched=unmatched,
            warnings=warnings,
            headline=(
                *verdict(infos, measured, *changes),
                *(
                    f"{PurePath(bits[-1].other).name}: {text}"
                    for bits in known
                    for text in conditional_sentences(bits[-1])
                ),
            ),
            rows=changes[0],
            summary=changes[1],
            conditional=tuple(row for bits in known for row in bits),
        )


def _listed(side: Any, *, are_runs: bool) -> list[Any]:
    """Return the checkpoints of a side; folders and globs of runs stand for those in them."""
    sources = list(side) if isinstance(side, list | tuple) else [side]
    if are_runs and all(isinstance(source, str | Path) for source in sources):
        return find_checkpoints(map(str, sources))
    return sources


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
    for info in infos:
        left = sum(tensor.n_bytes for tensor in unmatched if tensor.checkpoint == info.path)
        if left > info.n_bytes:
            yield (
                f"{human_bytes(left)} of {printable(info.path)} have no counterpart, "
                f"and every figure is of the other {human_bytes(info.n_bytes)}"
            )


def _same_twice(infos: Sequence[CheckpointInfo]) -> Iterator[str]:
    first: dict[str, str] = {}
    for info in infos:
        known = first.setdefault(info.fingerprint, info.path)
        if known != info.path:
            yield f"{info.path} holds the same weights as {known}: there is nothing to compare"
