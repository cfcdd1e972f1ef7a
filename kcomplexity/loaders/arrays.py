"""NumPy arrays as stored values: their dtype codes, and row-major ranges of any memory layout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.files.sources import Bytes, buffer_for
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype, from_numpy, opaque

Array = NDArray[Any]


def little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` in little-endian byte order."""
    return dtype.newbyteorder("<")


def why_left_out(dtype: np.dtype[Any]) -> str:
    """Return why an array of this type is left out; empty if it becomes a tensor."""
    if dtype.hasobject:
        # Text of variable length (kind T) also keeps pointers.
        return "it holds Python objects, which are never unpickled"
    if dtype.kind in "SU":
        return "it holds text"
    if dtype.itemsize == 0:
        return "its values have no bytes"
    return ""


def stored_dtype(dtype: np.dtype[Any]) -> StoredDtype:
    """Return how values of a NumPy type are stored, in any byte order.

    ``|V2`` is what bfloat16 becomes in a NumPy file, so it is read as BF16. One-byte void may be
    any of the 8-bit floats: only its bytes are measured, unless the user says which. Types without
    a code (complex128, datetimes, records) are opaque too.
    """
    known = from_numpy(dtype)
    if known is not None:
        return known
    if dtype.str == "|V2" and dtype.names is None:
        return DTYPES["BF16"]
    if dtype.str == "|V1":
        return opaque(
            dtype,
            "a NumPy file does not say which 8-bit type this is; only the bytes are measured, "
            "unless its dtype is given, such as F8_E4M3",
        )
    return opaque(dtype, f"NumPy's {dtype} has no stored dtype; only the bytes are measured")


def ranges(array: Array, start: int, stop: int) -> Iterator[Array]:
    """Yield views that together are the flat, row-major range `start` to `stop` of `array`.

    There are at most ``2 * ndim`` of them, whatever the strides. (``array.flat[start:stop]``
    gives the same values, some ten times slower.)
    """
    if start >= stop:
        return
    if array.ndim == 0:
        yield array
        return
    inner = math.prod(array.shape[1:])
    first, last = -(-start // inner), stop // inner
    if first > last:  # inside one row
        row = last
        yield from ranges(array[row], start - row * inner, stop - row * inner)
        return
    if start < first * inner:
        yield from ranges(array[first - 1], start - (first - 1) * inner, inner)
    if first < last:
        yield array[first:last]
    if last * inner < stop:
        yield from ranges(array[last], 0, stop - last * inner)


def copy_range(array: Array, start: int, stop: int, out: Array) -> None:
    """Copy the flat, row-major range `start` to `stop` of `array` to the 1-D `out`."""
    at = 0
    for part in ranges(array, start, stop):
        out[at : at + part.size].reshape(part.shape)[...] = part
        at += part.size


@dataclass(frozen=True)
class StridedTensor(Tensor):
    """An array in memory whose bytes must be put in order: strided, transposed or big-endian.

    A range is converted when it is read, so the array is never copied as a whole.
    """

    array: Array = field(kw_only=True, repr=False, compare=False)

    addressable = False

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Copy the range into `out`, in order."""
        dtype = little(self.array.dtype)
        n_bytes = (stop - start) * dtype.itemsize
        buffer = buffer_for(n_bytes, out)
        copy_range(self.array, start, stop, buffer.view(dtype))
        return buffer
