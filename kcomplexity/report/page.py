"""The page: results as one HTML file that asks for nothing from outside.

The template, the style and the script lie in ``templates/``. Text goes through the template
engine, which escapes it; the only markup that is passed in are the figures, whose text matplotlib
escapes. Should either fail, the page's own policy runs no other script than the one it came with.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from kcomplexity.errors import ResultError
from kcomplexity.report.figures import pictures, unmet
from kcomplexity.report.figures.canvas import page_svg
from kcomplexity.report.glossary import TERMS, definitions
from kcomplexity.report.reading import as_trajectory
from kcomplexity.report.remarks import cautions, problems, sentences
from kcomplexity.report.rows import Json, expecting, specs_of
from kcomplexity.report.tables import page_tables
from kcomplexity.text import plural, printable


def page_bytes(results: Sequence[tuple[str, Json]]) -> bytes:
    """Return results, each with its name, as one self-contained HTML page.

    The bytes, UTF-8, are the same for the same results and the same version of matplotlib. A result
    with neither a figure nor a row to show is a ResultError.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    shown = []
    names: dict[str, int] = {}
    for index, (name, document) in enumerate(results):
        with expecting(printable(name)):
            shown.append(_result(index, name, as_trajectory(document), names))
    specs = specs_of(
        row for _, document in results for row in document.get("rows", ()) if row.get("spec")
    )
    engine = Environment(
        loader=PackageLoader("kcomplexity.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    engine.filters["plural"] = plural
    script = files("kcomplexity.report").joinpath("templates/page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = engine.get_template("page.html").render(
        results=shown,
        names=list(names),
        terms=TERMS,
        definitions=definitions(specs),
        script=script,
        script_hash=digest,
        title="Weight complexity: " + ", ".join(result["name"] for result in shown),
    )
    return page.encode("utf-8", "backslashreplace")


def _result(index: int, name: str, document: Json, names: dict[str, int]) -> dict[str, Any]:
    from markupsafe import Markup

    figures = [
        {
            "title": picture.chart.title,
            "subtitle": picture.chart.subtitle,
            "kind": picture.kind.name,
            # What page_svg returns is markup whose text is escaped already.
            "svg": Markup(page_svg(picture.kind, picture.chart, f"f{index}-{at}", names)),  # noqa: S704
        }
        for at, picture in enumerate(pictures(document))
    ]
    tables = page_tables(document)
    if not figures and not tables:
        raise ResultError(f"{name}: nothing to show: {'; '.join(unmet(document))}")
    provenance = document.get("provenance") or {}
    return {
        "id": f"result-{index + 1}",
        "name": printable(name),
        "sentences": sentences(document),
        "checkpoints": [
            {key: printable(info.get(key, "")) for key in ("path", "format", "fingerprint")}
            | {"n_tensors": info.get("n_tensors", 0), "n_weights": info.get("n_weights", 0)}
            for info in _checkpoints(document)
        ],
        "cautions": cautions(document),
        "figures": figures,
        "tables": tables,
        "problems": problems(document),
        "command": printable(provenance.get("command", "")),
        "provenance": {
            key.replace("_", " "): printable(value)
            for key, value in provenance.items()
            if key != "command" and not isinstance(value, dict | list)
        },
        "libraries": {
            printable(key): printable(value)
            for key, value in (provenance.get("libraries") or {}).items()
        },
    }


def _checkpoints(document: Json) -> list[Json]:
    """Return the checkpoints of a result: of a trajectory those that could be read."""
    source = [document["source"]] if document.get("source") else []
    steps = [step["info"] for step in document.get("steps", ()) if step.get("info")]
    return [*document.get("checkpoints", ()), *source, *steps]
