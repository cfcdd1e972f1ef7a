"""Markdown: the headline, the whole and every row, to paste into an issue or an appendix."""

from __future__ import annotations

from kcomplexity.report.tables import Table
from kcomplexity.results.records import Document
from kcomplexity.text import printable

__all__ = ["markdown_bytes"]


def markdown_bytes(report: Document) -> bytes:
    """Return the report as a Markdown page."""
    parts = ["# Weight complexity", *(f"- {printable(text)}" for text in report.headline)]
    parts += [_markdown(table) for table in report.tables()]
    parts += [f"- {line}" for line in report.remarks()]
    source = report.provenance
    parts.append(f"kcomplexity {source.version}, seed {source.seed}: `{printable(source.command)}`")
    return ("\n\n".join(parts) + "\n").encode()


def _markdown(table: Table) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = tuple("---:" if i in table.numeric else "---" for i in range(len(table.columns)))
    rows = [line(table.columns), line(rule), *(line(row) for row in table.rows)]
    title = table.title[:1].upper() + table.title[1:]
    caption = "".join(f"\n\n{line}" for line in table.caption.splitlines())
    return f"## {title}\n\n" + "\n".join(rows) + caption
