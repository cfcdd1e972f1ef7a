"""How every command ends: a reader that leaves, a full disk, usage errors, help."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from kcomplexity.controls import CONTROLS
from kcomplexity.mosaics.fitters import FITTERS
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY
from kcomplexity.parallel.progress import Progress
from kcomplexity.schemas import schema_names
from kcomplexity.scoring.panels import PANELS
from kcomplexity_cli.ending import end_by_rows
from kcomplexity_cli.main import cli
from kcomplexity_cli.terminal import progress_display
from kcomplexity_cli.types import Size
from tests import KCOMPLEXITY, environment, run


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``kcomplexity`` is the command."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; kcomplexity() {{ {shlex.join(KCOMPLEXITY)} "$@"; }}; {script}',
        ],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with a checkpoint of more tensors than a pipe holds lines of."""
    where = tmp_path_factory.mktemp("many")
    tensors = {f"layers.{i}.weight": np.full((2, 3), i, np.float32) for i in range(1500)}
    save_file(tensors, where / "m.safetensors")
    save_file({"w": np.arange(12, dtype=np.float32)}, where / "s.safetensors")
    return where


@pytest.mark.parametrize(
    "pipe",
    [
        "kcomplexity inspect --all m.safetensors | head -1",
        "kcomplexity inspect --json m.safetensors | head -c1",
        "kcomplexity score -p fast --json s.safetensors | head -c1",
        "kcomplexity estimators | true",
        "kcomplexity --help | true",
        "kcomplexity score --help | true",
        "kcomplexity inspect s.safetensors >&-",
    ],
)
def test_a_reader_that_leaves_is_no_failure(folder, pipe):
    done = shell(pipe, folder)
    assert done.stderr == ""
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) <= 1


def test_an_exit_code_survives_a_reader_that_leaves(folder):
    done = shell("kcomplexity inspect missing.npz | true", folder)
    assert done.returncode == 1
    assert done.stderr == ("kcomplexity: error: missing.npz: no such file; check the path\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
@pytest.mark.parametrize(
    "command", ["inspect --json m.safetensors", "score -p fast s.safetensors", "schema score"]
)
def test_a_full_disk_behind_stdout_is_one_line(folder, command):
    done = shell(f"kcomplexity {command} > /dev/full", folder)
    assert done.returncode == 1
    assert done.stderr == (
        "kcomplexity: error: cannot write: No space left on device; make room or send the "
        "result elsewhere\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_notes_that_cannot_be_told_change_nothing(folder):
    done = shell("cp s.safetensors s.npz; kcomplexity inspect s.npz 2> /dev/full", folder)
    assert done.returncode == 0
    assert done.stdout.startswith("s.npz: safetensors, 1 tensor")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("score", "Missing argument 'CHECKPOINT...'"),
        ("score x --xyzzy", "No such option '--xyzzy'"),
        ("score x --threads 0", "Invalid value for '-T' / '--threads': 0 is not in the range"),
        ("score x --max-memory lots", "'lots': expected a size such as 512MiB or 2GB"),
        ("inspect x --dtype F8", "'F8': expected GLOB=CODE, e.g. '*.weight=F8_E4M3'"),
        ("score x --resume", "--resume goes on with a .jsonl file: name it with -o FILE.jsonl"),
        ("inspect x -o found.csv", "found.csv: expected a name that ends in .json"),
        ("report x -o found.json", "found.json: expected a name that ends in .html or .htm"),
        ("plot x -o figures --kind ,", "',': expected names with commas between them"),
    ],
)
def test_a_usage_error_is_one_line_that_says_where_to_read_on(line, message):
    found = run(*line.split(), prog_name="kcomplexity")
    assert found.stderr.startswith("kcomplexity: error: ")
    assert message in found.stderr
    assert found.stderr.endswith(f" (try 'kcomplexity {line.split()[0]} -h')\n")
    assert found.stderr.count("\n") == 1
    assert (found.exit_code, found.stdout) == (2, "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nope", "No such command 'nope' (try 'kcomplexity -h')"),
        ("schema nope", "no schema 'nope': expected one of " + ", ".join(schema_names())),
        ("estimators zstdd", "unknown estimator 'zstdd': did you mean zstd?"),
    ],
)
def test_a_name_that_means_nothing_is_told_with_those_that_do(line, message):
    found = run(*line.split(), prog_name="kcomplexity")
    assert found.stderr == f"kcomplexity: error: {message}\n"
    assert (found.exit_code, found.stdout) == (2, "")


def test_no_command_shows_the_help_and_exits_2():
    found = run(prog_name="kcomplexity")
    assert found.exit_code == 2
    assert found.stderr.startswith("Usage: kcomplexity [OPTIONS] COMMAND")


def test_a_bug_is_one_line_unless_debug_asks_for_more(folder, monkeypatch):
    def broken(*_, **__):
        raise KeyError("w\x1b[31m")

    monkeypatch.setattr(sys.modules["kcomplexity.scoring.score"], "open_selected", broken)
    path = str(folder / "s.safetensors")
    found = run("score", path)
    assert found.exit_code == 1
    assert found.stderr == (
        "kcomplexity: error: KeyError: 'w\\x1b[31m' (a bug: 'kcomplexity --debug ...' shows "
        "where)\n"
    )
    monkeypatch.setattr(sys, "argv", ["kcomplexity", "--debug", "score", path])
    shown = run("--debug", "score", path)
    assert shown.stderr.startswith("Traceback (most recent call last):\n")
    assert shown.stderr.endswith(found.stderr)


