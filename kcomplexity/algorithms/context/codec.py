"""The context code, written out: the definition.

:func:`encode_tile` writes one tile of symbols weight by weight, :func:`decode_tile` reads it back
and finds each context from what it has decoded so far. Pure Python, some thousand weights a second:
the proof that :mod:`~kcomplexity.algorithms.context.length` computes the length of a code.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.length import tile_code
from kcomplexity.algorithms.context.model import (
    CLIP,
    COEFFICIENT_BITS,
    ESCAPE,
    FLAG_ORDERS,
    LEAST_FOR_MORE,
    MAGNITUDE_CELLS,
    MEAN_BITS,
    MODES,
    N_CELLS,
    N_FLAGS,
    PATTERN,
    PREDICTION_CELLS,
    SHIFT_BITS,
    SIGN_CELLS,
    Kernel,
    Ranks,
    TileModel,
    lag_range,
    offsets,
    running_mean,
)
from kcomplexity.algorithms.entropy_coding import (
    BitReader,
    BitWriter,
    ContextTrees,
    read_order0,
    write_order0,
)
from kcomplexity.algorithms.entropy_coding.order0 import read_subset, write_subset

Symbols = NDArray[Any]


class _Flags(Protocol):
    """Writes the bit, or ignores it and reads one; returns the bit in both cases."""

    def __call__(self, p_one: float, bit: int, /) -> int: ...


def encode_tile(symbols: Symbols, alphabet_size: int, kernel: Kernel) -> bytes:
    """Write one tile by its shortest code; parameters as for :func:`tile_code`.

    The bytes hold at most two bits more than that says, and zeros up to a whole byte. Slow for an
    alphabet of more than some thousand symbols.
    """
    code = tile_code(symbols, alphabet_size, kernel)
    writer = BitWriter()
    write_tile(writer, symbols, alphabet_size, code.models[code.best])
    writer.finish()
    return writer.to_bytes()


def write_tile(writer: BitWriter, symbols: Symbols, alphabet_size: int, model: TileModel) -> None:
    """Write one tile by the code of `model`."""
    writer.number(MODES.index(model.mode), len(MODES))
    if model.mode == "enumerated":
        write_order0(writer, symbols.reshape(-1).tolist(), alphabet_size)
        return
    _write_model(writer, model, alphabet_size, symbols.shape)
    ranks = np.searchsorted(model.ranks.values, symbols)
    coder = _Weights(model, symbols.shape)

    def put(p_one: float, bit: int) -> int:
        writer.flag(bit, p_one)
        return bit

    for i, row in enumerate(ranks.tolist()):
        for j, rank in enumerate(row):
            level = coder.next(i, j, put, int(model.ranks.levels[rank]))
            if not model.ranks.binary:
                writer.number(int(model.ranks.low[rank]), 1 << model.ranks.shift)
            coder.keep(i, j, level)


def decode_tile(
    data: bytes, shape: tuple[int, int], alphabet_size: int, kernel: Kernel
) -> NDArray[np.int64]:
    """Read what :func:`encode_tile` wrote: the symbols, of shape `shape`."""
    return read_tile(BitReader(data), shape, alphabet_size, kernel)


def read_tile(
    reader: BitReader, shape: tuple[int, int], alphabet_size: int, kernel: Kernel
) -> NDArray[np.int64]:
    """Read what :func:`write_tile` wrote."""
    rows, columns = shape
    mode = MODES[reader.number(len(MODES))]
    if mode == "enumerated":
        return np.array(read_order0(reader, rows * columns, alphabet_size)).reshape(shape)
    model = _read_model(reader, mode, alphabet_size, shape, kernel)
    coder = _Weights(model, shape)

    def get(p_one: float, _: int) -> int:
        return reader.flag(p_one)

    symbols = np.zeros(shape, np.int64)
    for i in range(rows):
        for j in range(columns):
            level = coder.next(i, j, get, None)
            low = 0 if model.ranks.binary else reader.number(1 << model.ranks.shift)
            symbols[i, j] = model.ranks.values[model.ranks.rank(level, low)]
            coder.keep(i, j, level)
    return symbols


class _Weights:
    """Codes h of one weight after the other, in contexts of those it has kept."""

    def __init__(self, model: TileModel, shape: tuple[int, ...]) -> None:
        self.model = model
        self.rows, self.columns = shape
        self.near = (*model.neighbours, *model.lags)
        self.kept = [[0] * self.columns for _ in range(self.rows)]
        # Sums of h and of abs(h) so far along the row, each column, and the kernel.
        self.along, self.inside = [0, 0], [0, 0]
        self.down = [[0, 0] for _ in range(self.columns)]
        self.trees = [ContextTrees(FLAG_ORDERS) for _ in range(N_FLAGS)]
        self.lengths: dict[int, ContextTrees] = {}

    def next(self, i: int, j: int, flag: _Flags, level: int | None) -> int:
        """Code h at row `i`, column `j`: `level` when writing, None when reading."""
        cell, sign = self._context(i, j)
        written = level if level is not None else 0
        binary = self.model.ranks.binary
        if not binary and self._flag(0, cell, flag, int(written == 0)):
            return 0
        other = self._flag(1, cell, flag, int(written * sign < 0))
        side = cell + N_CELLS * other
        size = 1
        if not binary:
            most = self.model.ranks.n_greater
            while size <= most and self._flag(1 + size, side, flag, int(abs(written) > size)):
                size += 1
        if size > ESCAPE:
            size = ESCAPE + self._gamma(flag, abs(written) - ESCAPE)
        return -sign * size if other else sign * size

    def keep(self, i: int, j: int, level: int) -> None:
        """Remember h, cut to +-127, for the contexts of what follows."""
        cut = min(max(level, -CLIP), CLIP)
        self.kept[i][j] = cut
        for sums in (self.along, self.down[j], self.inside):
            sums[0] += cut
            sums[1] += abs(cut)

    def _flag(self, kind: int, context: int, flag: _Flags, bit: int) -> int:
        tree = self.trees[kind]
        coded = flag(tree.predict(context), bit)
        tree.update(coded)
        return coded

    def _gamma(self, flag: _Flags, beyond: int) -> int:
        """Code a positive number: the length of its binary digits, then the digits."""
        exponent, of = 0, max(beyond, 1).bit_length() - 1
        while True:
            tree = self.lengths.setdefault(exponent, ContextTrees(((), ())))
            more = flag(tree.predict(0), int(exponent < of))
            tree.update(more)
            if not more:
                break
            exponent += 1
        value = 1
        for bit in reversed(range(exponent)):
            value = 2 * value + flag(0.5, beyond >> bit & 1)
        return value

    def _context(self, i: int, j: int) -> tuple[int, int]:
        """Return the cell and the sign of mu, as 1 or -1."""
        if j == 0:
            self.along = [0, 0]
        if j % self.model.kernel.size == 0:
            self.inside = [0, 0]
        level = MODES.index(self.model.mode)
        mu = self._sum(i, j, self.model.prediction, signed=True) if level == 4 else 0
        sign = -1 if mu < 0 else 1
        cells = SIGN_CELLS if self.model.ranks.binary else PREDICTION_CELLS
        x = int(cells[min(abs(mu), cells.size - 1)])
        if self.model.ranks.binary:
            pattern = 0
            for up, left in self.model.neighbours[:PATTERN] if level == 4 else ():
                pattern = 2 * pattern + (self._at(i - up, j - left) * sign > 0)
            pattern <<= max(PATTERN - len(self.model.neighbours), 0)
            return 16 * pattern + x, sign
        if level < 2:
            return 0, 1
        m = self._sum(i, j, self.model.magnitude, signed=False)
        if level == 4:
            m += self.model.magnitude[-1] * min(abs(mu) >> 6, 16 * CLIP)
        m = min(max(m, 0), MAGNITUDE_CELLS.size - 1)
        return 16 * int(MAGNITUDE_CELLS[m]) + x, sign

    def _sum(self, i: int, j: int, weights: tuple[int, ...], *, signed: bool) -> int:
        """Return mu, or m without the part of mu, in 1024ths."""
        which, prior = (0, 0) if signed else (1, self.model.mean)
        k = self.model.kernel.size
        fields = [
            running_mean(self.along[which], j, prior),
            running_mean(self.down[j][which], i, prior),
            running_mean(self.inside[which], j % k, prior) if k > 1 else 0,
        ]
        fields += [] if signed else [16]
        for up, left in self.near:
            h = self._at(i - up, j - left)
            fields.append(16 * (h if signed else abs(h)))
        return sum(w * f for w, f in zip(weights, fields, strict=False))

    def _at(self, i: int, j: int) -> int:
        return self.kept[i][j] if i >= 0 and 0 <= j < self.columns else 0


def _write_model(
    writer: BitWriter, model: TileModel, alphabet_size: int, shape: tuple[int, ...]
) -> None:
    rows, columns = shape
    ranks, level = model.ranks, MODES.index(model.mode)
    d = ranks.values.size
    writer.number(d - 1, min(alphabet_size, rows * columns))
    write_subset(writer, ranks.values.tolist(), alphabet_size)
    writer.number(ranks.centre, d)
    writer.number(ranks.shift, 1 << SHIFT_BITS)
    if level < 2:
        return
    writer.number(model.mean, 1 << MEAN_BITS)
    if level >= 3:
        writer.number(len(model.lags), 8)
        for lag in model.lags:
            writer.number(int(lag[0] > 0), 2)
            writer.number(max(lag), lag_range(lag, rows, columns))
    for weight in model.magnitude + model.prediction:
        writer.number(int(weight != 0), 2)
        if weight:
            writer.number(weight + 128, 1 << COEFFICIENT_BITS)


def _read_model(
    reader: BitReader, mode: Any, alphabet_size: int, shape: tuple[int, int], kernel: Kernel
) -> TileModel:
    rows, columns = shape
    d = reader.number(min(alphabet_size, rows * columns)) + 1
    values = np.array(read_subset(reader, d, alphabet_size))
    ranks = Ranks(values, reader.number(d), reader.number(1 << SHIFT_BITS))
    near = offsets(kernel, more=rows * columns >= LEAST_FOR_MORE)
    level = MODES.index(mode)
    if level < 2:
        return TileModel(mode, ranks, kernel, near)
    mean = reader.number(1 << MEAN_BITS)
    lags = []
    for _ in range(reader.number(8) if level >= 3 else 0):
        up = reader.number(2)
        lag = reader.number(rows if up else columns)
        lags.append((lag, 0) if up else (0, lag))
    n_near = len(near) + len(lags)
    sizes = (0 if ranks.binary else 4 + n_near * (level >= 3) + (level == 4), 3 + n_near)
    magnitude = tuple(_coefficient(reader) for _ in range(sizes[0]))
    prediction = tuple(_coefficient(reader) for _ in range(sizes[1] if level == 4 else 0))
    return TileModel(mode, ranks, kernel, near, tuple(lags), mean, magnitude, prediction)


def _coefficient(reader: BitReader) -> int:
    return reader.number(1 << COEFFICIENT_BITS) - 128 if reader.number(2) else 0
