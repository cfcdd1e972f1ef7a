"""The length of a tile's context code, from counts: the fast path.

Contexts are computed for all weights of a tile at once; how often each symbol occurs in each cell
then gives the exact length of the sequential code of
:mod:`~kcomplexity.algorithms.context.codec`, without writing a bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.features import FitGrid, Floats, TileFeatures
from kcomplexity.algorithms.context.fit import MOST_FITTED, coefficients, strong_lags
from kcomplexity.algorithms.context.model import (
    CLIP,
    ESCAPE,
    FLAG_ORDERS,
    LEAST_FOR_MORE,
    MAGNITUDE_CELLS,
    N_CELLS,
    N_FLAGS,
    PATTERN,
    PREDICTION_CELLS,
    SIGN_CELLS,
    Kernel,
    Mode,
    Ranks,
    TileModel,
    header_bits,
    offsets,
)
from kcomplexity.algorithms.counting import count_symbols
from kcomplexity.algorithms.entropy_coding.context_tree import tree_bits
from kcomplexity.algorithms.entropy_coding.lengths import two_part_bits

_TOP = ESCAPE + 1
_LEVELS = 2 * _TOP + 1


@dataclass(frozen=True)
class TileCode:
    """The codes that compete for one tile.

    Attributes
    ----------
    bits : dict of Mode to float
        The whole length in each mode that the tile has.
    models : dict of Mode to TileModel
    """

    bits: Mapping[Mode, float]
    models: Mapping[Mode, TileModel]

    @property
    def best(self) -> Mode:
        """The mode of the shortest code; the simplest of equals."""
        return min(self.bits, key=lambda mode: self.bits[mode])


def tile_code(symbols: NDArray[Any], alphabet_size: int, kernel: Kernel) -> TileCode:
    """Return the lengths of the context codes of one tile.

    Parameters
    ----------
    symbols : ndarray of unsigned int, shape (rows, columns)
        Below `alphabet_size`.
    alphabet_size : int
    kernel : Kernel

    Returns
    -------
    TileCode
        Time O(rows * columns), memory some 70 bytes a weight.
    """
    rows, columns = symbols.shape
    flat = symbols.reshape(-1)
    values, counts = count_symbols(flat, alphabet_size)
    ranks = Ranks.of(values, counts)
    neighbours = offsets(kernel, more=flat.size >= LEAST_FOR_MORE)
    plain = TileModel("enumerated", ranks, kernel, neighbours)
    bits = order0_code(values, counts, alphabet_size)
    models: dict[Mode, TileModel] = {mode: plain.at(mode) for mode in bits}
    if values.size > 1:
        coder = _Coder(ranks, _ranks(symbols, values, alphabet_size), plain)
        for mode, model, table in coder.modes():
            models[mode] = model
            bits[mode] = _flag_bits(table, ranks, counts)
            bits[mode] += header_bits(model, alphabet_size, rows, columns)
    return TileCode(bits, models)


def _ranks(symbols: NDArray[Any], values: NDArray[np.int64], alphabet_size: int) -> NDArray[Any]:
    """Return the rank of each symbol among those that occur."""
    if alphabet_size <= 1 << 16:
        ranks = np.zeros(alphabet_size, np.int32)
        ranks[values] = np.arange(values.size)
        rank_of: NDArray[Any] = ranks[symbols]
        return rank_of
    return np.searchsorted(values, symbols)


class _Coder:
    """Contexts and lengths of a tile of at least two symbols.

    A table counts how often each h, mirrored where mu is negative and cut to +-15, occurs in each
    cell: all flags follow from it.
    """

    def __init__(self, ranks: Ranks, index: NDArray[Any], plain: TileModel) -> None:
        self.ranks = ranks
        self.plain = plain
        self.shape = index.shape
        levels = np.clip(ranks.levels, -(1 << 14), 1 << 14).astype(np.int16)
        self.levels: NDArray[np.int16] = levels[index]
        self.cut = np.clip(levels, -_TOP, _TOP).astype(np.int32)[index]

    def modes(self) -> list[tuple[Mode, TileModel, NDArray[np.int64]]]:
        """Return each mode that sees positions with its model and its table."""
        modes: list[tuple[Mode, TileModel, NDArray[np.int64]]] = []
        features = TileFeatures(self.levels, self.plain.kernel)
        sample = FitGrid.of(features.shape, features.kernel, MOST_FITTED)
        model = TileModel(
            "prediction",
            self.ranks,
            self.plain.kernel,
            self.plain.neighbours,
            lags=strong_lags(features, self.plain.neighbours)
            if self.levels.size >= LEAST_FOR_MORE
            else (),
            mean=features.mean,
        )
        fitted = _Fitted(model, features, sample)
        if self.ranks.binary:
            model, x, negative, mu = fitted.prediction()
            modes.append(
                ("prediction", model, self._table(self._pattern(features, mu), x, negative))
            )
            return modes
        nested: tuple[Mode, ...] = ("scale", "magnitude")
        for mode in nested:
            model, m = fitted.magnitude(mode)
            modes.append((mode, model, self._table(m)))
        model, x, negative, mu = fitted.prediction()
        model, m = fitted.magnitude("prediction", model, mu)
        modes.append(("prediction", model, self._table(m, x, negative)))
        return modes

    def _table(
        self,
        m: NDArray[Any],
        x: NDArray[Any] | None = None,
        negative: NDArray[Any] | None = None,
    ) -> NDArray[np.int64]:
        cell = m.astype(np.int32)
        cell <<= 4
        level = self.cut
        if x is not None and negative is not None:
            cell += x
            level = np.where(negative, -level, level)
        cell *= _LEVELS
        cell += level
        cell += _TOP
        table = np.bincount(cell.reshape(-1), minlength=N_CELLS * _LEVELS)
        return table.reshape(N_CELLS, _LEVELS)

    def _pattern(self, features: TileFeatures, mu: Floats) -> NDArray[np.uint8]:
        """Return which of the first neighbours have the sign of mu, the first one highest."""
        pattern = np.zeros(self.shape, np.uint8)
        sign = np.where(mu < 0, np.float32(-1), np.float32(1))
        for bit, place in enumerate(self.plain.neighbours[:PATTERN]):
            near = features.weighted((1,), (), features.signed, (place,))
            near *= sign
            pattern |= (near > 0).view(np.uint8) << np.uint8(PATTERN - 1 - bit)
        return pattern


def order0_code(
    values: NDArray[np.int64], counts: NDArray[np.int64], alphabet_size: int
) -> dict[Mode, float]:
    """Return the lengths of the codes that see no positions, all side information counted.

    Parameters
    ----------
    values, counts : ndarray of int64, shape (d,)
        The symbols that occur, ascending, and how often each does.
    alphabet_size : int
    """
    ranks, n = Ranks.of(values, counts), int(counts.sum())
    model = TileModel("enumerated", ranks, Kernel(), ())
    header = header_bits(model, alphabet_size, 1, n)
    bits: dict[Mode, float] = {"enumerated": header + two_part_bits(counts, alphabet_size)}
    if values.size > 1:
        header = header_bits(model.at("order-0"), alphabet_size, 1, n)
        bits["order-0"] = header + _flag_bits(_alone(ranks, counts), ranks, counts)
    return bits


def _alone(ranks: Ranks, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the table of a tile whose weights are all in one cell."""
    table = np.zeros((N_CELLS, _LEVELS), np.int64)
    np.add.at(table[0], np.clip(ranks.levels, -_TOP, _TOP) + _TOP, counts)
    return table


