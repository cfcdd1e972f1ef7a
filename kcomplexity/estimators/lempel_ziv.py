"""Lempel-Ziv (LZ76) complexity as an estimator: one parse over the whole stream.

The maths is in :mod:`kcomplexity.algorithms.lempel_ziv`; it needs all symbols at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.lempel_ziv import lz76_complexity, lz76_entropy_rate, lz76_phrases
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, bits_by_stream
from kcomplexity.parallel import Cut, Reducer, State, Whole
from kcomplexity.views.base import Alphabet

#: The parse takes up to 100 bytes a symbol: 800 MB.
_MOST_SYMBOLS = 1 << 23
_BYTES_A_SYMBOL = 100


@dataclass(frozen=True)
class Lz76(Estimator):
    """C_LZ of each stream, or with ``form=rate`` n times the entropy rate that LZ76 estimates."""

    form: str = "complexity"

    summary: ClassVar[str] = "Lempel-Ziv 1976: phrases of the exhaustive history, both directions"
    kind: ClassVar[Kind] = "estimate"
    positional: ClassVar[bool] = True
    additive: ClassVar[bool] = False
    default_view: ClassVar[str | None] = "sign"
    reference: ClassVar[str] = (
        "Lempel & Ziv 1976; Kaspar & Schuster 1987; Dingle, Camargo & Louis, Nat. Commun. 9:761"
    )
    rate: ClassVar[float] = 1.5e6

    def __post_init__(self) -> None:
        if self.form not in ("complexity", "rate"):
            raise SpecError(f"lz76:{self.form}: expected complexity (the default) or rate")

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        n_symbols = math.prod(shape) * (alphabet.per_weight if alphabet else 1)
        if n_symbols < 2:
            raise UnmeasurableError("one symbol has no C_LZ; expected at least two symbols")
        if n_symbols > _MOST_SYMBOLS:
            raise UnmeasurableError(
                f"{n_symbols:.0f} symbols: lz76 is one parse over all of them and is kept to "
                f"{_MOST_SYMBOLS}; measure fewer weights"
            )
        return _Parse(self.form, int(n_symbols))

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        parses = [state for state in states if isinstance(state, _ParseState)]
        values = [math.fsum(state.values) for state in parses]
        return Measure(
            math.fsum(values),
            stream_bits=bits_by_stream(alphabets, values),
            details={"n_phrases": sum(state.n_phrases for state in parses)},
        )


@dataclass(frozen=True)
class _Parse:
    form: str
    n_symbols: int
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        return _BYTES_A_SYMBOL * self.n_symbols

    def start(self) -> State:
        return _ParseState(self.form)


@dataclass
class _ParseState(State):
    """The symbols until the stream ends, then a value for each stream seen."""

    form: str
    pieces: list[NDArray[Any]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    n_phrases: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        self.pieces.append(chunk.reshape(-1).copy())

    def finish(self) -> None:
        symbols = np.concatenate(self.pieces)
        self.pieces = []
        self.n_phrases = lz76_phrases(symbols)
        if self.form == "rate":
            self.values = [lz76_entropy_rate(symbols) * symbols.size]
        else:
            self.values = [lz76_complexity(symbols)]

    def __add__(self, other: _ParseState) -> _ParseState:
        both = self.values + other.values
        return _ParseState(self.form, [], both, self.n_phrases + other.n_phrases)
