"""Lempel-Ziv complexity (LZ76), as used in studies of a bias towards simple functions.

:func:`lz76_phrases` counts the phrases of the *exhaustive history* of a sequence [1]_ [2]_: reading
from left to right, each phrase is the shortest string that has not occurred before, where an
earlier occurrence may run into the phrase itself. Where the sequence ends within a phrase, what is
left counts as one. :func:`lz76_complexity` makes of it the C_LZ of [3]_ and
:func:`lz76_entropy_rate` an estimate of the entropy rate [4]_.

The textbook parse is quadratic. This one is near-linear and finds, for each position, the longest
match that starts further left:

1. :func:`_packed_suffixes`: the next 64 bits from each position on as one integer;
2. :func:`_suffix_order`: positions sorted by what follows them. Where 64 bits are not enough to
   tell two apart, the order is refined by doubling the depth [5]_;
3. :func:`_nearest_smaller`: the neighbours in that order which start further left. One of the two
   shares the longest match [6]_;
4. :func:`_match_lengths`: the length of the match, from the first bit that differs;
5. :func:`_walk`: from phrase to phrase.

References
----------
.. [1] Lempel, Ziv: On the complexity of finite sequences. IEEE Trans. Inf. Theory 22:75 (1976).
.. [2] Kaspar, Schuster: Easily calculable measure for the complexity of spatiotemporal patterns.
       Phys. Rev. A 36:842 (1987).
.. [3] Dingle, Camargo, Louis: Input-output maps are strongly biased towards simple outputs.
       Nature Communications 9:761 (2018).
.. [4] Amigo, Szczepanski, Wajnryb, Sanchez-Vives: Estimating the entropy rate of spike trains via
       Lempel-Ziv complexity. Neural Computation 16:717 (2004).
.. [5] Manber, Myers: Suffix arrays: a new method for on-line string searches.
       SIAM J. Comput. 22:935 (1993).
.. [6] Crochemore, Ilie: Computing longest previous factor in linear time and applications.
       Inf. Process. Lett. 106:75 (2008).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.errors import SpecError, UnmeasurableError

__all__ = ["binarise_outputs", "lz76_complexity", "lz76_entropy_rate", "lz76_phrases"]

Labels = NDArray[np.unsignedinteger[Any]]
Positions = NDArray[np.signedinteger[Any]]
Keys = NDArray[np.uint64]

_WORD: Final = 64  # bits in a packed suffix
_ALL_BITS: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_SLAB: Final = 1 << 16  # positions to match at a time: the temporaries stay in a core's cache


# --- the public functions -------------------------------------------------------------------------


def lz76_phrases(symbols: ArrayLike) -> int:
    """Number of phrases of the LZ76 exhaustive history.

    Parameters
    ----------
    symbols : array_like of shape (n,), boolean or integer, or str or bytes
        Any alphabet; only which symbols are equal matters, not their values.

    Returns
    -------
    int
        At least 1. Higher = more complex.

    Raises
    ------
    UnmeasurableError
        Empty, not one-dimensional, or neither integers nor text.

    Notes
    -----
    O(n log n) in time for sequences whose repeats are short against n (weights, random bits): 10^7
    bits take about 3 s. Repeats of length m add up to log2(m / 64) rounds of sorting: at worst,
    10^7 bits take about 10 s. Memory: 60 to 100 bytes a symbol. Strides and byte order do not
    matter.

    Examples
    --------
    The phrases are 0 | 001 | 10 | 100 | 1000 | 101:

    >>> lz76_phrases("0001101001000101")
    6
    """
    return _n_phrases(_as_labels(symbols))


def lz76_complexity(symbols: ArrayLike) -> float:
    """C_LZ of Dingle, Camargo and Louis: the mean phrase count of both directions, times log2(n).

    It ranks sequences of equal length by simplicity. It is not a code length: random bits score
    more than one bit each (128 of them 149 on average), and nothing decodes it.

    Parameters
    ----------
    symbols : array_like of shape (n,), boolean or integer, or str or bytes
        n >= 2, see :func:`lz76_phrases`. For instance the thresholded outputs of a network on all
        inputs, see :func:`binarise_outputs`.

    Returns
    -------
    float
        ``log2(n)`` if all symbols are equal, else ``log2(n) * (N(x) + N(reversed x)) / 2``.
        By convention in bits. Higher = more complex.

    Raises
    ------
    UnmeasurableError
        Fewer than two symbols, not one-dimensional, or neither integers nor text.

    Examples
    --------
    >>> lz76_complexity("0001101001000101")
    24.0
    >>> lz76_complexity([0, 0, 0, 0, 0, 0, 0, 0])
    3.0
    """
    labels = _at_least_two(_as_labels(symbols))
    if not labels.any():
        return math.log2(labels.size)
    return math.log2(labels.size) * (_n_phrases(labels) + _n_phrases(labels[::-1])) / 2


def lz76_entropy_rate(symbols: ArrayLike) -> float:
    """Entropy rate estimated from the phrase count: ``N(x) * log2(n) / n``.

    For a stationary ergodic source it tends to the entropy rate [1]_ [2]_, slowly: on fair bits it
    is some 1.07 at n = 10^3, 1.02 at 3 * 10^5, 1.01 at 10^7. Only the forward direction is counted,
    as in the references.

    Parameters
    ----------
    symbols : array_like of shape (n,), boolean or integer, or str or bytes
        n >= 2, see :func:`lz76_phrases`.

    Returns
    -------
    float
        In bits a symbol, for any alphabet. Higher = more complex.

    Raises
    ------
    UnmeasurableError
        Fewer than two symbols, not one-dimensional, or neither integers nor text.

    References
    ----------
    .. [1] Lempel, Ziv: On the complexity of finite sequences. IEEE Trans. Inf. Theory 22:75 (1976).
    .. [2] Amigo, Szczepanski, Wajnryb, Sanchez-Vives: Estimating the entropy rate of spike trains
           via Lempel-Ziv complexity. Neural Computation 16:717 (2004), equation 4.

    Examples
    --------
    >>> lz76_entropy_rate("0001101001000101")
    1.5
    """
    labels = _at_least_two(_as_labels(symbols))
    return _n_phrases(labels) * math.log2(labels.size) / labels.size


def binarise_outputs(outputs: ArrayLike, threshold: float | str = 0.0) -> Labels:
    """Outputs of a network on an ordered set of inputs, as the symbols of the function it computes.

    Parameters
    ----------
    outputs : array_like of shape (n_inputs,) or (n_inputs, n_outputs), real
        For instance saved logits. The order of the inputs is part of what is measured: use a fixed
        one, such as all 2^7 Boolean inputs in counting order.
    threshold : float or "argmax", default 0.0
        A number: a symbol is 1 where an output is above it, else 0; several outputs of an input
        follow each other. "argmax": the index of the largest output, the first among equals.

    Returns
    -------
    ndarray of shape (n_inputs,) or (n_inputs * n_outputs,), unsigned integer
        Ready for :func:`lz76_complexity`.

    Raises
    ------
    UnmeasurableError
        NaN among the outputs, other dimensions, or a single output to take the largest of.
    SpecError
        A threshold that is neither a number nor "argmax".

    Examples
    --------
    >>> binarise_outputs([-1.5, 0.0, 2.0])
    array([0, 0, 1], dtype=uint8)
    >>> binarise_outputs([[0.1, 0.7, 0.2], [0.8, 0.1, 0.1]], "argmax")
    array([1, 0], dtype=uint8)
    """
    given = np.asarray(outputs)
    if given.ndim not in (1, 2) or given.dtype.kind not in "biuf":
        raise UnmeasurableError(
            f"expected real outputs of shape (n_inputs,) or (n_inputs, n_outputs), given "
            f"{given.dtype} of shape {given.shape}; reshape them to one row an input"
        )
    if np.isnan(given).any():
        raise UnmeasurableError(
            f"{np.count_nonzero(np.isnan(given))} of {given.size} outputs are NaN, which is on no "
            "side of a threshold; leave those inputs out"
        )
    if isinstance(threshold, str):
        return _largest_outputs(given, threshold)
    if math.isnan(threshold):
        raise SpecError('threshold=nan: expected a number or "argmax"')
    return (given > threshold).astype(np.uint8).reshape(-1)


def _largest_outputs(outputs: NDArray[Any], rule: str) -> Labels:
    if rule != "argmax":
        raise SpecError(f'threshold={rule!r}: expected a number or "argmax"')
    if outputs.ndim == 1 or outputs.shape[1] < 2:
        raise UnmeasurableError(
            f'"argmax" needs at least two outputs an input, given shape {outputs.shape}; '
            "for a single output give a threshold"
        )
    largest: Labels = outputs.argmax(axis=1).astype(np.min_scalar_type(outputs.shape[1] - 1))
    return largest


# --- input ----------------------------------------------------------------------------------------


def _as_labels(symbols: ArrayLike) -> Labels:
    """Symbols renumbered 0, 1, ... without gaps, so that they pack into few bits."""
    if isinstance(symbols, str):
        symbols = np.frombuffer(symbols.encode("utf-32-le"), dtype="<u4")
    elif isinstance(symbols, bytes):
        symbols = np.frombuffer(symbols, dtype=np.uint8)
    given = np.asarray(symbols)
    if given.ndim != 1 or given.dtype.kind not in "biu":
        raise UnmeasurableError(
            f"expected a 1-D array of booleans or integers, or text; given {given.dtype} of shape "
            f"{given.shape}. Flatten it with .ravel(); map real numbers to symbols first, for "
            "instance with binarise_outputs"
        )
    if not given.size:
        raise UnmeasurableError("an empty sequence has no phrases; expected at least one symbol")
    if given.dtype.itemsize == 1:  # the usual case, for which sorting would be a waste
        octets = given.view(np.uint8)
        present = np.bincount(octets, minlength=256) > 0
        numbers = (np.cumsum(present) - 1).astype(np.uint8)
        return numbers[octets]
    values, labels = np.unique(given, return_inverse=True)
    narrow: Labels = labels.astype(np.min_scalar_type(values.size - 1))
    return narrow


def _at_least_two(
    labels: Labels,
) -> Labels:
    if labels.size < 2:
        raise UnmeasurableError(
            "one symbol has log2(1) = 0 bits whatever it is; expected at least two symbols"
        )
    return labels


# --- the parse ------------------------------------------------------------------------------------


def _n_phrases(labels: Labels) -> int:
    """Phrases of symbols numbered 0, 1, ... without gaps."""
    if not labels.any():
        return min(labels.size, 2)  # 0 | 000...: the worst case of the general way
    n_bits = _bits_for(int(labels.max()))
    keys = _packed_suffixes(labels, n_bits)
    depth = _WORD // n_bits
    order = _suffix_order(keys, depth)
    before = np.empty_like(order)
    after = np.empty_like(order)
    before[order] = _left_neighbours(order)
    after[order] = _left_neighbours(order[::-1])[::-1]
    return _walk(keys, before, after, depth)


def _bits_for(largest: int) -> int:
    """Bits a symbol: a power of two, so that words of 64 bits are filled."""
    n_bits = 1
    while largest >> n_bits:
        n_bits *= 2
    return n_bits


def _packed_suffixes(labels: Labels, n_bits: int) -> Keys:
    """The next 64 bits from each position on, first symbol on top; zeros follow the end.

    The zeros make a suffix near the end equal to one inside that happens to go on with zeros. No
    harm is done: no match is longer than what is left of the sequence at the later position.
    """
    keys = labels.astype(np.uint64)
    n_symbols = 1
    while n_symbols * n_bits < _WORD:
        longer = keys << np.uint64(n_symbols * n_bits)
        longer[:-n_symbols] |= keys[n_symbols:]
        keys = longer
        n_symbols *= 2
    return keys


def _suffix_order(keys: Keys, depth: int) -> Positions:
    """Positions in the order of what follows them: a suffix array.

    Parameters
    ----------
    keys : ndarray of shape (n,), uint64
        The first `depth` symbols of each suffix.
    """
    n = keys.size
    order: Positions = np.argsort(keys).astype(np.int32 if n < 1 << 31 else np.int64)
    in_order = keys[order]
    first = _first_of_equals(in_order)
    del in_order
    # A suffix's rank is the slot of the first one equal to it as far as compared.
    slots = np.flatnonzero(_tied(first))
    if not slots.size:
        return order
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.maximum.accumulate(np.where(first, np.arange(n), 0))
    while slots.size and depth < n:
        # Equal so far: what follows `depth` further on decides, and its rank is known.
        tied = order[slots].astype(np.int64)
        follower = tied + depth
        inside = follower < n
        pair = rank[tied] * (n + 1)
        pair[inside] += rank[follower[inside]] + 1
        within = np.argsort(pair)
        tied = tied[within]
        order[slots] = tied
        first = _first_of_equals(pair[within])
        rank[tied] = slots[np.maximum.accumulate(np.where(first, np.arange(slots.size), 0))]
        slots = slots[_tied(first)]
        depth *= 2
    return order


def _first_of_equals(ascending: NDArray[Any]) -> NDArray[np.bool_]:
    first = np.ones(ascending.size, dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=first[1:])
    return first


def _tied(first: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which members of sorted groups are not alone, from which are the first of theirs."""
    tied = ~first
    tied[:-1] |= ~first[1:]
    return tied


