"""What is measured as one: a tensor, a group of tensors, the whole model."""

from __future__ import annotations

from typing import Any

import numpy as np

import kcomplexity as kc
from kcomplexity.scoring.specs import parse_specs
from kcomplexity.scoring.units import Unit, units
from kcomplexity.tensors.checkpoint import Checkpoint
from kcomplexity.tensors.derived import Cast, Concat

SPECS = parse_specs(["zstd@bytes", "zstd@f32", "entropy@sign", "l2"])


def network() -> Checkpoint:
    """Two layers, a float16 bias in the second, and a mask that holds no weights."""
    return kc.open_checkpoint(
        {
            "layers.0.w": np.arange(6, dtype=np.float32).reshape(2, 3),
            "layers.1.w": np.arange(4, dtype=np.float16),
            "layers.0.mask": np.array([True, False]),
            "layers.1.w2": np.arange(5, dtype=np.float32),
        }
    )


def described(unit: Unit) -> tuple[Any, ...]:
    """Name, group, stored dtype, weights, stored bytes and specs."""
    specs = [str(spec) for spec in unit.specs]
    return unit.name, unit.group, unit.dtype, unit.tensor.n_weights, unit.n_bytes, specs


def test_each_tensor_is_a_unit_with_every_spec_in_file_order():
    every = ["zstd@bytes", "zstd@f32", "entropy@sign", "l2"]
    with network() as checkpoint:
        found = units(checkpoint, SPECS, "tensor")
        assert [unit.tensor for unit in found] == list(checkpoint.values())
    assert [described(unit) for unit in found] == [
        ("layers.0.w", "layers.#.w", "F32", 6, 24, every),
        ("layers.1.w", "layers.#.w", "F16", 4, 8, every),
        ("layers.0.mask", "layers.#.mask", "BOOL", 2, 2, every),
        ("layers.1.w2", "layers.#.w2", "F32", 5, 20, every),
    ]


def test_a_group_is_joined_by_dtype_where_a_view_keeps_it_and_cast_where_a_view_casts():
    with network() as checkpoint:
        found = units(checkpoint, SPECS, "group")
    assert {unit.scope for unit in found} == {"group"}
    group, own = "layers.#.w", ["zstd@bytes", "l2"]
    assert [described(unit) for unit in found if unit.group == group] == [
        (None, group, "F32", 6, 24, own),
        (None, group, "F16", 4, 8, own),
        (None, group, None, 10, 32, ["zstd@f32"]),
        (None, group, None, 10, 32, ["entropy@sign"]),
    ]


def test_what_holds_no_weights_is_cast_by_no_view():
    with network() as checkpoint:
        found = units(checkpoint, SPECS, "group")
    masks = [unit for unit in found if unit.group == "layers.#.mask"]
    assert [unit.tensor.dtype.code for unit in masks] == ["BOOL"] * 3
    assert [spec for unit in masks for spec in described(unit)[-1]] == [
        *("zstd@bytes", "l2", "zstd@f32", "entropy@sign")
    ]


def test_a_model_is_joined_in_file_order_and_counts_bytes_as_stored():
    with network() as checkpoint:
        found = units(checkpoint, SPECS, "model")
    assert {(unit.scope, unit.group, unit.name) for unit in found} == {("model", None, None)}
    joined = {}
    for unit in found:
        assert isinstance(unit.tensor, Concat)
        members = [(m.name.rpartition(".")[2], isinstance(m, Cast)) for m in unit.tensor.members]
        joined[unit.tensor.name, str(unit.specs[0])] = members, unit.dtype, unit.n_bytes
    mask = [("mask", False)], "BOOL", 2
    assert joined == {
        ("model:F32", "zstd@bytes"): ([("w", False), ("w2", False)], "F32", 44),
        ("model:F16", "zstd@bytes"): ([("w", False)], "F16", 8),
        ("model:BOOL", "zstd@bytes"): mask,
        ("model:BOOL", "zstd@f32"): mask,
        ("model:F32", "zstd@f32"): ([("w", False), ("w", True), ("w2", False)], None, 52),
        ("model:BOOL", "entropy@sign"): mask,
        ("model:F64", "entropy@sign"): ([("w", True), ("w", True), ("w2", True)], None, 52),
    }


def test_a_cast_of_one_stored_dtype_keeps_its_name():
    arrays = {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)}
    with kc.open_checkpoint(arrays) as checkpoint:
        (unit,) = units(checkpoint, parse_specs(["entropy@sign"]), "model")
    assert (unit.dtype, unit.tensor.dtype.code, unit.n_bytes) == ("F32", "F64", 20)


def test_a_checkpoint_of_nothing_has_no_units():
    with kc.open_checkpoint({}) as checkpoint:
        assert units(checkpoint, SPECS, "tensor") == units(checkpoint, SPECS, "model") == []
