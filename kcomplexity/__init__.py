"""Measure how complex a neural network's weights really are.

Point it at a checkpoint file - no framework, no data, no model class - and learn how many bits the
weights need, and how much of their structure survives a shuffle:

>>> import numpy as np, kcomplexity as kc
>>> rng = np.random.default_rng(0)
>>> report = kc.score({"layer.weight": rng.normal(size=(256, 256)).astype("f4")}, panel="fast")
>>> [row.spec for row in report.rows]
['zstd@bytes/planes', 'entropy:two-part@q8', 'nonzero']

The data flow, which the modules follow: checkpoint -> tensor -> view -> estimator -> score ->
report; and checkpoint -> blocks -> motifs -> mosaic -> bits, distortion, a file.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from kcomplexity._version import __version__

if TYPE_CHECKING:
    from kcomplexity.algorithms.bdm import bdm1d, bdm2d, bdm_tiles, block_entropy
    from kcomplexity.algorithms.lempel_ziv import (
        binarise_outputs,
        lz76_complexity,
        lz76_entropy_rate,
    )
    from kcomplexity.bounds.generalisation import Bound, occam_bound
    from kcomplexity.comparison.compare import Comparison, compare
    from kcomplexity.comparison.conditional import Conditional, conditional
    from kcomplexity.containers.mosaic import Mosaic
    from kcomplexity.controls import Control, parse_control
    from kcomplexity.errors import (
        CheckpointError,
        KComplexityError,
        KComplexityWarning,
        SpecError,
        UnmeasurableError,
    )
    from kcomplexity.estimators import Estimator, Measure
    from kcomplexity.loaders import open_checkpoint
    from kcomplexity.mosaics.assign import assign_blocks
    from kcomplexity.mosaics.fitting import fit_mosaic
    from kcomplexity.mosaics.projection import project
    from kcomplexity.parallel import Every, Piece, Reducer, Rows, State, Whole, fold
    from kcomplexity.parallel.pool import Pool
    from kcomplexity.results.records import Report, Score
    from kcomplexity.scoring.panels import PANELS
    from kcomplexity.scoring.score import score
    from kcomplexity.scoring.specs import Spec, parse_spec
    from kcomplexity.scoring.tile_maps import TileMap, tile_map
    from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
    from kcomplexity.tensors.dtypes import StoredDtype
    from kcomplexity.training.tracker import Tracker
    from kcomplexity.training.trajectory import Trajectory, trajectory
    from kcomplexity.views import Alphabet, Encoded, Encoder, View

__all__ = [
    "PANELS",
    "Alphabet",
    "Bound",
    "Checkpoint",
    "CheckpointError",
    "Comparison",
    "Conditional",
    "Control",
    "Encoded",
    "Encoder",
    "Estimator",
    "Every",
    "KComplexityError",
    "KComplexityWarning",
    "Measure",
    "Mosaic",
    "Piece",
    "Pool",
    "Reducer",
    "Report",
    "Rows",
    "Score",
    "Spec",
    "SpecError",
    "State",
    "StoredDtype",
    "Tensor",
    "TileMap",
    "Tracker",
    "Trajectory",
    "UnmeasurableError",
    "View",
    "Whole",
    "__version__",
    "assign_blocks",
    "bdm1d",
    "bdm2d",
    "bdm_tiles",
    "binarise_outputs",
    "block_entropy",
    "compare",
    "conditional",
    "fit_mosaic",
    "fold",
    "lz76_complexity",
    "lz76_entropy_rate",
    "occam_bound",
    "open_checkpoint",
    "parse_control",
    "parse_spec",
    "project",
    "score",
    "tile_map",
    "trajectory",
]

#: Where the names are: each module is imported when one of its names is asked for.
_NAMES_OF = {
    "algorithms.bdm": (
        "bdm1d",
        "bdm2d",
        "bdm_tiles",
        "block_entropy",
    ),
    "bounds.generalisation": (
        "Bound",
        "occam_bound",
    ),
    "tensors.checkpoint": (
        "Checkpoint",
        "Tensor",
    ),
    "comparison.compare": (
        "Comparison",
        "compare",
    ),
    "comparison.conditional": (
        "Conditional",
        "conditional",
    ),
    "controls": (
        "Control",
        "parse_control",
    ),
    "tensors.dtypes": ("StoredDtype",),
    "errors": (
        "CheckpointError",
        "KComplexityError",
        "KComplexityWarning",
        "SpecError",
        "UnmeasurableError",
    ),
    "estimators": (
        "Estimator",
        "Measure",
    ),
    "algorithms.lempel_ziv": (
        "binarise_outputs",
        "lz76_complexity",
        "lz76_entropy_rate",
    ),
    "loaders": ("open_checkpoint",),
    "mosaics.assign": ("assign_blocks",),
    "mosaics.fitting": ("fit_mosaic",),
    "containers.mosaic": ("Mosaic",),
    "mosaics.projection": ("project",),
    "scoring.panels": ("PANELS",),
    "parallel": (
        "Every",
        "Piece",
        "Reducer",
        "Rows",
        "State",
        "Whole",
        "fold",
    ),
    "parallel.pool": ("Pool",),
    "results.records": (
        "Report",
        "Score",
    ),
    "scoring.score": ("score",),
    "scoring.specs": (
        "Spec",
        "parse_spec",
    ),
    "scoring.tile_maps": (
        "TileMap",
        "tile_map",
    ),
    "training.tracker": ("Tracker",),
    "training.trajectory": (
        "Trajectory",
        "trajectory",
    ),
    "views": (
        "Alphabet",
        "Encoded",
        "Encoder",
        "View",
    ),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
