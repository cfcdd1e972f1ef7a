"""Rate and distortion: lossy codings of the weights on one footing; see :mod:`.base`."""

from __future__ import annotations

from kcomplexity.rate.base import Coded, Coding
from kcomplexity.rate.low_rank import LowRank
from kcomplexity.rate.prune import Pruned
from kcomplexity.rate.scalar import Scalar
from kcomplexity.rate.sweep import SweepPoint, SweepReport, sweep

__all__ = ["Coded", "Coding", "LowRank", "Pruned", "Scalar", "SweepPoint", "SweepReport", "sweep"]
