"""The JSON Schemas describe what is written: every record, report and field."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.bounds.bounding import BoundReport
from kcomplexity.bounds.generalisation import Bound
from kcomplexity.calibration import CASES, CalibrationReport, calibrate
from kcomplexity.comparison.align import Unmatched
from kcomplexity.comparison.changes import Change, Effect
from kcomplexity.comparison.compare import Comparison
from kcomplexity.comparison.conditional import Conditional
from kcomplexity.comparison.conditional_bits import ConditionalBits
from kcomplexity.errors import SpecError
from kcomplexity.estimators.statistics import L2
from kcomplexity.inspection.inspecting import inspect_checkpoint
from kcomplexity.inspection.records import (
    DtypeInfo,
    FileInfo,
    Inspection,
    InspectionReport,
    LayerInfo,
    TensorInfo,
    ValueInfo,
)
from kcomplexity.mosaics.fit_report import Dictionary, FitReport, Gain, TensorFit, Usage
from kcomplexity.results.control_results import ControlResult, SummedControl
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import provenance
from kcomplexity.results.records import CheckpointInfo, Provenance, Report, Score
from kcomplexity.schemas import load_schema, schema_names
from kcomplexity.sweeps.sweep import SweepPoint, SweepReport
from kcomplexity.tensors.pieces import FRAME
from kcomplexity.training.series import Series, StepScore
from kcomplexity.training.steps import Step
from kcomplexity.training.trajectory import Trajectory
from tests import run


def validate(name: str, document: Any) -> None:
    """Check a document against its schema, as JSON would carry it."""
    text = json.dumps(document, allow_nan=False)
    Draft202012Validator(load_schema(name)).validate(json.loads(text))


def parts(schema: Any):
    """Yield every mapping in a schema, at any depth."""
    if isinstance(schema, dict):
        yield schema
    if isinstance(schema, dict | list):
        for part in schema.values() if isinstance(schema, dict) else schema:
            yield from parts(part)


# --- The schemas themselves -------------------------------------------------------------------


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_a_schema(name):
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:kcomplexity:schema:{name}:{SCHEMA_VERSION}"
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize("name", schema_names())
def test_every_schema_is_complete_and_defines_what_it_uses_and_nothing_else(name):
    schema = load_schema(name)
    references = {ref for part in parts(schema) if (ref := part.get("$ref"))}
    assert references == {f"#/$defs/{definition}" for definition in schema["$defs"]}
    assert all("extends" not in part for part in parts(schema))


def test_shared_definitions_are_no_document():
    with pytest.raises(SpecError, match="no schema 'shared'"):
        load_schema("shared")


@pytest.mark.parametrize("name", schema_names())
def test_records_are_closed_and_complete(name):
    for record in parts(load_schema(name)):
        if record.get("type") == "object" and "properties" in record:
            assert record["additionalProperties"] is False
            assert set(record["required"]) <= set(record["properties"])


@pytest.mark.parametrize(
    ("name", "definition", "record"),
    [
        ("score", None, Report),
        ("score", "provenance", Provenance),
        ("score", "checkpoint", CheckpointInfo),
        ("score", "score", Score),
        ("score", "control", ControlResult),
        ("bound", None, BoundReport),
        ("bound", "bound", Bound),
        ("calibrate", None, CalibrationReport),
        ("inspect", None, InspectionReport),
        ("calibrate", "provenance", Provenance),
        ("compare", None, Comparison),
        ("compare", "change", Change),
        ("compare", "given", ConditionalBits),
        ("conditional", None, Conditional),
        ("conditional", "given", ConditionalBits),
        ("compare", "effect", Effect),
        ("compare", "unmatched", Unmatched),
        ("compare", "provenance", Provenance),
        ("compare", "checkpoint", CheckpointInfo),
        ("trajectory", None, Trajectory),
        ("trajectory", "step", Step),
        ("trajectory", "step_score", StepScore),
        ("trajectory", "series", Series),
        ("trajectory", "provenance", Provenance),
        ("trajectory", "checkpoint", CheckpointInfo),
        ("fit", None, FitReport),
        ("fit", "gain", Gain),
        ("fit", "usage", Usage),
        ("fit", "dictionary", Dictionary),
        ("fit", "tensor", TensorFit),
        ("sweep", None, SweepReport),
        ("sweep", "point", SweepPoint),
        ("inspect", "checkpoint", Inspection),
        ("inspect", "file", FileInfo),
        ("inspect", "dtype", DtypeInfo),
        ("inspect", "layer", LayerInfo),
        ("inspect", "tensor", TensorInfo),
        ("inspect", "values", ValueInfo),
    ],
)
def test_a_schema_has_exactly_the_fields_of_its_record(name, definition, record):
    schema = load_schema(name)
    described = schema if definition is None else schema["$defs"][definition]
    names = {field.name for field in fields(record)}
    assert set(described["required"]) == names
    # The summary says over how many tensors a control's bits are summed.
    whole = SummedControl if record is ControlResult else record
    assert set(described["properties"]) == {field.name for field in fields(whole)}


def test_every_field_of_a_score_is_described_in_words():
    for name, field in load_schema("score")["$defs"]["score"]["properties"].items():
        assert "description" in field or name in {"n_weights", "status"}


# --- What is really written -------------------------------------------------------------------


@pytest.fixture(scope="module")
def arrays():
    """Tensors that are measured, skipped, or both."""
    rng = np.random.default_rng(0)
    broken = rng.normal(size=40).astype(np.float32)
    broken[7] = np.nan
    return {
        "layers.0.w": rng.normal(size=(40, 30)).astype(np.float32),
        "layers.1.w": rng.normal(size=(40, 30)).astype(np.float16),
        "mask\n": rng.random(50) < 0.5,
        "broken": broken,
        "scalar": np.float32(2),
        "zero": np.zeros(9, np.float32),
        "empty": np.zeros((0, 4), np.float32),
        "opaque": np.zeros(6, "V3"),
    }


SPECS = [
    "zstd@bytes",
    "zstd@bytes/planes",
    "entropy@q8",
    "entropy:two-part@rd0.01",
    "entropy@words",
    "block-entropy@q4",
    "nonzero",
    "l2",
]


@pytest.mark.parametrize("scope", ["tensor", "group", "model"])
def test_a_report_with_controls_and_skipped_rows_is_valid(arrays, scope):
    controls = ["shuffle:3", "signs:5", "init:normal:1"]
    report = kc.score(arrays, specs=SPECS, controls=controls, scope=scope)
    statuses = {row.status for row in report.rows}
    assert {"ok", "skipped"} <= statuses
    assert any(row.controls for row in report.rows)
    validate("score", report.to_dict())


def test_a_report_with_failed_rows_is_valid(arrays, monkeypatch):
    def fail(self: L2, *rest: object) -> None:
        raise ZeroDivisionError("no reason at all")

    monkeypatch.setattr(L2, "measure", fail)
    report = kc.score({"w": arrays["layers.0.w"]}, specs=["l2", "nonzero"])
    assert [row.status for row in report.rows] == ["failed", "ok"]
    validate("score", report.to_dict())


def test_a_sampled_report_is_valid():
    weights = np.zeros(3 * FRAME, np.int8)
    weights[: FRAME + 5] = 1
    report = kc.score({"w": weights}, specs=["zstd@bytes"], sample=0.5)
    assert report.rows[0].se_bits is not None
    validate("score", report.to_dict())


def test_a_report_of_several_checkpoints_is_valid(arrays):
    report = kc.score([arrays, {"w": np.ones(5)}], specs=["entropy@q8"])
    assert len(report.checkpoints) == 2
    validate("score", report.to_dict())


def test_the_command_writes_what_the_schema_says(arrays, tmp_path: Path):
    path = tmp_path / "few.npz"
    np.savez(path, w=arrays["layers.0.w"], v=arrays["broken"])
    arguments = ["score", str(path), "--json", "-q", "-e", "zstd@bytes,entropy@q8"]
    result = run(*arguments, "--control", "shuffle:2")
    assert result.exit_code == 0, result.stderr
    validate("score", json.loads(result.stdout))


@pytest.mark.parametrize("values", [False, True])
def test_an_inspection_is_valid(arrays, values):
    inspection = inspect_checkpoint(kc.open_checkpoint(arrays), values=values)
    assert any(tensor.reason for tensor in inspection.tensors) == values
    validate("inspect", InspectionReport(checkpoints=(inspection,)).to_dict())


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"status": "fine"},
        {"status": "skipped"},
        {"bits": "many"},
        {"scope": "all"},
        {"sampled_fraction": 0},
        {"kind": "estimate", "decodes": "weights"},
    ],
    ids=", ".join,
)
def test_an_invalid_row_is_refused(arrays, change):
    report = kc.score({"w": arrays["layers.0.w"]}, specs=["zstd@bytes"]).to_dict()
    validate("score", report)
    report["rows"][0] |= change
    with pytest.raises(ValidationError):
        validate("score", report)


def test_a_calibration_is_as_its_schema_says():
    made = provenance("", 0, 1, 0.0)
    calibration = CalibrationReport.of(calibrate(CASES[:2]), made).to_dict()
    assert calibration["n_answers"] > 0
    validate("calibrate", calibration)
    del calibration["cases"][0]["answers"][0]["met"]
    with pytest.raises(ValidationError, match="'met' is a required property"):
        validate("calibrate", calibration)


@pytest.mark.parametrize("target", [["-k", "3"], ["--relative-mse", "0.3"]])
def test_the_plan_of_a_fit_is_as_its_schema_says(tmp_path, target):
    path = tmp_path / "m.safetensors"
    save_file({"w": np.ones((8, 8), np.float32)}, path)
    result = run("fit", path, *target, "--dry-run", "--json")
    assert result.exit_code == 0
    plan = json.loads(result.stdout)
    validate("fit-plan", plan)
    assert (plan["n_motifs"] is None) == (target[0] == "--relative-mse")


# --- The command ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", schema_names())
def test_the_command_prints_a_schema(name):
    result = run("schema", name)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == load_schema(name)


def test_without_a_name_the_command_lists_them():
    result = run("schema")
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert tuple(lines) == schema_names()
    assert lines["score"] == "kcomplexity score --json: how complex the weights of checkpoints are"
    assert lines["compare"] == "kcomplexity compare --json: what changed between checkpoints"
    assert all(title.startswith("kcomplexity ") for title in lines.values())


def test_an_unknown_name_is_an_error_of_usage():
    result = run("schema", "nothing")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"kcomplexity: error: no schema 'nothing': expected one of {', '.join(schema_names())}\n"
    )
    with pytest.raises(SpecError, match="no schema"):
        load_schema("../records")
