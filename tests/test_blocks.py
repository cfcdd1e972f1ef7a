"""Blocks are cut and joined without loss, whatever the shape; padding is no weight."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.errors import SpecError

SHAPES = st.sampled_from(["1", "3", "4", "8", "1x4", "2x2", "3x2", "5x7"])


@given(st.integers(1, 13), st.integers(1, 17), SHAPES, st.sampled_from(["f4", "f8", "i2"]))
def test_joining_is_the_inverse_of_splitting(rows, columns, text, dtype):
    tiling = Tiling(rows, columns, BlockShape.parse(text))
    weights = np.arange(1, rows * columns + 1).astype(dtype)
    blocks = tiling.split(weights)
    assert blocks.dtype == weights.dtype
    assert blocks.shape == (tiling.n_blocks, tiling.block.size)
    assert np.array_equal(tiling.join(blocks)[: weights.size], weights)
    # Every weight is there once; the rest is padding.
    assert np.array_equal(np.sort(blocks[blocks != 0]), weights)


@given(st.integers(1, 13), st.integers(1, 17), SHAPES, st.data())
def test_a_range_needs_the_blocks_that_cover_it_alone(rows, columns, text, data):
    tiling = Tiling(rows, columns, BlockShape.parse(text))
    weights = np.arange(1.0, rows * columns + 1)
    start = data.draw(st.integers(0, weights.size - 1))
    stop = data.draw(st.integers(start + 1, weights.size))
    first, last, at = tiling.covering(start, stop)
    joined = tiling.join(tiling.split(weights)[first:last])
    assert np.array_equal(joined[start - at : stop - at], weights[start:stop])


def test_rectangles_are_rows_and_columns_of_the_matrix_form():
    tiling = Tiling(2, 4, BlockShape.parse("2x2"))
    blocks = tiling.split(np.arange(8.0))
    assert blocks.tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_the_last_run_is_padded_with_zeros():
    blocks = Tiling(1, 5, BlockShape.parse("4")).split(np.ones(5, np.float32))
    assert blocks.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert len(blocks) == math.ceil(5 / 4)


@pytest.mark.parametrize("text", ["0", "2x0", "0x2", "x4", "4x", "-1", "2x2x2", "four", ""])
def test_what_is_no_block_size_is_refused(text):
    with pytest.raises(SpecError, match="expected a number of weights such as 4"):
        BlockShape.parse(text)
