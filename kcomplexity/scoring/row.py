"""Make the record of one measured value, or of the reason why it is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

from kcomplexity.estimators import Measure
from kcomplexity.parallel import Failed
from kcomplexity.results.records import Score, Status
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.derived import Concat

#: The fields of a measure that its row has as well; its bits go in by :func:`with_bits`.
_MEASURED = tuple(f.name for f in fields(Measure) if f.name != "side_bits")


def make_row(unit: Unit, spec: Spec, result: Measure | Failed, *, in_sample: bool = True) -> Score:
    """Make the row of one spec of a unit; the path of the checkpoint is filled in later.

    A Failed result gives a row that is skipped or failed, with the reason. `in_sample` is False if
    a sample of the checkpoint leaves the tensor out.
    """
    estimator, tensor = spec.estimator, unit.tensor
    decodes = None
    if estimator.kind == "code":
        # A code without a view is lossy, and says how much in its error.
        decodes = "weights" if spec.view is not None and spec.view.lossless else "view"
    row = Score(
        checkpoint="",
        tensor=unit.name,
        scope=unit.scope,
        group=unit.group,
        dtype=unit.dtype,
        shape=tensor.shape,
        n_weights=tensor.n_weights,
        n_bytes=unit.n_bytes,
        spec=str(spec),
        estimator=spec.estimator_text,
        view=spec.view_text,
        kind=estimator.kind,
        decodes=decodes,
        direction=estimator.direction,
        positional=estimator.positional,
        structure_part=estimator.structure_part,
        target_mse=spec.target_mse,
        status="ok",
        unit=estimator.unit,
        raw_bits=8 * unit.n_bytes,
        side_of=tensor.side_of or None,
        in_sample=in_sample,
    )
    if isinstance(tensor, Concat):
        largest = max(tensor.members, key=lambda member: member.n_weights)
        row = replace(row, largest_tensor=largest.name, largest_tensor_weights=largest.n_weights)
    if isinstance(result, Failed):
        status: Status = "skipped" if result.unmeasurable else "failed"
        return replace(row, status=status, reason=result.reason)
    row = replace(row, **{name: getattr(result, name) for name in _MEASURED})
    return row if estimator.kind == "statistic" else with_bits(row, result.bits)


def with_bits(row: Score, bits: float) -> Score:
    """Return the row of a code or an estimate with its bits, which are its value."""
    # What nothing can decode is no compression.
    ratio = row.raw_bits / bits if bits and row.kind == "code" else None
    per_weight = bits / row.n_weights
    return replace(
        row, value=bits, bits=bits, bits_per_weight=per_weight, ratio_raw_over_comp=ratio
    )


def sampled_row(
    row: Score, fraction: float, spread: Sequence[Sequence[float]] | None = None
) -> Score:
    """Return the row of a sample: the share that was measured, and how far its bits may be off.

    `spread` is the 2 x 2 covariance of the bits and the order-0 bits, in squares of bits; a
    statistic has none.
    """
    row = replace(row, sampled_fraction=fraction)
    if spread is None:
        return row
    if row.account is not None:
        # Both go up and down together from part to part: the saving is known much better.
        account = replace(row.account, order0_variance=spread[1][1], covariance=spread[0][1])
        row = replace(row, account=account)
    return replace(row, se_bits=math.sqrt(spread[0][0]))
