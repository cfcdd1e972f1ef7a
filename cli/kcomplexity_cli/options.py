"""Options that several commands share; a group of them reaches its command as one record.

A command decorated with :func:`measure_options` takes a keyword ``measuring``, with
:func:`selection_options` ``reading``, with :func:`run_options` ``running``, with
:func:`output_options` ``output``. The first three are unpacked into the library's functions:
``score(checkpoints, **measuring)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from kcomplexity_cli.repeatable import command_text
from kcomplexity_cli.types import DtypeRule, OutputFolder, Size, completed_from

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]


@dataclass(frozen=True)
class Output:
    """Where a result goes and how much of it is printed.

    Attributes
    ----------
    file : Path or None
        Where it is written; its ending is that of a known format.
    as_json : bool
        Whether one JSON document is printed instead of sentences and tables.
    everything : bool
        Whether the table with every row is printed too.
    plots : Path or None
        The folder it is drawn into.
    """

    file: Path | None
    as_json: bool
    everything: bool
    plots: Path | None

    def __post_init__(self) -> None:
        if self.file:
            from kcomplexity.report import check_target

            check_target(self.file)


def _as_record(name: str, build: Callable[..., Any], *options: Decorator) -> Decorator:
    """Return a decorator that adds `options` and hands the command ``name=build(**values)``."""

    def decorate(command: Command) -> Command:
        before = len(getattr(command, "__click_params__", ()))

        @wraps(command)
        def with_record(**values: Any) -> Any:
            record = build(**{param: values.pop(param) for param in names})
            return command(**values, **{name: record})

        decorated: Command = with_record
        for option in reversed(options):
            decorated = option(decorated)
        params: list[click.Parameter] = decorated.__click_params__  # type: ignore[attr-defined]
        names = [str(param.name) for param in params[before:]]
        return decorated

    return decorate


quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")
#: Of commands whose result is a file alone.
silent_option = click.option("-q", "--quiet", is_flag=True, help="No summary and no notes.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
plot_option = click.option(
    "--plot",
    "plots",
    type=OutputFolder(),
    metavar="DIR",
    help="Draw the result into this folder, as 'kcomplexity plot' does.",
)
threads_option = click.option(
    "-T", "--threads", type=click.IntRange(1), help="How many workers.  [default: all processors]"
)
as_one_option = click.option(
    "--as-one",
    is_flag=True,
    help="The files given are parts of one checkpoint, as those of a quoted glob are.",
)


def _panels() -> Iterable[str]:
    from kcomplexity.scoring.panels import PANELS

    return PANELS


def _controls() -> Iterable[str]:
    from kcomplexity.controls import CONTROLS

    return (*CONTROLS, "none")


def _default_memory() -> int:
    from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY

    return DEFAULT_MAX_MEMORY


_WHAT = (
    click.option(
        "-p",
        "--panel",
        default="default",
        show_default=True,
        shell_complete=completed_from(_panels),
        help="A named list of specs, e.g. fast or structure; 'kcomplexity estimators' lists them.",
    ),
    click.option(
        "-e",
        "--estimators",
        "specs",
        metavar="SPEC,...",
        help="Specs instead of a panel; 'kcomplexity estimators' lists the names.",
    ),
    click.option(
        "--control",
        "controls",
        multiple=True,
        metavar="KIND[:N]",
        shell_complete=completed_from(_controls),
        help="Compare specs with N replicates, e.g. shuffle:19; 'kcomplexity estimators' lists "
        "the kinds. Repeatable; replaces the panel's own. 'none' takes them away.",
    ),
    click.option(
        "--scope",
        type=click.Choice(["tensor", "group", "model"]),
        help="What is measured as one.  [default: the panel's, mostly tensor]",
    ),
    click.option("--seed", default=0, show_default=True, help="Of controls and samples."),
    click.option(
        "--sample",
        type=float,
        metavar="SHARE",
        help="Measure this share of each big tensor, with a standard error.",
    ),
    click.option("--exact", is_flag=True, help="Never sample, however long it takes."),
)
_WHICH = (
    click.option(
        "--include", multiple=True, metavar="GLOB", help="Only these tensors. Repeatable."
    ),
    click.option(
        "--exclude", multiple=True, metavar="GLOB", help="Leave these tensors out. Repeatable."
    ),
    click.option(
        "--dtype",
        "dtypes",
        type=DtypeRule(),
        multiple=True,
        metavar="GLOB=CODE",
        help="Dtype of tensors whose file does not state it, e.g. '*=F8_E4M3'. Repeatable.",
    ),
    click.option(
        "--root",
        metavar="KEY",
        help="Part of a nested file to read, e.g. ema.state_dict; '.' is all of it.",
    ),
    click.option(
        "--dequantize",
        is_flag=True,
        help="Read quantised blocks (GGUF) as the weights they stand for, not as codes.",
    ),
)
_HOW = (
    threads_option,
    click.option(
        "--workers",
        type=click.Choice(["thread", "process"]),
        default="thread",
        show_default=True,
        help="What the workers are.",
    ),
    click.option(
        "--max-memory",
        type=Size(),
        default=_default_memory,
        help="What the work in flight may take together.  [default: 768MiB]",
    ),
)


def _reading(**values: Any) -> dict[str, Any]:
    return values | {"dtypes": dict(values["dtypes"])}


def _measuring(**values: Any) -> dict[str, Any]:
    source = click.get_current_context().get_parameter_source("panel")
    if values["specs"] and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--panel and --estimators were given: choose one of them")
    controls = () if values["controls"] == ("none",) else values["controls"] or None
    return _reading(**values) | {"controls": controls, "command": command_text()}


#: Which tensors, and how they are read: ``reading``.
selection_options = _as_record("reading", _reading, *_WHICH)
#: How the work is done; no figure depends on it: ``running``.
run_options = _as_record("running", dict, *_HOW)
#: What is measured by what, and how: ``measuring``, of a Repeatable command.
measure_options = _as_record("measuring", _measuring, *_WHAT, *_WHICH, *_HOW)
#: Where the result goes: ``output``; a file that could not be written is refused at once.
output_options = _as_record(
    "output",
    Output,
    click.option("--all", "everything", is_flag=True, help="Print the whole table, as plain text."),
    plot_option,
    json_option,
    click.option(
        "-o",
        "--output",
        "file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write the result; the ending chooses json, jsonl, csv, md or parquet.",
    ),
)
