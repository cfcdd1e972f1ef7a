"""``kcomplexity score`` as a user meets it: exit codes, formats, resuming, interruptions."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

import kcomplexity
from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators import ESTIMATORS
from kcomplexity.estimators.base import Estimator
from kcomplexity.schemas import load_schema
from tests import KCOMPLEXITY, environment, running, wait_until
from tests import run as invoke

FEW = ("-e", "zstd@bytes/planes,entropy@q8,zstd:9@q4,nonzero", "--control", "shuffle:2")


run = partial(invoke, "score")


def process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KCOMPLEXITY, "score", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """A report without what may differ between two runs of the same figures."""
    for name in ("started", "seconds", "threads"):
        del document["provenance"][name]
    for row in document["rows"] + document["summary"]:
        del row["seconds"]
    return document


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A little of everything, with a name that must not reach a terminal as it is."""
    rng = np.random.default_rng(0)
    odd = rng.normal(size=(20, 30)).astype(np.float32)
    odd[3, 4] = np.nan
    tensors = {
        "layers.0.weight": rng.normal(size=(60, 50)).astype(np.float32),
        "layers.1.weight": rng.normal(size=(60, 50)).astype(ml_dtypes.bfloat16),
        "norm|\n\x1b[31m": np.ones(60, np.float32),
        "odd": odd,
        "scale": np.array(1.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "steps": np.array([7], np.int64),
        "mask": np.tri(8, dtype=bool),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata={"step": "7"})
    return path


# --- Exit codes and streams ---------------------------------------------------------------------


def test_json_is_one_document_that_passes_the_schema(model):
    done = process(model, "--json", *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    Draft202012Validator(load_schema("score")).validate(document)
    (checkpoint,) = document["checkpoints"]
    for spec in {row["spec"] for row in document["rows"]}:
        rows = [row for row in document["rows"] if row["spec"] == spec]
        assert sum(row["n_bytes"] for row in rows) == checkpoint["n_bytes"]
    assert checkpoint["n_bytes"] + checkpoint["n_container_bytes"] == model.stat().st_size
    assert document["provenance"]["command"].startswith("kcomplexity score ")


def test_the_figures_are_those_of_the_library(model):
    document = json.loads(run(model, "--json", *FEW, "--seed", 3).stdout)
    specs, controls = FEW[1].split(","), [FEW[3]]
    report = kcomplexity.score(
        model,
        specs=specs,
        controls=controls,
        seed=3,
        command=document["provenance"]["command"],
    )
    assert timeless(document) == timeless(report.to_dict())


@dataclass(frozen=True)
class Fails(Estimator):
    """Fails on matrices of 60 x 50, and measures nothing else."""

    kind = "estimate"
    positional = False
    default_view = "bytes"
    reference = "none"

    def reducer(self, alphabet: Any, shape: tuple[int, ...]) -> Any:
        if shape == (60, 50):
            raise RuntimeError("a bug\x1b[31m")
        raise UnmeasurableError("not of this shape")

    def measure(self, states: Any, alphabets: Any) -> Any:
        raise NotImplementedError


@pytest.fixture
def failing(monkeypatch) -> None:
    monkeypatch.setitem(ESTIMATORS._entries, "fails", Fails)


def test_failed_rows_exit_3_with_the_reason(model, failing):
    found = run(model, "-e", "nonzero,fails")
    assert found.exit_code == 3
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("failed: ")]
    assert line.startswith("failed: 2 tensors of 18.0 kB (layers.0.weight, layers.1.weight) by")
    assert line.endswith("RuntimeError: a bug\\x1b[31m")


def test_skipped_rows_are_no_failure(model):
    found = run(model, "-e", "entropy@q8")
    assert found.exit_code == 0
    assert "skipped: 1 tensor of 2.40 kB (odd) by entropy@q8: 1 NaN and 0 inf" in found.stdout
    assert "skipped: 1 tensor of 0 B (empty) by entropy@q8: the tensor is empty" in found.stdout


@pytest.mark.parametrize(
    "options", [["-e", "bdm2d@sign", "--include", "scale"], ["-e", "fails", "--include", "odd"]]
)
def test_nothing_measured_exits_4(model, failing, options):
    found = run(model, *options)
    assert found.exit_code == 4
    assert found.stderr.endswith("kcomplexity: nothing was measured: each row gives the reason\n")
    assert "skipped: " in found.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "nope"], "unknown panel 'nope': expected one of fast"),
        (["-e", "zstdd"], "unknown estimator 'zstdd': did you mean zstd?"),
        (["--control", "shufle"], "shufle"),
        (["--sample", "2"], "sample 2: expected a share above 0 and at most 1, e.g. 0.1"),
        (["--sample", "0.5", "--exact"], "choose one of sample and exact"),
        (["-e", ","], "no spec was given"),
        (["-o", "scores.xml"], "scores.xml: cannot tell the output format from 'xml'; end the"),
        (["-o", "scores"], "from no ending; end the name in one of .json, .jsonl, .csv"),
        (["--include", "nope*"], "matches 'nope*'"),
    ],
)
def test_options_that_mean_nothing_exit_2_in_one_line(model, options, message):
    found = run(model, *options)
    assert (found.exit_code, found.stdout) == (2, "")
    assert message in found.stderr
    assert found.stderr.count("\n") == 1


