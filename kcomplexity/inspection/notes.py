"""What the values of a checkpoint show that its headers do not, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from kcomplexity.inspection.records import TensorInfo, ValueInfo
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import human_bytes, plural, shorten


def value_notes(tensors: Iterable[TensorInfo]) -> list[str]:
    """Return one line for each thing that the values show and the header does not."""
    examined = [(tensor, tensor.values) for tensor in tensors if tensor.values is not None]
    notes = _upcast_notes(examined)
    constant = [tensor for tensor, values in examined if values.constant and tensor.n_weights > 1]
    if constant:
        verb = "is" if len(constant) == 1 else "are"
        notes.append(f"{plural(len(constant), 'tensor')} {verb} constant: {_names(constant)}")
    broken = [tensor for tensor, values in examined if values.n_nan or values.n_inf]
    if broken:
        n_nan = sum(values.n_nan for _, values in examined)
        n_inf = sum(values.n_inf for _, values in examined)
        verb = "holds" if len(broken) == 1 else "hold"
        notes.append(
            f"{plural(len(broken), 'tensor')} {verb} {n_nan:,} NaN and {n_inf:,} infinite values: "
            f"{_names(broken)}"
        )
    return notes


def _upcast_notes(examined: Iterable[tuple[TensorInfo, ValueInfo]]) -> list[str]:
    # A constant fits any dtype, which says nothing about where it comes from.
    upcast = [
        (tensor, values.effective_dtypes)
        for tensor, values in examined
        if not values.constant and values.effective_dtypes != (tensor.dtype,)
    ]
    # Some tensors of an upcast checkpoint fit a second dtype by chance; the common one counts.
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


def _names(tensors: Sequence[TensorInfo]) -> str:
    more = f" and {len(tensors) - 3:,} more" if len(tensors) > 3 else ""
    return ", ".join(shorten(tensor.name) for tensor in tensors[:3]) + more
