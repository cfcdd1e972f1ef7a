"""The parts of a mosaic: tensors made of motifs, what was kept, what it costs and loses.

:class:`MosaicContent` is a complete, decodable description of a checkpoint: what a mosaic file
holds. :class:`~kcomplexity.containers.mosaic.Mosaic` adds reading, writing and expanding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.dense import SourceLayout
from kcomplexity.containers.index_coding import Mode
from kcomplexity.containers.motifs import Motifs
from kcomplexity.files.sources import Bytes, FileSource
from kcomplexity.tensors.checkpoint import Tensor

ScaleMode = Literal["none", "tensor", "row"]
SCALE_MODES: tuple[ScaleMode, ...] = ("none", "tensor", "row")


@dataclass(frozen=True)
class MosaicTensor(Tensor):
    """A tensor made of motifs."""

    motifs: NDArray[np.float32] = field(kw_only=True, repr=False, compare=False)
    #: One motif a block.
    indices: NDArray[np.uint32] = field(kw_only=True, repr=False, compare=False)
    tiling: Tiling = field(kw_only=True)
    #: What the motifs are multiplied by: the whole tensor, or each row of its matrix form.
    scales: NDArray[np.float32] | None = field(kw_only=True, repr=False, compare=False)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Look up the motifs of the blocks that hold the range, scale and round them."""
        first, last, at = self.tiling.covering(start, stop)
        joined = self.tiling.join(self.motifs[self.indices[first:last]])
        values = joined[start - at : stop - at]
        if self.scales is not None:
            values = values * scale_of_weights(self.scales, self.tiling, start, stop)
        values = values.astype(np.float64) if self.dtype.bits == 64 else values
        limit = values.dtype.type(self.dtype.largest)
        return self.dtype.encode(np.clip(values, -limit, limit))


def scale_of_weights(
    scales: NDArray[np.float32], tiling: Tiling, start: int, stop: int
) -> NDArray[np.float32]:
    """Return the scale of each weight from `start` to `stop`."""
    if scales.size == 1:
        return np.broadcast_to(scales, (stop - start,))
    return scales[np.arange(start, stop) // max(tiling.columns, 1)]


@dataclass(frozen=True)
class BitBudget:
    """What a mosaic costs, in bits.

    `indices_fixed` is m * ceil(log2 k), as in the paper, and `total_nominal` k * s * q +
    `indices_fixed` + `kept`, where q is the source's bits a weight. The other items are those of
    the file; the container is the header, the table (names, shapes, layout, metadata) and padding.
    """

    motifs: int
    indices_fixed: int
    indices_coded: int
    scales: int
    kept: int
    container: int
    total_nominal: int

    @property
    def total_coded(self) -> int:
        """Everything in the file."""
        return self.motifs + self.indices_coded + self.scales + self.kept + self.container

    @property
    def fitted(self) -> int:
        """Motifs, indices and scales, from which the fitted tensors are decoded."""
        return self.motifs + self.indices_coded + self.scales


@dataclass(frozen=True)
class Distortion:
    """How far expanded weights are from the source's, over fitted, unpadded weights."""

    #: Sum of squared error, float64, as expanded in the stored dtype.
    sse: float
    #: Sum of the source's squared weights, the mean included.
    squares: float
    max_abs: float
    #: Fitted weights, and those whose value is not the source's.
    n_weights: int
    n_changed: int

    @property
    def mse(self) -> float:
        """Mean squared error."""
        return self.sse / self.n_weights if self.n_weights else 0.0

    @property
    def relative_mse(self) -> float:
        """Squared error over sum of squares; 0 where both are 0."""
        return self.sse / self.squares if self.squares else float(self.sse > 0)

    @property
    def snr_db(self) -> float | None:
        """Signal-to-noise ratio in decibels; None without an error or without a signal."""
        return 10 * math.log10(self.squares / self.sse) if self.sse and self.squares else None

    @classmethod
    def total(cls, parts: Iterable[Distortion]) -> Distortion:
        """Return the distortion of several tensors together."""
        parts = list(parts)
        return cls(
            math.fsum(part.sse for part in parts),
            math.fsum(part.squares for part in parts),
            max((part.max_abs for part in parts), default=0.0),
            sum(part.n_weights for part in parts),
            sum(part.n_changed for part in parts),
        )


@dataclass(frozen=True, repr=False, kw_only=True)
class MosaicFacts:
    """What a mosaic's file says of the whole, in its table."""

    block: BlockShape
    scale: ScaleMode
    method: str
    zero_motif: bool
    scope: str
    layout: SourceLayout
    distortion: Distortion
    #: Of the source.
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, repr=False, kw_only=True)
class MosaicContent(MosaicFacts):
    """A checkpoint as motifs, one motif index per block, and what was kept verbatim."""

    #: What it was fitted to, or loaded from.
    path: str
    #: In file order: :class:`MosaicTensor`, or the source's own where it was kept.
    tensors: dict[str, Tensor]
    #: Which motifs each fitted tensor uses.
    set_of: dict[str, int]
    motifs: tuple[Motifs, ...]
    #: Usage level of each motif, in their order.
    usage: tuple[NDArray[np.int64], ...]
    #: How the indices of each set are coded.
    modes: tuple[Mode, ...]
    #: The coded usage and indices of each set.
    words: tuple[NDArray[np.uint32], ...]
    #: Motifs asked for in each set: those that no block uses are not stored.
    n_motifs_of_sets: tuple[int, ...]
    #: Files that kept tensors are read from.
    sources: tuple[FileSource, ...] = ()
    #: Of each fitted tensor, if the mosaic was fitted in this process; a file holds their total.
    distortions: Mapping[str, Distortion] = field(default_factory=dict)

    @property
    def fitted(self) -> dict[str, MosaicTensor]:
        """The tensors made of motifs."""
        return {n: t for n, t in self.tensors.items() if isinstance(t, MosaicTensor)}

    @property
    def kept(self) -> dict[str, Tensor]:
        """The tensors kept verbatim."""
        return {n: t for n, t in self.tensors.items() if not isinstance(t, MosaicTensor)}

    @property
    def n_motifs(self) -> int:
        """Motifs asked for in all sets together, k."""
        return sum(self.n_motifs_of_sets)

    @property
    def n_blocks(self) -> int:
        """Blocks in all fitted tensors, m."""
        return sum(tensor.indices.size for tensor in self.fitted.values())

    @property
    def n_fitted(self) -> int:
        """Fitted weights, without padding."""
        return sum(tensor.n_weights for tensor in self.fitted.values())

    def names_of_set(self, number: int) -> list[str]:
        """Return the names of the fitted tensors of one motif set, in file order."""
        return [name for name in self.tensors if self.set_of.get(name) == number]

    def counts(self, number: int) -> NDArray[np.int64]:
        """Return how many blocks use each motif of one set."""
        counts = np.zeros(len(self.motifs[number]), np.int64)
        for name in self.names_of_set(number):
            counts += np.bincount(self.fitted[name].indices, minlength=counts.size)
        return counts
