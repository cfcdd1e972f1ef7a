"""What the pages at the root and the docstrings point to is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from kcomplexity.controls import CONTROLS
from kcomplexity.estimators import ESTIMATORS
from kcomplexity.loaders import LOADERS
from kcomplexity.report import FORMATS
from kcomplexity.views import VIEWS

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("*.md"))
MODULES = sorted(
    path.relative_to(folder)
    for folder, package in ((ROOT, "kcomplexity"), (ROOT / "cli", "kcomplexity_cli"))
    for path in (folder / package).rglob("*.py")
    if path.name != "__main__.py"
)
#: Folders whose files a page may name by their path.
FOLDERS = ("kcomplexity", "cli", "tests", "benchmarks", ".ci", ".github")


def imported(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))


def found(name: str, module: ModuleType) -> bool:
    """Whether a dotted name is one of `module`, of a class there, of its package, or of any."""
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_files_that_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[^\s`]*)`", text)
    named += [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert [path for path in named if not list(ROOT.glob(path))] == []


def test_the_contributors_page_says_where_each_kind_of_thing_goes() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for registry in (LOADERS, VIEWS, ESTIMATORS, CONTROLS, FORMATS):
        assert f"`{registry.group}`" in text
    for registry in (LOADERS, VIEWS, ESTIMATORS):
        assert f"| `{registry.group.replace('.', '/')}/" in text
    assert "| a panel | `kcomplexity/scoring/panels.py`" in text


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_docstrings_refer_to_names_that_are_there(path: Path) -> None:
    module = imported(path)
    assert module.__file__ is not None
    text = Path(module.__file__).read_text(encoding="utf-8")
    referred = re.findall(r":(?:mod|class|func|meth|data|attr):`~?([^`]+)`", text)
    assert [name for name in referred if not found(name, module)] == []
