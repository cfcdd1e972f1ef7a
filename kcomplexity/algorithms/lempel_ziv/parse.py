"""The LZ76 parse in near-linear time.

The textbook parse is quadratic. This one is near-linear and finds, for each position, the longest
match that starts further left:

1. :func:`_packed_suffixes`: the next 64 bits from each position on as one integer;
2. :func:`_suffix_order`: positions sorted by what follows them. Where 64 bits are not enough to
   tell two apart, the order is refined by doubling the depth [1]_;
3. :func:`_nearest_smaller`: the neighbours in that order which start further left. One of the two
   shares the longest match [2]_;
4. :func:`_match_lengths`: the length of the match, from the first bit that differs;
5. :func:`_walk`: from phrase to phrase.

References
----------
.. [1] Manber, Myers: Suffix arrays: a new method for on-line string searches.
       SIAM J. Comput. 22:935 (1993).
.. [2] Crochemore, Ilie: Computing longest previous factor in linear time and applications.
       Inf. Process. Lett. 106:75 (2008).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.unsignedinteger[Any]]
Positions = NDArray[np.signedinteger[Any]]
Keys = NDArray[np.uint64]

_WORD: Final = 64  # bits in a packed suffix
_ALL_BITS: Final = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_SLAB: Final = 1 << 16  # positions to match at a time: the temporaries stay in a core's cache


def count_phrases(labels: Labels) -> int:
    """Count the phrases of symbols numbered 0, 1, ... without gaps."""
    if not labels.any():
        return min(labels.size, 2)  # 0 | 000...: the worst case of the general way
    n_bits = _bits_for(int(labels.max()))
    keys = _packed_suffixes(labels, n_bits)
    depth = _WORD // n_bits
    order = _suffix_order(keys, depth)
    before, after = np.empty_like(order), np.empty_like(order)
    before[order] = _left_neighbours(order)
    after[order] = _left_neighbours(order[::-1])[::-1]
    return _walk(keys, before, after, depth)


def _bits_for(largest: int) -> int:
    """Return the bits a symbol: a power of two, so that words of 64 bits are filled."""
    n_bits = 1
    while largest >> n_bits:
        n_bits *= 2
    return n_bits


def _packed_suffixes(labels: Labels, n_bits: int) -> Keys:
    """Return the next 64 bits from each position on, first symbol on top, zeros after the end.

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
    """Return a suffix array; `keys` hold the first `depth` symbols of each suffix."""
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
    """Return which members of sorted groups are not alone, from which ones begin a group."""
    tied = ~first
    tied[:-1] |= ~first[1:]
    return tied


def _left_neighbours(order: Positions) -> Positions:
    """Return, for each slot, the nearest smaller position before it in `order`, or -1."""
    nearest = _nearest_smaller(order)
    return np.where(nearest < 0, nearest, order[nearest])


def _nearest_smaller(values: Positions) -> Positions:
    """Return, for each element, the index of the nearest smaller one before it, or -1.

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
        smaller = minima[left] < values[climbing]
        smaller &= left != node
        turns.append((climbing[smaller], left[smaller]))
        climbing, node = climbing[~smaller], node[~smaller] >> 1

    nearest = np.full(values.size, -1, dtype=values.dtype)
    falling, node = climbing[:0], node[:0]
    for minima, (joining, at) in zip(levels[-2::-1], turns[::-1], strict=True):
        right = 2 * node + 1
        node = right - (minima[right] >= values[falling])
        falling, node = np.concatenate([falling, joining]), np.concatenate([node, at])
    nearest[falling] = node
    return nearest


def _match_lengths(keys: Keys, before: Positions, after: Positions, depth: int) -> bytes:
    """Return the length of each position's longest match further left, at most `depth` symbols.

    It is shared with the position `before` or `after`, which are -1 for none.
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
    """Return ``int.bit_length`` of each word, from the exponent of the word as a float."""
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
    """Return how many symbols from two positions on are equal; O(that many / depth)."""
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
