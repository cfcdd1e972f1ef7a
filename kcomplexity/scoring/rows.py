"""From a unit to its rows: measure, sample, hold against controls, and say why where it cannot be.

Whatever goes wrong with one tensor or one estimator becomes a row with the reason; never a zero,
never another unit, and never the end of the run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import reduce as fold_left
from operator import add
from typing import Any

from kcomplexity.controls import Control
from kcomplexity.errors import CheckpointError, UnmeasurableError
from kcomplexity.parallel import Cut, Every, Rows, spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.control_results import ControlResult
from kcomplexity.results.records import Score
from kcomplexity.scoring.measure import Encoders, Gathered, Outcome, gather, outcome, prepare
from kcomplexity.scoring.plan import Task
from kcomplexity.scoring.sampling import Share, covariance, sample_parts
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import Concat, rebuilt
from kcomplexity.views import Encoder

__all__ = ["measure_unit"]


_NOT_SAMPLED = Outcome(
    "skipped",
    "not in the sample, which keeps big checkpoints quick: --exact measures every tensor",
    details={"in_sample": False},
)


def measure_unit(
    path: str, unit: Unit, tasks: Mapping[Spec, Task], seed: int, pool: Pool
) -> list[Score]:
    """Measure one unit by all its specs and return a row for each, in their order."""
    started = time.perf_counter()
    try:
        rows = _rows(unit, tasks, seed, pool)
    except (CheckpointError, OSError) as error:
        rows = [_row(unit, spec, Outcome("failed", str(error))) for spec in unit.specs]
    seconds = (time.perf_counter() - started) / max(len(rows), 1)
    return [replace(row, checkpoint=path, seconds=round(seconds, 6)) for row in rows]


def _rows(unit: Unit, tasks: Mapping[Spec, Task], seed: int, pool: Pool) -> list[Score]:
    if not unit.tensor.n_weights:
        empty = Outcome("skipped", "the tensor is empty: there is no weight to measure")
        return [_row(unit, spec, empty) for spec in unit.specs]
    tensor = _reachable(unit.tensor, pool)
    encoders = prepare(tensor, unit.specs, pool)
    rows: dict[Spec, Score] = {}
    for specs, share in _shares(unit, tensor, encoders, tasks, seed):
        if share is None:
            for spec in specs:
                encoder = encoders[spec.view]
                refused = encoder if isinstance(encoder, Outcome) else _NOT_SAMPLED
                rows[spec] = _row(unit, spec, refused)
            continue
        found = _gather_all(share.cut(tensor), specs, encoders, pool)
        for spec in specs:
            states = [one[spec] for one in found]
            rows[spec] = _measured(unit, spec, encoders[spec.view], states, share)
        for control, controlled in _controlled(specs, tasks, rows):
            for spec, result in _held(control, share, controlled, rows, encoders, seed, pool):
                rows[spec] = replace(rows[spec], controls=(*rows[spec].controls, result))
    return [rows[spec] for spec in unit.specs]


def _reachable(tensor: Tensor, pool: Pool) -> Tensor:
    """Spool what workers cannot read by range, member by member: replicates go by the members."""
    return rebuilt(tensor, lambda one: spool(one, pool), whole=False)


def _shares(
    unit: Unit, tensor: Tensor, encoders: Encoders, tasks: Mapping[Spec, Task], seed: int
) -> Iterator[tuple[list[Spec], Share | None]]:
    """Put specs that measure the same parts of the tensor together: the whole, some, or none."""
    left_out: list[Spec] = []
    whole = [spec for spec in unit.specs if tasks[spec].fraction >= 1]
    shares: dict[tuple[float, bool, Cut], list[Spec]] = {}
    for spec in unit.specs:
        task = tasks[spec]
        if task.fraction < 1:
            key = task.fraction, task.every_tensor, _cut(spec, tensor, encoders)
            shares.setdefault(key, []).append(spec)
    for (fraction, every_tensor, cut), specs in shares.items():
        parts = sample_parts(tensor, cut, fraction, seed, every_tensor=every_tensor)
        if parts is None:
            whole += specs
        elif parts:
            yield specs, Share(tensor, tuple(parts))
        else:
            left_out += specs
    if whole:
        yield whole, Share(tensor)
    if left_out:
        yield left_out, None


def _cut(spec: Spec, tensor: Tensor, encoders: Encoders) -> Cut:
    """Return the kind of cut a sample is made of: bands for 2-D estimators, else frames."""
    encoder = encoders[spec.view]
    if isinstance(encoder, Outcome):
        return Every()
    try:
        cut = spec.estimator.reducers(encoder, tensor)[0].cut
    except Exception:  # noqa: BLE001 - gathering meets it again, and tells it in the row
        return Every()
    return Rows(cut.height) if isinstance(cut, Rows) else Every()


def _gather_all(
    parts: Sequence[Tensor], specs: Sequence[Spec], encoders: Encoders, pool: Pool
) -> list[dict[Spec, Gathered | Outcome]]:
    """Gather from each part, several at once: a part is one cut and fills one worker."""
    if len(parts) == 1:
        return [gather(parts[0], specs, encoders, pool)]
    with ThreadPoolExecutor(pool.threads) as drivers:
        return list(drivers.map(lambda part: gather(part, specs, encoders, pool), parts))


def _merged(
    spec: Spec,
    encoder: Encoder | Outcome | None,
    states: Sequence[Gathered | Outcome],
    share: Share,
) -> Outcome:
    """Turn what was gathered of each part into one outcome, its value scaled up to the whole."""
    refused = next((state for state in states if isinstance(state, Outcome)), None)
    if refused is not None:
        return refused
    result = outcome(spec, encoder, fold_left(add, states))
    if result.measure is None or not share.parts or spec.estimator.kind == "statistic":
        return result
    value = result.measure.value / sum(share.sizes) * share.tensor.n_weights
    return replace(result, measure=replace(result.measure, value=value))


def _measured(
    unit: Unit,
    spec: Spec,
    encoder: Encoder | Outcome | None,
    states: Sequence[Gathered | Outcome],
    share: Share,
) -> Score:
    """Make the row of one spec from what was gathered of the whole tensor, or of a sample."""
    row = _row(unit, spec, _merged(spec, encoder, states, share))
    if not share.parts or row.value is None:
        return row
    row = replace(row, sampled_fraction=share.fraction)
    if row.bits is None:
        return row

    def bits(found: Gathered) -> tuple[float, float]:
        """Bits, and those of order-0 where the estimator keeps an account: else the same again."""
        measure = outcome(spec, encoder, found).measure
        value = measure.value if measure else 0.0
        account = measure.account if measure else None
        return value, account.order0_bits if account else value

    gathered = [state for state in states if isinstance(state, Gathered)]
    spread = covariance(gathered, share.sizes, unit.tensor.n_weights, bits)
    if "order0_bits" in row.details:
        # Both go up and down together from part to part: what is saved is known much better.
        beside = {"variance": spread[1][1], "covariance": spread[0][1]}
        row = replace(row, details=row.details | {"order0_sampling": beside})
    return replace(row, se_bits=math.sqrt(spread[0][0]))


def _controlled(
    specs: Sequence[Spec], tasks: Mapping[Spec, Task], rows: Mapping[Spec, Score]
) -> list[tuple[Control, list[Spec]]]:
    """Return each control with the specs that it is to be measured by: those that have bits."""
    found: dict[Control, list[Spec]] = {}
    for spec in specs:
        if rows[spec].bits is not None:
            for control in tasks[spec].controls:
                found.setdefault(control, []).append(spec)
    return list(found.items())


def _held(
    control: Control,
    share: Share,
    specs: Sequence[Spec],
    rows: Mapping[Spec, Score],
    encoders: Encoders,
    seed: int,
    pool: Pool,
) -> Iterator[tuple[Spec, ControlResult]]:
    """Hold the bits of each spec against those of the control's replicates."""
    reason = f"{control.kind} leaves such a tensor as it is"
    if control.applies(share.tensor):
        try:
            found = _control_bits(control, share, specs, encoders, seed, pool)
        except UnmeasurableError as error:
            reason = str(error)
        else:
            for spec in specs:
                yield spec, ControlResult.of(control.kind, rows[spec].bits or 0.0, found[spec])
            return
    for spec in specs:
        yield spec, ControlResult(kind=control.kind, n=0, bits=(), reason=reason)


