"""The numbers that the context code of a tile looks at, for all weights of the tile at once.

Every array is float32 (sums: float64) and holds whole numbers small enough to be exact, so the
values are those that a decoder computes in integers, whatever the order of additions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.context.model import CLIP, Kernel

Floats: TypeAlias = NDArray[Any]
#: Weights handled at once: their sums stay in the cache.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class FitGrid:
    """A regular grid of weights that coefficients are fitted on.

    Attributes
    ----------
    rows, columns : ndarray of int
        The grid's lines.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, shape: tuple[int, int], kernel: Kernel, most: int) -> FitGrid:
        """Take about `most` weights: whole rows, or where there are too few of them, columns."""
        n_rows, n_columns = shape
        step = -(-n_rows * n_columns // most)
        down = min(step, max(n_rows // 16, 1))
        across = -(-step // down)
        while across > 1 and kernel.size % across == 0:
            across += 1  # else it would meet the same places of each kernel alone
        return cls(np.arange(0, n_rows, down), np.arange(0, n_columns, across))

    @property
    def size(self) -> int:
        """How many weights it has."""
        return self.rows.size * self.columns.size


class TileFeatures:
    """What contexts are made of, for a tile of numbers h.

    Parameters
    ----------
    levels : ndarray of int, shape (rows, columns)
        h, row-major.
    kernel : Kernel
    """

    def __init__(self, levels: NDArray[Any], kernel: Kernel) -> None:
        self.shape: tuple[int, int] = (levels.shape[0], levels.shape[1])
        self.kernel = kernel
        #: h in sixteenths, cut to +-127.
        self.signed: Floats = np.clip(levels, -CLIP, CLIP).astype(np.float32) * np.float32(16)
        self.sized: Floats = np.abs(self.signed)

    @cached_property
    def mean(self) -> int:
        """Mean of abs(h) in sixteenths, at least 1."""
        return max(int(self.sized.sum(dtype=np.float64)) // self.sized.size, 1)

    @cached_property
    def scales(self) -> list[Floats]:
        """Running means of abs(h) along the row, the column and the kernel."""
        return self._means(self.sized, self.mean)

    @cached_property
    def means(self) -> list[Floats]:
        """Running means of h along the row, the column and the kernel."""
        return self._means(self.signed, 0)

    def _means(self, values: Floats, prior: int) -> list[Floats]:
        """Return what :func:`~kcomplexity.algorithms.context.model.running_mean` defines."""
        rows, columns = self.shape
        k = self.kernel.size
        along = np.cumsum(values, axis=1, dtype=np.float64)
        along -= values
        inside: Floats | None = None
        if k > 1:
            starts = np.repeat(along[:, ::k], k, axis=1)[:, :columns]
            inside = _mean(along - starts, np.arange(columns) % k, prior)
        down = np.cumsum(values, axis=0, dtype=np.float64)
        down -= values
        means = [
            _mean(along, np.arange(columns), prior),
            _mean(down, np.arange(rows)[:, None], prior),
        ]
        return means if inside is None else [*means, inside]

    def weighted(
        self,
        coefficients: Sequence[int],
        fields: Sequence[Floats | float],
        values: Floats,
        neighbours: Sequence[tuple[int, int]],
    ) -> Floats:
        """Return a weighted sum, in 1024ths.

        Parameters
        ----------
        coefficients : sequence of int
            In 64ths: those of `fields`, then of `neighbours`.
        fields : sequence of ndarray or float
            In sixteenths.
        values : ndarray
            What neighbours are taken from.
        neighbours : sequence of (int, int)
            Rows up, columns left.

        Returns
        -------
        ndarray of float32, shape (rows, columns)
            Below 2**24 in size: exact.
        """
        columns = self.shape[1]
        total = np.zeros(self.shape, np.float32)
        buffer = np.empty(max(_BLOCK, columns), np.float32)
        own = list(zip(coefficients, fields, strict=False))
        near = list(zip(coefficients[len(fields) :], neighbours, strict=False))
        for top, bottom in self._bands():
            for weight, field in own:
                if weight and isinstance(field, float):
                    total[top:bottom] += np.float32(weight * field)
                elif weight:
                    assert not isinstance(field, float)  # noqa: S101 - the branch above
                    _add(total[top:bottom], field[top:bottom], weight, buffer)
            for weight, (up, left) in near:
                first = max(top, up)
                if not weight or first >= bottom or abs(left) >= columns:
                    continue
                to, source = (
                    slice(max(left, 0), columns + min(left, 0)),
                    slice(max(-left, 0), columns - max(left, 0)),
                )
                _add(
                    total[first:bottom, to],
                    values[first - up : bottom - up, source],
                    weight,
                    buffer,
                )
        return total

    def _bands(self) -> Iterator[tuple[int, int]]:
        rows, columns = self.shape
        height = max(_BLOCK // columns, 1)
        for top in range(0, rows, height):
            yield top, min(top + height, rows)

    def sampled(
        self,
        sample: FitGrid,
        fields: Sequence[Floats | float],
        values: Floats,
        neighbours: Sequence[tuple[int, int]],
    ) -> NDArray[np.float64]:
        """Return the same fields and neighbours at the weights of a sample, one a row."""
        values_at = np.zeros((len(fields) + len(neighbours), sample.size))
        for line, field in zip(values_at, fields, strict=False):
            if isinstance(field, float):
                line[:] = field
            else:
                line[:] = field[np.ix_(sample.rows, sample.columns)].reshape(-1)
        columns = self.shape[1]
        for line, (up, left) in zip(values_at[len(fields) :], neighbours, strict=True):
            rows, places = sample.rows - up, sample.columns - left
            below, inside = rows >= 0, (places >= 0) & (places < columns)
            grid = line.reshape(sample.rows.size, sample.columns.size)
            grid[np.ix_(below, inside)] = values[np.ix_(rows[below], places[inside])]
        return values_at


def _mean(sums: Floats, counts: NDArray[Any], prior: int) -> Floats:
    """Return floor((sums + 4 prior) / (counts + 4)); `sums` are in sixteenths already.

    The quotient of whole numbers below 2**31 and 2**21 is never rounded across a whole number.
    """
    means = sums + 4.0 * prior
    means /= counts + 4.0
    return np.floor(means, out=means).astype(np.float32)


def _add(total: Floats, values: Floats, weight: int, buffer: Floats) -> None:
    """Add `weight` times `values` to `total`."""
    part = buffer[: values.size].reshape(values.shape)
    np.multiply(values, np.float32(weight), out=part)
    total += part