@pytest.mark.parametrize(
    ("n_rows", "n_measured", "n_failed", "code", "told"),
    [
        (3, 3, 0, 0, ""),
        (3, 1, 0, 0, ""),
        (3, 1, 2, 3, ""),
        (3, 0, 3, 4, "kcomplexity: nothing was measured: each row gives the reason\n"),
        (0, 0, 0, 4, "kcomplexity: nothing was measured: there is no tensor\n"),
    ],
)
def test_rows_decide_how_a_command_ends(n_rows, n_measured, n_failed, code, told):
    @click.command()
    def ends() -> None:
        end_by_rows(n_rows, n_measured=n_measured, n_failed=n_failed)

    found = CliRunner().invoke(ends, [])
    assert (found.exit_code, found.stderr) == (code, told)


# --- Progress ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("end", [None, KeyboardInterrupt, OSError])
def test_the_line_of_progress_is_gone_however_the_work_ends(monkeypatch, end):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    with suppress(KeyboardInterrupt, OSError), progress_display(quiet=False) as show:
        assert show is not None
        show(Progress("fitting: 2 motifs"))
        show(Progress("fitting: 3 motifs and what a line has no room for"))
        if end is not None:
            raise end
    anew = "\r\x1b[K"
    assert shown.getvalue() == f"{anew}fitting: 2 motifs{anew}fitting: 3 motifs a{anew}"


def test_there_is_no_line_of_progress_without_a_terminal_or_with_quiet(monkeypatch, capsys):
    with progress_display(quiet=False) as show:
        assert show is None
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    with progress_display(quiet=True) as show:
        assert show is None
    assert shown.getvalue() == capsys.readouterr().err == ""


def test_a_known_total_draws_a_bar_that_is_erased(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", shown := Terminal())
    with progress_display(quiet=False) as show:
        assert show is not None
        show(Progress("opening"))
        show(Progress("measuring [bold]", 0, 2000))
        show(Progress("measuring [bold]", 1000, 2000))
    assert "measuring [bold]" in shown.getvalue()
    assert "1.0/2.0 kB" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[2K")


# --- Help --------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    yield "", cli
    yield from cli.commands.items()


def examples(command: click.Command) -> list[str]:
    """The examples at the end of a command's help, without what is said about them."""
    lines = (command.epilog or "").partition("Examples:\n")[2].splitlines()
    return [line.strip().partition("   ")[0] for line in lines if line.strip()]


@pytest.mark.parametrize("name", [name for name, _ in commands()])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help_that_ends_with_examples(name, option):
    found = run(*name.split(), option, prog_name="kcomplexity")
    assert (found.exit_code, found.stderr) == (0, "")
    assert all(len(line) <= 100 for line in found.stdout.splitlines())
    last = found.stdout.partition("Examples:\n")[2]
    assert last
    assert all(line.startswith("    kcomplexity ") for line in last.rstrip().splitlines())


def texts(name: str) -> dict[str, set[str]]:
    """The help of an option and the commands that show it."""
    found: dict[str, set[str]] = {}
    for command, one in cli.commands.items():
        for param in one.params:
            if param.name == name and isinstance(param, click.Option):
                found.setdefault(param.help or "", set()).add(command)
    return found


def test_an_option_that_means_the_same_has_one_text():
    assert len(texts("as_json")) == len(texts("threads")) == 1
    by_meaning = {frozenset(commands) for commands in texts("quiet").values()}
    assert by_meaning == {
        frozenset({"inspect", "score", "compare", "trajectory", "fit", "sweep"}),
        frozenset({"convert", "expand"}),
        frozenset({"demo"}),
    }


def test_the_memory_that_help_names_is_that_of_the_library():
    (text,) = texts("max_memory")
    named = text.partition("[default: ")[2].rstrip("]")
    assert Size().convert(named, None, None) == DEFAULT_MAX_MEMORY
    context = cli.commands["score"].make_context("score", ["x"])
    assert context.params["max_memory"] == DEFAULT_MAX_MEMORY


@pytest.mark.parametrize("command", ["score", "compare", "trajectory"])
def test_panels_and_controls_are_completed_from_what_is_registered(command, monkeypatch):
    monkeypatch.setitem(CONTROLS._entries, "signs-of-another-package", CONTROLS["signs"])
    params = {param.name: param for param in cli.commands[command].params}
    context = click.Context(cli.commands[command])

    def completed(name: str, start: str) -> list[str]:
        return [item.value for item in params[name].shell_complete(context, start)]

    assert completed("panel", "") == list(PANELS)
    assert completed("controls", "s") == [
        *("shuffle", "shuffle-rows", "shuffle-cols", "signs", "signs-of-another-package")
    ]
    assert completed("controls", "no") == ["none"]


def test_methods_are_completed_from_what_is_registered(monkeypatch):
    monkeypatch.setitem(FITTERS._entries, "kmedians", FITTERS["kmeans"])
    fit = cli.commands["fit"]
    (method,) = [param for param in fit.params if param.name == "method"]
    found = method.shell_complete(click.Context(fit), "km")
    assert [item.value for item in found] == ["kmeans", "kmedians"]


@pytest.mark.parametrize(
    "example", [example for _, command in commands() for example in examples(command)]
)
def test_every_example_parses(example):
    words = shlex.split(example.partition(" > ")[0])
    assert words.pop(0) == "kcomplexity"
    command = cli.commands[words.pop(0)]
    given = command.make_context("kcomplexity", words).params
    assert given.keys() == {param.name for param in command.params} - {"help"}
