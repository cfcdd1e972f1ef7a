"""An installation contains what the files at the root promise."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import kcomplexity

ROOT = Path(__file__).parents[1]
SOURCES = {"kcomplexity": ROOT / "kcomplexity", "kcomplexity_cli": ROOT / "cli/kcomplexity_cli"}
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so", "*.pyd")
#: What the extension is built from, and what a build in place leaves behind.
NOT_IN_WHEELS = {".c", ".h", ".so", ".pyd"}


def build(hook: str, source: Path, into: Path) -> Path:
    """Run a build hook as a front end would, without isolation, so without an index."""
    script = (
        "import sys; from setuptools import build_meta; "
        f"print(build_meta.{hook}(sys.argv[1]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(into)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return into / done.stderr.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    pytest.importorskip("setuptools", minversion="77.0.3")
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.cfg", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("kcomplexity", "cli"):
        shutil.copytree(ROOT / name, tree / name, ignore=NOT_SHIPPED)
    return build("build_sdist", tree, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel_names(sdist, tmp_path_factory):
    """The names in a wheel that was built, as an installer does it, from the source archive."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        # As an attribute, since Python before 3.11.4 knows no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(unpacked)
    (tree,) = unpacked.iterdir()
    wheel = build("build_wheel", tree, tmp_path_factory.mktemp("wheel"))
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_an_install_adds_exactly_two_top_level_names(wheel_names):
    top_level = {name.split("/")[0] for name in wheel_names}
    assert {name for name in top_level if not name.endswith(".dist-info")} == set(SOURCES)


def test_a_wheel_holds_every_file_of_the_source_tree(wheel_names):
    expected = {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in SOURCES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NOT_IN_WHEELS
    }
    assert {"kcomplexity/py.typed", "kcomplexity_cli/py.typed"} <= expected
    assert {
        name
        for name in wheel_names
        if ".dist-info/" not in name and Path(name).suffix not in NOT_IN_WHEELS
    } == expected


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_a_wheel_holds_the_compiled_kernels_but_not_their_source(wheel_names):
    native = [name for name in wheel_names if Path(name).suffix in NOT_IN_WHEELS]
    assert len(native) == 1
    assert native[0].startswith("kcomplexity/kernels/_compiled.")


def test_a_source_archive_names_no_account(sdist):
    with tarfile.open(sdist) as archive:
        assert {(member.uname, member.gname) for member in archive} == {("root", "root")}


def test_every_extra_that_a_message_names_exists(pyproject):
    named = {
        extra
        for folder in SOURCES.values()
        for path in folder.rglob("*.py")
        for extras in re.findall(r"kcomplexity\[([\w,-]+)\]", path.read_text(encoding="utf-8"))
        for extra in extras.split(",")
    }
    assert named <= set(pyproject["project"]["optional-dependencies"])


@pytest.mark.parametrize(
    ("marker", "ends_with"), [("demo", "bin/kcomplexity demo"), ("test", "-m pytest -q -n auto")]
)
def test_readme_holds_the_commands_that_ci_runs(marker, ends_with):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(rf"(?ms)^<!-- ci:{marker} -->\n```bash\n(.+?)\n```$", readme)
    assert len(blocks) == 1
    assert blocks[0].endswith(ends_with)


def test_the_version_has_one_value_everywhere():
    version = kcomplexity.__version__
    assert importlib.metadata.version("kcomplexity") == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_changelog_has_this_version_or_an_unreleased_section():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^## \[(.+?)\]", changelog)
    assert {"Unreleased", kcomplexity.__version__} & set(headings)
