"""A mosaic: motifs, one motif index per block, and what was kept verbatim.

A complete, decodable description of a checkpoint. :class:`MosaicTensor` is a tensor that is read
from it by range like any other; :meth:`Mosaic.checkpoint` lays them out as the checkpoint they
stand for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from kcomplexity.containers.blocks import BlockShape, Tiling
from kcomplexity.containers.index_coding import Mode
from kcomplexity.containers.motifs import Motifs
from kcomplexity.containers.writers import FileLayout, refuse_input, write_dense
from kcomplexity.files.sources import Bytes, FileSource
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor

__all__ = [
    "SCALE_MODES",
    "BitBudget",
    "Distortion",
    "Mosaic",
    "MosaicTensor",
    "ScaleMode",
    "SourceLayout",
    "by_set",
    "spread",
]

ScaleMode = Literal["none", "tensor", "row"]
SCALE_MODES: tuple[ScaleMode, ...] = ("none", "tensor", "row")


@dataclass(frozen=True)
class MosaicTensor(Tensor):
    """A tensor made of motifs.

    Attributes
    ----------
    motifs : ndarray of shape (k, s), float32
    indices : ndarray of shape (n_blocks,), uint32
        One motif a block.
    tiling : Tiling
    scales : ndarray of shape (1,) or (rows,), float32, or None
        What the motifs are multiplied by: the whole tensor, or each row of its matrix form.
    """

    motifs: NDArray[np.float32] = field(kw_only=True, repr=False, compare=False)
    indices: NDArray[np.uint32] = field(kw_only=True, repr=False, compare=False)
    tiling: Tiling = field(kw_only=True)
    scales: NDArray[np.float32] | None = field(
        default=None, kw_only=True, repr=False, compare=False
    )

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Look up the motifs of the blocks that hold the range, scale and round them."""
        first, last, at = self.tiling.covering(start, stop)
        joined = self.tiling.join(self.motifs[self.indices[first:last]])
        values = joined[start - at : stop - at]
        if self.scales is not None:
            values = values * spread(self.scales, self.tiling, start, stop)
        values = values.astype(np.float64) if self.dtype.bits == 64 else values
        limit = values.dtype.type(self.dtype.largest)
        return self.dtype.encode(np.clip(values, -limit, limit))


def spread(
    scales: NDArray[np.float32], tiling: Tiling, start: int, stop: int
) -> NDArray[np.float32]:
    """Return the scale of each weight from `start` to `stop`."""
    if scales.size == 1:
        return np.broadcast_to(scales, (stop - start,))
    rows = np.arange(start, stop) // max(tiling.columns, 1)
    return scales[rows]


@dataclass(frozen=True)
class SourceLayout:
    """Where the tensors of the source lie, so that it can be laid out again.

    Attributes
    ----------
    files : tuple of FileLayout
    index : dict or None
        ``{"name", "metadata"}`` of the index of a sharded source.
    """

    files: tuple[FileLayout, ...]
    index: dict[str, Any] | None = None


