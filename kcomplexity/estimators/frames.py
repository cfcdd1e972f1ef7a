"""The reducers of the compressors: frames, or one stream, of packed symbols.

A chunk is a whole number of frames. Frames are cut at the same weights in every stream of a view.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.packing import pack
from kcomplexity.parallel import Cut, Every, State, Whole
from kcomplexity.tensors.pieces import FRAME
from kcomplexity.views.base import Alphabet


class StreamCompressor(Protocol):
    """What the libraries' streaming compressors have in common."""

    def compress(self, data: Any) -> bytes: ...
    def flush(self) -> bytes: ...


class Codec(Protocol):
    """A compressor with its level."""

    @property
    def frame(self) -> int: ...
    @property
    def working_memory(self) -> int: ...
    def compress(self, data: NDArray[np.uint8]) -> bytes: ...
    def stream(self) -> StreamCompressor: ...


@dataclass
class LengthState(State):
    """Bytes of all frames so far."""

    compressor: Codec
    alphabet: Alphabet
    n_bytes: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        flat = chunk.reshape(-1)
        frame = int(self.compressor.frame * self.alphabet.per_weight)
        for i in range(0, flat.size, frame):
            packed = pack(flat[i : i + frame], self.alphabet.width)
            self.n_bytes += len(self.compressor.compress(packed))

    def __add__(self, other: LengthState) -> LengthState:
        return LengthState(self.compressor, self.alphabet, self.n_bytes + other.n_bytes)


@dataclass
class _StreamLengthState(LengthState):
    """Bytes of one stream; the library's compressor lives until the stream is finished."""

    stream: StreamCompressor | None = None

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        if self.stream is None:
            self.stream = self.compressor.stream()
        packed = pack(chunk.reshape(-1), self.alphabet.width)
        self.n_bytes += len(self.stream.compress(packed.data))

    def finish(self) -> None:
        if self.stream is not None:
            self.n_bytes += len(self.stream.flush())
            self.stream = None


@dataclass(frozen=True)
class Frames:
    """Compress each frame of the packed symbols on its own; count the bytes."""

    compressor: Codec
    alphabet: Alphabet

    @property
    def cut(self) -> Cut:
        return Every(self.compressor.frame)

    @property
    def memory(self) -> int:
        frame = int(self.compressor.frame * self.alphabet.per_weight * self.alphabet.width / 8)
        # One packed frame, and as much again for what comes out when it does not compress.
        return 2 * frame + self.compressor.working_memory

    def start(self) -> State:
        return LengthState(self.compressor, self.alphabet)


@dataclass(frozen=True)
class OneStream:
    """Compress the packed symbols as one stream; count the bytes."""

    compressor: Codec
    alphabet: Alphabet
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        frame = int(FRAME * self.alphabet.per_weight * self.alphabet.width / 8)
        return 2 * frame + self.compressor.working_memory

    def start(self) -> State:
        return _StreamLengthState(self.compressor, self.alphabet)
