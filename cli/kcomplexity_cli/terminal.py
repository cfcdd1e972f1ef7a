"""Drawing on the terminal: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, Self

import click

if TYPE_CHECKING:
    from kcomplexity.parallel.progress import OnProgress, Progress
    from kcomplexity.report.table import Table

#: Back to the start of the line, and clear it.
_ERASE = "\r\x1b[K"

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


@contextmanager
def progress_display(quiet: bool) -> Iterator[OnProgress | None]:
    """Show how far the work is on stderr, and erase that when it ends.

    Yields the callback to pass on as ``progress``: it draws a bar with an ETA once the total is
    known, and the stage on one line until then. Yields None, and shows nothing, if `quiet` or
    stderr is not a terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with _Display() as display:
        yield display.show


class _Display:
    """One line of stderr: a stage, or a bar once the total is known."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._erase()

    def show(self, event: Progress) -> None:
        if event.total is not None and self._bar is None:
            self._erase()
            self._start(event)
        if self._bar is None:
            # A line that wraps could not be erased.
            line = event.stage[: shutil.get_terminal_size().columns - 1]
            click.echo(f"{_ERASE}{line}", nl=False, err=True)
        elif event.total is None:
            self._bar.update(self._task, description=event.stage)
        else:
            self._bar.update(
                self._task, description=event.stage, completed=event.done, total=event.total
            )

    def _start(self, event: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        # In plain text no bracket of a stage is markup.
        stage = TextColumn("{task.description}", markup=False)
        columns = (stage, BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(event.stage, total=event.total)

    def _erase(self) -> None:
        click.echo(_ERASE, nl=False, err=True)
