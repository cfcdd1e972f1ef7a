"""Measure made tensors like any checkpoint, and compare the figures with the known answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Unpack

import numpy as np

from kcomplexity.calibration.cases import CASES
from kcomplexity.calibration.records import Answer, Arrays, Calibrated, Case, Known, Quantity
from kcomplexity.parallel.running import Running, refuse_unknown
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.score import score
from kcomplexity.tensors.groups import Scope

_CONTROL = f"{SHUFFLE}:5"


def calibrate(
    cases: Iterable[Case] | None = None, *, seed: int = 0, **running: Unpack[Running]
) -> Iterator[Calibrated]:
    """Make the tensors of each case, measure them, and yield the case with its answers.

    Parameters
    ----------
    cases : iterable of Case, optional
        All of :data:`CASES` by default.
    seed : int
        Of the tensors and of the shuffles.
    **running : :class:`~kcomplexity.parallel.running.Running`
        How the work is done; no figure depends on it.

    Examples
    --------
    >>> result = next(calibrate(case for case in CASES if case.name == "constant"))
    >>> [answer.met for answer in result.answers]
    [True, True, True, True]
    """
    refuse_unknown(running, Running)
    for case in CASES if cases is None else cases:
        # The name is part of the seed: a case gives the same tensors whatever stands before it.
        arrays = case.make(np.random.default_rng([seed, *case.name.encode()]))
        yield Calibrated(case, arrays, _answers(case, arrays, seed, running))


def _answers(
    case: Case, arrays: Arrays, seed: int, running: Mapping[str, Any]
) -> tuple[Answer, ...]:
    """Measure the specs of the same tensors, scope and control in one score."""
    groups: dict[tuple[str | None, Scope, bool], list[Known]] = {}
    for known in case.expect:
        key = (known.tensor, known.scope, known.quantity == "of shuffled")
        groups.setdefault(key, []).append(known)
    answers: dict[Known, Answer] = {}
    for (tensor, scope, shuffled), members in groups.items():
        report = score(
            arrays if tensor is None else {tensor: arrays[tensor]},
            specs=[known.spec for known in members],
            controls=[_CONTROL] if shuffled else (),
            scope=scope,
            seed=seed,
            exact=True,
            **running,
        )
        rows = {row.spec: row for row in report.rows}
        answers |= {known: _answer(known, rows[known.spec]) for known in members}
    return tuple(answers[known] for known in case.expect)


def _answer(known: Known, row: Score) -> Answer:
    control = row.control(SHUFFLE)
    values: dict[Quantity, float | None] = {
        "bits": row.bits,
        "bits/weight": row.bits_per_weight,
        "raw/comp": row.ratio_raw_over_comp,
        "of shuffled": control.ratio if control else None,
    }
    return Answer.of(known, values[known.quantity], row.reason)
