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

These are the names for users; a plug-in finds its own in :mod:`kcomplexity.plugins`.
"""

#: The module of each public name, imported when the name is first used. ``__init__.pyi`` says the
#: same to type checkers.
_MODULES = {
    "PANELS": "scoring.panels",
    "Bound": "bounds.generalisation",
    "Checkpoint": "tensors.checkpoint",
    "CheckpointError": "errors",
    "Comparison": "comparison.compare",
    "Conditional": "comparison.conditional",
    "KComplexityError": "errors",
    "KComplexityWarning": "errors",
    "Mosaic": "containers.mosaic",
    "Report": "results.records",
    "Score": "results.records",
    "Spec": "scoring.specs",
    "SpecError": "errors",
    "Tensor": "tensors.checkpoint",
    "TileMap": "scoring.tile_maps",
    "Tracker": "training.tracker",
    "Trajectory": "training.trajectory",
    "UnmeasurableError": "errors",
    "__version__": "_version",
    "assign_blocks": "mosaics.assign",
    "bdm1d": "algorithms.bdm",
    "bdm2d": "algorithms.bdm",
    "bdm_tiles": "algorithms.bdm",
    "binarise_outputs": "algorithms.lempel_ziv",
    "block_entropy": "algorithms.bdm",
    "compare": "comparison.compare",
    "conditional": "comparison.conditional",
    "fit_mosaic": "mosaics.fitting",
    "lz76_complexity": "algorithms.lempel_ziv",
    "lz76_entropy_rate": "algorithms.lempel_ziv",
    "occam_bound": "bounds.generalisation",
    "open_checkpoint": "loaders",
    "parse_control": "controls",
    "parse_spec": "scoring.specs",
    "project": "mosaics.projection",
    "score": "scoring.score",
    "tile_map": "scoring.tile_maps",
    "trajectory": "training.trajectory",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
