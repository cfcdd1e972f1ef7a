"""Drawing on the terminal: tables on stdout, progress and notes on stderr."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

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
        head = Text(column.name)
        drawn.add_column(head, justify=justify, overflow="fold", no_wrap=column.numeric)
    console = Console()
    shown = table.rows[:_MOST_ROWS]
    at = next((i for i, column in enumerate(table.columns) if column.bar), None)
    if at is not None and can_show(console.encoding):
        drawn.add_column("")
        drawn_bars = bars([row[at] for row in shown])
        shown = tuple((*row, bar) for row, bar in zip(shown, drawn_bars, strict=True))
    for row in shown:
        drawn.add_row(*map(Text, row))
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
    signs = [">" if column.numeric else "<" for column in table.columns]
    form = "  ".join(f"{{:{sign}{width}}}" for sign, width in zip(signs, widths, strict=True))
    lines = [table.title, *(form.format(*row).rstrip() for row in rows)]
    return "\n".join([*lines, table.caption] if table.caption else lines) + "\n"


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
    bar: Any = None

    def show(event: Progress) -> None:
        nonlocal bar
        if event.total is not None and bar is None:
            _write("")
            bar = _started_bar()
        if bar is None:
            # A line that wraps could not be erased.
            _write(event.stage[: shutil.get_terminal_size().columns - 1])
            return
        counts = {} if event.total is None else {"completed": event.done, "total": event.total}
        bar.update(bar.task_ids[0], description=event.stage, **counts)

    try:
        yield show
    finally:
        if bar is None:
            _write("")
        else:
            bar.stop()


def _started_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    # In plain text no bracket of a stage is markup.
    stage = TextColumn("{task.description}", markup=False)
    columns = (stage, BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    bar.add_task("", total=None)
    return bar


def _write(line: str) -> None:
    """Put `line` in the place of what the line of stderr holds."""
    click.echo(f"{_ERASE}{line}", nl=False, err=True)
