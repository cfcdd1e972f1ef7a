"""The context code is a code, its length is what is reported, and it finds what is there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kcomplexity as kc
from kcomplexity import parallel
from kcomplexity.algorithms.context.codec import (
    _Weights,
    decode_tile,
    encode_tile,
    write_tile,
)
from kcomplexity.algorithms.context.length import tile_code
from kcomplexity.algorithms.context.model import MODES, Kernel, offsets
from kcomplexity.algorithms.entropy_coding import BitWriter
from kcomplexity.estimators import context
from kcomplexity.results.account import Account
from kcomplexity.results.records import Score

KERNELS = [Kernel(), Kernel(4, 2), Kernel(9, 3), Kernel(5, 5)]


def account(row: Score) -> Account:
    assert row.account is not None
    return row.account


def laplace(rng, shape, scale):
    return np.rint(rng.laplace(0, scale, shape)).astype(np.int64)


def weight_costs(symbols, model):
    """Return the bits that each weight costs in turn, by a model of any mode but "enumerated"."""
    coder, spent = _Weights(model, symbols.shape), [0.0]

    def count(p_one, bit):
        spent[0] -= math.log2(p_one if bit else 1 - p_one)
        return bit

    costs = np.full(symbols.shape, float(model.ranks.shift))
    for (i, j), rank in np.ndenumerate(np.searchsorted(model.ranks.values, symbols)):
        spent[0] = 0.0
        coder.keep(i, j, coder.next(i, j, count, int(model.ranks.levels[rank])))
        costs[i, j] += spent[0]
    return costs


def symbols_of(levels):
    return levels - levels.min(), int(levels.max() - levels.min()) + 1


@st.composite
def tiles(draw):
    """Small tiles of every kind: few and many symbols, sparse alphabets, scales, patterns."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(
        st.sampled_from(["constant", "binary", "ternary", "laplace", "wide", "scaled", "waves"])
    )
    shape = rows, columns
    if kind == "constant":
        levels = np.full(shape, 3)
    elif kind == "binary":
        levels = 7 * (rng.random(shape) < rng.random((rows, 1))).astype(np.int64)
    elif kind == "ternary":
        levels = 50 * rng.integers(-1, 2, shape)
    elif kind == "laplace":
        levels = laplace(rng, shape, draw(st.sampled_from([0.2, 1.0, 5.0])))
    elif kind == "wide":
        levels = laplace(rng, shape, 300)
    elif kind == "scaled":
        levels = laplace(rng, shape, np.exp(2 * rng.standard_normal((rows, 1))))
    else:
        period = draw(st.integers(2, 8))
        levels = np.rint(6 * np.sin(np.arange(columns) * 2 * np.pi / period) + rng.random(shape))
        levels = levels.astype(np.int64)
    symbols, size = symbols_of(levels)
    return symbols, size + draw(st.integers(0, 3)), draw(st.sampled_from(KERNELS))


@settings(max_examples=80, deadline=None)
@given(tiles())
def test_a_tile_comes_back_within_two_bits_of_its_reported_length(tile):
    symbols, size, kernel = tile
    code = tile_code(symbols, size, kernel)
    for mode, model in code.models.items():
        writer = BitWriter()
        write_tile(writer, symbols, size, model)
        writer.finish()
        assert code.bits[mode] - 0.01 <= len(writer.bits) <= code.bits[mode] + 2.01, mode
    data = encode_tile(symbols, size, kernel)
    assert len(data) <= (code.bits[code.best] + 2.01 + 7) // 8 + 1
    assert np.array_equal(decode_tile(data, symbols.shape, size, kernel), symbols)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_tile_with_far_neighbours_and_lags_comes_back(kernel):
    rng = np.random.default_rng(1)
    repeated = np.tile(4 * rng.standard_normal((24, 28)), 7)[:, :180]
    levels = np.rint(repeated + rng.standard_normal((24, 180))).astype(np.int64)
    symbols, size = symbols_of(levels)
    code = tile_code(symbols, size, kernel)
    assert code.best == "prediction"
    assert (0, 28) in code.models["prediction"].lags
    data = encode_tile(symbols, size, kernel)
    assert np.array_equal(decode_tile(data, symbols.shape, size, kernel), symbols)
    assert 8 * len(data) <= code.bits["prediction"] + 10


