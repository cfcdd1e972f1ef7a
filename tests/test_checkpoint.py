"""Checkpoints and tensors: ranges, selection, fingerprints, closing, travelling."""

import os
import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    SpecError,
)
from kcomplexity.files.sources import FileSource
from kcomplexity.loaders import open_checkpoint
from kcomplexity.tensors.checkpoint import Checkpoint, StoredTensor
from kcomplexity.tensors.dtypes import DTYPES

FP4 = np.dtype(ml_dtypes.float4_e2m1fn)
ARRAYS: dict[str, Any] = {
    "layers.0.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "layers.0.bias": np.arange(3, dtype=np.float16),
    "layers.1.weight": np.arange(40_000, dtype=np.float64),
    "scale": np.array(7, np.int64),
}


@pytest.fixture
def path(tmp_path):
    save_file(ARRAYS, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def checkpoint(path):
    with open_checkpoint(path) as opened:
        yield opened


def test_a_checkpoint_is_a_mapping_in_file_order_with_exact_counts(checkpoint, path):
    assert dict(checkpoint) == checkpoint.tensors
    offsets = [tensor.offset for tensor in checkpoint.values()]
    assert offsets == sorted(offsets)
    assert checkpoint.n_weights == 12 + 3 + 40_000 + 1
    assert checkpoint.n_bytes == sum(array.nbytes for array in ARRAYS.values())
    assert checkpoint.n_bytes + checkpoint.n_container_bytes == path.stat().st_size


@given(start=st.one_of(st.none(), st.integers(-20, 20)), stop=st.integers(-20, 20))
def test_a_range_is_read_as_a_slice_would(start, stop):
    with open_checkpoint({"w": ARRAYS["layers.0.weight"]}) as checkpoint:
        flat = ARRAYS["layers.0.weight"].reshape(-1)
        expected = flat[start or 0 : stop]
        assert checkpoint["w"].read(start or 0, stop).tolist() == expected.tolist()


@given(n=st.integers(0, 40), bounds=st.tuples(st.integers(0, 41), st.integers(0, 41)))
def test_any_range_of_a_packed_tensor_is_read(n, bounds):
    codes = np.arange(n, dtype=np.uint8) % 16
    packed = DTYPES["F4"].encode(codes.view(FP4))
    start, stop = bounds
    with open_checkpoint({"w": codes.view(FP4)}) as checkpoint:
        tensor = checkpoint["w"]
        assert tensor.n_bytes == packed.size
        assert tensor.read(start, stop).view(np.uint8).tolist() == codes[start:stop].tolist()


@settings(max_examples=25)
@given(data=st.data())
def test_a_stored_range_reads_just_its_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("range") / "raw"
    content = np.random.default_rng(0).integers(0, 256, 200, np.uint8)
    path.write_bytes(content.tobytes())
    source = FileSource(path)
    tensor = StoredTensor("w", (48,), DTYPES["F32"], source=source, offset=5)
    start = data.draw(st.integers(0, 48))
    stop = data.draw(st.integers(start, 48))
    expected = content[5 + 4 * start : 5 + 4 * stop]
    assert tensor.raw(start, stop).tolist() == expected.tolist()
    buffer = np.zeros(300, np.uint8)
    assert np.shares_memory(tensor.raw(0, 48, buffer), buffer)
    assert buffer[:192].tolist() == content[5:197].tolist()
    source.close()


def test_reading_works_where_there_is_no_pread(checkpoint, monkeypatch):
    monkeypatch.delattr(os, "preadv", raising=False)
    assert np.array_equal(checkpoint["layers.1.weight"].read(), ARRAYS["layers.1.weight"])


def test_matrix_form_of_every_rank():
    arrays = {str(n): np.zeros((2, 3, 4, 5)[:n]) for n in range(5)}
    with open_checkpoint(arrays) as checkpoint:
        shapes = [tensor.matrix_shape for tensor in checkpoint.values()]
    assert shapes == [(1, 1), (1, 2), (2, 3), (2, 12), (2, 60)]


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        pytest.param((), (), {*ARRAYS}, id="all"),
        pytest.param(("*.weight",), (), {"layers.0.weight", "layers.1.weight"}, id="include"),
        pytest.param((), ("layers.*",), {"scale"}, id="exclude"),
        pytest.param(("layers.[0]*",), ("*.bias",), {"layers.0.weight"}, id="both"),
        pytest.param(("scale", "*bias"), (), {"scale", "layers.0.bias"}, id="any of two"),
        pytest.param((), ("*",), set(), id="nothing left"),
    ],
)
def test_globs_select_tensors(checkpoint, include, exclude, kept):
    selected = checkpoint.select(include, exclude)
    assert set(selected) == kept
    assert [*selected] == [name for name in checkpoint if name in kept]
    # The container does not grow by what was left out.
    assert selected.n_container_bytes == checkpoint.n_container_bytes


