"""The contract of a lossy coding in a rate-distortion sweep.

A coding is a frozen dataclass: which one, at which setting. ``code(tensors)`` returns a
:class:`Coded`: the bits of a stream that has really been written, side information included, and
the tensors that a decoder makes of it. All codings see the same tensors and are measured by the
same functions, so their points can be drawn in one picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kcomplexity.algorithms.entropy_coding.ans import AnsEncoder
from kcomplexity.files.sources import Bytes
from kcomplexity.parallel import FRAME
from kcomplexity.tensors.checkpoint import Tensor

__all__ = ["Coded", "Coding", "Ints", "Levels", "Quantised", "add_levels", "levels_of"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """What a coding made of the fitted tensors.

    Attributes
    ----------
    bits : float
        Of the stream, side information included.
    tensors : dict of str to Tensor
        As decoded, in the stored dtypes.
    """

    bits: float
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Coding(ABC):
    """Base of every coding; the fields of a subclass are its setting."""

    #: What the coding is called in a row.
    name: ClassVar[str]

    @abstractmethod
    def code(self, tensors: Mapping[str, Tensor]) -> Coded:
        """Code tensors, all finite."""

    @property
    def setting(self) -> dict[str, Any]:
        """The fields, for a row."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class Levels:
    """A uniform quantiser.

    Attributes
    ----------
    step : float
        Levels are round(w / step), half to even.
    threshold : float
        Weights of a smaller magnitude are level 0.
    """

    step: float
    threshold: float = 0.0

    def of(self, weights: NDArray[Any]) -> Ints:
        """Return the level of each weight."""
        wide = weights.astype(np.float64)
        levels = np.rint(wide / self.step)
        if self.threshold:
            levels[np.abs(wide) < self.threshold] = 0
        found: Ints = levels.astype(np.int64)
        return found


@dataclass(frozen=True)
class Quantised(Tensor):
    """A tensor read as a decoder of its levels would make it: a pure function of the source."""

    tensor: Tensor
    levels: Levels

    @classmethod
    def of(cls, tensor: Tensor, levels: Levels) -> Quantised:
        """Quantise `tensor`."""
        return cls(tensor.name, tensor.shape, tensor.dtype, tensor, levels, layout=tensor.layout)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read the range, quantise it and put the levels back."""
        found = self.levels.of(self.tensor.read(start, stop)) * self.levels.step
        return self.dtype.encode(found)


def levels_of(tensor: Tensor, levels: Levels) -> Ints:
    """Return the levels of a whole tensor, in order."""
    parts = [
        levels.of(tensor.read(start, min(start + FRAME, tensor.n_weights)))
        for start in range(0, tensor.n_weights, FRAME)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def add_levels(levels: Ints, encoder: AnsEncoder) -> None:
    """Add levels under their own counts, which are charged: order 0."""
    low = int(levels.min(initial=0))
    counts = np.bincount(levels - low)
    encoder.integers(np.array([-low, counts.size]))
    encoder.integers(counts)
    present = np.flatnonzero(counts)
    encoder.symbols(np.searchsorted(present, levels - low), counts[present])