def test_stderr_has_notes_and_warnings_once_and_stdout_the_result(tmp_path):
    for i in (1, 2):
        save_file({f"w{i}": np.ones(4, np.float32)}, tmp_path / f"m-{i}.safetensors")
    index = {"weight_map": {"w1": "m-1.safetensors"}, "metadata": {"total_size": 16}}
    (tmp_path / "m.safetensors.index.json").write_text(json.dumps(index))
    misnamed = tmp_path / "really.npz"
    misnamed.write_bytes((tmp_path / "m-1.safetensors").read_bytes())
    for quiet in ([], ["-q"]):
        done = process(tmp_path, misnamed, misnamed, "--json", "-p", "fast", *quiet)
        assert done.returncode == 0
        assert len(json.loads(done.stdout)["checkpoints"]) == 2
        warning, *notes = done.stderr.splitlines()
        assert warning == (
            f"kcomplexity: warning: {tmp_path}/m.safetensors.index.json: not in the index, so not "
            "read: 1 file next to the shards, such as m-2.safetensors"
        )
        told = f"{misnamed}: really.npz is safetensors by its content, whatever its extension"
        assert notes == ([] if quiet else [f"kcomplexity: {told} .npz says"])


def on_terminal(*arguments: object) -> tuple[str, str]:
    """Run with stderr on a terminal; return stdout and stderr."""
    import pty  # not on every system

    leader, follower = pty.openpty()
    done = subprocess.run(
        [*KCOMPLEXITY, "score", *map(str, arguments)],
        env=environment() | {"TERM": "xterm"},
        stdout=subprocess.PIPE,
        stderr=follower,
        text=True,
        check=True,
    )
    os.set_blocking(leader, False)
    try:
        told = os.read(leader, 1 << 20).decode()
    except BlockingIOError:
        told = ""
    os.close(leader)
    os.close(follower)
    return done.stdout, told


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
def test_progress_is_for_terminals_that_are_not_asked_to_be_quiet(model):
    stdout, told = on_terminal(model, "--json", *FEW)
    assert "measuring" in told
    assert json.loads(stdout)["rows"]
    _, told = on_terminal(model, "--json", "-q", *FEW)
    assert told == ""


# --- Dry run ------------------------------------------------------------------------------------


