"""The units in which weights are read and counted: leaves, frames, and the spans between."""

from __future__ import annotations

from collections.abc import Iterator

#: Weights in a leaf, the smallest unit of a figure: sums are one float per leaf.
LEAF = 1 << 16
#: Weights in a frame: what is read at once, and what a compressor sees as one stream.
FRAME = 1 << 22


def spans(n: int, step: int = FRAME) -> Iterator[tuple[int, int]]:
    """Yield the ranges (start, stop) of `step` weights that cover `n`; the last may be shorter.

    Examples
    --------
    >>> list(spans(5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, n, step):
        yield start, min(start + step, n)
