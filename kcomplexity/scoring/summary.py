"""Sums over a checkpoint: one row per spec over the tensors that were measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from kcomplexity.results.control_results import ControlResult, SummedControl
from kcomplexity.results.records import Score
from kcomplexity.scoring.specs import parse_spec

T = TypeVar("T")


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
    weights = [row for row in rows if not row.side_of] or rows
    n_weights = sum(row.n_weights for row in weights)
    raw_bits = sum(row.raw_bits for row in rows)
    dtypes = {row.dtype for row in rows}
    bits = math.fsum(row.bits for row in rows if row.bits is not None)
    total = replace(
        rows[0],
        tensor=None,
        scope="all",
        group=None,
        dtype=dtypes.pop() if len(dtypes) == 1 else None,
        shape=None,
        n_weights=n_weights,
        n_bytes=sum(row.n_bytes for row in rows),
        raw_bits=raw_bits,
        relative_mse=_relative_mse(rows),
        sampled_fraction=math.fsum(r.sampled_fraction * r.n_weights for r in weights) / n_weights,
        se_bits=_root_sum_of_squares(row.se_bits for row in rows),
        n_ignored=sum(row.n_ignored for row in rows),
        n_blocks=_sum_if_all(row.n_blocks for row in rows),
        n_codes_seen=None,
        saturated=_any_if_all(row.saturated for row in rows),
        n_tensors=len(rows),
        largest_tensor=None,
        largest_tensor_weights=None,
        squared_error=_fsum_if_all(row.squared_error for row in rows),
        sum_of_squares=_fsum_if_all(row.sum_of_squares for row in rows),
        level_step=None,
        side_of=None,
        left_out=None,
        saving=None,
        account=None,
        stream_bits=None,
        tiles=None,
        details={},
        controls=_sum_controls(rows, bits),
        cached=all(row.cached for row in rows),
        seconds=round(math.fsum(row.seconds for row in rows), 6),
    )
    if rows[0].kind == "statistic":
        estimator = parse_spec(rows[0].spec).estimator
        values = [row.value for row in rows if row.value is not None]
        return replace(total, value=estimator.whole(values, [row.n_weights for row in rows]))
    return replace(
        total,
        value=bits,
        bits=bits,
        bits_per_weight=bits / n_weights,
        ratio_raw_over_comp=raw_bits / bits if bits and rows[0].kind == "code" else None,
    )


def _relative_mse(rows: Sequence[Score]) -> float | None:
    if any(row.relative_mse is None for row in rows):
        return None
    error = _fsum_if_all(row.squared_error for row in rows)
    squares = _fsum_if_all(row.sum_of_squares for row in rows)
    return error / squares if error is not None and squares else 0.0


def _root_sum_of_squares(errors: Iterable[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if known else None


def _all_known(values: Iterable[T | None]) -> list[T] | None:
    """Return the values; None if any of them is."""
    known = list(values)
    return None if None in known else [value for value in known if value is not None]


def _fsum_if_all(values: Iterable[float | None]) -> float | None:
    known = _all_known(values)
    return None if known is None else math.fsum(known)


def _sum_if_all(values: Iterable[int | None]) -> int | None:
    known = _all_known(values)
    return None if known is None else sum(known)


def _any_if_all(values: Iterable[bool | None]) -> bool | None:
    known = _all_known(values)
    return None if known is None else any(known)


def _sum_controls(rows: Sequence[Score], bits: float) -> tuple[SummedControl, ...]:
    """Add the replicates of each control over the tensors, seed by seed.

    A control that some tensor could not have is compared over the tensors that have it.
    """
    found: dict[str, list[tuple[float, tuple[float, ...]]]] = {}
    for row in rows:
        for control in row.controls:
            if control.bits:
                found.setdefault(control.kind, []).append((row.bits or 0.0, control.bits))
    totals = []
    for kind, measured in found.items():
        own = bits if len(measured) == len(rows) else math.fsum(b for b, _ in measured)
        sums = [math.fsum(seed) for seed in zip(*(values for _, values in measured), strict=True)]
        totals.append(SummedControl.over(len(measured), ControlResult.of(kind, own, sums)))
    return tuple(totals)


def leave_one_out(rows: Sequence[Score], kind: str) -> tuple[float, float] | None:
    """Return the range of the ratio to a control when any one tensor is left out.

    Parameters
    ----------
    rows : sequence of Score
        Of one checkpoint and spec.
    kind : str
        The control, e.g. ``"shuffle"``.

    Returns
    -------
    lowest, highest : float
        None with fewer than two tensors that have the control.
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
