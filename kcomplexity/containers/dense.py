"""Dense checkpoints on disk: one ``.safetensors`` file, or a folder of shards with their index."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kcomplexity.containers.safetensors import write_safetensors
from kcomplexity.errors import OutputError, SpecError
from kcomplexity.files.atomic import refuse_paths, set_default_mode, write_atomically
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import plural, printable

#: How the name of an index of shards ends.
INDEX_SUFFIX = ".index.json"


@dataclass(frozen=True)
class FileLayout:
    """One file of a dense checkpoint: its name in the folder, tensors in offset order, metadata."""

    name: str
    tensors: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceLayout:
    """Which tensors lie in which file, so that a checkpoint can be written the same way again.

    `index` is the ``{"name", "metadata"}`` of the index of a sharded source.
    """

    files: tuple[FileLayout, ...]
    index: dict[str, Any] | None = None

    @property
    def is_single_file(self) -> bool:
        """Whether the checkpoint is one file, not a folder."""
        return self.index is None and len(self.files) == 1


def write_dense(path: Path, checkpoint: Checkpoint, layout: SourceLayout) -> None:
    """Write a checkpoint as one file, or as a new folder of shards with their index.

    Raises
    ------
    OutputError
        If it cannot be written; no partial file or folder is left.
    SpecError
        If `path` names a file and there are shards, or the other way round.
    """
    is_file = path.suffix.lower() == ".safetensors"
    if layout.is_single_file:
        if not is_file:
            raise SpecError(f"{printable(path)}: expected a name that ends in .safetensors")
        (only,) = layout.files
        write_safetensors(path, [checkpoint[name] for name in only.tensors], only.metadata)
        return
    if is_file:
        raise SpecError(
            f"{printable(path)}: {plural(len(layout.files), 'shard')} and their index are to be "
            "written: expected the name of a folder"
        )
    if path.exists():
        raise OutputError(
            f"{printable(path)} is there already, and a folder of shards is written anew: "
            "remove it or give another name"
        )
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", dir=path.parent, ignore_cleanup_errors=True
        ) as name:
            _write_shards(Path(name), checkpoint, layout)
            set_default_mode(Path(name), 0o777)
            Path(name).replace(path)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {printable(path)}: {error.strerror or error}") from error


def _write_shards(folder: Path, checkpoint: Checkpoint, layout: SourceLayout) -> None:
    for file in layout.files:
        tensors = [checkpoint[name] for name in file.tensors]
        write_safetensors(folder / file.name, tensors, file.metadata)
    if layout.index is not None:
        weight_map = {name: file.name for file in layout.files for name in file.tensors}
        document = {"metadata": layout.index["metadata"], "weight_map": weight_map}
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        write_atomically(folder / layout.index["name"], text.encode())


def refuse_input(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse to write over what is being read.

    Raises
    ------
    OutputError
        If `path` is one of the checkpoint's files, its index or its folder.
    """
    source = Path(checkpoint.path)
    files = {file.path.resolve() for file in checkpoint.sources}
    taken = files | {source.resolve()}
    if path.is_dir():
        taken |= {file.parent for file in files}
    if checkpoint.format == "sharded" and source.is_dir():
        taken |= {index.resolve() for index in source.glob(f"*{INDEX_SUFFIX}")}
    refuse_paths(path, taken)
