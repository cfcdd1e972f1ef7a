"""One unit measured by its specs: samples, controls, and what fails beside what works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.controls import parse_control
from kcomplexity.errors import UnmeasurableError
from kcomplexity.estimators import Measure
from kcomplexity.parallel import Every
from kcomplexity.parallel.pool import Pool
from kcomplexity.results.records import Score
from kcomplexity.scoring.measure import finish, gather, measure_unit, prepare_views
from kcomplexity.scoring.plan import make_plan
from kcomplexity.scoring.sampling import sample_parts
from kcomplexity.scoring.specs import parse_spec
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.derived import Part, Sample
from kcomplexity.tensors.pieces import LEAF

SAMPLED = "zstd:1:frame=65536@bytes"


def rows_of(checkpoint: Checkpoint, pool: Pool, **options: Any) -> dict[tuple[str, str], Score]:
    """Measure every unit; return the rows by tensor and spec."""
    plan = make_plan([checkpoint], **options)
    rows = [row for path, unit in plan.each_unit() for row in measure_unit(path, unit, plan, pool)]
    assert all(row.checkpoint == checkpoint.path for row in rows)
    return {(str(row.tensor), row.spec): row for row in rows}


def measured(arrays: dict[str, Any], **options: Any) -> dict[tuple[str, str], Score]:
    with kc.open_checkpoint(arrays) as checkpoint, Pool(2) as pool:
        return rows_of(checkpoint, pool, **options)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# --- failure -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("oh no"), "failed", "ValueError: oh no"),
        (UnmeasurableError("oh no"), "skipped", "oh no"),
    ],
)
def test_a_spec_that_raises_costs_its_own_row_and_has_no_controls(
    error: Exception, status: str, reason: str, monkeypatch: pytest.MonkeyPatch
):
    def raises(*_: Any) -> Measure:
        raise error

    monkeypatch.setattr(type(parse_spec("bdm2d@sign").estimator), "measure", raises)
    rows = measured(
        {"w": noise(32, 32)}, specs=["bdm2d@sign", "zstd@q8"], controls=["shuffle:2", "signs:1"]
    )
    broken, works = rows["w", "bdm2d@sign"], rows["w", "zstd@q8"]
    assert (broken.status, broken.reason, broken.value) == (status, reason, None)
    assert broken.controls == ()
    assert works.status == "ok"
    assert [(c.kind, c.n) for c in works.controls] == [("shuffle", 2), ("signs", 1)]


def test_a_view_that_a_tensor_does_not_have_skips_its_specs_alone():
    array = noise(16, 16)
    array[3, 4] = np.nan
    rows = measured({"w": array}, specs=["entropy@q8", "zstd@bytes", "zstd@q4"])
    assert [row.status for row in rows.values()] == ["skipped", "ok", "skipped"]
    assert "NaN" in str(rows["w", "entropy@q8"].reason)


def test_a_control_that_changes_nothing_says_so_in_place_of_its_bits():
    rows = measured(
        {"w": noise(64), "m": np.ones(64, bool)}, specs=["zstd@bytes"], controls=["signs:2"]
    )
    (changed,), (same,) = (rows[name, "zstd@bytes"].controls for name in "wm")
    assert (changed.n, changed.reason) == (2, None)
    assert (same.n, same.bits, same.ratio) == (0, (), None)
    assert "leaves such a tensor as it is" in str(same.reason)


def test_a_replicate_that_cannot_be_measured_gives_the_reason(monkeypatch: pytest.MonkeyPatch):
    estimator = type(parse_spec("zstd@q8").estimator)
    measure, calls = estimator.measure, []

    def fails_later(self: Any, *arguments: Any) -> Measure:
        calls.append(self)
        if len(calls) > 2:
            raise ValueError("oh no")
        return measure(self, *arguments)

    monkeypatch.setattr(estimator, "measure", fails_later)
    rows = measured({"w": noise(64)}, specs=["zstd@q8"], controls=["shuffle:3"])
    row = rows["w", "zstd@q8"]
    assert row.status == "ok"
    assert row.controls[0].n == 0
    assert "zstd@q8 of shuffle:3: ValueError: oh no" in str(row.controls[0].reason)


def test_an_empty_tensor_is_skipped_by_every_spec_beside_one_that_is_measured():
    arrays = {"none": np.zeros((0, 4), np.float32), "w": noise(64)}
    rows = measured(arrays, specs=["zstd@bytes", "l2", "ctx@rd0.1"], controls=["shuffle:1"])
    empty = [row for (name, _), row in rows.items() if name == "none"]
    assert [row.status for row in empty] == ["skipped"] * 3
    assert {row.reason for row in empty} == {"the tensor is empty: there is no weight to measure"}
    assert all(row.status == "ok" for (name, _), row in rows.items() if name == "w")


def test_a_file_that_is_cut_while_it_is_read_fails_the_tensors_that_are_gone(tmp_path: Path):
    path = tmp_path / "cut.safetensors"
    save_file({"a": noise(4096), "b": noise(4096)}, path)
    with kc.open_checkpoint(path) as checkpoint, Pool(2) as pool:
        os.truncate(path, path.stat().st_size - 4 * 4096)
        rows = rows_of(checkpoint, pool, specs=["zstd@bytes", "l2"], controls=["shuffle:1"])
    first, second = checkpoint
    assert [rows[first, spec].status for spec in ("zstd@bytes", "l2")] == ["ok", "ok"]
    for spec in ("zstd@bytes", "l2"):
        row = rows[second, spec]
        assert (row.status, row.value, row.controls) == ("failed", None, ())
        assert "cut.safetensors" in str(row.reason)


# --- samples -------------------------------------------------------------------------------------


def bits_of(tensor: Tensor, text: str, pool: Pool) -> float:
    spec = parse_spec(text)
    encoders = prepare_views(tensor, [spec], pool)
    measure = finish(spec, encoders[spec.view], gather(tensor, [spec], encoders, pool)[spec])
    assert isinstance(measure, Measure)
    return measure.bits


def test_a_sample_and_its_controls_are_those_of_the_same_parts(monkeypatch: pytest.MonkeyPatch):
    """Lazy replicates are made of the whole tensor and cut; stored ones are made of the sample."""
    monkeypatch.setattr("kcomplexity.scoring.sampling.FRAME", LEAF)
    arrays = {"w": noise(8, LEAF) * np.linspace(0.1, 1, LEAF, dtype=np.float32).round(1)}
    options: dict[str, Any] = {"specs": [SAMPLED, "l2"], "sample": 0.5}
    with kc.open_checkpoint(arrays) as checkpoint, Pool(2) as pool:
        rows = rows_of(checkpoint, pool, controls=["signs:2", "shuffle:2"], **options)
        tensor = checkpoint["w"]
        parts = sample_parts(tensor, Every(), 0.5, 0)
        assert parts is not None
        assert len(parts) == 4
        sample = Sample.of(tensor, parts)
        expected = 2 * bits_of(sample, SAMPLED, pool)
        lazy = [
            2 * bits_of(Sample.of(r, [Part.of(r, p.start, p.stop) for p in parts]), SAMPLED, pool)
            for r in parse_control("signs:2").replicates(tensor, 0, pool)
        ]
        stored = [
            2 * bits_of(replicate, SAMPLED, pool)
            for replicate in parse_control("shuffle:2").replicates(sample, 0, pool)
        ]
    row = rows["w", SAMPLED]
    assert (row.bits, row.sampled_fraction) == (expected, 0.5)
    assert row.se_bits is not None
    assert row.se_bits > 0
    assert {c.kind: list(c.bits) for c in row.controls} == {"signs": lazy, "shuffle": stored}
    statistic = rows["w", "l2"]
    # A statistic of the sample stands as it is: it is not scaled up, and has no bits.
    (alone,) = measured({"w": sample.read()}, specs=["l2"], exact=True).values()
    assert statistic.value == alone.value
    assert (statistic.sampled_fraction, statistic.se_bits, statistic.controls) == (0.5, None, ())


def test_a_tensor_left_out_of_the_sample_says_so_beside_specs_that_measure_it_all(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("kcomplexity.scoring.sampling._LITTLE", 100)
    monkeypatch.setattr("kcomplexity.scoring.plan._CONTROLLED_CAP", 1)  # a share of 1 in 10,000
    arrays = {"w": noise(64, 64), "odd": noise(64, 64), "little": noise(8, 8)}
    arrays["odd"][0, 0] = np.inf
    rows = measured(arrays, specs=["zstd@q4", "entropy@q4"], controls=["shuffle:1"])
    left_out = rows["w", "zstd@q4"]
    assert (left_out.status, left_out.in_sample, left_out.controls) == ("skipped", False, ())
    assert str(left_out.reason).startswith("not in the sample")
    assert (rows["w", "entropy@q4"].status, rows["w", "entropy@q4"].in_sample) == ("ok", True)
    # A sample is no reason where there is another.
    odd = rows["odd", "zstd@q4"]
    assert (odd.status, odd.in_sample) == ("skipped", True)
    assert "infinit" in str(odd.reason)
    little = rows["little", "zstd@q4"]
    assert (little.status, little.sampled_fraction, len(little.controls)) == ("ok", 1, 1)
