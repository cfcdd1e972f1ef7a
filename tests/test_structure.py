"""The structure sentence and its figures; what is left out of it, and why."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.results.account import Account
from kcomplexity.results.records import Score
from kcomplexity.scoring.not_learned import copies, not_learned
from kcomplexity.scoring.structure import structure

RNG = np.random.default_rng


def account(row: Score) -> Account:
    assert row.account is not None
    return row.account


def smooth(rows=64, columns=96, seed=0):
    return np.cumsum(RNG(seed).standard_normal((rows, columns)), axis=1).astype(np.float32)


def noise(rows=64, columns=96, seed=0):
    return RNG(seed).standard_normal((rows, columns)).astype(np.float32)


def low_rank(rows=128, columns=128, seed=0):
    rng = RNG(seed)
    product = rng.standard_normal((rows, 2)) @ rng.standard_normal((2, columns))
    return product.astype(np.float32)


def tensors_of(arrays):
    return list(kc.open_checkpoint(arrays).values())


def test_the_whole_is_the_sum_of_the_shorter_codes():
    weights = {"a": smooth(), "b": noise(), "c": low_rank()}
    report = kc.score(weights, specs=["ctx@rd0.1", "lowrank@rd0.1"], controls=["shuffle:3"])
    found = structure(report.rows)
    assert found is not None
    ctx = {row.tensor: row for row in report.rows if row.estimator == "ctx"}
    rank = {row.tensor: row for row in report.rows if row.estimator == "lowrank"}
    order0 = bits = 0.0
    for name, row in ctx.items():
        assert row.bits is not None
        own = row.bits + sum(account(row).saved_bits.values())
        order0 += own
        bits += min(row.bits + 1, (rank[name].bits or 0) + 1, own)
    assert found.order0_bits == pytest.approx(order0)
    assert found.saving == pytest.approx(1 - bits / order0)
    assert found.saving > 0.3
    low, high = found.leave_one_out or (0, 0)
    assert low < found.saving < high
    assert all(abs(s) < 0.0005 for s in found.shuffled_savings)
    by_name = {one.label: one for one in found.tensors}
    assert (by_name["c"].low_rank_bits or np.inf) < by_name["c"].context_bits
    assert abs(by_name["b"].saving) < 0.0005


def test_the_headline_gives_the_effect_first_and_the_json_all_of_it():
    weights = {"a": smooth(), "b": noise()}
    report = kc.score(weights, specs=["ctx", "lowrank", "bdm2d@sign"], controls=["shuffle:3"])
    (said,) = [s for s in report.headline if s.startswith("structure")]
    assert "arrangement saves" in said
    assert "more than 3 of 3 shuffles" in said
    assert "when any one tensor is left out" in said
    assert "significant" not in said
    # The codes that the sentence rests on are not told again one by one.
    assert not any(s.startswith(("ctx", "lowrank")) for s in report.headline)
    assert any(s.startswith("bdm2d@sign") for s in report.headline)
    (total,) = [row for row in report.summary if row.spec == "ctx@rd0.1"]
    record = json.loads(json.dumps(total.to_dict()))["structure"]
    assert f"saves {record['saving']:.1%}" in said
    assert len(record["shuffled_savings"]) == 3
    of_a, of_b = (row.saving for row in report.rows if row.spec == "ctx@rd0.1")
    assert of_a > record["saving"] > of_b


def test_rank_is_not_taken_for_layout():
    # Two layers in a row: their hidden units are put in other orders, which leaves their rank.
    weights = {"up": low_rank(96, 64), "down": low_rank(64, 96, seed=1)}
    report = kc.score(weights, panel="structure")
    found = structure(report.rows)
    assert found is not None
    assert found.saving > 0.3
    assert found.permuted_savings == pytest.approx([found.saving] * 19, abs=0.001)
    (said,) = [s for s in report.headline if s.startswith("layout")]
    assert said.endswith(": 0% of the structure is layout")


def test_layout_is_told_as_layout():
    # Neighbouring hidden units are alike: in another order nothing of it is left to a context.
    units = noise(96, 96)
    for i in range(1, 96):
        units[i] = 0.9 * units[i - 1] + np.sqrt(0.19) * units[i]
    weights = {"up": units, "down": noise(64, 96)}
    alone = structure(kc.score(weights, specs=["ctx"], controls=["unit-permutation:3"]).rows)
    assert alone is not None
    assert alone.context_saving > 0.1
    assert max(alone.permuted_savings) < 0.2 * alone.context_saving


def test_what_its_shuffles_save_as_well_is_no_structure():
    """Laid end to end, tensors of different scales are told apart by a context in any order."""
    rng = np.random.default_rng(0)
    parts = {f"{i}": (10.0**i * rng.normal(size=(64, 64))).astype(np.float32) for i in range(3)}
    report = kc.score(parts, specs=["ctx@rd0.1"], controls=["shuffle:3"], scope="model")
    (said,) = (sentence for sentence in report.headline if sentence.startswith("structure:"))
    assert "no structure found: arrangement saves" in said
    assert "and as much in its shuffles (up to" in said


def test_shuffles_of_one_code_are_not_told_as_those_of_both():
    weights = {"a": smooth(), "b": noise()}
    default, both = (kc.score(weights, panel=panel) for panel in ("default", "structure"))
    assert any("more than 19 of 19 shuffles of the context code;" in s for s in default.headline)
    assert any("more than 19 of 19 shuffles;" in s for s in both.headline)


def test_noise_has_no_structure():
    report = kc.score({"w": noise(), "v": noise(seed=1)}, panel="structure")
    (said,) = [s for s in report.headline if s.startswith("structure")]
    assert "no structure found above 0.1%" in said


def test_without_ctx_nothing_is_said_of_structure():
    report = kc.score({"w": noise()}, specs=["lowrank", "entropy@q8"])
    assert structure(report.rows) is None
    assert not any(s.startswith("structure") for s in report.headline)


@pytest.fixture
def small_tiles(monkeypatch):
    from kcomplexity.estimators import context
    from kcomplexity.scoring import sampling

    monkeypatch.setattr(context, "TILE", 1 << 11)
    monkeypatch.setattr(sampling, "_BAND", 1 << 11)


@pytest.mark.parametrize("kind", ["drifting scale", "two kinds of rows", "smooth beside noise"])
def test_the_standard_error_is_that_of_the_structure(small_tiles, kind):
    """Held against how S varies over samples: bits vary by far more, for S is a ratio."""
    rng = RNG(0)
    rows = rng.standard_normal((384, 64))
    if kind == "drifting scale":
        weights = {"w": rows * np.linspace(0.25, 2, 384)[:, None]}
    else:
        walk = np.cumsum(rows, axis=1)
        smoothed = np.repeat(rng.random(12) < 0.5, 32)[:, None]
        weights = {"w": np.where(smoothed, walk, rows)}
        if kind == "smooth beside noise":
            weights = {"w": walk * np.repeat(rng.uniform(0.2, 2, 12), 32)[:, None], "v": rows}
    weights = {name: w.astype(np.float32) for name, w in weights.items()}
    whole = structure(kc.score(weights, specs=["ctx"], exact=True).rows)
    assert whole is not None
    assert whole.standard_error == 0
    found = [
        structure(kc.score(weights, specs=["ctx"], sample=0.5, seed=seed).rows)
        for seed in range(24)
    ]
    savings = np.array([one.saving for one in found if one])
    errors = np.array([one.standard_error for one in found if one])
    spread = savings.std(ddof=1)
    assert 0.5 * spread < np.sqrt(np.square(errors).mean()) < 2 * spread
    assert abs(savings.mean() - whole.saving) < spread


def test_a_sampled_account_is_of_the_sample(small_tiles):
    (row,) = kc.score({"w": smooth(400, 128)}, specs=["ctx"], sample=0.5).rows
    assert row.bits is not None
    saved = sum(account(row).saved_bits.values())
    known = (account(row).order0_bits - saved) / row.sampled_fraction
    assert 0 < row.bits - known < 128  # what the view tells
    found = structure([row])
    assert found is not None
    assert found.order0_bits == pytest.approx(row.bits + saved / row.sampled_fraction)


def test_copies_and_tables_are_left_out_and_listed():
    trained = smooth()
    sines = np.sin(np.arange(96)[None] * np.linspace(0.1, 3, 64)[:, None]).astype(np.float32)
    weights = {"a": trained, "tied": trained.copy(), "stft.basis": sines, "b": noise()}
    report = kc.score(weights, specs=["ctx", "lowrank"])
    found = structure(report.rows)
    assert found is not None
    assert [one.label for one in found.tensors] == ["a", "b"]
    assert found.left_out["tied"] == "a copy of a"
    assert "one sine" in found.left_out["stft.basis"]
    (said,) = [s for s in report.headline if s.startswith("left out")]
    assert "2 tensors" in said
    assert "tied: a copy of a" in said


def test_where_every_tensor_is_left_out_the_headline_lists_them():
    sines = np.sin(np.arange(96)[None] * np.linspace(0.1, 3, 64)[:, None]).astype(np.float32)
    report = kc.score({"basis": sines}, specs=["ctx", "lowrank"], controls=["shuffle:2"])
    said, listed = (s for s in report.headline if s.startswith(("structure", "left out")))
    assert said == "structure: every tensor measured at rd0.1 is left out"
    assert "basis: looks not learned" in listed
    rows = (*report.rows, *report.summary)
    assert all(row.structure is None and row.saving is None for row in rows)


# --- what was not learned ----------------------------------------------------------------------


def positions(length=128, width=64):
    angle = np.arange(length)[:, None] / 10000 ** (np.arange(width // 2) / (width // 2))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.hanning(256) * np.cos(np.outer(np.arange(1, 60), np.arange(256)) / 41), "sine"),
        (positions(), "sine"),
        (np.tril(np.ones((32, 32))), "two values"),
        (np.where(np.tri(32, dtype=bool), 0.0, -1e9), "two values"),
        (np.tri(32, k=3) - np.tri(32, k=-4), "two values"),
        (np.arange(512.0), "equal steps"),
        (1 / 10000 ** (np.arange(32) / 32), "equal ratios"),
        (np.linspace(-1, 1, 77), "equal steps"),
    ],
    ids=[
        "stft",
        "sine positions",
        "causal mask",
        "additive mask",
        "band mask",
        "ids",
        "inv_freq",
        "linspace",
    ],
)
def test_tables_are_told_by_their_values(values, reason):
    (tensor,) = tensors_of({"x": values.astype(np.float32)})
    assert reason in (not_learned(tensor) or "")


@pytest.mark.parametrize(
    "values",
    [
        noise(),
        smooth(),
        low_rank(),
        np.ones(64, np.float32),
        np.zeros((64, 64), np.float32),
        1 + 0.01 * noise(1, 300)[0],
        np.sign(noise()),
        noise(200, 5) @ np.eye(5, 64, dtype=np.float32),
        np.full((9, 9), np.nan, np.float32),
        np.arange(9.0, dtype=np.float32),
    ],
    ids=[
        "noise", "walk", "low rank", "ones", "zeros", "norm", "binary", "sparse", "nan", "few",
    ],
)  # fmt: skip
def test_weights_are_not_taken_for_tables(values):
    (tensor,) = tensors_of({"x": values})
    assert not_learned(tensor) is None


@pytest.mark.parametrize("sigma", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("length", [32, 48, 64, 128, 256])
def test_what_was_only_smoothed_is_not_taken_for_waves(length, sigma):
    from scipy.ndimage import gaussian_filter1d

    smoothed = gaussian_filter1d(RNG(0).standard_normal((256, length)), sigma, axis=1)
    (tensor,) = tensors_of({"filters": smoothed.astype(np.float32)})
    assert not_learned(tensor) is None


@pytest.mark.parametrize("shape", [(4, 4), (8, 4), (4, 8), (8, 8)])
def test_binary_weights_are_not_taken_for_masks(shape):
    rng = RNG(0)
    drawn = {f"w{i}": np.sign(rng.standard_normal(shape)).astype("f4") for i in range(200)}
    assert not [tensor.name for tensor in tensors_of(drawn) if not_learned(tensor)]


@pytest.mark.parametrize("length", [64, 100, 400])
@pytest.mark.parametrize("window", [np.ones, np.hanning])
def test_bases_of_any_length_are_told(length, window):
    angle = 2 * np.pi * np.outer(np.arange(length // 2 + 1), np.arange(length)) / length
    (tensor,) = tensors_of({"stft": (np.cos(angle) * window(length)).astype(np.float32)})
    assert "one sine" in (not_learned(tensor) or "")


def test_some_names_tell_by_themselves():
    (tensor,) = tensors_of({"model.layers.0.rotary_emb.inv_freq": noise()[0]})
    assert "rotary" in (not_learned(tensor) or "")


def test_copies_are_told_by_all_their_bytes():
    one = noise(300, 100)
    other = one.copy()
    other[150, 51] += 1  # outside the sample that is compared first
    tensors = tensors_of(
        {
            "a": one,
            "nearly": other,
            "again": one.copy(),
            "reshaped": one.reshape(100, 300).copy(),
            "half": one.astype(np.float16),
            "bias": np.zeros(300, np.float32),
            "bias2": np.zeros(300, np.float32),
        }
    )
    assert copies(tensors) == {"again": "a", "reshaped": "a"}
