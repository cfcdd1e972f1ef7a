"""Which tensors are codes of quantised weights, and which are their scales.

Applied to every checkpoint once it is open, whatever its format. Two conventions are known:

* GPTQ and AWQ keep several codes in each int32 word of ``X.qweight``, with ``X.scales`` and packed
  ``X.qzeros``. The words are read as the codes they hold: the bytes stay as they are,
  since the first code lies in the lowest bits.
* Others keep a tensor ``X`` of integers or 8-bit floats, with ``X_scale``, ``X.scale``,
  ``X_zero_point`` and the like, or the codes as ``X.codes`` (so this package calls those
  of GGUF's blocks) with ``X.scales`` and ``X.mins``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import CODES, DTYPES, StoredDtype
from kcomplexity.text import plural

_PACKED, _ZEROS, _SCALES, _GROUPS = ".qweight", ".qzeros", ".scales", ".g_idx"
_WORD_BITS = 32
#: Widths of which a whole number fits a word; of others codes run on from word to word.
_WIDTHS = {2: CODES["U2"], 4: CODES["U4"], 8: DTYPES["U8"]}
#: What is written after the name of the codes.
_SIDES = tuple(
    f"{joint}{what}"
    for joint in "._"
    for what in ("scale", "scales", "scale_inv", "zero_point", "zero_points", "zeros")
)


_CODES = ".codes"
_BLOCK_SIDES = (".scales", ".mins", ".super_scales", ".super_mins")


def with_codes(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with codes distinguished from weights, and a note if it has any."""
    changed: dict[str, Tensor] = {}
    packed = 0
    for name in checkpoint:
        if name.endswith(_PACKED):
            layer = _unpacked(name.removesuffix(_PACKED), checkpoint)
            packed += bool(layer)
            changed |= layer
    for name, tensor in checkpoint.items():
        codes = "" if name in changed or tensor.side_of else _codes_of(name, checkpoint)
        if codes:
            changed[name] = replace(tensor, side_of=codes)
    tensors = {name: changed.get(name, tensor) for name, tensor in checkpoint.items()}
    owners = dict.fromkeys(tensor.side_of for tensor in tensors.values() if tensor.side_of)
    codes_by_dtype = Counter(tensors[x].dtype.code if x in tensors else "?" for x in owners)
    if not codes_by_dtype:
        return checkpoint
    widths = ", ".join(f"{n} of {code}" for code, n in codes_by_dtype.items())
    n = sum(codes_by_dtype.values())
    note = (
        f"{plural(n, 'tensor')} {'holds' if n == 1 else 'hold'} codes of quantised weights "
        f"({widths}), with separate scales: @codes measures integer codes"
    )
    if packed:
        note += f"; the int32 words of {plural(packed, 'tensor')} are read as the codes they hold"
    return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, note))


def _codes_of(name: str, checkpoint: Checkpoint) -> str:
    """Return the name of the codes that a tensor is the scale of; empty if it is not a scale."""
    for side in _SIDES:
        codes = checkpoint.get(name.removesuffix(side)) if name.endswith(side) else None
        if codes is not None and _may_be_codes(codes.dtype):
            return codes.name
    for side in _BLOCK_SIDES:
        if name.endswith(side) and name.removesuffix(side) + _CODES in checkpoint:
            return name.removesuffix(side) + _CODES
    return ""


def _may_be_codes(dtype: StoredDtype) -> bool:
    return dtype.kind in ("int", "uint") or (dtype.is_float and dtype.bits <= 8)


def _unpacked(base: str, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return what replaces the tensors of a GPTQ or AWQ layer; nothing for other tensors."""
    words, zeros = checkpoint[base + _PACKED], checkpoint.get(base + _ZEROS)
    scales = checkpoint.get(base + _SCALES)
    if scales is None or words.dtype.code != "I32" or len(words.shape) != 2:
        return {}
    dtype = _width(words, zeros, scales)
    if dtype is None:
        return {}
    name, per_word = words.name, _WORD_BITS // dtype.bits
    sides = (scales, zeros, checkpoint.get(base + _GROUPS))
    layer = {side.name: replace(side, side_of=name) for side in sides if side is not None}
    return {name: replace(words, shape=(*words.shape, per_word), dtype=dtype), **layer}


def _width(words: Tensor, zeros: Tensor | None, scales: Tensor) -> StoredDtype | None:
    """Infer the width of the codes from the shapes: scales have a column for each output."""
    if len(scales.shape) != 2 or not scales.shape[1]:
        return None
    n_outputs = scales.shape[1]
    # AWQ packs along the outputs, GPTQ along the inputs; both pack the zero points so.
    columns = words.shape[1] if words.shape[1] != n_outputs else 0
    if not columns and zeros is not None and len(zeros.shape) == 2:
        columns = zeros.shape[1]
    bits, rest = divmod(_WORD_BITS * columns, n_outputs)
    return None if rest else _WIDTHS.get(bits)
