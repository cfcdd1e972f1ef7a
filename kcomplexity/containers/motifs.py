"""Motifs: k rows of s weights, and how they are stored.

``f32``, ``f16``, ``bf16``: rounded to the type and stored uncoded. ``grid``: rounded to multiples
of a step and entropy-coded, which makes small files small.

A grid's motifs are a set, not a list: inside a group of motifs that are used about equally often
they are sorted, and the first two coordinates are coded as differences. That saves most of the
log2(k!) bits that their order would cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsDecoder, AnsEncoder
from kcomplexity.errors import CorruptCheckpointError, SpecError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
MotifDtype = Literal["f32", "f16", "bf16", "grid"]
MOTIF_DTYPES: tuple[MotifDtype, ...] = ("f32", "f16", "bf16", "grid")
_NUMPY: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "f16": np.dtype("<f2"),
    "bf16": np.dtype(ml_dtypes.bfloat16),
}
#: Their dtype codes in safetensors.
CODES = {"f32": "F32", "f16": "F16", "bf16": "BF16"}
#: Levels on either side of zero; a finer grid would be as wide as f32.
FINEST = 1 << 19
#: Motifs of one set: the coder's probabilities are multiples of 2**-24.
MOST_MOTIFS = 1 << 24


@dataclass(frozen=True)
class Motifs:
    """A motif dictionary.

    Attributes
    ----------
    values : ndarray of shape (k, s), float32
        As decoded.
    dtype : {"f32", "f16", "bf16", "grid"}
    step : float
        Of the grid; 0 for the other dtypes.
    """

    values: Floats
    dtype: MotifDtype = "f32"
    step: float = 0.0

    @classmethod
    def rounded(cls, values: NDArray[Any], dtype: MotifDtype, step: float = 0.0) -> Motifs:
        """Round values to what will be stored.

        Raises
        ------
        SpecError
            If the dtype is unknown, does not reach the values, or a grid has no step.
        """
        if dtype == "grid":
            if not step > 0:
                raise SpecError(f"a grid of step {step:g}: expected a step above 0")
            levels = np.rint(values.astype(np.float64) / step)
            if levels.size and np.abs(levels).max() >= FINEST:
                raise SpecError(
                    f"a grid of step {step:g} needs over 2**19 levels: take a coarser one or f32"
                )
            return cls(on_grid(levels.astype(np.int64), step), dtype, step)
        if dtype not in _NUMPY:
            raise SpecError(f"motif dtype {dtype!r}: expected one of {', '.join(MOTIF_DTYPES)}")
        with np.errstate(over="ignore"):
            stored = values.astype(_NUMPY[dtype]).astype(np.float32)
        if not np.isfinite(stored).all():
            raise SpecError(
                f"motif dtype {dtype} does not reach weights of {np.abs(values).max():g}: "
                "take bf16, f32 or grid"
            )
        return cls(stored, dtype)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def levels(self) -> Ints:
        """Values in multiples of the step; for a grid only."""
        return np.rint(self.values.astype(np.float64) / self.step).astype(np.int64)

    def stored(self) -> NDArray[Any]:
        """Return the array of shape (k, s) that a file holds; not for a grid."""
        return self.values.astype(_NUMPY[self.dtype])


def on_grid(levels: Ints, step: float) -> Floats:
    """Return levels times step, in float32."""
    return (levels * step).astype(np.float32)


def encode_levels(levels: Ints, groups: Ints, encoder: AnsEncoder) -> None:
    """Add the levels of grid motifs, of shape (k, s).

    They are sorted by their group in `groups`, which the decoder knows, and inside each group by
    coordinates from the first on.
    """
    low = int(levels.min())
    encoder.integers(np.array([2 * low if low >= 0 else -2 * low - 1]))
    above = levels - low
    fresh = _starts(groups)
    for column in range(levels.shape[1]):
        values = above[:, column]
        if column < 2:
            before = np.concatenate([[0], values[:-1]])
            encoder.integers(values[fresh])
            encoder.integers((values - before)[~fresh])
            fresh = fresh | _starts(values)
        else:
            encoder.integers(np.array([values.max()]))
            encode_counted(values, encoder)


def encode_counted(values: Ints, encoder: AnsEncoder) -> None:
    """Add integers from 0 on under their own counts, which are added first.

    The decoder knows how many integers there are and the largest.
    """
    counts = np.bincount(values)
    encoder.integers(counts)
    present = np.flatnonzero(counts)
    encoder.symbols(np.searchsorted(present, values), counts[present])


def decode_levels(shape: tuple[int, int], groups: Ints, decoder: AnsDecoder) -> Ints:
    """Take the levels that :func:`encode_levels` wrote, or raise CorruptCheckpointError."""
    k, s = shape
    sign = int(decoder.integers(1)[0])
    low = -(sign + 1) // 2 if sign % 2 else sign // 2
    above = np.zeros(shape, np.int64)
    fresh = _starts(groups)
    for column in range(s):
        if column < 2:
            values = np.zeros(k, np.int64)
            values[fresh] = decoder.integers(int(fresh.sum()))
            values[~fresh] = decoder.integers(k - int(fresh.sum()))
            # Running sums that start anew at the start of each run.
            total = np.cumsum(values)
            first = np.flatnonzero(fresh)
            offset = total[first] - values[first]
            values = total - np.repeat(offset, np.diff(np.append(first, k)))
            above[:, column] = values
            fresh = fresh | _starts(values)
            continue
        top = int(decoder.integers(1)[0])
        if top >= 2 * FINEST:
            raise CorruptCheckpointError(
                f"a motif has the level {top}, which is out of range; the file is damaged"
            )
        counts = decoder.integers(top + 1)
        if int(counts.sum()) != k:
            raise CorruptCheckpointError("the motifs' levels do not add up; the file is damaged")
        present = np.flatnonzero(counts)
        above[:, column] = present[decoder.symbols(k, counts[present])]
    return above + low


def _starts(values: Ints) -> NDArray[np.bool_]:
    """Return which values differ from the one before."""
    starts = np.ones(len(values), bool)
    starts[1:] = values[1:] != values[:-1]
    return starts
