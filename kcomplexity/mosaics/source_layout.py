"""In which files a checkpoint's tensors lie, so that an expanded one can be laid out alike."""

from __future__ import annotations

from pathlib import Path

from kcomplexity.containers.mosaic import SourceLayout
from kcomplexity.containers.writers import FileLayout
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.loaders.shard_index import read_index
from kcomplexity.loaders.sharded import SUFFIX
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor

__all__ = ["source_layout"]


def source_layout(checkpoint: Checkpoint) -> SourceLayout:
    """Return the files of a sharded checkpoint with their metadata, one file for any other.

    What is not stored as safetensors (arrays in memory, an npz) is laid out as one file.
    """
    if checkpoint.format != "sharded":
        name = Path(checkpoint.path).with_suffix(".safetensors").name or "model.safetensors"
        return SourceLayout((FileLayout(name, tuple(checkpoint), dict(checkpoint.metadata)),))
    members: dict[Path, list[str]] = {source.path: [] for source in checkpoint.sources}
    for name, tensor in checkpoint.items():
        assert isinstance(tensor, StoredTensor)  # noqa: S101 - what that loader makes
        members[tensor.source.path].append(name)
    files = []
    for path, names in members.items():
        with SafetensorsLoader().load(path, Options()) as shard:
            files.append(FileLayout(path.name, tuple(names), dict(shard.metadata)))
    given = Path(checkpoint.path)
    indices = sorted(given.glob(f"*{SUFFIX}")) if given.is_dir() else [given]
    indices = [path for path in indices if not path.name.startswith(".")]
    index = None
    if indices:
        index = {"name": indices[0].name, "metadata": read_index(indices[0]).metadata}
    return SourceLayout(tuple(files), index)
