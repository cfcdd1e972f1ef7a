"""Fit a mosaic to a checkpoint that is already trained.

The stages: open, choose what is fitted (:mod:`kcomplexity.mosaics.selection`), cut it into blocks
with scales divided out (:func:`plan_fit`), find motifs for each set of tensors that share them
(:mod:`kcomplexity.fitters`, :mod:`kcomplexity.mosaics.targets`), put the mosaic together and
measure what it lost (:func:`kcomplexity.mosaics.assembly.assemble`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.checkpoint import Checkpoint, Tensor
from kcomplexity.errors import SpecError
from kcomplexity.fitters import FITTERS, Fit, Fitter, Goal, Problem
from kcomplexity.loaders import open_checkpoint
from kcomplexity.mosaics.blocks import BlockShape, Tiling
from kcomplexity.mosaics.mosaic import SCALE_MODES, Mosaic, ScaleMode, spread
from kcomplexity.mosaics.motifs import MOTIF_DTYPES, MotifDtype
from kcomplexity.mosaics.selection import Selection, select_fitted
from kcomplexity.parallel import FRAME
from kcomplexity.text import plural
from kcomplexity.units import SCOPES, Scope, group_name

__all__ = ["FitOptions", "FitPlan", "MotifSet", "fit_mosaic", "plan_fit", "run_fit"]


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a mosaic is fitted; see :func:`fit_mosaic`."""

    block_size: str | int = 4
    method: str = "ecvq"
    motifs: int | None = None
    capacity: float | None = None
    bits_per_weight: float | None = None
    relative_mse: float | None = None
    size: int | None = None
    scope: Scope = "model"
    scale: ScaleMode = "none"
    motif_dtype: MotifDtype | None = None
    zero_motif: bool = False
    train_points: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        targets = {
            "motifs": self.motifs,
            "capacity": self.capacity,
            "bits_per_weight": self.bits_per_weight,
            "relative_mse": self.relative_mse,
            "size": self.size,
        }
        given = [name for name, value in targets.items() if value is not None]
        if len(given) > 1 and given != ["motifs", "relative_mse"]:
            raise SpecError(f"{' and '.join(given)} are given: a fit has one target")
        if self.capacity is not None and not 0 < self.capacity <= 1:
            raise SpecError(f"capacity {self.capacity:g}: expected a share of the blocks in (0, 1]")
        if self.motifs is not None and self.motifs < 1:
            raise SpecError(f"{self.motifs} motifs: expected at least one")
        if self.relative_mse is not None and not 0 < self.relative_mse < 1:
            raise SpecError(
                f"relative error {self.relative_mse:g}: expected one in (0, 1), e.g. 0.1"
            )
        if self.bits_per_weight is not None and not self.bits_per_weight > 0:
            raise SpecError(f"{self.bits_per_weight:g} bits a weight: expected more than 0")
        if self.size is not None and self.size < 1:
            raise SpecError(f"a size of {self.size} bytes: expected more than 0, e.g. 300KB")
        for name, value, known in (
            ("scope", self.scope, SCOPES),
            ("scale", self.scale, SCALE_MODES),
            ("motif dtype", self.motif_dtype, (None, *MOTIF_DTYPES)),
        ):
            if value not in known:
                words = ", ".join(filter(None, known))
                raise SpecError(f"{name} {value!r}: expected one of {words}")

    @property
    def block(self) -> BlockShape:
        """What one block covers."""
        return BlockShape.parse(self.block_size)

    def fitter(self) -> Fitter:
        """Return the fitter that `method` names.

        Raises
        ------
        SpecError
            If there is none, or it has no such option.
        """
        cls = FITTERS.lookup(self.method)
        if self.train_points is None:
            return cls()
        if "train_points" not in cls.__dataclass_fields__:
            raise SpecError(f"method {self.method} sees all blocks: it has no train points")
        return cls(train_points=self.train_points)  # type: ignore[call-arg]

    def k_of(self, m: int) -> int | None:
        """Return how many motifs a set of `m` blocks gets; None where a target decides."""
        if self.motifs is not None:
            if self.motifs > m:
                raise SpecError(
                    f"{self.motifs} motifs for {plural(m, 'block')}: expected at most as many as "
                    "there are blocks; --capacity takes a share of them"
                )
            return self.motifs
        if self.capacity is not None:
            return capacity_motifs(self.capacity, m)
        return None

    @property
    def has_target(self) -> bool:
        """Whether anything says how far to go."""
        return any(
            value is not None
            for value in (
                self.motifs,
                self.capacity,
                self.bits_per_weight,
                self.relative_mse,
                self.size,
            )
        )


