"""The tables that a notebook shows for a result; everything from a file is escaped."""

from __future__ import annotations

from html import escape

from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table
from kcomplexity.report.tables import whole_tables


def summary_html(document: Json) -> str:
    """Return the headline and the tables of the whole as HTML."""
    lines = "".join(f"<p>{escape(text)}</p>" for text in document.get("headline", ()))
    return lines + "".join(map(_html, whole_tables(document)))


def _html(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    caption = f"<caption>{escape(table.title)}</caption>"
    below = "".join(f"<p>{escape(line)}</p>" for line in table.caption.splitlines())
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
