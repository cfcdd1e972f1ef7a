"""Randomised controls: one small class each; see :mod:`kcomplexity.controls.base`."""

from __future__ import annotations

from kcomplexity.controls.base import CONTROLS, Control, parse_control
from kcomplexity.controls.inits import Init
from kcomplexity.controls.shuffles import Shuffle, ShuffleCols, ShuffleRows
from kcomplexity.controls.signs import Signs
from kcomplexity.controls.unit_permutation import UnitPermutation
from kcomplexity.results.control_results import INIT, SHUFFLE, UNIT_PERMUTATION

__all__ = [
    "CONTROLS",
    "Control",
    "Init",
    "Shuffle",
    "ShuffleCols",
    "ShuffleRows",
    "Signs",
    "UnitPermutation",
    "parse_control",
]

CONTROLS.register(SHUFFLE, Shuffle)
CONTROLS.register("shuffle-rows", ShuffleRows)
CONTROLS.register("shuffle-cols", ShuffleCols)
CONTROLS.register("signs", Signs)
CONTROLS.register(INIT, Init)
CONTROLS.register(UNIT_PERMUTATION, UnitPermutation)
