"""From two scores to one change: in total, of the values, of their arrangement.

With b the bits of the weights, s the mean bits of their shuffles, 0 the reference and 1 the other:

* total: b1 / b0 - 1;
* values (the histogram): s1 / s0 - 1, what the change would be had no order ever mattered;
* structure (the arrangement): (b1 / s1) / (b0 / s0) - 1.

So (1 + total) = (1 + values) * (1 + structure), and in bits a weight total = values + structure.
Replicate i is shuffled alike on both sides. A spec that sees no positions has the same bits for its
shuffles: its total is its values, and of structure it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kcomplexity.comparison.changes import FEWEST_RUNS, Change, Effect
from kcomplexity.comparison.given import quotient
from kcomplexity.inference import paired_interval, welch_interval
from kcomplexity.results.control_results import SHUFFLE, SummedControl
from kcomplexity.results.records import Score
from kcomplexity.scoring.bridging import target_mse
from kcomplexity.text import plural

__all__ = ["change_between", "change_over_runs", "ranges_without_one"]


@dataclass(frozen=True)
class _Sides:
    """Bits of both sides, own and shuffled: all that the three changes follow from."""

    n_weights: int
    own: tuple[float, float]
    shuffled: tuple[Sequence[float], Sequence[float]] = field(default=((), ()))

    @property
    def means(self) -> tuple[float, float]:
        first, second = (math.fsum(side) / len(side) for side in self.shuffled)
        return first, second

    @property
    def has_shuffles(self) -> bool:
        return bool(self.shuffled[0]) and len(self.shuffled[0]) == len(self.shuffled[1])

    def less(self, other: _Sides) -> _Sides:
        """Return what is left without one tensor."""
        pairs = zip(self.shuffled, other.shuffled, strict=True)
        own = self.own[0] - other.own[0], self.own[1] - other.own[1]
        first, second = (
            tuple(a - b for a, b in zip(mine, theirs, strict=True)) for mine, theirs in pairs
        )
        return _Sides(self.n_weights - other.n_weights, own, (first, second))


def change_between(before: Score, after: Score) -> Change:
    """Return the change between the scores of one spec for the same tensor, or the same whole."""
    change = _unmeasured(before, after)
    if before.status != "ok" or after.status != "ok":
        return change
    change = replace(
        change,
        reference_value=before.value,
        value=after.value,
        reference_relative_mse=before.relative_mse,
        relative_mse=after.relative_mse,
        sampled_fraction=min(before.sampled_fraction, after.sampled_fraction),
    )
    if before.bits is None or after.bits is None:
        total = _ratio(after.value, before.value)
        return replace(change, total_change=total, total=None if total is None else Effect())
    sides = _sides(before, after)
    change = replace(
        change,
        reference_bits=before.bits,
        bits=after.bits,
        reference_bits_per_weight=before.bits_per_weight,
        bits_per_weight=after.bits_per_weight,
        total_change=_ratio(after.bits, before.bits),
        total=Effect(bits_per_weight=(after.bits - before.bits) / before.n_weights),
    )
    if not before.positional:
        return replace(change, values_change=change.total_change, values=change.total)
    return _with_shuffles(change, sides) if sides.has_shuffles else change


def _unmeasured(before: Score, after: Score) -> Change:
    """Return the change without its figures."""
    failed = next((row for row in (before, after) if row.status != "ok"), after)
    return Change(
        reference=before.checkpoint,
        other=after.checkpoint,
        tensor=before.tensor,
        scope=before.scope,
        group=before.group,
        reference_dtype=before.dtype,
        dtype=after.dtype,
        shape=before.shape,
        n_weights=before.n_weights,
        spec=before.spec,
        kind=before.kind,
        decodes=before.decodes,
        direction=before.direction,
        positional=before.positional,
        unit=before.unit,
        target_mse=target_mse(before),
        status=failed.status,
        reason=f"{failed.checkpoint}: {failed.reason}" if failed.reason else None,
    )


def _sides(before: Score, after: Score) -> _Sides:
    own = before.bits or 0.0, after.bits or 0.0
    return _Sides(before.n_weights, own, (_shuffles(before), _shuffles(after)))


def _shuffles(row: Score) -> tuple[float, ...]:
    """Return the bits of each shuffle; none where a whole lacks those of some tensor."""
    control = row.control(SHUFFLE)
    if isinstance(control, SummedControl) and control.n_tensors != row.details.get("n_tensors"):
        return ()
    return control.bits if control else ()


def _with_shuffles(change: Change, sides: _Sides) -> Change:
    values, structure = _values(sides), _structure(sides)
    by_seed = [
        _Sides(sides.n_weights, sides.own, ((a,), (b,)))
        for a, b in zip(*sides.shuffled, strict=True)
    ]
    s0, s1 = sides.means
    moved = (s1 - s0) / sides.n_weights
    arranged = (sides.own[1] - s1 - sides.own[0] + s0) / sides.n_weights
    return replace(
        change,
        reference_shuffled=tuple(sides.shuffled[0]),
        shuffled=tuple(sides.shuffled[1]),
        reference_n_lower=sum(sides.own[0] < b for b in sides.shuffled[0]),
        n_lower=sum(sides.own[1] < b for b in sides.shuffled[1]),
        values_change=values,
        structure_change=structure,
        values=_effect(moved, values, [_values(one) for one in by_seed]),
        structure=_effect(arranged, structure, [_structure(one) for one in by_seed]),
    )


def _effect(bits: float, change: float | None, seeds: Sequence[float | None]) -> Effect | None:
    if change is None:
        return None
    known = tuple(seed for seed in seeds if seed is not None)
    return Effect(bits_per_weight=bits, seeds=known, n_agree=_agreeing(known, change))


def _agreeing(parts: Sequence[float], change: float) -> int:
    return sum(part * change > 0 for part in parts)


def _total(sides: _Sides) -> float | None:
    return _ratio(sides.own[1], sides.own[0])


def _values(sides: _Sides) -> float | None:
    s0, s1 = sides.means
    return _ratio(s1, s0)


def _structure(sides: _Sides) -> float | None:
    s0, s1 = sides.means
    return _ratio(sides.own[1] * s0, sides.own[0] * s1)


def _ratio(after: float | None, before: float | None) -> float | None:
    """Return after / before - 1; None where there is nothing to divide by."""
    return after / before - 1 if before and after is not None else None


def ranges_without_one(whole: Change, rows: Sequence[tuple[Score, Score]]) -> Change:
    """Add to a whole the range of each change when any one of its tensors is left out.

    Parameters
    ----------
    whole : Change
    rows : sequence of (Score, Score)
        Before and after, of the tensors that the whole sums.
    """
    parts = [_sides(before, after) for before, after in rows]
    if len(parts) < 2 or whole.bits is None or whole.reference_bits is None:
        return whole
    shuffles = (whole.reference_shuffled, whole.shuffled)
    if not all(part.has_shuffles for part in parts):
        shuffles = ((), ())
        parts = [replace(part, shuffled=((), ())) for part in parts]
    sides = _Sides(whole.n_weights, (whole.reference_bits, whole.bits), shuffles)
    rests = [sides.less(part) for part in parts]

    def ranged(effect: Effect | None, of: Callable[[_Sides], float | None]) -> Effect | None:
        found = [value for rest in rests if (value := of(rest)) is not None]
        if effect is None or not found:
            return effect
        return replace(effect, leave_one_out=(min(found), max(found)))

    total = ranged(whole.total, _total)
    if not whole.positional:
        return replace(whole, total=total, values=total)
    if not sides.has_shuffles:
        return replace(whole, total=total)
    values, structure = ranged(whole.values, _values), ranged(whole.structure, _structure)
    return replace(whole, total=total, values=values, structure=structure)


# --- Several runs on each side -----------------------------------------------------------------


def change_over_runs(before: Sequence[Score], after: Sequence[Score], *, paired: bool) -> Change:
    """Return the mean change over runs, with 95 % t-intervals whose unit is the run.

    Ratios are averaged as logarithms, so that halving and doubling cancel out.

    Parameters
    ----------
    before, after : sequence of Score
        One spec and one tensor (or whole), a score for each run.
    paired : bool
        Whether run i stands beside run i: the interval is then that of the paired differences;
        otherwise Welch's.
    """
    failed = next((row for row in (*before, *after) if row.status != "ok"), None)
    change = replace(
        _unmeasured(before[0], after[0]),
        reference=plural(len(before), "run"),
        other=plural(len(after), "run"),
        n_references=len(before),
        n_others=len(after),
        paired=paired,
        status=failed.status if failed else "ok",
        reason=f"{failed.checkpoint}: {failed.reason}" if failed else None,
    )
    if failed:
        return change
    value = [_mean([row.value for row in side]) for side in (before, after)]
    change = replace(
        change,
        reference_value=value[0],
        value=value[1],
        reference_relative_mse=_mean([row.relative_mse for row in before]),
        relative_mse=_mean([row.relative_mse for row in after]),
        sampled_fraction=min(row.sampled_fraction for row in (*before, *after)),
    )
    own = [[row.bits if row.bits is not None else row.value for row in s] for s in (before, after)]
    n = None if before[0].bits is None else change.n_weights
    total = _over_runs(own[0], own[1], paired, n)
    change = replace(change, total_change=total[0], total=total[1])
    if n is None:
        return change
    change = replace(
        change,
        reference_bits=value[0],
        bits=value[1],
        reference_bits_per_weight=None if value[0] is None else value[0] / n,
        bits_per_weight=None if value[1] is None else value[1] / n,
    )
    if not change.positional:
        return replace(change, values_change=total[0], values=total[1])
    shuffled = [[_shuffled_mean(row) for row in side] for side in (before, after)]
    if any(mean is None for side in shuffled for mean in side):
        return change
    values = _over_runs(shuffled[0], shuffled[1], paired, n)
    arranged = [
        [quotient(bits, mean) for bits, mean in zip(of, means, strict=True)]
        for of, means in zip(own, shuffled, strict=True)
    ]
    structure = _over_runs(arranged[0], arranged[1], paired, None)
    bits = None
    if total[1] and values[1] and total[1].bits_per_weight is not None:
        bits = total[1].bits_per_weight - (values[1].bits_per_weight or 0.0)
    return replace(
        change,
        reference_shuffled=tuple(m for m in shuffled[0] if m is not None),
        shuffled=tuple(m for m in shuffled[1] if m is not None),
        values_change=values[0],
        values=values[1],
        structure_change=structure[0],
        structure=structure[1] and replace(structure[1], bits_per_weight=bits),
    )


def _over_runs(
    before: Sequence[float | None],
    after: Sequence[float | None],
    paired: bool,
    n_weights: int | None,
) -> tuple[float | None, Effect | None]:
    """Return the mean relative change and its effect; (None, None) where a side has a zero."""
    if not all(before) or not all(after):
        return None, None
    logs = [[math.log(value) for value in side if value] for side in (before, after)]
    runs: tuple[float, ...] = ()
    if paired:
        steps = [b - a for a, b in zip(*logs, strict=True)]
        interval = paired_interval(steps)
        mean = math.fsum(steps) / len(steps)
        runs = tuple(math.expm1(step) for step in steps)
    else:
        interval = welch_interval(*logs)
        mean = math.fsum(logs[1]) / len(logs[1]) - math.fsum(logs[0]) / len(logs[0])
    change = math.expm1(mean)
    difference = (_mean(after) or 0.0) - (_mean(before) or 0.0)
    bounds = interval and (math.expm1(interval.low), math.expm1(interval.high))
    enough = min(len(before), len(after)) >= FEWEST_RUNS
    return change, Effect(
        bits_per_weight=difference / n_weights if n_weights else None,
        runs=runs,
        n_agree=_agreeing(runs, change),
        interval=bounds,
        differs=(bounds[0] > 0 or bounds[1] < 0) if bounds and enough else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def _shuffled_mean(row: Score) -> float | None:
    bits = _shuffles(row)
    return math.fsum(bits) / len(bits) if bits else None
