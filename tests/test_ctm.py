"""CTM tables: read from pybdm without importing it, and from nothing that only resembles it."""

from __future__ import annotations

import gzip
import importlib.machinery
import importlib.util
import os
import pickle
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms.ctm import (
    CTM_SOURCES,
    ctm_cache_folder,
    ctm_table,
    normalised_codes,
    source,
)
from kcomplexity.algorithms.ctm import cache as ctm_cache
from kcomplexity.errors import CtmTableError, SpecError
from tests.pybdm_oracle import pybdm


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a process that has not read a table yet."""
    monkeypatch.setenv("KCOMPLEXITY_CACHE", str(tmp_path / "cache"))
    ctm_cache._load.cache_clear()
    yield tmp_path / "cache" / "ctm"
    ctm_cache._load.cache_clear()


def fresh_table(n_symbols):
    """The table as a new process would get it."""
    ctm_cache._load.cache_clear()
    return ctm_table(n_symbols)


def run_python(code, **environment):
    """Run code in a new process that can import what this one can."""
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


# --- what is in the tables ------------------------------------------------------------------------


def test_values_of_all_twelve_bit_blocks_add_up_to_the_published_sum():
    values, known = ctm_table().lookup(np.arange(4096), 12)
    assert values.sum() == pytest.approx(133_138.5, abs=0.05)
    assert known.all()


@pytest.mark.parametrize(
    ("n_symbols", "ndim", "sizes"),
    [(2, 1, tuple(range(1, 13))), (2, 2, (1, 4, 9, 16)), (4, 1, tuple(range(1, 13)))],
)
def test_a_table_holds_all_of_its_block_sizes(n_symbols, ndim, sizes):
    assert ctm_table(n_symbols, ndim).sizes == sizes


@pytest.mark.parametrize(("ndim", "size"), [(1, 1), (1, 5), (1, 12), (2, 1), (2, 9), (2, 16)])
def test_renaming_two_symbols_does_not_change_a_value(ndim, size):
    codes = np.arange(2**size)
    values, _ = ctm_table(2, ndim).lookup(codes, size)
    complements, _ = ctm_table(2, ndim).lookup(2**size - 1 - codes, size)
    np.testing.assert_array_equal(values, complements)


@pytest.mark.parametrize("side", [2, 3, 4])
def test_turning_a_square_block_does_not_change_its_value(side):
    size = side**2
    weights = 2 ** np.arange(size - 1, -1, -1)
    blocks = (np.arange(2**size)[:, None] // weights % 2).reshape(-1, side, side)
    table = ctm_table(2, 2)
    values, _ = table.lookup(np.arange(2**size), size)
    for turned in (blocks.transpose(0, 2, 1), blocks[:, ::-1], blocks[:, :, ::-1]):
        turned_values, _ = table.lookup(turned.reshape(-1, size) @ weights, size)
        np.testing.assert_array_equal(values, turned_values)


def test_a_block_that_no_machine_printed_costs_one_bit_above_the_largest():
    table = ctm_table(4)
    codes = np.arange(4**12 - 200_000, 4**12)
    values, known = table.lookup(codes, 12)
    assert 0 < np.count_nonzero(~known) < known.size
    assert set(values[~known]) == {table.largest(12) + 1}
    assert values[known].max() <= table.largest(12)


@pytest.mark.parametrize(("n_symbols", "size"), [(2, 4), (4, 1), (4, 2), (4, 5)])
def test_ranked_blocks_with_their_renamings_are_all_blocks(n_symbols, size):
    table = ctm_table(n_symbols)
    values, n_renamings = table.ranked(size)
    everything, known = table.lookup(np.arange(n_symbols**size), size)
    np.testing.assert_array_equal(np.repeat(values, n_renamings), np.sort(everything[known])[::-1])
    assert table.smallest(size) == everything.min()


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 9), st.integers(1, 12), st.data())
def test_codes_are_normalised_as_pybdm_normalises_text(n_symbols, size, data):
    codes = data.draw(st.lists(st.integers(0, n_symbols**size - 1), min_size=1, max_size=20))
    texts = [np.base_repr(code, n_symbols).zfill(size) for code in codes]
    expected = [int(pybdm.encoding.normalize_key(text), n_symbols) for text in texts]
    np.testing.assert_array_equal(normalised_codes(np.array(codes), n_symbols, size), expected)


@pytest.mark.parametrize(("n_symbols", "ndim"), [(3, 1), (4, 2), (2, 3)])
def test_an_alphabet_without_a_table_is_refused(n_symbols, ndim):
    with pytest.raises(SpecError, match=f"n_symbols={n_symbols} in {ndim} dimension"):
        ctm_table(n_symbols, ndim)


# --- where they come from -------------------------------------------------------------------------


def test_pybdm_is_never_imported():
    code = """
