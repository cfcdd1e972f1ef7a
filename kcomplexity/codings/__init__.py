"""Lossy codings of tensors on one footing; see :mod:`kcomplexity.codings.base`."""

from __future__ import annotations

from kcomplexity.codings.base import Coded, Coding
from kcomplexity.codings.low_rank import LowRank
from kcomplexity.codings.prune import Pruned
from kcomplexity.codings.scalar import Scalar

__all__ = ["Coded", "Coding", "LowRank", "Pruned", "Scalar"]
