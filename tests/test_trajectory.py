"""A trajectory is a score of each step, in order, with the trend of every figure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file
from scipy.stats import kendalltau

import kcomplexity as kc
from kcomplexity.errors import CheckpointError, SpecError
from kcomplexity.schemas import load_schema
from kcomplexity.training.steps import in_step_order
from tests import read_rows, read_tables, run, running, wait_until

SPECS = ["entropy@q8", "zstd:9@q4", "l2"]


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KCOMPLEXITY_CACHE", str(tmp_path / "cache"))


def state(step, *, broken=False):
    """Weights that gain large values with the steps, beside a tensor that never changes."""
    rng = np.random.default_rng(0)
    moving = rng.normal(size=(24, 24)) ** (1 + 2 * step)
    frozen = rng.normal(size=(16, 16))
    if broken:
        moving[:] = np.nan
    return {"moving": moving.astype("f4"), "frozen": frozen.astype("f4")}


def follow(sources, **options) -> Any:
    return kc.trajectory(sources, **({"specs": SPECS, "controls": ["shuffle:3"]} | options))


def write(folder, steps, **metadata):
    folder.mkdir(exist_ok=True)
    for step in steps:
        told = {key: str(value * step) for key, value in metadata.items()}
        path = folder / f"step-{step}.safetensors"
        save_file(state(step), path, metadata=told or None)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return [str(folder / f"step-{step}.safetensors") for step in steps]


def one(found, spec, tensor=None, quantity="bits_per_weight"):
    return next(
        s for s in found.series if (s.spec, s.tensor, s.quantity) == (spec, tensor, quantity)
    )


def test_every_step_is_its_score_and_every_trend_is_scipys():
    states = [state(step) for step in range(4)]
    found = follow(states, cache=False)
    scores = [kc.score(weights, specs=SPECS, controls=["shuffle:3"]) for weights in states]
    for i, score in enumerate(scores):
        rows = [row for row in found.rows if row.step == i]
        assert [row.bits for row in rows] == [row.bits for row in score.rows]
    for spec in ("entropy@q8", "zstd:9@q4"):
        values = [next(r for r in s.summary if r.spec == spec).bits_per_weight for s in scores]
        series = one(found, spec)
        assert series.values == pytest.approx(values)
        expected = kendalltau(range(4), values)
        assert (series.tau, series.p) == pytest.approx((expected.statistic, expected.pvalue))
        assert series.change == pytest.approx((values[-1] or 0) / (values[0] or 1) - 1)
    shuffled = one(found, "zstd:9@q4", quantity="of_shuffled")
    ratios = [next(r for r in s.summary if r.spec == "zstd:9@q4").controls[0].ratio for s in scores]
    assert shuffled.values == pytest.approx(ratios)
    assert one(found, "entropy@q8", "frozen").tau is None  # nothing varies


def test_what_does_not_change_is_measured_once_even_without_a_cache_on_disk(tmp_path):
    found = follow([state(step) for step in range(3)], cache=False)
    assert [step.n_cached for step in found.steps] == [0, 3, 3]
    assert not (tmp_path / "cache").exists()


def test_a_second_run_measures_the_new_steps_alone(tmp_path):
    follow(write(tmp_path / "run", range(3)))
    found = follow(write(tmp_path / "run", range(4)))
    assert [step.n_rows - step.n_cached for step in found.steps] == [0, 0, 0, 3]
    anew = follow(write(tmp_path / "run", range(4)), cache=False)
    assert [row.bits for row in found.rows] == [row.bits for row in anew.rows]
    assert found.series == anew.series
    assert "21 of 24 rows were known and not measured again" in found.headline


def test_a_broken_checkpoint_in_the_middle_is_a_row_with_the_reason(tmp_path):
    paths = write(tmp_path / "run", range(3))
    Path(paths[1]).write_bytes(b"\x10" * 40)
    found = follow(paths)
    assert [step.status for step in found.steps] == ["ok", "failed", "ok"]
    assert "step-1.safetensors" in found.steps[1].reason
    assert one(found, "entropy@q8").steps == (0, 2)
    assert "1 other not readable" in found.headline[0]


def test_a_step_that_diverged_does_not_silence_the_others():
    found = follow([state(0), state(1, broken=True), state(2)], cache=False)
    whole = one(found, "entropy@q8")
    assert whole.n_weights == 24 * 24 + 16 * 16
    assert whole.values[1] is None
    assert None not in (whole.values[0], whole.values[2])


def test_sums_are_over_the_tensors_that_every_step_has():
    more = state(1) | {"late": np.ones((5, 5), "f4")}
    found = follow([state(0), more], cache=False)
    assert one(found, "entropy@q8").n_weights == 24 * 24 + 16 * 16
    first, second = one(found, "entropy@q8", "late").values
    assert first is None
    assert second is not None
    assert "1 tensor not in every checkpoint, so in no sum: late" in found.notes


def test_steps_with_nothing_in_common_are_told():
    other = {name + "2": array for name, array in state(1).items()}
    found = follow([state(0), other], cache=False)
    assert not found.summary
    assert found.notes[-1] == (
        "no tensor is in every checkpoint (frozen, frozen2, moving, ...): a step without a sum has "
        "too little in common with the others"
    )


def test_a_part_of_a_nested_file_is_followed_alone(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = str(tmp_path / "step-1.h5")
    with h5py.File(path, "w") as file:
        for part, step in (("model", 0), ("ema", 2)):
            for name, array in state(step).items():
                file[f"{part}/{name}"] = array
    os.utime(path, (1_700_000_000, 1_700_000_000))
    for part, step in (("model", 0), ("ema", 2)):
        found = follow([path], root=part)
        rows = {(row.tensor, row.spec): row.bits for row in found.rows}
        alone = follow([state(step)], cache=False).rows
        assert rows == {(row.tensor, row.spec): row.bits for row in alone}


def test_nothing_readable_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint can be read"):
        follow([str(tmp_path / "missing.npz")])


# --- Steps -------------------------------------------------------------------------------------


def test_what_is_gone_when_it_is_measured_is_not_readable_either(tmp_path, monkeypatch):
    def gone(*_: Any, **__: Any) -> None:
        raise kc.CheckpointError("the file is gone")

    monkeypatch.setattr(sys.modules["kcomplexity.training.trajectory"], "make_plan", gone)
    with pytest.raises(kc.CheckpointError, match=r"no checkpoint can be read: the file is gone"):
        follow(write(tmp_path / "run", range(2)), cache=False)


def test_steps_are_from_the_metadata_where_all_have_them(tmp_path):
    ordered, notes = in_step_order(write(tmp_path / "run", [2, 10, 1], step=100, epoch=1), None)
    assert [step.step for _, step in ordered] == [100, 200, 1000]
    assert notes == ["steps: step in the metadata"]


def test_steps_are_from_the_names_else(tmp_path):
    ordered, notes = in_step_order(write(tmp_path / "run", [2, 10, 1]), None)
    assert [step.step for _, step in ordered] == [1, 2, 10]
    assert notes == ["steps: the last number in each name"]


def test_steps_by_a_regular_expression():
    ordered, _ = in_step_order(["e1-s30.npz", "e2-s5.npz"], r"e(\d+)")
    assert [step.step for _, step in ordered] == [1, 2]
    with pytest.raises(SpecError, match=r"finds no number in a\.npz"):
        in_step_order(["a.npz"], r"e(\d+)")
    with pytest.raises(SpecError, match="expected a regular expression"):
        in_step_order(["a.npz"], "(")


def test_steps_as_given_and_names_without_numbers():
    ordered, _ = in_step_order([state(0), state(1)], [5, 2.5])
    assert [(step.checkpoint, step.step) for _, step in ordered] == [
        ("<mapping> (2)", 2.5),
        ("<mapping> (1)", 5),
    ]
    with pytest.raises(SpecError, match="1 steps were given for 2"):
        in_step_order([state(0), state(1)], [1])
    assert [step.step for _, step in in_step_order(["b.npz", "a.npz"], None)[0]] == [0, 1]
    # The numbers that tell mappings apart are no steps.
    assert [step.step for _, step in in_step_order([state(0), state(1)], None)[0]] == [0, 1]


def test_steps_that_tie_are_told_and_stand_in_natural_order():
    ordered, notes = in_step_order(["b10-s1.npz", "b9-s1.npz", "b1-s0.npz"], None)
    assert [step.checkpoint for _, step in ordered] == ["b1-s0.npz", "b9-s1.npz", "b10-s1.npz"]
    assert "tie at step 1" in notes[1]


# --- The command and the documents -------------------------------------------------------------


def test_the_command_prints_tables_and_a_document_of_its_schema(tmp_path):
    write(tmp_path / "run", range(3), step=10)
    args = ["trajectory", str(tmp_path / "run"), "-e", ",".join(SPECS), "--control", "shuffle:3"]
    shown = run(*args)
    assert shown.exit_code == 0, shown.stderr
    for words in ("3 checkpoints, from step 0 to 20", "tau", "zstd:9@q4 / shuffled", "new"):
        assert words in shown.stdout, words
    printed = run(*args, "--json")
    document = json.loads(printed.stdout)
    Draft202012Validator(load_schema("trajectory")).validate(document)
    assert all(row["cached"] for row in document["rows"])
    again = run(*args, "--json", "--no-cache")
    assert [row["bits"] for row in json.loads(again.stdout)["rows"]] == [
        row["bits"] for row in document["rows"]
    ]


@pytest.mark.parametrize("kind", ["json", "jsonl", "csv", "parquet"])
def test_every_format_is_written(tmp_path, kind):
    path = tmp_path / f"run.{kind}"
    found = follow([state(0), state(1)], cache=False)
    found.save(path)
    rows = read_rows(path)
    assert len(rows) == len(found.rows) == 12
    assert float(rows[0]["bits"]) == found.rows[0].bits


def test_a_page_of_markdown_has_every_step_and_every_series(tmp_path):
    found = follow([state(0), state(1)], cache=False)
    found.save(tmp_path / "run.md")
    steps, trends, tensors = read_tables(tmp_path / "run.md")
    assert (len(steps), len(trends) + len(tensors)) == (2, len(found.series))
    assert steps[1]["entropy@q8"] == f"{one(found, 'entropy@q8').values[1]:.4g}"


def test_a_step_that_failed_is_exit_code_3(tmp_path):
    paths = write(tmp_path / "run", range(2))
    Path(paths[0]).write_bytes(b"nothing")
    result = run("trajectory", str(tmp_path / "run"), "-e", "l2")
    assert result.exit_code == 3
    assert "failed" in result.stdout


def test_a_training_without_a_figure_is_exit_code_4_and_says_so(tmp_path):
    for step in range(2):
        save_file({"mask": np.ones(4, bool)}, tmp_path / f"step-{step}.safetensors")
    result = run("trajectory", tmp_path, "-e", "entropy@q8", "-q")
    assert result.exit_code == 4
    assert result.stderr == "kcomplexity: nothing was measured: each row gives the reason\n"


@contextmanager
def watching(folder: Path, *options: str) -> Iterator[Any]:
    """Watch a folder; what is told is in a file, so that waiting for it has an end."""
    path = folder.parent / "told"
    words = ["trajectory", folder, "--watch", "--interval", "0.1", "--json", *options]
    with path.open("w") as told, running(*words, stdout=subprocess.PIPE, stderr=told) as watch:
        yield watch, lambda: path.read_text().splitlines()


def test_watch_takes_what_comes_and_stops_cleanly(tmp_path):
    write(tmp_path / "run", range(1))
    with watching(tmp_path / "run", "-e", "entropy@q8") as (watch, told):
        wait_until(lambda: len(told()) == 1)
        write(tmp_path / "run", [1])
        wait_until(lambda: len(told()) == 2)
        watch.send_signal(signal.SIGINT)
        out, _ = watch.communicate(timeout=30)
    first, second = told()
    assert "step 0: entropy@q8" in first
    assert "step 1: entropy@q8" in second
    assert watch.returncode == 0
    assert [step["step"] for step in json.loads(out)["steps"]] == [0, 1]


def test_the_line_of_a_step_tells_statistics_with_their_units():
    from kcomplexity.training.watching import step_sentence

    found = follow([state(0), state(1)], specs=["l2", "entropy@q8"], cache=False)
    bits, norm = one(found, "entropy@q8").values[1], one(found, "l2", quantity="value")
    said = step_sentence(found, found.steps[1])
    assert said == f"step 1: entropy@q8 {bits:.4g} bits/weight; l2 {norm.values[1]:.4g} {norm.unit}"
    alone = follow([state(0)], specs=["l2"], cache=False)
    assert "bits/weight" not in step_sentence(alone, alone.steps[0])
    assert "l2 " in step_sentence(alone, alone.steps[0])


def test_watch_goes_on_where_the_first_file_cannot_be_read(tmp_path):
    (path,) = write(tmp_path / "run", [0])
    Path(path).write_bytes(b"nothing")
    with watching(tmp_path / "run", "-e", "entropy@q8") as (watch, told):
        wait_until(lambda: len(told()) == 1)
        write(tmp_path / "run", [1])
        wait_until(lambda: len(told()) == 3)
        watch.send_signal(signal.SIGINT)
        out, _ = watch.communicate(timeout=30)
    unreadable, failed, read = told()
    assert "no checkpoint can be read" in unreadable
    assert "waiting for more" in unreadable
    assert "step 0: failed" in failed
    assert "step 1: entropy@q8" in read
    assert watch.returncode == 3
    assert [step["status"] for step in json.loads(out)["steps"]] == ["failed", "ok"]


def test_a_watch_in_which_nothing_could_be_read_ends_with_the_reason(tmp_path):
    (path,) = write(tmp_path / "run", [0])
    Path(path).write_bytes(b"nothing")
    with watching(tmp_path / "run", "-e", "entropy@q8") as (watch, told):
        wait_until(told)
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=30)
    assert watch.returncode != 0
    waiting, said = told()
    assert "waiting for more" in waiting
    assert "no checkpoint can be read" in said


def test_a_file_that_is_still_being_written_waits(tmp_path, monkeypatch):
    from kcomplexity.training import watching

    (path,) = write(tmp_path / "run", [0])
    looks: list[int] = []
    n_bytes = [Path(path).stat().st_size]

    def sleep(seconds: float) -> None:
        """Write on between two looks, three times."""
        looks.append(len(n_bytes))
        if len(n_bytes) < 4:
            with Path(path).open("ab") as file:
                n_bytes.append(n_bytes[-1] + file.write(b"more"))

    clock = SimpleNamespace(monotonic=lambda: 1.0 * len(looks), sleep=sleep)
    monkeypatch.setattr(watching, "time", clock)
    stopped: list[bool] = []
    complete = watching.complete_checkpoints([str(tmp_path / "run")], 0.5, lambda: bool(stopped))
    assert next(complete) == [path]
    assert looks == [1, 2, 3, 4]
    stopped.append(True)
    assert next(complete, None) is None


def test_a_step_without_figures_is_not_told_as_the_end_of_the_way():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(32, 32)).astype("f4")
    states = [{"w": start}, {"w": np.round(start)}, {"w": np.full_like(start, np.nan)}]
    options: dict[str, Any] = {"specs": ["entropy:two-part@rd0.01"], "cache": False}
    found = kc.trajectory(states, **options)
    (told,) = (text for text in found.headline if text.startswith("entropy"))
    assert "steps 0 to 1 alone" in told
    assert found.series[0].values[2] is None
    diverged = kc.trajectory(states[1:], **options)
    assert diverged.series[0].change is None
    assert "one step alone has a figure of entropy:two-part@rd0.01" in diverged.headline


@pytest.mark.parametrize("spec", ["entropy@q8", "zstd@bytes"])
def test_a_file_that_breaks_while_its_content_is_hashed_costs_its_own_rows(spec, tmp_path):
    """The content is hashed for the cache before anything is measured."""
    good = tmp_path / "step-1.npz"
    np.savez_compressed(good, w=np.arange(40_000, dtype="f4"))
    broken = tmp_path / "step-2.npz"
    data = bytearray(good.read_bytes())
    data[len(data) // 2] ^= 0xFF
    broken.write_bytes(bytes(data))
    last = tmp_path / "step-3.npz"
    last.write_bytes(good.read_bytes())
    paths = [str(path) for path in (good, broken, last)]
    result = kc.trajectory(paths, specs=[spec], cache=False)
    assert [row.status for row in result.rows] == ["ok", "failed", "ok"]
    assert "CancelledError" not in str(result.rows[1].reason)
