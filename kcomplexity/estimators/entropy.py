"""Entropies of symbols: the plug-in estimate, a two-part code, and blocks of symbols.

All three count how often each symbol occurs and see no positions (blocks see them inside a block).
More than 2**24 distinct symbols are refused: nearly every one is different then, and a count says
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.counting import LARGEST_TABLE, SORTING_MEMORY, SymbolCounter
from kcomplexity.algorithms.entropy_coding.lengths import plug_in_bits, two_part_bits
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, bits_by_stream
from kcomplexity.parallel import Cut, Every, Reducer, State
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import Alphabet, smallest

#: More distinct symbols than this are not counted: nearly every one is different then.
_MOST_DISTINCT = 1 << 24


@dataclass(frozen=True)
class CountSymbols:
    """Count how often each symbol of an alphabet occurs."""

    alphabet_size: int
    cut: Cut = field(default=Every(), init=False)

    @property
    def memory(self) -> int:
        return 16 * LEAF if self.alphabet_size <= LARGEST_TABLE else SORTING_MEMORY

    def start(self) -> CountState:
        return CountState(SymbolCounter(self.alphabet_size, _MOST_DISTINCT))


@dataclass
class CountState(State):
    """The counts so far."""

    counter: SymbolCounter

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        self.counter.add(chunk)

    def finish(self) -> None:
        self.counter.finish()

    def __add__(self, other: CountState) -> CountState:
        return CountState(self.counter + other.counter)


@dataclass(frozen=True)
class Entropy(Estimator):
    """Order-0 entropy of each stream, plug-in, or with its counts and values charged.

    ``entropy`` is n * H of the observed frequencies: no code reaches it, since a decoder would
    have to know them. ``entropy:two-part`` is a code: see
    :func:`~kcomplexity.algorithms.entropy_coding.lengths.two_part_bits`.
    """

    form: str = "plug-in"

    summary: ClassVar[str] = "order-0 entropy of the symbols; two-part: counts and values charged"
    positional: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    default_view: ClassVar[str | None] = "q8"
    reference: ClassVar[str] = "Shannon 1948; two-part: Rissanen 1978, enumerative (Cover 1973)"

    def __post_init__(self) -> None:
        if self.form not in ("plug-in", "two-part"):
            raise SpecError(f"entropy:{self.form}: expected plug-in (the default) or two-part")

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """A code only where all that a decoder needs is counted."""
        return "code" if self.form == "two-part" else "estimate"

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        assert alphabet is not None  # noqa: S101 - it has a default view
        return CountSymbols(alphabet.size)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        counts = [state.counter.counts for state in states if isinstance(state, CountState)]
        bits = [
            plug_in_bits(c) if self.form == "plug-in" else two_part_bits(c, a.size)
            for c, a in zip(counts, alphabets, strict=True)
        ]
        return Measure(
            math.fsum(bits),
            stream_bits=bits_by_stream(alphabets, bits),
            details={"n_distinct": sum(int(np.count_nonzero(c)) for c in counts)},
        )


@dataclass(frozen=True)
class BlockEntropy(Estimator):
    """Plug-in entropy of non-overlapping blocks of N symbols.

    Blocks start at the tensor's first symbol; a remainder shorter than a block is left out and
    counted in ``n_ignored``. The value is (number of blocks) * H(block).
    """

    size: int = 2

    summary: ClassVar[str] = "plug-in entropy of blocks of N symbols: order within a block"
    kind: ClassVar[Kind] = "estimate"
    additive: ClassVar[bool] = False
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = "q4"
    reference: ClassVar[str] = "Shannon 1948, section 7"
    rate: ClassVar[float] = 3e7  # sorting distinct blocks takes the time

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 32:
            raise SpecError(f"block-entropy:{self.size}: expected 2 to 32 symbols a block")

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        assert alphabet is not None  # noqa: S101 - it has a default view
        if self.size * alphabet.width > 63:
            raise UnmeasurableError(
                f"a block of {self.size} symbols of {alphabet.width} bits does not fit 63 bits: "
                f"take blocks of at most {63 // alphabet.width}"
            )
        return _CountBlocks(alphabet, self.size)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        blocks = [state for state in states if isinstance(state, _BlockState)]
        counts = [state.codes.counts for state in blocks]
        n_left = sum(state.n_left for state in blocks)
        n_blocks = sum(int(c.sum()) for c in counts)
        if not n_blocks:
            raise UnmeasurableError(f"fewer than {self.size} symbols: no block")
        return Measure(
            math.fsum(plug_in_bits(c) for c in counts),
            n_ignored=round(n_left / sum(a.per_weight for a in alphabets)),
            n_blocks=n_blocks,
            n_codes_seen=sum(int(np.count_nonzero(c)) for c in counts),
        )


@dataclass(frozen=True)
class _CountBlocks:
    alphabet: Alphabet
    size: int

    @property
    def cut(self) -> Cut:
        return Every(math.lcm(LEAF, self.size))

    @property
    def memory(self) -> int:
        return SORTING_MEMORY

    def start(self) -> State:
        codes = CountSymbols(1 << self.size * self.alphabet.width).start().counter
        return _BlockState(self, codes)


@dataclass
class _BlockState(State):
    """Blocks as base-2**width numbers; what is left at the tensor's end."""

    reducer: _CountBlocks
    codes: SymbolCounter
    n_left: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        flat = chunk.reshape(-1)
        size, width = self.reducer.size, self.reducer.alphabet.width
        whole = flat.size - flat.size % size
        self.n_left += flat.size - whole
        rows = flat[:whole].reshape(-1, size).astype(smallest(1 << size * width))
        codes = rows[:, 0].copy()
        for column in rows.T[1:]:
            codes <<= codes.dtype.type(width)
            codes |= column
        self.codes.add(codes)

    def finish(self) -> None:
        self.codes.finish()

    def __add__(self, other: _BlockState) -> _BlockState:
        return _BlockState(self.reducer, self.codes + other.codes, self.n_left + other.n_left)
