"""Registries are read-only mappings that other packages add to through entry points."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kcomplexity
from kcomplexity.errors import SpecError
from kcomplexity.estimators.statistics import NonZero
from kcomplexity.plugins import (
    CODINGS,
    CONTROLS,
    ESTIMATORS,
    FIGURES,
    FITTERS,
    FORMATS,
    LOADERS,
    VIEWS,
    Coding,
    Control,
    Estimator,
    Fitter,
    View,
)
from kcomplexity.registry import Registry

PLUGIN = '''
from dataclasses import dataclass
from typing import ClassVar

from kcomplexity.plugins import ESTIMATORS, Measure


@dataclass(frozen=True)
class Doubled(ESTIMATORS["entropy"]):
    """Twice the entropy."""

    times: float = 2.0
    summary: ClassVar[str] = "twice the entropy"
    reference: ClassVar[str] = "a throw-away package"

    def measure(self, states, alphabets):
        return Measure(self.times * super().measure(states, alphabets).value)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder like site-packages with throw-away packages in it, and nothing installed."""

    def distribution(name: str, entries: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entries)

    (tmp_path / "doubled.py").write_text(PLUGIN)
    (tmp_path / "halved.py").write_text("raise OSError('a library is missing')\n")
    distribution(
        "doubled",
        "[kcomplexity.estimators]\ndoubled = doubled:Doubled\nx2y3 = doubled:Doubled\n",
    )
    distribution(
        "halved",
        "[kcomplexity.estimators]\nhalved = halved:Halved\nabsent = nowhere:Nothing\n"
        "zstd = doubled:Doubled\n",
    )
    return tmp_path


