"""What a checkpoint holds: from its headers alone, or with one pass over its values.

The header tells names, shapes, dtypes and sizes (:func:`inspect_checkpoint`). The values tell what
the header cannot: zeros, NaN, the range, and the *effective dtype*. Weights that were once rounded
to bfloat16 and then saved as float32 take twice the bytes they need, and compress as if they were
half as complex; a look at their values finds that out (:mod:`kcomplexity.inspection.values`).
"""

from __future__ import annotations

from kcomplexity.inspection.records import (
    DtypeInfo,
    FileInfo,
    Inspection,
    InspectionReport,
    LayerInfo,
    TensorInfo,
    ValueInfo,
)
from kcomplexity.inspection.walking import inspect_checkpoint

__all__ = [
    "DtypeInfo",
    "FileInfo",
    "Inspection",
    "InspectionReport",
    "LayerInfo",
    "TensorInfo",
    "ValueInfo",
    "inspect_checkpoint",
]
