"""How a mosaic is fitted: the options and their checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from kcomplexity.containers.blocks import BlockShape
from kcomplexity.containers.mosaic_parts import SCALE_MODES, ScaleMode
from kcomplexity.containers.motifs import MOST_MOTIFS, MOTIF_DTYPES, MotifDtype
from kcomplexity.errors import SpecError
from kcomplexity.mosaics.fitters import FITTERS, Fitter
from kcomplexity.mosaics.selection import Selecting
from kcomplexity.parallel.running import part_of, refuse_unknown
from kcomplexity.tensors.groups import SCOPES, Scope
from kcomplexity.text import plural

#: Motifs as a share of the blocks where no target is set: the paper's.
DEFAULT_CAPACITY = 0.01

#: The options that set a target.
TARGETS = ("motifs", "capacity", "bits_per_weight", "relative_mse", "size")

#: Options, which numbers are valid, and what is said of others.
_RANGES: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    ("capacity", lambda c: 0 < c <= 1, "capacity {:g}: expected a share of the blocks in (0, 1]"),
    ("train_points", lambda n: n >= 1, "{} train points: expected at least one"),
    ("motifs", lambda k: k >= 1, "{} motifs: expected at least one"),
    ("relative_mse", lambda e: 0 < e < 1, "relative error {:g}: expected one in (0, 1), e.g. 0.1"),
    ("bits_per_weight", lambda b: b > 0, "{:g} bits a weight: expected more than 0"),
    ("size", lambda n: n >= 1, "a size of {} bytes: expected more than 0, e.g. 300KB"),
)


class Fitting(Selecting, total=False):
    """Keyword arguments that say how a mosaic is fitted, and to which tensors.

    Those of :class:`~kcomplexity.mosaics.selection.Selecting` are among them. At most one of
    `motifs`, `capacity`, `bits_per_weight`, `relative_mse` and `size` is the target, but `motifs`
    may limit the number of motifs for `relative_mse`. Without a target, capacity is 0.01.
    """

    #: Weights of a block: a run of ``4``, or ``"2x4"``, 2 rows by 4 columns.
    block_size: str | int
    #: How motifs are found: ``"sample"``, ``"kmeans"`` or ``"ecvq"``, the default.
    method: str
    #: Number of motifs, k, of each set of tensors that share them.
    motifs: int | None
    #: Number of motifs as a share of the blocks, in (0, 1].
    capacity: float | None
    #: Bits of motifs, indices and scales per fitted weight.
    bits_per_weight: float | None
    #: Squared error over the sum of squares, in (0, 1), as stored.
    relative_mse: float | None
    #: Bytes of the mosaic's file.
    size: int | None
    #: Which tensors share motifs: all, those whose names differ in layer numbers only, or none.
    scope: Scope
    #: Which root mean squares are divided out before motifs are fitted, and stored.
    scale: ScaleMode
    #: How motifs are stored; by default what the method chooses.
    motif_dtype: MotifDtype | None
    #: Whether one motif is the zero block.
    zero_motif: bool
    #: Blocks that the rounds of a method see.
    train_points: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a mosaic is fitted, checked; :class:`Fitting` describes each field."""

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
        for name in (*TARGETS, "train_points"):
            if not isinstance(getattr(self, name), int | float | None):
                raise SpecError(f"{name} {getattr(self, name)!r}: expected a number")
        targets = [name for name in TARGETS if getattr(self, name) is not None]
        if len(targets) > 1 and targets != ["motifs", "relative_mse"]:
            raise SpecError(f"{' and '.join(targets)} are given: a fit has one target")
        for name, is_valid, message in _RANGES:
            number = getattr(self, name)
            if number is not None and not is_valid(number):
                raise SpecError(message.format(number))
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
        """The shape of a block."""
        return BlockShape.parse(self.block_size)

    def fitter(self) -> Fitter:
        """Return the fitter that `method` names; SpecError if it is unknown."""
        cls = FITTERS.lookup(self.method)
        if self.train_points is None:
            return cls()
        if "train_points" not in cls.__dataclass_fields__:
            raise SpecError(f"method {self.method} sees all blocks: it has no train points")
        return cls(train_points=self.train_points)  # type: ignore[call-arg]

    def k_of(self, m: int) -> int | None:
        """Return the number of motifs for a set of `m` blocks; None where a target decides it."""
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


def capacity_motifs(capacity: float, m: int) -> int:
    """Return k = max(1, floor(c * m)), never above m.

    Examples
    --------
    >>> capacity_motifs(0.05, 493317)
    24665
    """
    return min(max(1, math.floor(capacity * m)), m)


def parse_options(options: Fitting) -> tuple[FitOptions, Selecting]:
    """Split the options of a call into how a mosaic is fitted and which tensors are."""
    refuse_unknown(options, Fitting)
    of_fit = {k: v for k, v in options.items() if k in FitOptions.__dataclass_fields__}
    return FitOptions(**cast("dict[str, Any]", of_fit)), part_of(options, Selecting)
