"""``kcomplexity estimators``: everything a spec can name, from the registries themselves.

The listing is :func:`kcomplexity.scoring.catalogue.catalogue`; ``--json`` prints it, the tables are
made from it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from kcomplexity_cli.options import json_option
from kcomplexity_cli.types import completed_from

if TYPE_CHECKING:
    from kcomplexity.report.table import Table
    from kcomplexity.scoring.catalogue import (
        Catalogue,
        Entry,
        EstimatorEntry,
        Example,
        PanelSpec,
        Parameter,
        ViewEntry,
    )

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
"""
)
@click.argument("name", required=False, shell_complete=completed_from(_names))
@json_option
def estimators(name: str | None, as_json: bool) -> None:
    """List what can be measured: estimators, views, controls and panels; or describe NAME.

    Those of installed plug-ins are listed with them.
    """
    from kcomplexity.scoring.catalogue import catalogue, only
    from kcomplexity_cli.terminal import note, plain_text, print_json

    listing = catalogue()
    for line in listing.missing:
        note(line)
    if name is not None:
        listing = only(listing, name)
    if as_json:
        print_json(listing.to_dict())
    elif name is not None:
        for entry in listing.entries:
            click.echo(_page(entry))
    else:
        # Plain text on a terminal too: the lines are wrapped to their width already.
        for table in _tables(listing):
            click.echo(plain_text(table))
        click.echo(_GRAMMAR)


def _tables(listing: Catalogue) -> list[Table]:
    """Return one table each of estimators, views, controls and panels."""
    panel_rows = []
    for panel in listing.panels:
        panel_rows.append((panel.name, panel.summary))
        specs = ", ".join(map(_panel_spec, panel.specs))
        panel_rows += [("", line) for line in _wrapped(specs, 80)]
    return [
        _table(
            "estimators: in bits, lower = simpler, unless noted; order?: whether order counts",
            ("estimator", "kind", "order?", "view", "what it measures"),
            [
                (
                    *(entry.name, "/".join(entry.kinds), _yes(entry.positional), _view(entry)),
                    entry.summary + _unusual_unit(entry),
                )
                for entry in listing.estimators
            ],
        ),
        _table(
            "views: after @",
            ("view", "lossless?", "splits", "how weights become symbols"),
            [
                (
                    entry.usage.partition("[/")[0],
                    _yes(entry.lossless),
                    _splits(entry),
                    entry.summary,
                )
                for entry in listing.views
            ],
        ),
        _table(
            "controls: for --control",
            ("control", "what is randomised"),
            [(entry.usage, entry.summary) for entry in listing.controls],
        ),
        _table("panels: for --panel", ("panel", "its specs"), panel_rows),
    ]


def _yes(value: bool, no: str = "") -> str:
    return "yes" if value else f"no{no}"


def _view(entry: EstimatorEntry, absent: str = "") -> str:
    return f"@{entry.default_view}" if entry.default_view else absent


def _splits(entry: ViewEntry) -> str:
    return ", ".join(f"/{split}" for split in entry.splits)


def _unusual_unit(entry: EstimatorEntry) -> str:
    usual = (entry.unit, entry.direction) == ("bits", "lower = simpler")
    return "" if usual else f" ({entry.unit}; {entry.direction})"


def _panel_spec(entry: PanelSpec) -> str:
    return entry.spec + (f" (against {', '.join(entry.controls)})" if entry.controls else "")


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


def _page(entry: Entry) -> str:
    """Return the text of one entry: its facts, then its description."""
    from kcomplexity.scoring.catalogue import PanelEntry
    from kcomplexity.text import printable

    facts = [(name, text) for name, text in _facts(entry) if text]
    width = max(len(name) for name, _ in facts) + 4
    lines = [printable(f"{entry.name}: {entry.summary}"), ""]
    for name, text in facts:
        first, *more = _wrapped(printable(text), _WIDTH - width)
        lines.append(f"  {name}".ljust(width) + first)
        lines += [" " * width + line for line in more]
    description = "" if isinstance(entry, PanelEntry) else entry.description
    description = description.removeprefix(f"{entry.summary}.").strip()
    if description:
        lines += ["", *(f"  {printable(line)}".rstrip() for line in description.splitlines())]
    return "\n".join(lines)


def _facts(entry: Entry) -> list[tuple[str, str]]:
    """Return the named facts of an entry; those without a text do not apply."""
    from kcomplexity.scoring.catalogue import ControlEntry, PanelEntry, ViewEntry

    if isinstance(entry, PanelEntry):
        return [
            *_under("spec", map(_panel_spec, entry.specs)),
            ("scope", entry.scope),
            ("without", ", ".join(entry.exclude)),
            ("mind", entry.warning),
        ]
    usage = [("written", entry.usage), *_under("parameters", map(_parameter, entry.parameters))]
    if isinstance(entry, ViewEntry):
        return [
            *usage,
            ("lossless", _yes(entry.lossless, ": symbols do not determine the stored weights")),
            ("splits", _splits(entry)),
            ("examples", ", ".join(entry.examples)),
        ]
    if isinstance(entry, ControlEntry):
        keeps = "yes: specs that see no positions are not repeated" if entry.keeps_values else "no"
        return [*usage, ("keeps values", keeps)]
    return [
        *_under("kind", (_KINDS[kind] for kind in entry.kinds)),
        ("unit", f"{entry.unit}; {entry.direction}"),
        ("sees order", _yes(entry.positional, ": shuffles are not repeated")),
        ("default view", _view(entry, "none: it sees the weights themselves")),
        *usage,
        ("examples", ", ".join(_example(example, entry.kind) for example in entry.examples)),
        ("reference", entry.reference),
    ]


def _under(name: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return facts of one name, which only the first of them shows."""
    return [("" if i else name, text) for i, text in enumerate(texts)]


def _example(example: Example, usual_kind: str) -> str:
    """Return a spec, and its kind where that is not the usual one."""
    return example.spec if example.kind == usual_kind else f"{example.spec} ({example.kind})"


def _parameter(parameter: Parameter) -> str:
    if parameter.required:
        return f"{parameter.name}: required"
    default = "none" if parameter.default is None else parameter.default
    return f"{parameter.name}: {default} by default"
