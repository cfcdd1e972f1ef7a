"""Rate-distortion sweeps: every lossy coding over its settings, and who wins where.

Rates are coded bits of the fitted tensors, all side information included, over fitted weights;
what is kept verbatim and the container are the same for all and left out. Errors are relative to
the sum of squares of the fitted weights, as expanded in their stored dtypes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

from kcomplexity.codings.base import Coded, Coding
from kcomplexity.codings.low_rank import LowRank
from kcomplexity.codings.prune import Pruned
from kcomplexity.codings.scalar import Scalar, Tables, step_for
from kcomplexity.containers.blocks import BlockShape
from kcomplexity.containers.writers import write_dense
from kcomplexity.errors import KComplexityError, SpecError
from kcomplexity.mosaics.assembly import distortion_of, total_distortion
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.fit_plan import plan_fit
from kcomplexity.mosaics.fitting import run_fit
from kcomplexity.mosaics.selection import Selection
from kcomplexity.mosaics.source_layout import source_layout
from kcomplexity.results.json_form import SCHEMA_VERSION, versioned
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.sweeps.evaluate import Evaluation, evaluate, parse_command
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor

__all__ = ["CODINGS", "SweepPoint", "SweepReport", "gaussian_bits", "sweep"]

#: Errors that codings with a target aim at, unless the user gives others.
ERRORS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
#: An error that is lower by a smaller share than this is not lower.
_CHANCE = 1e-3
CAPACITIES = (0.0003, 0.001, 0.003, 0.01, 0.03)
CODINGS = ("ecvq", "kmeans", "sample", "scalar", "prune", "low-rank")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class SweepPoint:
    """One coding at one setting.

    Attributes
    ----------
    coding : str
    setting : dict
    status : {"ok", "failed"}
    reason : str or None
        Why there is no point, or no metric; one that failed does not end the sweep.
    bits : float or None
        Of the fitted tensors, side information included.
    bits_per_weight, relative_mse : float or None
    on_front : bool
        No other point has both fewer bits and a smaller error, and the error is at most 1, which
        a zero in place of every weight has.
    metric : float or None
        The last number that the user's evaluation printed.
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
class SweepReport:
    """A sweep with all that is needed to draw and to repeat it.

    Attributes
    ----------
    gaussian : tuple of (float, float)
        Relative error and 0.5 * log2(1 / error): what a Gaussian needs at least, for reference.
    eval_direction : {"higher", "lower"} or None
        Which end of the evaluation's number is better; None without an evaluation.
    """

    provenance: Provenance
    source: CheckpointInfo
    n_fitted: int
    eval_command: str | None
    points: tuple[SweepPoint, ...]
    gaussian: tuple[tuple[float, float], ...]
    eval_direction: str | None = field(default=None, kw_only=True)
    schema_version: int = field(default=SCHEMA_VERSION, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document that the schema ``sweep`` describes."""
        return versioned(self)


def gaussian_bits(error: float) -> float:
    """Bits a weight that a memoryless Gaussian needs at least at a relative squared error."""
    return max(0.5 * math.log2(1 / error), 0.0)


def sweep(
    checkpoint: Checkpoint,
    selection: Selection,
    *,
    codings: Sequence[str] = CODINGS,
    errors: Sequence[float] = ERRORS,
    capacities: Sequence[float] = CAPACITIES,
    block_sizes: Sequence[str] = ("4",),
    eval_command: str | None = None,
    timeout: float = 600.0,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[SweepPoint, ...]:
    """Code the fitted tensors in every way and return the points, the front marked.

    Parameters
    ----------
    checkpoint : Checkpoint
    selection : Selection
        What is coded; the rest is kept.
    codings : sequence of str
        Of :data:`CODINGS`.
    errors : sequence of float
        For codings that aim at an error.
    capacities : sequence of float
        For those that take a number of motifs.
    block_sizes : sequence of str
        Of the mosaics.
    eval_command : str, optional
        Run on the expanded checkpoint of each point: ``{checkpoint}`` stands for its path.
    timeout : float
        Seconds that the command may take.
    seed, threads, progress

    Raises
    ------
    SpecError
        If a coding is unknown, a setting means nothing or the command has no place for the
        checkpoint.
    """
    unknown = sorted(set(codings) - set(CODINGS))
    if unknown:
        raise SpecError(f"unknown coding {unknown[0]!r}: expected some of {', '.join(CODINGS)}")
    # What means nothing is refused here; what only fails on these weights is a row.
    for error in errors:
        FitOptions(relative_mse=error)
    for capacity in capacities:
        FitOptions(capacity=capacity)
    for block in block_sizes:
        BlockShape.parse(block)
    words = parse_command(eval_command) if eval_command else None
    jobs = _jobs(selection.fitted, codings, errors, capacities, block_sizes, seed)
    points = []
    for number, job in enumerate(jobs):
        if progress:
            progress(f"{number + 1}: {job.name} {job.setting}")
        points.append(_point(job, checkpoint, selection, words, timeout, threads))
    return _front(points)


@dataclass(frozen=True)
class _Mosaic:
    """A mosaic as one of the codings."""

    name: str
    options: FitOptions

    @property
    def setting(self) -> dict[str, Any]:
        found = {"block_size": str(self.options.block)}
        for name in ("capacity", "relative_mse"):
            value = getattr(self.options, name)
            if value is not None:
                found[name] = value
        return found

    def code(self, checkpoint: Checkpoint, selection: Selection, threads: int | None) -> Coded:
        mosaic = run_fit(plan_fit(checkpoint, selection, self.options), threads=threads)
        return Coded(mosaic.bits.fitted, mosaic.fitted)


@dataclass(frozen=True)
class _Aimed:
    """A scalar quantiser at an error, whose step is found when it is its turn."""

    error: float
    tables: Tables
    step: Callable[[], float]
    name: str = "scalar"

    @property
    def setting(self) -> dict[str, Any]:
        return {"relative_mse": self.error, "tables": self.tables}


def _jobs(
    tensors: Mapping[str, Tensor],
    codings: Sequence[str],
    errors: Sequence[float],
    capacities: Sequence[float],
    block_sizes: Sequence[str],
    seed: int,
) -> Iterator[_Mosaic | _Aimed | Coding]:
    for block in block_sizes:
        if "ecvq" in codings:
            for error in errors:
                yield _Mosaic(
                    "ecvq",
                    FitOptions(block_size=block, method="ecvq", relative_mse=error, seed=seed),
                )
        for method in ("kmeans", "sample"):
            for capacity in capacities if method in codings else ():
                yield _Mosaic(
                    method,
                    FitOptions(block_size=block, method=method, capacity=capacity, seed=seed),
                )
    if "scalar" in codings:
        for error in errors:
            step = cache(partial(step_for, tensors, error))
            yield from (_Aimed(error, tables, step) for tables in get_args(Tables))
    if "prune" in codings:
        for sparsity in (0.5, 0.7, 0.8, 0.9, 0.95):
            yield from (Pruned(sparsity, step) for step in (0.5, 1.0))
    if "low-rank" in codings:
        for share in (0.125, 0.25, 0.5):
            yield from (LowRank(share, step) for step in (0.25, 0.5, 1.0))


def _point(
    job: _Mosaic | _Aimed | Coding,
    checkpoint: Checkpoint,
    selection: Selection,
    words: list[str] | None,
    timeout: float,
    threads: int | None,
) -> SweepPoint:
    found = SweepPoint(job.name, job.setting, "failed")
    try:
        if isinstance(job, _Aimed):
            job = Scalar(job.step(), job.tables)
        if isinstance(job, _Mosaic):
            coded = job.code(checkpoint, selection, threads)
        else:
            coded = job.code(selection.fitted)
        lost = total_distortion(
            [distortion_of(tensor, coded.tensors[n]) for n, tensor in selection.fitted.items()]
        )
        found = replace(
            found,
            setting=job.setting,
            bits=coded.bits,
            bits_per_weight=coded.bits / lost.n_weights,
            relative_mse=lost.relative_mse,
        )
        if words is None:
            return replace(found, status="ok")
        answer = _evaluated(coded, checkpoint, words, timeout)
    except (KComplexityError, OSError) as error:
        return replace(found, reason=str(error))
    status = "ok" if answer.reason is None else "failed"
    return replace(found, status=status, reason=answer.reason, metric=answer.metric)


def _evaluated(
    coded: Coded, checkpoint: Checkpoint, words: list[str], timeout: float
) -> Evaluation:
    """Write the checkpoint that a decoder would make, and run the user's command on it."""
    with tempfile.TemporaryDirectory(prefix="kcomplexity-") as folder:
        layout = source_layout(checkpoint)
        single = layout.index is None and len(layout.files) == 1
        path = Path(folder) / ("model.safetensors" if single else "model")
        dense = replace(checkpoint, tensors={**checkpoint.tensors, **coded.tensors})
        write_dense(path, dense, layout.files, layout.index)
        return evaluate(words, path, timeout)


def _front(points: Sequence[SweepPoint]) -> tuple[SweepPoint, ...]:
    """Mark the points that no other beats in both bits and error.

    No bits at all give an error of 1. What more bits lower by less than a thousandth is chance.
    """
    measured = [p for p in points if p.bits is not None and p.relative_mse is not None]
    best = 1 / (1 - _CHANCE)
    front = set()
    for point in sorted(measured, key=lambda p: (p.bits or 0.0, p.relative_mse or 0.0)):
        if point.relative_mse is not None and point.relative_mse <= (1 - _CHANCE) * best:
            best = point.relative_mse
            front.add(id(point))
    return tuple(replace(p, on_front=id(p) in front) for p in points)
