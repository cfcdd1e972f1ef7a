"""What BDM gathers of a stream of symbols: blocks side by side, overlapping windows, or tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm import (
    BdmResult,
    BdmTiles,
    BlockCounter,
    BlockCounts,
    Decomposition,
    bdm_result,
    bdm_tiles,
    n_covered,
)
from kcomplexity.algorithms.bdm.decomposition import as_symbols
from kcomplexity.algorithms.counting import LARGEST_TABLE, SORTING_MEMORY
from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Cut, Every, Rows, State, Whole
from kcomplexity.tensors.pieces import LEAF

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
        return BlockState(BlockCounter(self.how))


@dataclass
class BlockState(State):
    """Blocks counted so far."""

    counter: BlockCounter

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        self.counter.add(as_symbols(chunk, self.counter.how))

    def finish(self) -> None:
        self.counter.finish()

    def __add__(self, other: BlockState) -> BlockState:
        return BlockState(self.counter + other.counter)

    def counts(self) -> BlockCounts:
        return self.counter.counts()

    def result(self) -> BdmResult:
        return bdm_result(self.counts())


@dataclass(frozen=True)
class Windows:
    """Count overlapping windows: one ordered stream, of rows in two dimensions."""

    how: Decomposition
    shape: tuple[int, int]
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        return 64 << 20 if self.how.n_codes <= LARGEST_TABLE else SORTING_MEMORY

    def start(self) -> State:
        row = self.shape[1] if self.how.ndim == 2 else 1
        return WindowState(BlockCounter(self.how), row, np.empty(0, np.uint8))


@dataclass
class WindowState(State):
    """Windows counted so far, and the rows that later windows still need.

    In one dimension a "row" is one symbol.
    """

    counter: BlockCounter
    row: int
    kept: NDArray[Any]
    n_symbols: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        how = self.counter.how
        self.n_symbols += chunk.size
        flat = np.concatenate([self.kept, chunk.reshape(-1)])
        n_windows = max((flat.size // self.row - how.side) // how.shift + 1, 0)
        if n_windows:
            used = flat[: ((n_windows - 1) * how.shift + how.side) * self.row]
            used = used.reshape(-1, self.row) if how.ndim == 2 else used
            self.counter.add(as_symbols(used, how))
        self.kept = flat[n_windows * how.shift * self.row :].copy()

    def finish(self) -> None:
        self.counter.finish()

    def __add__(self, other: WindowState) -> WindowState:
        # One of the two is the empty state that a fold starts with.
        return other if not self.n_symbols else self

    def result(self) -> BdmResult:
        how = self.counter.how
        # Chunks overlap, so their counts of ignored symbols are wrong: the shape alone says how
        # many symbols no window covers.
        rows = self.n_symbols // self.row
        axes = (rows, self.row) if how.ndim == 2 else (rows,)
        covered = math.prod(n_covered(n, how.side, how.shift) for n in axes)
        return bdm_result(replace(self.counter.counts(), n_ignored=self.n_symbols - covered))


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
    """BDM of the tiles seen so far, added exactly at the end."""

    how: Decomposition
    tile: int
    tiles: list[BdmTiles] = field(default_factory=list)
    n_ignored: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        if min(chunk.shape) < self.how.side:
            self.n_ignored += chunk.size
            return
        how = self.how
        self.tiles.append(bdm_tiles(chunk, self.tile, n_symbols=how.n_symbols, block=how.side))

    def __add__(self, other: TileState) -> TileState:
        n_ignored = self.n_ignored + other.n_ignored
        return TileState(self.how, self.tile, self.tiles + other.tiles, n_ignored)

    def result(self) -> BdmResult:
        if not self.tiles:
            raise UnmeasurableError(f"no tile holds a block: {self.n_ignored} symbols")
        return BdmResult(
            bits=math.fsum(x for t in self.tiles for x in t.values.flat if not math.isnan(x)),
            block_entropy=math.nan,
            n_blocks=sum(t.n_blocks for t in self.tiles),
            n_codes_seen=sum(t.n_codes_seen for t in self.tiles),
            n_missing=sum(t.n_missing for t in self.tiles),
            n_ignored=self.n_ignored + sum(t.n_ignored for t in self.tiles),
            saturation=max(t.saturation for t in self.tiles),
        )
