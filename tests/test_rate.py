"""Every lossy coding is a stream that decodes to what was measured, on one footing."""

from __future__ import annotations

import csv
import errno
import importlib
import inspect
import json
import shlex
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kcomplexity as kc
from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, AnsEncoder
from kcomplexity.codings import CODINGS, Grid, LowRankCoding, PrunedCoding, ScalarCoding
from kcomplexity.codings.base import Quantiser, encode_order0
from kcomplexity.codings.scalar import step_for
from kcomplexity.errors import SpecError
from kcomplexity.inference import gaussian_bits
from kcomplexity.mosaics.selection import Selecting, select_fitted
from kcomplexity.parallel.progress import Progress
from kcomplexity.sweeps.evaluate import evaluate, parse_command
from kcomplexity.sweeps.sweep import (
    Sweeping,
    SweepPoint,
    SweepReport,
    _front,
    plan_sweep,
    sweep,
)


@pytest.fixture(scope="module")
def checkpoint():
    rng = np.random.default_rng(0)
    low = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 80))
    return kc.open_checkpoint(
        {
            "a": rng.standard_t(4, (50, 60)).astype(np.float32),
            "b": low.astype(np.float32),
            "bias": np.ones(5, np.float32),
        }
    )


@pytest.fixture(scope="module")
def tensors(checkpoint):
    return select_fitted(checkpoint).fitted


def error_of(tensors, made):
    lost = squares = 0.0
    for name, tensor in tensors.items():
        before = tensor.read().astype(np.float64)
        lost += np.square(made[name].read().astype(np.float64) - before).sum()
        squares += np.square(before).sum()
    return lost / squares


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=200))
def test_levels_come_back_from_their_stream(levels):
    encoder = AnsEncoder()
    encode_order0(np.array(levels), encoder)
    decoder = AnsDecoder(encoder.words())
    below, size = decoder.integers(2).tolist()
    counts = decoder.integers(size)
    present = np.flatnonzero(counts)
    found = present[decoder.symbols(len(levels), counts[present])] - below
    assert found.tolist() == levels


@settings(deadline=None, max_examples=20)
@given(st.floats(0.002, 0.5))
def test_the_step_reaches_the_error_from_below(error):
    values = np.random.default_rng(1).normal(size=(40, 50))
    source = kc.open_checkpoint({"w": values})
    step = step_for(source, error)
    found = np.square(np.rint(values / step) * step - values).sum() / np.square(values).sum()
    assert 0.97 * error <= found <= error


@pytest.mark.parametrize("tables", ["order-0", "tensor", "context"])
def test_a_scalar_quantiser_costs_about_its_entropy(tensors, tables):
    coded = ScalarCoding(0.5, tables).code(tensors)
    levels = [np.rint(t.read().astype(np.float64) / 0.5) for t in tensors.values()]
    for tensor, level in zip(tensors.values(), levels, strict=True):
        assert np.array_equal(coded.tensors[tensor.name].read(), (level * 0.5).astype("f4"))
    groups = [np.concatenate(levels)] if tables == "order-0" else levels
    entropy = 0.0
    for group in groups:
        counts = np.unique(group, return_counts=True)[1]
        entropy -= (counts * np.log2(counts / counts.sum())).sum()
    assert 0.95 * entropy < coded.bits < 1.1 * entropy + 600


def test_pruning_leaves_that_share_of_zeros(tensors):
    coded = PrunedCoding(0.8, 1.0).code(tensors)
    zeros = sum(int((t.read() == 0).sum()) for t in coded.tensors.values())
    n = sum(t.n_weights for t in tensors.values())
    assert zeros == pytest.approx(0.8 * n, abs=2)
    assert Quantiser(1.0, 2.0).levels(np.array([1.9, -1.9, 2.0, -2.6])).tolist() == [0, 0, 2, -3]


def test_low_rank_wins_where_the_rank_is_low(tensors):
    alone = {"b": tensors["b"]}
    factored = LowRankCoding(3 / 60, 0.1).code(alone)
    error = error_of(alone, factored.tensors)
    scalar = ScalarCoding(step_for(alone, error)).code(alone)
    assert error < 0.01
    assert factored.bits < 0.4 * scalar.bits


