"""What has not changed is not measured again, and what has always is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.controls import CONTROLS
from kcomplexity.errors import CacheWarning
from kcomplexity.files.sources import FileSource
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring import cache as cache_module
from kcomplexity.scoring.cache import Cache, CachedRows, cache_path, row_keys
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import measure_plan
from kcomplexity.tensors.checkpoint import StoredTensor
from tests import wait_until

SPECS = ["entropy@q8", "zstd@sign", "l2"]
HOUR_AGO = 1_700_000_000


def arrays(seed=0) -> Any:
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(20, 30)).astype("f4"), "b": rng.normal(size=9).astype("f4")}


def run(source, cache, **options) -> Any:
    """Return the rows without the time they took, and how many were found."""
    options = {"specs": SPECS, "controls": ["shuffle:2"]} | options
    before = cache.n_found
    with kc.open_checkpoint(source) as checkpoint, Pool(2) as pool:
        plan = make_plan([checkpoint], **options)
        units = measure_plan(plan, pool, CachedRows(cache, plan))
        rows = [row for of_unit in units for row in of_unit]
    return [replace(row, seconds=0.0, cached=False) for row in rows], cache.n_found - before


def fresh(source, **options) -> Any:
    options = {"specs": SPECS, "controls": ["shuffle:2"]} | options
    return [replace(row, seconds=0.0) for row in kc.score(source, **options).rows]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(arrays(), path)
    os.utime(path, (HOUR_AGO, HOUR_AGO))
    return path


def test_rows_from_the_cache_are_those_of_a_score(file, tmp_path):
    with Cache(tmp_path / "rows.sqlite") as cache:
        assert run(file, cache) == (fresh(file), 0)
        assert run(file, cache) == (fresh(file), 6)
    with Cache(tmp_path / "rows.sqlite") as later:
        assert run(file, later) == (fresh(file), 6)
        assert later.n_hashed == 0  # nor was anything read


@given(st.lists(st.sampled_from(SPECS), min_size=1, max_size=4), st.integers(0, 1))
@settings(max_examples=10, deadline=None)
def test_any_history_gives_the_figures_of_a_score(specs, seed):
    with Cache() as cache:
        run(arrays(), cache, specs=SPECS[:2])
        assert run(arrays(), cache, specs=specs, seed=seed)[0] == fresh(
            arrays(), specs=specs, seed=seed
        )


def test_only_the_specs_and_tensors_that_are_new_are_measured(file):
    with Cache() as cache:
        run(file, cache, specs=SPECS[:2])
        assert run(file, cache)[1] == 4
        changed = arrays() | {"b": arrays(1)["b"]}
        assert run(changed, cache)[1] == 3
        assert run(changed, cache)[0] == fresh(changed)


@pytest.mark.parametrize(
    "options",
    [{"seed": 1}, {"controls": ["shuffle:3"]}, {"controls": []}, {"scope": "model"}],
    ids=str,
)
def test_whatever_decides_a_figure_is_part_of_its_key(file, options):
    with Cache() as cache:
        run(file, cache)
        rows, n_found = run(file, cache, **options)
        assert n_found < 6
        assert rows == fresh(file, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("__version__", "99"), ("_code", lambda: "edited"), ("libraries", lambda: {"numpy": "99"})],
)
def test_code_of_its_own_has_keys_of_its_own(file, monkeypatch, name, value):
    cache_module._versions.cache_clear()
    with kc.open_checkpoint(file) as checkpoint, Cache() as cache:
        plan = make_plan([checkpoint], specs=SPECS)
        before = row_keys(plan.units[0][0], plan, cache)
        monkeypatch.setattr(cache_module, name, value)
        cache_module._versions.cache_clear()
        after = row_keys(plan.units[0][0], plan, cache)
    cache_module._versions.cache_clear()
    assert not set(before.values()) & set(after.values())


def test_the_control_of_another_package_has_a_new_key_when_its_code_changes(
    file, tmp_path, monkeypatch
):
    code = tmp_path / "theirs.py"
    code.write_text(
        "from kcomplexity.controls import Shuffle\n"
        "class Theirs(Shuffle):\n"
        "    summary = 'the same'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(CONTROLS, "_entries", dict(CONTROLS._entries))
    CONTROLS.register("theirs", import_module("theirs").Theirs)

    def keys(control: str) -> set[str]:
        cache_module._file_code.cache_clear()
        with kc.open_checkpoint(file) as checkpoint, Cache() as cache:
            plan = make_plan([checkpoint], specs=["zstd@sign"], controls=[control])
            return set(row_keys(plan.units[0][0], plan, cache).values())

    before, ours = keys("theirs:2"), keys("shuffle:2")
    assert keys("theirs:2") == before
    code.write_text(code.read_text() + "# edited\n")
    assert not keys("theirs:2") & before
    assert keys("shuffle:2") == ours


def test_links_between_tensors_are_part_of_a_key(tmp_path):
    """The same tensor beside others has other hidden units, and so other replicates."""
    found = []
    for name, beside in (("a", (8, 20)), ("b", (20, 8))):
        path = tmp_path / f"{name}.safetensors"
        rng = np.random.default_rng(0)
        tensors = {"0.w": rng.normal(size=(20, 30)).astype("f4")}
        save_file(tensors | {"1.w": rng.normal(size=beside).astype("f4")}, path)
        with kc.open_checkpoint(path) as checkpoint, Cache() as cache:
            plan = make_plan([checkpoint], specs=["zstd@sign"], controls=["unit-permutation:1"])
            (unit,) = (unit for unit in plan.units[0] if unit.name == "0.w")
            found.append(set(row_keys(unit, plan, cache).values()))
    assert not found[0] & found[1]


def test_a_file_that_changed_is_read_again(file):
    with Cache() as cache:
        run(file, cache)
        save_file(arrays(5), file)
        os.utime(file, (HOUR_AGO + 1, HOUR_AGO + 1))
        assert run(file, cache) == (fresh(file), 0)


def test_a_file_just_written_is_hashed_each_time(tmp_path):
    path = tmp_path / "fresh.safetensors"
    save_file(arrays(), path)
    with Cache() as cache:
        run(path, cache)
        run(path, cache)
        assert cache.n_hashed == 4
        assert cache.n_found == 6


def test_the_same_content_in_another_place_is_known(file, tmp_path):
    other = tmp_path / "copy.npz"
    np.savez(other, **arrays())
    with Cache() as cache:
        run(file, cache)
        rows, n_found = run(other, cache)
    assert n_found == 6
    assert {row.checkpoint for row in rows} == {str(other)}


def test_what_failed_is_tried_again(file):
    with Cache() as cache:
        rows, _ = run(file, cache)
        cache.keep({"key": replace(rows[0], status="failed", reason="a full disk")})
        assert cache.rows(["key"]) == {}


def test_the_oldest_go_when_the_limit_is_reached(file, tmp_path):
    path = tmp_path / "rows.sqlite"
    with Cache(path, limit=60_000) as cache:
        rows, _ = run(file, cache)
        for i in range(300):
            cache.keep({f"{i:064}": rows[0]})
    with Cache(path) as later:
        assert later.rows([f"{299:064}"])
        assert not later.rows([f"{0:064}"])
    kept = sqlite3.connect(path)
    assert kept.execute("SELECT sum(size) FROM rows").fetchone()[0] <= 60_000
    kept.close()
    assert path.stat().st_size < 4 * 60_000


def test_two_caches_write_to_one_file(file, tmp_path):
    path = tmp_path / "rows.sqlite"
    with Cache(path) as one, Cache(path) as two:
        run(file, one)
        run(arrays(1), two)
        assert run(file, two)[1] == 6
        assert run(arrays(1), one)[1] == 6


def test_a_cache_that_cannot_be_used_is_a_warning(file, tmp_path):
    broken = tmp_path / "rows.sqlite"
    broken.write_bytes(b"not a database at all, but long enough to be one" * 99)
    with pytest.warns(CacheWarning, match="everything is measured"), Cache(broken) as cache:
        assert run(file, cache) == (fresh(file), 0)


def test_the_cache_lies_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("KCOMPLEXITY_CACHE", str(tmp_path))
    assert cache_path() == tmp_path / "scores.sqlite"


def test_units_that_are_tied_to_other_tensors_are_part_of_the_key():
    rng = np.random.default_rng(0)
    first, second, other = (
        rng.normal(size=shape).astype("f4") for shape in ((24, 16), (20, 24), (20, 31))
    )
    first = np.sort(first, axis=None).reshape(24, 16)  # has an order to lose
    options: Any = {"specs": ["zstd:9@q4"], "controls": ["unit-permutation:2"]}
    with Cache() as cache:
        tied = run({"a.weight": first, "b.weight": second}, cache, **options)
        loose = run({"a.weight": first, "b.weight": other}, cache, **options)
    assert tied[0] == fresh({"a.weight": first, "b.weight": second}, **options)
    assert loose == (fresh({"a.weight": first, "b.weight": other}, **options), 0)
    assert tied[0][0].controls != loose[0][0].controls


def test_a_hash_is_of_a_place_in_a_file_whatever_it_is_called(tmp_path):
    path = tmp_path / "two.safetensors"
    save_file({"a": np.zeros(9, "f4"), "b": np.ones(9, "f4")}, path)
    os.utime(path, (HOUR_AGO, HOUR_AGO))
    with kc.open_checkpoint(path) as checkpoint, Cache() as cache:
        a, b = (replace(checkpoint[name], name="w") for name in "ab")
        assert cache.content(a) != cache.content(b)
        assert (cache.content(a) == cache.content(a), cache.n_hashed) == (True, 2)


def test_a_file_written_in_place_under_its_old_time_is_hashed_again(file):
    def content(cache):
        with kc.open_checkpoint(file) as checkpoint:
            return cache.content(checkpoint["w"])

    with Cache() as cache:
        before = content(cache)
        stored = bytearray(file.read_bytes())
        probe = file.with_name("probe")

        def clock_has_ticked() -> bool:  # that of the file system does every few milliseconds
            probe.touch()
            return probe.stat().st_mtime_ns > file.stat().st_ctime_ns

        wait_until(clock_has_ticked)
        for at in range(1, 200):
            stored[-at] ^= 1
        with file.open("r+b") as same:
            same.write(stored)
        os.utime(file, (HOUR_AGO, HOUR_AGO))
        assert content(cache) != before


def test_what_lies_elsewhere_than_in_a_file_is_hashed_each_time(file):
    class Elsewhere(FileSource):
        pass

    with kc.open_checkpoint(file) as checkpoint, Cache() as cache:
        source = Elsewhere(file)
        stored = checkpoint["w"]
        assert isinstance(stored, StoredTensor)
        tensor = replace(stored, source=source)
        assert cache.content(tensor) == cache.content(tensor) == cache.content(stored)
        assert cache.n_hashed == 3
        source.close()


def test_a_file_that_is_replaced_while_it_is_open_is_another_file(file, tmp_path):
    new = tmp_path / "new.safetensors"
    save_file(arrays(7), new)
    os.utime(new, (HOUR_AGO, HOUR_AGO))
    with Cache() as cache:
        with kc.open_checkpoint(file) as checkpoint:
            new.replace(file)
            old = cache.content(checkpoint["w"])
        with kc.open_checkpoint(file) as checkpoint:
            assert cache.content(checkpoint["w"]) != old


def test_processes_that_begin_at_once_share_one_file(file, tmp_path):
    script = (
        "import sys, kcomplexity as kc\n"
        "found = kc.trajectory(sys.argv[1:], specs=['entropy@q8', 'zstd@sign'], threads=1)\n"
        "print([row.bits for row in found.rows])"
    )
    environment = os.environ | {
        "KCOMPLEXITY_CACHE": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONWARNINGS": "error",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(file)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = {process.communicate(timeout=60)[0] for process in started}
    found = [row.bits for row in kc.score(file, specs=["entropy@q8", "zstd@sign"]).rows]
    assert said == {f"{found}\n"}
