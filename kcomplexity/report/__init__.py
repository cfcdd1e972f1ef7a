"""Writing results to files, in the format that the ending of the name asks for.

A writer is a function from a :class:`~kcomplexity.results.documents.Document` to bytes.
:func:`save` writes them to a temporary file next to the target and renames it, so that a result is
there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kcomplexity.errors import SpecError
from kcomplexity.files.atomic import check_writable, write_atomically
from kcomplexity.registry import Registry
from kcomplexity.report import writers
from kcomplexity.report.markup import markdown_bytes
from kcomplexity.results.documents import Document
from kcomplexity.text import printable

__all__ = ["FORMATS", "check_target", "format_of", "save"]


def check_format(_name: str, thing: object) -> str | None:
    """Return why `thing` cannot be registered as an output format, or None."""
    return None if callable(thing) else f"expected a function, got {printable(repr(thing))}"


#: Every format by the ending it has.
FORMATS: Registry[Callable[[Document], bytes]] = Registry(
    "kcomplexity.formats", "output format", check_format
)


def format_of(path: Path, kind: str | None = None) -> str:
    """Return the format that a path's ending, or `kind`, asks for; SpecError if it is unknown."""
    name = (kind or path.suffix.lstrip(".")).lower()
    if name not in FORMATS:
        raise SpecError(
            f"{path}: cannot tell the output format from {repr(name) if name else 'no ending'}; "
            f"end the name in one of {', '.join('.' + known for known in FORMATS)}"
        )
    return name


def check_target(path: Path) -> str:
    """Return the format of a result to come, or raise at once why it could not be written."""
    name = format_of(path)
    if name == "parquet":
        writers.require_pyarrow()
    check_writable(path)
    return name


def save(result: Document, path: Path, kind: str | None = None) -> None:
    """Write `result` to `path`, whole or not at all: what was there before is left as it was."""
    write_atomically(path, FORMATS[format_of(path, kind)](result))


FORMATS.register("json", writers.json_bytes)
FORMATS.register("jsonl", writers.jsonl_bytes)
FORMATS.register("csv", writers.csv_bytes)
FORMATS.register("md", markdown_bytes)
FORMATS.register("parquet", writers.parquet_bytes)
