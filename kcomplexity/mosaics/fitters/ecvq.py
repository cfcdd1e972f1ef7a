"""``ecvq``: motifs for the fewest bits at an error.

Minimises D + lambda * R, squared error plus a price on the bits of an index (Chou, Lookabaugh and
Gray 1989). The price makes one more coordinate of a motif, so that finding the best motif of a
block is an ordinary nearest-neighbour search. Rounds of it alternate with new means and new code
lengths; motifs that nothing chooses disappear. A motif's own bits, shared by the blocks that use
it, are part of its price, so that a rare motif stays only if it saves more bits than it costs.

The stages: :func:`_start` (the cells of a cubic lattice that hold blocks), :func:`_anneal` (rounds
in which lambda follows the error to its aim), :func:`_on_grid` (rounds with motifs on a grid of
each of a few steps), :func:`_finish` (all blocks, with lambda searched so that the error is met
from below). The step whose fit takes the fewest bits wins.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.index_coding import canonical_order
from kcomplexity.containers.motifs import FINEST, MOST_MOTIFS, MotifDtype, Motifs, encode_levels
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assign import Floats, Ints, nearest_roughly
from kcomplexity.mosaics.fitters.base import Fit, Fitter, Goal, Problem, centroids
from kcomplexity.mosaics.fitters.kmeans import KMeans, lloyd, some_blocks
from kcomplexity.mosaics.fitters.sample import SampledMotifs

Rounding = Callable[[Floats], Floats]

#: Blocks that the rounds see by default; more blocks change the motifs little.
_TRAIN = 1 << 18
#: The least blocks that rounds see; with fewer they prune motifs that unseen blocks need.
_LEAST_TRAIN = 1 << 14
#: Motifs that the rounds start with at most, unless the error needs more.
_MOST = 1 << 13
_ROUNDS, _GRID_ROUNDS, _TRIES = 20, 7, 9
#: Blocks times motifs up to which all rounds are taken. Beyond, at five bits a weight and more, a
#: round costs seconds and entropy coding gains little on the lattice that the rounds begin with.
_WORK = _TRAIN * _MOST
#: Grid steps tried, as shares of the step of the scalar quantiser of the same error.
_STEPS = (0.1, 0.2, 0.35, 0.6, 1.0)
#: Coarser steps than this pay at errors of `_COARSE_FROM` and more, below about a bit a weight.
_SAFE, _COARSE_FROM = 0.35, 0.15
#: How far below its aim the error may stay.
_SLACK = 3e-4
#: How far log lambda may move past what was tried.
_FURTHEST = 3.0
_BITS = {"f32": 32, "f16": 16, "bf16": 16}


@dataclass(frozen=True)
class Ecvq(Fitter):
    """Entropy-constrained motifs.

    Without an error as target, it aims at the error of ``sample`` with as many motifs: that of the
    paper's construction, in fewer bits. Where that cannot be reached (nearly as many motifs as
    blocks, rounded), the motifs are means.

    Attributes
    ----------
    train_points : int or None
        Blocks that the rounds see, 2**14 at least; None: 2**18. Every block is assigned at the
        end.
    """

    train_points: int | None = None

    summary = "entropy-constrained: motifs and indices in the fewest bits at an error"
    reference = "Chou, Lookabaugh and Gray, IEEE TASSP 37:31 (1989)"
    default_dtype: ClassVar[MotifDtype] = "grid"
    aims_at_errors: ClassVar[bool] = True

    def fit(self, problem: Problem, goal: Goal) -> Fit:
        limit = min(goal.k or problem.m, problem.m, MOST_MOTIFS)
        error = goal.relative_mse
        if error is None:
            plain = SampledMotifs().fit(replace(problem, motif_dtype="f32"), Goal(limit))
            error = plain.relative_mse
        if not problem.squares or limit == 1 or error == 0:
            # One motif, or no error to trade for bits.
            return KMeans().fit(_exact(problem), Goal(limit if error == 0 else 1))
        try:
            return self._within(problem, error, limit)
        except SpecError:
            if goal.relative_mse is not None:
                raise
        # The error was not requested, and rounded motifs may not reach it: come close.
        return KMeans().fit(_exact(problem), Goal(limit))

    def _within(self, problem: Problem, error: float, limit: int) -> Fit:
        """Start with few motifs, and with more where those cannot meet the error."""
        most = min(limit, _MOST)
        while True:
            fit = _best(self, problem, error, most, limit)
            if fit is not None:
                return fit
            if most == limit:
                raise SpecError(
                    f"a relative error of {error:g} cannot be reached with {limit} motifs of "
                    f"{problem.blocks.shape[1]} weights: allow more motifs, smaller blocks or a "
                    "larger error"
                )
            most = min(limit, 4 * most)


@dataclass
class _State:
    """Motifs and the price of their indices."""

    values: Floats
    counts: Ints
    price: float  # lambda, squared error a bit
    overhead: float  # bits of a motif in the dictionary

    def heights(self) -> Floats:
        """Return the last coordinate of each motif: the root of the price of its index."""
        share = self.counts / self.counts.sum()
        bits = -np.log2(share) + self.overhead / self.counts
        heights: Floats = np.sqrt(self.price * (bits - bits.min())).astype(np.float32)
        return heights


def _exact(problem: Problem) -> Problem:
    """Return the problem with motifs that hold any value, where a grid would lose some."""
    return replace(problem, motif_dtype="f32") if problem.motif_dtype == "grid" else problem


def _best(options: Ecvq, problem: Problem, error: float, most: int, limit: int) -> Fit | None:
    """Return the cheapest fit that meets the error, or None if so many motifs cannot."""
    n = max(options.train_points or _TRAIN, _LEAST_TRAIN)
    rng = problem.rng("train")
    blocks = problem.blocks if n >= problem.m else some_blocks(problem.blocks, n, rng)
    scalar = math.sqrt(12 * error) * problem.rms
    steps = _steps(problem, scalar, error) if problem.motif_dtype == "grid" else (0.0,)
    start = _start(blocks, scalar, most, problem)
    if most == limit < problem.m:
        # Too few for a lattice: start from the means that Lloyd's rounds find.
        values = lloyd(KMeans(iterations=8, train_points=len(blocks)), problem, limit)
        nearby = nearest_roughly(blocks, values, threads=problem.threads)
        uses = np.maximum(np.bincount(nearby, minlength=len(values)), 1)
        start = replace(start, values=values, counts=uses)
    aim = error * float(np.square(blocks, dtype=np.float64).sum()) / len(blocks)
    free = nearest_roughly(blocks, start.values, threads=problem.threads)
    if _lost(blocks, start.values, free) > 0.8 * aim and most < limit:
        return None
    # A quarter of what the price is in the end at a high rate: the rounds come from below.
    start.price = math.log(2) / 2 * error * problem.rms**2
    # Pruned motifs do not come back: where the rounds pruned too many, go on without rounds.
    effort = min(1.0, _WORK / (len(blocks) * len(start.values)))
    for rounds, overhead in ((math.ceil(_ROUNDS * effort), start.overhead), (0, 0.0)):
        state = replace(start, overhead=overhead)
        _anneal(state, blocks, aim, rounds, problem, lambda values: values)
        candidates: list[tuple[float, Fit]] = []
        for step in steps if effort == 1 else [s for s in steps if s <= _SAFE * scalar][-1:]:
            fit = _on_grid(state, blocks, aim, step, error, effort, problem)
            if fit is not None:
                counts = np.bincount(fit.indices, minlength=len(fit.motifs))
                bits = fit.index_bits + _motif_bits(fit.motifs, counts)
                candidates.append((bits, fit))
                problem.report(f"grid {step:.3g}: {bits:.0f} bits")
        if candidates:
            return min(candidates, key=lambda candidate: candidate[0])[1]
    return None


def _steps(problem: Problem, scalar: float, error: float) -> tuple[float, ...]:
    """Return the grid steps to try: those whose levels a file can hold."""
    finest = 1.01 * float(np.abs(problem.blocks).max()) / FINEST
    if _SAFE * scalar <= finest:
        least = error * (finest / (_SAFE * scalar)) ** 2
        raise SpecError(
            f"a relative error of {error:g} cannot be reached with motifs on a grid, whose levels "
            f"are at most 2**19: about {1.1 * least:.1g} can; motifs in f32 reach further"
        )
    coarsest = _STEPS[-1] if error >= _COARSE_FROM else _SAFE
    return tuple(s * scalar for s in _STEPS if s <= coarsest and s * scalar > finest)


def _start(blocks: Floats, scalar: float, most: int, problem: Problem) -> _State:
    """Start with the means of the lattice cells that hold blocks, the fullest first."""
    cells = np.rint(blocks / np.float32(0.8 * scalar)).astype(np.int32)
    _, labels, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    means, _ = centroids(blocks, labels.reshape(-1), len(counts))
    # Cells of one block are ranked by distance from zero: no other motif comes near the far ones.
    order = np.lexsort((-np.square(means).sum(axis=1), -counts))[:most]
    values = means[order].astype(np.float32)
    s = blocks.shape[1]
    if problem.motif_dtype == "grid":
        # Coded as a set: about the bits of the levels less log2(k!) / k.
        overhead = max(s * math.log2(8 / _STEPS[1] / 4) - math.log2(len(order)) + 1.5, 4.0)
    else:
        overhead = float(s * _BITS[problem.motif_dtype])
    return _State(values, counts[order].astype(np.int64), 0.0, overhead)


def _anneal(
    state: _State, blocks: Floats, aim: float, rounds: int, problem: Problem, rounding: Rounding
) -> None:
    """Take rounds in which lambda follows the error a block to `aim`."""
    for number in range(rounds):
        indices = nearest_roughly(blocks, state.values, state.heights(), threads=problem.threads)
        lost = _lost(blocks, state.values, indices)
        problem.report(f"round {number + 1}: {len(state.values)} motifs, error {lost / aim:.4f}")
        means, counts = centroids(blocks, indices, len(state.values))
        used = counts > 0
        values, counts = rounding(means[used].astype(np.float32)), counts[used]
        if problem.zero_motif:
            values[int(np.square(values).sum(axis=1).argmin())] = 0
        state.values, state.counts = _merged(values, counts)
        # The error grows with lambda, and less than in proportion.
        state.price *= min(max((aim / lost) ** 2, 0.5), 1.4) if lost else 1.4


def _on_grid(
    state: _State,
    blocks: Floats,
    aim: float,
    step: float,
    error: float,
    effort: float,
    problem: Problem,
) -> Fit | None:
    """Go on with motifs as they are stored, then assign all blocks."""

    def rounding(values: Floats) -> Floats:
        return problem.round(values, step).values

    values, counts = _merged(rounding(state.values), state.counts)
    here = _State(values, counts, state.price, state.overhead)
    for _ in range(2):
        # On a coarse grid a motif costs less. Nothing is charged where nothing is to be pruned.
        if state.overhead:
            motifs = Motifs(here.values, problem.motif_dtype, step)
            here.overhead = _motif_bits(motifs, here.counts) / len(motifs)
        _anneal(here, blocks, aim, math.ceil(_GRID_ROUNDS * effort / 2), problem, rounding)
    return _finish(here, step, error, problem)


def _finish(state: _State, step: float, error: float, problem: Problem) -> Fit | None:
    """Assign all blocks, at the largest lambda tried whose error is at most `error`."""
    motifs = Motifs(state.values, problem.motif_dtype, step)
    best: Fit | None = None
    aim = math.log((1 - _SLACK / 2) * error)
    seen: list[tuple[float, float]] = []  # log error, log lambda
    for _ in range(_TRIES):
        indices = nearest_roughly(
            problem.blocks, state.values, state.heights(), threads=problem.threads
        )
        reached = problem.relative_mse(state.values, indices)
        if reached <= error and (best is None or reached > best.relative_mse):
            best = Fit(motifs, indices, reached)
        met = (1 - _SLACK) * error <= reached <= error
        if met or not reached or len(state.values) == 1:
            break
        seen.append((math.log(reached), math.log(state.price)))
        state.price = math.exp(_crossing(seen, aim))
    if best is not None:
        return best
    state.price = 0.0
    indices = nearest_roughly(problem.blocks, state.values, threads=problem.threads)
    reached = problem.relative_mse(state.values, indices)
    return Fit(motifs, indices, reached) if reached <= error else None


def _crossing(seen: list[tuple[float, float]], aim: float) -> float:
    """Return where log lambda should give the log error `aim`, from the points seen so far."""
    seen = sorted(seen)
    below = [point for point in seen if point[0] <= aim]
    above = [point for point in seen if point[0] > aim]
    if below and above:
        (x0, y0), (x1, y1) = below[-1], above[0]
        return y0 + (y1 - y0) * min(max((aim - x0) / (x1 - x0), 0.05), 0.95)
    x, y = below[-1] if below else above[0]
    # A slope of three is steep enough to cross the aim sooner or later.
    further = 3 * (aim - x) * float(1 << (len(seen) - 1))
    return y + min(max(further, -_FURTHEST), _FURTHEST)


def _motif_bits(motifs: Motifs, counts: Ints) -> float:
    """Return the bits of the used motifs in a file."""
    order, usage = canonical_order(counts, motifs.values)
    if motifs.dtype != "grid":
        return float(order.size * motifs.values.shape[1] * _BITS[motifs.dtype])
    encoder = AnsEncoder()
    encode_levels(motifs.levels[order], usage, encoder)
    return 32.0 * encoder.words().size


def _merged(values: Floats, counts: Ints) -> tuple[Floats, Ints]:
    """Merge identical motifs and add up their counts."""
    unique, labels = np.unique(values, axis=0, return_inverse=True)
    sums = np.bincount(labels.reshape(-1), counts, minlength=len(unique))
    return unique, sums.astype(np.int64)


def _lost(blocks: Floats, values: Floats, indices: Ints) -> float:
    """Return the mean squared error per block, for the rounds only."""
    gap = blocks - values[indices]
    return float(np.einsum("ij,ij->", gap, gap, dtype=np.float64)) / len(blocks)
