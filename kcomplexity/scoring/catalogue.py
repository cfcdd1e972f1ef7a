"""The catalogue: everything a spec can name, from the registries themselves, as records."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import partial
from inspect import cleandoc
from typing import Any, TypeAlias, TypeVar

from kcomplexity.controls import CONTROLS, Control
from kcomplexity.controls.base import usage as control_usage
from kcomplexity.controls.base import words_of
from kcomplexity.estimators import ESTIMATORS, Estimator
from kcomplexity.registry import Registry
from kcomplexity.results.json_form import SCHEMA_VERSION, plain
from kcomplexity.scoring.panels import PANELS, Panel
from kcomplexity.scoring.specs import Spec, parameters, parse_spec, parse_specs, takes_suffix
from kcomplexity.views import VIEWS, View


@dataclass(frozen=True)
class Parameter:
    """One parameter of an estimator, a view or a control; `default` is None if it is required."""

    name: str
    required: bool
    default: int | float | str | None


@dataclass(frozen=True)
class Example:
    """A spec, and the kind of its estimator with these parameters."""

    spec: str
    kind: str


@dataclass(frozen=True)
class _Named:
    name: str
    usage: str
    summary: str


@dataclass(frozen=True)
class EstimatorEntry(_Named):
    """An estimator; `summary` to `reference` are its class variables."""

    kind: str
    unit: str
    direction: str
    positional: bool
    default_view: str | None
    reference: str
    parameters: tuple[Parameter, ...]
    examples: tuple[Example, ...]
    description: str

    @property
    def kinds(self) -> tuple[str, ...]:
        """Its kind, and those that it has with other parameters."""
        return tuple(dict.fromkeys([self.kind, *(example.kind for example in self.examples)]))


@dataclass(frozen=True)
class ViewEntry(_Named):
    """A view."""

    lossless: bool
    splits: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    examples: tuple[str, ...]
    description: str


@dataclass(frozen=True)
class ControlEntry(_Named):
    """A randomised control."""

    keeps_values: bool
    parameters: tuple[Parameter, ...]
    description: str


@dataclass(frozen=True)
class PanelSpec(Example):
    """A spec of a panel, with the controls that it is compared with."""

    controls: tuple[str, ...]


@dataclass(frozen=True)
class PanelEntry:
    """A panel of specs."""

    name: str
    summary: str
    scope: str
    exclude: tuple[str, ...]
    warning: str
    specs: tuple[PanelSpec, ...]


Entry: TypeAlias = EstimatorEntry | ViewEntry | ControlEntry | PanelEntry
E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class Catalogue:
    """All that can be measured with; `missing` says why an entry of a plug-in is not listed."""

    estimators: tuple[EstimatorEntry, ...] = ()
    views: tuple[ViewEntry, ...] = ()
    controls: tuple[ControlEntry, ...] = ()
    panels: tuple[PanelEntry, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in order."""
        return (*self.estimators, *self.views, *self.controls, *self.panels)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, which ``kcomplexity schema estimators`` describes."""
        document: dict[str, Any] = plain(self)
        del document["missing"]
        return {"schema_version": SCHEMA_VERSION} | document


def catalogue() -> Catalogue:
    """Return everything that is registered."""
    used = parse_specs(text for panel in PANELS.values() for text in panel.specs)
    missing: list[str] = []
    return Catalogue(
        estimators=_listed(ESTIMATORS, partial(_estimator, used=used), missing),
        views=_listed(VIEWS, partial(_view, used=used), missing),
        controls=_listed(CONTROLS, _control, missing),
        panels=tuple(map(_panel, PANELS.values())),
        missing=tuple(missing),
    )


def only(everything: Catalogue, text: str) -> Catalogue:
    """Return the catalogue with the one entry that `text`, a name or a spec, begins with.

    Raises
    ------
    SpecError
        If there is no such entry, with the nearest names.
    """
    head = re.split("[:@/]", text.strip().lower().lstrip("@"))[0]
    without_value = re.sub(r"[\d.]+$", "", head)  # q8 is the view q with a value
    nothing = Catalogue(missing=everything.missing)
    for kind in ("estimators", "views", "controls", "panels"):
        names = (head, without_value) if kind == "views" else (head,)
        for entry in getattr(everything, kind):
            if entry.name in names:
                return replace(nothing, **{kind: (entry,)})
    ESTIMATORS.lookup(head)  # raises, and names the nearest
    return nothing


def _listed(
    registry: Registry[Any], describe: Callable[[str, Any], E], missing: list[str]
) -> tuple[E, ...]:
    """Describe each entry; add to `missing` why one cannot be."""
    entries = []
    for name, thing in registry.items():
        try:
            entries.append(describe(name, thing))
        # A plug-in that breaks the contract in any way must not hide the others.
        except Exception as error:  # noqa: BLE001
            reason = f"{type(error).__name__}: {error}"
            missing.append(f"{registry.noun} {name!r} cannot be listed: {reason}")
    for name, reason in registry.broken.items():
        missing.append(f"{registry.noun} {name!r} cannot be used: {reason}")
    return tuple(entries)


def _estimator(name: str, cls: type[Estimator], *, used: Iterable[Spec]) -> EstimatorEntry:
    usage = _usage(name, cls)  # first: it says so where the class is not a dataclass
    view = cls.default_view
    specs = [str(spec) for spec in used if type(spec.estimator) is cls]
    if not specs and not takes_suffix(cls):
        specs = [f"{name}@{view}" if view else name]
    return EstimatorEntry(
        name=name,
        usage=usage + ("[@VIEW[/SPLIT]]" if view else ""),
        summary=cls.summary,
        # Where the first parameter has no default there is no instance to ask: the class says it.
        kind=str(cls.kind) if takes_suffix(cls) else cls().kind,
        unit=cls.unit,
        direction=cls.direction,
        positional=cls.positional,
        default_view=view,
        reference=cls.reference,
        parameters=_parameters(parameters(cls)),
        examples=tuple(Example(text, parse_spec(text).estimator.kind) for text in specs),
        description=_description(cls),
    )


def _view(name: str, cls: type[View], *, used: Iterable[Spec]) -> ViewEntry:
    texts = dict.fromkeys(str(spec.view_text) for spec in used if type(spec.view) is cls)
    return ViewEntry(
        name=name,
        usage=_usage(name, cls) + (f"[/{'|'.join(cls.splits)}]" if cls.splits else ""),
        summary=_plain(cls.__doc__).partition("\n")[0].removesuffix("."),
        lossless=cls.lossless,
        splits=cls.splits,
        parameters=_parameters(parameters(cls)),
        examples=tuple(texts) or (() if takes_suffix(cls) else (name,)),
        description=_description(cls),
    )


def _control(name: str, cls: type[Control]) -> ControlEntry:
    return ControlEntry(
        name=name,
        usage=control_usage(name, cls),
        summary=cls.summary,
        keeps_values=cls.keeps_values,
        parameters=_parameters([*words_of(cls), *(f for f in fields(cls) if f.name == "n")]),
        description=_description(cls),
    )


def _panel(panel: Panel) -> PanelEntry:
    specs = tuple(
        PanelSpec(text, parse_spec(text).estimator.kind, tuple(panel.controls.get(text, ())))
        for text in panel.specs
    )
    return PanelEntry(
        panel.name, panel.summary, panel.scope, tuple(panel.exclude), panel.warning, specs
    )


def _usage(name: str, cls: type[Estimator | View]) -> str:
    text = name
    for i, (key, value) in enumerate((_written(p), p.name.upper()) for p in parameters(cls)):
        text += f"[:{key}={value}]" if i else value if takes_suffix(cls) else f"[:{value}]"
    return text


def _parameters(known: Iterable[Field[Any]]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(_written(p), p.default is MISSING, None if p.default is MISSING else p.default)
        for p in known
    )


def _written(parameter: Field[Any]) -> str:
    return parameter.name.replace("_", "-")


def _description(cls: type[Any]) -> str:
    """Return the class's own page and that of its module, where definitions are."""
    own = cls.__doc__ or ""
    generated = own.startswith(f"{cls.__name__}(")  # by dataclass, where there is none
    texts = ("" if generated else own, sys.modules[cls.__module__].__doc__)
    return "\n\n".join(text for text in map(_plain, texts) if text)


def _plain(text: str | None) -> str:
    """Return a docstring without the marks that mean something to Sphinx alone."""
    without_roles = re.sub(r":[a-z]+:`~?([^`]+)`", r"\1", cleandoc(text or ""))
    return without_roles.replace("``", "").strip()
