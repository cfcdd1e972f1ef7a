"""Every name a plug-in needs, in one place.

A plug-in is a package with an entry point in the group of a registry; ``docs/plugins.md`` has two
complete ones. Names that begin with an underscore, and modules other than this one, may change in
any version; what is here changes with a line in the changelog.

============================  ===========================  ==========================
to add                        derive from, or make         entry-point group
============================  ===========================  ==========================
an estimator                  :class:`Estimator`           ``kcomplexity.estimators``
a view                        :class:`View`                ``kcomplexity.views``
a loader (file format)        :class:`Loader`              ``kcomplexity.loaders``
a control                     :class:`Control`             ``kcomplexity.controls``
a way to find motifs          :class:`Fitter`              ``kcomplexity.fitters``
a lossy coding                :class:`Coding`              ``kcomplexity.codings``
a figure                      :class:`FigureKind`          ``kcomplexity.figures``
an output format              a function of a              ``kcomplexity.formats``
                              :class:`Document` to bytes
============================  ===========================  ==========================
"""

from __future__ import annotations

from kcomplexity.codings import CODINGS, Coded, Coding
from kcomplexity.containers.motifs import MotifDtype, Motifs
from kcomplexity.controls import CONTROLS, Control
from kcomplexity.errors import (
    CheckpointError,
    CorruptCheckpointError,
    KComplexityError,
    KComplexityWarning,
    MissingExtraError,
    OutputError,
    ResultError,
    SpecError,
    UnmeasurableError,
)
from kcomplexity.estimators import ESTIMATORS, Estimator, Measure
from kcomplexity.estimators.base import Kind, weighted_mean
from kcomplexity.files.opening import open_for_loading
from kcomplexity.files.sources import FileSource
from kcomplexity.loaders import LOADERS, Loader, Options
from kcomplexity.loaders.base import HEAD, import_extra
from kcomplexity.loaders.mapping import from_mapping
from kcomplexity.mosaics.assign import nearest
from kcomplexity.mosaics.fitters import FITTERS, Fit, Fitter, Goal, Problem
from kcomplexity.parallel import Cut, Every, Piece, Reducer, Rows, State, Whole, fold, leaf_sums
from kcomplexity.parallel.pool import Pool
from kcomplexity.registry import Registry
from kcomplexity.report import FORMATS
from kcomplexity.report.figures import FIGURES, Chart, FigureKind
from kcomplexity.report.figures.base import Cell
from kcomplexity.report.rows import Json
from kcomplexity.results.documents import Document
from kcomplexity.tensors.checkpoint import ArrayTensor, Checkpoint, Layout, StoredTensor, Tensor
from kcomplexity.tensors.derived import rebuilt
from kcomplexity.tensors.dtypes import DTYPES, StoredDtype
from kcomplexity.tensors.pieces import FRAME, LEAF
from kcomplexity.text import printable, shorten
from kcomplexity.views import VIEWS, Alphabet, Encoded, Encoder, Reduce, View
from kcomplexity.views.base import bit_planes, plane_alphabets, weights_only

# A line or two for each thing to add, in the order of the table above.
__all__ = ["ESTIMATORS", "Estimator", "Kind", "Measure", "weighted_mean", "weights_only"]
__all__ += ["VIEWS", "Alphabet", "Encoded", "Encoder", "Reduce", "View"]
__all__ += ["bit_planes", "plane_alphabets"]
__all__ += ["HEAD", "LOADERS", "FileSource", "Layout", "Loader", "Options"]
__all__ += ["from_mapping", "import_extra", "open_for_loading"]
__all__ += ["CONTROLS", "Control", "rebuilt"]
__all__ += ["FITTERS", "Fit", "Fitter", "Goal", "MotifDtype", "Motifs", "Problem", "nearest"]
__all__ += ["CODINGS", "Coded", "Coding"]
__all__ += ["FIGURES", "Cell", "Chart", "FigureKind", "Json"]
__all__ += ["FORMATS", "Document", "printable", "shorten"]
# Of all of them: tensors, passes over tensors, errors.
__all__ += ["DTYPES", "ArrayTensor", "Checkpoint", "StoredDtype", "StoredTensor", "Tensor"]
__all__ += ["FRAME", "LEAF", "Cut", "Every", "Piece", "Pool", "Reducer", "Rows", "State", "Whole"]
__all__ += ["Registry", "fold", "leaf_sums"]
__all__ += ["CheckpointError", "CorruptCheckpointError", "MissingExtraError", "SpecError"]
__all__ += ["OutputError", "ResultError", "UnmeasurableError"]
__all__ += ["KComplexityError", "KComplexityWarning"]
