"""Made results of every command, in the fields that figures need, of any number of tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kcomplexity.scoring.panels import Panel, panel

HOSTILE = "<script>alert('x')</script>&\"$x^2_{$\x1b[31m\n漢字 ]]>"


def tensor_names(n: int) -> list[str]:
    """Names of a transformer, in the order of a file that sorts them as text."""
    parts = ("attn.q_proj.weight", "attn.q_proj.bias", "mlp.up_proj.weight", "norm.weight")
    found = [f"model.layers.{i}.{part}" for i in range(n // 4 + 1) for part in parts]
    return sorted(["model.embed_tokens.weight", *found[: n - 1]])


def score_result(n: int = 5, names: list[str] | None = None, seed: int = 0) -> dict[str, Any]:
    """A score: a code at a fixed error, a split one, and an estimate with shuffles."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in names or tensor_names(n):
        n_weights = int(rng.integers(8, 1 << 16))
        common: dict[str, Any] = {
            "checkpoint": "run/model.safetensors",
            "tensor": name,
            "scope": "tensor",
            "group": None,
            "dtype": "F32",
            "shape": [n_weights] if "norm" in name else [n_weights // 8, 8],
            "n_weights": n_weights,
            "status": "ok",
            "reason": None,
            "unit": "bits",
            "direction": "lower = simpler",
            "relative_mse": None,
            "ratio_raw_over_comp": None,
            "controls": [],
        }
        rows.append(common | code(n_weights, rng))
        rows.append(common | split_code(n_weights, rng))
        rows.append(common | estimate(n_weights, rng))
    return {
        "schema_version": 1,
        "provenance": {
            "version": "0.1.0",
            "command": "kcomplexity score run/model.safetensors --json",
            "seed": 0,
            "libraries": {"numpy": "2.0"},
        },
        "checkpoints": [
            {
                "path": "run/model.safetensors",
                "format": "safetensors",
                "fingerprint": "0" * 64,
                "n_tensors": n,
                "n_weights": sum(row["n_weights"] for row in rows[::3]),
                "metadata": {},
            }
        ],
        "headline": ["14.7 kB of 127 kB needed at 1% squared weight error (3.44 bits/weight)"],
        "rows": rows,
        "summary": [summed([row for row in rows if row["spec"] == r["spec"]]) for r in rows[:3]],
    }


def default_result(n: int) -> dict[str, Any]:
    """A score of `n` tensors of long names by every spec of the default panel."""
    rng = np.random.default_rng(6)
    chosen = panel("default")
    names = [f"base_model.model.language_model.layers.{i}.self_attn.q_proj" for i in range(n)]
    names = [f"{name}.lora_A.adapter_{'x' * 90}"[:83] + ".weight" for name in names]
    found = score_result(n, names)
    plain = found["rows"][::3]
    found["rows"] = [
        row | {"controls": []} | _by_spec(spec, row["n_weights"], rng, chosen)
        for row in plain
        for spec in chosen.specs
    ]
    found["summary"] = [
        summed([row for row in found["rows"] if row["spec"] == spec])
        for spec in chosen.specs
        if spec not in ("nonzero", "l2")
    ]
    return found


def _by_spec(spec: str, n: int, rng: np.random.Generator, chosen: Panel) -> dict[str, Any]:
    name, _, view = spec.partition("@")
    if not view:
        none = dict.fromkeys(("bits", "bits_per_weight", "decodes", "relative_mse"))
        about = {"spec": spec, "estimator": name, "kind": "statistic", "value": rng.random()}
        return about | none
    bits = n * (3 + rng.random())
    row: dict[str, Any] = {"spec": spec, "estimator": name, "value": bits, "bits": bits}
    row |= {"bits_per_weight": bits / n, "relative_mse": 0.1 if "rd" in view else None}
    row["target_mse"] = row["relative_mse"]
    if view.partition("/")[2] in ("planes", "fields"):
        parts = ("sign", "exponent", "mantissa") if "fields" in view else (*"3210",)
        row["stream_bits"] = {part: bits * rng.random() for part in parts}
    if name == "ctx":
        saved = {stage: bits * 0.1 * rng.random() for stage in ("scale", "magnitude", "sign")}
        row["account"] = {"order0_bits": bits + sum(saved.values()), "saved_bits": saved}
    if spec in chosen.controls:
        row["controls"] = [control(bits, [bits * (1 + 0.01 * rng.normal()) for _ in range(19)])]
    return row


def code(n: int, rng: np.random.Generator) -> dict[str, Any]:
    bits = n * (3 + rng.random())
    return {
        "spec": "entropy:two-part@rd0.01",
        "estimator": "entropy:two-part",
        "kind": "code",
        "decodes": "view",
        "value": bits,
        "bits": bits,
        "bits_per_weight": bits / n,
        "relative_mse": 0.01,
        "ratio_raw_over_comp": 32 * n / bits,
        "target_mse": 0.01,
        "level_step": 0.03,
    }


def split_code(n: int, rng: np.random.Generator) -> dict[str, Any]:
    parts = {"sign": n * 1.0, "exponent": n * (2 + rng.random()), "mantissa": n * 23.0}
    bits = sum(parts.values())
    return {
        "spec": "entropy:two-part@bytes/fields",
        "estimator": "entropy:two-part",
        "kind": "code",
        "decodes": "weights",
        "value": bits,
        "bits": bits,
        "bits_per_weight": bits / n,
        "ratio_raw_over_comp": 32 * n / bits,
        "stream_bits": parts,
    }


def estimate(n: int, rng: np.random.Generator) -> dict[str, Any]:
    shuffled = [n * (1 + 0.01 * rng.normal()) for _ in range(19)]
    bits = n * (0.97 + 0.03 * rng.random())
    return {
        "spec": "bdm2d@sign",
        "estimator": "bdm2d",
        "kind": "estimate",
        "decodes": None,
        "value": bits,
        "bits": bits,
        "bits_per_weight": bits / n,
        "controls": [control(bits, shuffled)],
    }


def control(bits: float, shuffled: list[float]) -> dict[str, Any]:
    mean = math.fsum(shuffled) / len(shuffled)
    return {
        "kind": "shuffle",
        "n": len(shuffled),
        "bits": shuffled,
        "mean_bits": mean,
        "ratio": bits / mean,
        "n_lower": sum(bits < b for b in shuffled),
    }


def summed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    bits = math.fsum(row["bits"] for row in rows)
    n = sum(row["n_weights"] for row in rows)
    replicates = [c["bits"] for row in rows for c in row["controls"]]
    seeds = [math.fsum(seed) for seed in zip(*replicates, strict=True)]
    return rows[0] | {
        "tensor": None,
        "scope": "all",
        "shape": None,
        "n_weights": n,
        "value": bits,
        "bits": bits,
        "bits_per_weight": bits / n,
        "controls": [control(bits, seeds)] if seeds else [],
    }


def account_result(n: int = 5, names: list[str] | None = None) -> dict[str, Any]:
    """A score by the context and the low-rank code."""
    rng = np.random.default_rng(1)
    rows = []
    for name in names or tensor_names(n):
        order0 = 1000.0
        saved = {stage: 50 * rng.random() - 5 for stage in ("scale", "magnitude", "sign")}
        common = {"tensor": name, "n_weights": 600, "status": "ok", "kind": "code"}
        common |= {"decodes": "view", "relative_mse": 0.1, "target_mse": 0.1, "reason": None}
        account = {"order0_bits": order0, "saved_bits": saved}
        bits = order0 - sum(saved.values())
        by_context = {"spec": "ctx@rd0.1", "structure_part": "context", "bits": bits}
        rows.append(common | by_context | {"account": account})
        low = {"spec": "lowrank@rd0.1", "bits": order0 * (1 - 0.1 * rng.random())}
        rows.append(common | low | {"structure_part": "low rank"})
    return {"schema_version": 1, "rows": rows}


def compare_result(n: int = 5, names: list[str] | None = None) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    rows = [
        {
            "reference": "a/init.safetensors",
            "other": "a/trained.safetensors",
            "tensor": name,
            "shape": [30, 20],
            "n_weights": 600,
            "spec": "entropy:two-part@rd0.01",
            "kind": "code",
            "target_mse": 0.01,
            "dtype": "F32",
            "status": "ok",
            "reference_bits": 600 * (3 + rng.random()),
            "bits": 600 * (2.5 + rng.random()),
            "total_change": -0.1,
            "structure_change": -0.04,
        }
        for name in names or tensor_names(n)
    ]
    whole = {"spec": rows[0]["spec"], "kind": "code", "relative_mse": 0.01, "n_weights": 600 * n}
    whole |= {"reference_bits_per_weight": 3.5, "bits_per_weight": 3.1, "total_change": -0.114}
    return {"schema_version": 1, "unmatched": [], "rows": rows, "summary": [whole]}


def trajectory_result() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    summary: list[dict[str, Any]] = []
    for step in range(0, 5000, 500):
        bits = 1e5 * (1 - step / 2e4)
        shuffled = [bits * (1.02 + 0.01 * rng.random()) for _ in range(5)]
        summary.append(
            {
                "step": step,
                "checkpoint": f"run/{step}.safetensors",
                "scope": "all",
                "bits": bits,
                "spec": "zstd:9@q4",
                "kind": "code",
                "n_weights": 30_000,
                "bits_per_weight": bits / 30_000,
                "controls": [control(bits, shuffled)],
            }
        )
    # As a score of each of two steps, of which the last has most to show.
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for step in (0, 4500):
        scored = score_result(4, seed=step)
        path = f"run/{step}.safetensors"
        rows += [row | {"step": step, "checkpoint": path} for row in scored["rows"]]
        info = scored["checkpoints"][0] | {"path": path}
        steps.append({"step": step, "checkpoint": path, "status": "ok", "info": info})
    ends = [summary[0]["bits_per_weight"], summary[-1]["bits_per_weight"]]
    trend: dict[str, Any] = {
        "spec": "zstd:9@q4",
        "tensor": None,
        "group": None,
        "scope": "all",
        "quantity": "bits_per_weight",
        "direction": "lower = simpler",
        "steps": [0, 4500],
        "values": ends,
        "first": ends[0],
        "last": ends[1],
        "change": ends[1] / ends[0] - 1,
        "tau": -1.0,
        "p": 0.003,
    }
    points = [[step, 1 - math.exp(-step / 900)] for step in range(0, 5000, 250)]
    metric = {"name": "validation accuracy", "points": points}
    return {
        "schema_version": 1,
        "steps": steps,
        "series": [trend],
        "rows": rows,
        "summary": summary,
        "metric": metric,
    }


def sweep_result() -> dict[str, Any]:
    points = [
        {
            "coding": coding,
            "setting": {"target": error},
            "status": "ok",
            "bits_per_weight": 0.5 * math.log2(1 / error) + above,
            "relative_mse": error,
            "on_front": coding == "ecvq",
            "metric": 0.97 - error,
        }
        for coding, above in (("scalar", 0.25), ("ecvq", 0.1), ("prune", 0.6))
        for error in (0.3, 0.1, 0.03, 0.01)
    ]
    return {"schema_version": 1, "eval_direction": "higher", "points": points}


def fit_result(k: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    return {
        "schema_version": 1,
        "block_shape": "2x2",
        "bits_per_weight": 1.42,
        "bits": {
            "motifs": 8000,
            "indices_fixed": 90_000,
            "indices_coded": 61_000,
            "scales": 0,
            "kept": 8000,
            "container": 4000,
            "total_nominal": 106_000,
            "total_coded": 81_000,
        },
        "distortion": {"relative_mse": 0.21},
        "motifs": {
            "values": rng.normal(size=(k, 4)).tolist(),
            "counts": [int(1000 / (i + 1)) if i < k - 3 else 0 for i in range(k)],
        },
        "tensors": [{"tensor": "w", "relative_mse": 0.21}],
    }


def tiles_result() -> dict[str, Any]:
    rng = np.random.default_rng(5)
    ratios = (1 - 0.02 * rng.random((6, 9))).tolist()
    ratios[5][8] = None
    tiles = {"tile": 32, "n_shuffles": 19, "ratios": ratios}
    row = {"tensor": "blocks.0.up", "status": "ok", "spec": "bdm2d:tile=32@sign"}
    return {"schema_version": 1, "rows": [row | {"tiles": tiles}]}


def bound_result() -> dict[str, Any]:
    bounds = [
        {
            "method": method,
            "bits": 8520.0,
            "bound": bound,
            "train_error": 0.13624,
            "n_samples": 50_000,
            "delta": 0.05,
            "low": 0.0,
            "high": 1.0,
            "chance": 0.9,
            "budget_bits": budget,
        }
        for method, bound, budget in (("chernoff", 0.35073, 80_000), ("hoeffding", 0.3788, 60_000))
    ]
    return {"schema_version": 1, "bounds": bounds}
