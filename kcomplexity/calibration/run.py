"""Measure made tensors like any checkpoint, and hold the figures against what is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from kcomplexity.calibration.cases import CASES
from kcomplexity.calibration.records import Answer, Arrays, Calibrated, Case, Known, Quantity
from kcomplexity.results.control_results import SHUFFLE
from kcomplexity.results.records import Score
from kcomplexity.scoring.score import score
from kcomplexity.tensors.groups import Scope

__all__ = ["calibrate"]

_CONTROL = f"{SHUFFLE}:5"


def calibrate(
    cases: Iterable[Case] | None = None, *, seed: int = 0, threads: int | None = None
) -> Iterator[Calibrated]:
    """Make the tensors of each case, measure them, and yield the case with its answers.

    Parameters
    ----------
    cases : iterable of Case, optional
        All of :data:`CASES` by default.
    seed : int
        Of the tensors and of the shuffles.
    threads : int, optional
        Workers; no figure depends on it.

    Examples
    --------
    >>> found = next(calibrate(case for case in CASES if case.name == "constant"))
    >>> [answer.met for answer in found.answers]
    [True, True, True, True]
    """
    for case in CASES if cases is None else cases:
        # The name is part of the seed: a case gives the same tensors whatever stands before it.
        arrays = case.make(np.random.default_rng([seed, *case.name.encode()]))
        yield Calibrated(case, arrays, _answers(case, arrays, seed, threads))


def _answers(case: Case, arrays: Arrays, seed: int, threads: int | None) -> tuple[Answer, ...]:
    """Measure together what is asked of the same tensors in the same way."""
    together: dict[tuple[str | None, Scope, bool], list[Known]] = {}
    for known in case.expect:
        key = (known.tensor, known.scope, known.quantity == "of shuffled")
        together.setdefault(key, []).append(known)
    answers: dict[Known, Answer] = {}
    for (tensor, scope, shuffled), members in together.items():
        report = score(
            arrays if tensor is None else {tensor: arrays[tensor]},
            specs=[known.spec for known in members],
            controls=[_CONTROL] if shuffled else (),
            scope=scope,
            seed=seed,
            exact=True,
            threads=threads,
        )
        rows = {row.spec: row for row in report.rows}
        answers |= {known: _answer(known, rows[known.spec]) for known in members}
    return tuple(answers[known] for known in case.expect)


def _answer(known: Known, row: Score) -> Answer:
    control = row.control(SHUFFLE)
    found: dict[Quantity, float | None] = {
        "bits": row.bits,
        "bits/weight": row.bits_per_weight,
        "raw/comp": row.ratio_raw_over_comp,
        "of shuffled": control.ratio if control else None,
    }
    return Answer(known, found[known.quantity], row.reason)
