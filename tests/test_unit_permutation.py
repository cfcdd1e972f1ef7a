"""Hidden units trade places, in step in all tensors, and the network computes the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.controls import UnitPermutation, parse_control
from kcomplexity.controls.unit_permutation import Axes, hidden_axes, symmetry_bits
from kcomplexity.parallel.pool import Pool
from tests.tensors import same

RNG = np.random.default_rng


def mlp(seed=0):
    rng = RNG(seed)
    return {
        "fc1.weight": rng.standard_normal((16, 12)).astype(np.float32),
        "fc1.bias": rng.standard_normal(16).astype(np.float32),
        "fc2.weight": rng.standard_normal((9, 16)).astype(np.float32),
        "fc2.bias": rng.standard_normal(9).astype(np.float32),
        "fc3.weight": rng.standard_normal((5, 9)).astype(np.float32),
        "fc3.bias": rng.standard_normal(5).astype(np.float32),
    }


def run_mlp(w, x):
    for i in (1, 2, 3):
        x = x @ w[f"fc{i}.weight"].T + w[f"fc{i}.bias"]
        x = np.maximum(x, 0) if i < 3 else x
    return x


def cnn(seed=0):
    rng = RNG(seed)
    return {
        "conv.weight": rng.standard_normal((6, 3, 2, 2)).astype(np.float32),
        "conv.bias": rng.standard_normal(6).astype(np.float32),
        "fc.weight": rng.standard_normal((4, 6 * 9)).astype(np.float32),
        "fc.bias": rng.standard_normal(4).astype(np.float32),
    }


def run_cnn(w, x):
    kernel, size = w["conv.weight"], x.shape[-1] - 1
    found = np.zeros((6, size, size))
    for i in range(size):
        for j in range(size):
            part = x[:, i : i + 2, j : j + 2]
            found[:, i, j] = (kernel * part).sum(axis=(1, 2, 3)) + w["conv.bias"]
    return np.maximum(found, 0).reshape(-1) @ w["fc.weight"].T + w["fc.bias"]


def permuted(weights, i=0, seed=0):
    checkpoint = kc.open_checkpoint(weights)
    control = parse_control("unit-permutation:3").for_checkpoints([checkpoint])
    with Pool(1) as pool:
        return {
            name: list(control.replicates(tensor, seed, pool))[i].to_numpy()
            for name, tensor in checkpoint.items()
        }


@pytest.mark.parametrize("i", [0, 2])
def test_the_function_of_an_mlp_is_kept(i):
    weights, x = mlp(), RNG(1).standard_normal((7, 12))
    moved = permuted(weights, i)
    assert not np.array_equal(moved["fc1.weight"], weights["fc1.weight"])
    assert not np.array_equal(moved["fc3.weight"], weights["fc3.weight"])
    assert np.array_equal(moved["fc3.bias"], weights["fc3.bias"])
    assert run_mlp(moved, x) == pytest.approx(run_mlp(weights, x), rel=1e-5)


def test_the_function_of_a_convolution_and_a_flatten_is_kept():
    weights, x = cnn(), RNG(1).standard_normal((3, 4, 4))
    moved = permuted(weights)
    assert not np.array_equal(moved["fc.weight"], weights["fc.weight"])
    assert run_cnn(moved, x) == pytest.approx(run_cnn(weights, x), rel=1e-5)


def test_inputs_and_outputs_are_never_touched():
    found = hidden_axes(kc.open_checkpoint(mlp()).values())
    assert found["fc1.weight", (16, 12)] == Axes(rows=True, columns=0)
    assert found["fc2.weight", (9, 16)] == Axes(rows=True, columns=16)
    assert found["fc3.weight", (5, 9)] == Axes(rows=False, columns=9)
    assert found["fc1.bias", (16,)] == Axes(rows=False, columns=16)
    assert ("fc3.bias", (5,)) not in found


def test_replicates_are_lazy_seeded_and_differ():
    weights = mlp()
    assert np.array_equal(permuted(weights)["fc2.weight"], permuted(weights)["fc2.weight"])
    assert not np.array_equal(permuted(weights)["fc2.weight"], permuted(weights, 1)["fc2.weight"])
    other = permuted(weights, seed=1)["fc2.weight"]
    assert not np.array_equal(permuted(weights)["fc2.weight"], other)
    checkpoint = kc.open_checkpoint(weights)
    control = UnitPermutation(n=1).for_checkpoints([checkpoint])
    with Pool(1) as pool:
        (replicate,) = control.replicates(checkpoint["fc2.weight"], 0, pool)
        for start, stop in ((0, 144), (5, 5), (7, 90), (16, 32), (143, 144)):
            assert same(replicate, start, stop)


def test_a_single_layer_has_no_hidden_units():
    assert hidden_axes(kc.open_checkpoint({"w": np.ones((4, 4))}).values()) == {}


def test_the_symmetry_credit_is_the_logarithm_of_the_orders():
    expected = math.log2(math.factorial(16)) + math.log2(math.factorial(9))
    assert symmetry_bits(kc.open_checkpoint(mlp()).values()) == pytest.approx(expected)


def test_a_sorted_layer_owes_its_structure_to_the_layout():
    rng = RNG(0)
    scales = np.sort(np.exp(1.5 * rng.standard_normal(128)))
    weights = {
        "in.weight": rng.standard_normal((128, 40)).astype(np.float32) * scales[:, None],
        "out.weight": rng.standard_normal((10, 128)).astype(np.float32),
    }
    report = kc.score(
        weights, specs=["ctx", "bdm2d@sign"], controls=["unit-permutation:3", "shuffle:3"]
    )
    ctx = next(row for row in report.rows if row.spec == "ctx@rd0.1")
    layout = ctx.control("unit-permutation")
    assert layout is not None
    assert layout.n_lower == 3  # sorted rows are told by the row above
    assert any(s.startswith("layout:") for s in report.headline)
    assert any(s.startswith("symmetry:") for s in report.headline)
