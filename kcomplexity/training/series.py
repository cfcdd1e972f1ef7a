"""Figures over the steps of a training, and their trends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from kcomplexity.inference import kendall
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.summary import summarise
from kcomplexity.training.steps import Step


@dataclass(frozen=True, kw_only=True)
class StepScore(Score):
    """A score with the step of its checkpoint."""

    step: float

    @classmethod
    def at(cls, step: float, row: Score) -> Self:
        """Return `row` with its step."""
        return cls(step=step, **{f.name: getattr(row, f.name) for f in fields(Score)})


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure over the steps, with its trend.

    Attributes
    ----------
    tensor : str or None
        None for all tensors that every step has.
    quantity : {"bits_per_weight", "of_shuffled", "value"}
        Bits a weight, bits over the mean bits of the shuffled weights, or a statistic's value.
    steps : tuple of int or float
        The readable ones.
    values : tuple of float or None
        None where a step has no value.
    first, last : float or None
        First and last of the values that are not None; see :attr:`gap`.
    change : float or None
        last / first - 1; None where there is one value.
    tau : float or None
        Kendall's tau-b of value and step; None where nothing varies, where a value is not finite,
        or below two values.
    p : float or None
        Two-sided, as if the steps could have come in any order; the steps of one training are not
        independent, so it describes and does not test.
    """

    spec: str
    tensor: str | None
    group: str | None
    scope: str
    quantity: str
    unit: str
    direction: str
    n_weights: int
    target_mse: float | None = None
    steps: tuple[float, ...]
    values: tuple[float | None, ...]
    first: float | None
    last: float | None
    change: float | None
    tau: float | None
    p: float | None

    @property
    def gap(self) -> str:
        """The steps of the first and last value, in words, where those are not the ends."""
        known = [s for s, value in zip(self.steps, self.values, strict=True) if value is not None]
        if not known or (known[0], known[-1]) == (self.steps[0], self.steps[-1]):
            return ""
        first, last = f"{known[0]:g}", f"{known[-1]:g}"
        return f"step {first} alone" if len(known) == 1 else f"steps {first} to {last} alone"


def _key(row: Score) -> tuple[str, str, str | None, str | None]:
    # Units of several dtypes share a name, so the dtype is part of their key; a tensor may change
    # its dtype.
    return row.spec, row.scope, row.tensor or row.group, None if row.tensor else row.dtype


def sum_common_tensors(rows: Sequence[StepScore]) -> tuple[StepScore, ...]:
    """Sum each step's rows over the tensors that were measured in every step.

    A step in which a spec measured less than half of the weights that it measured elsewhere (a run
    that diverged to NaN, say) has no sum, rather than leave next to nothing for the others.
    """
    ok = [row for row in rows if row.status == "ok"]
    measured: dict[str, Counter[str]] = {}
    for row in ok:
        measured.setdefault(row.spec, Counter())[row.checkpoint] += row.n_weights
    usable = {
        (spec, path)
        for spec, by_path in measured.items()
        for path, n_weights in by_path.items()
        if 2 * n_weights >= max(by_path.values())
    }
    kept = [row for row in ok if (row.spec, row.checkpoint) in usable]
    n_steps = Counter(spec for spec, _ in usable)
    times = Counter(_key(row) for row in kept)
    common = [row for row in kept if times[_key(row)] == n_steps[row.spec]]
    step_of = {row.checkpoint: row.step for row in common}
    return tuple(StepScore.at(step_of[row.checkpoint], row) for row in summarise(common))


def make_series(rows: Sequence[StepScore], steps: Sequence[Step]) -> list[Series]:
    """Return the figures of each spec and tensor over the steps, in the order of the rows."""
    rows_of: dict[Any, dict[str, StepScore]] = {}
    for row in rows:
        rows_of.setdefault(_key(row), {})[row.checkpoint] = row
    read = [step for step in steps if step.status == "ok"]
    return [
        series
        for by_path in rows_of.values()
        for quantity, value_of in _QUANTITIES.items()
        if (series := _series(quantity, [by_path.get(s.checkpoint) for s in read], read, value_of))
    ]


#: The quantities followed over the steps.
_QUANTITIES: dict[str, Callable[[Score], float | None]] = {
    "bits_per_weight": lambda row: row.bits_per_weight,
    "of_shuffled": lambda row: control.ratio if (control := row.control(SHUFFLE)) else None,
    "value": lambda row: row.value if row.kind == "statistic" else None,
}


def _series(
    quantity: str,
    rows: Sequence[StepScore | None],
    steps: Sequence[Step],
    value_of: Callable[[Score], float | None],
) -> Series | None:
    values = tuple(None if row is None else value_of(row) for row in rows)
    known = [
        (step.step, value) for step, value in zip(steps, values, strict=True) if value is not None
    ]
    row = next((row for row in rows if row is not None), None)
    if row is None or not known:
        return None
    first, last = known[0][1], known[-1][1]
    trend = kendall([step for step, _ in known], [value for _, value in known])
    units = {"bits_per_weight": "bits/weight", "of_shuffled": "ratio", "value": row.unit}
    names = ("spec", "tensor", "group", "scope", "direction", "n_weights", "target_mse")
    return Series(
        **{name: getattr(row, name) for name in names},
        quantity=quantity,
        unit=units[quantity],
        steps=tuple(step.step for step in steps),
        values=values,
        first=first,
        last=last,
        change=last / first - 1 if first and len(known) > 1 else None,
        tau=trend.tau if trend else None,
        p=trend.p if trend else None,
    )
