"""Every figure of a score of one real file, against what the definitions give for its arrays.

The definitions (:mod:`tests.definitions`, pybdm) share no code with the package: zlib, zstandard,
brotli, bz2, lzma and NumPy on whole arrays, without cuts, frames, threads or files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.algorithms.context.codec import write_tile
from kcomplexity.algorithms.context.length import tile_code
from kcomplexity.algorithms.context.model import Kernel
from kcomplexity.algorithms.entropy_coding import BitWriter
from kcomplexity.algorithms.low_rank.codec import write_band
from kcomplexity.algorithms.low_rank.model import low_rank_code
from kcomplexity.scoring.panels import PANELS
from tests import definitions
from tests.pybdm_oracle import pybdm_bdm

Array = np.ndarray[Any, np.dtype[Any]]


#: Held against the bits that a plain encoder writes.
WRITTEN = ("ctx@", "lowrank@")
STATISTICS = ("nonzero", "l2", "stable-rank", "spectral-entropy")


def arrays() -> dict[str, Array]:
    rng = np.random.default_rng(7)
    heavy = (rng.standard_t(4, (60, 50)) * 0.02).astype(np.float32)
    heavy[:, ::7] = 0
    return {
        "conv.weight": (rng.normal(size=(8, 3, 5, 5)) * 0.1).astype(np.float32),
        "dense.bias": rng.normal(size=37).astype(np.float32),
        "dense.weight": heavy,
        "half": rng.normal(size=(20, 33)).astype(np.float16),
        "brain": rng.normal(size=(21, 16)).astype(ml_dtypes.bfloat16),
    }


def specs() -> list[str]:
    """Every spec of every panel."""
    return list(dict.fromkeys(spec for panel in PANELS.values() for spec in panel.specs))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> kc.Report:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_file(arrays(), path)
    return kc.score(path, specs=specs(), controls=[])


def expected(values: Array, spec: str) -> float:
    """The row's value by definition."""
    matrix = values.reshape(values.shape[0], -1)
    if spec in ("bdm1d@sign", "bdm2d@sign"):
        signs = (matrix.astype(np.float64) > 0).astype(int)
        return pybdm_bdm(signs if spec == "bdm2d@sign" else signs.reshape(-1))
    if spec.startswith("qubd@"):
        planes = definitions.view(values, spec.partition("@")[2]).streams
        return math.fsum(pybdm_bdm(p.symbols.reshape(matrix.shape).astype(int)) for p in planes)
    found = definitions.value(values, spec)
    if spec.startswith("entropy@") or spec in STATISTICS:
        return found  # an estimate, a statistic: no decoder, so nothing to tell it
    return found + definitions.view(values, spec.partition("@")[2]).side_bits


def written_bits(values: Array, row: kc.Score) -> float:
    """Bits that the plain encoder of ``ctx`` or ``lowrank`` writes, and its side information."""
    matrix = values.reshape(values.shape[0] if values.ndim > 1 else 1, -1)
    writer = BitWriter()
    if row.estimator == "lowrank":
        assert row.level_step is not None
        write_band(writer, low_rank_code(matrix.astype(np.float64), row.level_step))
        writer.finish()
        return len(writer.bits)
    seen = definitions.view(values, row.view or "")
    (stream,) = seen.streams
    symbols = stream.symbols.reshape(matrix.shape).astype(np.int64)
    code = tile_code(symbols, stream.size, Kernel.of(values.shape))
    write_tile(writer, symbols, stream.size, code.models[code.best])
    writer.finish()
    return len(writer.bits) + seen.side_bits


@pytest.mark.parametrize("spec", [spec for spec in specs() if spec.startswith(WRITTEN)])
def test_a_structure_code_is_as_long_as_what_is_written(report: kc.Report, spec: str) -> None:
    rows = [row for row in report.rows if row.spec == spec and row.status == "ok"]
    assert len(rows) == len(arrays())
    for row in rows:
        written = written_bits(arrays()[row.tensor or ""], row)
        assert row.value is not None
        assert row.value - 0.1 <= written <= row.value + 2.1, row.tensor


@pytest.mark.parametrize("spec", [spec for spec in specs() if not spec.startswith(WRITTEN)])
def test_each_row_is_what_its_definition_gives(report: kc.Report, spec: str) -> None:
    rows = [row for row in report.rows if row.spec == spec and row.status == "ok"]
    assert rows
    for row in rows:
        value = expected(arrays()[row.tensor or ""], spec)
        assert row.value == pytest.approx(value, rel=1e-9), row.tensor
        assert row.bits == (None if row.kind == "statistic" else row.value)


@pytest.mark.parametrize("spec", specs())
def test_the_whole_is_the_sum_of_its_rows(report: kc.Report, spec: str) -> None:
    rows = [row for row in report.rows if row.spec == spec and row.status == "ok"]
    (whole,) = (row for row in report.summary if row.spec == spec)
    assert whole.n_weights == sum(row.n_weights for row in rows)
    if whole.kind != "statistic":
        assert whole.bits == pytest.approx(math.fsum(row.bits or 0 for row in rows), rel=1e-12)


def test_only_matrices_too_small_for_a_block_are_skipped(report: kc.Report) -> None:
    skipped = {(row.tensor, row.estimator) for row in report.rows if row.status != "ok"}
    # ... and a vector has no spectrum.
    none = ("bdm2d", "qubd", "stable-rank", "spectral-entropy")
    assert skipped == {("dense.bias", estimator) for estimator in none}


def test_files_in_every_arrangement_give_the_same_rows(tmp_path: Path, report: kc.Report) -> None:
    named: dict[str, Any] = arrays()
    np.savez(tmp_path / "m.npz", **named)
    np.savez_compressed(tmp_path / "packed.npz", **named)
    for name in ("m.npz", "packed.npz"):
        again = kc.score(tmp_path / name, specs=specs(), controls=[])
        figures = {(row.tensor, row.spec): (row.status, row.value) for row in report.rows}
        assert {(row.tensor, row.spec): (row.status, row.value) for row in again.rows} == figures
