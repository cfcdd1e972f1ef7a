"""How a command ends: what it writes, prints and draws, and its exit code."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import click

from kcomplexity_cli.plot import draw_into

if TYPE_CHECKING:
    from kcomplexity_cli.options import Output


class ExitCode(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    SOME_FAILED = 3
    NOTHING_MEASURED = 4
    INTERRUPTED = 130


def finish(
    result: Any, output: Output, *, sources: Sequence[Any] = (), saved: bool = False
) -> None:
    """Write, print and draw a result, then end the command by the status of its rows.

    Parameters
    ----------
    result : Comparison, Trajectory or another with ``rows``, ``headline``, ``tables()``, \
``remarks()``
        The last of its tables holds every row.
    output : Output
    sources : sequence of records with a ``status``
        What the rows are measured from; each that failed counts as a failed row.
    """
    if output.file and not saved:
        result.save(output.file)
    _show(result, output)
    if output.plots:
        draw_into(output.plots, result.to_dict(), quiet=output.as_json)
    end_by_rows(
        len(result.rows),
        n_measured=sum(row.status == "ok" for row in result.rows),
        n_failed=sum(record.status == "failed" for record in (*result.rows, *sources)),
    )


def _show(result: Any, output: Output) -> None:
    """Print the JSON, or sentences, tables and remarks; sentences alone beside a file."""
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import print_json, print_table

    if output.as_json:
        print_json(result.to_dict())
        return
    for sentence in result.headline:
        click.echo(printable(sentence))
    if output.file:
        return
    click.echo()
    *short, full = result.tables()
    for table in short:
        print_table(table)
    if output.everything:
        print_table(full, everything=True)
    for line in result.remarks():
        if not line.startswith("warning: "):  # they are printed as notes
            click.echo(line)


def end_by_rows(n_rows: int, *, n_measured: int, n_failed: int) -> None:
    """End the command by its rows: go on where some were measured and none failed."""
    from kcomplexity_cli.terminal import note

    context = click.get_current_context()
    if not n_measured:
        why = "each row gives the reason" if n_rows else "there is no tensor"
        note(f"nothing was measured: {why}")
        context.exit(ExitCode.NOTHING_MEASURED)
    if n_failed:
        context.exit(ExitCode.SOME_FAILED)
