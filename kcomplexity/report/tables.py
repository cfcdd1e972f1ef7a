"""Every table of a result, made from its JSON document: one function, by the kind of result.

The tables of each kind are listed in :data:`TABLES`; the modules ``*_tables`` make them. All that
shows a table - terminal, Markdown, notebook, page - draws the same
:class:`~kcomplexity.report.table.Table`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from kcomplexity.report import (
    comparison_tables,
    inspection_tables,
    record_tables,
    score_tables,
    trajectory_tables,
)
from kcomplexity.report.reading import as_trajectory
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table
from kcomplexity.results.reading import kind_of
from kcomplexity.text import printable

Make: TypeAlias = Callable[[Json], Table | list[Table]]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What makes the tables of a kind of result, each from its document.

    `whole` are those of the whole, `parts` those that pick out some of the rows, `rows` the one
    that has every row; the page shows `page` after those of the whole.
    """

    whole: tuple[Make, ...]
    parts: tuple[Make, ...] = ()
    rows: tuple[Make, ...] = ()
    page: tuple[Make, ...] = ()


def tables(document: Json) -> list[Table]:
    """Return the tables of a page of text: the whole, some of the rows, every row."""
    return [*short_tables(document), *row_tables(document)]


def short_tables(document: Json) -> list[Table]:
    """Return the tables of the whole, and those of some of the rows."""
    return [table.narrow() for table in _made(document, lambda own: own.whole + own.parts)]


def row_tables(document: Json) -> list[Table]:
    """Return the tables with every row; none where the kind of result has no rows to list."""
    return [table.narrow() for table in _made(document, lambda own: own.rows)]


def whole_tables(document: Json) -> list[Table]:
    """Return the tables of the whole alone."""
    return [table.narrow() for table in _made(document, lambda own: own.whole)]


def page_tables(document: Json) -> list[Table]:
    """Return the tables of the HTML page, which has room for wide ones and one row a tensor."""
    return [table for table in _made(document, lambda own: own.whole + own.page) if table.rows]


def _made(document: Json, chosen: Callable[[Tables], tuple[Make, ...]]) -> Iterator[Table]:
    document = as_trajectory(document)
    for make in chosen(TABLES[kind_of(document)]):
        made = make(document)
        yield from [made] if isinstance(made, Table) else made


def _costs(document: Json, *, everything: bool = False) -> list[Table]:
    costs = document.get("conditional")
    return [comparison_tables.conditional(costs, everything=everything)] if costs else []


def _inspection(document: Json) -> list[Table]:
    return [
        _of_checkpoint(table, checkpoint, document)
        for checkpoint in document["checkpoints"]
        for table in inspection_tables.overview(checkpoint)
    ]


def _inspected_tensors(document: Json) -> list[Table]:
    shown = []
    for checkpoint in document["checkpoints"]:
        values = any(tensor["values"] for tensor in checkpoint["tensors"])
        table = inspection_tables.tensors(checkpoint, values=values)
        shown.append(_of_checkpoint(table, checkpoint, document))
    return shown


def _of_checkpoint(table: Table, checkpoint: Json, document: Json) -> Table:
    """Return a table with the name of its checkpoint, where there are several."""
    if len(document["checkpoints"]) == 1:
        return table
    return replace(table, title=f"{table.title} ({printable(checkpoint['path'])})")


def _answers(document: Json) -> list[Table]:
    return [record_tables.answers(case) for case in document["cases"]]


_unmatched = partial(record_tables.lists, names=["unmatched"])
_of_fit = partial(record_tables.lists, names=["controls", "tensors"])

TABLES: dict[str, Tables] = {
    "score": Tables(
        whole=(score_tables.whole,),
        parts=(score_tables.without_whole, score_tables.extremes),
        rows=(score_tables.every_row,),
        page=(score_tables.by_tensor,),
    ),
    "compare": Tables(
        whole=(comparison_tables.whole,),
        parts=(comparison_tables.most_changed, _costs),
        rows=(comparison_tables.every_row,),
        page=(comparison_tables.by_tensor, partial(_costs, everything=True), _unmatched),
    ),
    "conditional": Tables(
        whole=(lambda d: comparison_tables.conditional([*d["rows"], d["whole"]]),),
        page=(lambda d: comparison_tables.conditional(d["rows"], everything=True), _unmatched),
    ),
    "trajectory": Tables(
        whole=(trajectory_tables.steps,),
        parts=(trajectory_tables.trends,),
        rows=(trajectory_tables.tensors,),
        page=(trajectory_tables.trends, score_tables.whole, score_tables.by_tensor),
    ),
    "fit": Tables(whole=(record_tables.facts,), rows=(_of_fit,), page=(_of_fit,)),
    "fit-plan": Tables(whole=(record_tables.facts,)),
    "sweep": Tables(whole=(record_tables.points,), page=(record_tables.facts,)),
    "bound": Tables(
        whole=(partial(record_tables.lists, names=["bounds"]), record_tables.bits_of_bound)
    ),
    "calibrate": Tables(whole=(record_tables.sight,), rows=(_answers,), page=(_answers,)),
    "inspect": Tables(whole=(_inspection,), rows=(_inspected_tensors,), page=(_inspected_tensors,)),
}
"""The tables of each kind of result."""
