"""JSON Schemas (draft 2020-12) of every document the tool prints.

Written by hand from the records, as the contract with programs that read the documents; a test
compares the two. ``schema_version`` rises only on a breaking change.

Definitions that several documents need stand once, in ``shared.json``. A file refers to one as
``shared.json#/$defs/NAME``; a record that adds properties to a shared one names it in ``extends``.
:func:`load_schema` resolves both, so a printed schema is complete and standard.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from kcomplexity.errors import SpecError

__all__ = ["load_schema", "schema_names"]

_SHARED = "shared"
_PREFIX = f"{_SHARED}.json#/$defs/"


def schema_names() -> tuple[str, ...]:
    """Return the names of the documents that have a schema.

    Examples
    --------
    >>> {"compare", "inspect", "score"} <= set(schema_names())
    True
    """
    names = {entry.name for entry in files(__name__).iterdir() if entry.name.endswith(".json")}
    return tuple(sorted(name.removesuffix(".json") for name in names - {f"{_SHARED}.json"}))


def load_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a document.

    Raises
    ------
    SpecError
        If no document has that name; the message lists them.

    Examples
    --------
    >>> load_schema("score")["properties"]["schema_version"]["const"]
    1
    """
    if name not in schema_names():
        raise SpecError(f"no schema {name!r}: expected one of {', '.join(schema_names())}")
    shared = _read(_SHARED)["$defs"]
    used: dict[str, Any] = {}
    schema: dict[str, Any] = _resolve(_read(name), shared, used)
    return schema | {"$defs": used | schema.get("$defs", {})}


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    )
    return content


def _resolve(part: Any, shared: dict[str, Any], used: dict[str, Any]) -> Any:
    """Return `part` with local references only; put the shared definitions it needs in `used`."""
    if isinstance(part, list):
        return [_resolve(item, shared, used) for item in part]
    if not isinstance(part, dict):
        return part
    if "extends" in part:
        base = shared[part["extends"].removeprefix(_PREFIX)]
        merged = base | {key: value for key, value in part.items() if key != "extends"}
        merged["required"] = [*base["required"], *part["required"]]
        merged["properties"] = base["properties"] | part["properties"]
        return _resolve(merged, shared, used)
    resolved = {key: _resolve(value, shared, used) for key, value in part.items()}
    if part.get("$ref", "").startswith(_PREFIX):
        name = part["$ref"].removeprefix(_PREFIX)
        if name not in used:
            used[name] = {}  # in case it refers to itself
            used[name] = _resolve(shared[name], shared, used)
        resolved["$ref"] = f"#/$defs/{name}"
    return resolved
