"""Plain statistics of the weights, shown next to the code lengths: not in bits.

They see the weights themselves and take no view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, weighted_mean
from kcomplexity.parallel import Cut, Every, Piece, Reducer, State
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import Alphabet, Encoder, weights_only
from kcomplexity.views.passes import LeafSums, SumOfSquares, floats


class _OfWeights(Estimator):
    """Base of statistics of real or complex weights; integers and masks are refused."""

    kind: ClassVar[Kind] = "statistic"
    positional: ClassVar[bool] = False
    default_view: ClassVar[str | None] = None
    reference: ClassVar[str] = "definition"

    def reducers(self, encoder: Encoder | None, tensor: Tensor) -> tuple[Reducer, ...]:
        if tensor.dtype.kind != "complex":
            weights_only(tensor.dtype)
        return super().reducers(encoder, tensor)


@dataclass(frozen=True)
class NonZero(_OfWeights):
    """Share of the weights that are not exactly zero (of either sign); NaN is not zero."""

    summary: ClassVar[str] = "share of the weights that are not exactly zero"
    unit: ClassVar[str] = "share"
    direction: ClassVar[str] = "lower = sparser"

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        return _CountNonZero()

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        (state,) = states
        assert isinstance(state, _NonZeroState)  # noqa: S101 - our own reducer
        if not state.n:
            raise UnmeasurableError("the tensor is empty: there is no share of its weights")
        details = {"n_zero": state.n - state.n_nonzero}
        return Measure(state.n_nonzero / state.n, details=details)

    def whole(self, values: Sequence[float], n_weights: Sequence[int]) -> float | None:
        return weighted_mean(values, n_weights)


@dataclass(frozen=True)
class L2(_OfWeights):
    """Euclidean norm of the weights, in float64."""

    summary: ClassVar[str] = "Euclidean norm of the weights"
    unit: ClassVar[str] = "norm"
    direction: ClassVar[str] = "lower = smaller weights"

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        return SumOfSquares()

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        (state,) = states
        assert isinstance(state, LeafSums)  # noqa: S101 - our own reducer
        if not math.isfinite(state.total):
            raise UnmeasurableError(
                "weights (or their squares) are NaN or infinite in float64: there is no norm"
            )
        return Measure(math.sqrt(state.total))

    def whole(self, values: Sequence[float], n_weights: Sequence[int]) -> float | None:
        return math.hypot(*values)


@dataclass(frozen=True)
class _CountNonZero:
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=LEAF, init=False)

    def start(self) -> State:
        return _NonZeroState()


@dataclass
class _NonZeroState(State):
    n: int = 0
    n_nonzero: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        self.n += chunk.n_weights
        # The loops of ml_dtypes hold the interpreter lock, and are ten times as slow.
        weights = floats(chunk) if chunk.dtype.is_float else chunk.weights
        self.n_nonzero += int(np.count_nonzero(weights != 0))

    def __add__(self, other: _NonZeroState) -> _NonZeroState:
        return _NonZeroState(self.n + other.n, self.n_nonzero + other.n_nonzero)
