"""Every compiled kernel gives the bits of its NumPy twin."""

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ml_dtypes import bfloat16

from kcomplexity import kernels
from kcomplexity.algorithms.context.model import (
    FLAG_ORDERS,
    MAGNITUDE_CELLS,
    PREDICTION_CELLS,
    SIGN_CELLS,
    Kernel,
    offsets,
)
from kcomplexity.kernels import contexts, counts, levels, nearest, permutation, trees
from kcomplexity.kernels.choice import compiled
from kcomplexity.tensors.pieces import LEAF

#: Around the sizes at which a loop changes its pace: vectors, runs, sums, leaves.
LENGTHS = (*range(14), 64, 127, 128, 129, 255, 256, 257, 1000, 65535, 65536, 70000)
FLOATS = (np.float32, np.float64, np.float16, bfloat16)
OFFSETS = (0, 1, 3)
CELLS: dict[str, Any] = {"magnitude_cells": MAGNITUDE_CELLS, "prediction_cells": PREDICTION_CELLS}
both_ways = pytest.mark.skipif(compiled is None, reason="the kernels are not compiled")


def same(left, right):
    """Whether all results are equal, bit by bit but for the payload of NaN."""
    left, right = (x if isinstance(x, tuple) else (x,) for x in (left, right))
    for a, b in zip(left, right, strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
        assert (np.signbit(a) == np.signbit(b)).all() or np.isnan(a).any()
    return True


def drawn(rng, n, dtype, *, special=False, start=0):
    """Read-only weights that begin `start` items into their memory."""
    weights = (rng.standard_t(3, n + start) * 0.05).astype(dtype)
    if special and n:
        places = rng.integers(start, n + start, max(n // 50, 1))
        values = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-42, 3e4, -3e4]
        weights[places] = rng.choice(values, places.size).astype(dtype)
    weights = weights[start:]
    weights.flags.writeable = False
    return weights


def unaligned(array):
    """Return a copy that begins at an odd address."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    copy = memory[1:].view(array.dtype) if array.size else array
    copy[...] = array
    return copy


# --- Levels ---------------------------------------------------------------------------------------

AFFINE: dict[str, dict[str, Any]] = {
    "symmetric": {"zero": 0.0, "lowest": -127, "highest": 127},
    "affine": {"zero": -0.3, "lowest": 0, "highest": 255},
    "wide": {"zero": 0.0, "lowest": -127, "highest": 127, "wide": True},
    "affine and wide": {"zero": 0.25, "lowest": 0, "highest": 255, "wide": True},
    "sixteen bits": {"zero": 0.0, "lowest": -32767, "highest": 32767},
}


@both_ways
@pytest.mark.parametrize("name", AFFINE)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [False, True])
def test_affine_levels_are_those_of_the_twin(name, dtype, special):
    rng = np.random.default_rng(1)
    options = AFFINE[name]
    step = 0.3 / options["highest"]
    for n in LENGTHS:
        weights = drawn(rng, n, dtype, special=special, start=OFFSETS[n % 3])
        symbols = np.full((2, n), 7, np.uint8 if options["highest"] < 256 else np.uint16)
        result = levels.affine_levels(weights, symbols[0], step=step, **options)
        twin = levels.affine_levels_numpy(weights, symbols[1], step=step, **options)
        assert same(result, twin)
        np.testing.assert_array_equal(*symbols)


@both_ways
@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e30, 1e37])
def test_affine_levels_of_extreme_scales_are_those_of_the_twin(scale):
    weights = (np.random.default_rng(2).standard_normal(3000) * scale).astype(np.float32)
    for step in (float(np.float32(scale / 100)), 1e-3, 1.0, 0.0):
        symbols = np.empty((2, 3000), np.uint8)
        options: dict[str, Any] = {"zero": 0.0, "step": step, "lowest": -127, "highest": 127}
        result = levels.affine_levels(weights, symbols[0], **options)
        assert same(result, levels.affine_levels_numpy(weights, symbols[1], **options))
        np.testing.assert_array_equal(*symbols)


def test_squares_are_summed_in_a_fixed_order():
    """By hand, one addition after the other."""
    values = np.random.default_rng(3).standard_normal(256).astype(np.float32)
    lanes = np.zeros(4, np.float32)
    for at in range(0, 256, 16):
        for vector in (12, 8, 4, 0):
            lanes += np.square(values[at + vector : at + vector + 4])
    by_hand = float((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))
    symbols = np.empty(256, np.uint8)
    options: dict[str, Any] = {"zero": 0.0, "step": 1.0, "lowest": -127, "highest": 127}
    for measure in (levels.affine_levels, levels.affine_levels_numpy):
        assert measure(values, symbols, **options)[1].tolist() == [by_hand]
    defined = levels._sums_of_runs(values[None], [*np.empty((2, 256))])
    assert defined.tolist() == [by_hand]


@both_ways
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [False, True])
def test_step_levels_are_those_of_the_twin(dtype, special):
    rng = np.random.default_rng(4)
    for n in LENGTHS:
        weights = drawn(rng, n, dtype, special=special, start=OFFSETS[n % 3])
        for symbol, step, lowest, highest in (
            (np.uint8, 0.01, -100, 100),
            (np.uint16, 1e-4, -30000, 35000),
            (np.uint32, 1e-9, -(10**9), 3 * 10**9),
            (np.uint8, 1e-12, 2**50 - 255, 2**50),
        ):
            symbols = np.full((2, n), 7, symbol)
            options: dict[str, Any] = {"step": step, "lowest": lowest, "highest": highest}
            result = levels.step_levels(weights, symbols[0], **options)
            assert same(result, levels.step_levels_numpy(weights, symbols[1], **options))
            np.testing.assert_array_equal(*symbols)
            assert same(levels.step_errors(weights, step), result[0])
            assert same(levels.square_sums(weights), result[1])


@both_ways
def test_levels_too_large_to_be_rounded_are_whole_already():
    weights = np.array([2.0**51 + 0.5, -(2.0**51) - 0.5, 2.0**52 + 1, 2.0**60, 0.5, 1.5, -2.5])
    result = levels.step_errors(weights, 1.0)
    assert same(result, levels.step_errors_numpy(weights, 1.0))
    assert result.tolist() == [5 * 0.25]


@both_ways
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("special", [False, True])
def test_magnitudes_are_those_of_the_twin(dtype, special):
    rng = np.random.default_rng(5)
    for n in LENGTHS:
        weights = drawn(rng, n, dtype, special=special)
        bins = rng.random(999)[None].repeat(2, axis=0).reshape(2, 333, 3)
        beyond = levels.add_magnitudes(weights, 0.12, bins[0])
        assert same(beyond, levels.add_magnitudes_numpy(weights, 0.12, bins[1]))
        np.testing.assert_array_equal(*bins)


def test_leaves_are_those_of_the_parallel_contract():
    assert levels.LEAF == LEAF


# --- Symbols --------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_symbols_are_counted_as_by_the_twin(dtype):
    rng = np.random.default_rng(6)
    for n in LENGTHS:
        symbols = rng.integers(0, 200, n + 1).astype(dtype)[1:]
        table = np.full((2, 200), 5, np.int64)
        counts.count_symbols(symbols, table[0])
        counts.count_symbols_numpy(symbols, table[1])
        np.testing.assert_array_equal(*table)


@pytest.mark.parametrize("count", [counts.count_symbols, counts.count_symbols_numpy])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_symbol_beyond_the_table_is_refused_and_nothing_is_counted(count, dtype):
    table = np.zeros(10, np.int64)
    with pytest.raises(ValueError, match="beyond"):
        count(np.array([1, 2, 10], dtype), table)
    assert not table.any()


# --- Words ----------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("generator", [np.random.Philox, np.random.PCG64, np.random.MT19937])
def test_a_shuffle_draws_what_numpy_draws(dtype, generator):
    for n in LENGTHS:
        words = np.arange(2 * n).astype(dtype).reshape(2, n)[None].repeat(2, axis=0)
        rngs = [np.random.Generator(generator(n)) for _ in range(2)]
        permutation.shuffle_rows(words[0], rngs[0])
        permutation.shuffle_rows_numpy(words[1], rngs[1])
        np.testing.assert_array_equal(*words)
        assert rngs[0].random() == rngs[1].random()


# --- Contexts -------------------------------------------------------------------------------------


def tile(rng, shape, scale):
    return (16 * np.clip(np.rint(rng.laplace(size=shape) * scale), -127, 127)).astype(np.float32)


@both_ways
@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 300),
    kernel=st.sampled_from([1, 3, 9, 25]),
    scale=st.sampled_from([0.3, 3.0, 60.0]),
    seed=st.integers(0, 99),
)
def test_contexts_are_those_of_the_twin(rows, columns, kernel, scale, seed):
    rng = np.random.default_rng(seed)
    levels_ = tile(rng, (rows, columns), scale)
    near = [*offsets(Kernel(kernel, kernel), more=bool(seed % 2)), (0, 17), (5, 0), (1, -40)]
    arguments = levels_, kernel, int(rng.integers(0, 300)), near
    steps = (int(rng.integers(1, 5)), int(rng.integers(1, 5)))
    assert same(
        contexts.sample_contexts(*arguments, *steps),
        contexts.sample_contexts_numpy(*arguments, *steps),
    )
    m = rng.integers(-128, 128, 5 + len(near)) * (rng.random(5 + len(near)) < 0.7)
    mu = rng.integers(-128, 128, 3 + len(near)) * (rng.random(3 + len(near)) < 0.7)
    m, mu = m.tolist(), mu.tolist()
    signs: dict[str, Any] = CELLS | {"prediction_cells": SIGN_CELLS}
    variants: tuple[dict[str, Any], ...] = (
        {"magnitude": m[:4], **CELLS},
        {"magnitude": m[:-1], **CELLS},
        {"magnitude": m, "prediction": mu, **CELLS},
        {"prediction": mu, "pattern": 4, **signs},
        {"magnitude": m, "prediction": mu, "top": 3, **CELLS},
    )
    for options in variants:
        assert same(
            contexts.count_contexts(*arguments, **options),
            contexts.count_contexts_numpy(*arguments, **options),
        )


@both_ways
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
@pytest.mark.parametrize("most", [5, 1000, 100_000])
def test_the_bits_of_trees_are_those_of_the_twin(share, most):
    rng = np.random.default_rng(9)
    zeros, ones = (rng.random((2, 5, 1024)) < share) * rng.integers(0, most, (2, 5, 1024))
    bits = trees.tree_bits(zeros, ones, FLAG_ORDERS)
    assert same(bits, trees.tree_bits_numpy(zeros, ones, FLAG_ORDERS))
    few = zeros[:, :1], ones[:, :1], ((), ())
    assert same(trees.tree_bits(*few), trees.tree_bits_numpy(*few))


@both_ways
@pytest.mark.parametrize("top", [1, 3, 15])
def test_flags_are_counted_as_by_the_twin(top):
    table = np.random.default_rng(10).integers(0, 9, (512, 2 * top + 1))
    assert same(trees.count_flags(table), trees.count_flags_numpy(table))


# --- Nearest --------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 2), (7, 63), (7, 64), (7, 65), (9, 5000)])
def test_the_two_lowest_are_those_of_the_twin(shape):
    scores = np.random.default_rng(11).standard_normal(shape).astype(np.float32).round(1)
    scores[:, ::7] = np.inf
    assert same(nearest.two_lowest(scores), nearest.two_lowest_numpy(scores))


# --- The boundary ---------------------------------------------------------------------------------

WRONG = {
    "affine_levels": lambda x: kernels.affine_levels(
        x, np.empty(x.size, np.uint8), zero=0.0, step=1.0, lowest=0, highest=1
    ),
    "step_levels": lambda x: kernels.step_levels(
        x, np.empty(x.size, np.uint8), step=1.0, lowest=0, highest=1
    ),
    "step_errors": lambda x: kernels.step_errors(x, 1.0),
    "square_sums": kernels.square_sums,
    "add_magnitudes": lambda x: kernels.add_magnitudes(x, 1.0, np.zeros((9, 3))),
    "count_symbols": lambda x: kernels.count_symbols(x, np.zeros(9, np.int64)),
    "shuffle_rows": lambda x: kernels.shuffle_rows(x, np.random.default_rng(0)),
    "sample_contexts": lambda x: kernels.sample_contexts(x.reshape(2, -1), 1, 1, (), 1, 1),
    "count_contexts": lambda x: kernels.count_contexts(x.reshape(2, -1), 1, 1, (), **CELLS),
    "count_flags": lambda x: kernels.count_flags(x.reshape(2, -1)),
    "tree_bits": lambda x: kernels.tree_bits(x.reshape(2, -1), x.reshape(2, -1), ((0,), (0,))),
    "two_lowest": lambda x: kernels.two_lowest(x.reshape(2, -1)),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("dtype", [np.complex64, np.int16, ">f4", ">u2"])
def test_an_array_of_another_type_is_refused(name, dtype):
    with pytest.raises(TypeError, match=r"an array of .+: expected "):
        WRONG[name](np.zeros(4, dtype))


def test_every_kernel_is_tried_with_an_array_of_another_type():
    assert {name.split()[0] for name in WRONG} == set(kernels.__all__) - {"NAME", "WEIGHTS"}


@both_ways
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_a_byte_order_that_is_spelt_out_is_the_native_one_too(dtype):
    weights = drawn(np.random.default_rng(13), 100, dtype)
    order = "<" if sys.byteorder == "little" else ">"
    spelt = weights.astype(weights.dtype.newbyteorder(order))
    assert same(kernels.square_sums(spelt), kernels.square_sums(weights))


@both_ways
def test_arrays_that_are_not_aligned_are_read_and_never_written():
    weights = drawn(np.random.default_rng(12), 1000, np.float32)
    assert same(kernels.square_sums(unaligned(weights)), kernels.square_sums(weights))
    assert same(kernels.square_sums(weights[::-1]), kernels.square_sums(weights[::-1].copy()))
    with pytest.raises(ValueError, match="aligned"):
        kernels.count_symbols(np.zeros(3, np.uint8), unaligned(np.zeros(9, np.int64)))
    with pytest.raises(ValueError, match="contiguous"):
        kernels.count_symbols(np.zeros(3, np.uint8), np.zeros(9, np.int64)[::2])


@both_ways
def test_the_extension_checks_its_arguments_itself():
    assert compiled is not None
    numbers, table = np.zeros(8, np.float32), np.zeros(8, np.int64)
    with pytest.raises(TypeError, match="symbols: expected an array"):
        compiled.count(numbers, table)
    with pytest.raises(ValueError, match="8 items where 0"):
        compiled.affine_levels(numbers[:0], np.zeros(8, np.uint8), *np.empty((2, 0)), 0, 1, 0, 1, 0)
    with pytest.raises(ValueError, match="not aligned"):
        compiled.count(np.zeros(8, np.uint8), unaligned(table))
    with pytest.raises(ValueError, match="contiguous"):
        compiled.count(np.zeros(16, np.uint8)[::2], table)
    with pytest.raises(ValueError, match="2032"):
        compiled.sample_contexts(
            np.full((1, 1), np.nan, np.float32),
            np.zeros((0, 2), np.int64),
            1,
            1,
            1,
            1,
            np.zeros(6),
            np.zeros(7),
        )
    table.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        compiled.count(np.zeros(8, np.uint8), table)


@pytest.mark.parametrize(("chosen", "name"), [("numpy", "numpy"), ("", kernels.NAME)])
def test_the_environment_chooses_the_kernels(chosen, name):
    code = "from kcomplexity import kernels; print(kernels.NAME)"
    environment = {**os.environ, "KCOMPLEXITY_KERNELS": chosen}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    if chosen or not os.environ.get("KCOMPLEXITY_KERNELS"):
        assert done.stdout.strip() == name
