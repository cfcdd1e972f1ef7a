"""``kcomplexity estimators``: everything a spec can name, from the registries themselves.

The listing is one plain document (:mod:`kcomplexity_cli.catalogue`); ``--json`` prints it, the
tables are made from it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.options import completed_from, json_option

if TYPE_CHECKING:
    from kcomplexity.report.table import Table
    from kcomplexity_cli.catalogue import Catalogue, Entry

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


def _names() -> Iterable[str]:
    from kcomplexity.controls import CONTROLS
    from kcomplexity.estimators import ESTIMATORS
    from kcomplexity.scoring.panels import PANELS
    from kcomplexity.views import VIEWS

    return (*ESTIMATORS, *VIEWS, *CONTROLS, *PANELS)


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
@click.argument("name", required=False, shell_complete=completed_from(_names))
@json_option
def estimators(name: str | None, as_json: bool) -> None:
    """List what can be measured: estimators, views, controls and panels; or tell all about NAME.

    Those of other packages are listed with them.
    """
    from kcomplexity.results.json_form import SCHEMA_VERSION
    from kcomplexity_cli.catalogue import catalogue, only
    from kcomplexity_cli.terminal import note, print_json

    found, missing = catalogue()
    for line in missing:
        note(line)
    if name is not None:
        found = only(found, name.strip().lower())
    if as_json:
        print_json({"schema_version": SCHEMA_VERSION} | found)
    elif name is not None:
        for kind, entries in found.items():
            for entry in entries:
                _show_one(kind, entry)
    else:
        _show_all(found)


def _show_all(catalogue: Catalogue) -> None:
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


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    """Return a table whose last column is wrapped, so that no line is wider than it should be."""
    from kcomplexity.report.table import Table, columns
    from kcomplexity.text import printable

    cells = [tuple(printable(cell) for cell in row) for row in rows]
    others = [max(len(row[i]) for row in [names, *cells]) + 2 for i in range(len(names) - 1)]
    lines: list[tuple[str, ...]] = []
    for row in cells:
        first, *more = _wrapped(row[-1], _WIDTH - sum(others)) or [""]
        lines.append((*row[:-1], first))
        lines += [("",) * len(others) + (text,) for text in more]
    return Table(title, columns(*names), tuple(lines))


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
