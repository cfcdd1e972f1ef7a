"""Weights to levels, what that loses, and magnitudes in bins.

Errors and squares are summed leaf by leaf, in a fixed order, so that a sum depends on nothing but
the leaf: not on the machine, the vectors it has, or how a tensor was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from kcomplexity.kernels.checks import SYMBOLS, WEIGHTS, own, ready, words
from kcomplexity.kernels.choice import compiled

Floats: TypeAlias = NDArray[Any]
Sums: TypeAlias = NDArray[np.float64]

#: Weights whose error is one float.
LEAF = 1 << 16
#: Squares are summed in runs of this many, in the precision of the levels; the runs in float64.
_RUN = 256


def affine_levels(
    weights: Floats,
    symbols: NDArray[Any],
    *,
    zero: float,
    step: float,
    lowest: int,
    highest: int,
    wide: bool = False,
) -> tuple[Sums, Sums]:
    """Write the symbols of levels ``round((w - zero) / step)``, half to even.

    Parameters
    ----------
    weights : ndarray of float32, float64, float16 or bfloat16, shape (n,)
    symbols : ndarray of uint8 or uint16, shape (n,)
        Written: the level, cut to ``lowest`` to ``highest``, less ``lowest``. NaN is the lowest.
    zero : float
        The weight of level 0.
    step : float
        If 0, all levels are 0.
    lowest, highest : int
        At most 2**16 levels, from -2**16 to 2**16.
    wide : bool
        Compute in float64, as for weights of float64; else in float32.

    Returns
    -------
    errors, squares : ndarray of float64, shape (n_leaves,)
        Per leaf, the squared error of ``zero + level * step`` and the squared weights, both in
        units of the step (of 1 if that is 0).
    """
    weights = ready(weights, "weights", *WEIGHTS, ndim=1)
    symbols = own(symbols, "symbols", *SYMBOLS[:2], ndim=1)
    _check_levels(weights, symbols, step, lowest, highest, 1 << 16)
    define = partial(
        affine_levels_numpy, zero=zero, step=step, lowest=lowest, highest=highest, wide=wide
    )
    if compiled is None or not step:
        return define(weights, symbols)
    errors, squares = np.empty((2, _n_leaves(weights)))
    compiled.affine_levels(
        words(weights), symbols, errors, squares, zero, step, lowest, highest, wide
    )
    # Squares that leave float32 are added in float64.
    for leaf in np.flatnonzero(np.isinf(errors) | np.isinf(squares)).tolist():
        part = slice(leaf * LEAF, (leaf + 1) * LEAF)
        errors[[leaf]], squares[[leaf]] = define(weights[part], symbols[part])
    return errors, squares


def affine_levels_numpy(
    weights: Floats,
    symbols: NDArray[Any],
    *,
    zero: float,
    step: float,
    lowest: int,
    highest: int,
    wide: bool = False,
) -> tuple[Sums, Sums]:
    """Define :func:`affine_levels`."""
    dtype = np.dtype(np.float64 if wide or weights.dtype == np.float64 else np.float32)
    errors, squares = np.empty((2, _n_leaves(weights)))
    # New memory costs more than the arithmetic on it: five leaves of it do for all.
    scratch = np.empty((5, min(LEAF, weights.size)))
    with np.errstate(invalid="ignore", over="ignore"):
        for leaf, part in enumerate(_leaves(weights)):
            values = weights[part].astype(dtype, copy=False)
            level, rest, *spare = scratch[:, : values.size]
            if not step:
                symbols[part] = -lowest
                whole = values.astype(np.float64)
                errors[leaf] = _squares(np.subtract(whole, zero, out=rest), spare)
                squares[leaf] = _squares(whole, spare)
                continue
            level = level.view(dtype)[: values.size]
            squares[leaf] = _squares(np.divide(values, dtype.type(step), out=level), spare)
            np.divide(np.subtract(values, dtype.type(zero), out=level), dtype.type(step), out=level)
            np.rint(level, out=level)
            np.fmin(np.fmax(level, dtype.type(lowest), out=level), dtype.type(highest), out=level)
            lifted = np.subtract(level, dtype.type(lowest), out=rest.view(dtype)[: values.size])
            np.copyto(symbols[part], lifted, casting="unsafe")
            errors[leaf] = _squares(_rest(values, level, zero, step, rest), spare)
    return errors, squares


def step_levels(
    weights: Floats, symbols: NDArray[Any], *, step: float, lowest: int, highest: int
) -> tuple[Sums, Sums]:
    """Write the symbols of levels ``round(w / step)``, half to even, in float64.

    Parameters
    ----------
    weights : ndarray of float32, float64, float16 or bfloat16, shape (n,)
    symbols : ndarray of uint8, uint16 or uint32, shape (n,)
        Written: the level, cut to ``lowest`` to ``highest``, less ``lowest``. NaN is the lowest.
    step : float
        Above 0.
    lowest, highest : int
        At most 2**32 levels, from -2**50 to 2**50.

    Returns
    -------
    errors, squares : ndarray of float64, shape (n_leaves,)
        Per leaf, the squared error of ``round(w / step) * step``, and the squared weights.
    """
    weights = ready(weights, "weights", *WEIGHTS, ndim=1)
    symbols = own(symbols, "symbols", *SYMBOLS, ndim=1)
    _check_levels(weights, symbols, step, lowest, highest, 1 << 50)
    if not step:
        raise ValueError("step=0: expected a number above 0")
    if compiled is None:
        return step_levels_numpy(weights, symbols, step=step, lowest=lowest, highest=highest)
    errors, squares = np.empty((2, _n_leaves(weights)))
    compiled.stepped_levels(words(weights), symbols, errors, squares, step, lowest, highest)
    return errors, squares


def step_levels_numpy(
    weights: Floats, symbols: NDArray[Any], *, step: float, lowest: int, highest: int
) -> tuple[Sums, Sums]:
    """Define :func:`step_levels`."""
    errors, squares = np.empty((2, _n_leaves(weights)))
    # New memory costs more than the arithmetic on it: two leaves of it do for all.
    scratch = np.empty((2, min(LEAF, weights.size)))
    with np.errstate(invalid="ignore", over="ignore"):
        for leaf, part in enumerate(_leaves(weights)):
            wide = weights[part].astype(np.float64)
            level, spare = scratch[:, : wide.size]
            errors[leaf] = _step_error(wide, step, level, spare)
            squares[leaf] = np.square(wide, out=wide).sum()
            np.fmin(np.fmax(level, lowest, out=level), highest, out=level)
            np.copyto(symbols[part], np.subtract(level, lowest, out=level), casting="unsafe")
    return errors, squares


def step_errors(weights: Floats, step: float) -> Sums:
    """Return the squared error of ``round(w / step) * step``, in float64, a number a leaf."""
    weights = ready(weights, "weights", *WEIGHTS, ndim=1)
    if not step > 0:
        raise ValueError(f"step={step}: expected a number above 0")
    if compiled is None:
        return step_errors_numpy(weights, step)
    errors, squares = np.empty((2, _n_leaves(weights)))
    compiled.stepped_levels(words(weights), None, errors, squares, step, 0, 0)
    return errors


def step_errors_numpy(weights: Floats, step: float) -> Sums:
    """Define :func:`step_errors`."""
    scratch = np.empty((2, min(LEAF, weights.size)))
    errors = np.empty(_n_leaves(weights))
    with np.errstate(invalid="ignore", over="ignore"):
        for leaf, part in enumerate(_leaves(weights)):
            wide = weights[part].astype(np.float64)
            errors[leaf] = _step_error(wide, step, *scratch[:, : wide.size])
    return errors


def square_sums(weights: Floats) -> Sums:
    """Return the sum of squares in float64, a number a leaf."""
    weights = ready(weights, "weights", *WEIGHTS, ndim=1)
    if compiled is None:
        return square_sums_numpy(weights)
    squares = np.empty(_n_leaves(weights))
    compiled.stepped_levels(words(weights), None, None, squares, 1, 0, 0)
    return squares


def square_sums_numpy(weights: Floats) -> Sums:
    """Define :func:`square_sums`."""
    with np.errstate(over="ignore"):
        sums = [np.square(weights[part].astype(np.float64)).sum() for part in _leaves(weights)]
    return np.array(sums, np.float64)


def add_magnitudes(weights: Floats, span: float, bins: Sums) -> Sums:
    """Add magnitudes to bins of equal width, in the order of the weights.

    Parameters
    ----------
    weights : ndarray of float32, float64, float16 or bfloat16, shape (n,)
    span : float
        Where the last bin ends, above 0.
    bins : ndarray of float64, shape (n_bins, 3)
        Added to: how many magnitudes lie in each bin, their sum, and the sum of their squares.

    Returns
    -------
    ndarray of float64
        The magnitudes beyond `span`, in the order of the weights. NaN is counted nowhere.
    """
    weights = ready(weights, "weights", *WEIGHTS, ndim=1)
    bins = own(bins, "bins", np.float64, ndim=2)
    if not span > 0 or bins.shape[1] != 3 or not 0 < len(bins) <= 1 << 24:
        raise ValueError(f"span={span}, bins of shape {bins.shape}: expected above 0, and (n, 3)")
    if compiled is None:
        return add_magnitudes_numpy(weights, span, bins)
    beyond = np.empty(weights.size)
    n_beyond: int = compiled.magnitudes(words(weights), bins, beyond, span)
    return beyond[:n_beyond].copy()


def add_magnitudes_numpy(weights: Floats, span: float, bins: Sums) -> Sums:
    """Define :func:`add_magnitudes`."""
    beyond = []
    for part in _leaves(weights):
        sizes = np.abs(weights[part].astype(np.float64))
        beyond.append(sizes[sizes > span])
        sizes = sizes[sizes <= span]
        place = np.minimum((sizes * (len(bins) / span)).astype(np.intp), len(bins) - 1)
        np.add.at(bins[:, 0], place, 1.0)
        np.add.at(bins[:, 1], place, sizes)
        np.add.at(bins[:, 2], place, np.square(sizes))
    return np.concatenate([np.empty(0), *beyond])


def _n_leaves(weights: Floats) -> int:
    return -(-weights.size // LEAF)


def _leaves(weights: Floats) -> list[slice]:
    return [slice(i, i + LEAF) for i in range(0, weights.size, LEAF)]


def _check_levels(
    weights: Floats, symbols: NDArray[Any], step: float, lowest: int, highest: int, most: int
) -> None:
    if weights.size != symbols.size:
        raise ValueError(f"{weights.size} weights and {symbols.size} symbols: expected as many")
    if not step >= 0 or not 0 <= highest - lowest < 1 << 8 * symbols.itemsize:
        raise ValueError(
            f"step={step}, levels from {lowest} to {highest}: expected a positive step and levels "
            f"that {symbols.dtype} holds"
        )
    if not -most <= lowest <= highest <= most:
        raise ValueError(f"levels from {lowest} to {highest}: expected -{most} to {most}")


def _step_error(wide: Sums, step: float, level: Sums, spare: Sums) -> float:
    """Write levels to `level`; return the squared error."""
    np.rint(np.divide(wide, step, out=level), out=level)
    np.subtract(wide, np.multiply(level, step, out=spare), out=spare)
    return float(np.square(spare, out=spare).sum())


def _rest(values: Floats, level: Floats, zero: float, step: float, out: Sums) -> Floats:
    """Return (w - decoded) / step, where a decoder in float64 puts zero + level * step back.

    ``w / step - level`` would be off by 2**-24 of the *level*, alike for equal weights.
    """
    if zero or values.dtype == np.float64:
        np.multiply(level, step, out=out, dtype=np.float64)
        np.subtract(values, np.add(out, zero, out=out), out=out)
        return np.divide(out, step, out=out)
    # Eight bits of the step times a level of at most 16 is exact in float32, and so is what it
    # leaves of a weight so near; the other bits of the step are a small matter.
    exact = np.float32(step)
    most = np.float32(exact.astype(bfloat16))
    near = out.view(np.float32)[: values.size]
    np.subtract(values, np.multiply(level, most, out=near), out=near)
    np.subtract(near, np.multiply(level, exact - most, out=level), out=near)
    return np.divide(near, exact, out=near)


def _squares(values: Floats, scratch: Sequence[Sums]) -> float:
    """Sum of squares, in runs; in float64 where float32 does not hold it."""
    whole = values.size - values.size % _RUN
    runs = values[:whole].reshape(-1, _RUN)
    if _einsum_agrees(values.dtype.char):
        sums = np.einsum("ij,ij->i", runs, runs)
    else:
        sums = _sums_of_runs(runs, scratch)
    total = sums.sum(dtype=np.float64)
    total += np.square(values[whole:].astype(np.float64)).sum()
    if np.isinf(total) and values.dtype == np.float32:
        return _squares(values.astype(np.float64), scratch)
    return float(total)


def _sums_of_runs(runs: Floats, scratch: Sequence[Sums]) -> Floats:
    """Sum the squares of each row: the definition.

    In vectors of 16 bytes, four of them backwards at a time, then the lanes of the sum in pairs.
    """
    (n, length), lanes = runs.shape, 16 // runs.itemsize
    squares, vectors = (array.view(runs.dtype)[: runs.size] for array in scratch[:2])
    fours = np.square(runs, out=squares.reshape(runs.shape)).reshape(n, -1, 4, lanes)[:, :, ::-1]
    vectors = vectors.reshape(length // lanes, n, lanes)
    vectors.reshape(-1, 4, n, lanes)[...] = fours.transpose(1, 2, 0, 3)
    sums = np.zeros((n, lanes), runs.dtype)
    for vector in vectors:
        sums += vector
    if lanes == 4:
        sums = sums[:, ::2] + sums[:, 1::2]
    total: Floats = sums[:, 0] + sums[:, 1]
    return total


@cache
def _einsum_agrees(dtype: str) -> bool:
    """Whether NumPy's einsum adds in that order as well, as it does on x86: it is much faster."""
    runs = np.sin(np.arange(16 * _RUN)).astype(dtype).reshape(16, _RUN)
    defined = _sums_of_runs(runs, [*np.empty((2, runs.size))])
    return bool((np.einsum("ij,ij->i", runs, runs) == defined).all())
