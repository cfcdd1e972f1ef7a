"""Measure fitting mosaics: speed against the plain ways, bits against the codings they replace.

    python benchmarks/fit.py                                     # some minutes
    python benchmarks/fit.py --checkpoint model.safetensors ...  # bits on networks of yours too
    python benchmarks/fit.py --quick --only speed bits           # small sizes: does it run?

``speed``: nearest motifs against the plain distance matrix with argmin (on a sample of the blocks,
scaled up: the matrix of all would take minutes), ``kmeans`` against faiss and scikit-learn.
``bits``: ``ecvq`` at the error of the paper's sampled motifs against their fixed-width bits, and
against the scalar quantiser at rates down from 2 bits a weight. ``growth``: time and peak memory
from 1 M to 64 M weights and from 2**8 to 2**18 motifs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from measuring import MIB, Row, heavy_tailed, machine, seconds, table, warn_if_busy
from numpy.typing import NDArray

import kcomplexity as kc
from kcomplexity.codings import ScalarCoding
from kcomplexity.codings.scalar import step_for
from kcomplexity.inference import gaussian_bits
from kcomplexity.mosaics.assign import distances, nearest
from kcomplexity.mosaics.fitters import Goal, Problem
from kcomplexity.mosaics.fitters.kmeans import KMeans
from kcomplexity.mosaics.fitting import fit_mosaic
from kcomplexity.mosaics.selection import select_fitted

Floats = NDArray[np.float32]
ERRORS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
PEAK = """
import resource, sys, numpy as np, kcomplexity as kc
n = int(sys.argv[1])
kc.project if n == 0 else kc.fit_mosaic(
    {"w": np.random.default_rng(0).standard_normal((n // 1024, 1024), np.float32)},
    method=sys.argv[2], motifs=int(sys.argv[3]), block_size=4)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@dataclass(frozen=True)
class Bench:
    """How big the jobs are, and which networks are fitted."""

    share: float
    checkpoints: tuple[str, ...]

    def size(self, n: int) -> int:
        """`n`, or little of it for a quick run; a multiple of 1024."""
        return max(int(n * self.share) // 1024, 8) * 1024


def main(argv: Sequence[str] | None = None) -> None:
    """Run the groups asked for and print their tables."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=None)
    parser.add_argument("--checkpoint", nargs="+", default=[], metavar="PATH")
    options = parser.parse_args(argv)
    warn_if_busy()
    bench = Bench(0.01 if options.quick else 1, tuple(options.checkpoint))
    for name in options.only or GROUPS:
        print(table(name, GROUPS[name](bench)), flush=True)


# --- Speed ----------------------------------------------------------------------------------------


def speed(bench: Bench) -> Iterator[Row]:
    """Nearest motifs and k-means against the plain ways."""
    rng = np.random.default_rng(0)
    blocks = heavy_tailed(bench.size(5_526_346), rng).reshape(-1, 4)
    yield from _against_matrix(blocks, blocks[rng.choice(len(blocks), len(blocks) // 100, False)])
    for s in (4, 16):
        small = blocks.reshape(-1, s)[: bench.size(1_000_000) // s]
        yield from _against_kmeans(small, max(len(small) // 250, 8))


def _against_matrix(blocks: Floats, motifs: Floats) -> Iterator[Row]:
    nearest(blocks[:1000], motifs)  # libraries are loaded when the clock starts
    took = _median(lambda: nearest(blocks, motifs))
    some = blocks[:: max(len(blocks) // 20_000, 1)]
    exact = np.concatenate(
        [_exact(some[i : i + 256], motifs) for i in range(0, min(len(some), 4096), 256)]
    )
    ours = distances(some[: exact.size], motifs, nearest(some[: exact.size], motifs))
    agree = ours.sum() / exact.sum() - 1
    for library, plain in _plain_ways(some, motifs):
        peer = _median(plain) * len(blocks) / len(some)
        yield Row(
            f"nearest of {len(motifs):,} motifs for {len(blocks):,} blocks of 4",
            f"{library}: distance matrix and argmin, on {len(some):,} blocks, scaled up",
            ">= 50x faster, squared error within 1e-6",
            f"{peer / took:.0f}x ({took:.2f} s / {peer:.0f} s), squared error {agree:+.1e}",
        )


def _median(job: Callable[[], object]) -> float:
    """Wall time of the middle of three runs."""
    return sorted(seconds(job) for _ in range(3))[1]


def _plain_ways(blocks: Floats, motifs: Floats) -> Iterator[tuple[str, Callable[[], object]]]:
    """What a lab writes, 1024 blocks at a time: the product expanded, or a library's distances."""
    pieces = np.array_split(blocks, max(len(blocks) // 1024, 1))
    lengths = np.square(motifs).sum(axis=1)
    yield (
        "NumPy",
        lambda: [
            (np.square(x).sum(axis=1)[:, None] - 2 * x @ motifs.T + lengths).argmin(axis=1)
            for x in pieces
        ],
    )
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: not compared with", file=sys.stderr)
        return
    motif, tensors = torch.from_numpy(motifs), [torch.from_numpy(x) for x in pieces]
    length = motif.square().sum(1)
    yield (
        "PyTorch",
        lambda: [
            (x.square().sum(1, keepdim=True) - 2 * x @ motif.T + length).argmin(1) for x in tensors
        ],
    )
    yield "PyTorch cdist", lambda: [torch.cdist(x, motif).argmin(1) for x in tensors]


def _exact(blocks: Floats, motifs: Floats) -> NDArray[np.float64]:
    gap = blocks[:, None].astype(np.float64) - motifs
    least: NDArray[np.float64] = np.einsum("ijk,ijk->ij", gap, gap).min(axis=1)
    return least


def _against_kmeans(blocks: Floats, k: int) -> Iterator[Row]:
    import faiss
    from sklearn.cluster import KMeans as Peer

    squares = float(np.square(blocks, dtype=np.float64).sum())
    problem = Problem(blocks, None, squares, "f32")
    centres: dict[str, Floats] = {}

    def ours() -> None:
        centres["ours"] = KMeans().fit(problem, Goal(k=k)).motifs.values

    def faiss_all() -> None:
        peer = faiss.Kmeans(
            blocks.shape[1], k, niter=25, max_points_per_centroid=len(blocks), seed=1
        )
        peer.train(blocks)
        centres["faiss"] = np.asarray(peer.centroids, np.float32)

    def sklearn_all() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = Peer(k, n_init=1, max_iter=25, random_state=0).fit(blocks)
        centres["sklearn"] = peer.cluster_centers_

    def error(name: str) -> float:
        motifs = centres[name]
        return float(distances(blocks, motifs, nearest(blocks, motifs)).sum()) / squares

    nearest(blocks[:1000], blocks[:50])  # libraries are loaded when the clock starts
    took = _median(ours)
    for name, run, target in (
        ("faiss", faiss_all, "<= 1x its time, error no higher"),
        ("sklearn", sklearn_all, ">= 5x faster (<= 0.2x)"),
    ):
        peer = _median(run)
        yield Row(
            f"`kmeans`, {k:,} motifs for {len(blocks):,} blocks of {blocks.shape[1]}",
            f"{name} KMeans, all points, 25 rounds",
            target,
            f"{took / peer:.2f}x ({took:.2f} s / {peer:.2f} s), relative error "
            f"{error('ours'):.5f} / {error(name):.5f}",
        )


# --- Bits -----------------------------------------------------------------------------------------


def bits(bench: Bench) -> Iterator[Row]:
    """Coded bits of ecvq against what it replaces, at equal relative error."""
    noise = heavy_tailed(bench.size(1 << 20), np.random.default_rng(0)).reshape(-1, 1024)
    sources: dict[str, Any] = {f"heavy-tailed noise, {noise.size:,} weights": {"w": noise}}
    sources |= {path.rpartition("/")[2]: path for path in bench.checkpoints}
    for name, source in sources.items():
        with kc.open_checkpoint(source) as checkpoint:
            yield from _bits_of(name, checkpoint)


def _bits_of(name: str, checkpoint: Any) -> Iterator[Row]:
    for capacity in (0.01, 0.001):
        yield _against_paper(name, checkpoint, capacity)
    tensors = select_fitted(checkpoint).fitted
    for error in ERRORS:
        mosaic = fit_mosaic(checkpoint, relative_mse=error)
        rates = _scalar_rates(tensors, mosaic.distortion.relative_mse)
        yield Row(
            f"{name}: `ecvq` at error {error}",
            "scalar quantiser: order-0 / a table a tensor / in context",
            "<= order-0 from 1.5 bits/weight down",
            f"{mosaic.bits_per_weight:.3f} against "
            + " / ".join(f"{rate:.3f}" for rate in rates)
            + f" bits/weight ({mosaic.bits_per_weight / rates[0]:.2f}x order-0)",
        )


def _against_paper(name: str, checkpoint: Any, capacity: float) -> Row:
    paper = fit_mosaic(checkpoint, method="sample", capacity=capacity)
    ours = fit_mosaic(checkpoint, relative_mse=paper.distortion.relative_mse)
    fixed = paper.bits.indices_fixed + paper.bits.motifs
    rest = paper.bits.kept + paper.bits.container
    bound = gaussian_bits(ours.distortion.relative_mse) * ours.n_fitted / fixed
    return Row(
        f"{name}: `ecvq` at error {ours.distortion.relative_mse:.4f}",
        f"`sample`, capacity {capacity}, fixed-width indices "
        f"({fixed / paper.n_fitted:.3f} bits/weight)",
        "<= 60 %",
        f"{100 * ours.bits.fitted / fixed:.1f} % ({ours.bits_per_weight:.3f} bits/weight); "
        f"files {100 * ours.bits.total_coded / (fixed + rest):.1f} %; "
        f"a Gaussian needs {100 * bound:.0f} %",
    )


def _scalar_rates(tensors: Mapping[str, Any], error: float) -> list[float]:
    n = sum(tensor.n_weights for tensor in tensors.values())
    step = step_for(tensors, error)
    coded = [
        ScalarCoding(step),
        ScalarCoding(step, "tensor"),
        ScalarCoding(step, "context"),
    ]
    return [one.code(tensors).bits / n for one in coded]


# --- Growth ---------------------------------------------------------------------------------------


def growth(bench: Bench) -> Iterator[Row]:
    """Time and memory as weights and motifs grow."""
    if bench.share < 1:
        yield _grown(bench.size(1 << 20), 1 << 8, "sample")
        return
    for n in (1 << 20, 1 << 22, 1 << 24, 1 << 26):
        yield _grown(n, 1 << 10, "sample")
    for n in (1 << 20, 1 << 22, 1 << 24):
        yield _grown(n, 1 << 10, "ecvq")
    for k in (1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18):
        yield _grown(1 << 22, k, "sample")


def _grown(n: int, k: int, method: str) -> Row:
    peak = [0]

    def run(size: int) -> None:
        words = [sys.executable, "-c", PEAK, str(size), method, str(k)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peak[0] = int(done.stdout)

    start = seconds(partial(run, 0))
    took = seconds(partial(run, n)) - start
    # The array itself is there as well: the checkpoint, as it were.
    held = (peak[0] - 4 * n) / MIB
    return Row(
        f"`{method}`, {n:,} weights, {k:,} motifs",
        "-",
        f"<= 4 bytes a weight + 1 GiB ({(4 * n + (1 << 30)) / MIB:,.0f} MiB)",
        f"{took:.1f} s, {held:,.0f} MiB beside the weights",
    )


GROUPS = {"speed": speed, "bits": bits, "growth": growth}

if __name__ == "__main__":
    print(machine(), file=sys.stderr)
    main()
