"""Decide what is measured by what: everything that decides a figure, before any weight is read.

A :class:`Plan` is what ``kcomplexity score --dry-run`` prints, and what a score then carries out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kcomplexity.controls import Control, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.scoring.panels import Panel, affordable, panel
from kcomplexity.scoring.sampling import sampled_share
from kcomplexity.scoring.specs import Spec, listed, parse_spec, parse_specs
from kcomplexity.scoring.units import Unit, units
from kcomplexity.tensors.checkpoint import Checkpoint, labelled
from kcomplexity.tensors.groups import SCOPES, Scope

__all__ = ["Plan", "Task", "make_plan", "unit_work"]

#: Seconds to shuffle one weight: the memory access that misses every cache.
_SHUFFLE_SECONDS = 1.5e-8
#: A spec with controls costs at least the shuffles: this many weights, replicates included.
_CONTROLLED_CAP = 1 << 28


@dataclass(frozen=True)
class Task:
    """A spec, its controls, and the share of big tensors that is measured.

    Attributes
    ----------
    spec : Spec
    controls : tuple of Control
        Only those that can change the spec's value.
    fraction : float
        1 measures everything.
    every_tensor : bool
        Whether some of each tensor is measured, as who asks for a sample expects; what is sampled
        because it would take too long is a share of the checkpoint.
    """

    spec: Spec
    controls: tuple[Control, ...]
    fraction: float = 1.0
    every_tensor: bool = True

    @property
    def n_replicates(self) -> int:
        """Replicates of all controls together."""
        return sum(control.n for control in self.controls)


@dataclass(frozen=True)
class Plan:
    """What will be measured by what: all that decides the figures.

    Attributes
    ----------
    checkpoints : tuple of Checkpoint
        With only the selected tensors.
    units : tuple of tuple of Unit
        For each checkpoint.
    tasks : tuple of Task
    seed : int
    warning : str
        What a reader has to know before any figure; empty for most.
    """

    checkpoints: tuple[Checkpoint, ...]
    units: tuple[tuple[Unit, ...], ...]
    tasks: tuple[Task, ...]
    seed: int
    warning: str = ""

    @property
    def n_bytes(self) -> int:
        """Stored bytes of everything selected."""
        return sum(checkpoint.n_bytes for checkpoint in self.checkpoints)

    @property
    def work(self) -> int:
        """Bytes the progress bar counts: each spec and replicate goes over its tensors once."""
        return sum(unit_work(unit, self.task_of) for found in self.units for unit in found)

    @property
    def task_of(self) -> dict[Spec, Task]:
        """The task of each spec."""
        return {task.spec: task for task in self.tasks}

    def seconds(self, threads: int) -> float:
        """Predict how long it takes; a rough figure from rates measured once."""
        total = 0.0
        for unit in (unit for found in self.units for unit in found):
            for spec in unit.specs:
                task = self.task_of[spec]
                n = unit.n_bytes if spec.estimator.kind == "code" else unit.tensor.n_weights
                cost = n / spec.estimator.rate + unit.tensor.n_weights * _SHUFFLE_SECONDS * len(
                    task.controls
                )
                share = sampled_share(
                    unit.tensor.n_weights, task.fraction, every_tensor=task.every_tensor
                )
                total += cost * share * (1 + task.n_replicates)
        return total / threads


def make_plan(
    checkpoints: Sequence[Checkpoint],
    *,
    panel_name: str = "default",
    specs: str | Iterable[str] | None = None,
    controls: str | Iterable[str] | None = None,
    scope: Scope | None = None,
    seed: int = 0,
    sample: float | None = None,
    exact: bool = False,
) -> Plan:
    """Decide what is measured by what; parameters as for :func:`kcomplexity.score`."""
    if scope is not None and scope not in SCOPES:
        raise SpecError(f"scope {scope!r}: expected one of {', '.join(SCOPES)}")
    if sample is not None and not 0 < sample <= 1:
        raise SpecError(f"sample {sample:g}: expected a share above 0 and at most 1, e.g. 0.1")
    if sample is not None and exact:
        raise SpecError("a sample was asked for and forbidden: choose one of sample and exact")
    specs, controls = listed(specs), listed(controls)
    chosen = panel(panel_name) if specs is None else Panel("own", "specs of your own", tuple(specs))
    parsed = parse_specs(chosen.specs)
    if not parsed:
        raise SpecError("no spec was given: expected at least one, e.g. entropy@q8")
    selected = [checkpoint.select(exclude=chosen.exclude) for checkpoint in labelled(checkpoints)]
    # By the largest alone, so that a figure hardly depends on what else is scored beside it.
    n_weights = max((checkpoint.n_weights for checkpoint in selected), default=0)
    given = None if controls is None else _each_once(parse_control(text) for text in controls)
    own = {
        parse_spec(text): [parse_control(f"{name}:{affordable(n_weights)}") for name in names]
        for text, names in chosen.controls.items()
    }
    tasks = [
        _task(
            spec,
            [c.for_checkpoints(selected) for c in (own.get(spec, []) if given is None else given)],
            n_weights,
            sample,
            exact,
        )
        for spec in parsed
    ]
    wide = scope or chosen.scope
    found = tuple(tuple(units(checkpoint, parsed, wide)) for checkpoint in selected)
    return Plan(tuple(selected), found, tuple(tasks), seed, chosen.warning)


def _each_once(controls: Iterable[Control]) -> list[Control]:
    """Keep one control of each kind, the one with the most replicates: it holds the others."""
    by_kind: dict[str, Control] = {}
    for control in controls:
        known = by_kind.get(control.kind)
        if known is None or known.n < control.n:
            by_kind[control.kind] = control
    return list(by_kind.values())


def _task(
    spec: Spec, controls: Sequence[Control], n_weights: int, sample: float | None, exact: bool
) -> Task:
    # A statistic has no bits to hold against a control; what sees no positions cannot tell a
    # shuffled tensor from its own.
    telling = tuple(
        control
        for control in controls
        if spec.estimator.kind != "statistic"
        and (spec.estimator.positional or not control.keeps_values)
    )
    task = Task(spec, telling)
    if exact or not spec.estimator.additive or not all(c.samples for c in telling):
        return task
    if sample is not None:
        return replace(task, fraction=sample)
    caps = [spec.estimator.cap, _CONTROLLED_CAP if telling else None]
    cap = min((cap for cap in caps if cap is not None), default=None)
    cost = n_weights * (1 + task.n_replicates)
    if cap is None or cost <= cap:
        return task
    return replace(task, fraction=cap / cost, every_tensor=False)


def unit_work(unit: Unit, tasks: Mapping[Spec, Task]) -> int:
    """Return the bytes a unit adds to the progress bar."""
    return unit.tensor.n_bytes * sum(1 + tasks[spec].n_replicates for spec in unit.specs)