def _left_neighbours(order: Positions) -> Positions:
    """For each slot, the nearest position before it in `order` that is smaller; -1 if none is."""
    nearest = _nearest_smaller(order)
    return np.where(nearest < 0, nearest, order[nearest])


def _nearest_smaller(values: Positions) -> Positions:
    """For each element the index of the nearest smaller one before it; -1 if there is none.

    A tournament of minima: each element climbs until the subtree to its left holds a smaller one,
    then descends in it as far right as it can. All elements move together, level by level: O(n) for
    values in random order, O(n log n) at worst, where the usual stack takes n steps of Python.
    """
    infinity = np.iinfo(values.dtype).max
    levels = [values]
    while levels[-1].size > 1:
        if levels[-1].size % 2:
            levels[-1] = np.append(levels[-1], infinity)
        levels.append(np.minimum(levels[-1][::2], levels[-1][1::2]))

    climbing = np.arange(values.size, dtype=values.dtype)
    node = climbing
    turns: list[tuple[Positions, Positions]] = []
    for minima in levels[:-1]:
        # The root of the subtree to the left; a left child has none, and compares with itself.
        left = node - (node & 1)
        found = minima[left] < values[climbing]
        found &= left != node
        turns.append((climbing[found], left[found]))
        climbing, node = climbing[~found], node[~found] >> 1

    nearest = np.full(values.size, -1, dtype=values.dtype)
    falling, node = climbing[:0], node[:0]
    for minima, (joining, at) in zip(levels[-2::-1], turns[::-1], strict=True):
        right = 2 * node + 1
        node = right - (minima[right] >= values[falling])
        falling, node = np.concatenate([falling, joining]), np.concatenate([node, at])
    nearest[falling] = node
    return nearest


