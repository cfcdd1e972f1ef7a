"""The definitions of views, splits and estimators, written out plainly and slowly.

Nothing here comes from the package: figures are computed from the text of the definitions with
NumPy, the compressors' own libraries and exact integers, so that two independent ways must agree.
An array stands for a stored tensor: its type says how it is stored (four-bit floats are packed two
to a byte, the first in the low half).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import brotli
import ml_dtypes
import numpy as np
import zstandard
from isal import igzip_lib, isal_zlib
from numpy.typing import NDArray

#: Weights in a frame.
FRAME = 1 << 22

Array = NDArray[Any]

#: Bits of sign, exponent and mantissa.
FIELDS: dict[np.dtype[Any], tuple[int, int, int]] = {
    np.dtype(kind): widths
    for kind, widths in {
        np.float64: (1, 11, 52),
        np.float32: (1, 8, 23),
        np.float16: (1, 5, 10),
        ml_dtypes.bfloat16: (1, 8, 7),
        ml_dtypes.float8_e5m2: (1, 5, 2),
        ml_dtypes.float8_e4m3fn: (1, 4, 3),
        ml_dtypes.float8_e8m0fnu: (0, 8, 0),
        ml_dtypes.float8_e4m3fnuz: (1, 4, 3),
        ml_dtypes.float8_e5m2fnuz: (1, 5, 2),
        ml_dtypes.float4_e2m1fn: (1, 2, 1),
    }.items()
}


@dataclass
class Stream:
    """Symbols 0 to size - 1, in the order of the weights."""

    symbols: Array
    size: int
    per_weight: float = 1.0


@dataclass
class Viewed:
    """The streams of a view; what it lost, and what it tells a decoder beside them."""

    streams: list[Stream]
    relative_mse: float | None = None
    side_bits: float = 0.0
    step: float | None = None


def width(size: int) -> int:
    """Bits that hold one of `size` symbols; at least one."""
    return max(math.ceil(math.log2(size)) if size < 1 << 32 else (size - 1).bit_length(), 1)


def bits_of(dtype: np.dtype[Any]) -> int:
    """Stored bits a value."""
    return sum(FIELDS[dtype]) if dtype in FIELDS else 8 * dtype.itemsize


def stored(values: Array) -> bytes:
    """The bytes in the file."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if bits_of(flat.dtype) == 4:
        nibbles = [*flat.view(np.uint8).tolist(), 0][: flat.size + flat.size % 2]
        return bytes(a | b << 4 for a, b in zip(nibbles[::2], nibbles[1::2], strict=True))
    return flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()


def words(values: Array) -> Array:
    """Each stored value as a number."""
    flat = np.ascontiguousarray(values).reshape(-1)
    if bits_of(flat.dtype) == 4:
        return flat.view(np.uint8).astype(np.uint64)
    return np.frombuffer(stored(flat), f"<u{flat.dtype.itemsize}").astype(np.uint64)


# --- views -----------------------------------------------------------------------------------


def view(values: Array, text: str) -> Viewed:
    """What a view of `values` yields; the weights are finite where it quantises."""
    name, _, split = text.partition("/")
    flat = np.ascontiguousarray(values).reshape(-1)
    if name in ("bytes", "f32"):
        return Viewed(_split_words(flat.astype(np.float32) if name == "f32" else flat, split))
    if name == "words":
        return Viewed([Stream(words(flat), 1 << bits_of(flat.dtype))])
    if name in ("sign", "sign-byte"):
        positive = (flat.astype(np.float64) > 0).astype(np.uint64)
        return Viewed([Stream(positive, 2 if name == "sign" else 256)])
    viewed, offset = _quantised(flat, name)
    if split == "bits":
        (stream,) = viewed.streams
        places = width(stream.size)
        lifted = stream.symbols + np.uint64(offset)
        viewed.streams = [Stream(_bit(lifted, place), 2) for place in reversed(range(places))]
    return viewed


def _split_words(flat: Array, split: str) -> list[Stream]:
    raw = np.frombuffer(stored(flat), np.uint8)
    n_bits = bits_of(flat.dtype)
    if split == "" or (split == "planes" and n_bits <= 8):
        return [Stream(raw.astype(np.uint64), 256, n_bits / 8)]
    if split == "planes":
        size = n_bits // 8
        return [Stream(raw[i::size].astype(np.uint64), 256) for i in range(size)]
    numbers = words(flat)
    if split == "bits":
        return [Stream(_bit(numbers, place), 2) for place in reversed(range(n_bits))]
    sign, exponent, mantissa = FIELDS[flat.dtype]
    fields = [(exponent + mantissa, sign), (mantissa, exponent), (0, mantissa)]
    return [
        Stream(numbers >> np.uint64(low) & np.uint64((1 << wide) - 1), 1 << wide)
        for low, wide in fields
        if wide
    ]


