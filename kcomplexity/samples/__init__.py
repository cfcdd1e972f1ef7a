"""A pair of small real checkpoints: one network before and after training.

An MLP 64-320-32-10 (31,402 float32 weights, names and layout of ``torch.nn.Linear``) trained on
scikit-learn's bundled handwritten digits. ``digits-init.safetensors`` is the initialisation that
the training started from, ``digits-trained.safetensors`` the network after 200 epochs. Accuracy
on training and held-out images, seed, recipe, data set and licence are in each file's metadata.

One seeded run made both::

    python benchmarks/train_digits.py

The recipe was picked, among some fifty short trials of widths and penalties, because its effect on
the weights is easy to see; the seed is simply the first.

In the trained network the signs of the first layer, which sees the pixels, are arranged: their
2-D BDM is below that of the same weights shuffled. In the second and third layer, and anywhere
before training, it is not.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["INIT", "TRAINED", "sample_paths"]

_HERE = Path(__file__).resolve().parent

INIT = _HERE / "digits-init.safetensors"
"""The network before training."""

TRAINED = _HERE / "digits-trained.safetensors"
"""The same network after training."""


def sample_paths() -> tuple[Path, Path]:
    """Return the embedded checkpoints, in the order of training.

    Returns
    -------
    init, trained : pathlib.Path

    Examples
    --------
    >>> [path.name for path in sample_paths()]
    ['digits-init.safetensors', 'digits-trained.safetensors']
    """
    return INIT, TRAINED
