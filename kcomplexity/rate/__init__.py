"""Rate and distortion: lossy codings on one footing; see :mod:`kcomplexity.rate.base`."""

from __future__ import annotations

from kcomplexity.rate.base import Coded, Coding
from kcomplexity.rate.low_rank import LowRank
from kcomplexity.rate.prune import Pruned
from kcomplexity.rate.scalar import Scalar
from kcomplexity.rate.sweep import SweepPoint, SweepReport, sweep

__all__ = ["Coded", "Coding", "LowRank", "Pruned", "Scalar", "SweepPoint", "SweepReport", "sweep"]
