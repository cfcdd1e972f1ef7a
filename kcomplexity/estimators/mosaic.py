"""``mosaic``: the bits of motifs and motif indices at a relative error.

Compared with a control (``--control shuffle:5``), the ratio is the *motif gain*: structure inside
blocks of s weights that a decoder can use. The fit is that of ``kcomplexity fit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure
from kcomplexity.parallel import Cut, Piece, Reducer, State, Whole
from kcomplexity.views.base import Alphabet

#: Rough memory of a fit in bytes per weight: blocks, their indices, the blocks of the rounds.
_BYTES_A_WEIGHT, _BYTES = 16, 64 << 20


@dataclass(frozen=True)
class MosaicBits(Estimator):
    """Coded bits of a mosaic with entropy-constrained motifs: motifs, indices, their tables.

    Decodes to the weights at a relative squared error of at most `mse`. Each tensor is fitted
    alone, so small tensors pay for motifs that they could have shared. Specs omit defaults and the
    name of the first parameter: ``mosaic:s=8:mse=0.3`` is ``mosaic``, and ``mosaic:s=4:mse=0.1`` is
    ``mosaic:4:mse=0.1``.

    Attributes
    ----------
    s : int
        Weights in a block: runs of the flat tensor.
    mse : float
        Relative squared error.
    """

    s: int = 8
    mse: float = 0.3

    summary: ClassVar[str] = "motifs and indices at a relative error (fit --method ecvq), in bits"
    kind: ClassVar[Kind] = "code"
    positional: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    default_view: ClassVar[str | None] = None
    reference: ClassVar[str] = "Chou, Lookabaugh & Gray 1989; motifs: arXiv 2602.14896"
    rate: ClassVar[float] = 2e5

    def __post_init__(self) -> None:
        if not 1 <= self.s <= 1024:
            raise SpecError(f"mosaic:s={self.s}: expected a block of 1 to 1024 weights")
        if not 0 < self.mse < 1:
            raise SpecError(f"mosaic:mse={self.mse:g}: expected a relative error in (0, 1)")

    @property
    def target_mse(self) -> float:
        return self.mse

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        return _Keep(self.s, self.mse, shape)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        (state,) = states
        assert isinstance(state, _Kept)  # noqa: S101 - our own reducer
        if state.reason:
            raise UnmeasurableError(state.reason)
        return Measure(
            state.bits,
            n_blocks=state.n_blocks,
            n_codes_seen=state.n_motifs,
            squared_error=state.squared_error,
            sum_of_squares=state.sum_of_squares,
        )


@dataclass(frozen=True)
class _Keep:
    s: int
    mse: float
    shape: tuple[int, int]
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        return _BYTES + _BYTES_A_WEIGHT * self.shape[0] * self.shape[1]

    def start(self) -> State:
        # An empty tensor is never updated: this is its result.
        return _Kept(self.s, self.mse, self.shape, reason="the tensor is empty: it has no block")


@dataclass
class _Kept(State):
    """The weights until the tensor ends, then the bits of their fit."""

    s: int
    mse: float
    shape: tuple[int, int]
    pieces: list[NDArray[Any]] = field(default_factory=list)
    reason: str = ""
    bits: float = 0.0
    n_blocks: int = 0
    n_motifs: int = 0
    squared_error: float = 0.0
    sum_of_squares: float = 0.0

    def update(self, chunk: Piece, at: Any) -> None:
        if not chunk.dtype.is_signed:
            self.reason = f"{chunk.dtype.code} values are not weights: no motif represents them"
            return
        self.reason = ""
        self.pieces.append(chunk.weights.reshape(-1).copy())

    def finish(self) -> None:
        """Fit, in the worker that read the tensor."""
        if self.reason:
            return
        from kcomplexity.mosaics.fitting import fit_mosaic

        weights = np.concatenate(self.pieces).reshape(self.shape)
        self.pieces = []
        if not np.count_nonzero(weights):
            self.reason = "all weights are zero: there is no relative error to reach"
            return
        try:
            mosaic = fit_mosaic(
                {"w": weights},
                block_size=self.s,
                relative_mse=self.mse,
                all_tensors=True,
                threads=1,
            )
        except (SpecError, UnmeasurableError) as error:
            self.reason = str(error)
            return
        self.bits = float(mosaic.bits.fitted)
        self.n_blocks, self.n_motifs = mosaic.n_blocks, len(mosaic.motifs[0])
        self.squared_error, self.sum_of_squares = mosaic.distortion.sse, mosaic.distortion.squares

    def __add__(self, other: _Kept) -> _Kept:
        raise TypeError("a fit sees the whole tensor: its states are never added")
