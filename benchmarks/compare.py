"""Time trajectories and conditional complexity against scoring every checkpoint anew.

    python benchmarks/compare.py             # two or three minutes on two processors
    python benchmarks/compare.py --quick     # small sizes: does it run, not how fast

The network is a GPT with random BF16 weights (see ``measuring.py``). From step to step nine tensors
in ten, and nine weights in ten, stay as they are, as in fine-tuning a few layers. All jobs measure
the default panel:

trajectory
    Twenty steps with an empty cache, against a score of each of the twenty files.
again
    The same trajectory once more, from the cache: headers, file identities and stored rows alone.
conditional
    The last step conditional on the first, against scoring both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import Layer, Row, heavy_tailed, seconds, table, to_bfloat16, warn_if_busy
from numpy.typing import NDArray
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.scoring.cache import Cache

N_STEPS = 20
N_LAYERS = 10
#: What the files must be older than for their identity to be trusted; as after any training.
AN_HOUR = 3600


def layers(width: int) -> list[Layer]:
    """Ten square matrices: one of them moves."""
    return [(f"layers.{i}.weight", (width, width)) for i in range(N_LAYERS)]


def write_steps(folder: Path, width: int, n_steps: int) -> list[str]:
    """Write a training in which nine of ten tensors never change."""
    rng = np.random.default_rng(0)
    frozen: dict[str, NDArray[np.uint16]] = {}
    for name, shape in layers(width):
        frozen[name] = to_bfloat16(heavy_tailed(width * width, rng)).reshape(shape)
    moving = heavy_tailed(width * width, rng)
    paths = []
    for step in range(n_steps):
        moving = moving + np.float32(0.1) * heavy_tailed(width * width, rng)
        last = {f"layers.{N_LAYERS - 1}.weight": to_bfloat16(moving).reshape(width, width)}
        path = folder / f"step-{step:03d}.safetensors"
        _save(frozen | last, path)
        old = time.time() - AN_HOUR
        os.utime(path, (old, old))
        paths.append(str(path))
    return paths


def _save(words: dict[str, NDArray[np.uint16]], path: Path) -> None:
    import ml_dtypes

    save_file({name: word.view(ml_dtypes.bfloat16) for name, word in words.items()}, path)


def run(folder: Path, *, width: int, n_steps: int) -> list[Row]:
    """Time all jobs once; each takes long enough for that."""
    paths = write_steps(folder, width, n_steps)
    kc.score(paths[0])  # warms page cache and tables
    anew = seconds(lambda: [kc.score(path) for path in paths])

    def follow() -> None:
        with Cache(folder / "rows.sqlite") as cache:
            kc.trajectory(paths, cache=cache)

    first, again = seconds(follow), min(seconds(follow) for _ in range(3))
    both = seconds(lambda: [kc.score(path) for path in (paths[0], paths[-1])])
    conditional = seconds(lambda: kc.conditional(paths[0], paths[-1]))
    size = f"{n_steps} steps of {N_LAYERS * width * width / 1e6:.1f} M weights"
    peer = f"scoring {n_steps} checkpoints anew, {anew:.1f} s"
    return [
        Row(f"trajectory, {size}, 90 % unchanged", peer, "<= 0.2x", _ratio(first, anew)),
        Row("the same trajectory again, from the cache", peer, "<= 0.02x", _ratio(again, anew)),
        Row(
            "conditional complexity, last step conditional on the first",
            f"scoring both, {both:.1f} s",
            "<= 2x",
            _ratio(conditional, both),
        ),
    ]


def _ratio(job: float, peer: float) -> str:
    return f"{job / peer:.4f}x ({job:.2f} s)"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--width", type=int, default=256, help="of the matrices (default: 256)")
    arguments = parser.parse_args()
    warn_if_busy()
    width, n_steps = (8, 3) if arguments.quick else (arguments.width, N_STEPS)
    with tempfile.TemporaryDirectory(prefix="kcomplexity-bench-") as folder:
        rows = run(Path(folder), width=width, n_steps=n_steps)
    print(table("Trajectories and conditional complexity", rows))


if __name__ == "__main__":
    main()
