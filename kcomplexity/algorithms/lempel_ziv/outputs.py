"""Outputs of a network as the symbols of the function it computes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.algorithms.lempel_ziv.parse import Labels
from kcomplexity.errors import SpecError, UnmeasurableError


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
