"""What BDM gathers of a stream of symbols: blocks side by side, overlapping windows, or tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.bdm import (
    BdmResult,
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
from kcomplexity.parallel import LEAF, Cut, Every, Rows, State, Whole

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
        how = self.counter.how
        # The fast path takes any number above zero as 1; other codes would run over.
        self.counter.add(chunk if how.is_usual_binary else as_symbols(chunk, how))

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
        tiles = bdm_tiles(chunk, self.tile, n_symbols=self.how.n_symbols, block=self.how.side)
        self.bits += tiles.values[~np.isnan(tiles.values)].tolist()
        self.n_blocks += tiles.n_blocks
        self.n_codes_seen += tiles.n_codes_seen
        self.n_missing += tiles.n_missing
        self.n_ignored += tiles.n_ignored
        self.saturation = max(self.saturation, tiles.saturation)

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