@dataclass(frozen=True)
class BitBudget:
    """What a mosaic costs, in bits.

    Attributes
    ----------
    motifs, indices_coded, scales, kept, container : int
        As they lie in the file; they add up to `total_coded`. The container is the header, the
        table (names, shapes, layout, metadata) and alignment.
    indices_fixed : int
        m * ceil(log2 k), as in the paper.
    total_nominal : int
        k * s * q + m * ceil(log2 k) + kept bits, q the source's bits a weight.
    total_coded : int
        The file on disk.
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
        """Everything that lies in the file."""
        return self.motifs + self.indices_coded + self.scales + self.kept + self.container

    @property
    def fitted(self) -> int:
        """What stands for the fitted tensors: motifs, indices, scales."""
        return self.motifs + self.indices_coded + self.scales


@dataclass(frozen=True)
class Distortion:
    """How far the expanded weights are from the source's, over fitted, unpadded weights.

    Attributes
    ----------
    sse : float
        Sum of squared error, float64, as expanded in the stored dtype.
    squares : float
        Sum of the source's squared weights, the mean included.
    max_abs : float
    n_weights, n_changed : int
        Fitted weights, and those whose value is not the source's.
    """

    sse: float
    squares: float
    max_abs: float
    n_weights: int
    n_changed: int

    @property
    def mse(self) -> float:
        """Mean squared error."""
        return self.sse / self.n_weights if self.n_weights else 0.0

    @property
    def relative_mse(self) -> float:
        """Squared error over sum of squares; 0 where there is neither."""
        return self.sse / self.squares if self.squares else float(self.sse > 0)

    @property
    def snr_db(self) -> float | None:
        """Signal to noise, in decibels; None where there is no noise."""
        return 10 * math.log10(self.squares / self.sse) if self.sse and self.squares else None


@dataclass(frozen=True, repr=False, kw_only=True)
class Mosaic:
    """A checkpoint as motifs, indices and what was kept.

    Attributes
    ----------
    path : str
        What it was fitted to, or loaded from.
    tensors : dict of str to Tensor
        In file order: :class:`MosaicTensor`, or the source's own where it was kept.
    set_of : dict of str to int
        Which motifs each fitted tensor uses.
    motifs : tuple of Motifs
    usage : tuple of ndarray
        Usage level of each motif, in their order.
    modes : tuple of str
        How the indices of each set are coded.
    words : tuple of ndarray of uint32
        The coded usage and indices of each set.
    block : BlockShape
    scale : {"none", "tensor", "row"}
    n_motifs_of_sets : tuple of int
        Motifs asked for in each set: those that no block uses are not stored.
    method : str
    zero_motif : bool
    scope : str
    layout : SourceLayout
    distortion : Distortion
    metadata : dict of str to str
        Of the source.
    sources : tuple of FileSource
        Files that kept tensors are read from.
    """

    path: str
    tensors: dict[str, Tensor]
    set_of: dict[str, int]
    motifs: tuple[Motifs, ...]
    usage: tuple[NDArray[np.int64], ...]
    modes: tuple[Mode, ...]
    words: tuple[NDArray[np.uint32], ...]
    block: BlockShape
    scale: ScaleMode
    n_motifs_of_sets: tuple[int, ...]
    method: str
    zero_motif: bool
    scope: str
    layout: SourceLayout
    distortion: Distortion
    metadata: dict[str, str] = field(default_factory=dict)
    sources: tuple[FileSource, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<Mosaic of {self.path!r}: {self.n_motifs} motifs of {self.block}, "
            f"{self.n_blocks} blocks, {len(self.fitted)} of {len(self.tensors)} tensors fitted "
            f"({self.method})>"
        )

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

    @cached_property
    def bits(self) -> BitBudget:
        """What the file on disk takes, item by item."""
        from kcomplexity.containers.mosaic_file import bit_budget

        return bit_budget(self)

    @property
    def stored_bits(self) -> int:
        """Bits of the fitted tensors in the source."""
        return sum(8 * tensor.n_bytes for tensor in self.fitted.values())

    @property
    def bits_per_weight(self) -> float:
        """Coded bits of motifs, indices and scales a fitted weight."""
        return self.bits.fitted / max(self.n_fitted, 1)

    @property
    def rac_nominal(self) -> float:
        """The paper's reduction of algorithmic complexity; the same for noise."""
        nominal = self.bits.total_nominal - self.bits.kept
        return self.stored_bits / nominal if nominal else math.inf

    @property
    def rac_coded(self) -> float:
        """Stored bits of the fitted tensors over their coded bits."""
        return self.stored_bits / self.bits.fitted if self.bits.fitted else math.inf

    def counts(self, number: int) -> NDArray[np.int64]:
        """Return how many blocks use each motif of one set."""
        counts = np.zeros(len(self.motifs[number]), np.int64)
        for name, tensor in self.fitted.items():
            if self.set_of[name] == number:
                counts += np.bincount(tensor.indices, minlength=counts.size)
        return counts

    def checkpoint(self) -> Checkpoint:
        """Return the dense checkpoint that the mosaic stands for, read lazily."""
        return Checkpoint(
            self.path, "mosaic", dict(self.tensors), dict(self.metadata), self.sources
        )

    def reconstruct(self) -> dict[str, NDArray[Any]]:
        """Return every tensor as an array of its own dtype and shape."""
        return {name: tensor.to_numpy() for name, tensor in self.tensors.items()}

    def save(self, path: str | Path) -> None:
        """Write the mosaic to a file, whole or not at all; the same bytes every time.

        Raises
        ------
        OutputError
            If it cannot be written, or `path` is what the mosaic is read from.
        """
        from kcomplexity.containers.mosaic_file import write_mosaic

        refuse_input(Path(path), self.checkpoint())
        write_mosaic(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mosaic from a file and check every byte of it.

        Raises
        ------
        CorruptCheckpointError
            If it is truncated, altered, or no mosaic; the message says which.
        """
        from kcomplexity.containers.mosaic_reading import read_mosaic

        found = read_mosaic(Path(path))
        assert isinstance(found, cls)  # noqa: S101 - for the type alone
        return found

    def expand(self, path: str | Path) -> None:
        """Write the dense checkpoint: the source's names, shapes, dtypes, metadata and shards.

        Parameters
        ----------
        path : path
            A ``.safetensors`` file, or the folder for a sharded source.

        Raises
        ------
        OutputError
            If it cannot be written; nothing half-written is left.
        """
        refuse_input(Path(path), self.checkpoint())
        write_dense(Path(path), self.checkpoint(), self.layout.files, self.layout.index)

    def close(self) -> None:
        """Close the files that kept tensors are read from."""
        for source in self.sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def by_set(
    set_of: Mapping[str, int], tensors: Mapping[str, Tensor], n_sets: int
) -> Iterator[Sequence[str]]:
    """Yield the names of the fitted tensors of each motif set, in file order."""
    for number in range(n_sets):
        yield [name for name in tensors if set_of.get(name) == number]
