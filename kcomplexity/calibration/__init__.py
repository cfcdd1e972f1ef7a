"""Made tensors whose complexity is known: what each measure sees, and what it misses.

A :class:`Case` makes seeded tensors (:mod:`~kcomplexity.calibration.tensors`) and lists, for the
measures that matter, the :class:`Known` answer that theory gives
(:mod:`~kcomplexity.calibration.theory`): a value with its tolerance, or a range. :func:`calibrate`
measures them through the same pipeline as any checkpoint and compares the two, as ``kcomplexity
demo --calibrate`` prints.

To add one: a function that makes the tensors, and an entry in :data:`CASES`
(:mod:`~kcomplexity.calibration.cases`). A case draws from a generator of its own, so the figures
of the others stay.
"""

from __future__ import annotations

from kcomplexity.calibration.cases import CASES
from kcomplexity.calibration.records import Answer, Calibrated, CalibrationReport, Case, Known
from kcomplexity.calibration.run import calibrate

__all__ = ["CASES", "Answer", "Calibrated", "CalibrationReport", "Case", "Known", "calibrate"]
