"""Read every value of a tensor: zeros, NaN, the range, and the narrowest dtype that fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kcomplexity.inspection.records import TensorInfo, ValueInfo
from kcomplexity.parallel import Cut, Every, Failed, Piece, State, fold, spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.views.base import leaves
from kcomplexity.views.passes import compute_dtype, finite_part

#: Dtypes that float values are compared with, narrowest first. float32 holds all their values.
_NARROW = ("F8_E4M3", "F8_E5M2", "BF16", "F16", "F32")
#: The dtypes that networks are trained in; narrower ones are always chosen on purpose.
_WIDE = ("F64", "F32", "F16", "BF16")


def inspect_values(tensors: Sequence[Tensor], pool: Pool) -> list[TensorInfo]:
    """Read the values of several tensors at once: small ones fill the pool together."""
    return list(pool.map(partial(_inspect_tensor, pool=pool), tensors))


def _inspect_tensor(tensor: Tensor, pool: Pool) -> TensorInfo:
    if tensor.dtype.numpy is None:
        return TensorInfo.of(tensor, reason=f"{tensor.dtype.code}: {tensor.dtype.refusal}")
    (state,) = fold(spool(tensor, pool), [_Examination(tensor.dtype)], pool)
    if isinstance(state, _ExaminationState):
        return TensorInfo.of(tensor, state.values(tensor.dtype))
    return TensorInfo.of(tensor, reason=state.reason if isinstance(state, Failed) else str(state))


@dataclass(frozen=True)
class _Examination:
    """Count, compare and try narrower dtypes on every value of one tensor."""

    dtype: StoredDtype
    cut: Cut = field(default=Every(), init=False)
    #: A leaf in float64, cast and cast back, and masks.
    memory: int = field(default=40 * LEAF, init=False)

    def start(self) -> _ExaminationState:
        tried = self.dtype.code in _WIDE
        return _ExaminationState(
            fits=tuple(c for c in _NARROW if tried and DTYPES[c].bits < self.dtype.bits)
        )


@dataclass
class _ExaminationState(State):
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
                self._count_non_finite(leaf)
            else:  # integers of any size stay exact, booleans are 0 and 1
                self._widen(int(leaf.min()), int(leaf.max()))

    def _take_floats(self, leaf: NDArray[Any]) -> None:
        low, high = float(leaf.min()), float(leaf.max())
        if math.isfinite(low) and math.isfinite(high):
            # The two zeros compare equal; which one comes first must not matter.
            self._widen(low + 0.0, high + 0.0)
        else:
            finite = self._count_non_finite(leaf)
            if finite.size:
                self._widen(float(finite.min()) + 0.0, float(finite.max()) + 0.0)
        self.fits = tuple(code for code in self.fits if _holds(DTYPES[code], leaf))

    def _count_non_finite(self, leaf: NDArray[Any]) -> NDArray[Any]:
        """Count the values that are not finite and return the others."""
        finite, n_nan, n_inf = finite_part(leaf)
        self.n_nan += n_nan
        self.n_inf += n_inf
        return finite

    def _widen(self, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    def __add__(self, other: _ExaminationState) -> _ExaminationState:
        return _ExaminationState(
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
        any_finite = self.low <= self.high
        # Without a finite value every dtype fits, which means nothing.
        fits = self.fits if any_finite else ()
        least = min((DTYPES[code].bits for code in fits), default=0)
        narrow = tuple(code for code in fits if DTYPES[code].bits == least)
        return ValueInfo(
            n_zero=self.n_zero,
            n_nan=self.n_nan,
            n_inf=self.n_inf,
            min=self.low if any_finite else None,
            max=self.high if any_finite else None,
            constant=self.low == self.high and not self.n_nan + self.n_inf,
            effective_dtypes=narrow or (dtype.code,),
        )


def _holds(narrow: StoredDtype, leaf: NDArray[Any]) -> bool:
    """Whether every value survives a cast to `narrow` and back; a NaN has to stay a NaN."""
    back = leaf.astype(narrow.numpy).astype(leaf.dtype)
    same = back == leaf
    return bool(same.all()) or bool((same | (np.isnan(back) & np.isnan(leaf))).all())
