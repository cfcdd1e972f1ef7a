"""Coded integers come back, cost what they should, and decode for ever."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcomplexity.algorithms.entropy_coding.ans import (
    AnsDecoder,
    AnsEncoder,
    frequencies_of,
    model_of,
    quantised,
    weights_of,
)
from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.index_coding import (
    MODES,
    canonical_order,
    decode_indices,
    decode_usage,
    encode_indices,
    encode_usage,
)
from kcomplexity.containers.motifs import decode_levels, encode_levels

INTEGERS = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**47 - 1)), max_size=40)


@given(st.lists(INTEGERS, min_size=1, max_size=4), st.integers(1, 2**40))
def test_what_is_written_is_read_in_the_same_order(lists, size):
    uniform = np.array([size - 1, 0, size // 2])
    encoder = AnsEncoder()
    for values in lists:
        encoder.integers(np.array(values, np.int64))
        encoder.uniform(uniform, size)
    decoder = AnsDecoder(encoder.words())
    for values in lists:
        assert decoder.integers(len(values)).tolist() == values
        assert decoder.uniform(3, size).tolist() == uniform.tolist()
    assert decoder.finished()


@given(st.lists(st.integers(1, 2**45), min_size=1, max_size=300))
def test_frequencies_are_positive_and_add_up_to_two_to_the_24(weights):
    found = frequencies_of(np.array(weights, np.int64))
    assert found.min() >= 1
    assert found.sum() == 1 << 24


@given(st.integers(1, 2**40))
def test_a_usage_level_is_within_a_sixteenth_of_an_octave(count):
    weight = int(weights_of(quantised(np.array([count])))[0])
    assert abs(np.log2(weight / 256) - np.log2(count)) < 1 / 16 + 0.005


def test_symbols_cost_their_entropy_and_a_word_or_two():
    rng = np.random.default_rng(0)
    weights = np.array([1, 2, 5, 100, 1000])
    p = weights / weights.sum()
    symbols = rng.choice(5, 20_000, p=p)
    encoder = AnsEncoder()
    encoder.symbols(symbols, weights)
    ideal = -np.log2(p[symbols]).sum()
    assert ideal - 1 <= 32 * encoder.words().size <= 1.0005 * ideal + 64


@st.composite
def motif_sets(draw):
    k, s = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    spread = draw(st.sampled_from([1, 5, 400]))
    levels = np.unique(rng.integers(-spread, spread + 1, (k, s)) + rng.integers(-9, 9), axis=0)
    counts = rng.integers(1, draw(st.sampled_from([2, 100, 10**6])), len(levels))
    return levels, counts


@given(motif_sets())
def test_motifs_on_a_grid_and_their_usage_come_back(found):
    levels, counts = found
    order, usage = canonical_order(counts, levels)
    assert (np.diff(usage) <= 0).all()
    encoder = AnsEncoder()
    encode_usage(usage, encoder)
    encode_levels(levels[order], usage, encoder)
    decoder = AnsDecoder(encoder.words())
    again = decode_usage(len(levels), decoder)
    assert np.array_equal(again, usage)
    assert np.array_equal(decode_levels(levels.shape, again, decoder), levels[order])
    assert decoder.finished()


@pytest.mark.parametrize("mode", MODES)
@given(data=st.data())
def test_indices_come_back_in_every_mode(mode, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    tilings = [
        Tiling(data.draw(st.integers(1, 9)), data.draw(st.integers(1, 20)), BlockShape.parse(text))
        for text in data.draw(st.lists(st.sampled_from(["2", "3", "2x2"]), min_size=1, max_size=3))
    ]
    k = data.draw(st.integers(1, 20))
    indices = [rng.integers(0, k, tiling.n_blocks).astype(np.uint32) for tiling in tilings]
    values = rng.normal(size=(k, 4)).astype(np.float32)
    usage = np.sort(rng.integers(0, 60, k))[::-1]
    encoder = AnsEncoder()
    encode_indices(indices, tilings, usage, values, mode, encoder)
    decoder = AnsDecoder(encoder.words())
    again = decode_indices(tilings, usage, values, mode, decoder)
    assert all(np.array_equal(a, b) for a, b in zip(indices, again, strict=True))
    assert decoder.finished()


def test_context_pays_where_large_blocks_keep_company():
    rng = np.random.default_rng(0)
    large = np.kron(rng.random((4, 4)) < 0.4, np.ones((16, 16))).reshape(-1) > 0
    indices = np.where(large, rng.integers(8, 16, large.size), rng.integers(0, 8, large.size))
    values = np.concatenate([np.linspace(0.1, 0.2, 8), np.linspace(5, 6, 8)])[:, None]
    counts = np.bincount(indices, minlength=16)
    order, usage = canonical_order(counts, values)
    new = np.argsort(order).astype(np.uint32)
    tiling = Tiling(64, 64, BlockShape.parse("1"))
    sizes = {}
    for mode in MODES:
        encoder = AnsEncoder()
        encode_indices([new[indices]], [tiling], usage, values[order], mode, encoder)
        sizes[mode] = 32 * encoder.words().size / indices.size
    assert sizes["context"] < 3.5 < 3.8 < sizes["counts"] < sizes["uniform"] + 0.02


def test_a_stream_written_long_ago_decodes_for_ever():
    # Golden: what this coder wrote once. If it no longer decodes, old files are lost.
    encoder = AnsEncoder()
    encoder.integers(np.array([0, 1, 2, 3, 1000]))
    encoder.symbols(np.array([0, 0, 1, 2, 0]), np.array([7, 2, 1]))
    encoder.uniform(np.array([5, 2**30]), 2**31)
    words = [1455035611, 71210, 926736, 842399416, 3324]
    assert encoder.words().tolist() == words
    decoder = AnsDecoder(np.array(words, np.uint32))
    assert decoder.integers(5).tolist() == [0, 1, 2, 3, 1000]
    assert decoder.symbols(5, np.array([7, 2, 1])).tolist() == [0, 0, 1, 2, 0]
    assert decoder.uniform(2, 2**31).tolist() == [5, 2**30]


def test_symbols_that_each_have_a_model_take_few_bytes_and_come_back_in_order():
    models = [model_of(np.array(weights)) for weights in ([1, 2, 3], [5, 1])]
    symbols = np.random.default_rng(0).integers(0, 2, 100_000)
    tracemalloc.start()
    encoder = AnsEncoder()
    for part in np.split(symbols, 2):
        for number, symbol in enumerate(part.tolist()):
            encoder.modelled(symbol, models[number % 2])
        encoder.uniform(np.array([3]), 8)
    assert tracemalloc.get_traced_memory()[0] < 16 * symbols.size
    tracemalloc.stop()
    decoder = AnsDecoder(encoder.words())
    for part in np.split(symbols, 2):
        found = [int(decoder.coder.decode(models[i % 2])) for i in range(part.size)]
        assert found == part.tolist()
        assert decoder.uniform(1, 8).tolist() == [3]
    assert decoder.finished()
