"""Sharded checkpoints: folders, indices, links, and every way in which they disagree."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from kcomplexity.errors import (
    CheckpointError,
    CheckpointNotFoundError,
    CorruptCheckpointError,
    ShardError,
    ShardWarning,
)
from kcomplexity.loaders import open_checkpoint

ONE = "model-00001-of-00002.safetensors"
TWO = "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
ARRAYS: dict[str, Any] = {
    "a": np.arange(4, dtype=np.float32),
    "b": np.arange(6, dtype=np.float16).reshape(2, 3),
    "c": np.arange(3, dtype=np.int64),
}
SHARD_OF = {"a": ONE, "b": ONE, "c": TWO}
TOTAL = 16 + 12 + 24


def write(folder, shards=None, index=SHARD_OF, total=TOTAL, **extra):
    """Shards of ARRAYS (file name -> tensor names) and an index, which may lie."""
    shards = {ONE: "ab", TWO: "c"} if shards is None else shards
    for file, names in shards.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        save_file({n: ARRAYS.get(n, np.ones(2)) for n in names}, folder / file, {"format": "pt"})
    if index is not None:
        found = {"metadata": {"total_size": total}, "weight_map": index, **extra}
        (folder / INDEX).write_text(json.dumps(found))
    return folder


@pytest.mark.parametrize("given", ["", INDEX], ids=["the folder", "the index"])
def test_the_shards_become_one_checkpoint(tmp_path, given):
    path = write(tmp_path) / given
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "sharded"
        assert checkpoint.path == str(path)
        assert set(checkpoint) == set(ARRAYS)
        assert checkpoint.metadata == {"format": "pt", "total_size": str(TOTAL)}
        assert checkpoint.n_bytes == TOTAL
        sizes = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == sizes
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(checkpoint[name].to_numpy(), array, strict=True)
    with pytest.raises(CheckpointError, match="was closed"):
        checkpoint["c"].read()


def test_the_fingerprint_is_that_of_the_tensors_in_their_order(tmp_path):
    with open_checkpoint(write(tmp_path)) as checkpoint:
        in_order = {name: ARRAYS[name] for name in checkpoint}
        assert checkpoint.fingerprint() == open_checkpoint(in_order).fingerprint()


def test_a_folder_without_an_index_is_read_whole(tmp_path):
    with open_checkpoint(write(tmp_path, index=None)) as checkpoint:
        assert set(checkpoint) == set(ARRAYS)
        assert checkpoint.format == "sharded"
        sizes = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == sizes


def test_a_folder_with_a_single_file_is_that_file(tmp_path):
    write(tmp_path, {"model.safetensors": "ab"}, index=None)
    (tmp_path / "._model.safetensors").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "config.json").write_text("{}")
    with open_checkpoint(tmp_path) as checkpoint:
        assert (checkpoint.format, checkpoint.path) == ("safetensors", str(tmp_path))
        assert checkpoint.notes == ()


ORDER = [
    ".safetensors",
    ".bin",
    ".gguf",
    ".pt",
    ".pth",
    ".ckpt",
    ".onnx",
    ".h5",
    ".keras",
    ".npz",
    ".tflite",
    ".msgpack",
]


@pytest.mark.parametrize("first", range(len(ORDER) - 1), ids=ORDER[:-1])
def test_of_several_formats_in_a_folder_the_first_in_a_fixed_order_is_read(tmp_path, first):
    for ending in ORDER[first:]:
        (tmp_path / f"m{ending}").write_bytes(b"not what the ending says")
    # The loader of the preferred file reports that this file is damaged.
    with pytest.raises(CheckpointError, match=rf"/m\{ORDER[first]}: "):
        open_checkpoint(tmp_path)


def test_a_snapshot_of_the_hugging_face_cache_is_read_through_its_links(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0123abcd"
    write(blobs)
    snapshot.mkdir(parents=True)
    for i, file in enumerate(sorted(blobs.iterdir())):
        blob = file.rename(blobs / f"{i:064x}")
        try:
            (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
        except OSError:
            pytest.skip("no links here")
    for given in (snapshot, snapshot / INDEX):
        with open_checkpoint(given) as checkpoint:
            assert checkpoint["c"].read().tolist() == [0, 1, 2]
            assert checkpoint.notes == ()


def test_a_link_to_an_absent_blob_is_an_unfinished_download(tmp_path):
    write(tmp_path, {ONE: "ab"})
    try:
        (tmp_path / TWO).symlink_to(tmp_path / "blobs" / "0123")
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(ShardError, match=r"1 of 2 shards are missing.*finish the download"):
        open_checkpoint(tmp_path)


def test_shards_may_lie_in_a_folder_below(tmp_path):
    index = {"a": "part/one.safetensors", "b": "part/one.safetensors"}
    write(tmp_path, {"part/one.safetensors": "ab"}, index, 28)
    with open_checkpoint(tmp_path) as checkpoint:
        assert set(checkpoint) == {"a", "b"}


REFUSED: dict[str, Any] = {
    "missing shard": (
        {"shards": {ONE: "ab"}},
        ShardError,
        f"1 of 2 shards are missing, such as {TWO}; copy",
    ),
    "tensor absent from its shard": (
        {"shards": {ONE: "a", TWO: "c"}},
        ShardError,
        f"tensor b is not in its shard {ONE} .nor in any other.; index and shards are of different",
    ),
    "tensor in another shard": (
        {"shards": {ONE: "a", TWO: "bc"}},
        ShardError,
        f"tensor b is not in its shard {ONE} .it is in {TWO}.",
    ),
    "missing shard without an index": (
        {"shards": {TWO: "c"}, "index": None},
        ShardError,
        f"1 of 2 shards are missing, such as {ONE}",
    ),
    "tensor in two files without an index": (
        {"shards": {"x.safetensors": "ab", "y.safetensors": "bc"}, "index": None},
        ShardError,
        "tensor b is in x.safetensors and in y.safetensors, and no index",
    ),
    "index no text": ({"index": None, "shards": {INDEX: "a"}}, CorruptCheckpointError, "not UTF-8"),
    "weight map empty": ({"index": {}}, CorruptCheckpointError, "no weight_map"),
    "weight map a list": ({"index": [ONE]}, CorruptCheckpointError, "no weight_map"),
    "file name no text": ({"index": {"a": 1}}, CorruptCheckpointError, "no weight_map"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_weights_is_an_error(tmp_path, name):
    made, error, message = REFUSED[name]
    write(tmp_path, **made)
    with pytest.raises(error, match=message) as refused:
        open_checkpoint(tmp_path)
    assert str(refused.value).startswith(str(tmp_path))


OUTSIDE = [
    "../secret.safetensors",
    "sub/../../secret.safetensors",
    "/etc/secret.safetensors",
    "C:\\secret.safetensors",
    "..\\secret.safetensors",
    "\\\\host\\share\\x.safetensors",
    "C:x.safetensors",
    "a\0.safetensors",
    "..",
    ".",
    "",
]


@pytest.mark.parametrize("file", OUTSIDE)
def test_an_index_that_points_outside_its_folder_is_refused(tmp_path, file):
    save_file(ARRAYS, tmp_path / "secret.safetensors")
    inside = tmp_path / "inside"
    inside.mkdir()
    write(inside, index={**SHARD_OF, "a": file})
    with pytest.raises(ShardError, match="is not inside the folder of the index") as refused:
        open_checkpoint(inside)
    assert str(refused.value).isprintable()


ODD: dict[str, Any] = {
    "stray shard": (
        {"shards": {ONE: "ab", TWO: "c", "consolidated.safetensors": "d"}},
        "not read: 1 file next to the shards, such as consolidated.safetensors",
        {"a", "b", "c"},
    ),
    "stale index": (
        {"shards": {ONE: "ab", TWO: "cd"}},
        "not in the index: 1 tensor of the shards, such as d; all are read",
        {"a", "b", "c", "d"},
    ),
    "tensor in a second shard": (
        {"shards": {ONE: "ab", TWO: "ca"}},
        f"in a second shard as well: 1 tensor, such as a in {TWO}; the copy that the index",
        {"a", "b", "c"},
    ),
    "null total size": ({"total": None}, f"total_size is null, .* take {TOTAL}", {"a", "b", "c"}),
    "wrong total size": ({"total": 7}, f"total_size is 7, .* take {TOTAL}", {"a", "b", "c"}),
    "no metadata": ({"metadata": None}, "total_size is null", {"a", "b", "c"}),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_loses_nothing_is_a_warning(tmp_path, name):
    made, message, tensors = ODD[name]
    write(tmp_path, **made)
    with pytest.warns(ShardWarning, match=message) as caught:
        checkpoint = open_checkpoint(tmp_path)
    assert [w.filename for w in caught] == [__file__]
    with checkpoint as found:
        assert set(found) == tensors
        sizes = {p: p.stat().st_size for p in tmp_path.iterdir() if "consolidated" not in p.name}
        assert found.n_bytes + found.n_container_bytes == sum(sizes.values())


def test_the_copy_that_the_index_names_is_the_one_read(tmp_path):
    write(tmp_path, total=52)
    save_file({"c": ARRAYS["c"], "a": ARRAYS["a"] + 1}, tmp_path / TWO)
    with pytest.warns(ShardWarning), open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint["a"].read().tolist() == ARRAYS["a"].tolist()


def test_shards_that_say_different_things_keep_both(tmp_path):
    write(tmp_path)
    save_file({"c": ARRAYS["c"]}, tmp_path / TWO, {"format": "tf"})
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.metadata["format"] == "pt"
        assert checkpoint.metadata[f"{TWO}: format"] == "tf"
        assert [t.layout for t in checkpoint.values()] == ["out-in", "out-in", "in-out"]


def test_a_damaged_shard_is_named_and_the_others_are_closed(tmp_path):
    write(tmp_path)
    (tmp_path / TWO).write_bytes(b"123")
    with pytest.raises(CorruptCheckpointError, match=f"{TWO}: 3 bytes are too few"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"weight_map": {"a": "x", "a": "y"}}', "key 'a' is there twice", id="twice"),
        pytest.param('{"weight_map": {"a": NaN}}', "NaN is not a JSON number", id="NaN"),
        pytest.param('{"weight_map": ', "not valid JSON", id="cut"),
        pytest.param('{"other": 1}', "no weight_map", id="another JSON file"),
        pytest.param('["weight_map"]', "JSON list; expected an object", id="a list"),
    ],
)
def test_a_damaged_index_is_told(tmp_path, text, message):
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(CorruptCheckpointError, match=message):
        open_checkpoint(tmp_path / INDEX)


def test_a_weight_map_is_known_by_its_content(tmp_path):
    write(tmp_path)
    (tmp_path / INDEX).rename(tmp_path / "map.txt")
    with open_checkpoint(tmp_path / "map.txt") as checkpoint:
        assert set(checkpoint) == set(ARRAYS)
        assert "is sharded by its content" in checkpoint.notes[0]


def test_a_folder_without_checkpoints_is_told(tmp_path):
    (tmp_path / "training_args.bin").write_bytes(b"123")
    with pytest.raises(CheckpointNotFoundError, match=r"a folder without \*.safetensors or any"):
        open_checkpoint(tmp_path)


def test_two_indices_leave_the_choice_to_the_user(tmp_path):
    write(tmp_path)
    (tmp_path / "model.fp16.safetensors.index.json").write_text("{}")
    with pytest.raises(ShardError, match=r"holds 2 indices; give one: model\.fp16"):
        open_checkpoint(tmp_path)


def test_a_sound_checkpoint_warns_of_nothing(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_checkpoint(write(tmp_path)).close()
