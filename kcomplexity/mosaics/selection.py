"""Which tensors of a checkpoint are re-expressed, and which are kept verbatim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import plural, printable

__all__ = ["Selection", "select_fitted"]


@dataclass(frozen=True)
class Selection:
    """What is fitted, what is kept.

    Attributes
    ----------
    fitted : dict of str to Tensor
        In file order.
    notes : tuple of str
        What was kept for a reason worth telling.
    """

    fitted: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def select_fitted(
    checkpoint: Checkpoint,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    all_tensors: bool = False,
    skip_nonfinite: bool = False,
) -> Selection:
    """Choose the tensors to fit: floating, two or more dimensions, admitted by the globs.

    Parameters
    ----------
    checkpoint : Checkpoint
    include, exclude : sequence of str
        Globs on names; what they leave out is kept verbatim.
    all_tensors : bool
        Fit vectors and scalars too.
    skip_nonfinite : bool
        Keep tensors with NaN or infinite weights verbatim instead of refusing them.

    Raises
    ------
    SpecError
        If nothing is left to fit, a glob matches nothing, or a tensor's dtype cannot be kept.
    UnmeasurableError
        If a tensor holds NaN or infinite weights.
    """
    admitted = checkpoint.select(include, exclude)
    least = 0 if all_tensors else 2
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
        if not skip_nonfinite:
            raise UnmeasurableError(
                f"{printable(name)} holds {reason}, which no motif can stand for: mend the "
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
            "scales lie beside them: motifs and errors are of the codes, not of the weights"
        )
    return Selection(fitted, tuple(notes))


#: Magnitudes from one to the other are float32 with all its digits, and so are those of a grid.
_SMALLEST, _LARGEST = 2.0**-126, 2.0**126


def _not_finite(tensor: Tensor) -> str:
    """Say which weights float32, in which motifs are found, does not hold; nothing if it does.

    Some that are too small become zeros, which is an error like any other; all are not.
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
    found = [f"{n} {what}" for n, what in ((n_nan, "NaN"), (n_inf, "infinite")) if n]
    if n_beyond:
        found.append(f"{n_beyond} beyond float32")
    if not found and 0 < largest < _SMALLEST:
        return f"no weight above {largest:.1e}, too small for float32"
    return f"{' and '.join(found)} weights" if found else ""
