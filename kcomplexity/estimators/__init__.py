"""What is measured: one small class per estimator; see :mod:`kcomplexity.estimators.base`."""

from __future__ import annotations

from kcomplexity.estimators.base import Estimator, Measure, check_estimator
from kcomplexity.estimators.bdm import Bdm1d, Bdm2d, Qubd
from kcomplexity.estimators.compressors import Brotli, Bz2, Gzip, Igzip, Xz, Zstd
from kcomplexity.estimators.context import Context
from kcomplexity.estimators.entropy import BlockEntropy, Entropy
from kcomplexity.estimators.lempel_ziv import Lz76
from kcomplexity.estimators.low_rank import LowRank
from kcomplexity.estimators.mosaic import MosaicBits
from kcomplexity.estimators.spectrum import SpectralEntropy, StableRank
from kcomplexity.estimators.statistics import L2, NonZero
from kcomplexity.registry import Registry

__all__ = ["ESTIMATORS", "Estimator", "Measure"]

#: Every estimator by the name it has in a spec.
ESTIMATORS: Registry[type[Estimator]] = Registry(
    "kcomplexity.estimators", "estimator", check_estimator
)

ESTIMATORS.register("gzip", Gzip)
ESTIMATORS.register("igzip", Igzip)
ESTIMATORS.register("zstd", Zstd)
ESTIMATORS.register("brotli", Brotli)
ESTIMATORS.register("bz2", Bz2)
ESTIMATORS.register("xz", Xz)
ESTIMATORS.register("entropy", Entropy)
ESTIMATORS.register("block-entropy", BlockEntropy)
ESTIMATORS.register("bdm1d", Bdm1d)
ESTIMATORS.register("bdm2d", Bdm2d)
ESTIMATORS.register("qubd", Qubd)
ESTIMATORS.register("lz76", Lz76)
ESTIMATORS.register("ctx", Context)
ESTIMATORS.register("lowrank", LowRank)
ESTIMATORS.register("mosaic", MosaicBits)
ESTIMATORS.register("nonzero", NonZero)
ESTIMATORS.register("l2", L2)
ESTIMATORS.register("stable-rank", StableRank)
ESTIMATORS.register("spectral-entropy", SpectralEntropy)
