"""Nearest motif: which of k motifs each block is closest to, exactly.

Two engines, chosen by :func:`engine`:

``tree``
    SciPy's k-d tree, in float64, direct distances. Its time grows with log k at few weights a
    block, and towards k with many.
``matrix``
    Distances by one float32 matrix product a piece, |z|^2 - 2 x.z, of blocks and motifs centred on
    the motifs' median. Rounding could hide the nearest, so every motif whose distance lies within
    the product's error bound of the smallest is measured again, directly, in float64 and not
    centred. Data that share an offset, sit on a grid or repeat only make that second step longer.

Both treat identical motifs as one, that of the lowest index. Distances are recomputed directly in
float64. A flat search that returns one neighbour per block (faiss) is faster still but cannot
detect when rounding misled it; the fitters use it in their rounds (:func:`nearest_roughly`).
``ecvq`` also stores its results: a motif that is farther by a rounding error is as good a choice,
its error is measured directly, and decoding is exact all the same. ``sample`` and ``kmeans``
promise the nearest motif and finish with :func:`nearest`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import SpecError
from kcomplexity.kernels import two_lowest
from kcomplexity.parallel.threads import map_in_threads

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Engine = Literal["tree", "matrix"]

#: Blocks whose distances to their motifs are computed together.
_PIECE = 1 << 16
#: Blocks that one thread looks up before it can be stopped; of faiss at least.
_QUERY, _FAISS_QUERY = 1 << 13, 1 << 14
#: Numbers of one array that a thread holds at once: 1 MiB of float32 stays in the cache.
_ENTRIES = 1 << 18
#: Fixed cost of a call of faiss in nanoseconds.
_FAISS_CALL_NS = 1e5
#: Numbers in a call below which faiss (1.15) takes a loop that is many times slower.
_FAISS_LEAST = 1 << 17
_UNIT = 2.0**-24


def assign_blocks(
    blocks: NDArray[Any], motifs: NDArray[Any], *, threads: int | None = None
) -> tuple[Ints, Floats]:
    """Find the nearest motif of each block in squared Euclidean distance.

    Parameters
    ----------
    blocks : ndarray of shape (m, s)
    motifs : ndarray of shape (k, s)
        Both finite. They are compared as float32.
    threads : int, optional
        By default one a processor. The result does not depend on it.

    Returns
    -------
    indices : ndarray of shape (m,), int64
        Identical motifs count as the one of the lowest index.
    squared_distances : ndarray of shape (m,), float32
        Computed directly; within 1e-6 of the smallest there is. Infinite where float32 does not
        hold it.

    Raises
    ------
    SpecError
        If the shapes do not fit, or a value is not finite in float32.

    Examples
    --------
    >>> blocks = np.array([[10, 10], [12, 11], [20, 20]])
    >>> indices, squared = assign_blocks(blocks, np.array([[20, 20], [10, 10], [10, 10]]))
    >>> indices.tolist(), squared.tolist()
    ([1, 1, 0], [0.0, 5.0, 0.0])
    """
    rows, choices = _floats(blocks, "blocks"), _floats(motifs, "motifs")
    if rows.shape[1] != choices.shape[1] or not choices.size:
        raise SpecError(
            f"blocks of shape {rows.shape} and motifs of shape {choices.shape}: expected (m, s) "
            "and (k, s) with the same s and at least one motif"
        )
    indices = nearest(rows, choices, threads=threads)
    with np.errstate(over="ignore"):
        return indices, distances(rows, choices, indices).astype(np.float32)


def engine(s: int, k: int) -> Engine:
    """Return the faster engine for `k` motifs of `s` weights.

    A k-d tree visits some 1.8**s cells whatever k, and never more than the motifs fill; a matrix
    looks at every motif, and twice where blocks of few weights crowd. The constants were measured
    on two hardware threads of one core.
    """
    return "tree" if _tree_ns(s, k) < _matrix_ns(s, k) else "matrix"


def _tree_ns(s: int, k: int) -> float:
    """Return nanoseconds per block for `k` motifs of `s` weights, by a tree; next by others."""
    # Beyond 64 weights k / 15 is less by far, and from 1,207 on a float holds no such power.
    return 40 * (min(1.8 ** min(s, 64), k / 15) + math.log2(k + 1) / 4)


def _matrix_ns(s: int, k: int) -> float:
    return 60 + (0.13 + 0.008 * s + 0.3 / s**2) * k


def _faiss_ns(s: int, k: int) -> float:
    return 35 + 0.008 * s * k


def nearest(
    blocks: Floats, motifs: Floats, heights: Floats | None = None, *, threads: int | None = None
) -> Ints:
    """Return the index of each block's nearest motif. Assumes validated input.

    Parameters
    ----------
    blocks : ndarray of shape (m, s)
    motifs : ndarray of shape (k, s)
    heights : ndarray of shape (k,), optional
        An extra coordinate of each motif, which is zero for every block. The squared height is a
        price for using the motif (Chou, Lookabaugh and Gray 1989).
    threads : int, optional
    """
    motifs = _lifted(motifs, heights)
    unique, first = np.unique(motifs + np.float32(0), axis=0, return_index=True)
    if len(unique) == 1:
        return np.full(len(blocks), first[0], np.int64)
    # In order of first appearance, so that ties of the engines go to low indices where they can.
    order = np.argsort(first)
    unique, first = unique[order], first[order]
    indices: Ints = first[_exactly(blocks, unique, threads)]
    return indices


def nearest_roughly(
    blocks: Floats, motifs: Floats, heights: Floats | None = None, *, threads: int | None = None
) -> Ints:
    """Return the index of a motif about as near as the nearest, for ``ecvq`` and rounds of others.

    The result differs from the nearest only where float32 rounding decides. Assumes validated
    input.
    """
    motifs = _lifted(motifs, heights)
    s, k = motifs.T.shape
    exactly = min(_tree_ns(s, k), _matrix_ns(s, k))
    roughly = _faiss_ns(s, k) + _FAISS_CALL_NS / _faiss_rows(s)
    if blocks.size < _FAISS_LEAST or exactly < roughly or _is_extreme(blocks, motifs):
        return _exactly(blocks, motifs, threads)
    return _by_faiss(blocks, motifs, threads)


def distances(blocks: Floats, motifs: Floats, indices: Ints) -> NDArray[np.float64]:
    """Return the squared distance of each block to its motif, directly, in float64."""
    squared = np.empty(len(blocks))
    for at in range(0, len(blocks), _PIECE):
        gap = blocks[at : at + _PIECE].astype(np.float64)
        gap -= motifs[indices[at : at + _PIECE]]
        squared[at : at + _PIECE] = np.einsum("ij,ij->i", gap, gap)
    return squared


def _floats(values: NDArray[Any], what: str) -> Floats:
    rows = np.ascontiguousarray(values, np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise SpecError(f"{what} of shape {rows.shape}: expected two axes and finite values")
    return rows


def _is_extreme(blocks: Floats, motifs: Floats) -> bool:
    """Whether squares come near the ends of float32, where only the tree is exact.

    The spread of the motifs is judged without the blocks: a large block does not make it larger.
    """
    spread = float(np.abs(motifs - motifs.mean(axis=0, dtype=np.float64)).max(initial=0))
    top = max(float(max(x.max(initial=0), -x.min(initial=0))) for x in (blocks, motifs))
    return not (spread > 1e-15 and top < 1e15)


def _lifted(motifs: Floats, heights: Floats | None) -> Floats:
    if heights is None:
        return motifs
    return np.concatenate([motifs, heights[:, None]], axis=1, dtype=np.float32)


def _padded(piece: Floats, width: int) -> Floats:
    """Return blocks with a zero for the height, where motifs have one."""
    if piece.shape[1] == width:
        return piece
    return np.concatenate([piece, np.zeros((len(piece), 1), np.float32)], axis=1)


def _exactly(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    if engine(*motifs.T.shape) == "tree" or _is_extreme(blocks, motifs):
        return _by_tree(blocks, motifs, threads)
    return _by_matrix(blocks, motifs, threads)


def _by_tree(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    from scipy.spatial import cKDTree

    tree = cKDTree(motifs)
    indices = np.empty(len(blocks), np.int64)

    def fill(at: int) -> None:
        piece = _padded(blocks[at : at + _QUERY], motifs.shape[1])
        indices[at : at + _QUERY] = tree.query(piece)[1]

    _in_pieces(fill, len(blocks), threads)
    return indices


def _by_matrix(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    # The median: one distant motif would move a mean, and with it the centre, off all others.
    centre = np.median(motifs, axis=0).astype(np.float64)
    centred = motifs - centre
    squares = np.square(centred).sum(axis=1)
    # One product gives |z|^2 - 2 x.z: the last column meets a column of ones.
    table = np.concatenate([-2 * centred, squares[:, None]], axis=1).astype(np.float32).T
    search = _Search(motifs, centre, np.ascontiguousarray(table), np.sqrt(squares))
    indices = np.empty(len(blocks), np.int64)

    def fill(at: int) -> None:
        piece = _padded(blocks[at : at + _QUERY], motifs.shape[1])
        indices[at : at + _QUERY] = _nearest_of_piece(piece, search)

    with _ONE_BLAS_THREAD:
        _in_pieces(fill, len(blocks), threads)
    return indices


class _SharedLimit:
    """Limits BLAS to one thread while any search runs; the limit is the whole process's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if not self._users:
                self._limit = threadpool_limits(limits=1)
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.restore_original_limits()