def _bit(numbers: Array, place: int) -> Array:
    return numbers >> np.uint64(place) & np.uint64(1)


def _quantised(flat: Array, name: str) -> tuple[Viewed, int]:
    """Levels, and what is added to them before they are split into bits."""
    head, _, clip = name.partition(":clip=")
    exact = flat.astype(np.float64)
    if head.startswith("rd"):
        return _at_distortion(exact, float(head[2:])), 0
    kind = np.float64 if flat.dtype == np.float64 else np.float32
    if head.startswith("l"):
        low, high = float(exact.min()), float(exact.max())
        return _levels(exact, kind, low, high, 0, int(head[1:]) - 1), 0
    n_bits = int(head[1:])
    if clip:
        tail = (1 - float(clip) / 100) / 2
        low, high = _quantile(exact, kind, tail), _quantile(exact, kind, 1 - tail)
        if high - low < 1e-8:
            high = low
        return _levels(exact, kind, low, high, 0, 2**n_bits - 1), 0
    top = 2 ** (n_bits - 1) - 1
    return _levels(exact, kind, 0.0, float(np.abs(exact).max()), -top, top), 1


def _levels(
    exact: Array, kind: type[Any], zero: float, end: float, lowest: int, highest: int
) -> Viewed:
    """Levels in float32 (float64 for F64, and where float32 has no such step)."""
    with np.errstate(over="ignore"):
        step = float((kind(end) - kind(zero)) / kind(highest))
    if kind is np.float32 and end != zero and not 2.0**-126 <= step < math.inf:
        kind, step = np.float64, (end - zero) / highest
    level = np.zeros(exact.size)
    if step:
        with np.errstate(over="ignore"):
            level = np.rint((exact.astype(kind) - kind(zero)) / kind(step)).astype(np.float64)
        level = np.clip(level, lowest, highest)
    side_bits = 8.0 * np.dtype(kind).itemsize * (1 if lowest < 0 else 2)
    symbols = (level - lowest).astype(np.uint64)
    decoded = zero + level * step
    stream = Stream(symbols, highest - lowest + 1)
    return Viewed([stream], _relative(exact, decoded), side_bits, step)


def _relative(exact: Array, decoded: Array) -> float:
    top = float(np.abs(exact).max()) or 1.0  # in units of it no square overflows
    error = math.fsum(np.square((exact - decoded) / top).tolist())
    squares = math.fsum(np.square(exact / top).tolist())
    return error / squares if squares else 0.0


def _quantile(exact: Array, kind: type[Any], share: float) -> float:
    position = share * (exact.size - 1)
    ordered = np.sort(exact).astype(kind)
    below = ordered[math.floor(position)]
    above = ordered[min(math.floor(position) + 1, exact.size - 1)]
    share = position - math.floor(position)
    if float(above) - float(below) > float(np.finfo(kind).max):
        return float(below) * (1 - share) + float(above) * share
    return float(below + (above - below) * kind(share))


def error_of(exact: Array, step: float) -> float:
    """Relative squared error of level * step, the levels being round(w / step), half to even."""
    squares = float(np.square(exact).sum())
    return float(np.square(exact - np.rint(exact / step) * step).sum()) / squares


def step_for(exact: Array, error: float) -> float:
    """Coarsest step of a grid with at most this error, bisected towards its predecessor."""
    top = float(np.abs(exact).max())
    j = 0
    while error_of(exact, 8 * top * 2 ** (-j / 16)) > error:
        j += 1
    low, high = 8 * top * 2 ** (-j / 16), 8 * top * 2 ** (-(j - 1) / 16)
    for _ in range(40):
        if error_of(exact, low) >= error * (1 - 1e-4):
            break
        middle = (low + high) / 2
        if error_of(exact, middle) <= error:
            low = middle
        else:
            high = middle
    return low


def _at_distortion(exact: Array, error: float) -> Viewed:
    step = step_for(exact, error)
    level = np.rint(exact / step)
    lowest, highest = int(level.min()), int(level.max())
    size = highest - lowest + 1
    # The step, the sign of the lowest level, then the lowest and the number of levels in Elias'
    # gamma code: as many zeros as digits but one, then the digits.
    side_bits = 64 + 1 + sum(2 * len(f"{n:b}") - 1 for n in (abs(lowest) + 1, size))
    stream = Stream((level - lowest).astype(np.uint64), size)
    return Viewed([stream], error_of(exact, step), side_bits, step)


# --- estimators ------------------------------------------------------------------------------


def pack(symbols: Array, n_bits: int) -> bytes:
    """Symbols of `n_bits` bits one after the other, the top bit first, zero-padded at the end."""
    places = np.arange(n_bits, dtype=np.uint64)[::-1]
    table = symbols.astype(np.uint64)[:, None] >> places & np.uint64(1)
    return np.packbits(table.astype(np.uint8).reshape(-1)).tobytes()


