"""Symbols are counted alike in tables and as sorted values, however a stream is cut."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms import counting
from kcomplexity.algorithms.counting import SymbolCounter, add_to_table, count_symbols
from kcomplexity.errors import UnmeasurableError

SIZES = (1, 2, 5, 256, 300, 65536, 65537, 1 << 20, 1 << 62)


def symbols_of(size: int, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    few = rng.integers(0, size, max(n // 3, 1))
    dtype = np.min_scalar_type(size - 1)
    return rng.choice(few, n).astype(dtype)


def same(tally, symbols) -> None:
    values, counts = np.unique(symbols, return_counts=True)
    for mine, expected in zip(tally, (values, counts), strict=True):
        assert mine.dtype == np.int64
        np.testing.assert_array_equal(mine, expected)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(SIZES), st.integers(0, 2000), st.lists(st.integers(0, 2000)), st.integers())
def test_chunks_in_any_number_of_counters_count_like_the_whole(size, n, cuts, seed):
    symbols = symbols_of(size, n, abs(seed) % 1000)
    same(count_symbols(symbols, size), symbols)
    total = SymbolCounter(size)
    for i, chunk in enumerate(np.split(symbols, sorted(min(cut, n) for cut in cuts))):
        counter = SymbolCounter(size)
        counter.add(chunk)
        counter.finish()
        if i % 2:
            total = total + pickle.loads(pickle.dumps(counter))
        else:
            total.add(chunk)
        same(total.tally(), symbols[: sum(total.tally()[1])])
    same(total.tally(), symbols)


@pytest.mark.parametrize("n", [(1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_001])
def test_many_bytes_are_counted_in_pairs(n):
    symbols = symbols_of(200, n, 1)
    table = np.zeros(200, np.int64)
    add_to_table(table, symbols)
    add_to_table(table, symbols)
    np.testing.assert_array_equal(table, 2 * np.bincount(symbols, minlength=200))


def test_waiting_symbols_are_sorted_a_bounded_number_of_times(monkeypatch):
    monkeypatch.setattr(counting, "_WAITING", 100)
    symbols = symbols_of(1 << 20, 5000, 2)
    counter = SymbolCounter(1 << 20)
    for i in range(0, symbols.size, 30):
        counter.add(symbols[i : i + 30])
    same(counter.tally(), symbols)


def test_a_chunk_may_be_overwritten_after_it_was_added():
    chunk = np.arange(10, dtype=np.uint32)
    counter = SymbolCounter(1 << 20)
    counter.add(chunk)
    chunk[:] = 7
    assert counter.tally()[0].tolist() == list(range(10))


def test_too_many_distinct_symbols_have_no_counts():
    counter = SymbolCounter(1 << 20, most_distinct=3)
    counter.add(np.arange(3, dtype=np.uint32))
    assert counter.counts.tolist() == [1, 1, 1]
    counter.add(np.array([9], np.uint32))
    with pytest.raises(UnmeasurableError, match="more than 3 distinct symbols"):
        _ = counter.counts
