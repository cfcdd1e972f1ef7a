"""Checkpoints in several files: a folder, the index that names its shards, or files joined.

The index is the truth and is checked against every shard's header: what would be lost is an error,
what is merely unusual a warning.
"""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kcomplexity.containers.dense import INDEX_SUFFIX
from kcomplexity.errors import CheckpointNotFoundError, ShardError, ShardWarning
from kcomplexity.loaders.base import LOADERS, Loader, Options
from kcomplexity.loaders.shard_index import SHARD, Index, read_index
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.text import plural, printable

#: Endings and formats for which a folder is searched first, in this order; then for all others.
_FIRST = {
    ".safetensors": "safetensors",
    ".bin": "pytorch",
    ".gguf": "gguf",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".ckpt": "pytorch",
    ".onnx": "onnx",
    ".h5": "hdf5",
    ".keras": "hdf5",
    ".npz": "npz",
    ".tflite": "tflite",
    ".msgpack": "flax",
}
#: Files with which trainers accompany the weights.
TRAINING = re.compile(r"training_args\.bin|(optimizer|scheduler|scaler|rng_state).*\.(bin|pt|pth)")


@dataclass(frozen=True)
class ShardedLoader:
    """A folder of shards with or without an index, or the index itself.

    A folder with a single checkpoint and no index is that file. Links are followed:
    a snapshot folder of the Hugging Face cache is made of links into ``../../blobs``.
    """

    extensions: tuple[str, ...] = (".json",)
    in_folders: tuple[str, ...] = ()

    def sniff(self, path: Path, head: bytes) -> bool:
        text = head.lstrip()
        named = path.name.endswith(INDEX_SUFFIX)
        return path.is_dir() or (text.startswith(b"{") and (named or b'"weight_map"' in text))

    def load(self, path: Path, options: Options) -> Checkpoint:
        if not path.is_dir():
            return _load_indexed(path, path, options)
        suffix = next((ending for ending, _ in _endings() if _files(path, ending)), ".safetensors")
        indices = [
            index
            for kind in dict.fromkeys((".safetensors", suffix))
            for index in sorted(path.glob(f"*{kind}{INDEX_SUFFIX}"))
            if not index.name.startswith(".")
        ]
        if len(indices) > 1:
            names = ", ".join(printable(p.name) for p in indices)
            raise ShardError(f"{printable(path)} holds {len(indices)} indices; give one: {names}")
        if indices:
            return _load_indexed(path, indices[0], options)
        return _load_folder(path, suffix, options)


def join_files(
    shown: str,
    paths: Sequence[Path],
    open_one: Callable[[Path], Checkpoint],
    cure: str = "they are different checkpoints: give them one by one",
) -> Checkpoint:
    """Open several files as one checkpoint, whose path is `shown`.

    ShardError is raised if two of them hold a tensor of the same name; its message ends in `cure`.
    """
    shards = _open_all(paths, open_one)
    counts = Counter(name for shard in shards for name in shard)
    twice = next((name for name, n in counts.items() if n > 1), None)
    if twice is not None:
        _close(shards)
        first, second = [p.name for p, s in zip(paths, shards, strict=True) if twice in s][:2]
        raise ShardError(
            f"{printable(shown)}: tensor {printable(twice)} is in {printable(first)} and in "
            f"{printable(second)}, and {cure}"
        )
    tensors = {name: tensor for shard in shards for name, tensor in shard.items()}
    return _merge(shown, shards, tensors, {})


def _files(folder: Path, suffix: str) -> list[Path]:
    """Return the checkpoint files of a kind in a folder."""
    return sorted(
        path
        for path in folder.glob(f"*{suffix}")
        if not path.name.startswith(".") and not TRAINING.fullmatch(path.name)
    )


def _endings() -> Iterator[tuple[str, Loader]]:
    """Yield the endings that a shard may have, with their loaders, in the order of search."""
    yield from ((ending, LOADERS[name]) for ending, name in _FIRST.items())
    for loader in LOADERS.values():
        yield from ((end, loader) for end in getattr(loader, "in_folders", loader.extensions))


