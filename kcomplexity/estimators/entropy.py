"""Entropies of symbols: the plug-in estimate, a two-part code, and blocks of symbols.

All three count how often each symbol occurs and see no positions (blocks see them inside a block).
Alphabets up to 2**16 are counted in a table; larger ones as sorted distinct values, refused above
2**24 of them, where nearly every symbol is different and a count says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.lengths import two_part_bits
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.estimators.base import Estimator, Kind, Measure, bits_by_name
from kcomplexity.parallel import LEAF, Cut, Every, Reducer, State
from kcomplexity.views.base import Alphabet, smallest

__all__ = ["BlockEntropy", "Entropy", "entropy_bits"]

_DENSE = 1 << 16
_MOST_DISTINCT = 1 << 24
#: Symbols that wait to be sorted together, and what sorting and counting them takes.
_PENDING = 1 << 22
_SORTING = 40 * _PENDING
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Entropy(Estimator):
    """Order-0 entropy of each stream, plug-in, or with its counts and values charged.

    ``entropy`` is n * H of the observed frequencies: no code reaches it, since a decoder would
    have to know them. ``entropy:two-part`` is a code: see
    :func:`~kcomplexity.algorithms.entropy_coding.lengths.two_part_bits`.
    """

    form: str = "plug-in"

    summary: ClassVar[str] = "order-0 entropy of the symbols; two-part: counts and values charged"
    positional: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    default_view: ClassVar[str | None] = "q8"
    reference: ClassVar[str] = "Shannon 1948; two-part: Rissanen 1978, enumerative (Cover 1973)"

    def __post_init__(self) -> None:
        if self.form not in ("plug-in", "two-part"):
            raise SpecError(f"entropy:{self.form}: expected plug-in (the default) or two-part")

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        """A code only when the decoder is told everything."""
        return "code" if self.form == "two-part" else "estimate"

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        """Count the symbols."""
        assert alphabet is not None  # noqa: S101 - it has a default view
        return _Count(alphabet.size)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        """Add the bits of all streams."""
        counts = [_counts(state) for state in states]
        bits = [
            entropy_bits(c) if self.form == "plug-in" else two_part_bits(c, a.size)
            for c, a in zip(counts, alphabets, strict=True)
        ]
        details: dict[str, Any] = {"n_distinct": sum(int(np.count_nonzero(c)) for c in counts)}
        return Measure(math.fsum(bits), stream_bits=bits_by_name(alphabets, bits), details=details)


@dataclass(frozen=True)
class BlockEntropy(Estimator):
    """Plug-in entropy of non-overlapping blocks of N symbols.

    Blocks start at the tensor's first symbol; a remainder shorter than a block is left out and
    counted in ``n_ignored``. The value is (number of blocks) * H(block).
    """

    size: int = 2

    summary: ClassVar[str] = "plug-in entropy of blocks of N symbols: order within a block"
    kind: ClassVar[Kind] = "estimate"
    additive: ClassVar[bool] = False
    positional: ClassVar[bool] = True
    default_view: ClassVar[str | None] = "q4"
    reference: ClassVar[str] = "Shannon 1948, section 7"

    def __post_init__(self) -> None:
        if not 2 <= self.size <= 32:
            raise SpecError(f"block-entropy:{self.size}: expected 2 to 32 symbols a block")

    @property
    def rate(self) -> float:
        """Sorting distinct blocks is what takes the time."""
        return 3e7

    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        """Count the blocks."""
        assert alphabet is not None  # noqa: S101 - it has a default view
        if self.size * alphabet.width > 63:
            raise UnmeasurableError(
                f"a block of {self.size} symbols of {alphabet.width} bits does not fit 63 bits: "
                f"take blocks of at most {63 // alphabet.width}"
            )
        return _CountBlocks(alphabet, self.size)

    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        """Add the bits of all streams."""
        counts = [_counts(state) for state in states]
        n_left = sum(state.n_left for state in states if isinstance(state, _BlockState))
        n_blocks = sum(int(c.sum()) for c in counts)
        if not n_blocks:
            raise UnmeasurableError(f"fewer than {self.size} symbols: no block")
        return Measure(
            math.fsum(entropy_bits(c) for c in counts),
            n_ignored=round(n_left / sum(a.per_weight for a in alphabets)),
            n_blocks=n_blocks,
            n_codes_seen=sum(int(np.count_nonzero(c)) for c in counts),
        )


def entropy_bits(counts: NDArray[Any]) -> float:
    """Return n * H, the plug-in entropy of observed counts, in bits.

    Parameters
    ----------
    counts : ndarray of int, shape (n_symbols,)
        How often each symbol occurs; zeros are left out.

    Examples
    --------
    >>> entropy_bits(np.array([4, 4]))
    8.0
    """
    seen = np.sort(counts[counts > 0]).astype(np.float64)
    n = seen.sum()
    return float(max(n * np.log2(n) - (seen * np.log2(seen)).sum(), 0.0)) if seen.size > 1 else 0.0


def _counts(state: State) -> Counts:
    if isinstance(state, _BlockState):
        state = state.codes
    assert isinstance(state, _TableState | _DistinctState)  # noqa: S101 - our own reducers
    if isinstance(state, _DistinctState) and state.too_many:
        raise UnmeasurableError(
            f"more than {_MOST_DISTINCT} distinct symbols: a count of each says nothing; "
            "quantise (@q8) or split (@bytes/fields)"
        )
    return state.counts


@dataclass(frozen=True)
class _Count:
    """Count symbols: in a table if the alphabet is small, else as sorted distinct values."""

    alphabet_size: int
    cut: Cut = field(default=Every(), init=False)

    @property
    def memory(self) -> int:
        return 16 * LEAF if self.alphabet_size <= _DENSE else _SORTING

    def start(self) -> State:
        if self.alphabet_size <= _DENSE:
            return _TableState(np.zeros(self.alphabet_size, np.int64))
        return _DistinctState(self.alphabet_size)


@dataclass(frozen=True)
class _CountBlocks:
    alphabet: Alphabet
    size: int

    @property
    def cut(self) -> Cut:
        return Every(math.lcm(LEAF, self.size))

    @property
    def memory(self) -> int:
        return _SORTING

    def start(self) -> State:
        return _BlockState(self, _Count(1 << self.size * self.alphabet.width).start())


@dataclass
class _TableState(State):
    """How often each symbol occurs, by symbol."""

    counts: Counts

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        flat = chunk.reshape(-1)
        if self.counts.size == 2:
            ones = np.count_nonzero(flat)
            self.counts += (flat.size - ones, ones)
        elif flat.dtype == np.uint8 and flat.size >= LEAF:
            self.counts += _count_bytes(flat)[: self.counts.size]
        else:
            self.counts += np.bincount(flat.astype(np.intp), minlength=self.counts.size)

    def __add__(self, other: _TableState | _DistinctState) -> _TableState:
        if isinstance(other, _TableState):
            return _TableState(self.counts + other.counts)
        total = self.counts.copy()
        total[other.values] += other.counts
        return _TableState(total)


@dataclass
class _DistinctState(State):
    """Distinct symbols in order, and how often each occurs.

    New symbols wait in ``pending`` until there are as many as distinct ones, so that each is
    sorted a bounded number of times. Where a table of the alphabet is no larger than what it
    replaces, the sum of two states is a table.
    """

    alphabet_size: int
    values: NDArray[Any] = field(default_factory=lambda: np.empty(0, np.uint8))
    counts: Counts = field(default_factory=lambda: np.empty(0, np.int64))
    pending: list[NDArray[Any]] = field(default_factory=list)

    @property
    def too_many(self) -> bool:
        return self.values.size > _MOST_DISTINCT

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        if self.too_many:
            return
        self.pending.append(chunk.reshape(-1).copy())
        if sum(part.size for part in self.pending) >= max(self.values.size, _PENDING):
            self.finish()

    def finish(self) -> None:
        if self.pending:
            symbols = np.concatenate(self.pending)
            self.pending = []
            # NumPy sorts little numbers several times as fast as wide ones.
            values, counts = np.unique(symbols, return_counts=True)
            self._add(values, counts.astype(np.int64, copy=False))

    def _add(self, values: NDArray[Any], counts: Counts) -> None:
        if not self.values.size:
            self.values, self.counts = values, counts
            return
        both = np.concatenate([self.values, values])
        order = np.argsort(both, kind="stable")  # merges sorted runs
        both = both[order]
        first = np.flatnonzero(np.concatenate([[True], both[1:] != both[:-1]]))
        self.counts = np.add.reduceat(np.concatenate([self.counts, counts])[order], first)
        self.values = both[first]

    def __add__(self, other: _DistinctState | _TableState) -> _DistinctState | _TableState:
        if isinstance(other, _TableState):
            return other + self
        if self.alphabet_size < min(4 * (self.values.size + other.values.size), _MOST_DISTINCT + 1):
            return _TableState(np.zeros(self.alphabet_size, np.int64)) + self + other
        total = replace(self, pending=[])
        if not total.too_many:
            total._add(other.values, other.counts)
        return total


@dataclass
class _BlockState(State):
    """Blocks as base-2**width numbers; what is left at the tensor's end."""

    reducer: _CountBlocks
    codes: State
    n_left: int = 0

    def update(self, chunk: NDArray[Any], at: Any) -> None:
        flat = chunk.reshape(-1)
        size, width = self.reducer.size, self.reducer.alphabet.width
        whole = flat.size - flat.size % size
        self.n_left += flat.size - whole
        rows = flat[:whole].reshape(-1, size).astype(smallest(1 << size * width))
        codes = rows[:, 0].copy()
        for column in rows.T[1:]:
            codes <<= codes.dtype.type(width)
            codes |= column
        self.codes.update(codes, at)

    def finish(self) -> None:
        self.codes.finish()

    def __add__(self, other: _BlockState) -> _BlockState:
        return _BlockState(self.reducer, self.codes + other.codes, self.n_left + other.n_left)


def _count_bytes(flat: NDArray[np.uint8]) -> Counts:
    """Count bytes two at a time: a pair takes one step of the counting loop instead of two."""
    even = flat[: flat.size - flat.size % 2].view(np.uint16)
    pairs = np.bincount(even, minlength=65536).reshape(256, 256)
    counts = pairs.sum(axis=0) + pairs.sum(axis=1)
    if flat.size % 2:
        counts[flat[-1]] += 1
    total: Counts = counts.astype(np.int64, copy=False)
    return total
