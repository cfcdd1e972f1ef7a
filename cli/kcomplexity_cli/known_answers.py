"""``kcomplexity demo --calibrate``: what each measure sees, on tensors whose answer is known."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.ending import ExitCode
from kcomplexity_cli.repeatable import command_text

if TYPE_CHECKING:
    from kcomplexity.calibration import Calibrated, Case, Known
    from kcomplexity.report.tables import Table

__all__ = ["show_known_answers"]


def show_known_answers(*, as_json: bool, quiet: bool) -> None:
    """Measure made tensors, print what is known of them beside it; fail if any is not met."""
    from kcomplexity.calibration import calibrate, document
    from kcomplexity.parallel.pool import Pool
    from kcomplexity.results.provenance import provenance
    from kcomplexity_cli.terminal import note, print_json, print_table

    started = time.time()
    if not (as_json or quiet):
        click.echo(
            "Made tensors whose complexity is known, measured like any checkpoint: bits/weight, "
            "unless\nanother unit is named; lower = simpler. The last table sums it up.\n"
        )
    results: list[Calibrated] = []
    for result in calibrate():
        results.append(result)
        if not as_json:
            print_table(_answers_table(result))
    if as_json:
        made = provenance(command_text(), 0, Pool().threads, started)
        print_json(document(results, made))
    else:
        print_table(_sight_table(results))
    answers = [answer for result in results for answer in result.answers]
    n_met = sum(answer.met for answer in answers)
    if not as_json:
        click.echo(f"{n_met} of {len(answers)} known answers met")
    if n_met < len(answers):
        note(
            "some known answers are not met: a measure, or a library under it, does not do here "
            "what this version expects"
        )
        click.get_current_context().exit(ExitCode.FAILURE)


def _answers_table(result: Calibrated) -> Table:
    from kcomplexity.report.tables import Table

    rows = tuple(
        (
            # As wide as the widest of all cases, so that the columns of the tables meet.
            _measure(result, answer.known).ljust(31),
            "" if answer.measured is None else f"{answer.measured:.3f}".rjust(8),
            _known(answer.known).rjust(15) + (" ok " if answer.met else " NOT"),
            answer.known.sees.ljust(7),
            answer.reason or answer.known.why,
        )
        for answer in result.answers
    )
    columns = ("measure", "measured", "known   ", "sees it", "because")
    return Table(f"{result.case.name}: {result.case.what}", columns, rows, frozenset({1, 2}))


def _measure(result: Calibrated, known: Known) -> str:
    unit = "" if known.quantity == "bits/weight" else f", {known.quantity}"
    several = len(result.arrays) > 1
    return (f"{_part(result.case, known)}: " if several else "") + known.spec + unit


def _part(case: Case, known: Known) -> str:
    return known.tensor or f"{case.name} as one"


def _known(known: Known) -> str:
    if known.value is not None:
        return f"{known.value:.3f}"
    if math.isinf(known.high):
        return f">= {known.low:.3f}"
    return f"{known.low:.3f} to {known.high:.3f}" if known.low > 0 else f"<= {known.high:.3f}"


def _sight_table(results: Iterable[Calibrated]) -> Table:
    """Return what each measure sees: cases by spec, from the answers of all cases."""
    from kcomplexity.report.tables import Table

    columns = ("sees", "partly", "blind", "misled")
    found: dict[str, dict[str, dict[str, None]]] = {}
    for result in results:
        for known in result.case.expect:
            if known.sees:
                by_sight = found.setdefault(known.spec, {})
                by_sight.setdefault(known.sees, {})[_structure(result.case, known)] = None
    rows = tuple(
        (spec, *(", ".join(by_sight.get(column, ())) for column in columns))
        for spec, by_sight in sorted(found.items())
    )
    return Table("what each measure sees, and what it does not", ("measure", *columns), rows)


def _structure(case: Case, known: Known) -> str:
    """Name what was put in: the tensor alone, where a measure sees it in one and not in another."""
    verdicts = {other.sees for other in case.expect if other.spec == known.spec and other.sees}
    return _part(case, known) if len(verdicts) > 1 else case.name
