"""Which tensors of one checkpoint are which of another, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from kcomplexity.comparison.align import align
from kcomplexity.errors import SpecError
from kcomplexity.loaders import open_checkpoint


def checkpoint(path="a", **shapes):
    arrays = {
        name.replace("__", "."): np.zeros(*s)
        if isinstance(s, tuple) and s and isinstance(s[0], tuple)
        else np.zeros(s, np.float32)
        for name, s in shapes.items()
    }
    opened = open_checkpoint(arrays)
    return type(opened)(path, opened.format, opened.tensors)


def test_tensors_take_the_references_order_and_the_rest_is_listed_with_the_reason():
    a = checkpoint("a", w=(2, 3), b=3, only_a=1, reshaped=(2, 2))
    b = checkpoint("b", b=3, reshaped=4, w=(2, 3), only_b=1)
    found = align([a, b])
    assert [list(c) for c in found.checkpoints] == [["w", "b"], ["w", "b"]]
    assert {(u.checkpoint, u.tensor, u.reason) for u in found.unmatched} == {
        ("a", "only_a", "missing in 1 of 1 other"),
        ("a", "reshaped", "shapes differ: 2x2 against 4"),
        ("b", "reshaped", "shapes differ: 2x2 against 4"),
        ("b", "only_b", "not in the reference"),
    }
    assert sum(u.n_bytes for u in found.unmatched) == 4 * (1 + 4 + 4 + 1)


def test_prefixes_come_off_and_names_are_changed():
    a = checkpoint("a", enc__0__w=3)
    b = checkpoint("b", module__layer_0__w=3)
    found = align([a, b], strip_prefix=["module."], rename={r"^layer_(\d)": r"enc.\1"})
    assert list(found.checkpoints[1]) == ["enc.0.w"]
    assert found.checkpoints[1]["enc.0.w"].name == "enc.0.w"


def test_nothing_in_common_is_an_error_that_suggests_the_prefix():
    a, b = checkpoint("a.npz", w=3), checkpoint("b.npz", module__w=3)
    with pytest.raises(
        SpecError, match=r"nothing in common: .* w in a\.npz .*strip-prefix module\."
    ):
        align([a, b])
    with pytest.raises(SpecError, match="map them with --rename"):
        align([a, checkpoint("c", other=3)])


def test_one_name_in_another_shape_is_nothing_in_common():
    with pytest.raises(SpecError, match="has the same shape"):
        align([checkpoint("a", w=3), checkpoint("b", w=4)])


def test_two_tensors_of_one_name_are_an_error():
    b = checkpoint("b", module__w=3, w=3)
    with pytest.raises(SpecError, match=r"b: module\.w and w would both be w"):
        align([checkpoint("a", w=3), b], strip_prefix=["module."])


def test_a_pattern_that_is_none_is_an_error():
    with pytest.raises(SpecError, match="expected a regular expression"):
        align([checkpoint("a", w=3), checkpoint("b", w=3)], rename={"(": "x"})


def test_dtypes_that_differ_are_told():
    a = open_checkpoint({"w": np.zeros(3, np.float32), "b": np.zeros(2, np.float16)})
    b = open_checkpoint({"w": np.zeros(3, np.float16), "b": np.zeros(2, np.float16)})
    (warning,) = align([a, b]).warnings
    assert warning.startswith("1 tensor (w) stored as F32 against F16")
    assert "@f32" in warning
