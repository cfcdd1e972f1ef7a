"""``sample``: the paper's projection. k blocks drawn at random are the motifs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.motifs import MotifDtype
from kcomplexity.mosaics.fitters.base import Fit, Fitter, Goal, Problem, fit_goal


@dataclass(frozen=True)
class SampledMotifs(Fitter):
    """k distinct blocks drawn uniformly become the motifs; each block goes to its nearest.

    With a zero motif, one of the k motifs is the zero block. For one seed, k + 1 motifs are the k
    motifs and one more.
    """

    summary: ClassVar[str] = "the paper's projection: k blocks drawn at random are the motifs"
    reference: ClassVar[str] = "Bakhtiarifard et al. 2026, arXiv 2602.14896"
    default_dtype: ClassVar[MotifDtype] = "f32"

    def fit(self, problem: Problem, goal: Goal) -> Fit:
        return fit_goal(partial(self._fit, problem), problem.m, goal)

    def _fit(self, problem: Problem, k: int) -> Fit:
        fit = problem.assigned(problem.round(draw(problem, k), grid_step(problem)))
        problem.report(f"{k} motifs: relative error {fit.relative_mse:.5f}")
        return fit


def draw(problem: Problem, k: int) -> NDArray[np.float32]:
    """Draw `k` blocks without replacement; the first is the zero block with ``zero_motif``."""
    order = problem.rng("sample").permutation(problem.m)
    chosen = problem.blocks[order[: k - problem.zero_motif]]
    if problem.zero_motif:
        chosen = np.concatenate([np.zeros((1, chosen.shape[1]), np.float32), chosen])
    return chosen


def grid_step(problem: Problem) -> float:
    """Return a quarter of the root mean square, the best step at about 1 bit a weight."""
    return 0.25 * problem.rms or 1.0
