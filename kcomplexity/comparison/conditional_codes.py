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
from collections.abc import Iterator, Mapping, Sequence
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

_ALONE = parse_specs(
    (
        "zstd@bytes",
        "zstd@bytes/planes",
        "entropy:two-part@bytes/planes",
        "entropy:two-part@bytes/fields",
    )
)
_ALONE_LOSSY = parse_specs((f"entropy:two-part@rd{ERROR:g}", f"zstd:9@rd{ERROR:g}"))
_OF_DIFFERENCE = parse_specs(("zstd@bytes/planes", "entropy:two-part@bytes/planes"))
_NORM = parse_spec("l2")
#: Bits that state the weight of a blend.
_BLEND_BITS = 16
#: A difference with this many times the squares of the weights costs more than they do.
_FARTHEST = 4


def measure_conditional_bits(
    reference: Checkpoint, other: Checkpoint, pool: Pool, rerun: Checkpoint | None = None
) -> tuple[ConditionalBits, ...]:
    """Return the bits of each tensor of `other` given `reference`, and their sum as the last.

    Parameters
    ----------
    reference, other, rerun : Checkpoint
        Aligned: the same names and shapes, addressable.
    pool : Pool
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
    rerun: Tensor | None = None,
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
    squares = _sum_of_squares(alone)
    own = {f"alone {spec}": score for spec, score in alone.items() if score.status == "ok"}
    window = compressed_together(reference, tensor, pool)
    codes = _codes(reference, tensor, squares, pool, window)
    codes.lossless["alone stored"] = float(row.raw_bits)
    codes.lossless.update(
        {n: s.bits for n, s in own.items() if s.decodes == "weights" and s.bits is not None}
    )
    codes.lossy.update(
        {
            n: (s.bits, s.relative_mse or 0.0)
            for n, s in own.items()
            if s.decodes == "view" and s.bits is not None
        }
    )
    row = codes.best(row)
    n_unchanged = unchanged(reference, tensor, pool)
    row = replace(
        row,
        unchanged_share=quotient(n_unchanged, row.n_weights),
        ncd=ncd(window),
    )
    if rerun is None:
        return row
    blend = blended(reference, rerun, tensor, pool)
    both = _codes(blend, tensor, squares, pool, compressed_together(blend, tensor, pool))
    floor = both.best(replace(row, codes={}))
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
        lossless = _shortest(self.lossless)
        at_error = {name: bits for name, (bits, _) in self.lossy.items()}
        lossy = _shortest(self.lossless | at_error)
        alone = _shortest(_alone(self.lossless))
        alone_lossy = _shortest(_alone(self.lossless | at_error))
        return replace(
            row,
            bits=lossless[1],
            code=lossless[0],
            alone_bits=alone[1],
            ratio=quotient(lossless[1], alone[1]),
            error_bits=lossy[1],
            error_code=lossy[0],
            alone_error_bits=alone_lossy[1],
            error_ratio=quotient(lossy[1], alone_lossy[1]),
            relative_mse=self.lossy[lossy[0]][1] if lossy[0] in self.lossy else 0.0,
            codes=self.lossless | at_error,
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
    units: list[tuple[str, Tensor, tuple[Spec, ...]]] = []
    for name, kind in (("xor", Xor), ("delta", Delta)):
        units += [(name, derived, _OF_DIFFERENCE) for derived in _derived(kind, reference, tensor)]
    units += [("norm", derived, (_NORM,)) for derived in _derived(Difference, reference, tensor)]
    scores = _score(units, pool)
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
    return _Codes(lossless, _lossy(reference, tensor, squares, distance, pool))


def _lossy(
    reference: Tensor,
    tensor: Tensor,
    squares: float | None,
    distance: float | None,
    pool: Pool,
) -> dict[str, tuple[float, float]]:
    """Quantise the difference so that the error *of the other* is :data:`ERROR`."""
    if not squares or distance is None or not math.isfinite(distance):
        return {}
    share = distance / squares
    if share <= ERROR:
        return {"difference none": (0.0, share)}
    if share > _FARTHEST:
        return {}
    error = ERROR / share
    specs = parse_specs((f"entropy:two-part@rd{error!r}", f"zstd:9@rd{error!r}"))
    derived = [("difference", tensor, specs) for tensor in _derived(Difference, reference, tensor)]
    return {
        f"difference {score.estimator}": (score.bits, (score.relative_mse or 0.0) * share)
        for score in _score(derived, pool).get("difference", {}).values()
        if score.bits is not None
    }


def _derived(kind: Any, reference: Tensor, tensor: Tensor) -> Iterator[Tensor]:
    try:
        yield kind.of(reference, tensor)
    except UnmeasurableError:
        return


def _sum_of_squares(alone: Mapping[str, Score]) -> float | None:
    for score in alone.values():
        if score.sum_of_squares is not None:
            return score.sum_of_squares
    return None


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
