"""How an array of symbols is cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kcomplexity.errors import SpecError, UnmeasurableError

Symbols = NDArray[np.integer[Any]]
Partition = Literal["ignore", "correlated", "recursive"]

#: Default side of a block, by number of dimensions.
USUAL_BLOCK: Final = {1: 12, 2: 4}
_PARTITIONS: Final = ("ignore", "correlated", "recursive")


@dataclass(frozen=True)
class Decomposition:
    """How an array of symbols is cut into blocks. Picklable, and checked when made.

    Attributes
    ----------
    ndim : {1, 2}
        Dimensions of the array and of its blocks.
    n_symbols : int
        Size of the alphabet, at least 2.
    block : int
        Side of a block, the same along each axis; ``None`` stands for 12 or 4x4.
    partition : {"ignore", "correlated", "recursive"}
        "ignore": blocks side by side; what is left at the far edges is not covered, and counted in
        `n_ignored`. "correlated": a window that slides by `shift`, so that blocks overlap.
        "recursive": as "ignore", then the left-over strips are cut into the largest squares that
        fit (in one dimension, the left-over end is one shorter block), and so on down to
        `min_length`.
    shift : int
        Step of "correlated", at least 1.
    min_length : int
        The shortest side that "recursive" keeps, at least 1.
    """

    ndim: int
    n_symbols: int = 2
    block: int | None = None
    partition: Partition = "ignore"
    shift: int = 1
    min_length: int = 2

    def __post_init__(self) -> None:
        if self.ndim not in USUAL_BLOCK:
            raise SpecError(f"ndim={self.ndim!r}: blocks have 1 or 2 dimensions")
        if self.block is None:
            object.__setattr__(self, "block", USUAL_BLOCK[self.ndim])
        if self.partition not in _PARTITIONS:
            raise SpecError(f"partition={self.partition!r}: expected one of {_PARTITIONS}")
        for name, least in {"n_symbols": 2, "block": 1, "shift": 1, "min_length": 1}.items():
            object.__setattr__(self, name, integer_option(name, getattr(self, name), least))
        if self.n_codes > 1 << 62:
            raise SpecError(
                f"blocks of {self.size} out of {self.n_symbols} symbols have more than 2^62 codes; "
                f"choose a smaller block"
            )

    @property
    def side(self) -> int:
        """Side of a block."""
        return USUAL_BLOCK[self.ndim] if self.block is None else self.block

    @property
    def size(self) -> int:
        """Symbols in a block."""
        return int(self.side**self.ndim)

    @property
    def n_codes(self) -> int:
        """How many different blocks there can be."""
        return int(self.n_symbols**self.size)

    @property
    def step(self) -> int:
        """How far apart blocks start along each axis."""
        return self.shift if self.partition == "correlated" else self.side


def integer_option(name: str, value: object, least: int) -> int:
    """Return an option as a Python integer: numbers of codes would wrap around in NumPy's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SpecError(f"{name}={value!r}: expected an integer >= {least}")
    return int(value)


def as_symbols(array: ArrayLike, how: Decomposition) -> Symbols:
    """Return a checked array of symbols, as uint8 where the alphabet fits.

    Raises
    ------
    UnmeasurableError
        Wrong number of dimensions, not integers, or symbols out of range.
    """
    symbols = np.asarray(array)
    if symbols.ndim != how.ndim:
        raise UnmeasurableError(
            f"expected a {how.ndim}-D array of symbols, given shape {symbols.shape}; "
            + ("flatten it with .ravel()" if how.ndim == 1 else "reshape it to a matrix")
        )
    if symbols.dtype.kind not in "biu":
        raise UnmeasurableError(
            f"symbols must be booleans or integers, given {symbols.dtype}; "
            "map the weights to symbols first, for instance with `weights > 0`"
        )
    if symbols.dtype.kind == "b":
        return symbols.view(np.uint8)
    if symbols.size and (int(symbols.min()) < 0 or int(symbols.max()) >= how.n_symbols):
        raise UnmeasurableError(
            f"symbols range from {symbols.min()} to {symbols.max()}, expected 0 to "
            f"{how.n_symbols - 1} for n_symbols={how.n_symbols}; set n_symbols or map the values"
        )
    return symbols.astype(np.uint8 if how.n_symbols <= 256 else np.int64, copy=False)
