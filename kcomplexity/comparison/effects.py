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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kcomplexity.comparison.changes import Change, Effect
from kcomplexity.results.control_results import SHUFFLE, SummedControl
from kcomplexity.results.records import Score

#: What a change says in the words of a score: all are the same on both sides.
_SHARED = (
    *("tensor", "scope", "group", "shape", "n_weights", "spec", "kind", "decodes", "direction"),
    *("positional", "unit", "target_mse"),
)


@dataclass(frozen=True)
class _BitPair:
    """Bits of the weights and of their shuffles on both sides; the three changes follow."""

    n_weights: int
    own: tuple[float, ...]
    shuffled: tuple[tuple[float, ...], ...] = ((), ())

    @staticmethod
    def of(before: Score, after: Score) -> _BitPair:
        own = before.bits or 0.0, after.bits or 0.0
        return _BitPair(before.n_weights, own, (shuffle_bits(before), shuffle_bits(after)))

    @property
    def means(self) -> list[float]:
        return [math.fsum(side) / len(side) for side in self.shuffled]

    @property
    def has_shuffles(self) -> bool:
        return bool(self.shuffled[0]) and len(self.shuffled[0]) == len(self.shuffled[1])

    @property
    def total(self) -> float | None:
        return _ratio(self.own[1], self.own[0])

    @property
    def values(self) -> float | None:
        s0, s1 = self.means
        return _ratio(s1, s0)

    @property
    def structure(self) -> float | None:
        s0, s1 = self.means
        return _ratio(self.own[1] * s0, self.own[0] * s1)

    def less(self, part: _BitPair) -> _BitPair:
        """Return the bits without one tensor."""

        def rest(whole: Sequence[float], of_part: Sequence[float]) -> tuple[float, ...]:
            return tuple(a - b for a, b in zip(whole, of_part, strict=True))

        shuffled = tuple(map(rest, self.shuffled, part.shuffled))
        return _BitPair(self.n_weights - part.n_weights, rest(self.own, part.own), shuffled)


def change_between(before: Score, after: Score) -> Change:
    """Return the change between the scores of one spec for the same tensor, or the same whole."""
    change = without_bits([before], [after])
    if change.status != "ok":
        return change
    if before.bits is None or after.bits is None:
        total = _ratio(after.value, before.value)
        return replace(change, total_change=total, total=None if total is None else Effect())
    pair = _BitPair.of(before, after)
    change = replace(
        change,
        reference_bits=before.bits,
        bits=after.bits,
        reference_bits_per_weight=before.bits_per_weight,
        bits_per_weight=after.bits_per_weight,
        total_change=pair.total,
        total=Effect(bits_per_weight=(after.bits - before.bits) / before.n_weights),
    )
    if not before.positional:
        return replace(change, values_change=change.total_change, values=change.total)
    return _with_shuffles(change, pair) if pair.has_shuffles else change


def without_bits(before: Sequence[Score], after: Sequence[Score]) -> Change:
    """Return what a change of one spec is about, its status and its mean values, without bits.

    Each side has a score for each of its runs, or a single one.
    """
    first, rows = before[0], (*before, *after)
    failed = next((row for row in rows if row.status != "ok"), None)
    shared: dict[str, Any] = {name: getattr(first, name) for name in _SHARED}
    change = Change(
        **shared,
        reference=first.checkpoint,
        other=after[0].checkpoint,
        reference_dtype=first.dtype,
        dtype=after[0].dtype,
        status=failed.status if failed else "ok",
        reason=f"{failed.checkpoint}: {failed.reason}" if failed else None,
    )
    if failed:
        return change
    return replace(
        change,
        reference_value=mean([row.value for row in before]),
        value=mean([row.value for row in after]),
        reference_relative_mse=mean([row.relative_mse for row in before]),
        relative_mse=mean([row.relative_mse for row in after]),
        sampled_fraction=min(row.sampled_fraction for row in rows),
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None if there are no values, or one of them is None."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def shuffle_bits(row: Score) -> tuple[float, ...]:
    """Return the bits of each shuffle; empty where a whole lacks those of some tensor."""
    control = row.control(SHUFFLE)
    if isinstance(control, SummedControl) and control.n_tensors != row.n_tensors:
        return ()
    return control.bits if control else ()


def _with_shuffles(change: Change, pair: _BitPair) -> Change:
    seeds = [replace(pair, shuffled=((a,), (b,))) for a, b in zip(*pair.shuffled, strict=True)]
    (own0, own1), (s0, s1) = pair.own, pair.means
    moved = (s1 - s0) / pair.n_weights
    arranged = (own1 - s1 - own0 + s0) / pair.n_weights
    return replace(
        change,
        reference_shuffled=pair.shuffled[0],
        shuffled=pair.shuffled[1],
        reference_n_lower=sum(own0 < bits for bits in pair.shuffled[0]),
        n_lower=sum(own1 < bits for bits in pair.shuffled[1]),
        values_change=pair.values,
        structure_change=pair.structure,
        values=_effect(moved, pair.values, [seed.values for seed in seeds]),
        structure=_effect(arranged, pair.structure, [seed.structure for seed in seeds]),
    )


def _effect(bits: float, change: float | None, seeds: Sequence[float | None]) -> Effect | None:
    if change is None:
        return None
    known = tuple(seed for seed in seeds if seed is not None)
    return Effect(bits_per_weight=bits, seeds=known, n_agree=n_agreeing(known, change))


def n_agreeing(parts: Sequence[float], change: float) -> int:
    """Count the parts that have the sign of the change."""
    return sum(part * change > 0 for part in parts)


def _ratio(after: float | None, before: float | None) -> float | None:
    return after / before - 1 if before and after is not None else None


def ranges_without_one(whole: Change, rows: Sequence[tuple[Score, Score]]) -> Change:
    """Return a whole with the range of each change when any one of its tensors is left out.

    `rows` are those of the tensors that the whole sums, before and after.
    """
    parts = [_BitPair.of(before, after) for before, after in rows]
    if len(parts) < 2 or whole.bits is None or whole.reference_bits is None:
        return whole
    pair = _BitPair(whole.n_weights, (whole.reference_bits, whole.bits))
    if all(part.has_shuffles for part in parts):
        pair = replace(pair, shuffled=(whole.reference_shuffled, whole.shuffled))
    else:
        parts = [replace(part, shuffled=((), ())) for part in parts]
    rests = [pair.less(part) for part in parts]

    def ranged(effect: Effect | None, changes: Sequence[float | None]) -> Effect | None:
        known = [change for change in changes if change is not None]
        return (
            replace(effect, leave_one_out=(min(known), max(known))) if effect and known else effect
        )

    total = ranged(whole.total, [rest.total for rest in rests])
    if not whole.positional:
        return replace(whole, total=total, values=total)
    if not pair.has_shuffles:
        return replace(whole, total=total)
    values = ranged(whole.values, [rest.values for rest in rests])
    structure = ranged(whole.structure, [rest.structure for rest in rests])
    return replace(whole, total=total, values=values, structure=structure)