COMPRESS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": lambda data, level: gzip.compress(data, level, mtime=0),
    "igzip": lambda data, level: igzip_lib.compress(data, level, igzip_lib.COMP_GZIP),
    "zstd": lambda data, level: zstandard.ZstdCompressor(level=level).compress(data),
    "brotli": lambda data, level: brotli.compress(data, quality=level),
    "bz2": bz2.compress,
    "xz": lambda data, level: lzma.compress(data, preset=level),
}
#: Decoders of one stream of unknown length.
DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.decompress,
    "igzip": gzip.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "brotli": brotli.decompress,
    "bz2": bz2.decompress,
    "xz": lzma.decompress,
}
LEVEL = {"gzip": 9, "igzip": 1, "zstd": 3, "brotli": 5, "bz2": 9, "xz": 6}


def compress_stream(name: str, level: int, pieces: Iterable[bytes]) -> bytes:
    """The output of a library's streaming compressor that is fed `pieces`."""
    if name == "brotli":
        brotli_stream = brotli.Compressor(quality=level)
        parts = [brotli_stream.process(piece) for piece in pieces]
        return b"".join([*parts, brotli_stream.finish()])
    streams: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(level, wbits=31),
        "igzip": lambda: isal_zlib.compressobj(level, wbits=31),
        "zstd": lambda: zstandard.ZstdCompressor(level=level).compressobj(),
        "bz2": lambda: bz2.BZ2Compressor(level),
        "xz": lambda: lzma.LZMACompressor(preset=level),
    }
    stream = streams[name]()
    return b"".join([*[stream.compress(piece) for piece in pieces], stream.flush()])


def frames(stream: Stream, frame: int) -> list[bytes]:
    """Packed bytes of each `frame` weights."""
    size = int(frame * stream.per_weight)
    n_bits = width(stream.size)
    return [pack(stream.symbols[i : i + size], n_bits) for i in range(0, stream.symbols.size, size)]


def entropy(counts: Iterable[int]) -> float:
    """n * H of the observed frequencies, in bits."""
    seen = [count for count in counts if count]
    n = sum(seen)
    return math.fsum(count * math.log2(n / count) for count in seen)


def two_part(counts: Iterable[int], size: int) -> float:
    """How many symbols occur, which, how often each, in what order: by exact integers."""
    seen = [count for count in counts if count]
    n, d = sum(seen), len(seen)
    orders = math.factorial(n)
    for count in seen:
        orders //= math.factorial(count)
    ways = math.comb(size, d) * math.comb(n - 1, d - 1) * orders
    return math.log2(min(size, n)) + math.log2(ways)


def _block_entropy(stream: Stream, size: int) -> float:
    whole = stream.symbols.size // size * size
    blocks = stream.symbols[:whole].reshape(-1, size)
    return entropy(np.unique(blocks, axis=0, return_counts=True)[1].tolist())


def value(values: Array, spec: str) -> float:
    """What an estimator finds, in bits without side information, or in a statistic's own unit."""
    head, _, view_text = spec.partition("@")
    name, *given = head.split(":")
    exact = np.ascontiguousarray(values).reshape(-1).astype(np.float64)
    if name == "nonzero":
        return float((exact != 0).sum() / exact.size)
    if name == "l2":
        return math.sqrt(math.fsum(np.square(exact).tolist()))
    if name in ("stable-rank", "spectral-entropy"):
        singular = np.linalg.svd(exact.reshape(values.shape[0], -1), compute_uv=False)
        shares = np.square(singular) / np.square(singular).sum()
        if name == "stable-rank":
            return float(1 / shares[0])
        return entropy(shares.tolist()) / math.log2(shares.size)
    streams = view(values, view_text).streams
    if name == "block-entropy":
        size = int(given[0]) if given else 2
        return math.fsum(_block_entropy(stream, size) for stream in streams)
    if name == "entropy":
        counted = [(np.unique(s.symbols, return_counts=True)[1].tolist(), s.size) for s in streams]
        if given == ["two-part"]:
            return math.fsum(two_part(counts, size) for counts, size in counted)
        return math.fsum(entropy(counts) for counts, _ in counted)
    frame, level = FRAME, LEVEL[name]
    for param in given:
        if param.startswith("frame="):
            frame = int(param.removeprefix("frame="))
        else:
            level = int(param)
    if not frame:
        streamed = (compress_stream(name, level, frames(stream, FRAME)) for stream in streams)
        return 8.0 * sum(map(len, streamed))
    return 8.0 * sum(
        len(COMPRESS[name](packed, level)) for stream in streams for packed in frames(stream, frame)
    )
