"""How the words of a tensor trade places, every order being equally likely.

A row, or a band of columns, is permuted in memory; a row too long for that is scattered into
buckets first. Where the words go is a :class:`~kcomplexity.controls.stores.Sink`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity import kernels
from kcomplexity.controls.stores import Sink
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import stored_words
from kcomplexity.tensors.pieces import FRAME, spans
from kcomplexity.tensors.random import generator

Words = NDArray[Any]
#: Weights that are permuted in memory. Above, they are scattered into buckets on disk first. It
#: is part of the definition: another threshold is another permutation.
_IN_MEMORY = 1 << 26
#: Weights of a block of whole rows; changes nothing but the memory.
_BLOCK = 1 << 22
#: One random byte picks the bucket. A bucket then fits in memory up to 2**34 weights.
_BUCKETS = 256


def fits_in_memory(tensor: Tensor) -> bool:
    """Whether all words of one tensor are permuted in memory."""
    return tensor.n_weights <= _IN_MEMORY


def working_bytes(tensor: Tensor) -> int:
    """Return about what permuting one tensor takes at its peak."""
    n, width = tensor.n_weights, tensor.dtype.word.itemsize
    scattering = (9 + 2 * width) * FRAME if n > _IN_MEMORY else 0
    return min(n, _IN_MEMORY) * width + scattering


def permute_rows(tensor: Tensor, rows: int, columns: int, key: int, sink: Sink) -> None:
    """Permute inside each row; a row too long for memory goes through buckets."""
    if columns > _IN_MEMORY:
        for row in range(rows):
            _scatter(tensor, row * columns, columns, partial(_stream, key, row), sink)
        return
    rng = generator(key, 0)
    step = max(_BLOCK // max(columns, 1), 1)
    # The generator goes on from row to row, so that blocks of any height give the same weights.
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        words = _own_words(tensor, top * columns, bottom * columns)
        kernels.shuffle_rows(words.reshape(bottom - top, columns), rng)
        sink.put(top * columns, words)


def permute_columns(tensor: Tensor, rows: int, columns: int, key: int, sink: Sink) -> None:
    """Permute inside each column, as many columns at a time as fit in memory."""
    rng = generator(key, 0)
    width = max(_IN_MEMORY // rows, 1)
    if width >= columns:
        words = _own_words(tensor, 0, rows * columns).reshape(rows, columns)
        sink.put(0, rng.permuted(words, axis=0, out=words).reshape(-1))
        return
    for left in range(0, columns, width):
        right = min(left + width, columns)
        band = np.empty((rows, right - left), tensor.dtype.word)
        for row in range(rows):
            band[row] = stored_words(tensor, row * columns + left, row * columns + right)
        rng.permuted(band, axis=0, out=band)
        for row in range(rows):
            sink.put(row * columns + left, band[row])


def _stream(key: int, row: int, number: int) -> np.random.Generator:
    """Return generator 0 (which bucket) to 256 (inside the buckets) of one row."""
    return generator(key, row * (_BUCKETS + 1) + number)


def _scatter(
    tensor: Tensor,
    first: int,
    n: int,
    stream: Callable[[int], np.random.Generator],
    sink: Sink,
) -> None:
    """Permute `n` weights from `first` on through buckets.

    Each weight picks a bucket at random, and each bucket is permuted: every order is equally likely
    (Rao, Sankhya A 23:305, 1961; Sandelius, J. R. Stat. Soc. B 24:479, 1962).
    """
    sizes = np.zeros(_BUCKETS, np.int64)
    for picks in _picks(stream(0), n):
        sizes += np.bincount(picks, minlength=_BUCKETS)
    starts = first + np.cumsum(sizes) - sizes
    ends = starts.copy()
    at = first
    for picks in _picks(stream(0), n):
        words = stored_words(tensor, at, at + picks.size)[np.argsort(picks, kind="stable")]
        at += picks.size
        counts = np.bincount(picks, minlength=_BUCKETS)
        for bucket, run in enumerate(np.split(words, np.cumsum(counts)[:-1])):
            sink.put(int(ends[bucket]), run)
        ends += counts
    for bucket, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
        sink.put(start, stream(1 + bucket).permutation(sink.get(start, size)))


def _picks(rng: np.random.Generator, n: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the buckets that `n` weights pick, a frame (a multiple of 8) at a time."""
    for start, stop in spans(n, FRAME):
        drawn = rng.bit_generator.random_raw(-(-(stop - start) // 8)).astype("<u8", copy=False)
        yield drawn.view(np.uint8)[: stop - start]


def _own_words(tensor: Tensor, start: int, stop: int) -> Words:
    """Return stored values as unsigned integers that may be written to."""
    dtype = tensor.dtype
    if dtype.bits < 8:
        return stored_words(tensor, start, stop)  # unpacking copies
    buffer = np.empty(dtype.n_bytes(stop - start), np.uint8)
    raw = tensor.raw(start, stop, buffer)
    if not np.may_share_memory(raw, buffer):
        buffer[:] = raw
    return buffer.view(dtype.word)
