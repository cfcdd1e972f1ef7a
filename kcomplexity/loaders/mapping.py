"""Arrays in memory: any mapping of names to NumPy arrays, or to what gives one without a copy.

An array library is recognised by what its arrays can do, so none is imported or named: DLPack
first, then ``__array__``. Where DLPack stops, at the small floats that NumPy does not know, the
array is asked to view itself as integers of the same width (:func:`_as_integers`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import CheckpointError
from kcomplexity.loaders.arrays import little, stored_dtype, why_left_out
from kcomplexity.loaders.slabs import SlabTensor
from kcomplexity.tensors.checkpoint import ArrayTensor, Checkpoint, Tensor
from kcomplexity.text import printable

#: The path of arrays in memory.
UNNAMED = "<mapping>"

Array = NDArray[Any]
#: Nested deeper than this, a mapping more likely contains itself.
_MAX_DEPTH = 32


def from_mapping(arrays: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint over arrays in memory, in the mapping's order.

    Contiguous little-endian arrays are not copied; strided, transposed and big-endian ones are
    converted range by range as they are read; four-bit floats are packed now.

    Parameters
    ----------
    arrays : mapping of str to array or mapping
        Nested mappings (Flax) become names joined with dots.

    Raises
    ------
    CheckpointError
        If a name is not text or is there twice, or a value is not an array.
    """
    tensors: dict[str, Tensor] = {}
    notes = []
    for name, value in _leaves(arrays, "", 0):
        if name in tensors:
            raise CheckpointError(f"the mapping holds {printable(name)} twice; rename one")
        array = as_numpy(name, value)
        if reason := why_left_out(array.dtype):
            notes.append(f"{printable(name)} is left out: {reason}")
        else:
            tensors[name] = _tensor(name, array)
    return Checkpoint(UNNAMED, "mapping", tensors, notes=tuple(notes))


def as_numpy(name: str, value: Any) -> Array:
    """Return `value` as a NumPy array that shares its memory wherever that is possible.

    What is on a device is copied to the host, what takes part in a gradient is detached; numbers
    and lists are not converted. `name` is for the message of an error.
    """
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    if not hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        raise CheckpointError(
            f"{printable(name)} is a {type(value).__name__}; expected a NumPy array, or anything "
            "with __array__ or DLPack: wrap it in numpy.asarray"
        )
    try:
        return _convert(value)
    # Foreign arrays may raise anything; the reason goes into the message.
    except Exception as error:
        raise CheckpointError(
            f"{printable(name)}: {type(value).__name__} could not be read as an array: "
            f"{printable(error)}"
        ) from error


def _leaves(arrays: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if depth > _MAX_DEPTH:
        raise CheckpointError(f"the mapping is nested more than {_MAX_DEPTH} deep at {prefix!r}")
    for key in arrays:
        if not isinstance(key, str):
            raise CheckpointError(f"a tensor is named {key!r}; expected text: use str keys")
        value = arrays[key]
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.", depth + 1)
        else:
            yield f"{prefix}{key}", value


def _convert(value: Any) -> Array:
    # A pending negation or conjugation is lost on the way through DLPack unless it is carried out.
    for step in ("detach", "resolve_conj", "resolve_neg", "cpu"):
        if hasattr(value, step):
            value = getattr(value, step)()
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) or not hasattr(value, "__dlpack__"):
        # JAX and their like know NumPy's dtypes, the small ones too.
        return np.asarray(value)
    name = str(dtype).rpartition(".")[2]
    small = getattr(ml_dtypes, name.removesuffix("_x2"), None)
    if small is None:
        return np.from_dlpack(value)
    viewed = np.from_dlpack(_as_integers(value, np.dtype(small)))
    return _unpacked(viewed) if name.endswith("_x2") else viewed.view(small)


def _as_integers(value: Any, small: np.dtype[Any]) -> Any:
    """Ask an array of small floats for a view of itself as integers of the same width.

    Its ``view`` wants a dtype of its own library. That library is loaded, since the array exists:
    it is the module in which the array's dtype says it was made.
    """
    library = sys.modules[type(value.dtype).__module__]
    return value.view(getattr(library, {1: "uint8", 2: "int16", 4: "int32"}[small.itemsize]))


def _unpacked(pairs: Array) -> Array:
    """Return packed four-bit floats one a byte: the last axis doubles, low nibble first."""
    nibbles = np.stack([pairs & 0x0F, pairs >> 4], axis=-1)
    return nibbles.reshape(*pairs.shape[:-1], -1).view(ml_dtypes.float4_e2m1fn)


def _tensor(name: str, array: Array) -> Tensor:
    dtype = stored_dtype(array.dtype)
    if dtype.bits < 8:
        return ArrayTensor(name, array.shape, dtype, data=dtype.encode(array))
    if array.flags.c_contiguous and array.dtype == little(array.dtype):
        return ArrayTensor(name, array.shape, dtype, data=array.reshape(-1).view(np.uint8))
    return SlabTensor(name, array.shape, dtype, box=array.__getitem__, stored_as=array.dtype)
