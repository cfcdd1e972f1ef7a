"""Figures that never change: each spec of fixed weights, against what it was when it was named.

Compressors are left out: their bytes belong to the version of a library. To add the figure of a new
spec, add its name with ``null`` and take the figure from the failure, after checking it by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kcomplexity as kc
from kcomplexity.estimators import ESTIMATORS
from kcomplexity.estimators.compressors import Compressor

GOLDEN = json.loads((Path(__file__).parent / "golden" / "figures.json").read_text("utf-8"))


def weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    """96 x 80 weights by integer arithmetic: heavy-tailed, rows of different scale, some zeros.

    No generator's stream, no function of the C library: the same bits everywhere.
    """
    i = np.arange(96 * 80, dtype=np.uint64)
    mixed = (i * np.uint64(2654435761) + (i * i) % np.uint64(10007)) % np.uint64(1 << 20)
    u = mixed.astype(np.float64) / (1 << 20) - 0.5
    w = (u * u * u * 8 + u / 4).reshape(96, 80) * (1 + np.arange(96) % 5)[:, None]
    w[::9, ::7] = 0
    return w.astype(np.float32)


@pytest.mark.parametrize("spec", GOLDEN)
def test_a_spec_gives_the_figure_it_always_gave(spec: str) -> None:
    (row,) = kc.score({"w": weights()}, specs=[spec], controls=[]).rows
    assert row.spec == spec
    assert GOLDEN[spec] is not None, f"{spec} is {row.value!r}: check it by hand, then add it"
    assert row.value == pytest.approx(GOLDEN[spec], rel=1e-12)


def test_every_estimator_but_the_compressors_has_a_golden_figure() -> None:
    golden = {spec.partition("@")[0].partition(":")[0] for spec in GOLDEN}
    ours = {name for name in ESTIMATORS if not issubclass(ESTIMATORS[name], Compressor)}
    assert golden == ours
