"""Rate-distortion sweeps: every lossy coding over its settings, and the points none beats.

Rates are coded bits of the fitted tensors, all side information included, over fitted weights;
what is kept verbatim and the container are the same for all and left out. Errors are relative to
the sum of squares of the fitted weights, as decoded in their stored dtypes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal, Unpack

from kcomplexity.codings import CODINGS
from kcomplexity.codings.base import Coded, Coding, Grid
from kcomplexity.containers.blocks import BlockShape
from kcomplexity.containers.dense import write_dense
from kcomplexity.containers.mosaic_parts import Distortion
from kcomplexity.errors import KComplexityError
from kcomplexity.inference import gaussian_bits, pareto_front
from kcomplexity.loaders.opening import Source
from kcomplexity.mosaics.assembly import distortion_of, source_layout
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.selection import Selecting, Selection, open_selection
from kcomplexity.parallel.progress import OnProgress, Progress
from kcomplexity.parallel.running import refuse_unknown
from kcomplexity.parallel.threads import available_processors
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.sweeps.evaluate import Evaluation, evaluate, parse_command
from kcomplexity.tensors.checkpoint import Checkpoint

Direction = Literal["higher", "lower"]

#: The default errors and capacities.
ERRORS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
CAPACITIES = (0.0003, 0.001, 0.003, 0.01, 0.03)


@dataclass(frozen=True)
class SweepPoint:
    """One coding at one setting; the schema describes the fields.

    `reason` says why the point or its metric is missing: a failure does not end the sweep. On the
    front are points that no other beats in both bits and error, and whose error is at most 1,
    which zeros in place of all weights give.
    """

    coding: str
    setting: dict[str, Any]
    status: str
    reason: str | None = None
    bits: float | None = None
    bits_per_weight: float | None = None
    relative_mse: float | None = None
    on_front: bool = False
    metric: float | None = None


@dataclass(frozen=True)
class SweepReport(Document):
    """A sweep with all that is needed to draw and to repeat it; its rows are the points.

    `gaussian` holds pairs of relative error and 0.5 * log2(1 / error), the bits a weight that a
    Gaussian needs at least. `eval_direction` is None without an evaluation.
    """

    provenance: Provenance
    source: CheckpointInfo
    n_fitted: int
    eval_command: str | None
    points: tuple[SweepPoint, ...]
    gaussian: tuple[tuple[float, float], ...]
    eval_direction: Direction | None = None
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "sweep"
    rows_name: ClassVar[str] = "points"

    @property
    def rows(self) -> tuple[SweepPoint, ...]:
        return self.points

    @property
    def headline(self) -> tuple[str, ...]:
        return ()  # the points speak for themselves


class Sweeping(Selecting, total=False):
    """Keyword arguments that say what a sweep tries, and on which tensors.

    Those of :class:`~kcomplexity.mosaics.selection.Selecting` are among them.
    """

    #: Names of :data:`~kcomplexity.codings.CODINGS`; all of them by default.
    codings: Sequence[str] | None
    #: Relative squared errors, for codings that aim at an error.
    errors: Sequence[float]
    #: Numbers of motifs as shares of the blocks, for codings that take a number of motifs.
    capacities: Sequence[float]
    #: Of the mosaics.
    block_sizes: Sequence[str]
    #: Run on the decoded checkpoint of each point: ``{checkpoint}`` is replaced by its path.
    eval_command: str | None
    #: Which end of the number it prints is better.
    eval_direction: Direction
    #: Seconds that the command may take.
    timeout: float
    seed: int


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is to try, checked; the recipes are in the order of the report's points."""

    selection: Selection
    recipes: tuple[Coding, ...]
    errors: tuple[float, ...]
    eval_command: str | None
    eval_direction: Direction
    timeout: float
    seed: int


def sweep(
    source: Source,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
    command: str = "",
    **options: Unpack[Sweeping],
) -> SweepReport:
    """Code the tensors of a checkpoint in every way and report bits and error of each.

    The front is marked. A coding that fails on these weights is a row with the reason.

    `progress` is called before each point, `command` is what the user typed, for the provenance,
    and `options` are those of :class:`Sweeping`. No figure depends on `threads`. Errors are those
    of :func:`~kcomplexity.mosaics.selection.open_selection`, and SpecError if a coding is unknown,
    a setting is invalid or the command has no place for the checkpoint.
    """
    with open_sweep(source, **options) as plan:
        return run_sweep(plan, threads=threads, progress=progress, command=command)


