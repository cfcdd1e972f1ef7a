"""The contract of a lossy coding: tensors in, a decodable stream and the decoded tensors out.

A coding is a frozen dataclass; its fields are its setting. ``code(tensors)`` returns a
:class:`Coded`: the bits of a stream that has really been written, side information included, and
the tensors that a decoder makes of it. All codings see the same tensors and are measured by the
same functions, so that their points can be drawn in one picture.

``recipes(grid, tensors)`` yields the settings that a sweep tries. A coding whose setting depends on
the weights (a step that meets an error) yields a recipe whose ``resolved()`` computes it, so that
the work is done when it is its turn, and a failure is a row of its own.

To add one: a class here or in a package of yours, registered in :mod:`kcomplexity.codings` or by an
entry point in the group ``kcomplexity.codings``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.containers.motifs import encode_counted
from kcomplexity.registry import class_problem
from kcomplexity.tensors.checkpoint import Tensor

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """A coded set of tensors: the bits of the stream, and the tensors decoded, in their dtypes."""

    bits: float
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Grid:
    """What a sweep asks of every coding."""

    #: Relative squared errors, for codings that aim at an error.
    errors: tuple[float, ...]
    #: Numbers of motifs as shares of the blocks, for codings that take a number of motifs.
    capacities: tuple[float, ...]
    #: Of codings that cut tensors into blocks.
    block_size: str = "4"
    seed: int = 0


@dataclass(frozen=True)
class Coding(ABC):
    """Base of every coding; the fields of a subclass are its setting."""

    #: What the coding is called in a row.
    name: ClassVar[str]
    #: Whether tensors are cut into blocks, so that a sweep tries each block size.
    in_blocks: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def recipes(cls, grid: Grid, tensors: Mapping[str, Tensor]) -> Iterator[Coding]:
        """Yield the codings that a sweep over `grid` tries on `tensors`."""

    def resolved(self) -> Coding:
        """Return the coding with its whole setting computed; SpecError if none meets the aim."""
        return self

    @abstractmethod
    def code(self, tensors: Mapping[str, Tensor], *, threads: int | None = None) -> Coded:
        """Code tensors, all finite; no figure depends on `threads`."""

    @property
    def setting(self) -> dict[str, Any]:
        """The fields, for a row."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def check_coding(_name: str, thing: object) -> str | None:
    """Return what `thing` lacks to be registered as a coding, or None."""
    return class_problem(thing, Coding, ("name",))


@dataclass(frozen=True)
class Quantiser:
    """A uniform quantiser: levels are round(w / step), half to even; 0 below the threshold."""

    step: float
    threshold: float = 0.0

    def levels(self, weights: NDArray[Any]) -> Ints:
        """Return the level of each weight."""
        wide = weights.astype(np.float64)
        levels = np.rint(wide / self.step)
        if self.threshold:
            levels[np.abs(wide) < self.threshold] = 0
        return levels.astype(np.int64)


def encode_order0(levels: Ints, encoder: AnsEncoder) -> None:
    """Add levels under their own counts, which are charged: order 0."""
    low = int(levels.min(initial=0))
    above = levels - low
    encoder.integers(np.array([-low, int(above.max(initial=-1)) + 1]))
    encode_counted(above, encoder)
