"""Arrays of any layout, in memory or assembled by a library, read in flat, row-major ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import CorruptCheckpointError
from kcomplexity.files.sources import Bytes, buffer_for
from kcomplexity.files.zips import MAX_DEFLATE_RATIO
from kcomplexity.loaders.arrays import little
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.text import printable, shorten

Slab = tuple[slice, ...]
#: Bytes of a chunk, which is inflated whole.
_MOST_CHUNK = 256 << 20
#: What libraries raise on a damaged file depends on where the damage is.
DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError)


@dataclass(frozen=True)
class SlabTensor(Tensor):
    """An array that is read box by box: chunked, compressed, strided, big-endian or never written.

    A range is converted when it is read, so the array is never copied as a whole.

    Attributes
    ----------
    box : callable
        Gets a slice of each axis, returns the values.
    stored_as : numpy.dtype
        Of these values.
    """

    box: Callable[[Slab], Any] = field(kw_only=True, repr=False, compare=False)
    stored_as: np.dtype[Any] = field(kw_only=True)

    addressable = False

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read the range, inflating the chunks it touches.

        Raises
        ------
        CorruptCheckpointError
            If a chunk is damaged, or compressed by a filter that is not installed.
        """
        dtype = little(self.stored_as)
        buffer = buffer_for((stop - start) * dtype.itemsize, out)
        try:
            copy_range(self.box, self.shape, start, stop, buffer.view(dtype))
        except CorruptCheckpointError:
            raise
        except DAMAGE as error:
            raise CorruptCheckpointError(
                f"tensor {shorten(self.name)} cannot be read: {printable(error)[:160]}"
            ) from None
        return buffer


def why_too_large(n_bytes: int, chunk_bytes: int, stored: str, n_stored: int) -> str:
    """Return why an array is not read; empty if its size can be believed.

    `n_bytes` and `chunk_bytes` are of the array and of one of its chunks, inflated; `stored` is how
    the message goes on about the `n_stored` bytes of the file.
    """
    if chunk_bytes > _MOST_CHUNK:
        return f"its chunks take {chunk_bytes} bytes; at most {_MOST_CHUNK} are inflated at once"
    # Chunks that were never written take no room and are zeros: a layer may be, not a full disk.
    if n_bytes > n_stored * MAX_DEFLATE_RATIO + _MOST_CHUNK:
        return f"it claims {n_bytes} bytes, and {n_stored} are {stored}"
    return ""


def copy_range(
    box: Callable[[Slab], Any], shape: tuple[int, ...], start: int, stop: int, out: NDArray[Any]
) -> None:
    """Copy the flat, row-major range of what `box` reads to the 1-D `out`.

    (``array.flat[start:stop]`` gives the same values, some ten times slower.)
    """
    at = 0
    for slab in slabs(shape, start, stop):
        part = np.asarray(box(slab))
        out[at : at + part.size].reshape(part.shape)[...] = part
        at += part.size


def slabs(shape: tuple[int, ...], start: int, stop: int) -> Iterator[Slab]:
    """Yield boxes that together are the flat, row-major range; at most ``2 * ndim`` of them."""
    if start >= stop:
        return
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    first, last = -(-start // inner), stop // inner
    if first > last:  # inside one row
        yield from _in_row(shape, last, start - last * inner, stop - last * inner)
        return
    if start < first * inner:
        yield from _in_row(shape, first - 1, start - (first - 1) * inner, inner)
    if first < last:
        yield (slice(first, last), *(slice(0, n) for n in shape[1:]))
    if last * inner < stop:
        yield from _in_row(shape, last, 0, stop - last * inner)


def _in_row(shape: tuple[int, ...], row: int, start: int, stop: int) -> Iterator[Slab]:
    return ((slice(row, row + 1), *slab) for slab in slabs(shape[1:], start, stop))