@settings(max_examples=30, deadline=None)
@given(tiles(), st.data())
def test_no_weight_costs_what_depends_on_later_ones(tile, data):
    symbols, size, kernel = tile
    code = tile_code(symbols, size, kernel)
    at = data.draw(st.integers(0, symbols.size - 1))
    later = symbols.reshape(-1).copy()
    rng = np.random.default_rng(at)
    later[at:] = rng.choice(symbols.reshape(-1), later.size - at)  # no symbol is new to the model
    for model in list(code.models.values())[1:]:
        before = weight_costs(symbols, model).reshape(-1)[:at]
        after = weight_costs(later.reshape(symbols.shape), model).reshape(-1)[:at]
        assert np.array_equal(before, after), model.mode


@pytest.mark.parametrize("kernel", [*KERNELS, Kernel(25, 5), Kernel(2, 1), Kernel(3, 3)])
@pytest.mark.parametrize("more", [False, True])
def test_neighbours_are_decoded_before_the_weight(kernel, more):
    found = offsets(kernel, more=more)
    assert len(set(found)) == len(found)
    assert all(up > 0 or (up == 0 and left > 0) for up, left in found)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, shape: rng.standard_normal(shape),
        lambda rng, shape: rng.laplace(size=shape),
        lambda rng, shape: rng.standard_t(3, shape),
        lambda rng, shape: rng.uniform(-1, 1, shape),
        lambda rng, shape: rng.choice([-1.0, 0.0, 1.0], shape),
    ],
    ids=["normal", "laplace", "t3", "uniform", "ternary"],
)
@pytest.mark.parametrize("shape", [(200, 300), (40, 5, 3, 3), (700,)])
def test_noise_saves_nothing(draw, shape):
    noise = draw(np.random.default_rng(3), shape).astype(np.float32)
    for view in ("rd0.1", "rd0.01", "sign", "q8"):
        row, order0 = kc.score({"w": noise}, specs=[f"ctx@{view}", f"entropy:two-part@{view}"]).rows
        assert row.bits is not None
        assert order0.bits is not None
        saved = sum(account(row).saved_bits.values())
        assert abs(saved) <= 0.0005 * row.bits, view
        assert row.bits <= order0.bits + 4, view


def test_row_scales_save_what_is_known_of_them():
    """Half the rows are four times as wide: the saving is the mutual information, at most."""
    rng = np.random.default_rng(0)
    wide = np.repeat([1, 4], 256)[rng.permutation(512)]
    levels = np.rint(rng.standard_normal((512, 1024)) * wide[:, None]).astype(np.int64)
    symbols, size = symbols_of(levels)
    code = tile_code(symbols, size, Kernel())

    def entropy(values):
        p = np.unique(values, return_counts=True)[1] / values.size
        return -(p * np.log2(p)).sum() * values.size

    known = entropy(levels) - sum(entropy(levels[wide == w]) for w in (1, 4))
    saved = code.bits["order-0"] - min(code.bits.values())
    assert 0.9 * known <= saved <= known
    assert code.bits["order-0"] - code.bits["scale"] >= 0.9 * known


def test_signs_of_a_markov_chain_save_what_is_known_of_them():
    rng = np.random.default_rng(0)
    flips = rng.random((256, 1024)) < 0.2
    symbols = np.cumsum(flips, axis=1) % 2
    code = tile_code(symbols, 2, Kernel())
    known = 1 + 0.2 * np.log2(0.2) + 0.8 * np.log2(0.8)
    saving = 1 - min(code.bits.values()) / code.bits["order-0"]
    assert 0.9 * known <= saving <= 1.02 * known


def test_the_account_adds_up_and_the_row_says_where_bits_went():
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.standard_normal((60, 80)), axis=1).astype(np.float32)
    (row,) = kc.score({"w": smooth}, specs=["ctx"]).rows
    assert row.spec == "ctx@rd0.1"
    assert row.bits is not None
    side = row.bits - (account(row).order0_bits - sum(account(row).saved_bits.values()))
    assert 0 < side < 128  # the view's step and range
    assert row.details["tiles"] == {"prediction": 1}
    assert list(account(row).saved_bits) == list(MODES[2:])
    assert all(saved >= 0 for saved in account(row).saved_bits.values())


