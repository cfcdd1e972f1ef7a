"""A result as Markdown, to paste into an issue or an appendix, and as HTML, for a notebook."""

from __future__ import annotations

from html import escape

from kcomplexity.report.remarks import remarks
from kcomplexity.report.rows import Json
from kcomplexity.report.table import Table
from kcomplexity.report.tables import tables, whole_tables
from kcomplexity.results.documents import Document
from kcomplexity.text import printable


def markdown_bytes(result: Document) -> bytes:
    """Return the result as a Markdown page."""
    document = result.to_dict()
    headline = document.get("headline", ())
    parts = ["# Weight complexity", *(f"- {printable(text)}" for text in headline)]
    parts += [_markdown(table) for table in tables(document)]
    parts += [f"- warning: {printable(text)}" for text in document.get("warnings", ())]
    parts += [f"- {line}" for line in remarks(document)]
    if source := document.get("provenance"):
        command = printable(source["command"])
        parts.append(f"kcomplexity {source['version']}, seed {source['seed']}: `{command}`")
    return ("\n\n".join(parts) + "\n").encode()


def _markdown(table: Table) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = tuple("---:" if column.numeric else "---" for column in table.columns)
    rows = [line(table.names), line(rule), *map(line, table.rows)]
    title = table.title[:1].upper() + table.title[1:]
    caption = "".join(f"\n\n{text}" for text in table.caption.splitlines())
    return f"## {title}\n\n" + "\n".join(rows) + caption


def summary_html(document: Json) -> str:
    """Return the headline and the tables of the whole as HTML; text from a file is escaped."""
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
