"""``ctx``: a decodable code length that sees arrangement.

Levels are coded one after the other, each with probabilities that depend on what was decoded before
it: how large and of which sign its neighbours, its row, its column and its kernel have been.
Shuffled weights gain nothing by that; trained ones do, and the row says from what.

The code is defined in :mod:`~kcomplexity.algorithms.context.model` (what a decoder needs, where
each weight looks) and :mod:`~kcomplexity.algorithms.context.codec` (a plain encoder and decoder);
its length is computed from counts in :mod:`~kcomplexity.algorithms.context.length`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from kcomplexity.algorithms.context.length import TileCode, tile_code
from kcomplexity.algorithms.context.model import MODES, Kernel
from kcomplexity.algorithms.entropy_coding.lengths import two_part_bits
from kcomplexity.estimators.base import Estimator, Kind, Measure
from kcomplexity.estimators.entropy import CountState, CountSymbols
from kcomplexity.parallel import Reducer, Rows, State
from kcomplexity.results.account import Account
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import Alphabet, Encoder

#: Weights of a tile: whole rows, or part of one where rows are longer.
TILE = 1 << 20
#: What coding a tile takes, in bytes a weight: sums in float64, fields and tables in float32.
_BYTES_A_WEIGHT = 96
_STAGES = MODES[2:]


@dataclass(frozen=True)
class Context(Estimator):
    """Context code of the levels, in independent tiles of whole rows, at most 2**20 weights each.

    For each tile the shortest of five nested codes: order-0 (enumerated or adaptive), with running
    row and column scales, with the magnitudes of neighbours, with their signs. Everything a decoder
    needs is counted but the shape.

    Its account says where the bits come from: ``order0_bits``, what one histogram for all tiles
    takes, and ``saved_bits``, what each further stage saves of them; what is won or lost because
    each tile has its own histogram counts with the scales. Order-0 bits less all that is saved are
    the bits of the levels; the value has the side information of the view (its step and range) on
    top. Of a sample, the value is scaled up to the whole tensor, while the account is of the
    weights that were measured.

    Invariant under a power-of-two scale of the tensor; not under permutations of rows or columns,
    transposition or sign flips of units, which change what lies beside what.

    Notes
    -----
    Time O(n): 2 to 10 million weights a second on one core. Memory 96 bytes for each weight of a
    tile.
    """

    summary: ClassVar[str] = "context code: scale, magnitude and sign of neighbours; decodable"
    kind: ClassVar[Kind] = "code"
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = "rd0.1"
    structure_part: ClassVar[Literal["context", "low rank"] | None] = "context"
    reference: ClassVar[str] = (
        "own construction; context-tree weighting: Willems, Shtarkov & Tjalkens 1995"
    )
    rate: ClassVar[float] = 4e6
    cap: ClassVar[int | None] = 1 << 26  # some ten seconds of one core

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        assert alphabet is not None  # noqa: S101 - it has a default view
        return _Tiles(alphabet, shape, Kernel())

    def reducers(self, encoder: Encoder | None, tensor: Tensor) -> tuple[Reducer, ...]:
        """Code the tiles of each stream; weights of one kernel are known to belong together."""
        assert encoder is not None  # noqa: S101 - it has a default view
        kernel = Kernel.of(tensor.shape)
        return tuple(_Tiles(a, tensor.matrix_shape, kernel) for a in encoder.streams)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        streams = [
            _account(state, alphabet)
            for state, alphabet in zip(states, alphabets, strict=True)
            if isinstance(state, _TileState)
        ]
        modes = sum((stream.modes for stream in streams), Counter[str]())
        return Measure(
            math.fsum(stream.bits for stream in streams),
            account=Account(
                order0_bits=math.fsum(stream.order0 for stream in streams),
                saved_bits={
                    stage: math.fsum(stream.saved[stage] for stream in streams) for stage in _STAGES
                },
            ),
            details={"tiles": {mode: modes[mode] for mode in MODES if modes[mode]}},
        )


@dataclass(frozen=True)
class _Tiles:
    """Code each tile on its own."""

    alphabet: Alphabet
    shape: tuple[int, int]
    kernel: Kernel

    @property
    def cut(self) -> Rows:
        columns = math.ceil(self.shape[1] * self.alphabet.per_weight)
        return Rows(max(TILE // max(columns, 1), 1), TILE)

    @property
    def memory(self) -> int:
        return _BYTES_A_WEIGHT * min(TILE, self.shape[0] * self.shape[1])

    def start(self) -> State:
        return _TileState(self, CountSymbols(self.alphabet.size).start())


@dataclass
class _TileState(State):
    """Bits of each tile: in order-0, after each step, and in the mode that is best."""

    reducer: _Tiles
    counts: CountState
    order0: list[float] = field(default_factory=list)
    saved: list[tuple[float, ...]] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)

    def update(self, chunk: Any, at: Any) -> None:
        self.counts.update(chunk, at)
        matrix = chunk if chunk.ndim == 2 else chunk.reshape(1, -1)
        # A chunk of a narrow matrix holds several tiles.
        height = self.reducer.cut.height
        for top in range(0, matrix.shape[0], height):
            tile = matrix[top : top + height]
            code = tile_code(tile, self.reducer.alphabet.size, self.reducer.kernel)
            order0, saved = _steps(code)
            self.order0.append(order0)
            self.saved.append(saved)
            self.modes[code.best] += 1

    def finish(self) -> None:
        self.counts.finish()

    def __add__(self, other: _TileState) -> _TileState:
        return _TileState(
            self.reducer,
            self.counts + other.counts,
            self.order0 + other.order0,
            self.saved + other.saved,
            self.modes + other.modes,
        )


@dataclass(frozen=True)
class _StreamAccount:
    """Where the bits of one stream went."""

    bits: float
    order0: float
    saved: dict[str, float]
    modes: Counter[str]


def _steps(code: TileCode) -> tuple[float, tuple[float, ...]]:
    """Return the order-0 bits of a tile, and what each further step saves: 0 where it does not."""
    best = order0 = min(code.bits["enumerated"], code.bits.get("order-0", math.inf))
    saved = []
    for stage in _STAGES:
        bits = min(best, code.bits.get(stage, math.inf))
        saved.append(best - bits)
        best = bits
    return order0, tuple(saved)


def _account(state: _TileState, alphabet: Alphabet) -> _StreamAccount:
    """Add up the tiles of one stream; a stream of several may as well be coded whole, order-0."""
    order0 = math.fsum(state.order0)
    saved: dict[str, float] = {
        stage: math.fsum(s[i] for s in state.saved) for i, stage in enumerate(_STAGES)
    }
    account = _StreamAccount(order0 - math.fsum(saved.values()), order0, saved, state.modes)
    if len(state.order0) < 2:
        return account
    # One bit says which of the two it is.
    whole = two_part_bits(state.counts.counter.counts, alphabet.size) + 1
    tiles = account.bits + 1
    if whole <= tiles:
        return _StreamAccount(whole, whole, dict.fromkeys(saved, 0.0), Counter(enumerated=1))
    # What all further stages save is counted from the one histogram of the whole: that tiles of
    # their own histograms save bits is arrangement, and counts with the scales.
    saved["scale"] += whole - (order0 + 1)
    return replace(account, bits=tiles, order0=whole, saved=saved)