def test_tiles_are_cut_at_the_same_rows_for_any_threads(monkeypatch):
    monkeypatch.setattr(context, "TILE", 1 << 12)
    monkeypatch.setattr(parallel.folding, "_JOB", 1 << 13)
    rng = np.random.default_rng(0)
    weights = {"w": np.cumsum(rng.standard_normal((130, 100)), axis=0).astype(np.float32)}
    one, three = (kc.score(weights, specs=["ctx"], threads=n).rows[0] for n in (1, 3))
    assert one.details == three.details
    assert one.bits == three.bits
    assert sum(one.details["tiles"].values()) == 4


def test_noise_in_many_tiles_costs_no_more_than_coded_whole(monkeypatch):
    monkeypatch.setattr(context, "TILE", 1 << 10)
    noise = np.random.default_rng(0).standard_normal((64, 128)).astype(np.float32)
    (row,) = kc.score({"w": noise}, specs=["ctx"]).rows
    assert sum(account(row).saved_bits.values()) == pytest.approx(0, abs=1e-6)
    assert row.bits is not None
    assert row.bits <= account(row).order0_bits + 128


def test_what_tiles_of_their_own_save_is_arrangement(monkeypatch):
    """Rows grow wider from tile to tile: order-0 is that of the whole, whatever tiles would be."""
    monkeypatch.setattr(context, "TILE", 1 << 12)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((512, 128)) * np.linspace(0.25, 2, 512)[:, None]
    specs = ["ctx@rd0.1", "entropy:two-part@rd0.1"]
    report = kc.score({"w": weights.astype(np.float32)}, specs=specs, controls=["shuffle:3"])
    row, order0 = report.rows
    assert sum(row.details["tiles"].values()) == 16
    assert row.bits is not None
    assert order0.bits is not None
    known = 1 - row.bits / order0.bits
    assert known > 0.05
    (record,) = (s.structure for s in report.summary if s.structure)
    assert record.saving == pytest.approx(known, abs=2e-4)
    ratio = row.controls[0].ratio
    assert ratio is not None
    assert 1 - ratio == pytest.approx(known, abs=5e-3)
    # Both tell the view's step and range; one bit says whether tiles have histograms of their own.
    saved = sum(account(row).saved_bits.values())
    assert row.bits + saved == pytest.approx(order0.bits + 1, abs=1e-6)


def test_rows_longer_than_a_tile_are_cut(monkeypatch):
    monkeypatch.setattr(context, "TILE", 64)
    values = np.random.default_rng(0).standard_normal((2, 100)).astype(np.float32)
    (row,) = kc.score({"w": values}, specs=["ctx@sign"]).rows
    assert row.status == "ok"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((4, 4), np.float32), "zero"),
        (np.full((4, 4), np.nan, np.float32), "NaN"),
    ],
)
def test_what_has_no_levels_is_skipped_with_a_reason(values, reason):
    (row,) = kc.score({"w": values}, specs=["ctx"]).rows
    assert row.status == "skipped"
    assert reason in (row.reason or "")


@pytest.mark.parametrize(
    "values",
    [
        np.full((5, 7), 0.25),
        np.ones(1),
        np.arange(9.0).reshape(1, 9),
        np.arange(9.0).reshape(9, 1),
        np.where(np.arange(600).reshape(20, 30) % 7 == 0, 1e30, 1e-30),
        np.sign(np.random.default_rng(0).standard_normal((30, 30))),
    ],
    ids=["constant", "one weight", "one row", "one column", "huge range", "binary"],
)
@pytest.mark.parametrize("spec", ["ctx@rd0.1", "ctx@rd0.0001", "ctx@q8", "ctx@q16", "ctx@sign"])
def test_odd_tensors_have_a_finite_length(values, spec):
    (row,) = kc.score({"w": values}, specs=[spec]).rows
    assert row.status == "ok"
    assert row.bits is not None
    assert 0 <= row.bits < np.inf
