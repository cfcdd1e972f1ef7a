"""Conditional complexity: what the other weights cost when the reference is known.

Rows and sentences are in :mod:`kcomplexity.comparison.given`, the codes in
:mod:`kcomplexity.comparison.conditional_codes`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from kcomplexity.comparison.align import Unmatched, align
from kcomplexity.comparison.conditional_codes import given_all
from kcomplexity.comparison.given import Given, told
from kcomplexity.comparison.sides import spooled
from kcomplexity.parallel.pool import DEFAULT_MAX_MEMORY, Pool
from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
from kcomplexity.results.provenance import describe, provenance
from kcomplexity.results.records import CheckpointInfo, Provenance
from kcomplexity.scoring.score import open_selected
from kcomplexity.tensors.checkpoint import labelled

__all__ = ["Conditional", "conditional"]


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
    rows : tuple of Given
        One a tensor.
    whole : Given
        Their sum.
    """

    provenance: Provenance
    checkpoints: tuple[CheckpointInfo, ...]
    unmatched: tuple[Unmatched, ...]
    headline: tuple[str, ...]
    rows: tuple[Given, ...]
    whole: Given
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "conditional"


def conditional(
    reference: Any,
    other: Any,
    *,
    rerun: Any = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    strip_prefix: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    dtypes: Mapping[str, str] | None = None,
    root: str | None = None,
    dequantize: bool = False,
    threads: int | None = None,
    workers: Literal["thread", "process"] = "thread",
    max_memory: int = DEFAULT_MAX_MEMORY,
    command: str = "",
) -> Conditional:
    """Code the weights of a checkpoint when another is known.

    Parameters
    ----------
    reference, other : path, mapping of arrays or Checkpoint
        For example before and after training, or the base and what was fine-tuned from it.
    rerun : the same, optional
        Another run from the same start on the same data in another order: its noise is the floor.
    include, exclude, dtypes, root, dequantize
        As for :func:`kcomplexity.score`.
    strip_prefix, rename
        As for :func:`kcomplexity.comparison.align.align`.
    threads, workers, max_memory
        As for :func:`kcomplexity.score`; no figure depends on them.
    command : str
        What the user typed, for the provenance.

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
    sources = [reference, other] + ([] if rerun is None else [rerun])
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(threads, kind=workers, max_memory=max_memory))
        opened = [
            stack.enter_context(one)
            for one in open_selected(
                sources, include, exclude, dtypes or {}, root=root, dequantize=dequantize
            )
        ]
        aligned = align(labelled(opened), strip_prefix=strip_prefix, rename=rename)
        sides = [spooled(checkpoint, pool) for checkpoint in aligned.checkpoints]
        *rows, whole = given_all(sides[0], sides[1], pool, sides[2] if len(sides) > 2 else None)
        return Conditional(
            provenance=provenance(command, 0, pool.threads, started),
            checkpoints=tuple(describe(checkpoint) for checkpoint in sides),
            unmatched=aligned.unmatched,
            headline=tuple(told(whole)),
            rows=tuple(rows),
            whole=whole,
        )
