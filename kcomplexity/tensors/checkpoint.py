"""Checkpoints and their tensors: ordered, lazy, closable, and no framework in sight.

A :class:`Tensor` is anything with a name, a shape, a stored dtype and bytes that can be read by
range. A stored one reads its file. Others are made from tensors, so that one pipeline measures
them all: laid end to end, cast or cut (:mod:`kcomplexity.tensors.derived`), with random weights or
signs (:mod:`kcomplexity.tensors.random`), shuffled (:mod:`kcomplexity.controls.stores`).

A :class:`Checkpoint` is an ordered mapping of names to tensors together with what was read of the
files: format, metadata, size, fingerprint.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from numpy.typing import NDArray

from kcomplexity.errors import SpecError
from kcomplexity.files.sources import Bytes, FileSource
from kcomplexity.tensors.dtypes import StoredDtype
from kcomplexity.tensors.pieces import FRAME, spans
from kcomplexity.text import distinguished, printable

#: Where a matrix keeps its outputs: ``"out-in"`` is PyTorch's (out, in, *kernel), ``"in-out"``
#: is Keras' and Flax' (*kernel, in, out). Fans of a re-initialisation follow it.
Layout = Literal["out-in", "in-out"]


@dataclass(frozen=True)
class Tensor(ABC):
    """A named array of weights whose bytes are read by range.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : StoredDtype
    layout : {"out-in", "in-out"}
    side_of : str
        For scales and zero points, the name of the tensor of codes that they belong to: they are
        measured, but are not weights of the network. Empty for all other tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: StoredDtype
    layout: Layout = field(default="out-in", kw_only=True)
    side_of: str = field(default="", kw_only=True)

    #: Whether any range can be read at the cost of that range alone, from any process. A tensor
    #: that is not addressable is spooled once to a temporary file before it is measured.
    addressable = True

    @property
    def n_weights(self) -> int:
        """Number of values, counted from the shape; 1 for a scalar."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Stored bytes; types below 8 bits are packed."""
        return self.dtype.n_bytes(self.n_weights)

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """The matrix form (d0, product of the rest); a vector is one row, a scalar 1 x 1."""
        if len(self.shape) < 2:
            return 1, self.n_weights
        return self.shape[0], math.prod(self.shape[1:])

    @abstractmethod
    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Return the stored little-endian bytes of weights `start` to `stop`.

        Parameters
        ----------
        start, stop : int
            Range in weights, row-major. Of a packed type, `start` is a multiple of 8.
        out : ndarray of uint8, optional
            Where to put them if they have to be read; at least as long as the range.

        Returns
        -------
        ndarray of uint8
            A view of `out`, of the tensor's own memory (do not write to it), or a new array.
        """

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return weights `start` to `stop`, one-dimensional, row-major, in their own dtype.

        Reads just that range. Do not write to the result: it may be the tensor's own memory.

        `start` and `stop` count from the end when negative, and stop at the ends, as in a slice.

        Raises
        ------
        UnmeasurableError
            If the dtype's values cannot be decoded.
        """
        start, stop, _ = slice(start, stop).indices(self.n_weights)
        stop = max(start, stop)
        aligned = start - start % 8 if self.dtype.bits < 8 else start
        values = self.dtype.decode(self.raw(aligned, stop), stop - aligned)
        return values[start - aligned :]

    def spans(self, step: int = FRAME) -> Iterator[tuple[int, int]]:
        """Yield the ranges (start, stop), of `step` weights each, that cover the tensor."""
        return spans(self.n_weights, step)

    def pieces(self, step: int = FRAME) -> Iterator[memoryview]:
        """Yield the stored bytes of the whole tensor, `step` weights at a time."""
        return (self.raw(start, stop).data for start, stop in self.spans(step))

    def to_numpy(self) -> NDArray[Any]:
        """Return a copy of the whole tensor in its shape."""
        return self.read().reshape(self.shape).copy()

    def sample(self) -> Iterator[Bytes]:
        """Yield a fixed sample of the stored bytes, for :meth:`Checkpoint.fingerprint`.

        It is 16 runs of 1024 weights spread evenly, or all weights if they are fewer, so that its
        cost does not grow with the size of the tensor.
        """
        n, n_runs, run = self.n_weights, 16, 1024
        if n <= n_runs * run:
            ranges = [(0, n)] if n else []
        else:
            starts = ((n - run) * i // (n_runs - 1) // 8 * 8 for i in range(n_runs))
            ranges = [(start, start + run) for start in starts]
        for start, stop in ranges:
            yield self.raw(start, stop)


@dataclass(frozen=True)
class StoredTensor(Tensor):
    """A tensor whose little-endian, row-major bytes lie in one piece in a file."""

    source: FileSource = field(kw_only=True, compare=False)
    offset: int = field(kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "addressable", self.source.local)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        first = start * self.dtype.bits // 8
        return self.source.read(self.offset + first, self.dtype.n_bytes(stop) - first, out)


@dataclass(frozen=True)
class ArrayTensor(Tensor):
    """A tensor in memory: the stored bytes of a contiguous little-endian array."""

    data: Bytes = field(kw_only=True, repr=False, compare=False)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        return self.data[start * self.dtype.bits // 8 : self.dtype.n_bytes(stop)]


@dataclass(frozen=True)
class Checkpoint(Mapping[str, Tensor]):
    """An ordered, lazy, closable mapping of tensor names to tensors.

    Attributes
    ----------
    path : str
        What was opened, as the user gave it.
    format : str
        Name of the loader, e.g. ``"safetensors"``.
    tensors : dict of str to Tensor
        In file-offset order.
    metadata : dict of str to str
        What the file says about itself, unchanged.
    sources : tuple of FileSource
        The files, kept open until :meth:`close`.
    n_container_bytes : int
        Bytes of the files that hold no tensor: headers, indices, padding. With the bytes of all
        tensors of the files, those that are left out too, they add up to the size of the files,
        unless members are compressed.
    notes : tuple of str
        What a reader of the figures should know, one line each.
    """

    path: str
    format: str
    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)
    sources: tuple[FileSource, ...] = ()
    n_container_bytes: int = 0
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; the tensors cannot be read afterwards."""
        for source in self.sources:
            source.close()

    @property
    def n_weights(self) -> int:
        """Number of values in all tensors together."""
        return sum(tensor.n_weights for tensor in self.values())

    @property
    def n_bytes(self) -> int:
        """Stored bytes of all tensors together, without the container."""
        return sum(tensor.n_bytes for tensor in self.values())

    def select(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Checkpoint:
        """Return the checkpoint with only the tensors that the globs admit.

        Parameters
        ----------
        include, exclude : sequence of str
            Shell-style patterns on names (``*``, ``?``, ``[abc]``; case matters). A tensor stays
            if it matches a pattern of `include`, or that is empty, and no pattern of `exclude`.

        Raises
        ------
        SpecError
            If a pattern of `include` matches nothing.
        """
        for pattern in include:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in self):
                names = ", ".join(map(printable, list(self.tensors)[:3]))
                looks = f"names look like {names}" if names else "it has no tensors"
                raise SpecError(f"no tensor of {printable(self.path)} matches {pattern!r}: {looks}")

        def matches(name: str, patterns: Sequence[str]) -> bool:
            return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

        kept = {
            name: tensor
            for name, tensor in self.tensors.items()
            if (not include or matches(name, include)) and not matches(name, exclude)
        }
        return replace(self, tensors=kept)

    def fingerprint(self) -> str:
        """Return a SHA-256 over names, dtypes, shapes and a fixed sample of the stored bytes.

        See :meth:`Tensor.sample`. Two checkpoints with equal fingerprints are very likely the
        same, but this does not prove it.
        """
        digest = hashlib.sha256()
        for name, tensor in self.items():
            # JSON, so that no name can be mistaken for another name and a dtype.
            digest.update(json.dumps([name, tensor.dtype.code, tensor.shape]).encode())
            for piece in tensor.sample():
                digest.update(piece.data)
        return digest.hexdigest()


def labelled(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the checkpoints with paths by which they can be distinguished."""
    paths = distinguished(checkpoint.path for checkpoint in checkpoints)
    return [replace(opened, path=path) for opened, path in zip(checkpoints, paths, strict=True)]
