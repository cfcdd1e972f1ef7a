"""The mosaic file: a valid ``.safetensors`` file under a reserved prefix.

::

    kcomplexity.motifs.<i>   (k, s) F32 | F16 | BF16, or the coded words of a grid, U32
    kcomplexity.indices      coded words, U32: a stream for each set: usage of its motifs, indices
    kcomplexity.scales       BF16, one a tensor or a row
    <kept tensors>           under their own names
    kcomplexity.table        U8: JSON under zstandard: layout, metadata, names, shapes, options

``__metadata__`` holds the format, its version, the CRC-32 of each array in file order
(``tensors_crc32``, eight hexadecimal digits each) and that of the header itself with its own
digits zeroed (``header_crc32``). With the length of the file, which the header fixes, every byte
is accounted for: a file with one byte changed is refused.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import zstandard

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.mosaic import (
    BitBudget,
    Mosaic,
    MosaicTensor,
    by_set,
)
from kcomplexity.containers.motifs import (
    CODES,
    Motifs,
    encode_levels,
)
from kcomplexity.containers.writers import atomic_file, header_bytes, pieces
from kcomplexity.errors import OutputError
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import printable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FORMAT",
    "PREFIX",
    "VERSION",
    "bit_budget",
    "checksums",
    "header_checksum",
    "write_mosaic",
]

PREFIX = "kcomplexity."
FORMAT = "kcomplexity-mosaic"
VERSION = "1"
_ZEROS = "0" * 8


@dataclass(frozen=True)
class _Encoded:
    """A mosaic as the arrays of its file."""

    motifs: tuple[Tensor, ...]
    indices: Tensor
    scales: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    table: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.motifs, self.indices, *self.scales, *self.kept, self.table)


def write_mosaic(mosaic: Mosaic, path: Path) -> None:
    """Write a mosaic, whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written, or a tensor has a name under the reserved prefix.
    """
    encoded = _encode(mosaic)
    header = _header(encoded.tensors, checksums(encoded.tensors))
    with atomic_file(path) as file:
        file.write(header)
        for tensor in encoded.tensors:
            for piece in pieces(tensor):
                file.write(piece)


def bit_budget(mosaic: Mosaic) -> BitBudget:
    """Return what the file of a mosaic takes, item by item, to the last byte."""
    encoded = _encode(mosaic)
    # The checksums' digits are as long whatever they are.
    header = _header(encoded.tensors, _ZEROS * len(encoded.tensors))
    fixed = nominal = 0
    stored = max((tensor.dtype.bits for tensor in mosaic.fitted.values()), default=0)
    sizes = mosaic.n_motifs_of_sets
    for names, k in zip(by_set(mosaic.set_of, mosaic.tensors, len(sizes)), sizes, strict=True):
        m = sum(mosaic.fitted[name].indices.size for name in names)
        fixed += m * math.ceil(math.log2(k))
        nominal += k * mosaic.block.size * stored
    kept = sum(8 * tensor.n_bytes for tensor in encoded.kept)
    return BitBudget(
        motifs=sum(8 * tensor.n_bytes for tensor in encoded.motifs),
        indices_fixed=fixed,
        indices_coded=8 * encoded.indices.n_bytes,
        scales=sum(8 * tensor.n_bytes for tensor in encoded.scales),
        kept=kept,
        container=8 * (len(header) + encoded.table.n_bytes),
        total_nominal=nominal + fixed + kept,
    )


# --- Writing ----------------------------------------------------------------------------------


def _encode(mosaic: Mosaic) -> _Encoded:
    for name in mosaic.tensors:
        if name.startswith(PREFIX):
            raise OutputError(
                f"{printable(name)}: names that begin with {PREFIX} are reserved in a mosaic file; "
                "rename the tensor"
            )
    motif_arrays = [
        _motif_array(number, motifs, usage)
        for number, (motifs, usage) in enumerate(zip(mosaic.motifs, mosaic.usage, strict=True))
    ]
    scales = [t.scales for t in mosaic.fitted.values() if t.scales is not None]
    scale_arrays: tuple[Tensor, ...] = ()
    if scales:
        joined = np.concatenate(scales).astype(ml_dtypes.bfloat16)
        scale_arrays = (_array("scales", "BF16", joined),)
    compressor = zstandard.ZstdCompressor(19, write_content_size=True)
    table = compressor.compress(_table(mosaic))
    return _Encoded(
        tuple(motif_arrays),
        _array("indices", "U32", np.concatenate(mosaic.words)),
        scale_arrays,
        tuple(mosaic.kept.values()),
        _array("table", "U8", np.frombuffer(table, np.uint8)),
    )


def _motif_array(number: int, motifs: Motifs, usage: NDArray[np.int64]) -> Tensor:
    name = f"motifs.{number}"
    if motifs.dtype != "grid":
        return _array(name, CODES[motifs.dtype], motifs.stored())
    encoder = AnsEncoder()
    encode_levels(motifs.levels, usage, encoder)
    return _array(name, "U32", encoder.words())


def _array(name: str, code: str, values: NDArray[Any]) -> Tensor:
    dtype = DTYPES[code]
    data = dtype.encode(values)
    return ArrayTensor(PREFIX + name, values.shape, dtype, data=data)


def _table(mosaic: Mosaic) -> bytes:
    tensors: list[list[Any]] = []
    for name, tensor in mosaic.tensors.items():
        if isinstance(tensor, MosaicTensor):
            entry = [mosaic.set_of[name], tensor.dtype.code, list(tensor.shape)]
            tensors.append([name, *entry])
        else:
            tensors.append([name])
    document = {
        "block": str(mosaic.block),
        "distortion": asdict(mosaic.distortion),
        "files": [[file.name, len(file.tensors), file.metadata] for file in mosaic.layout.files],
        "index": mosaic.layout.index,
        "metadata": mosaic.metadata,
        "method": mosaic.method,
        "scale": mosaic.scale,
        "scope": mosaic.scope,
        "sets": [
            [len(motifs), asked, motifs.dtype, motifs.step, mode, words.size]
            for motifs, asked, mode, words in zip(
                mosaic.motifs, mosaic.n_motifs_of_sets, mosaic.modes, mosaic.words, strict=True
            )
        ],
        "order": [name for file in mosaic.layout.files for name in file.tensors],
        "tensors": tensors,
        "zero_motif": mosaic.zero_motif,
    }
    if document["order"] == list(mosaic.tensors):
        del document["order"]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _header(tensors: Sequence[Tensor], checksums: str) -> bytes:
    metadata = {
        "format": FORMAT,
        "header_crc32": _ZEROS,
        "tensors_crc32": checksums,
        "version": VERSION,
    }
    header = header_bytes(tensors, metadata)
    return header.replace(_own(_ZEROS), _own(header_checksum(header, _ZEROS)), 1)


def header_checksum(header: bytes, digits: str) -> str:
    """Return the checksum of a header that holds `digits` for its own: as if they were zeros."""
    return f"{zlib.crc32(header.replace(_own(digits), _own(_ZEROS), 1)):08x}"


def _own(digits: str) -> bytes:
    return f'"header_crc32":"{digits}"'.encode()


def checksums(tensors: Sequence[Tensor]) -> str:
    """Return the CRC-32 of each tensor's stored bytes, eight hexadecimal digits each."""
    found = ""
    for tensor in tensors:
        checksum = 0
        for piece in pieces(tensor):
            checksum = zlib.crc32(piece, checksum)
        found += f"{checksum:08x}"
    return found
