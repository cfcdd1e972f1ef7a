"""Loaders that are imported when a file may be theirs: most people read one or two formats."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kcomplexity.loaders.base import Loader, Options
from kcomplexity.tensors.checkpoint import Checkpoint

__all__ = ["Deferred"]


@dataclass(frozen=True)
class Deferred:
    """Stands for a loader until a file may be its own.

    Attributes
    ----------
    module : str
        Of this package.
    name : str
        Of the class in it.
    heads : tuple of bytes
        How its files start, for those that have a magic number.
    at : int
        The byte at which they have it.
    suffixes : tuple of str
        How they are called, for those that have none.
    folders : bool
        Whether they are folders.
    """

    module: str
    name: str
    heads: tuple[bytes, ...] = ()
    at: int = 0
    suffixes: tuple[str, ...] = ()
    folders: bool = False

    @property
    def extensions(self) -> tuple[str, ...]:
        """Suffixes that such files usually have."""
        return self.loader.extensions

    @property
    def nested(self) -> bool:
        """Whether ``--root`` means something to it."""
        return getattr(self.loader, "nested", False)

    @cached_property
    def loader(self) -> Loader:
        """The loader itself, imported."""
        module = importlib.import_module(f"kcomplexity.loaders.{self.module}")
        made: Loader = getattr(module, self.name)()
        return made

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether `path`, which starts with `head`, is this loader's to read."""
        may = (
            head.startswith(self.heads, self.at) if self.heads else False
        ) or path.suffix.lower() in self.suffixes
        return (may or (self.folders and path.is_dir())) and self.loader.sniff(path, head)

    def load(self, path: Path, options: Options) -> Checkpoint:
        """Open `path`, reading headers only."""
        return self.loader.load(path, options)