_ONE_BLAS_THREAD = _SharedLimit()


def _by_faiss(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    import faiss

    # In float32, like the blocks: the difference is then rounded once.
    centre = np.median(motifs, axis=0).astype(np.float32)
    centred = motifs - centre
    rows = min(_faiss_rows(motifs.shape[1]), len(blocks))
    indices = np.empty(len(blocks), np.int64)

    def fill(at: int) -> None:
        some = blocks[at : at + rows]
        # Pieces of one length: how a product is blocked, and so rounded, depends on that.
        piece = np.zeros((rows, motifs.shape[1]), np.float32)
        piece -= centre
        np.subtract(some, centre[: some.shape[1]], out=piece[: len(some), : some.shape[1]])
        indices[at : at + rows] = faiss.knn(piece, centred, 1)[1][: len(some), 0]

    # Applies to the calling thread. faiss splits a product by the number of its threads.
    _in_pieces(fill, len(blocks), threads, rows, partial(faiss.omp_set_num_threads, 1))
    return indices


def _faiss_rows(s: int) -> int:
    """Blocks of a call of faiss."""
    return max(_FAISS_QUERY, -(-_FAISS_LEAST // s))


def _in_pieces(
    fill: Callable[[int], None],
    n: int,
    threads: int | None,
    rows: int = _QUERY,
    start: Callable[[], None] | None = None,
) -> None:
    """Call `fill` for the start of every piece of `n` blocks.

    Unlike those that scipy's query starts, these threads are waited for when it is interrupted:
    none goes on working in memory that is freed.
    """
    for _ in map_in_threads(fill, range(0, n, rows), threads, initializer=start):
        pass


@dataclass(frozen=True)
class _Search:
    """Motifs, and as the columns of a product with blocks centred on `centre`."""

    motifs: Floats
    centre: NDArray[np.float64]
    table: Floats
    #: Distance of each motif from the centre.
    reach: NDArray[np.float64]


def _nearest_of_piece(piece: Floats, search: _Search) -> Ints:
    blocks = piece - search.centre
    s, k = blocks.shape[1], len(search.motifs)
    ones = np.ones((len(blocks), s + 1), np.float32)
    ones[:, :s] = blocks
    best = np.empty(len(blocks), np.int64)
    lowest, second = np.empty((2, len(blocks)), np.float32)
    for some in _slices(np.arange(len(blocks)), k):
        best[some], lowest[some], second[some] = two_lowest(ones[some] @ search.table)
    # A sum of s + 1 products whose factors were rounded once: |error| <= (s + 4) u sum |factors|.
    # The nearest motif is no farther from the centre than the block and the best motif allow.
    length = np.sqrt(np.einsum("ij,ij->i", blocks, blocks))
    reach = np.minimum(search.reach.max(), 2 * length + search.reach[best])
    bound = 2 * (s + 4) * _UNIT * (reach * reach + 2 * length * reach)
    limit = (lowest + bound).astype(np.float32)
    limit = np.nextafter(limit, np.float32(np.inf))
    for some in _slices(np.flatnonzero(second <= limit), k):
        row, motif = np.nonzero(ones[some] @ search.table <= limit[some, None])
        squared = np.empty(row.size)
        for pairs in _slices(np.arange(row.size), s):
            gap = piece[some[row[pairs]]].astype(np.float64)
            gap -= search.motifs[motif[pairs]]
            squared[pairs] = np.einsum("ij,ij->i", gap, gap)
        # By row, then distance, then index: the first of each row is the nearest.
        order = np.lexsort((motif, squared, row))
        first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
        best[some] = motif[first]
    return best


def _slices(rows: Ints, width: int) -> Iterator[Ints]:
    """Yield rows in groups so small that arrays of `width` columns fit into the cache."""
    step = max(_ENTRIES // width, 1)
    for at in range(0, rows.size, step):
        yield rows[at : at + step]