def test_a_dry_run_tells_specs_controls_bytes_and_time_and_reads_no_weight(model, monkeypatch):
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("a weight was read")

    monkeypatch.setattr("kcomplexity.tensors.checkpoint.StoredTensor.raw", read)
    monkeypatch.setattr("kcomplexity.tensors.checkpoint.StoredTensor.read", read)
    found = run(model, "--dry-run", *FEW, "-T", 2)
    assert (found.exit_code, found.stderr) == (0, "")
    first, *table = found.stdout.splitlines()
    assert first == "8 tensors, 20.7 kB; less than 0.1 s with 2 workers"
    assert [line.split() for line in table if "@" in line] == [
        ["zstd@bytes/planes", "shuffle:2", "all"],
        ["entropy@q8", "all"],
        ["zstd:9@q4", "shuffle:2", "all"],
    ]


def test_a_dry_run_as_json_is_one_document_that_passes_the_schema(model):
    document = json.loads(run(model, "--dry-run", "--json", *FEW).stdout)
    Draft202012Validator(load_schema("plan")).validate(document)
    assert document["n_bytes"] == 20_716
    assert document["tasks"][2] == {"spec": "zstd:9@q4", "controls": ["shuffle:2"], "fraction": 1}


# --- Files --------------------------------------------------------------------------------------


@pytest.fixture
def scored(model) -> dict[str, Any]:
    """The JSON of the model, as it is printed."""
    document: dict[str, Any] = json.loads(run(model, "--json", *FEW).stdout)
    return document


def rows_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [row | {"seconds": 0} for row in document["rows"]]


def test_o_json_holds_what_json_prints(model, scored, tmp_path):
    found = run(model, *FEW, "-o", tmp_path / "s.json")
    assert found.exit_code == 0
    assert "bits/weight" not in found.stdout.partition("\n\n")[2]
    assert timeless(json.loads((tmp_path / "s.json").read_text())) == timeless(scored)


def test_o_jsonl_holds_everything_line_by_line(model, scored, tmp_path):
    run(model, *FEW, "-o", tmp_path / "s.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    by_kind: dict[str, list[Any]] = {}
    for line in lines:
        by_kind.setdefault(line.pop("record"), []).append(line)
    (head,) = by_kind["report"]
    whole = head | {
        "checkpoints": by_kind["checkpoint"],
        "rows": by_kind["row"],
        "summary": by_kind["summary"],
    }
    assert timeless(whole) == timeless(scored)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "s.jsonl"]


def unflat(record: dict[str, Any]) -> dict[str, Any]:
    """A row of a table, its nested fields parsed."""
    nested = ("shape", "details", "controls", "account", "structure", "stream_bits", "tiles")
    parsed = {name: json.loads(record[name]) for name in nested if record[name] is not None}
    return record | parsed | {"seconds": 0}


