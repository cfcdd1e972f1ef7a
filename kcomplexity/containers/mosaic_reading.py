"""Reading a mosaic file: every byte is checked before it is used.

What the file claims is bounded by its size before anything is allocated for it. Its layout is
described in :mod:`kcomplexity.containers.mosaic_file`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, counts_of_levels
from kcomplexity.containers.index_coding import MOST_IN_CONTEXT, Mode, decode_indices, decode_usage
from kcomplexity.containers.mosaic_file import FORMAT, PREFIX, VERSION, checksums, header_checksum
from kcomplexity.containers.mosaic_parts import MosaicContent, MosaicFacts, MosaicTensor
from kcomplexity.containers.mosaic_table import MosaicTable, SetEntry, read_table
from kcomplexity.containers.motifs import Motifs, decode_levels, on_grid
from kcomplexity.containers.safetensors import damaged, is_safetensors, layout_of, read_safetensors
from kcomplexity.errors import CheckpointError, CorruptCheckpointError
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.text import printable

#: Weights per byte that a file may claim. A single motif describes any number of weights in a few
#: hundred bytes; a larger claim is an attack, not a network.
_MOST_WEIGHTS_A_BYTE = 1 << 20
#: Blocks per byte where there are several motifs, since their indices take memory: .0005 bits a
#: block, a twentieth of what the emptiest networks need.
_MOST_BLOCKS_A_BYTE = 1 << 14
#: Weights of grid motifs per byte, and how many any file may have besides: motifs that are zero
#: but for one weight take some 40 bits each.
_MOST_LEVELS_A_BYTE, _FREE_LEVELS = 1 << 10, 1 << 20
#: Usage is rounded to eighths of an octave: sums are off by at most a sixteenth, which is 4.7 %.
_ROUNDING = 0.05


def read_mosaic(path: Path) -> MosaicContent:
    """Read a mosaic; CorruptCheckpointError if it is truncated, altered, or not a mosaic."""
    shown = printable(path)
    with ExitStack() as stack:
        checkpoint = stack.enter_context(_opened(path, shown))
        try:
            _check(checkpoint, shown)
            content = _decode(checkpoint, shown)
        except CheckpointError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            # The checksums are right, but the content is invalid.
            raise CorruptCheckpointError(
                f"{shown}: the mosaic does not fit together ({printable(error)}); write it anew"
            ) from None
        except MemoryError:
            raise CorruptCheckpointError(
                f"{shown}: what the mosaic claims to hold does not fit into memory; if you trust "
                "it, read it on a larger machine"
            ) from None
        stack.pop_all()  # kept tensors are read from the file
        return content


def _opened(path: Path, shown: str) -> Checkpoint:
    try:
        return read_safetensors(path)
    except CorruptCheckpointError:
        with path.open("rb") as file:
            if is_safetensors(file.read(9)):
                raise
        raise CorruptCheckpointError(
            f"{shown}: not a mosaic: expected a file that kcomplexity fit wrote"
        ) from None


def _check(checkpoint: Checkpoint, shown: str) -> None:
    """Check format, version and all checksums."""
    metadata = checkpoint.metadata
    if metadata.get("format") != FORMAT:
        raise CorruptCheckpointError(
            f"{shown}: not a mosaic: expected a file that kcomplexity fit wrote; a dense "
            "checkpoint opens without expanding it"
        )
    if metadata.get("version") != VERSION:
        raise CorruptCheckpointError(
            f"{shown}: a mosaic of version {printable(metadata.get('version'))}, and this reads "
            f"version {VERSION}: install a newer kcomplexity"
        )
    checksum = metadata.get("header_crc32", "")
    (source,) = checkpoint.sources
    header = source.read(0, checkpoint.n_container_bytes).tobytes()
    if header_checksum(header, checksum) != checksum.lower():
        raise damaged(shown, "the checksum of the header does not match")
    tensors = list(checkpoint.values())
    digits = metadata.get("tensors_crc32", "")
    if len(digits) != 8 * len(tensors):
        raise damaged(shown, f"{len(tensors)} arrays and another number of checksums")
    for i, tensor in enumerate(tensors):
        if checksums([tensor]) != digits[8 * i : 8 * i + 8]:
            raise damaged(shown, f"the checksum of {printable(tensor.name)} does not match")


def _decode(checkpoint: Checkpoint, shown: str) -> MosaicContent:
    (source,) = checkpoint.sources
    n_bytes = checkpoint.n_bytes + checkpoint.n_container_bytes
    table = read_table(checkpoint[PREFIX + "table"].read().tobytes(), n_bytes, shown)
    if table.n_weights > _MOST_WEIGHTS_A_BYTE * source.size():
        raise CorruptCheckpointError(
            f"{shown}: it claims to hold more than 2**20 weights per byte, which no mosaic does"
        )
    words = _words_of_sets(checkpoint, table.sets)
    sets = [_decode_set(checkpoint, table, i, words[i]) for i in range(len(table.sets))]
    layout = layout_of(table.metadata)
    made = {}
    for (name, entry), scales in zip(table.fitted.items(), _scales(checkpoint, table), strict=True):
        motif_set = sets[entry.number]
        made[name] = MosaicTensor(
            name,
            entry.shape,
            entry.dtype,
            layout=layout,
            motifs=motif_set.motifs.values,
            indices=motif_set.indices[name],
            tiling=entry.tiling,
            scales=scales,
        )
    if table.distortion.n_weights != table.n_weights:
        raise ValueError("the distortion is of other weights")
    return MosaicContent(
        path=str(checkpoint.path),
        tensors={name: made[name] if name in made else checkpoint[name] for name in table.names},
        set_of={name: entry.number for name, entry in table.fitted.items()},
        motifs=tuple(motif_set.motifs for motif_set in sets),
        usage=tuple(motif_set.usage for motif_set in sets),
        modes=tuple(entry.mode for entry in table.sets),
        words=tuple(words),
        n_motifs_of_sets=tuple(entry.asked for entry in table.sets),
        sources=(source,),
        **{field.name: getattr(table, field.name) for field in fields(MosaicFacts)},
    )


@dataclass(frozen=True)
class _DecodedSet:
    """A motif set, and the indices of each tensor made of its motifs."""

    motifs: Motifs
    usage: NDArray[np.int64]
    indices: dict[str, NDArray[np.uint32]]


def _decode_set(
    checkpoint: Checkpoint, table: MosaicTable, number: int, words: NDArray[np.uint32]
) -> _DecodedSet:
    entry = table.sets[number]
    k = entry.k
    n_bytes = checkpoint.n_bytes + checkpoint.n_container_bytes
    names = [name for name, tensor in table.fitted.items() if tensor.number == number]
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
    indices = decode_indices(tilings, usage, motifs.values, entry.mode, decoder)
    if not decoder.finished():
        raise ValueError("indices are left over")
    return _DecodedSet(motifs, usage, dict(zip(names, indices, strict=True)))


def _expect_blocks(n_blocks: int, usage: NDArray[np.int64], mode: Mode, n_bits: int) -> None:
    """Check that the usage and the length of the stream allow this number of blocks."""
    if usage.size == 1:
        return  # the indices take no memory
    counts = counts_of_levels(usage) / counts_of_levels(np.zeros(1, np.int64))
    total = float(counts.sum())
    expected_bits = n_blocks * math.log2(usage.size)
    if mode == "counts":
        expected_bits = float((counts * np.log2(total / counts)).sum())
    elif mode == "context":
        # The length depends on the neighbours too: only the number of blocks can be checked.
        expected_bits = 0.0 if n_blocks <= MOST_IN_CONTEXT else math.inf
    if abs(total - n_blocks) > _ROUNDING * n_blocks or (1 - 2 * _ROUNDING) * expected_bits > n_bits:
        raise ValueError(f"{n_blocks} blocks in {n_bits} bits")


def _words_of_sets(checkpoint: Checkpoint, sets: Sequence[SetEntry]) -> list[NDArray[np.uint32]]:
    """Return the coded words of each motif set, cut out of the array of all."""
    words = checkpoint[PREFIX + "indices"].read().astype(np.uint32)
    sizes = [entry.n_words for entry in sets]
    if any(type(n) is not int or n < 0 for n in sizes) or sum(sizes) != words.size:
        raise ValueError("the streams of indices do not add up")
    return list(np.split(words, np.cumsum(sizes)[:-1]))


def _scales(checkpoint: Checkpoint, table: MosaicTable) -> Sequence[NDArray[np.float32] | None]:
    """Return the scales of each fitted tensor, cut out of the array of all."""
    if table.scale == "none":
        return [None] * len(table.fitted)
    scales = checkpoint[PREFIX + "scales"].read().astype(np.float32)
    sizes = [entry.tiling.rows if table.scale == "row" else 1 for entry in table.fitted.values()]
    if sum(sizes) > scales.size:
        raise ValueError("scales are missing")
    return np.split(scales, np.cumsum(sizes))[:-1]
