"""Order-0 codes, written out.

:func:`write_order0` is the enumerative code whose length
:func:`kcomplexity.algorithms.entropy_coding.lengths.two_part_bits` computes: how many different
symbols, which, how often each, and which of the sequences with these counts. Each index in an
enumeration is coded in small steps whose costs add up to its own, so that no big numbers are
needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcomplexity.algorithms.entropy_coding.arithmetic import BitReader, BitWriter


def write_subset(writer: BitWriter, members: Sequence[int], size: int) -> None:
    """Write which of the numbers below `size` are `members`: log2 C(size, how many) bits."""
    wanted, left = set(members), len(members)
    for i in range(size):
        if not left:
            return
        rest = size - i
        if left < rest:
            chosen = i in wanted
            writer.write(0 if chosen else left, left if chosen else rest - left, rest)
        left -= i in wanted


def read_subset(reader: BitReader, count: int, size: int) -> list[int]:
    """Read `count` members that :func:`write_subset` wrote; ascending."""
    members: list[int] = []
    for i in range(size):
        left, rest = count - len(members), size - i
        if not left:
            break
        chosen = True
        if left < rest:
            chosen = reader.target(rest) < left
            reader.skip(0 if chosen else left, left if chosen else rest - left, rest)
        if chosen:
            members.append(i)
    return members


def write_order0(writer: BitWriter, symbols: Sequence[int], alphabet_size: int) -> None:
    """Write at least one symbol below `alphabet_size`; a reader knows how many there are."""
    n, values = len(symbols), sorted(set(symbols))
    writer.number(len(values) - 1, min(alphabet_size, n))
    write_subset(writer, values, alphabet_size)
    counts = [symbols.count(value) for value in values]
    # Where the runs of equal symbols would end if they were sorted, but for the last.
    ends = [sum(counts[: i + 1]) - 1 for i in range(len(values) - 1)]
    write_subset(writer, ends, n - 1)
    left = dict(zip(values, counts, strict=True))
    for done, symbol in enumerate(symbols):
        start = sum(left[value] for value in values if value < symbol)
        writer.write(start, left[symbol], n - done)
        left[symbol] -= 1


def read_order0(reader: BitReader, n: int, alphabet_size: int) -> list[int]:
    """Read `n` symbols that :func:`write_order0` wrote."""
    n_values = reader.number(min(alphabet_size, n)) + 1
    values = read_subset(reader, n_values, alphabet_size)
    ends = [-1, *read_subset(reader, n_values - 1, n - 1), n - 1]
    left = {v: b - a for v, a, b in zip(values, ends, ends[1:], strict=False)}
    symbols: list[int] = []
    for done in range(n):
        target, start = reader.target(n - done), 0
        for value in values:
            if target < start + left[value]:
                break
            start += left[value]
        reader.skip(start, left[value], n - done)
        left[value] -= 1
        symbols.append(value)
    return symbols
