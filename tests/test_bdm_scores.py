"""BDM, QuBD, LZ76 and MoMos as scored: the figures of pybdm and of the definitions, to the digit.

What is expected is computed here from NumPy, the compressors' own libraries and pybdm; the package
is asked for rows only.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.algorithms.bdm import bdm1d, bdm2d, bdm_tiles
from kcomplexity.plugins import Alphabet, Measure
from kcomplexity.results.records import Score
from tests import run
from tests.pybdm_oracle import forget_tables, pybdm_bdm, pybdm_entropy

EXACT = 1e-9  # relative


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def weights(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return (rng(seed).standard_t(4, shape) * 0.02).astype(dtype)


def row_of(array: np.ndarray, spec: str, **options: Any) -> Score:
    (row,) = kc.score({"w": array}, specs=[spec], **options).rows
    return row


def bits_of(array: np.ndarray, spec: str) -> float:
    bits = row_of(array, spec).bits
    assert bits is not None
    return bits


# --- QuBD -------------------------------------------------------------------------------------


def planes_by_definition(array: np.ndarray) -> list[np.ndarray]:
    """Eight bit planes of affine levels between the two percentiles, in float32; top bit first."""
    matrix = array.reshape(array.shape[0], -1).astype(np.float32)
    low, high = np.quantile(matrix, [0.0005, 0.9995]).astype(np.float32)
    if high - low < 1e-8:
        return [np.zeros(matrix.shape, int)] * 8
    step = (high - low) / np.float32(255)
    levels = np.clip(np.rint((matrix - low) / step), 0, 255).astype(int)
    return [levels >> bit & 1 for bit in range(7, -1, -1)]


def qubd_by_pybdm(array: np.ndarray) -> list[float]:
    return [pybdm_bdm(plane) for plane in planes_by_definition(array)]


MATRICES = {
    "square": weights(64, 64),
    "ragged": weights(37, 51, seed=1),
    "convolution": weights(16, 8, 3, 3, seed=2),
    "half": weights(40, 40, seed=3, dtype=np.float16),
    "bfloat16": weights(40, 44, seed=4, dtype=ml_dtypes.bfloat16),
    "double": weights(24, 24, seed=5).astype(np.float32).astype(np.float64),
    "constant": np.full((12, 12), 0.25, np.float32),
    "narrower than 1e-8": np.float32(1e-9) * weights(12, 12),
    "off centre": weights(33, 65, seed=6) + np.float32(1),
    "sorted": np.sort(weights(100, 100, seed=7).reshape(-1)).reshape(100, 100),
}


@pytest.mark.parametrize("array", MATRICES.values(), ids=MATRICES)
def test_qubd_is_pybdm_on_the_planes_of_its_definition(array):
    row = row_of(array, "qubd")
    expected = qubd_by_pybdm(array)
    assert row.bits == row.value == pytest.approx(math.fsum(expected), rel=EXACT)
    planes = {f"bit {bit}": value for bit, value in zip(range(7, -1, -1), expected, strict=True)}
    assert row.stream_bits == pytest.approx(planes, rel=EXACT)


def test_qubd_of_a_network_adds_its_matrices_and_leaves_the_rest_out_with_reasons():
    network = {name: array for name, array in MATRICES.items() if name != "half"}
    network |= {"bias": weights(64), "thin": weights(3, 100), "steps": np.array([[7] * 9] * 9)}
    report = kc.score(network, specs=["qubd"])
    (total,) = report.summary
    assert total.bits == pytest.approx(
        math.fsum(v for name, a in MATRICES.items() if name != "half" for v in qubd_by_pybdm(a)),
        rel=EXACT,
    )
    skipped = {row.tensor: row.reason for row in report.rows if row.status == "skipped"}
    assert skipped.keys() == {"bias", "thin", "steps"}
    assert "1x64 holds no block of 4x4" in str(skipped["bias"])
    assert "3x100 holds no block of 4x4" in str(skipped["thin"])
    assert "not weights" in str(skipped["steps"])


def test_qubd_names_a_spec_that_says_the_same():
    array = MATRICES["ragged"]
    assert row_of(array, "qubd").bits == row_of(array, "bdm2d@q8:clip=99.9/bits").bits


def test_without_clipping_heavy_tails_make_noise_look_simple():
    # The levels of a few outliers leave the others few: an artefact of the histogram.
    heavy, uniform = rng(8).standard_t(3, (256, 256)), rng(9).random((256, 256))
    unclipped, clipped = (
        bits_of(heavy, spec) / bits_of(uniform, spec) for spec in ("bdm2d@q8:clip=100/bits", "qubd")
    )
    assert unclipped < 0.42  # what is left of iid noise
    assert clipped > 0.9


def test_turning_a_matrix_leaves_its_qubd_and_so_does_swapping_signs_in_bdm2d():
    array = weights(48, 80, seed=10)
    assert row_of(np.ascontiguousarray(array.T), "qubd").bits == pytest.approx(
        row_of(array, "qubd").bits, rel=EXACT
    )
    for spec in ("bdm1d@sign", "bdm2d@sign"):
        assert row_of(-array, spec).bits == pytest.approx(row_of(array, spec).bits, rel=EXACT)


# --- estimates have no side information ---------------------------------------------------------


def test_an_estimate_is_its_definition_and_no_scale_is_added():
    array = weights(60, 50, seed=11)
    levels = np.rint(array / (np.abs(array).max() / np.float32(127))).astype(int)
    counts = np.unique(levels, return_counts=True)[1]
    entropy = math.fsum(c * math.log2(array.size / c) for c in counts.tolist())
    assert row_of(array, "entropy@q8").bits == pytest.approx(entropy, rel=1e-12)
    assert row_of(array, "bdm2d@sign").bits == pytest.approx(pybdm_bdm(array > 0), rel=EXACT)
    lowest, highest = array.min(), array.max()
    quarters = np.rint((array - lowest) / ((highest - lowest) / np.float32(3))).astype(int)
    assert row_of(array, "bdm1d@l4").bits == pytest.approx(
        pybdm_bdm(quarters.ravel(), n_symbols=4), rel=EXACT
    )
    forget_tables()


def test_a_code_still_charges_the_scale():
    array = weights(60, 50, seed=11)
    levels = np.rint(array / (np.abs(array).max() / np.float32(127))).astype(int)
    packed = (levels + 127).astype(np.uint8).tobytes()
    assert bits_of(array, "gzip@q8") == 8 * len(gzip.compress(packed, 9, mtime=0)) + 32
    assert bits_of(array, "entropy:two-part@q8") > bits_of(array, "entropy@q8") + 32


# --- pieces, partitions, tiles ------------------------------------------------------------------


def fed(spec: str, symbols: np.ndarray, size: int, cuts: Sequence[tuple[slice, ...]]) -> Measure:
    """What an estimator makes of symbols that several states saw, a cut each."""
    estimator = kc.parse_spec(spec).estimator
    alphabet = Alphabet("", size)
    shape = symbols.shape if symbols.ndim == 2 else (1, symbols.size)
    reducer = estimator.reducer(alphabet, shape)
    total = reducer.start()
    for cut in cuts:
        state = reducer.start()
        state.update(symbols[cut], tuple(c.start for c in cut))
        state.finish()
        total = total + state
    return estimator.measure([total], [alphabet])


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(12, 4_000),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    how=st.sampled_from(["", ":partition=recursive", ":tile=96"]),
    size=st.sampled_from([2, 4]),
    seed=st.integers(0, 1 << 16),
)
def test_sequences_cut_at_any_legal_place_add_up(n, cuts, how, size, seed):
    symbols = rng(seed).integers(0, size, n).astype(np.uint8)
    ends = [0, *sorted(min(96 * cut, n) for cut in cuts), n]
    pieces = [(slice(a, b),) for a, b in itertools.pairwise(ends) if a < b]
    found = fed(f"bdm1d{how}@l{size}", symbols, size, pieces)
    whole = fed(f"bdm1d{how}@l{size}", symbols, size, [(slice(0, n),)])
    assert found == whole
    assert whole.value == pytest.approx(by_functions(symbols, how, size), rel=EXACT)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(4, 70),
    columns=st.integers(4, 70),
    row=st.integers(0, 5),
    column=st.integers(0, 5),
    how=st.sampled_from(["", ":partition=recursive", ":tile=12", ":3"]),
    seed=st.integers(0, 1 << 16),
)
def test_matrices_cut_at_any_legal_place_add_up(rows, columns, row, column, how, seed):
    symbols = rng(seed).integers(0, 2, (rows, columns)).astype(np.uint8)
    row, column = min(12 * row, rows), min(12 * column, columns)
    quarters = [
        (slice(a, b), slice(c, d))
        for a, b in ((0, row), (row, rows))
        for c, d in ((0, column), (column, columns))
        if a < b and c < d
    ]
    found = fed(f"bdm2d{how}@sign", symbols, 2, quarters)
    whole = fed(f"bdm2d{how}@sign", symbols, 2, [(slice(0, rows), slice(0, columns))])
    assert found == whole
    assert whole.value == pytest.approx(by_functions(symbols, how, 2), rel=EXACT)


def by_functions(symbols: np.ndarray, how: str, size: int) -> float:
    """The value by pybdm; of tiles, of each tile by itself."""
    key, _, value = how.removeprefix(":").partition("=")
    if key == "tile":
        tile = int(value)
        spans = [[slice(i, i + tile) for i in range(0, n, tile)] for n in symbols.shape]
        if symbols.ndim == 1:
            parts = [symbols[span] for span in spans[0]]
        else:
            parts = [symbols[a, b] for a in spans[0] for b in spans[1]]
        side = 12 if symbols.ndim == 1 else 4
        return math.fsum(
            pybdm_bdm(part, n_symbols=size) for part in parts if min(part.shape) >= side
        )
    if key == "partition":
        return pybdm_bdm(symbols, n_symbols=size, partition=value)
    return pybdm_bdm(symbols, n_symbols=size, block=int(key) if key else None)


OPTIONS = [
    {"threads": 1},
    {"threads": 2, "piece": 3},
    {"threads": 2, "max_memory": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_are_the_same_however_the_work_is_cut(options, monkeypatch):
    from kcomplexity.parallel import folding

    specs = [
        "bdm1d", "bdm2d", "bdm1d:tile=1200", "bdm2d:tile=64", "bdm2d:partition=correlated:shift=3",
        "bdm1d:partition=correlated:shift=5", "bdm2d:partition=recursive", "bdm1d@l4",
    ]  # fmt: skip
    array = weights(701, 603, seed=12)
    bits = (array > 0).astype(int)
    rows = kc.score({"w": array}, specs=specs, **options).rows
    monkeypatch.setattr(folding, "_JOB", 1 << 14)
    monkeypatch.setattr(folding, "_PIECE", 1 << 12)
    small = kc.score({"w": array}, specs=specs, **options).rows
    for row, same in zip(rows, small, strict=True):
        assert row.bits == same.bits, row.spec
        assert (row.n_blocks, row.n_codes_seen, row.n_ignored, row.saturated) == (
            (same.n_blocks, same.n_codes_seen, same.n_ignored, same.saturated)
        )
    found = {row.spec: row.bits for row in rows}
    flat = bits.ravel()
    assert found["bdm1d@sign"] == bdm1d(flat)
    assert found["bdm2d@sign"] == bdm2d(bits)
    assert found["bdm1d:tile=1200@sign"] == bdm_tiles(flat, 1200).bits
    assert found["bdm2d:tile=64@sign"] == bdm_tiles(bits, 64).bits
    assert found["bdm2d:partition=correlated:shift=3@sign"] == bdm2d(
        bits, partition="correlated", shift=3
    )
    assert found["bdm1d:partition=correlated:shift=5@sign"] == bdm1d(
        flat, partition="correlated", shift=5
    )
    assert found["bdm2d:partition=recursive@sign"] == bdm2d(bits, partition="recursive")


def test_block_entropy_and_normalised_value_stand_beside_the_bits():
    array = weights(50, 70, seed=13)
    row = row_of(array, "bdm2d@sign")
    assert row.details["block_entropy"] == pytest.approx(pybdm_entropy(array > 0), rel=EXACT)
    assert row.details["normalized"] == pytest.approx(
        pybdm_bdm(array > 0, normalized=True), rel=EXACT
    )


def test_a_model_scores_as_the_vector_of_all_its_weights(tmp_path):
    # Lengths that twelve does not divide: blocks span tensors.
    network = {f"t{i}": weights(n, seed=i) for i, n in enumerate((1_001, 7, 250_007, 65, 12_345))}
    path = tmp_path / "net.safetensors"
    save_file(network, path)
    flat = np.concatenate([array for _, array in in_file_order(path, network)])
    (row,) = kc.score(path, specs=["bdm1d@sign"], scope="model").rows
    assert row.bits == bdm1d(flat > 0)
    assert row.bits == pytest.approx(pybdm_bdm(flat > 0), rel=EXACT)
    assert row.n_ignored == flat.size % 12


# --- saturation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "spec", "saturated"),
    [
        ((1_000,), "bdm1d@sign", False),
        ((10_000,), "bdm1d@sign", False),
        ((100_000,), "bdm1d@sign", True),
        ((986_634,), "bdm1d@sign", True),
        ((986_634,), "bdm1d:tile=12000@sign", False),
        ((64, 64), "bdm2d@sign", False),
        ((256, 256), "bdm2d@sign", False),
        ((1_024, 1_024), "bdm2d@sign", True),
        ((2_048, 2_048), "bdm2d@sign", True),
        ((2_048, 2_048), "bdm2d:tile=512@sign", False),
    ],
)
def test_rows_say_when_blocks_outnumber_codes(shape, spec, saturated):
    row = row_of(rng(14).standard_normal(shape, np.float32), spec)
    assert row.saturated is saturated
    block, n_codes = (12, 4_096) if len(shape) == 1 else (16, 65_536)
    assert row.n_blocks == row.n_weights // block
    assert row.n_ignored == row.n_weights % block
    assert row.n_codes_seen is not None
    if "tile" not in spec:
        assert row.n_blocks is not None
        share = 1 - math.exp(-row.n_blocks / n_codes)
        assert row.details["saturation"] == pytest.approx(share)
        assert row.n_codes_seen <= n_codes


# --- bad input ----------------------------------------------------------------------------------


def with_nan() -> np.ndarray:
    array = weights(20, 20)
    array[3, 4] = np.nan
    return array


def with_infinity() -> np.ndarray:
    array = weights(20, 20)
    array[0, 0] = -np.inf
    return array


@pytest.mark.parametrize(
    ("array", "spec", "reason"),
    [
        (weights(11), "bdm1d@sign", "not one block of 12 symbols"),
        (weights(3, 100), "bdm2d@sign", "3x100 holds no block of 4x4"),
        (weights(100, 3), "qubd", "100x3 holds no block"),
        (weights(100), "bdm2d:tile=8@sign", "1x100 holds no block"),
        (weights(20, 20), "bdm2d@l4", "CTM tables for 2 in 2-D"),
        (weights(20, 20), "bdm1d@l3", "CTM tables for 2, 4, 5, 6, 9 in 1-D"),
        (weights(20, 20), "bdm1d@q8", "255 symbols"),
        (with_nan(), "bdm1d@sign", "1 NaN"),
        (with_nan(), "qubd", "1 NaN"),
        (with_infinity(), "bdm2d@sign", "1 infinite"),
        (with_infinity(), "lz76@sign", "1 infinite"),
        (weights(1), "lz76@sign", "at least two symbols"),
        (np.zeros((0, 4), np.float32), "bdm2d@sign", "empty"),
        (np.ones((8, 8), np.int64), "bdm2d@sign", "not weights"),
    ],
)
def test_what_cannot_be_measured_is_a_skipped_row_with_the_reason(array, spec, reason):
    row = row_of(array, spec)
    assert (row.status, row.bits, row.value) == ("skipped", None, None)
    assert reason in str(row.reason)


@pytest.mark.parametrize("name", ["bdm2d", "qubd"])
def test_the_help_says_that_permuted_inputs_hide_the_signal(name):
    result = run("estimators", name)
    assert result.exit_code == 0
    assert "permuted" in result.stdout
    assert "Saturates" in result.stdout


# --- MoMos --------------------------------------------------------------------------------------


def in_file_order(path: Path, network: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Tensors by where they lie in a safetensors file, read from its header."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    names.sort(key=lambda name: header[name]["data_offsets"][0])
    return [(name, network[name]) for name in names]


@pytest.fixture(scope="module")
def momos_file(tmp_path_factory):
    """A checkpoint with what MoMos leaves out, and the weights that it measures as one vector."""
    sparse = weights(500, 401, seed=15)
    sparse[rng(16).random(sparse.shape) < 0.3] = 0
    network = {
        "conv.weight": weights(32, 16, 3, 3, seed=17),
        "bn.weight": np.ones(32, np.float32),
        "bn.running_mean": weights(32, seed=18),
        "bn.running_var": np.ones(32, np.float32),
        "bn.num_batches_tracked": np.array(1_000),
        "fc.weight": sparse,
        "fc.bias": np.zeros(401, np.float32),
        "head.weight": weights(50, 21, seed=19, dtype=np.float16),
        "tail.weight": weights(50, 23, seed=20, dtype=ml_dtypes.bfloat16),
    }
    path = tmp_path_factory.mktemp("momos") / "net.safetensors"
    save_file(network, path)
    measured = [
        array.astype(np.float32).reshape(-1)
        for name, array in in_file_order(path, network)
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    return path, np.concatenate(measured)


def test_the_momos_panel_is_the_published_code_to_the_digit(momos_file):
    path, flat = momos_file
    report = kc.score(path, panel="momos")
    assert {row.status for row in report.rows} == {"ok"}
    found = {row.spec: row for row in report.summary}
    raw = flat.tobytes()
    sizes = {
        "gzip:frame=0@f32": len(gzip.compress(raw, 9, mtime=0)),
        "bz2:frame=0@f32": len(bz2.compress(raw, 9)),
        "xz:9:frame=0@f32": len(lzma.compress(raw, preset=9)),
    }
    assert {spec: found[spec].bits for spec in sizes} == {
        spec: 8.0 * size for spec, size in sizes.items()
    }
    assert found["bdm1d@sign"].bits == pytest.approx(pybdm_bdm(flat > 0), rel=EXACT)
    sparsity = np.count_nonzero(flat == 0) / flat.size
    assert found["nonzero"].value == pytest.approx(1 - sparsity, rel=1e-12)
    norm = math.sqrt(math.fsum(np.square(flat.astype(np.float64)).tolist()))
    assert found["l2"].value == pytest.approx(norm, rel=1e-12)
    assert {row.n_weights for row in report.summary} == {flat.size}


def test_the_binarised_panel_spends_a_byte_on_each_sign_and_says_so(momos_file):
    path, flat = momos_file
    report = kc.score(path, panel="momos-binarised")
    raw = (flat > 0).astype(np.uint8).tobytes()
    assert {row.spec: row.bits for row in report.rows} == {
        "gzip:frame=0@sign-byte": 8.0 * len(gzip.compress(raw, 9, mtime=0)),
        "bz2:frame=0@sign-byte": 8.0 * len(bz2.compress(raw, 9)),
        "xz:9:frame=0@sign-byte": 8.0 * len(lzma.compress(raw, preset=9)),
    }
    assert "one byte holds one sign" in report.headline[0]