def _control_bits(
    control: Control,
    share: Share,
    specs: Sequence[Spec],
    encoders: Encoders,
    seed: int,
    pool: Pool,
) -> dict[Spec, list[float]]:
    """Measure the same parts of each replicate; return the bits of each replicate by spec."""
    bits: dict[Spec, list[float]] = {spec: [] for spec in specs}
    source = share.tensor if control.lazy else share.sample
    with closing(control.replicates(source, seed, pool)) as replicates:
        for replicate in replicates:
            tensor = _reachable(replicate, pool)
            # Moved values have the same range and histogram, so the same encoder.
            own = encoders if control.keeps_values else prepare(tensor, specs, pool)
            parts = share.cut(tensor) if control.lazy else share.cut_sample(tensor)
            found = _gather_all(parts, specs, own, pool)
            for spec in specs:
                result = _merged(spec, own[spec.view], [one[spec] for one in found], share)
                if result.measure is None:
                    raise UnmeasurableError(f"{spec} of {control}: {result.reason}")
                bits[spec].append(result.bits)
    return bits


def _row(unit: Unit, spec: Spec, result: Outcome) -> Score:
    """Make a row of what one spec gave for a unit; the checkpoint is filled in later."""
    estimator, tensor = spec.estimator, unit.tensor
    decodes = None
    if estimator.kind == "code":
        # A code without a view is lossy by itself, and says how much in its details.
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
        estimator=str(spec).partition("@")[0],
        view=spec.view_text,
        kind=estimator.kind,
        decodes=decodes,
        direction=estimator.direction,
        positional=estimator.positional,
        status=result.status,
        reason=result.reason,
        unit=estimator.unit,
        raw_bits=8 * unit.n_bytes,
        relative_mse=result.relative_mse,
        details=result.details
        | _largest_member(tensor)
        | ({"side_of": tensor.side_of} if tensor.side_of else {}),
    )
    measure = result.measure
    if measure is None:
        return row
    row = replace(
        row,
        value=measure.value,
        n_ignored=measure.n_ignored,
        n_blocks=measure.n_blocks,
        n_codes_seen=measure.n_codes_seen,
        saturated=measure.saturated,
    )
    return row if estimator.kind == "statistic" else _with_bits(row, result.bits)


def _largest_member(tensor: Tensor) -> dict[str, Any]:
    """Tell which tensor weighs most among those that are measured as one."""
    if not isinstance(tensor, Concat):
        return {}
    largest = max(tensor.members, key=lambda member: member.n_weights)
    return {"largest_tensor": largest.name, "largest_tensor_weights": largest.n_weights}


def _with_bits(row: Score, bits: float) -> Score:
    return replace(
        row,
        value=bits,
        bits=bits,
        bits_per_weight=bits / row.n_weights,
        # What nothing can decode is no compression.
        ratio_raw_over_comp=row.raw_bits / bits if bits and row.kind == "code" else None,
    )
