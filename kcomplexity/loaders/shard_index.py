"""The index of a sharded checkpoint: which tensor lies in which file."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from kcomplexity.errors import CorruptCheckpointError, ShardError
from kcomplexity.files.opening import open_source
from kcomplexity.files.strict_json import parse_object
from kcomplexity.text import printable

#: As many bytes as a safetensors header may have: an index says less about each tensor.
MAX_INDEX = 100_000_000

#: How the shards of one checkpoint are numbered: prefix-00002-of-00007.safetensors, .bin, .gguf.
SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.[A-Za-z0-9]+$")


@dataclass(frozen=True)
class Index:
    """The content of an index."""

    #: Tensor name -> file name, relative to the index.
    shard_of: dict[str, str]
    metadata: dict[str, Any]
    #: Of the index itself.
    n_bytes: int

    @property
    def shards(self) -> list[str]:
        """The file names, sorted."""
        return sorted(set(self.shard_of.values()))


def read_index(path: Path) -> Index:
    """Read an index; ShardError is raised if a shard would lie outside its folder."""
    shown = printable(path)
    with closing(open_source(path)) as source:
        size = source.size()
        if size > MAX_INDEX:
            raise CorruptCheckpointError(f"{shown}: {size} bytes; an index has {MAX_INDEX} at most")
        entries = parse_object(source.read(0, size).tobytes(), f"{shown}: the index")
    shard_of, metadata = entries.get("weight_map"), entries.get("metadata")
    named = isinstance(shard_of, dict) and all(isinstance(s, str) for s in shard_of.values())
    if "schema_version" in entries:
        raise CorruptCheckpointError(
            f"{shown}: a result of kcomplexity, not a checkpoint: plot, report and bound read it"
        )
    if not named or not shard_of:
        raise CorruptCheckpointError(
            f"{shown}: no weight_map from tensor names to file names; it is not an index of "
            "shards: give a checkpoint file or its folder"
        )
    for shard in sorted(set(shard_of.values())):
        if leaves_folder(shard):
            raise ShardError(
                f"{shown}: the shard {printable(shard)!r} is not inside the folder of the index; "
                "move the shards there and write their names into the index"
            )
    return Index(shard_of, metadata if isinstance(metadata, dict) else {}, size)


def lies_inside(path: Path, folder: Path) -> bool:
    """Whether a file of a folder is in it once links are followed.

    In the Hugging Face cache the files of ``NAME/snapshots/COMMIT`` are links to ``NAME/blobs``;
    those are inside too.
    """
    real, own = path.resolve(), folder.resolve()
    hub = [parent.parent for parent in own.parents if parent.name == "snapshots"]
    return real.is_relative_to(own) or any(real.parent == home / "blobs" for home in hub)


def leaves_folder(name: str) -> bool:
    """Whether a relative path could lead out of its folder on any system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    rooted = posix.is_absolute() or bool(windows.anchor)
    return rooted or not posix.parts or ".." in windows.parts or "\0" in name
