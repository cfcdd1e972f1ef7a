"""Drawing on the terminal: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from kcomplexity.report.table import Table
    from kcomplexity.results.documents import Document

__all__ = [
    "note",
    "plain_text",
    "print_json",
    "print_table",
    "progress_bar",
    "progress_line",
    "show_document",
    "show_result",
]

#: rich takes 0.7 s for 2,000 rows; a person reads forty.
_MOST_ROWS = 40


def note(text: str) -> None:
    """Print one line to stderr; where that leads nowhere, nobody reads it."""
    from kcomplexity.text import printable

    with suppress(OSError):
        click.echo(f"kcomplexity: {printable(text)}", err=True)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    from kcomplexity.results.json_form import json_text

    click.echo(json_text(document))


def print_table(table: Table, *, everything: bool = False) -> None:
    """Print a table: drawn on a terminal, aligned plain text elsewhere or when `everything`."""
    if sys.stdout.isatty() and not everything:
        _print_rich(table)
    else:
        click.echo(plain_text(table))


def _print_rich(table: Table) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from kcomplexity_cli.bars import bars, can_show

    drawn = RichTable(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in table.columns:
        justify: Literal["right", "left"] = "right" if column.numeric else "left"
        drawn.add_column(
            Text(column.name), justify=justify, overflow="fold", no_wrap=column.numeric
        )
    console = Console()
    shown = table.rows[:_MOST_ROWS]
    lengths: list[tuple[str, ...]] = [()] * len(shown)
    at = next((i for i, column in enumerate(table.columns) if column.bar), None)
    if at is not None and can_show(console.encoding):
        drawn.add_column("")
        lengths = [(bar,) for bar in bars([row[at] for row in shown])]
    for row, bar in zip(shown, lengths, strict=True):
        drawn.add_row(*(Text(cell) for cell in row + bar))
    # Apart from the table, which would wrap them to its own width. In Text no bracket is markup.
    console.print(Text(table.title, style="italic"))
    console.print(drawn)
    if len(table.rows) > _MOST_ROWS:
        console.print(f"... {len(table.rows) - _MOST_ROWS} more rows: --all prints every one")
    if table.caption:
        console.print(Text(table.caption, style="dim"))
    console.print()


def plain_text(table: Table) -> str:
    """Return a table as aligned plain text, columns two spaces apart."""
    rows = [table.names, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [table.title]
    for row in rows:
        cells = (
            cell.rjust(width) if column.numeric else cell.ljust(width)
            for column, cell, width in zip(table.columns, row, widths, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    if table.caption:
        lines.append(table.caption)
    return "\n".join(lines) + "\n"


def show_result(result: Document, options: Mapping[str, Any]) -> None:
    """Print a result over several checkpoints: its sentences, tables and remarks, or its JSON.

    Parameters
    ----------
    result : Comparison or Trajectory
        The last of its tables holds every row. Its warnings are notes, and not printed here.
    options : mapping
        ``as_json``; ``output``: whether a file was written, for which the sentences are enough;
        ``everything``: whether the last table is printed.
    """
    document = result.to_dict()
    if options["as_json"]:
        print_json(document)
        return
    show_document(document, everything=options["everything"], silent=bool(options["output"]))


def show_document(document: dict[str, Any], *, everything: bool, silent: bool = False) -> None:
    """Print the sentences of a result and, unless `silent`, its tables and remarks."""
    from kcomplexity.report.remarks import remarks
    from kcomplexity.report.tables import tables
    from kcomplexity.text import printable

    for sentence in document["headline"]:
        click.echo(printable(sentence))
    if silent:
        return
    click.echo()
    *short, full = tables(document)
    for table in short:
        print_table(table)
    if everything:
        print_table(full, everything=True)
    for line in remarks(document):
        click.echo(line)


@contextmanager
def progress_bar(total: int, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show one bar over bytes with an ETA on stderr; nothing where stderr is no terminal.

    What it yields takes the bytes just done and, where only the work itself can tell, the bytes in
    all.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("measuring"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=total)
        yield lambda n_bytes, of=total: bar.update(task, advance=n_bytes, total=of)


@contextmanager
def progress_line(verb: str, *, quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """Keep one line on stderr of how far the work is, and take it away when that ends.

    Yields what takes the text of the line; None where stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    anew = "\r\x1b[K"

    def show(text: str) -> None:
        # A line that wraps could not be taken away.
        line = f"{verb}: {text}"[: shutil.get_terminal_size().columns - 1]
        click.echo(anew + line, nl=False, err=True)

    try:
        yield show
    finally:
        click.echo(anew, nl=False, err=True)
