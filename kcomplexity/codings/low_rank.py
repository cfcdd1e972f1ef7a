"""Low rank, then quantisation: the factors of a truncated SVD as uniform levels.

Every matrix form W is A B with A = U sqrt(S), B = sqrt(S) V, cut at a share of the rank; both
factors are rounded to one step and coded under their own counts. The two factors have equal
weight in the product, so one step serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.codings.base import Coded, Coding, Grid, Quantiser, encode_order0
from kcomplexity.tensors.checkpoint import ArrayTensor, Tensor

#: What a decoder needs for each tensor besides the factors' levels: the step and the rank.
_SIDE_BITS = 64 + 16


@dataclass(frozen=True)
class LowRankCoding(Coding):
    """A truncated SVD of every matrix form."""

    #: Rank that is kept, as a share of the smaller side; at least one.
    share: float
    #: Of the factors' levels, in root mean squares of the factors.
    step: float

    name: ClassVar[str] = "low-rank"

    @classmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        for share in (0.125, 0.25, 0.5):
            yield from (cls(share, step) for step in (0.25, 0.5, 1.0))

    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        """Factor, quantise and code every tensor; O(rows * columns * smaller side) each."""
        encoder = AnsEncoder()
        decoded: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            matrix = tensor.read().astype(np.float64).reshape(tensor.matrix_shape)
            data = tensor.dtype.encode(self._product(matrix, encoder))
            decoded[name] = ArrayTensor(
                name, tensor.shape, tensor.dtype, data=data, layout=tensor.layout
            )
        return Coded(_SIDE_BITS * len(decoded) + 32 * encoder.words().size, decoded)

    def _product(self, matrix: NDArray[np.float64], encoder: AnsEncoder) -> NDArray[np.float64]:
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        rank = max(1, round(self.share * s.size))
        root = np.sqrt(s[:rank])
        left, right = u[:, :rank] * root, root[:, None] * v[:rank]
        rms = math.sqrt((np.square(left).sum() + np.square(right).sum()) / (left.size + right.size))
        quantiser = Quantiser(self.step * (rms or 1.0))
        factors = []
        for factor in (left, right):
            levels = quantiser.levels(factor)
            encode_order0(levels.reshape(-1), encoder)
            factors.append(levels * quantiser.step)
        product: NDArray[np.float64] = factors[0] @ factors[1]
        return product
