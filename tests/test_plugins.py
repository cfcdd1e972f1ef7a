"""The two packages of docs/plugins.md work as they stand there, installed like any other."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.test_packaging import build
from tests.test_public import ROOT, RUN, distribution, python

GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
#: Each file of the guide: its name on a line of its own, then its text in a fenced block.
FILE = re.compile(
    r"^`(?P<name>[\w.]+)`:\n\n```(?:toml|python)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def packages() -> list[dict[str, str]]:
    """Return the files of each package: a project file and the module after it."""
    files = [(match["name"], match["text"]) for match in FILE.finditer(GUIDE)]
    return [dict(files[i : i + 2]) for i in range(0, len(files), 2)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like site-packages with both packages installed, and files to score."""
    pytest.importorskip("setuptools", minversion="77.0.3")
    where = tmp_path_factory.mktemp("site")
    for files in packages():
        source = tmp_path_factory.mktemp("package")
        for name, text in files.items():
            (source / name).write_text(text, encoding="utf-8")
        wheel = build("build_wheel", source, tmp_path_factory.mktemp("wheel"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(where)
    rng = np.random.default_rng(0)
    weights = np.where(rng.random((40, 50)) < 0.1, rng.standard_normal((40, 50)), 0).astype("<f4")
    (where / "model.rawf32").write_bytes(b"rawf32 40x50\n" + weights.tobytes())
    (where / "cut.rawf32").write_bytes(b"rawf32 40x50\n" + bytes(12))
    return where


def score(site: Path, *arguments: str) -> dict:
    done = python(RUN, "score", str(site / "model.rawf32"), *arguments, "--json", site=site)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_guide_holds_two_packages_that_import_from_plugins_alone():
    assert [sorted(files) for files in packages()] == [
        ["kcomplexity_sparse.py", "pyproject.toml"],
        ["kcomplexity_rawf32.py", "pyproject.toml"],
    ]
    modules = set(re.findall(r"^(?:from|import) (kcomplexity\S*)", GUIDE, re.MULTILINE))
    assert modules == {"kcomplexity.plugins"}


def test_both_are_listed(site):
    listed = python(RUN, "estimators", site=site)
    assert (listed.returncode, listed.stderr) == (0, "")
    (line,) = [line.split() for line in listed.stdout.splitlines() if line.startswith("sparse ")]
    assert line[:5] == ["sparse", "code", "no", "@words", "positions"]
    shown = python(RUN, "inspect", str(site / "model.rawf32"), site=site)
    assert shown.stdout.startswith(f"{site / 'model.rawf32'}: rawf32, 1 tensor")


def test_the_code_of_a_plug_in_wins_the_headline(site):
    report = score(site, "-e", "zstd@bytes,sparse")
    bits = {row["spec"]: row["bits"] for row in report["rows"]}
    assert 0 < bits["sparse@words"] < bits["zstd@bytes"]
    # Two more bits say which of three was chosen: either code, or the tensor as it is stored.
    per_weight = (bits["sparse@words"] + 2) / 2000
    (line,) = [line for line in report["headline"] if "needed without loss" in line]
    assert f"at {per_weight:.2f} bits/weight, decodable" in line


def test_the_code_of_a_plug_in_is_exact_and_drawn(site, tmp_path):
    report = score(site, "-e", "sparse")
    (row,) = report["rows"]
    n_nonzero = np.count_nonzero(np.fromfile(site / "model.rawf32", "<f4", offset=13))
    choices = np.log2(np.arange(2000 - n_nonzero + 1, 2001) / np.arange(1, n_nonzero + 1)).sum()
    assert row["bits"] == pytest.approx(np.log2(2001) + choices + 32 * n_nonzero, rel=1e-7)
    (tmp_path / "scores.json").write_text(json.dumps(report))
    folder = tmp_path / "figures"
    drawn = python(
        RUN, "plot", str(tmp_path / "scores.json"), "--kind", "bits", "-o", str(folder), site=site
    )
    assert drawn.returncode == 0, drawn.stderr
    assert "sparse@words" in (folder / "bits.csv").read_text()


def test_a_damaged_file_of_a_plug_ins_format_is_refused_in_a_line(site):
    done = python(RUN, "inspect", str(site / "cut.rawf32"), site=site)
    assert done.returncode == 1
    assert done.stderr == (
        f"kcomplexity: error: {site / 'cut.rawf32'}: expected a line such as 'rawf32 320x64' and "
        "as many float32 values; copy the file again\n"
    )


def test_an_incomplete_estimator_is_refused_as_the_guide_says(tmp_path):
    module = packages()[0]["kcomplexity_sparse.py"]
    lines = [line for line in module.splitlines() if not line.startswith("    reference =")]
    (tmp_path / "kcomplexity_sparse.py").write_text("\n".join(lines))
    distribution(tmp_path, "sparse", {"estimators": "sparse = kcomplexity_sparse:Sparse"})
    np.save(tmp_path / "w.npy", np.ones(3))
    done = python(RUN, "score", str(tmp_path / "w.npy"), "-e", "sparse", site=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("kcomplexity: error: estimator 'sparse' cannot be used: ")
    assert done.stderr in GUIDE
