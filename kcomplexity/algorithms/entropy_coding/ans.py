"""Entropy coding of integers: one ANS stream, written front to back, read front to back.

Everything a decoder needs is inside the stream: no count is taken for granted. The coder is
constriction's ANS with 24-bit probabilities; its probabilities are integers over 2**24 that follow
from coded integers by integer arithmetic alone, so a stream decodes for ever.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint32]

_TOTAL = 1 << 24
#: 256 * 2**(j / 8), rounded: eighths of an octave. An error of a sixteenth of an octave in a count
#: costs at most .0003 of its symbol's share in bits.
_OCTAVE = np.array([256, 279, 304, 332, 362, 395, 431, 470], np.int64)
#: Bit lengths that an integer may have.
_LENGTHS = 48
#: Raw bits go out at most this many at a time.
_DIGIT = 16
#: A length's share is coded in half octaves: 0 for never, else 2**((v - 1) / 2).
_SHARES = 64


def levels_of_counts(counts: Ints) -> Ints:
    """Round log2 of positive counts to eighths: :func:`counts_of_levels` is what decoders use."""
    levels: Ints = np.rint(8 * np.log2(counts.astype(np.float64))).astype(np.int64)
    return levels


def counts_of_levels(levels: Ints) -> Ints:
    """Return the integer that stands for the count of each level, about 256 * 2**(level / 8)."""
    counts: Ints = _OCTAVE[levels % 8] << (levels // 8)
    return counts


def frequencies_of(weights: Ints) -> Ints:
    """Scale positive weights to integers >= 1 that sum to 2**24."""
    total = int(weights.sum())
    spare = _TOTAL - weights.size
    # Python's integers where int64 would overflow: weights reach 2**40 and spare 2**24.
    if int(weights.max()) < 1 << 38:
        frequencies = weights * spare // total
    else:
        shift = max(int(weights.max()).bit_length() - 38, 0)
        narrow = np.maximum(weights >> shift, 1)
        frequencies = narrow * spare // int(narrow.sum())
    frequencies = frequencies + 1
    frequencies[int(np.argmax(frequencies))] += _TOTAL - int(frequencies.sum())
    return frequencies


def model_of(weights: Ints) -> Any:
    """Return constriction's model of symbols 0 to n - 1 with these positive weights."""
    import constriction

    return constriction.stream.model.Categorical(
        frequencies_of(weights) / float(_TOTAL), perfect=False
    )


def _uniform(size: int) -> Any:
    import constriction

    return constriction.stream.model.Uniform(size)


class _Run:
    """Symbols that each have a model: 12 bytes a symbol, where tuples would take a hundred."""

    __slots__ = ("models", "symbols")

    def __init__(self) -> None:
        self.symbols = array("i")
        self.models: list[Any] = []


