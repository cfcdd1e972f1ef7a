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
    """What was written."""

    path: Path
    n_tensors: int
    n_weights: int
    #: Without the header.
    n_bytes: int
    #: What differs from the source, one line each.
    notes: tuple[str, ...]


def convert(checkpoint: Checkpoint, path: Path) -> Converted:
    """Write an open checkpoint to a safetensors file, whole or not at all; it replaces `path`.

    Names, dtypes, shapes and bytes are kept; metadata too, with the format they were read from.
    SpecError is raised if the name ends otherwise; OutputError if it is the input, a dtype cannot
    be stored, or nothing can be written there.
    """
    if path.suffix.lower() != ".safetensors":
        raise SpecError(f"{printable(path)}: expected a name that ends in .safetensors")
    refuse_input(path, checkpoint)
    tensors = [_Widened.of(tensor) for tensor in checkpoint.values()]
    widened = sum(isinstance(tensor, _Widened) for tensor in tensors)
    layouts = {tensor.layout for tensor in tensors if len(tensor.shape) > 1}
    metadata = {"converted_from": checkpoint.format, **checkpoint.metadata}
    if len(layouts) == 1:
        metadata.setdefault("format", _FORMATS[layouts.pop()])
    write_safetensors(path, tensors, metadata)
    note = (
        f"{plural(widened, 'tensor')} of codes below 8 bits {'is' if widened == 1 else 'are'} "
        "written one code a byte: safetensors has no narrower integer"
    )
    n_weights = sum(tensor.n_weights for tensor in tensors)
    n_bytes = sum(tensor.n_bytes for tensor in tensors)
    return Converted(path, len(tensors), n_weights, n_bytes, (note,) if widened else ())


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
        name, layout, side_of = tensor.name, tensor.layout, tensor.side_of
        return cls(name, tensor.shape, wide, layout=layout, side_of=side_of, tensor=tensor)

    def raw(self, start: int, stop: int, out: Bytes | None = None) -> Bytes:
        return self.dtype.encode(self.tensor.read(start, stop).astype(self.dtype.numpy))
