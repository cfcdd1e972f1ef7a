"""``kcomplexity estimators``: the listing says what the registries hold, plug-ins included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import kcomplexity as kc
from kcomplexity.controls import CONTROLS, parse_control
from kcomplexity.estimators import ESTIMATORS
from kcomplexity.schemas import load_schema
from kcomplexity.scoring.panels import PANELS
from kcomplexity.views import VIEWS
from tests import ROOT
from tests import run as invoke

run = partial(invoke, "estimators")


@pytest.fixture(scope="module")
def listing() -> str:
    result = run()
    assert result.exit_code == 0
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(scope="module")
def catalogue():
    result = run("--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    return json.loads(result.stdout)


def test_the_document_is_valid(catalogue):
    Draft202012Validator(load_schema("estimators")).validate(catalogue)


def test_everything_registered_is_listed_in_order(catalogue):
    names = {kind: [entry["name"] for entry in catalogue[kind]] for kind in list(catalogue)[1:]}
    assert names == {
        "estimators": list(ESTIMATORS),
        "views": list(VIEWS),
        "controls": list(CONTROLS),
        "panels": list(PANELS),
    }


def test_an_estimator_says_what_its_class_says(catalogue):
    zstd = next(entry for entry in catalogue["estimators"] if entry["name"] == "zstd")
    cls = ESTIMATORS["zstd"]
    assert zstd["summary"] == cls.summary
    assert zstd["reference"] == cls.reference
    assert (zstd["kind"], zstd["unit"], zstd["direction"]) == ("code", "bits", "lower = simpler")
    assert zstd["positional"] is True
    assert zstd["usage"] == "zstd[:LEVEL][:frame=FRAME][@VIEW[/SPLIT]]"
    assert zstd["parameters"] == [
        {"name": "level", "required": False, "default": 3},
        {"name": "frame", "required": False, "default": 1 << 22},
    ]


def test_a_control_is_written_as_it_is_parsed(catalogue):
    usage = {entry["name"]: entry["usage"] for entry in catalogue["controls"]}
    assert usage["init"] == "init:SCHEME[:N]"
    assert usage["unit-permutation"] == "unit-permutation[:N]"
    for entry in catalogue["controls"]:
        required = [param["name"] for param in entry["parameters"] if param["required"]]
        text = ":".join([entry["name"], *("torch" for _ in required)])
        assert parse_control(text).n == 5


def test_every_example_is_canonical_and_of_the_kind_it_says(catalogue):
    for estimator in catalogue["estimators"]:
        assert estimator["examples"]
        for example in estimator["examples"]:
            spec = kc.parse_spec(example["spec"])
            assert type(spec.estimator) is ESTIMATORS[estimator["name"]]
            assert spec.estimator.kind == example["kind"]
            assert kc.parse_spec(str(spec)) == spec


def test_every_example_of_a_view_parses(catalogue):
    for view in catalogue["views"]:
        for example in view["examples"]:
            assert type(kc.parse_spec(f"entropy@{example}").view) is VIEWS[view["name"]]


def test_the_specs_and_controls_of_panels_parse(catalogue):
    for panel in catalogue["panels"]:
        for entry in panel["specs"]:
            assert kc.parse_spec(entry["spec"]).estimator.kind == entry["kind"]
            for control in entry["controls"]:
                parse_control(control)


def test_the_listing_names_everything_within_100_columns(listing, catalogue):
    names = [entry["name"] for kind in list(catalogue)[1:] for entry in catalogue[kind]]
    starts = [line.split(maxsplit=1)[0] for line in listing.splitlines() if line[:1].strip()]
    assert all(any(start.startswith(name) for start in starts) for name in names)
    assert max(map(len, listing.splitlines())) <= 100


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("brotli", ["code", "yes", "@bytes", "Brotli: context-modelled literals"]),
        ("block-entropy", ["estimate", "yes", "@q4", "plug-in entropy of blocks of N symbols:"]),
        ("words", ["yes", "Whole stored words; entropies over distinct"]),
        ("qBITS[:clip=CLIP]", ["no", "/bits", "B-bit levels: abs-max symmetric, or affine"]),
        ("signs[:N]", ["random signs, magnitudes kept: is there a sign pattern?"]),
        ("lossless", ["every lossless code: what the stored bytes need"]),
    ],
)
def test_the_listing_is_a_table_of_each(listing, name, cells):
    rows = [re.split("  +", line) for line in listing.splitlines()]
    assert [name, *cells] in rows


def test_the_listing_tells_a_code_among_estimates(listing):
    (entropy,) = [line for line in listing.splitlines() if line.startswith("entropy ")]
    assert entropy.split()[:4] == ["entropy", "estimate/code", "no", "@q8"]


def test_a_statistic_tells_its_unit_and_direction(listing):
    assert "(share; lower = sparser)" in listing


def test_a_name_shows_one_estimator_in_full():
    result = run("gzip")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "gzip: gzip (zlib's deflate): the field's habit; a window of 32 KiB\n"
        "\n"
        "  kind          code: something can decode it, so its bits are what the weights need\n"
        "  unit          bits; lower = simpler\n"
        "  sees order    yes\n"
        "  default view  @bytes\n"
        "  written       gzip[:LEVEL][:frame=FRAME][@VIEW[/SPLIT]]\n"
        "  parameters    level: 9 by default\n"
        "                frame: 4194304 by default\n"
        "  examples      gzip@bytes"
    )
    assert "\n  reference     RFC 1951, RFC 1952\n\n  Deflate by zlib" in result.stdout
    assert ":class:" not in result.stdout


@pytest.mark.parametrize(
    ("name", "start", "line"),
    [
        ("zstd:19@bytes", "zstd: Zstandard", "  default view  @bytes"),
        ("q8", "q: B-bit levels", "  parameters  bits: required"),
        ("@rd0.01", "rd: ", "  written     rdERROR[/bits]"),
        ("init:torch", "init: drawn anew", "  written       init:SCHEME[:N]"),
        ("DEFAULT", "default: ", "         zstd:9@q4 (against shuffle)"),
        ("momos-binarised", "momos-binarised: ", "  scope    model"),
    ],
    ids=["spec", "view with its value", "view as in a spec", "control", "panel", "panel's scope"],
)
def test_a_name_shows_whatever_it_names(name, start, line):
    result = run(name)
    assert result.exit_code == 0
    assert result.stdout.startswith(start)
    assert line in result.stdout.splitlines()


def test_a_name_as_json_leaves_out_the_others():
    found = json.loads(run("zstd", "--json").stdout)
    Draft202012Validator(load_schema("estimators")).validate(found)
    assert [entry["name"] for entry in found["estimators"]] == ["zstd"]
    assert found["views"] == found["controls"] == found["panels"] == []


def test_every_name_can_be_shown(catalogue):
    for kind in list(catalogue)[1:]:
        for entry in catalogue[kind]:
            assert run(entry["name"]).exit_code == 0


def test_an_unknown_name_is_an_error_of_usage_that_names_the_nearest():
    result = run("entropie")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        "kcomplexity: error: unknown estimator 'entropie': did you mean entropy?\n"
    )


def test_names_of_other_packages_are_listed_and_broken_ones_told(tmp_path: Path):
    (tmp_path / "throwaway.py").write_text(
        textwrap.dedent(
            '''
            from dataclasses import dataclass

            from kcomplexity.estimators.statistics import NonZero


            @dataclass(frozen=True)
            class Mine(NonZero):
                """A page of its own."""

                summary = "what only I measure\\x1b[31m"
                reference = "a talk"


            class Lacking:
                """No dataclass, no summary."""
            '''
        )
    )
    info = tmp_path / "throwaway-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: throwaway\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[kcomplexity.estimators]\n"
        "mine = throwaway:Mine\n"
        "lacking = throwaway:Lacking\n"
        "absent = throwaway_that_is_not_there:Thing\n"
        "zstd = throwaway:Mine\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", "from kcomplexity_cli.main import cli; cli()", "estimators"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}{os.pathsep}{ROOT / 'cli'}"},
        check=False,
    )
    assert found.returncode == 0
    (line,) = [line for line in found.stdout.splitlines() if line.startswith("mine ")]
    mine, kind, order, text = re.split("  +", line)
    assert (mine, kind, order) == ("mine", "statistic", "no")
    assert text.startswith("what only I measure\\x1b[31m (share;")
    absent, lacking, in_use = sorted(found.stderr.splitlines())
    assert lacking == (
        "kcomplexity: estimator 'lacking' cannot be used: throwaway:Lacking: expected a subclass "
        "of Estimator, got <class 'throwaway.Lacking'>"
    )
    assert absent == (
        "kcomplexity: estimator 'absent' cannot be used: throwaway_that_is_not_there:Thing: "
        "ModuleNotFoundError: No module named 'throwaway_that_is_not_there'"
    )
    assert in_use == (
        "kcomplexity: estimator 'zstd' cannot be used: throwaway:Mine takes a name that is in use"
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_ends_with_examples(option):
    result = run(option)
    assert result.exit_code == 0
    assert "\n    kcomplexity estimators zstd\n" in result.stdout.partition("Examples:")[2]
