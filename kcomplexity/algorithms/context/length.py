"""The length of a tile's context code, from counts: the fast path.

Contexts are computed for all weights of a tile at once; how often each symbol occurs in each cell
then gives the exact length of the sequential code of
:mod:`~kcomplexity.algorithms.context.codec`, without writing a bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.fit import Floats, fitted_models
from kcomplexity.algorithms.context.model import (
    CLIP,
    ESCAPE,
    FLAG_ORDERS,
    LEAST_FOR_MORE,
    MAGNITUDE_CELLS,
    N_CELLS,
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
from kcomplexity.algorithms.entropy_coding.lengths import two_part_bits
from kcomplexity.kernels import count_contexts, count_flags, tree_bits

_TOP = ESCAPE + 1


@dataclass(frozen=True)
class TileCode:
    """The codes that compete for one tile."""

    #: The whole length in each mode that the tile has.
    bits: Mapping[Mode, float]
    models: Mapping[Mode, TileModel]

    @property
    def best(self) -> Mode:
        """The mode of the shortest code; the simplest of equals."""
        return min(self.bits, key=lambda mode: self.bits[mode])


def tile_code(symbols: NDArray[Any], alphabet_size: int, kernel: Kernel) -> TileCode:
    """Return the lengths of the context codes of one tile.

    Time O(rows * columns), memory 24 bytes a weight (80 without compiled kernels).

    Parameters
    ----------
    symbols : ndarray of unsigned int, shape (rows, columns)
        Below `alphabet_size`.
    alphabet_size : int
    kernel : Kernel
    """
    rows, columns = symbols.shape
    values, counts = count_symbols(symbols, alphabet_size)
    ranks = Ranks.of(values, counts)
    sizes = 16 * np.minimum(np.abs(ranks.levels), CLIP)
    plain = TileModel(
        "enumerated",
        ranks,
        kernel,
        offsets(kernel, more=symbols.size >= LEAST_FOR_MORE),
        mean=max(int(counts @ sizes) // symbols.size, 1),
    )
    bits = order0_code(values, counts, alphabet_size)
    models: dict[Mode, TileModel] = {mode: plain.at(mode) for mode in bits}
    if values.size > 1:
        levels = _levels(symbols, ranks, alphabet_size)
        fitted = fitted_models(levels, plain)
        tables = [_table(levels, model) for model in fitted]
        for model, flags in zip(fitted, _flag_bits(tables, ranks, counts), strict=True):
            models[model.mode] = model
            bits[model.mode] = flags + header_bits(model, alphabet_size, rows, columns)
    return TileCode(bits, models)


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
        table = np.zeros((N_CELLS, 2 * _TOP + 1), np.int64)  # all weights are in one cell
        np.add.at(table[0], np.clip(ranks.levels, -_TOP, _TOP) + _TOP, counts)
        bits["order-0"] = header + _flag_bits([table], ranks, counts)[0]
    return bits


def _levels(symbols: NDArray[Any], ranks: Ranks, alphabet_size: int) -> Floats:
    """Return h of each symbol in sixteenths, cut to +-127."""
    table = 16 * np.clip(ranks.levels, -CLIP, CLIP).astype(np.float32)
    index: NDArray[Any] = symbols
    if alphabet_size <= 1 << 16:
        table, of_rank = np.zeros(alphabet_size, np.float32), table
        table[ranks.values] = of_rank
    else:
        index = np.searchsorted(ranks.values, index)
    levels: Floats = table[index]
    return levels


def _table(levels: Floats, model: TileModel) -> NDArray[np.int64]:
    """Count each h, mirrored where mu is negative and cut to +-15, in each cell."""
    binary = model.ranks.binary
    return count_contexts(
        levels,
        model.kernel.size,
        model.mean,
        (*model.neighbours, *model.lags),
        magnitude=model.magnitude,
        prediction=model.prediction,
        magnitude_cells=MAGNITUDE_CELLS,
        prediction_cells=SIGN_CELLS if binary else PREDICTION_CELLS,
        pattern=min(PATTERN, len(model.neighbours)) if binary else 0,
        top=_TOP,
    )


def _flag_bits(
    tables: Sequence[NDArray[np.int64]], ranks: Ranks, counts: NDArray[np.int64]
) -> list[float]:
    """Return, for each table, the bits of all flags, gamma codes and low bits."""
    coded = slice(1, 2) if ranks.binary else slice(0, 2 + ranks.n_greater)
    zeros, ones = zip(*map(count_flags, tables), strict=True)
    bits = tree_bits(
        np.concatenate([z[coded] for z in zeros]),
        np.concatenate([o[coded] for o in ones]),
        FLAG_ORDERS,
    )
    gamma, low = _gamma_bits(ranks, counts), int(counts.sum()) * ranks.shift
    return [float(flags.sum()) + gamma + low for flags in bits.reshape(len(tables), -1)]


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
