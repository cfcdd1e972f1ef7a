"""Options that several commands share, and the types they are parsed to."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
from click.core import ParameterSource

__all__ = [
    "Commas",
    "OutputFile",
    "OutputFolder",
    "Repeatable",
    "Size",
    "as_one_option",
    "command_text",
    "completed_from",
    "json_option",
    "measure_arguments",
    "measure_options",
    "output_options",
    "plot_option",
    "quiet_option",
    "run_options",
    "selection_options",
    "silent_option",
    "threads_option",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress and no notes.")
#: Of commands whose result is a file alone.
silent_option = click.option("-q", "--quiet", is_flag=True, help="No summary and no notes.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
threads_option = click.option(
    "-T",
    "--threads",
    type=click.IntRange(1),
    default=None,
    help="How many workers.  [default: all processors]",
)

#: Options that say how figures are computed and where they go, never which they are.
_ASIDE = frozenset(
    {
        *("threads", "workers", "max_memory", "quiet", "as_json", "output", "resume", "everything"),
        *("plots", "no_cache", "watch", "interval"),
    }
)


class Repeatable(click.Command):
    """A command that can tell what to type for the same figures, for the provenance.

    ``context.meta[Repeatable.KEY]`` holds it: all that was typed but threads, outputs and the like,
    so that two runs whose figures are the same record the same command.
    """

    KEY = "kcomplexity.command"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and keep what matters."""
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        options, arguments = [], []
        for param in dict.fromkeys(order):
            if param.name in _ASIDE:
                continue
            value = given.get(param.name or "")
            # What was left out has a marker for a value, a flag True: neither is a word.
            values = value if isinstance(value, list | tuple) else [value]
            words = [word for word in values if isinstance(word, str)]
            if isinstance(param, click.Argument):
                arguments += words
            elif isinstance(param, click.Option):
                name = max(param.opts, key=len)
                options += [name] if param.is_flag else [w for word in words for w in (name, word)]
        ctx.meta[self.KEY] = shlex.join(["kcomplexity", str(self.name), *arguments, *options])
        rest = super().parse_args(ctx, args)
        source = ctx.get_parameter_source("panel")
        if ctx.params.get("estimators") and source is ParameterSource.COMMANDLINE:
            raise click.UsageError("--panel and --estimators were given: choose one of them")
        return rest


def command_text() -> str:
    """Return what to type for the figures of the :class:`Repeatable` command that runs."""
    text: str = click.get_current_context().meta[Repeatable.KEY]
    return text


class Size(click.ParamType[int]):
    """A number of bytes: ``1.5GB``, ``512MiB``, ``1000000``."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Parse it."""
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", str(value).strip().lower())
        if not match:
            self.fail(f"{value!r}: expected a size such as 512MiB or 2GB", param, ctx)
        base = 1024 if match[3] else 1000
        return int(float(match[1]) * base ** " kmgt".index(match[2] or " "))


class Commas(click.ParamType[tuple[T, ...]], Generic[T]):
    """Several values with commas between them; spaces around one mean nothing.

    Parameters
    ----------
    item : callable
        What makes a value of its text; refuses with a ValueError.
    expected : str
        What an error says was expected.
    """

    name = "list"

    def __init__(self, item: Callable[[str], T], expected: str) -> None:
        self._item = item
        self._expected = expected

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[T, ...]:
        """Parse them."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        try:
            found = tuple(self._item(part) for part in parts if part)
        except ValueError:
            found = ()
        if not found:
            self.fail(f"{value!r}: expected {self._expected}", param, ctx)
        return found


class DtypeRule(click.ParamType[tuple[str, str]]):
    """``GLOB=CODE``: what dtype tensors have whose file does not say."""

    name = "glob=code"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Parse it."""
        glob, equals, code = str(value).rpartition("=")
        if not equals:
            self.fail(f"{value!r}: expected GLOB=CODE, e.g. '*.weight=F8_E4M3'", param, ctx)
        return glob, code.upper()


Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def completed_from(names: Callable[[], Iterable[str]]) -> Completer:
    """Return what completes a word to one of `names`, which are asked for only then.

    They come from the registries, plug-ins and all, and those are no business of ``--help``.
    """

    def complete(_context: click.Context, _param: click.Parameter, start: str) -> list[str]:
        return [name for name in names() if name.startswith(start)]

    return complete


def _panels() -> Iterable[str]:
    from kcomplexity.scoring.panels import PANELS

    return PANELS


def _controls() -> Iterable[str]:
    from kcomplexity.controls import CONTROLS

    return (*CONTROLS, "none")


def _default_memory() -> int:
    from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY

    return DEFAULT_MAX_MEMORY


def measure_arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the library's functions take of the options of measure, selection and run."""
    same = ("panel", "scope", "include", "exclude", "root", "dequantize", "seed", "sample", "exact")
    controls = options["controls"] or None
    return {
        **{name: options[name] for name in (*same, "threads", "workers", "max_memory")},
        "specs": options["estimators"],
        "controls": () if controls == ("none",) else controls,
        "dtypes": dict(options["dtypes"]),
    }


