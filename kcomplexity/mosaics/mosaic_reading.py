"""Reading a mosaic file: every byte is checked before it is believed.

What the file claims is bounded by its size before anything is allocated for it; the layout is told
in :mod:`kcomplexity.mosaics.mosaic_file`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from kcomplexity.ans import Decoder, weights_of
from kcomplexity.checkpoint import ArrayTensor, Checkpoint, Tensor
from kcomplexity.dtypes import DTYPES, StoredDtype
from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.loaders.base import Options, layout_of
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.loaders.strict_json import parse_object
from kcomplexity.mosaics.blocks import BlockShape, Tiling
from kcomplexity.mosaics.index_coding import (
    MODES,
    MOST_IN_CONTEXT,
    Mode,
    decode_indices,
    decode_usage,
)
from kcomplexity.mosaics.mosaic import (
    SCALE_MODES,
    Distortion,
    Mosaic,
    MosaicTensor,
    ScaleMode,
    SourceLayout,
)
from kcomplexity.mosaics.mosaic_file import FORMAT, PREFIX, VERSION, checksums, header_checksum
from kcomplexity.mosaics.motifs import MOTIF_DTYPES, Motifs, decode_levels, on_grid
from kcomplexity.text import printable
from kcomplexity.writers import FileLayout

__all__ = ["read_mosaic"]

#: Bytes the table may have when unpacked: as many as a safetensors header.
_MOST_TABLE = 100_000_000
#: Weights that one byte of a file may stand for. A single motif describes any number of weights
#: in a few hundred bytes; a claim beyond this is a bomb, not a network.
_MOST_WEIGHTS_A_BYTE = 1 << 20
#: Blocks of several motifs that one byte may stand for, since their indices take memory: .0005
#: bits a block, a twentieth of what the emptiest networks need.
_MOST_BLOCKS_A_BYTE = 1 << 14
#: Weights of grid motifs that one byte may stand for, beyond some that any file may have: k motifs
#: that are zero but for one weight take some 40 bits each.
_MOST_LEVELS_A_BYTE, _FREE_LEVELS = 1 << 10, 1 << 20
#: Usage is rounded to eighths of an octave: sums are off by at most a sixteenth, which is 4.7 %.
_ROUNDING = 0.05


def read_mosaic(path: Path) -> Mosaic:
    """Read a mosaic and check every byte of it.

    Raises
    ------
    CorruptCheckpointError
        If it is truncated, altered, or no mosaic.
    """
    shown = printable(path)
    checkpoint = SafetensorsLoader().load(path, Options())
    try:
        _check(checkpoint, shown)
        return _decode(checkpoint, shown)
    except CheckpointError:
        checkpoint.close()
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        # The bytes are what was written, but what was written makes no sense.
        checkpoint.close()
        raise CorruptCheckpointError(
            f"{shown}: the mosaic does not fit together ({printable(error)}); write it anew"
        ) from None
    except MemoryError:
        checkpoint.close()
        raise CorruptCheckpointError(
            f"{shown}: what the mosaic claims to hold does not fit into memory; if you trust it, "
            "read it on a larger machine"
        ) from None
    except BaseException:
        checkpoint.close()
        raise


def _check(checkpoint: Checkpoint, shown: str) -> None:
    """Check format, version and all checksums."""
    metadata = checkpoint.metadata
    if metadata.get("format") != FORMAT:
        raise CorruptCheckpointError(
            f"{shown}: no mosaic: expected a file that kcomplexity fit wrote; a dense checkpoint "
            "opens without expanding it"
        )
    if metadata.get("version") != VERSION:
        raise CorruptCheckpointError(
            f"{shown}: a mosaic of version {printable(metadata.get('version'))}, and this reads "
            f"version {VERSION}: install a newer kcomplexity"
        )
    given = metadata.get("header_crc32", "")
    (source,) = checkpoint.sources
    header = source.read(0, checkpoint.n_container_bytes).tobytes()
    if header_checksum(header, given) != given.lower():
        raise CorruptCheckpointError(
            f"{shown}: the checksum of the header does not hold; the file is damaged: copy it again"
        )
    tensors = list(checkpoint.values())
    told = metadata.get("tensors_crc32", "")
    if len(told) != 8 * len(tensors):
        raise CorruptCheckpointError(f"{shown}: {len(tensors)} arrays without as many checksums")
    for i, tensor in enumerate(tensors):
        if checksums([tensor]) != told[8 * i : 8 * i + 8]:
            raise CorruptCheckpointError(
                f"{shown}: the checksum of {printable(tensor.name)} does not hold; the file is "
                "damaged: copy it again"
            )


def _decode(checkpoint: Checkpoint, shown: str) -> Mosaic:
    (source,) = checkpoint.sources
    table = _read_table(checkpoint, shown)
    block = BlockShape.parse(table["block"])
    scale: ScaleMode = table["scale"]
    _expect_types(table)
    fitted = {e[0]: _Entry(e[0], e[1], e[2], tuple(e[3]), block) for e in table["tensors"] if e[1:]}
    budget = _MOST_WEIGHTS_A_BYTE * source.size()
    if sum(entry.tiling.n_weights for entry in fitted.values()) > budget:
        raise CorruptCheckpointError(
            f"{shown}: it claims to stand for more than 2**20 weights a byte, which no mosaic does"
        )
    tensors: dict[str, Tensor] = {}
    motifs: list[Motifs] = []
    usage: list[NDArray[np.int64]] = []
    words = _words_of_sets(checkpoint, table["sets"])
    made = _decode_sets(checkpoint, table["sets"], words, fitted, motifs, usage)
    scales = _Scales(checkpoint, scale)
    layout = layout_of(table["metadata"])
    for name, *rest in table["tensors"]:
        if not rest:
            tensors[name] = checkpoint[name]
            continue
        entry = fitted[name]
        tensors[name] = MosaicTensor(
            name,
            entry.shape,
            entry.dtype,
            layout=layout,
            motifs=motifs[entry.number].values,
            indices=made[name],
            tiling=entry.tiling,
            scales=scales.take(entry.tiling.rows),
        )
    if len(tensors) != len(table["tensors"]):
        raise ValueError("a tensor is there twice")
    distortion = Distortion(**table["distortion"])
    if distortion.n_weights != sum(entry.tiling.n_weights for entry in fitted.values()):
        raise ValueError("the distortion of other weights")
    return Mosaic(
        str(checkpoint.path),
        tensors,
        {name: entry.number for name, entry in fitted.items()},
        tuple(motifs),
        tuple(usage),
        tuple(entry[4] for entry in table["sets"]),
        tuple(words),
        block,
        scale,
        tuple(int(entry[1]) for entry in table["sets"]),
        table["method"],
        table["zero_motif"],
        table["scope"],
        _layout(table),
        distortion,
        table["metadata"],
        (source,),
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


@dataclass(frozen=True)
class _Entry:
    """A fitted tensor as the table tells it."""

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
        return DTYPES[self.code]

    @property
    def tiling(self) -> Tiling:
        rows, columns = ArrayTensor(self.name, self.shape, self.dtype, data=_NOTHING).matrix_shape
        return Tiling(rows, columns, self.block)


_NOTHING = np.zeros(0, np.uint8)


def _decode_sets(
    checkpoint: Checkpoint,
    sets: list[Any],
    words: list[NDArray[np.uint32]],
    fitted: dict[str, _Entry],
    motifs: list[Motifs],
    usage: list[NDArray[np.int64]],
) -> dict[str, NDArray[np.uint32]]:
    made: dict[str, NDArray[np.uint32]] = {}
    n_bytes = checkpoint.n_bytes + checkpoint.n_container_bytes
    for number, (k, asked, dtype, step, mode, _) in enumerate(sets):
        # A sorted motif takes less than a bit, but never next to nothing.
        if (
            (dtype not in MOTIF_DTYPES or mode not in MODES)
            or not (type(k) is type(asked) is int and 0 < k <= 64 * n_bytes and asked > 0)
            or not (type(step) is float and (0 < step < math.inf) == (dtype == "grid"))
        ):
            raise ValueError(f"motif set {number}")
        names = [name for name, entry in fitted.items() if entry.number == number]
        tilings = [fitted[name].tiling for name in names]
        n_blocks = sum(tiling.n_blocks for tiling in tilings)
        if k > 1 and n_blocks > _MOST_BLOCKS_A_BYTE * n_bytes:
            raise ValueError(f"{n_blocks} blocks in {n_bytes} bytes")
        decoder = Decoder(words[number])
        usage.append(decode_usage(k, decoder))
        _expect_blocks(n_blocks, usage[-1], mode, 32 * words[number].size)
        array = checkpoint[f"{PREFIX}motifs.{number}"]
        size = tilings[0].block.size
        if dtype == "grid":
            # Each column has a histogram of its own, of a byte at least.
            most = _FREE_LEVELS + _MOST_LEVELS_A_BYTE * array.n_bytes
            if size > max(array.n_bytes, 2) or k * size > most:
                raise ValueError(f"{k} motifs of {size} weights in {array.n_bytes} bytes")
            stream = Decoder(array.read().astype(np.uint32))
            levels = decode_levels((k, size), usage[-1], stream)
            motifs.append(Motifs(on_grid(levels, float(step)), "grid", float(step)))
        else:
            if array.shape != (k, size):
                raise ValueError(f"motifs of shape {array.shape}")
            motifs.append(Motifs(array.to_numpy().astype(np.float32), dtype))
        found = decode_indices(tilings, usage[-1], motifs[-1].values, mode, decoder)
        made |= dict(zip(names, found, strict=True))
        if not decoder.finished():
            raise ValueError("indices are left over")
    return made


def _expect_blocks(n_blocks: int, usage: NDArray[np.int64], mode: Mode, n_bits: int) -> None:
    """Check that so many blocks are what the usage says and the stream can hold."""
    if usage.size == 1:
        return  # whose indices take no memory
    counts = weights_of(usage) / weights_of(np.zeros(1, np.int64))
    total = float(counts.sum())
    told = n_blocks * math.log2(usage.size)
    if mode == "counts":
        told = float((counts * np.log2(total / counts)).sum())
    elif mode == "context":
        # Told apart by company as well: only their number can be checked.
        told = 0.0 if n_blocks <= MOST_IN_CONTEXT else math.inf
    if abs(total - n_blocks) > _ROUNDING * n_blocks or (1 - 2 * _ROUNDING) * told > n_bits:
        raise ValueError(f"{n_blocks} blocks in {n_bits} bits")


def _words_of_sets(checkpoint: Checkpoint, sets: list[Any]) -> list[NDArray[np.uint32]]:
    """Cut the stream of each motif set out of the array of all."""
    every = checkpoint[PREFIX + "indices"].read().astype(np.uint32)
    sizes = [entry[5] for entry in sets]
    if any(type(n) is not int or n < 0 for n in sizes) or sum(sizes) != every.size:
        raise ValueError("the streams of indices do not add up")
    return list(np.split(every, np.cumsum(sizes)[:-1]))


class _Scales:
    """Hands out the scales of one tensor after the other."""

    def __init__(self, checkpoint: Checkpoint, mode: str) -> None:
        self._mode, self._at = mode, 0
        self._all = np.zeros(0, np.float32)
        if mode != "none" and PREFIX + "scales" in checkpoint:
            self._all = checkpoint[PREFIX + "scales"].read().astype(np.float32)

    def take(self, rows: int) -> NDArray[np.float32] | None:
        if self._mode == "none":
            return None
        n = rows if self._mode == "row" else 1
        found = self._all[self._at : self._at + n]
        if found.size != n:
            raise ValueError("scales are missing")
        self._at += n
        return found


def _layout(table: dict[str, Any]) -> SourceLayout:
    names = [entry[0] for entry in table["tensors"]]
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


def _read_table(checkpoint: Checkpoint, shown: str) -> dict[str, Any]:
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
