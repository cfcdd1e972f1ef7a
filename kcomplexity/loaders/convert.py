"""Write any checkpoint as one clean safetensors file, the same bytes for the same tensors.

What safetensors has no dtype for is written as what it can hold: codes of fewer than eight bits
one to a byte. What it cannot hold at all (complex128, six-bit floats) is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kcomplexity.containers.dense import refuse_input
from kcomplexity.containers.safetensors import write_safetensors
from kcomplexity.errors import SpecError
from kcomplexity.files.sources import Bytes
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES
from kcomplexity.text import plural, printable

#: Where a matrix keeps its outputs, as the safetensors libraries of the frameworks say it.
_FORMATS = {"in-out": "keras", "out-in": "pt"}


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes
    ----------
    path : Path
    n_tensors, n_weights, n_bytes : int
        Stored bytes, without the header.
    notes : tuple of str
        What differs from the source, one line each.
    """

    path: Path
    n_tensors: int
    n_weights: int
    n_bytes: int
    notes: tuple[str, ...]


def convert(checkpoint: Checkpoint, path: Path) -> Converted:
    """Write a checkpoint to a safetensors file, whole or not at all.

    Parameters
    ----------
    checkpoint : Checkpoint
        Open; with all its tensors or some of them selected. Names, dtypes, shapes and bytes are
        kept; metadata too, with the format it was read from.
    path : Path
        Ends in ``.safetensors``; replaced if it is there.

    Returns
    -------
    Converted

    Raises
    ------
    SpecError
        If the name ends otherwise.
    OutputError
        If it is the input, a dtype cannot be stored, or nothing can be written there.
    """
    if path.suffix.lower() != ".safetensors":
        raise SpecError(f"{printable(path)}: expected a name that ends in .safetensors")
    refuse_input(path, checkpoint)
    tensors = [_Widened.of(tensor) for tensor in checkpoint.values()]
    widened = sum(
        after is not before for after, before in zip(tensors, checkpoint.values(), strict=True)
    )
    layouts = {tensor.layout for tensor in tensors if len(tensor.shape) > 1}
    metadata = {"converted_from": checkpoint.format, **checkpoint.metadata}
    if len(layouts) == 1:
        metadata.setdefault("format", _FORMATS[layouts.pop()])
    write_safetensors(path, tensors, metadata)
    notes = []
    if widened:
        verb = "is" if widened == 1 else "are"
        notes.append(
            f"{plural(widened, 'tensor')} of codes below 8 bits {verb} written one code a byte: "
            "safetensors has no narrower integer"
        )
    return Converted(
        path,
        len(tensors),
        sum(tensor.n_weights for tensor in tensors),
        sum(tensor.n_bytes for tensor in tensors),
        tuple(notes),
    )


@dataclass(frozen=True)
class _Widened(Tensor):
    """Codes of fewer than eight bits, one a byte."""

    tensor: Tensor = field(kw_only=True)

    @classmethod
    def of(cls, tensor: Tensor) -> Tensor:
        """Return the tensor itself if safetensors has a dtype for it."""
        if tensor.dtype.code not in CODES:
            return tensor
        wide = DTYPES["I8" if tensor.dtype.kind == "int" else "U8"]
        return cls(
            tensor.name,
            tensor.shape,
            wide,
            layout=tensor.layout,
            side_of=tensor.side_of,
            tensor=tensor,
        )

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        """Read and unpack the range."""
        return self.dtype.encode(self.tensor.read(start, stop).astype(self.dtype.numpy))
