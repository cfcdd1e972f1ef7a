"""Conditional complexity: the bits of the other weights when the reference is known.

Codes for the other's weights, tensor by tensor, all of them decodable with the reference at hand:

``same``
    Nothing, where the stored bits are the same.
``xor``, ``delta``
    Compressors on the stored bits that differ, and on how many representable numbers lie between
    (:mod:`kcomplexity.comparison.differences`).
``patch``
    What a long-window compressor adds after the reference
    (:mod:`kcomplexity.comparison.long_window`).
``alone``
    Codes that do not use the reference, so that a reference never makes a code longer.
``difference``
    At a relative squared error *of the other* of 1 %: the numeric difference, quantised.

The shortest is K(other | reference), with the bits of the choice; an upper bound on the
Kolmogorov complexity, up to the constant of the decoder. It bounds what the weights took from the
data, the noise of the optimiser included. A rerun (the same start, another order of the data) gives
a floor of that noise: K(other | reference, rerun), coded from the nearest blend of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from kcomplexity.comparison.conditional_bits import (
    ERROR,
    ConditionalBits,
    quotient,
    sum_conditional_bits,
)
from kcomplexity.comparison.differences import Delta, Difference, Xor, blended, unchanged
from kcomplexity.comparison.long_window import LongWindow, compressed_together, ncd
from kcomplexity.errors import CheckpointError, UnmeasurableError
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.records import Score
from kcomplexity.scoring.plan import Plan, Task
from kcomplexity.scoring.score import measure_plan
from kcomplexity.scoring.specs import Spec, parse_spec, parse_specs
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.groups import group_name

_PLANES = ("zstd@bytes/planes", "entropy:two-part@bytes/planes")
_OF_DIFFERENCE = parse_specs(_PLANES)
_ALONE = parse_specs(("zstd@bytes", *_PLANES, "entropy:two-part@bytes/fields"))
_ALONE_LOSSY = parse_specs((f"entropy:two-part@rd{ERROR:g}", f"zstd:9@rd{ERROR:g}"))
_NORM = parse_spec("l2")
#: Bits that state the weight of a blend.
_BLEND_BITS = 16
#: A difference with this many times the squares of the weights costs more than they do.
_FARTHEST = 4


def measure_conditional_bits(
    reference: Checkpoint, other: Checkpoint, pool: Pool, rerun: Checkpoint | None = None
) -> tuple[ConditionalBits, ...]:
    """Return the bits of each tensor of `other` given `reference`, and their sum as the last.

    The checkpoints are aligned: the same names and shapes, addressable.
    """
    alone = _score([(name, tensor, _ALONE + _ALONE_LOSSY) for name, tensor in other.items()], pool)
    rows = [
        _measure_tensor(reference, other, name, alone[name], pool, rerun[name] if rerun else None)
        for name in other
    ]
    return *rows, sum_conditional_bits(rows)


def _measure_tensor(
    reference: Checkpoint,
    other: Checkpoint,
    name: str,
    alone: Mapping[str, Score],
    pool: Pool,
    rerun: Tensor | None,
) -> ConditionalBits:
    """Return the bits of one tensor; `alone` has the scores without the reference, by spec."""
    tensor = other[name]
    row = ConditionalBits(
        reference=reference.path,
        other=other.path,
        tensor=name,
        dtype=tensor.dtype.code,
        shape=tensor.shape,
        n_weights=tensor.n_weights,
        raw_bits=8 * tensor.n_bytes,
    )
    try:
        Xor.of(reference[name], tensor)
    except UnmeasurableError as error:
        return replace(row, status="skipped", reason=str(error))
    try:
        return _with_bits(row, reference[name], tensor, alone, pool, rerun)
    except (CheckpointError, OSError, RuntimeError) as error:
        return replace(row, status="failed", reason=str(error))


def _with_bits(
    row: ConditionalBits,
    reference: Tensor,
    tensor: Tensor,
    alone: Mapping[str, Score],
    pool: Pool,
    rerun: Tensor | None,
) -> ConditionalBits:
    known = (score.sum_of_squares for score in alone.values())
    squares = next((value for value in known if value is not None), None)
    window = compressed_together(reference, tensor, pool)
    codes = _codes(reference, tensor, squares, pool, window)
    codes.lossless["alone stored"] = float(row.raw_bits)
    for spec, score in alone.items():
        if score.status == "ok" and score.bits is not None:
            if score.decodes == "weights":
                codes.lossless[f"alone {spec}"] = score.bits
            elif score.decodes == "view":
                codes.lossy[f"alone {spec}"] = score.bits, score.relative_mse or 0.0
    share = quotient(unchanged(reference, tensor, pool), row.n_weights)
    row = replace(codes.best(row), unchanged_share=share, ncd=ncd(window))
    if rerun is None:
        return row
    blend = blended(reference, rerun, tensor, pool)
    both = _codes(blend, tensor, squares, pool, compressed_together(blend, tensor, pool))
    floor = both.best(row)
    # A decoder that has both may still use the reference alone, or neither.
    return replace(
        row,
        floor_bits=_least(floor.bits, row.bits),
        floor_error_bits=_least(floor.error_bits, row.error_bits),
    )


def _least(with_blend: float | None, without: float | None) -> float | None:
    if with_blend is None or without is None:
        return without
    return min(with_blend + _BLEND_BITS, without) + 1  # one bit for the choice


@dataclass(frozen=True)
class _Codes:
    """Codes for one tensor: bits without loss; bits and relative error of the lossy ones."""

    lossless: dict[str, float]
    lossy: dict[str, tuple[float, float]]

    def best(self, row: ConditionalBits) -> ConditionalBits:
        """Return the row with the shortest code of each kind, the bits of the choice included."""
        at_error = self.lossless | {name: bits for name, (bits, _) in self.lossy.items()}
        code, bits = _shortest(self.lossless)
        error_code, error_bits = _shortest(at_error)
        alone, alone_error = (_shortest(_alone(codes))[1] for codes in (self.lossless, at_error))
        return replace(
            row,
            bits=bits,
            code=code,
            alone_bits=alone,
            ratio=quotient(bits, alone),
            error_bits=error_bits,
            error_code=error_code,
            alone_error_bits=alone_error,
            error_ratio=quotient(error_bits, alone_error),
            relative_mse=self.lossy.get(error_code or "", (0.0, 0.0))[1],
            codes=at_error,
        )


def _shortest(codes: Mapping[str, float]) -> tuple[str | None, float | None]:
    if not codes:
        return None, None
    name = min(codes, key=codes.__getitem__)
    return name, codes[name] + math.ceil(math.log2(len(codes)))


def _alone(codes: Mapping[str, float]) -> dict[str, float]:
    return {name: bits for name, bits in codes.items() if name.startswith("alone ")}


def _codes(
    reference: Tensor, tensor: Tensor, squares: float | None, pool: Pool, window: LongWindow
) -> _Codes:
    """Measure every code of `tensor` that uses `reference`."""
    kinds = (("xor", Xor, _OF_DIFFERENCE), ("delta", Delta, _OF_DIFFERENCE))
    scores = _score_derived((*kinds, ("norm", Difference, (_NORM,))), reference, tensor, pool)
    lossless = {
        f"{name} {spec}": score.bits
        for name in ("xor", "delta")
        for spec, score in scores.get(name, {}).items()
        if score.bits is not None
    }
    lossless["patch zstd"] = float(window.second_after_first)
    if unchanged(reference, tensor, pool) == tensor.n_weights:
        lossless["same"] = 0.0
    norm = scores.get("norm", {}).get(str(_NORM))
    distance = norm.value**2 if norm and norm.value is not None else None
    if not squares or distance is None or not math.isfinite(distance):
        return _Codes(lossless, {})
    return _Codes(lossless, _lossy(reference, tensor, distance / squares, pool))


def _lossy(
    reference: Tensor, tensor: Tensor, share: float, pool: Pool
) -> dict[str, tuple[float, float]]:
    """Quantise the difference so that the error *of the other* is :data:`ERROR`.

    `share` is the sum of the squares of the difference over that of the weights.
    """
    if share <= ERROR:
        return {"difference none": (0.0, share)}
    if share > _FARTHEST:
        return {}
    error = ERROR / share
    specs = parse_specs((f"entropy:two-part@rd{error!r}", f"zstd:9@rd{error!r}"))
    scores = _score_derived([("difference", Difference, specs)], reference, tensor, pool)
    return {
        f"difference {score.estimator}": (score.bits, (score.relative_mse or 0.0) * share)
        for score in scores.get("difference", {}).values()
        if score.bits is not None
    }


def _score_derived(
    wanted: Sequence[tuple[str, Any, tuple[Spec, ...]]],
    reference: Tensor,
    tensor: Tensor,
    pool: Pool,
) -> dict[str, dict[str, Score]]:
    """Score differences of two tensors: those that their stored dtype has."""
    derived: list[tuple[str, Tensor, tuple[Spec, ...]]] = []
    for name, kind, specs in wanted:
        with suppress(UnmeasurableError):
            derived.append((name, kind.of(reference, tensor), specs))
    return _score(derived, pool)


def _score(
    wanted: Sequence[tuple[str, Tensor, tuple[Spec, ...]]], pool: Pool
) -> dict[str, dict[str, Score]]:
    """Score derived tensors as any others; return the rows by name and spec."""
    units = tuple(
        Unit(tensor, specs, "tensor", group_name(tensor.name), tensor.n_bytes, tensor.dtype.code)
        for _, tensor, specs in wanted
    )
    tasks = tuple(Task(spec, ()) for spec in dict.fromkeys(s for u in units for s in u.specs))
    plan = Plan((Checkpoint("made", "made", {}),), (units,), tasks, 0)
    scores: dict[str, dict[str, Score]] = {}
    for (name, _, _), rows in zip(wanted, measure_plan(plan, pool), strict=True):
        scores.setdefault(name, {}).update({row.spec: row for row in rows})
    return scores
