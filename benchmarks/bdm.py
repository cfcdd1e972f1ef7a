"""Time BDM and LZ76 against their reference implementations, with the values compared.

    python benchmarks/bdm.py                     # all jobs; some four minutes
    python benchmarks/bdm.py --only lempel_ziv   # one group of them
    python benchmarks/bdm.py --quick             # small sizes: does it run, not how fast

bdm
    ``bdm1d``, ``bdm2d`` and the score ``qubd`` against pybdm 0.1.0 on the same symbols, which must
    give the same value to 1e-9. pybdm does the same work many hundred times slower, so that
    it is run once. ``bdm1d`` of the signs of float32 weights, the comparison with zero included,
    also against ``np.sum`` of those weights: one pass over memory.
lempel_ziv
    ``lz76_phrases`` against antropy, whose parse is quadratic, compiled by Numba; where antropy is
    not installed, against the same parse in plain Python, on fewer symbols. For information against
    lzcomplexity (Rust), where it is installed. Then the same at growing lengths.
tables
    The CTM table of nine symbols in a new process: first with an empty cache folder, then again.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Row, paired, seconds, table
from numpy.typing import NDArray

import kcomplexity as kc
from kcomplexity.algorithms.bdm import BlockCounter, Decomposition, bdm1d, bdm2d
from kcomplexity.algorithms.ctm import ctm_table
from kcomplexity.algorithms.lempel_ziv import lz76_phrases

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # tests.pybdm_oracle: how to import pybdm where nothing else can


@dataclass(frozen=True)
class Bench:
    """How much is timed.

    Attributes
    ----------
    scale : float
        Share of the full sizes.
    repeats : int
        Runs of each job that ends within seconds.
    """

    scale: float
    repeats: int

    def size(self, full: int) -> int:
        """Return a number of symbols, scaled; a multiple of 12."""
        return max(round(full * self.scale) // 12, 100) * 12

    def side(self, full: int) -> int:
        """Return the side of a matrix, its area scaled; a multiple of 4."""
        return max(round(full * math.sqrt(self.scale)) // 4, 8) * 4


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups asked for and print their tables."""
    options = _parse(argv)
    bench = Bench(0.02 if options.quick else 1, 1 if options.quick else options.repeats)
    for name in options.only or GROUPS:
        print(table(name, GROUPS[name](bench)), flush=True)


# --- BDM ------------------------------------------------------------------------------------------


def bdm(bench: Bench) -> Iterator[Row]:
    """BDM and QuBD against pybdm and against one pass over memory."""
    from tests.pybdm_oracle import pybdm_bdm

    rng = np.random.default_rng(0)
    ctm_table(2, 1), ctm_table(2, 2)  # both sides have read their tables when the clock starts
    pybdm_bdm(np.zeros(12)), pybdm_bdm(np.zeros((4, 4)))

    weights = rng.standard_normal(bench.size(6_000_000), np.float32)
    yield _against_pybdm(
        f"`bdm1d` of {weights.size:,} signs",
        ">= 500x faster",
        lambda: bdm1d(weights > 0),
        lambda: pybdm_bdm(weights > 0),
        bench,
    )
    matrix = rng.standard_normal((bench.side(2048),) * 2, np.float32)
    yield _against_pybdm(
        f"`bdm2d` of {matrix.shape[0]}x{matrix.shape[1]} signs",
        ">= 200x faster",
        lambda: bdm2d(matrix > 0),
        lambda: pybdm_bdm(matrix > 0),
        bench,
    )
    square = rng.standard_normal((bench.side(1024),) * 2, np.float32)
    planes = _planes(square)
    for job, ours in (
        ("`bdm2d` of the 8 planes of", lambda: sum(bdm2d(plane) for plane in planes)),
        ("score `qubd`, levels included, of", lambda: _qubd(square)),
    ):
        yield _against_pybdm(
            f"{job} a {square.shape[0]}x{square.shape[1]} tensor",
            ">= 200x faster",
            ours,
            lambda: sum(pybdm_bdm(plane) for plane in planes),
            bench,
        )
    many = rng.standard_normal(bench.size(60_000_000), np.float32)
    passes: dict[str, Callable[[], object]] = {
        "bdm1d(w > 0)": lambda: bdm1d(many > 0),
        "BlockCounter(w)": lambda: BlockCounter(Decomposition(1)).add(many),
    }
    for name, count in passes.items():
        yield Row(
            f"`{name}` of {many.size:,} float32 weights",
            "`np.sum` of them",
            "<= 4x",
            str(paired(count, many.sum, bench.repeats)),
        )


def _against_pybdm(
    job: str,
    target: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    bench: Bench,
) -> Row:
    values: list[float] = []
    peer = seconds(lambda: values.append(theirs()))
    _equal(job, ours(), values[0], 1e-9)
    took = statistics.median(seconds(ours) for _ in range(bench.repeats))
    return Row(job, "pybdm 0.1.0", target, _faster(took, peer))