def test_o_csv_holds_the_rows(model, scored, tmp_path):
    run(model, *FEW, "-o", tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    expected = rows_of(scored)
    assert len(found) == len(expected)
    for record, row in zip(found, expected, strict=True):
        assert list(record) == list(row)
        for name, cell in record.items():
            value = row[name]
            if isinstance(value, dict | list):
                assert (json.loads(cell) if cell else None) == value
            elif name != "seconds":
                kind = type(value)
                read = cell == "True" if kind is bool else None if value is None else kind(cell)
                assert read == value
                assert value is not None or cell == ""


def test_o_parquet_holds_the_rows(model, scored, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    run(model, *FEW, "-o", tmp_path / "s.parquet")
    found = [unflat(record) for record in pq.read_table(tmp_path / "s.parquet").to_pylist()]
    assert found == rows_of(scored)


def test_o_md_holds_every_row_in_a_table_that_nothing_breaks_out_of(model, scored, tmp_path):
    run(model, *FEW, "-o", tmp_path / "s.md")
    page = (tmp_path / "s.md").read_text()
    assert all(char.isprintable() or char == "\n" for char in page)
    head, _, *table = page.partition("## Every row\n\n")[2].partition("\n\n")[0].splitlines()
    cells = [line.replace("\\|", "!").strip("|").split("|") for line in table]
    assert [(row[0].strip(), row[3].strip()) for row in cells] == [
        (
            (row["tensor"].replace("|", "!").replace("\n", "\\n").replace("\x1b", "\\x1b")),
            row["spec"],
        )
        for row in scored["rows"]
    ]
    assert {len(row) for row in cells} == {len(head.strip("|").split("|"))}


def test_a_link_is_followed_and_the_mode_is_that_of_a_new_file(model, tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert run(model, "-p", "fast", "-o", tmp_path / "link.json").exit_code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["rows"]
    (tmp_path / "new").touch()
    mode = (tmp_path / "new").stat().st_mode
    assert (tmp_path / "real.json").stat().st_mode == mode


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere/s.json", "No such file or directory; there is no folder"),
        ("pipe.json", "it is not a file; name one that may be replaced"),
    ],
)
def test_a_target_that_cannot_be_is_told_before_anything_is_measured(
    model, tmp_path, monkeypatch, target, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kcomplexity.parallel.pool.Pool.__enter__", None)
    os.mkfifo("pipe.json")
    found = run(model, "-p", "fast", "-o", target)
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith(f"kcomplexity: error: cannot write {target}: {message}")
    assert found.stderr.count("\n") == 1


def test_parquet_without_pyarrow_is_told_before_anything_is_measured(model, tmp_path, monkeypatch):
    monkeypatch.setattr("kcomplexity.report.writers.find_spec", lambda _: None)
    found = run(model, "-p", "fast", "-o", tmp_path / "s.parquet")
    assert found.exit_code == 2
    assert found.stderr == (
        "kcomplexity: error: Parquet needs pyarrow: pip install 'kcomplexity[parquet]', or write "
        ".csv\n"
    )


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "md", "parquet"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(model, tmp_path, monkeypatch, ending):
    output = tmp_path / f"s.{ending}"
    output.write_text("old")

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *rest, **named: (
            Full() if mode == "wb" else opened(path, mode, *rest, **named)
        ),
    )
    found = run(model, "-p", "fast", "-o", output)
    assert found.exit_code == 1
    target = output.name + ".part" if ending == "jsonl" else output.name
    assert found.stderr == (
        f"kcomplexity: error: cannot write {tmp_path / target}: No space left on device\n"
    )
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == [model.name, output.name]


# --- Interrupted --------------------------------------------------------------------------------


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    tensors = {f"layers.{i:03}.w": rng.normal(size=(40, 9)).astype(np.float32) for i in range(300)}
    save_file(tensors, tmp_path / "layers.safetensors")
    return tmp_path / "layers.safetensors"


def part_lines(output: Path) -> list[dict[str, Any]]:
    """The lines of a journal, each of which must be JSON."""
    text = output.with_name(output.name + ".part").read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_ctrl_c_keeps_a_valid_part_and_resume_gives_the_same_file(layers, tmp_path):
    output = tmp_path / "s.jsonl"
    command = [*KCOMPLEXITY, "score", str(layers), *FEW, "-T", "1", "-o", str(output)]
    part = output.with_name("s.jsonl.part")
    with running(*command[3:], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        # It must not end before this test has looked.
        os.setpriority(os.PRIO_PROCESS, started.pid, 10)
        wait_until(lambda: n_lines(part) > 40)
        started.send_signal(signal.SIGINT)
        stdout, stderr = started.communicate(timeout=30)
    assert started.returncode == 130
    assert stdout == ""
    assert stderr.split("\n") == [
        "",  # closes the line on which the terminal shows ^C
        f"kcomplexity: {part} keeps what was measured: add --resume to go on with it",
        "kcomplexity: interrupted",
        "",
    ]
    assert not output.exists()
    kept = part_lines(output)
    assert 40 < len(kept) < 1 + 4 * 300

    resumed = subprocess.run(
        [*command, "--resume"], env=environment(), capture_output=True, text=True, check=True
    )
    assert resumed.stderr == ""
    assert not part.exists()
    again = output.read_bytes()
    for one in kept[1:]:
        assert json.dumps(one).encode() in again  # taken over, seconds and all
    subprocess.run(command, env=environment(), capture_output=True, check=True)

    def lines(data: bytes) -> list[Any]:
        found = [json.loads(line) for line in data.splitlines()]
        for line in found:
            line.pop("seconds", None)
            for name in ("started", "seconds"):
                line.get("provenance", {}).pop(name, None)
        return found

    assert lines(again) == lines(output.read_bytes())


def test_an_interrupted_score_does_not_wait_for_a_big_tensor(tmp_path):
    path, output = tmp_path / "big.safetensors", tmp_path / "s.jsonl"
    weights = np.random.default_rng(0).normal(size=(1 << 10, 3 << 10)).astype("f4")
    save_file({"a": weights[:2, :40].copy(), "b": weights}, path)
    # Minutes of work, if it were not interrupted.
    words = ["-e", "zstd:9@q4", "--control", "shuffle:500", "--exact", "-T", "1", "-o", output]
    with running("score", path, *words, stderr=subprocess.PIPE) as started:
        wait_until(lambda: n_lines(output.with_name("s.jsonl.part")) == 2)
        started.send_signal(signal.SIGINT)
        _, stderr = started.communicate(timeout=30)
    assert started.returncode == 130
    assert stderr.endswith("\nkcomplexity: interrupted\n")
    assert [row["tensor"] for row in part_lines(output)[1:]] == ["a"]


def test_ctrl_c_on_a_terminal_reaches_every_process_and_one_tells(layers, tmp_path):
    part = tmp_path / "s.jsonl.part"
    output = tmp_path / "s.jsonl"
    options = [*FEW, "-T", "2", "--workers", "process", "-o", str(output)]
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with running("score", layers, *options, **pipes, start_new_session=True) as started:
        wait_until(lambda: n_lines(part) > 40)
        os.killpg(started.pid, signal.SIGINT)
        stdout, stderr = started.communicate(timeout=30)
    assert (started.returncode, stdout) == (130, "")
    assert stderr.count("\n") == 3
    assert stderr.endswith("kcomplexity: interrupted\n")
    assert len(part_lines(output)) > 40


def limit_files(n_bytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on files")
def test_a_journal_that_no_longer_fits_stays_valid_and_can_be_resumed(layers, tmp_path):
    output = tmp_path / "s.jsonl"
    full = process(layers, *FEW, "-o", output, preexec_fn=lambda: limit_files(100_000))
    assert full.returncode == 1
    assert full.stderr == (
        f"kcomplexity: error: cannot write {output}.part: File too large; it keeps what was "
        "measured: make room and add --resume\n"
    )
    assert len(part_lines(output)) > 50
    # Too little room even for what is there: that stays.
    before = part_lines(output)
    process(layers, *FEW, "-o", output, "--resume", preexec_fn=lambda: limit_files(50_000))
    assert part_lines(output) == before
    assert process(layers, *FEW, "-o", output, "--resume").returncode == 0
    assert len(output.read_text().splitlines()) == 1 + 1 + 4 * 300 + 4


def journal(layers: Path, output: Path) -> Path:
    """The journal of a score that was cut after its first row."""
    assert run(layers, *FEW, "-o", output).exit_code == 0
    rows = [line for line in output.read_text().splitlines() if '"record": "row"' in line]
    output.unlink()
    done = process(layers, *FEW, "-o", output, preexec_fn=lambda: limit_files(20_000))
    assert done.returncode == 1
    assert rows
    return output.with_name(output.name + ".part")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no JSON\n", "is not the journal of an interrupted score"),
        (b"[]\n", "is not the journal of an interrupted score"),
        (b'{"record": "plan"}\n{"record": "row"}\n', "is not the journal of an interrupted score"),
        (b'{"record": "plan", "seed": 9}\n', "was measured from other files, with other options"),
        (b"", "is not the journal of an interrupted score"),
        (b"\xff\xfe\n", "is not the journal of an interrupted score"),
    ],
)
def test_a_journal_of_something_else_is_refused(layers, tmp_path, content, message):
    output = tmp_path / "s.jsonl"
    part = tmp_path / "s.jsonl.part"
    part.write_bytes(content)
    found = run(layers, "-p", "fast", "-o", output, "--resume")
    assert found.exit_code == 2
    assert f"{part} {message}" in found.stderr
    assert found.stderr.count("\n") == 1
    assert part.read_bytes() == content


def test_a_journal_is_only_for_the_same_figures_and_may_be_cut(layers, tmp_path):
    part = journal(layers, tmp_path / "s.jsonl")
    with part.open("ab") as file:
        file.write(b'{"record": "row", "tens')  # the machine stopped here
    written = layers.stat().st_mtime_ns
    for change, time_written in ((["--seed", 1], written), ([], written + 1)):
        os.utime(layers, ns=(written, time_written))
        other = run(layers, *FEW, *change, "-o", tmp_path / "s.jsonl", "--resume")
        assert other.exit_code == 2
        assert "repeat those, or leave out --resume to start anew" in other.stderr
    os.utime(layers, ns=(written, written))
    assert run(layers, *FEW, "-o", tmp_path / "s.jsonl", "--resume").exit_code == 0


def test_a_journal_is_written_by_one_run_at_a_time(layers, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    part = journal(layers, tmp_path / "s.jsonl")
    before = part.read_bytes()
    with part.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        for more in ((), ("--resume",)):
            found = run(layers, *FEW, "-o", tmp_path / "s.jsonl", *more)
            assert found.exit_code == 1
            assert f"{part}: another run is writing it" in found.stderr
    assert part.read_bytes() == before


def test_there_is_nothing_to_resume_where_nothing_was_interrupted(layers, tmp_path):
    (tmp_path / "s.jsonl").write_text("the result of another day")
    found = run(layers, *FEW, "-o", tmp_path / "s.jsonl", "--resume")
    assert found.exit_code == 2
    assert "nothing was interrupted; leave out --resume to start anew" in found.stderr
    assert (tmp_path / "s.jsonl").read_text() == "the result of another day"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-p", "fast", "-e", "zstd@bytes"), "choose one of them"),
        (("-e", "zstd@bytes", "--tiles", 8), "a map of tiles adds to the rows of bdm2d@sign"),
        (("-e", "bdm2d:5@sign"), "expected a side of at most 4"),
    ],
)
def test_what_cannot_go_together_is_an_error_of_usage(model, words, message):
    found = run(model, *words)
    assert found.exit_code == 2
    assert message in found.stderr


