"""What every fitter keeps to, and what each is for."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kcomplexity as kc
from kcomplexity.controls import parse_control
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assign import distances, nearest_roughly
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.fit_plan import plan_fit
from kcomplexity.mosaics.fitters import FITTERS, Goal, Problem
from kcomplexity.mosaics.fitters import base as fitters_base
from kcomplexity.mosaics.fitters import kmeans as kmeans_module
from kcomplexity.mosaics.fitters.base import centroids
from kcomplexity.mosaics.fitters.kmeans import KMeans, lloyd, spread_start
from kcomplexity.mosaics.fitters.sample import SampledMotifs, draw
from kcomplexity.mosaics.fitting import fit_mosaic
from kcomplexity.mosaics.gain import gain_controls, motif_gain
from kcomplexity.mosaics.run import run_fit
from kcomplexity.mosaics.selection import select_fitted
from kcomplexity.parallel.progress import Progress


def heavy(*shape, seed=0):
    return (0.05 * np.random.default_rng(seed).standard_t(4, shape)).astype(np.float32)


def problem(blocks, **options):
    squares = float(np.square(blocks, dtype=np.float64).sum())
    return Problem(blocks, None, squares, options.pop("motif_dtype", "f32"), **options)


# --- The contract, over the registry -----------------------------------------------------------


@pytest.mark.parametrize("name", list(FITTERS))
def test_a_fitter_says_what_it_is(name):
    cls = FITTERS[name]
    assert cls.summary
    assert cls.reference
    assert cls.__doc__
    assert cls() == cls()


@pytest.mark.parametrize("name", list(FITTERS))
@pytest.mark.parametrize("dtype", ["f32", "bf16", "grid"])
def test_a_fit_is_what_it_says(name, dtype):
    given_problem = problem(heavy(500, 4), motif_dtype=dtype, zero_motif=True)
    fit = FITTERS[name]().fit(given_problem, Goal(k=40))
    assert len(fit.motifs) <= 40
    assert fit.motifs.dtype == dtype
    assert fit.indices.shape == (500,)
    made = fit.motifs.values[fit.indices]
    error = np.square(given_problem.blocks - made, dtype=np.float64).sum() / given_problem.squares
    assert fit.relative_mse == pytest.approx(error, rel=1e-5)
    assert (fit.motifs.values == 0).all(axis=1).any()
    if dtype == "grid":
        assert np.allclose(fit.motifs.levels * fit.motifs.step, fit.motifs.values, rtol=1e-6)


@pytest.mark.parametrize("name", list(FITTERS))
@pytest.mark.parametrize("error", [0.05, 0.3])
def test_an_error_is_met_from_below(name, error):
    fit = FITTERS[name]().fit(problem(heavy(3000, 4)), Goal(relative_mse=error))
    assert 0.85 * error <= fit.relative_mse <= error


@pytest.mark.parametrize("name", list(FITTERS))
def test_degenerate_blocks_are_fitted(name):
    fitter = FITTERS[name]()
    for blocks in (np.zeros((10, 4)), np.full((10, 4), 0.5), np.eye(4)[[0, 1] * 5]):
        given_problem = problem(blocks.astype(np.float32))
        for goal in (Goal(k=1), Goal(k=3), Goal(relative_mse=0.2)):
            fit = fitter.fit(given_problem, goal)
            assert fit.relative_mse <= (goal.relative_mse or 1 + 1e-6)


# --- sample -----------------------------------------------------------------------------------


@given(st.integers(1, 50), st.integers(0, 100), st.booleans())
def test_sample_draws_distinct_blocks_and_the_first_are_those_of_fewer(k, seed, zero):
    blocks = np.arange(50, dtype=np.float32)[:, None] + 1
    motifs = draw(problem(blocks, seed=seed, zero_motif=zero), k)
    assert len(motifs) == k
    assert len(np.unique(motifs)) == k
    assert (motifs[0] == 0) == zero
    assert set(motifs[zero:].ravel()) <= set(blocks.ravel())
    fewer = max(k - 1, 1)
    assert np.array_equal(draw(problem(blocks, seed=seed, zero_motif=zero), fewer), motifs[:fewer])


def test_sample_is_the_projection_of_the_paper():
    blocks = heavy(400, 4)
    fit = SampledMotifs().fit(problem(blocks), Goal(k=16))
    gap = blocks[:, None].astype(np.float64) - fit.motifs.values[None]
    squared = np.square(gap).sum(axis=2)
    assert np.array_equal(fit.indices, squared.argmin(axis=1))


# --- kmeans -----------------------------------------------------------------------------------


def test_kmeans_by_hand():
    blocks = np.array([[0.0], [1.0], [9.0], [11.0]], np.float32)
    fit = KMeans().fit(problem(blocks), Goal(k=2))
    assert sorted(fit.motifs.values.ravel().tolist()) == [0.5, 10]
    assert fit.relative_mse == pytest.approx(2.5 / 203)


def test_kmeans_loses_less_than_sample_and_about_what_theory_says():
    # Gaussian, s = 4, capacity .01: .0436 sampled and .032 after Lloyd (recomputed for SCIENCE).
    rng = np.random.default_rng(0)
    source = {"w": rng.normal(size=(400, 400)).astype(np.float32)}
    sampled = fit_mosaic(source, method="sample", capacity=0.01).distortion.relative_mse
    lloyd = fit_mosaic(source, method="kmeans", capacity=0.01).distortion.relative_mse
    assert lloyd < 0.8 * sampled


def test_no_round_raises_the_error():
    events: list[Progress] = []
    options = KMeans(start="sample", iterations=40, tolerance=0)
    options.fit(problem(heavy(2000, 4), progress=events.append), Goal(k=50))
    errors = [float(event.stage.rpartition(" ")[2]) for event in events]
    assert len(errors) > 10
    assert errors == sorted(errors, reverse=True)


def test_motifs_without_blocks_are_taken_to_those_that_lie_farthest_off():
    few = heavy(10, 2)
    blocks = np.concatenate([np.repeat(few[:1], 200, axis=0), few])
    given_problem = problem(blocks)
    assert len(np.unique(draw(given_problem, 10), axis=0)) < 5  # the start repeats itself
    fit = KMeans(start="sample").fit(given_problem, Goal(k=10))
    assert fit.relative_mse == 0


def test_means_are_means_and_empty_motifs_are_zero():
    blocks = heavy(100, 3)
    indices = np.random.default_rng(0).integers(0, 5, 100)
    means, counts = centroids(blocks, indices, 7)
    for j in range(5):
        assert np.allclose(means[j], blocks[indices == j].mean(axis=0), atol=1e-7)
    assert counts[5:].tolist() == [0, 0]
    assert not means[5:].any()


def test_a_spread_start_never_repeats_a_block():
    blocks = np.repeat(heavy(30, 2), 10, axis=0)
    start = spread_start(problem(blocks), blocks, 25)
    assert len(np.unique(start, axis=0)) == 25


def test_few_train_points_do_not_keep_ecvq_from_an_error():
    found = fit_mosaic({"w": heavy(200, 160)}, relative_mse=0.2, train_points=50)
    assert 0.19 < found.distortion.relative_mse <= 0.2


def test_train_points_still_assign_every_block():
    mosaic = fit_mosaic({"w": heavy(100, 100)}, method="kmeans", motifs=8, train_points=100)
    assert mosaic.n_blocks == 2500
    assert mosaic.distortion.relative_mse < 0.6


# --- ecvq -------------------------------------------------------------------------------------


def test_ecvq_needs_some_sixty_per_cent_of_the_bits_of_the_paper_even_on_noise():
    source = {"w": heavy(512, 512)}
    paper = fit_mosaic(source, method="sample", capacity=0.01)
    ours = fit_mosaic(source, method="ecvq", capacity=0.01)
    assert ours.distortion.relative_mse <= paper.distortion.relative_mse * 1.001
    fixed = paper.bits.indices_fixed + paper.bits.motifs
    # Real networks need less: their blocks have company to keep.
    assert ours.bits.fitted <= 0.62 * fixed


def test_ecvq_takes_coarse_motifs_at_low_rates():
    # Few motifs, each of which is a share of the bits: .445 with steps of at most .35.
    rng = np.random.default_rng(0)
    columns = np.exp(rng.normal(size=64))
    source = {"w": (columns * rng.standard_t(4, (64, 64))).astype(np.float32)}
    mosaic = fit_mosaic(source, relative_mse=0.4)
    assert mosaic.distortion.relative_mse <= 0.4
    assert mosaic.bits_per_weight < 0.43


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "grid"])
@pytest.mark.parametrize("zero", [False, True])
def test_ecvq_with_motifs_alone_as_a_target_always_has_an_answer(dtype, zero):
    blocks = heavy(300, 1)
    for k in (290, 299, 300):
        given_problem = problem(blocks, motif_dtype=dtype, zero_motif=zero)
        fit = FITTERS["ecvq"]().fit(given_problem, Goal(k))
        assert len(fit.motifs) <= k
        assert fit.relative_mse < 1e-3


@pytest.mark.parametrize("error", [0.15, 0.3])
def test_ecvq_is_below_the_scalar_quantiser_at_low_rates(error):
    from kcomplexity.codings.scalar import ScalarCoding, step_for

    source = kc.open_checkpoint({"w": heavy(400, 500)})
    mosaic = fit_mosaic(source, relative_mse=error)
    scalar = ScalarCoding(step_for(source, mosaic.distortion.relative_mse)).code(source)
    assert mosaic.bits.fitted < scalar.bits


@pytest.mark.parametrize(
    ("dtype", "error", "name"),
    [
        (ml_dtypes.float8_e4m3fn, 0.02, "ecvq"),
        (ml_dtypes.float8_e5m2, 0.1, "ecvq"),
        (ml_dtypes.float8_e5m2, 0.1, "kmeans"),
        (ml_dtypes.bfloat16, 0.3, "ecvq"),
    ],
)
def test_an_error_is_met_by_weights_rounded_to_their_dtype(dtype, error, name):
    source = {"w": np.random.default_rng(9).normal(size=(96, 96)).astype(dtype)}
    mosaic = fit_mosaic(source, relative_mse=error, method=name)
    made = mosaic.reconstruct()["w"].astype(np.float64) - source["w"].astype(np.float64)
    found = np.square(made).sum() / np.square(source["w"].astype(np.float64)).sum()
    assert 0.94 * error <= found <= error


@pytest.mark.parametrize("name", list(FITTERS))
def test_with_an_error_to_aim_at_the_number_of_motifs_is_a_limit_and_costs_nothing(name):
    source = {"w": heavy(64, 64)}
    limited = fit_mosaic(source, method=name, motifs=900, relative_mse=0.3)
    free = fit_mosaic(source, method=name, relative_mse=0.3)
    assert limited.n_motifs < 300
    assert limited.bits.total_nominal == pytest.approx(free.bits.total_nominal, rel=0.2)
    assert 0 <= limited.n_motifs - len(limited.motifs[0]) <= 0.1 * limited.n_motifs


def test_targets_in_bits_are_met_from_below(tmp_path):
    source = {"w": heavy(100, 150)}
    mosaic = fit_mosaic(source, bits_per_weight=1.2)
    assert 1.1 < mosaic.bits_per_weight <= 1.2
    mosaic = fit_mosaic(source, size=3000)
    mosaic.save(tmp_path / "m")
    assert 2600 < (tmp_path / "m").stat().st_size <= 3000


def test_an_error_that_no_number_of_motifs_reaches_is_refused():
    with pytest.raises(SpecError, match="cannot be reached with 3 motifs"):
        FITTERS["ecvq"]().fit(problem(heavy(500, 4)), Goal(k=3, relative_mse=0.01))
    coarse = replace(problem(heavy(500, 4)), motif_dtype="bf16")
    with pytest.raises(SpecError, match="cannot be reached: 500 motifs"):
        SampledMotifs().fit(coarse, Goal(relative_mse=1e-12))


# --- Rounds -----------------------------------------------------------------------------------


def rounds_of(monkeypatch, options, task, k):
    """Return the motifs after all rounds, and of each round its start, its choice, its stage."""
    calls: list[Any] = []
    events: list[Progress] = []

    def watched(blocks, values, **how):
        calls.append((values.copy(), nearest_roughly(blocks, values, **how), len(blocks)))
        return calls[-1][1]

    monkeypatch.setattr(kmeans_module, "nearest_roughly", watched)
    values = lloyd(options, replace(task, progress=events.append), k)
    monkeypatch.undo()
    stages = [event.stage for event in events]
    return values, list(zip(calls[-len(stages) :], stages, strict=True))


@pytest.mark.parametrize("seed", range(24))
def test_rounds_report_their_error_lower_it_and_end_with_means(monkeypatch, seed):
    rng = np.random.default_rng(seed)
    m, s, k = int(rng.integers(2, 400)), int(rng.choice([1, 3, 16])), int(rng.integers(1, 12))
    normal = rng.normal(size=(m, s))
    kinds = [normal, 1 + 1e-3 * normal, rng.integers(-2, 3, (m, s)), 1e18 * normal, normal**5]
    blocks = kinds[seed % len(kinds)].astype(np.float32)
    task = problem(blocks, zero_motif=bool(seed % 2), threads=1, seed=seed)
    options = KMeans(start="spread" if seed % 3 else "sample", iterations=1 + seed % 9)
    values, rounds = rounds_of(monkeypatch, options, task, k)
    if not rounds:
        assert k >= m
        return
    errors = [float(distances(blocks, *call[:2]).sum()) for call, _ in rounds]
    reported = [float(text.split()[-1]) * blocks.size for _, text in rounds]
    assert np.allclose(
        reported, errors, rtol=2e-3, atol=1e-9 * np.square(blocks, dtype=float).sum()
    )
    frozen = int(task.zero_motif)
    for before, after, (call, _) in zip(errors, errors[1:], rounds, strict=False):
        used = np.bincount(call[1], minlength=len(call[0]))[frozen:]
        if used.all():
            assert after <= before * (1 + 1e-5)
    assert len(values) <= k
    assert not frozen or not values[0].any()
    last = rounds[-1][0][1]
    for motif in range(frozen, len(values)):
        if (last == motif).any():
            mean = blocks[last == motif].mean(axis=0, dtype=np.float64)
            assert np.allclose(values[motif], mean, rtol=1e-5, atol=1e-6 * np.abs(blocks).max())
    assert np.array_equal(values, lloyd(options, replace(task, threads=8), k))


def test_rounds_see_as_many_blocks_as_are_asked_for(monkeypatch):
    _, rounds = rounds_of(monkeypatch, KMeans(train_points=77), problem(heavy(300, 4)), 5)
    assert {call[2] for call, _ in rounds} == {77}


def test_rounds_end_when_no_block_moves(monkeypatch):
    task = problem(np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32))
    _, rounds = rounds_of(monkeypatch, KMeans(), task, 1)
    assert len(rounds) == 2


def test_weights_at_the_end_of_float32_have_means(monkeypatch):
    rng = np.random.default_rng(0)
    task = problem((3.3e38 * np.sign(rng.normal(size=(200, 4)))).astype(np.float32))
    values, _ = rounds_of(monkeypatch, KMeans(), task, 5)
    assert np.isfinite(values).all()


def test_sums_in_pieces_are_the_sums(monkeypatch):
    blocks = heavy(500, 3)
    indices = np.random.default_rng(0).integers(0, 7, 500)
    monkeypatch.setattr(fitters_base, "_SUMMED", 100)
    means, counts = centroids(blocks, indices, 8)
    for motif in range(7):
        assert np.allclose(means[motif], blocks[indices == motif].mean(axis=0, dtype=np.float64))
    assert counts.tolist() == np.bincount(indices, minlength=8).tolist()


@pytest.mark.parametrize("options", [{"iterations": 0}, {"tolerance": -1.0}, {"start": "nowhere"}])
def test_rounds_that_mean_nothing_are_refused(options):
    with pytest.raises(SpecError, match="expected"):
        KMeans(**options)


@pytest.mark.parametrize("method", ["sample", "kmeans", "ecvq"])
def test_no_fitter_takes_more_motifs_than_the_coder_tells_apart(monkeypatch, method):
    for name in ("base", "ecvq"):
        module = importlib.import_module(f"kcomplexity.mosaics.fitters.{name}")
        monkeypatch.setattr(module, "MOST_MOTIFS", 64)
    with pytest.raises(SpecError, match="cannot be reached"):
        FITTERS[method]().fit(problem(heavy(2000, 4)), Goal(relative_mse=0.01))


# --- Motif gain -------------------------------------------------------------------------------


def gain_of(weights, control="shuffle:1"):
    checkpoint = kc.open_checkpoint({"w": weights})
    options = FitOptions(block_size=4, relative_mse=0.3)
    plan = plan_fit(select_fitted(checkpoint), options)
    return motif_gain(plan, run_fit(plan), parse_control(control))


def test_noise_has_no_motif_gain_and_repeated_patterns_have():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(256, 256)).astype(np.float32)
    patterns = rng.normal(size=(20, 4)).astype(np.float32)
    repeated = (
        patterns[rng.integers(0, 20, 128 * 64)] + 0.1 * rng.normal(size=(128 * 64, 4))
    ).astype(np.float32)
    assert 0.98 < gain_of(noise).ratio < 1.02
    found = gain_of(repeated.reshape(128, 256))
    assert found.ratio < 0.7
    assert found.n == len(found.bits) == 1


def test_the_gain_against_another_order_of_the_hidden_units_is_of_another_order():
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(12, 4)).astype(np.float32)
    second = patterns[rng.integers(0, 12, 96 * 16)].reshape(96, 64)  # of four units at a time
    model = {"0.weight": rng.normal(size=(64, 8)).astype(np.float32), "1.weight": second}
    checkpoint = kc.open_checkpoint(model)
    options = FitOptions(block_size=4, relative_mse=0.3)
    plan = plan_fit(select_fitted(checkpoint), options)
    (control,) = gain_controls(plan, ["unit-permutation:1"])
    assert motif_gain(plan, run_fit(plan), control).ratio < 0.9


def test_a_control_that_changes_nothing_is_refused():
    checkpoint = kc.open_checkpoint({"w": heavy(32, 32)})
    plan = plan_fit(select_fitted(checkpoint), FitOptions(motifs=3))
    with pytest.raises(SpecError, match="changes none of the fitted tensors"):
        gain_controls(plan, ["shuffle:1", "unit-permutation:1"])


def test_the_estimator_counts_what_a_fit_counts():
    weights = heavy(64, 128)
    report = kc.score({"w": weights}, specs=["mosaic:s=4:mse=0.2"], controls=["shuffle:2"])
    mosaic = fit_mosaic({"w": weights}, block_size=4, relative_mse=0.2)
    (row,) = report.rows
    assert row.bits == mosaic.bits.fitted
    assert (row.kind, row.decodes) == ("code", "view")
    assert row.relative_mse == pytest.approx(mosaic.distortion.relative_mse)
    assert row.squared_error == mosaic.distortion.sse
    assert row.controls[0].n == 2


# --- In training ------------------------------------------------------------------------------


def test_projecting_gives_new_arrays_of_the_same_dtype():
    weights = {"w": heavy(16, 16).astype(np.float16), "b": np.ones(3)}
    before = {name: array.copy() for name, array in weights.items()}
    projected, mosaic = kc.project(weights, method="sample", block_size=4, motifs=5, seed=1)
    assert {n: a.dtype for n, a in projected.items()} == {n: a.dtype for n, a in weights.items()}
    assert all(np.array_equal(weights[n], before[n]) for n in weights)
    assert not np.shares_memory(projected["b"], weights["b"])
    assert len(np.unique(projected["w"].reshape(-1, 4), axis=0)) <= 5
    assert mosaic.distortion.n_changed > 0


def test_a_pytorch_loop_that_projects_every_epoch_learns():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    targets = inputs @ torch.randn(16, 4)
    model = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for epoch in range(10):
        for _ in range(20):
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        state, _mosaic = kc.project(
            model.state_dict(), method="sample", block_size=2, capacity=0.3, seed=epoch
        )
        model.load_state_dict(state)
        with torch.no_grad():
            losses.append(float(torch.nn.functional.mse_loss(model(inputs), targets)))
    assert losses[-1] < 0.7 * losses[0]
    half = {"w": torch.ones(4, 4, dtype=torch.bfloat16)}
    assert kc.project(half, method="sample", motifs=1)[0]["w"].dtype == torch.bfloat16
