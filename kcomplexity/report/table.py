"""A table, whatever draws it: terminal, Markdown, notebook or page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from kcomplexity.report.rows import Json


@dataclass(frozen=True)
class Column:
    """The head of a column."""

    name: str
    meaning: str = ""  # the page shows it where the column is pointed at
    numeric: bool = False  # numbers: aligned to the right, sorted by value
    bar: bool = False  # numbers of one unit, from zero up: a terminal may draw them as bars
    wide: bool = False  # the page alone has room for it


@dataclass(frozen=True)
class Table:
    """A table of text; on the page the first cell of a row names the row.

    The lines of the caption say what the columns mean, where that is not plain.
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
        rows = tuple(tuple(row[i] for i in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[i] for i in kept), rows=rows)


def columns(
    *names: str, numeric: Collection[int] = (), meanings: Mapping[str, str] = MappingProxyType({})
) -> tuple[Column, ...]:
    """Return columns by their names, those at the places `numeric` of numbers."""
    return tuple(Column(name, meanings.get(name, ""), i in numeric) for i, name in enumerate(names))


def tabulate(
    title: str,
    records: Iterable[Json],
    *cells: tuple[str, Callable[[Json], str]],
    numeric: Collection[int] = (),
    meanings: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Return one row a record; `cells` are the columns, each with what makes its cell."""
    rows = tuple(tuple(cell(record) for _, cell in cells) for record in records)
    names = (name for name, _ in cells)
    return Table(title, columns(*names, numeric=numeric, meanings=meanings), rows)
