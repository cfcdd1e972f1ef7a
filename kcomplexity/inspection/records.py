"""The records of an inspection: files, dtypes, layers, tensors, and notes on odd things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.tensors.checkpoint import Tensor


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """One file that holds tensors: its path as it was opened, and its size."""

    name: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class DtypeInfo:
    """All tensors of one stored dtype; `code` is safetensors' name, e.g. ``"BF16"``."""

    code: str
    n_tensors: int
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class LayerInfo:
    """All tensors whose names differ only in layer numbers, which are ``#`` in `pattern`.

    `dtypes` and `shapes` are the distinct ones, in file order.
    """

    pattern: str
    n_tensors: int
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    n_weights: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class ValueInfo:
    """What the values of one tensor look like.

    Attributes
    ----------
    n_zero : int
        Values that are exactly zero, of either sign.
    n_nan, n_inf : int
        Values that are not finite; a complex value counts once.
    min, max : int, float or None
        Of the finite values; None if there are none, or they have no order (complex).
    constant : bool
        Whether every value is the same finite number; False for complex values.
    effective_dtypes : tuple of str
        The narrowest floating-point dtypes that hold every value exactly (several of one width),
        or the stored one alone. A NaN has to stay a NaN, whatever its payload.
    """

    n_zero: int
    n_nan: int
    n_inf: int
    min: int | float | None
    max: int | float | None
    constant: bool
    effective_dtypes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor.

    Attributes
    ----------
    values : ValueInfo or None
        None if they were not read.
    reason : str or None
        Why the values could not be read, where that was asked for.
    code_bits : int or None
        Width of the values if they are codes of quantised weights, with scales in other tensors.
    side_of : str or None
        For scales and zero points, the name of the tensor of codes they belong to.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    n_weights: int
    n_bytes: int
    values: ValueInfo | None = None
    reason: str | None = None
    code_bits: int | None = None
    side_of: str | None = None

    @classmethod
    def of(
        cls, tensor: Tensor, values: ValueInfo | None = None, reason: str | None = None
    ) -> TensorInfo:
        """Return the record of a tensor from its header, with what its values show."""
        return cls(
            name=tensor.name,
            dtype=tensor.dtype.code,
            shape=tensor.shape,
            n_weights=tensor.n_weights,
            n_bytes=tensor.n_bytes,
            values=values,
            reason=reason,
            side_of=tensor.side_of or None,
        )


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a checkpoint holds.

    Attributes
    ----------
    path : str
        As the user wrote it.
    format : str
        Name of the loader.
    files : tuple of FileInfo
        Those that hold tensors; none for arrays in memory.
    n_tensors, n_weights, n_bytes : int
        Of the selected tensors; stored bytes, the container not counted.
    n_container_bytes : int
        Bytes of the files that hold no tensor: headers, indices, padding.
    metadata : dict of str to str
        What the file says about itself, unchanged.
    dtypes : tuple of DtypeInfo
        The one with the most bytes first; layers and tensors are in file order.
    notes : tuple of str
        What a reader should know, one line each.
    """

    path: str
    format: str
    files: tuple[FileInfo, ...]
    n_tensors: int
    n_weights: int
    n_bytes: int
    n_container_bytes: int
    metadata: dict[str, str]
    dtypes: tuple[DtypeInfo, ...]
    layers: tuple[LayerInfo, ...]
    tensors: tuple[TensorInfo, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InspectionReport(Document):
    """What one or more checkpoints hold: the document of ``kcomplexity inspect``."""

    checkpoints: tuple[Inspection, ...]
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "inspect"
    rows_name: ClassVar[str] = "checkpoints"
