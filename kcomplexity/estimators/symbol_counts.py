"""The reducer that counts symbols: what entropies, and the order-0 part of other codes, rest on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from kcomplexity.algorithms.counting import LARGEST_TABLE, SORTING_MEMORY, SymbolCounter
from kcomplexity.parallel import Cut, Every, State
from kcomplexity.tensors.pieces import LEAF

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
