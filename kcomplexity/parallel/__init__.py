"""The parallel contract: cuts, leaves, pieces and :func:`fold`.

Everything that reads a tensor is a :class:`Reducer`. It says where the tensor may be cut, makes an
empty state, and the state takes chunks in order inside a cut and adds up across cuts. ``fold``
reads the tensor once and feeds every reducer, in any executor.

The figures are *identical* for any number of workers and any piece size, because states hold only
integers, or one float per leaf that :func:`math.fsum` adds exactly in any order:

* a **leaf** is 2**16 weights counted from the tensor's start;
* a **frame** (compressors) is 2**22 weights; it is cut at the same weights in every stream;
* 2-D cuts are rectangles: bands of rows by at most 2**18 columns.

:mod:`~kcomplexity.parallel.contract` defines a reducer, :mod:`~kcomplexity.parallel.folding`
divides a tensor into jobs, :mod:`~kcomplexity.parallel.spooling` makes its bytes readable by every
worker, and :mod:`~kcomplexity.parallel.pool` runs the jobs.
"""

from __future__ import annotations

from kcomplexity.parallel.contract import (
    Cut,
    Every,
    Failed,
    Piece,
    Reducer,
    Rows,
    State,
    Whole,
    finish_state,
    leaf_sums,
    merge_states,
    read_key,
    start_state,
    update_state,
)
from kcomplexity.parallel.folding import fold, largest_chunk
from kcomplexity.parallel.spooling import spool
from kcomplexity.tensors.pieces import FRAME, LEAF

__all__ = ["FRAME", "LEAF", "Cut", "Every", "Piece", "Reducer", "Rows", "State", "Whole"]
__all__ += ["Failed", "fold", "largest_chunk", "leaf_sums", "merge_states", "read_key"]
__all__ += ["finish_state", "spool", "start_state", "update_state"]
