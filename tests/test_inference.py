"""Intervals over runs and trends over steps, against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity import inference

kendall: Any = inference.kendall
paired_interval: Any = inference.paired_interval
welch_interval: Any = inference.welch_interval
values = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=20)


@given(st.permutations(range(9)))
@settings(max_examples=30, deadline=None)
def test_kendall_without_ties_is_scipys_exact_test(order):
    from scipy.stats import kendalltau

    found = kendall(range(9), order)
    expected = kendalltau(range(9), order, method="exact")
    assert found.tau == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=30))
@settings(max_examples=30, deadline=None)
def test_kendall_with_ties_is_scipys_asymptotic_test(series):
    from scipy.stats import kendalltau

    if len(set(series)) < 2 or len(set(series)) == len(series):
        return
    steps = [i // 2 for i in range(len(series))]  # steps that tie as well
    if len(set(steps)) < 2:
        return
    found = kendall(steps, series)
    expected = kendalltau(steps, series, method="asymptotic")
    assert found.tau == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_a_series_that_only_falls_has_tau_minus_one_and_p_by_counting():
    assert kendall([0, 1, 2, 3], [4.0, 3.0, 2.0, 1.0]) == (-1.0, pytest.approx(2 / 24))


def test_what_does_not_vary_has_no_trend():
    assert kendall([0, 1, 2], [5.0, 5.0, 5.0]) is None
    assert kendall([0], [5.0]) is None


@given(values)
@settings(max_examples=30, deadline=None)
def test_a_paired_interval_is_scipys(differences):
    from scipy.stats import t

    found = paired_interval(differences)
    error = np.std(differences, ddof=1) / np.sqrt(len(differences))
    half = t.ppf(0.975, len(differences) - 1) * error
    assert found.mean == pytest.approx(np.mean(differences), abs=1e-9)
    assert found.high - found.mean == pytest.approx(half, abs=1e-8)
    assert found.mean - found.low == pytest.approx(half, abs=1e-8)


@given(values, values)
@settings(max_examples=30, deadline=None)
def test_an_unpaired_interval_is_scipys(before, after):
    from scipy.stats import ttest_ind

    found = welch_interval(before, after)
    if min(np.var(before), np.var(after)) < 1e-6:
        return  # SciPy warns of a side that hardly varies
    expected = ttest_ind(after, before, equal_var=False).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, rel=1e-6, abs=1e-8)
    assert found.high == pytest.approx(expected.high, rel=1e-6, abs=1e-8)


def test_a_single_run_has_no_interval():
    assert paired_interval([1.0]) is None
    assert welch_interval([1.0], [1.0, 2.0]) is None


def test_runs_that_are_all_alike_have_an_interval_of_no_width():
    assert welch_interval([1.0, 1.0], [3.0, 3.0]) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("hole", [float("nan"), float("inf")])
def test_a_trend_over_what_is_not_finite_is_none(hole):
    assert inference.kendall([0, 1, 2], [1.0, hole, 3.0]) is None
