"""What is left to chance: one small class per control; see :mod:`kcomplexity.controls.base`."""

from __future__ import annotations

from kcomplexity.controls.base import CONTROLS, Control, parse_control
from kcomplexity.controls.inits import Init
from kcomplexity.controls.shuffles import Shuffle, ShuffleCols, ShuffleRows
from kcomplexity.controls.signs import Signs
from kcomplexity.controls.statistics import (
    ControlResult,
    control_record,
    control_statistics,
    unmeasured_control,
)
from kcomplexity.controls.unit_permutation import UnitPermutation

__all__ = [
    "CONTROLS",
    "Control",
    "ControlResult",
    "Init",
    "Shuffle",
    "ShuffleCols",
    "ShuffleRows",
    "Signs",
    "UnitPermutation",
    "control_record",
    "control_statistics",
    "parse_control",
    "unmeasured_control",
]

CONTROLS.register("shuffle", Shuffle)
CONTROLS.register("shuffle-rows", ShuffleRows)
CONTROLS.register("shuffle-cols", ShuffleCols)
CONTROLS.register("signs", Signs)
CONTROLS.register("init", Init)
CONTROLS.register("unit-permutation", UnitPermutation)