def measure_options(command: F) -> F:
    """What is measured, held against what."""
    for option in (
        click.option("--exact", is_flag=True, help="Never sample, however long it takes."),
        click.option(
            "--sample",
            type=float,
            default=None,
            metavar="SHARE",
            help="Measure this share of each big tensor, with a standard error.",
        ),
        click.option("--seed", default=0, show_default=True, help="Of controls and samples."),
        click.option(
            "--scope",
            type=click.Choice(["tensor", "group", "model"]),
            default=None,
            help="What is measured as one.  [default: the panel's, mostly tensor]",
        ),
        click.option(
            "--control",
            "controls",
            multiple=True,
            metavar="KIND[:N]",
            shell_complete=completed_from(_controls),
            help="Hold specs against N replicates, e.g. shuffle:19; 'kcomplexity estimators' lists "
            "the kinds. Repeatable; replaces the panel's own. 'none' takes them away.",
        ),
        click.option(
            "-e",
            "--estimators",
            default=None,
            metavar="SPEC,...",
            help="Specs instead of a panel; 'kcomplexity estimators' lists the names.",
        ),
        click.option(
            "-p",
            "--panel",
            default="default",
            show_default=True,
            shell_complete=completed_from(_panels),
            help="A named list of specs, e.g. fast or structure; 'kcomplexity estimators' lists "
            "them.",
        ),
    ):
        command = option(command)
    return command


def selection_options(command: F) -> F:
    """Which tensors, and how they are read."""
    for option in (
        click.option(
            "--dequantize",
            is_flag=True,
            help="Read quantised blocks (GGUF) as the weights they stand for, not as codes.",
        ),
        click.option(
            "--root",
            default=None,
            metavar="KEY",
            help="Part of a nested file to read, e.g. ema.state_dict; '.' is all of it.",
        ),
        click.option(
            "--dtype",
            "dtypes",
            type=DtypeRule(),
            multiple=True,
            metavar="GLOB=CODE",
            help="Dtype of tensors whose file does not say it, e.g. '*=F8_E4M3'. Repeatable.",
        ),
        click.option(
            "--exclude", multiple=True, metavar="GLOB", help="Leave these tensors out. Repeatable."
        ),
        click.option(
            "--include", multiple=True, metavar="GLOB", help="Only these tensors. Repeatable."
        ),
    ):
        command = option(command)
    return command


def as_one_option(command: F) -> F:
    """Whether several files are one checkpoint."""
    return click.option(
        "--as-one",
        is_flag=True,
        help="The files given are parts of one checkpoint, as those of a quoted glob are.",
    )(command)


class OutputFile(click.Path):
    """A file to write, whose name says what it is."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self._suffixes = suffixes

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse a name of another kind."""
        found = Path(os.fsdecode(super().convert(value, param, ctx)))
        if found.suffix.lower() not in self._suffixes:
            expected = " or ".join(self._suffixes)
            self.fail(f"{found}: expected a name that ends in {expected}", param, ctx)
        return found


class OutputFolder(click.Path):
    """A folder of pictures, which may be there already."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        """Refuse what is meant for a picture, and a folder in one that is not there."""
        found = Path(os.fsdecode(super().convert(value, param, ctx)))
        if found.suffix.lower() in (".png", ".svg", ".pdf", ".html") and not found.is_dir():
            told = f"{found}: expected a folder; each picture gets its own name in it"
            self.fail(told, param, ctx)
        parent = found.resolve().parent
        if not parent.is_dir():
            self.fail(f"cannot make {found}: there is no folder {parent}", param, ctx)
        return found


def plot_option(command: F) -> F:
    """Whether the result is drawn too: ``plots``, for :func:`kcomplexity_cli.plot.draw_into`."""
    return click.option(
        "--plot",
        "plots",
        type=OutputFolder(),
        default=None,
        metavar="DIR",
        help="Draw the result into this folder, as 'kcomplexity plot' does.",
    )(command)


def run_options(command: F) -> F:
    """How the work is done; no figure depends on any of them."""
    for option in (
        quiet_option,
        click.option(
            "--max-memory",
            type=Size(),
            default=_default_memory,
            help="What the work in flight may take together.  [default: 768MiB]",
        ),
        click.option(
            "--workers",
            type=click.Choice(["thread", "process"]),
            default="thread",
            show_default=True,
            help="What the workers are.",
        ),
        threads_option,
    ):
        command = option(command)
    return command


def output_options(command: F) -> F:
    """Where the result goes."""
    for option in (
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path, dir_okay=False),
            default=None,
            metavar="FILE",
            help="Write the result; the ending chooses json, jsonl, csv, md or parquet.",
        ),
        json_option,
    ):
        command = option(command)
    return command
