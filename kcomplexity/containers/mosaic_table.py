"""The table of a mosaic file: names, shapes, options, layout and metadata, as compressed JSON.

:func:`table_bytes` writes it; :func:`read_table` parses it into records and checks them. An invalid
entry raises ValueError, or what Python raises for a table of another structure;
:mod:`kcomplexity.containers.mosaic_reading` turns all of these into one error.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.dense import FileLayout, SourceLayout
from kcomplexity.containers.index_coding import MODES, Mode
from kcomplexity.containers.mosaic_parts import (
    SCALE_MODES,
    Distortion,
    MosaicContent,
    MosaicFacts,
    MosaicTensor,
)
from kcomplexity.containers.motifs import MOTIF_DTYPES, MotifDtype
from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.strict_json import parse_object
from kcomplexity.tensors.checkpoint import ArrayTensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.text import printable

#: Bytes the unpacked table may have: as many as a safetensors header.
_MOST_TABLE = 100_000_000
_NOTHING = np.zeros(0, np.uint8)
#: Entries that need no parsing.
_UNPARSED = ("metadata", "method", "scale", "scope", "zero_motif")


@dataclass(frozen=True)
class TensorEntry:
    """A fitted tensor: `number` is that of its motif set, `code` that of its stored dtype."""

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
    """A set of motifs."""

    #: Number of motifs that are stored, and that were requested.
    k: int
    asked: int
    #: Of the motifs.
    dtype: MotifDtype
    #: Of the motifs' grid; 0 for other dtypes.
    step: float
    #: How the indices are coded.
    mode: Mode
    #: Length of the stream of indices, in words of 32 bits.
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


@dataclass(frozen=True, kw_only=True)
class MosaicTable(MosaicFacts):
    """A parsed table."""

    #: Every tensor, in file order.
    names: tuple[str, ...]
    #: The tensors made of motifs.
    fitted: dict[str, TensorEntry]
    sets: tuple[SetEntry, ...]

    @property
    def n_weights(self) -> int:
        """Weights of the fitted tensors."""
        return sum(entry.tiling.n_weights for entry in self.fitted.values())


def table_bytes(mosaic: MosaicContent) -> bytes:
    """Return the table of a mosaic, compressed."""
    document = {name: getattr(mosaic, name) for name in _UNPARSED} | {
        "block": str(mosaic.block),
        "distortion": asdict(mosaic.distortion),
        "files": [[file.name, len(file.tensors), file.metadata] for file in mosaic.layout.files],
        "index": mosaic.layout.index,
        "sets": [
            [len(motifs), asked, motifs.dtype, motifs.step, mode, words.size]
            for motifs, asked, mode, words in zip(
                mosaic.motifs, mosaic.n_motifs_of_sets, mosaic.modes, mosaic.words, strict=True
            )
        ],
        "order": [name for file in mosaic.layout.files for name in file.tensors],
        "tensors": [
            [name, mosaic.set_of[name], tensor.dtype.code, list(tensor.shape)]
            if isinstance(tensor, MosaicTensor)
            else [name]
            for name, tensor in mosaic.tensors.items()
        ],
    }
    if document["order"] == list(mosaic.tensors):
        del document["order"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    compressor = zstandard.ZstdCompressor(19, write_content_size=True)
    return compressor.compress(text.encode())


def read_table(packed: bytes, n_bytes: int, shown: str) -> MosaicTable:
    """Unpack, parse and check the table of a file of `n_bytes` bytes, called `shown` in errors."""
    table = _unpacked(packed, shown)
    block = BlockShape.parse(table["block"])
    _expect_types(table)
    rows = table["tensors"]
    names = [row[0] for row in rows]
    fitted = {r[0]: TensorEntry(r[0], r[1], r[2], tuple(r[3]), block) for r in rows if r[1:]}
    if len(set(names)) != len(names):
        raise ValueError("a tensor is listed twice")
    return MosaicTable(
        names=tuple(names),
        fitted=fitted,
        sets=tuple(SetEntry.read(i, row, n_bytes) for i, row in enumerate(table["sets"])),
        block=block,
        layout=_layout(table, names),
        distortion=Distortion(**table["distortion"]),
        **{name: table[name] for name in _UNPARSED},
    )


def _expect_types(table: dict[str, Any]) -> None:
    """Check the entries that are returned unparsed."""
    texts = (table["method"], table["scope"], table["block"])
    distortion = list(table["distortion"].values())
    for what, valid in (
        ("scale", table["scale"] in SCALE_MODES),
        ("options", all(type(text) is str for text in texts)),
        ("zero motif", type(table["zero_motif"]) is bool),
        ("metadata", _are_strings(table["metadata"])),
        ("distortion", all(type(x) in (int, float) and 0 <= x < math.inf for x in distortion)),
    ):
        if not valid:
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


def _unpacked(packed: bytes, shown: str) -> dict[str, Any]:
    size = zstandard.frame_content_size(packed)
    if not 0 <= size <= _MOST_TABLE:
        raise CorruptCheckpointError(f"{shown}: its table claims {size} bytes, which is too many")
    try:
        # Never more than the frame declares, which is bounded.
        text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST_TABLE)
    except zstandard.ZstdError as error:
        raise CorruptCheckpointError(f"{shown}: the table: {printable(error)}") from None
    return parse_object(text, f"{shown}: the table")
