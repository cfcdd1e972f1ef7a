# Each fills the arrays of its caller: see src/module.c.
from typing import Any, TypeAlias

from numpy.typing import NDArray

_Array: TypeAlias = NDArray[Any]

def affine_levels(
    weights: _Array,
    symbols: _Array,
    errors: _Array,
    squares: _Array,
    zero: float,
    step: float,
    lowest: float,
    highest: float,
    wide: bool,
    /,
) -> None: ...
def stepped_levels(
    weights: _Array,
    symbols: _Array | None,
    errors: _Array | None,
    squares: _Array,
    step: float,
    lowest: float,
    highest: float,
    /,
) -> None: ...
def magnitudes(weights: _Array, bins: _Array, beyond: _Array, span: float, /) -> int: ...
def count(symbols: _Array, counts: _Array, /) -> None: ...
def shuffle(words: _Array, bit_generator: object, row: int, /) -> None: ...
def sample_contexts(
    levels: _Array,
    near: _Array,
    kernel: int,
    mean: int,
    down: int,
    across: int,
    scratch: _Array,
    fields: _Array,
    /,
) -> None: ...
def count_contexts(
    levels: _Array,
    near: _Array,
    kernel: int,
    mean: int,
    magnitude: _Array,
    prediction: _Array,
    magnitude_cells: _Array,
    prediction_cells: _Array,
    pattern: int,
    scratch: _Array,
    table: _Array,
    /,
) -> None: ...
def count_flags(table: _Array, zeros: _Array, ones: _Array, /) -> None: ...
def fill_trees(
    zeros: _Array,
    ones: _Array,
    orders: _Array,
    halves: _Array,
    wholes: _Array,
    empty: _Array,
    scratch: _Array,
    nodes: _Array,
    large: _Array,
    /,
) -> int: ...
def list_level(nodes: _Array, level: int, own: _Array, below: _Array, place: _Array, /) -> int: ...
def find_two_lowest(scores: _Array, best: _Array, lowest: _Array, second: _Array, /) -> None: ...
