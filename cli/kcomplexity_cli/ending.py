"""How a command ends: what it writes, prints and draws, and its exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    result : Document
        With ``rows`` and ``headline``.
    output : Output
    sources : sequence of records with a ``status``
        What the rows are measured from; each that failed counts as a failed row.
    saved : bool
        Whether the file is written already.
    """
    if output.file and not saved:
        result.save(output.file)
    show(result.to_dict(), result.headline, output)
    end_by_rows(
        len(result.rows),
        n_measured=sum(row.status == "ok" for row in result.rows),
        n_failed=sum(record.status == "failed" for record in (*result.rows, *sources)),
    )


def show(document: dict[str, Any], headline: Iterable[str], output: Output) -> None:
    """Print a result and draw it: as JSON, or as sentences, tables and remarks.

    Only the sentences are printed where the result is also written to a file.
    """
    from kcomplexity.report.remarks import remarks
    from kcomplexity.report.tables import row_tables, short_tables
    from kcomplexity.text import printable
    from kcomplexity_cli.terminal import print_json, print_table

    if output.as_json:
        print_json(document)
    else:
        click.echo("".join(f"{printable(sentence)}\n" for sentence in headline), nl=False)
    if not (output.as_json or output.file):
        click.echo()
        for table in short_tables(document):
            print_table(table)
        for table in row_tables(document) if output.everything else ():
            print_table(table, everything=True)
        for line in remarks(document):
            if not line.startswith("warning: "):  # they are printed as notes
                click.echo(line)
    if output.plots:
        draw_into(output.plots, document, quiet=output.as_json)


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
