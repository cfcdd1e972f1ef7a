"""The mean and the standard deviation that an initialisation matches."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Cut, Every, Failed, Piece, State, fold, leaf_sums
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.pieces import LEAF


def moments(tensor: Tensor, pool: Pool) -> tuple[float, float]:
    """Return mean and population standard deviation, in float64 and two passes."""
    mean = _mean_of(tensor, _PowerSums(), pool)
    variance = _mean_of(tensor, _PowerSums(mean, 2), pool)
    if not math.isfinite(variance):
        raise UnmeasurableError(
            f"{tensor.name}: the weights are too large for a standard deviation in float64"
        )
    return mean, math.sqrt(variance)


def _mean_of(tensor: Tensor, reducer: _PowerSums, pool: Pool) -> float:
    (state,) = fold(tensor, [reducer], pool, work=0)
    if isinstance(state, Failed):
        raise UnmeasurableError(f"{tensor.name}: {state.reason}")
    assert isinstance(state, _PowerSumsState)  # noqa: S101 - our own reducer
    if state.n_nan or state.n_inf:
        raise UnmeasurableError(
            f"{tensor.name}: {state.n_nan} NaN and {state.n_inf} infinite weights: there is "
            "no mean and standard deviation to match; shuffle and init:torch need none"
        )
    return math.fsum(state.sums) / tensor.n_weights


@dataclass(frozen=True)
class _PowerSums:
    """Sum of (w - centre) to a power, leaf by leaf."""

    centre: float = 0.0
    power: int = 1
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=24 * LEAF, init=False)

    def start(self) -> _PowerSumsState:
        return _PowerSumsState(self)


@dataclass
class _PowerSumsState(State):
    reducer: _PowerSums
    sums: list[float] = field(default_factory=list)
    n_nan: int = 0
    n_inf: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        for i in range(0, flat.size, LEAF):
            with np.errstate(over="ignore", invalid="ignore"):
                leaf = flat[i : i + LEAF].astype(np.float64)
                sums = leaf_sums((leaf - self.reducer.centre) ** self.reducer.power)
            if not math.isfinite(sums[0]):
                self.n_nan += int(np.isnan(leaf).sum())
                self.n_inf += int(np.isinf(leaf).sum())
            self.sums += sums

    def __add__(self, other: _PowerSumsState) -> _PowerSumsState:
        return _PowerSumsState(
            self.reducer,
            self.sums + other.sums,
            self.n_nan + other.n_nan,
            self.n_inf + other.n_inf,
        )
