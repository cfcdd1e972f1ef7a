"""The baseline: one uniform quantiser for all weights, entropy-coded three ways.

``order-0``: one table of counts for the model; ``tensor``: one a tensor; ``context``: adaptive
counts of a level's size given the levels to the left and above and the tensor, as in
:mod:`kcomplexity.containers.context_coding`. One step for all weights is the best choice for
squared error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.codings.base import Coded, Coding, Ints, Levels, Quantised, add_levels, levels_of
from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.index_coding import canonical_order, encode_indices, encode_usage
from kcomplexity.containers.motifs import encode_levels
from kcomplexity.errors import SpecError
from kcomplexity.tensors.checkpoint import Tensor

__all__ = ["STEP_BITS", "Scalar", "Tables", "code_levels", "step_for"]

#: A step is told as a float64.
STEP_BITS = 64
_BISECTIONS = 40
Tables = Literal["order-0", "tensor", "context"]


@dataclass(frozen=True)
class Scalar(Coding):
    """A uniform scalar quantiser.

    Attributes
    ----------
    step : float
    tables : {"order-0", "tensor", "context"}
    """

    step: float
    tables: Tables = "order-0"

    name: ClassVar[str] = "scalar"

    def code(self, tensors: Mapping[str, Tensor]) -> Coded:
        """Quantise and code every tensor."""
        levels = Levels(self.step)
        found = {name: levels_of(tensor, levels) for name, tensor in tensors.items()}
        made = {name: Quantised.of(tensor, levels) for name, tensor in tensors.items()}
        return Coded(STEP_BITS + code_levels(found, tensors, self.tables), made)


def code_levels(found: Mapping[str, Ints], tensors: Mapping[str, Tensor], tables: str) -> int:
    """Return the bits of the stream that holds the levels of all tensors."""
    encoder = AnsEncoder()
    if tables == "tensor":
        for levels in found.values():
            add_levels(levels, encoder)
    elif tables == "order-0":
        add_levels(np.concatenate(list(found.values())), encoder)
    else:
        _add_in_context(found, tensors, encoder)
    return 32 * encoder.words().size


def _add_in_context(
    found: Mapping[str, Ints], tensors: Mapping[str, Tensor], encoder: AnsEncoder
) -> None:
    """Code levels as the indices of blocks of one weight: motifs are the levels that occur."""
    values, labels = np.unique(np.concatenate(list(found.values())), return_inverse=True)
    counts = np.bincount(labels.reshape(-1), minlength=values.size)
    order, usage = canonical_order(counts, values[:, None])
    rank = np.zeros(values.size, np.uint32)
    rank[order] = np.arange(values.size, dtype=np.uint32)
    ends = np.cumsum([levels.size for levels in found.values()])
    indices = np.split(rank[labels.reshape(-1)], ends[:-1])
    tilings = [Tiling(*tensors[name].matrix_shape, BlockShape(0, 1)) for name in found]
    encoder.integers(np.array([values.size]))
    encode_usage(usage, encoder)
    ordered = values[order][:, None]
    encode_levels(ordered, usage, encoder)
    encode_indices(indices, tilings, usage, ordered, "context", encoder)


def step_for(tensors: Mapping[str, Tensor], error: float) -> float:
    """Return the largest step found whose relative squared error over all tensors is `error`.

    Bisection on the weights in memory, to about 1e-4 of the error. (The error of data that are
    quantised already may jump: it is then below.)
    """
    weights = np.concatenate([tensor.read().astype(np.float64) for tensor in tensors.values()])
    squares = float(np.square(weights).sum())
    if not squares:
        raise SpecError("all weights are zero: there is no relative error to reach")
    low, high = 0.0, 4 * float(np.abs(weights).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        lost = float(np.square(weights - np.rint(weights / middle) * middle).sum()) / squares
        if lost <= error:
            low = middle
            if lost >= (1 - 1e-4) * error:
                break
        else:
            high = middle
    if not (low > 0 and math.isfinite(low)):
        raise SpecError(f"no step reaches a relative error of {error:g}: take a larger one")
    return low
