"""What BDM gathers of a stream of symbols: blocks side by side, overlapping windows, or tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm import (
    BdmResult,
    BlockCounts,
    Decomposition,
    bdm_result,
    bdm_tiles,
    binary_counts_1d,
    binary_counts_2d,
    n_covered,
)
from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import LEAF, Cut, Every, Rows, State, Whole

__all__ = ["BlockState", "Blocks", "TileState", "Tiles", "WindowState", "Windows"]

#: Columns of a 2-D chunk, at most; rounded down to whole blocks.
_WIDTH = 1 << 18


@dataclass(frozen=True)
class Blocks:
    """Count blocks that lie side by side."""

    how: Decomposition
    memory: int = field(default=8 << 20, init=False)

    @property
    def cut(self) -> Cut:
        side = self.how.side
        if self.how.ndim == 2:
            return Rows(side, _WIDTH - _WIDTH % side)
        return Every(math.lcm(LEAF, side))

    def start(self) -> State:
        return _DenseState(self.how) if self.how.is_usual_binary else _CountState(self.how)


class BlockState(State):
    """Blocks counted so far."""

    def counts(self) -> BlockCounts:
        """Return the counts."""
        raise NotImplementedError

    def result(self) -> BdmResult:
        """Return BDM and its facts."""
        return bdm_result(self.counts())


@dataclass
class _CountState(BlockState):
    how: Decomposition
    seen: BlockCounts | None = None

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        found = self.how.count(chunk)
        self.seen = found if self.seen is None else self.seen + found

    def __add__(self, other: _CountState) -> _CountState:
        if self.seen is None or other.seen is None:
            return _CountState(self.how, self.seen or other.seen)
        return _CountState(self.how, self.seen + other.seen)

    def counts(self) -> BlockCounts:
        return self.seen or BlockCounts(self.how, {})


@dataclass
class _DenseState(BlockState):
    """The usual binary blocks, in an array with a number for each of their codes."""

    how: Decomposition
    dense: NDArray[np.int64] | None = None
    n_symbols: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        count = binary_counts_2d if self.how.ndim == 2 else binary_counts_1d
        self.dense = count(chunk, out=self.dense)
        self.n_symbols += chunk.size

    def __add__(self, other: _DenseState) -> _DenseState:
        if self.dense is None or other.dense is None:
            dense = self.dense if other.dense is None else other.dense
        else:
            dense = self.dense + other.dense
        return _DenseState(self.how, dense, self.n_symbols + other.n_symbols)

    def counts(self) -> BlockCounts:
        if self.dense is None:
            return BlockCounts(self.how, {})
        n_ignored = self.n_symbols - int(self.dense.sum()) * self.how.size
        return BlockCounts.from_dense(self.dense, self.how, n_ignored)


@dataclass(frozen=True)
class Windows:
    """Count overlapping windows: one ordered stream, of rows in two dimensions."""

    how: Decomposition
    shape: tuple[int, int]
    cut: Cut = field(default=Whole(), init=False)
    memory: int = field(default=64 << 20, init=False)

    def start(self) -> State:
        row = self.shape[1] if self.how.ndim == 2 else 1
        return WindowState(self.how, row, np.empty(0, np.uint8))


@dataclass
class WindowState(State):
    """Windows counted so far, and the rows that later windows still need.

    In one dimension a "row" is one symbol.
    """

    how: Decomposition
    row: int
    kept: NDArray[Any]
    seen: BlockCounts | None = None
    n_symbols: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        self.n_symbols += chunk.size
        flat = np.concatenate([self.kept, chunk.reshape(-1)])
        n_rows = flat.size // self.row
        n_windows = max((n_rows - self.how.side) // self.how.shift + 1, 0)
        if n_windows:
            used = flat[: ((n_windows - 1) * self.how.shift + self.how.side) * self.row]
            found = self.how.count(used.reshape(-1, self.row) if self.how.ndim == 2 else used)
            self.seen = found if self.seen is None else self.seen + found
        self.kept = flat[n_windows * self.how.shift * self.row :].copy()

    def __add__(self, other: WindowState) -> WindowState:
        # One of the two is the empty state that a fold starts with.
        return other if not self.n_symbols else self

    def result(self) -> BdmResult:
        seen = self.seen or BlockCounts(self.how, {}, self.n_symbols)
        # Pieces count the overlap of their neighbours as left out: what no window covers is told
        # by the shape alone.
        rows = self.n_symbols // self.row
        axes = (rows, self.row) if self.how.ndim == 2 else (rows,)
        covered = math.prod(n_covered(n, self.how.side, self.how.shift) for n in axes)
        return bdm_result(BlockCounts(self.how, seen.by_size, self.n_symbols - covered))


@dataclass(frozen=True)
class Tiles:
    """BDM of each tile."""

    how: Decomposition
    tile: int
    memory: int = field(default=8 << 20, init=False)

    @property
    def cut(self) -> Cut:
        if self.how.ndim == 2:
            return Rows(self.tile, max(_WIDTH // self.tile, 1) * self.tile)
        return Every(math.lcm(LEAF, self.tile))

    def start(self) -> State:
        return TileState(self.how, self.tile)


@dataclass
class TileState(State):
    """BDM of the tiles seen so far: one float a tile, added exactly at the end."""

    how: Decomposition
    tile: int
    bits: list[float] = field(default_factory=list)
    n_blocks: int = 0
    n_codes_seen: int = 0
    n_missing: int = 0
    n_ignored: int = 0
    saturation: float = 0.0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        if min(chunk.shape) < self.how.side:
            self.n_ignored += chunk.size
            return
        found = bdm_tiles(chunk, self.tile, n_symbols=self.how.n_symbols, block=self.how.side)
        self.bits += found.values[~np.isnan(found.values)].tolist()
        self.n_blocks += found.n_blocks
        self.n_codes_seen += found.n_codes_seen
        self.n_missing += found.n_missing
        self.n_ignored += found.n_ignored
        self.saturation = max(self.saturation, found.saturation)

    def __add__(self, other: TileState) -> TileState:
        return TileState(
            self.how,
            self.tile,
            self.bits + other.bits,
            self.n_blocks + other.n_blocks,
            self.n_codes_seen + other.n_codes_seen,
            self.n_missing + other.n_missing,
            self.n_ignored + other.n_ignored,
            max(self.saturation, other.saturation),
        )

    def result(self) -> BdmResult:
        if not self.bits:
            raise UnmeasurableError(f"no tile holds a block: {self.n_ignored} symbols")
        return BdmResult(
            math.fsum(self.bits),
            math.nan,
            self.n_blocks,
            self.n_codes_seen,
            self.n_missing,
            self.n_ignored,
            self.saturation,
        )
