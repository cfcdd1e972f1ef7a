"""Which files a checkpoint's tensors lie in, so that an expanded one gets the same files."""

from __future__ import annotations

from pathlib import Path

from kcomplexity.containers.dense import INDEX_SUFFIX, FileLayout, SourceLayout
from kcomplexity.containers.safetensors import read_safetensors
from kcomplexity.loaders.shard_index import read_index
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor


def source_layout(checkpoint: Checkpoint) -> SourceLayout:
    """Return the files of a sharded checkpoint with their metadata, one file for any other.

    Any other format (arrays in memory, an npz) becomes one file.
    """
    if checkpoint.format != "sharded":
        name = Path(checkpoint.path).with_suffix(".safetensors").name or "model.safetensors"
        return SourceLayout((FileLayout(name, tuple(checkpoint), dict(checkpoint.metadata)),))
    members: dict[Path, list[str]] = {source.path: [] for source in checkpoint.sources}
    for name, tensor in checkpoint.items():
        assert isinstance(tensor, StoredTensor)  # noqa: S101 - the loader makes no other
        members[tensor.source.path].append(name)
    files = []
    for path, names in members.items():
        with read_safetensors(path) as shard:
            files.append(FileLayout(path.name, tuple(names), dict(shard.metadata)))
    path = Path(checkpoint.path)
    indices = sorted(path.glob(f"*{INDEX_SUFFIX}")) if path.is_dir() else [path]
    indices = [path for path in indices if not path.name.startswith(".")]
    index = None
    if indices:
        index = {"name": indices[0].name, "metadata": read_index(indices[0]).metadata}
    return SourceLayout(tuple(files), index)
