"""What a checkpoint holds: from its headers alone, or with one pass over its values.

The header tells names, shapes, dtypes and sizes (:func:`inspect_checkpoint`). The values tell what
the header cannot: zeros, NaN, the range, and the *effective dtype*. Weights that were once rounded
to bfloat16 and then saved as float32 take twice the bytes they need, and compress as if they were
half as complex; a look at their values finds that out (:class:`_Seen`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.checkpoint import Checkpoint, Tensor
from kcomplexity.dtypes import DTYPES, StoredDtype
from kcomplexity.parallel import LEAF, Cut, Every, Failed, Piece, State, fold, spool
from kcomplexity.pool import Pool
from kcomplexity.records import SCHEMA_VERSION, plain
from kcomplexity.text import human_bytes, plural, shorten
from kcomplexity.units import group_name
from kcomplexity.views.base import leaves
from kcomplexity.views.passes import compute_dtype

__all__ = [
    "DtypeInfo",
    "FileInfo",
    "Inspection",
    "LayerInfo",
    "TensorInfo",
    "ValueInfo",
    "document",
    "inspect_checkpoint",
]

#: What float values are held against, narrowest first. Each holds nothing that float32 does not.
_NARROW = ("F8_E4M3", "F8_E5M2", "BF16", "F16", "F32")
#: The dtypes that networks are trained in; the narrower ones are meant as they are.
_WIDE = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One file that holds tensors.

    Attributes
    ----------
    name : str
        Its path as it was opened.
    n_bytes : int
        Its size.
    """

    name: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class DtypeInfo:
    """All tensors of one stored dtype.

    Attributes
    ----------
    code : str
        safetensors' name, e.g. ``"BF16"``.
    n_tensors, n_weights, n_bytes : int
    """

    code: str
    n_tensors: int
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """All tensors whose names differ in layer numbers only.

    Attributes
    ----------
    pattern : str
        The name with layer numbers as ``#``.
    n_tensors : int
    dtypes : tuple of str
        Distinct dtype codes, in file order.
    shapes : tuple of tuple of int
        Distinct shapes, in file order.
    n_weights, n_bytes : int
    """

    pattern: str
    n_tensors: int
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class ValueInfo:
    """What the values of one tensor are.

    Attributes
    ----------
    n_zero : int
        Values that are exactly zero, of either sign.
    n_nan, n_inf : int
        Values that are not finite; a complex value counts once.
    min, max : int, float or None
        Of the finite values; None if there are none, or they have no order (complex).
    constant : bool
        Whether every value is the same finite number; never told of complex ones.
    effective_dtypes : tuple of str
        The narrowest floating-point dtypes that hold every value exactly (several of one width),
        or the stored one alone. A NaN has to stay a NaN, whatever its payload.
    """

    n_zero: int
    n_nan: int
    n_inf: int
    min: int | float | None
    max: int | float | None
    constant: bool
    effective_dtypes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor.

    Attributes
    ----------
    name : str
    dtype : str
        Stored dtype code.
    shape : tuple of int
    n_weights, n_bytes : int
    values : ValueInfo or None
        None if they were not looked at.
    reason : str or None
        Why values that should have been looked at were not.
    code_bits : int or None
        Width of its values if they are codes of quantised weights, with scales beside them.
    side_of : str or None
        Of scales and zero points, the name of the codes that they belong to.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_weights: int
    n_bytes: int
    values: ValueInfo | None = None
    reason: str | None = None
    code_bits: int | None = None
    side_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a checkpoint holds.

    Attributes
    ----------
    path : str
        As it was given.
    format : str
        Name of the loader.
    files : tuple of FileInfo
        Those that hold tensors; none for arrays in memory.
    n_tensors, n_weights, n_bytes : int
        Of the selected tensors; stored bytes, without the container.
    n_container_bytes : int
        Bytes of the files that hold no tensor: headers, indices, padding.
    metadata : dict of str to str
        What the file says about itself, unchanged.
    dtypes : tuple of DtypeInfo
        The one with the most bytes first.
    layers : tuple of LayerInfo
        In file order.
    tensors : tuple of TensorInfo
        In file order.
    notes : tuple of str
        Odd things worth knowing, one line each.
    """

    path: str
    format: str
    files: tuple[FileInfo, ...]
    n_tensors: int
    n_weights: int
    n_bytes: int
    n_container_bytes: int
    metadata: dict[str, str]
    dtypes: tuple[DtypeInfo, ...]
    layers: tuple[LayerInfo, ...]
    tensors: tuple[TensorInfo, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        record: dict[str, Any] = plain(self)
        return record


def document(inspections: Iterable[Inspection]) -> dict[str, Any]:
    """Return the JSON document that ``kcomplexity schema inspect`` describes."""
    return {
        "schema_version": SCHEMA_VERSION,
        "checkpoints": [inspection.to_dict() for inspection in inspections],
    }


def inspect_checkpoint(
    checkpoint: Checkpoint, *, values: bool = False, pool: Pool | None = None
) -> Inspection:
    """Tell what a checkpoint holds.

    Reads nothing that is not read already, unless `values` asks for one pass over every tensor.

    Parameters
    ----------
    checkpoint : Checkpoint
        Open; with all its tensors or some of them selected.
    values : bool
        Whether to look at the values.
    pool : Pool, optional
        Entered already; where that pass runs. By default threads of its own.

    Returns
    -------
    Inspection

    Examples
    --------
    >>> import numpy as np, kcomplexity as kc
    >>> weights = {f"layer.{i}.w": np.full((4, 4), 1 + 2.0**-7, "f4") for i in range(3)}
    >>> weights["layer.0.w"][0, 0] = 0
    >>> found = inspect_checkpoint(kc.open_checkpoint(weights), values=True)
    >>> [(layer.pattern, layer.n_tensors, layer.shapes) for layer in found.layers]
    [('layer.#.w', 3, ((4, 4),))]
    >>> found.notes[0]
    '1 tensor stored as F32 (64 B) holds only BF16/F16 values: 2x smaller without loss'
    """
    stored = list(checkpoint.values())
    if values:
        with ExitStack() as stack:
            tensors = _look_at_all(stored, pool or stack.enter_context(Pool()))
    else:
        tensors = [_info(tensor) for tensor in stored]
    codes = {tensor.side_of for tensor in stored if tensor.side_of}
    tensors = [
        replace(
            info,
            code_bits=tensor.dtype.bits if tensor.name in codes else None,
            side_of=tensor.side_of or None,
        )
        for info, tensor in zip(tensors, stored, strict=True)
    ]
    return Inspection(
        path=checkpoint.path,
        format=checkpoint.format,
        files=tuple(FileInfo(name=str(s.path), n_bytes=s.size()) for s in checkpoint.sources),
        n_tensors=len(checkpoint),
        n_weights=checkpoint.n_weights,
        n_bytes=checkpoint.n_bytes,
        n_container_bytes=checkpoint.n_container_bytes,
        metadata=dict(checkpoint.metadata),
        dtypes=_by_dtype(tensors),
        layers=_by_layer(tensors),
        tensors=tuple(tensors),
        notes=(*checkpoint.notes, *_value_notes(tensors)),
    )


def _info(tensor: Tensor, values: ValueInfo | None = None, reason: str | None = None) -> TensorInfo:
    return TensorInfo(
        name=tensor.name,
        dtype=tensor.dtype.code,
        shape=tensor.shape,
        n_weights=tensor.n_weights,
        n_bytes=tensor.n_bytes,
        values=values,
        reason=reason,
    )


def _by_dtype(tensors: Iterable[TensorInfo]) -> tuple[DtypeInfo, ...]:
    found = [
        DtypeInfo(
            code=code,
            n_tensors=len(members),
            n_weights=sum(tensor.n_weights for tensor in members),
            n_bytes=sum(tensor.n_bytes for tensor in members),
        )
        for code, members in _grouped(tensors, lambda tensor: tensor.dtype).items()
    ]
    return tuple(sorted(found, key=lambda dtype: -dtype.n_bytes))


def _by_layer(tensors: Iterable[TensorInfo]) -> tuple[LayerInfo, ...]:
    return tuple(
        LayerInfo(
            pattern=pattern,
            n_tensors=len(members),
            dtypes=tuple(dict.fromkeys(tensor.dtype for tensor in members)),
            shapes=tuple(dict.fromkeys(tensor.shape for tensor in members)),
            n_weights=sum(tensor.n_weights for tensor in members),
            n_bytes=sum(tensor.n_bytes for tensor in members),
        )
        for pattern, members in _grouped(tensors, lambda tensor: group_name(tensor.name)).items()
    )


def _grouped(
    tensors: Iterable[TensorInfo], key: Callable[[TensorInfo], str]
) -> dict[str, list[TensorInfo]]:
    groups: dict[str, list[TensorInfo]] = {}
    for tensor in tensors:
        groups.setdefault(key(tensor), []).append(tensor)
    return groups


def _value_notes(tensors: Iterable[TensorInfo]) -> list[str]:
    """Say what the values tell that the header does not."""
    looked = [(tensor, tensor.values) for tensor in tensors if tensor.values is not None]
    notes = _upcast_notes(looked)
    constant = [tensor for tensor, values in looked if values.constant and tensor.n_weights > 1]
    if constant:
        verb = "is" if len(constant) == 1 else "are"
        notes.append(f"{plural(len(constant), 'tensor')} {verb} constant: {_names(constant)}")
    broken = [tensor for tensor, values in looked if values.n_nan or values.n_inf]
    if broken:
        n_nan = sum(values.n_nan for _, values in looked)
        n_inf = sum(values.n_inf for _, values in looked)
        verb = "holds" if len(broken) == 1 else "hold"
        notes.append(
            f"{plural(len(broken), 'tensor')} {verb} {n_nan:,} NaN and {n_inf:,} infinite values: "
            f"{_names(broken)}"
        )
    return notes


def _upcast_notes(looked: Iterable[tuple[TensorInfo, ValueInfo]]) -> list[str]:
    # A constant fits any dtype: that says nothing of where it comes from.
    upcast = [
        (tensor, values.effective_dtypes)
        for tensor, values in looked
        if not values.constant and values.effective_dtypes != (tensor.dtype,)
    ]
    # Some tensors of an upcast checkpoint fit a second dtype by chance: the common one counts.
    counts = Counter((tensor.dtype, code) for tensor, narrow in upcast for code in narrow)
    groups: dict[tuple[str, tuple[str, ...]], list[TensorInfo]] = {}
    for tensor, narrow in upcast:
        most = max(counts[tensor.dtype, code] for code in narrow)
        common = tuple(code for code in narrow if counts[tensor.dtype, code] == most)
        groups.setdefault((tensor.dtype, common), []).append(tensor)
    return [
        f"{plural(len(members), 'tensor')} stored as {stored} "
        f"({human_bytes(sum(tensor.n_bytes for tensor in members))}) "
        f"{'holds' if len(members) == 1 else 'hold'} only {'/'.join(narrow)} values: "
        f"{DTYPES[stored].bits // DTYPES[narrow[0]].bits}x smaller without loss"
        for (stored, narrow), members in groups.items()
    ]


def _names(tensors: Sequence[TensorInfo], most: int = 3) -> str:
    more = f" and {len(tensors) - most:,} more" if len(tensors) > most else ""
    return ", ".join(shorten(tensor.name) for tensor in tensors[:most]) + more


def _look_at_all(tensors: Sequence[Tensor], pool: Pool) -> list[TensorInfo]:
    """Look at several tensors side by side: small ones fill the pool together."""
    with ThreadPoolExecutor(pool.threads, thread_name_prefix="kcomplexity-look") as drivers:
        return list(drivers.map(partial(_look_at, pool=pool), tensors))


def _look_at(tensor: Tensor, *, pool: Pool) -> TensorInfo:
    if tensor.dtype.numpy is None:
        return _info(tensor, reason=f"{tensor.dtype.code}: {tensor.dtype.refusal}")
    (seen,) = fold(spool(tensor, pool), [_Look(tensor.dtype)], pool)
    if isinstance(seen, _Seen):
        return _info(tensor, seen.values(tensor.dtype))
    return _info(tensor, reason=seen.reason if isinstance(seen, Failed) else str(seen))


@dataclass(frozen=True)
class _Look:
    """Count, compare and try narrower dtypes on every value of one tensor."""

    dtype: StoredDtype
    cut: Cut = field(default=Every(), init=False)
    #: A leaf in float64, cast and cast back, and masks.
    memory: int = field(default=40 * LEAF, init=False)

    def start(self) -> _Seen:
        tried = self.dtype.code in _WIDE
        return _Seen(fits=tuple(c for c in _NARROW if tried and DTYPES[c].bits < self.dtype.bits))


@dataclass
class _Seen(State):
    """Counts, extremes, and which narrower dtypes have held every value so far."""

    fits: tuple[str, ...]
    n: int = 0
    n_zero: int = 0
    n_nan: int = 0
    n_inf: int = 0
    low: float = math.inf
    high: float = -math.inf

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        for i in leaves(flat):
            leaf = flat[i : i + LEAF]
            self.n += leaf.size
            self.n_zero += leaf.size - int(np.count_nonzero(leaf))
            if chunk.dtype.is_float:
                self._take_floats(leaf.astype(compute_dtype(leaf.dtype), copy=False))
            elif chunk.dtype.kind == "complex":
                self._set_aside(leaf)
            else:  # integers of any size stay exact, booleans are 0 and 1
                self._stretch(int(leaf.min()), int(leaf.max()))

    def _take_floats(self, leaf: NDArray[Any]) -> None:
        low, high = float(leaf.min()), float(leaf.max())
        if math.isfinite(low) and math.isfinite(high):
            # Zero has two signs that compare equal: which one comes first must not matter.
            self._stretch(low + 0.0, high + 0.0)
        else:
            finite = self._set_aside(leaf)
            if finite.size:
                self._stretch(float(finite.min()) + 0.0, float(finite.max()) + 0.0)
        self.fits = tuple(code for code in self.fits if _holds(DTYPES[code], leaf))

    def _set_aside(self, leaf: NDArray[Any]) -> NDArray[Any]:
        """Count the values that are not finite and return the others."""
        finite = np.isfinite(leaf)
        n_nan = int(np.isnan(leaf).sum())
        self.n_nan += n_nan
        self.n_inf += leaf.size - int(finite.sum()) - n_nan
        kept: NDArray[Any] = leaf[finite]
        return kept

    def _stretch(self, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    def __add__(self, other: _Seen) -> _Seen:
        return _Seen(
            tuple(code for code in self.fits if code in other.fits),
            self.n + other.n,
            self.n_zero + other.n_zero,
            self.n_nan + other.n_nan,
            self.n_inf + other.n_inf,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    def values(self, dtype: StoredDtype) -> ValueInfo:
        """Return the record of a tensor of this stored dtype."""
        some = self.low <= self.high
        # Without a finite value every dtype fits, and that means nothing.
        fits = self.fits if some else ()
        least = min((DTYPES[code].bits for code in fits), default=0)
        narrow = tuple(code for code in fits if DTYPES[code].bits == least)
        return ValueInfo(
            n_zero=self.n_zero,
            n_nan=self.n_nan,
            n_inf=self.n_inf,
            min=self.low if some else None,
            max=self.high if some else None,
            constant=self.low == self.high and not self.n_nan + self.n_inf,
            effective_dtypes=narrow or (dtype.code,),
        )


def _holds(narrow: StoredDtype, leaf: NDArray[Any]) -> bool:
    """Whether every value survives the way to `narrow` and back; a NaN has to stay one."""
    back = leaf.astype(narrow.numpy).astype(leaf.dtype)
    same = back == leaf
    return bool(same.all()) or bool((same | (np.isnan(back) & np.isnan(leaf))).all())
