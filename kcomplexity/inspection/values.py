"""Look at every value of a tensor: zeros, NaN, the range, and the narrowest dtype that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.inspection.records import TensorInfo, ValueInfo
from kcomplexity.parallel import LEAF, Cut, Every, Failed, Piece, State, fold, spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.views.base import leaves
from kcomplexity.views.passes import compute_dtype, finite_part

__all__ = ["look_at_all"]

#: What float values are held against, narrowest first. Each holds nothing that float32 does not.
_NARROW = ("F8_E4M3", "F8_E5M2", "BF16", "F16", "F32")
#: The dtypes that networks are trained in; the narrower ones are meant as they are.
_WIDE = ("F64", "F32", "F16", "BF16")


def look_at_all(tensors: Sequence[Tensor], pool: Pool) -> list[TensorInfo]:
    """Look at several tensors side by side: small ones fill the pool together."""
    return list(pool.map(partial(_look_at, pool=pool), tensors))


def _look_at(tensor: Tensor, pool: Pool) -> TensorInfo:
    if tensor.dtype.numpy is None:
        return TensorInfo.of(tensor, reason=f"{tensor.dtype.code}: {tensor.dtype.refusal}")
    (seen,) = fold(spool(tensor, pool), [_Look(tensor.dtype)], pool)
    if isinstance(seen, _Seen):
        return TensorInfo.of(tensor, seen.values(tensor.dtype))
    return TensorInfo.of(tensor, reason=seen.reason if isinstance(seen, Failed) else str(seen))


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
        finite, n_nan, n_inf = finite_part(leaf)
        self.n_nan += n_nan
        self.n_inf += n_inf
        return finite

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
