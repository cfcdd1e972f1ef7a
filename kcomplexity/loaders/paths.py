"""Which checkpoints the arguments of a command name: files, folders of them, globs."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from kcomplexity.errors import CheckpointNotFoundError
from kcomplexity.files.urls import is_url
from kcomplexity.loaders.base import LOADERS, known_endings
from kcomplexity.loaders.sharded import TRAINING
from kcomplexity.text import printable


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


def find_checkpoints(names: Iterable[str]) -> list[str]:
    """Return the checkpoints that `names` stand for, each once.

    A name is a checkpoint, a URL or a model in the cache of the hub; a folder, which stands for the
    checkpoints in it unless it is a checkpoint itself; or a glob that the shell left alone. The
    members of folders and globs are in natural order; one without a checkpoint is an error.
    """
    checkpoints: list[str] = []
    for name in names:
        path = Path(name)
        if is_url(name):
            members = [name]
        elif path.is_dir() and not _is_checkpoint(path):
            members = checkpoints_in(path)
        elif not path.exists() and glob.has_magic(name):
            # Path.glob takes no absolute patterns.
            members = sorted(glob.glob(name, recursive=True), key=natural_key)  # noqa: PTH207
        else:
            members = [name]
        if not members:
            raise CheckpointNotFoundError(
                f"{printable(name)}: no checkpoint is there; check the path, or name the files"
            )
        checkpoints += members
    return list(dict.fromkeys(checkpoints))


def checkpoints_in(folder: Path) -> list[str]:
    """Return the checkpoints in a folder, in natural order.

    A file counts by its ending, a folder if it is one checkpoint. A file whose name begins with a
    dot is still being written.
    """
    endings = known_endings()
    names = [
        str(path)
        for path in folder.iterdir()
        if (_is_step(path, endings) if path.is_dir() else _is_weights(path, endings))
        and not path.name.startswith(".")
    ]
    return sorted(names, key=natural_key)


def _is_weights(path: Path, endings: set[str]) -> bool:
    return path.suffix.lower() in endings and not TRAINING.fullmatch(path.name)


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder is one checkpoint, rather than a folder of checkpoints."""
    if any(folder.glob("*.index.json")) or any(folder.glob("*-00001-of-*")):
        return True
    return any(loader.sniff(folder, b"") for name, loader in LOADERS.items() if name != "sharded")


def _is_step(folder: Path, endings: set[str]) -> bool:
    """Whether a folder in a folder of steps is one step: shards, or a single file of weights."""
    weights = [path for path in folder.iterdir() if _is_weights(path, endings)]
    return _is_checkpoint(folder) or len(weights) == 1
