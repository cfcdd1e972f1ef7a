"""The blocks that a fitter sees: weights read, cut into blocks and divided by their scales."""

from __future__ import annotations

import math
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.blocks import Tiling
from kcomplexity.containers.mosaic_parts import ScaleMode, scale_of_weights
from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
from kcomplexity.mosaics.fitters import Problem
from kcomplexity.parallel.progress import OnProgress


@dataclass(frozen=True)
class ScaledBlocks:
    """The blocks of one motif set, and the bfloat16 scales divided out of each tensor, if any."""

    motif_set: MotifSet
    problem: Problem
    scales: tuple[NDArray[np.float32] | None, ...]


def read_blocks(
    plan: FitPlan,
    motif_set: MotifSet,
    *,
    threads: int | None = None,
    progress: OnProgress | None = None,
) -> ScaledBlocks:
    """Read the tensors of a motif set into one array of blocks, 4 bytes a weight."""
    options, block = plan.options, plan.options.block
    blocks = np.zeros((motif_set.m, block.size), np.float32)
    importance = None if options.scale == "none" else np.ones(motif_set.m)
    scales: list[NDArray[np.float32] | None] = []
    squares: list[float] = []
    at = 0
    for tensor, tiling in zip(motif_set.tensors, motif_set.tilings, strict=True):
        end = at + tiling.n_blocks
        # Runs are read in place; rectangles are rearranged from a copy.
        flat = blocks[at:end].reshape(-1)
        weights = np.empty(tensor.n_weights, np.float32) if block.height else flat
        weights = weights[: tensor.n_weights]
        for start, stop in tensor.spans():
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
        motif_set.name,
        options.seed,
        threads,
        progress,
    )
    return ScaledBlocks(motif_set, problem, tuple(scales))


def _scales(
    weights: NDArray[np.float32], tiling: Tiling, mode: ScaleMode
) -> NDArray[np.float32] | None:
    """Return root mean squares as stored, 1 where all weights are zero."""
    if mode == "none":
        return None
    rows = weights.reshape(tiling.rows if mode == "row" else 1, -1)
    rms = np.sqrt(np.square(rows, dtype=np.float64).mean(axis=1))
    rounded: NDArray[np.float32] = rms.astype(ml_dtypes.bfloat16).astype(np.float32)
    rounded[~(rounded > 0)] = 1
    return rounded
