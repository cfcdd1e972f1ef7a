"""The mosaic file: a valid ``.safetensors`` file under a reserved prefix.

::

    kcomplexity.motifs.<i>   (k, s) F32 | F16 | BF16, or the coded words of a grid, U32
    kcomplexity.indices      coded words, U32: a stream for each set: usage of its motifs, indices
    kcomplexity.scales       BF16, one per tensor or per row
    <kept tensors>           under their own names
    kcomplexity.table        U8: JSON in zstandard: layout, metadata, names, shapes, options

``__metadata__`` holds the format, its version, the CRC-32 of each array in file order
(``tensors_crc32``, eight hexadecimal digits each) and that of the header itself with its own
digits zeroed (``header_crc32``). The header also fixes the length of the file, so a file with a
single byte changed is refused.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.mosaic_parts import BitBudget, MosaicContent
from kcomplexity.containers.mosaic_table import table_bytes
from kcomplexity.containers.motifs import CODES, Motifs, encode_levels
from kcomplexity.containers.safetensors import header_bytes, write_arrays
from kcomplexity.errors import OutputError
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import printable

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


def write_mosaic(mosaic: MosaicContent, path: Path) -> None:
    """Write a mosaic, whole or not at all."""
    encoded = _encode(mosaic)
    write_arrays(path, _header(encoded.tensors, checksums(encoded.tensors)), encoded.tensors)


def bit_budget(mosaic: MosaicContent) -> BitBudget:
    """Return the size of the file of a mosaic, item by item, in bits."""
    encoded = _encode(mosaic)
    # Any checksum has as many digits.
    header = _header(encoded.tensors, _ZEROS * len(encoded.tensors))
    fixed = nominal = 0
    fitted = mosaic.fitted
    stored = max((tensor.dtype.bits for tensor in fitted.values()), default=0)
    for number, k in enumerate(mosaic.n_motifs_of_sets):
        m = sum(fitted[name].indices.size for name in mosaic.names_of_set(number))
        fixed += m * math.ceil(math.log2(k))
        nominal += k * mosaic.block.size * stored
    kept = _bits(encoded.kept)
    return BitBudget(
        motifs=_bits(encoded.motifs),
        indices_fixed=fixed,
        indices_coded=_bits([encoded.indices]),
        scales=_bits(encoded.scales),
        kept=kept,
        container=8 * len(header) + _bits([encoded.table]),
        total_nominal=nominal + fixed + kept,
    )


def _bits(tensors: Iterable[Tensor]) -> int:
    return sum(8 * tensor.n_bytes for tensor in tensors)


def _encode(mosaic: MosaicContent) -> _Encoded:
    for name in mosaic.tensors:
        if name.startswith(PREFIX):
            raise OutputError(
                f"{printable(name)}: names that begin with {PREFIX} are reserved in a mosaic file; "
                "rename the tensor"
            )
    scales = [t.scales for t in mosaic.fitted.values() if t.scales is not None]
    joined = [np.concatenate(scales).astype(ml_dtypes.bfloat16)] if scales else []
    return _Encoded(
        tuple(map(_motif_array, range(len(mosaic.motifs)), mosaic.motifs, mosaic.usage)),
        _array("indices", "U32", np.concatenate(mosaic.words)),
        tuple(_array("scales", "BF16", values) for values in joined),
        tuple(mosaic.kept.values()),
        _array("table", "U8", np.frombuffer(table_bytes(mosaic), np.uint8)),
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
    return ArrayTensor(PREFIX + name, values.shape, dtype, data=dtype.encode(values))


def _header(tensors: Sequence[Tensor], checksums: str) -> bytes:
    metadata = {
        "format": FORMAT,
        "header_crc32": _ZEROS,
        "tensors_crc32": checksums,
        "version": VERSION,
    }
    header = header_bytes(tensors, metadata)
    checksum = header_checksum(header, _ZEROS)
    return header.replace(_checksum_field(_ZEROS), _checksum_field(checksum), 1)


def header_checksum(header: bytes, digits: str) -> str:
    """Return the checksum of a header in which its own `digits` are replaced by zeros."""
    zeroed = header.replace(_checksum_field(digits), _checksum_field(_ZEROS), 1)
    return f"{zlib.crc32(zeroed):08x}"


def _checksum_field(digits: str) -> bytes:
    return f'"header_crc32":"{digits}"'.encode()


def checksums(tensors: Sequence[Tensor]) -> str:
    """Return the CRC-32 of each tensor's stored bytes, eight hexadecimal digits each."""
    digits = ""
    for tensor in tensors:
        checksum = 0
        for piece in tensor.pieces():
            checksum = zlib.crc32(piece, checksum)
        digits += f"{checksum:08x}"
    return digits
