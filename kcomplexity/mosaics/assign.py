"""Nearest motif: which of k motifs each block is closest to, exactly.

Two engines, chosen by :func:`engine`:

``tree``
    SciPy's k-d tree, in float64, direct distances. Its time grows with log k at few weights a
    block, and towards k with many.
``matrix``
    Distances by one float32 matrix product a piece, |z|^2 - 2 x.z, of blocks and motifs centred on
    the motifs' mean. Rounding could hide the nearest, so every motif whose distance lies within
    the product's error bound of the smallest is measured again, directly, in float64. Data that
    share an offset, sit on a grid or repeat only make that second step longer.

Neither takes identical motifs twice: they are one motif, that of the lowest index. Distances are
recomputed directly in float64. A flat search that returns one neighbour a block (faiss) is faster
still but cannot tell when it was wrong; the fitters use it between their rounds
(:func:`nearest_roughly`). ``ecvq`` writes its answers down too: there a motif a rounding error
further off is as good a choice, its error is measured directly, and decoding is exact all the same.
``sample`` and ``kmeans`` promise the nearest motif and finish with :func:`nearest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import SpecError
from kcomplexity.pool import available_processors

__all__ = ["assign_blocks", "distances", "engine", "nearest", "nearest_roughly"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Engine = Literal["tree", "matrix"]

#: Blocks that are looked up together.
_PIECE = 1 << 16
#: Blocks that one thread looks up in the tree before it can be stopped.
_QUERY = 1 << 13
#: Entries of a distance matrix held at once: 1 MiB of float32 a thread stays in the cache.
_ENTRIES = 1 << 18
#: Nanoseconds that a call of faiss costs beside its work: its threads wait for each other, which is
#: long on a busy machine.
_FAISS_CALL_NS = 1e6
#: Numbers in a call below which faiss takes a loop that is 30 times slower.
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
        Computed directly; within 1e-6 of the smallest there is.

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
    found, given = _floats(blocks, "blocks"), _floats(motifs, "motifs")
    if found.shape[1] != given.shape[1] or not given.size:
        raise SpecError(
            f"blocks of shape {found.shape} and motifs of shape {given.shape}: expected (m, s) and "
            "(k, s) with the same s and at least one motif"
        )
    indices = nearest(found, given, threads=threads)
    return indices, distances(found, given, indices).astype(np.float32)


def engine(s: int, k: int) -> Engine:
    """Return the cheaper engine for motifs of `s` weights, `k` of them.

    A k-d tree visits some 1.8**s cells whatever k, and never more than the motifs fill; a matrix
    looks at every motif. The constants were measured on two hardware threads of one core.
    """
    return "tree" if _tree_ns(s, k) < _matrix_ns(s, k) else "matrix"


# Nanoseconds a block, for motifs of `s` weights, `k` of them.


def _tree_ns(s: int, k: int) -> float:
    # Beyond 64 weights k / 15 is less by far, and from 1,207 on a float holds no such power.
    return 40 * (min(1.8 ** min(s, 64), k / 15) + math.log2(k + 1) / 4)


def _matrix_ns(s: int, k: int) -> float:
    return 60 + (0.13 + 0.008 * s) * k


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
        One more coordinate of each motif; that of every block is zero. The squared height is a
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

    Off only where rounding of float32 decides. Assumes validated input.
    """
    motifs = _lifted(motifs, heights)
    s, k = motifs.T.shape
    rows = min(len(blocks), _PIECE)
    exactly = min(_tree_ns(s, k), _matrix_ns(s, k))
    roughly = _faiss_ns(s, k) + _FAISS_CALL_NS / rows
    if rows * s < _FAISS_LEAST or exactly < roughly or _is_extreme(blocks, motifs):
        return _exactly(blocks, motifs, threads)
    return _by_faiss(blocks, motifs, threads)


def distances(blocks: Floats, motifs: Floats, indices: Ints) -> NDArray[np.float64]:
    """Return the squared distance of each block to its motif, directly, in float64."""
    found = np.empty(len(blocks))
    for at in range(0, len(blocks), _PIECE):
        gap = blocks[at : at + _PIECE].astype(np.float64)
        gap -= motifs[indices[at : at + _PIECE]]
        found[at : at + _PIECE] = np.einsum("ij,ij->i", gap, gap)
    return found


def _floats(values: NDArray[Any], what: str) -> Floats:
    found = np.ascontiguousarray(values, np.float32)
    if found.ndim != 2 or not np.isfinite(found).all():
        raise SpecError(f"{what} of shape {found.shape}: expected two axes and finite values")
    return found


