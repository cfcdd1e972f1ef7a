"""A table, whatever draws it: terminal, Markdown, notebook or page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """The head of a column.

    Attributes
    ----------
    name : str
    meaning : str
        What the name means; the page shows it where the column is pointed at.
    numeric : bool
        Whether the cells are numbers: aligned to the right, sorted by value.
    bar : bool
        Whether the numbers have one unit, from zero up: a terminal may draw them as bars.
    wide : bool
        Whether only the page shows the column: elsewhere there is no room.
    """

    name: str
    meaning: str = ""
    numeric: bool = False
    bar: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text; on the page the first cell of a row names the row.

    Attributes
    ----------
    title : str
    columns : tuple of Column
    rows : tuple of tuple of str
    caption : str
        What the columns mean, where that is not plain; one line for each.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def narrow(self) -> Table:
        """Return the table without its wide columns."""
        kept = [i for i, column in enumerate(self.columns) if not column.wide]
        if len(kept) == len(self.columns):
            return self
        return Table(
            self.title,
            tuple(self.columns[i] for i in kept),
            tuple(tuple(row[i] for i in kept) for row in self.rows),
            self.caption,
        )


def columns(
    *names: str, numeric: Collection[int] = (), meanings: Mapping[str, str] | None = None
) -> tuple[Column, ...]:
    """Return columns by their names.

    Parameters
    ----------
    *names : str
    numeric : collection of int
        Places of the columns of numbers.
    meanings : mapping of str to str, optional
        What names mean, for those that need it.
    """
    return tuple(
        Column(name, (meanings or {}).get(name, ""), i in numeric) for i, name in enumerate(names)
    )
