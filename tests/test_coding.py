"""The plain codes read back what they wrote, at the length that their formulas say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms.entropy_coding import (
    BitReader,
    BitWriter,
    ContextTrees,
    read_order0,
    write_order0,
)
from kcomplexity.algorithms.entropy_coding.lengths import two_part_bits
from kcomplexity.algorithms.entropy_coding.order0 import read_subset, write_subset
from kcomplexity.kernels import tree_bits

ORDERS = ((3, 2, 1, 0), (1, 0, 3, 2))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2**32), st.integers(0, 2**32)), max_size=30))
def test_numbers_come_back_at_the_logarithm_of_how_many_there_are(events):
    events = [(count, value % count) for count, value in events]
    writer = BitWriter()
    for count, value in events:
        writer.number(value, count)
    writer.finish()
    reader = BitReader(writer.to_bytes())
    assert [reader.number(count) for count, _ in events] == [value for _, value in events]
    told = sum(math.log2(count) for count, _ in events)
    # A count above 2**31 is told in two digits, of which the first wastes less than a bit.
    wide = sum(count > 2**31 for count, _ in events)
    assert told <= len(writer.bits) + 1e-6
    assert len(writer.bits) <= told + 2 + wide


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(1e-6, 1 - 1e-6)), max_size=200))
def test_flags_come_back_at_the_logarithm_of_their_probabilities(events):
    writer = BitWriter()
    for bit, p_one in events:
        writer.flag(bit, p_one)
    writer.finish()
    reader = BitReader(writer.to_bytes())
    assert [reader.flag(p_one) for _, p_one in events] == [bit for bit, _ in events]
    told = -sum(math.log2(p if bit else 1 - p) for bit, p in events)
    assert told - 0.01 <= len(writer.bits) <= told + 2.01


def test_events_outside_their_total_are_refused():
    with pytest.raises(ValueError, match="expected a part"):
        BitWriter().write(3, 2, 4)
    with pytest.raises(ValueError, match="expected 1 to 2"):
        BitWriter().number(0, 0)


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 60)), st.integers(61, 80))
def test_a_subset_comes_back_at_the_logarithm_of_their_number(members, size):
    writer = BitWriter()
    write_subset(writer, sorted(members), size)
    writer.finish()
    assert read_subset(BitReader(writer.to_bytes()), len(members), size) == sorted(members)
    assert len(writer.bits) <= math.log2(math.comb(size, len(members))) + 2.01


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=80), st.integers(21, 40))
def test_the_enumerative_code_has_the_length_of_two_part_bits(symbols, size):
    writer = BitWriter()
    write_order0(writer, symbols, size)
    writer.finish()
    assert read_order0(BitReader(writer.to_bytes()), len(symbols), size) == symbols
    told = two_part_bits(np.bincount(symbols), size)
    assert told - 0.01 <= len(writer.bits) <= told + 2.01


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 1)), max_size=300))
def test_the_trees_need_what_the_counts_say_in_any_order_of_events(events):
    trees, bits = ContextTrees(ORDERS), 0.0
    for context, bit in events:
        p_one = trees.predict(context)
        assert 0 < p_one < 1
        bits -= math.log2(p_one if bit else 1 - p_one)
        trees.update(bit)
    counts = np.zeros((2, 1, 16), np.int64)
    for context, bit in events:
        counts[bit, 0, context] += 1
    assert tree_bits(counts[0], counts[1], ORDERS)[0] == pytest.approx(bits, abs=1e-8)


def test_the_trees_find_the_one_bit_of_the_context_that_matters():
    rng = np.random.default_rng(0)
    counts = np.zeros((2, 1, 16), np.int64)
    for context in rng.integers(0, 16, 4000):
        counts[int(context >> 1 & 1), 0, context] += 1
    assert tree_bits(counts[0], counts[1], ORDERS)[0] < 40
    noise = np.full((1, 16), 125)
    assert 4000 <= tree_bits(noise, noise, ORDERS)[0] < 4015
