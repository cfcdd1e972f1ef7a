"""Every speed benchmark runs, and prints a table with all its rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JOBS = {
    "score.py": ["zstd:19@bytes", "entropy@q8", "entropy:two-part@rd0.01", "fast", "default"],
    "bdm.py": ["`bdm2d` of the 8 planes", "score `qubd`", "`BlockCounter(w)`", "`lz76_phrases`"],
    "compare.py": ["90 % unchanged", "from the cache", "conditional complexity"],
    "memory.py": ["16 MiB of BF16", "<= 1 GiB"],
    "structure.py": ["ctx@rd0.1", "ctx@sign", "lowrank", "Mi weights"],
    "fit.py": ["nearest of", "faiss KMeans", "sklearn KMeans", "fixed-width", "scalar", "`sample`"],
    "formats.py": ["open a .pt of 4 MiB", "peak resident", "the same as .safetensors"],
    "kernels.py": ["`affine_levels` as q8", "`shuffle_rows`", "prediction", "a score"],
    "startup.py": ["import kcomplexity", "--help", "inspect"],
}


@pytest.mark.parametrize("script", JOBS)
def test_a_benchmark_runs_and_prints_its_table(script: str, tmp_path: Path) -> None:
    paths = [str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", "")]
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), "--quick"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    rows = [line for line in run.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == "| job | peer or floor | target | measured |"
    assert all(len(row.split(" | ")) == 4 for row in rows)
    for job in JOBS[script]:
        assert any(job in row for row in rows), job


def test_the_study_of_structure_runs_and_prints_its_table(tmp_path: Path) -> None:
    paths = [str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", "")]
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "structure_mlp.py"), "--quick"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    head, _, *rows = run.stdout.splitlines()
    assert head == "| | init | trained | pixels-permuted | random-labels | l2 |"
    assert any(row.startswith("| `ctx` saved") for row in rows)
    assert all(len(row.split(" | ")) == 6 for row in rows)