def capacity_motifs(capacity: float, m: int) -> int:
    """Return k = max(1, floor(c * m)), never above m.

    Examples
    --------
    >>> capacity_motifs(0.05, 493317)
    24665
    """
    return min(max(1, math.floor(capacity * m)), m)


@dataclass(frozen=True)
class MotifSet:
    """Tensors that share motifs.

    Attributes
    ----------
    name : str
    tensors : tuple of Tensor
    tilings : tuple of Tiling
    """

    name: str
    tensors: tuple[Tensor, ...]
    tilings: tuple[Tiling, ...]

    @property
    def m(self) -> int:
        """Blocks."""
        return sum(tiling.n_blocks for tiling in self.tilings)


@dataclass(frozen=True)
class FitPlan:
    """What would be fitted, before any weight is looked at but for being finite.

    Attributes
    ----------
    checkpoint : Checkpoint
    options : FitOptions
    selection : Selection
    sets : tuple of MotifSet
    """

    checkpoint: Checkpoint
    options: FitOptions
    selection: Selection
    sets: tuple[MotifSet, ...]

    @property
    def n_fitted(self) -> int:
        """Weights to be fitted."""
        return sum(tensor.n_weights for tensor in self.selection.fitted.values())

    @property
    def kept_bits(self) -> int:
        """Bits of the tensors that stay as they are."""
        fitted = sum(tensor.n_bytes for tensor in self.selection.fitted.values())
        return 8 * (self.checkpoint.n_bytes - fitted)


def plan_fit(checkpoint: Checkpoint, selection: Selection, options: FitOptions) -> FitPlan:
    """Lay blocks over the tensors and sort them into sets that share motifs.

    Raises
    ------
    SpecError
        If a block is larger than every tensor, there are more motifs than blocks, or a target in
        bits is no less than what the source takes.
    """
    block = options.block
    largest = max(tensor.n_weights for tensor in selection.fitted.values())
    if block.size > largest:
        raise SpecError(
            f"blocks of {block.size} weights, and the largest tensor has {largest}: expected a "
            "block that fits into one"
        )
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in selection.fitted.items():
        key = {"model": "model", "group": group_name(name), "tensor": name}[options.scope]
        groups.setdefault(key, []).append(tensor)
    sets = tuple(
        MotifSet(key, tuple(members), tuple(Tiling(*t.matrix_shape, block) for t in members))
        for key, members in groups.items()
    )
    for found in sets:
        options.k_of(found.m)
    plan = FitPlan(checkpoint, options, selection, sets)
    stored = 8 * sum(tensor.n_bytes for tensor in selection.fitted.values())
    if (options.bits_per_weight or 0.0) * plan.n_fitted >= stored:
        raise SpecError(
            f"{options.bits_per_weight:g} bits a weight: expected less than the "
            f"{stored / plan.n_fitted:g} that the source stores"
        )
    if (options.size or 0) >= checkpoint.n_bytes:
        raise SpecError(
            f"a size of {options.size} bytes: expected less than the {checkpoint.n_bytes} that "
            "the source's tensors take"
        )
    return plan


