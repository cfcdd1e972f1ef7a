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
    """One ``.safetensors`` file."""

    extensions: tuple[str, ...] = (".safetensors",)

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether a plausible length and the brace that opens the header are there."""
        return is_safetensors(head)

    def load(self, path: Path, options: Options) -> Checkpoint:
        """Open the file; the tensors are in file-offset order.

        Raises
        ------
        CorruptCheckpointError
            If any byte of the file is not accounted for, or two tensors claim the same one.
        """
        return replace(read_safetensors(path), notes=_notes(path))


def _notes(path: Path) -> tuple[str, ...]:
    shard = SHARD.search(path.name)
    if shard is None or shard[2] == "00001":
        return ()
    note = (
        f"{printable(path.name)} is shard {int(shard[1])} of {int(shard[2])}; "
        "give its folder to read the whole checkpoint"
    )
    return (note,)
