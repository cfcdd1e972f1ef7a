"""``kcomplexity demo`` and ``kcomplexity demo --calibrate``: texts, JSON and exit codes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from click.testing import Result
from jsonschema import Draft202012Validator

from kcomplexity import PANELS
from kcomplexity.calibration import CASES, Answer, Calibrated, CalibrationReport
from kcomplexity.results.provenance import provenance
from kcomplexity.samples import sample_paths
from kcomplexity.schemas import load_schema
from kcomplexity.scoring.score import score
from kcomplexity_cli import demo as module
from tests import run as invoke

WIDTH = 100


run = partial(invoke, "demo")


@pytest.fixture(scope="module")
def page() -> Result:
    return run()


@pytest.fixture(scope="module")
def calibration_page() -> Result:
    return run("--calibrate")


@pytest.fixture
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = tuple(case for case in CASES if case.name in ("constant", "permuted"))
    monkeypatch.setattr("kcomplexity.calibration.run.CASES", chosen)


# --- The pair ------------------------------------------------------------------------------------


def test_demo_ends_well_and_says_nothing_on_stderr(page: Result) -> None:
    assert (page.exit_code, page.stderr) == (0, "")


@pytest.mark.parametrize(
    "text",
    [
        "MLP 64-320-32-10",
        "scikit-learn load_digits",
        "13.1% before, 93.1% after, on held-out images",
        "digits-init.safetensors:",
        "digits-trained.safetensors:",
        "needed at 1% squared weight error",
        "lower = simpler",
        "lower = sparser",
        "This describes these two files; training runs vary.",
        "What to type next:",
        "kcomplexity demo --calibrate",
        str(sample_paths()[0].parent),
    ],
)
def test_demo_says(page: Result, text: str) -> None:
    # Long texts are wrapped; words stay together.
    assert " ".join(text.split()) in " ".join(page.stdout.split())


def test_demo_never_says_significant(page: Result) -> None:
    assert "significant" not in page.stdout


def test_demo_fits_a_terminal(page: Result) -> None:
    own = str(sample_paths()[0].parent)
    assert max(len(line) for line in page.stdout.splitlines() if own not in line) <= WIDTH


def test_the_table_fits_a_terminal_as_rich_draws_it(page: Result) -> None:
    _, _, rest = page.stdout.partition("bits/weight, side information included")
    table = rest.partition("\n\n")[0].splitlines()[1:]
    # Between its seven columns rich leaves three blanks, plain text two; and one at each end.
    assert max(map(len, table)) + 6 + 2 <= WIDTH


def test_demo_shows_every_spec_of_the_default_panel_once(page: Result) -> None:
    first_words = [line.split()[0] for line in page.stdout.splitlines() if line.strip()]
    for spec in PANELS["default"].specs:
        assert first_words.count(spec) == 1, spec


def test_demo_shows_what_score_gives(page: Result) -> None:
    report = score(list(sample_paths()), specs=["entropy:two-part@rd0.1"])
    before, after = (row.bits_per_weight or 0.0 for row in report.summary)
    line = next(x for x in page.stdout.splitlines() if x.startswith("entropy:two-part@rd0.1 "))
    assert line.split()[1:] == [
        "lossy",
        f"{before:.3f}",
        f"{after:.3f}",
        f"{after / before - 1:+.1%}",
        "10.00->10.00",
    ]


def test_what_sees_no_positions_is_not_held_against_shuffles(page: Result) -> None:
    lines = {x.split()[0]: x for x in page.stdout.splitlines() if "@" in x.split(" ")[0]}
    assert "->" not in lines["entropy@sign"]
    assert "->" in lines["bdm2d@sign"]


@pytest.fixture
def two_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONTROL", "shuffle:2")


@pytest.mark.usefixtures("two_shuffles")
def test_quiet_prints_figures_alone() -> None:
    quiet = run("--quiet")
    assert quiet.exit_code == 0
    assert quiet.stdout.startswith("digits-init.safetensors:\n")
    assert "What to type next" not in quiet.stdout
    assert "* " not in quiet.stdout
    assert "\nentropy:two-part@rd0.1 " in quiet.stdout


@pytest.mark.usefixtures("two_shuffles")
def test_json_is_the_report_of_both_files() -> None:
    result = run("--json", "-q")
    document = json.loads(result.stdout)
    Draft202012Validator(load_schema("score")).validate(document)
    assert [info["metadata"]["role"] for info in document["checkpoints"]] == ["init", "trained"]
    by_spec = {
        (row["checkpoint"], row["spec"]): row["controls"]
        for row in document["summary"]
        if row["spec"] == "zstd:9@rd0.1"
    }
    ratios = [controls[0]["ratio"] for controls in by_spec.values()]
    # Initial weights are independent draws: shuffling them changes nothing but zstd's luck, 0.2 %.
    assert ratios[0] == pytest.approx(1, abs=0.006)
    assert ratios[1] < 0.95


# --- Known answers -------------------------------------------------------------------------------


def test_calibrate_meets_all_answers(calibration_page: Result) -> None:
    n = sum(len(case.expect) for case in CASES)
    assert (calibration_page.exit_code, calibration_page.stderr) == (0, "")
    assert calibration_page.stdout.endswith(f"{n} of {n} known answers met\n")


def test_calibrate_shows_each_case_with_its_story(calibration_page: Result) -> None:
    for case in CASES:
        assert f"\n{case.name}: {case.what}\n" in calibration_page.stdout


def test_calibrate_sums_up_what_each_measure_sees(calibration_page: Result) -> None:
    _, _, table = calibration_page.stdout.partition(
        "what each measure sees, and what it does not\n"
    )
    header, *rows = table.splitlines()
    blind, misled = header.index("blind"), header.index("misled")
    gzip_row = next(row for row in rows if row.startswith("gzip@bytes"))
    assert gzip_row[blind:misled].strip() == "repeated, tied"
    assert gzip_row[misled:].strip() == "upcast, signs"
    # The same measure may see one tensor of a case and not the other.
    assert any("rank 1" in row[:blind] and "rank 8" in row[blind:misled] for row in rows)


def test_calibrate_fits_a_terminal(calibration_page: Result) -> None:
    assert max(map(len, calibration_page.stdout.splitlines())) <= WIDTH


def test_tables_fit_a_terminal_as_rich_draws_them() -> None:
    # Measured as nothing: what counts is how wide the cells are.
    results = [
        Calibrated(
            case,
            case.make(np.random.default_rng(0)),
            tuple(Answer.of(known, known.low) for known in case.expect),
        )
        for case in CASES
    ]
    report = CalibrationReport.of(results, provenance("kcomplexity demo", 0, 1, 0.0))
    for table in report.tables():
        widths = [max(map(len, column)) for column in zip(table.names, *table.rows, strict=True)]
        # Three blanks between columns, one at each end.
        assert sum(widths) + 3 * (len(widths) - 1) + 2 <= WIDTH, table.title
        assert len(table.title) <= WIDTH


@pytest.mark.usefixtures("few_cases")
def test_calibrate_json_has_every_answer() -> None:
    result = run("--calibrate", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert [case["name"] for case in document["cases"]] == ["constant", "permuted"]
    assert document["n_met"] == document["n_answers"] == 10
    answer = document["cases"][1]["answers"][2]
    assert (answer["tensor"], answer["spec"], answer["quantity"]) == (
        "blocks",
        "bdm2d@sign",
        "bits",
    )
    assert answer["measured"] == pytest.approx(answer["value"], abs=1e-6)
    assert (answer["met"], answer["sees"], answer["reason"]) == (True, "sees", None)


@pytest.mark.usefixtures("few_cases")
def test_calibrate_quiet_prints_tables_alone() -> None:
    result = run("--calibrate", "-q")
    assert result.stdout.startswith("constant: one value")


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["tables", "json"])
def test_calibrate_fails_when_an_answer_is_not_met(
    monkeypatch: pytest.MonkeyPatch, as_json: tuple[str, ...]
) -> None:
    constant = next(case for case in CASES if case.name == "constant")
    wrong = replace(constant, expect=(replace(constant.expect[0], low=1, high=2),))
    monkeypatch.setattr("kcomplexity.calibration.run.CASES", (wrong,))
    result = run("--calibrate", *as_json)
    assert result.exit_code == 1
    assert result.stderr.startswith("kcomplexity: some known answers are not met")
    if as_json:
        assert json.loads(result.stdout)["n_met"] == 0
    else:
        assert "1.000 to 2.000 NOT" in result.stdout
        assert result.stdout.endswith("0 of 1 known answers met\n")


def test_help_shows_examples() -> None:
    result = run("-h")
    assert result.exit_code == 0
    assert "kcomplexity demo --calibrate" in result.stdout


def test_an_argument_is_a_usage_error() -> None:
    assert run("model.safetensors").exit_code == 2
