"""A training logs the complexity of its weights, and goes on where it stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.errors import OutputError, ResultError


def state(seed):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(size=(20, 30)).astype("f4"), "frozen": np.ones((9, 9), "f4")}


def test_a_row_holds_the_sums_of_a_score():
    with kc.Tracker(specs=["zstd:9@q4", "l2"], controls=["shuffle:2"]) as track:
        row = track(state(0), step=7)
    score = kc.score(state(0), specs=["zstd:9@q4", "l2"], controls=["shuffle:2"])
    bits, norm = score.summary
    assert row["step"] == 7
    assert row["n_weights"] == 681
    assert row["zstd:9@q4"] == bits.bits_per_weight
    assert row["zstd:9@q4 / shuffled"] == bits.controls[0].ratio
    assert row["l2"] == norm.value
    assert row["seconds"] > 0
    assert track.seconds == row["seconds"]


def test_rows_are_kept_and_a_training_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    with kc.Tracker(path) as track:
        track(state(0))
        track(state(1))
    with kc.Tracker(path) as again:
        row = again(state(2))
    assert [one["step"] for one in again.rows] == [0, 1, 2]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [{"record": "tracked", **one} for one in again.rows]
    assert kc.Tracker.load(path) == again.rows
    assert {"zstd@bytes/planes", "entropy:two-part@q8", "nonzero"} < set(row)


def test_weights_may_change_in_place_between_calls():
    weights = state(0)
    with kc.Tracker(specs=["entropy@q8"]) as track:
        before = track(weights)["entropy@q8"]
        weights["w"][:] = 0
        after = track(weights)["entropy@q8"]
    assert after < before / 2


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    score = json.dumps(kc.score(state(0), specs=["l2"]).to_dict())
    for text in ("no rows", '{"step": 1}', '{"record": "row", "step": 1}', "[1]", score):
        path.write_text(f"{text}\n")
        with pytest.raises(ResultError, match="is not"):
            kc.Tracker(path)
    with kc.Tracker(tmp_path / "missing" / "log.jsonl") as track, pytest.raises(OutputError):
        track(state(0))
