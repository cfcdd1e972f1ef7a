"""Blocks: a tensor's weights cut into rows of s, and joined again exactly.

Two shapes of block. *Runs* of s weights follow each other through the flat, row-major tensor; the
last is padded with zeros. *Rectangles* of R x C tile the matrix form (d0, product of the rest),
padded at the right and the bottom. Padding is not a weight: it is dropped when blocks are joined
and never counted as distortion.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import SpecError

Array = NDArray[Any]


@dataclass(frozen=True)
class BlockShape:
    """Rows and columns of the matrix form in a block; height 0 for runs of the flat tensor."""

    height: int
    width: int

    @classmethod
    def parse(cls, text: str | int) -> BlockShape:
        """Parse ``"4"`` (runs of 4) or ``"2x4"`` (rectangles of 2 rows by 4 columns).

        Examples
        --------
        >>> BlockShape.parse("2x4").size
        8
        """
        match = re.fullmatch(r"(?:(\d{1,5})x)?(\d{1,5})", str(text).strip().lower())
        if not match or int(match[2]) == 0 or (match[1] and int(match[1]) == 0):
            raise SpecError(
                f"block size {str(text)!r}: expected a number of weights such as 4, or "
                "ROWSxCOLUMNS such as 2x4, each in 1..99999"
            )
        return cls(int(match[1] or 0), int(match[2]))

    def __str__(self) -> str:
        return f"{self.height}x{self.width}" if self.height else str(self.width)

    @property
    def size(self) -> int:
        """Weights in one block, s."""
        return max(self.height, 1) * self.width


@dataclass(frozen=True)
class Tiling:
    """Where the blocks of one tensor, whose matrix form is rows x columns, lie."""

    rows: int
    columns: int
    block: BlockShape

    @property
    def n_weights(self) -> int:
        """Weights of the tensor."""
        return self.rows * self.columns

    @property
    def blocks_across(self) -> int:
        """Blocks in a row of blocks; for runs, the nearest whole number."""
        if self.block.height:
            return math.ceil(self.columns / self.block.width)
        return max(round(self.columns / self.block.width), 1)

    @property
    def n_blocks(self) -> int:
        """Blocks of the tensor, m."""
        if self.block.height:
            return math.ceil(self.rows / self.block.height) * self.blocks_across
        return math.ceil(self.n_weights / self.block.width)

    def split(self, weights: Array) -> Array:
        """Cut weights, of shape (n_weights,), into blocks, of shape (n_blocks, size).

        The dtype stays. Blocks are padded with zeros; runs that need no padding are a view.
        """
        block = self.block
        if not block.height:
            missing = self.n_blocks * block.width - weights.size
            return (np.pad(weights, (0, missing)) if missing else weights).reshape(-1, block.width)
        across, down = self.blocks_across, math.ceil(self.rows / block.height)
        matrix = np.zeros((down * block.height, across * block.width), weights.dtype)
        matrix[: self.rows, : self.columns] = weights.reshape(self.rows, self.columns)
        tiles = matrix.reshape(down, block.height, across, block.width).transpose(0, 2, 1, 3)
        return np.ascontiguousarray(tiles).reshape(-1, block.size)

    def covering(self, start: int, stop: int) -> tuple[int, int, int]:
        """Return which blocks hold weights `start` to `stop`, and the first weight they hold.

        The last block is excluded. Rectangles come in whole rows of blocks.
        """
        block = self.block
        if not block.height:
            return start // block.width, math.ceil(stop / block.width), start - start % block.width
        weights = block.height * max(self.columns, 1)
        first, last = start // weights, math.ceil(stop / weights)
        return first * self.blocks_across, last * self.blocks_across, first * weights

    def join(self, blocks: Array) -> Array:
        """Join all blocks, or those of :meth:`covering`, to weights again, padding included.

        What lies past the tensor's last weight is padding.
        """
        block = self.block
        if not block.height:
            return blocks.reshape(-1)
        across = self.blocks_across
        tiles = blocks.reshape(-1, across, block.height, block.width).transpose(0, 2, 1, 3)
        return tiles.reshape(-1, across * block.width)[:, : self.columns].reshape(-1)
