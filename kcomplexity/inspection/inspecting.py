"""Inspect checkpoints: describe their tensors and add them up by dtype and by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Unpack

from kcomplexity.inspection.records import (
    DtypeInfo,
    FileInfo,
    Inspection,
    InspectionReport,
    LayerInfo,
    TensorInfo,
    ValueInfo,
)
from kcomplexity.inspection.values import inspect_values
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.pool import Pool
from kcomplexity.parallel.running import Running, part_of, pool_of, refuse_unknown
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.tensors.groups import group_name
from kcomplexity.text import human_bytes, plural, shorten


class Inspecting(Reading, Running, total=False):
    """Keyword arguments of :func:`inspect`: which tensors are read, and how the work is done."""


def inspect(
    source: Any, *, values: bool = False, **options: Unpack[Inspecting]
) -> InspectionReport:
    """Open checkpoints and describe what they hold.

    Parameters
    ----------
    source : what :func:`kcomplexity.open_checkpoint` takes, or a list of it
        One checkpoint or several; a list in the list is one checkpoint in several files.
    values : bool
        Whether to read every weight; by default only headers are read.
    **options : Inspecting
        As :class:`~kcomplexity.loaders.selecting.Reading` and
        :class:`~kcomplexity.parallel.running.Running` describe them.

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be read.
    SpecError
        If a glob of `include` matches nothing, or a dtype is not known.
    TypeError
        If an option is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> (checkpoint,) = inspect({"w": np.zeros((2, 3), np.float16)}).checkpoints
    >>> checkpoint.n_weights, checkpoint.n_bytes
    (6, 12)
    """
    refuse_unknown(options, Inspecting)
    with ExitStack() as stack:
        opened = open_selected(source, **part_of(options, Reading))
        checkpoints = [stack.enter_context(checkpoint) for checkpoint in opened]
        pool = None
        if values:
            pool = stack.enter_context(pool_of(part_of(options, Running)))
            pool.expect(sum(checkpoint.n_bytes for checkpoint in checkpoints), "reading values")
        inspections = (inspect_checkpoint(each, values=values, pool=pool) for each in checkpoints)
        return InspectionReport(checkpoints=tuple(inspections))


def inspect_checkpoint(
    checkpoint: Checkpoint, *, values: bool = False, pool: Pool | None = None
) -> Inspection:
    """Describe what an open checkpoint holds.

    Nothing more is read of it, unless `values` asks for one pass over every tensor, which runs in
    `pool`, entered already, or in a pool of its own.

    Examples
    --------
    >>> import numpy as np, kcomplexity as kc
    >>> weights = {f"layer.{i}.w": np.full((4, 4), 1 + 2.0**-7, "f4") for i in range(3)}
    >>> weights["layer.0.w"][0, 0] = 0
    >>> inspection = inspect_checkpoint(kc.open_checkpoint(weights), values=True)
    >>> [(layer.pattern, layer.n_tensors, layer.shapes) for layer in inspection.layers]
    [('layer.#.w', 3, ((4, 4),))]
    >>> inspection.notes[0]
    '1 tensor stored as F32 (64 B) holds only BF16/F16 values: 2x smaller without loss'
    """
    stored = list(checkpoint.values())
    if values:
        with ExitStack() as stack:
            tensors = inspect_values(stored, pool or stack.enter_context(Pool()))
    else:
        tensors = [TensorInfo.of(tensor) for tensor in stored]
    codes = {tensor.side_of for tensor in stored if tensor.side_of}
    tensors = [
        replace(info, code_bits=tensor.dtype.bits if tensor.name in codes else None)
        for info, tensor in zip(tensors, stored, strict=True)
    ]
    return Inspection(
        path=checkpoint.path,
        format=checkpoint.format,
        files=tuple(FileInfo(name=str(s.path), n_bytes=s.size()) for s in checkpoint.sources),
        **_sizes(tensors),
        n_container_bytes=checkpoint.n_container_bytes,
        metadata=dict(checkpoint.metadata),
        dtypes=_by_dtype(tensors),
        layers=_by_layer(tensors),
        tensors=tuple(tensors),
        notes=(*checkpoint.notes, *_value_notes(tensors)),
    )


def _by_dtype(tensors: Sequence[TensorInfo]) -> tuple[DtypeInfo, ...]:
    groups = _grouped(tensors, [tensor.dtype for tensor in tensors])
    dtypes = [DtypeInfo(code=code, **_sizes(members)) for code, members in groups.items()]
    return tuple(sorted(dtypes, key=lambda dtype: -dtype.n_bytes))


def _by_layer(tensors: Sequence[TensorInfo]) -> tuple[LayerInfo, ...]:
    return tuple(
        LayerInfo(
            pattern=pattern,
            dtypes=tuple(dict.fromkeys(tensor.dtype for tensor in members)),
            shapes=tuple(dict.fromkeys(tensor.shape for tensor in members)),
            **_sizes(members),
        )
        for pattern, members in _grouped(tensors, [group_name(t.name) for t in tensors]).items()
    )


def _grouped(tensors: Sequence[TensorInfo], keys: Sequence[str]) -> dict[str, list[TensorInfo]]:
    groups: dict[str, list[TensorInfo]] = {}
    for key, tensor in zip(keys, tensors, strict=True):
        groups.setdefault(key, []).append(tensor)
    return groups


def _sizes(tensors: Sequence[TensorInfo]) -> dict[str, int]:
    return {
        "n_tensors": len(tensors),
        "n_weights": sum(tensor.n_weights for tensor in tensors),
        "n_bytes": sum(tensor.n_bytes for tensor in tensors),
    }


def _value_notes(tensors: Sequence[TensorInfo]) -> list[str]:
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


def _upcast_notes(examined: Sequence[tuple[TensorInfo, ValueInfo]]) -> list[str]:
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
