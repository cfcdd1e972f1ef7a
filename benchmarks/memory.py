"""Measure the peak memory of scoring a sharded checkpoint that is larger than the memory allowed.

    python benchmarks/memory.py            # 8 GiB of bfloat16, written to a temporary folder
    python benchmarks/memory.py --gib 1 --tmpdir /scratch

The score runs in a process of its own, and the figure is the largest resident memory that the
system saw it have (``getrusage``): Python, the libraries and all. Shards are written piece by
piece, so that this process, whose own peak a child inherits on Linux, stays small.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from measuring import (
    MIB,
    Layer,
    Row,
    gpt_layers,
    heavy_tailed,
    seconds,
    table,
    to_bfloat16,
    write_safetensors,
)
from numpy.typing import NDArray

SHARDS = 4
BLOCK = 1 << 22  # weights drawn; the file repeats them, farther apart than a frame reaches
SCORE = "import sys, kcomplexity as kc; kc.score(sys.argv[1], panel=sys.argv[2])"


def main(argv: Sequence[str] | None = None) -> None:
    """Make the checkpoint, score it, print the table."""
    options = _parse(argv)
    n_bytes = round(options.gib * 1024) * MIB
    with tempfile.TemporaryDirectory(prefix="kcomplexity-bench-", dir=options.tmpdir) as folder:
        free = shutil.disk_usage(folder).free
        if free < 1.1 * n_bytes:
            sys.exit(
                f"{folder}: {free / MIB:.0f} MiB free, {1.1 * n_bytes / MIB:.0f} MiB are needed: "
                "name another folder with --tmpdir or a smaller size with --gib"
            )
        write_shards(Path(folder), n_bytes)
        took = seconds(
            lambda: subprocess.run([sys.executable, "-c", SCORE, folder, options.panel], check=True)
        )
    row = Row(
        f"score {_size(n_bytes)} of BF16 in {SHARDS} shards with `{options.panel}`",
        "the size of the checkpoint",
        "<= 1 GiB",
        f"{peak_of_children() / MIB:.0f} MiB (in {took:.1f} s)",
    )
    print(table("memory: peak resident", [row]))


def write_shards(folder: Path, n_bytes: int) -> None:
    """Write a made GPT in bfloat16 as shards of about the same size, with their index."""
    layers = gpt_layers(n_bytes // 2)
    blocks = _blocks()
    weight_map: dict[str, str] = {}
    for i, shard in enumerate(_split(layers, SHARDS), 1):
        name = f"model-{i:05}-of-{SHARDS:05}.safetensors"
        write_safetensors(folder / name, shard, "BF16", blocks)
        weight_map |= {layer: name for layer, _ in shard}
    total = sum(2 * math.prod(shape) for _, shape in layers)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def peak_of_children() -> int:
    """Bytes of the largest child that has ended."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _split(layers: Sequence[Layer], n_shards: int) -> list[list[Layer]]:
    """Put the layers into `n_shards` runs of about as many weights each."""
    ends = list(itertools.accumulate(math.prod(shape) for _, shape in layers))
    shards: list[list[Layer]] = [[] for _ in range(n_shards)]
    for layer, end in zip(layers, ends, strict=True):
        middle = end - math.prod(layer[1]) / 2
        shards[int(middle * n_shards / ends[-1])].append(layer)
    return shards


def _blocks() -> Iterator[NDArray[np.uint8]]:
    """Yield the same stored bytes of heavy-tailed weights again and again."""
    rng = np.random.default_rng(0)
    parts = [to_bfloat16(heavy_tailed(BLOCK // 16, rng)) for _ in range(16)]
    return itertools.repeat(np.concatenate(parts).view(np.uint8))


def _size(n_bytes: int) -> str:
    return f"{n_bytes / MIB / 1024:g} GiB" if n_bytes >= 1024 * MIB else f"{n_bytes / MIB:g} MiB"


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gib", type=float, default=8, help="size of the checkpoint (8)")
    parser.add_argument("--panel", default="fast", help="what it is scored with (fast)")
    parser.add_argument("--tmpdir", type=Path, help="where the shards go")
    parser.add_argument("--quick", action="store_true", help="a checkpoint of 16 MiB")
    options = parser.parse_args(argv)
    if options.quick:
        options.gib = 1 / 64
    return options


if __name__ == "__main__":
    main()
