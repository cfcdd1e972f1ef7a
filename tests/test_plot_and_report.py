"""``kcomplexity plot``, ``report`` and ``score --plot``; reading results back; bars in tables."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.errors import ResultError
from kcomplexity.report.reading import read_metric, read_result
from kcomplexity.report.table import Column, Table
from kcomplexity.report.writers import jsonl_bytes
from kcomplexity.samples import INIT, TRAINED
from kcomplexity_cli.bars import bars, can_show
from kcomplexity_cli.terminal import plain_text
from tests import run
from tests.results import HOSTILE, score_result, trajectory_result


@pytest.fixture
def result(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(score_result(5)))
    return path


# --- The commands -----------------------------------------------------------------------------


def test_score_then_plot_then_report(tmp_path):
    scores, folder, page = tmp_path / "r.json", tmp_path / "figs", tmp_path / "report.html"
    scored = run("score", TRAINED, "-q", "-e", "entropy:two-part@rd0.01,nonzero", "--json")
    scores.write_text(scored.stdout)
    plotted = run("plot", scores, "-o", folder)
    assert (plotted.exit_code, plotted.stderr) == (0, "")
    assert plotted.stdout.splitlines() == [
        str(folder / f"{name}.png") for name in ("bits", "rates", "histogram")
    ]
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv"] * 3 + [".png"] * 3
    reported = run("report", scores, "-o", page)
    assert (reported.exit_code, reported.stdout, reported.stderr) == (0, f"{page}\n", "")
    assert page.read_text().startswith("<!doctype html>")


def test_plot_draws_the_kinds_and_formats_asked_for(result, tmp_path):
    folder = tmp_path / "figs"
    arguments = ["--kind", "bits, streams", "--format", "svg,pdf", "--theme", "paper"]
    assert run("plot", result, "-o", folder, *arguments).exit_code == 0
    names = {path.name for path in folder.iterdir()}
    fields = "streams-entropy-two-part-bytes-fields"
    assert names == {f"{a}.{b}" for a in ("bits", fields) for b in ("svg", "pdf", "csv")}


def test_the_same_result_gives_the_same_files(result, tmp_path):
    for name in ("a", "b"):
        assert run("plot", result, "-o", tmp_path / name, "--format", "svg,png").exit_code == 0
        assert run("report", result, "-o", tmp_path / f"{name}.html").exit_code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_metric_is_drawn_beside_a_trajectory(tmp_path):
    record = trajectory_result()
    del record["metric"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "m.csv").write_text("loss,step\n0.9,0\n0.5,250\n0.4,500\nnan,750\n")
    arguments = ["-o", tmp_path, "--kind", "trajectory", "--metric", tmp_path / "m.csv"]
    assert run("plot", tmp_path / "run.json", *arguments).exit_code == 0
    lines = (tmp_path / "trajectory-zstd-9-q4.csv").read_text().splitlines()
    assert lines[0].endswith("metric: loss")
    assert lines[2] == "250.0,,,,0.5"
    assert float(lines[3].split(",")[-1]) == 0.4


def test_list_tells_what_can_be_drawn_and_what_the_others_need(result):
    done = run("plot", result, "--list")
    assert done.exit_code == 0
    assert re.search(r"(?m)^bits +.* +1$", done.stdout)
    assert re.search(r"(?m)^scatter .*needs rows\[\].reference_bits \(compare\)$", done.stdout)


def test_a_result_can_come_from_another_command(result, tmp_path):
    arguments = ["plot", "-", "-o", str(tmp_path / "f"), "--kind", "bits"]
    done = run(*arguments, input=result.read_bytes())
    assert done.stdout == f"{tmp_path / 'f' / 'bits.png'}\n"


def test_without_a_folder_it_is_an_error_of_usage(result):
    done = run("plot", result)
    assert done.exit_code == 2
    assert "name the folder of the pictures with -o DIR" in done.stderr


def test_a_kind_the_result_has_not_is_one_line(result, tmp_path):
    done = run("plot", result, "-o", tmp_path / "f", "--kind", "motifs")
    assert done.exit_code == 1
    assert done.stderr == (
        "kcomplexity: error: nothing to draw: motifs needs motifs.values and motifs.counts (fit)\n"
    )
    assert not (tmp_path / "f").exists()


def test_of_several_kinds_those_that_cannot_be_drawn_are_told(result, tmp_path):
    done = run("plot", result, "-o", tmp_path / "f", "--kind", "motifs,bits")
    assert done.exit_code == 0
    assert done.stdout == f"{tmp_path / 'f' / 'bits.png'}\n"
    assert done.stderr == (
        "kcomplexity: not drawn: motifs needs motifs.values and motifs.counts (fit)\n"
    )


@pytest.mark.parametrize("kind", [[], ["--kind", "bits"]])
def test_a_metric_that_no_figure_shows_is_told(result, tmp_path, kind):
    (tmp_path / "m.csv").write_text("step,loss\n0,1\n")
    done = run("plot", result, "-o", tmp_path / "f", "--metric", tmp_path / "m.csv", *kind)
    assert done.exit_code == 0
    assert done.stderr.startswith("kcomplexity: --metric is not drawn: ")
    assert done.stderr.count("\n") == 1


def test_a_hostile_name_reaches_no_terminal(tmp_path):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(score_result(3, [HOSTILE, "a.weight", "b.weight"])))
    done = run("plot", path, "-o", tmp_path / "f", "--format", "png,svg,pdf")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout


def test_score_plots_as_it_goes(tmp_path):
    arguments = ["-q", "-e", "entropy:two-part@rd0.01", "--plot", tmp_path / "figs"]
    done = run("score", TRAINED, *arguments)
    assert done.exit_code == 0
    assert str(tmp_path / "figs" / "bits.png") in done.stdout.splitlines()
    whole = run("score", TRAINED, *arguments, "--json")
    assert "bits.png" not in whole.stdout
    assert json.loads(whole.stdout)["rows"]
    command = json.loads(whole.stdout)["provenance"]["command"]
    assert "--plot" not in command, "where pictures go changes no figure"


@pytest.mark.parametrize(
    ("command", "figure"),
    [
        (("compare", INIT, TRAINED, "-p", "fast"), "scatter"),
        (("trajectory", INIT, TRAINED, "-p", "fast", "--no-cache"), "bits"),
        (("fit", TRAINED, "--capacity", "0.05"), "motifs"),
        (("sweep", TRAINED, "--errors", "0.1", "--capacities", "0.05"), "rates"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_other_commands_plot_as_they_go(tmp_path, command, figure):
    target = () if command[0] == "sweep" else ("-o", tmp_path / "out.json")
    target = ("-o", tmp_path / "out.safetensors") if command[0] == "fit" else target
    done = run(*command, *target, "--plot", tmp_path / "figs")
    assert done.exit_code == 0
    assert str(tmp_path / "figs" / f"{figure}.png") in done.stdout.splitlines()


def test_a_report_is_not_written_over_a_result(result, tmp_path):
    before = result.read_bytes()
    link = tmp_path / "link.html"
    link.symlink_to(result)
    for output, message in (
        (result, "expected a name that ends in .html or .htm"),
        (tmp_path / "other.json", "ends in .html"),
        (tmp_path / "none", "ends in .html"),
        (link, "is the input: give the output another name"),
        (tmp_path / "gone" / "r.html", "there is no folder"),
    ):
        done = run("report", result, "-o", output)
        assert done.exit_code == (2 if ".html" in message else 1)
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "r.json"]
    assert result.read_bytes() == before


def test_pictures_are_not_drawn_over_what_they_are_of(tmp_path):
    path = tmp_path / "bits.csv"
    path.write_text(json.dumps(score_result(3)))
    before = path.read_bytes()
    done = run("plot", path, "-o", tmp_path)
    assert done.exit_code == 1
    assert "bits.csv is the input" in done.stderr
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["bits.csv"]
    done = run("plot", path, "-o", tmp_path / "gone" / "figures")
    assert done.exit_code == 2
    assert f"there is no folder {tmp_path / 'gone'} (try " in done.stderr


# --- Reading ----------------------------------------------------------------------------------


def test_json_and_json_lines_hold_the_same(tmp_path):
    report = kc.score({"a": np.arange(9.0), "b": np.eye(3)}, panel="fast")
    (tmp_path / "r.json").write_text(json.dumps(report.to_dict()))
    (tmp_path / "r.jsonl").write_bytes(jsonl_bytes(report))
    assert read_result(tmp_path / "r.json") == read_result(tmp_path / "r.jsonl")
    assert read_result(tmp_path / "r.json") == report.to_dict()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: expected what a command prints with --json"),
        ("  \n", "is empty"),
        ("not json", "is not JSON"),
        ('{"schema_version": 1', "is not JSON"),
        ('{"schema_version": NaN}', "NaN is not a number in JSON"),
        ("[1, 2]", "is not a result: it has no schema_version"),
        ('{"rows": []}', "is not a result: it has no schema_version"),
        ('{"schema_version": 99}', "has schema version 99, this version of kcomplexity reads 1 to"),
        ('{"schema_version": "1"}', "has schema version '1'"),
        ('{"record": "plan"}\n{"record": "row"}\n', "not a record of a result, but 'plan'"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not text: expected what a command prints with --json"),
    ],
)
def test_a_file_that_is_not_a_result_is_one_line(text, message, tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ResultError, match=re.escape(message)):
        read_result(path)
    for command in (
        ["plot", path, "-o", tmp_path / "f"],
        ["report", path, "-o", tmp_path / "x.html"],
    ):
        done = run(*command)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"kcomplexity: error: {path}")
        assert done.stderr.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json"]


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ResultError, match="No such file"):
        read_result(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected CSV with a header line"),
        ("step\n1\n", "expected two columns, a step and a metric"),
        ("step,loss\n1,low\n", "line 2: '1,low': expected a step and a number"),
        ("step,loss\n1\n", "line 2: '1': expected a step and a number"),
    ],
)
def test_a_metric_that_is_none_is_told(text, message, tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(ResultError, match=re.escape(message)):
        read_metric(path)


# --- Bars -------------------------------------------------------------------------------------


def test_bars_are_as_long_as_their_numbers():
    assert bars(["8", "4.0000 ± 1", "", "0", "-3", "x", "1"], 8) == [
        "████████",
        "████",
        "",
        "",
        "",
        "",
        "█",
    ]
    assert bars([], 8) == []
    assert bars(["0", "0"]) == ["", ""]


def test_bars_are_left_out_where_they_cannot_be_shown():
    assert can_show("utf-8")
    assert not can_show("ascii")
    assert not can_show("latin-1")
    assert not can_show("no such encoding")


WITH_BARS = (Column("name"), Column("bits", numeric=True, bar=True))


def test_plain_text_has_no_bars():
    table = Table("t", WITH_BARS, (("a", "2.0"), ("b", "1.0")))
    assert plain_text(table) == "t\nname  bits\na      2.0\nb      1.0\n"


def test_a_terminal_shows_bars(monkeypatch, capsys):
    from kcomplexity_cli import terminal

    table = Table("t", WITH_BARS, (("a", "2.0"), ("b", "1.0")))
    monkeypatch.setattr("rich.console.Console.encoding", "utf-8")
    terminal._print_rich(table)
    lines = capsys.readouterr().out.splitlines()
    assert any("2.0  ████████████" in line for line in lines)
    assert any("1.0  ██████ " in line for line in lines)
    monkeypatch.setattr("rich.console.Console.encoding", "ascii")
    terminal._print_rich(table)
    assert "█" not in capsys.readouterr().out
