"""The low-rank code is a code at the error it says, and finds planted rank."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kcomplexity as kc
from kcomplexity.algorithms.entropy_coding import BitWriter
from kcomplexity.algorithms.low_rank.codec import decode_band, encode_band, write_band
from kcomplexity.algorithms.low_rank.model import low_rank_code, singular_vectors
from kcomplexity.estimators import low_rank


def planted(rows, columns, rank, noise, seed=0):
    rng = np.random.default_rng(seed)
    product = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    return product / np.sqrt(max(rank, 1)) + noise * rng.standard_normal((rows, columns))


def scored(weights, spec="lowrank"):
    (row,) = kc.score({"w": weights}, specs=[spec]).rows
    assert row.status == "ok", row.reason
    assert row.bits is not None
    return row


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 24),
    st.integers(1, 40),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.05, 1.0]),
    st.sampled_from([0.02, 0.3, 1.5]),
    st.integers(0, 2**32),
)
def test_a_band_comes_back_bit_for_bit_within_two_bits_of_its_length(
    rows, columns, rank, noise, step, seed
):
    weights = planted(rows, columns, rank, noise, seed)
    model = low_rank_code(weights, step)
    decoded = decode_band(encode_band(weights, step), weights.shape)
    assert np.array_equal(decoded, model.decoded)
    writer = BitWriter()
    write_band(writer, model)
    writer.finish()
    assert model.bits - 0.1 <= len(writer.bits) <= model.bits + 2.1
    plain = np.square(weights - np.rint(weights / step) * step).sum()
    assert np.square(weights - decoded).sum() <= plain * (1 + 1e-9)


@pytest.mark.parametrize("shape", [(120, 300), (300, 120)])
def test_planted_rank_is_found_and_pays_what_is_known(shape):
    """Of rank 4 with noise of 5 %: the code of the plain levels, less what the factors cost."""
    weights = planted(shape[0], shape[1], rank=4, noise=0.05).astype(np.float32)
    row = scored(weights, "lowrank@rd0.1")
    plain = scored(weights, "entropy:two-part@rd0.1")
    assert row.details["rank"] == 4
    # The noise is below the error allowed, so the factors are all there is to tell.
    assert row.details["residual_bits"] < 0.02 * plain.bits
    assert row.bits < 0.2 * plain.bits
    assert row.relative_mse <= 0.1
    assert row.decodes == "view"


def test_rank_zero_is_the_plain_levels():
    noise = np.random.default_rng(0).standard_normal((100, 200)).astype(np.float32)
    row, plain = scored(noise), scored(noise, "entropy:two-part@rd0.1")
    assert row.details["rank"] == 0
    assert row.details["factor_bits"] == 0
    assert row.bits <= plain.bits + 128


def test_the_order_of_rows_and_columns_makes_no_difference():
    rng = np.random.default_rng(0)
    weights = planted(150, 90, rank=8, noise=0.5).astype(np.float32)
    moved = weights[rng.permutation(150)][:, rng.permutation(90)]
    flipped = moved * rng.choice([-1, 1], (150, 1)).astype(np.float32)
    expected = scored(weights)
    assert expected.details["rank"] == 8
    for other in (moved, weights.T.copy(), flipped):
        assert scored(other).bits == pytest.approx(expected.bits, rel=2e-3)


def test_singular_vectors_give_the_best_product():
    weights = planted(70, 40, rank=40, noise=0)
    left, right, energies = singular_vectors(weights, 10)
    values = np.linalg.svd(weights, compute_uv=False)
    assert energies == pytest.approx(values[:10] ** 2, rel=1e-9)
    assert np.square(weights - left @ right).sum() == pytest.approx((values[10:] ** 2).sum())


@pytest.mark.parametrize(
    "weights",
    [
        np.full((9, 9), 0.5),
        np.eye(12),
        np.outer(np.arange(1.0, 30), np.arange(1.0, 20)),
        np.where(np.arange(600).reshape(20, 30) % 7 == 0, 1e30, 1e-30),
        1e-35 * planted(30, 30, 2, 0.1),
        1e140 * planted(30, 30, 2, 0.1),
        np.sign(planted(30, 30, 2, 1)),
        np.arange(1.0, 9),
        np.arange(1.0, 9).reshape(8, 1),
    ],
    ids=[
        "constant", "identity", "rank one", "huge range", "tiny", "huge", "binary", "vector",
        "column",
    ],
)  # fmt: skip
def test_odd_matrices_have_a_length_and_raise_no_warning(weights):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = scored(weights)
    assert 0 < row.bits < np.inf
    assert row.relative_mse <= 0.1 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("values", "reason"),
    [(np.zeros((4, 4)), "zero"), (np.full((4, 4), np.nan), "NaN")],
)
def test_what_has_no_levels_is_skipped_with_a_reason(values, reason):
    (row,) = kc.score({"w": values}, specs=["lowrank"]).rows
    assert row.status == "skipped"
    assert reason in (row.reason or "")


@pytest.mark.parametrize("spec", ["lowrank@q8", "lowrank@sign", "lowrank@rd0.1/bits"])
def test_other_views_are_refused_with_what_to_do(spec):
    (row,) = kc.score({"w": np.eye(4)}, specs=[spec]).rows
    assert row.status == "skipped"
    assert "rd0.1" in (row.reason or "")


def test_bands_are_cut_at_the_same_rows_for_any_threads(monkeypatch):
    monkeypatch.setattr(low_rank, "BAND", 1 << 12)
    weights = planted(130, 100, rank=2, noise=0.2).astype(np.float32)
    one, three = (kc.score({"w": weights}, specs=["lowrank"], threads=n).rows[0] for n in (1, 3))
    assert one.bits == three.bits
    assert one.details == three.details
    assert len(one.details["rank"]) == 4
