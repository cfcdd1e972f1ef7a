"""NumPy dtypes as stored values."""

from __future__ import annotations

from typing import Any

import numpy as np

from kcomplexity.tensors.dtypes import DTYPES, StoredDtype, from_numpy, opaque


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