def test_a_sweep_measures_what_the_tensors_say_and_marks_the_front(checkpoint, tensors):
    points: Any = sweep(
        checkpoint,
        errors=(0.1, 0.3),
        capacities=(0.01, 0.1),
    ).points
    assert {p.coding for p in points} == {"ecvq", "kmeans", "sample", "scalar", "prune", "low-rank"}
    assert all(p.status == "ok" for p in points)
    n = sum(t.n_weights for t in tensors.values())
    for point in points:
        assert point.bits_per_weight == pytest.approx(point.bits / n)
        beaten = any(
            q.bits <= point.bits and 0.999 * q.relative_mse < point.relative_mse
            for q in points
            if q is not point
        )
        assert point.on_front == (not beaten and point.relative_mse <= 1)
    aimed = [p for p in points if "relative_mse" in p.setting]
    assert all(p.relative_mse <= p.setting["relative_mse"] for p in aimed)


@pytest.mark.parametrize(
    "settings",
    [
        {"errors": (0.3, 0)},
        {"errors": (0.3, 1.0), "codings": ["scalar"]},
        {"capacities": (0.001, 7)},
        {"block_sizes": ("4", "x")},
    ],
)
def test_a_setting_that_means_nothing_is_refused_before_any_work(checkpoint, settings):
    done: list[Progress] = []
    with pytest.raises(SpecError, match="expected"):
        sweep(checkpoint, **settings, progress=done.append)
    assert not done


def test_what_fails_on_these_weights_is_a_row():
    zeros = kc.open_checkpoint({"w": np.zeros((8, 8), np.float32)})
    points = sweep(zeros, errors=(0.3,), capacities=(0.1,)).points
    failed = [point for point in points if point.status == "failed"]
    assert [point.coding for point in failed] == ["scalar"] * 3
    assert all("all weights are zero" in str(point.reason) for point in failed)
    assert failed[0].setting == {"relative_mse": 0.3, "tables": "order-0"}


def test_a_full_disk_fails_its_points_and_no_more(checkpoint, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importlib.import_module("kcomplexity.sweeps.sweep"), "write_dense", full)
    points = sweep(
        checkpoint,
        codings=["prune"],
        eval_command="echo {checkpoint}",
    ).points
    assert len(points) == 10
    for point in points:
        assert point.status == "failed"
        assert "No space left" in str(point.reason)
        assert point.bits is not None


def test_worse_than_zeroing_is_never_on_the_front():
    points = [
        SweepPoint("a", {}, "ok", bits=1.0, relative_mse=1.5),
        SweepPoint("b", {}, "ok", bits=2.0, relative_mse=1.0),
        SweepPoint("c", {}, "ok", bits=3.0, relative_mse=0.5),
    ]
    assert [point.on_front for point in _front(points)] == [False, True, True]


def test_what_chance_lowers_an_error_by_buys_no_place_on_the_front():
    points = [
        SweepPoint("a", {}, "ok", bits=1.0, relative_mse=0.01),
        SweepPoint("b", {}, "ok", bits=2.0, relative_mse=0.009999),
        SweepPoint("c", {}, "ok", bits=3.0, relative_mse=0.009),
    ]
    assert [point.on_front for point in _front(points)] == [True, False, True]


def test_an_unknown_coding_is_refused(checkpoint):
    with pytest.raises(SpecError, match="unknown coding 'gzip'"):
        sweep(checkpoint, codings=["gzip"])


@pytest.mark.parametrize("name", list(CODINGS))
def test_every_coding_decodes_to_tensors_of_the_same_form(name, tensors):
    grid = Grid(errors=(0.2,), capacities=(0.02,))
    recipes = list(CODINGS[name].recipes(grid, tensors))
    assert recipes
    assert {recipe.name for recipe in recipes} == {name}
    coded = recipes[0].code(tensors)
    assert coded.bits > 0
    for key, tensor in tensors.items():
        made = coded.tensors[key]
        assert (made.shape, made.dtype) == (tensor.shape, tensor.dtype)
    assert recipes[0].setting.keys() <= {"relative_mse", "capacity", *vars(recipes[0])}


def test_a_resolved_recipe_has_the_step_that_it_codes_with(tensors):
    grid = Grid(errors=(0.2,), capacities=())
    recipe = next(ScalarCoding.recipes(grid, tensors))
    assert recipe.setting == {"relative_mse": 0.2, "tables": "order-0"}
    coding = recipe.resolved()
    assert coding.setting == {"step": step_for(tensors, 0.2), "tables": "order-0"}
    assert coding.code(tensors).bits == recipe.code(tensors).bits


