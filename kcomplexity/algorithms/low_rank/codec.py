"""The low-rank code, written out: the definition.

:func:`encode_band` writes one band of weights, :func:`decode_band` reads back the weights that
:attr:`LowRankModel.decoded` says, bit for bit. Pure Python and slow.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.codec import read_tile, write_tile
from kcomplexity.algorithms.context.length import order0_code
from kcomplexity.algorithms.context.model import Kernel, Ranks, TileModel
from kcomplexity.algorithms.entropy_coding import BitReader, BitWriter, read_order0, write_order0
from kcomplexity.algorithms.low_rank.model import FINENESS, RANKS, LowRankModel, low_rank_code

Matrix = NDArray[Any]


def encode_band(weights: Matrix, step: float) -> bytes:
    """Write one band by its shortest low-rank code; parameters as for :func:`low_rank_code`."""
    writer = BitWriter()
    write_band(writer, low_rank_code(weights, step))
    writer.finish()
    return writer.to_bytes()


def write_band(writer: BitWriter, model: LowRankModel) -> None:
    """Write one band by the code of `model`."""
    # As many choices as the encoder tries: picking the best of them is no free lunch.
    writer.number(RANKS.index(model.rank), len(RANKS) * len(FINENESS))
    if model.rank:
        _write_double(writer, model.grid)
        for column in (*model.left.T, *model.right):
            lowest, size = _write_range(writer, column)
            write_order0(writer, (column - lowest).tolist(), size)
    _write_double(writer, model.step)
    lowest, size = _write_range(writer, model.levels)
    symbols = (model.levels - lowest).reshape(1, -1)
    values, counts = np.unique(symbols, return_counts=True)
    bits = order0_code(values, counts, size)
    plain = TileModel("enumerated", Ranks.of(values, counts), Kernel(), ())
    write_tile(writer, symbols, size, plain.at(min(bits, key=lambda mode: bits[mode])))


def decode_band(data: bytes, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Read what :func:`encode_band` wrote: the weights, of shape `shape`."""
    rows, columns = shape
    reader = BitReader(data)
    rank = RANKS[reader.number(len(RANKS) * len(FINENESS))]
    left, right = np.zeros((rows, rank), np.int64), np.zeros((rank, columns), np.int64)
    grid = _read_double(reader) if rank else 0.0
    for column in (*left.T, *right):
        lowest, size = _read_range(reader)
        column[:] = read_order0(reader, column.size, size)
        column += lowest
    step = _read_double(reader)
    lowest, size = _read_range(reader)
    levels = read_tile(reader, (1, rows * columns), size, Kernel()).reshape(shape) + lowest
    return LowRankModel(left, right, grid, step, levels).decoded


def _write_range(writer: BitWriter, numbers: Matrix) -> tuple[int, int]:
    lowest = int(numbers.min())
    size = int(numbers.max()) - lowest + 1
    writer.number(int(lowest < 0), 2)
    _write_gamma(writer, abs(lowest) + 1)
    _write_gamma(writer, size)
    return lowest, size


def _read_range(reader: BitReader) -> tuple[int, int]:
    negative = reader.number(2)
    lowest = _read_gamma(reader) - 1
    return -lowest if negative else lowest, _read_gamma(reader)


def _write_gamma(writer: BitWriter, value: int) -> None:
    """Write a positive number by Elias' gamma code."""
    digits = value.bit_length()
    for bit in [0] * (digits - 1) + [value >> i & 1 for i in reversed(range(digits))]:
        writer.number(bit, 2)


def _read_gamma(reader: BitReader) -> int:
    zeros = 0
    while not reader.number(2):
        zeros += 1
    value = 1
    for _ in range(zeros):
        value = 2 * value + reader.number(2)
    return value


def _write_double(writer: BitWriter, value: float) -> None:
    high, low = struct.unpack(">II", struct.pack(">d", value))
    writer.number(high, 1 << 32)
    writer.number(low, 1 << 32)


def _read_double(reader: BitReader) -> float:
    high, low = reader.number(1 << 32), reader.number(1 << 32)
    (value,) = struct.unpack(">d", struct.pack(">II", high, low))
    return float(value)
