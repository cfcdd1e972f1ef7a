"""Train the embedded sample pair: a small network before and after learning handwritten digits.

    python benchmarks/train_digits.py

trains an MLP 64-320-32-10 on scikit-learn's bundled digits in a few seconds and writes
``digits-init.safetensors`` and ``digits-trained.safetensors`` into ``kcomplexity/samples``.

The first 1,437 images are for training and the last 360 are held out, in the order of the data
set, as in scikit-learn's own example: a harder test than a random split, which would put nearly
the same images on both sides.

The training has two ordinary means against overfitting, and both leave a trace in the weights:
images are shown shifted by up to one pixel, so that neighbouring pixels get similar weights; and
an L2 penalty wears off what the initialisation left and the data do not need.

The bytes are the same on every run on one machine. Another kind of processor multiplies matrices
in another order, and its rounding differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mlp import (
    Floats,
    Recipe,
    Samples,
    Snapshot,
    initial_weights,
    random_streams,
    train,
    write_checkpoint,
)
from threadpoolctl import threadpool_limits

SIDE = 8  # pixels
WIDTHS = (SIDE * SIDE, 320, 32, 10)
N_TRAIN = 1_437
RECIPE = Recipe(epochs=200, batch_size=32, learning_rate=1e-3, l2=1e-3, cosine=True)
SAMPLES = Path(__file__).resolve().parents[1] / "kcomplexity" / "samples"


def load_digits() -> tuple[Samples, Samples]:
    """Training and held-out samples of scikit-learn's digits, pixels in [0, 1]."""
    from sklearn.datasets import load_digits as bundled_digits

    images, labels = bundled_digits(return_X_y=True)
    digits = Samples((images / 16.0).astype(np.float32), labels.astype(np.int64))
    return digits.take(slice(N_TRAIN)), digits.take(slice(N_TRAIN, None))


def shifted(inputs: Floats, rng: np.random.Generator) -> Floats:
    """Each image moved by -1, 0 or 1 pixels along each axis, zeros moving in.

    Parameters
    ----------
    inputs : ndarray of shape (n_images, 64), float32
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_images, 64), float32
    """
    padded = np.pad(inputs.reshape(-1, SIDE, SIDE), ((0, 0), (1, 1), (1, 1)))
    top, left = rng.integers(0, 3, size=(2, len(inputs), 1))
    rows, columns = top + np.arange(SIDE), left + np.arange(SIDE)
    images = np.arange(len(inputs))[:, None, None]
    moved: Floats = padded[images, rows[:, :, None], columns[:, None, :]]
    return moved.reshape(inputs.shape)


def train_digits(seed: int) -> Iterator[Snapshot]:
    """The network before training and after each epoch; metrics are train_* and held_out_*."""
    training, held_out = load_digits()
    init_rng, train_rng = random_streams(seed, 2)
    return train(
        initial_weights(WIDTHS, init_rng),
        training,
        RECIPE,
        train_rng,
        evaluate_on={"train": training, "held_out": held_out},
        augment=shifted,
    )


def describe(epoch: int, metrics: dict[str, float], seed: int) -> dict[str, str]:
    """What a reader of the file needs to know, as safetensors metadata (text only)."""
    return {
        "architecture": f"MLP {'-'.join(map(str, WIDTHS))}, ReLU; matrices are (out, in)",
        "augmentation": "images shifted by up to one pixel",
        "data_set": "scikit-learn load_digits: 1,797 images of 8x8 pixels / 16 "
        "(UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998)",
        "epoch": str(epoch),
        "epochs": str(RECIPE.epochs),
        "licence": "weights: Apache-2.0, as the package; they hold no image of the data set",
        "optimiser": f"Adam, learning rate {RECIPE.learning_rate:g} falling to 0 as a cosine, "
        f"batch {RECIPE.batch_size}, L2 {RECIPE.l2:g}",
        "role": "init" if epoch == 0 else "trained",
        "script": "benchmarks/train_digits.py",
        "seed": str(seed),
        "split": f"in the order of the data set: first {N_TRAIN} train, last 360 held out",
        "step": str(epoch * RECIPE.steps_per_epoch(N_TRAIN)),
        **{name: f"{value:.6f}" for name, value in metrics.items()},
    }


def main() -> None:
    """Train, print both accuracies as they develop, write the pair."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0, the embedded pair")
    parser.add_argument("--out", type=Path, default=SAMPLES, metavar="DIR", help="where to write")
    arguments = parser.parse_args()

    # How a product is shared out among threads decides how it is rounded.
    with threadpool_limits(limits=1):
        for epoch, weights, metrics in train_digits(arguments.seed):
            if epoch % 20 == 0:
                accuracies = (metrics["train_accuracy"], metrics["held_out_accuracy"])
                print("epoch {:3d}: train {:.4f}, held out {:.4f}".format(epoch, *accuracies))
            if epoch in (0, RECIPE.epochs):
                path = arguments.out / f"digits-{'init' if epoch == 0 else 'trained'}.safetensors"
                write_checkpoint(path, weights, describe(epoch, metrics, arguments.seed))
                print(f"wrote {path}")


if __name__ == "__main__":
    main()
