"""BDM equals pybdm's for every table, partition and alphabet, and says when it saturates."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms.bdm import (
    BlockCounter,
    Decomposition,
    bdm1d,
    bdm2d,
    bdm_result,
    bdm_tiles,
    bdm_value,
    block_entropy,
    count_blocks,
    normalized_bdm,
    normalized_block_entropy,
)
from kcomplexity.algorithms.bdm.windows import usual_codes
from kcomplexity.algorithms.counting import add_to_table
from kcomplexity.algorithms.ctm import ctm_table
from kcomplexity.errors import KComplexityError, SpecError, UnmeasurableError
from tests.pybdm_oracle import (
    forget_tables,
    oracle,
    pybdm_bdm,
    pybdm_entropy,
)

EXACT = 1e-9  # relative
property_test = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def rng(seed=0):
    return np.random.default_rng(seed)


def measure_bdm(array, n_symbols=2, **options):
    """BDM of an array, with what is needed to judge it."""
    symbols = np.asarray(array)
    return bdm_result(count_blocks(symbols, Decomposition(symbols.ndim, n_symbols, **options)))


def counted(values: np.ndarray) -> np.ndarray:
    """How often each of the usual binary blocks occurs, by the fast path."""
    table = np.zeros(1 << (12 if values.ndim == 1 else 16), np.int64)
    for codes in usual_codes(values):
        add_to_table(table, codes)
    return table


# --- the vectors ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vector:
    name: str
    array: np.ndarray
    bits: float


VECTORS = [
    Vector("24 zeros", np.zeros(24, dtype=int), 26.610413747641715),
    Vector("12 zeros, 12 ones", np.repeat([0, 1], 12), 51.22082749528343),
    Vector("12 ones", np.ones(12, dtype=int), 25.610413747641715),
    Vector("12x12 ones", np.ones((12, 12), dtype=int), 25.176631293734488),
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_published_values(vector):
    function = bdm1d if vector.array.ndim == 1 else bdm2d
    assert function(vector.array) == pytest.approx(vector.bits, rel=1e-14)
    assert measure_bdm(vector.array).bits == function(vector.array)


@pytest.mark.parametrize(
    ("n", "bits_per_symbol", "saturated"),
    [
        (1_000, 2.69, False),
        (10_000, 2.41, False),
        (100_000, 1.19, True),
        (986_634, 0.153, True),
        (5_500_000, 0.029, True),
    ],
)
def test_one_dimensional_bdm_of_fair_bits_saturates(n, bits_per_symbol, saturated):
    result = measure_bdm(rng(1).random(n) < 0.5)
    assert result.bits / n == pytest.approx(bits_per_symbol, rel=0.04)
    assert result.saturated is saturated
    assert result.n_blocks == n // 12
    assert result.n_ignored == n % 12


@pytest.mark.parametrize(
    ("n", "ratio"), [(10_000, 0.765), (100_000, 0.612), (986_634, 0.883), (5_500_000, 0.953)]
)
def test_saturation_makes_the_ratio_of_biased_to_fair_bits_meaningless(n, ratio):
    values = rng(2).random(n)
    assert bdm1d(values < 0.3) / bdm1d(values < 0.5) == pytest.approx(ratio, rel=0.04)


def test_short_sequences_do_not_follow_the_entropy_of_their_bits_either():
    ratios = [bdm1d(v < 0.3) / bdm1d(v < 0.5) for v in rng(2).random((200, 1_000))]
    assert np.mean(ratios) == pytest.approx(0.939, abs=0.01)  # their entropies: .881


@pytest.mark.parametrize(
    ("side", "bits_per_symbol", "saturated"),
    [(64, 1.90, False), (256, 1.84, False), (1024, 1.22, True), (2048, 0.49, True)],
)
def test_two_dimensional_bdm_of_fair_bits_saturates(side, bits_per_symbol, saturated):
    result = measure_bdm(rng(3).random((side, side)) < 0.5)
    assert result.bits / side**2 == pytest.approx(bits_per_symbol, rel=0.02)
    assert result.saturated is saturated


def test_permuting_hidden_units_changes_what_a_matrix_scores():
    order = rng(4).permutation(256)
    blocks = np.kron(np.eye(2, dtype=int), np.ones((128, 128), dtype=int))
    assert bdm2d(blocks) == pytest.approx(66, abs=0.5)
    assert bdm2d(blocks[order][:, order]) == pytest.approx(4_387, rel=0.05)


# --- pybdm itself ---------------------------------------------------------------------------------


# Reading its large tables takes pybdm some seconds each.
ALPHABETS = [2, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 6, 9))]


@pytest.fixture(scope="module", params=ALPHABETS, ids="{} symbols".format)
def n_symbols(request):
    """Each alphabet in turn; pybdm's table for it is freed afterwards."""
    yield request.param
    forget_tables()


