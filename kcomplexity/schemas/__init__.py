"""JSON Schemas (draft 2020-12) of every document the tool prints.

Written by hand from the records, as the contract with programs that read the documents; a test
keeps the two the same. ``schema_version`` rises only on a breaking change.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from kcomplexity.errors import SpecError

__all__ = ["load_schema", "schema_names"]


def schema_names() -> tuple[str, ...]:
    """Return the names of the documents that have a schema.

    Examples
    --------
    >>> schema_names()
    ('estimators', 'fit', 'inspect', 'plan', 'score', 'sweep')
    """
    found = [entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".json")]
    return tuple(sorted(name.removesuffix(".json") for name in found))


def load_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document.

    Raises
    ------
    SpecError
        If there is no such document; the message lists them.

    Examples
    --------
    >>> load_schema("score")["properties"]["schema_version"]["const"]
    1
    """
    if name not in schema_names():
        raise SpecError(f"no schema {name!r}: expected one of {', '.join(schema_names())}")
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
