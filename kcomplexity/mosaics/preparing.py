"""The blocks that a fitter sees: read, cut, scales divided out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.blocks import Tiling
from kcomplexity.containers.mosaic_parts import ScaleMode, scale_of_weights
from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
from kcomplexity.mosaics.fitters import Problem
from kcomplexity.parallel import FRAME

__all__ = ["Prepared", "Run", "prepare"]


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
            each = scale_of_weights(scale, tiling, 0, weights.size)
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
