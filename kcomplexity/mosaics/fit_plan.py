"""What is to be fitted: the blocks of each tensor, and which tensors share motifs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kcomplexity.containers.blocks import Tiling
from kcomplexity.controls import Control
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.selection import Selection
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.groups import group_name


@dataclass(frozen=True)
class MotifSet:
    """Tensors that share motifs, and how each is cut into blocks."""

    name: str
    tensors: tuple[Tensor, ...]
    tilings: tuple[Tiling, ...]

    @property
    def m(self) -> int:
        """Blocks."""
        return sum(tiling.n_blocks for tiling in self.tilings)


@dataclass(frozen=True)
class FitPlan:
    """What is to be fitted. Weights have been checked for being finite, and not used otherwise.

    `controls` are fitted at the same error, to compare their bits. `output` is the mosaic's file.
    """

    selection: Selection
    options: FitOptions
    sets: tuple[MotifSet, ...]
    controls: tuple[Control, ...] = ()
    output: Path | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The source, with all its tensors."""
        return self.selection.checkpoint

    @property
    def n_fitted(self) -> int:
        """Weights to be fitted."""
        return sum(tensor.n_weights for tensor in self.selection.fitted.values())

    @property
    def fitted_bits(self) -> int:
        """Bits of the tensors to be fitted, as stored."""
        return 8 * sum(tensor.n_bytes for tensor in self.selection.fitted.values())

    @property
    def kept_bits(self) -> int:
        """Bits of the tensors that are kept verbatim."""
        return 8 * self.checkpoint.n_bytes - self.fitted_bits


def plan_fit(selection: Selection, options: FitOptions) -> FitPlan:
    """Cut the tensors into blocks and group them into sets that share motifs.

    Raises SpecError if a block is larger than every tensor, there are more motifs than blocks, or
    a target in bits is not below the size of the source.
    """
    block = options.block
    largest = max(tensor.n_weights for tensor in selection.fitted.values())
    if block.size > largest:
        raise SpecError(
            f"blocks of {block.size} weights, and the largest tensor has {largest}: expected a "
            "block that fits into one"
        )
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in selection.fitted.items():
        key = {"model": "model", "group": group_name(name), "tensor": name}[options.scope]
        groups.setdefault(key, []).append(tensor)
    sets = tuple(
        MotifSet(key, tuple(members), tuple(Tiling(*t.matrix_shape, block) for t in members))
        for key, members in groups.items()
    )
    for motif_set in sets:
        options.k_of(motif_set.m)
    plan = FitPlan(selection, options, sets)
    if (options.bits_per_weight or 0.0) * plan.n_fitted >= plan.fitted_bits:
        raise SpecError(
            f"{options.bits_per_weight:g} bits a weight: expected less than the "
            f"{plan.fitted_bits / plan.n_fitted:g} that the source stores"
        )
    n_bytes = selection.checkpoint.n_bytes
    if (options.size or 0) >= n_bytes:
        raise SpecError(
            f"a size of {options.size} bytes: expected less than the {n_bytes} that the source's "
            "tensors take"
        )
    return plan