def _match_lengths(keys: Keys, before: Positions, after: Positions, depth: int) -> bytes:
    """For each position the length of its longest match further left, at most `depth` symbols.

    Parameters
    ----------
    before, after : ndarray of shape (n,)
        The two positions further left that may share the longest match; -1 for none.
    """
    n_bits = _WORD // depth
    lengths = np.empty(keys.size, dtype=np.uint8)
    for start in range(0, keys.size, _SLAB):
        part = slice(start, start + _SLAB)
        here = keys[part]
        candidates = (before[part], after[part])
        differing = [np.where(at < 0, _ALL_BITS, here ^ keys[at]) for at in candidates]
        lengths[part] = (_WORD - _bit_lengths(np.minimum(*differing))) // n_bits
    return lengths.tobytes()


def _bit_lengths(words: Keys) -> NDArray[np.int64]:
    """``int.bit_length`` of each word, read from the exponent of the word as a float."""
    # Without every bit that follows a one, rounding to 53 bits cannot carry into the next power.
    floats = (words & ~(words >> np.uint64(1))).astype(np.float64)
    lengths: NDArray[np.int64] = np.maximum((floats.view(np.int64) >> 52) - 1022, 0)
    return lengths


def _walk(keys: Keys, before: Positions, after: Positions, depth: int) -> int:
    """Count the phrases: each is the longest match and one symbol more."""
    lengths = _match_lengths(keys, before, after, depth)
    n_phrases = start = 0
    while start < len(lengths):
        length = lengths[start]
        if length == depth:
            earlier = [int(at[start]) for at in (before, after) if at[start] >= 0]
            length = max(_long_match(keys, at, start, depth) for at in earlier)
        start += length + 1
        n_phrases += 1
    return n_phrases


def _long_match(keys: Keys, earlier: int, later: int, depth: int) -> int:
    """How many symbols from two positions on are equal; O(that many / depth)."""
    matched, n_words = 0, 16
    while later + matched < keys.size:
        ahead = keys[later + matched :: depth][:n_words]
        behind = keys[earlier + matched :: depth][: ahead.size]
        unequal = np.flatnonzero(ahead != behind)
        if unequal.size:
            word = int(unequal[0])
            differing = int(ahead[word] ^ behind[word])
            return matched + word * depth + (_WORD - differing.bit_length()) * depth // _WORD
        matched += ahead.size * depth
        n_words *= 2  # so that a match of n words takes log(n) rounds
    return keys.size - later
