"""Hidden units in another order: the function stays, the layout goes.

What a positional measure loses by it comes from the order the units happen to have, not from what
the network computes. A file does not say how its tensors are connected, so one rule finds the
hidden widths: the outputs of a tensor that a later tensor has as inputs (:func:`hidden_axes`). All
units of one width are permuted alike, so that sums over skip connections and biases stay in step;
the inputs of the first tensor and the outputs of the last are never touched, nor is anything inside
a kernel. After a flatten, the inputs of one channel stay together.

The function is kept exactly by chains and residual chains of dense and convolution layers with
element-wise activations and per-channel normalisation. Attention heads, grouped convolutions and
fused layers are not known from a file: there it is still the layout that goes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kcomplexity.controls.base import Control
from kcomplexity.files.sources import Bytes
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.derived import origins, packed, rebuilt, set_addressable, stored_words


class Axes(NamedTuple):
    """Which sides of a tensor's matrix form are hidden units.

    Attributes
    ----------
    rows : bool
        Whether each row is a hidden unit.
    columns : int
        Hidden units along the columns, each with as many columns side by side; 0 where columns are
        not hidden units.
    """

    rows: bool
    columns: int


#: Axes by name and shape of the tensor: another checkpoint may use a name for another tensor.
AxesByTensor: TypeAlias = Mapping[tuple[str, tuple[int, ...]], Axes]


def hidden_axes(tensors: Iterable[Tensor]) -> dict[tuple[str, tuple[int, ...]], Axes]:
    """Find the hidden units of a network, by the rule at the top of the module.

    Tensors come in file order; those of layout ``"in-out"`` are left alone. Only tensors that have
    hidden units are returned, by name and shape.
    """
    every = [t for t in tensors if t.dtype.is_float and t.layout == "out-in" and t.n_weights]
    layers = [t for t in every if len(t.shape) >= 2]
    if len(layers) < 2:
        return {}
    first, last = layers[0], layers[-1]
    later = [layer.shape[1] for layer in layers[1:]]
    widths = {layer.shape[0] for layer in layers[:-1]} & set(later)
    # A dense layer after a flatten has the width of the last kernel layer times its positions.
    for before, after in itertools.pairwise(layers):
        if len(before.shape) > 2 == len(after.shape) and after.shape[1] % before.shape[0] == 0:
            widths.add(before.shape[0])
    axes_of: dict[tuple[str, tuple[int, ...]], Axes] = {}
    channels, ended = 0, False
    for tensor in every:
        if len(tensor.shape) >= 2:
            rows = tensor is not last and tensor.shape[0] in widths
            columns = 0 if tensor is first else _units(tensor, widths, channels)
            channels = tensor.shape[0] if len(tensor.shape) > 2 else 0
            ended = tensor is last
            axes = Axes(rows, columns)
        else:
            # A vector belongs to the outputs of the layer before it: a bias, a normalisation.
            whole = math.prod(tensor.shape)
            axes = Axes(False, whole if whole in widths and not ended else 0)
        if any(axes) and max(axes.columns, tensor.matrix_shape[0]) > 1:
            axes_of[tensor.name, tensor.shape] = axes
    return axes_of


def _units(tensor: Tensor, widths: set[int], channels: int) -> int:
    """Return how many hidden units a tensor's inputs are; 0 where they are not hidden units."""
    inputs = tensor.shape[1]
    if inputs in widths:
        return inputs
    flattened = len(tensor.shape) == 2 and channels in widths and inputs % channels == 0
    return channels if flattened else 0


def symmetry_bits(tensors: Iterable[Tensor]) -> float:
    """Return log2 of the orders that the hidden units can have: sum of log2(width!).

    Each hidden width is counted once, so it is a lower bound where several layers have one width.
    """
    widths = {
        shape[0] if len(shape) > 1 else math.prod(shape)
        for (_, shape), axes in hidden_axes(tensors).items()
        if axes.rows or len(shape) < 2
    }
    return math.fsum(math.lgamma(width + 1) for width in widths) / math.log(2)


@dataclass(frozen=True)
class UnitPermutation(Control):
    """Hidden units in another order, the same for all tensors: the layout's share.

    Attributes
    ----------
    axes : mapping of (name, shape) to Axes
        The hidden axes of the tensors; see :meth:`for_checkpoints`.
    """

    axes: AxesByTensor = field(default_factory=dict, kw_only=True, repr=False, hash=False)

    summary: ClassVar[str] = "hidden units in another order: what of it is only layout?"
    keeps_values: ClassVar[bool] = True
    lazy: ClassVar[bool] = True

    def for_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> Self:
        axes: dict[tuple[str, tuple[int, ...]], Axes] = {}
        for checkpoint in checkpoints:
            axes |= hidden_axes(checkpoint.values())
        return replace(self, axes=axes)

    def depends_on(self, tensor: Tensor) -> list[str]:
        """Return which sides of the tensor are permuted: the other tensors decide that."""
        return [repr(self.axes.get((origin.name, origin.shape))) for origin in origins(tensor)]

    def changes(self, tensor: Tensor) -> bool:
        return (tensor.name, tensor.shape) in self.axes

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        for i in range(self.n):

            def permuted(origin: Tensor, i: int = i) -> Tensor:
                if not self.changes(origin):
                    return origin
                rows, units = self.axes[origin.name, origin.shape]
                n_rows, n_columns = origin.matrix_shape
                across = np.arange(n_columns)
                if units:
                    blocks = across.reshape(units, -1)
                    across = blocks[self._order(units, seed, i)].reshape(-1)
                down = self._order(n_rows, seed, i) if rows else np.arange(n_rows)
                return _Permuted.of(origin, down, across)

            yield rebuilt(tensor, permuted)

    def _order(self, width: int, seed: int, i: int) -> NDArray[np.intp]:
        """Return the order of the units of one width: it does not depend on the tensor."""
        digest = hashlib.sha256(f"{seed}\0{self.kind}\0{width}\0{i}".encode()).digest()
        rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
        return rng.permutation(width)


@dataclass(frozen=True)
class _Permuted(Tensor):
    """A tensor whose rows and columns are those of another in another order."""

    tensor: Tensor = field(kw_only=True)
    down: NDArray[np.intp] = field(kw_only=True, repr=False, compare=False)
    across: NDArray[np.intp] = field(kw_only=True, repr=False, compare=False)

    @classmethod
    def of(cls, tensor: Tensor, down: NDArray[np.intp], across: NDArray[np.intp]) -> Self:
        """Take row ``down[i]`` and column ``across[j]`` of `tensor` to row i and column j."""
        name, shape, dtype, layout = tensor.name, tensor.shape, tensor.dtype, tensor.layout
        return cls(name, shape, dtype, layout=layout, tensor=tensor, down=down, across=across)

    def __post_init__(self) -> None:
        set_addressable(self, self.tensor)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        columns = self.across.size
        top, bottom = start // columns, -(-stop // columns)
        rows = [
            stored_words(self.tensor, row * columns, (row + 1) * columns)[self.across]
            for row in self.down[top:bottom]
        ]
        words = np.concatenate(rows) if rows else stored_words(self.tensor, 0, 0)
        return packed(self.dtype, words[start - top * columns : stop - top * columns])
