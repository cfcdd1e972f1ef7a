"""The commands fit, expand and sweep: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors.numpy import load_file, save_file

from kcomplexity.errors import CheckpointError, ResultError, SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.mosaics.fit_budget import FitBudget, NominalBits, fit_budget
from kcomplexity.mosaics.fit_options import FitOptions, Fitting
from kcomplexity.mosaics.fit_plan import plan_fit
from kcomplexity.mosaics.fit_report import FitReport
from kcomplexity.mosaics.fitting import fit, open_fit
from kcomplexity.mosaics.selection import Selecting, select_fitted
from kcomplexity.schemas import load_schema
from kcomplexity.sweeps.sweep import SweepReport
from tests import run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = {
        "layers.0.weight": rng.standard_t(4, (40, 50)).astype(np.float32),
        "layers.0.bias": rng.normal(size=40).astype(np.float32),
    }
    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "pt", "note": "größe"})
    return path


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "model"
    folder.mkdir()
    names = {}
    for i in (1, 2):
        file = f"model-0000{i}-of-00002.safetensors"
        array = rng.normal(size=(20, 30)).astype(np.float16)
        save_file({f"w{i}": array}, folder / file, metadata={"format": "pt", "shard": str(i)})
        names[f"w{i}"] = file
    index = {"metadata": {"total_size": 2400}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def valid(name, text):
    document = json.loads(text)
    Draft202012Validator(load_schema(name)).validate(document)
    return document


def test_a_name_that_is_not_of_what_expand_writes_is_refused(source, sharded, tmp_path):
    whole, shards = tmp_path / "whole.safetensors", tmp_path / "shards.safetensors"
    assert run("fit", source, "-k", 3, "-o", whole).exit_code == 0
    assert run("fit", sharded, "-k", 3, "-o", shards).exit_code == 0
    for mosaic, name, message in (
        (whole, "dense.pt", "dense.pt: expected a name that ends in .safetensors"),
        (whole, "folder", "folder: expected a name that ends in .safetensors"),
        (shards, "dense.safetensors", "2 shards and their index are to be written: expected"),
    ):
        found = run("expand", mosaic, "-o", tmp_path / "out" / name)
        assert (found.exit_code, message in found.stderr) == (2, True)


def test_tensors_that_are_all_but_lost_are_told(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "uneven.safetensors"
    loud, quiet = rng.normal(size=(2, 64, 64)).astype("f4")
    save_file({"loud": loud, "quiet": 0.01 * quiet}, path)
    told = run("fit", str(path), "--relative-mse", "0.1").stdout
    assert (
        "1 tensor of 2, 50% of the weights, lose more than half of their squares (quiet: " in told
    )
    even = run("fit", str(path), "--relative-mse", "0.1", "--scale", "tensor").stdout
    assert even
    assert "lose more" not in even


def test_a_fit_is_written_and_expanded_to_the_layout_of_its_source(source, tmp_path):
    mosaic, dense = tmp_path / "m.mosaic.safetensors", tmp_path / "dense.safetensors"
    fitted = run("fit", source, "--capacity", "0.01", "-o", mosaic)
    assert fitted.exit_code == 0, fitted.stderr
    assert "accuracy not checked" in fitted.stdout
    assert "which noise gets too" in fitted.stdout
    expanded = run("expand", mosaic, "-o", dense)
    assert expanded.exit_code == 0, expanded.stderr
    before, after = load_file(source), load_file(dense)
    assert {n: (a.shape, a.dtype) for n, a in after.items()} == {
        n: (a.shape, a.dtype) for n, a in before.items()
    }
    assert np.array_equal(after["layers.0.bias"], before["layers.0.bias"])
    shown = json.loads(run("inspect", dense, "--json").stdout)["checkpoints"][0]
    assert shown["metadata"] == {"format": "pt", "note": "größe"}


def test_shards_and_index_are_written_again(sharded, tmp_path):
    mosaic, dense = tmp_path / "m.mosaic.safetensors", tmp_path / "dense"
    assert run("fit", sharded, "--method", "kmeans", "-k", "9", "-o", mosaic).exit_code == 0
    assert run("expand", mosaic, "-o", dense).exit_code == 0
    assert sorted(p.name for p in dense.iterdir()) == sorted(p.name for p in sharded.iterdir())
    index = "model.safetensors.index.json"
    assert json.loads((dense / index).read_text()) == json.loads((sharded / index).read_text())
    for path in sharded.glob("*.safetensors"):
        before = json.loads(run("inspect", path, "--json", "-q").stdout)["checkpoints"][0]
        after = json.loads(run("inspect", dense / path.name, "--json").stdout)["checkpoints"][0]
        assert after["metadata"] == before["metadata"]
        assert [t["name"] for t in after["tensors"]] == [t["name"] for t in before["tensors"]]
    again = run("expand", mosaic, "-o", dense)
    assert again.exit_code == 1
    assert "is there already" in again.stderr


@pytest.mark.parametrize("by_index", [False, True])
def test_the_index_of_a_sharded_source_is_never_written_over(sharded, by_index):
    index = sharded / "model.safetensors.index.json"
    before = index.read_bytes()
    source = index if by_index else sharded
    done = run("sweep", source, "--codings", "prune", "-o", index)
    assert (done.exit_code, "is the input" in done.stderr) == (1, True), done.stderr
    assert run("fit", source, "-m", "sample", "-o", index).exit_code == 2
    assert index.read_bytes() == before


def test_the_document_is_what_the_schema_says(source, tmp_path):
    mosaic = tmp_path / "m.mosaic.safetensors"
    done = run(
        *("fit", source, "--json", "-q", "--relative-mse", "0.2", "-o", mosaic),
        *("--control", "shuffle:1", "--control", "signs:1"),
    )
    assert done.exit_code == 0, done.stderr
    found = valid("fit", done.stdout)
    assert found["bits"]["file"] == 8 * mosaic.stat().st_size
    parts = ("motifs", "indices_coded", "scales", "kept", "container")
    assert sum(found["bits"][part] for part in parts) == found["bits"]["total_coded"]
    assert found["n_fitted"] + found["n_kept"] == found["n_weights"]
    assert found["usage"]["n_used"] + found["usage"]["n_dead"] == found["n_motifs"]
    assert [gain["kind"] for gain in found["controls"]] == ["shuffle", "signs"]
    assert found["output"] == str(mosaic)


def test_a_file_that_grew_is_called_larger(source):
    assert "x larger)" in run("fit", source, "-m", "sample", "-c", "1").stdout
    assert "x smaller)" in run("fit", source, "-m", "sample", "-c", "0.01").stdout


def test_a_dry_run_prints_the_budget_and_fits_nothing(source):
    done = run("fit", source, "-c", "0.1", "--dry-run", "--method", "sample", "--json")
    found = json.loads(done.stdout)
    assert (found["n_blocks"], found["n_motifs"]) == (500, 50)
    assert found["bits"]["total_nominal"] == 50 * 4 * 32 + 500 * 6 + 40 * 32
    for limit in ((), ("-k", "100")):
        text = run("fit", source, "--relative-mse", "0.1", *limit, "--dry-run").stdout
        assert "follows from the target: about 415 B (1.66 bits/weight)" in text
    kept = 40 * 4
    sized = json.loads(run("fit", source, "--size", "1000B", "--dry-run", "--json").stdout)
    assert sized["bits"]["target"] == 8 * (1000 - kept)
    rated = json.loads(run("fit", source, "--bits-per-weight", "2", "--dry-run", "--json").stdout)
    assert rated["bits"]["target"] == 2 * 2000


def test_the_budget_counts_the_motifs_of_each_set(source):
    options = FitOptions(block_size=5, capacity=0.5, scope="tensor")
    with open_checkpoint(str(source)) as checkpoint:
        budget = fit_budget(plan_fit(select_fitted(checkpoint, all_tensors=True), options))
    # 400 blocks in the matrix and 8 in the vector, half of them motifs of five floats.
    assert budget.n_motifs == 204
    assert budget.bits == NominalBits(
        source=2040 * 32,
        motifs=204 * 5 * 32,
        indices_fixed=400 * 8 + 8 * 2,
        kept=0,
        target=None,
        total_nominal=204 * 5 * 32 + 3216,
    )
    assert budget.to_dict() == {
        "schema_version": 1,
        "n_fitted": 2040,
        "n_blocks": 408,
        "n_motifs": 204,
        "bits": {
            "source": 2040 * 32,
            "motifs": 204 * 160,
            "indices_fixed": 3216,
            "kept": 0,
            "target": None,
            "total_nominal": 204 * 160 + 3216,
        },
    }


def test_the_library_fits_as_the_command_does(source, tmp_path):
    by_command, by_library = tmp_path / "c.safetensors", tmp_path / "l.safetensors"
    words = ("--relative-mse", "0.2", "--control", "shuffle:1", "-o", by_command, "--json", "-q")
    printed = json.loads(run("fit", source, *words).stdout)
    report = fit(str(source), relative_mse=0.2, controls=["shuffle:1"], output=by_library)
    document = json.loads(json.dumps(report.to_dict()))
    for part in ("provenance", "output"):
        del printed[part], document[part]
    assert document == printed
    assert by_library.read_bytes() == by_command.read_bytes()


def test_a_fit_report_is_saved_and_read_back(source, tmp_path):
    report = fit(str(source), relative_mse=0.2, controls=["shuffle:1"])
    report.save(tmp_path / "fit.json")
    loaded = FitReport.load(tmp_path / "fit.json")
    assert loaded == report
    assert loaded.headline == report.headline
    report.save(tmp_path / "fit.csv")
    with (tmp_path / "fit.csv").open(newline="") as file:
        assert [row["tensor"] for row in csv.DictReader(file)] == ["layers.0.weight"]
    report.save(tmp_path / "fit.md")
    assert "layers.0.weight" in (tmp_path / "fit.md").read_text()
    with pytest.raises(ResultError, match="is the result of 'fit': expected one of 'sweep'"):
        SweepReport.load(tmp_path / "fit.json")


def test_a_budget_is_saved_and_read_back(source, tmp_path):
    with open_fit(str(source), capacity=0.1) as plan:
        budget = fit_budget(plan)
    budget.save(tmp_path / "budget.json")
    assert FitBudget.load(tmp_path / "budget.json") == budget
    with pytest.raises(SpecError, match=r"has no rows: end the name in \.json"):
        budget.save(tmp_path / "budget.csv")


def test_a_checkpoint_that_was_passed_in_stays_open_and_another_is_closed(source):
    with open_checkpoint(str(source)) as checkpoint:
        fit(checkpoint, method="sample", motifs=3)
        assert checkpoint["layers.0.bias"].read().size == 40
    with open_fit(str(source), method="sample") as plan:
        kept = plan.checkpoint["layers.0.bias"]
    with pytest.raises(CheckpointError, match="was closed"):
        kept.read()


#: Every option that says how to fit, with another value than its default.
FIT_OPTIONS = {
    "block_size": "2x2",
    "method": "sample",
    "motifs": 7,
    "capacity": 0.02,
    "bits_per_weight": 1.5,
    "relative_mse": 0.2,
    "size": 3000,
    "scope": "group",
    "scale": "row",
    "motif_dtype": "f16",
    "zero_motif": True,
    "train_points": 100,
    "seed": 3,
}


def test_no_option_of_a_fit_is_left_out():
    assert FIT_OPTIONS.keys() == {field.name for field in fields(FitOptions)}
    own = Fitting.__annotations__.keys() - Selecting.__annotations__.keys()
    assert own == FIT_OPTIONS.keys()


@pytest.mark.parametrize(("option", "value"), FIT_OPTIONS.items())
def test_every_option_of_a_fit_reaches_it(source, monkeypatch, option, value):
    given: list[FitOptions] = []

    def planned(selection, options):
        given.append(options)
        return plan_fit(selection, options)

    monkeypatch.setattr("kcomplexity.mosaics.fitting.plan_fit", planned)
    word = f"--{option.replace('_', '-')}"
    assert (
        run("fit", source, "--dry-run", word, *(() if value is True else (value,))).exit_code == 0
    )
    assert given == [FitOptions(**{"block_size": "4", option: value})]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(
    ("arguments", "stage"),
    [
        (("fit", "-k", "64"), "round 1: "),
        (("sweep", "--codings", "sample", "--capacities", "0.02"), "1 of 1: sample "),
        (("fit", "--bits-per-weight", "0.001"), "round 1: "),
    ],
    ids=["fit", "sweep", "a fit that fails"],
)
def test_no_progress_is_left_on_a_terminal(source, arguments, stage):
    import pty

    command, *rest = arguments
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "kcomplexity_cli", command, str(source), *rest]
    with subprocess.Popen(words, stdout=theirs, stderr=theirs):
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # what Linux says when the other end is closed
            while piece := os.read(ours, 1 << 16):
                shown += piece
    os.close(ours)
    assert f"\r\x1b[K{stage}".encode() in shown
    # Text that is overwritten or erased is not seen any more.
    seen = [line.rpartition("\r\x1b[K")[2] for line in shown.decode().split("\n")]
    assert not any(stage in line for line in seen)
    assert seen[0].strip()


def test_a_mosaic_is_inspected_and_scored_as_weights_or_as_stored(source, tmp_path):
    mosaic = tmp_path / "m.mosaic.safetensors"
    run("fit", source, "-c", "0.01", "-o", mosaic)
    dense = json.loads(run("inspect", mosaic, "--json").stdout)["checkpoints"][0]
    assert (dense["format"], dense["n_weights"]) == ("mosaic", 2040)
    stored = json.loads(run("inspect", mosaic, "--json", "--stored").stdout)["checkpoints"][0]
    assert "kcomplexity.table" in [tensor["name"] for tensor in stored["tensors"]]
    scored = run("score", mosaic, "-e", "entropy@q8", "--json", "-q")
    assert [row["tensor"] for row in json.loads(scored.stdout)["rows"]] == [
        tensor["name"] for tensor in dense["tensors"]
    ]
    assert run("score", mosaic, "-e", "zstd@bytes", "--stored", "-q").exit_code == 0
    error = json.loads(run("fit", source, "-c", "0.01", "--json").stdout)["distortion"]
    told = f"at a relative squared error of {error['relative_mse']:.4g} from those it was fitted to"
    for command in ("score", "fit"):
        assert told in run(command, mosaic).stderr
    assert told in run("inspect", mosaic).output


def test_a_sweep_is_what_the_schema_says(source, tmp_path):
    path = tmp_path / "sweep.json"
    done = run(
        *("sweep", source, "--codings", "ecvq,sample,scalar", "--errors", "0.2"),
        *("--capacities", "0.02", "-o", path),
    )
    assert done.exit_code == 0, done.stderr
    assert "bits against error" in done.stdout
    found = valid("sweep", path.read_text())
    assert [p["coding"] for p in found["points"]] == ["ecvq", "sample", *["scalar"] * 3]
    assert found["gaussian"] == [[0.2, pytest.approx(1.161, abs=1e-3)]]
    assert found["eval_direction"] is None


def test_spaces_after_the_commas_of_a_list_mean_nothing(source):
    done = run(
        *("sweep", source, "--codings", "sample, kmeans", "--capacities", "0.02, 0.04"),
        *("-s", "4, 2x2", "--json"),
    )
    assert done.exit_code == 0, done.stderr
    points = json.loads(done.stdout)["points"]
    assert {
        (p["coding"], p["setting"]["capacity"], p["setting"]["block_size"]) for p in points
    } == {
        (coding, capacity, block)
        for coding in ("sample", "kmeans")
        for capacity in (0.02, 0.04)
        for block in ("4", "2x2")
    }


def test_a_sweep_without_a_point_is_exit_code_4_and_says_so(source):
    done = run("sweep", source, "--codings", "sample", "-s", "3000", "-q")
    assert done.exit_code == 4
    assert done.stderr == "kcomplexity: nothing was measured: each row gives the reason\n"


def test_an_evaluation_has_its_own_time_limit(source):
    done = run(
        *("sweep", source, "--codings", "sample", "--capacities", "0.02", "--json"),
        *("--eval", f"{sys.executable} -c 'import time; time.sleep(60)' {{checkpoint}}"),
        *("--eval-timeout", "0.2"),
    )
    assert done.exit_code == 3
    assert json.loads(done.stdout)["points"][0]["reason"].endswith("no answer within 0.2 s")


def test_an_evaluation_that_fails_is_told_in_its_row_and_the_exit_code(source):
    done = run(
        *("sweep", source, "--codings", "sample", "--capacities", "0.02", "--json"),
        *("--eval", "false {checkpoint}", "--eval-direction", "lower"),
    )
    assert done.exit_code == 3
    document = valid("sweep", done.stdout)
    assert document["eval_direction"] == "lower"
    (point,) = document["points"]
    assert point["status"] == "failed"
    assert "exit code 1" in point["reason"]
    assert point["bits"] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "{source}", "-o", "{source}"], 1, "is the input"),
        (["fit", "{source}", "-k", "100000"], 2, "at most as many as there are blocks"),
        (["fit", "{source}", "--capacity", "2"], 2, "in (0, 1]"),
        (["fit", "{source}", "-m", "sample", "--control", "shuffle:1"], 2, "take ecvq or kmeans"),
        (["fit", "{source}", "-s", "x"], 2, "expected a number of weights such as 4"),
        (["fit", "{source}", "--size", "200"], 2, "cannot be reached"),
        (["fit", "{source}", "-s", "3000"], 2, "the largest tensor has 2000"),
        (["fit", "{source}", "--bits-per-weight", "32"], 2, "less than the 32"),
        (["fit", "{source}", "--size", "1GB"], 2, "less than the 8160"),
        (["fit", "{source}", "--relative-mse", "1e-13"], 2, "about"),
        (["fit", "{source}", "-m", "sample", "-k", "2", "--relative-mse", "0.1"], 2, "2 motifs"),
        (["fit", "{source}", "-o", "/no/such/m.safetensors"], 1, "there is no folder"),
        (["sweep", "{source}", "-o", "/no/such/s.json"], 1, "there is no folder"),
        (["sweep", "{source}", "-o", "{source}"], 2, "ends in .json"),
        (["sweep", "{source}", "-o", "/tmp/a.xyz"], 2, "ends in .json"),
        (["fit", "{source}", "-o", "/tmp/foo.txt"], 2, "ends in .safetensors"),
        (["fit", "/no/such/file"], 1, "no such file"),
        (["expand", "{source}", "-o", "/tmp/never"], 1, "not a mosaic"),
        (["sweep", "{source}", "--errors", "a"], 2, "expected numbers with commas"),
        (["sweep", "{source}", "--errors", ","], 2, "expected numbers with commas"),
        (["sweep", "{source}", "--codings", ""], 2, "expected names with commas"),
        (["sweep", "{source}", "--eval", "true"], 2, "{checkpoint}"),
    ],
)
def test_what_cannot_be_done_is_one_line(source, arguments, code, message):
    done = run(*(word.replace("{source}", str(source)) for word in arguments))
    assert done.exit_code == code
    assert message in done.stderr
    assert "rror: " in done.stderr.splitlines()[-1]
    assert done.stdout == ""


def test_a_fit_where_all_is_nan_says_so(tmp_path):
    path = tmp_path / "nan.safetensors"
    save_file({"w": np.full((8, 8), np.nan, np.float32)}, path)
    refused = run("fit", path)
    assert refused.exit_code == 1
    assert "w holds 64 NaN weights" in refused.stderr
    skipped = run("fit", path, "--skip-nonfinite")
    assert skipped.exit_code == 2
    assert "every tensor that could be fitted holds NaN" in skipped.stderr


def test_the_command_recorded_leaves_out_what_changes_no_figure(source):
    document = json.loads(run("fit", source, "-k", "8", "-T", "1", "--json").stdout)
    assert document["provenance"]["command"] == f"kcomplexity fit {source} --motifs 8"


@pytest.mark.parametrize("command", ["fit", "expand", "sweep"])
def test_help_ends_with_examples(command):
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Examples:" in done.stdout
