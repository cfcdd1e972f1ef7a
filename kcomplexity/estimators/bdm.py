"""BDM as an estimator: the block decomposition of symbols, counted while they are read.

The maths is in :mod:`kcomplexity.algorithms.bdm`. Blocks side by side (``ignore``, the default, and
``recursive``) are counted in any pieces; a sliding window (``correlated``) is one ordered stream;
``tile=N`` adds up the BDM of each tile, so that the sum does not saturate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kcomplexity.algorithms.bdm import Decomposition, normalized_bdm
from kcomplexity.algorithms.ctm import CTM_SOURCES
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, bits_by_stream
from kcomplexity.estimators.bdm_reducers import (
    Blocks,
    BlockState,
    Tiles,
    TileState,
    Windows,
    WindowState,
)
from kcomplexity.parallel import Reducer, State
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import Alphabet

#: Weights that tiles in a row may need at once: as many as fit tiles and leaves without a rest.
_LONGEST_CUT = 1 << 26
#: Largest side of a block in the tables, by dimension.
_LARGEST = {1: 12, 2: 4}


@dataclass(frozen=True)
class _Bdm(Estimator):
    """What BDM in one and in two dimensions share."""

    block: int
    partition: str = "ignore"
    shift: int = 1
    min_length: int = 2
    tile: int = 0

    kind: ClassVar[Kind] = "estimate"
    positional: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    default_view: ClassVar[str | None] = "sign"
    reference: ClassVar[str] = "Zenil et al., Entropy 20:605 (2018); CTM tables of pybdm 0.1.0"
    ndim: ClassVar[int]

    def __post_init__(self) -> None:
        self.decomposition(2)  # checks the options
        if self.block > _LARGEST[self.ndim]:
            raise SpecError(
                f"block={self.block}: expected a side of at most {_LARGEST[self.ndim]}, "
                f"the largest in CTM tables of {self.ndim} dimension{'s' * (self.ndim > 1)}"
            )
        if self.tile and self.partition != "ignore":
            raise SpecError(f"tile={self.tile}: tiles go with partition=ignore alone")
        if self.tile and self.tile < self.block:
            raise SpecError(f"tile={self.tile}: expected at least one block of {self.block}")
        if self.tile and self.ndim == 1 and math.lcm(LEAF, self.tile) > _LONGEST_CUT:
            near = next(n for n in range(self.tile, 0, -1) if math.lcm(LEAF, n) <= _LONGEST_CUT)
            raise SpecError(
                f"tile={self.tile}: such tiles meet the {LEAF:,} weights that are read at once too "
                f"rarely; take tile={near}, or another multiple of a power of two"
            )

    @property
    def rate(self) -> float:
        """Rough speed of one core in symbols a second; a tile takes some 50 us."""
        if self.tile:
            return min(float(self.tile**self.ndim) / 50e-6, 3e7)
        return 1e9 if self.partition == "ignore" else 3e7

    def decomposition(self, n_symbols: int) -> Decomposition:
        """Return how symbols of an alphabet are cut into blocks."""
        # The partition is checked by Decomposition itself.
        options: Any = self.partition, self.shift, self.min_length
        return Decomposition(self.ndim, n_symbols, self.block, *options)

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        if alphabet is None or (alphabet.size, self.ndim) not in CTM_SOURCES:
            known = sorted(size for size, ndim in CTM_SOURCES if ndim == self.ndim)
            size = alphabet.size if alphabet else "no"
            raise UnmeasurableError(
                f"{size} symbols: there are CTM tables for {', '.join(map(str, known))} in "
                f"{self.ndim}-D; measure @sign, @lN or /bits"
            )
        if self.ndim == 2 and min(shape) < self.block and self.partition != "recursive":
            raise UnmeasurableError(
                f"a matrix of {shape[0]}x{shape[1]} holds no block of {self.block}x{self.block}"
            )
        how = self.decomposition(alphabet.size)
        if self.tile:
            return Tiles(how, self.tile)
        return Windows(how, shape) if self.partition == "correlated" else Blocks(how)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        results = [
            s.result() for s in states if isinstance(s, BlockState | WindowState | TileState)
        ]
        details: dict[str, Any] = {
            "block_entropy": [r.block_entropy for r in results],
            "n_missing": sum(r.n_missing for r in results),
            "saturation": max(r.saturation for r in results),
        }
        if len(results) == 1:
            details["block_entropy"] = results[0].block_entropy
            details |= _normalized(states[0])
        return Measure(
            math.fsum(r.bits for r in results),
            n_ignored=max(r.n_ignored for r in results),
            n_blocks=sum(r.n_blocks for r in results),
            n_codes_seen=sum(r.n_codes_seen for r in results),
            saturated=any(r.saturated for r in results),
            stream_bits=bits_by_stream(alphabets, [r.bits for r in results]),
            details=details,
        )


@dataclass(frozen=True)
class Bdm1d(_Bdm):
    """BDM of a sequence in blocks of 12 symbols.

    Saturates from some 34,000 weights on (see ``saturated``): take ``tile=N`` there.

    ``partition`` says what becomes of what no whole block covers: ``ignore`` leaves it out,
    ``correlated`` slides the block by ``shift`` symbols instead, ``recursive`` goes on with ever
    smaller blocks down to a side of ``min_length``.
    """

    block: int = 12
    ndim: ClassVar[int] = 1
    summary: ClassVar[str] = "block decomposition method, 12 symbols in a row; saturates: tile=N"


@dataclass(frozen=True)
class Bdm2d(_Bdm):
    """BDM of the matrix form in blocks of 4x4 symbols.

    The layout is part of what is measured: a permutation of hidden units changes the value though
    it leaves the function alone. On MLPs the signal is the geometry of the input: trained on images
    whose pixels are permuted, to the same accuracy, they show none (.860 of the shuffled self on
    MNIST, .9995 with permuted pixels). Saturates from some 730,000 weights on (see ``saturated``):
    take ``tile=N`` there.

    ``partition`` says what becomes of what no whole block covers: ``ignore`` leaves it out,
    ``correlated`` slides the block by ``shift`` symbols instead, ``recursive`` goes on with ever
    smaller blocks down to a side of ``min_length``.
    """

    block: int = 4
    ndim: ClassVar[int] = 2
    summary: ClassVar[str] = (
        "block decomposition method, 4x4 blocks; layout and input geometry count"
    )


@dataclass(frozen=True)
class Qubd(Bdm2d):
    """QuBD: 2-D BDM of the eight bit planes of affine 8-bit levels, added up.

    An alias of ``bdm2d@q8:clip=99.9/bits``. Tensors with a side below 4, vectors among them, are
    skipped. Against an initialisation it mixes arrangement and histogram: print both. As bdm2d, it
    follows the arrangement of the inputs: on permuted pixels the signal is lost. Saturates as
    bdm2d, of which it is eight: ``qubd:tile=N``.
    """

    default_view: ClassVar[str | None] = "q8:clip=99.9/bits"
    reference: ClassVar[str] = "QuBD, arXiv 2605.15551; CTM tables of pybdm 0.1.0"
    summary: ClassVar[str] = "QuBD: bdm2d of the eight bit planes of clipped 8-bit levels"

    @property
    def rate(self) -> float:
        """Rough speed of one core in weights a second: it has eight planes to count."""
        return super().rate / 8


def _normalized(state: State) -> dict[str, float]:
    """Return the value between the least and the greatest of its size, where that is defined."""
    if not isinstance(state, BlockState):
        return {}
    try:
        return {"normalized": normalized_bdm(state.counts())}
    except UnmeasurableError:
        return {}  # every array of this size has the same value