def test_a_glob_that_matches_nothing_is_an_error_that_shows_names(checkpoint):
    with pytest.raises(SpecError, match=r"matches '\*\.Weight': names look like scale, layers"):
        checkpoint.select(["*.Weight"])


def test_the_fingerprint_is_stable_and_sees_names_shapes_dtypes_and_values(path):
    def of(arrays):
        return open_checkpoint(arrays).fingerprint()

    base: dict[str, Any] = {"w": np.arange(6, dtype=np.float32), "v": np.ones(2, np.int8)}
    changed = [
        {"x": base["w"], "v": base["v"]},
        {"v": base["v"], "w": base["w"]},
        {"w": base["w"].reshape(2, 3), "v": base["v"]},
        {"w": base["w"].view(np.int32), "v": base["v"]},
        {"w": base["w"] + 1, "v": base["v"]},
        {"w": base["w"]},
    ]
    prints = [of(base), *map(of, changed)]
    assert len(set(prints)) == len(prints)
    assert of({name: array.copy() for name, array in base.items()}) == of(base)
    assert len(of({})) == 64
    with open_checkpoint(path) as stored:
        in_order = {name: ARRAYS[name] for name in stored}
        assert stored.fingerprint() == of(in_order)


def test_the_fingerprint_of_a_long_tensor_sees_its_last_value():
    array = np.zeros(100_000, np.float32)
    before = open_checkpoint({"w": array}).fingerprint()
    array[-1] = 1
    assert open_checkpoint({"w": array}).fingerprint() != before


def test_a_closed_checkpoint_says_so(path):
    with open_checkpoint(path) as checkpoint:
        tensor = checkpoint["scale"]
        assert tensor.read().tolist() == [7]
    checkpoint.close()
    with pytest.raises(CheckpointError, match="was closed; open it again"):
        tensor.read()
    assert checkpoint.n_container_bytes > 0


def test_a_stored_tensor_travels_by_its_path(checkpoint, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = open_checkpoint("model.safetensors")
    for opened in (checkpoint, relative):
        data = pickle.dumps(opened["layers.1.weight"])
        assert len(data) < 2000
        monkeypatch.chdir("/")
        travelled = pickle.loads(data)
        assert np.array_equal(travelled.read(), ARRAYS["layers.1.weight"])
        travelled.source.close()
        monkeypatch.chdir(tmp_path)
    relative.close()


def test_a_file_cut_while_it_is_open_is_told(checkpoint, path):
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(CorruptCheckpointError, match="cut since it was opened"):
        checkpoint[list(checkpoint)[-1]].read()


def test_a_source_that_cannot_be_opened_is_told():
    with pytest.raises(CheckpointNotFoundError, match="no such file"):
        FileSource(Path("nowhere") / "model").size()


def test_to_numpy_is_a_copy_in_shape(checkpoint):
    copy = checkpoint["layers.0.weight"].to_numpy()
    assert copy.shape == (3, 4)
    copy[:] = 0
    assert checkpoint["layers.0.weight"].read(11).tolist() == [11]


def test_an_empty_checkpoint_has_nothing_and_costs_nothing():
    empty = Checkpoint("none", "mapping", {})
    assert (len(empty), empty.n_weights, empty.n_bytes, empty.n_container_bytes) == (0, 0, 0, 0)


@pytest.mark.parametrize("code", ["F32", "U8"])
def test_pieces_are_the_stored_bytes_in_order(code):
    values = np.arange(20, dtype=DTYPES[code].numpy)
    with open_checkpoint({"w": values, "empty": values[:0]}) as checkpoint:
        tensor = checkpoint["w"]
        assert list(tensor.spans(8)) == [(0, 8), (8, 16), (16, 20)]
        assert b"".join(tensor.pieces(8)) == values.tobytes()
        assert list(checkpoint["empty"].pieces()) == []
