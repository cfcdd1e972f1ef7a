"""General-purpose compressors: decodable code lengths, on packed symbols in fixed frames.

Symbols are packed first (most significant bit first, zero-padded at a frame's end), so noise in
one-bit symbols costs one bit and not eight. Each stream is cut into frames of 2**22 weights that
are compressed on their own, container bytes included: that makes the figure independent of threads
and of the machine's memory. ``frame=0`` compresses each stream as one.

The bytes of a codec are a function of (spec, library version, and for igzip the CPU family).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.packing import pack
from kcomplexity.errors import SpecError
from kcomplexity.estimators.base import Estimator, Kind, Measure, bits_by_stream
from kcomplexity.parallel import Cut, Every, Reducer, State, Whole
from kcomplexity.tensors.pieces import FRAME, LEAF
from kcomplexity.views.base import Alphabet

_MIB = 1 << 20


class StreamCompressor(Protocol):
    """What the libraries' streaming compressors have in common."""

    def compress(self, data: Any) -> bytes: ...
    def flush(self) -> bytes: ...


@dataclass(frozen=True)
class Compressor(Estimator):
    """Base of the compressors: a level and a frame."""

    level: int
    frame: int = field(default=FRAME, kw_only=True)

    kind: ClassVar[Kind] = "code"
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = "bytes"
    levels: ClassVar[range]
    #: Rough bytes a second of one core on float32 weights, by level up to.
    rates: ClassVar[dict[int, float]]

    def __post_init__(self) -> None:
        if self.level not in self.levels:
            name = type(self).__name__.lower()
            raise SpecError(
                f"{name}:{self.level}: expected a level from {self.levels[0]} to {self.levels[-1]}"
            )
        if self.frame < 0 or self.frame % LEAF:
            raise SpecError(
                f"frame={self.frame}: expected 0 (one stream) or a multiple of {LEAF} weights"
            )

    @abstractmethod
    def compress(self, data: NDArray[np.uint8]) -> bytes:
        """Return one frame compressed, with its container."""

    @abstractmethod
    def stream(self) -> StreamCompressor:
        """Return a compressor of one stream of unknown length."""

    @property
    def working_memory(self) -> int:
        """Bytes the library takes besides input and output."""
        return _MIB

    @property
    def rate(self) -> float:
        return next(rate for level, rate in self.rates.items() if self.level <= level)

    @property
    def cap(self) -> int | None:
        """No cap from 30 MB/s a core up, 2**24 weights below 8 MB/s (zstd:19, xz), else 2**26."""
        return None if self.rate > 30e6 else 1 << 26 if self.rate > 8e6 else 1 << 24

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        assert alphabet is not None  # noqa: S101 - a compressor always has a view
        return Frames(self, alphabet) if self.frame else OneStream(self, alphabet)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        bits = [8 * state.n_bytes for state in states if isinstance(state, LengthState)]
        return Measure(float(sum(bits)), stream_bits=bits_by_stream(alphabets, bits))


@dataclass
class LengthState(State):
    """Bytes of all frames so far."""

    compressor: Compressor
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

    compressor: Compressor
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

    compressor: Compressor
    alphabet: Alphabet
    cut: Cut = field(default=Whole(), init=False)

    @property
    def memory(self) -> int:
        frame = int(FRAME * self.alphabet.per_weight * self.alphabet.width / 8)
        return 2 * frame + self.compressor.working_memory

    def start(self) -> State:
        return _StreamLengthState(self.compressor, self.alphabet)


@dataclass(frozen=True)
class Gzip(Compressor):
    """Deflate by zlib in gzip's container, no time stamp."""

    level: int = 9
    levels: ClassVar[range] = range(1, 10)
    rates: ClassVar[dict[int, float]] = {1: 60e6, 6: 37e6, 9: 34e6}
    summary: ClassVar[str] = "gzip (zlib's deflate): the field's habit; a window of 32 KiB"
    reference: ClassVar[str] = "RFC 1951, RFC 1952"

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        return gzip.compress(data.data, self.level, mtime=0)

    def stream(self) -> StreamCompressor:
        return zlib.compressobj(self.level, wbits=31)


