"""Sums over a checkpoint, computed by hand."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from kcomplexity.results.account import Account
from kcomplexity.results.control_results import ControlResult, SummedControl
from kcomplexity.results.records import Score
from kcomplexity.scoring.summary import counted, leave_one_out, summarise


def row(tensor: str, bits: float | None, n_weights: int, **changes: Any) -> Score:
    """A measured row of a lossy code of 16-bit weights."""
    values: dict[str, Any] = {
        "checkpoint": "run.safetensors",
        "tensor": tensor,
        "scope": "tensor",
        "group": tensor,
        "dtype": "F16",
        "shape": (n_weights,),
        "n_weights": n_weights,
        "n_bytes": 2 * n_weights,
        "raw_bits": 16 * n_weights,
        "spec": "entropy:two-part@rd0.1",
        "estimator": "entropy:two-part",
        "view": "rd0.1",
        "kind": "code",
        "decodes": "view",
        "direction": "lower = simpler",
        "positional": False,
        "target_mse": 0.1,
        "status": "ok",
        "value": bits,
        "bits": bits,
        "bits_per_weight": None if bits is None else bits / n_weights,
        "seconds": 0.5,
    }
    return Score(**values | changes)


def shuffled(bits: float, *replicates: float) -> tuple[ControlResult, ...]:
    return (ControlResult.of("shuffle", bits, replicates),)


def test_three_rows_add_up_by_hand():
    rows = [
        row("a", 100.0, 50, squared_error=1.0, sum_of_squares=20.0, relative_mse=0.05, se_bits=3.0),
        row("b", 60.0, 30, squared_error=2.0, sum_of_squares=10.0, relative_mse=0.2, se_bits=4.0),
        row("c", 40.0, 20, squared_error=0.0, sum_of_squares=0.0, relative_mse=0.0),
    ]
    rows[0] = replace(rows[0], sampled_fraction=0.5, n_ignored=1, n_blocks=5, saturated=False)
    rows[1] = replace(rows[1], sampled_fraction=0.5, n_ignored=2, n_blocks=7, saturated=True)
    rows[2] = replace(rows[2], n_blocks=1, saturated=False, cached=True)
    (total,) = summarise(rows)
    assert (total.value, total.bits, total.bits_per_weight) == (200, 200, 2)
    assert (total.n_weights, total.n_bytes, total.raw_bits) == (100, 200, 1600)
    assert (total.ratio_raw_over_comp, total.n_tensors, total.seconds) == (8, 3, 1.5)
    assert (total.squared_error, total.sum_of_squares, total.relative_mse) == (3, 30, 0.1)
    assert (total.se_bits, total.sampled_fraction) == (5, 0.6)
    assert (total.n_ignored, total.n_blocks, total.saturated, total.cached) == (3, 13, True, False)
    assert (total.scope, total.dtype, total.target_mse) == ("all", "F16", 0.1)


def test_a_sum_has_nothing_that_belongs_to_one_tensor():
    own = row(
        "a",
        10.0,
        5,
        n_codes_seen=3,
        largest_tensor="x",
        largest_tensor_weights=4,
        level_step=0.1,
        left_out="a copy of b",
        saving=0.1,
        account=Account(order0_bits=1.0, saved_bits={}),
        stream_bits={"sign": 1.0},
        details={"levels": 3},
    )
    (total,) = summarise([own])
    defaults = {f.name: f.default for f in fields(Score)}
    for name in (
        *("n_codes_seen", "largest_tensor", "largest_tensor_weights", "level_step", "left_out"),
        *("saving", "account", "stream_bits", "tiles", "structure", "side_of", "reason"),
    ):
        assert getattr(total, name) is defaults[name] is None
    assert (total.tensor, total.group, total.shape, total.details) == (None, None, None, {})


@pytest.mark.parametrize("name", ["squared_error", "sum_of_squares", "n_blocks", "saturated"])
def test_what_one_row_does_not_know_the_sum_does_not_know(name: str):
    known = {"squared_error": 1.0, "sum_of_squares": 2.0, "n_blocks": 3, "saturated": True}
    rows = [row("a", 1.0, 1, **known), row("b", 1.0, 1, **known | {name: None})]
    (total,) = summarise(rows)
    missing = {key for key in known if getattr(total, key) is None}
    assert missing == {name}


def test_an_error_that_one_row_lacks_is_no_error_of_the_sum():
    rows = [row("a", 1.0, 1, relative_mse=0.1), row("b", 1.0, 1)]
    assert [total.relative_mse for total in summarise(rows)] == [None]
    assert [total.relative_mse for total in summarise(rows[:1])] == [0.0]  # no squares to divide by


def test_each_checkpoint_and_spec_has_its_sum_and_what_was_not_measured_has_none():
    rows = [
        row("a", 1.0, 4),
        row("a", None, 4, spec="zstd@q4", status="skipped", reason="NaN"),
        row("a", 8.0, 4, checkpoint="other"),
        row("b", None, 400, status="failed", reason="cut"),
        row("b", 2.0, 4, dtype="F32"),
    ]
    totals = [(t.checkpoint, t.spec, t.bits, t.n_weights, t.dtype) for t in summarise(rows)]
    spec = "entropy:two-part@rd0.1"
    assert totals == [("run.safetensors", spec, 3, 8, None), ("other", spec, 8, 4, "F16")]


def test_side_information_adds_bits_but_no_weights():
    rows = [row("w", 90.0, 30), row("w.scale", 10.0, 5, side_of="w", sampled_fraction=0.1)]
    (total,) = summarise(rows)
    assert (total.bits, total.n_weights) == (100, 30)
    assert total.bits_per_weight == pytest.approx(10 / 3)
    assert (total.raw_bits, total.n_tensors, total.sampled_fraction) == (560, 2, 1)


def test_scales_whose_codes_are_not_measured_count_only_if_there_is_nothing_else():
    scale = row("w.scale", 10.0, 5, side_of="w")
    other = row("v", 7.0, 7)
    assert counted([scale, other]) == [other]
    assert counted([scale]) == [scale]
    assert summarise([scale, other])[0].bits == 7
    (alone,) = summarise([scale])
    assert (alone.bits, alone.n_weights) == (10, 5)


def test_replicates_are_summed_seed_by_seed_over_the_tensors_that_have_them():
    rows = [
        row("a", 8.0, 4, controls=shuffled(8.0, 10.0, 12.0)),
        row("b", 4.0, 4, controls=shuffled(4.0, 5.0, 3.0)),
        row("c", 100.0, 4, controls=(ControlResult(kind="shuffle", n=0, bits=(), reason="no"),)),
    ]
    (total,) = summarise(rows)
    (control,) = total.controls
    assert isinstance(control, SummedControl)
    assert (control.bits, control.n_tensors, control.n) == ((15, 15), 2, 2)
    assert (control.ratio, control.n_lower, control.p) == (12 / 15, 2, 1 / 3)
    assert total.bits == 112


def test_each_kind_of_control_is_summed_apart():
    init = ControlResult.of("init:normal", 8.0, [16.0])
    rows = [
        row("a", 8.0, 4, controls=(*shuffled(8.0, 10.0), init)),
        row("b", 4.0, 4, controls=shuffled(4.0, 5.0)),
    ]
    (total,) = summarise(rows)
    assert [(c.kind, c.ratio) for c in total.controls] == [("shuffle", 0.8), ("init:normal", 0.5)]


def test_the_whole_of_a_statistic_is_what_its_estimator_says():
    statistic = {"spec": "nonzero", "estimator": "nonzero", "view": None, "kind": "statistic"}
    rows = [row("a", None, 30, value=0.5, **statistic), row("b", None, 10, value=0.1, **statistic)]
    (total,) = summarise(rows)
    assert total.value == pytest.approx((0.5 * 30 + 0.1 * 10) / 40)
    assert (total.bits, total.bits_per_weight, total.ratio_raw_over_comp) == (None, None, None)


def test_an_estimate_has_no_ratio_to_what_is_stored():
    (total,) = summarise([row("a", 8.0, 4, kind="estimate")])
    assert (total.bits, total.ratio_raw_over_comp) == (8, None)


def test_the_range_without_any_one_tensor_is_that_of_the_ratios_of_the_others():
    rows = [
        row("a", 8.0, 4, controls=shuffled(8.0, 10.0)),
        row("b", 3.0, 4, controls=shuffled(3.0, 4.0, 6.0)),
        row("c", 6.0, 4, controls=shuffled(6.0, 5.0)),
        row("d", 999.0, 4),
    ]
    # Without a: 9 of 10; without b: 14 of 15; without c: 11 of 15.
    assert leave_one_out(rows, "shuffle") == (11 / 15, 14 / 15)
    assert leave_one_out(rows[2:], "shuffle") is None
    assert leave_one_out(rows, "signs") is None


def test_a_control_keeps_its_z_when_it_is_read_from_a_row_of_text():
    control = ControlResult.of("shuffle", 1.0, [2.0, 3.0, 4.0, 5.0, 6.0])
    own = row("a", 1.0, 4, controls=(control,))
    read = Score.from_dict(own.to_dict()).controls[0]
    assert read.z == pytest.approx(-3 / 2.5**0.5)
    assert read == control
