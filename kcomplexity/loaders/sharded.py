"""Checkpoints in several ``.safetensors`` files: a folder, or the index that names its shards.

The index is the truth and is checked against every shard's header: what would be lost is an error,
what is merely odd a warning.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kcomplexity.checkpoint import Checkpoint, Tensor
from kcomplexity.errors import (
    CheckpointNotFoundError,
    ShardError,
    ShardWarning,
)
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.safetensors import SHARD, SafetensorsLoader
from kcomplexity.loaders.shard_index import Index, read_index
from kcomplexity.text import plural, printable

__all__ = ["ShardedLoader"]

SUFFIX = ".safetensors.index.json"

_READER = SafetensorsLoader()


@dataclass(frozen=True)
class ShardedLoader:
    """A folder of shards with or without an index, or the index itself.

    A folder with a single ``.safetensors`` file and no index is that file. Links are followed:
    a snapshot folder of the Hugging Face cache is made of links into ``../../blobs``.
    """

    extensions: tuple[str, ...] = (".json",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether it is a folder, or JSON that is called an index or has a weight map."""
        text = head.lstrip()
        named = path.name.endswith(SUFFIX)
        return path.is_dir() or (text.startswith(b"{") and (named or b'"weight_map"' in text))

    def load(self, path: Path, options: Options) -> Checkpoint:
        """Open the index, if there is one, and every shard.

        Raises
        ------
        ShardError
            If a shard is missing, a tensor is not in its shard or in two without an index to
            tell which counts, or the index points outside its folder.
        """
        if not path.is_dir():
            return _load_indexed(path, path, options)
        indices = sorted(p for p in path.glob(f"*{SUFFIX}") if not p.name.startswith("."))
        if len(indices) > 1:
            names = ", ".join(printable(p.name) for p in indices)
            raise ShardError(f"{printable(path)} holds {len(indices)} indices; give one: {names}")
        if indices:
            return _load_indexed(path, indices[0], options)
        return _load_folder(path, options)


def _load_indexed(given: Path, index_path: Path, options: Options) -> Checkpoint:
    index = read_index(index_path)
    folder, shown = index_path.parent, printable(index_path)
    missing = [name for name in index.shards if not (folder / name).is_file()]
    if missing:
        dangling = any((folder / name).is_symlink() for name in missing)
        cure = "finish the download (a link leads nowhere)" if dangling else "copy them there"
        raise ShardError(
            f"{shown}: {len(missing)} of {len(index.shards)} shards are missing, "
            f"such as {printable(missing[0])}; {cure}"
        )
    shards = _open_all([folder / name for name in index.shards], options)
    try:
        checkpoint = _merge(given, shards, _choose(index, shards, shown), index.metadata)
        _check_shards(index, shards, checkpoint, folder, shown)
    except BaseException:
        _close(shards)
        raise
    return replace(checkpoint, n_container_bytes=checkpoint.n_container_bytes + index.n_bytes)


def _load_folder(folder: Path, options: Options) -> Checkpoint:
    shown = printable(folder)
    paths = sorted(p for p in folder.glob("*.safetensors") if not p.name.startswith("."))
    if not paths:
        raise CheckpointNotFoundError(
            f"{shown}: a folder without *.safetensors in it; give a checkpoint file, or the folder "
            "that holds the shards"
        )
    _check_numbering(paths, shown)
    shards = _open_all(paths, options)
    if len(shards) == 1:
        return replace(shards[0], path=str(folder))
    counts = Counter(name for shard in shards for name in shard)
    twice = next((name for name, n in counts.items() if n > 1), None)
    if twice is not None:
        _close(shards)
        first, second = [p.name for p, s in zip(paths, shards, strict=True) if twice in s][:2]
        raise ShardError(
            f"{shown}: tensor {printable(twice)} is in {printable(first)} and in "
            f"{printable(second)}, and no index tells which counts; give one file"
        )
    tensors = {name: tensor for shard in shards for name, tensor in shard.items()}
    return _merge(folder, shards, tensors, {})


def _open_all(paths: list[Path], options: Options) -> list[Checkpoint]:
    shards: list[Checkpoint] = []
    try:
        for path in paths:
            shards.append(_READER.load(path, options))  # noqa: PERF401 - closed if one fails
    except BaseException:
        _close(shards)
        raise
    return shards


