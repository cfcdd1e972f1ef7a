"""What a view is: how weights become symbols.

A :class:`View` is named in a spec (``q8:clip=99.9/bits``). ``prepare`` may pass over the tensor
first - for its range, its percentiles, the step that reaches a distortion - and returns an
:class:`Encoder`: frozen, picklable, and from then on a pure function of one piece of the tensor.
An encoder yields one unpacked unsigned array per *stream*, each with its :class:`Alphabet`; only
compressors pack them.

To add a view: a frozen dataclass deriving from :class:`View` whose fields are its parameters in
the order of the spec's grammar, registered in this package's ``__init__``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kcomplexity.errors import UnmeasurableError
from kcomplexity.parallel import Piece, Reducer
from kcomplexity.registry import class_problem
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.dtypes import StoredDtype
from kcomplexity.tensors.pieces import LEAF

Symbols = NDArray[Any]
#: Runs one reducer over the tensor at hand; the same reducer is never run twice.
Reduce = Callable[[Reducer], Any]


@dataclass(frozen=True, slots=True)
class Alphabet:
    """One stream of symbols.

    Attributes
    ----------
    name : str
        What the stream is, e.g. ``"exponent"``; empty when there is only one.
    size : int
        Symbols are 0 to size - 1.
    per_weight : float
        Symbols a weight: the bytes of float32 have 4, of four-bit floats 0.5.
    """

    name: str
    size: int
    per_weight: float = 1.0

    @property
    def width(self) -> int:
        """Bits that hold one symbol when packed."""
        return max((self.size - 1).bit_length(), 1)


class Encoded(NamedTuple):
    """The symbols of one piece, and what encoding it lost.

    Attributes
    ----------
    streams : tuple of ndarray
        One array of unsigned symbols per stream, in the piece's shape (flat for byte streams).
    squared_error, squares : sequence of float
        Per leaf, the sum of squared error and of squared weights, both in units of the encoder's
        ``error_unit``; empty for lossless views.
    """

    streams: tuple[Symbols, ...]
    squared_error: Sequence[float] = ()
    squares: Sequence[float] = ()


@dataclass(frozen=True)
class Encoder(ABC):
    """A pure function from a piece of the tensor to symbols.

    Attributes
    ----------
    streams : tuple of Alphabet
    side_bits : float
        Bits a decoder needs besides the symbols: scales, levels, steps.
    details : dict
        What the passes yield besides the step (an offset, a lowest level), kept in the row.
    error_unit : float
        What one unit of squared error is in squared weights.
    step : float or None
        What one level is in weights, of views with equally spaced levels.
    """

    streams: tuple[Alphabet, ...]
    side_bits: float = 0.0
    details: dict[str, float] = field(default_factory=dict, hash=False, compare=False)
    error_unit: float = 1.0
    step: float | None = None

    @abstractmethod
    def encode(self, piece: Piece) -> Encoded:
        """Return the symbols of one piece."""


@dataclass(frozen=True)
class View(ABC):
    """How weights become symbols; the fields of a subclass are the view's parameters."""

    split: str | None = field(default=None, kw_only=True)

    #: Whether the symbols determine the stored weights.
    lossless: ClassVar[bool] = False
    #: The splits this view has.
    splits: ClassVar[tuple[str, ...]] = ()
    #: Whether tensors of different stored dtypes can be laid end to end in this view, and as
    #: which dtype code they are read then.
    common_dtype: ClassVar[str | None] = None

    @property
    def target_mse(self) -> float | None:
        """Relative squared error that the levels are made to reach; None where none is set."""
        return None

    @abstractmethod
    def prepare(self, tensor: Tensor, reduce: Reduce) -> Encoder:
        """Make the passes the view needs and return its encoder for `tensor`.

        Raises
        ------
        UnmeasurableError
            If the tensor has no such view, with the reason a row can carry.
        """


def check_view(_name: str, thing: object) -> str | None:
    """Return what `thing` lacks to be registered as a view, or None."""
    return class_problem(thing, View, ())


def weights_only(dtype: StoredDtype) -> None:
    """Refuse what is not real floating-point: codes, indices, masks and complex numbers."""
    if not dtype.is_float:
        raise UnmeasurableError(
            f"{dtype.code} values are not weights: only @bytes, @words and @codes measure them, "
            "without a split"
        )
    if dtype.numpy is None:
        raise UnmeasurableError(f"{dtype.code}: {dtype.refusal}")


def leaves(flat: NDArray[Any]) -> range:
    """Return the starts of the leaves in a chunk: the unit that stays in the cache."""
    return range(0, flat.size, LEAF)


def smallest(size: int) -> np.dtype[Any]:
    """Return the smallest unsigned type that holds symbols below `size`."""
    return np.min_scalar_type(max(size - 1, 0))


def bit_planes(symbols: Symbols, width: int) -> tuple[Symbols, ...]:
    """Split symbols into `width` planes of 0/1, the top bit first."""
    one = symbols.dtype.type(1)
    return tuple(
        (symbols >> bit & one).astype(np.uint8, copy=False) for bit in reversed(range(width))
    )


def plane_alphabets(width: int) -> tuple[Alphabet, ...]:
    """Return the alphabets of :func:`bit_planes`."""
    return tuple(Alphabet(f"bit {bit}", 2) for bit in reversed(range(width)))
