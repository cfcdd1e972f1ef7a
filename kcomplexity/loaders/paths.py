"""Names of several checkpoints: files, folders of them, globs; in the order a person expects."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from kcomplexity.errors import CheckpointNotFoundError
from kcomplexity.files.urls import is_url
from kcomplexity.loaders.sharded import TRAINING
from kcomplexity.text import printable

__all__ = ["expanded", "in_folder", "natural_key"]


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Return a sort key under which ``step-9`` comes before ``step-10``.

    Examples
    --------
    >>> sorted(["step-10", "step-9", "step-b"], key=natural_key)
    ['step-9', 'step-10', 'step-b']
    """
    return [
        (0, int(part), part) if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]


def expanded(names: Iterable[str]) -> list[str]:
    """Return the checkpoints that names stand for, each once.

    A name is a checkpoint, an URL or in the cache of the hub; a folder, which stands for the
    checkpoints in it unless it is one itself; or a glob that the shell left alone. What folders and
    globs stand for is in natural order.

    Raises
    ------
    CheckpointNotFoundError
        If a folder or a glob holds no checkpoint.
    """
    found: list[str] = []
    for name in names:
        path = Path(name)
        if is_url(name):
            members = [name]
        elif path.is_dir() and not _is_checkpoint(path):
            members = in_folder(path)
        elif not path.exists() and glob.has_magic(name):
            # Path.glob takes no absolute patterns.
            members = sorted(glob.glob(name, recursive=True), key=natural_key)  # noqa: PTH207
        else:
            members = [name]
        if not members:
            raise CheckpointNotFoundError(
                f"{printable(name)}: no checkpoint is there; check the path, or name the files"
            )
        found += members
    return list(dict.fromkeys(found))


def in_folder(folder: Path) -> list[str]:
    """Return the checkpoints that lie in a folder, in natural order.

    Files count by their extension, folders when they are a checkpoint of their own. A file whose
    name begins with a dot is one that is still being written.
    """
    from kcomplexity.loaders import LOADERS

    extensions = {ending for loader in LOADERS.values() for ending in loader.extensions} - {".json"}
    found = [
        str(path)
        for path in folder.iterdir()
        if (_holds_one(path, extensions) if path.is_dir() else _is_weights(path, extensions))
        and not path.name.startswith(".")
    ]
    return sorted(found, key=natural_key)


def _is_weights(path: Path, extensions: set[str]) -> bool:
    return path.suffix.lower() in extensions and not TRAINING.fullmatch(path.name)


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one checkpoint, rather than a folder of checkpoints."""
    from kcomplexity.loaders import LOADERS

    if any(folder.glob("*.index.json")) or any(folder.glob("*-00001-of-*")):
        return True
    return any(loader.sniff(folder, b"") for name, loader in LOADERS.items() if name != "sharded")


def _holds_one(folder: Path, extensions: set[str]) -> bool:
    """Whether a folder beside other steps is a step: in shards, or a single file with weights."""
    weights = [path for path in folder.iterdir() if _is_weights(path, extensions)]
    return _is_checkpoint(folder) or len(weights) == 1
