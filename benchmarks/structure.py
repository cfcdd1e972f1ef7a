"""Time the structure codes: ``ctx`` in weights a second, ``lowrank`` against the SVD it needs.

    python benchmarks/structure.py           # about a minute
    python benchmarks/structure.py --quick   # does it run, not how fast

One core. The weights are a random layer with row scales, correlated columns and rank, so that every
context is used. ``lowrank`` is compared with LAPACK's singular value decomposition of the same
matrix; the growth table goes up to 64 Mi weights, each size in a process of its own, and
includes the memory that the score takes besides the weights.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
from measuring import MIB, Row, paired, seconds, table, warn_if_busy
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import kcomplexity as kc
from kcomplexity.algorithms.low_rank.model import low_rank_code


def layer(rows: int, columns: int) -> NDArray[np.float32]:
    """Weights with a scale a row, a rank of eight and columns that follow each other."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((rows, columns), np.float32)
    weights[:, 1:] += np.float32(0.4) * weights[:, :-1]
    weights *= np.exp(0.3 * rng.standard_normal((rows, 1))).astype(np.float32)
    left, right = (rng.standard_normal(s, np.float32) for s in ((rows, 8), (8, columns)))
    weights += np.float32(0.2) * (left @ right)
    return weights


def score(weights: NDArray[np.float32], spec: str) -> None:
    """Score on one core."""
    (row,) = kc.score({"w": weights}, specs=[spec], threads=1, exact=True).rows
    assert row.status == "ok", row.reason


def speeds(side: int, repeats: int) -> Iterator[Row]:
    """Time each code on square matrices."""
    weights = layer(side, side)
    for spec in ("ctx@rd0.1", "ctx@rd0.01", "ctx@q8", "ctx@sign"):
        time = min(seconds(partial(score, weights, spec)) for _ in range(repeats))
        rate = weights.size / time / 1e6
        yield Row(f"`{spec}`, {side}x{side}", "-", ">= 1 M weights/s", f"{rate:.1f} M weights/s")
    wide = weights.astype(np.float64)
    step = float(np.sqrt(np.square(wide).mean()))
    times = paired(
        lambda: low_rank_code(wide, step),
        lambda: np.linalg.svd(wide, full_matrices=False),
        repeats,
    )
    yield Row(f"`lowrank`, {side}x{side}", "the SVD", "<= 3x", str(times))


def growth(most: int) -> Iterator[Row]:
    """Time and peak memory of a whole score at growing sizes, each in a fresh process."""
    n = 1 << 17
    while n <= most:
        for spec in ("ctx@rd0.1", "lowrank@rd0.1"):
            cost = _run(spec, n)
            rate, extra = n / cost["seconds"] / 1e6, cost["peak"] / MIB
            yield Row(
                f"`{spec}`, {n / MIB:.3g} Mi weights",
                "-",
                "-",
                f"{cost['seconds']:.2f} s, {rate:.1f} M weights/s; {extra:.0f} MiB beside the "
                f"weights' {4 * n / MIB:.1f}",
            )
        n *= 8


def _run(spec: str, n: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", spec, "--weights", str(n)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    cost: dict[str, float] = json.loads(run.stdout)
    return cost


def one(spec: str, n: int) -> None:
    """Score one size; print the time, and the memory it took besides the weights."""
    import psutil

    score(layer(64, 64), spec)  # imports and tables
    rows = 1 << (n.bit_length() - 1) // 2
    weights = layer(rows, n // rows)
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    seen = [before]

    def watch() -> None:
        while not done.wait(0.005):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    time = seconds(lambda: score(weights, spec))
    done.set()
    watcher.join()
    peak = max(seen) - before
    print(json.dumps({"seconds": time, "peak": peak}))


def main() -> None:
    """Run the jobs and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: figures mean nothing")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with threadpool_limits(limits=1):
        if arguments.one:
            one(arguments.one, arguments.weights)
            return
        warn_if_busy()
        side, repeats = (64, 1) if arguments.quick else (1024, 3)
        print(table("Structure codes, one core", speeds(side, repeats)))
        print(table("How they grow", growth(1 << 17 if arguments.quick else 1 << 26)))


if __name__ == "__main__":
    main()
