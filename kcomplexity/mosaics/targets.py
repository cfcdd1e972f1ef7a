"""Targets in bits: the search above the fitters for the error that meets a budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kcomplexity.errors import SpecError
from kcomplexity.fitters import Fit, Goal
from kcomplexity.mosaics.assembly import assemble
from kcomplexity.mosaics.fit_options import capacity_motifs
from kcomplexity.mosaics.fit_plan import FitPlan, MotifSet
from kcomplexity.mosaics.preparing import Prepared, Run, prepare

if TYPE_CHECKING:
    from kcomplexity.mosaics.mosaic import Mosaic

__all__ = ["fit_to_size"]

#: Motifs asked for when nothing says how far to go: the paper's capacity.
_CAPACITY = 0.01
_TRIES = 10
#: Fits until an error is met as stored.
_ROUNDED_TRIES, _A_LITTLE_LESS = 6, 1 - 1e-4


def fit_to_size(plan: FitPlan, run: Run) -> Mosaic:
    """Fit a plan; where its target is in bits, search the error that meets it.

    The search follows R = a - log2(E) / 2 until tries lie on both sides of the budget, then the
    line between the nearest two, and keeps the best that is within the budget.

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


def _fit(plan: FitPlan, prepared: list[tuple[MotifSet, Prepared]], error: float | None) -> Mosaic:
    options = plan.options
    fits: list[tuple[MotifSet, Prepared, Fit]] = []
    asked = []
    for found, ready in prepared:
        k = options.k_of(found.m)
        if k is None and error is None:
            k = capacity_motifs(_CAPACITY, found.m)
        fit = options.fitter().fit(ready.problem, Goal(k, error))
        fits.append((found, ready, fit))
        # Where an error is aimed at, k is no more than a limit.
        asked.append(k if k is not None and error is None else len(fit.motifs))
    return assemble(plan, fits, asked)


def _search(plan: FitPlan, prepared: list[tuple[MotifSet, Prepared]]) -> Mosaic:
    best: Mosaic | None = None
    cheapest: Mosaic | None = None
    over: tuple[float, float] | None = None  # the nearest tries on either side: bits, log error
    under: tuple[float, float] | None = None
    error = 0.1
    for _ in range(_TRIES):
        mosaic = _fit(plan, prepared, error)
        budget = _budget(plan, mosaic)
        spent = mosaic.bits.fitted
        cheapest = mosaic if cheapest is None or spent < cheapest.bits.fitted else cheapest
        here = (float(spent), math.log(error))
        if spent <= budget:
            if under is None or here[1] < under[1]:
                under = here
            if best is None or mosaic.distortion.relative_mse < best.distortion.relative_mse:
                best = mosaic
            if spent >= 0.995 * budget:
                break
        elif over is None or here[1] > over[1]:
            over = here
        error = min(max(math.exp(_next(over, under, 0.998 * budget, plan.n_fitted)), 1e-9), 0.9999)
        if math.log(error) == here[1]:
            break
    if best is None:
        assert cheapest is not None  # noqa: S101 - there was at least one try
        raise SpecError(
            f"{_asked(plan)} cannot be reached: the cheapest fit found takes "
            f"{cheapest.bits_per_weight:.3f} bits a weight, {cheapest.bits.total_coded // 8} bytes "
            f"in all, of which {(cheapest.bits.kept + cheapest.bits.container) // 8} are kept "
            "tensors and container"
        )
    return best


def _next(
    over: tuple[float, float] | None, under: tuple[float, float] | None, aim: float, n: int
) -> float:
    """Return the log error whose fit should take `aim` bits, from the nearest tries so far."""
    if over is None or under is None:
        near = over or under
        assert near is not None  # noqa: S101 - every try is on one side
        # Six decibels a bit.
        return near[1] + math.log(4) * (near[0] - aim) / n
    (x0, y0), (x1, y1) = under, over
    share = (aim - x0) / (x1 - x0)
    return y0 + (y1 - y0) * min(max(share, 0.05), 0.95)


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
