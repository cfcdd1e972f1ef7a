"""Magnitude pruning, then quantisation: small weights are zero, the others uniform levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from kcomplexity.codings.base import Coded, Coding, Levels, Quantised, levels_of
from kcomplexity.codings.scalar import STEP_BITS, code_levels
from kcomplexity.tensors.checkpoint import Tensor

__all__ = ["Pruned"]


@dataclass(frozen=True)
class Pruned(Coding):
    """A share of the weights, the smallest of the model, becomes zero.

    Attributes
    ----------
    sparsity : float
        Share that is pruned, 0 to 1.
    step : float
        Of the levels of the others, in units of the pruning threshold.
    """

    sparsity: float
    step: float

    name: ClassVar[str] = "prune"

    def code(self, tensors: Mapping[str, Tensor]) -> Coded:
        """Find the threshold, quantise, code with one table a tensor."""
        sizes = np.concatenate([np.abs(t.read().astype(np.float64)) for t in tensors.values()])
        rank = min(int(self.sparsity * sizes.size), sizes.size - 1)
        threshold = float(np.partition(sizes, rank)[rank])
        if not threshold:
            threshold = float(sizes[sizes > 0].min(initial=1.0))
        levels = Levels(self.step * threshold, threshold)
        found = {name: levels_of(tensor, levels) for name, tensor in tensors.items()}
        made = {name: Quantised.of(tensor, levels) for name, tensor in tensors.items()}
        return Coded(STEP_BITS + code_levels(found, tensors, "tensor"), made)
