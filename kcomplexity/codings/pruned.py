"""Magnitude pruning, then quantisation: small weights are zero, the others uniform levels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcomplexity.codings.base import Coded, Coding, Grid, Quantiser
from kcomplexity.codings.scalar import quantised
from kcomplexity.tensors.checkpoint import Tensor


@dataclass(frozen=True)
class PrunedCoding(Coding):
    """A share of the weights, the smallest of the model, becomes zero."""

    #: Share that is pruned, 0 to 1.
    sparsity: float
    #: Of the other weights' levels, in units of the pruning threshold.
    step: float

    name: ClassVar[str] = "prune"

    @classmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        for sparsity in (0.5, 0.7, 0.8, 0.9, 0.95):
            yield from (cls(sparsity, step) for step in (0.5, 1.0))

    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        """Find the threshold, quantise, and code with one table of counts per tensor."""
        sizes = np.concatenate([np.abs(t.read().astype(np.float64)) for t in tensors.values()])
        rank = min(int(self.sparsity * sizes.size), sizes.size - 1)
        threshold = float(np.partition(sizes, rank)[rank])
        if not threshold:
            threshold = float(sizes[sizes > 0].min(initial=1.0))
        quantiser = Quantiser(self.step * threshold, threshold)
        return quantised(tensors, quantiser, "tensor")