@contextmanager
def open_sweep(
    source: Source, *, output: Path | None = None, **options: Unpack[Sweeping]
) -> Iterator[SweepPlan]:
    """Open a checkpoint and plan a sweep, with every check that needs no coding.

    Parameters and errors are those of :func:`sweep`; `output` is the file that the result will be
    written to, which is refused if it is the input or cannot be written. The checkpoint is closed
    at the end, unless it was passed in open.
    """
    refuse_unknown(options, Sweeping)
    values: dict[str, Any] = dict(options)
    selecting = {name: values.pop(name) for name in Selecting.__annotations__ if name in values}
    with open_selection(source, output=output, **selecting) as selection:
        yield plan_sweep(selection, **values)


def plan_sweep(
    selection: Selection,
    *,
    codings: Sequence[str] | None = None,
    errors: Sequence[float] = ERRORS,
    capacities: Sequence[float] = CAPACITIES,
    block_sizes: Sequence[str] = ("4",),
    eval_command: str | None = None,
    eval_direction: Direction = "higher",
    timeout: float = 600.0,
    seed: int = 0,
) -> SweepPlan:
    """List the codings to try; see :class:`Sweeping` and, for errors, :func:`sweep`."""
    for name in codings or ():
        CODINGS.lookup(name)
    # Invalid settings are refused here; a setting that fails on these weights is a row.
    for error in errors:
        FitOptions(relative_mse=error)
    for capacity in capacities:
        FitOptions(capacity=capacity)
    blocks = [str(BlockShape.parse(block)) for block in block_sizes]
    if eval_command:
        parse_command(eval_command)
    grid = Grid(tuple(errors), tuple(capacities), seed=seed)
    chosen = [coding for name, coding in CODINGS.items() if codings is None or name in codings]
    tried = [
        (coding, replace(grid, block_size=b))
        for b in blocks
        for coding in chosen
        if coding.in_blocks
    ]
    tried += [(coding, grid) for coding in chosen if not coding.in_blocks]
    recipes = chain.from_iterable(coding.recipes(at, selection.fitted) for coding, at in tried)
    return SweepPlan(
        selection, tuple(recipes), grid.errors, eval_command, eval_direction, timeout, seed
    )


def run_sweep(
    plan: SweepPlan,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
    command: str = "",
) -> SweepReport:
    """Code and measure every recipe of a plan; see :func:`sweep`."""
    started = time.time()
    selection, points = plan.selection, []
    for number, recipe in enumerate(plan.recipes, 1):
        if progress is not None:
            progress(Progress(f"{number} of {len(plan.recipes)}: {recipe.name} {recipe.setting}"))
        points.append(_point(recipe, plan, threads))
    return SweepReport(
        provenance(command, plan.seed, threads or available_processors(), started),
        describe(selection.checkpoint),
        sum(tensor.n_weights for tensor in selection.fitted.values()),
        plan.eval_command,
        _front(points),
        tuple((error, gaussian_bits(error)) for error in plan.errors),
        plan.eval_direction if plan.eval_command else None,
    )


def _point(recipe: Coding, plan: SweepPlan, threads: int | None) -> SweepPoint:
    tensors = plan.selection.fitted
    point = SweepPoint(recipe.name, recipe.setting, "failed")
    try:
        coding = recipe.resolved()
        coded = coding.code(tensors, threads=threads)
        lost = [distortion_of(tensor, coded.tensors[name]) for name, tensor in tensors.items()]
        distortion = Distortion.total(lost)
        point = replace(
            point,
            setting=coding.setting,
            bits=coded.bits,
            bits_per_weight=coded.bits / distortion.n_weights,
            relative_mse=distortion.relative_mse,
        )
        if plan.eval_command is None:
            return replace(point, status="ok")
        words = parse_command(plan.eval_command)
        result = _evaluated(coded, plan.selection.checkpoint, words, plan.timeout)
    except (KComplexityError, OSError) as error:
        return replace(point, reason=str(error))
    status = "ok" if result.reason is None else "failed"
    return replace(point, status=status, reason=result.reason, metric=result.metric)


def _evaluated(
    coded: Coded, checkpoint: Checkpoint, words: list[str], timeout: float
) -> Evaluation:
    """Write the checkpoint that a decoder would make, and run the user's command on it."""
    with tempfile.TemporaryDirectory(prefix="kcomplexity-") as folder:
        layout = source_layout(checkpoint)
        path = Path(folder) / ("model.safetensors" if layout.is_single_file else "model")
        dense = replace(checkpoint, tensors={**checkpoint.tensors, **coded.tensors})
        write_dense(path, dense, layout)
        return evaluate(words, path, timeout)


def _front(points: Sequence[SweepPoint]) -> tuple[SweepPoint, ...]:
    """Mark the points that no other point beats in both bits and error."""
    measured = [p for p in points if p.bits is not None and p.relative_mse is not None]
    front = pareto_front([(p.bits or 0.0, p.relative_mse or 0.0) for p in measured])
    marked = {id(measured[i]) for i in front}
    return tuple(replace(p, on_front=id(p) in marked) for p in points)
