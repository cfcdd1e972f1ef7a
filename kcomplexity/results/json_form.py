"""Records as JSON, and back: plain values, documents, lines of text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

#: Rises only on a breaking change; readers accept older ones.
SCHEMA_VERSION = 1


def plain(value: Any) -> Any:
    """Return a record as JSON values: dicts, lists, strings, numbers; null for NaN.

    Examples
    --------
    >>> plain({"shape": (2, 3), "value": float("nan")})
    {'shape': [2, 3], 'value': None}
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _field_names(value.__class__)}
    item: Callable[[], Any] | None = getattr(value, "item", None)
    return plain(item()) if item is not None else value  # a NumPy scalar


@cache
def _field_names(record_type: Any) -> tuple[str, ...]:
    """Return the names of the fields, looked up once: a result may have 100,000 rows."""
    return tuple(f.name for f in fields(record_type))


def versioned(record: Any) -> dict[str, Any]:
    """Return a result as its JSON document, which opens with the version of its schema."""
    document: dict[str, Any] = plain(record)
    return {"schema_version": document.pop("schema_version")} | document


def rebuilt(record_type: Callable[..., T], values: Mapping[str, Any]) -> T:
    """Return the frozen dataclass whose JSON form is `values`; the inverse of :func:`plain`.

    Nested records, tuples and mappings are rebuilt by the types of the fields. A record type with a
    static ``from_dict`` rebuilds itself. Keys that a later version may write are ignored.

    Raises
    ------
    TypeError, ValueError, AttributeError, LookupError
        If the values do not fit the fields.
    """
    types = _field_types(record_type)
    return record_type(
        **{name: _as_type(types[name], value) for name, value in values.items() if name in types}
    )


@cache
def _field_types(record_type: Any) -> dict[str, Any]:
    hints = get_type_hints(record_type)
    return {name: hints[name] for name in _field_names(record_type)}


def _as_type(annotation: Any, value: Any) -> Any:
    """Return a JSON value as the type of its field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if value is None:
        return None
    if origin in (Union, UnionType):
        # Records have X | None, and unions of plain numbers.
        return _as_type(next(kind for kind in arguments if kind is not NoneType), value)
    if origin is tuple:
        types = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(map(_as_type, types, value))
    if origin in (dict, Mapping):
        return {key: _as_type(arguments[1], item) for key, item in value.items()}
    if isinstance(annotation, type) and is_dataclass(annotation):
        own: Callable[[Any], Any] | None = getattr(annotation, "from_dict", None)
        return own(value) if own else rebuilt(annotation, value)
    return value


def json_text(document: dict[str, Any]) -> str:
    """Return a document as it is printed and written: one field a line, no final newline.

    Examples
    --------
    >>> print(json_text({"schema_version": 1}))
    {
     "schema_version": 1
    }
    """
    return json.dumps(document, indent=1, allow_nan=False)


def json_line(record: str, values: Mapping[str, Any]) -> bytes:
    """Return one line of JSON lines, whose field ``record`` says what it is."""
    return (json.dumps({"record": record, **values}, allow_nan=False) + "\n").encode()


def read_lines(data: bytes) -> list[dict[str, Any]]:
    """Parse JSON lines; a last line that was cut while it was written is ignored.

    Raises
    ------
    ValueError
        If another line is not a JSON object.
    """
    lines = [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
    records = [json.loads(line) for line in lines if line.strip()]
    if not all(isinstance(record, dict) for record in records):
        raise ValueError("a line is not a JSON object")
    return records
