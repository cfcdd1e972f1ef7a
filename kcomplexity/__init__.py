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

from kcomplexity._version import __version__
from kcomplexity.assign import assign_blocks
from kcomplexity.bdm import bdm1d, bdm2d, bdm_tiles, block_entropy
from kcomplexity.bounds import Bound, occam_bound
from kcomplexity.checkpoint import Checkpoint, Tensor
from kcomplexity.compare import Comparison, compare
from kcomplexity.conditional import Conditional, conditional
from kcomplexity.controls import Control, parse_control
from kcomplexity.dtypes import StoredDtype
from kcomplexity.errors import (
    CheckpointError,
    KComplexityError,
    KComplexityWarning,
    SpecError,
    UnmeasurableError,
)
from kcomplexity.estimators import Estimator, Measure
from kcomplexity.fitting import fit_mosaic
from kcomplexity.lempel_ziv import binarise_outputs, lz76_complexity, lz76_entropy_rate
from kcomplexity.loaders import open_checkpoint
from kcomplexity.mosaic import Mosaic
from kcomplexity.panels import PANELS
from kcomplexity.parallel import Every, Piece, Reducer, Rows, State, Whole, fold
from kcomplexity.pool import Pool
from kcomplexity.projection import project
from kcomplexity.records import Report, Score
from kcomplexity.score import score
from kcomplexity.specs import Spec, parse_spec
from kcomplexity.tile_map import TileMap, tile_map
from kcomplexity.tracker import Tracker
from kcomplexity.trajectory import Trajectory, trajectory
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
