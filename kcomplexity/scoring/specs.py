"""Specs: the names of what is measured.

::

    spec  = name(:param)*[@view]
    view  = name(:param)*[/split]
    param = value (the first only) | key=value

``zstd:19@bytes/planes``, ``entropy@q8``, ``entropy:two-part@rd0.01``. The text of a parsed spec is
canonical: lower case, parameters in the order they are declared, defaults left out. Equal text
means an equal definition, for ever.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterable
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, TypeVar

from kcomplexity.errors import SpecError
from kcomplexity.estimators import ESTIMATORS, Estimator
from kcomplexity.registry import Registry
from kcomplexity.views import VIEWS, View

T = TypeVar("T", Estimator, View)


@dataclass(frozen=True)
class Spec:
    """One thing to measure: an estimator, and the view it looks through.

    Attributes
    ----------
    estimator : Estimator
    view : View or None
        None for estimators that see the weights themselves.
    """

    estimator: Estimator
    view: View | None

    def __str__(self) -> str:
        name = self.estimator_text
        return name if self.view is None else f"{name}@{self.view_text}"

    @property
    def estimator_text(self) -> str:
        """The canonical text of the estimator alone."""
        return _text(ESTIMATORS, self.estimator)

    @property
    def target_mse(self) -> float | None:
        """The relative squared error that the view, or else the estimator, is asked to reach."""
        error = self.view.target_mse if self.view else None
        return self.estimator.target_mse if error is None else error

    @property
    def view_text(self) -> str | None:
        """The canonical text of the view alone."""
        if self.view is None:
            return None
        split = f"/{self.view.split}" if self.view.split else ""
        return _text(VIEWS, self.view) + split


def parse_specs(texts: Iterable[str]) -> tuple[Spec, ...]:
    """Parse specs, each once, in their order."""
    return tuple(dict.fromkeys(parse_spec(text) for text in texts))


def listed(texts: str | Iterable[str] | None) -> list[str] | None:
    """Return the texts; a single one may hold several, with commas between them.

    Examples
    --------
    >>> listed("zstd:19@bytes,entropy@q8"), listed(["l2"])
    (['zstd:19@bytes', 'entropy@q8'], ['l2'])
    """
    if isinstance(texts, str):
        return [text for text in texts.split(",") if text.strip()]
    return None if texts is None else list(texts)


def parse_spec(text: str) -> Spec:
    """Parse one spec.

    Raises
    ------
    SpecError
        If it names no estimator, view or split, or a parameter has no such name or value.

    Examples
    --------
    >>> str(parse_spec("ZSTD:3@bytes/planes"))
    'zstd@bytes/planes'
    >>> str(parse_spec("entropy"))
    'entropy@q8'
    """
    name, at, view_text = text.strip().lower().partition("@")
    estimator = _build(ESTIMATORS, name, text)
    if estimator.default_view is None:
        if at:
            raise SpecError(f"{text!r}: {name} sees the weights themselves; leave out @{view_text}")
        return Spec(estimator, None)
    if at and not view_text:
        raise SpecError(f"{text!r}: a view is missing after @; known: {', '.join(VIEWS)}")
    return Spec(estimator, _parse_view(view_text or estimator.default_view, text))


def _parse_view(view_text: str, text: str) -> View:
    name, slash, split = view_text.partition("/")
    view = _build(VIEWS, name, text, split=split or None)
    if slash and split not in view.splits:
        known = ", ".join(view.splits) or "none"
        raise SpecError(f"{text!r}: {name} has no split {split!r}; its splits: {known}")
    return view


def _build(registry: Registry[type[T]], text: str, whole: str, **extra: Any) -> T:
    """Build the frozen dataclass that ``name:value:key=value`` stands for."""
    head, *rest = text.split(":")
    name, first = _split_suffix(registry, head)
    cls = registry.lookup(name)
    known = parameters(cls)
    values: dict[str, Any] = {}
    usage = f"its parameters: {', '.join(f.name for f in known) or 'none'}"
    for position, word in enumerate(first + rest):
        key, equals, value = word.partition("=")
        if not equals:
            if position or not known:
                raise SpecError(f"{whole!r}: {word!r} needs a name: {usage}")
            key, value = known[0].name, word
        key = key.replace("-", "_")
        parameter = next((f for f in known if f.name == key), None)
        if parameter is None or key in values:
            what = "is given twice" if parameter else "is no parameter"
            raise SpecError(f"{whole!r}: {key!r} {what} of {name}: {usage}")
        values[key] = _value(cls, parameter, value, whole)
    missing = [f.name for f in known if f.default is MISSING and f.name not in values]
    if missing:
        raise SpecError(
            f"{whole!r}: {name} needs a value for {missing[0]} right after it, as in q8 or rd0.01"
        )
    return cls(**values, **extra)


def _split_suffix(registry: Registry[type[T]], head: str) -> tuple[str, list[str]]:
    """Split ``q8`` into its name and its first parameter; a name that has digits comes first."""
    match = re.fullmatch(r"([a-z-]+)(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", head)
    if not match or registry.known(head):
        return head, []
    if not registry.known(match[1]) and head in registry:  # the other packages' names
        return head, []
    cls = registry.get(match[1])
    return (match[1], [match[2]]) if cls and takes_suffix(cls) else (head, [])


def takes_suffix(cls: type[Any]) -> bool:
    """Whether the first parameter is part of the name: it is when it has no default."""
    known = parameters(cls)
    return bool(known) and known[0].default is MISSING


def parameters(cls: type[Any]) -> list[Field[Any]]:
    """Return the fields that a spec can set."""
    return [f for f in fields(cls) if f.init and f.name != "split"]


def _value(cls: type[Any], param: Field[Any], text: str, whole: str) -> Any:
    hint = typing.get_type_hints(cls)[param.name]
    hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    names = {int: "a whole number", float: "a number", str: "a word"}
    kinds = [kind for kind in hints if kind in names]
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    expected = " or ".join(names[kind] for kind in kinds)
    raise SpecError(f"{whole!r}: {param.name}={text!r} is not {expected}")


def _text(registry: Registry[type[T]], thing: T) -> str:
    """Return the canonical text of one estimator or view."""
    name = registry.name_of(type(thing))
    for position, param in enumerate(parameters(type(thing))):
        value = getattr(thing, param.name)
        if param.default is MISSING:
            name += _number(value)
        elif value != param.default:
            key = "" if position == 0 else f"{param.name.replace('_', '-')}="
            name += f":{key}{_number(value)}"
    return name


def _number(value: object) -> str:
    # The shortest text that reads back as the same number: equal text, equal definition.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
