"""Time ``kcomplexity.score`` against the bare libraries and against reading the weights once.

    python benchmarks/score.py                   # all jobs; some ten minutes on two processors
    python benchmarks/score.py --only entropy    # one group of them
    python benchmarks/score.py --quick           # small sizes: does it run, not how fast

A score is timed whole: open the file, read it, measure every tensor, add up, write the record. What
it is compared with:

compressors
    The bare library on the same bytes in the same frames of 2**22 weights, read from the same file
    by the same number of threads, and nothing else. Both sides must give the same number of bytes.
    Slow compressors are timed on a smaller file, whose size is in the table.
entropy
    ``np.sum`` over the same float32 values, which are in memory already: one thread, one pass. The
    score makes two, one for the range and one for the levels.
fast
    One pass of zstd -3 in the same frames and threads: over the stored bytes, and over their byte
    planes, which is what the panel compresses. They differ on BF16: the plane of sign and
    exponent, which shrinks by more than half, takes zstd twice the time of all stored bytes, which
    shrink by a fifth.
default
    Reading the file once.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import itertools
import json
import lzma
import math
import os
import statistics
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import brotli
import numpy as np
import zstandard
from isal import igzip_lib
from measuring import (
    MIB,
    Layer,
    Row,
    gpt_layers,
    heavy_tailed,
    paired,
    seconds,
    table,
    to_bfloat16,
    warn_if_busy,
    write_safetensors,
)
from numpy.typing import NDArray

import kcomplexity as kc

FRAME = 1 << 22  # weights, as every score cuts them
ITEM_SIZES = {"F32": 4, "BF16": 2}
DRAW = 1 << 20  # weights drawn at once when a file is made
Compress: TypeAlias = Callable[[bytes], bytes]
Floats: TypeAlias = NDArray[np.float32]
Frame: TypeAlias = tuple[int, int]
"""Offset in the file and number of bytes."""


@dataclass(frozen=True)
class Bench:
    """Where and how everything is timed.

    Attributes
    ----------
    folder : Path
        For the made checkpoints.
    mib : float
        Size of the checkpoint, in MiB.
    default_mib : float
        Size of the one that the default panel scores.
    threads, repeats : int
    blocks : int
        Of the made GPT.
    """

    folder: Path
    mib: float
    default_mib: float
    threads: int
    repeats: int
    blocks: int

    def checkpoint(self, mib: float, dtype: str = "F32") -> Path:
        """Path of a made GPT of `mib` MiB, written on first use."""
        n_weights = round(mib * MIB) // ITEM_SIZES[dtype]
        return self.file(f"gpt-{mib:g}-{dtype}", gpt_layers(n_weights, self.blocks), dtype)

    def file(self, name: str, layers: Sequence[Layer], dtype: str = "F32") -> Path:
        """Path of a made checkpoint with these tensors."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            write_safetensors(path, layers, dtype, _weights(dtype))
        return path

    def score(self, source: Path | dict[str, Floats], *specs: str) -> kc.Report:
        """Score all of a checkpoint by `specs`."""
        return kc.score(source, specs=specs, exact=True, threads=self.threads)


@dataclass(frozen=True)
class Codec:
    """A compressor's spec and the bare library's call.

    Attributes
    ----------
    spec : str
    compress : callable
    share : float
        Of the checkpoint's size, so that slow ones end in sensible time.
    """

    spec: str
    compress: Compress
    share: float


