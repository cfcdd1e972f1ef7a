"""Measure one tensor by many specs in as few reads as the parallel contract allows.

The stages, and the functions that do them:

1. each distinct view makes its passes: :func:`prepare`;
2. the reducers of all specs are joined by view and cut, so that a piece is encoded once for all
   of them (:class:`_Encoding`), and one fold feeds them: :func:`gather`;
3. each estimator turns its states into a value: :func:`outcome`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators import Measure
from kcomplexity.parallel import (
    Cut,
    Every,
    Failed,
    Piece,
    Reducer,
    State,
    Whole,
    finish_state,
    fold,
    largest_chunk,
    merge_states,
    read_key,
    start_state,
    update_state,
)
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.records import Status
from kcomplexity.scoring.specs import Spec
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views import Encoder, View

__all__ = ["Encoders", "Gathered", "Outcome", "gather", "outcome", "prepare"]


@dataclass(frozen=True)
class Outcome:
    """What one spec gave for one tensor.

    Attributes
    ----------
    status : {"ok", "skipped", "failed"}
    reason : str or None
    measure : Measure or None
        Without side information.
    side_bits : float
        Of codes; 0 for estimates, which nothing decodes.
    relative_mse : float or None
    details : dict
    """

    status: Status
    reason: str | None = None
    measure: Measure | None = None
    side_bits: float = 0.0
    relative_mse: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def bits(self) -> float:
        """Bits, of a code with its side information; only where `measure` is one in bits."""
        assert self.measure is not None  # noqa: S101 - callers look at status first
        return self.measure.value + self.side_bits

    @classmethod
    def without(cls, failed: Failed) -> Outcome:
        """Return the outcome of a spec of which a step failed, or that cannot be measured."""
        return cls("skipped" if failed.unmeasurable else "failed", failed.reason)


#: Encoders by view, or the reason why there is none.
Encoders = Mapping[View | None, "Encoder | Outcome | None"]


def prepare(tensor: Tensor, specs: Sequence[Spec], pool: Pool) -> Encoders:
    """Make the passes that the views of `specs` need over `tensor`; each pass is made once."""
    passes: dict[Reducer, State] = {}

    def reduce(reducer: Reducer) -> State:
        if reducer not in passes:
            (passes[reducer],) = fold(tensor, [reducer], pool, work=0)
        state = passes[reducer]
        if isinstance(state, Failed):
            raise (UnmeasurableError if state.unmeasurable else RuntimeError)(state.reason)
        return state

    return {view: _prepare_one(view, tensor, reduce) for view in {s.view: None for s in specs}}


def _prepare_one(view: View | None, tensor: Tensor, reduce: Any) -> Encoder | Outcome | None:
    if view is None:
        return None
    try:
        return view.prepare(tensor, reduce)
    except Exception as error:  # noqa: BLE001 - a view of any package; told in its rows
        return Outcome.without(Failed.of(error))


@dataclass(frozen=True)
class Gathered:
    """The states of one spec after a fold, mergeable with those of another part of the tensor.

    Attributes
    ----------
    states : tuple of State
        One per stream.
    errors, squares : tuple of float
        One per leaf, in units of the encoder's ``error_unit``.
    """

    states: tuple[State, ...]
    errors: tuple[float, ...] = ()
    squares: tuple[float, ...] = ()

    def __add__(self, other: Gathered) -> Gathered:
        states = tuple(merge_states(a, b) for a, b in zip(self.states, other.states, strict=True))
        return Gathered(states, self.errors + other.errors, self.squares + other.squares)


def gather(
    tensor: Tensor, specs: Sequence[Spec], encoders: Encoders, pool: Pool
) -> dict[Spec, Gathered | Outcome]:
    """Run the reducers of all `specs` over `tensor`, sharing reads and encodings.

    Returns
    -------
    dict of Spec to Gathered or Outcome
        An Outcome where there is nothing to measure, with the reason.
    """
    results: dict[Spec, Gathered | Outcome] = {}
    joint: dict[Any, list[tuple[Spec, tuple[Reducer, ...]]]] = {}
    for spec in specs:
        encoder = encoders[spec.view]
        if isinstance(encoder, Outcome):
            results[spec] = encoder
            continue
        try:
            reducers = spec.estimator.reducers(encoder, tensor)
        except Exception as error:  # noqa: BLE001 - an estimator of any package; told in its row
            results[spec] = Outcome.without(Failed.of(error))
            continue
        cut = reducers[0].cut
        # An ordered stream runs by itself; those that can share a read share its encoding as well.
        view = None if spec.estimator.sees_weights else spec.view
        key = (spec,) if cut == Whole() else (view, read_key(cut))
        joint.setdefault(key, []).append((spec, reducers))

    encodings = [
        _Encoding(_encoder(m[0][0], encoders), tuple(r for _, r in m)) for m in joint.values()
    ]
    states = fold(tensor, encodings, pool, work=len(specs))
    for members, state in zip(joint.values(), states, strict=True):
        for i, (spec, _) in enumerate(members):
            if isinstance(state, Failed):
                results[spec] = Outcome.without(state)
            else:
                assert isinstance(state, _EncodingState)  # noqa: S101 - our own reducer
                results[spec] = Gathered(
                    tuple(state.states[i]), tuple(state.errors), tuple(state.squares)
                )
    return results


def _encoder(spec: Spec, encoders: Encoders) -> Encoder | Outcome | None:
    """Return what stands between the weights and the reducers of `spec`."""
    return None if spec.estimator.sees_weights else encoders[spec.view]


def outcome(spec: Spec, encoder: Encoder | Outcome | None, found: Gathered | Outcome) -> Outcome:
    """Turn what was gathered into the value of one spec."""
    if isinstance(found, Outcome):
        return found
    failed = next((state for state in found.states if isinstance(state, Failed)), None)
    if failed is not None:
        return Outcome.without(failed)
    assert not isinstance(encoder, Outcome)  # noqa: S101 - it gathered something
    try:
        measure = spec.estimator.measure(found.states, encoder.streams if encoder else ())
    except Exception as error:  # noqa: BLE001 - an estimator of any package; told in its row
        return Outcome.without(Failed.of(error))
    if not math.isfinite(measure.value):
        return Outcome("failed", f"the value is {measure.value}: expected a finite number")
    if encoder is None:
        told = _told_error(measure.details)
        return Outcome("ok", None, measure, relative_mse=told, details=measure.details)
    details = {**encoder.details, **measure.details}
    relative_mse = None
    if found.squares:
        lost, squares = math.fsum(found.errors), math.fsum(found.squares)
        relative_mse = lost / squares if squares else 0.0
        details["squared_error"] = lost * encoder.error_unit
        details["sum_of_squares"] = squares * encoder.error_unit
    elif spec.estimator.sees_weights:
        relative_mse = _told_error(details)
    # A decoder is told the scale. What nothing decodes is a figure by its definition alone; what
    # codes weights rather than the view's symbols tells its decoder everything itself.
    told = spec.estimator.kind == "code" and not spec.estimator.sees_weights
    return Outcome("ok", None, measure, encoder.side_bits if told else 0.0, relative_mse, details)


def _told_error(details: Mapping[str, Any]) -> float | None:
    """Return the relative error of a code of weights that tells what it lost."""
    if not details.get("sum_of_squares"):
        return None
    return float(details["squared_error"] / details["sum_of_squares"])


@dataclass(frozen=True)
class _Encoding:
    """Reducers of several specs behind one encoder: a piece is encoded once for all of them.

    Attributes
    ----------
    encoder : Encoder or None
        None hands on the piece itself.
    members : tuple of tuple of Reducer
        For each spec, one reducer a stream.
    """

    encoder: Encoder | Outcome | None
    members: tuple[tuple[Reducer, ...], ...]

    @property
    def cut(self) -> Cut:
        cuts = [reducer.cut for member in self.members for reducer in member]
        every = [cut.n for cut in cuts if isinstance(cut, Every)]
        return Every(math.lcm(*every)) if every else cuts[0]

    @property
    def memory(self) -> int:
        n = largest_chunk(self.cut)
        symbols = 0.0
        if isinstance(self.encoder, Encoder):
            widths = [-(-a.width // 8) * a.per_weight for a in self.encoder.streams]
            symbols = n * sum(widths)
        return int(symbols) + max(r.memory for member in self.members for r in member)

    def start(self) -> _EncodingState:
        return _EncodingState(self.encoder, [[start_state(r) for r in m] for m in self.members])


@dataclass
class _EncodingState(State):
    encoder: Encoder | Outcome | None
    states: list[list[State]]
    errors: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        streams: tuple[Any, ...] = (chunk,)
        if isinstance(self.encoder, Encoder):
            streams, errors, squares = self.encoder.encode(chunk)
            self.errors += errors
            self.squares += squares
        for member in self.states:
            for i, symbols in enumerate(streams):
                member[i] = update_state(member[i], symbols, at)

    def finish(self) -> None:
        for member in self.states:
            member[:] = [finish_state(state) for state in member]

    def __add__(self, other: _EncodingState) -> _EncodingState:
        states = [
            [merge_states(a, b) for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(self.states, other.states, strict=True)
        ]
        errors, squares = self.errors + other.errors, self.squares + other.squares
        return _EncodingState(self.encoder, states, errors, squares)
