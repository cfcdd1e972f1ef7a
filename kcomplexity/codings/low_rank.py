"""Low rank, then quantisation: the factors of a truncated SVD as uniform levels.

Every matrix form W is A B with A = U sqrt(S), B = sqrt(S) V, cut at a share of the rank; both
factors are rounded to one step and coded with a table each. The two factors meet in the product
with equal weight, so one step serves both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.codings.base import Coded, Coding, Levels, add_levels
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor

__all__ = ["LowRank"]

#: What a decoder needs a tensor beside the factors' levels: the step and the rank.
_SIDE_BITS = 64 + 16


@dataclass(frozen=True)
class LowRank(Coding):
    """A truncated SVD of every matrix form.

    Attributes
    ----------
    share : float
        Of the smaller side, kept as rank, at least 1.
    step : float
        Of the factors' levels, in root mean squares of the factors.
    """

    share: float
    step: float

    name: ClassVar[str] = "low-rank"

    def code(self, tensors: Mapping[str, Tensor]) -> Coded:
        """Factor, quantise and code every tensor; O(rows * columns * smaller side) each."""
        encoder = AnsEncoder()
        made: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            matrix = tensor.read().astype(np.float64).reshape(tensor.matrix_shape)
            made[name] = _decoded(tensor, self._product(matrix, encoder))
        return Coded(_SIDE_BITS * len(made) + 32 * encoder.words().size, made)

    def _product(self, matrix: NDArray[np.float64], encoder: AnsEncoder) -> NDArray[np.float64]:
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        rank = max(1, round(self.share * s.size))
        root = np.sqrt(s[:rank])
        left, right = u[:, :rank] * root, root[:, None] * v[:rank]
        rms = math.sqrt((np.square(left).sum() + np.square(right).sum()) / (left.size + right.size))
        levels = Levels(self.step * (rms or 1.0))
        factors = []
        for factor in (left, right):
            found = levels.of(factor)
            add_levels(found.reshape(-1), encoder)
            factors.append(found * levels.step)
        product: NDArray[np.float64] = factors[0] @ factors[1]
        return product


def _decoded(tensor: Tensor, values: NDArray[Any]) -> ArrayTensor:
    data = tensor.dtype.encode(values)
    return ArrayTensor(tensor.name, tensor.shape, tensor.dtype, data=data, layout=tensor.layout)
