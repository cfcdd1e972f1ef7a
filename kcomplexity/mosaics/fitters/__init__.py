"""Methods that find motifs, one class each; see :mod:`kcomplexity.mosaics.fitters.base`."""

from __future__ import annotations

from kcomplexity.mosaics.fitters.base import Fit, Fitter, Goal, Problem, check_fitter
from kcomplexity.mosaics.fitters.ecvq import Ecvq
from kcomplexity.mosaics.fitters.kmeans import KMeans
from kcomplexity.mosaics.fitters.sample import SampledMotifs
from kcomplexity.registry import Registry

__all__ = ["FITTERS", "Fit", "Fitter", "Goal", "Problem"]

#: Every fitter by its name.
FITTERS: Registry[type[Fitter]] = Registry("kcomplexity.fitters", "method", check_fitter)

FITTERS.register("sample", SampledMotifs)
FITTERS.register("kmeans", KMeans)
FITTERS.register("ecvq", Ecvq)
