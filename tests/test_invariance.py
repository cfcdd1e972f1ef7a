"""Each measure has the invariances that its documentation claims, and the page states them."""

from __future__ import annotations

import pytest

from tests.invariance import CHANGES, PAGE, SPECS, page, table


@pytest.fixture(scope="module")
def rows():
    return table()


@pytest.mark.parametrize("spec", SPECS)
def test_a_power_of_two_scale_leaves_every_level_alone(rows, spec):
    # The stored bytes of a scaled tensor have other exponents.
    allowed = {"about", "same"} if "@bytes" in spec or spec == "lowrank@rd0.1" else {"same"}
    assert rows[spec]["tensor scale"] in allowed


@pytest.mark.parametrize("spec", ["lowrank@rd0.1", "stable-rank", "spectral-entropy"])
@pytest.mark.parametrize("change", ["unit permutation", "sign flip", "transpose", "dtype cast"])
def test_measures_of_rank_do_not_see_the_layout(rows, spec, change):
    assert rows[spec][change] in {"same", "about"}


@pytest.mark.parametrize("spec", ["ctx@sign", "bdm1d@sign", "bdm2d@sign", "lz76@sign"])
@pytest.mark.parametrize("change", ["row scale", "dtype cast"])
def test_measures_of_signs_do_not_see_positive_scales(rows, spec, change):
    assert rows[spec][change] == "same"


@pytest.mark.parametrize("spec", ["ctx@rd0.1", "ctx@q8", "ctx@sign"])
def test_contexts_see_the_layout(rows, spec):
    assert rows[spec]["unit permutation"] == "changes"


def test_the_page_of_the_docs_is_made_from_the_measures():
    assert PAGE.read_text(encoding="utf-8") == page()
    assert all(name in page() for name in CHANGES)
