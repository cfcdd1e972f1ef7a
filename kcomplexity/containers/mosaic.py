"""A mosaic: motifs, one motif index per block, and what was kept verbatim.

:meth:`Mosaic.checkpoint` is the checkpoint that it decodes to, whose tensors are read by range
like any other; :meth:`Mosaic.save` and :meth:`Mosaic.load` are its file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from kcomplexity.containers.dense import refuse_input, write_dense
from kcomplexity.containers.mosaic_file import bit_budget, write_mosaic
from kcomplexity.containers.mosaic_parts import BitBudget, MosaicContent
from kcomplexity.containers.mosaic_reading import read_mosaic
from kcomplexity.tensors.checkpoint import Checkpoint


@dataclass(frozen=True, repr=False, kw_only=True)
class Mosaic(MosaicContent):
    """A checkpoint as motifs, one motif index per block, and what was kept verbatim.

    Its fields are those of :class:`~kcomplexity.containers.mosaic_parts.MosaicContent`.
    """

    def __repr__(self) -> str:
        return (
            f"<Mosaic of {self.path!r}: {self.n_motifs} motifs of {self.block}, "
            f"{self.n_blocks} blocks, {len(self.fitted)} of {len(self.tensors)} tensors fitted "
            f"({self.method})>"
        )

    @cached_property
    def bits(self) -> BitBudget:
        """What the file on disk takes, item by item."""
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

    def checkpoint(self) -> Checkpoint:
        """Return the dense checkpoint that the mosaic stands for, read lazily."""
        return Checkpoint(self.path, "mosaic", self.tensors, self.metadata, self.sources)

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
        refuse_input(Path(path), self.checkpoint())
        write_mosaic(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a mosaic from a file and check every byte of it.

        Raises
        ------
        CorruptCheckpointError
            If it is truncated, altered, or not a mosaic; the message says which.
        """
        return cls(**vars(read_mosaic(Path(path))))

    def expand(self, path: str | Path) -> None:
        """Write the dense checkpoint: the source's names, shapes, dtypes, metadata and shards.

        Parameters
        ----------
        path : path
            A ``.safetensors`` file, or the folder for a sharded source.

        Raises
        ------
        OutputError
            If it cannot be written; no partial file or folder is left.
        """
        refuse_input(Path(path), self.checkpoint())
        write_dense(Path(path), self.checkpoint(), self.layout)

    def close(self) -> None:
        """Close the files that kept tensors are read from."""
        for source in self.sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