def _qubd(weights: NDArray[np.float32]) -> float:
    """Score a tensor; returns the BDM of its planes, without the bits that describe the levels."""
    row = kc.score({"weight": weights}, specs=["qubd"], exact=True).rows[0]
    assert row.stream_bits is not None
    return math.fsum(row.stream_bits.values())


def _planes(weights: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """Bit planes of the affine 8-bit levels between two-sided percentiles, as QuBD defines them."""
    low, high = np.quantile(weights.astype(np.float64), [0.0005, 0.9995]).astype(np.float32)
    levels = np.clip(np.rint((weights - low) / ((high - low) / 255)), 0, 255).astype(np.uint8)
    return [levels >> bit & 1 for bit in range(8)]


# --- Lempel-Ziv -----------------------------------------------------------------------------------


def lempel_ziv(bench: Bench) -> Iterator[Row]:
    """LZ76 against a quadratic parse, then at growing lengths."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, bench.size(300_000), dtype=np.uint8)
    if importlib.util.find_spec("antropy"):
        parse = importlib.import_module("antropy.entropy")._lz_complexity
        parse(bits[:100].astype(np.uint32))  # compiles
        yield _against_quadratic("antropy (Numba)", parse, bits, bench)
    else:
        yield _against_quadratic("its parse in Python", _kaspar_schuster, bits[:12_000], bench)
    if importlib.util.find_spec("lzcomplexity"):
        from lzcomplexity import factorization

        text = bytes(bits + ord("0"))
        measured = paired(lambda: lz76_phrases(bits), lambda: factorization(text), bench.repeats)
        _equal("lzcomplexity", lz76_phrases(bits), len(factorization(text)[1]) - 1)
        yield Row(f"`lz76_phrases` of {bits.size:,} bits", "lzcomplexity", "-", str(measured))
    for full in (1_000_000, 10_000_000):
        more = rng.integers(0, 2, bench.size(full), dtype=np.uint8)
        long, short = partial(lz76_phrases, more), partial(lz76_phrases, bits)
        measured = paired(long, short, bench.repeats)
        yield Row(
            f"`lz76_phrases` of {more.size:,} bits",
            f"{bits.size:,} bits",
            f"linear: {more.size / bits.size:.1f}x",
            str(measured),
        )


def _against_quadratic(
    peer: str,
    parse: Callable[[NDArray[np.uint32]], int],
    bits: NDArray[np.uint8],
    bench: Bench,
) -> Row:
    phrases: list[int] = []
    quadratic = seconds(lambda: phrases.append(parse(bits.astype(np.uint32))))
    _equal(peer, lz76_phrases(bits), phrases[0])
    took = statistics.median(seconds(lambda: lz76_phrases(bits)) for _ in range(bench.repeats))
    job = f"`lz76_phrases` of {bits.size:,} bits"
    return Row(job, peer, ">= 20x faster", _faster(took, quadratic))


def _kaspar_schuster(symbols: NDArray[np.uint32]) -> int:
    """Phrases by the quadratic parse of Kaspar and Schuster (1987), which antropy compiles."""
    text = symbols.tolist()
    n_phrases, start = 1, 1
    while start < len(text):
        longest = 0
        for earlier in range(start):
            length = 0
            while start + length < len(text) and text[earlier + length] == text[start + length]:
                length += 1
            longest = max(longest, length)
            if start + length == len(text):
                break
        start += longest + 1
        n_phrases += 1
    return n_phrases


# --- tables ---------------------------------------------------------------------------------------


def tables(_: Bench) -> Iterator[Row]:
    """The largest table, in new processes."""
    code = (
        "import time, numpy, kcomplexity.algorithms.ctm as ctm; start = time.perf_counter(); "
        "ctm.ctm_table(9).lookup(numpy.arange(100_000), 12); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KCOMPLEXITY_CACHE": folder, "PYTHONPATH": str(ROOT)}
        for use, target in (("first", "<= 10 s"), ("later", "<= 0.3 s")):
            command = [sys.executable, "-c", code]
            output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
            took = f"{float(output.stdout):.3f} s"
            yield Row(f"{use} use of the nine-symbol table", "-", target, took)


# --- shared ---------------------------------------------------------------------------------------


def _equal(what: str, ours: float, theirs: float, tolerance: float = 0.0) -> None:
    if abs(ours - theirs) > tolerance * abs(theirs):
        raise RuntimeError(f"{what}: {ours!r} here, {theirs!r} there")


def _faster(took: float, peer: float) -> str:
    return f"{peer / took:,.0f}x faster ({1000 * took:.3g} ms / {1000 * peer:,.0f} ms)"


GROUPS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "bdm": bdm,
    "lempel_ziv": lempel_ziv,
    "tables": tables,
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=GROUPS)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each short job (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes, one run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