def test_the_entries_of_a_table_are_pybdms(n_symbols):
    table = ctm_table(n_symbols)
    for (size,), entries in oracle(1, n_symbols)._ctm.items():
        every = slice(None, None, 1 + len(entries) // 10_000)
        codes = np.array([int(text, n_symbols) for text in list(entries)[every]])
        values, known = table.lookup(codes, size)
        np.testing.assert_array_equal(values, list(entries.values())[every])
        assert known.all()
        assert table.imputed(size) == oracle(1, n_symbols)._ctm_missing[size,]
        assert table._values(size).size == len(entries)


KINDS = ["random", "constant", "periodic", "biased", "few blocks"]


def make_array(kind, shape, n_symbols, seed):
    random = rng(seed)
    size = math.prod(shape)
    match kind:
        case "random":
            flat = random.integers(0, n_symbols, size)
        case "constant":
            flat = np.full(size, random.integers(n_symbols))
        case "periodic":
            flat = np.resize(random.integers(0, n_symbols, random.integers(1, 30)), size)
        case "biased":
            flat = random.integers(0, n_symbols, size) * (random.random(size) < 0.1)
        case _:
            motifs = random.integers(0, n_symbols, (3, 12))
            flat = np.resize(motifs[random.integers(0, 3, size // 12 + 1)], size)
    return flat.reshape(shape)


def partitions():
    return st.one_of(
        st.just({"partition": "ignore"}),
        st.builds(lambda shift: {"partition": "correlated", "shift": shift}, st.integers(1, 15)),
        st.builds(lambda n: {"partition": "recursive", "min_length": n}, st.integers(1, 5)),
    )


def assert_as_in_pybdm(array, **how: Any):
    bdm = bdm1d if array.ndim == 1 else bdm2d
    # Constant arrays have an entropy, and a normalized value, of zero give or take the last digit.
    exactly = partial(pytest.approx, rel=EXACT, abs=1e-12)
    assert bdm(array, **how) == exactly(pybdm_bdm(array, **how))
    assert block_entropy(array, **how) == exactly(pybdm_entropy(array, **how))


@property_test
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(12, 400),
    seed=st.integers(0, 1 << 16),
    block=st.integers(1, 12),
    how=partitions(),
)
def test_sequences_score_as_in_pybdm(n_symbols, kind, n, seed, block, how):
    symbols = make_array(kind, (n,), n_symbols, seed)
    assert_as_in_pybdm(symbols, n_symbols=n_symbols, block=block, **how)


@property_test
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(36, 400),
    seed=st.integers(0, 1 << 16),
    how=partitions().filter(lambda how: how["partition"] != "correlated"),
)
def test_normalized_sequences_score_as_in_pybdm(n_symbols, kind, n, seed, how):
    symbols = make_array(kind, (n,), n_symbols, seed)
    assert_as_in_pybdm(symbols, n_symbols=n_symbols, normalized=True, **how)


def test_sequences_with_more_blocks_than_there_are_parts_normalize_as_in_pybdm():
    symbols = make_array("random", (700,), 4, 0)
    for block in (1, 2, 3):
        assert_as_in_pybdm(symbols, n_symbols=4, block=block, normalized=True)


@property_test
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(4, 40),
    n_columns=st.integers(4, 40),
    seed=st.integers(0, 1 << 16),
    block=st.integers(1, 4),
    how=partitions(),
)
def test_matrices_score_as_in_pybdm(kind, n_rows, n_columns, seed, block, how):
    matrix = make_array(kind, (n_rows, n_columns), 2, seed)
    assert_as_in_pybdm(matrix, block=block, **how)


@property_test
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(4, 40),
    n_columns=st.integers(8, 40),
    seed=st.integers(0, 1 << 16),
)
def test_normalized_matrices_score_as_in_pybdm(kind, n_rows, n_columns, seed):
    matrix = make_array(kind, (n_rows, n_columns), 2, seed)
    whole = matrix[: n_rows // 4 * 4, : n_columns // 4 * 4]
    assert_as_in_pybdm(matrix, partition="ignore", normalized=True)
    assert_as_in_pybdm(whole, partition="recursive", normalized=True)


@pytest.mark.parametrize("shape", [(7, 7), (2, 100), (8, 10), (4, 5)])
def test_where_pybdm_has_no_bounds_for_left_over_strips_neither_have_we(shape):
    matrix = make_array("random", shape, 2, 0)
    with pytest.raises(StopIteration):
        pybdm_bdm(matrix, partition="recursive", normalized=True)
    with pytest.raises(UnmeasurableError, match="left-over strips"):
        bdm2d(matrix, partition="recursive", normalized=True)


def test_where_pybdms_bounds_cross_there_is_no_normalized_entropy():
    symbols = make_array("random", (25,), 4, 0)
    how: dict[str, Any] = {
        "n_symbols": 4,
        "partition": "recursive",
        "min_length": 1,
        "normalized": True,
    }
    assert not 0 <= pybdm_entropy(symbols, **how) <= 1
    with pytest.raises(UnmeasurableError, match=r"at least 1\.0 and at most 0\.9"):
        block_entropy(symbols, **how)


def test_missing_blocks_are_imputed_as_in_pybdm_and_counted():
    symbols = make_array("random", (12 * 500,), 4, 5)
    result = measure_bdm(symbols, n_symbols=4)
    known = ctm_table(4).lookup(*_codes(symbols, 4))[1]
    assert 0 < result.n_missing == np.count_nonzero(~known)
    assert result.bits == pytest.approx(pybdm_bdm(symbols, n_symbols=4), rel=EXACT)


def _codes(symbols, n_symbols):
    (codes, _) = count_blocks(symbols, Decomposition(1, n_symbols)).by_size[12]
    return codes, 12


# --- the fast paths and the pieces ----------------------------------------------------------------


def plain_counts(symbols, side):
    """Block counts as the definition has them, one block at a time."""
    counts = np.zeros(2 ** (side**symbols.ndim), dtype=np.int64)
    for corner in np.ndindex(*(n // side for n in symbols.shape)):
        block = symbols[tuple(slice(side * c, side * (c + 1)) for c in corner)]
        counts[int("".join(map(str, block.flat)), 2)] += 1
    return counts


@property_test
@given(kind=st.sampled_from(KINDS), n=st.integers(0, 400), seed=st.integers(0, 1 << 16))
def test_the_fast_one_dimensional_count_is_the_plain_one(kind, n, seed):
    bits = make_array(kind, (n,), 2, seed)
    np.testing.assert_array_equal(counted(bits.astype(np.uint8)), plain_counts(bits, 12))


@property_test
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(0, 30),
    n_columns=st.integers(0, 30),
    seed=st.integers(0, 1 << 16),
)
def test_the_fast_two_dimensional_count_is_the_plain_one(kind, n_rows, n_columns, seed):
    bits = make_array(kind, (n_rows, n_columns), 2, seed)
    np.testing.assert_array_equal(counted(bits.astype(bool)), plain_counts(bits, 4))


@pytest.mark.parametrize("n", [12 * 2**15 - 12, 12 * 2**15, 12 * 2**15 + 12, 12 * 2**16 + 31])
def test_counts_do_not_depend_on_where_slabs_end(n):
    bits = rng(6).integers(0, 2, n).astype(np.uint8)
    codes = bits[: n // 12 * 12].reshape(-1, 12) @ (1 << np.arange(11, -1, -1))
    np.testing.assert_array_equal(counted(bits), np.bincount(codes, minlength=4096))


@pytest.mark.parametrize("shape", [(8, 200_004), (700, 1_021), (4, 1_000_000)])
def test_matrix_counts_do_not_depend_on_where_slabs_end(shape):
    bits = rng(7).integers(0, 2, shape).astype(np.uint8)
    n_rows, n_columns = shape[0] // 4 * 4, shape[1] // 4 * 4
    blocks = bits[:n_rows, :n_columns].reshape(n_rows // 4, 4, n_columns // 4, 4)
    codes = blocks.transpose(0, 2, 1, 3).reshape(-1, 16) @ (1 << np.arange(15, -1, -1))
    np.testing.assert_array_equal(counted(bits), np.bincount(codes, minlength=65536))


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i1", "i8", ">f4"])
def test_fast_counts_of_weights_are_those_of_their_signs(dtype):
    weights = (10 * rng(8).standard_normal((40, 50))).astype(dtype)
    weights[::7] = 0
    np.testing.assert_array_equal(counted(weights), counted(weights > 0))
    flat = weights.reshape(-1)
    np.testing.assert_array_equal(counted(flat), counted(flat > 0))


def test_not_a_number_is_not_above_zero():
    assert counted(np.full(12, np.nan))[0] == 1


def same(left, right):
    assert left.how == right.how
    assert left.n_ignored == right.n_ignored
    assert left.by_size.keys() == right.by_size.keys()
    for size, (codes, counts) in left.by_size.items():
        np.testing.assert_array_equal(codes, right.by_size[size][0])
        np.testing.assert_array_equal(counts, right.by_size[size][1])


@property_test
@given(
    n=st.integers(0, 3_000),
    cuts=st.lists(st.integers(0, 250), max_size=6),
    partition=st.sampled_from(["ignore", "recursive"]),
    alphabet=st.sampled_from([2, 4]),
    seed=st.integers(0, 1 << 16),
)
def test_pieces_cut_at_block_boundaries_add_up(n, cuts, partition, alphabet, seed):
    symbols = make_array("biased", (n,), alphabet, seed)
    how = Decomposition(1, alphabet, partition=partition)
    pieces = np.split(symbols, sorted(min(12 * cut, n) for cut in cuts))
    total = count_blocks(pieces[0], how)
    for piece in pieces[1:]:
        total = total + count_blocks(piece, how)
    same(total, count_blocks(symbols, how))


@property_test
@given(
    n_rows=st.integers(4, 60),
    n_columns=st.integers(4, 60),
    row=st.integers(0, 15),
    column=st.integers(0, 15),
    partition=st.sampled_from(["ignore", "recursive"]),
    seed=st.integers(0, 1 << 16),
)
def test_rectangles_cut_at_block_boundaries_add_up(n_rows, n_columns, row, column, partition, seed):
    matrix = make_array("random", (n_rows, n_columns), 2, seed)
    row, column = min(4 * row, n_rows), min(4 * column, n_columns)
    how = Decomposition(2, partition=partition)
    quarters = [
        count_blocks(piece, how)
        for piece in (
            matrix[:row, :column],
            matrix[:row, column:],
            matrix[row:, :column],
            matrix[row:, column:],
        )
    ]
    total = quarters[0] + quarters[1] + quarters[2] + quarters[3]
    whole = count_blocks(matrix, how)
    same(total, whole)
    assert bdm_value(total) == bdm_value(whole)


@pytest.mark.parametrize("chunk", [12, 1200, 120_000])
def test_a_stream_of_chunks_counts_like_the_whole(chunk):
    bits = rng(9).integers(0, 2, 1_000_003 if chunk > 2000 else 12 * 500 + 7).astype(np.uint8)
    counter = BlockCounter(Decomposition(1))
    for at in range(0, bits.size, chunk):
        counter.add(bits[at : at + chunk])
    assert bdm_result(counter.counts()) == measure_bdm(bits)


def test_counts_of_different_blocks_do_not_add_up():
    with pytest.raises(SpecError, match="do not add up"):
        count_blocks([0] * 12, Decomposition(1)) + count_blocks([0] * 12, Decomposition(1, block=6))
    with pytest.raises(TypeError):
        count_blocks([0] * 12, Decomposition(1)) + 1  # type: ignore[operator]


def test_counts_can_be_sent_to_another_process():
    how = Decomposition(2, partition="recursive")
    counts = count_blocks(rng(10).integers(0, 2, (30, 30)), how)
    same(pickle.loads(pickle.dumps(counts)), counts)


# --- what must not matter, and what must ----------------------------------------------------------


@pytest.mark.parametrize("block", [2, 3, 4])
def test_transposing_and_mirroring_a_matrix_changes_nothing(block):
    matrix = rng(11).integers(0, 2, (24, 48))
    for turned in (matrix.T, matrix[::-1], matrix[:, ::-1]):
        assert bdm2d(turned, block=block) == pytest.approx(bdm2d(matrix, block=block), rel=EXACT)


@pytest.mark.parametrize("alphabet", [2, 4, 5, 6, 9])
def test_renaming_symbols_changes_nothing(alphabet):
    symbols = make_array("biased", (2_400,), alphabet, 12)
    renamed = rng(13).permutation(alphabet)[symbols]
    expected = bdm1d(symbols, n_symbols=alphabet)
    assert bdm1d(renamed, n_symbols=alphabet) == pytest.approx(expected, rel=EXACT)


def test_permuting_blocks_changes_nothing():
    blocks = rng(14).integers(0, 2, (200, 12))
    assert bdm1d(rng(15).permutation(blocks).ravel()) == bdm1d(blocks.ravel())
    tiles = rng(16).integers(0, 2, (9, 4, 48))
    shuffled = rng(17).permutation(tiles)
    assert bdm2d(shuffled.reshape(36, 48)) == bdm2d(tiles.reshape(36, 48))


def test_constant_is_simpler_than_structured_is_simpler_than_random():
    random = rng(18).integers(0, 2, 4_096)
    structured = np.resize(random[:60], random.size)
    constant = np.zeros_like(random)
    assert bdm1d(constant) < bdm1d(structured) < bdm1d(random)
    square = (64, 64)
    checked = np.indices(square).sum(axis=0) // 3 % 2
    assert bdm2d(constant.reshape(square)) < bdm2d(checked) < bdm2d(random.reshape(square))


@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i2", ">u4", "<i8", "u8"])
def test_dtype_byte_order_and_strides_do_not_matter(dtype):
    matrix = rng(19).integers(0, 2, (40, 44))
    spread = np.zeros((80, 132), dtype=dtype)
    spread[::2, ::3] = matrix
    assert bdm2d(spread[::2, ::3]) == bdm2d(matrix)
    assert bdm2d(np.asfortranarray(matrix.astype(dtype))) == bdm2d(matrix)
    assert bdm1d(spread[0, ::3]) == bdm1d(matrix[0])
    assert bdm1d(matrix[0][::-1].astype(dtype)[::-1]) == bdm1d(list(map(int, matrix[0])))


def test_input_is_left_as_it_was():
    symbols = rng(20).integers(0, 9, 500).astype(np.uint8)
    symbols.flags.writeable = False
    before = symbols.copy()
    for partition in ("ignore", "correlated", "recursive"):
        bdm1d(symbols, n_symbols=9, partition=partition)
    np.testing.assert_array_equal(symbols, before)


def test_block_entropy_takes_alphabets_without_a_table():
    symbols = np.repeat(np.arange(300), 3)
    assert block_entropy(symbols, n_symbols=300, block=3) == pytest.approx(math.log2(300))
    assert block_entropy(np.zeros(30, dtype=int), n_symbols=3) == 0.0


# --- facts about a result -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "how", "n_blocks", "n_ignored"),
    [
        (np.zeros(30, dtype=int), {}, 2, 6),
        (np.zeros(30, dtype=int), {"partition": "recursive"}, 3, 0),
        (np.zeros(25, dtype=int), {"partition": "recursive"}, 2, 1),
        (np.zeros(30, dtype=int), {"partition": "correlated"}, 19, 0),
        (np.zeros(30, dtype=int), {"partition": "correlated", "shift": 5}, 4, 3),
        (np.zeros(40, dtype=int), {"partition": "correlated", "shift": 15}, 2, 16),
        (np.zeros((9, 10), dtype=int), {}, 4, 26),
        (np.zeros((9, 10), dtype=int), {"partition": "correlated", "shift": 5}, 4, 26),
        (np.zeros((6, 6), dtype=int), {"partition": "recursive"}, 6, 0),
    ],
)
def test_symbols_that_no_block_covers_are_counted(array, how, n_blocks, n_ignored):
    result = measure_bdm(array, **how)
    assert (result.n_blocks, result.n_ignored) == (n_blocks, n_ignored)


def test_saturation_is_told_from_the_number_of_blocks():
    below, above = (measure_bdm(np.zeros(12 * n, dtype=bool)) for n in (2_839, 2_840))
    assert below.saturation == pytest.approx(1 - math.exp(-2_839 / 4_096))
    assert not below.saturated
    assert above.saturated
    assert (above.n_codes_seen, above.n_missing) == (1, 0)


# --- tiles ----------------------------------------------------------------------------------------


def test_each_tile_of_a_sequence_scores_as_if_alone():
    symbols = rng(21).integers(0, 2, 1_000 * 7 + 500)
    tiles = bdm_tiles(symbols, 1_000)
    expected = [bdm1d(symbols[at : at + 1_000]) for at in range(0, symbols.size, 1_000)]
    np.testing.assert_array_equal(tiles.values, expected)
    assert tiles.bits == math.fsum(expected)
    assert tiles.n_ignored == 7 * 4 + 8
    assert tiles.n_blocks == 7 * 83 + 41
    assert not tiles.saturated


def test_each_tile_of_a_matrix_scores_as_if_alone_and_small_ones_are_ignored():
    matrix = rng(22).integers(0, 2, (130, 67))
    tiles = bdm_tiles(matrix, 64)
    assert tiles.values.shape == (3, 2)
    assert tiles.values[0, 0] == bdm2d(matrix[:64, :64])
    assert tiles.values[1, 0] == bdm2d(matrix[64:128, :64])
    assert np.isnan(tiles.values[2]).all()  # two rows
    assert np.isnan(tiles.values[:, 1]).all()  # three columns
    assert tiles.n_ignored == matrix.size - 2 * 64 * 64
    assert tiles.bits == np.nansum(tiles.values)


def test_tiles_keep_a_large_matrix_from_saturating():
    matrix = rng(23).random((1_024, 1_024)) < 0.5
    assert measure_bdm(matrix).saturated
    tiles = bdm_tiles(matrix, 256)
    assert not tiles.saturated
    assert tiles.bits > bdm2d(matrix)


def test_tiles_of_several_symbols_count_what_the_table_lacks():
    symbols = make_array("random", (12 * 500,), 4, 5)
    tiles = bdm_tiles(symbols, 120, n_symbols=4)
    assert tiles.values[3] == bdm1d(symbols[360:480], n_symbols=4)
    assert tiles.n_missing >= measure_bdm(symbols, n_symbols=4).n_missing > 0


# --- errors ---------------------------------------------------------------------------------------

UNMEASURABLE = {
    "shorter than a block": (lambda: bdm1d([0] * 11), "not one block of 12 symbols .* the 11"),
    "empty": (lambda: bdm1d(np.zeros(0, dtype=int)), "not one block"),
    "a side under a block": (lambda: bdm2d(np.zeros((3, 99), dtype=int)), "block of 4x4 symbols"),
    "too short to recurse": (lambda: bdm1d([1], partition="recursive"), "not one block"),
    "a symbol above the alphabet": (
        lambda: bdm1d([0, 2] * 9),
        "range from 0 to 2, expected 0 to 1",
    ),
    "a negative symbol": (lambda: bdm1d([-1, 1] * 9), "range from -1 to 1"),
    "floats": (lambda: bdm1d(np.zeros(24)), "given float64.*weights > 0"),
    "not a number": (lambda: bdm2d(np.full((4, 4), np.nan)), "booleans or integers"),
    "a matrix for a sequence": (lambda: bdm1d(np.zeros((4, 4), dtype=int)), r"\(4, 4\).*ravel"),
    "a sequence for a matrix": (lambda: bdm2d([0] * 99), r"expected a 2-D array.*\(99,\)"),
    "three dimensions": (lambda: block_entropy(np.zeros((4, 4, 4), dtype=int)), "1-D and 2-D"),
    "a single number": (lambda: block_entropy(1), r"given shape \(\)"),
    "tiles without a block": (lambda: bdm_tiles(np.zeros((3, 9), dtype=int), 8), "not one block"),
    "one block has one entropy": (
        lambda: block_entropy([0] * 12, normalized=True),
        "nothing to normalize",
    ),
    "two symbols always score the same": (
        lambda: bdm1d([0, 1], partition="recursive", normalized=True),
        "nothing to normalize",
    ),
}

MEANINGLESS = {
    "three symbols": (lambda: bdm1d([0, 1, 2] * 9, n_symbols=3), "no CTM table for n_symbols=3"),
    "one symbol": (lambda: bdm1d([0] * 12, n_symbols=1), "n_symbols=1: expected an integer >= 2"),
    "four symbols in a matrix": (lambda: bdm2d(np.zeros((4, 4), dtype=int), n_symbols=4), "no CTM"),
    "a block beyond the table": (lambda: bdm1d([0] * 99, block=13), "block=13.*1, 2, 3, 4, 5"),
    "a square beyond the table": (lambda: bdm2d(np.eye(9, dtype=int), block=5), "side 1, 2, 3, 4"),
    "half a block": (
        lambda: bdm1d([0] * 99, block=0.5),  # type: ignore[arg-type]
        r"block=0\.5",
    ),
    "another partition": (
        lambda: bdm1d([0] * 99, partition="periodic"),  # type: ignore[arg-type]
        "'periodic': expected one",
    ),
    "no shift": (lambda: bdm1d([0] * 99, partition="correlated", shift=0), "shift=0"),
    "no shortest length": (lambda: bdm1d([0] * 99, min_length=0), "min_length=0"),
    "three dimensions": (lambda: Decomposition(3), "ndim=3"),
    "more codes than can be counted": (
        lambda: block_entropy([0] * 99, n_symbols=256),
        r"more than 2\^62 codes",
    ),
    "normalized and correlated": (
        lambda: bdm1d([0] * 99, partition="correlated", normalized=True),
        "correlated",
    ),
    "a tile under a block": (lambda: bdm_tiles([0] * 99, 11), "tile=11: expected an integer >= 12"),
}


@pytest.mark.parametrize(("call", "message"), UNMEASURABLE.values(), ids=UNMEASURABLE)
def test_what_cannot_be_measured_is_an_error_and_never_zero(call, message):
    with pytest.raises(UnmeasurableError, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("call", "message"), MEANINGLESS.values(), ids=MEANINGLESS)
def test_options_without_meaning_are_refused(call, message):
    with pytest.raises(SpecError, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError)


def test_counts_without_a_block_have_no_value():
    nothing = count_blocks([0] * 5, Decomposition(1))
    for value_of in (bdm_value, bdm_result, normalized_bdm, normalized_block_entropy):
        with pytest.raises(KComplexityError, match=r"not one block .* the 5 given"):
            value_of(nothing)