def _loader_of(path: Path) -> Loader:
    suffix = path.suffix.lower()
    return next((loader for end, loader in _endings() if end == suffix), LOADERS["safetensors"])


def _load_indexed(path: Path, index_path: Path, options: Options) -> Checkpoint:
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
    paths = [folder / name for name in index.shards]
    shards = _open_all(paths, lambda path: _loader_of(path).load(path, options))
    try:
        checkpoint = _merge(str(path), shards, _choose(index, shards, shown), index.metadata)
        _check_shards(index, shards, checkpoint, folder, shown)
    except BaseException:
        _close(shards)
        raise
    return replace(checkpoint, n_container_bytes=checkpoint.n_container_bytes + index.n_bytes)


def _load_folder(folder: Path, suffix: str, options: Options) -> Checkpoint:
    shown = printable(folder)
    paths = _files(folder, suffix)
    if not paths:
        raise CheckpointNotFoundError(
            f"{shown}: a folder without *.safetensors or any other checkpoint in it; give a "
            "checkpoint file, or the folder that holds the shards"
        )
    _check_numbering(paths, shown)
    if len(paths) == 1:
        return replace(_loader_of(paths[0]).load(paths[0], options), path=str(folder))
    cure = "no index says which copy to read; give one file"
    joined = join_files(str(folder), paths, lambda path: _loader_of(path).load(path, options), cure)
    if all(SHARD.search(path.name) for path in paths):
        return joined
    note = (
        f"neither an index nor shard numbers: {len(paths)} files, {printable(paths[0].name)} and "
        f"{printable(paths[1].name)} among them, are read as one checkpoint"
    )
    return replace(joined, notes=(*joined.notes, note))


def _open_all(paths: Sequence[Path], open_one: Callable[[Path], Checkpoint]) -> list[Checkpoint]:
    shards: list[Checkpoint] = []
    try:
        for path in paths:
            shards.append(open_one(path))  # noqa: PERF401 - closed if one fails
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
            where = f"it is in {printable(elsewhere)}" if elsewhere else "nor in any other"
            raise ShardError(
                f"{shown}: tensor {printable(name)} is not in its shard {printable(shard)} "
                f"({where}); index and shards are of different checkpoints: copy them again"
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
    """Warn of what is unusual but loses nothing that the index promises."""
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
    kinds = {Path(name).suffix for name in index.shards}
    present = {path.name for kind in kinds for path in _files(folder, kind)}
    stray = sorted(present - set(index.shards))
    if stray:
        _warn(
            f"{shown}: not in the index, so not read: {plural(len(stray), 'file')} next to the "
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
    path: str, shards: list[Checkpoint], tensors: dict[str, Tensor], extra: dict[str, Any]
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
    rest = max(total - sum(tensor.n_bytes for tensor in tensors.values()), 0)
    # A lone safetensors file notes that it is one of several shards, which is known here.
    notes = [note for shard in shards if shard.format != "safetensors" for note in shard.notes]
    unique = tuple(dict.fromkeys(notes))
    return Checkpoint(path, "sharded", tensors, metadata, sources, rest, unique)


def _check_numbering(paths: Sequence[Path], shown: str) -> None:
    """Without an index, the numbers in the names still show whether a shard is missing."""
    numbered: dict[tuple[str, int], set[int]] = {}
    for path in paths:
        match = SHARD.search(path.name)
        if match:
            stem = path.name[: match.start()]
            numbered.setdefault((stem, int(match[2])), set()).add(int(match[1]))
    for (stem, count), numbers in numbered.items():
        if len(numbers) < count:
            first = next(i for i in range(1, count + 1) if i not in numbers)
            raise ShardError(
                f"{shown}: {count - len(numbers)} of {count} shards are missing, such as "
                f"{printable(stem)}-{first:05}-of-{count:05}{paths[0].suffix}; copy them there"
            )


def _warn(message: str) -> None:
    # Up from here through the checks and the loader to the caller of open_checkpoint().
    warnings.warn(message, ShardWarning, stacklevel=8)
