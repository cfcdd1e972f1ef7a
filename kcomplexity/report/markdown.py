"""Markdown: the headline, the whole and every row, to paste into an issue or an appendix."""

from __future__ import annotations

from kcomplexity.report.remarks import remarks
from kcomplexity.report.table import Table
from kcomplexity.report.tables import tables
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
