"""Every result is saved and loaded back as it was, in JSON and in JSON lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import kcomplexity as kc
from kcomplexity.bounds.bounding import bound_by_methods
from kcomplexity.bounds.descriptions import Description
from kcomplexity.bounds.generalisation import METHODS
from kcomplexity.calibration import CASES, CalibrationReport, calibrate
from kcomplexity.errors import ResultError
from kcomplexity.inspection.inspecting import inspect_checkpoint
from kcomplexity.inspection.records import InspectionReport
from kcomplexity.report.tables import TABLES, page_tables, tables, whole_tables
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import plain, rebuilt, versioned
from kcomplexity.results.provenance import provenance
from kcomplexity.results.reading import KINDS, kind_of, read_document
from tests import run


def weights(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    odd = np.full((9, 9), np.nan, np.float32)
    return {"a.w": rng.normal(size=(64, 32)).astype(np.float32), "odd": odd, "n": np.arange(5)}


def results() -> dict[str, Document]:
    start, end = weights(0), weights(1) | {"new": np.ones(3)}
    how: dict[str, Any] = {
        "specs": ["zstd:9@q4", "entropy:two-part@rd0.1", "l2"],
        "controls": ["shuffle:2"],
    }
    made = provenance("a command", 0, 1, 0.0)
    with kc.open_checkpoint(start) as checkpoint:
        inspected = [inspect_checkpoint(checkpoint, values=values) for values in (True, False)]
    bits = Description("as given", 8488.1)
    return {
        "score": kc.score(start, **how),
        "score-of-nothing": kc.score({}, panel="fast"),
        "compare": kc.compare(start, end, conditional=True, **how),
        "compare-alike": kc.compare(start, weights(1), specs=["l2"]),
        "conditional": kc.conditional(start, end),
        "trajectory": kc.trajectory([start, weights(1)], cache=False, **how),
        "bound": bound_by_methods(bits, 0.1, 50_000, METHODS, classes=10),
        "calibrate": CalibrationReport.of(calibrate(CASES[:2]), made),
        "inspect": InspectionReport(checkpoints=tuple(inspected)),
    }


@pytest.fixture(scope="module")
def made() -> dict[str, Document]:
    return results()


NAMES = (
    *("score", "score-of-nothing", "compare", "compare-alike", "conditional", "trajectory"),
    *("bound", "calibrate", "inspect"),
)


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded_is_what_was_saved(made, name, ending, tmp_path):
    result = made[name]
    path = tmp_path / f"r.{ending}"
    result.save(path)
    assert kind_of(read_document(path)) == result.kind
    loaded = type(result).load(path)
    assert loaded.to_dict() == result.to_dict()
    # NaN is null in JSON; nothing else may differ.
    assert loaded == result


@pytest.mark.parametrize("name", NAMES)
def test_every_result_has_tables_rows_and_remarks(made, name):
    result = made[name]
    document = result.to_dict()
    assert result.tables() == tables(document)
    for table in (*tables(document), *whole_tables(document), *page_tables(document)):
        assert {len(row) for row in table.rows} <= {len(table.columns)}, table.title
    assert "<table>" in result._repr_html_() or name == "score-of-nothing"
    assert all("\n" not in line for line in result.remarks())
    for row in result.records():
        assert list(row) == result.columns()


def test_there_are_tables_for_every_kind():
    assert {*TABLES, "tracker"} == set(KINDS)


def test_another_kind_of_result_is_refused_by_both_names(made, tmp_path):
    path = tmp_path / "r.json"
    made["compare"].save(path)
    with pytest.raises(ResultError) as caught:
        kc.Report.load(path)
    assert str(caught.value) == f"{path} is the result of 'compare': expected one of 'score'"


def test_keys_of_a_later_version_are_ignored_and_missing_ones_named(made, tmp_path):
    path = tmp_path / "r.json"
    document = made["score"].to_dict()
    document["rows"][0]["of a later version"] = document["of a later version"] = {"a": 1}
    path.write_text(json.dumps(document))
    assert kc.Report.load(path) == made["score"]
    del document["rows"][0]["spec"]
    path.write_text(json.dumps(document))
    with pytest.raises(ResultError, match=r"a field is not what the schema score says .*'spec'"):
        kc.Report.load(path)
    path.write_text(json.dumps(document | {"rows": 5}))
    with pytest.raises(ResultError, match="make the result again"):
        kc.Report.load(path)


# --- Any record --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leaf:
    name: str
    value: float | None
    shape: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Tree(Document):
    leaf: Leaf
    leaves: tuple[Leaf, ...]
    ends: tuple[float, float] | None
    by_name: dict[str, Leaf]
    pairs: tuple[tuple[float, float], ...]
    schema_version: int = 1
    kind: ClassVar[str] = "score"


floats = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.builds(
    Leaf,
    name=st.text(),
    value=st.none() | floats,
    shape=st.none() | st.lists(st.integers()).map(tuple),
)
pairs = st.tuples(floats, floats)


@given(
    st.builds(
        Tree,
        leaf=leaves,
        leaves=st.lists(leaves).map(tuple),
        ends=st.none() | pairs,
        by_name=st.dictionaries(st.text(), leaves),
        pairs=st.lists(pairs).map(tuple),
        schema_version=st.just(1),
    )
)
def test_a_record_is_rebuilt_from_its_json(tree):
    document = json.loads(json.dumps(versioned(tree)))
    assert rebuilt(Tree, document) == tree
    assert plain(rebuilt(Tree, document)) == plain(tree)


# --- The file of a Tracker ---------------------------------------------------------------------


@pytest.fixture
def tracked(tmp_path):
    path = tmp_path / "log.jsonl"
    with kc.Tracker(path, specs=["zstd:9@q4", "l2"], controls=["shuffle:2"]) as track:
        for step in (10, 20, 30):
            track({"w": weights(0)["a.w"] * np.linspace(0, 1, 32, dtype="f4") ** step}, step=step)
    return path


def test_a_tracker_file_has_the_tables_of_a_trajectory(tracked):
    steps, trends, _ = tables(read_document(tracked))
    assert [row[0] for row in steps.rows] == ["10", "20", "30"]
    assert {row[0] for row in trends.rows} == {"zstd:9@q4", "zstd:9@q4 / shuffled", "l2"}
    at = trends.names.index("tau")
    assert {row[0]: row[at] for row in trends.rows}["zstd:9@q4"] == "-1.00"


def test_a_tracker_file_is_drawn_reported_and_shown(tracked, tmp_path):
    drawn = run("plot", tracked, "-o", tmp_path / "f", "--format", "svg")
    assert drawn.stdout == f"{tmp_path / 'f' / 'trajectory-zstd-9-q4.svg'}\n"
    page = tmp_path / "r.html"
    assert run("report", tracked, "-o", page).exit_code == 0
    assert "trends of the whole" in page.read_text()
    shown = run("trajectory", tracked)
    assert shown.exit_code == 0
    assert "zstd:9@q4 / shuffled" in shown.stdout
    refused = run("bound", tracked, "--train-error", "0.1", "--samples", "100")
    assert refused.exit_code == 2
    assert "is the result of 'kcomplexity.Tracker'" in refused.stderr


def test_one_call_of_a_tracker_is_a_result_too(tracked, tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text(tracked.read_text().splitlines()[0])
    assert [row[0] for row in tables(read_document(path))[0].rows] == ["10"]


def test_a_trajectory_is_shown_again_and_other_results_are_refused(made, tmp_path):
    path, other = tmp_path / "run.jsonl", tmp_path / "scores.json"
    made["trajectory"].save(path)
    made["score"].save(other)
    shown = run("trajectory", path, "--all")
    assert shown.exit_code == 0
    assert "every series" in shown.stdout
    refused = run("trajectory", other)
    assert refused.exit_code == 1
    assert f"{other} is the result of 'score': expected" in refused.stderr
    assert refused.stderr.count("\n") == 1


@given(st.dictionaries(st.text(), st.none() | st.text() | st.integers() | floats))
@example({"": "0"})
def test_a_tracker_file_of_anything_is_shown_or_refused(values):
    call = values | {"step": 1, "seconds": 0.5, "n_weights": 9}
    try:
        made = tables({"schema_version": 1, "calls": [call]})
    except ResultError:
        return
    assert made
