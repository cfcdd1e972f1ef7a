"""What structure follows: training, input geometry, memorising or a penalty.

    python benchmarks/structure_mlp.py --data mnist.npz

trains the MLP of ``train_mnist_mlp.py`` under each of its conditions, over some seeds, and prints
one Markdown table: validation accuracy, the signs' BDM against shuffles, and what ``ctx`` and
``lowrank`` save of the order-0 bits at 10 % squared weight error. Means over seeds, followed by the
range. All runs of a seed share initialisation, samples and the order of batches.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlp import Samples
from threadpoolctl import threadpool_limits
from train_mnist_mlp import CONDITIONS, load_images, train_condition

import kcomplexity as kc
from kcomplexity.scoring.structure import structure

SPECS = ("ctx@rd0.1", "lowrank@rd0.1", "bdm2d@sign", "entropy:two-part@rd0.1")
COLUMNS = ("init", *CONDITIONS)
Figures = dict[str, float]


def figures(weights: Mapping[str, Any], metrics: Mapping[str, float]) -> Figures:
    """Measure one network."""
    report = kc.score(weights, specs=SPECS, controls=["shuffle:3"])
    measured = structure(report.rows)
    assert measured is not None
    total = {row.spec: row for row in report.summary}
    bdm = total["bdm2d@sign"].control("shuffle")
    assert bdm is not None
    return {
        "validation accuracy": metrics["validation_accuracy"],
        "`bdm2d@sign` / shuffled": bdm.ratio or 0.0,
        "`ctx` saved, %": 100 * measured.context_saving,
        "... shuffled, %": 100 * statistics.fmean(measured.shuffled_savings),
        "`lowrank` saved, %": 100 * (measured.low_rank_saving or 0.0),
        "structure S, %": 100 * measured.saving,
        "bits/weight, order-0": total["entropy:two-part@rd0.1"].bits_per_weight or 0.0,
    }


def study(
    training: Samples, validation: Samples, seeds: int, epochs: int
) -> dict[str, list[Figures]]:
    """Train and measure every condition; one set of figures a seed."""
    columns: dict[str, list[Figures]] = {column: [] for column in COLUMNS}
    for seed in range(seeds):
        for condition in CONDITIONS:
            run = train_condition(
                training, validation, condition=condition, seed=seed, epochs=epochs
            )
            for epoch, weights, metrics in run:
                if epoch == 0 and condition == CONDITIONS[0]:
                    columns["init"].append(figures(weights, metrics))
            columns[condition].append(figures(weights, metrics))
            print(f"seed {seed}, {condition}: {columns[condition][-1]}", file=sys.stderr)
    return columns


def table(columns: Mapping[str, list[Figures]]) -> str:
    """Return the figures as a Markdown table, conditions across."""
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in next(iter(columns.values()))[0]:
        cells = (_cell([one[name] for one in runs]) for runs in columns.values())
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: Iterable[float]) -> str:
    values = list(values)
    digits = 3 if max(map(abs, values)) < 3 else 1
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _made_images() -> tuple[Samples, Samples]:
    """Blobs at ten places of a 28x28 image, for a run that shows the script works."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 400)
    pixels = rng.random((400, 28, 28), np.float32)
    for image, label in zip(pixels, labels, strict=True):
        image[2 * label : 2 * label + 6, 4:20] += 2
    samples = Samples(pixels.reshape(400, -1), labels)
    return samples.take(slice(200)), samples.take(slice(200, None))


def main() -> None:
    """Train, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="NPZ", help="mnist.npz or its like")
    parser.add_argument("--seeds", type=int, default=3, help="default: 3")
    parser.add_argument("--epochs", type=int, default=30, help="default: 30")
    parser.add_argument("--quick", action="store_true", help="made images, one seed, one epoch")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds = arguments.epochs = 1
    elif arguments.data is None:
        parser.error("--data is missing: expected an npz with x_train and y_train, or --quick")
    with threadpool_limits(limits=1):
        images = _made_images() if arguments.quick else load_images(arguments.data)
        print(table(study(*images, arguments.seeds, arguments.epochs)))


if __name__ == "__main__":
    main()
