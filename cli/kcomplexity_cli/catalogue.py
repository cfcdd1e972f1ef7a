"""The catalogue: everything a spec can name, as plain data, from the registries themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, fields
from functools import partial
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kcomplexity.controls import Control
    from kcomplexity.estimators import Estimator
    from kcomplexity.registry import Registry
    from kcomplexity.scoring.specs import Spec
    from kcomplexity.views import View

__all__ = ["Catalogue", "Entry", "catalogue", "only"]

#: One thing and what there is to say of it; JSON values.
Entry = dict[str, Any]
#: Entries by kind: estimators, views, controls, panels.
Catalogue = dict[str, list[Entry]]


def catalogue() -> tuple[Catalogue, list[str]]:
    """Return everything that is registered, and why anything that should be here is not."""
    from kcomplexity.controls import CONTROLS
    from kcomplexity.estimators import ESTIMATORS
    from kcomplexity.scoring.panels import PANELS
    from kcomplexity.scoring.specs import parse_specs
    from kcomplexity.views import VIEWS

    used = parse_specs(text for panel in PANELS.values() for text in panel.specs)
    missing: list[str] = []
    found = {
        "estimators": _listed(ESTIMATORS, partial(_estimator, used=used), missing),
        "views": _listed(VIEWS, partial(_view, used=used), missing),
        "controls": _listed(CONTROLS, _control, missing),
        "panels": [_panel(name) for name in PANELS],
    }
    return found, missing


def only(everything: Catalogue, name: str) -> Catalogue:
    """Return the catalogue with the one entry that `name`, or a spec that opens so, means."""
    from kcomplexity.estimators import ESTIMATORS

    head = re.split("[:@/]", name.lstrip("@"))[0]
    for kind, entries in everything.items():
        # q8 is the view q with a value.
        named = (head, re.sub(r"[\d.]+$", "", head)) if kind == "views" else (head,)
        for entry in entries:
            if entry["name"] in named:
                return {key: [entry] if key == kind else [] for key in everything}
    ESTIMATORS.lookup(head)  # raises, and names the nearest
    return {key: [] for key in everything}


def _listed(
    registry: Registry[Any], describe: Callable[[str, Any], Entry], missing: list[str]
) -> list[Entry]:
    """Describe each entry; say of those that cannot be, in `missing`, why."""
    found = []
    for name, thing in registry.items():
        try:
            found.append(describe(name, thing))
        # A plug-in that breaks the contract in any way must not hide the others.
        except Exception as error:  # noqa: BLE001
            missing.append(
                f"{registry.noun} {name!r} cannot be listed: {type(error).__name__}: {error}"
            )
    missing += [
        f"{registry.noun} {name!r} cannot be used: {reason}"
        for name, reason in registry.broken.items()
    ]
    return found


def _estimator(name: str, cls: type[Estimator], *, used: Iterable[Spec]) -> Entry:
    from kcomplexity.scoring.specs import is_glued, parameters, parse_spec

    # One whose first value belongs to its name has no default; its class must tell the kind then.
    kind = str(cls.kind) if is_glued(cls) else cls().kind
    view = cls.default_view
    specs = [str(spec) for spec in used if type(spec.estimator) is cls]
    if not specs and not is_glued(cls):
        specs = [f"{name}@{view}" if view else name]
    return {
        "name": name,
        "usage": _usage(name, cls) + ("[@VIEW[/SPLIT]]" if view else ""),
        "summary": cls.summary,
        "kind": kind,
        "unit": cls.unit,
        "direction": cls.direction,
        "positional": cls.positional,
        "default_view": view,
        "reference": cls.reference,
        "parameters": _parameters(parameters(cls)),
        "examples": [{"spec": text, "kind": parse_spec(text).estimator.kind} for text in specs],
        "description": _description(cls),
    }


def _view(name: str, cls: type[View], *, used: Iterable[Spec]) -> Entry:
    from kcomplexity.scoring.specs import is_glued, parameters

    texts = [spec.view_text for spec in used if type(spec.view) is cls]
    examples = list(dict.fromkeys(texts))
    return {
        "name": name,
        "usage": _usage(name, cls) + (f"[/{'|'.join(cls.splits)}]" if cls.splits else ""),
        "summary": _first_line(cls),
        "lossless": cls.lossless,
        "splits": list(cls.splits),
        "parameters": _parameters(parameters(cls)),
        "examples": examples or ([] if is_glued(cls) else [name]),
        "description": _description(cls),
    }


def _control(name: str, cls: type[Control]) -> Entry:
    from kcomplexity.controls.base import usage, words_of

    count = next(f for f in fields(cls) if f.name == "n")
    return {
        "name": name,
        "usage": usage(name, cls),
        "summary": cls.summary,
        "keeps_values": cls.keeps_values,
        "parameters": _parameters([*words_of(cls), count]),
        "description": _description(cls),
    }


def _panel(name: str) -> Entry:
    from kcomplexity.scoring.panels import panel
    from kcomplexity.scoring.specs import parse_spec

    found = panel(name)
    specs = [
        {
            "spec": text,
            "kind": parse_spec(text).estimator.kind,
            "controls": list(found.controls.get(text, ())),
        }
        for text in found.specs
    ]
    return {
        "name": name,
        "summary": found.summary,
        "scope": found.scope,
        "exclude": list(found.exclude),
        "warning": found.warning,
        "specs": specs,
    }


def _usage(name: str, cls: type[Any]) -> str:
    from kcomplexity.scoring.specs import is_glued, parameters

    text = name
    for i, param in enumerate(parameters(cls)):
        key, value = param.name.replace("_", "-"), param.name.upper()
        if i == 0:
            text += value if is_glued(cls) else f"[:{value}]"
        else:
            text += f"[:{key}={value}]"
    return text


def _parameters(known: Iterable[Field[Any]]) -> list[Entry]:
    return [
        {
            "name": param.name.replace("_", "-"),
            "required": param.default is MISSING,
            "default": None if param.default is MISSING else param.default,
        }
        for param in known
    ]


def _first_line(cls: type[Any]) -> str:
    return _plain(cls.__doc__).partition("\n")[0].removesuffix(".")


def _description(cls: type[Any]) -> str:
    """Return the class's own page and that of its module, where definitions are."""
    own = cls.__doc__ or ""
    generated = own.startswith(f"{cls.__name__}(")  # by dataclass, for want of a better one
    texts = ("" if generated else own, sys.modules[cls.__module__].__doc__)
    return "\n\n".join(text for text in map(_plain, texts) if text)


def _plain(text: str | None) -> str:
    """Return a docstring without the marks that mean something to Sphinx alone."""
    without_roles = re.sub(r":[a-z]+:`~?([^`]+)`", r"\1", cleandoc(text or ""))
    return without_roles.replace("``", "").strip()
