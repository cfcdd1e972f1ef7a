"""A multilayer perceptron and Adam in plain NumPy, shared by the training scripts.

Every figure of a seeded study depends on how its networks were trained, so the training is short
enough to read: ReLU layers, cross-entropy, Adam (Kingma & Ba, arXiv 1412.6980), float32. Weights
carry the names and the layout of ``torch.nn.Linear``: ``layers.0.weight`` is (out, in).

The stages, each a function: :func:`initial_weights`, :func:`train` (which takes
:func:`loss_and_gradients` and :class:`Adam` through the epochs and calls :func:`evaluate` after
each), :func:`write_checkpoint`.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Adam",
    "Recipe",
    "Samples",
    "Snapshot",
    "Weights",
    "evaluate",
    "initial_weights",
    "logits",
    "loss_and_gradients",
    "random_streams",
    "train",
    "write_checkpoint",
]

Floats: TypeAlias = NDArray[np.float32]
Weights: TypeAlias = dict[str, Floats]
Augment: TypeAlias = Callable[[Floats, np.random.Generator], Floats]
Snapshot: TypeAlias = tuple[int, Weights, dict[str, float]]
"""Epoch (0 = before training), weights (a copy, the reader's to keep), metrics."""

# As published, and the defaults everywhere.
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Samples:
    """Labelled inputs.

    Attributes
    ----------
    inputs : ndarray of shape (n_samples, n_features), float32
    labels : ndarray of shape (n_samples,), int64
        Class of each sample, 0-based.
    """

    inputs: Floats
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: slice | NDArray[np.int64]) -> Samples:
        """The samples of these rows (a copy where `rows` is an array of indices)."""
        return Samples(self.inputs[rows], self.labels[rows])


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    epochs : int
        Passes over the training samples.
    batch_size : int
        Samples a step; the last step of an epoch takes the rest.
    learning_rate : float
        Adam's step size.
    l2 : float
        Strength of the penalty ``l2 / 2 * sum(w**2)``, whose gradient goes through Adam; biases
        go free.
    cosine : bool
        Let the step size fall to 0 along half a cosine, instead of keeping it constant.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 1e-3
    l2: float = 0.0
    cosine: bool = False

    def steps_per_epoch(self, n_samples: int) -> int:
        """Optimiser steps that one pass over `n_samples` takes."""
        return math.ceil(n_samples / self.batch_size)

    def rate(self, fraction: float) -> float:
        """Step size when `fraction` of all steps, in [0, 1], has been taken."""
        if self.cosine:
            return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * fraction))
        return self.learning_rate


def random_streams(seed: int, n: int) -> list[np.random.Generator]:
    """Independent generators, one for each use of chance.

    With a stream of its own, a use that one condition does not make (random labels, say) cannot
    move the initialisation or the order of batches of another: runs of one seed are paired.
    """
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n)]


def initial_weights(widths: Sequence[int], rng: np.random.Generator) -> Weights:
    """Weights drawn as ``torch.nn.Linear`` draws them: uniform in +-1/sqrt(fan_in), biases too.

    Parameters
    ----------
    widths : sequence of int
        Features in, units of each hidden layer, classes out.
    rng : numpy.random.Generator

    Returns
    -------
    dict of str to ndarray
        ``layers.<i>.weight`` of shape (widths[i + 1], widths[i]) and ``layers.<i>.bias``, float32.
    """
    weights: Weights = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        bound = 1.0 / math.sqrt(fan_in)
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
            drawn = rng.uniform(-bound, bound, shape)
            weights[f"layers.{i}.{name}"] = drawn.astype(np.float32)
    return weights


def train(
    weights: Weights,
    samples: Samples,
    recipe: Recipe,
    rng: np.random.Generator,
    *,
    evaluate_on: Mapping[str, Samples],
    augment: Augment | None = None,
) -> Iterator[Snapshot]:
    """Train with Adam, handing out the network before training and after each epoch.

    Parameters
    ----------
    weights : dict of str to ndarray
        Where to start; left as it is.
    samples : Samples
        What to learn.
    recipe : Recipe
    rng : numpy.random.Generator
        Decides the order of samples and what `augment` does, nothing else.
    evaluate_on : mapping of str to Samples
        Sets to report on: ``{"train": ...}`` gives ``train_loss`` and ``train_accuracy``.
    augment : callable, optional
        ``augment(inputs, rng)`` returns the inputs of a batch as they are to be shown.

    Yields
    ------
    epoch : int
        0 is the initialisation itself.
    weights : dict of str to ndarray
        A copy.
    metrics : dict of str to float
        Mean cross-entropy in nats (without the penalty) and accuracy on each set.
    """
    weights = {name: array.copy() for name, array in weights.items()}
    optimiser = Adam(weights)
    n_steps = recipe.epochs * recipe.steps_per_epoch(len(samples))
    order_rng, augment_rng = rng.spawn(2)
    yield 0, _copy(weights), _metrics(weights, evaluate_on)
    for epoch in range(1, recipe.epochs + 1):
        order = order_rng.permutation(len(samples))
        for start in range(0, len(order), recipe.batch_size):
            batch = samples.take(order[start : start + recipe.batch_size])
            if augment is not None:
                batch = Samples(augment(batch.inputs, augment_rng), batch.labels)
            _, gradients = loss_and_gradients(weights, batch, l2=recipe.l2)
            optimiser.step(gradients, recipe.rate(optimiser.n_steps / n_steps))
        yield epoch, _copy(weights), _metrics(weights, evaluate_on)


