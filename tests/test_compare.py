"""A comparison is what its definition says, in records, in words and on the command line."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.errors import SpecError
from kcomplexity.samples import INIT, TRAINED
from kcomplexity.schemas import load_schema
from tests import read_rows, read_tables, run

SPECS = ["zstd:9@q4", "entropy:two-part@q4", "l2", "zstd@bytes"]


def compared(*args, **options) -> Any:
    """Whatever a row leaves out, a test says what it expects of it."""
    return kc.compare(*args, **options)


def arrays(seed, *, ordered=False, scale=1.0):
    rng = np.random.default_rng(seed)
    w, v = (rng.normal(size=shape) * scale for shape in ((48, 40), (30, 20)))
    return {"w": (np.sort(w) if ordered else w).astype("f4"), "v": v.astype("f4")}


@pytest.fixture(scope="module")
def pair():
    return compared(arrays(0), arrays(1, ordered=True), specs=SPECS, controls=["shuffle:6"])


@pytest.fixture(scope="module")
def scores():
    options: Any = {"specs": SPECS, "controls": ["shuffle:6"]}
    return kc.score(arrays(0), **options), kc.score(arrays(1, ordered=True), **options)


def by_spec(rows, spec, tensor=None):
    return next(row for row in rows if row.spec == spec and row.tensor == tensor)


@pytest.mark.parametrize("tensor", ["w", "v", None])
def test_the_three_changes_are_their_definitions_from_two_scores(pair, scores, tensor):
    """Written from the definition, on two runs of `score` that know nothing of each other."""
    row = by_spec(pair.rows if tensor else pair.summary, "zstd:9@q4", tensor)
    before, after = (by_spec(s.rows if tensor else s.summary, "zstd:9@q4", tensor) for s in scores)
    b0, b1 = before.bits, after.bits
    s0, s1 = np.array(before.controls[0].bits), np.array(after.controls[0].bits)
    n = before.n_weights
    assert row.total_change == pytest.approx(b1 / b0 - 1, rel=1e-12)
    assert row.values_change == pytest.approx(s1.mean() / s0.mean() - 1, rel=1e-12)
    expected = (b1 / s1.mean()) / (b0 / s0.mean()) - 1
    assert row.structure_change == pytest.approx(expected, rel=1e-12)
    assert row.values.seeds == pytest.approx(s1 / s0 - 1, rel=1e-12)
    assert row.structure.seeds == pytest.approx((b1 / s1) / (b0 / s0) - 1, rel=1e-12)
    assert row.structure.n_agree == sum((row.structure_change * np.array(row.structure.seeds)) > 0)
    assert (1 + row.total_change) == pytest.approx(
        (1 + row.values_change) * (1 + row.structure_change)
    )
    assert row.total.bits_per_weight == pytest.approx((b1 - b0) / n)
    assert row.total.bits_per_weight == pytest.approx(
        row.values.bits_per_weight + row.structure.bits_per_weight
    )


def test_order_is_found_in_the_tensor_that_was_put_in_order(pair):
    assert by_spec(pair.rows, "zstd:9@q4", "w").structure_change < -0.2
    assert abs(by_spec(pair.rows, "zstd:9@q4", "v").structure_change) < 0.05  # noise
    assert any("arrangement saves" in sentence for sentence in pair.headline)


def test_the_range_is_what_is_left_without_any_one_tensor(pair):
    whole = by_spec(pair.summary, "zstd:9@q4")
    alone = [by_spec(pair.rows, "zstd:9@q4", name) for name in ("v", "w")]
    for name in ("total", "values", "structure"):
        # Two tensors: without one there is the other.
        changes = sorted(getattr(row, f"{name}_change") for row in alone)
        assert getattr(whole, name).leave_one_out == pytest.approx(changes)


def test_a_spec_that_sees_no_order_says_nothing_of_structure(pair):
    row = by_spec(pair.summary, "entropy:two-part@q4")
    assert row.values_change == row.total_change
    assert row.structure_change is None
    assert row.structure is None


def test_statistics_have_values_and_no_bits(pair):
    row = by_spec(pair.rows, "l2", "w")
    assert row.bits is None
    assert row.total_change == pytest.approx(row.value / row.reference_value - 1)
    assert row.values_change is None


def test_a_positional_spec_without_shuffles_has_a_total_alone():
    found = compared(arrays(0), arrays(1), specs=["zstd@bytes"])
    row = found.summary[0]
    assert row.total_change is not None
    assert row.values_change is None
    assert row.total.leave_one_out is not None


def test_the_same_weights_twice_are_told_and_nothing_changed():
    found = compared(arrays(0), arrays(0), specs=SPECS, controls=["shuffle:5"])
    assert [info.path for info in found.checkpoints] == ["<mapping> (1)", "<mapping> (2)"]
    assert "holds the same weights as <mapping> (1)" in found.warnings[0]
    for row in (*found.rows, *found.summary):
        assert row.total_change == 0
        assert row.structure_change in (0, None)
        assert row.unchanged_share == 1
    assert any("no change of the arrangement found above 0.1%" in s for s in found.headline)


def test_unchanged_weights_are_counted():
    before, after = arrays(0), arrays(0)
    after["w"] = after["w"] + np.float32(1)
    found = compared(before, after, specs=["l2"])
    assert [row.unchanged_share for row in found.rows] == [0.0, 1.0]
    assert found.summary[0].unchanged_share == pytest.approx(600 / 2520)


def test_sides_stored_otherwise_are_compared_with_a_warning():
    after = {name: value.astype("f2") for name, value in arrays(0).items()}
    found = compared(arrays(0), after, specs=["zstd@bytes", "entropy@sign"])
    assert "stored as F32 against F16" in found.warnings[0]
    assert found.rows[0].reference_dtype == "F32"
    assert found.rows[0].dtype == "F16"
    assert found.rows[0].unchanged_share is None


def test_a_whole_network_stored_otherwise_is_compared_too():
    after = {name: value.astype("f2") for name, value in arrays(0).items()}
    found = compared(arrays(0), after, specs=["zstd@bytes", "zstd@sign"], scope="model")
    assert [row.spec for row in found.summary] == ["zstd@bytes", "zstd@sign"]
    assert found.rows[0].total_change < -0.4  # half the bytes


def test_no_figure_depends_on_threads():
    options = {"specs": SPECS, "controls": ["shuffle:5"]}
    one = compared(arrays(0), arrays(1), threads=1, **options)
    three = compared(arrays(0), arrays(1), threads=3, **options)
    assert one.rows == three.rows
    assert one.summary == three.summary


def test_no_figure_depends_on_the_kind_of_workers(tmp_path):
    files = [tmp_path / f"{seed}.safetensors" for seed in range(2)]
    for seed, path in enumerate(files):
        save_file(arrays(seed), path)
    options = {"specs": SPECS, "controls": ["shuffle:2"], "conditional": True, "threads": 2}
    threads = compared(*map(str, files), **options)
    processes = compared(*map(str, files), workers="process", **options)
    assert threads.rows == processes.rows
    assert threads.conditional == processes.conditional


def test_a_tensor_that_cannot_be_measured_has_rows_with_the_reason():
    after = arrays(1)
    after["v"][3, 3] = np.nan
    found = compared(arrays(0), after, specs=["entropy@q8"])
    row = by_spec(found.rows, "entropy@q8", "v")
    assert row.status == "skipped"
    assert row.reason.startswith("<mapping> (2): ")
    assert row.total_change is None
    assert found.summary[0].n_weights == 48 * 40  # the same tensors on both sides


def test_a_run_that_diverged_is_told_by_what_is_measured_on_both_sides():
    after = arrays(1)
    after["v"][:] = np.nan
    specs = ["entropy:two-part@rd0.01", "entropy:two-part@bytes/fields"]
    found = compared(arrays(0), after, specs=specs)
    alone = compared({"w": arrays(0)["w"]}, {"w": after["w"]}, specs=specs[:1])
    small = next(text for text in found.headline if text.startswith(f"{specs[0]}: "))
    assert " on 76.2% of the weights; " in small  # 1,920 of 2,520
    assert " in all; " in next(text for text in alone.headline if text.startswith(specs[0]))
    # Only one side has a code with an error for `v`: it is in neither, and that is said.
    lossy = by_spec(found.rows, specs[0], "w")
    assert lossy.reference_bits
    told = (lossy.reference_bits + 2) / 8
    assert f" against {told:.0f} B needed at 1% squared weight error" in found.headline[1]
    assert found.headline[1].endswith("; on 76% of the weights")
    # Codes without loss are of all.
    raw = [by_spec(found.rows, specs[1], name).reference_bits or 0.0 for name in ("w", "v")]
    assert f" against {(sum(raw) + 2) / 8000:.2f} kB needed without loss" in found.headline[2]
    assert "of the weights" not in found.headline[2]


def test_sizes_at_an_error_are_not_told_of_what_starts_as_zeros():
    """A lossy code has nothing to reach for zeros: their successor is not charged without loss."""
    before, after = arrays(0), arrays(1)
    before["v"][:] = 0
    specs = ["entropy:two-part@rd0.01", "zstd@bytes"]
    found = compared(before, after, specs=specs, controls=[])
    alone = [
        kc.score({"w": side["w"]}, specs=specs, controls=[]).rows[0].bits or 0.0
        for side in (before, after)
    ]
    b0, b1 = (f"{(bits + 2) / 8:.0f} B" for bits in alone)
    assert found.headline[1].startswith(f"{b1} against {b0} needed at 1% squared weight error")
    assert found.headline[1].endswith("; on 76% of the weights")
    assert " needed without loss " in found.headline[2]


def basis():
    angle = 2 * np.pi * np.outer(np.arange(65), np.arange(128)) / 128
    return {"stft": np.cos(angle).astype("f4")}


def test_what_was_not_learned_is_in_no_sum_of_arrangement():
    """One matrix is sorted; beside it stand a table, a frozen matrix and a copy."""
    frozen = {"frozen": np.random.default_rng(7).normal(size=(64, 64)).astype("f4")}
    before, after = ({"w": side["w"]} for side in (arrays(0), arrays(1, ordered=True)))
    beside = basis() | frozen
    options: Any = {"specs": ["ctx@rd0.1", "zstd@bytes"], "controls": ["shuffle:3"]}
    alone = compared(before, after, **options)
    found = compared(
        before | beside | {"tied": before["w"].copy()},
        after | beside | {"tied": after["w"].copy()},
        **options,
    )
    for spec in options["specs"]:
        whole, own = (by_spec(one.summary, spec) for one in (found, alone))
        assert whole.n_weights == own.n_weights == 48 * 40
        assert whole.structure_change == pytest.approx(own.structure_change)
        assert whole.values_change == pytest.approx(own.values_change)
    reasons = {row.tensor: row.left_out for row in found.rows if row.spec == "ctx@rd0.1"}
    assert reasons["w"] is None
    assert "one sine" in reasons["stft"]
    assert reasons["frozen"] == "the same on both sides"
    assert reasons["tied"] == "a copy of w"
    (said,) = [text for text in found.headline if text.startswith("left out")]
    assert "left out of histogram and arrangement: 3 tensors" in said
    assert "stft: looks not learned" in said
    assert not any(text.startswith("left out") for text in alone.headline)


def test_what_is_learned_on_one_side_is_compared():
    before = basis() | {"w": arrays(0)["w"]}
    rng = np.random.default_rng(5)
    after = {"stft": rng.normal(size=(65, 128)).astype("f4"), "w": arrays(1)["w"]}
    found = compared(before, after, specs=["ctx@rd0.1"], controls=["shuffle:2"])
    assert [row.left_out for row in found.rows] == [None, None]
    assert found.summary[0].n_weights == sum(w.size for w in after.values())


def test_runs_leave_out_what_all_of_them_share():
    runs = [basis() | arrays(seed) for seed in range(4)]
    options: Any = {"over_runs": True, "specs": ["ctx@rd0.1"], "controls": ["shuffle:2"]}
    found = compared(runs[:2], runs[2:], **options)
    assert [bool(row.left_out) for row in found.rows] == [True, False, False]
    assert found.summary[0].n_weights == 2520
    assert any(text.startswith("left out") for text in found.headline)


def test_where_nothing_was_learned_it_is_compared_all_the_same():
    found = compared(basis(), basis(), specs=["ctx@rd0.1"], controls=["shuffle:2"])
    assert found.summary[0].n_weights == 65 * 128
    assert found.rows[0].left_out is None
    assert "nothing to compare" in found.warnings[0]


def test_sizes_that_are_the_same_are_told_once():
    found = compared(arrays(0), arrays(1), specs=["zstd@bytes"], controls=[])
    assert [text for text in found.headline if "needed" in text] == [found.headline[1]]
    assert "needed without loss" in found.headline[1]


def test_what_is_mostly_without_counterpart_is_warned_of():
    more = arrays(1) | {"late": np.ones((99, 99), "f4")}
    found = compared(arrays(0), more, specs=["l2"])
    assert [text for text in found.warnings if "counterpart" in text] == [
        "39.2 kB of <mapping> (2) have no counterpart, and every figure is of the other 10.1 kB"
    ]
    assert not compared(arrays(0), arrays(1), specs=["l2"]).warnings


@pytest.mark.parametrize("scope", ["group", "model"])
def test_wider_scopes_are_compared_as_one(scope):
    found = compared(arrays(0), arrays(1), specs=["zstd@sign"], scope=scope)
    assert {row.scope for row in found.rows} == {scope}
    assert all(row.total_change is not None for row in found.rows)


def test_several_others_are_each_compared_with_the_reference():
    found = compared(arrays(0), [arrays(1), arrays(2)], specs=["entropy@q4"])
    assert [row.other for row in found.summary] == ["<mapping> (2)", "<mapping> (3)"]
    assert len(found.rows) == 4


# --- An initialisation in place of a reference -------------------------------------------------


def test_an_initialisation_is_drawn_where_there_is_none():
    weights = arrays(1) | {"bias": np.zeros(7, np.float32)}
    found = compared("init:torch", weights, specs=["entropy:two-part@rd0.01"])
    assert found.checkpoints[0].path == "init:torch"
    assert [row.tensor for row in found.rows] == ["w", "v"]
    assert ("bias", "init:torch does not say how it starts") in {
        (one.tensor, one.reason) for one in found.unmatched
    }
    # Uniform levels need fewer bits at a set error than a normal law of whatever width.
    assert found.rows[0].reference_bits_per_weight < found.rows[0].bits_per_weight


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("init:torch:5", "expected one draw of an initialisation: init:torch"),
        ("init:nonsense", "unknown scheme 'nonsense'"),
    ],
)
def test_a_reference_that_is_no_single_draw_is_refused(text, message):
    with pytest.raises(SpecError, match=message):
        compared(text, arrays(1), specs=["l2"])


def test_an_initialisation_of_nothing_it_draws_is_refused():
    with pytest.raises(SpecError, match="no tensor that it draws"):
        compared("init:torch", {"b": np.zeros(3, np.float32)}, specs=["l2"])


# --- Several runs on each side -----------------------------------------------------------------


@pytest.fixture(scope="module")
def runs():
    starts = [arrays(seed) for seed in range(5)]
    ends = [arrays(10 + seed, ordered=True) for seed in range(5)]
    return starts, ends


def test_paired_runs_give_the_t_interval_of_the_log_ratios(runs):
    found = compared(*runs, over_runs=True, specs=["zstd:9@q4"], controls=["shuffle:5"])
    row = by_spec(found.summary, "zstd:9@q4")
    bits = [
        [kc.score(weights, specs=["zstd:9@q4"]).summary[0].bits or 0.0 for weights in side]
        for side in runs
    ]
    steps = np.log(bits[1]) - np.log(bits[0])
    half = 2.7764451051977987 * steps.std(ddof=1) / math.sqrt(5)  # t(.975; 4), from a table
    assert row.paired
    assert row.total_change == pytest.approx(math.expm1(steps.mean()))
    assert row.total.interval == pytest.approx(
        (math.expm1(steps.mean() - half), math.expm1(steps.mean() + half))
    )
    assert row.total.runs == pytest.approx(np.expm1(steps))
    assert row.structure.differs is True
    assert row.structure.interval[1] < 0
    assert row.structure.n_agree == 5
    assert any("differs" in sentence and "n = 5" in sentence for sentence in found.headline)


def test_unequal_numbers_of_runs_are_not_paired(runs):
    found = compared(runs[0], runs[1][:3], over_runs=True, specs=["entropy@q4"])
    row = found.summary[0]
    assert row.paired is False
    assert (row.n_references, row.n_others) == (5, 3)
    assert row.total.interval is not None
    assert row.total.differs is None  # three runs carry no verdict
    assert any("fewer than 5 runs: no verdict" in sentence for sentence in found.headline)


def test_runs_alike_show_no_difference(runs):
    found = compared(runs[0], [arrays(20 + i) for i in range(5)], over_runs=True, specs=["l2"])
    assert found.summary[0].total.differs is False


def test_runs_that_cannot_be_paired_are_refused(runs):
    with pytest.raises(SpecError, match="5 runs cannot be paired with 3"):
        compared(runs[0], runs[1][:3], over_runs=True, paired=True)
    with pytest.raises(SpecError, match="5 references were given"):
        compared(runs[0], runs[1])


# --- The command and the documents -------------------------------------------------------------


def test_the_demo_pair_gives_the_sentence_the_table_and_a_document_of_its_schema(tmp_path):
    output = tmp_path / "changes.json"
    args = ["compare", str(INIT), str(TRAINED), "-e", "zstd:9@q4,bdm2d@sign"]
    shown = run(*args, "--control", "shuffle:19", "-T", "2")
    assert shown.exit_code == 0, shown.stderr
    text = shown.stdout
    assert "digits-trained.safetensors against digits-init.safetensors, lower = simpler:" in text
    for words in (
        "arrangement saves",
        "histogram saves",
        "bits/weight",
        "19 of 19 shuffles agree",
        "when any one tensor is left out",
        "the largest tensor, layers.0.weight, holds 65% of the weights",
        "describes these two files; training runs vary",
        "changed most (zstd:9@q4)",
        "skipped: 3 tensors (layers.0.bias, ",
    ):
        assert words in text, words
    assert "significant" not in text
    printed = run(*args, "--json")
    document = json.loads(printed.stdout)
    Draft202012Validator(load_schema("compare")).validate(document)
    saved = run(*args, "-q", "-o", str(output))
    assert saved.exit_code == 0
    assert json.loads(output.read_text())["rows"] == document["rows"]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_format_is_written(pair, tmp_path, kind):
    path = tmp_path / f"changes.{kind}"
    pair.save(path)
    rows = read_rows(path)
    assert len(rows) == len(pair.rows) > 0
    assert float(rows[0]["structure_change"]) == pair.rows[0].structure_change


def test_a_page_of_markdown_has_every_row(pair, tmp_path):
    pair.save(tmp_path / "changes.md")
    whole, _changed_most, rows = read_tables(tmp_path / "changes.md")
    assert (len(whole), len(rows)) == (len(pair.summary), len(pair.rows))
    assert rows[0]["arrangement"] == f"{pair.rows[0].structure_change:+.1%}"


def test_rows_become_a_data_frame_and_a_notebook_table(pair):
    frame = pair.to_pandas()
    assert len(frame) == len(pair.rows)
    assert "structure_change" in frame
    assert "<table>" in pair._repr_html_()


def test_runs_by_globs_on_the_command_line(tmp_path):
    for side, ordered in (("init", False), ("end", True)):
        for seed in range(2):
            save_file(arrays(seed, ordered=ordered), tmp_path / f"{side}-{seed}.safetensors")
    sides = [str(tmp_path / f"{side}-*.safetensors") for side in ("init", "end")]
    args = ["--reference-runs", sides[0], "--runs", sides[1], "-e", "zstd:9@q4"]
    result = run("compare", *args, "--control", "shuffle:5")
    assert result.exit_code == 0, result.stderr
    assert "2 runs against 2 runs" in result.stdout
    assert "fewer than 5 runs: no verdict" in result.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a.npz"], "expected REFERENCE and OTHER"),
        ([], "expected REFERENCE and OTHER"),
        (["--reference", "init:torch"], "OTHER is missing"),
        (["a", "b", "--paired"], "--reference-runs and --runs"),
        (["--runs", "a"], "go together"),
        (["a", "--runs", "a", "--reference-runs", "b"], "with --runs"),
        (["a", "b", "--rename", "x"], "expected PATTERN=REPLACEMENT"),
    ],
)
def test_wrong_usage_is_one_message_and_exit_code_2(args, words):
    result = run("compare", *args)
    assert result.exit_code == 2
    assert words in result.stderr


def test_nothing_measured_is_exit_code_4(tmp_path):
    for name in ("a", "b"):
        save_file({"mask": np.ones(4, bool)}, tmp_path / f"{name}.safetensors")
    files = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b")]
    result = run("compare", *files, "-e", "entropy@q8", "-q")
    assert result.exit_code == 4
    assert result.stderr == "kcomplexity: nothing was measured: each row gives the reason\n"


def test_sizes_of_codes_at_other_errors_say_at_which() -> None:
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    peaked = flat.copy()
    peaked[0, 0] = 20  # the same weights on a coarser grid
    found = kc.compare({"w": flat}, {"w": peaked}, specs=["entropy:two-part@q8"])
    (size,) = (text for text in found.headline if " needed " in text)
    errors = [row.relative_mse or 0.0 for row in found.rows]
    before = kc.score({"w": flat}, specs=["entropy:two-part@q8"]).rows[0].relative_mse or 0.0
    assert f"at squared weight errors of {100 * errors[0]:.2g}% against {100 * before:.2g}%" in size
    assert "1% squared weight error" not in size


def test_a_larger_error_is_told_with_what_it_is_worth():
    """A few outliers widen the step of q4."""
    rng = np.random.default_rng(0)
    before = rng.uniform(-1, 1, (64, 64)).astype("f4")
    after = before.copy()
    after.flat[:4] = 3
    told = kc.compare({"w": before}, {"w": after}, specs=["zstd:9@q4"]).headline
    (said,) = (text for text in told if text.startswith("zstd"))
    errors = [
        row["relative_mse"]
        for row in kc.score([{"w": before}, {"w": after}], specs=["zstd:9@q4"]).to_dict()["rows"]
    ]
    shift = np.log2(errors[1] / errors[0]) / 2
    assert f"which is worth {shift:.2f} bits/weight" in said
    same = kc.compare({"w": before}, {"w": before[::-1].copy()}, specs=["zstd:9@q4"]).headline
    assert not any("which is worth" in text for text in same)
