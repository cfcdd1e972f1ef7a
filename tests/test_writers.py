"""Dense files are written whole or not at all, the same every time, and load anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import kcomplexity as kc
from kcomplexity.containers.safetensors import write_safetensors
from kcomplexity.errors import OutputError
from kcomplexity.files.atomic import atomic_file
from kcomplexity.tensors.dtypes import DTYPES
from tests.tensors import random_tensor, tensor_of


@pytest.mark.parametrize("code", [code for code in DTYPES if not code.startswith("F6")])
def test_any_dtype_is_written_as_it_is_stored(code, tmp_path):
    tensor = random_tensor(64, code)
    write_safetensors(tmp_path / "x.safetensors", [tensor])
    with kc.open_checkpoint(tmp_path / "x.safetensors") as found:
        assert found["w"].dtype == tensor.dtype
        assert found["w"].raw(0, 64).tobytes() == tensor.raw(0, 64).tobytes()


def test_metadata_are_sorted_order_is_kept_and_the_library_agrees(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = [tensor_of(np.arange(3.0), name="z"), tensor_of(np.arange(4.0), name="a")]
    write_safetensors(path, tensors, {"b": "2", "a": "1"})
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"a": "1", "b": "2"}
        assert list(file.offset_keys()) == ["z", "a"]
    assert load_file(path)["a"].tolist() == [0, 1, 2, 3]
    first = path.read_bytes()
    assert int.from_bytes(first[:8], "little") % 8 == 0
    write_safetensors(path, tensors, {"a": "1", "b": "2"})
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["__metadata__", "w"])
def test_names_that_are_taken_are_refused(name, tmp_path):
    tensors = [tensor_of(np.ones(2), name="w"), tensor_of(np.ones(2), name=name)]
    with pytest.raises(OutputError, match="the name cannot be used"):
        write_safetensors(tmp_path / "x", tensors)


def test_what_safetensors_cannot_hold_is_refused(tmp_path):
    opaque = kc.open_checkpoint({"w": np.zeros(3, "V3")})
    with pytest.raises(OutputError, match="safetensors has no dtype"):
        write_safetensors(tmp_path / "x", [opaque["w"]])


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("before")

    def fail():
        with atomic_file(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
