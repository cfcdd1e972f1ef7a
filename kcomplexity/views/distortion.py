"""``rdE``: the coarsest uniform quantiser whose relative squared error stays at or below E.

Levels are round(w / step), half to even, in float64; a decoder puts level * step back. How the step
is found is defined in :mod:`kcomplexity.algorithms.step_search`; here are the passes over a tensor
that the search needs: one for the sum of squares, one for a histogram of magnitudes, and one more
for each comparison that the histogram leaves open. The entropy of such a quantiser is within .2546
bit of the rate-distortion bound at high rate (Gish & Pierce 1968); it is the cost of the *weights*
at that error, and says nothing of what was learned.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from kcomplexity import kernels
from kcomplexity.algorithms.entropy_coding.lengths import elias_gamma_bits
from kcomplexity.algorithms.step_search import N_BINS, Magnitudes, search_step
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import Cut, Every, Piece, State
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import (
    Alphabet,
    Encoded,
    Encoder,
    Reduce,
    View,
    bit_planes,
    plane_alphabets,
    smallest,
    weights_only,
)
from kcomplexity.views.passes import LeafSums, SumOfSquares, extent, stored_floats


@dataclass(frozen=True)
class DistortionView(View):
    """Uniform levels at relative squared error E."""

    error: float
    splits: ClassVar[tuple[str, ...]] = ("bits",)

    def __post_init__(self) -> None:
        if not 1e-9 <= self.error < 1:
            raise SpecError(
                f"rd{self.error:g}: expected a relative error from 1e-9 to 1, e.g. 0.01"
            )

    @property
    def target_mse(self) -> float:
        return self.error

    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        weights_only(tensor.dtype)
        limits = extent(reduce)
        top = max(-limits.low, limits.high)
        if top == 0:
            raise UnmeasurableError("all weights are zero: there is no relative error to reach")
        step = _find_step(tensor, top, self.error, reduce)
        lowest, highest = int(np.rint(limits.low / step)), int(np.rint(limits.high / step))
        size = highest - lowest + 1
        if size > 1 << 32:
            raise UnmeasurableError(f"{size} levels are needed at a step of {step:g}: over 2**32")
        # A decoder needs the step, the lowest level (a sign and a number) and how many there are.
        side_bits = 64 + 1 + elias_gamma_bits(abs(lowest) + 1) + elias_gamma_bits(size)
        alphabet = Alphabet("", size)
        return StepEncoder(
            plane_alphabets(alphabet.width) if self.split else (alphabet,),
            float(side_bits),
            {"lowest": float(lowest)},
            step=step,
            lowest=lowest,
            size=size,
            split=self.split,
        )


@dataclass(frozen=True)
class StepEncoder(Encoder):
    """Levels round(w / step), counted from `lowest`."""

    step: float = field(kw_only=True)
    lowest: int = field(kw_only=True)
    size: int = field(kw_only=True)
    split: str | None = field(default=None, kw_only=True)

    def encode(self, piece: Piece) -> Encoded:
        symbols = np.empty(piece.shape, smallest(self.size))
        errors, squares = kernels.step_levels(
            stored_floats(piece),
            symbols.reshape(-1),
            step=self.step,
            lowest=self.lowest,
            highest=self.lowest + self.size - 1,
        )
        streams = bit_planes(symbols, len(self.streams)) if self.split else (symbols,)
        return Encoded(streams, errors.tolist(), squares.tolist())


def _find_step(tensor: Tensor, top: float, target: float, reduce: Reduce) -> float:
    """Return the step that reaches a relative squared error; `top` is the largest magnitude."""
    return search_step(
        n_weights=tensor.n_weights,
        top=top,
        squares=reduce(SumOfSquares()).total,
        target=target,
        histogram=lambda span: reduce(_Histogram(span)).magnitudes,
        squared_error=lambda step: reduce(_SquaredError(step)).total,
    )


@dataclass(frozen=True)
class _SquaredError:
    """Squared error of one step, exactly, a float a leaf."""

    step: float
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=24 * LEAF, init=False)

    def start(self) -> _SquaredErrorState:
        return _SquaredErrorState(step=self.step)


@dataclass
class _SquaredErrorState(LeafSums):
    step: float = 0.0

    def update(self, chunk: Piece, at: Any) -> None:
        self.sums += kernels.step_errors(stored_floats(chunk), self.step).tolist()

    def __add__(self, other: LeafSums) -> _SquaredErrorState:
        return _SquaredErrorState(self.sums + other.sums, self.step)


@dataclass(frozen=True)
class _Histogram:
    """Magnitudes in bins from 0 to `span`."""

    span: float
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=40 * LEAF + 24 * N_BINS, init=False)

    def start(self) -> _HistogramState:
        return _HistogramState(Magnitudes.empty(self.span))


@dataclass
class _HistogramState(State):
    magnitudes: Magnitudes

    def update(self, chunk: Piece, at: Any) -> None:
        self.magnitudes.add(stored_floats(chunk))

    def __add__(self, other: _HistogramState) -> _HistogramState:
        return _HistogramState(self.magnitudes + other.magnitudes)
