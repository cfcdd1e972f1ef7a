"""``kcomplexity estimators``: everything a spec can name, from the registries themselves.

The listing is one plain document (:func:`_catalogue`); ``--json`` prints it, the tables are made
from it.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from functools import partial
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from kcomplexity.controls import Control
    from kcomplexity.estimators import Estimator
    from kcomplexity.registry import Registry
    from kcomplexity.report.tables import Table
    from kcomplexity.specs import Spec
    from kcomplexity.views import View

__all__ = ["estimators"]

_WIDTH = 100
_KINDS = {
    "code": "code: something can decode it, so its bits are what the weights need",
    "estimate": "estimate: nothing can decode it",
    "statistic": "statistic: not in bits",
}
_GRAMMAR = """\
A spec is estimator[:value][:name=value]@view[/split], such as zstd:19@bytes/planes, entropy@q8 or
entropy:two-part@rd0.01. Without @view the estimator takes the view listed with it. More of one:
kcomplexity estimators zstd"""

Entry = dict[str, Any]


def _complete(_context: click.Context, _param: click.Parameter, start: str) -> list[str]:
    from kcomplexity.controls import CONTROLS
    from kcomplexity.estimators import ESTIMATORS
    from kcomplexity.panels import PANELS
    from kcomplexity.views import VIEWS

    names = [*ESTIMATORS, *VIEWS, *CONTROLS, *PANELS]
    return [name for name in names if name.startswith(start)]


@click.command(
    epilog="""\b
Examples:
  kcomplexity estimators
  kcomplexity estimators zstd
  kcomplexity estimators q                 (a view)
  kcomplexity estimators default           (a panel)
  kcomplexity estimators --json
