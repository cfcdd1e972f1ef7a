"""What of a checkpoint was not learned, or is there twice.

A network's file also holds what no training found: tables of sines, masks, position numbers. Their
structure is their maker's, and is left out of the network's. Rules that look at the values find
them (:data:`RULES`). Copies of a tensor - tied weights, moving averages, optimizer states - are
found by their bytes (:func:`copies`).
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.tensors.checkpoint import Tensor

Floats: TypeAlias = NDArray[Any]

#: Globs of names that suffice, with what they hold.
NAMES = {
    "*inv_freq": "frequencies of rotary positions",
    "*rotary_emb.*_cached": "rotary positions",
    "*position_ids": "position numbers",
    "*attn.masked_bias": "an attention mask",
    "*num_batches_tracked": "a counter",
}
#: Weights that are looked at.
_LOOKED_AT = 1 << 18
#: Fewest values that make a rule more than a coincidence.
_FEWEST = 16
#: Share of a wave's energy that lies in this many neighbouring frequencies, fewer where a line is
#: so short that they are a good part of all: a sine under the window takes 4, one that has such a
#: window already takes 6.
_WAVE_BINS, _WAVE_SHARE = 7, 0.999
_SHORTEST_WAVE = 64


def not_learned(tensor: Tensor) -> str | None:
    """Return why a tensor does not look learned; None if it does, or nothing can be said.

    Examples
    --------
    >>> from kcomplexity.loaders import open_checkpoint
    >>> table = np.sin(np.arange(64)[:, None] / 100 ** (np.arange(32) / 32))
    >>> not_learned(open_checkpoint({"pe": table})["pe"])
    'looks not learned: nearly every row, or column, is one sine'
    """
    for glob, contents in NAMES.items():
        if fnmatch.fnmatchcase(tensor.name, glob):
            return f"looks not learned: its name says {contents}"
    if not tensor.dtype.holds_weights:
        return None
    rows, columns = tensor.matrix_shape
    if rows * columns < _FEWEST:
        return None
    looked_at, columns_seen = max(min(rows, _LOOKED_AT // columns), 1), min(columns, _LOOKED_AT)
    with np.errstate(all="ignore"):
        flat = tensor.read(0, looked_at * columns_seen).astype(np.float64)
        values = flat.reshape(looked_at, columns_seen)
        if not np.isfinite(values).all() or (values == values.flat[0]).all():
            return None
        rule = next((text for text, holds in RULES.items() if holds(values)), None)
    return f"looks not learned: {rule}" if rule else None


def copies(tensors: Iterable[Tensor]) -> dict[str, str]:
    """Return which tensors hold exactly the bytes of an earlier one, and which that is.

    Only tensors of one dtype and size whose samples agree are read whole and hashed. Constant ones
    (zeros of fresh biases) and those of fewer than 16 weights are not copies of each other.
    """
    alike: dict[object, list[Tensor]] = {}
    for tensor in tensors:
        if tensor.n_weights >= _FEWEST:
            key = tensor.dtype.code, tensor.n_weights, _digest(tensor.sample())
            alike.setdefault(key, []).append(tensor)
    originals: dict[str, str] = {}
    for group in alike.values():
        if len(group) < 2 or _constant(group[0]):
            continue
        first: dict[bytes, str] = {}
        for tensor in group:
            original = first.setdefault(_digest(tensor.pieces()), tensor.name)
            if original != tensor.name:
                originals[tensor.name] = original
    return originals


def left_out(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return which tensors say nothing of what training arranged, and why, by name."""
    why = {name: reason for name, t in tensors.items() if (reason := not_learned(t)) is not None}
    return why | {name: f"a copy of {first}" for name, first in copies(tensors.values()).items()}


def _digest(pieces: Iterable[NDArray[np.uint8] | memoryview]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(np.ascontiguousarray(piece).data)
    return digest.digest()


def _constant(tensor: Tensor) -> bool:
    words = np.frombuffer(np.ascontiguousarray(next(iter(tensor.sample()))).data, np.uint8)
    unit = max(tensor.dtype.bits // 8, 1)
    return bool((words.reshape(-1, unit) == words[:unit]).all())


def _is_mask(values: Floats) -> bool:
    kinds = np.unique(values.reshape(-1)[:4096])
    rows, columns = values.shape
    if kinds.size != 2 or rows < 4 or columns < 8 or not np.isin(values, kinds).all():
        return False
    return any(_is_staircase(values == kind) for kind in kinds)


def _is_staircase(within: NDArray[np.bool_]) -> bool:
    """Whether each row is one run whose ends move one way only from row to row, if at all."""
    columns = within.shape[1]
    within = within[within.any(axis=1)]
    first = within.argmax(axis=1)
    end = columns - within[:, ::-1].argmax(axis=1)
    steps = np.diff(np.stack([first, end]), axis=1)
    one_run = (within.sum(axis=1) == end - first).all()
    return bool(one_run and ((steps >= 0).all() or (steps <= 0).all()))


def _is_progression(values: Floats) -> bool:
    flat = values.reshape(-1)
    return _is_even(np.diff(flat)) or bool((flat > 0).all() and _is_even(np.diff(np.log(flat))))


def _is_even(steps: Floats) -> bool:
    size = np.abs(steps).mean()
    return bool(size > 0 and np.abs(steps - steps.mean()).max() < 1e-3 * size)


def _is_waves(values: Floats) -> bool:
    return _are_waves(values) or _are_waves(values.T)


def _are_waves(lines: Floats) -> bool:
    """Whether nearly all lines have their energy in a few neighbouring frequencies each.

    These have to differ from line to line: what was only smoothed has all of its in the lowest.
    """
    lines = lines[:256]
    moving = lines[np.ptp(lines, axis=1) > 0]
    n_lines, length = moving.shape
    if n_lines < 4 or length < _SHORTEST_WAVE:
        return False
    # A window makes a sine that does not fit the length as narrow as one that does; a mean that
    # outweighs the rest is no wave.
    window = np.hanning(length + 2)[1:-1]
    means = (moving * window).sum(axis=1, keepdims=True) / window.sum()
    energy = np.square(np.abs(np.fft.rfft((moving - means) * window, axis=1)))
    bins = min(_WAVE_BINS, length // 16 + 1)
    sums = np.pad(energy.cumsum(axis=1), ((0, 0), (1, 0)))
    near = sums[:, bins:] - sums[:, :-bins]
    narrow = near.max(axis=1) >= _WAVE_SHARE * sums[:, -1]
    peaks = energy.argmax(axis=1)[narrow]
    return bool(narrow.mean() >= 0.9 and np.ptp(peaks) > bins)


#: The rules on values, in the order they are tried: what each sees, and whether it holds.
RULES = {
    "two values, one in a single run a row whose ends move one way": _is_mask,
    "equal steps, or equal ratios, from one value to the next": _is_progression,
    "nearly every row, or column, is one sine": _is_waves,
}
