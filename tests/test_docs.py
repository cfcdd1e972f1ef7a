"""The files and names that pages and docstrings refer to exist."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import kcomplexity
from kcomplexity.codings import CODINGS
from kcomplexity.plugins import CONTROLS, ESTIMATORS, FIGURES, FITTERS, FORMATS, LOADERS, VIEWS
from kcomplexity.registry import Registry

ROOT = Path(__file__).parents[1]
PAGES = [
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "benchmarks")
    for page in sorted(folder.glob("*.md"))
]
MODULES = sorted(
    path.relative_to(folder)
    for folder, package in ((ROOT, "kcomplexity"), (ROOT / "cli", "kcomplexity_cli"))
    for path in (folder / package).rglob("*.py")
    if path.name != "__main__.py"
)
REGISTRIES = (LOADERS, VIEWS, ESTIMATORS, CONTROLS, FITTERS, CODINGS, FIGURES, FORMATS)
#: Folders whose files a page may name by their path.
FOLDERS = ("kcomplexity", "cli", "docs", "tests", "benchmarks", ".ci", ".github")


def imported(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def exists(name: str, module: ModuleType) -> bool:
    """Whether a dotted name is in `module`, in a class there, in its package, or absolute."""
    parts = name.split(".")
    classes = [thing for thing in vars(module).values() if isinstance(thing, type)]
    package = importlib.import_module(module.__package__ or module.__name__)
    if any(reached(thing, parts) for thing in (module, package, *classes)):
        return True
    for i in range(len(parts), 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        return reached(owner, parts[i:])
    return False


def reached(thing: object, parts: list[str]) -> bool:
    for part in parts:
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_files_and_modules_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[^\s`]*)`", text)
    assert [path for path in paths if not list(ROOT.glob(path))] == []
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    groups = {registry.group for registry in REGISTRIES}
    names = set(re.findall(r"`(kcomplexity\.[\w.]*\w)`", text)) - groups
    assert [name for name in names if not exists(name, kcomplexity)] == []


def test_the_contributors_page_says_where_each_kind_of_thing_goes() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for registry in (LOADERS, VIEWS, ESTIMATORS, CONTROLS):
        assert f"| `{registry.group.replace('.', '/')}/" in text
    assert "| a panel | `kcomplexity/scoring/panels.py`" in text


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: registry.noun)
def test_the_guide_to_plug_ins_names_every_group(registry: Registry[Any]) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert f"| `{registry.group}` |" in text


def test_the_contributors_page_lists_every_room_from_top_to_bottom() -> None:
    """The contract in pyproject.toml lists the same rooms, importers first."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (`\w+/`(?:, `\w+/`)*) \|", text)
    listed = [re.findall(r"`(\w+)/`", row) for row in rows]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = [re.findall(r"kcomplexity\.(\w+)", layer) for layer in layers]
    folders = {path.name for path in (ROOT / "kcomplexity").iterdir() if path.is_dir()}
    expected = [room for layer in rooms if (room := {name for name in layer if name in folders})]
    assert [set(row) for row in listed] == expected[::-1]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_docstrings_refer_to_names_that_are_there(path: Path) -> None:
    module = imported(path)
    assert module.__file__ is not None
    text = Path(module.__file__).read_text(encoding="utf-8")
    referred = re.findall(r":(?:mod|class|func|meth|data|attr):`~?([^`]+)`", text)
    assert [name for name in referred if not exists(name, module)] == []
