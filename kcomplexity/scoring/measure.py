"""Measure one unit by all its specs, in as few reads of it as the parallel contract allows.

The stages of :func:`measure_unit`, and the functions that do them:

1. each distinct view makes its passes over the tensor: :func:`prepare_views`;
2. specs that measure the same part of the tensor, all of it or a sample, are put together;
3. one read feeds the reducers of all these specs: :func:`gather`;
4. each estimator turns its states into a value: :func:`finish`;
5. the same parts of each control's replicates are measured in the same way;
6. :mod:`kcomplexity.scoring.row` makes a record of each value.

What goes wrong with a tensor, a view or an estimator becomes a row with the reason; it never
becomes a zero, and never ends the run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import reduce as fold_left
from operator import add
from typing import Any

from kcomplexity.controls import Control
from kcomplexity.errors import CheckpointError, UnmeasurableError
from kcomplexity.estimators import Measure
from kcomplexity.parallel import (
    Cut,
    Every,
    Failed,
    Reducer,
    Rows,
    State,
    Whole,
    fold,
    merge_states,
    read_key,
    spool,
)
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.threads import map_in_threads
from kcomplexity.results.control_results import ControlResult
from kcomplexity.results.records import Score
from kcomplexity.scoring.encoding import EncodedState, SharedEncoding
from kcomplexity.scoring.plan import Plan
from kcomplexity.scoring.row import make_row, sampled_row
from kcomplexity.scoring.sampling import Share, covariance, sample_parts
from kcomplexity.scoring.specs import Spec
from kcomplexity.scoring.units import Unit
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import rebuilt
from kcomplexity.views import Encoder, View

#: The encoder of each view, or the reason why the tensor has none; None for specs without a view.
Encoders = Mapping[View | None, Encoder | Failed | None]

_EMPTY = Failed("the tensor is empty: there is no weight to measure", unmeasurable=True)
_NOT_SAMPLED = Failed(
    "not in the sample, which keeps big checkpoints quick: --exact measures every tensor",
    unmeasurable=True,
)


def measure_unit(path: str, unit: Unit, plan: Plan, pool: Pool) -> list[Score]:
    """Measure one unit by its specs and return a row for each, in their order.

    `path` is that of the checkpoint that the rows name. The plan says which controls each spec has,
    and how much of a big tensor it measures.
    """
    started = time.perf_counter()
    try:
        rows = _measure(unit, plan, pool)
    except (CheckpointError, OSError) as error:
        rows = [make_row(unit, spec, Failed(str(error))) for spec in unit.specs]
    seconds = (time.perf_counter() - started) / max(len(rows), 1)
    return [replace(row, checkpoint=path, seconds=round(seconds, 6)) for row in rows]


def _measure(unit: Unit, plan: Plan, pool: Pool) -> list[Score]:
    if not unit.tensor.n_weights:
        return [make_row(unit, spec, _EMPTY) for spec in unit.specs]
    tensor = _spooled(unit.tensor, pool)
    encoders = prepare_views(tensor, unit.specs, pool)
    rows: dict[Spec, Score] = {}
    for specs, share in _shares(unit.specs, tensor, encoders, plan):
        if share is None:
            for spec in specs:  # a tensor that has no such view says that
                encoder = encoders[spec.view]
                why = encoder if isinstance(encoder, Failed) else _NOT_SAMPLED
                rows[spec] = make_row(unit, spec, why, in_sample=why is not _NOT_SAMPLED)
            continue
        parts = _gather_parts(share.cut(tensor), specs, encoders, pool)
        for spec in specs:
            of_spec = [part[spec] for part in parts]
            rows[spec] = _row(unit, spec, encoders[spec.view], of_spec, share)
        for control, controlled in _by_control(specs, plan, rows):
            results = _compare(control, controlled, share, rows, encoders, plan.seed, pool)
            for spec, result in results.items():
                rows[spec] = replace(rows[spec], controls=(*rows[spec].controls, result))
    return [rows[spec] for spec in unit.specs]


def _spooled(tensor: Tensor, pool: Pool) -> Tensor:
    """Spool what workers cannot read by range, member by member: replicates go by the members."""
    return rebuilt(tensor, lambda member: spool(member, pool), whole=False)


# --- Views --------------------------------------------------------------------------------------


def prepare_views(tensor: Tensor, specs: Sequence[Spec], pool: Pool) -> Encoders:
    """Make the passes that the views of `specs` need over `tensor`; no pass is made twice."""
    passes: dict[Reducer, State] = {}

    def reduce(reducer: Reducer) -> State:
        if reducer not in passes:
            (passes[reducer],) = fold(tensor, [reducer], pool, work=0)
        state = passes[reducer]
        if isinstance(state, Failed):
            raise (UnmeasurableError if state.unmeasurable else RuntimeError)(state.reason)
        return state

    def prepare(view: View | None) -> Encoder | Failed | None:
        try:
            return view.prepare(tensor, reduce) if view else None
        except Exception as error:  # noqa: BLE001 - a view of any package; its rows have the reason
            return Failed.of(error)

    return {view: prepare(view) for view in dict.fromkeys(spec.view for spec in specs)}


# --- What is measured of the tensor -------------------------------------------------------------


def _shares(
    specs: Sequence[Spec], tensor: Tensor, encoders: Encoders, plan: Plan
) -> Iterator[tuple[list[Spec], Share | None]]:
    """Put specs that measure the same parts of the tensor together: the whole, some, or none."""
    whole: list[Spec] = []
    left_out: list[Spec] = []
    sampled: dict[tuple[float, bool, Cut], list[Spec]] = {}
    for spec in specs:
        task = plan.task_of[spec]
        if task.fraction >= 1:
            whole.append(spec)
        else:
            key = task.fraction, task.every_tensor, _sampled_cut(spec, tensor, encoders)
            sampled.setdefault(key, []).append(spec)
    for (fraction, every_tensor, cut), members in sampled.items():
        parts = sample_parts(tensor, cut, fraction, plan.seed, every_tensor=every_tensor)
        if parts is None:
            whole += members
        elif parts:
            yield members, Share(tensor, tuple(parts))
        else:
            left_out += members
    if whole:
        yield whole, Share(tensor)
    if left_out:
        yield left_out, None


def _sampled_cut(spec: Spec, tensor: Tensor, encoders: Encoders) -> Cut:
    """Return the kind of cut a sample is made of: bands for 2-D estimators, else frames."""
    encoder = encoders[spec.view]
    if isinstance(encoder, Failed):
        return Every()
    try:
        cut = spec.estimator.reducers(encoder, tensor)[0].cut
    except Exception:  # noqa: BLE001 - gathering meets the error again, and its row has the reason
        return Every()
    return Rows(cut.height) if isinstance(cut, Rows) else Every()


# --- States -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gathered:
    """The states of one spec after a fold, one a stream; those of two parts can be added.

    `errors` and `squares` are one per leaf, in units of the encoder's ``error_unit``.
    """

    states: tuple[State, ...]
    errors: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()

    def __add__(self, other: Gathered) -> Gathered:
        states = tuple(merge_states(a, b) for a, b in zip(self.states, other.states, strict=True))
        return Gathered(states, self.errors + other.errors, self.squares + other.squares)


def gather(
    tensor: Tensor, specs: Sequence[Spec], encoders: Encoders, pool: Pool
) -> dict[Spec, Gathered | Failed]:
    """Run the reducers of `specs` over `tensor`; specs of one view and cut share an encoding."""
    results: dict[Spec, Gathered | Failed] = {}
    groups: dict[Any, tuple[Encoder | None, dict[Spec, tuple[Reducer, ...]]]] = {}
    for spec in specs:
        encoder = encoders[spec.view]
        if isinstance(encoder, Failed):
            results[spec] = encoder
            continue
        try:
            reducers = spec.estimator.reducers(encoder, tensor)
            cut = reducers[0].cut
        except Exception as error:  # noqa: BLE001 - an estimator of any package
            results[spec] = Failed.of(error)
            continue
        view, shared = (None, None) if spec.estimator.sees_weights else (spec.view, encoder)
        # An ordered stream runs alone; specs that can share a read share its encoding as well.
        key = spec if cut == Whole() else (view, read_key(cut))
        groups.setdefault(key, (shared, {}))[1][spec] = reducers

    encodings = [SharedEncoding(e, tuple(members.values())) for e, members in groups.values()]
    folded = fold(tensor, encodings, pool, work=len(specs))
    for (_, members), state in zip(groups.values(), folded, strict=True):
        if isinstance(state, Failed):
            results |= dict.fromkeys(members, state)
            continue
        assert isinstance(state, EncodedState)  # noqa: S101 - the state of our own reducer
        errors, squares = tuple(state.errors), tuple(state.squares)
        for spec, states in zip(members, state.states, strict=True):
            results[spec] = Gathered(tuple(states), errors, squares)
    return results


def _gather_parts(
    parts: Sequence[Tensor], specs: Sequence[Spec], encoders: Encoders, pool: Pool
) -> list[dict[Spec, Gathered | Failed]]:
    """Gather from each part, several at once: a part is one cut and fills one worker."""
    if len(parts) == 1:
        return [gather(parts[0], specs, encoders, pool)]
    # Not the pool's own map, which gives up for good: a part that fails costs its unit alone.
    return [*map_in_threads(lambda part: gather(part, specs, encoders, pool), parts, pool.threads)]


# --- Values -------------------------------------------------------------------------------------


def finish(
    spec: Spec, encoder: Encoder | Failed | None, gathered: Gathered | Failed
) -> Measure | Failed:
    """Turn what was gathered into the value of one spec, with side information and error."""
    if isinstance(gathered, Failed):
        return gathered
    failed = next((state for state in gathered.states if isinstance(state, Failed)), None)
    if failed is not None:
        return failed
    assert not isinstance(encoder, Failed)  # noqa: S101 - something was gathered through it
    try:
        measure = spec.estimator.measure(gathered.states, encoder.streams if encoder else ())
    except Exception as error:  # noqa: BLE001 - an estimator of any package
        return Failed.of(error)
    if not math.isfinite(measure.value):
        return Failed(f"the value is {measure.value}: expected a finite number")
    if measure.sum_of_squares and measure.squared_error is not None:
        measure = replace(measure, relative_mse=measure.squared_error / measure.sum_of_squares)
    if encoder is None:
        return measure
    details = {**encoder.details, **measure.details}
    measure = replace(measure, level_step=encoder.step, details=details)
    if gathered.squares:
        lost, squares = math.fsum(gathered.errors), math.fsum(gathered.squares)
        measure = replace(
            measure,
            relative_mse=lost / squares if squares else 0.0,
            squared_error=lost * encoder.error_unit,
            sum_of_squares=squares * encoder.error_unit,
        )
    # A decoder needs the scale. An estimate is a figure by its definition alone, and what codes
    # weights rather than the view's symbols counts its own side information.
    if spec.estimator.kind == "code" and not spec.estimator.sees_weights:
        measure = replace(measure, side_bits=encoder.side_bits)
    return measure


def _finish_parts(
    spec: Spec,
    encoder: Encoder | Failed | None,
    parts: Sequence[Gathered | Failed],
    share: Share,
) -> Measure | Failed:
    """Turn what was gathered of each part into one value, scaled up to the whole tensor."""
    failed = next((part for part in parts if isinstance(part, Failed)), None)
    measure = failed or finish(spec, encoder, fold_left(add, parts))
    if isinstance(measure, Failed) or not share.parts or spec.estimator.kind == "statistic":
        return measure
    return replace(measure, value=measure.value / sum(share.sizes) * share.tensor.n_weights)


def _row(
    unit: Unit,
    spec: Spec,
    encoder: Encoder | Failed | None,
    parts: Sequence[Gathered | Failed],
    share: Share,
) -> Score:
    """Make the row of one spec from what was gathered of the whole tensor, or of a sample."""
    row = make_row(unit, spec, _finish_parts(spec, encoder, parts, share))
    if not share.parts or row.value is None:
        return row
    if row.bits is None:
        return sampled_row(row, share.fraction)

    def bits(gathered: Gathered) -> tuple[float, float]:
        """Bits, and order-0 bits where the estimator counts them: else the same again."""
        measure = finish(spec, encoder, gathered)
        if isinstance(measure, Failed):
            return 0.0, 0.0
        return measure.value, measure.account.order0_bits if measure.account else measure.value

    gathered = [part for part in parts if isinstance(part, Gathered)]
    spread = covariance(gathered, share.sizes, unit.tensor.n_weights, bits)
    return sampled_row(row, share.fraction, spread)


# --- Controls -----------------------------------------------------------------------------------


def _by_control(
    specs: Sequence[Spec], plan: Plan, rows: Mapping[Spec, Score]
) -> list[tuple[Control, list[Spec]]]:
    """Return each control with the specs that it is measured by: those that have bits."""
    by_control: dict[Control, list[Spec]] = {}
    for spec in specs:
        if rows[spec].bits is not None:
            for control in plan.task_of[spec].controls:
                by_control.setdefault(control, []).append(spec)
    return list(by_control.items())


def _compare(
    control: Control,
    specs: Sequence[Spec],
    share: Share,
    rows: Mapping[Spec, Score],
    encoders: Encoders,
    seed: int,
    pool: Pool,
) -> dict[Spec, ControlResult]:
    """Compare the bits of each spec with those of the control's replicates."""
    kind = control.kind
    try:
        bits = _replicate_bits(control, specs, share, encoders, seed, pool)
    except (CheckpointError, OSError):
        raise  # the file itself cannot be read
    except Exception as error:  # noqa: BLE001 - a control of any package
        none = ControlResult(kind=kind, n=0, bits=(), reason=Failed.of(error).reason)
        return dict.fromkeys(specs, none)
    return {spec: ControlResult.of(kind, rows[spec].bits or 0.0, bits[spec]) for spec in specs}


def _replicate_bits(
    control: Control,
    specs: Sequence[Spec],
    share: Share,
    encoders: Encoders,
    seed: int,
    pool: Pool,
) -> dict[Spec, list[float]]:
    """Measure the same parts of each replicate; return the bits of each replicate by spec."""
    if not control.applies(share.tensor):
        raise UnmeasurableError(f"{control.kind} leaves such a tensor as it is")
    bits: dict[Spec, list[float]] = {spec: [] for spec in specs}
    source = share.tensor if control.lazy else share.sample
    with closing(control.replicates(source, seed, pool)) as replicates:
        for replicate in replicates:
            tensor = _spooled(replicate, pool)
            # Moved values have the same range and histogram, so the same encoder.
            own = encoders if control.keeps_values else prepare_views(tensor, specs, pool)
            cut = share.cut(tensor) if control.lazy else share.cut_sample(tensor)
            parts = _gather_parts(cut, specs, own, pool)
            for spec in specs:
                measure = _finish_parts(spec, own[spec.view], [part[spec] for part in parts], share)
                if isinstance(measure, Failed):
                    raise UnmeasurableError(f"{spec} of {control}: {measure.reason}")
                bits[spec].append(measure.bits)
    return bits
