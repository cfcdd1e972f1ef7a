"""Globs, several files as one, folders of any format, and models in the local cache."""

import json

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
from kcomplexity.scoring.score import score
from tests import test_loaders_gguf, torch_files

A, B = np.arange(6, dtype=np.float32), np.arange(4, dtype=np.float32)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def torch_file(path, name, array):
    opcodes = torch_files.mapping({name: torch_files.whole("0", array)})
    return torch_files.save_zip(path, opcodes, {"0": array})


def test_a_glob_is_read_as_one_checkpoint(tmp_path):
    np.savez(tmp_path / "part1.npz", a=A)
    save_file({"b": B}, tmp_path / "part2.safetensors")
    pattern = str(tmp_path / "part*")
    with open_checkpoint(pattern) as checkpoint:
        assert [*checkpoint] == ["a", "b"]
        assert (checkpoint.path, checkpoint.format) == (pattern, "sharded")
        sizes = sum(file.stat().st_size for file in tmp_path.iterdir())
        assert checkpoint.n_bytes + checkpoint.n_container_bytes == sizes
    with open_checkpoint([tmp_path / "part1.npz", tmp_path / "part2.safetensors"]) as checkpoint:
        assert [*checkpoint] == ["a", "b"]
    with pytest.raises(CheckpointNotFoundError, match="no file matches it as a pattern"):
        open_checkpoint(str(tmp_path / "nothing*"))


def test_a_name_that_is_there_is_no_glob(tmp_path):
    save_file({"a": A}, tmp_path / "m[1].safetensors")
    with open_checkpoint(str(tmp_path / "m[1].safetensors")) as checkpoint:
        assert [*checkpoint] == ["a"]


def test_checkpoints_that_share_names_are_not_one(tmp_path):
    for i in range(2):
        save_file({"a": A}, tmp_path / f"epoch{i}.safetensors")
    with pytest.raises(ShardError, match="different checkpoints: give them one by one"):
        open_checkpoint(str(tmp_path / "epoch*"))


def test_a_list_of_checkpoints_is_scored_one_by_one_and_a_tuple_in_it_as_one(tmp_path):
    save_file({"a": A}, tmp_path / "a.safetensors")
    save_file({"b": B}, tmp_path / "b.safetensors")
    pair = [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    assert len(score(pair, specs=["l2"]).checkpoints) == 2
    assert len(score([tuple(pair)], specs=["l2"]).checkpoints) == 1


def test_shards_of_pytorch_are_found_by_their_index(tmp_path):
    names = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    for name, key, array in zip(names, "ab", (A, B), strict=True):
        torch_file(tmp_path / name, key, array)
    index = tmp_path / "pytorch_model.bin.index.json"
    weight_map = dict(zip("ab", names, strict=True))
    index.write_text(json.dumps({"metadata": {"total_size": 40}, "weight_map": weight_map}))
    (tmp_path / "training_args.bin").write_bytes(b"no checkpoint")
    for given in (tmp_path, index):
        with open_checkpoint(given) as checkpoint:
            assert [*checkpoint] == ["a", "b"]
            assert checkpoint["b"].read().tolist() == B.tolist()
    torch_file(tmp_path / "stray.bin", "c", A)
    with pytest.warns(ShardWarning, match=r"not in the index, so not read: .* such as stray\.bin"):
        open_checkpoint(tmp_path).close()
    (tmp_path / "stray.bin").unlink()
    (tmp_path / names[1]).unlink()
    with pytest.raises(ShardError, match="1 of 2 shards are missing"):
        open_checkpoint(tmp_path)


def test_an_index_that_names_itself_ends(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": index.name}}))
    with pytest.raises(CorruptCheckpointError, match="the first 8 bytes claim a header"):
        open_checkpoint(tmp_path)


def test_a_folder_with_one_checkpoint_of_any_format_is_that_checkpoint(tmp_path):
    torch_file(tmp_path / "model.pt", "a", A)
    (tmp_path / "optimizer.pt").write_bytes(b"left by a trainer")
    with open_checkpoint(tmp_path) as checkpoint:
        assert (checkpoint.format, checkpoint.path) == ("pytorch", str(tmp_path))
    save_file({"b": B}, tmp_path / "model.safetensors")
    with open_checkpoint(tmp_path) as checkpoint:
        assert [*checkpoint] == ["b"]


def test_split_gguf_files_are_one_checkpoint(tmp_path):
    for i, (key, array) in enumerate({"a": A, "b": B}.items(), 1):
        path = tmp_path / f"m-0000{i}-of-00002.gguf"
        test_loaders_gguf.save(path, {key: (array.shape, 0, array.tobytes())})
    with open_checkpoint(tmp_path) as checkpoint:
        assert [*checkpoint] == ["a", "b"]
    path.unlink()
    with pytest.raises(ShardError, match=r"m-00002-of-00002\.gguf"):
        open_checkpoint(tmp_path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    folder = tmp_path / "hub" / "models--org--name"
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs").mkdir()
    save_file({"a": A}, folder / "blobs" / "x")
    (snapshot / "model.safetensors").symlink_to("../../blobs/x")
    return folder


@pytest.mark.parametrize("name", ["hf:org/name", "hf:org/name@main", f"hf:org/name@{COMMIT}"])
def test_a_model_is_found_in_the_local_cache(hub, name):
    with open_checkpoint(name) as checkpoint:
        assert checkpoint.path == name
        assert checkpoint["a"].read().tolist() == A.tolist()


@pytest.mark.parametrize("name", ["hf:org/other", "hf:org/name@v2", "hf:name"])
def test_a_model_that_is_not_in_the_cache_is_told_with_its_cure(hub, name):
    with pytest.raises(CheckpointNotFoundError, match=r"not in the cache .* get it with 'hf down"):
        open_checkpoint(name)


@pytest.mark.parametrize("name", ["hf:", "hf:../x", "hf:a/b/c", "hf:org/name@../../x", "hf:a b"])
def test_a_name_that_leaves_the_cache_is_refused(hub, name):
    with pytest.raises(CheckpointError, match="expected hf:ORG/NAME"):
        open_checkpoint(name)


def test_a_reference_that_leads_elsewhere_is_refused(hub):
    elsewhere = hub.parent / "elsewhere"
    elsewhere.mkdir()
    save_file({"a": A}, elsewhere / "model.safetensors")
    (hub / "refs" / "main").write_text("../../elsewhere")
    with pytest.raises(CheckpointNotFoundError, match="not in the cache"):
        open_checkpoint("hf:org/name")
