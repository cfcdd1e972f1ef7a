"""The checkpoints that names stand for."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from kcomplexity.errors import CheckpointNotFoundError
from kcomplexity.loaders.paths import checkpoints_in, find_checkpoints


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.zeros(3, np.float32)}, path)


def test_a_folder_stands_for_its_checkpoints_in_natural_order(tmp_path):
    for name in ("step-10", "step-9", "step-100", ".writing"):
        write(tmp_path / f"{name}.safetensors")
    write(tmp_path / "step-11" / "model.safetensors")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "logs").mkdir()
    names = [name.removeprefix(f"{tmp_path}/") for name in checkpoints_in(tmp_path)]
    assert names == ["step-9.safetensors", "step-10.safetensors", "step-11", "step-100.safetensors"]
    assert find_checkpoints([str(tmp_path)]) == checkpoints_in(tmp_path)


def test_a_glob_that_the_shell_left_alone_is_expanded(tmp_path):
    for i in (2, 10, 1):
        write(tmp_path / f"run-{i}.safetensors")
    found = find_checkpoints(
        [str(tmp_path / "run-*.safetensors"), str(tmp_path / "run-1.safetensors")]
    )
    assert [name.rpartition("-")[2] for name in found] == [
        "1.safetensors",
        "2.safetensors",
        "10.safetensors",
    ]


def test_a_sharded_checkpoint_is_one_name(tmp_path):
    write(tmp_path / "model-00001-of-00002.safetensors")
    write(tmp_path / "model-00002-of-00002.safetensors")
    assert find_checkpoints([str(tmp_path)]) == [str(tmp_path)]


def test_what_training_keeps_beside_the_weights_is_no_checkpoint(tmp_path):
    for step in (1, 2):
        write(tmp_path / f"checkpoint-{step}" / "model.safetensors")
        for name in ("optimizer.pt", "training_args.bin"):
            (tmp_path / f"checkpoint-{step}" / name).write_bytes(b"of the optimiser")
    (tmp_path / "scheduler.pt").write_bytes(b"of the optimiser")
    assert find_checkpoints([str(tmp_path)]) == [str(tmp_path / f"checkpoint-{i}") for i in (1, 2)]


def test_a_zarr_folder_and_an_url_are_one_name(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".zarray").write_text("{}")
    names = [str(tmp_path / "w"), "https://example.org/model.safetensors?download=true"]
    assert find_checkpoints(names) == names


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint is there"):
        find_checkpoints([str(tmp_path)])
    with pytest.raises(CheckpointNotFoundError, match="no checkpoint is there"):
        find_checkpoints([str(tmp_path / "*.npz")])
    assert find_checkpoints(["missing.npz"]) == ["missing.npz"]  # opening it tells more
