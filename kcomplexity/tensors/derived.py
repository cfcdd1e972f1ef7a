"""Tensors made from tensors: laid end to end, cast, cut.

All are lazy: nothing is computed until a range is read, and the cost is that of the range.
Random tensors are in :mod:`kcomplexity.tensors.random`.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.files.sources import Bytes, buffer_for
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype

Words = NDArray[Any]


@dataclass(frozen=True)
class Concat(Tensor):
    """Tensors of one stored dtype laid end to end, of shape ``(n,)``; made by :func:`concat`.

    Members of a packed type follow each other without gaps, so a member need not start on a byte.
    """

    members: tuple[Tensor, ...] = field(kw_only=True)
    #: Where each member starts, in weights, and where the last one ends.
    starts: tuple[int, ...] = field(kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        set_addressable(self, *self.members)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read the range from the members it covers; nothing is copied if that is one."""
        covered = list(self.covered(start, stop))
        if self.dtype.bits < 8 and any(at % 8 for _, at, _, _ in covered):
            words = [stored_words(member, a, b) for member, _, a, b in covered]
            return packed(self.dtype, np.concatenate(words))
        if len(covered) == 1:
            member, _, a, b = covered[0]
            return member.raw(a, b, out)
        buffer = buffer_for(self.dtype.n_bytes(stop - start), out)
        done = 0
        for member, _, a, b in covered:
            place = buffer[done : done + self.dtype.n_bytes(b - a)]
            raw = member.raw(a, b, place)
            if not np.may_share_memory(raw, place):
                place[:] = raw
            done += place.size
        return buffer

    def covered(self, start: int, stop: int) -> Iterator[tuple[Tensor, int, int, int]]:
        """Yield the members in a range: each with where it starts, and its own start and stop."""
        first = max(bisect.bisect_right(self.starts, start) - 1, 0)
        spans = zip(self.members[first:], itertools.pairwise(self.starts[first:]), strict=True)
        for member, (begin, end) in spans:
            if begin >= stop:
                return
            a, b = max(start, begin), min(stop, end)
            if a < b:
                yield member, begin, a - begin, b - begin


def concat(name: str, tensors: Iterable[Tensor]) -> Concat:
    """Lay tensors of one stored dtype end to end, in their order.

    Raises
    ------
    UnmeasurableError
        If there are none, or their stored dtypes differ: cast them first.
    """
    members = tuple(tensors)
    codes = sorted({tensor.dtype.code for tensor in members})
    if len(codes) != 1:
        raise UnmeasurableError(
            f"{name}: tensors stored as {', '.join(codes) or 'nothing'} cannot be laid end to end; "
            "expected one stored dtype (cast them to one)"
        )
    starts = _starts(members)
    return Concat(name, (starts[-1],), members[0].dtype, members=members, starts=starts)


def _starts(members: Iterable[Tensor]) -> tuple[int, ...]:
    return tuple(itertools.accumulate((tensor.n_weights for tensor in members), initial=0))


@dataclass(frozen=True)
class Derived(Tensor):
    """A tensor that reads one other tensor; addressable if that is."""

    tensor: Tensor = field(kw_only=True)

    def __post_init__(self) -> None:
        set_addressable(self, self.tensor)


@dataclass(frozen=True)
class Cast(Derived):
    """Weights cast to another stored dtype on reading; name and shape are kept.

    Values out of the new type's range become what NumPy's cast makes of them (infinite for IEEE
    types), without a warning.
    """

    @classmethod
    def of(cls, tensor: Tensor, code: str) -> Self:
        """Cast `tensor` to the stored dtype `code`.

        Raises
        ------
        UnmeasurableError
            If either side has no real values that can be decoded.
        """
        dtype = DTYPES[code]
        for side in (tensor.dtype, dtype):
            if side.numpy is None or side.kind == "complex":
                why = side.refusal or "complex values have no order"
                raise UnmeasurableError(f"{tensor.name} cannot be cast to {code}: {why}")
        return cls(tensor.name, tensor.shape, dtype, layout=tensor.layout, tensor=tensor)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        values = self.tensor.read(start, stop)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.tensor.dtype.bits <= 8:
                # ml_dtypes has no cast between some of its types; float32 holds them all exactly.
                values = values.astype(np.float32)
            return self.dtype.encode(values)


