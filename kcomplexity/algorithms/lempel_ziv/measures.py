"""Phrase count, C_LZ and entropy rate of plain sequences."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from kcomplexity.algorithms.lempel_ziv.parse import Labels, count_phrases
from kcomplexity.errors import UnmeasurableError


def lz76_phrases(symbols: ArrayLike) -> int:
    """Return the number of phrases of the LZ76 exhaustive history.

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
    return count_phrases(_as_labels(symbols))


def lz76_complexity(symbols: ArrayLike) -> float:
    """Return the C_LZ of Dingle, Camargo and Louis.

    It is the mean phrase count of both directions, times log2(n), and ranks sequences of equal
    length by simplicity. It is not a code length: random bits score
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
    return math.log2(labels.size) * (count_phrases(labels) + count_phrases(labels[::-1])) / 2


def lz76_entropy_rate(symbols: ArrayLike) -> float:
    """Return the entropy rate estimated from the phrase count: ``N(x) * log2(n) / n``.

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
    return count_phrases(labels) * math.log2(labels.size) / labels.size


def _as_labels(symbols: ArrayLike) -> Labels:
    """Return the symbols renumbered 0, 1, ... without gaps, so that they pack into few bits."""
    if isinstance(symbols, str):
        symbols = np.frombuffer(symbols.encode("utf-32-le"), dtype="<u4")
    elif isinstance(symbols, bytes):
        symbols = np.frombuffer(symbols, dtype=np.uint8)
    sequence = np.asarray(symbols)
    if sequence.ndim != 1 or sequence.dtype.kind not in "biu":
        raise UnmeasurableError(
            "expected a 1-D array of booleans or integers, or text; given "
            f"{sequence.dtype} of shape {sequence.shape}. Flatten it with .ravel(); map real "
            "numbers to symbols first, for instance with binarise_outputs"
        )
    if not sequence.size:
        raise UnmeasurableError("an empty sequence has no phrases; expected at least one symbol")
    if sequence.dtype.itemsize == 1:  # the usual case, for which sorting would be a waste
        octets = sequence.view(np.uint8)
        present = np.bincount(octets, minlength=256) > 0
        numbers = (np.cumsum(present) - 1).astype(np.uint8)
        return numbers[octets]
    values, labels = np.unique(sequence, return_inverse=True)
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