def test_starting_anew_over_a_journal_is_told(layers, tmp_path):
    part = journal(layers, tmp_path / "s.jsonl")
    found = run(layers, *FEW, "-o", tmp_path / "s.jsonl")
    assert found.exit_code == 0
    assert found.stderr == (
        f"kcomplexity: warning: starting anew: {part} of an earlier run is replaced\n"
    )


def test_threads_workers_and_outputs_leave_no_trace_in_the_json(
    model: Path, tmp_path: Path
) -> None:
    found = [
        timeless(json.loads(process(model, *FEW, "--json", *how).stdout))
        for how in (
            ("-T", "1"),
            ("-T7", "-q", "--max-memory=64MiB"),
            ("--threads=2", "--workers", "process", "-o", tmp_path / "scores.csv"),
        )
    ]
    assert found[0] == found[1] == found[2]
    assert found[0]["provenance"]["command"] == shlex.join(
        ["kcomplexity", "score", str(model), "--estimators", FEW[1], *FEW[2:]]
    )


def test_what_cannot_be_sampled_is_told(model: Path) -> None:
    found = run(model, "-e", "zstd@bytes,bdm2d@sign", "--sample", "0.5")
    assert found.stderr == (
        "kcomplexity: not sampled: bdm2d@sign (parts of a tensor do not add up to it, or its "
        "controls need all of it)\n"
    )