def _is_extreme(blocks: Floats, motifs: Floats) -> bool:
    """Whether squares come near the ends of float32, where only the tree is exact.

    Those of the motifs count by themselves: a large block beside them does not make them larger.
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
    found = np.empty(len(blocks), np.int64)

    def fill(at: int) -> None:
        piece = _padded(blocks[at : at + _QUERY], motifs.shape[1])
        found[at : at + _QUERY] = tree.query(piece)[1]

    _in_pieces(fill, len(blocks), threads)
    return found


def _by_matrix(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    from threadpoolctl import threadpool_limits

    centre = motifs.mean(axis=0, dtype=np.float64)
    centred = motifs - centre
    squares = np.square(centred).sum(axis=1)
    # One product gives |z|^2 - 2 x.z: the last column meets a column of ones.
    table = np.concatenate([-2 * centred, squares[:, None]], axis=1).astype(np.float32).T
    table = np.ascontiguousarray(table)
    reach = float(np.sqrt(squares.max()))
    found = np.empty(len(blocks), np.int64)

    def fill(at: int) -> None:
        piece = _padded(blocks[at : at + _QUERY], motifs.shape[1]) - centre
        found[at : at + _QUERY] = _nearest_of_piece(piece, centred, table, reach)

    with threadpool_limits(1):
        _in_pieces(fill, len(blocks), threads)
    return found


def _by_faiss(blocks: Floats, motifs: Floats, threads: int | None) -> Ints:
    """Return a motif about as near as the nearest: off where rounding of float32 decides."""
    import faiss

    # Of float32, so that what float32 rounds is one difference, whichever way it is taken.
    centre = motifs.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = motifs - centre
    # Pieces of one length, so that how a product is blocked depends on no piece.
    piece = np.zeros((min(len(blocks), _PIECE), motifs.shape[1]), np.float32)
    piece -= centre
    found = np.empty(len(blocks), np.int64)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or available_processors())
    try:
        for at in range(0, len(blocks), _PIECE):
            some = blocks[at : at + _PIECE]
            np.subtract(some, centre[: some.shape[1]], out=piece[: len(some), : some.shape[1]])
            found[at : at + _PIECE] = faiss.knn(piece, centred, 1)[1][: len(some), 0]
    finally:
        faiss.omp_set_num_threads(before)
    return found


def _in_pieces(fill: Callable[[int], None], n: int, threads: int | None) -> None:
    """Call `fill` for the start of every piece of `n` blocks.

    Threads of our own, which are waited for: those that scipy's query starts are not when it is
    interrupted, and work on in memory that is freed.
    """
    with ThreadPoolExecutor(threads or available_processors()) as pool:
        for _ in pool.map(fill, range(0, n, _QUERY)):
            pass


def _nearest_of_piece(
    blocks: NDArray[np.float64], motifs: NDArray[np.float64], table: Floats, reach: float
) -> Ints:
    s = blocks.shape[1]
    ones = np.ones((len(blocks), s + 1), np.float32)
    ones[:, :s] = blocks
    best = np.empty(len(blocks), np.int64)
    lowest, second = np.empty((2, len(blocks)), np.float32)
    for some in _slices(np.arange(len(blocks)), len(motifs)):
        best[some], lowest[some], second[some] = _two_lowest(ones[some] @ table)
    # A sum of s + 1 products whose factors were rounded once: |error| <= (s + 4) u sum |factors|.
    length = np.sqrt(np.einsum("ij,ij->i", blocks, blocks))
    bound = 2 * (s + 4) * _UNIT * (reach * reach + 2 * length * reach)
    limit = (lowest + bound).astype(np.float32)
    limit = np.nextafter(limit, np.float32(np.inf))
    for some in _slices(np.flatnonzero(second <= limit), len(motifs)):
        row, motif = np.nonzero(ones[some] @ table <= limit[some, None])
        gap = blocks[some[row]] - motifs[motif]
        squared = np.einsum("ij,ij->i", gap, gap)
        # By row, then distance, then index: the first of each row is the nearest.
        order = np.lexsort((motif, squared, row))
        first = order[np.flatnonzero(np.diff(row[order], prepend=-1))]
        best[some] = motif[first]
    return best


def _two_lowest(scores: Floats) -> tuple[Ints, Floats, Floats]:
    """Return the column of each row's lowest score, that score, and the one after it.

    The lowest scores are overwritten. A second search costs a quarter of comparing all scores with
    a limit.
    """
    rows = np.arange(len(scores))
    best: Ints = scores.argmin(axis=1)
    lowest = scores[rows, best]
    scores[rows, best] = np.inf
    return best, lowest, scores[rows, scores.argmin(axis=1)]


def _slices(rows: Ints, k: int) -> Iterator[Ints]:
    """Yield rows in groups whose scores for `k` motifs are few enough to hold at once."""
    step = max(_ENTRIES // k, 1)
    for at in range(0, rows.size, step):
        yield rows[at : at + step]
