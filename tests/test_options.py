"""Shared options reach a command as records, and the library refuses those it does not know."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import click
import numpy as np
import pytest
from click.testing import CliRunner

import kcomplexity as kc
from kcomplexity.bounds.generalisation import METHODS
from kcomplexity.calibration import calibrate
from kcomplexity.codings import CODINGS
from kcomplexity.containers.mosaic_parts import SCALE_MODES
from kcomplexity.containers.motifs import MOTIF_DTYPES
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY
from kcomplexity.parallel.progress import Progress
from kcomplexity.parallel.running import Running
from kcomplexity.report.figures.themes import THEMES
from kcomplexity.sweeps.sweep import CAPACITIES, ERRORS, Direction
from kcomplexity.tensors.groups import SCOPES
from kcomplexity_cli.main import cli
from kcomplexity_cli.options import (
    Output,
    measure_options,
    output_options,
    run_options,
    selection_options,
)
from kcomplexity_cli.repeatable import Repeatable

CHOICES: dict[str, dict[str, Any]] = {
    "score": {"scope": SCOPES, "workers": get_args(get_type_hints(Running)["workers"])},
    "fit": {"scope": SCOPES, "scale": SCALE_MODES, "motif_dtype": MOTIF_DTYPES},
    "bound": {"method": (*METHODS, "all")},
    "plot": {"theme": THEMES},
    "sweep": {"eval_direction": get_args(Direction)},
}
W = {"w": np.arange(64, dtype="f4").reshape(8, 8)}


def parsed(*words: str, options: Any, cls: type[click.Command] = Repeatable) -> dict[str, Any]:
    """Parse words by shared options; return what the command is called with."""
    calls: list[dict[str, Any]] = []

    def command(**values: Any) -> None:
        calls.append(values)

    for decorate in reversed(options):
        command = decorate(command)
    made = click.command("made", cls=cls)(command)
    result = CliRunner().invoke(made, words, standalone_mode=False)
    if result.exception:
        raise result.exception
    (values,) = calls
    return values


def test_measuring_has_every_option_that_score_takes():
    values = parsed(
        *("-e", "l2", "--control", "shuffle:3", "--include", "w*", "--dtype", "*=f16"),
        *("-T", "2", "--max-memory", "1MB", "--sample", "0.5"),
        options=[measure_options],
    )
    assert values["measuring"] == {
        "panel": "default",
        "specs": "l2",
        "controls": ("shuffle:3",),
        "scope": None,
        "seed": 0,
        "sample": 0.5,
        "exact": False,
        "include": ("w*",),
        "exclude": (),
        "dtypes": {"*": "F16"},
        "root": None,
        "dequantize": False,
        "threads": 2,
        "workers": "thread",
        "max_memory": 1_000_000,
        "command": "kcomplexity made -e l2 --control shuffle:3".replace("-e", "--estimators")
        + " --include 'w*' --dtype '*=f16' --sample 0.5",
    }


@pytest.mark.parametrize(
    ("words", "controls"),
    [((), None), (("--control", "none"), ()), (("--control", "shuffle:2"), ("shuffle:2",))],
)
def test_no_control_is_not_the_panels_own(words, controls):
    assert parsed(*words, options=[measure_options])["measuring"]["controls"] == controls


def test_a_panel_beside_specs_is_refused():
    with pytest.raises(click.UsageError, match="choose one of them"):
        parsed("-p", "fast", "-e", "l2", options=[measure_options])


def test_each_group_is_one_record_and_other_options_are_left():
    options = [
        click.option("--steps", default="all"),
        selection_options,
        run_options,
        output_options,
    ]
    values = parsed("--exclude", "b", "--json", options=options, cls=click.Command)
    assert values == {
        "steps": "all",
        "reading": {
            "include": (),
            "exclude": ("b",),
            "dtypes": {},
            "root": None,
            "dequantize": False,
        },
        "running": {"threads": None, "workers": "thread", "max_memory": DEFAULT_MAX_MEMORY},
        "output": Output(file=None, as_json=True, everything=False, plots=None),
    }


@pytest.mark.parametrize("name", CHOICES)
def test_the_choices_of_an_option_are_those_of_the_library(name):
    params: Any = {param.name: param.type for param in cli.commands[name].params}
    for option, choices in CHOICES[name].items():
        assert set(params[option].choices) == set(choices), option


def test_the_defaults_of_sweep_are_those_of_the_library():
    params: Any = {param.name: param for param in cli.commands["sweep"].params}
    for option, default in {"errors": ERRORS, "capacities": CAPACITIES}.items():
        assert params[option].type(params[option].default) == default
    assert f"[default: {','.join(CODINGS)}, and" in params["codings"].help


def test_a_file_that_cannot_be_written_is_refused_before_the_command_runs(tmp_path):
    with pytest.raises(OSError, match="missing"):
        parsed("-o", str(tmp_path / "missing" / "a.json"), options=[output_options])


@pytest.mark.parametrize(
    "call",
    [
        lambda **options: kc.compare(W, W, **options),
        lambda **options: kc.trajectory([W], **options),
        lambda **options: kc.conditional(W, W, **options),
        kc.Tracker,
        lambda **options: list(calibrate([], **options)),
    ],
)
def test_an_unknown_option_is_refused_by_name(call):
    with pytest.raises(TypeError, match=r"unknown option 'thread': did you mean threads"):
        call(thread=1)


def test_what_conditional_does_not_use_is_unknown_to_it():
    options: Any = {"panel": "fast"}
    with pytest.raises(TypeError, match="unknown option 'panel'"):
        kc.conditional(W, W, **options)


@pytest.mark.parametrize("call", [kc.compare, lambda a, b, **o: kc.trajectory([a, b], **o)])
def test_progress_goes_up_to_all_bytes(call):
    seen: list[Progress] = []
    options: Any = {"specs": ["l2"], "controls": (), "progress": seen.append}
    if call is not kc.compare:
        options["cache"] = False
    call(W, {"w": W["w"] + 1}, **options)
    assert {event.stage for event in seen} == {"measuring"}
    assert [event.done for event in seen] == sorted(event.done for event in seen)
    assert seen[-1].done == seen[-1].total == 2 * W["w"].nbytes
