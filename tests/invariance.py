"""How each positional measure reacts to changes that keep a network's function, or its layout.

    python -m tests.invariance

writes ``docs/invariance.md`` from the measures themselves; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import kcomplexity as kc

PAGE = Path(__file__).resolve().parents[1] / "docs" / "invariance.md"
SAME, ABOUT = 1e-9, 0.005
FLOATING = ("lowrank@rd0.1",)

SPECS = (
    "ctx@sign",
    "ctx@q8",
    "ctx@rd0.1",
    "lowrank@rd0.1",
    "bdm1d@sign",
    "bdm2d@sign",
    "qubd",
    "lz76@sign",
    "block-entropy@q4",
    "zstd:9@q4",
    "zstd@bytes/planes",
    "stable-rank",
    "spectral-entropy",
)


def example() -> np.ndarray:
    """A layer with everything a measure may see: scales, rank, neighbours alike, heavy tails."""
    rng = np.random.default_rng(0)
    weights = rng.standard_t(5, (96, 128))
    for j in range(1, weights.shape[1]):
        weights[:, j] += 0.9 * weights[:, j - 1]
    weights += rng.standard_normal((96, 3)) @ rng.standard_normal((3, 128))
    weights *= np.exp(0.4 * rng.standard_normal((96, 1)))
    return (0.05 * weights).astype(np.float32)


def _permuted(weights: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(1)
    return weights[rng.permutation(weights.shape[0])][:, rng.permutation(weights.shape[1])]


def _row_scaled(weights: np.ndarray) -> np.ndarray:
    # Powers of two: nothing is rounded.
    scales = np.exp2(np.random.default_rng(2).integers(-2, 3, (weights.shape[0], 1)))
    return (weights * scales).astype(np.float32)


def _flipped(weights: np.ndarray) -> np.ndarray:
    signs = np.random.default_rng(3).choice([-1, 1], (weights.shape[0], 1))
    return (weights * signs).astype(np.float32)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tensor scale": lambda weights: weights * np.float32(4),
    "row scale": _row_scaled,
    "unit permutation": _permuted,
    "sign flip": _flipped,
    "transpose": lambda weights: np.ascontiguousarray(weights.T),
    "dtype cast": lambda weights: weights.astype(ml_dtypes.bfloat16),
}


def values(weights: np.ndarray) -> dict[str, float]:
    """The value of each measure."""
    rows: Any = kc.score({"w": weights}, specs=SPECS, threads=1).rows
    return {spec: row.value for spec, row in zip(SPECS, rows, strict=True)}


def table() -> dict[str, dict[str, str]]:
    """For each measure and change: "same", "about" (within 0.5 %) or "changes"."""
    base = values(example())
    changed = {name: values(change(example())) for name, change in CHANGES.items()}

    def cell(spec: str, name: str) -> str:
        off = abs(changed[name][spec] / base[spec] - 1)
        # Factors are rounded where floating-point puts them: a machine may move a few of them.
        same = SAME if spec not in FLOATING else -1
        return "same" if off <= same else "about" if off <= ABOUT else "changes"

    return {spec: {name: cell(spec, name) for name in CHANGES} for spec in SPECS}


def page() -> str:
    """The page of the docs."""
    lines = [
        "# Invariances of the positional measures",
        "",
        "How the value of a measure reacts when a tensor is changed in ways that leave the",
        "network's function as it is, or can be compensated elsewhere: it stays the **same**",
        "to 1e-9, **about** the same (within 0.5 %), or it **changes**. Measured on a random layer",
        "of 96 x 128 weights with row scales, correlated neighbours, rank and heavy tails; written",
        "by `python -m tests.invariance`; the tests compare the page with the code.",
        "",
        "| measure | " + " | ".join(CHANGES) + " |",
        "|---" * (len(CHANGES) + 1) + "|",
    ]
    for spec, cells in table().items():
        shown = (cell if cell == "same" else f"*{cell}*" for cell in cells.values())
        lines.append(f"| `{spec}` | " + " | ".join(shown) + " |")
    lines += [
        "",
        "- *tensor scale*: all weights times 4. *row scale*: each row times a power of two from",
        "  1/4 to 4. *unit permutation*: rows and columns in another order, as when hidden units",
        "  trade places. *sign flip*: half the rows times -1. *transpose*: rows become columns.",
        "  *dtype cast*: F32 to BF16.",
        "- A scale that is not a power of two rounds stored weights again; then levels differ in a",
        "  few weights.",
        "- `lowrank`, `stable-rank` and `spectral-entropy` ignore the layout: they measure neither",
        "  the order of hidden units nor the geometry of inputs. `ctx`, BDM and compressors depend",
        "  on it: compare them with the control `unit-permutation`.",
        "- A row scale changes the histogram of the levels, and with it every code; the account of",
        "  `ctx` shows how much scales save.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
