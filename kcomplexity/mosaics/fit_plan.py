"""What would be fitted: blocks laid over tensors, and which tensors share motifs."""

from __future__ import annotations

from dataclasses import dataclass

from kcomplexity.containers.blocks import Tiling
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fit_options import FitOptions
from kcomplexity.mosaics.selection import Selection
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.groups import group_name

__all__ = ["FitPlan", "MotifSet", "plan_fit"]


@dataclass(frozen=True)
class MotifSet:
    """Tensors that share motifs.

    Attributes
    ----------
    name : str
    tensors : tuple of Tensor
    tilings : tuple of Tiling
    """

    name: str
    tensors: tuple[Tensor, ...]
    tilings: tuple[Tiling, ...]

    @property
    def m(self) -> int:
        """Blocks."""
        return sum(tiling.n_blocks for tiling in self.tilings)


@dataclass(frozen=True)
class FitPlan:
    """What would be fitted, before any weight is looked at but for being finite.

    Attributes
    ----------
    checkpoint : Checkpoint
    options : FitOptions
    selection : Selection
    sets : tuple of MotifSet
    """

    checkpoint: Checkpoint
    options: FitOptions
    selection: Selection
    sets: tuple[MotifSet, ...]

    @property
    def n_fitted(self) -> int:
        """Weights to be fitted."""
        return sum(tensor.n_weights for tensor in self.selection.fitted.values())

    @property
    def kept_bits(self) -> int:
        """Bits of the tensors that stay as they are."""
        fitted = sum(tensor.n_bytes for tensor in self.selection.fitted.values())
        return 8 * (self.checkpoint.n_bytes - fitted)


def plan_fit(checkpoint: Checkpoint, selection: Selection, options: FitOptions) -> FitPlan:
    """Lay blocks over the tensors and sort them into sets that share motifs.

    Raises
    ------
    SpecError
        If a block is larger than every tensor, there are more motifs than blocks, or a target in
        bits is no less than what the source takes.
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
    for found in sets:
        options.k_of(found.m)
    plan = FitPlan(checkpoint, options, selection, sets)
    stored = 8 * sum(tensor.n_bytes for tensor in selection.fitted.values())
    if (options.bits_per_weight or 0.0) * plan.n_fitted >= stored:
        raise SpecError(
            f"{options.bits_per_weight:g} bits a weight: expected less than the "
            f"{stored / plan.n_fitted:g} that the source stores"
        )
    if (options.size or 0) >= checkpoint.n_bytes:
        raise SpecError(
            f"a size of {options.size} bytes: expected less than the {checkpoint.n_bytes} that "
            "the source's tensors take"
        )
    return plan
