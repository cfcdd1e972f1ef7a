"""Sampling big tensors: which cuts are measured, and what that says about all of them.

A sample is a seeded choice of whole cuts - frames, or bands of whole rows for 2-D estimators - so
each sampled cut costs and compresses exactly as it would in the full measurement. Which ones
depends on the seed and the tensor's name alone; a smaller sample is part of a larger one, and
checkpoints with the same names have the same sample.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import add, mul
from typing import Any, Protocol, TypeVar

import numpy as np

from kcomplexity.parallel import Cut, Rows
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import Concat, Part, Sample, concat
from kcomplexity.tensors.pieces import FRAME


class _Addable(Protocol):
    def __add__(self, other: Any, /) -> Any: ...


T = TypeVar("T", bound=_Addable)
#: A standard error needs at least two cuts.
_FEWEST = 2
#: Tensors of up to this many weights are measured whole, whatever the share.
_LITTLE = 1 << 18
#: Weights in a band of whole rows, about: a tile of the context coder.
_BAND = 1 << 20


@dataclass(frozen=True)
class Share:
    """What is measured of a tensor: all of it, or the `parts` of a sample, in its order."""

    tensor: Tensor
    parts: tuple[Part, ...] = ()

    @property
    def sizes(self) -> list[int]:
        """Weights of each part."""
        return [part.n_weights for part in self.parts or (self.tensor,)]

    @property
    def fraction(self) -> float:
        """Share of the weights."""
        return sum(self.sizes) / self.tensor.n_weights

    @property
    def sample(self) -> Tensor:
        """The parts laid end to end, apart for each member of what is itself laid end to end."""
        if not self.parts:
            return self.tensor
        if not isinstance(self.tensor, Concat):
            return Sample.of(self.tensor, self.parts)
        members: dict[int, tuple[Tensor, list[Part]]] = {}
        for part in self.parts:
            for member, begin, a, b in self.tensor.covered(part.start, part.stop):
                members.setdefault(begin, (member, []))[1].append(Part.of(member, a, b))
        return concat(self.tensor.name, [Sample.of(*member) for member in members.values()])

    def cut(self, tensor: Tensor) -> Sequence[Tensor]:
        """Cut a tensor of the same shape where the parts are."""
        return [
            Part.of(tensor, part.start, part.stop, rows=len(part.shape) > 1) for part in self.parts
        ] or [tensor]

    def cut_sample(self, sample: Tensor) -> Sequence[Tensor]:
        """Cut what was made of :attr:`sample` back into its parts."""
        ends = itertools.accumulate((part.n_weights for part in self.parts), initial=0)
        return [
            Part.of(sample, start, stop, rows=len(part.shape) > 1)
            for part, (start, stop) in zip(self.parts, itertools.pairwise(ends), strict=True)
        ] or [sample]


def sample_parts(
    tensor: Tensor, cut: Cut, fraction: float, seed: int, *, every_tensor: bool = True
) -> list[Part] | None:
    """Choose the parts of `tensor` to measure, in its order; None if all of it is.

    `fraction` is the share of the cuts wanted, of which at least two are taken; `cut` says where
    the estimator may cut: along weights (frames) or rows (bands). Without `every_tensor`, one that
    fewer than two are wanted of is in the sample by chance (or gets no parts), so that the share is
    as wanted over many such tensors; those of at most 2**18 weights are measured whole.
    """
    starts = _starts(tensor, cut)
    n_cuts = len(starts) - 1
    if fraction >= 1 or (tensor.n_weights <= _LITTLE and not every_tensor):
        return None
    wanted = min(max(_FEWEST, round(fraction * n_cuts)), n_cuts)
    digest = hashlib.sha256(f"sample\0{seed}\0{tensor.name}".encode()).digest()
    chance = int.from_bytes(digest[16:24], "little") / 2.0**64
    if not every_tensor and chance >= fraction * n_cuts / wanted:
        return []
    if wanted == n_cuts:
        return None
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    chosen = np.sort(rng.permutation(n_cuts)[:wanted])
    rows = isinstance(cut, Rows)
    return [Part.of(tensor, starts[i], starts[i + 1], rows=rows) for i in chosen]


def sampled_share(n_weights: int, fraction: float, *, every_tensor: bool = True) -> float:
    """Return about what share of tensors of so many weights is measured."""
    if every_tensor:
        n_cuts = max(-(-n_weights // FRAME), 1)
        return min(max(_FEWEST / n_cuts, fraction), 1.0)
    return 1.0 if n_weights <= _LITTLE else fraction


def _starts(tensor: Tensor, cut: Cut) -> list[int]:
    """Return where the cuts start, in weights, and where the last one ends."""
    step = FRAME
    if isinstance(cut, Rows):
        columns = max(tensor.matrix_shape[1], 1)
        step = max(_BAND // columns // cut.height, 1) * cut.height * columns
    return [*range(0, tensor.n_weights, step), tensor.n_weights]


def covariance(
    parts: Sequence[T],
    n_weights: Sequence[int],
    n_total: int,
    values: Callable[[T], Sequence[float]],
) -> list[list[float]]:
    """Return the covariance of values that are scaled up from the same sampled parts.

    `parts` are what was gathered from each part, which can be added; `n_weights` and `n_total` the
    weights in each part and in the whole tensor. `values` gives the bits of what was gathered, by
    one or more measures; the estimate is their value for all parts a weight in them, times
    `n_total`.

    Returns
    -------
    list of list of float, n_values by n_values
        In squares of bits. By the delete-one jackknife over parts, whose root is for a plain sum
        the textbook error of a ratio estimate (Cochran, Sampling Techniques, section 6.4), with the
        correction for a finite population.
    """
    count, n_sampled = len(parts), sum(n_weights)
    left_out = [
        [value / (n_sampled - n) * n_total for value in values(rest)]
        for rest, n in zip(_all_but_one(parts), n_weights, strict=True)
    ]
    means = [math.fsum(column) / count for column in zip(*left_out, strict=True)]
    apart = [[x - mean for x, mean in zip(row, means, strict=True)] for row in left_out]
    correction = (count - 1) / count * (1 - n_sampled / n_total)
    columns = list(zip(*apart, strict=True))
    return [[correction * math.fsum(map(mul, a, b)) for b in columns] for a in columns]


def _all_but_one(parts: Sequence[T]) -> list[T]:
    """Merge all parts but one, for each one, in O(count) additions."""
    before = [*itertools.accumulate(parts[:-1], add)]
    after = [*itertools.accumulate(reversed(parts[1:]), lambda rest, part: part + rest)][::-1]
    return [after[0], *map(add, before, after[1:]), before[-1]] if after else []