def run(site: Path, code: str) -> Any:
    """Run code in a Python that sees `site`; return what it prints as JSON."""
    package = Path(kcomplexity.__file__).parents[1]
    script = (
        f"import json, sys; sys.path[:0] = [{str(site)!r}, {str(package)!r}]\n"
        "from kcomplexity.errors import SpecError\n"
        "from kcomplexity.estimators import ESTIMATORS\n"
        "from kcomplexity.scoring.specs import parse_spec\n"
        f"{code}"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_estimator_of_another_package_is_found_listed_and_parsed(site):
    result = run(
        site,
        "spec = parse_spec('doubled:two-part:times=3.5@sign')\n"
        "print(json.dumps([str(spec), 'doubled' in list(ESTIMATORS), str(parse_spec('x2y3'))]))",
    )
    assert result == ["doubled:two-part:times=3.5@sign", True, "doubled@q8"]


def test_an_estimator_of_another_package_measures_like_any_other(site):
    result = run(
        site,
        "import numpy as np, kcomplexity as kc\n"
        "values = np.random.default_rng(0).standard_normal((40, 50)).astype('f4')\n"
        "rows = kc.score({'w': values}, specs=['entropy@q8', 'doubled']).rows\n"
        "print(json.dumps([[row.spec, row.status, row.bits] for row in rows]))",
    )
    (plain, status, bits), (name, other_status, twice) = result
    assert (plain, name, status, other_status) == ("entropy@q8", "doubled@q8", "ok", "ok")
    assert twice == pytest.approx(2 * bits)


def test_a_package_that_fails_to_import_is_reported_by_name_and_breaks_no_listing(site):
    listed, messages = run(
        site,
        "listed = list(ESTIMATORS)\n"
        "messages = []\n"
        "for name in ('halved', 'absent', 'nothing-like-it'):\n"
        "    try:\n"
        "        parse_spec(name)\n"
        "    except SpecError as error:\n"
        "        messages.append(str(error))\n"
        "print(json.dumps([listed, messages]))",
    )
    assert set(listed) == {*ESTIMATORS, "doubled", "x2y3"}
    halved, absent, unknown = messages
    assert "'halved' cannot be used: halved:Halved: OSError: a library is missing" in halved
    assert "'absent' cannot be used: nowhere:Nothing: ModuleNotFoundError" in absent
    assert unknown.startswith("unknown estimator 'nothing-like-it'")


def test_a_name_that_is_in_use_stays_what_it_was(site):
    module, broken = run(
        site,
        "print(json.dumps([ESTIMATORS['zstd'].__module__, dict(ESTIMATORS.broken)]))",
    )
    assert module == "kcomplexity.estimators.compressors"
    assert broken["zstd"] == "doubled:Doubled takes a name that is in use"
    assert set(broken) == {"zstd", "halved", "absent"}


def test_entry_points_are_not_scanned_for_what_is_known(site):
    scanned = run(
        site,
        "parse_spec('zstd:19@q8/bits'); parse_spec('entropy@rd0.01')\n"
        "print(json.dumps('doubled' in sys.modules))",
    )
    assert scanned is False


def test_a_second_registration_of_a_name_is_refused():
    registry: Registry[int] = Registry("kcomplexity.nothing", "number")
    registry.register("one", 1)
    with pytest.raises(SpecError, match="number 'one' is registered already: choose another name"):
        registry.register("one", 2)
    assert dict(registry) == {"one": 1}


def test_a_registry_is_a_read_only_mapping():
    registry: Registry[int] = Registry("kcomplexity.nothing", "number")
    registry.register("one", 1)
    assert registry["one"] == registry.lookup("one") == 1
    assert len(registry) == 1
    assert "two" not in registry
    assert registry.get("two") is None
    assert registry.name_of(1) == "one"
    assert registry.known("one")
    assert not registry.known("two")
    assert not registry.broken
    assert not hasattr(registry, "__setitem__")
    with pytest.raises(KeyError):
        registry["two"]
    with pytest.raises(SpecError, match="unknown number 'two': known: one"):
        registry.lookup("two")
    with pytest.raises(SpecError, match="unknown number 'onn': did you mean one"):
        registry.lookup("onn")


class Half(Estimator):
    summary = "half of it"
    kind = "statistic"


class Ratio(NonZero):
    kind = "ratio"  # type: ignore[assignment]


class NoWhole(NonZero):
    whole = Estimator.whole


class NoFit(Fitter):
    summary = "nothing"
    default_dtype = "f32"


class ReadsNothing:
    extensions = (".nothing",)

    def sniff(self, path, head):
        return False


@pytest.mark.parametrize(
    ("registry", "thing", "message"),
    [
        (
            ESTIMATORS,
            Half,
            "Half does not define positional, default_view, reference, measure, ",
        ),
        (ESTIMATORS, Ratio, "Ratio.kind is 'ratio'; expected one of code, estimate, statistic"),
        (ESTIMATORS, NoWhole, "NoWhole is a statistic and does not define whole; return None from"),
        (ESTIMATORS, VIEWS["sign"], "expected a subclass of Estimator, got <class 'kcomplexity.vi"),
        (ESTIMATORS, ESTIMATORS["zstd"](), "expected a subclass of Estimator, got Zstd("),
        (VIEWS, View, "View does not define prepare"),
        (CONTROLS, Control, "Control does not define summary, keeps_values, lazy, changes, replic"),
        (FITTERS, NoFit, "NoFit does not define reference, fit"),
        (CODINGS, Coding, "Coding does not define name, code, recipes"),
        (FORMATS, "csv", "expected a function, got 'csv'"),
        (LOADERS, ReadsNothing(), "ReadsNothing does not define load"),
        (LOADERS, ReadsNothing, "ReadsNothing is a class; register an instance of it"),
        (FIGURES, FIGURES["bits"], "the figure calls itself 'bits'; the two names must be equal"),
        (FIGURES, "bits", "expected a FigureKind, got 'bits'"),
    ],
)
def test_registration_refuses_what_breaks_the_contract_and_says_why(registry, thing, message):
    expected = f"{registry.noun} 'new' cannot be registered: {message}"
    with pytest.raises(SpecError, match=f"^{re.escape(expected)}"):
        registry.register("new", thing)
    assert not registry.known("new")


@pytest.mark.parametrize(
    ("base", "registry"),
    [(Estimator, ESTIMATORS), (View, VIEWS), (Fitter, FITTERS), (Control, CONTROLS)],
)
def test_every_class_of_the_package_is_registered(base, registry):
    def below(cls: type[Any]) -> set[type[Any]]:
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    made = {
        cls
        for cls in below(base)
        if cls.__module__.startswith("kcomplexity.")
        and not cls.__name__.startswith("_")
        and not getattr(cls, "__abstractmethods__", None)
    }
    assert made == {cls for cls in registry.values() if cls.__module__.startswith("kcomplexity.")}
