"""``lowrank``: a decodable code length of weights that are nearly a product of two thin matrices.

It decodes at the same squared error as the plain levels of its view, ``@rdE``, so the two lengths
can be compared: their difference is what rank explains. The order of rows and of columns, and with
it the layout of hidden units and of inputs, hardly counts: it moves the bits by the rounding of the
factors alone - within 0.5 % - and in tensors of several bands by which rows share a band.

The code is defined in :mod:`~kcomplexity.algorithms.low_rank.model` and written out in
:mod:`~kcomplexity.algorithms.low_rank.codec`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from kcomplexity.algorithms.low_rank.model import low_rank_code
from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure
from kcomplexity.parallel import Piece, Reducer, Rows, State
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import Alphabet, Encoder
from kcomplexity.views.distortion import StepEncoder

#: Weights of a band: whole rows, or part of one where rows are longer. Its smaller side is at most
#: 2048, so its Gram matrix takes no more memory than the band.
BAND = 1 << 22
_BYTES_A_WEIGHT = 96


@dataclass(frozen=True)
class LowRank(Estimator):
    """Low-rank code of the weights, in independent bands of whole rows of at most 2**22 weights.

    For each band the shortest over ranks 0, 1, 2, 4 ... 64 (at most half the smaller side) and four
    finenesses of the factors: the factors' entries column by column and the levels of what they
    leave, all order-0, at the squared error of the view's plain levels. Rank 0 is those levels.
    ``details`` has rank (one a band), factor and residual bits.

    Invariant but for rounding of the factors (within 0.5 %) under permutations of rows
    and of columns, transposition and sign flips of units, for tensors of one band; a vector has
    rank 0.

    Notes
    -----
    Time: the leading eigenvectors of the smaller Gram matrix, and about as much again. Memory 96
    bytes for each weight of a band. The singular values are those of float64 to about 1e-7 of the
    largest.
    """

    summary: ClassVar[str] = "low-rank code: thin factors and what they leave; decodable"
    kind: ClassVar[Kind] = "code"
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = "rd0.1"
    reference: ClassVar[str] = "own construction; best rank-r product: Eckart & Young 1936"
    structure_part: ClassVar[Literal["context", "low rank"] | None] = "low rank"
    sees_weights: ClassVar[bool] = True
    linear_algebra: ClassVar[bool] = True
    rate: ClassVar[float] = 2e6
    cap: ClassVar[int | None] = 1 << 25  # some ten seconds of one core

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        raise UnmeasurableError("lowrank codes weights, not symbols: measure a tensor @rdE")

    def reducers(self, encoder: Encoder | None, tensor: Tensor) -> tuple[Reducer, ...]:
        if not isinstance(encoder, StepEncoder) or encoder.split:
            raise UnmeasurableError("lowrank codes weights at a given error: take @rdE, e.g. rd0.1")
        return (_Bands(encoder.step, tensor.matrix_shape),)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        (state,) = states
        assert isinstance(state, _BandState)  # noqa: S101 - our own reducer
        bands = state.bands
        ranks = [band.rank for band in bands]
        return Measure(
            math.fsum(band.bits for band in bands),
            squared_error=math.fsum(band.squared_error for band in bands),
            sum_of_squares=math.fsum(band.sum_of_squares for band in bands),
            details={
                "rank": ranks[0] if len(ranks) == 1 else ranks,
                "factor_bits": math.fsum(band.factor_bits for band in bands),
                "residual_bits": math.fsum(band.residual_bits for band in bands),
            },
        )


@dataclass(frozen=True)
class _Bands:
    """Code each band on its own."""

    step: float
    shape: tuple[int, int]

    @property
    def cut(self) -> Rows:
        return Rows(max(BAND // max(self.shape[1], 1), 1), BAND)

    @property
    def memory(self) -> int:
        return _BYTES_A_WEIGHT * min(BAND, self.shape[0] * self.shape[1])

    def start(self) -> State:
        return _BandState(self)


@dataclass(frozen=True)
class _Band:
    """What one band takes, and what decoding it loses."""

    rank: int
    bits: float
    factor_bits: float
    residual_bits: float
    squared_error: float
    sum_of_squares: float


@dataclass
class _BandState(State):
    """The bands, in the order of the tensor."""

    reducer: _Bands
    bands: list[_Band] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        # A chunk of a narrow matrix holds several bands.
        height = self.reducer.cut.height
        for top in range(0, chunk.shape[0], height):
            weights = chunk.weights[top : top + height].astype(np.float64)
            model = low_rank_code(weights, self.reducer.step)
            self.bands.append(
                _Band(
                    model.rank,
                    model.bits,
                    model.factor_bits,
                    model.residual_bits,
                    squared_error=float(np.square(weights - model.decoded).sum()),
                    sum_of_squares=float(np.square(weights).sum()),
                )
            )

    def __add__(self, other: _BandState) -> _BandState:
        return _BandState(self.reducer, self.bands + other.bands)
