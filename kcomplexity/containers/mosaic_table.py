"""The table of a mosaic file: what its bytes stand for, parsed into records and checked.

What is wrong is a ``ValueError``, or what Python raises on a table of another form;
:mod:`kcomplexity.containers.mosaic_reading` tells it as one error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.index_coding import MODES, Mode
from kcomplexity.containers.mosaic import SCALE_MODES, Distortion, ScaleMode, SourceLayout
from kcomplexity.containers.mosaic_file import PREFIX
from kcomplexity.containers.motifs import MOTIF_DTYPES, MotifDtype
from kcomplexity.containers.writers import FileLayout
from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.strict_json import parse_object
from kcomplexity.tensors.checkpoint import ArrayTensor, Checkpoint
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.text import printable

__all__ = ["SetEntry", "Table", "TensorEntry", "read_table"]

#: Bytes the table may have when unpacked: as many as a safetensors header.
_MOST_TABLE = 100_000_000
_NOTHING = np.zeros(0, np.uint8)


@dataclass(frozen=True)
class TensorEntry:
    """A fitted tensor.

    Attributes
    ----------
    name : str
    number : int
        Of the set of motifs that it is made of.
    code : str
        Of its stored dtype.
    shape : tuple of int
    block : BlockShape
    """

    name: str
    number: int
    code: str
    shape: tuple[int, ...]
    block: BlockShape

    def __post_init__(self) -> None:
        if not all(type(n) is int and n >= 0 for n in (self.number, *self.shape)):
            raise ValueError(f"the shape of {self.name!r}")
        if not self.dtype.holds_weights:
            raise ValueError(f"the dtype of {self.name!r}")

    @property
    def dtype(self) -> StoredDtype:
        """How its values are stored."""
        return DTYPES[self.code]

    @property
    def tiling(self) -> Tiling:
        """How it is cut into blocks."""
        rows, columns = ArrayTensor(self.name, self.shape, self.dtype, data=_NOTHING).matrix_shape
        return Tiling(rows, columns, self.block)


@dataclass(frozen=True)
class SetEntry:
    """A set of motifs.

    Attributes
    ----------
    k, asked : int
        How many motifs are stored, and were asked for.
    dtype : str
        Of the motifs.
    step : float
        Of the grid they lie on; 0 if they lie on none.
    mode : str
        How the indices are coded.
    n_words : int
        Length of the stream of indices, in words of 32 bits.
    """

    k: int
    asked: int
    dtype: MotifDtype
    step: float
    mode: Mode
    n_words: int

    @classmethod
    def read(cls, number: int, row: list[Any], n_bytes: int) -> SetEntry:
        """Check the row of set `number` of a file of `n_bytes` bytes."""
        k, asked, dtype, step, mode, n_words = row
        # A sorted motif takes less than a bit, but never next to nothing.
        if (
            (dtype not in MOTIF_DTYPES or mode not in MODES)
            or not (type(k) is type(asked) is int and 0 < k <= 64 * n_bytes and asked > 0)
            or not (type(step) is float and (0 < step < math.inf) == (dtype == "grid"))
        ):
            raise ValueError(f"motif set {number}")
        return cls(k, asked, dtype, step, mode, n_words)


@dataclass(frozen=True)
class Table:
    """What the table tells; see :class:`~kcomplexity.containers.mosaic.Mosaic`.

    Attributes
    ----------
    names : tuple of str
        Every tensor, in file order.
    fitted : dict of str to TensorEntry
        Those that are made of motifs.
    sets : tuple of SetEntry
    """

    names: tuple[str, ...]
    fitted: dict[str, TensorEntry]
    sets: tuple[SetEntry, ...]
    block: BlockShape
    scale: ScaleMode
    method: str
    zero_motif: bool
    scope: str
    layout: SourceLayout
    distortion: Distortion
    metadata: dict[str, str]

    @property
    def n_weights(self) -> int:
        """Weights of the fitted tensors."""
        return sum(entry.tiling.n_weights for entry in self.fitted.values())


def read_table(checkpoint: Checkpoint, shown: str) -> Table:
    """Unpack, parse and check the table."""
    table = _unpacked(checkpoint, shown)
    block = BlockShape.parse(table["block"])
    _expect_types(table)
    rows = table["tensors"]
    names = [row[0] for row in rows]
    fitted = {r[0]: TensorEntry(r[0], r[1], r[2], tuple(r[3]), block) for r in rows if r[1:]}
    if len(set(names)) != len(names):
        raise ValueError("a tensor is there twice")
    n_bytes = checkpoint.n_bytes + checkpoint.n_container_bytes
    return Table(
        names=tuple(names),
        fitted=fitted,
        sets=tuple(SetEntry.read(i, row, n_bytes) for i, row in enumerate(table["sets"])),
        block=block,
        scale=table["scale"],
        method=table["method"],
        zero_motif=table["zero_motif"],
        scope=table["scope"],
        layout=_layout(table, names),
        distortion=Distortion(**table["distortion"]),
        metadata=table["metadata"],
    )


def _expect_types(table: dict[str, Any]) -> None:
    """Check what is handed on as it is."""
    words = (table["method"], table["scope"], table["block"])
    lost = list(table["distortion"].values())
    for what, holds in (
        ("scale", table["scale"] in SCALE_MODES),
        ("options", all(type(word) is str for word in words)),
        ("zero motif", type(table["zero_motif"]) is bool),
        ("metadata", _are_strings(table["metadata"])),
        ("distortion", all(type(x) in (int, float) and 0 <= x < math.inf for x in lost)),
    ):
        if not holds:
            raise ValueError(f"the {what} of the table")


def _are_strings(metadata: Any) -> bool:
    return type(metadata) is dict and all(type(text) is str for text in metadata.values())


def _layout(table: dict[str, Any], names: list[str]) -> SourceLayout:
    order = table.get("order", names)
    files, at = [], 0
    for name, n, metadata in table["files"]:
        if type(n) is not int or n < 0 or not _are_strings(metadata):
            raise ValueError(f"the file {name!r}")
        files.append(FileLayout(_file_name(name), tuple(order[at : at + n]), metadata))
        at += n
    if at != len(order) or sorted(order) != sorted(names):
        raise ValueError("the files do not list every tensor once")
    index = table["index"]
    if index is not None and type(index["metadata"]) is not dict:
        raise ValueError("the index")
    taken = [file.name for file in files] + ([] if index is None else [_file_name(index["name"])])
    if len(set(taken)) != len(taken):
        raise ValueError("two files of one name")
    return SourceLayout(tuple(files), index)


def _file_name(name: str) -> str:
    if Path(name).name != name or name in ("", ".."):
        raise ValueError(f"the file name {name!r}")
    return name


def _unpacked(checkpoint: Checkpoint, shown: str) -> dict[str, Any]:
    packed = checkpoint[PREFIX + "table"].read().tobytes()
    size = zstandard.frame_content_size(packed)
    if not 0 <= size <= _MOST_TABLE:
        raise CorruptCheckpointError(f"{shown}: a table of {size} bytes is none")
    try:
        # Never more than the frame says, and that is bounded.
        text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST_TABLE)
    except zstandard.ZstdError as error:
        raise CorruptCheckpointError(f"{shown}: the table: {printable(error)}") from None
    return parse_object(text, f"{shown}: the table")
