"""The embedded pair is what its metadata says it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from kcomplexity.samples import INIT, TRAINED, sample_paths

SHAPES = {
    "layers.0.weight": (320, 64),
    "layers.0.bias": (320,),
    "layers.1.weight": (32, 320),
    "layers.1.bias": (32,),
    "layers.2.weight": (10, 32),
    "layers.2.bias": (10,),
}
METADATA = {
    "architecture",
    "augmentation",
    "data_set",
    "epoch",
    "epochs",
    "held_out_accuracy",
    "held_out_loss",
    "licence",
    "optimiser",
    "role",
    "script",
    "seed",
    "split",
    "step",
    "train_accuracy",
    "train_loss",
}
N_TRAIN = 1_437

each_sample = pytest.mark.parametrize("path", [INIT, TRAINED], ids=["init", "trained"])


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def network_outputs(weights: dict[str, np.ndarray], inputs: np.ndarray) -> np.ndarray:
    """The forward pass from its definition, in float64: independent of the training code."""
    hidden = np.maximum(inputs @ weights["layers.0.weight"].T + weights["layers.0.bias"], 0)
    hidden = np.maximum(hidden @ weights["layers.1.weight"].T + weights["layers.1.bias"], 0)
    return hidden @ weights["layers.2.weight"].T + weights["layers.2.bias"]


def test_the_pair_is_in_the_order_of_training() -> None:
    assert sample_paths() == (INIT, TRAINED)


def test_the_pair_stays_under_300_kb() -> None:
    assert sum(path.stat().st_size for path in sample_paths()) < 300_000


@each_sample
def test_tensors_are_float32_of_the_documented_shapes(path: Path) -> None:
    weights, _ = read(path)
    assert {name: array.shape for name, array in weights.items()} == SHAPES
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(array).all() for array in weights.values())


def test_training_changed_every_tensor() -> None:
    init, trained = (read(path)[0] for path in sample_paths())
    assert all((init[name] != trained[name]).mean() > 0.9 for name in SHAPES)


@each_sample
def test_metadata_is_complete_and_names_its_script(path: Path) -> None:
    _, metadata = read(path)
    assert set(metadata) == METADATA
    assert all(metadata.values())
    assert (Path(__file__).parents[1] / metadata["script"]).is_file()


def test_metadata_distinguishes_the_pair_and_names_one_run() -> None:
    init, trained = (read(path)[1] for path in sample_paths())
    assert (init["role"], init["epoch"], init["step"]) == ("init", "0", "0")
    assert trained["role"] == "trained"
    assert trained["epoch"] == trained["epochs"]
    # 45 batches of at most 32 make an epoch of 1,437 images.
    assert int(trained["step"]) == 45 * int(trained["epochs"])
    of_the_run = METADATA - {"role", "epoch", "step"}
    of_the_run -= {name for name in METADATA if name.endswith(("_accuracy", "_loss"))}
    assert {name: init[name] for name in of_the_run} == {name: trained[name] for name in of_the_run}


def test_training_learned_something_that_holds_out_of_sample() -> None:
    init, trained = (read(path)[1] for path in sample_paths())
    assert float(init["held_out_accuracy"]) < 0.2
    assert 0.9 < float(trained["held_out_accuracy"]) <= float(trained["train_accuracy"])


@each_sample
def test_recorded_accuracies_and_losses_are_those_of_the_weights(path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    weights, metadata = read(path)
    outputs = network_outputs(weights, images / 16.0)
    hits = outputs.argmax(axis=1) == labels
    losses = np.logaddexp.reduce(outputs, axis=1) - outputs[np.arange(len(labels)), labels]
    for name, rows in (("train", slice(N_TRAIN)), ("held_out", slice(N_TRAIN, None))):
        assert float(metadata[f"{name}_accuracy"]) == pytest.approx(hits[rows].mean(), abs=1e-6)
        assert float(metadata[f"{name}_loss"]) == pytest.approx(losses[rows].mean(), abs=1e-5)