@dataclass(frozen=True)
class Part(Derived):
    """A run of a tensor's weights, as a tensor of its own called ``name[start:stop]``."""

    start: int = field(kw_only=True)

    @classmethod
    def of(cls, tensor: Tensor, start: int, stop: int, *, rows: bool = False) -> Self:
        """Cut weights `start` to `stop` out of `tensor`.

        Parameters
        ----------
        tensor : Tensor
        start, stop : int
            In weights, row-major.
        rows : bool
            Whether the shape stays ``(rows, *rest)``: the run then consists of whole rows of the
            matrix form. Otherwise the part has shape ``(stop - start,)``.

        Raises
        ------
        ValueError
            If the range leaves the tensor, or does not consist of whole rows when it has to.
        """
        what = f"{tensor.name}: weights {start} to {stop} are not"
        if not 0 <= start <= stop <= tensor.n_weights:
            raise ValueError(f"{what} within 0 to {tensor.n_weights}")
        shape: tuple[int, ...] = (stop - start,)
        if rows and len(tensor.shape) > 1:
            columns = tensor.matrix_shape[1]
            if columns and (start % columns or stop % columns):
                raise ValueError(f"{what} whole rows of {columns}")
            shape = ((stop - start) // max(columns, 1), *tensor.shape[1:])
        name = f"{tensor.name}[{start}:{stop}]"
        return cls(name, shape, tensor.dtype, layout=tensor.layout, tensor=tensor, start=start)

    @property
    def stop(self) -> int:
        """Where the part ends in its tensor, in weights."""
        return self.start + self.n_weights

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        start, stop = self.start + start, self.start + stop
        if self.dtype.bits < 8 and start % 8:
            return packed(self.dtype, stored_words(self.tensor, start, stop))
        return self.tensor.raw(start, stop, out)


@dataclass(frozen=True)
class Sample(Concat):
    """Parts of one tensor laid end to end under its name; controls treat them as one tensor."""

    @classmethod
    def of(cls, tensor: Tensor, parts: Sequence[Part]) -> Self:
        """Lay parts of `tensor` end to end; those of whole rows keep the shape of rows."""
        shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
        layout, members = tensor.layout, tuple(parts)
        starts = _starts(members)
        return cls(tensor.name, shape, tensor.dtype, layout=layout, members=members, starts=starts)


def stored_words(tensor: Tensor, start: int, stop: int) -> Words:
    """Return stored values as unsigned integers; `start` may be odd in a packed type."""
    aligned = start - start % 8 if tensor.dtype.bits < 8 else start
    words = tensor.dtype.words(tensor.raw(aligned, stop), stop - aligned)
    return words[start - aligned :]


def packed(dtype: StoredDtype, words: Words) -> Bytes:
    """Return the stored bytes of unsigned integers: the inverse of :func:`stored_words`."""
    if dtype.bits >= 8:
        return np.ascontiguousarray(words).view(np.uint8)
    if dtype.numpy is None:
        raise UnmeasurableError(f"{dtype.code}: {dtype.refusal}")
    return dtype.encode(words.view(dtype.numpy))


def origins(tensor: Tensor) -> Iterator[Tensor]:
    """Yield the tensors from which one was joined, cast or cut; itself if it was not."""
    match tensor:
        case Sample():
            yield from origins(tensor.members[0])
        case Concat():
            for member in tensor.members:
                yield from origins(member)
        case Cast() | Part():
            yield from origins(tensor.tensor)
        case _:
            yield tensor


def rebuilt(tensor: Tensor, change: Callable[[Tensor], Tensor], *, whole: bool = True) -> Tensor:
    """Return `tensor` built again from its origins, each changed on its own.

    Shuffling two tensors laid end to end, for example, moves no weight from one to the other.

    Parameters
    ----------
    tensor : Tensor
    change : callable
        Gets a tensor and returns one of the same name, shape and dtype.
    whole : bool
        What becomes of a :class:`Part`, which is a range of another tensor. True: that tensor is
        changed as a whole, and the range is cut out of the result. False: only the range is
        changed, and where it spans several tensors laid end to end, what it takes of each.

    Notes
    -----
    A :class:`Sample` goes to `change` as it is, whatever `whole` says: its parts are one tensor's.
    """
    match tensor:
        case Sample():
            return change(tensor)
        case Concat():
            members = [rebuilt(member, change, whole=whole) for member in tensor.members]
            return concat(tensor.name, members)
        case Cast():
            return Cast.of(rebuilt(tensor.tensor, change, whole=whole), tensor.dtype.code)
        case Part() if whole:
            rows = len(tensor.shape) > 1
            changed = rebuilt(tensor.tensor, change, whole=whole)
            return Part.of(changed, tensor.start, tensor.stop, rows=rows)
        case Part(tensor=Concat() as joined) if tensor.n_weights:
            pieces = [
                member if b - a == member.n_weights else Part.of(member, a, b)
                for member, _, a, b in joined.covered(tensor.start, tensor.stop)
            ]
            return rebuilt(concat(tensor.name, pieces), change, whole=whole)
        case _:
            return change(tensor)


def set_addressable(tensor: Tensor, *origin: Tensor) -> None:
    """Make a new tensor addressable if all that it reads is."""
    object.__setattr__(tensor, "addressable", all(part.addressable for part in origin))
