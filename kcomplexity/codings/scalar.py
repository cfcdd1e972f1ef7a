"""The baseline: one uniform quantiser for all weights, entropy-coded in three ways.

``order-0``: one table of counts for the model; ``tensor``: one table per tensor; ``context``:
adaptive counts of a level's size given the tensor and the levels to the left and above, as in
:mod:`kcomplexity.containers.context_coding`. One step for all weights is the best choice for
squared error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.codings.base import Coded, Coding, Grid, Ints, Quantiser, encode_order0
from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.index_coding import canonical_order, encode_indices, encode_usage
from kcomplexity.containers.motifs import encode_levels
from kcomplexity.errors import SpecError
from kcomplexity.files.sources import Bytes
from kcomplexity.tensors.checkpoint import Tensor

_BISECTIONS = 40
Tables = Literal["order-0", "tensor", "context"]


@dataclass(frozen=True)
class ScalarCoding(Coding):
    """A uniform scalar quantiser."""

    step: float
    tables: Tables = "order-0"

    name: ClassVar[str] = "scalar"

    @classmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        # The three ways of coding share the search of the step.
        for error in grid.errors:
            step = cache(partial(step_for, tensors, error))
            for tables in get_args(Tables):
                yield _ScalarAtError(0.0, tables, relative_mse=error, find_step=step)

    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        return quantised(tensors, Quantiser(self.step), self.tables)


@dataclass(frozen=True)
class _ScalarAtError(ScalarCoding):
    """A scalar quantiser at an error, whose step is searched when it is resolved."""

    relative_mse: float = field(kw_only=True)
    find_step: Callable[[], float] = field(kw_only=True)

    @property
    def setting(self) -> dict[str, Any]:
        return {"relative_mse": self.relative_mse, "tables": self.tables}

    def resolved(self) -> ScalarCoding:
        return ScalarCoding(self.find_step(), self.tables)

    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        return self.resolved().code(tensors, threads=threads)


@dataclass(frozen=True)
class QuantisedTensor(Tensor):
    """A tensor as decoded from its levels: a pure function of the source, computed on reading."""

    tensor: Tensor
    quantiser: Quantiser

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        levels = self.quantiser.levels(self.tensor.read(start, stop))
        return self.dtype.encode(levels * self.quantiser.step)


def quantised(tensors: Mapping[str, Tensor], quantiser: Quantiser, tables: Tables) -> Coded:
    """Code the levels of all tensors in one stream, and the quantiser's step as a float64."""
    encoder = AnsEncoder()
    levels = {name: quantiser.levels(tensor.read()) for name, tensor in tensors.items()}
    if tables == "tensor":
        for of_tensor in levels.values():
            encode_order0(of_tensor, encoder)
    elif tables == "order-0":
        encode_order0(np.concatenate(list(levels.values())), encoder)
    else:
        _encode_in_context(levels, tensors, encoder)
    decoded = {
        name: QuantisedTensor(name, t.shape, t.dtype, t, quantiser, layout=t.layout)
        for name, t in tensors.items()
    }
    return Coded(64 + 32 * encoder.words().size, decoded)


def _encode_in_context(
    levels: Mapping[str, Ints], tensors: Mapping[str, Tensor], encoder: AnsEncoder
) -> None:
    """Code levels as the indices of blocks of one weight: motifs are the levels that occur."""
    values, labels = np.unique(np.concatenate(list(levels.values())), return_inverse=True)
    counts = np.bincount(labels.reshape(-1), minlength=values.size)
    order, usage = canonical_order(counts, values[:, None])
    rank = np.zeros(values.size, np.uint32)
    rank[order] = np.arange(values.size, dtype=np.uint32)
    ends = np.cumsum([of_tensor.size for of_tensor in levels.values()])
    indices = np.split(rank[labels.reshape(-1)], ends[:-1])
    tilings = [Tiling(*tensors[name].matrix_shape, BlockShape(0, 1)) for name in levels]
    encoder.integers(np.array([values.size]))
    encode_usage(usage, encoder)
    ordered = values[order][:, None]
    encode_levels(ordered, usage, encoder)
    encode_indices(indices, tilings, usage, ordered, "context", encoder)


def step_for(tensors: Mapping[str, Tensor], error: float) -> float:
    """Return the largest step found whose relative squared error over all tensors is `error`.

    Bisection on the weights in memory, to about 1e-4 of the error. The error of weights that are
    already quantised may jump; it is then below the target. SpecError if no step meets the error.
    """
    weights = np.concatenate([tensor.read().astype(np.float64) for tensor in tensors.values()])
    squares = float(np.square(weights).sum())
    if not squares:
        raise SpecError("all weights are zero: there is no relative error to reach")
    low, high = 0.0, 4 * float(np.abs(weights).max())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        lost = float(np.square(weights - np.rint(weights / middle) * middle).sum()) / squares
        if lost <= error:
            low = middle
            if lost >= (1 - 1e-4) * error:
                break
        else:
            high = middle
    if not (low > 0 and math.isfinite(low)):
        raise SpecError(f"no step reaches a relative error of {error:g}: take a larger one")
    return low
