"""Checks that the kernels and their twins share."""

from __future__ import annotations

from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

#: Weights that kernels read as they are stored; others are converted first.
WEIGHTS = tuple(np.dtype(t) for t in (np.float32, np.float64, np.float16, bfloat16))
SYMBOLS = tuple(np.dtype(t) for t in (np.uint8, np.uint16, np.uint32))
WORDS = (*SYMBOLS, np.dtype(np.uint64))


def ready(array: NDArray[Any], name: str, *dtypes: Any, ndim: int | None = None) -> NDArray[Any]:
    """Return an array that is contiguous and aligned: itself where it is already.

    Raises
    ------
    TypeError
        If it is not an array of one of `dtypes`, in native byte order.
    ValueError
        If it has another number of axes.
    """
    _check(array, name, dtypes, ndim)
    return np.require(array, requirements=["C", "A"])


def own(array: NDArray[Any], name: str, *dtypes: Any, ndim: int | None = None) -> NDArray[Any]:
    """Return an array that a kernel writes to, which therefore is never copied.

    Raises
    ------
    TypeError
        As for :func:`ready`.
    ValueError
        If it is not contiguous, aligned and writable, or has another number of axes.
    """
    _check(array, name, dtypes, ndim)
    if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
        raise ValueError(f"{name}: expected an array that is contiguous, aligned and writable")
    return array


def words(weights: NDArray[Any]) -> NDArray[Any]:
    """Return weights as a buffer: bfloat16, which buffers do not know, as its 16-bit words."""
    return weights.view(np.uint16) if weights.dtype == bfloat16 else weights


def _check(array: object, name: str, dtypes: tuple[Any, ...], ndim: int | None) -> None:
    actual = getattr(array, "dtype", type(array).__name__)
    if not isinstance(array, np.ndarray) or all(actual != dtype for dtype in dtypes):
        expected = " or ".join(np.dtype(dtype).name for dtype in dtypes)
        raise TypeError(f"{name}: an array of {actual}: expected {expected}")
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name}: {array.ndim} axes: expected {ndim}")
