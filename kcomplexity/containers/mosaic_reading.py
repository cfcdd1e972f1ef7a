"""Reading a mosaic file: every byte is checked before it is believed.

What the file claims is bounded by its size before anything is allocated for it; the layout is told
in :mod:`kcomplexity.containers.mosaic_file`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, weights_of
from kcomplexity.containers.index_coding import MOST_IN_CONTEXT, Mode, decode_indices, decode_usage
from kcomplexity.containers.mosaic import Mosaic, MosaicTensor
from kcomplexity.containers.mosaic_file import FORMAT, PREFIX, VERSION, checksums, header_checksum
from kcomplexity.containers.mosaic_table import SetEntry, Table, read_table
from kcomplexity.containers.motifs import Motifs, decode_levels, on_grid
from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.loaders.base import Options, layout_of
from kcomplexity.loaders.safetensors import SafetensorsLoader
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.text import printable

__all__ = ["read_mosaic"]

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
    checkpoint = _opened(path, shown)
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


def _opened(path: Path, shown: str) -> Checkpoint:
    loader = SafetensorsLoader()
    try:
        return loader.load(path, Options())
    except CorruptCheckpointError:
        with path.open("rb") as file:
            if loader.sniff(path, file.read(9)):
                raise
        raise CorruptCheckpointError(
            f"{shown}: no mosaic: expected a file that kcomplexity fit wrote"
        ) from None


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
    table = read_table(checkpoint, shown)
    if table.n_weights > _MOST_WEIGHTS_A_BYTE * source.size():
        raise CorruptCheckpointError(
            f"{shown}: it claims to stand for more than 2**20 weights a byte, which no mosaic does"
        )
    words = _words_of_sets(checkpoint, table.sets)
    sets = [_decode_set(checkpoint, table, i, words[i]) for i in range(len(table.sets))]
    scales = _Scales(checkpoint, table.scale)
    layout = layout_of(table.metadata)
    tensors: dict[str, Tensor] = {}
    for name in table.names:
        entry = table.fitted.get(name)
        if entry is None:
            tensors[name] = checkpoint[name]
            continue
        found = sets[entry.number]
        tensors[name] = MosaicTensor(
            name,
            entry.shape,
            entry.dtype,
            layout=layout,
            motifs=found.motifs.values,
            indices=found.indices[name],
            tiling=entry.tiling,
            scales=scales.take(entry.tiling.rows),
        )
    if table.distortion.n_weights != table.n_weights:
        raise ValueError("the distortion of other weights")
    return Mosaic(
        path=str(checkpoint.path),
        tensors=tensors,
        set_of={name: entry.number for name, entry in table.fitted.items()},
        motifs=tuple(one.motifs for one in sets),
        usage=tuple(one.usage for one in sets),
        modes=tuple(one.mode for one in table.sets),
        words=tuple(words),
        block=table.block,
        scale=table.scale,
        n_motifs_of_sets=tuple(one.asked for one in table.sets),
        method=table.method,
        zero_motif=table.zero_motif,
        scope=table.scope,
        layout=table.layout,
        distortion=table.distortion,
        metadata=table.metadata,
        sources=(source,),
    )


@dataclass(frozen=True)
class _Set:
    """One set of motifs, and the indices of each tensor that is made of them."""

    motifs: Motifs
    usage: NDArray[np.int64]
    indices: dict[str, NDArray[np.uint32]]


def _decode_set(
    checkpoint: Checkpoint, table: Table, number: int, words: NDArray[np.uint32]
) -> _Set:
    entry = table.sets[number]
    k = entry.k
    n_bytes = checkpoint.n_bytes + checkpoint.n_container_bytes
    names = [name for name, one in table.fitted.items() if one.number == number]
    tilings = [table.fitted[name].tiling for name in names]
    n_blocks = sum(tiling.n_blocks for tiling in tilings)
    if k > 1 and n_blocks > _MOST_BLOCKS_A_BYTE * n_bytes:
        raise ValueError(f"{n_blocks} blocks in {n_bytes} bytes")
    decoder = AnsDecoder(words)
    usage = decode_usage(k, decoder)
    _expect_blocks(n_blocks, usage, entry.mode, 32 * words.size)
    array = checkpoint[f"{PREFIX}motifs.{number}"]
    size = tilings[0].block.size
    if entry.dtype == "grid":
        # Each column has a histogram of its own, of a byte at least.
        most = _FREE_LEVELS + _MOST_LEVELS_A_BYTE * array.n_bytes
        if size > max(array.n_bytes, 2) or k * size > most:
            raise ValueError(f"{k} motifs of {size} weights in {array.n_bytes} bytes")
        levels = decode_levels((k, size), usage, AnsDecoder(array.read().astype(np.uint32)))
        motifs = Motifs(on_grid(levels, entry.step), "grid", entry.step)
    else:
        if array.shape != (k, size):
            raise ValueError(f"motifs of shape {array.shape}")
        motifs = Motifs(array.to_numpy().astype(np.float32), entry.dtype)
    found = decode_indices(tilings, usage, motifs.values, entry.mode, decoder)
    if not decoder.finished():
        raise ValueError("indices are left over")
    return _Set(motifs, usage, dict(zip(names, found, strict=True)))


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


def _words_of_sets(checkpoint: Checkpoint, sets: Sequence[SetEntry]) -> list[NDArray[np.uint32]]:
    """Cut the stream of each motif set out of the array of all."""
    every = checkpoint[PREFIX + "indices"].read().astype(np.uint32)
    sizes = [entry.n_words for entry in sets]
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
