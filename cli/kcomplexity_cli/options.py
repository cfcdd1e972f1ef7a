"""Options that several commands share, and the types they are parsed to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["Size", "output_options", "run_options", "selection_options"]

F = TypeVar("F", bound=Callable[..., Any])


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


class DtypeRule(click.ParamType[tuple[str, str]]):
    """``GLOB=CODE``: what dtype tensors have whose file does not say."""

    name = "glob=code"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        """Parse it."""
        glob, equals, code = str(value).rpartition("=")
        if not equals:
            self.fail(f"{value!r}: expected GLOB=CODE, e.g. '*.weight=F8_E4M3'", param, ctx)
        return glob, code.upper()


def selection_options(command: F) -> F:
    """Which tensors, and how they are read."""
    for option in (
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


def run_options(command: F) -> F:
    """How the work is done; no figure depends on any of them."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="No progress bar and no notes."),
        click.option(
            "--max-memory",
            type=Size(),
            default="768MiB",
            show_default=True,
            help="What the work in flight may take together.",
        ),
        click.option(
            "--workers",
            type=click.Choice(["thread", "process"]),
            default="thread",
            show_default=True,
            help="What the workers are.",
        ),
        click.option(
            "-T",
            "--threads",
            type=click.IntRange(1),
            default=None,
            help="How many workers.  [default: all processors]",
        ),
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
        click.option(
            "--json", "as_json", is_flag=True, help="Print one JSON document instead of tables."
        ),
    ):
        command = option(command)
    return command
