"""How a mosaic is fitted: the options, checked as they are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kcomplexity.containers.blocks import BlockShape
from kcomplexity.containers.mosaic_parts import SCALE_MODES, ScaleMode
from kcomplexity.containers.motifs import MOST_MOTIFS, MOTIF_DTYPES, MotifDtype
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fitters import FITTERS, Fitter
from kcomplexity.tensors.groups import SCOPES, Scope
from kcomplexity.text import plural

__all__ = ["DEFAULT_CAPACITY", "FitOptions", "capacity_motifs"]

#: Motifs asked for when nothing says how far to go, as a share of the blocks: the paper's.
DEFAULT_CAPACITY = 0.01

#: The options that say how far to go.
_TARGETS = ("motifs", "capacity", "bits_per_weight", "relative_mse", "size")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a mosaic is fitted; see :func:`kcomplexity.mosaics.fitting.fit_mosaic`."""

    block_size: str | int = 4
    method: str = "ecvq"
    motifs: int | None = None
    capacity: float | None = None
    bits_per_weight: float | None = None
    relative_mse: float | None = None
    size: int | None = None
    scope: Scope = "model"
    scale: ScaleMode = "none"
    motif_dtype: MotifDtype | None = None
    zero_motif: bool = False
    train_points: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (*_TARGETS, "train_points"):
            if not isinstance(getattr(self, name), int | float | None):
                raise SpecError(f"{name} {getattr(self, name)!r}: expected a number")
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        if len(given) > 1 and given != ["motifs", "relative_mse"]:
            raise SpecError(f"{' and '.join(given)} are given: a fit has one target")
        if self.capacity is not None and not 0 < self.capacity <= 1:
            raise SpecError(f"capacity {self.capacity:g}: expected a share of the blocks in (0, 1]")
        if self.train_points is not None and self.train_points < 1:
            raise SpecError(f"{self.train_points} train points: expected at least one")
        if self.motifs is not None and self.motifs < 1:
            raise SpecError(f"{self.motifs} motifs: expected at least one")
        if self.relative_mse is not None and not 0 < self.relative_mse < 1:
            raise SpecError(
                f"relative error {self.relative_mse:g}: expected one in (0, 1), e.g. 0.1"
            )
        if self.bits_per_weight is not None and not self.bits_per_weight > 0:
            raise SpecError(f"{self.bits_per_weight:g} bits a weight: expected more than 0")
        if self.size is not None and self.size < 1:
            raise SpecError(f"a size of {self.size} bytes: expected more than 0, e.g. 300KB")
        for name, value, known in (
            ("scope", self.scope, SCOPES),
            ("scale", self.scale, SCALE_MODES),
            ("motif dtype", self.motif_dtype, (None, *MOTIF_DTYPES)),
        ):
            if value not in known:
                words = ", ".join(filter(None, known))
                raise SpecError(f"{name} {value!r}: expected one of {words}")

    @property
    def block(self) -> BlockShape:
        """What one block covers."""
        return BlockShape.parse(self.block_size)

    def fitter(self) -> Fitter:
        """Return the fitter that `method` names.

        Raises
        ------
        SpecError
            If there is none, or it has no such option.
        """
        cls = FITTERS.lookup(self.method)
        if self.train_points is None:
            return cls()
        if "train_points" not in cls.__dataclass_fields__:
            raise SpecError(f"method {self.method} sees all blocks: it has no train points")
        return cls(train_points=self.train_points)  # type: ignore[call-arg]

    def k_of(self, m: int) -> int | None:
        """Return how many motifs a set of `m` blocks gets; None where a target decides."""
        k = self.motifs
        if k is not None and k > m:
            raise SpecError(
                f"{k} motifs for {plural(m, 'block')}: expected at most as many as there are "
                "blocks; --capacity takes a share of them"
            )
        if self.capacity is not None:
            k = capacity_motifs(self.capacity, m)
        if k is not None and k > MOST_MOTIFS:
            raise SpecError(
                f"{k} motifs for {plural(m, 'block')}: expected at most 2**24; take fewer, larger "
                "blocks or --scope tensor"
            )
        return k

    @property
    def has_target(self) -> bool:
        """Whether anything says how far to go."""
        return any(getattr(self, name) is not None for name in _TARGETS)


def capacity_motifs(capacity: float, m: int) -> int:
    """Return k = max(1, floor(c * m)), never above m.

    Examples
    --------
    >>> capacity_motifs(0.05, 493317)
    24665
    """
    return min(max(1, math.floor(capacity * m)), m)
