"""Zarr folders and Orbax checkpoints: every way arrays are kept, and folders that lie."""

import json
import sys

import ml_dtypes
import numpy as np
import pytest

from kcomplexity.errors import CheckpointError, CorruptCheckpointError, MissingExtraError, SpecError
from kcomplexity.loaders import open_checkpoint
from kcomplexity.scoring.score import score

MATRIX = np.arange(60, dtype=np.float32).reshape(3, 4, 5)


def save(folder, driver, kvstore=None, chunks=None, **arrays):
    ts = pytest.importorskip("tensorstore")
    for name, array in arrays.items():
        place = {"driver": "file", "path": f"{folder}/{name}/"}
        if kvstore:
            place = {"driver": kvstore, "base": f"file://{folder}/", "path": f"{name}/"}
        layout = ts.ChunkLayout(chunk_shape=chunks) if chunks else None
        store = ts.open(
            {"driver": driver, "kvstore": place},
            create=True,
            dtype=array.dtype.name,
            shape=array.shape,
            chunk_layout=layout,
        ).result()
        store.write(array).result()
    return folder


@pytest.mark.parametrize("driver", ["zarr", "zarr3"])
def test_arrays_are_read_in_any_range(tmp_path, driver):
    bf16 = MATRIX[0].astype(ml_dtypes.bfloat16)
    arrays = {"a": MATRIX, "g/b": MATRIX[0].astype(np.int8), "scalar": np.array(3.5), "c": bf16}
    for name, array in arrays.items():
        chunks = [2, 3, 2] if array.ndim == 3 else None
        save(tmp_path / "m.zarr", driver, chunks=chunks, **{name: array})
    with open_checkpoint(tmp_path / "m.zarr") as checkpoint:
        assert (checkpoint.format, [*checkpoint]) == ("zarr", sorted(arrays))
        for name, array in arrays.items():
            assert checkpoint[name].to_numpy().tolist() == array.tolist()
        for start in range(0, 60, 7):
            assert checkpoint["a"].read(start, 50).tolist() == [*map(float, range(start, 50))]
    expected = score({"a": MATRIX}, specs=["zstd@bytes"]).rows[0].value
    assert score(tmp_path / "m.zarr", specs=["zstd@bytes"], include=["a"]).rows[0].value == expected
    with pytest.raises(CheckpointError, match="was closed"):
        checkpoint["a"].read()


@pytest.mark.parametrize("what", ["a chunk", "a folder"])
def test_links_that_leave_the_folder_are_refused(tmp_path, what):
    folder = save(tmp_path / "m.zarr", "zarr", w=MATRIX)
    outside = tmp_path / "outside"
    chunk = folder / "w" / "0.0.0"
    if what == "a chunk":
        chunk.rename(outside)
        chunk.symlink_to(outside)
    else:
        (folder / "w").rename(outside)
        (folder / "w").symlink_to(outside)
        save(folder, "zarr", v=MATRIX)
    with pytest.raises(CorruptCheckpointError, match="is a link that leaves the folder"):
        open_checkpoint(folder)


def test_links_into_the_blobs_of_the_hub_cache_are_followed(tmp_path):
    folder = save(tmp_path / "snapshots" / "0123" / "m.zarr", "zarr", w=MATRIX)
    (tmp_path / "blobs").mkdir()
    chunk = folder / "w" / "0.0.0"
    chunk.rename(tmp_path / "blobs" / "b")
    chunk.symlink_to(tmp_path / "blobs" / "b")
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint["w"].to_numpy().tolist() == MATRIX.tolist()


@pytest.mark.parametrize("item", ["", "default"])
def test_an_orbax_checkpoint_is_read_without_what_training_keeps(tmp_path, item):
    arrays = {"params.dense.kernel": MATRIX, "opt_state.mu": MATRIX, "step": np.array(7)}
    save(tmp_path / "step" / item, "zarr", "ocdbt", **arrays)
    with open_checkpoint(tmp_path / "step") as checkpoint:
        assert [*checkpoint] == ["params.dense.kernel", "step"]
        kernel = checkpoint["params.dense.kernel"]
        assert kernel.layout == "in-out"
        assert kernel.to_numpy().tolist() == MATRIX.tolist()
        assert "1 tensor is left out, which training keeps" in checkpoint.notes[0]
    with open_checkpoint(tmp_path / "step", root="opt_state") as checkpoint:
        assert [*checkpoint] == ["mu"]
    with open_checkpoint(tmp_path / "step", root=".") as checkpoint:
        assert len(checkpoint) == 3
    with pytest.raises(SpecError, match="no array is under the root 'ema'"):
        open_checkpoint(tmp_path / "step", root="ema")


def test_claims_beyond_what_is_stored_are_left_out(tmp_path):
    save(tmp_path, "zarr", good=MATRIX, big=MATRIX, wide=MATRIX)
    for name, facts in {
        "big": {"shape": [1 << 48, 4, 5]},
        "wide": {"chunks": [1 << 30, 4, 5]},
    }.items():
        path = tmp_path / name / ".zarray"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    with open_checkpoint(tmp_path) as checkpoint:
        assert [*checkpoint] == ["good"]
        assert "big is left out: it claims" in checkpoint.notes[0]
        assert "at most 268435456 are inflated at once" in checkpoint.notes[1]


def test_damage_is_one_line(tmp_path):
    save(tmp_path, "zarr", w=MATRIX)
    description = tmp_path / "w" / ".zarray"
    good = description.read_text()
    for bad in ("", "{}", "[]", good.replace("<f4", "<q9"), good[:40]):
        description.write_text(bad)
        with pytest.raises(CorruptCheckpointError, match="cannot be opened") as refusal:
            open_checkpoint(tmp_path)
        assert "\n" not in str(refusal.value)
    description.write_text(good)
    (tmp_path / "w" / "0.0.0").write_bytes(b"no chunk")
    with (
        open_checkpoint(tmp_path) as checkpoint,
        pytest.raises(CorruptCheckpointError, match="w cannot be read"),
    ):
        checkpoint["w"].read()


def test_a_missing_library_is_told_with_its_cure(tmp_path, monkeypatch):
    save(tmp_path, "zarr", w=MATRIX)
    monkeypatch.setitem(sys.modules, "tensorstore", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kcomplexity\[orbax\]'"):
        open_checkpoint(tmp_path)