class AnsEncoder:
    """Gathers symbols in the order a decoder takes them; the stream is made at the end."""

    def __init__(self) -> None:
        self._jobs: list[tuple[NDArray[np.int32], Any] | _Run] = []

    def symbols(self, symbols: NDArray[Any], weights: Ints) -> None:
        """Add symbols 0 to n - 1 under positive weights that the decoder knows.

        A single symbol costs nothing, however often it occurs.
        """
        if weights.size > 1 and symbols.size:
            self._jobs.append((symbols.astype(np.int32), model_of(weights)))

    def modelled(self, symbol: int, model: Any) -> None:
        """Add one symbol under a model made by :func:`model_of`."""
        if not self._jobs or not isinstance(self._jobs[-1], _Run):
            self._jobs.append(_Run())
        run = self._jobs[-1]
        assert isinstance(run, _Run)  # noqa: S101 - just made sure of
        run.symbols.append(symbol)
        run.models.append(model)

    def uniform(self, symbols: NDArray[Any], size: int) -> None:
        """Add symbols 0 to `size` - 1, all as likely: log2(size) bits each."""
        if size > 1 and symbols.size:
            if size > _TOTAL:
                self.uniform(symbols >> _DIGIT, -(-size >> _DIGIT))
                self.uniform(symbols & ((1 << _DIGIT) - 1), 1 << _DIGIT)
            else:
                self._jobs.append((symbols.astype(np.int32), _uniform(size)))

    def integers(self, values: NDArray[Any]) -> None:
        """Add integers from 0 to 2**47 - 1: their bit lengths under their own shares, then bits.

        Costs about the entropy of the bit lengths, the bits below the leading one, and six bits
        for each length up to the longest.
        """
        values = values.astype(np.int64)
        lengths = _bit_lengths(values)
        counts = np.bincount(lengths, minlength=1)
        shares = np.where(counts > 0, _share(counts), 0)
        self.uniform(np.array([counts.size - 1]), _LENGTHS)
        self.uniform(shares, _SHARES)
        present = np.flatnonzero(shares)
        rank = np.zeros(counts.size, np.int64)
        rank[present] = np.arange(present.size)
        self.symbols(rank[lengths], _share_weights(shares[present]))
        for length in present:
            if length > 1:
                tails = values[lengths == length] - (1 << (int(length) - 1))
                self.uniform(tails, 1 << (int(length) - 1))

    def words(self) -> Words:
        """Return the stream."""
        import constriction

        coder = constriction.stream.stack.AnsCoder()
        for job in reversed(self._jobs):
            if isinstance(job, _Run):
                for symbol, model in zip(reversed(job.symbols), reversed(job.models), strict=True):
                    coder.encode_reverse(symbol, model)
            else:
                coder.encode_reverse(*job)
        words: Words = coder.get_compressed()
        return words


class AnsDecoder:
    """Reads a stream in the order it was written; ValueError if it ends in a zero word."""

    def __init__(self, words: Words) -> None:
        import constriction

        self.coder = constriction.stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32))

    def symbols(self, n: int, weights: Ints) -> NDArray[np.int32]:
        """Take `n` symbols under the weights they were written with."""
        if weights.size == 1 or not n:
            return np.zeros(n, np.int32)
        symbols: NDArray[np.int32] = self.coder.decode(model_of(weights), n)
        return symbols

    def uniform(self, n: int, size: int) -> Ints:
        """Take `n` symbols of `size` that are all as likely."""
        if size == 1 or not n:
            return np.zeros(n, np.int64)
        if size > _TOTAL:
            high = self.uniform(n, -(-size >> _DIGIT))
            return (high << _DIGIT) | self.uniform(n, 1 << _DIGIT)
        symbols: Ints = self.coder.decode(_uniform(size), n).astype(np.int64)
        return symbols

    def integers(self, n: int) -> Ints:
        """Take `n` integers; ValueError if the stream is damaged and says that none occur."""
        top = int(self.uniform(1, _LENGTHS)[0])
        shares = self.uniform(top + 1, _SHARES)
        present = np.flatnonzero(shares)
        if not present.size:
            if n:
                raise ValueError("the stream foresees no integer of any length")
            return np.zeros(0, np.int64)
        lengths = present[self.symbols(n, _share_weights(shares[present]))]
        values = (lengths > 0).astype(np.int64)
        for length in present:
            if length > 1:
                chosen = np.flatnonzero(lengths == length)
                tails = self.uniform(chosen.size, 1 << (int(length) - 1))
                values[chosen] = tails + (1 << (int(length) - 1))
        return values

    def finished(self) -> bool:
        """Whether everything that was written has been taken."""
        return bool(self.coder.is_empty())


def _bit_lengths(values: Ints) -> Ints:
    # frexp is exact below 2**53: the exponent of a positive integer is its bit length.
    return np.frexp(values.astype(np.float64))[1].astype(np.int64)


def _share(counts: Ints) -> Ints:
    half_octaves = np.rint(2 * np.log2(np.maximum(counts, 1))).astype(np.int64)
    shares: Ints = np.minimum(1 + half_octaves, _SHARES - 1)
    return shares


def _share_weights(shares: Ints) -> Ints:
    return counts_of_levels(4 * (shares - 1))
