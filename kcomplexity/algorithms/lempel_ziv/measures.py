"""Phrase count, C_LZ and entropy rate of sequences, and outputs of a network as a sequence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.lempel_ziv.parse import Labels, count_phrases
from kcomplexity.errors import SpecError, UnmeasurableError


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


def binarise_outputs(outputs: ArrayLike, threshold: float | str = 0.0) -> Labels:
    """Return outputs of a network as the symbols of the function that it computes.

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
    values = np.asarray(outputs)
    if values.ndim not in (1, 2) or values.dtype.kind not in "biuf":
        raise UnmeasurableError(
            f"expected real outputs of shape (n_inputs,) or (n_inputs, n_outputs), given "
            f"{values.dtype} of shape {values.shape}; reshape them to one row an input"
        )
    if np.isnan(values).any():
        raise UnmeasurableError(
            f"{np.count_nonzero(np.isnan(values))} of {values.size} outputs are NaN, which is on "
            "no side of a threshold; leave those inputs out"
        )
    if isinstance(threshold, str):
        return _largest_outputs(values, threshold)
    if math.isnan(threshold):
        raise SpecError('threshold=nan: expected a number or "argmax"')
    return (values > threshold).astype(np.uint8).reshape(-1)


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


def _at_least_two(labels: Labels) -> Labels:
    if labels.size < 2:
        raise UnmeasurableError(
            "one symbol has log2(1) = 0 bits whatever it is; expected at least two symbols"
        )
    return labels


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