""",
)
@click.argument("name", required=False, shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def estimators(name: str | None, as_json: bool) -> None:
    """List what can be measured: estimators, views, controls and panels; or tell all about NAME.

    Those of other packages are listed with them.
    """
    catalogue = _catalogue()
    if name is not None:
        catalogue = _only(catalogue, name.strip().lower())
    if as_json:
        click.echo(json.dumps({"schema_version": 1} | catalogue, indent=1, allow_nan=False))
    elif name is not None:
        for kind, entries in catalogue.items():
            for entry in entries:
                _show_one(kind, entry)
    else:
        _show_all(catalogue)


def _catalogue() -> dict[str, list[Entry]]:
    """Return everything that is registered; what cannot be listed is told on stderr."""
    from kcomplexity.controls import CONTROLS
    from kcomplexity.estimators import ESTIMATORS
    from kcomplexity.panels import PANELS
    from kcomplexity.specs import parse_specs
    from kcomplexity.views import VIEWS

    used = parse_specs(text for panel in PANELS.values() for text in panel.specs)
    catalogue = {
        "estimators": _listed(ESTIMATORS, partial(_estimator, used=used)),
        "views": _listed(VIEWS, partial(_view, used=used)),
        "controls": _listed(CONTROLS, _control),
        "panels": [_panel(name) for name in PANELS],
    }
    _tell_broken([ESTIMATORS, VIEWS, CONTROLS])
    return catalogue


def _listed(registry: Registry[Any], describe: Callable[[str, Any], Entry]) -> list[Entry]:
    from kcomplexity_cli.terminal import note

    found = []
    for name, thing in registry.items():
        try:
            found.append(describe(name, thing))
        # A plug-in that breaks the contract in any way must not hide the others.
        except Exception as error:  # noqa: BLE001
            note(f"{registry.noun} {name!r} cannot be listed: {type(error).__name__}: {error}")
    return found


def _tell_broken(registries: Iterable[Registry[Any]]) -> None:
    """Say on stderr which entry points of other packages could not be imported, and why."""
    from importlib.metadata import entry_points

    from kcomplexity.errors import SpecError
    from kcomplexity_cli.terminal import note

    known = entry_points()
    for registry in registries:
        for name in known.select(group=registry.group).names - set(registry):
            try:
                registry.lookup(name)
            except SpecError as error:
                note(str(error))


def _estimator(name: str, cls: type[Estimator], *, used: Iterable[Spec]) -> Entry:
    from kcomplexity.specs import parameters, parse_spec

    known = parameters(cls)
    # One whose first value belongs to its name has no default; its class must tell the kind then.
    kind = str(cls.kind) if _is_glued(known) else cls().kind
    view = cls.default_view
    specs = [str(spec) for spec in used if type(spec.estimator) is cls]
    if not specs and not _is_glued(known):
        specs = [f"{name}@{view}" if view else name]
    return {
        "name": name,
        "usage": _usage(name, known) + ("[@VIEW[/SPLIT]]" if view else ""),
        "summary": cls.summary,
        "kind": kind,
        "unit": cls.unit,
        "direction": cls.direction,
        "positional": cls.positional,
        "default_view": view,
        "reference": cls.reference,
        "parameters": _parameters(known),
        "examples": [{"spec": text, "kind": parse_spec(text).estimator.kind} for text in specs],
        "description": _description(cls),
    }


def _view(name: str, cls: type[View], *, used: Iterable[Spec]) -> Entry:
    from kcomplexity.specs import parameters

    known = parameters(cls)
    texts = [spec.view_text for spec in used if type(spec.view) is cls]
    examples = list(dict.fromkeys(texts))
    return {
        "name": name,
        "usage": _usage(name, known) + (f"[/{'|'.join(cls.splits)}]" if cls.splits else ""),
        "summary": _first_line(cls),
        "lossless": cls.lossless,
        "splits": list(cls.splits),
        "parameters": _parameters(known),
        "examples": examples or ([] if _is_glued(known) else [name]),
        "description": _description(cls),
    }


def _control(name: str, cls: type[Control]) -> Entry:
    words = [f for f in fields(cls) if f.name != "n"]
    count = next(f for f in fields(cls) if f.name == "n")
    return {
        "name": name,
        "usage": ":".join([name, *(f.name.upper() for f in words)]) + "[:N]",
        "summary": cls.summary,
        "keeps_values": cls.keeps_values,
        "parameters": _parameters([*words, count]),
        "description": _description(cls),
    }


def _panel(name: str) -> Entry:
    from kcomplexity.panels import panel
    from kcomplexity.specs import parse_spec

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


def _is_glued(known: list[Field[Any]]) -> bool:
    """Whether the first parameter is part of the name, as in q8: it has no default then."""
    return bool(known) and known[0].default is MISSING


def _usage(name: str, known: list[Field[Any]]) -> str:
    text = name
    for i, param in enumerate(known):
        key, value = param.name.replace("_", "-"), param.name.upper()
        if i == 0:
            text += value if _is_glued(known) else f"[:{value}]"
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


def _only(catalogue: Mapping[str, list[Entry]], name: str) -> dict[str, list[Entry]]:
    """Return the catalogue with the one entry that `name`, or a spec that opens so, means."""
    from kcomplexity.estimators import ESTIMATORS

    head = re.split("[:@/]", name.lstrip("@"))[0]
    for kind, entries in catalogue.items():
        # q8 is the view q with a value.
        named = (head, re.sub(r"[\d.]+$", "", head)) if kind == "views" else (head,)
        for entry in entries:
            if entry["name"] in named:
                return {key: [entry] if key == kind else [] for key in catalogue}
    ESTIMATORS.lookup(head)  # raises, and names the nearest
    return {key: [] for key in catalogue}


def _show_all(catalogue: Mapping[str, list[Entry]]) -> None:
    from kcomplexity_cli.terminal import plain_text

    # Plain text on a terminal too: the lines are wrapped to their width already.
    click.echo(plain_text(_estimator_table(catalogue["estimators"])))
    click.echo(plain_text(_view_table(catalogue["views"])))
    click.echo(plain_text(_control_table(catalogue["controls"])))
    click.echo(plain_text(_panel_table(catalogue["panels"])))
    click.echo(_GRAMMAR)


def _estimator_table(entries: Iterable[Entry]) -> Table:
    rows = [
        (
            entry["name"],
            "/".join(_kinds(entry)),
            "yes" if entry["positional"] else "no",
            f"@{entry['default_view']}" if entry["default_view"] else "",
            entry["summary"] + _odd_unit(entry),
        )
        for entry in entries
    ]
    columns = ("estimator", "kind", "order?", "view", "what it measures")
    title = "estimators: bits, lower = simpler, unless it says otherwise; order?: does order count"
    return _table(title, columns, rows)


def _kinds(entry: Entry) -> list[str]:
    """Return its kind, and those that it has with other parameters."""
    return list(dict.fromkeys([entry["kind"], *(found["kind"] for found in entry["examples"])]))


def _odd_unit(entry: Entry) -> str:
    usual = entry["unit"] == "bits" and entry["direction"] == "lower = simpler"
    return "" if usual else f" ({entry['unit']}; {entry['direction']})"


def _view_table(entries: Iterable[Entry]) -> Table:
    rows = [
        (
            entry["usage"].partition("[/")[0],
            "yes" if entry["lossless"] else "no",
            ", ".join(f"/{split}" for split in entry["splits"]),
            entry["summary"],
        )
        for entry in entries
    ]
    columns = ("view", "lossless?", "splits", "how weights become symbols")
    return _table("views: after @", columns, rows)


def _control_table(entries: Iterable[Entry]) -> Table:
    rows = [(entry["usage"], entry["summary"]) for entry in entries]
    return _table("controls: for --control", ("control", "what is left to chance"), rows)


def _panel_table(entries: Iterable[Entry]) -> Table:
    rows = []
    for entry in entries:
        rows.append((entry["name"], entry["summary"]))
        rows += [("", line) for line in _wrapped(", ".join(map(_spec, entry["specs"])), 80)]
    return _table("panels: for --panel", ("panel", "its specs"), rows)


def _spec(entry: Entry) -> str:
    against = f" (against {', '.join(entry['controls'])})" if entry["controls"] else ""
    return f"{entry['spec']}{against}"


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a table whose last column is wrapped, so that no line is wider than it should be."""
    from kcomplexity.report.tables import Table
    from kcomplexity.text import printable

    cells = [tuple(printable(cell) for cell in row) for row in rows]
    others = [max(len(row[i]) for row in [columns, *cells]) + 2 for i in range(len(columns) - 1)]
    lines: list[tuple[str, ...]] = []
    for row in cells:
        first, *more = _wrapped(row[-1], _WIDTH - sum(others)) or [""]
        lines.append((*row[:-1], first))
        lines += [("",) * len(others) + (text,) for text in more]
    return Table(title, columns, tuple(lines))