def fit_mosaic(
    source: str | os.PathLike[str] | Mapping[str, Any] | Checkpoint,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    all_tensors: bool = False,
    skip_nonfinite: bool = False,
    threads: int | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Mosaic:
    """Re-express the weights of a checkpoint as a mosaic of motifs.

    Parameters
    ----------
    source : path, mapping of arrays, or Checkpoint
    include, exclude : sequence of str
        Globs on tensor names; what they leave out is kept verbatim.
    all_tensors : bool
        Fit tensors of fewer than two dimensions as well.
    skip_nonfinite : bool
        Keep tensors with NaN or infinite weights verbatim.
    threads : int, optional
        No figure depends on it.
    progress : callable, optional
        Told a line per round.
    **options
        Of :class:`FitOptions`: ``block_size`` (``4``, ``"2x4"``), ``method`` (``"sample"``,
        ``"kmeans"``, ``"ecvq"``), one target (``motifs``, ``capacity``, ``relative_mse``,
        ``bits_per_weight`` of motifs, indices and scales a fitted weight, ``size`` of the file in
        bytes), ``scope`` (``"model"``, ``"group"``, ``"tensor"``), ``scale`` (``"none"``,
        ``"tensor"``, ``"row"``), ``motif_dtype`` (``"f32"``, ``"f16"``, ``"bf16"``, ``"grid"``),
        ``zero_motif``, ``train_points``, ``seed``.

    Returns
    -------
    Mosaic
        Its kept tensors are read from `source` when they are needed: keep that open.

    Raises
    ------
    CheckpointError
        If `source` cannot be read.
    SpecError
        If an option means nothing, or a target cannot be reached; the message says what can.
    UnmeasurableError
        If weights are NaN or infinite.

    Examples
    --------
    >>> blocks = np.array([[10, 10, 11, 9], [20, 20, 19, 22]], np.float32)
    >>> mosaic = fit_mosaic({"w": blocks}, block_size=2, motifs=4, method="sample")
    >>> mosaic.distortion.sse, mosaic.n_blocks
    (0.0, 4)
    """
    chosen = FitOptions(**options)
    checkpoint = open_checkpoint(source)
    selection = select_fitted(
        checkpoint,
        include,
        exclude,
        all_tensors=all_tensors,
        skip_nonfinite=skip_nonfinite,
    )
    return run_fit(plan_fit(checkpoint, selection, chosen), threads=threads, progress=progress)


def run_fit(
    plan: FitPlan, *, threads: int | None = None, progress: Callable[[str], None] | None = None
) -> Mosaic:
    """Fit what a plan says."""
    from kcomplexity.mosaics.targets import fit_to_size

    return fit_to_size(plan, Run(threads, progress))


@dataclass(frozen=True)
class Run:
    """How the work is done; no figure depends on it.

    Attributes
    ----------
    threads : int or None
    progress : callable or None
    """

    threads: int | None = None
    progress: Callable[[str], None] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Prepared:
    """The blocks of one set, and the scales that were divided out.

    Attributes
    ----------
    problem : Problem
    scales : tuple of ndarray or None
        For each tensor, rounded to bfloat16.
    """

    problem: Problem
    scales: tuple[NDArray[np.float32] | None, ...]


def prepare(plan: FitPlan, found: MotifSet, run: Run) -> Prepared:
    """Read the tensors of a set into one array of blocks, 4 bytes a weight."""
    options, block = plan.options, plan.options.block
    blocks = np.zeros((found.m, block.size), np.float32)
    importance = None if options.scale == "none" else np.ones(found.m)
    scales: list[NDArray[np.float32] | None] = []
    squares: list[float] = []
    at = 0
    for tensor, tiling in zip(found.tensors, found.tilings, strict=True):
        end = at + tiling.n_blocks
        # Runs are read to where they stay; rectangles are put in order from a copy.
        flat = blocks[at:end].reshape(-1)
        weights = np.empty(tensor.n_weights, np.float32) if block.height else flat
        weights = weights[: tensor.n_weights]
        for start in range(0, tensor.n_weights, FRAME):
            stop = min(start + FRAME, tensor.n_weights)
            weights[start:stop] = tensor.read(start, stop)
            squares.append(float(np.square(weights[start:stop], dtype=np.float64).sum()))
        scale = _scales(weights, tiling, options.scale)
        if scale is not None and importance is not None:
            each = spread(scale, tiling, 0, weights.size)
            weights /= each
            parts = tiling.split(np.square(each, dtype=np.float64))
            real = tiling.split(np.ones(each.size, np.float32)).sum(axis=1)
            importance[at:end] = parts.sum(axis=1) / np.maximum(real, 1)
        scales.append(scale)
        if block.height:
            blocks[at:end] = tiling.split(weights)
        at = end
    dtype = options.motif_dtype or options.fitter().default_dtype
    problem = Problem(
        blocks,
        importance,
        math.fsum(squares),
        dtype,
        options.zero_motif,
        found.name,
        options.seed,
        run.threads,
        **({"progress": run.progress} if run.progress else {}),
    )
    return Prepared(problem, tuple(scales))


def solve(problem: Problem, options: FitOptions, goal: Goal) -> Fit:
    """Fit one set."""
    return options.fitter().fit(problem, goal)


def _scales(
    weights: NDArray[np.float32], tiling: Tiling, mode: ScaleMode
) -> NDArray[np.float32] | None:
    """Return root mean squares as a file stores them, 1 where all weights are zero."""
    if mode == "none":
        return None
    rows = weights.reshape(tiling.rows if mode == "row" else 1, -1)
    found = np.sqrt(np.square(rows, dtype=np.float64).mean(axis=1))
    rounded: NDArray[np.float32] = found.astype(ml_dtypes.bfloat16).astype(np.float32)
    rounded[~(rounded > 0)] = 1
    return rounded
