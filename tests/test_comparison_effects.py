"""Changes follow from four numbers by hand: bits and shuffled bits, before and after."""

from __future__ import annotations

import math
from typing import Any

import pytest

from kcomplexity.comparison.effects import change_between, ranges_without_one
from kcomplexity.comparison.run_effects import change_over_runs
from kcomplexity.results.control_results import SHUFFLE, ControlResult
from kcomplexity.results.records import Score


def row(bits: float | None, shuffled: tuple[float, ...] = (), **changed: Any) -> Score:
    """A score of 10 weights, whose bits and shuffled bits are as stated."""
    fields: dict[str, Any] = {
        "checkpoint": "a",
        "tensor": "w",
        "scope": "tensor",
        "group": "w",
        "dtype": "F32",
        "shape": (2, 5),
        "n_weights": 10,
        "n_bytes": 40,
        "spec": "zstd:9@q4",
        "estimator": "zstd:9",
        "view": "q4",
        "kind": "code",
        "decodes": "view",
        "direction": "higher = more complex",
        "positional": True,
        "status": "ok",
        "value": bits,
        "bits": bits,
        "bits_per_weight": None if bits is None else bits / 10,
    }
    controls = (ControlResult.of(SHUFFLE, bits or 0.0, shuffled),) if shuffled else ()
    return Score(**fields | {"controls": controls} | changed)


def test_a_change_is_that_of_its_definition():
    change = change_between(row(100, (110, 90)), row(60, (84, 76), checkpoint="b"))
    assert (change.reference, change.other) == ("a", "b")
    assert change.total_change == pytest.approx(-0.4)
    assert change.values_change == pytest.approx(-0.2)  # 80 / 100
    assert change.structure_change == pytest.approx(-0.25)  # (60 / 80) / (100 / 100)
    assert change.total
    assert change.values
    assert change.structure
    assert change.total.bits_per_weight == pytest.approx(-4)
    assert change.values.bits_per_weight == pytest.approx(-2)
    assert change.structure.bits_per_weight == pytest.approx(-2)
    # Seed by seed: 84 / 110 and 76 / 90; (60 / 84) / (100 / 110) and (60 / 76) / (100 / 90).
    assert change.values.seeds == pytest.approx((84 / 110 - 1, 76 / 90 - 1))
    assert change.structure.seeds == pytest.approx((0.6 * 110 / 84 - 1, 0.6 * 90 / 76 - 1))
    assert (change.values.n_agree, change.structure.n_agree) == (2, 2)
    assert (change.reference_n_lower, change.n_lower) == (1, 2)


def test_shuffles_that_move_the_other_way_do_not_agree():
    change = change_between(row(100, (100, 100)), row(100, (90, 130)))
    assert change.values is not None
    assert change.values_change == pytest.approx(0.1)
    assert change.values.n_agree == 1


def test_a_spec_that_sees_no_order_changes_by_its_values_alone():
    change = change_between(row(100, positional=False), row(60, positional=False))
    assert change.values_change == change.total_change == pytest.approx(-0.4)
    assert (change.structure_change, change.structure) == (None, None)


@pytest.mark.parametrize("shuffled", [((), (60,)), ((100,), ()), ((100, 90), (60,))])
def test_without_as_many_shuffles_on_both_sides_there_is_a_total_alone(shuffled):
    change = change_between(row(100, shuffled[0]), row(60, shuffled[1]))
    assert change.total_change == pytest.approx(-0.4)
    assert (change.values, change.structure) == (None, None)


def test_nothing_is_divided_by_zero_bits():
    change = change_between(row(0, (0, 0)), row(60, (80, 80)))
    assert change.status == "ok"
    assert (change.total_change, change.values_change, change.structure_change) == (None,) * 3


def test_a_statistic_has_a_total_without_bits():
    statistic: dict[str, Any] = {"kind": "statistic", "unit": "norm"}
    change = change_between(row(None, value=2.0, **statistic), row(None, value=3.0, **statistic))
    assert change.total_change == pytest.approx(0.5)
    assert change.total
    assert change.total.bits_per_weight is None
    assert (change.values, change.structure) == (None, None)


def test_a_side_that_failed_gives_the_reason_and_no_figure():
    failed = row(None, checkpoint="b", status="failed", reason="NaN")
    change = change_between(row(100, (110, 90)), failed)
    assert (change.status, change.reason) == ("failed", "b: NaN")
    assert (change.bits, change.total_change) == (None, None)


def test_ranges_leave_out_one_tensor_after_the_other():
    pairs = [(row(100, (100, 100)), row(60, (80, 80))), (row(50, (60, 60)), row(50, (50, 50)))]
    whole = change_between(
        row(150, (160, 160), tensor=None, scope="all", n_weights=20),
        row(110, (130, 130), tensor=None, scope="all", n_weights=20),
    )
    ranged = ranges_without_one(whole, pairs)
    assert ranged.total
    assert ranged.values
    assert ranged.structure
    assert ranged.total.leave_one_out == pytest.approx((-0.4, 0.0))
    assert ranged.values.leave_one_out == pytest.approx((-0.2, 50 / 60 - 1))
    assert ranged.structure.leave_one_out == pytest.approx((-0.25, 0.2))  # (50/50) / (50/60)
    assert ranges_without_one(whole, pairs[:1]) == whole


def test_runs_are_averaged_as_logarithms():
    before, after = [row(100), row(100)], [row(200), row(50)]
    change = change_over_runs(before, after, paired=True)
    assert (change.reference, change.other, change.paired) == ("2 runs", "2 runs", True)
    assert change.total_change == pytest.approx(0)  # doubled and halved
    assert change.total
    assert change.total.interval
    assert change.total.runs == pytest.approx((1.0, -0.5))
    # The logs are +-ln 2: mean 0, standard error ln 2, t(1) at 97.5 % is 12.706.
    high = math.expm1(12.7062047 * math.log(2))
    assert change.total.interval[1] == pytest.approx(high, rel=1e-6)
    assert change.total.differs is None  # fewer than five runs
    assert change.bits == pytest.approx(125)


@pytest.mark.parametrize("paired", [True, False])
def test_five_runs_on_each_side_decide_whether_the_sides_differ(paired):
    before = [row(100 + i) for i in range(5)]
    lower = change_over_runs(before, [row(50 + i) for i in range(5)], paired=paired)
    alike = change_over_runs(before, [row(104 - i) for i in range(5)], paired=paired)
    assert lower.total
    assert alike.total
    assert lower.total.differs is True
    assert alike.total.differs is False


def test_one_failed_run_fails_the_mean():
    failed = row(None, checkpoint="r2", status="failed", reason="NaN")
    change = change_over_runs([row(100), row(100)], [row(50), failed], paired=False)
    assert (change.status, change.reason, change.total_change) == ("failed", "r2: NaN", None)
