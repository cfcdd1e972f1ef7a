"""Read a tensor once for all its reducers: :func:`fold`, and the jobs it hands to the pool."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kcomplexity.parallel.contract import (
    Cut,
    Every,
    Piece,
    Reducer,
    Rows,
    State,
    Whole,
    finish_state,
    merge_states,
    read_key,
    start_state,
    update_state,
)
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.pieces import FRAME, spans

#: Weights handled at once when nothing asks for more: 1 MiB of float32 stays in the L2 cache.
_PIECE = 1 << 18
#: Weights per job, so that handing it out costs nothing beside doing it.
_JOB = 1 << 22


def largest_chunk(cut: Cut) -> int:
    """Return how many weights a chunk of these cuts has at most, handled one at a time."""
    if isinstance(cut, Rows):
        return max(cut.height * cut.width, _PIECE) + cut.halo * cut.width
    return max(cut.n, _PIECE) if isinstance(cut, Every) else FRAME


def fold(tensor: Tensor, reducers: Sequence[Reducer], pool: Pool, *, work: int = 1) -> list[State]:
    """Run all `reducers` over `tensor` and return their final states, in the same order.

    Reducers that cut along weights share one read; each distinct 2-D cut and each ordered stream
    has a read of its own.

    Parameters
    ----------
    tensor : Tensor
        Addressable; see :func:`~kcomplexity.parallel.spool`.
    reducers : sequence of Reducer
    pool : Pool
        Where the cuts are computed.
    work : int
        How many times the tensor's bytes count on the progress bar.

    Returns
    -------
    list of State
        :class:`~kcomplexity.parallel.Failed` in place of a state whose reducer raised.
    """
    states: list[State | None] = [None] * len(reducers)
    groups = _groups(reducers)
    for order, members in enumerate(groups):
        chosen = tuple(reducers[i] for i in members)
        share = _part(tensor.n_bytes * work, order, order + 1, len(groups))
        for results in pool.run(_jobs(tensor, chosen, pool.piece, share)):
            for i, state in zip(members, results, strict=True):
                before = states[i]
                states[i] = state if before is None else merge_states(before, state)
    # A tensor without weights has no jobs.
    return [
        start_state(reducer) if state is None else state
        for reducer, state in zip(reducers, states, strict=True)
    ]


def _part(total: int, start: int, stop: int, of: int) -> int:
    """Return the share of `total` from `start` to `stop`, so that all shares add up to it."""
    return total * stop // of - total * start // of


#: Weights may be any bits: values that are not finite are counted, without a warning.
_QUIET = np.errstate(over="ignore", invalid="ignore")


@dataclass(frozen=True)
class _Job(ABC):
    """Feed some reducers the weights or the rows `start` to `stop`, `step` at a time."""

    tensor: Tensor
    reducers: tuple[Reducer, ...]
    start: int
    stop: int
    step: int
    work: int

    @property
    def memory(self) -> int:
        # One reducer works at a time, on the same piece.
        chunk = self.tensor.dtype.n_bytes(self.largest_piece())
        return chunk + max(reducer.memory for reducer in self.reducers)

    @abstractmethod
    def largest_piece(self) -> int:
        """Return how many weights a piece has at most."""

    @abstractmethod
    def pieces(self) -> Iterator[tuple[Piece, Any]]:
        """Yield each piece, and where it starts."""

    @_QUIET
    def __call__(self) -> list[State]:
        states = [start_state(reducer) for reducer in self.reducers]
        for piece, at in self.pieces():
            states = [update_state(s, piece, at) for s in states]
        return [finish_state(s) for s in states]


class _Run(_Job):
    """A run of weights."""

    def largest_piece(self) -> int:
        return min(self.step, self.stop - self.start)

    def pieces(self) -> Iterator[tuple[Piece, int]]:
        dtype = self.tensor.dtype
        buffer = np.empty(dtype.n_bytes(self.largest_piece()), np.uint8)
        for at in range(self.start, self.stop, self.step):
            end = min(at + self.step, self.stop)
            yield Piece(dtype, self.tensor.raw(at, end, buffer), (end - at,)), at


@dataclass(frozen=True)
class _Band(_Job):
    """Rows of the matrix form, for reducers of one 2-D cut."""

    cut: Rows

    def largest_piece(self) -> int:
        rows = min(self.step, self.stop - self.start) + self.cut.halo
        return rows * min(self.cut.width, self.tensor.matrix_shape[1])

    def pieces(self) -> Iterator[tuple[Piece, tuple[int, int]]]:
        columns = self.tensor.matrix_shape[1]
        for row in range(self.start, self.stop, self.step):
            top, bottom = max(row - self.cut.halo, 0), min(row + self.step, self.stop)
            for left in range(0, columns, self.cut.width):
                right = min(left + self.cut.width, columns)
                yield _rectangle(self.tensor, top, bottom, left, right), (row, left)


def _groups(reducers: Sequence[Reducer]) -> list[list[int]]:
    """Return the indices of the reducers, grouped by the read they can share."""
    groups: dict[object, list[int]] = {}
    for i, reducer in enumerate(reducers):
        cut = reducer.cut
        # An ordered stream is one long job: streams of their own run side by side.
        groups.setdefault((Whole, i) if cut == Whole() else read_key(cut), []).append(i)
    return list(groups.values())


def _jobs(tensor: Tensor, reducers: tuple[Reducer, ...], piece: int, share: int) -> Iterator[_Job]:
    n = tensor.n_weights
    cut = reducers[0].cut
    if isinstance(cut, Rows):
        rows, columns = tensor.matrix_shape
        # By the matrix alone, never by the machine: floats are added chunk by chunk.
        step = max(_PIECE // max(cut.height * columns, 1), 1) * cut.height
        bands = max(_JOB // max(step * columns, 1), 1) * step
        for row, end in spans(rows, bands):
            yield _Band(tensor, reducers, row, end, step, _part(share, row, end, rows), cut)
        return
    if isinstance(cut, Whole):
        if n:
            yield _Run(tensor, reducers, 0, n, FRAME, share)
        return
    unit = math.lcm(*(reducer.cut.n for reducer in reducers if isinstance(reducer.cut, Every)))
    step = piece * unit if piece > 1 else max(unit, _PIECE // unit * unit)
    length = max(_JOB // step, 1) * step
    for start, end in spans(n, length):
        yield _Run(tensor, reducers, start, end, step, _part(share, start, end, n))


def _rectangle(tensor: Tensor, top: int, bottom: int, left: int, right: int) -> Piece:
    """Read a rectangle of the matrix form: one read if it spans whole rows, else one a row."""
    columns = tensor.matrix_shape[1]
    starts = range(top * columns, bottom * columns, columns)
    shape = (bottom - top, right - left)
    if tensor.dtype.bits < 8:
        # Packed rows need not start on a byte: unpack, then pack the rectangle anew.
        values = [tensor.read(at + left, at + right) for at in starts]
        return Piece(tensor.dtype, tensor.dtype.encode(np.concatenate(values)), shape)
    if right - left == columns:
        return Piece(tensor.dtype, tensor.raw(top * columns, bottom * columns), shape)
    raw = np.empty((bottom - top, tensor.dtype.n_bytes(right - left)), np.uint8)
    for row, at in zip(raw, starts, strict=True):
        row[:] = tensor.raw(at + left, at + right)
    return Piece(tensor.dtype, raw.reshape(-1), shape)
