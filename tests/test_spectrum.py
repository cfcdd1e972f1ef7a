"""Stable rank and spectral entropy are those of the singular values."""

from __future__ import annotations

import numpy as np
import pytest

import kcomplexity as kc


def scored(weights, spec):
    (row,) = kc.score({"w": weights}, specs=[spec]).rows
    return row


def definition(weights, spec):
    shares = np.linalg.svd(weights.reshape(len(weights), -1), compute_uv=False) ** 2
    shares = shares / shares.sum()
    if spec == "stable-rank":
        return 1 / shares[0]
    seen = shares[shares > 0]
    return -(seen * np.log(seen)).sum() / np.log(shares.size)


@pytest.mark.parametrize("spec", ["stable-rank", "spectral-entropy"])
@pytest.mark.parametrize("shape", [(30, 70), (70, 30), (12, 5, 3, 3)])
@pytest.mark.parametrize("scale", [1, 1e-200, 1e200])
def test_values_equal_the_definitions(spec, shape, scale):
    weights = np.random.default_rng(0).standard_normal(shape)
    row = scored(weights * scale, spec)
    assert row.status == "ok"
    assert row.value == pytest.approx(definition(weights, spec), rel=1e-9)


def test_the_identity_and_an_outer_product_are_the_ends():
    assert scored(np.eye(9), "stable-rank").value == pytest.approx(9)
    assert scored(np.eye(9), "spectral-entropy").value == pytest.approx(1)
    outer = np.outer(np.arange(1.0, 9), np.arange(1.0, 20))
    assert scored(outer, "stable-rank").value == pytest.approx(1)
    assert scored(outer, "spectral-entropy").value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (np.ones(9), "one singular value"),
        (np.zeros((4, 4)), "zero"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.full((4, 4), np.inf), "not finite"),
    ],
)
def test_what_has_no_spectrum_is_skipped_with_a_reason(weights, reason):
    row = scored(weights, "stable-rank")
    assert row.status == "skipped"
    assert reason in row.reason


def test_the_whole_is_the_mean_by_weights():
    rng = np.random.default_rng(0)
    weights = {"a": rng.standard_normal((20, 30)), "b": rng.standard_normal((40, 30))}
    report = kc.score(weights, specs=["stable-rank"])
    a, b = (row.value for row in report.rows)
    assert a is not None
    assert b is not None
    assert report.summary[0].value == pytest.approx((a + 2 * b) / 3)
