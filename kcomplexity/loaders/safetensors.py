"""``.safetensors`` files; see :mod:`kcomplexity.containers.safetensors`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from kcomplexity.containers.safetensors import is_safetensors, read_safetensors
from kcomplexity.loaders.base import Options
from kcomplexity.loaders.shard_index import SHARD
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import printable


@dataclass(frozen=True)
class SafetensorsLoader:
    """One ``.safetensors`` file; its tensors are in file-offset order."""

    extensions: tuple[str, ...] = (".safetensors",)

    def sniff(self, path: Path, head: bytes) -> bool:
        return is_safetensors(head)

    def load(self, path: Path, options: Options) -> Checkpoint:
        checkpoint, shard = read_safetensors(path), SHARD.search(path.name)
        if shard is None or shard[2] == "00001":
            return checkpoint
        note = (
            f"{printable(path.name)} is shard {int(shard[1])} of {int(shard[2])}; "
            "give its folder to read the whole checkpoint"
        )
        return replace(checkpoint, notes=(note,))
