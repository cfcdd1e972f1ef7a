"""Sampling big tensors: which cuts are measured, and what that says about all of them.

A sample is a seeded choice of whole cuts - frames, or bands of whole rows for 2-D estimators - so
each sampled cut costs and compresses exactly as it would in the full measurement. Which ones
depends on the seed and the tensor's name alone; a smaller sample is part of a larger one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from kcomplexity.checkpoint import Tensor
from kcomplexity.derived import Part
from kcomplexity.parallel import FRAME, Cut, Rows

__all__ = ["sample_parts", "scaled"]

T = TypeVar("T")
#: A standard error needs at least two cuts.
_FEWEST = 2
#: Weights in a band of whole rows, about: a tile of the context coder.
_BAND = 1 << 20


def sample_parts(tensor: Tensor, cut: Cut, fraction: float, seed: int) -> list[Part] | None:
    """Choose the parts of `tensor` to measure; None if all of it is.

    Parameters
    ----------
    tensor : Tensor
    cut : Cut
        Where the estimator may cut: along weights (frames) or rows (bands).
    fraction : float
        Share of the cuts wanted; at least two are taken.
    seed : int

    Returns
    -------
    list of Part, in the tensor's order
    """
    starts = _starts(tensor, cut)
    wanted = max(_FEWEST, round(fraction * (len(starts) - 1)))
    if fraction >= 1 or wanted >= len(starts) - 1:
        return None
    digest = hashlib.sha256(f"sample\0{seed}\0{tensor.name}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    chosen = np.sort(rng.permutation(len(starts) - 1)[:wanted])
    rows = isinstance(cut, Rows)
    return [Part.of(tensor, starts[i], starts[i + 1], rows=rows) for i in chosen]


def _starts(tensor: Tensor, cut: Cut) -> list[int]:
    """Return where the cuts start, in weights, and where the last one ends."""
    step = FRAME
    if isinstance(cut, Rows):
        columns = max(tensor.matrix_shape[1], 1)
        step = max(_BAND // columns // cut.height, 1) * cut.height * columns
    return [*range(0, tensor.n_weights, step), tensor.n_weights]


def scaled(
    parts: Sequence[T],
    n_weights: Sequence[int],
    n_total: int,
    add: Callable[[T, T], T],
    value: Callable[[T], float],
) -> tuple[float, float]:
    """Scale a value up from sampled parts, with its standard error.

    Parameters
    ----------
    parts : sequence
        What was gathered from each part; mergeable.
    n_weights : sequence of int
        Weights in each part.
    n_total : int
        Weights in the whole tensor.
    add : callable
        Merges what was gathered from two parts.
    value : callable
        Bits of what was gathered.

    Returns
    -------
    bits : float
        The value a weight in the sample, times `n_total`.
    se_bits : float
        Its standard error by the delete-one jackknife over parts, which for plain sums is the
        textbook error of a ratio estimate (Cochran, Sampling Techniques, section 6.4), with the
        correction for a finite population.
    """
    count, n_sampled = len(parts), sum(n_weights)
    total = parts[0]
    for part in parts[1:]:
        total = add(total, part)
    estimate = value(total) / n_sampled * n_total
    left_out = [
        value(rest) / (n_sampled - n) * n_total
        for rest, n in zip(_all_but_one(parts, add), n_weights, strict=True)
    ]
    mean = math.fsum(left_out) / count
    spread = math.fsum((x - mean) ** 2 for x in left_out) * (count - 1) / count
    return estimate, math.sqrt(spread * (1 - n_sampled / n_total))


def _all_but_one(parts: Sequence[T], add: Callable[[T, T], T]) -> list[T]:
    """Merge all parts but one, for each one, in O(count) additions."""
    before: list[T | None] = [None]
    after: list[T | None] = [None]

    def join(a: T | None, b: T | None) -> T | None:
        return b if a is None else a if b is None else add(a, b)

    for part in parts[:-1]:
        before.append(join(before[-1], part))
    for part in reversed(parts[1:]):
        after.append(join(part, after[-1]))
    joined = [join(b, a) for b, a in zip(before, reversed(after), strict=True)]
    return [rest for rest in joined if rest is not None]
