"""Train an MLP 784-256-128-10 on MNIST under one condition, saving checkpoints from epoch 0 on.

    python benchmarks/train_mnist_mlp.py --data mnist.npz --condition trained --seed 0 --out run

writes ``run/epoch-000.safetensors`` (the real initialisation), one more file every few epochs and
the last; Fashion-MNIST in the same npz form works as well (arrays x_train and y_train).

The conditions ask what a change of complexity is due to:

trained
    The plain training.
pixels-permuted
    One permutation of the pixels, the same for every image. For an MLP the task is as hard as
    before, so what vanishes from a measure was the geometry of the input.
random-labels
    The training labels shuffled among the images: nothing to learn, only to memorise. The
    validation labels are the real ones.
l2
    The plain training with an L2 penalty on the weight matrices.

Runs of one seed share initialisation, samples and order of batches across all conditions, so they
can be compared as pairs. Training takes 10,000 of the images and validation another 10,000 of the
training file; the test file stays unseen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mlp import (
    Recipe,
    Samples,
    Snapshot,
    initial_weights,
    random_streams,
    train,
    write_checkpoint,
)
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

WIDTHS = (784, 256, 128, 10)
CONDITIONS = ("trained", "pixels-permuted", "random-labels", "l2")
L2 = 1e-4  # strong enough to show in the weights, at the same validation accuracy
N_TRAIN = N_VALIDATION = 10_000
# The split belongs to the study, not to a run: it does not follow the seed.
SPLIT_SEED = 0


def load_images(path: Path) -> tuple[Samples, Samples]:
    """Training and validation samples of an MNIST-like npz file, pixels in [0, 1].

    Pixels are not standardised: one that is 0 in every image gets no gradient, so its weights are
    never changed by plain training, and this is a property of the task worth seeing.
    """
    with np.load(path, allow_pickle=False) as arrays:
        images, labels = arrays["x_train"], arrays["y_train"]
    # A file may be sorted by class.
    chosen = np.random.default_rng(SPLIT_SEED).permutation(len(labels))[: N_TRAIN + N_VALIDATION]
    pixels: NDArray[np.uint8] = images[chosen].reshape(len(chosen), -1)
    samples = Samples(
        pixels.astype(np.float32) / np.float32(255.0), labels[chosen].astype(np.int64)
    )
    return samples.take(slice(N_TRAIN)), samples.take(slice(N_TRAIN, None))


def train_condition(
    training: Samples,
    validation: Samples,
    *,
    condition: str,
    seed: int,
    epochs: int,
    order_seed: int | None = None,
) -> Iterator[Snapshot]:
    """The network before training and after each epoch.

    Parameters
    ----------
    training, validation : Samples
        As :func:`load_images` gives them.
    condition : str
        One of `CONDITIONS`.
    seed : int
        Decides initialisation, order of batches, and the permutation of pixels or labels.
    epochs : int
    order_seed : int, optional
        Takes the order of batches from the run of another seed: from one initialisation, the noise
        of that order.

    Returns
    -------
    iterator of (epoch, weights, metrics)
        Metrics are train_* (on the labels that were trained on) and validation_*.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"condition={condition!r} should be one of {', '.join(CONDITIONS)}.")
    init_rng, train_rng, condition_rng = random_streams(seed, 3)
    if order_seed is not None:
        train_rng = random_streams(order_seed, 3)[1]
    if condition == "pixels-permuted":
        pixels = condition_rng.permutation(training.inputs.shape[1])
        training = Samples(training.inputs[:, pixels], training.labels)
        validation = Samples(validation.inputs[:, pixels], validation.labels)
    elif condition == "random-labels":
        training = Samples(training.inputs, condition_rng.permutation(training.labels))
    return train(
        initial_weights(WIDTHS, init_rng),
        training,
        recipe_of(condition, epochs),
        train_rng,
        evaluate_on={"train": training, "validation": validation},
    )


def recipe_of(condition: str, epochs: int) -> Recipe:
    """How a condition is trained: alike but for the penalty."""
    return Recipe(epochs=epochs, l2=L2 if condition == "l2" else 0.0)


def describe(
    epoch: int,
    metrics: dict[str, float],
    *,
    data: str,
    condition: str,
    seed: int,
    epochs: int,
    order_seed: int | None = None,
) -> dict[str, str]:
    """Metadata of a checkpoint (text only); ``step`` counts optimiser steps."""
    recipe = recipe_of(condition, epochs)
    return {
        "architecture": f"MLP {'-'.join(map(str, WIDTHS))}, ReLU; matrices are (out, in)",
        "condition": condition,
        "data_set": f"{data}: {N_TRAIN} samples of x_train, {N_VALIDATION} others to validate",
        "epoch": str(epoch),
        "epochs": str(epochs),
        "optimiser": f"Adam, learning rate {recipe.learning_rate:g}, batch {recipe.batch_size}, "
        f"L2 {recipe.l2:g}",
        "script": "benchmarks/train_mnist_mlp.py",
        "seed": str(seed),
        "order_seed": str(seed if order_seed is None else order_seed),
        "step": str(epoch * recipe.steps_per_epoch(N_TRAIN)),
        **{name: f"{value:.6f}" for name, value in metrics.items()},
    }


def main() -> None:
    """Train one condition and write its checkpoints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="NPZ", help="mnist.npz")
    parser.add_argument("--condition", choices=CONDITIONS, default="trained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--order-seed",
        type=int,
        default=None,
        metavar="SEED",
        help="order the batches as in the run of another seed: the same start, a rerun",
    )
    parser.add_argument("--epochs", type=int, default=30, help="default: 30")
    parser.add_argument(
        "--save-every", type=int, default=3, metavar="N", help="epochs between files (default: 3)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.epochs < 0 or arguments.save_every < 1:
        parser.error("--epochs should be >= 0 and --save-every >= 1")

    run = {name: getattr(arguments, name) for name in ("condition", "seed", "epochs", "order_seed")}
    # How a product is shared out among threads decides how it is rounded.
    with threadpool_limits(limits=1):
        for epoch, weights, metrics in train_condition(*load_images(arguments.data), **run):
            if epoch % arguments.save_every and epoch != arguments.epochs:
                continue
            path = arguments.out / f"epoch-{epoch:03d}.safetensors"
            metadata = describe(epoch, metrics, data=arguments.data.name, **run)
            write_checkpoint(path, weights, metadata)
            figures = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            print(f"{path}: {figures}", file=sys.stderr)


if __name__ == "__main__":
    main()
