"""Every table of a result, made from its JSON document: one function, by the kind of result.

The tables of each kind are listed in :data:`TABLES`; the modules ``*_tables`` make them. All that
shows a table - terminal, Markdown, notebook, page - draws the same
:class:`~kcomplexity.report.table.Table`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeAlias

from kcomplexity.report import (
    comparison_tables,
    inspection_tables,
    record_tables,
    score_tables,
    trajectory_tables,
)
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table
from kcomplexity.report.tracked import as_trajectory
from kcomplexity.results.reading import kind_of
from kcomplexity.text import printable

Make: TypeAlias = Callable[[Json], list[Table]]


def _none(_document: Json) -> list[Table]:
    return []


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of a kind of result; each function makes them from the document.

    Attributes
    ----------
    whole : callable
        Those of the whole.
    parts : callable
        Those that pick out some of the rows.
    rows : callable
        The one that has every row.
    page : callable
        Those that the page shows after those of the whole.
    """

    whole: Make
    parts: Make = _none
    rows: Make = _none
    page: Make = _none


def tables(document: Json) -> list[Table]:
    """Return the tables of a page of text: the whole, some of the rows, every row."""
    document, own = _of_kind(document)
    made = [*own.whole(document), *own.parts(document), *own.rows(document)]
    return [table.narrow() for table in made]


def whole_tables(document: Json) -> list[Table]:
    """Return the tables of the whole alone."""
    document, own = _of_kind(document)
    return [table.narrow() for table in own.whole(document)]


def page_tables(document: Json) -> list[Table]:
    """Return the tables of the HTML page, which has room for wide ones and one row a tensor."""
    document, own = _of_kind(document)
    made = [*own.whole(document), *own.page(document)]
    return [table for table in made if table.rows]


def _of_kind(document: Json) -> tuple[Json, Tables]:
    document = as_trajectory(document)
    return document, TABLES[kind_of(document)]


def _conditional_parts(document: Json) -> list[Table]:
    costs = document.get("conditional")
    return [comparison_tables.conditional(costs)] if costs else []


def _comparison_page(document: Json) -> list[Table]:
    costs = document.get("conditional")
    return [
        *comparison_tables.by_tensor(document),
        *([comparison_tables.conditional(costs, everything=True)] if costs else []),
        *record_tables.lists(document, ["unmatched"]),
    ]


def _inspection(document: Json) -> list[Table]:
    made = []
    for checkpoint in document["checkpoints"]:
        shown = [inspection_tables.dtypes(checkpoint), inspection_tables.layers(checkpoint)]
        if len(checkpoint["files"]) > 1:
            shown = [inspection_tables.files(checkpoint), *shown]
        made += [_of_checkpoint(table, checkpoint, document) for table in shown]
    return made


def _inspected_tensors(document: Json) -> list[Table]:
    made = []
    for checkpoint in document["checkpoints"]:
        values = any(tensor["values"] for tensor in checkpoint["tensors"])
        table = inspection_tables.tensors(checkpoint, values=values)
        made.append(_of_checkpoint(table, checkpoint, document))
    return made


def _of_checkpoint(table: Table, checkpoint: Json, document: Json) -> Table:
    """Return a table with the name of its checkpoint, where there are several."""
    if len(document["checkpoints"]) == 1:
        return table
    return replace(table, title=f"{table.title} ({printable(checkpoint['path'])})")


TABLES: Mapping[str, Tables] = MappingProxyType(
    {
        "score": Tables(
            whole=score_tables.whole,
            parts=score_tables.extremes,
            rows=lambda document: [score_tables.every_row(document)],
            page=score_tables.by_tensor,
        ),
        "compare": Tables(
            whole=lambda document: [comparison_tables.whole(document)],
            parts=lambda document: [
                *comparison_tables.most_changed(document),
                *_conditional_parts(document),
            ],
            rows=lambda document: [comparison_tables.every_row(document)],
            page=_comparison_page,
        ),
        "conditional": Tables(
            whole=lambda document: [
                comparison_tables.conditional([*document["rows"], document["whole"]])
            ],
            page=lambda document: [
                comparison_tables.conditional(document["rows"], everything=True),
                *record_tables.lists(document, ["unmatched"]),
            ],
        ),
        "trajectory": Tables(
            whole=lambda document: [trajectory_tables.steps(document)],
            parts=lambda document: [trajectory_tables.trends(document)],
            rows=lambda document: [trajectory_tables.tensors(document)],
            page=lambda document: [
                trajectory_tables.trends(document),
                *score_tables.whole(document),
                *score_tables.by_tensor(document),
            ],
        ),
        "fit": Tables(
            whole=lambda document: [record_tables.facts(document)],
            rows=lambda document: record_tables.lists(document, ["controls", "tensors"]),
            page=lambda document: record_tables.lists(document, ["controls", "tensors"]),
        ),
        "fit-plan": Tables(whole=lambda document: [record_tables.facts(document)]),
        "sweep": Tables(
            whole=lambda document: [record_tables.points(document)],
            page=lambda document: [record_tables.facts(document)],
        ),
        "bound": Tables(
            whole=lambda document: [
                *record_tables.lists(document, ["bounds"]),
                record_tables.bits_of_bound(document),
            ],
        ),
        "calibrate": Tables(
            whole=lambda document: [record_tables.sight(document["cases"])],
            rows=lambda document: [record_tables.answers(case) for case in document["cases"]],
            page=lambda document: [record_tables.answers(case) for case in document["cases"]],
        ),
        "inspect": Tables(whole=_inspection, rows=_inspected_tensors, page=_inspected_tensors),
    }
)
"""The tables of each kind of result."""
