"""From rows to what a person wants to know: sums over the checkpoint, and sentences.

The sentence for an engineer (:func:`headline`) counts everything a decoder needs: for each tensor
the smallest *decodable* code among the specs that were run, which of them it was, the tensors that
no code could take as they are stored, and the container.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kcomplexity.controls import control_record
from kcomplexity.records import CheckpointInfo, Score
from kcomplexity.specs import parse_spec
from kcomplexity.text import human_bytes, plural, shorten

__all__ = ["Needed", "headline", "needed", "summarise"]

#: The error at which the engineer's sentence asks for bytes.
_TARGET = 0.01


def summarise(rows: Sequence[Score]) -> tuple[Score, ...]:
    """Return one row per checkpoint and spec over its measured tensors; bits are sums.

    A control's replicates are summed seed by seed, over the tensors that have it. A spec that
    measured nothing has no row.
    """
    groups: dict[tuple[str, str], list[Score]] = {}
    for row in rows:
        if row.status == "ok":
            groups.setdefault((row.checkpoint, row.spec), []).append(row)
    return tuple(_sum(members) for members in groups.values())


def _sum(rows: Sequence[Score]) -> Score:
    n_weights = sum(row.n_weights for row in rows)
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
        sampled_fraction=math.fsum(r.sampled_fraction * r.n_weights for r in rows) / n_weights,
        se_bits=_root_sum_of_squares(row.se_bits for row in rows),
        n_ignored=sum(row.n_ignored for row in rows),
        n_blocks=_sum_if_all(row.n_blocks for row in rows),
        n_codes_seen=None,
        saturated=_any_if_all(row.saturated for row in rows),
        details={"n_tensors": len(rows)},
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
        ratio_raw_over_comp=raw_bits / bits if bits else None,
    )


def _relative_mse(rows: Sequence[Score]) -> float | None:
    if any(row.relative_mse is None for row in rows):
        return None
    error = math.fsum(row.details["squared_error"] for row in rows)
    squares = math.fsum(row.details["sum_of_squares"] for row in rows)
    return error / squares if squares else 0.0


def _root_sum_of_squares(errors: Iterable[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) if known else None


def _sum_if_all(values: Iterable[int | None]) -> int | None:
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _any_if_all(values: Iterable[bool | None]) -> bool | None:
    known = list(values)
    return None if None in known else any(known)


def _sum_controls(rows: Sequence[Score], bits: float) -> tuple[dict[str, Any], ...]:
    """Add the replicates of each control over the tensors, seed by seed.

    A control that some tensor could not have is compared over the tensors that have it.
    """
    records: dict[str, list[tuple[float, list[float]]]] = {}
    for row in rows:
        for control in row.controls:
            if control["bits"]:
                of_row = records.setdefault(control["kind"], [])
                of_row.append((row.bits or 0.0, control["bits"]))
    totals = []
    for kind, measured in records.items():
        own = bits if len(measured) == len(rows) else math.fsum(b for b, _ in measured)
        sums = [math.fsum(seed) for seed in zip(*(values for _, values in measured), strict=True)]
        totals.append(control_record(kind, own, sums) | {"n_tensors": len(measured)})
    return tuple(totals)


@dataclass(frozen=True)
class Needed:
    """What a checkpoint needs to be stored, everything counted.

    Attributes
    ----------
    bits : float
        Codes, the choice among them, tensors kept as they are, and the container.
    bits_per_weight : float
        Of the coded tensors alone.
    stored_bits : int
        What it takes now.
    n_coded, n_kept : int
        Tensors that some code took, and those kept as they are stored.
    specs : tuple of str
        The codes used, the most used first.
    sampled : bool
        Whether some of it was scaled up from a sample.
    """

    bits: float
    bits_per_weight: float
    stored_bits: int
    n_coded: int
    n_kept: int
    specs: tuple[str, ...]
    sampled: bool


def needed(info: CheckpointInfo, rows: Sequence[Score], target: float | None) -> Needed | None:
    """Count what the smallest decodable codes need; None if no code was among the specs.

    Parameters
    ----------
    info : CheckpointInfo
    rows : sequence of Score
        Those of this checkpoint.
    target : float or None
        Largest relative squared error of a tensor; None for lossless codes only.
    """
    by_unit: dict[object, list[Score]] = {}
    for row in rows:
        if row.dtype is not None:  # tensors of mixed dtypes are measured by dtype as well
            by_unit.setdefault((row.tensor, row.group, row.dtype, row.scope), []).append(row)
    coded = [_competitors(unit, target) for unit in by_unit.values()]
    if not any(coded):
        return None
    bits = 8.0 * info.n_container_bytes
    coded_bits, n_weights, used = 0.0, 0, []
    for unit, codes in zip(by_unit.values(), coded, strict=True):
        # Its best code, and which of them that is; storing it as it is competes too.
        choice = math.ceil(math.log2(len(codes) + 1))
        best = min(codes, key=lambda row: row.bits or 0.0, default=None)
        if best is None or best.bits is None or best.bits >= best.raw_bits:
            bits += unit[0].raw_bits + choice
            continue
        used.append(best)
        coded_bits += best.bits + choice
        n_weights += best.n_weights
    specs = sorted({row.spec for row in used}, key=lambda s: -sum(r.n_weights for r in used if r.spec == s))
    return Needed(
        bits=bits + coded_bits,
        bits_per_weight=coded_bits / n_weights if n_weights else 0.0,
        stored_bits=sum(unit[0].raw_bits for unit in by_unit.values()) + 8 * info.n_container_bytes,
        n_coded=len(used),
        n_kept=len(by_unit) - len(used),
        specs=tuple(specs),
        sampled=any(row.sampled_fraction < 1 for row in used),
    )


def _competitors(rows: Sequence[Score], target: float | None) -> list[Score]:
    def admitted(row: Score) -> bool:
        if row.status != "ok" or row.kind != "code":
            return False
        if row.decodes == "weights":
            return True
        return target is not None and row.relative_mse is not None and row.relative_mse <= target

    return [row for row in rows if admitted(row)]


def headline(infos: Sequence[CheckpointInfo], rows: Sequence[Score]) -> tuple[str, ...]:
    """Return the sentences that open a report, one or more a checkpoint."""
    sentences = []
    for info in infos:
        own = [row for row in rows if row.checkpoint == info.path]
        sentences += [f"{shorten(info.path, 60)}: {text}" for text in _sentences(info, own)]
    return tuple(sentences)


def _sentences(info: CheckpointInfo, rows: Sequence[Score]) -> list[str]:
    found = []
    lossy, lossless = needed(info, rows, _TARGET), needed(info, rows, None)
    if lossy and any(s.decodes == "view" for s in rows) and (not lossless or lossy.bits < lossless.bits):
        found.append(
            f"{_amount(lossy)} needed at {_TARGET:.0%} weight error "
            f"({lossy.bits_per_weight:.2f} bits/weight, decodable, all side information"
            f"{_kept(lossy)}); accuracy not checked"
        )
    if lossless:
        found.append(
            f"{_amount(lossless)} needed without loss "
            f"({lossless.bits_per_weight:.2f} bits/weight, decodable{_kept(lossless)})"
        )
    tensors = {(row.tensor, row.group, row.dtype): row for row in rows if row.dtype is not None}
    if len(tensors) > 1:
        largest = max(tensors.values(), key=lambda row: row.n_weights)
        share = largest.n_weights / sum(row.n_weights for row in tensors.values())
        found.append(f"the largest of them, {shorten(largest.label)}, holds {share:.0%} of the weights")
    return found


def _amount(need: Needed) -> str:
    about = "about " if need.sampled else ""
    return f"{about}{human_bytes(need.bits / 8)} of {human_bytes(need.stored_bits / 8)}"


def _kept(need: Needed) -> str:
    return f", {plural(need.n_kept, 'tensor')} kept as stored" if need.n_kept else ""
