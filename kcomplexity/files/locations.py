"""Where a checkpoint is: a path, a glob, a URL, or a model in the local Hugging Face cache."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from kcomplexity.errors import CheckpointError, CheckpointNotFoundError
from kcomplexity.files.urls import UrlPath, is_url
from kcomplexity.text import printable

_HUB = "hf:"
_MODEL = re.compile(r"(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate(source: str | os.PathLike[str]) -> list[Path]:
    """Return the path of a source, or those that a glob matches, sorted.

    ``hf:ORG/NAME`` and ``hf:ORG/NAME@REVISION`` are looked up in the local cache; no network is
    used. The name of an existing file is never taken as a glob.
    """
    text = str(source) if isinstance(source, UrlPath) else os.fspath(source)
    if not text:
        raise CheckpointNotFoundError(
            "the path is empty; expected that of a checkpoint, or . for this folder"
        )
    if text.startswith(_HUB) and not text.startswith(f"{_HUB}//"):
        return [_snapshot(text)]
    if text.startswith("file://"):
        return [Path(text.removeprefix("file://"))]
    if is_url(text):
        return [UrlPath(text)]
    path = Path(text)
    if not glob.has_magic(text) or os.path.lexists(path):
        return [path]
    paths = sorted(Path(name) for name in glob.glob(text, recursive=True))  # noqa: PTH207
    if not paths:
        raise CheckpointNotFoundError(
            f"{printable(text)}: no such file, and no file matches it as a pattern; check the path"
        )
    return paths


def _snapshot(text: str) -> Path:
    """Return the folder of a model in the cache of the Hugging Face hub."""
    match = _MODEL.fullmatch(text.removeprefix(_HUB))
    if match is None or ".." in text:
        raise CheckpointError(f"{printable(text)}: expected hf:ORG/NAME or hf:ORG/NAME@REVISION")
    name, revision = match["name"], match["revision"] or "main"
    folder = _cache() / f"models--{name.replace('/', '--')}"
    commit = revision
    reference = folder / "refs" / revision
    if reference.is_file():
        commit = reference.read_bytes()[:64].decode("ascii", "replace").strip()
    snapshot = folder / "snapshots" / commit
    if not _COMMIT.fullmatch(commit) or not snapshot.is_dir():
        at = f" at {revision}" if match["revision"] else ""
        raise CheckpointNotFoundError(
            f"{printable(text)}: not in the cache {printable(folder.parent)}{at}; get it with "
            f"'hf download {name}', or set HF_HOME"
        )
    return snapshot


def _cache() -> Path:
    if "HF_HUB_CACHE" in os.environ:
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME")
    return (Path(home) if home else Path.home() / ".cache" / "huggingface") / "hub"
