"""Shared by the speed benchmarks: paired timing, a Markdown table and a random checkpoint.

Two jobs alternate in one process, after one run of each that warms the page cache, and
compared by the median of the ratios of neighbouring runs (:func:`paired`). A machine that slows
down half-way then slows both sides of a ratio, and one disturbed run does not count.

The random checkpoint (:func:`gpt_layers`, :func:`write_safetensors`) has the shapes of a GPT: one
large embedding, matrices in five sizes, and twice as many vectors as matrices. Its weights follow
Student's t with 4 degrees of freedom, whose tails are about as heavy as those of trained layers.
They are noise: a compressor can use nothing but the histogram.
"""

from __future__ import annotations

import gc
import json
import math
import os
import platform
import statistics
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MIB",
    "Layer",
    "Paired",
    "Row",
    "gpt_layers",
    "heavy_tailed",
    "machine",
    "paired",
    "seconds",
    "table",
    "to_bfloat16",
    "warn_if_busy",
    "write_safetensors",
]

MIB = 1 << 20
Layer: TypeAlias = tuple[str, tuple[int, ...]]
"""Name and shape of a tensor."""


@dataclass(frozen=True)
class Row:
    """One line of a table, as text.

    Attributes
    ----------
    job, peer : str
        What was timed, and what it is compared with.
    target, measured : str
        With units; a target of "-" is for information.
    """

    job: str
    peer: str
    target: str
    measured: str


@dataclass(frozen=True)
class Paired:
    """Times of two jobs that ran by turns, in seconds.

    Attributes
    ----------
    job, peer : tuple of float
        One time a run, in the order of the runs.
    """

    job: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of job over peer, run by run."""
        return statistics.median(a / b for a, b in zip(self.job, self.peer, strict=True))

    @property
    def difference(self) -> float:
        """Median of job less peer, run by run, in seconds."""
        return statistics.median(a - b for a, b in zip(self.job, self.peer, strict=True))

    def __str__(self) -> str:
        ratios = sorted(a / b for a, b in zip(self.job, self.peer, strict=True))
        job, peer = statistics.median(self.job), statistics.median(self.peer)
        spread = f", {ratios[0]:.2f} to {ratios[-1]:.2f}" if len(ratios) > 1 else ""
        return f"{self.ratio:.2f}x ({_time(job)} / {_time(peer)}{spread})"


def paired(job: Callable[[], object], peer: Callable[[], object], repeats: int) -> Paired:
    """Run two jobs by turns, after one run of each that is not counted."""
    job()
    peer()
    times = [(seconds(job), seconds(peer)) for _ in range(repeats)]
    return Paired(tuple(a for a, _ in times), tuple(b for _, b in times))


def seconds(job: Callable[[], object]) -> float:
    """Wall time of one run."""
    gc.collect()  # what the other job left behind is not this one's to clear
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def table(title: str, rows: Iterable[Row]) -> str:
    """Return a Markdown table under its title."""
    lines = [f"**{title}** ({machine()})", ""]
    lines += ["| job | peer or floor | target | measured |", "|---|---|---|---|"]
    lines += [f"| {row.job} | {row.peer} | {row.target} | {row.measured} |" for row in rows]
    return "\n".join([*lines, ""])


def machine() -> str:
    """Return what the figures depend on besides the code, in a few words."""
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} processors, {platform.machine()}, {python}, NumPy {np.__version__}"


def warn_if_busy() -> None:
    """Warn on stderr if other programs are running.

    They take processors from a job of several threads and leave the one of its single-threaded
    peer alone: such ratios come out too high.
    """
    import psutil

    busy = psutil.cpu_percent(interval=1)
    if busy > 10:
        print(f"warning: the machine is {busy:.0f} % busy already; expect noise", file=sys.stderr)


def heavy_tailed(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw `n` float32 weights from Student's t, 4 degrees of freedom, scaled by 0.02.

    A normal over the root of chi-square / 4, and chi-square with 4 degrees of freedom is twice the
    sum of two exponentials: three fast generators, five times as fast as ``standard_t``.
    """
    spread = rng.standard_exponential(n, np.float32)
    spread += rng.standard_exponential(n, np.float32)
    np.sqrt(spread, out=spread)
    weights = rng.standard_normal(n, np.float32)
    weights *= np.float32(0.02 * math.sqrt(2))
    weights /= spread
    return weights


def to_bfloat16(weights: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite float32 to the nearest bfloat16, half to even; returns the stored words."""
    words = weights.view(np.uint32)
    words = words + np.uint32(0x7FFF) + (words >> 16 & 1)
    return (words >> 16).astype(np.uint16)


def gpt_layers(n_weights: int, blocks: int = 16) -> list[Layer]:
    """Shapes of a GPT of about `n_weights`: a quarter in the embedding, the rest in `blocks`."""
    # A block has 12 width**2 weights in its matrices.
    width = max(round(math.sqrt(n_weights * 0.75 / (12 * blocks)) / 8) * 8, 8)
    layers: list[Layer] = [("embedding.weight", (max(n_weights // 4 // width, 1), width))]
    for i in range(blocks):
        prefix = f"blocks.{i}"
        layers += [
            (f"{prefix}.norm_1.weight", (width,)),
            (f"{prefix}.norm_1.bias", (width,)),
            (f"{prefix}.attention.weight", (3 * width, width)),
            (f"{prefix}.attention.bias", (3 * width,)),
            (f"{prefix}.projection.weight", (width, width)),
            (f"{prefix}.projection.bias", (width,)),
            (f"{prefix}.norm_2.weight", (width,)),
            (f"{prefix}.norm_2.bias", (width,)),
            (f"{prefix}.up.weight", (4 * width, width)),
            (f"{prefix}.up.bias", (4 * width,)),
            (f"{prefix}.down.weight", (width, 4 * width)),
            (f"{prefix}.down.bias", (width,)),
        ]
    return layers


def write_safetensors(
    path: Path, layers: Sequence[Layer], dtype: str, blocks: Iterator[NDArray[np.uint8]]
) -> None:
    """Write `layers` to `path`, filled from an endless run of `blocks`: never all in memory.

    Parameters
    ----------
    path : Path
    layers : sequence of Layer
    dtype : {"F32", "BF16"}
    blocks : iterator of ndarray of uint8
        Stored bytes, used up one after the other.
    """
    item = {"F32": 4, "BF16": 2}[dtype]
    header: dict[str, object] = {}
    end = 0
    for name, shape in layers:
        start, end = end, end + item * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        left = end
        while left:
            block = next(blocks)[:left]
            file.write(block.data)
            left -= block.size


def _time(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"
