"""The contract of a fitter: blocks in, motifs and one motif index per block out.

A fitter is a frozen dataclass whose fields are its options. ``fit(problem, goal)`` returns a
:class:`Fit` whose motifs are already what will be stored (rounded to the motif dtype), and whose
indices say which motif each block becomes.

A :class:`Goal` is a number of motifs, or a relative squared error to stay at or below with as few
bits as the fitter can. Targets in bits are searched above the fitters, in
:mod:`kcomplexity.mosaics.run`. All random numbers come from ``problem.rng``: the same problem gives
the same fit for any number of threads.

A new fitter is a class here, or in a package of yours with an entry point in the group
``kcomplexity.fitters``.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.motifs import MOST_MOTIFS, MotifDtype, Motifs
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.assign import Floats, Ints, distances, nearest
from kcomplexity.parallel.progress import OnProgress, Progress
from kcomplexity.registry import class_problem
from kcomplexity.tensors.pieces import spans
from kcomplexity.text import plural

#: Weights that are summed together, as float64; and blocks.
_SUMMED, _PIECE = 1 << 20, 1 << 16


@dataclass(frozen=True)
class Goal:
    """What a fit is to reach: a number of motifs, an error, or an error with a limit of motifs.

    Attributes
    ----------
    k : int or None
        Number of motifs; the largest allowed if there is an error too.
    relative_mse : float or None
        Squared error over sum of squares, to be met from below.
    """

    k: int | None = None
    relative_mse: float | None = None


@dataclass(frozen=True)
class Problem:
    """The blocks that motifs are fitted to, and how.

    Attributes
    ----------
    blocks : ndarray of shape (m, s), float32
        Finite; padded with zeros, scales divided out.
    importance : ndarray of shape (m,), float64, or None
        Factor from squared error of a block to that of its weights: its scale, squared.
    squares : float
        Sum of the squared weights, scales included.
    motif_dtype : {"f32", "f16", "bf16", "grid"}
    zero_motif : bool
        Whether one of the motifs is the zero block.
    name : str
        Of the motif set, for the seed and for messages.
    seed : int
    threads : int or None
    progress : callable or None
        Called by :meth:`report`.
    """

    blocks: Floats
    importance: NDArray[np.float64] | None
    squares: float
    motif_dtype: MotifDtype
    zero_motif: bool = False
    name: str = "model"
    seed: int = 0
    threads: int | None = None
    progress: OnProgress | None = field(default=None, compare=False)

    @property
    def m(self) -> int:
        """Blocks."""
        return len(self.blocks)

    @property
    def rms(self) -> float:
        """Root mean square of the blocks' entries, padding included."""
        pieces = (self.blocks[start:stop] for start, stop in spans(self.m, _PIECE))
        total = math.fsum(float(np.square(piece, dtype=np.float64).sum()) for piece in pieces)
        return math.sqrt(total / max(self.blocks.size, 1))

    def report(self, stage: str) -> None:
        """Report progress: call this about once per round."""
        if self.progress is not None:
            self.progress(Progress(stage))

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator that depends on the seed, the purpose and the set alone."""
        text = f"{self.seed}\0{purpose}\0{self.name}"
        key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
        return np.random.Generator(np.random.Philox(key=key))

    def relative_mse(self, values: Floats, indices: Ints) -> float:
        """Return the error of an assignment relative to the sum of squares."""
        lost = distances(self.blocks, values, indices)
        if self.importance is not None:
            lost *= self.importance
        total = math.fsum(float(lost[at:end].sum()) for at, end in spans(lost.size, _PIECE))
        return total / self.squares if self.squares else 0.0

    def assigned(self, motifs: Motifs) -> Fit:
        """Return the fit in which each block goes to its nearest motif."""
        indices = nearest(self.blocks, motifs.values, threads=self.threads)
        return Fit(motifs, indices, self.relative_mse(motifs.values, indices))

    def round(self, values: NDArray[np.float64] | Floats, step: float) -> Motifs:
        """Round motifs to the motif dtype; `step` is that of a grid."""
        return Motifs.rounded(values, self.motif_dtype, step if self.motif_dtype == "grid" else 0.0)


@dataclass(frozen=True)
class Fit:
    """Motifs, and the motif of each block.

    Attributes
    ----------
    motifs : Motifs
        As stored; some may be unused.
    indices : ndarray of shape (m,), int64
    relative_mse : float
        Of the blocks, scales included.
    """

    motifs: Motifs
    indices: Ints
    relative_mse: float

    @property
    def index_bits(self) -> float:
        """Order-0 entropy of the indices, in bits: an estimate for searches."""
        counts = np.bincount(self.indices)
        counts = counts[counts > 0]
        return float(-(counts * np.log2(counts / counts.sum())).sum())


@dataclass(frozen=True)
class Fitter(ABC):
    """Base of every fitter; the fields of a subclass are its options."""

    #: One line for listings.
    summary: ClassVar[str]
    #: Where the method comes from.
    reference: ClassVar[str]
    #: How motifs are stored unless the user says otherwise.
    default_dtype: ClassVar[MotifDtype]
    #: Whether it fits to an error directly; else it meets an error by trying numbers of motifs.
    aims_at_errors: ClassVar[bool] = False

    @abstractmethod
    def fit(self, problem: Problem, goal: Goal) -> Fit:
        """Fit motifs.

        Raises
        ------
        SpecError
            If the goal cannot be reached; the message says what can.
        """


def check_fitter(_name: str, thing: object) -> str | None:
    """Return what `thing` lacks to be registered as a fitter, or None."""
    return class_problem(thing, Fitter, ("summary", "reference", "default_dtype"))


def centroids(blocks: Floats, indices: Ints, k: int) -> tuple[NDArray[np.float64], Ints]:
    """Return the mean block of each motif, zero for an unused one, and the number of its blocks."""
    from scipy.sparse import csc_array

    sums = np.zeros((k, blocks.shape[1]))
    for at, end in spans(len(blocks), max(_SUMMED // blocks.shape[1], 1)):
        n = end - at
        # A column for each block, with a one in the row of its motif.
        chosen = csc_array((np.ones(n), indices[at:end], np.arange(n + 1)), shape=(k, n))
        sums += chosen @ blocks[at:end].astype(np.float64)
    counts = np.bincount(indices, minlength=k)
    return sums / np.maximum(counts, 1)[:, None], counts


def fit_goal(fit: Callable[[int], Fit], m: int, goal: Goal) -> Fit:
    """Reach a goal on `m` blocks by fits of so many motifs.

    For an error, return the fit of fewest motifs, to about 2 %, that meets it. The error falls with
    the number of motifs, apart from chance; the search bisects the logarithm of that number.
    SpecError if even as many motifs as there may be do not reach the error.
    """
    target = goal.relative_mse
    if target is None:
        return fit(goal.k or 1)
    m = min(goal.k or m, m, MOST_MOTIFS)
    best = fit(m)
    if best.relative_mse > target:
        raise SpecError(
            f"a relative error of {target:g} cannot be reached: {plural(m, 'motif')}, the "
            f"most there may be, give {best.relative_mse:.3g}; allow more motifs, a wider motif "
            "dtype or a larger error"
        )
    low, high = 0, m
    while high > low + 1 and high > 1.02 * low:
        middle = max(low + 1, min(high - 1, round(math.sqrt(max(low, 1) * high))))
        tried = fit(middle)
        if tried.relative_mse <= target:
            best, high = tried, middle
        else:
            low = middle
    return best
