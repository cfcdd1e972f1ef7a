"""From the scores of several runs on each side to one mean change with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from kcomplexity.comparison.changes import FEWEST_RUNS, Change, Effect
from kcomplexity.comparison.conditional_bits import quotient
from kcomplexity.comparison.effects import mean, n_agreeing, shuffle_bits, without_bits
from kcomplexity.inference import paired_interval, welch_interval
from kcomplexity.results.records import Score
from kcomplexity.text import plural


def change_over_runs(before: Sequence[Score], after: Sequence[Score], *, paired: bool) -> Change:
    """Return the mean change over runs, with 95 % t-intervals whose unit is the run.

    Ratios are averaged as logarithms, so that halving and doubling cancel out.

    Parameters
    ----------
    before, after : sequence of Score
        One spec and one tensor (or whole), a score for each run.
    paired : bool
        Whether run i of one side belongs to run i of the other: the interval is then that of the
        paired differences; otherwise Welch's.
    """
    change = replace(
        without_bits(before, after),
        reference=plural(len(before), "run"),
        other=plural(len(after), "run"),
        n_references=len(before),
        n_others=len(after),
        paired=paired,
    )
    if change.status != "ok":
        return change
    own = [[row.bits if row.bits is not None else row.value for row in s] for s in (before, after)]
    n = None if before[0].bits is None else change.n_weights
    total = _over_runs(own[0], own[1], paired, n)
    change = replace(change, total_change=total[0], total=total[1])
    if n is None:
        return change
    value = change.reference_value, change.value
    change = replace(
        change,
        reference_bits=value[0],
        bits=value[1],
        reference_bits_per_weight=None if value[0] is None else value[0] / n,
        bits_per_weight=None if value[1] is None else value[1] / n,
    )
    if not change.positional:
        return replace(change, values_change=total[0], values=total[1])
    shuffled = [[mean(shuffle_bits(row)) for row in side] for side in (before, after)]
    known = [tuple(bits for bits in side if bits is not None) for side in shuffled]
    if list(map(len, known)) != list(map(len, shuffled)):
        return change
    values = _over_runs(known[0], known[1], paired, n)
    arranged = [list(map(quotient, *pair)) for pair in zip(own, known, strict=True)]
    structure = _over_runs(arranged[0], arranged[1], paired, None)
    bits = None
    if total[1] and values[1] and total[1].bits_per_weight is not None:
        bits = total[1].bits_per_weight - (values[1].bits_per_weight or 0.0)
    return replace(
        change,
        reference_shuffled=known[0],
        shuffled=known[1],
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
        shift = math.fsum(steps) / len(steps)
        runs = tuple(map(math.expm1, steps))
    else:
        interval = welch_interval(*logs)
        shift = math.fsum(logs[1]) / len(logs[1]) - math.fsum(logs[0]) / len(logs[0])
    change = math.expm1(shift)
    difference = (mean(after) or 0.0) - (mean(before) or 0.0)
    bounds = interval and (math.expm1(interval.low), math.expm1(interval.high))
    enough = min(len(before), len(after)) >= FEWEST_RUNS
    return change, Effect(
        bits_per_weight=difference / n_weights if n_weights else None,
        runs=runs,
        n_agree=n_agreeing(runs, change),
        interval=bounds,
        differs=(bounds[0] > 0 or bounds[1] < 0) if bounds and enough else None,
    )
