"""Reducers of several specs that share one view: each piece is encoded once for all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from kcomplexity.parallel import (
    Cut,
    Every,
    Piece,
    Reducer,
    State,
    finish_state,
    largest_chunk,
    merge_states,
    start_state,
    update_state,
)
from kcomplexity.views import Encoder


@dataclass(frozen=True)
class SharedEncoding:
    """One encoder in front of the reducers of several specs: for each, one reducer a stream.

    Without an encoder the piece is handed on as it is.
    """

    encoder: Encoder | None
    members: tuple[tuple[Reducer, ...], ...]

    @property
    def cut(self) -> Cut:
        cuts = [reducer.cut for member in self.members for reducer in member]
        every = [cut.n for cut in cuts if isinstance(cut, Every)]
        return Every(math.lcm(*every)) if every else cuts[0]

    @property
    def memory(self) -> int:
        symbols = 0.0
        if self.encoder is not None:
            widths = [-(-a.width // 8) * a.per_weight for a in self.encoder.streams]
            symbols = largest_chunk(self.cut) * sum(widths)
        return int(symbols) + max(r.memory for member in self.members for r in member)

    def start(self) -> EncodedState:
        return EncodedState(self.encoder, [[start_state(r) for r in m] for m in self.members])


@dataclass
class EncodedState(State):
    """The states of all members, one a stream, and what encoding lost.

    `errors` and `squares` are one per leaf, in units of the encoder's ``error_unit``.
    """

    encoder: Encoder | None
    states: list[list[State]]
    errors: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)

    def update(self, chunk: Piece, at: Any) -> None:
        streams: tuple[Any, ...] = (chunk,)
        if self.encoder is not None:
            streams, errors, squares = self.encoder.encode(chunk)
            self.errors += errors
            self.squares += squares
        for member in self.states:
            for i, symbols in enumerate(streams):
                member[i] = update_state(member[i], symbols, at)

    def finish(self) -> None:
        for member in self.states:
            member[:] = [finish_state(state) for state in member]

    def __add__(self, other: EncodedState) -> EncodedState:
        states = [
            [merge_states(a, b) for a, b in zip(mine, theirs, strict=True)]
            for mine, theirs in zip(self.states, other.states, strict=True)
        ]
        return EncodedState(
            self.encoder, states, self.errors + other.errors, self.squares + other.squares
        )
