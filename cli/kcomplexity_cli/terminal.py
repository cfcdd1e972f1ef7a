"""Drawing on the terminal: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from kcomplexity.parallel.progress import OnProgress
    from kcomplexity.report.tables import Table

__all__ = [
    "note",
    "plain_text",
    "print_json",
    "print_table",
    "progress_bar",
    "progress_line",
]

#: rich takes 0.7 s for 2,000 rows; a person reads forty.
_MOST_ROWS = 40


def note(text: str) -> None:
    """Print one line to stderr; where that leads nowhere, there is nobody to tell."""
    from kcomplexity.text import printable

    with suppress(OSError):
        click.echo(f"kcomplexity: {printable(text)}", err=True)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document."""
    from kcomplexity.text import json_text

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
    for i, name in enumerate(table.columns):
        numeric = i in table.numeric
        justify: Literal["right", "left"] = "right" if numeric else "left"
        drawn.add_column(Text(name), justify=justify, overflow="fold", no_wrap=numeric)
    console = Console()
    shown = table.rows[:_MOST_ROWS]
    lengths: list[tuple[str, ...]] = [()] * len(shown)
    if table.bar is not None and can_show(console.encoding):
        drawn.add_column("")
        lengths = [(bar,) for bar in bars([row[table.bar] for row in shown])]
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
    rows = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [table.title]
    for row in rows:
        cells = (
            cell.rjust(width) if i in table.numeric else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    if table.caption:
        lines.append(table.caption)
    return "\n".join(lines) + "\n"


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[OnProgress]:
    """Yield a callback that shows one bar over bytes with an ETA on stderr.

    Nothing is shown where stderr is not a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda now: bar.update(
            task, description=now.stage, completed=now.done, total=now.total
        )


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
