"""From two scores to one change: total, of the values, of their arrangement.

With b the bits of the weights, s the mean bits of their shuffles, 0 the reference and 1 the other:

* total: b1 / b0 - 1;
* values (the histogram): s1 / s0 - 1, the change if order never mattered;
* structure (the arrangement): (b1 / s1) / (b0 / s0) - 1.

So (1 + total) = (1 + values) * (1 + structure), and in bits a weight total = values + structure.
Replicate i is shuffled alike on both sides. A spec that sees no positions has the same bits for its
shuffles: its total is the change of the values, and it has no structure.

Means over several runs are in :mod:`kcomplexity.comparison.run_effects`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kcomplexity.comparison.changes import Change, Effect
from kcomplexity.results.control_results import SHUFFLE, SummedControl
from kcomplexity.results.records import Score


@dataclass(frozen=True)
class _BitPair:
    """Bits of the weights and of their shuffles on both sides; the three changes follow."""

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

    def less(self, other: _BitPair) -> _BitPair:
        """Return the bits without one tensor."""
        pairs = zip(self.shuffled, other.shuffled, strict=True)
        own = self.own[0] - other.own[0], self.own[1] - other.own[1]
        first, second = (
            tuple(a - b for a, b in zip(mine, theirs, strict=True)) for mine, theirs in pairs
        )
        return _BitPair(self.n_weights - other.n_weights, own, (first, second))


def change_between(before: Score, after: Score) -> Change:
    """Return the change between the scores of one spec for the same tensor, or the same whole."""
    change = without_figures(before, after)
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
    pair = _bit_pair(before, after)
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
    return _with_shuffles(change, pair) if pair.has_shuffles else change


def without_figures(before: Score, after: Score) -> Change:
    """Return the change with its status and what it is about, without figures."""
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
        target_mse=before.target_mse,
        status=failed.status,
        reason=f"{failed.checkpoint}: {failed.reason}" if failed.reason else None,
    )


def _bit_pair(before: Score, after: Score) -> _BitPair:
    own = before.bits or 0.0, after.bits or 0.0
    return _BitPair(before.n_weights, own, (shuffle_bits(before), shuffle_bits(after)))


def shuffle_bits(row: Score) -> tuple[float, ...]:
    """Return the bits of each shuffle; empty where a whole lacks those of some tensor."""
    control = row.control(SHUFFLE)
    if isinstance(control, SummedControl) and control.n_tensors != row.n_tensors:
        return ()
    return control.bits if control else ()


def _with_shuffles(change: Change, pair: _BitPair) -> Change:
    values, structure = _values(pair), _structure(pair)
    by_seed = [
        _BitPair(pair.n_weights, pair.own, ((a,), (b,)))
        for a, b in zip(*pair.shuffled, strict=True)
    ]
    s0, s1 = pair.means
    moved = (s1 - s0) / pair.n_weights
    arranged = (pair.own[1] - s1 - pair.own[0] + s0) / pair.n_weights
    return replace(
        change,
        reference_shuffled=tuple(pair.shuffled[0]),
        shuffled=tuple(pair.shuffled[1]),
        reference_n_lower=sum(pair.own[0] < b for b in pair.shuffled[0]),
        n_lower=sum(pair.own[1] < b for b in pair.shuffled[1]),
        values_change=values,
        structure_change=structure,
        values=_effect(moved, values, [_values(seed) for seed in by_seed]),
        structure=_effect(arranged, structure, [_structure(seed) for seed in by_seed]),
    )


def _effect(bits: float, change: float | None, seeds: Sequence[float | None]) -> Effect | None:
    if change is None:
        return None
    known = tuple(seed for seed in seeds if seed is not None)
    return Effect(bits_per_weight=bits, seeds=known, n_agree=n_agreeing(known, change))


def n_agreeing(parts: Sequence[float], change: float) -> int:
    """Count the parts that have the sign of the change."""
    return sum(part * change > 0 for part in parts)


def _total(pair: _BitPair) -> float | None:
    return _ratio(pair.own[1], pair.own[0])


def _values(pair: _BitPair) -> float | None:
    s0, s1 = pair.means
    return _ratio(s1, s0)


def _structure(pair: _BitPair) -> float | None:
    s0, s1 = pair.means
    return _ratio(pair.own[1] * s0, pair.own[0] * s1)


def _ratio(after: float | None, before: float | None) -> float | None:
    """Return after / before - 1; None where one is missing or `before` is 0."""
    return after / before - 1 if before and after is not None else None


def ranges_without_one(whole: Change, rows: Sequence[tuple[Score, Score]]) -> Change:
    """Return a whole with the range of each change when any one of its tensors is left out.

    Parameters
    ----------
    whole : Change
    rows : sequence of (Score, Score)
        Before and after, of the tensors that the whole sums.
    """
    parts = [_bit_pair(before, after) for before, after in rows]
    if len(parts) < 2 or whole.bits is None or whole.reference_bits is None:
        return whole
    shuffles = (whole.reference_shuffled, whole.shuffled)
    if not all(part.has_shuffles for part in parts):
        shuffles = ((), ())
        parts = [replace(part, shuffled=((), ())) for part in parts]
    pair = _BitPair(whole.n_weights, (whole.reference_bits, whole.bits), shuffles)
    rests = [pair.less(part) for part in parts]

    def ranged(effect: Effect | None, of: Callable[[_BitPair], float | None]) -> Effect | None:
        changes = [change for rest in rests if (change := of(rest)) is not None]
        if effect is None or not changes:
            return effect
        return replace(effect, leave_one_out=(min(changes), max(changes)))

    total = ranged(whole.total, _total)
    if not whole.positional:
        return replace(whole, total=total, values=total)
    if not pair.has_shuffles:
        return replace(whole, total=total)
    values, structure = ranged(whole.values, _values), ranged(whole.structure, _structure)
    return replace(whole, total=total, values=values, structure=structure)