def test_block_sizes_come_one_after_the_other_in_a_sweep(checkpoint):
    plan = plan_sweep(
        select_fitted(checkpoint),
        codings=["prune", "kmeans", "ecvq"],
        errors=[0.1],
        capacities=[0.1],
        block_sizes=["2X2", "4"],
    )
    order = [(r.name, r.setting.get("block_size")) for r in plan.recipes]
    assert order[:4] == [("ecvq", "2x2"), ("kmeans", "2x2"), ("ecvq", "4"), ("kmeans", "4")]
    assert {name for name, _ in order[4:]} == {"prune"}


def test_the_options_of_a_sweep_are_those_of_its_plan(checkpoint):
    own = inspect.signature(plan_sweep).parameters.keys() - {"selection"}
    assert own == Sweeping.__annotations__.keys() - Selecting.__annotations__.keys()


def test_a_sweep_is_read_back_and_its_points_are_a_table(checkpoint, tmp_path):
    report = sweep(checkpoint, codings=["sample", "prune"], capacities=[0.01, 1.0])
    report.save(tmp_path / "sweep.json")
    assert SweepReport.load(tmp_path / "sweep.json") == report
    report.save(tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["coding"] for row in rows] == ["sample"] * 2 + ["prune"] * 10
    assert json.loads(rows[0]["setting"]) == {"block_size": "4", "capacity": 0.01}
    assert float(rows[0]["bits"]) == report.points[0].bits


def test_the_gaussian_bound():
    assert gaussian_bits(0.25) == 1
    assert gaussian_bits(1.0) == 0


# --- The user's own evaluation ----------------------------------------------------------------


def python(code):
    return [sys.executable, "-c", code, "{checkpoint}"]


def test_the_last_number_printed_counts(tmp_path):
    found = evaluate(python("print('step 1 of 3'); print('loss: -1.5e-2')"), tmp_path, 60)
    assert (found.metric, found.reason) == (-0.015, None)


@pytest.mark.parametrize(
    ("said", "metric"),
    [
        ("accuracy=0.93 /tmp/kcomplexity-5x1/model2.safetensors", 0.93),
        ("0.5, 12%", 12.0),
        ("loss:3 top5", 3.0),
        ("hi /tmp/kcomplexity-0_17/model.safetensors", None),
        ("hi /tmp/17", None),
        ("step2 v1.2.3 2024-01-02 3x", None),
    ],
)
def test_a_number_inside_a_word_or_a_path_is_no_metric(tmp_path, said, metric):
    assert evaluate(python(f"print({said!r})"), tmp_path, 60).metric == metric


@pytest.mark.parametrize(
    ("words", "timeout", "reason"),
    [
        (python("import sys; sys.exit('no such\\nmodel')"), 60, "exit code 1: model"),
        (python("print('fine')"), 60, "printed no number"),
        (python("import time; time.sleep(60)"), 0.2, "no answer within 0.2 s"),
        (["/no/such/program", "{checkpoint}"], 60, "No such file"),
    ],
)
def test_a_failed_evaluation_is_an_answer(tmp_path, words, timeout, reason):
    found: Any = evaluate(words, tmp_path, timeout)
    assert found.metric is None
    assert reason in found.reason


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_an_evaluation_that_is_ended_takes_what_it_started_along(tmp_path):
    # What it starts holds its output open: were it not ended, we would wait until it has.
    child = f"cd {shlex.quote(str(tmp_path))}; (touch begun; sleep 10; touch ended) & wait"
    assert evaluate(["sh", "-c", child], tmp_path, 0.5).metric is None
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


def test_each_point_is_evaluated_on_its_own_checkpoint(checkpoint):
    code = (
        "import sys; from safetensors.numpy import load_file; w = load_file(sys.argv[1]); "
        "print(len(w), (w['a'] == 0).mean())"
    )
    command = f'{sys.executable} -c "{code}" {{checkpoint}}'
    points: Any = sweep(checkpoint, codings=["prune"], eval_command=command).points
    assert all(p.status == "ok" and 0 < p.metric < 1 for p in points)
    assert len({p.metric for p in points}) > 3


@pytest.mark.parametrize("text", ["python evaluate.py", "python 'evaluate.py {checkpoint}"])
def test_a_command_without_a_place_or_with_open_quotes_is_refused(text):
    with pytest.raises(SpecError, match="--eval"):
        parse_command(text)