def _zstd_3(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(data)


CODECS = (
    Codec("igzip@bytes", lambda d: igzip_lib.compress(d, 1, igzip_lib.COMP_GZIP), 1),
    Codec("zstd@bytes", _zstd_3, 1),
    Codec("gzip@bytes", lambda d: gzip.compress(d, 9, mtime=0), 1 / 2),
    Codec("brotli@bytes", lambda d: bytes(brotli.compress(d, quality=5)), 1 / 2),
    Codec("bz2@bytes", lambda d: bz2.compress(d, 9), 1 / 4),
    Codec("xz@bytes", lambda d: lzma.compress(d, preset=6), 1 / 8),
    Codec("zstd:19@bytes", lambda d: zstandard.ZstdCompressor(level=19).compress(d), 1 / 8),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups asked for and print their tables."""
    options = _parse(argv)
    warn_if_busy()
    groups = {"compressors": compressors, "entropy": entropy, "panels": panels}
    with tempfile.TemporaryDirectory(prefix="kcomplexity-bench-", dir=options.tmpdir) as folder:
        bench = Bench(
            Path(folder),
            mib=options.mib,
            default_mib=options.default_gib * 1024,
            threads=options.threads,
            repeats=options.repeats,
            blocks=2 if options.quick else 16,
        )
        for name in options.only or groups:
            print(table(f"score: {name}, {bench.threads} threads", groups[name](bench)), flush=True)


def compressors(bench: Bench) -> Iterator[Row]:
    """Each compressor's score against the bare library."""
    for codec in CODECS:
        mib = bench.mib * codec.share
        path = bench.checkpoint(mib)
        bits = bench.score(path, codec.spec).summary[0].bits
        n_bytes = compress_frames(path, codec.compress, bench.threads)
        if bits != 8 * n_bytes:
            raise RuntimeError(f"{codec.spec}: {bits} bits, but the library says {8 * n_bytes}")
        measured = paired(
            partial(bench.score, path, codec.spec),
            partial(compress_frames, path, codec.compress, bench.threads),
            bench.repeats,
        )
        yield Row(f"`{codec.spec}`, {mib:g} MiB", "the bare library", "<= 1.15x", str(measured))


def entropy(bench: Bench) -> Iterator[Row]:
    """Entropies against ``np.sum`` of the same float32 values."""
    n_weights = round(bench.mib * MIB) // 4
    one = bench.file("one", [("weight", (n_weights // 1024, 1024))])
    many = bench.checkpoint(bench.mib)
    n_tensors = len(gpt_layers(n_weights, bench.blocks))
    # What a score costs whatever the size: workers, provenance, and some work a tensor.
    fixed = _fixed(bench, bench.file("one-tiny", [("weight", (8, 8))]))
    fixed_many = _fixed(bench, bench.file("gpt-tiny", gpt_layers(1, bench.blocks)))
    values = _values(one)
    measured = paired(
        partial(bench.score, {"weight": values}, "entropy@q8"), values.sum, bench.repeats
    )
    yield Row(f"`entropy@q8`, an array of {bench.mib:g} MiB", "`np.sum`", "<= 8x", str(measured))
    for path, what, cost in (
        (one, f"one tensor in a file of {bench.mib:g} MiB", fixed),
        (many, f"{n_tensors} tensors in a file of {bench.mib:g} MiB", fixed_many),
    ):
        values = _values(path)
        measured = paired(partial(bench.score, path, "entropy@q8"), values.sum, bench.repeats)
        rest = measured.difference + statistics.median(measured.peer) - cost
        yield Row(f"`entropy@q8`, {what}", "`np.sum`", "<= 8x", str(measured))
        yield Row(
            f"the same less {1000 * cost:.3g} ms that a score of tiny tensors takes",
            "`np.sum`",
            "-",
            f"{rest / statistics.median(measured.peer):.2f}x",
        )
    spec = "entropy:two-part@rd0.01"
    measured = paired(partial(bench.score, many, spec), values.sum, bench.repeats)
    yield Row(f"`{spec}`, {n_tensors} tensors, {bench.mib:g} MiB", "`np.sum`", "-", str(measured))


def panels(bench: Bench) -> Iterator[Row]:
    """The panels ``fast`` and ``default``."""
    for dtype, size in ITEM_SIZES.items():
        path = bench.checkpoint(bench.mib, dtype)
        for peer, compress in (
            ("zstd -3 over the bytes", _zstd_3),
            ("zstd -3 over the byte planes", partial(_zstd_3_planes, size)),
        ):
            measured = paired(
                partial(kc.score, path, panel="fast", threads=bench.threads),
                partial(compress_frames, path, compress, bench.threads),
                bench.repeats,
            )
            yield Row(f"panel `fast`, {dtype}, {bench.mib:g} MiB", peer, "<= 3x", str(measured))
    path = bench.checkpoint(bench.default_mib)
    read = seconds(partial(compress_frames, path, bytes, bench.threads))
    took = seconds(partial(kc.score, path, panel="default", threads=bench.threads))
    yield Row(
        f"panel `default`, F32, {bench.default_mib / 1024:.3g} GiB",
        f"reading it: {1000 * read:.3g} ms",
        "about 60 s on 2 cores",
        f"{took:.1f} s",
    )


def _zstd_3_planes(item_size: int, data: bytes) -> bytes:
    table = np.frombuffer(data, np.uint8).reshape(-1, item_size)
    return b"".join(_zstd_3(np.ascontiguousarray(plane).tobytes()) for plane in table.T)


def frames(path: Path) -> list[Frame]:
    """Return the frames of every tensor of a safetensors file, in file order."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    frames: list[Frame] = []
    for tensor in header.values():
        start, stop = tensor["data_offsets"]
        step = FRAME * (stop - start) // math.prod(tensor["shape"])
        edges = [*range(start, stop, step), stop]
        frames += [(8 + length + a, b - a) for a, b in itertools.pairwise(edges)]
    return frames


def compress_frames(path: Path, compress: Compress, threads: int) -> int:
    """Compress the frames of a file over `threads`; return the number of bytes that came out."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(threads) as pool:
            return sum(
                pool.map(
                    lambda frame: len(compress(os.pread(fd, frame[1], frame[0]))), frames(path)
                )
            )
    finally:
        os.close(fd)


def _values(path: Path) -> Floats:
    """All weights of a float32 file, as they lie in it."""
    return np.fromfile(path, "<f4", offset=frames(path)[0][0])


def _fixed(bench: Bench, path: Path) -> float:
    bench.score(path, "entropy@q8")
    return statistics.median(
        seconds(lambda: bench.score(path, "entropy@q8")) for _ in range(bench.repeats)
    )


def _weights(dtype: str) -> Iterator[NDArray[np.uint8]]:
    """Yield stored bytes of heavy-tailed weights without end."""
    rng = np.random.default_rng(0)
    while True:
        weights = heavy_tailed(DRAW, rng)
        yield (weights if dtype == "F32" else to_bfloat16(weights)).view(np.uint8)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=["compressors", "entropy", "panels"])
    parser.add_argument("--mib", type=float, default=256, help="size of the checkpoint (256)")
    parser.add_argument(
        "--default-gib", type=float, default=1, help="what the default panel scores (1)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each job (5)")
    parser.add_argument("--tmpdir", type=Path, help="where the made checkpoints go")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    options = parser.parse_args(argv)
    if options.quick:
        options.mib, options.default_gib, options.repeats = 1.0, 1 / 1024, 1
    return options


if __name__ == "__main__":
    main()
