"""Time the compiled kernels beside their NumPy twins and ``np.sum``, in nanoseconds an item.

    python benchmarks/kernels.py                  # all kernels; about a minute
    python benchmarks/kernels.py --only context   # one group of them
    python benchmarks/kernels.py --quick          # small sizes: does it run, not how fast

All three run by turns on one thread. Processor time counts, and the least of some runs, so that
other programs disturb little. ``np.sum`` of as many float32 as there are items is one pass over
memory: the unit in which to read the rest on another machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from measuring import Row, heavy_tailed, table

from kcomplexity import kernels
from kcomplexity.algorithms.context.model import (
    FLAG_ORDERS,
    MAGNITUDE_CELLS,
    PREDICTION_CELLS,
    Kernel,
    offsets,
)
from kcomplexity.kernels import contexts, counts, levels, nearest, permutation, trees

Run = Callable[..., object]


class Job(NamedTuple):
    """One kernel and its twin, with the arguments of both."""

    name: str
    n: int
    kernel: Run
    twin: Run
    args: tuple[Any, ...]
    options: dict[str, Any] = {}  # noqa: RUF012 - of a named tuple, and never written to


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups asked for and print one table."""
    options = _parse(argv)
    side = 1 << (8 if options.quick else 11)
    rng = np.random.default_rng(0)
    repeats = 1 if options.quick else options.repeats
    for name in options.only or GROUPS:
        rows = [_row(job, repeats) for job in GROUPS[name](side, rng)]
        print(table(f"{name}: nanoseconds an item, {kernels.NAME}", rows), flush=True)


def _row(job: Job, repeats: int) -> Row:
    runs: list[Callable[[], object]] = [
        partial(job.kernel, *job.args, **job.options),
        partial(job.twin, *job.args, **job.options),
        np.ones(job.n, np.float32).sum,
    ]
    for run in runs:
        run()
    rounds = [[_seconds(run) for run in runs] for _ in range(repeats)]
    kernel, twin, peer = (1e9 * min(times) / job.n for times in zip(*rounds, strict=True))
    return Row(
        job.name,
        f"twin {twin:.2f}, `np.sum` {peer:.2f}",
        "-",
        f"{kernel:.2f}: {twin / kernel:.1f}x faster than the twin, {kernel / peer:.1f}x `np.sum`",
    )


def _seconds(run: Callable[[], object]) -> float:
    """Processor time of one run."""
    start = time.thread_time()
    run()
    return time.thread_time() - start


def encoding(side: int, rng: np.random.Generator) -> Iterator[Job]:
    """Weights to levels, and magnitudes in bins."""
    n = side * side
    weights = heavy_tailed(n, rng)
    symbols = np.empty(n, np.uint8)
    affine = levels.affine_levels, levels.affine_levels_numpy
    top = float(np.abs(weights).max())
    symmetric = {"zero": 0.0, "step": float(np.float32(top / 127)), "lowest": -127, "highest": 127}
    clipped = {"zero": -0.1, "step": float(np.float32(0.2 / 255)), "lowest": 0, "highest": 255}
    half = weights.astype(np.float16)
    yield Job("`affine_levels` as q8", n, *affine, (weights, symbols), symmetric)
    yield Job("`affine_levels` as q8, float16", n, *affine, (half, symbols), symmetric)
    yield Job("`affine_levels` as q8:clip", n, *affine, (weights, symbols), clipped)
    fine = {"step": float(weights.std()) / 3, "lowest": -127, "highest": 127}
    stepped = levels.step_levels, levels.step_levels_numpy
    yield Job("`step_levels` as rd", n, *stepped, (weights, symbols), fine)
    squares = levels.square_sums, levels.square_sums_numpy
    yield Job("`square_sums`", n, *squares, (weights,))
    bins, span = np.zeros((1 << 16, 3)), 16 * float(weights.std())
    magnitudes = levels.add_magnitudes, levels.add_magnitudes_numpy
    yield Job("`add_magnitudes`", n, *magnitudes, (weights, span, bins))


def counting(side: int, rng: np.random.Generator) -> Iterator[Job]:
    """Symbols."""
    n = side * side
    symbols = np.clip(np.rint(rng.standard_normal(n) * 30 + 128), 0, 255).astype(np.uint8)
    wide = symbols.astype(np.uint16) * 257
    empty = partial(np.zeros, dtype=np.int64)
    count = counts.count_symbols, counts.count_symbols_numpy
    yield Job("`count_symbols` of bytes", n, *count, (symbols, empty(256)))
    yield Job("`count_symbols` of 16 bits", n, *count, (wide, empty(65536)))


def moving(side: int, _rng: np.random.Generator) -> Iterator[Job]:
    """Shuffles."""
    words = np.arange(side * side, dtype=np.uint32)
    philox = np.random.Generator(np.random.Philox(0))
    shuffle = permutation.shuffle_rows, permutation.shuffle_rows_numpy
    yield Job("`shuffle_rows` of 32-bit words", words.size, *shuffle, (words, philox))


def context(side: int, rng: np.random.Generator) -> Iterator[Job]:
    """The context code: features, tables, flags, trees."""
    side = min(side, 1 << 10)
    tile = (16 * np.clip(np.rint(rng.laplace(size=(side, side)) * 2), -127, 127)).astype(np.float32)
    n = tile.size
    near = offsets(Kernel(), more=True)
    of_tile = tile, 1, 20, near
    sample = contexts.sample_contexts, contexts.sample_contexts_numpy
    yield Job("`sample_contexts`, a row of 32", n, *sample, (*of_tile, 32, 1))
    cells = {"magnitude_cells": MAGNITUDE_CELLS, "prediction_cells": PREDICTION_CELLS}
    m, mu = (20, 20, 0, 8, *[3] * len(near), 4), (9, 9, 0, *[5] * len(near))
    count = contexts.count_contexts, contexts.count_contexts_numpy
    yield Job("`count_contexts`, scale", n, *count, of_tile, {"magnitude": m[:4], **cells})
    yield Job("`count_contexts`, magnitude", n, *count, of_tile, {"magnitude": m[:-1], **cells})
    both: dict[str, Any] = {"magnitude": m, "prediction": mu, **cells}
    yield Job("`count_contexts`, prediction", n, *count, of_tile, both)
    levels_ = contexts.count_contexts(*of_tile, **both)
    flags = trees.count_flags, trees.count_flags_numpy
    yield Job("`count_flags`, an entry of the table", levels_.size, *flags, (levels_,))
    zeros, ones = trees.count_flags(levels_)
    bits = trees.tree_bits, trees.tree_bits_numpy
    seen = zeros, ones, FLAG_ORDERS
    yield Job("`tree_bits`, a node", 4 * zeros.size, *bits, seen)


def distances(side: int, rng: np.random.Generator) -> Iterator[Job]:
    """The two lowest scores."""
    scores = rng.standard_normal((side // 8, 8 * side), np.float32)
    lowest = nearest.two_lowest, nearest.two_lowest_numpy
    yield Job("`two_lowest`, a score", scores.size, *lowest, (scores,))


GROUPS: dict[str, Callable[[int, np.random.Generator], Iterator[Job]]] = {
    "encoding": encoding,
    "counting": counting,
    "moving": moving,
    "context": context,
    "distances": distances,
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS)
    parser.add_argument("--repeats", type=int, default=7, help="runs of each job (7)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
