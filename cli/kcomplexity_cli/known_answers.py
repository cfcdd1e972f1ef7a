"""``kcomplexity demo --calibrate``: what each measure sees, on tensors whose answer is known."""

from __future__ import annotations

import time

import click

from kcomplexity_cli.ending import ExitCode
from kcomplexity_cli.repeatable import command_text


def show_known_answers(*, as_json: bool, quiet: bool) -> None:
    """Measure made tensors and print what is known of them; fail if an answer is not met."""
    from kcomplexity.calibration import CalibrationReport, calibrate
    from kcomplexity.parallel.threads import available_processors
    from kcomplexity.report.record_tables import answers
    from kcomplexity.results.json_form import plain
    from kcomplexity.results.provenance import provenance
    from kcomplexity_cli.terminal import note, print_json, print_table

    started = time.time()
    if not (as_json or quiet):
        click.echo(
            "Made tensors whose complexity is known, measured like any checkpoint: bits/weight, "
            "unless\nanother unit is named; lower = simpler. The last table sums it up.\n"
        )
    results = []
    for result in calibrate():
        results.append(result)
        if not as_json:
            print_table(answers(plain(result.checked())))
    made = provenance(command_text(), 0, available_processors(), started)
    report = CalibrationReport.of(results, made)
    if as_json:
        print_json(report.to_dict())
    else:
        for table in report.whole_tables():
            print_table(table)
        click.echo(f"{report.n_met} of {report.n_answers} known answers met")
    if report.n_met < report.n_answers:
        note(
            "some known answers are not met: a measure, or a library under it, does not do here "
            "what this version expects"
        )
        click.get_current_context().exit(ExitCode.FAILURE)
