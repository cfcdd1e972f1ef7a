"""Which tensors of which checkpoints: the options that every command shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from kcomplexity.loaders.opening import open_checkpoint
from kcomplexity.tensors.checkpoint import Checkpoint


class Reading(TypedDict, total=False):
    """Keyword arguments that say which tensors are read, and as what.

    Attributes
    ----------
    include, exclude : sequence of str
        Globs on tensor names.
    dtypes : mapping of str to str or None
        Globs to dtype codes, for files that do not say.
    root : str or None
        Keys of the part to read of a file that nests its tensors.
    dequantize : bool
        Read quantised blocks as the weights they stand for, not as codes.
    stored : bool
        Of a mosaic file, read the arrays in it, not the weights they stand for.
    """

    include: Sequence[str]
    exclude: Sequence[str]
    dtypes: Mapping[str, str] | None
    root: str | None
    dequantize: bool
    stored: bool


def open_selected(source: Any, **reading: Unpack[Reading]) -> Iterator[Checkpoint]:
    """Open each source, a checkpoint or a list of them, and keep the tensors that are wanted."""
    include, exclude = reading.get("include", ()), reading.get("exclude", ())
    for one in source if isinstance(source, list | tuple) else [source]:
        opened = open_checkpoint(
            one,
            dtypes=reading.get("dtypes"),
            root=reading.get("root"),
            dequantize=reading.get("dequantize", False),
            stored=reading.get("stored", False),
        )
        yield opened.select(include, exclude)