def logits(weights: Weights, inputs: Floats) -> Floats:
    """Outputs before the softmax, of shape (n_samples, n_classes)."""
    return _activations(weights, inputs)[-1]


def evaluate(weights: Weights, samples: Samples) -> tuple[float, float]:
    """Mean cross-entropy in nats and share of samples whose largest output is their label."""
    outputs = logits(weights, samples.inputs).astype(np.float64)
    outputs -= outputs.max(axis=1, keepdims=True)
    of_label = outputs[np.arange(len(samples)), samples.labels]
    losses = np.log(np.exp(outputs).sum(axis=1)) - of_label
    hits = outputs.argmax(axis=1) == samples.labels
    return float(losses.mean()), float(hits.mean())


def loss_and_gradients(
    weights: Weights, samples: Samples, *, l2: float = 0.0
) -> tuple[float, Weights]:
    """Mean cross-entropy plus L2 penalty, and its gradient by backpropagation.

    Parameters
    ----------
    weights : dict of str to ndarray
    samples : Samples
    l2 : float
        The penalty is ``l2 / 2 * sum(w**2)`` over the weight matrices.

    Returns
    -------
    loss : float
        In nats.
    gradients : dict of str to ndarray
        Names and shapes of `weights`.
    """
    activations = _activations(weights, samples.inputs)
    rows = np.arange(len(samples))
    outputs = activations[-1] - activations[-1].max(axis=1, keepdims=True)
    log_norm = np.log(np.exp(outputs).sum(axis=1, keepdims=True))
    loss = float((log_norm[:, 0] - outputs[rows, samples.labels]).mean())

    delta = np.exp(outputs - log_norm)
    delta[rows, samples.labels] -= 1.0
    delta /= len(samples)
    gradients: Weights = {}
    for i in reversed(range(_n_layers(weights))):
        matrix = weights[f"layers.{i}.weight"]
        gradients[f"layers.{i}.bias"] = delta.sum(axis=0)
        gradients[f"layers.{i}.weight"] = delta.T @ activations[i]
        if l2:
            gradients[f"layers.{i}.weight"] += l2 * matrix
            loss += 0.5 * l2 * float(np.vdot(matrix, matrix))
        if i:
            delta = (delta @ matrix) * (activations[i] > 0)
    return loss, gradients


class Adam:
    """Adam with the published constants, updating `weights` in place."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.n_steps = 0
        self._mean = {name: np.zeros_like(array) for name, array in weights.items()}
        self._square = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(self, gradients: Weights, learning_rate: float) -> None:
        """Move every weight one step against its gradient."""
        self.n_steps += 1
        # Both bias corrections folded into two numbers spare two passes over the weights.
        correction = math.sqrt(1.0 - BETA_2**self.n_steps)
        rate = learning_rate * correction / (1.0 - BETA_1**self.n_steps)
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            mean += (1.0 - BETA_1) * (gradient - mean)
            square += (1.0 - BETA_2) * (gradient * gradient - square)
            self.weights[name] -= rate * mean / (np.sqrt(square) + EPSILON * correction)


def write_checkpoint(path: Path, weights: Weights, metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose bytes are a function of its content.

    ``safetensors.numpy.save_file`` writes metadata in an order that changes with every process,
    which would make a rerun look like a change. The format is small enough to write: the length
    of the header, the header as JSON padded to 8 bytes, then the tensors.
    """
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name, array in weights.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    body = b"".join(array.astype("<f4").tobytes() for array in weights.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def _n_layers(weights: Weights) -> int:
    return sum(name.endswith(".weight") for name in weights)


def _activations(weights: Weights, inputs: Floats) -> list[Floats]:
    """The inputs, the outputs of every hidden layer, and the logits."""
    activations = [inputs]
    n_layers = _n_layers(weights)
    for i in range(n_layers):
        outputs = activations[-1] @ weights[f"layers.{i}.weight"].T + weights[f"layers.{i}.bias"]
        activations.append(np.maximum(outputs, 0.0) if i < n_layers - 1 else outputs)
    return activations


def _copy(weights: Weights) -> Weights:
    return {name: array.copy() for name, array in weights.items()}


def _metrics(weights: Weights, evaluate_on: Mapping[str, Samples]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, samples in evaluate_on.items():
        metrics[f"{name}_loss"], metrics[f"{name}_accuracy"] = evaluate(weights, samples)
    return metrics
