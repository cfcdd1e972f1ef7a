"""``kmeans``: Lloyd's algorithm over all blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.motifs import MotifDtype
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assign import Floats, Ints, distances, nearest_roughly
from kcomplexity.mosaics.fitters.base import Fit, Fitter, Goal, Problem, centroids, fit_goal
from kcomplexity.mosaics.fitters.sample import draw, grid_step

#: The start is drawn from one block in `_PART`, if that leaves `_LEAST` blocks for each motif.
_PART, _LEAST = 4, 8
#: How far a round moves motifs, as a multiple of the way to their means. Going past the mean takes
#: fewer rounds and ends lower (over-relaxation: Du and Emelianenko 2006); from 2 on rounds need not
#: lower the error.
_STRIDE = 1.9
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class KMeans(Fitter):
    """Motifs are the means of their blocks, found by Lloyd's rounds.

    Attributes
    ----------
    start : {"spread", "sample"}
        Where the rounds begin: blocks drawn in proportion to their squared distance from those
        drawn before (k-means++, in doubling rounds instead of one by one; from a quarter of the
        blocks where they are many), or drawn uniformly.
    iterations : int
        Rounds at most. Each but the last goes 1.9 times the way to the means.
    tolerance : float
        Stops when a round lowers the squared error, or moves blocks to another motif, by no more
        than this share.
    train_points : int or None
        Blocks that the rounds see; None: all. Every block is assigned at the end.
    """

    start: Literal["spread", "sample"] = "spread"
    iterations: int = 25
    tolerance: float = 1e-3
    train_points: int | None = None

    summary: ClassVar[str] = "Lloyd's algorithm: motifs are the means of their blocks"
    reference: ClassVar[str] = (
        "Lloyd 1982; Arthur and Vassilvitskii 2007; Bahmani et al. 2012; Du and Emelianenko 2006"
    )
    default_dtype: ClassVar[MotifDtype] = "f16"

    def __post_init__(self) -> None:
        if self.start not in ("spread", "sample"):
            raise SpecError(f"kmeans start {self.start!r}: expected spread or sample")
        if self.iterations < 1 or not self.tolerance >= 0:
            raise SpecError(
                f"kmeans of {self.iterations} iterations to {self.tolerance:g}: expected one at "
                "least, and a tolerance of 0 or more"
            )

    def fit(self, problem: Problem, goal: Goal) -> Fit:
        return fit_goal(partial(self._fit, problem), problem.m, goal)

    def _fit(self, problem: Problem, k: int) -> Fit:
        return problem.assigned(problem.round(lloyd(self, problem, k), grid_step(problem)))


def lloyd(options: KMeans, problem: Problem, k: int) -> Floats:
    """Return the means that Lloyd's rounds end with, at most `k`."""
    blocks = problem.blocks
    if options.train_points and options.train_points < problem.m:
        blocks = some_blocks(blocks, max(options.train_points, k), problem.rng("train"))
    if k >= len(blocks):
        return draw(problem, k)
    if options.start == "sample":
        values = draw(problem, k)
    else:
        few = len(blocks) // _PART
        part = some_blocks(blocks, few, problem.rng("part")) if few >= _LEAST * k else blocks
        values = spread_start(problem, part, k)
    return _rounds(options, problem, blocks, values)


def some_blocks(blocks: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Return `n` blocks drawn at random, in their order."""
    return blocks[np.sort(rng.choice(len(blocks), n, replace=False))]


def _rounds(options: KMeans, problem: Problem, blocks: Floats, values: Floats) -> Floats:
    """Return the means of the blocks after Lloyd's rounds, over-relaxed, from `values`."""
    frozen = int(problem.zero_motif)
    # Centred on the blocks' mean, so that sums of squares keep their digits.
    centre = blocks.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares = float(_lost(blocks, centre).sum())
    before, last = math.inf, np.empty(0, np.int64)
    for number in range(options.iterations):
        indices = nearest_roughly(blocks, values, threads=problem.threads)
        means, counts = centroids(blocks, indices, len(values))
        # The error at the means plus that of the motifs' distance from them; no second pass.
        off = _squared(values - means) - _squared(means - centre)
        total = max(squares + float(counts @ off), 0.0)
        problem.report(f"round {number + 1}: mean squared error {total / blocks.size:.4g}")
        empty = np.flatnonzero(counts[frozen:] == 0) + frozen
        n_moved = int(np.count_nonzero(indices != last)) if last.size else len(blocks)
        is_settled = total >= (1 - options.tolerance) * before or not total
        is_settled |= n_moved <= options.tolerance * len(blocks)
        is_last = (is_settled and not empty.size) or number + 1 == options.iterations
        step = means if is_last else values + _STRIDE * (means - values)
        if empty.size:
            lost = distances(blocks, values, indices)
            worst = np.sort(np.argpartition(-lost, min(empty.size, lost.size - 1))[: empty.size])
            step[empty[: worst.size]] = blocks[worst]
        values[frozen:] = np.clip(step[frozen:], -_FLOAT32_MAX, _FLOAT32_MAX)
        if is_last:
            break
        before, last = total, indices
    return values


def spread_start(problem: Problem, blocks: Floats, k: int) -> Floats:
    """Draw blocks in proportion to their squared distance from those drawn so far.

    k-means++ draws one by one; here each round draws as many as there are already, so there are
    log2 k rounds. Blocks that equal a motif are not drawn again.
    """
    rng = problem.rng("spread")
    first = np.zeros((1, blocks.shape[1]), np.float32)
    values = first if problem.zero_motif else blocks[rng.integers(len(blocks))][None]
    lost = _lost(blocks, values[0])
    while len(values) < k:
        wanted = min(max(len(values), 8), k - len(values))
        chosen = _draw_by(lost, wanted, rng)
        if not chosen.size:
            break  # fewer different blocks than motifs
        # Blocks that are repeated may be drawn together.
        fresh = np.unique(blocks[chosen], axis=0)
        indices = nearest_roughly(blocks, fresh, threads=problem.threads)
        lost = np.minimum(lost, distances(blocks, fresh, indices))
        values = np.concatenate([values, fresh])
    return np.array(values, np.float32)


def _draw_by(weights: NDArray[np.float64], n: int, rng: np.random.Generator) -> Ints:
    """Draw different indices with probability in proportion to their weights, at most `n`."""
    ends = np.cumsum(weights)
    if not ends[-1] > 0:
        return np.zeros(0, np.int64)
    drawn = np.searchsorted(ends, rng.random(n) * ends[-1], side="right")
    return np.unique(np.minimum(drawn, len(weights) - 1))


def _lost(blocks: Floats, motif: Floats) -> NDArray[np.float64]:
    """Return the squared distance of each block to one motif."""
    return distances(blocks, motif[None], np.zeros(len(blocks), np.int64))


def _squared(vectors: NDArray[Any]) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return squares
