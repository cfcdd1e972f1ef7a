"""Walk a checkpoint's headers, roll its tensors up by dtype and layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

from kcomplexity.inspection.notes import value_notes
from kcomplexity.inspection.records import (
    DtypeInfo,
    FileInfo,
    Inspection,
    LayerInfo,
    TensorInfo,
)
from kcomplexity.inspection.values import look_at_all
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.tensors.groups import group_name

__all__ = ["inspect_checkpoint"]


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
            tensors = look_at_all(stored, pool or stack.enter_context(Pool()))
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
        n_tensors=len(checkpoint),
        n_weights=checkpoint.n_weights,
        n_bytes=checkpoint.n_bytes,
        n_container_bytes=checkpoint.n_container_bytes,
        metadata=dict(checkpoint.metadata),
        dtypes=_by_dtype(tensors),
        layers=_by_layer(tensors),
        tensors=tuple(tensors),
        notes=(*checkpoint.notes, *value_notes(tensors)),
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
