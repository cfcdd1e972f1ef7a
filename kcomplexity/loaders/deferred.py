"""Loaders that are imported when a file may be of their format: most people use one or two."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kcomplexity.loaders.base import Loader, Options
from kcomplexity.tensors.checkpoint import Checkpoint


@dataclass(frozen=True)
class Deferred:
    """Stands for a loader until a file may be of its format."""

    #: ``"module:Class"`` of the loader, the module in ``kcomplexity.loaders``.
    target: str
    #: Magic numbers of its files, if it has any, and the byte at which they stand.
    heads: tuple[bytes, ...] = ()
    at: int = 0
    #: Endings of its files, if it has no magic number.
    suffixes: tuple[str, ...] = ()
    #: Whether its checkpoints are folders.
    folders: bool = False

    @property
    def extensions(self) -> tuple[str, ...]:
        return self.loader.extensions

    @property
    def in_folders(self) -> tuple[str, ...]:
        endings: tuple[str, ...] = getattr(self.loader, "in_folders", self.extensions)
        return endings

    @property
    def nested(self) -> bool:
        return getattr(self.loader, "nested", False)

    @cached_property
    def loader(self) -> Loader:
        """The loader, imported."""
        module, _, name = self.target.partition(":")
        loader: Loader = getattr(importlib.import_module(f"kcomplexity.loaders.{module}"), name)()
        return loader

    def sniff(self, path: Path, head: bytes) -> bool:
        possible = (
            head.startswith(self.heads, self.at)
            or path.suffix.lower() in self.suffixes
            or (self.folders and path.is_dir())
        )
        return possible and self.loader.sniff(path, head)

    def load(self, path: Path, options: Options) -> Checkpoint:
        return self.loader.load(path, options)
