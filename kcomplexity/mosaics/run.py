"""Fitting a plan: each motif set at the target, and the search for targets in bits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from kcomplexity.containers.mosaic import Mosaic
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assembly import FittedSet, build_mosaic
from kcomplexity.mosaics.fit_options import DEFAULT_CAPACITY, capacity_motifs
from kcomplexity.mosaics.fit_plan import FitPlan
from kcomplexity.mosaics.fitters import Goal
from kcomplexity.mosaics.scaled_blocks import ScaledBlocks, read_blocks
from kcomplexity.parallel.progress import OnProgress

Blocks = Sequence[ScaledBlocks]

_TRIES = 10
#: Fits until an error is met in the stored dtype, and how much lower each aims.
_ROUNDED_TRIES, _A_LITTLE_LESS = 6, 1 - 1e-4


def run_fit(
    plan: FitPlan, *, threads: int | None = None, progress: OnProgress | None = None
) -> Mosaic:
    """Fit every motif set of a plan; where its target is in bits, search the error that meets it.

    The search follows R = a - log2(E) / 2, or that of fixed-width indices, until tries lie on both
    sides of the budget, then the line between the nearest two, and keeps the best within it.
    No figure depends on `threads`. SpecError if the target cannot be reached.
    """
    blocks = [read_blocks(plan, s, threads=threads, progress=progress) for s in plan.sets]
    options = plan.options
    if options.bits_per_weight is not None or options.size is not None:
        return _search(plan, blocks)
    if options.relative_mse is None:
        return _fit(plan, blocks, None)
    return _meet_error(plan, blocks, options.relative_mse)


def _meet_error(plan: FitPlan, blocks: Blocks, error: float) -> Mosaic:
    """Fit so that weights rounded to the stored dtype meet the error.

    Fitters do not see that rounding, which adds some per cent in dtypes of eight bits. Each next
    try aims lower by the excess, to a growing power: errors of few motifs come in steps.
    """
    aim = error
    for number in range(_ROUNDED_TRIES):
        mosaic = _fit(plan, blocks, aim)
        reached = mosaic.distortion.relative_mse
        if reached <= error:
            return mosaic
        aim *= (error / reached) ** (1 + number) * _A_LITTLE_LESS
    raise SpecError(
        f"a relative error of {error:g} cannot be reached: rounded to the stored dtypes it is "
        f"{reached:.4g}; take a larger one"
    )


def _fit(
    plan: FitPlan, blocks: Blocks, error: float | None, capacity: float = DEFAULT_CAPACITY
) -> Mosaic:
    """Fit every set at an error, or else with as many motifs as the options or `capacity` say."""
    options = plan.options
    fits = []
    for scaled in blocks:
        k = options.k_of(scaled.problem.m)
        if k is None and error is None:
            k = capacity_motifs(capacity, scaled.problem.m)
        fit = options.fitter().fit(scaled.problem, Goal(k, error))
        # Beside an error, k is only a limit.
        n_motifs = k if k is not None and error is None else len(fit.motifs)
        fits.append(FittedSet(scaled, fit, n_motifs))
    return build_mosaic(plan, fits)


def _search(plan: FitPlan, blocks: Blocks) -> Mosaic:
    """Search the error, or the capacity where the fitter meets errors by searching itself."""
    by_error = plan.options.fitter().aims_at_errors
    if by_error:
        # Six decibels per bit.
        knob, least, most, slope = 0.1, 1e-9, 0.9999, math.log(4)
    else:
        # Twice the motifs cost one bit more per index.
        knob, least, most = DEFAULT_CAPACITY, 1e-9, 1.0
        slope = -plan.options.block.size * math.log(2)
    best: Mosaic | None = None
    tries: list[_Try] = []
    for _ in range(_TRIES):
        mosaic = _fit(plan, blocks, knob) if by_error else _fit(plan, blocks, None, knob)
        budget = _budget(plan, mosaic)
        tries.append(_Try(mosaic.bits.fitted, math.log(knob), mosaic))
        if tries[-1].bits <= budget:
            if best is None or mosaic.distortion.relative_mse < best.distortion.relative_mse:
                best = mosaic
            if tries[-1].bits >= 0.995 * budget:
                break
        following = _next(tries, budget, slope / plan.n_fitted)
        knob = min(max(math.exp(following), least), most)
        if any(math.log(knob) == earlier.log_knob for earlier in tries):
            break
    if best is None:
        cheapest = min(tries, key=lambda t: t.bits).mosaic
        raise SpecError(
            f"{_target(plan)} cannot be reached: the cheapest fit found takes "
            f"{cheapest.bits_per_weight:.3f} bits a weight, {cheapest.bits.total_coded // 8} bytes "
            f"in all, of which {(cheapest.bits.kept + cheapest.bits.container) // 8} are kept "
            "tensors and container"
        )
    return best


class _Try(NamedTuple):
    """The result of one setting of the knob, which is an error or a capacity."""

    bits: float
    log_knob: float
    mosaic: Mosaic


def _next(tries: Sequence[_Try], budget: float, slope: float) -> float:
    """Return the log knob whose fit should nearly take the budget, from the nearest tries."""
    aim = 0.998 * budget
    under = max((t for t in tries if t.bits <= budget), default=None, key=lambda t: t.bits)
    over = min((t for t in tries if t.bits > budget), default=None, key=lambda t: t.bits)
    if under is not None and over is not None:
        share = math.log(aim / max(under.bits, 1)) / math.log(over.bits / max(under.bits, 1))
        # After two tries on the same side the curve is far from a line: bisect.
        stuck = (tries[-1].bits <= budget) == (tries[-2].bits <= budget)
        share = 0.5 if stuck else min(max(share, 0.05), 0.95)
        return under.log_knob + (over.log_knob - under.log_knob) * share
    near = under or over
    assert near is not None  # noqa: S101 - every try is on one side
    return near.log_knob + slope * (near.bits - aim)


def _budget(plan: FitPlan, mosaic: Mosaic) -> float:
    """Return the bits available to motifs, indices and scales."""
    if plan.options.size is not None:
        budget = 8 * plan.options.size - mosaic.bits.kept - mosaic.bits.container
        if budget <= 0:
            raise SpecError(
                f"{_target(plan)} cannot be reached: kept tensors take {mosaic.bits.kept // 8} "
                f"bytes and the container {mosaic.bits.container // 8}; fit more tensors "
                "(--all-tensors)"
            )
        return budget
    assert plan.options.bits_per_weight is not None  # noqa: S101 - one of the two is the target
    return plan.options.bits_per_weight * plan.n_fitted


def _target(plan: FitPlan) -> str:
    if plan.options.size is not None:
        return f"a size of {plan.options.size} bytes"
    return f"{plan.options.bits_per_weight:g} bits a weight"