import sys
from kcomplexity.algorithms.ctm import ctm_table
ctm_table(2, 1), ctm_table(2, 2)
print(sorted({"pybdm", "pkg_resources"} & sys.modules.keys()))
"""
    assert run_python(code).communicate()[0] == "[]\n"


def test_a_missing_pybdm_is_named_and_how_to_get_it(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CtmTableError, match=r"pip install 'pybdm==0\.1\.0'"):
        ctm_table()


def stand_in_package(folder, monkeypatch):
    """Let the folder pass for the installed pybdm; returns the path of its binary table."""
    (folder / "ctmdata").mkdir()
    spec = importlib.machinery.ModuleSpec("pybdm", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    return folder / "ctmdata" / CTM_SOURCES[2, 1].file_name


def test_a_missing_table_is_named(cache, tmp_path, monkeypatch):
    path = stand_in_package(tmp_path, monkeypatch)
    with pytest.raises(CtmTableError, match=path.name):
        ctm_table()


def test_a_changed_table_is_refused_even_if_it_can_be_read(cache, tmp_path, monkeypatch):
    path = stand_in_package(tmp_path, monkeypatch)
    path.write_bytes(gzip.compress(pickle.dumps({(1,): {"0": 2.5}})))
    with pytest.raises(CtmTableError, match=r"not the one of pybdm 0\.1\.0"):
        ctm_table()


class Malicious:
    """Runs a command when it is unpickled by anything less careful."""

    def __reduce__(self):
        return os.system, ("echo pwned",)


@pytest.mark.parametrize(
    ("content", "name"),
    [(Malicious(), rf"{os.system.__module__}\.system"), (Counter("a"), r"collections\.Counter")],
    ids=["a command", "a harmless class"],
)
def test_a_pickle_of_anything_but_dictionaries_is_refused_by_name(content, name):
    with pytest.raises(CtmTableError, match=name):
        source.read_pickle(gzip.compress(pickle.dumps(content)))


def test_the_dictionaries_of_tables_are_admitted():
    table = defaultdict(dict, {(1,): OrderedDict({"0": 1.0}), (2,): {"01": 2.0}})
    assert source.read_pickle(gzip.compress(pickle.dumps(table))) == table


# --- the cache folder -----------------------------------------------------------------------------


def test_a_large_table_is_converted_once_and_mapped_from_then_on(cache, monkeypatch):
    first = fresh_table(4)
    (stored,) = cache.iterdir()
    monkeypatch.setattr(ctm_cache, "source_bytes", lambda _: pytest.fail("converted again"))
    second = fresh_table(4)
    np.testing.assert_array_equal(first.keys, second.keys)
    np.testing.assert_array_equal(first.values, second.values)
    assert not second.keys.flags.writeable
    assert stored.stat().st_size == 24 + 16 * first.keys.size


def truncated(content):
    return content[:-8]


def with_a_flipped_bit(content):
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def of_another_version(content):
    return content[:7] + b"\x63" + content[8:]


def shorter_than_its_header(content):
    return content[:10]


def emptied(content):
    return b""


@pytest.mark.parametrize(
    "damage",
    [truncated, with_a_flipped_bit, of_another_version, shorter_than_its_header, emptied],
)
def test_a_damaged_file_is_rebuilt(cache, damage):
    expected = fresh_table(4).values.copy()
    (stored,) = cache.iterdir()
    whole = stored.read_bytes()
    stored.unlink()  # the table above maps it: never write into a mapped file
    stored.write_bytes(damage(whole))
    np.testing.assert_array_equal(fresh_table(4).values, expected)
    assert stored.read_bytes() == whole


def test_without_a_writable_cache_tables_are_converted_in_memory(cache):
    cache.parent.write_text("a file where the folder should be")
    assert fresh_table(4).sizes == tuple(range(1, 13))
    assert cache.parent.is_file()


def test_a_write_that_fails_leaves_nothing_behind(cache, monkeypatch):
    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    assert fresh_table(4).keys.size == 845_965
    assert list(cache.iterdir()) == []


def test_processes_that_race_all_get_the_table_and_leave_one_file(cache):
    code = (
        "from kcomplexity.algorithms.ctm import ctm_table; print(float(ctm_table(4).values.sum()))"
    )
    racers = [run_python(code) for _ in range(3)]
    sums = {racer.communicate()[0] for racer in racers}
    assert sums == {f"{float(fresh_table(4).values.sum())}\n"}
    assert len(list(cache.iterdir())) == 1


def test_threads_that_race_all_get_the_table(cache):
    with ThreadPoolExecutor(4) as pool:
        sums = set(pool.map(lambda _: ctm_table(4).values.sum(), range(4)))
    assert len(sums) == 1


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KCOMPLEXITY_CACHE", str(tmp_path))
    assert ctm_cache_folder() == tmp_path / "ctm"
    monkeypatch.delenv("KCOMPLEXITY_CACHE")
    assert ctm_cache_folder().parts[-2:] == ("kcomplexity", "ctm")
