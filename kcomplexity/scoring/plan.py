"""Decide what is measured by what: everything that decides a figure, before any weight is read.

A :class:`Plan` is what ``kcomplexity score --dry-run`` prints, and what a score then carries out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Unpack

from kcomplexity.controls import Control, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.scoring.measuring import Measuring
from kcomplexity.scoring.panels import Panel, affordable, panel
from kcomplexity.scoring.sampling import sampled_share
from kcomplexity.scoring.specs import Spec, listed, parse_spec, parse_specs
from kcomplexity.scoring.units import Unit, units
from kcomplexity.tensors.checkpoint import Checkpoint, labelled
from kcomplexity.tensors.groups import SCOPES

#: Seconds to shuffle one weight: the memory access that misses every cache.
_SHUFFLE_SECONDS = 1.5e-8
#: A spec with controls costs at least the shuffles: this many weights, replicates included.
_CONTROLLED_CAP = 1 << 28


@dataclass(frozen=True)
class Task:
    """A spec, its controls, and the share of big tensors that is measured.

    `controls` are only those that can change the spec's value. A `fraction` of 1 measures all.
    `every_tensor` says whether some of each tensor is measured, as whoever asks for a sample
    expects; what is sampled because it would take too long is a share of the checkpoint.
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

    `checkpoints` have only the selected tensors; `units` are those of each. `warning` is what a
    reader has to know before any figure. `not_sampled` are measured in full although a sample was
    asked for.
    """

    checkpoints: tuple[Checkpoint, ...]
    units: tuple[tuple[Unit, ...], ...]
    tasks: tuple[Task, ...]
    seed: int
    warning: str = ""
    not_sampled: tuple[Spec, ...] = ()

    def each_unit(self) -> Iterator[tuple[str, Unit]]:
        """Yield every unit with the path of its checkpoint, in the order of the rows."""
        for checkpoint, members in zip(self.checkpoints, self.units, strict=True):
            for unit in members:
                yield checkpoint.path, unit

    @property
    def work(self) -> int:
        """Bytes the progress bar counts: each spec and replicate goes over its tensors once."""
        return sum(self.work_of(unit, unit.specs) for _, unit in self.each_unit())

    def work_of(self, unit: Unit, specs: Iterable[Spec]) -> int:
        """Return what measuring a unit by these specs counts on the progress bar, in bytes."""
        return unit.tensor.n_bytes * sum(1 + self.task_of[spec].n_replicates for spec in specs)

    @cached_property
    def task_of(self) -> dict[Spec, Task]:
        """The task of each spec."""
        return {task.spec: task for task in self.tasks}

    def to_dict(self, threads: int) -> dict[str, Any]:
        """Return what would be done, as the JSON document of a dry run."""
        return {
            "schema_version": SCHEMA_VERSION,
            "n_tensors": sum(len(checkpoint) for checkpoint in self.checkpoints),
            "n_weights": sum(checkpoint.n_weights for checkpoint in self.checkpoints),
            "n_bytes": sum(checkpoint.n_bytes for checkpoint in self.checkpoints),
            "tasks": [
                {"spec": str(t.spec), "controls": [*map(str, t.controls)], "fraction": t.fraction}
                for t in self.tasks
            ],
            "threads": threads,
            "predicted_seconds": self.seconds(threads),
        }

    def seconds(self, threads: int) -> float:
        """Predict how long it takes; a rough figure from rates measured once."""
        total = 0.0
        for _, unit in self.each_unit():
            n_weights = unit.tensor.n_weights
            for spec in unit.specs:
                task = self.task_of[spec]
                n = unit.n_bytes if spec.estimator.kind == "code" else n_weights
                cost = n / spec.estimator.rate + n_weights * _SHUFFLE_SECONDS * len(task.controls)
                share = sampled_share(n_weights, task.fraction, every_tensor=task.every_tensor)
                total += cost * share * (1 + task.n_replicates)
        return total / threads


def make_plan(checkpoints: Sequence[Checkpoint], **options: Unpack[Measuring]) -> Plan:
    """Decide what is measured by what.

    Of the options, those that only say how work is done are ignored.

    Raises
    ------
    SpecError
        If a spec, panel, control or option means nothing.
    """
    scope, sample, exact = options.get("scope"), options.get("sample"), options.get("exact", False)
    if scope is not None and scope not in SCOPES:
        raise SpecError(f"scope {scope!r}: expected one of {', '.join(SCOPES)}")
    if sample is not None and not 0 < sample <= 1:
        raise SpecError(f"sample {sample:g}: expected a share above 0 and at most 1, e.g. 0.1")
    if sample is not None and exact:
        raise SpecError("a sample was asked for and forbidden: choose one of sample and exact")
    specs, controls = listed(options.get("specs")), listed(options.get("controls"))
    own = Panel("own", "specs of your own", tuple(specs or ()))
    chosen = panel(options.get("panel", "default")) if specs is None else own
    parsed = parse_specs(chosen.specs)
    if not parsed:
        raise SpecError("no spec was given: expected at least one, e.g. entropy@q8")
    selected = [checkpoint.select(exclude=chosen.exclude) for checkpoint in labelled(checkpoints)]
    # By the largest alone, so that a figure hardly depends on what else is scored beside it.
    n_weights = max((checkpoint.n_weights for checkpoint in selected), default=0)
    asked = None if controls is None else _each_once(parse_control(text) for text in controls)
    of_panel = {
        parse_spec(text): [parse_control(f"{name}:{affordable(n_weights)}") for name in names]
        for text, names in chosen.controls.items()
    }
    tasks = []
    for spec in parsed:
        of_spec = of_panel.get(spec, []) if asked is None else asked
        fitted = [control.for_checkpoints(selected) for control in of_spec]
        tasks.append(_task(spec, fitted, n_weights, sample, exact))
    wide = scope or chosen.scope
    return Plan(
        tuple(selected),
        tuple(tuple(units(checkpoint, parsed, wide)) for checkpoint in selected),
        tuple(tasks),
        options.get("seed", 0),
        chosen.warning,
        tuple(task.spec for task in tasks if task.fraction >= 1) if (sample or 1) < 1 else (),
    )


def _each_once(controls: Iterable[Control]) -> list[Control]:
    """Keep one control of each kind, the one with the most replicates: it holds the others."""
    by_kind: dict[str, Control] = {}
    for control in controls:
        known = by_kind.get(control.kind, control)
        by_kind[control.kind] = max(known, control, key=lambda either: either.n)
    return list(by_kind.values())


def _task(
    spec: Spec, controls: Sequence[Control], n_weights: int, sample: float | None, exact: bool
) -> Task:
    # A statistic has no bits to compare with a control's; what sees no positions cannot tell a
    # shuffled tensor from its own.
    compared = tuple(
        control
        for control in controls
        if spec.estimator.kind != "statistic"
        and (spec.estimator.positional or not control.keeps_values)
    )
    task = Task(spec, compared)
    if exact or not spec.estimator.additive or not all(c.samples for c in compared):
        return task
    if sample is not None:
        return replace(task, fraction=sample)
    caps = [spec.estimator.cap, _CONTROLLED_CAP if compared else None]
    cap = min((cap for cap in caps if cap is not None), default=None)
    cost = n_weights * (1 + task.n_replicates)
    if cap is None or cost <= cap:
        return task
    return replace(task, fraction=cap / cost, every_tensor=False)
