"""The reference of a comparison: an initialisation that is drawn, or a file read once."""

from __future__ import annotations

from dataclasses import replace

from kcomplexity.comparison.align import Unmatched
from kcomplexity.controls import Init, parse_control
from kcomplexity.errors import SpecError
from kcomplexity.parallel import spool
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Checkpoint


def draw_initialisation(
    text: str, like: Checkpoint, seed: int, pool: Pool
) -> tuple[Checkpoint, tuple[Unmatched, ...]]:
    """Draw the initialisation ``"init:KIND"``, as a control, with the shapes of a checkpoint.

    The tensors of `like` that it does not cover are returned as well.

    Raises
    ------
    SpecError
        If `text` is not one draw of an initialisation, or it covers no tensor.
    """
    control = parse_control(text if text.count(":") > 1 else f"{text}:1")
    if not isinstance(control, Init) or control.n != 1:
        raise SpecError(f"reference {text!r}: expected one draw of an initialisation: init:torch")
    tensors, unmatched = {}, []
    for name, tensor in like.items():
        if control.applies(tensor):
            tensors[name] = next(control.replicates(spool(tensor, pool), seed, pool))
        else:
            reason = f"{control.kind} does not say how it starts"
            unmatched.append(
                Unmatched(checkpoint=like.path, tensor=name, n_bytes=tensor.n_bytes, reason=reason)
            )
    if not tensors:
        raise SpecError(
            f"reference {text!r}: {like.path} has no tensor that it draws: expected matrices of "
            "signed floating-point numbers"
        )
    return Checkpoint(control.kind, "drawn", tensors), tuple(unmatched)


def spool_checkpoint(checkpoint: Checkpoint, pool: Pool) -> Checkpoint:
    """Return the checkpoint with every tensor readable by range, in temporary files if need be.

    Scores and counts of unchanged weights then share one reading of the source.
    """
    tensors = {name: spool(tensor, pool) for name, tensor in checkpoint.items()}
    return replace(checkpoint, tensors=tensors)