def _close(shards: list[Checkpoint]) -> None:
    for shard in shards:
        shard.close()


def _choose(index: Index, shards: list[Checkpoint], shown: str) -> dict[str, Tensor]:
    """Return the tensors of all shards, those in the index from the shard it names."""
    by_name = dict(zip(index.shards, shards, strict=True))
    for name, shard in index.shard_of.items():
        if name not in by_name[shard]:
            elsewhere = next((other for other, s in by_name.items() if name in s), None)
            found = f"it is in {printable(elsewhere)}" if elsewhere else "nor in any other"
            raise ShardError(
                f"{shown}: tensor {printable(name)} is not in its shard {printable(shard)} "
                f"({found}); index and shards are of different checkpoints: copy them again"
            )
    return {
        name: tensor
        for file, shard in by_name.items()
        for name, tensor in shard.items()
        if index.shard_of.get(name, file) == file
    }


def _check_shards(
    index: Index, shards: list[Checkpoint], checkpoint: Checkpoint, folder: Path, shown: str
) -> None:
    """Warn of what is odd but loses nothing that the index promises."""
    by_name = dict(zip(index.shards, shards, strict=True))
    copies = [(n, f) for f, s in by_name.items() for n in s if index.shard_of.get(n, f) != f]
    if copies:
        name, file = copies[0]
        _warn(
            f"{shown}: in a second shard as well: {plural(len(copies), 'tensor')}, such as "
            f"{printable(name)} in {printable(file)}; the copy that the index names is read"
        )
    unlisted = [name for name in checkpoint if name not in index.shard_of]
    if unlisted:
        _warn(
            f"{shown}: not in the index: {plural(len(unlisted), 'tensor')} of the shards, such as "
            f"{printable(unlisted[0])}; all are read, but the index is stale"
        )
    stray = sorted({p.name for p in folder.glob("*.safetensors")} - set(index.shards))
    stray = [name for name in stray if not name.startswith(".")]
    if stray:
        _warn(
            f"{shown}: not in the index, so not read: {plural(len(stray), 'file')} beside the "
            f"shards, such as {printable(stray[0])}"
        )
    total = index.metadata.get("total_size")
    listed = sum(checkpoint[name].n_bytes for name in index.shard_of)
    if total not in (listed, checkpoint.n_bytes):
        _warn(
            f"{shown}: total_size is {json.dumps(total)[:40]}, and the tensors take "
            f"{checkpoint.n_bytes} bytes; the shards are read as they are"
        )


def _merge(
    given: Path, shards: list[Checkpoint], tensors: dict[str, Tensor], extra: dict[str, Any]
) -> Checkpoint:
    """Join shards; metadata that differ between them are kept under the name of the shard."""
    metadata: dict[str, str] = {}
    for shard in shards:
        for key, value in shard.metadata.items():
            if metadata.setdefault(key, value) != value:
                metadata[f"{Path(shard.path).name}: {key}"] = value
    for key, value in extra.items():
        metadata.setdefault(key, value if isinstance(value, str) else json.dumps(value))
    sources = tuple(source for shard in shards for source in shard.sources)
    total = sum(source.size() for source in sources)
    n_bytes = sum(tensor.n_bytes for tensor in tensors.values())
    return Checkpoint(
        str(given),
        "sharded",
        tensors,
        metadata,
        sources,
        total - n_bytes,
    )


def _check_numbering(paths: list[Path], shown: str) -> None:
    """Without an index, the numbers in the names still tell whether a shard is missing."""
    found: dict[tuple[str, int], set[int]] = {}
    for path in paths:
        match = SHARD.search(path.name)
        if match:
            stem = path.name[: match.start()]
            found.setdefault((stem, int(match[2])), set()).add(int(match[1]))
    for (stem, count), numbers in found.items():
        if len(numbers) < count:
            first = next(i for i in range(1, count + 1) if i not in numbers)
            raise ShardError(
                f"{shown}: {count - len(numbers)} of {count} shards are missing, such as "
                f"{printable(stem)}-{first:05}-of-{count:05}.safetensors; copy them there"
            )


def _warn(message: str) -> None:
    # Up from here, the checks, the loader and the door to whoever called open_checkpoint().
    warnings.warn(message, ShardWarning, stacklevel=7)