@dataclass(frozen=True)
class Igzip(Compressor):
    """Deflate by ISA-L: ten times as fast as zlib, at its ratio on weights."""

    level: int = 1
    levels: ClassVar[range] = range(1, 4)
    rates: ClassVar[dict[int, float]] = {3: 350e6}
    summary: ClassVar[str] = "gzip by ISA-L: fast; its bytes depend on the CPU family"
    reference: ClassVar[str] = "RFC 1951; Intel ISA-L"
    machine_dependent: ClassVar[bool] = True

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        from isal import igzip_lib

        return igzip_lib.compress(data, self.level, igzip_lib.COMP_GZIP)

    def stream(self) -> StreamCompressor:
        from isal import isal_zlib

        return isal_zlib.compressobj(self.level, wbits=31)


@dataclass(frozen=True)
class Zstd(Compressor):
    """Zstandard, single-threaded, content size in the header."""

    level: int = 3
    levels: ClassVar[range] = range(1, 23)
    rates: ClassVar[dict[int, float]] = {3: 600e6, 9: 100e6, 15: 20e6, 22: 7e6}
    summary: ClassVar[str] = "Zstandard: fast at 3; from 19 a window of 8 MiB and more"
    reference: ClassVar[str] = "RFC 8878"

    @property
    def working_memory(self) -> int:
        """Window and tables, as the library states them for data of any length."""
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(self.level)
        return int(parameters.estimated_compression_context_size())

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        import zstandard

        return zstandard.ZstdCompressor(level=self.level).compress(data.data)

    def stream(self) -> StreamCompressor:
        import zstandard

        return zstandard.ZstdCompressor(level=self.level).compressobj()


@dataclass(frozen=True)
class Brotli(Compressor):
    """Brotli, generic mode, window of 4 MiB."""

    level: int = 5
    levels: ClassVar[range] = range(12)
    rates: ClassVar[dict[int, float]] = {1: 300e6, 4: 200e6, 9: 30e6, 11: 0.4e6}
    summary: ClassVar[str] = "Brotli: context-modelled literals"
    reference: ClassVar[str] = "RFC 7932"

    @property
    def working_memory(self) -> int:
        return 32 * _MIB if self.level < 10 else 256 * _MIB

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        import brotli

        return bytes(brotli.compress(data.data, quality=self.level))

    def stream(self) -> StreamCompressor:
        import brotli

        return _BrotliStream(brotli.Compressor(quality=self.level))


@dataclass(frozen=True)
class Bz2(Compressor):
    """Burrows-Wheeler blocks of level * 100 kB."""

    level: int = 9
    levels: ClassVar[range] = range(1, 10)
    rates: ClassVar[dict[int, float]] = {9: 9e6}
    summary: ClassVar[str] = "bzip2: Burrows-Wheeler transform"
    reference: ClassVar[str] = "Seward 1996; Burrows & Wheeler, SRC report 124, 1994"

    @property
    def working_memory(self) -> int:
        """Some eight bytes for each of a block."""
        return 8 * _MIB

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        return bz2.compress(data.data, self.level)

    def stream(self) -> StreamCompressor:
        return bz2.BZ2Compressor(self.level)


@dataclass(frozen=True)
class Xz(Compressor):
    """LZMA2 in xz's container, CRC-64."""

    level: int = 6
    levels: ClassVar[range] = range(10)
    rates: ClassVar[dict[int, float]] = {9: 4e6}
    summary: ClassVar[str] = "xz (LZMA2): range-coded, long window"
    reference: ClassVar[str] = "Pavlov, LZMA specification; xz file format 1.1.0"

    @property
    def working_memory(self) -> int:
        """As xz(1) tabulates it by preset."""
        return (3, 9, 17, 32, 48, 94, 94, 186, 370, 674)[self.level] * _MIB

    def compress(self, data: NDArray[np.uint8]) -> bytes:
        return lzma.compress(data.data, preset=self.level)

    def stream(self) -> StreamCompressor:
        return lzma.LZMACompressor(preset=self.level)


class _BrotliStream:
    """Brotli's streaming compressor under the names the others use."""

    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor

    def compress(self, data: Any) -> bytes:
        return bytes(self._compressor.process(data))

    def flush(self) -> bytes:
        return bytes(self._compressor.finish())
