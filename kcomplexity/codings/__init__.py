"""Lossy codings of tensors on one footing; see :mod:`kcomplexity.codings.base`."""

from __future__ import annotations

from kcomplexity.codings.base import Coded, Coding, Grid, check_coding
from kcomplexity.codings.low_rank import LowRankCoding
from kcomplexity.codings.mosaic import EcvqCoding, KMeansCoding, SampleCoding
from kcomplexity.codings.pruned import PrunedCoding
from kcomplexity.codings.scalar import ScalarCoding
from kcomplexity.registry import Registry

__all__ = ["CODINGS", "Coded", "Coding", "Grid", "LowRankCoding", "PrunedCoding", "ScalarCoding"]

#: Every coding by its name, in the order of a sweep's rows.
CODINGS: Registry[type[Coding]] = Registry("kcomplexity.codings", "coding", check_coding)

CODINGS.register("ecvq", EcvqCoding)
CODINGS.register("kmeans", KMeansCoding)
CODINGS.register("sample", SampleCoding)
CODINGS.register("scalar", ScalarCoding)
CODINGS.register("prune", PrunedCoding)
CODINGS.register("low-rank", LowRankCoding)
