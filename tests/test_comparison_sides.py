"""Rows of several checkpoints are matched, summed and left out as their definition says."""

from __future__ import annotations

import numpy as np
import pytest

from kcomplexity.comparison import sides as module
from kcomplexity.comparison.sides import ScoredSides
from kcomplexity.loaders import open_checkpoint
from kcomplexity.parallel.pool import Pool
from kcomplexity.scoring.not_learned import left_out
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.score import score
from kcomplexity.tensors.checkpoint import labelled

SPEC = "zstd:9@q4"


def arrays(seed: int, **more: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "a": rng.normal(size=(40, 30)).astype("f4"),
        "b": np.sort(rng.normal(size=(30, 20))).astype("f4"),
        **more,
    }


def changes(*states, n_references=1, over_runs=False, **options):
    """Rows and summary of the changes between checkpoints in memory, by tensor."""
    report = score(list(states), specs=[SPEC], **options)
    plan = planned(states)
    with Pool(1) as pool:
        sides = ScoredSides(plan, report.rows, n_references, pool)
        rows, summary = sides.over_runs(paired=True) if over_runs else sides.one_by_one()
    return rows, summary


def planned(states):
    return make_plan(labelled([open_checkpoint(state) for state in states]), specs=[SPEC])


def test_each_other_is_compared_with_the_reference_tensor_by_tensor():
    rows, summary = changes(arrays(0), arrays(1), arrays(2))
    assert [(row.other, row.tensor) for row in rows] == [
        ("<mapping> (2)", "a"),
        ("<mapping> (2)", "b"),
        ("<mapping> (3)", "a"),
        ("<mapping> (3)", "b"),
    ]
    assert {row.reference for row in rows} == {"<mapping> (1)"}
    assert [row.tensor for row in summary] == [None, None]
    first = [row for row in rows if row.other == "<mapping> (2)"]
    assert summary[0].bits == sum(row.bits or 0 for row in first)
    assert summary[0].reference_bits == sum(row.reference_bits or 0 for row in first)


def test_the_unchanged_share_counts_weights_that_are_stored_alike():
    before, after = arrays(0), arrays(0)
    after["a"] = after["a"].copy()
    after["a"][:10] += 1
    rows, (whole,) = changes(before, after)
    assert [row.unchanged_share for row in rows] == [0.75, 1.0]
    assert whole.unchanged_share == (900 + 600) / 1800


def test_what_is_the_same_on_both_sides_is_in_no_sum_of_arrangement():
    before = arrays(0)
    after = {**arrays(1), "b": before["b"]}
    rows, (whole,) = changes(before, after, controls=["shuffle:2"])
    assert [row.left_out for row in rows] == [None, "the same on both sides"]
    assert whole.n_weights == before["a"].size


def test_a_spec_that_measured_nothing_else_keeps_what_is_the_same():
    rows, (whole,) = changes(arrays(0), arrays(0), controls=["shuffle:2"])
    assert [row.left_out for row in rows] == [None, None]
    assert whole.n_weights == 1800


def test_without_shuffles_nothing_is_left_out():
    rows, (whole,) = changes(arrays(0), {**arrays(1), "b": arrays(0)["b"]})
    assert [row.left_out for row in rows] == [None, None]
    assert whole.n_weights == 1800


def test_a_tensor_that_one_side_could_not_measure_is_in_no_sum():
    broken = arrays(1)
    broken["b"][0, 0] = np.nan
    rows, (whole,) = changes(arrays(0), broken)
    assert [row.status for row in rows] == ["ok", "skipped"]
    assert whole.n_weights == broken["a"].size
    assert whole.bits == rows[0].bits


def test_runs_are_means_and_each_checkpoint_is_looked_at_once(monkeypatch):
    looked_at: list[str] = []

    def counting(checkpoint):
        looked_at.append(checkpoint.path)
        return left_out(checkpoint)

    monkeypatch.setattr(module, "left_out", counting)
    states = [arrays(seed) for seed in range(4)]
    rows, (whole,) = changes(*states, n_references=2, over_runs=True, controls=["shuffle:2"])
    assert (whole.n_references, whole.n_others, whole.paired) == (2, 2, True)
    assert whole.bits == pytest.approx(sum(row.bits or 0 for row in rows))
    looked_at.clear()
    changes(*states, controls=["shuffle:2"])
    assert sorted(looked_at) == sorted(set(looked_at))
    assert len(looked_at) == 4
