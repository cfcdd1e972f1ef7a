"""Targets in bits: the search above the fitters for the error that meets a budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assembly import assemble
from kcomplexity.mosaics.fit_options import DEFAULT_CAPACITY, capacity_motifs
from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
from kcomplexity.mosaics.fitters import Fit, Goal
from kcomplexity.mosaics.preparing import Prepared, Run, prepare

if TYPE_CHECKING:
    from kcomplexity.containers.mosaic import Mosaic

__all__ = ["fit_to_size"]

_TRIES = 10
#: Fits until an error is met as stored.
_ROUNDED_TRIES, _A_LITTLE_LESS = 6, 1 - 1e-4


def fit_to_size(plan: FitPlan, run: Run) -> Mosaic:
    """Fit a plan; where its target is in bits, search the error that meets it.

    The search follows R = a - log2(E) / 2, or that of fixed-width indices, until tries lie on both
    sides of the budget, then the line between the nearest two, and keeps the best within it.

    Raises
    ------
    SpecError
        If the budget is below what the kept tensors and the container take.
    """
    prepared = [(found, prepare(plan, found, run)) for found in plan.sets]
    options = plan.options
    if options.bits_per_weight is not None or options.size is not None:
        return _search(plan, prepared)
    if options.relative_mse is None:
        return _fit(plan, prepared, None)
    return _as_stored(plan, prepared, options.relative_mse)


def _as_stored(plan: FitPlan, prepared: list[tuple[MotifSet, Prepared]], error: float) -> Mosaic:
    """Fit so that the error is met by weights rounded to the stored dtype.

    Fitters do not see that rounding, which adds up to some per cent in types of eight bits. The
    next try aims as much lower, then more: errors of few motifs come in steps.

    Raises
    ------
    SpecError
        If no try meets it.
    """
    aim = error
    for number in range(_ROUNDED_TRIES):
        mosaic = _fit(plan, prepared, aim)
        found = mosaic.distortion.relative_mse
        if found <= error:
            return mosaic
        aim *= (error / found) ** (1 + number) * _A_LITTLE_LESS
    raise SpecError(
        f"a relative error of {error:g} cannot be reached: rounded to the stored dtypes it is "
        f"{found:.4g}; take a larger one"
    )


def _fit(
    plan: FitPlan,
    prepared: Sequence[tuple[MotifSet, Prepared]],
    error: float | None,
    capacity: float = DEFAULT_CAPACITY,
) -> Mosaic:
    """Fit every set at an error, or else with as many motifs as the options or `capacity` say."""
    options = plan.options
    fits: list[tuple[MotifSet, Prepared, Fit]] = []
    asked = []
    for found, ready in prepared:
        k = options.k_of(found.m)
        if k is None and error is None:
            k = capacity_motifs(capacity, found.m)
        fit = options.fitter().fit(ready.problem, Goal(k, error))
        fits.append((found, ready, fit))
        # Where an error is aimed at, k is no more than a limit.
        asked.append(k if k is not None and error is None else len(fit.motifs))
    return assemble(plan, fits, asked)


def _search(plan: FitPlan, prepared: Sequence[tuple[MotifSet, Prepared]]) -> Mosaic:
    """Search the error, or for a fitter that would search motifs for it the motifs themselves."""
    by_error = plan.options.fitter().aims_at_errors
    if by_error:
        # Six decibels a bit.
        knob, least, most, slope = 0.1, 1e-9, 0.9999, math.log(4)
    else:
        # Twice the motifs, a bit more for each index.
        knob, least, most = DEFAULT_CAPACITY, 1e-9, 1.0
        slope = -plan.options.block.size * math.log(2)
    best: Mosaic | None = None
    tries: list[_Try] = []
    for _ in range(_TRIES):
        mosaic = _fit(plan, prepared, knob) if by_error else _fit(plan, prepared, None, knob)
        budget = _budget(plan, mosaic)
        tries.append(_Try(mosaic.bits.fitted, math.log(knob), mosaic))
        if tries[-1].bits <= budget:
            if best is None or mosaic.distortion.relative_mse < best.distortion.relative_mse:
                best = mosaic
            if tries[-1].bits >= 0.995 * budget:
                break
        following = _next(tries, budget, slope / plan.n_fitted)
        knob = min(max(math.exp(following), least), most)
        if any(math.log(knob) == one.log_knob for one in tries):
            break
    if best is None:
        cheapest = min(tries, key=lambda one: one.bits).mosaic
        raise SpecError(
            f"{_asked(plan)} cannot be reached: the cheapest fit found takes "
            f"{cheapest.bits_per_weight:.3f} bits a weight, {cheapest.bits.total_coded // 8} bytes "
            f"in all, of which {(cheapest.bits.kept + cheapest.bits.container) // 8} are kept "
            "tensors and container"
        )
    return best


class _Try(NamedTuple):
    """What a setting of the knob, an error or a capacity, came to."""

    bits: float
    log_knob: float
    mosaic: Mosaic


def _next(tries: Sequence[_Try], budget: float, slope: float) -> float:
    """Return the log knob whose fit should nearly take the budget, from the nearest tries."""
    aim = 0.998 * budget
    under = max((one for one in tries if one.bits <= budget), default=None, key=lambda t: t.bits)
    over = min((one for one in tries if one.bits > budget), default=None, key=lambda t: t.bits)
    if under is not None and over is not None:
        share = math.log(aim / max(under.bits, 1)) / math.log(over.bits / max(under.bits, 1))
        # Two tries on one side in a row: where the line is bent, halves get there sooner.
        stuck = (tries[-1].bits <= budget) == (tries[-2].bits <= budget)
        share = 0.5 if stuck else min(max(share, 0.05), 0.95)
        return under.log_knob + (over.log_knob - under.log_knob) * share
    near = under or over
    assert near is not None  # noqa: S101 - every try is on one side
    return near.log_knob + slope * (near.bits - aim)


def _budget(plan: FitPlan, mosaic: Mosaic) -> float:
    """Return the bits that motifs, indices and scales may take."""
    if plan.options.size is not None:
        budget = 8 * plan.options.size - mosaic.bits.kept - mosaic.bits.container
        if budget <= 0:
            raise SpecError(
                f"{_asked(plan)} cannot be reached: kept tensors take {mosaic.bits.kept // 8} bytes"
                f" and the container {mosaic.bits.container // 8}; fit more tensors (--all-tensors)"
            )
        return budget
    assert plan.options.bits_per_weight is not None  # noqa: S101 - one of the two is the target
    return plan.options.bits_per_weight * plan.n_fitted


def _asked(plan: FitPlan) -> str:
    if plan.options.size is not None:
        return f"a size of {plan.options.size} bytes"
    return f"{plan.options.bits_per_weight:g} bits a weight"
