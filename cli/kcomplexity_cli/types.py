"""What the words of a command line are parsed to: sizes, lists, pairs, files to write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

import click

T = TypeVar("T")

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


class Size(click.ParamType[int]):
    """A number of bytes: ``1.5GB``, ``512MiB``, ``1000000``."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", str(value).strip().lower())
        if not match:
            self.fail(f"{value!r}: expected a size such as 512MiB or 2GB", param, ctx)
        base = 1024 if match[3] else 1000
        return int(float(match[1]) * base ** " kmgt".index(match[2] or " "))


class Commas(click.ParamType[tuple[T, ...]], Generic[T]):
    """Several values separated by commas; spaces around a value are ignored.

    Parameters
    ----------
    item : callable
        Makes a value of its text; raises ValueError where it cannot.
    expected : str
        What an error names as expected.
    """

    name = "list"

    def __init__(self, item: Callable[[str], T], expected: str) -> None:
        self._item = item
        self._expected = expected

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[T, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        try:
            values = tuple(self._item(part) for part in parts if part)
        except ValueError:
            values = ()
        if not values:
            self.fail(f"{value!r}: expected {self._expected}", param, ctx)
        return values


class DtypeRule(click.ParamType[tuple[str, str]]):
    """``GLOB=CODE``: the dtype of tensors whose file does not state it."""

    name = "glob=code"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        glob, equals, code = str(value).rpartition("=")
        if not equals:
            self.fail(f"{value!r}: expected GLOB=CODE, e.g. '*.weight=F8_E4M3'", param, ctx)
        return glob, code.upper()


class Renaming(click.ParamType[tuple[str, str]]):
    """``PATTERN=REPLACEMENT``: what names become."""

    name = "pattern=replacement"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        pattern, equals, replacement = str(value).partition("=")
        if not equals or not pattern:
            self.fail(rf"{value!r}: expected PATTERN=REPLACEMENT, e.g. '^enc\.=encoder.'", param)
        return pattern, replacement


class OutputFile(click.Path):
    """A file to write, whose ending is one of `suffixes`."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self._suffixes = suffixes

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix.lower() not in self._suffixes:
            expected = " or ".join(self._suffixes)
            self.fail(f"{path}: expected a name that ends in {expected}", param, ctx)
        return path


class OutputFolder(click.Path):
    """A folder of pictures, which may exist already; its parent has to."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path.suffix.lower() in (".png", ".svg", ".pdf", ".html") and not path.is_dir():
            self.fail(f"{path}: expected a folder; each picture gets its own name in it", param)
        parent = path.resolve().parent
        if not parent.is_dir():
            self.fail(f"cannot make {path}: there is no folder {parent}", param, ctx)
        return path


def completed_from(names: Callable[[], Iterable[str]]) -> Completer:
    """Return a completer of a word to one of `names`, which is called only on completion.

    Names come from the registries with their plug-ins, which ``--help`` need not load.
    """

    def complete(_context: click.Context, _param: click.Parameter, start: str) -> list[str]:
        return [name for name in names() if name.startswith(start)]

    return complete
