"""The package's public names, the cost of importing it, and what other packages add."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest

import kcomplexity
from kcomplexity import plugins
from kcomplexity.loaders import LOADERS
from kcomplexity.registry import Registry

ROOT = Path(kcomplexity.__file__).parents[1]  # the checkout: tests run from there


def python(code: str, *arguments: str, site: Path | None = None) -> subprocess.CompletedProcess:
    """Run code in a fresh Python that sees `site` as well; warnings are errors."""
    folders = [str(folder) for folder in (site, ROOT, ROOT / "cli") if folder]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )


# --- Names --------------------------------------------------------------------------------------


def test_every_public_name_can_be_imported_and_nothing_else_is_public():
    for name in kcomplexity.__all__:
        assert getattr(kcomplexity, name) is not None
    public = {
        name
        for name, value in vars(kcomplexity).items()
        if name[0].isalpha() and not isinstance(value, ModuleType)
    }
    assert public == {*kcomplexity.__all__} - {"__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(kcomplexity, "nothing")  # noqa: B009 - mypy knows that it is absent


def test_type_checkers_see_the_same_names_in_the_same_modules():
    stub = Path(kcomplexity.__file__).with_suffix(".pyi").read_text()
    imports = re.findall(r"^from kcomplexity\.(\S+) import (\w+) as \2$", stub, re.MULTILINE)
    modules = vars(kcomplexity)["_MODULES"]
    assert {name: module for module, name in imports} == modules
    assert len(imports) == len(modules)


def test_no_module_has_the_name_of_what_is_public():
    """Importing a module binds its name in the package: it would hide a function of that name."""
    modules = {path.stem for path in Path(kcomplexity.__file__).parent.iterdir()}
    assert not modules & {*kcomplexity.__all__}


def test_all_is_sorted_constants_then_classes_then_functions():
    def order(name: str) -> tuple[int, str]:
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    assert kcomplexity.__all__ == sorted(kcomplexity.__all__, key=order)


@pytest.mark.parametrize("module", [kcomplexity, plugins], ids=["kcomplexity", "plugins"])
def test_every_public_function_and_class_is_documented(module):
    for name in module.__all__:
        if isinstance(thing := getattr(module, name), type | FunctionType):
            assert (thing.__doc__ or "").strip(), name


def test_plugins_lists_everything_it_imports_and_every_registry():
    public = {name for name in vars(plugins) if name[0].isalpha()} - {"annotations"}
    assert {*plugins.__all__} == public
    registries = [value for value in vars(plugins).values() if isinstance(value, Registry)]
    assert len(registries) == 8
    assert all(registry.group in (plugins.__doc__ or "") for registry in registries)


# --- Imports ------------------------------------------------------------------------------------

HEAVY = ("constriction", "faiss", "matplotlib", "pandas", "pyarrow", "rich", "scipy", "torch")


def loaded(code: str) -> set[str]:
    """The top-level modules that are loaded after running some code."""
    done = python(
        f"{code}\nimport json, sys\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), "
        "file=sys.stderr)"
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr))


def test_importing_the_package_imports_nothing_heavy():
    assert not loaded("import kcomplexity") & {*HEAVY, "numpy", "click"}
    modules = loaded("import kcomplexity; kcomplexity.score, kcomplexity.compare")
    assert not modules & {*HEAVY, "click", "kcomplexity_cli", "pybdm"}
    assert "numpy" in modules


@pytest.mark.parametrize("command", ["", "score", "inspect", "compare", "fit", "plot", "demo"])
def test_help_imports_neither_the_library_nor_numpy(command):
    modules = loaded(
        "from kcomplexity_cli.main import cli\n"
        f"try: cli({[*command.split(), '--help']!r})\n"
        "except SystemExit as stop: assert not stop.code"
    )
    assert not modules & {*HEAVY, "numpy", "kcomplexity"}


# --- Other packages -----------------------------------------------------------------------------

PACKAGE = '''
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from kcomplexity.plugins import ESTIMATORS, VIEWS, Measure, from_mapping


@dataclass(frozen=True)
class Doubled(ESTIMATORS["entropy"]):
    """Twice the entropy."""

    summary: ClassVar[str] = "twice the entropy"
    reference: ClassVar[str] = "a throw-away package"

    def measure(self, states, alphabets):
        return Measure(2 * super().measure(states, alphabets).value)


@dataclass(frozen=True)
class Side(VIEWS["sign"]):
    """On which side of zero."""


@dataclass(frozen=True)
class TextLoader:
    extensions: tuple[str, ...] = (".weights",)

    def sniff(self, path, head):
        return head.startswith(b"weights:")

    def load(self, path, options):
        numbers = [float(word) for word in path.read_text().removeprefix("weights:").split()]
        checkpoint = from_mapping({"w": np.array(numbers, np.float32)})
        return replace(checkpoint, path=str(path), format="text")


TEXT = TextLoader()
'''

RUN = "from kcomplexity_cli.main import cli; cli()"


def distribution(site: Path, name: str, entries: dict[str, str]) -> None:
    """Lay out a package as an installer does."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    text = "".join(f"[kcomplexity.{group}]\n{line}\n" for group, line in entries.items())
    (info / "entry_points.txt").write_text(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder like site-packages: a package that adds one of each, and one that is broken."""
    where = tmp_path_factory.mktemp("site")
    (where / "throwaway.py").write_text(PACKAGE)
    entries = {
        "estimators": "doubled = throwaway:Doubled",
        "views": "side = throwaway:Side",
        "loaders": "text = throwaway:TEXT",
    }
    distribution(where, "throwaway", entries)
    (where / "halved.py").write_text("raise OSError('a library\\nis missing')\n")
    broken = {group: f"halved = halved:{group}" for group in entries}
    distribution(where, "halved", broken)
    (where / "some.weights").write_text("weights: 1 -2 3.5 -0.25 8 -1 2 -6")
    return where


BROKEN = r"'halved' cannot be used: halved:{}: OSError: a library\nis missing"


def test_what_another_package_adds_is_listed_and_what_is_broken_is_reported_in_a_line(site):
    done = python(RUN, "estimators", site=site)
    assert done.returncode == 0
    lines = [line.split() for line in done.stdout.splitlines()]
    (doubled,) = [line for line in lines if line[:1] == ["doubled"]]
    assert doubled == ["doubled", "estimate", "no", "@q8", "twice", "the", "entropy"]
    (side,) = [line for line in lines if line[:1] == ["side"]]
    assert side == ["side", "no", "On", "which", "side", "of", "zero"]
    assert done.stderr.splitlines() == [
        f"kcomplexity: estimator {BROKEN.format('estimators')}",
        f"kcomplexity: view {BROKEN.format('views')}",
    ]


def test_another_packages_estimator_view_and_loader_score_through_the_command(site):
    specs = "doubled@side,entropy@sign,entropy@side"
    done = python(RUN, "score", str(site / "some.weights"), "--json", "-e", specs, site=site)
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["checkpoints"][0]["format"] == "text"
    bits = {row["spec"]: row["bits"] for row in report["rows"]}
    assert bits == {"doubled@side": 16.0, "entropy@sign": 8.0, "entropy@side": 8.0}
    assert [row["view"] for row in report["rows"]] == ["side", "sign", "side"]


def test_a_broken_package_breaks_its_own_names_alone(site):
    used = python(RUN, "score", str(site / "some.weights"), "-e", "halved@q8", site=site)
    assert used.returncode == 2
    assert used.stderr == f"kcomplexity: error: estimator {BROKEN.format('estimators')}\n"
    (site / "unknown.blob").write_text("what is this?")
    lost = python(RUN, "inspect", str(site / "unknown.blob"), site=site)
    assert lost.returncode == 1
    assert lost.stderr == (
        f"kcomplexity: error: {site / 'unknown.blob'}: the content is of no known format; "
        f"expected one of: {', '.join([*LOADERS, 'text'])}; "
        f"file format {BROKEN.format('loaders')}\n"
    )


def test_entry_points_are_not_scanned_for_names_of_the_package(site):
    code = (
        "import sys, kcomplexity as kc\n"
        "kc.score(sys.argv[1], panel='default')\n"
        "print(sorted({'throwaway', 'halved'} & set(sys.modules)))"
    )
    np.save(site / "one.npy", np.ones(3))
    done = python(code, str(site / "one.npy"), site=site)
    assert (done.stdout, done.stderr) == ("[]\n", "")
