"""Statistics of the singular values: how many directions a matrix really has.

They see the weights themselves, in the matrix form; the order of rows and of columns, and the scale
of the whole, make no difference. Not in bits: ``lowrank`` has those.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, weighted_mean
from kcomplexity.parallel import Cut, Piece, Reducer, State, Whole
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import Alphabet, Encoder, weights_only

Matrix: TypeAlias = NDArray[Any]
#: Largest smaller side, whose eigenvalues take half a minute, and most weights, held in float64.
_WIDEST, _MOST = 4096, 1 << 25


@dataclass(frozen=True)
class _Spectrum(Estimator):
    """What statistics of singular values share."""

    kind: ClassVar[Kind] = "statistic"
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = None
    additive: ClassVar[bool] = False
    linear_algebra: ClassVar[bool] = True
    rate: ClassVar[float] = 1e7

    def reducers(self, encoder: Encoder | None, tensor: Tensor) -> tuple[Reducer, ...]:
        weights_only(tensor.dtype)
        return super().reducers(encoder, tensor)

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        if min(shape) < 2:
            raise UnmeasurableError(
                f"a matrix of {shape[0]}x{shape[1]} has one singular value: there is no spectrum"
            )
        if min(shape) > _WIDEST or shape[0] * shape[1] > _MOST:
            raise UnmeasurableError(
                f"a matrix of {shape[0]}x{shape[1]}: expected a side of at most {_WIDEST} and at "
                f"most {_MOST} weights; lowrank goes by bands and has no such limit"
            )
        return _Gram(shape)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        (state,) = states
        assert isinstance(state, _GramState)  # noqa: S101 - our own reducer
        energies = state.energies()
        total = float(energies.sum())
        if not 0 < total < math.inf:
            raise UnmeasurableError("all weights are zero, or some are not finite: no spectrum")
        return Measure(self.of(energies / total), details={"full_rank": min(state.shape)})

    @abstractmethod
    def of(self, shares: NDArray[np.float64]) -> float:
        """Return the value, from each squared singular value's share, falling."""

    def whole(self, values: Sequence[float], n_weights: Sequence[int]) -> float | None:
        return weighted_mean(values, n_weights)


@dataclass(frozen=True)
class StableRank(_Spectrum):
    """Sum of squares over the largest squared singular value: 1 to the smaller side.

    A few strong directions make it small however many weak ones there are. The whole is the mean
    over tensors, weighted by their weights.
    """

    summary: ClassVar[str] = "squared Frobenius norm over squared spectral norm"
    reference: ClassVar[str] = "Rudelson & Vershynin, J. ACM 54:21 (2007)"
    unit: ClassVar[str] = "rank"
    direction: ClassVar[str] = "lower = fewer directions"

    def of(self, shares: NDArray[np.float64]) -> float:
        return 1 / float(shares[0])


@dataclass(frozen=True)
class SpectralEntropy(_Spectrum):
    """Entropy of the squared singular values' shares, over log of the smaller side: 0 to 1.

    The whole is the mean over tensors, weighted by their weights.
    """

    summary: ClassVar[str] = "entropy of the squared singular values, as a share of the greatest"
    reference: ClassVar[str] = "Roy & Vetterli, The effective rank, EUSIPCO 2007 (on squares here)"
    unit: ClassVar[str] = "share"
    direction: ClassVar[str] = "lower = fewer directions"

    def of(self, shares: NDArray[np.float64]) -> float:
        seen = shares[shares > 0]
        return max(float(-(seen * np.log(seen)).sum()) / math.log(shares.size), 0.0)


@dataclass(frozen=True)
class _Gram:
    """Gather the matrix and multiply it by itself, once it is whole."""

    shape: tuple[int, int]
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        return 16 * self.shape[0] * self.shape[1] + 16 * min(self.shape) ** 2

    def start(self) -> State:
        return _GramState(self.shape)


@dataclass
class _GramState(State):
    """The matrix's rows as they come, then the Gram matrix of the smaller side."""

    shape: tuple[int, int]
    parts: list[Matrix] = field(default_factory=list)
    gram: Matrix | None = None

    def update(self, chunk: Piece, at: Any) -> None:
        self.parts.append(chunk.weights.astype(np.float64))

    def finish(self) -> None:
        matrix = np.concatenate(self.parts).reshape(self.shape)
        self.parts = []
        top = float(np.abs(matrix).max())
        if 0 < top < math.inf:
            matrix /= top  # squares of any scale stay in float64
        rows, columns = self.shape
        self.gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix

    def __add__(self, other: _GramState) -> _GramState:
        raise TypeError("an ordered stream has one state")

    def energies(self) -> NDArray[np.float64]:
        """Return the squared singular values, falling, in units of the largest weight's square."""
        from scipy.linalg import eigvalsh

        if self.gram is None or not np.isfinite(self.gram).all():
            return np.full(1, math.nan)
        values: NDArray[np.float64] = np.maximum(eigvalsh(self.gram)[::-1], 0.0)
        return values
