"""Records made again from their JSON form, by the types of their fields."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["record_of"]

T = TypeVar("T")


def record_of(cls: type[T], values: Mapping[str, Any]) -> T:
    """Return the frozen dataclass `cls` whose JSON form is `values`.

    Lists become tuples and objects become records, as the fields' types say. Fields that are
    missing take their defaults; entries that are no field of `cls` are left out.

    Raises
    ------
    TypeError, ValueError
        If a field without a default is missing, or a record is not an object.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"expected an object for {cls.__name__}, not {values!r:.40}")
    hints = get_type_hints(cls)
    known = {f.name: _value(hints[f.name], values[f.name]) for f in _fields(cls, values)}
    try:
        return cls(**known)
    except TypeError as error:
        raise ValueError(str(error).partition(" ")[2]) from None


def _fields(cls: Any, values: Mapping[str, Any]) -> list[Any]:
    return [f for f in fields(cls) if f.init and f.name in values]


def _value(hint: Any, value: Any) -> Any:
    """Return a JSON value as the type `hint`."""
    if value is None:
        return None
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        (hint,) = (other for other in arguments if other is not type(None))
        return _value(hint, value)
    if kind is tuple and isinstance(value, list):
        hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_value(h, item) for h, item in zip(hints, value, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        # A record that reads its own JSON form knows what older versions lack.
        own = getattr(hint, "from_dict", None)
        return own(value) if own is not None else record_of(hint, value)
    return value
