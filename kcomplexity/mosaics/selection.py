"""Which tensors of a checkpoint are coded, and which are kept verbatim."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from kcomplexity.containers.dense import refuse_input
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.files.atomic import check_writable
from kcomplexity.loaders.opening import Source
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import plural, printable


class Selecting(Reading, total=False):
    """Keyword arguments that say which tensors of a checkpoint are coded.

    Those of :class:`~kcomplexity.loaders.selecting.Reading` are among them. Tensors that `include`
    and `exclude` leave out are kept verbatim.
    """

    #: Code tensors of fewer than two dimensions too.
    all_tensors: bool
    #: Keep tensors with NaN or infinite weights verbatim instead of refusing them.
    skip_nonfinite: bool


@dataclass(frozen=True)
class Selection:
    """A checkpoint, its tensors to code in file order, and notes for the user."""

    checkpoint: Checkpoint
    fitted: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@contextmanager
def open_selection(
    source: Source, *, output: Path | None = None, **selecting: Unpack[Selecting]
) -> Iterator[Selection]:
    """Open a checkpoint, check that the output can be written and choose the tensors to code.

    A Checkpoint that is passed in stays open. CheckpointError if `source` cannot be read,
    OutputError if `output` is the input or cannot be written; others as :func:`select_fitted`.
    """
    checkpoint = open_whole(source, selecting)
    try:
        if output is not None:
            refuse_input(output, checkpoint)
            check_writable(output)
        yield select_fitted(checkpoint, **selecting)
    finally:
        if not isinstance(source, Checkpoint):
            checkpoint.close()


def open_whole(source: Source, reading: Reading) -> Checkpoint:
    """Open a checkpoint with all its tensors: those that globs leave out are kept verbatim."""
    everything: Reading = {**reading, "include": (), "exclude": ()}
    (checkpoint,) = open_selected([source], **everything)
    return checkpoint


def select_fitted(checkpoint: Checkpoint, **selecting: Unpack[Selecting]) -> Selection:
    """Choose the tensors to code: floating-point, two or more dimensions, admitted by the globs.

    SpecError if nothing is left to fit, a glob matches nothing, or a tensor's dtype cannot be kept;
    UnmeasurableError if a tensor holds NaN or infinite weights.
    """
    admitted = checkpoint.select(selecting.get("include", ()), selecting.get("exclude", ()))
    least = 0 if selecting.get("all_tensors") else 2
    fitted = {
        name: tensor
        for name, tensor in admitted.items()
        if tensor.dtype.is_signed and tensor.n_weights and len(tensor.shape) >= least
    }
    notes = []
    for name in list(fitted):
        reason = _not_finite(fitted[name])
        if not reason:
            continue
        if not selecting.get("skip_nonfinite"):
            raise UnmeasurableError(
                f"{printable(name)} holds {reason}, which no motif can represent: mend the "
                "checkpoint, leave the tensor out (--exclude) or keep such tensors as they are "
                "(--skip-nonfinite)"
            )
        notes.append(f"{printable(name)} holds {reason}: kept as it is")
        del fitted[name]
    if not fitted:
        if notes:
            raise SpecError(
                f"{printable(checkpoint.path)}: nothing is left to fit: every tensor that could "
                f"be fitted holds NaN or infinite weights, {len(notes)} in all; mend the checkpoint"
            )
        codes = ", ".join(sorted({t.dtype.code for t in checkpoint.values()})) or "none"
        vectors = any(tensor.dtype.is_signed and tensor.n_weights for tensor in admitted.values())
        hint = "; --all-tensors fits vectors too" if vectors else ""
        raise SpecError(
            f"{printable(checkpoint.path)}: nothing to fit among "
            f"{plural(len(checkpoint), 'tensor')} (dtypes: {codes}): expected "
            f"floating-point tensors of two or more dimensions{hint}"
        )
    for name, tensor in checkpoint.items():
        if tensor.dtype.code not in DTYPES:
            raise SpecError(
                f"{printable(name)} is stored as {tensor.dtype.code}, which no safetensors file "
                "can keep: convert the checkpoint first (kcomplexity convert), or read quantised "
                "blocks as weights (--dequantize)"
            )
    scaled = sorted({tensor.side_of for tensor in checkpoint.values()} & set(fitted))
    if scaled:
        notes.append(
            f"{plural(len(scaled), 'tensor')} ({printable(scaled[0])}, ...) hold codes whose "
            "scales are separate tensors: motifs and errors are of the codes, not of the weights"
        )
    return Selection(checkpoint, fitted, (*checkpoint.notes, *notes))


#: Float32, and the levels of a grid, have their full precision between these magnitudes.
_SMALLEST, _LARGEST = 2.0**-126, 2.0**126


def _not_finite(tensor: Tensor) -> str:
    """Return which weights float32 cannot hold, in words; empty if it holds all of them.

    Weights too small for float32 become zeros, an error like any other, unless all are too small.
    """
    n_nan = n_inf = n_beyond = 0
    largest = 0.0
    for span in tensor.spans():
        sizes = np.abs(tensor.read(*span).astype(np.float64))
        top = float(sizes.max())  # NaN where there is one
        largest = max(largest, top)
        if top <= _LARGEST:
            continue
        n_nan += int(np.isnan(sizes).sum())
        n_inf += int(np.isinf(sizes).sum())
        n_beyond += int(np.count_nonzero(np.isfinite(sizes) & (sizes > _LARGEST)))
    parts = [f"{n} {what}" for n, what in ((n_nan, "NaN"), (n_inf, "infinite")) if n]
    if n_beyond:
        parts.append(f"{n_beyond} beyond float32")
    if not parts and 0 < largest < _SMALLEST:
        return f"no weight above {largest:.1e}, too small for float32"
    return f"{' and '.join(parts)} weights" if parts else ""