def _flag_bits(table: NDArray[np.int64], ranks: Ranks, counts: NDArray[np.int64]) -> float:
    """Return the bits of all flags, gamma codes and low bits."""
    zeros, ones = _flag_counts(table)
    coded = slice(1, 2) if ranks.binary else slice(0, 2 + ranks.n_greater)
    bits = float(tree_bits(zeros[coded], ones[coded], FLAG_ORDERS).sum())
    if ranks.binary:
        return bits
    return bits + _gamma_bits(ranks, counts) + int(counts.sum()) * ranks.shift


def _gamma_bits(ranks: Ranks, counts: NDArray[np.int64]) -> float:
    """Return the bits of the levels beyond the flags: exponent by adaptive flags, then rest."""
    beyond = np.abs(ranks.levels) - ESCAPE
    counts = counts[beyond > 0]
    if not counts.size:
        return 0.0
    exponents = np.frexp(beyond[beyond > 0].astype(np.float64))[1] - 1
    of = np.bincount(exponents, counts.astype(np.float64)).astype(np.int64)
    ones = of[::-1].cumsum()[::-1] - of
    bits = tree_bits(of[:, None], ones[:, None], ((), ()))
    return float(bits.sum()) + float((counts * exponents).sum())


class _Fitted:
    """Fits the coefficients of each mode and computes the cells that follow."""

    def __init__(self, model: TileModel, features: TileFeatures, sample: FitGrid) -> None:
        self.model = model
        self.features = features
        self.sample = sample
        self.n = features.signed.size

    def magnitude(
        self, mode: Mode, model: TileModel | None = None, mu: Floats | None = None
    ) -> tuple[TileModel, NDArray[np.uint8]]:
        """Return the model with coefficients of m, and M."""
        features = self.features
        rows, columns, *inside = features.scales
        fields: list[Floats | float] = [rows, columns, *(inside or (0.0,)), 16.0]
        near = (*self.model.neighbours, *self.model.lags)
        if mode == "scale":
            fields[2], near = 0.0, ()
        parts = [features.sampled(self.sample, fields, features.sized, near)]
        if mu is not None:
            sixteenths = np.minimum(np.floor(np.abs(mu) / np.float32(64)), np.float32(16 * CLIP))
            parts.append(features.sampled(self.sample, [sixteenths], features.sized, ()))
        (target,) = features.sampled(self.sample, [features.sized], features.sized, ())
        chosen = coefficients(np.concatenate(parts), target, self.n)
        m = features.weighted(chosen, fields, features.sized, near)
        if mu is not None and chosen[-1]:
            m += np.float32(chosen[-1]) * sixteenths
        np.clip(m, 0, MAGNITUDE_CELLS.size - 1, out=m)
        model = (model or self.model).at(mode)
        return replace(model, magnitude=chosen), MAGNITUDE_CELLS[m.astype(np.int16)]

    def prediction(self) -> tuple[TileModel, NDArray[np.uint8], NDArray[np.bool_], Floats]:
        """Return the model with coefficients of mu, x, where mu is negative, and mu."""
        features = self.features
        rows, columns, *inside = features.means
        fields: list[Floats | float] = [rows, columns, *(inside or (0.0,))]
        near = (*self.model.neighbours, *self.model.lags)
        inputs = features.sampled(self.sample, fields, features.signed, near)
        (target,) = features.sampled(self.sample, [features.signed], features.signed, ())
        chosen = coefficients(inputs, target, self.n)
        mu = features.weighted(chosen, fields, features.signed, near)
        cells = SIGN_CELLS if self.model.ranks.binary else PREDICTION_CELLS
        size = np.minimum(np.abs(mu), np.float32(cells.size - 1))
        model = replace(self.model, prediction=chosen)
        return model, cells[size.astype(np.int16)], mu < 0, mu


def _flag_counts(table: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how often each flag is 0 and 1 in each context, from the table of levels.

    A context is the cell, and half a table further on where h and mu differ in sign.
    """
    zeros = np.zeros((N_FLAGS, 2, N_CELLS), np.int64)
    ones = np.zeros_like(zeros)
    below, above = table[:, :_TOP][:, ::-1], table[:, _TOP + 1 :]  # by abs(h) - 1
    ones[0, 0] = table[:, _TOP]
    zeros[0, 0] = below.sum(axis=1) + above.sum(axis=1)
    ones[1, 0], zeros[1, 0] = below.sum(axis=1), above.sum(axis=1)
    for side, sized in enumerate((above, below)):
        zeros[2:, side] = sized[:, :ESCAPE].T
        ones[2:, side] = sized.sum(axis=1) - sized[:, :ESCAPE].cumsum(axis=1).T
    return zeros.reshape(N_FLAGS, -1), ones.reshape(N_FLAGS, -1)
