"""Mosaics as codings: motifs and indices of each fitter, without kept tensors and container."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kcomplexity.codings.base import Coded, Coding, Grid
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.fit_plan import plan_fit
from kcomplexity.mosaics.run import run_fit
from kcomplexity.mosaics.selection import Selection
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor


@dataclass(frozen=True)
class MosaicCoding(Coding):
    """A mosaic by the fitter that the coding is named after; one of two targets is set."""

    block_size: str
    capacity: float | None = None
    relative_mse: float | None = None
    seed: int = 0

    in_blocks: ClassVar[bool] = True

    @classmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        for capacity in grid.capacities:
            yield cls(grid.block_size, capacity=capacity, seed=grid.seed)

    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        """Fit motifs that all tensors share."""
        options = FitOptions(method=self.name, **self.setting, seed=self.seed)
        checkpoint = Checkpoint("tensors", "mapping", dict(tensors))
        plan = plan_fit(Selection(checkpoint, checkpoint.tensors), options)
        mosaic = run_fit(plan, threads=threads)
        return Coded(mosaic.bits.fitted, mosaic.fitted)

    @property
    def setting(self) -> dict[str, Any]:
        """The block size and the target."""
        targets = {"capacity": self.capacity, "relative_mse": self.relative_mse}
        return {"block_size": self.block_size} | {k: v for k, v in targets.items() if v is not None}


class EcvqCoding(MosaicCoding):
    """Entropy-constrained motifs, at an error."""

    name = "ecvq"

    @classmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        for error in grid.errors:
            yield cls(grid.block_size, relative_mse=error, seed=grid.seed)


class KMeansCoding(MosaicCoding):
    """Motifs by Lloyd's algorithm, a share of the blocks."""

    name = "kmeans"


class SampleCoding(MosaicCoding):
    """Blocks drawn at random as motifs, a share of the blocks."""

    name = "sample"