def _wrapped(text: str, width: int) -> list[str]:
    # A spec is one word, hyphens and all.
    return textwrap.wrap(text, max(width, 30), break_on_hyphens=False, break_long_words=False)


def _show_one(kind: str, entry: Entry) -> None:
    """Print all there is to say of one entry."""
    from kcomplexity.text import printable

    click.echo(f"{printable(entry['name'])}: {printable(entry['summary'])}\n")
    facts = [(name, text) for name, text in _facts(kind, entry) if text]
    width = max(len(name) for name, _ in facts) + 4
    for name, text in facts:
        first, *more = _wrapped(printable(text), _WIDTH - width)
        click.echo(f"  {name}".ljust(width) + first)
        for line in more:
            click.echo(" " * width + line)
    description = str(entry.get("description", "")).removeprefix(f"{entry['summary']}.").strip()
    for line in ["", *description.splitlines()] if description else []:
        click.echo(f"  {printable(line)}".rstrip())


def _facts(kind: str, entry: Entry) -> list[tuple[str, str]]:
    if kind == "panels":
        specs = [("spec" if i == 0 else "", _spec(spec)) for i, spec in enumerate(entry["specs"])]
        without = ("without", ", ".join(entry["exclude"]))
        return [*specs, ("scope", entry["scope"]), without, ("mind", entry["warning"])]
    usage = [("written", entry["usage"]), *_parameter_facts(entry["parameters"])]
    if kind == "views":
        return [
            *usage,
            (
                "lossless",
                "yes" if entry["lossless"] else "no: symbols do not tell the stored weights",
            ),
            ("splits", ", ".join(f"/{split}" for split in entry["splits"])),
            ("examples", ", ".join(entry["examples"])),
        ]
    if kind == "controls":
        keeps = (
            "yes: specs that see no positions are not repeated" if entry["keeps_values"] else "no"
        )
        return [*usage, ("keeps values", keeps)]
    view = entry["default_view"]
    return [
        *(("kind" if i == 0 else "", _KINDS[kind]) for i, kind in enumerate(_kinds(entry))),
        ("unit", f"{entry['unit']}; {entry['direction']}"),
        ("sees order", "yes" if entry["positional"] else "no: shuffles are not repeated"),
        ("default view", f"@{view}" if view else "none: it sees the weights themselves"),
        *usage,
        ("examples", ", ".join(_example(found, entry) for found in entry["examples"])),
        ("reference", entry["reference"]),
    ]


def _example(found: Entry, entry: Entry) -> str:
    """Return a spec, and its kind where that is not the usual one."""
    odd = "" if found["kind"] == entry["kind"] else f" ({found['kind']})"
    return f"{found['spec']}{odd}"


def _parameter_facts(parameters: list[Entry]) -> list[tuple[str, str]]:
    def text(param: Entry) -> str:
        if param["required"]:
            return f"{param['name']}: has to be given"
        default = "none" if param["default"] is None else param["default"]
        return f"{param['name']}: {default} by default"

    return [
        ("parameters" if i == 0 else "", text(parameter)) for i, parameter in enumerate(parameters)
    ]
