"""Conditional complexity: what the other weights cost when the reference is known.

Rows and sentences are in :mod:`kcomplexity.comparison.conditional_bits`, the codes in
:mod:`kcomplexity.comparison.conditional_codes`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

from kcomplexity.comparison.align import Unmatched, align
from kcomplexity.comparison.conditional_bits import ConditionalBits, conditional_sentences
from kcomplexity.comparison.conditional_codes import measure_conditional_bits
from kcomplexity.comparison.reference import spool_checkpoint
from kcomplexity.loaders.selecting import Reading, open_selected
from kcomplexity.parallel.running import Running, part_of, pool_of, refuse_unknown
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.tensors.checkpoint import labelled


@dataclass(frozen=True, kw_only=True)
class Conditional(Document):
    """K(other | reference), tensor by tensor.

    Attributes
    ----------
    provenance : Provenance
    checkpoints : tuple of CheckpointInfo
        The reference, the other, the rerun if there is one.
    unmatched : tuple of Unmatched
        Tensors without a counterpart, and why.
    headline : tuple of str
        The figures in sentences.
    rows : tuple of ConditionalBits
        One a tensor.
    whole : ConditionalBits
        Their sum.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    unmatched: tuple[Unmatched, ...]
    headline: tuple[str, ...]
    rows: tuple[ConditionalBits, ...]
    whole: ConditionalBits
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "conditional"


class ConditionalOptions(Reading, Running, total=False):
    """Keyword arguments of :func:`conditional` that it shares with other calls."""


def conditional(
    reference: Any,
    other: Any,
    *,
    rerun: Any = None,
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    **options: Unpack[ConditionalOptions],
) -> Conditional:
    """Code the weights of a checkpoint when another is known.

    Parameters
    ----------
    reference, other : path, mapping of arrays or Checkpoint
        For example before and after training, or the base and what was fine-tuned from it.
    rerun : the same, optional
        Another run from the same start on the same data in another order: its noise is the floor.
    strip_prefix, rename
        As for :func:`kcomplexity.comparison.align.align`.
    **options : :class:`ConditionalOptions`
        Which tensors are read, and how the work is done.

    Returns
    -------
    Conditional

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be read.
    SpecError
        If the checkpoints have nothing in common.

    Examples
    --------
    >>> import numpy as np
    >>> start = {"w": np.random.default_rng(0).normal(size=(64, 64)).astype("f4")}
    >>> conditional(start, start).whole.ratio < 0.001
    True
    """
    started = time.time()
    refuse_unknown(options, ConditionalOptions)
    sources = [reference, other] + ([] if rerun is None else [rerun])
    with ExitStack() as stack:
        pool = stack.enter_context(pool_of(options))
        opened = map(stack.enter_context, open_selected(sources, **part_of(options, Reading)))
        aligned = align(labelled(list(opened)), strip_prefix=strip_prefix, rename=rename)
        sides = [spool_checkpoint(checkpoint, pool) for checkpoint in aligned.checkpoints]
        before, after, *again = sides
        *rows, whole = measure_conditional_bits(before, after, pool, *again)
        return Conditional(
            provenance=provenance(options.get("command", ""), 0, pool.threads, started),
            checkpoints=tuple(map(describe, sides)),
            unmatched=aligned.unmatched,
            headline=tuple(conditional_sentences(whole)),
            rows=tuple(rows),
            whole=whole,
        )
