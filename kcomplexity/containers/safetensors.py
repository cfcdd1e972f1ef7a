"""``.safetensors`` files: a JSON header, then the tensors' bytes without a gap.

Read: the header is parsed here, since the library hides offsets and accepts duplicate keys; then
the library's own check has the last word. Written: the same bytes every time. Metadata are sorted,
tensors keep their order, the header is padded to eight bytes with spaces, as the library does it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from kcomplexity.errors import CorruptCheckpointError, OutputError
from kcomplexity.files.atomic import atomic_file
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.files.strict_json import parse_object
from kcomplexity.tensors.checkpoint import Checkpoint, Layout, StoredTensor, Tensor
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.text import printable

#: The library's own limit; a header of this size describes about a million tensors.
MAX_HEADER = 100_000_000
#: The key of the header that holds the metadata.
_METADATA = "__metadata__"
#: Writers that name themselves in a file's metadata and keep matrices as (in, out).
_IN_OUT = frozenset({"flax", "tf", "keras", "jax"})


def is_safetensors(head: bytes) -> bool:
    """Return whether a file starts with a plausible length and the brace of the header."""
    # A text file whose ninth byte is a brace would claim a header of exabytes.
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 48


def read_safetensors(path: Path) -> Checkpoint:
    """Open a file; its tensors are in file-offset order.

    CorruptCheckpointError if a byte of it belongs to no tensor, or to two.
    """
    with open_for_loading(path) as source:
        shown = printable(path)
        header, data_start = _read_header(source, shown)
        metadata = _metadata(header.pop(_METADATA, None), shown)
        spans = [_Span.parse(name, entry, shown) for name, entry in header.items()]
        # Empty tensors share an offset with their neighbour; the sort keeps their order.
        spans.sort(key=lambda span: (span.begin, span.end))
        _check_cover(spans, source.size() - data_start, shown)
        if source.local:
            _check_by_library(path, shown)
    layout = layout_of(metadata)
    tensors: dict[str, Tensor] = {
        s.name: StoredTensor(
            s.name, s.shape, s.dtype, layout=layout, source=source, offset=data_start + s.begin
        )
        for s in spans
    }
    return Checkpoint(str(path), "safetensors", tensors, metadata, (source,), data_start)


def layout_of(metadata: Mapping[str, str]) -> Layout:
    """Return where matrices keep their outputs, by the ``format`` that the writer left."""
    return "in-out" if metadata.get("format", "").lower() in _IN_OUT else "out-in"


def write_safetensors(
    path: Path, tensors: Sequence[Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to one file, a piece at a time; see :func:`header_bytes` for errors."""
    write_arrays(path, header_bytes(tensors, metadata or {}), tensors)


def write_arrays(path: Path, header: bytes, tensors: Sequence[Tensor]) -> None:
    """Write a header and the bytes of the tensors that it describes, whole or not at all."""
    with atomic_file(path) as file:
        file.write(header)
        for tensor in tensors:
            for piece in tensor.pieces():
                file.write(piece)


