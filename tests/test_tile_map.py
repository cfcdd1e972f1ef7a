"""A map of tiles tells where the structure is, by the same shuffles as the control."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.algorithms.bdm import bdm2d
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.json_form import plain
from tests import run


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_a_striped_corner() -> np.ndarray:
    weights = noise(130, 196)
    weights[64:128, 128:192] = np.where(np.arange(64) % 8 < 4, 1, -1)
    return weights


def test_a_map_is_bdm_of_each_tile_over_its_mean_in_the_shuffles_of_the_control():
    weights = with_a_striped_corner()
    found = kc.tile_map(weights, 64, shuffles=3, seed=5, name="layer")
    expected = np.zeros((2, 3))
    with Pool(1) as pool, kc.open_checkpoint({"layer": weights}) as checkpoint:
        shuffle = kc.parse_control("shuffle:3")
        for replicate in shuffle.replicates(checkpoint["layer"], 5, pool):
            matrix = replicate.read().reshape(weights.shape)
            for i, j in np.ndindex(2, 3):
                tile = matrix[64 * i : 64 * (i + 1), 64 * j : 64 * (j + 1)]
                expected[i, j] += bdm2d(tile > 0) / 3
    np.testing.assert_allclose(found.shuffled_bits[:2, :3], expected, rtol=1e-12)
    assert found.bits[1, 2] == bdm2d(weights[64:128, 128:192] > 0)
    np.testing.assert_array_equal(found.ratios, found.bits / found.shuffled_bits)


def test_the_tile_with_structure_stands_out_and_edges_without_a_block_are_left_open():
    ratios = kc.tile_map(with_a_striped_corner(), 64, shuffles=5).ratios
    assert ratios.shape == (3, 4)
    assert ratios[1, 2] < 0.1
    others = np.delete(ratios[:2, :3].ravel(), 5)
    assert np.abs(others - 1).max() < 0.1
    assert np.isnan(ratios[2]).all()  # two rows
    assert np.isfinite(ratios[:2, 3]).all()  # four columns


def test_the_same_seed_gives_the_same_map_and_another_another():
    first, again, other = (kc.tile_map(noise(64, 64), 32, shuffles=2, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.ratios, again.ratios)
    np.testing.assert_array_equal(first.bits, other.bits)
    assert (first.ratios != other.ratios).any()


def test_score_puts_the_map_into_the_details_of_the_rows_it_belongs_to(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"layer": with_a_striped_corner(), "bias": noise(64)}, path)
    result = run("score", str(path), "-e", "bdm2d@sign,nonzero", "--tiles", "64", "--json", "-q")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    (row,) = (row for row in rows if row["spec"] == "bdm2d@sign" and row["status"] == "ok")
    expected = kc.tile_map(with_a_striped_corner(), 64, name="layer").to_record()
    assert row["tiles"] == plain(expected)
    assert expected.n_shuffles == 19
    assert expected.ratios[2] == (None,) * 4
    assert not any(other["tiles"] for other in rows if other is not row)


def test_a_stack_of_kernels_is_its_matrix_and_a_tensor_brings_its_name():
    weights = noise(16, 4, 3, 3)
    with kc.open_checkpoint({"conv": weights}) as checkpoint:
        found = kc.tile_map(checkpoint["conv"], 12, shuffles=2)
    same = kc.tile_map(weights.reshape(16, 36), 12, shuffles=2, name="conv")
    np.testing.assert_array_equal(found.ratios, same.ratios)


@pytest.mark.parametrize(
    ("matrix", "options", "error", "message"),
    [
        (np.full((8, 8), np.nan, np.float32), {}, UnmeasurableError, "64 NaN"),
        (np.ones((8, 8), int), {}, UnmeasurableError, "not weights"),
        (noise(3, 100), {}, UnmeasurableError, "not one block"),
        (noise(64), {}, UnmeasurableError, "not one block"),
        (noise(8, 8), {"tile": 3}, SpecError, "tile=3"),
        (noise(8, 8), {"shuffles": 0}, SpecError, "shuffles=0"),
    ],
)
def test_what_has_no_map_is_refused(matrix, options, error, message):
    with pytest.raises(error, match=message):
        kc.tile_map(matrix, **options)
