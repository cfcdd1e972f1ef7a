"""Sums over a checkpoint: one row per spec over the tensors that were measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from kcomplexity.results.control_results import ControlResult, SummedControl
from kcomplexity.results.records import Score
from kcomplexity.scoring.row import with_bits
from kcomplexity.scoring.specs import parse_spec

T = TypeVar("T")
#: What a sum has from its rows, in which these are alike.
_SHARED = (
    *("checkpoint", "spec", "estimator", "view", "kind", "decodes", "direction", "positional"),
    *("structure_part", "target_mse", "status", "unit"),
)


def summarise(rows: Sequence[Score]) -> tuple[Score, ...]:
    """Return one row per checkpoint and spec over its measured tensors; bits are sums.

    Scales and zero points add their bits to those of the codes, but are no weights: bits a weight
    are comparable between a network and its quantised copies.

    Scales whose codes a spec does not measure are not counted: alone they say nothing.
    A control's replicates are summed seed by seed, over the tensors that have it. A spec that
    measured nothing has no row.
    """
    groups: dict[tuple[str, str], list[Score]] = {}
    for row in rows:
        measured = groups.setdefault((row.checkpoint, row.spec), [])
        if row.status == "ok":
            measured.append(row)
    return tuple(_sum(counted(measured)) for measured in groups.values() if measured)


def counted(rows: Sequence[Score]) -> Sequence[Score]:
    """Keep what counts among the measured rows of one checkpoint and spec: no scales alone."""
    names = {row.tensor for row in rows}
    return [row for row in rows if row.side_of in {None, *names}] or rows


def _sum(rows: Sequence[Score]) -> Score:
    first, dtypes = rows[0], {row.dtype for row in rows}
    weights = [row for row in rows if not row.side_of] or rows
    n_weights = sum(row.n_weights for row in weights)
    bits = math.fsum(row.bits for row in rows if row.bits is not None)
    errors = [row.se_bits for row in rows if row.se_bits is not None]
    lost = _if_all(math.fsum, (row.squared_error for row in rows))
    squares = _if_all(math.fsum, (row.sum_of_squares for row in rows))
    without_error = any(row.relative_mse is None for row in rows)
    total = Score(
        **{name: getattr(first, name) for name in _SHARED},
        tensor=None,
        scope="all",
        group=None,
        dtype=dtypes.pop() if len(dtypes) == 1 else None,
        shape=None,
        n_weights=n_weights,
        n_bytes=sum(row.n_bytes for row in rows),
        raw_bits=sum(row.raw_bits for row in rows),
        relative_mse=None if without_error else lost / squares if lost and squares else 0.0,
        squared_error=lost,
        sum_of_squares=squares,
        sampled_fraction=math.fsum(r.sampled_fraction * r.n_weights for r in weights) / n_weights,
        se_bits=math.hypot(*errors) if errors else None,
        n_ignored=sum(row.n_ignored for row in rows),
        n_blocks=_if_all(sum, (row.n_blocks for row in rows)),
        saturated=_if_all(any, (row.saturated for row in rows)),
        n_tensors=len(rows),
        controls=_sum_controls(rows, bits),
        cached=all(row.cached for row in rows),
        seconds=round(math.fsum(row.seconds for row in rows), 6),
    )
    if first.kind == "statistic":
        estimator = parse_spec(first.spec).estimator
        values = [row.value for row in rows if row.value is not None]
        return replace(total, value=estimator.whole(values, [row.n_weights for row in rows]))
    return with_bits(total, bits)


def _if_all(add: Callable[[Iterable[Any]], T], values: Iterable[T | None]) -> T | None:
    """Add the values; None if any of them is."""
    known = list(values)
    return None if None in known else add(known)


def _sum_controls(rows: Sequence[Score], bits: float) -> tuple[SummedControl, ...]:
    """Add the replicates of each control over the tensors, seed by seed.

    A control that some tensor could not have is compared over the tensors that have it.
    """
    by_kind: dict[str, list[tuple[float, tuple[float, ...]]]] = {}
    for row in rows:
        for control in row.controls:
            if control.bits:
                by_kind.setdefault(control.kind, []).append((row.bits or 0.0, control.bits))
    totals = []
    for kind, measured in by_kind.items():
        own = bits if len(measured) == len(rows) else math.fsum(b for b, _ in measured)
        sums = [math.fsum(seed) for seed in zip(*(values for _, values in measured), strict=True)]
        totals.append(SummedControl.over(len(measured), ControlResult.of(kind, own, sums)))
    return tuple(totals)


def leave_one_out(rows: Sequence[Score], kind: str) -> tuple[float, float] | None:
    """Return the range of the ratio to a control when any one tensor is left out.

    `rows` are of one checkpoint and spec; None if fewer than two of them have the control.
    """
    pairs = [
        (row.bits or 0.0, control.mean_bits)
        for row in rows
        if (control := row.control(kind)) and control.mean_bits is not None
    ]
    if len(pairs) < 2:
        return None
    own, chance = math.fsum(b for b, _ in pairs), math.fsum(c for _, c in pairs)
    ratios = [(own - b) / (chance - c) for b, c in pairs if chance > c]
    return (min(ratios), max(ratios)) if ratios else None