def header_bytes(tensors: Sequence[Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the 8-byte length and the header of a file that holds `tensors` in their order.

    OutputError if a dtype has no code in safetensors, or a name is the reserved one or there twice.
    """
    entries: dict[str, Any] = {}
    if metadata:
        entries[_METADATA] = dict(sorted(metadata.items()))
    at = 0
    for tensor in tensors:
        if tensor.dtype.code not in DTYPES:
            raise OutputError(
                f"{printable(tensor.name)}: safetensors has no dtype for {tensor.dtype.code}"
                f"{tensor.dtype.refusal and ': ' + tensor.dtype.refusal}"
            )
        if tensor.name in entries or tensor.name == _METADATA:
            raise OutputError(f"{printable(tensor.name)}: the name cannot be used: it is taken")
        offsets = [at, at + tensor.n_bytes]
        shape = list(tensor.shape)
        entries[tensor.name] = {"dtype": tensor.dtype.code, "shape": shape, "data_offsets": offsets}
        at = offsets[1]
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


# --- Checks of what is read ------------------------------------------------------------------


@dataclass(frozen=True)
class _Span:
    """One entry of the header: a tensor and the bytes it claims."""

    name: str
    dtype: StoredDtype
    shape: tuple[int, ...]
    begin: int
    end: int

    @classmethod
    def parse(cls, name: str, entry: Any, shown: str) -> _Span:
        tensor = f"tensor {printable(name)}"
        where = f"{shown}: {tensor}"
        if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
            raise CorruptCheckpointError(
                f"{where} is not described by dtype, shape and data_offsets; write the file anew"
            )
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in DTYPES:
            raise CorruptCheckpointError(
                f"{where} has dtype {printable(code)!r}, which is not one of {', '.join(DTYPES)}; "
                "convert it to one of them"
            )
        if not _is_naturals(shape):
            raise CorruptCheckpointError(
                f"{where} has shape {_brief(shape)}; expected a list of integers from 0; "
                "write the file anew"
            )
        if not _is_naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
            raise CorruptCheckpointError(
                f"{where} has data_offsets {_brief(offsets)}; expected [begin, end], "
                "begin <= end; write the file anew"
            )
        bits = math.prod(shape) * DTYPES[code].bits
        begin, end = offsets
        what = f"{tensor} of shape {_brief(shape)} and dtype {code}"
        if bits % 8:
            raise CorruptCheckpointError(
                f"{shown}: {what} takes {bits} bits, which is not a whole number of bytes; "
                "pad its last axis"
            )
        if bits != 8 * (end - begin):
            spanned = f"while its data_offsets span {end - begin}"
            raise damaged(shown, f"{what} takes {bits // 8} bytes, {spanned}")
        return cls(name, DTYPES[code], tuple(shape), begin, end)


def _read_header(source: FileSource, shown: str) -> tuple[dict[str, Any], int]:
    """Return the parsed header and the offset of the byte that follows it."""
    size = source.size()
    if size < 8:
        raise CorruptCheckpointError(
            f"{shown}: {size} bytes are too few for a safetensors file, which starts with the "
            "8-byte length of its header; copy it again"
        )
    length = int.from_bytes(source.read(0, 8).tobytes(), "little")
    if length > MAX_HEADER:
        raise CorruptCheckpointError(
            f"{shown}: the first 8 bytes claim a header of {length} bytes, and safetensors allows "
            f"{MAX_HEADER}; this is not a safetensors file, or a damaged one: copy it again"
        )
    if length > size - 8:
        raise CorruptCheckpointError(
            f"{shown}: the header should be {length} bytes long, but only {size - 8} follow; the "
            "file is cut: copy it again"
        )
    return parse_object(source.read(8, length).tobytes(), f"{shown}: the header"), 8 + length


def _metadata(entry: Any, shown: str) -> dict[str, str]:
    if entry is None:
        return {}
    if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
        raise CorruptCheckpointError(
            f"{shown}: __metadata__ is {_brief(entry)}; expected an object of strings; "
            "write the file anew"
        )
    return entry


def _check_cover(spans: list[_Span], n_data: int, shown: str) -> None:
    """Check that the tensors follow each other from the first data byte to the last."""
    at, before = 0, "the header"
    for span in spans:
        name = printable(span.name)
        if span.begin < at:
            raise damaged(shown, f"tensors {before} and {name} overlap at data byte {span.begin}")
        if span.begin > at:
            gap = f"{span.begin - at} bytes between {before} and tensor {name}"
            raise damaged(shown, f"{gap} belong to no tensor")
        if span.end > n_data:
            raise CorruptCheckpointError(
                f"{shown}: tensor {name} ends at data byte {span.end}, but the file holds "
                f"{n_data}; it is cut: copy it again"
            )
        at, before = span.end, name
    if at != n_data:
        raise damaged(shown, f"{n_data - at} bytes after the last tensor belong to no tensor")


def damaged(shown: str, problem: str) -> CorruptCheckpointError:
    """Return the error for a file, shown as `shown`, that was damaged on its way."""
    return CorruptCheckpointError(f"{shown}: {problem}; the file is damaged: copy it again")


def _check_by_library(path: Path, shown: str) -> None:
    try:
        with safe_open(path, framework="np"):
            pass
    except SafetensorError as error:
        raise CorruptCheckpointError(
            f"{shown}: the safetensors library refuses it: {printable(error)}"
        ) from None


def _is_naturals(entry: Any) -> bool:
    return isinstance(entry, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in entry)


def _brief(entry: Any) -> str:
    """Return a piece of the header for a message, at most 80 characters of it."""
    text = json.dumps(entry)
    return text if len(text) <= 80 else f"{text[:77]}..."
