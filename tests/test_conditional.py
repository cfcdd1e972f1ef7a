"""What follows from the reference costs nothing, what does not costs what it costs alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given as over
from hypothesis import settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.comparison.differences import Difference
from kcomplexity.comparison.long_window import (
    _compressor,
    _flushed,
    compressed_together,
    ncd,
)
from kcomplexity.errors import SpecError
from kcomplexity.parallel.pool import Pool
from kcomplexity.schemas import load_schema
from tests import run
from tests.tensors import tensor_of

RNG = np.random.default_rng(0)
BASE = {"w": RNG.normal(size=(60, 50)).astype("f4"), "b": RNG.normal(size=100).astype("f4")}
UNRELATED = {"w": RNG.normal(size=(60, 50)).astype("f4"), "b": RNG.normal(size=100).astype("f4")}


def moved(by, share=1.0, seed=1):
    """The base with a share of its weights moved a little."""
    rng = np.random.default_rng(seed)
    return {
        name: (
            w + by * rng.normal(size=w.shape) * (rng.random(w.shape) < share) * np.abs(w)
        ).astype("f4")
        for name, w in BASE.items()
    }


def conditional(*args, **options) -> Any:
    return kc.conditional(*args, **options)


def test_what_is_known_costs_next_to_nothing():
    found = conditional(BASE, BASE).whole
    assert found.bits <= 2 * 5  # which of the codes, for two tensors
    assert found.error_bits <= 2 * 5
    assert found.unchanged_share == 1
    assert found.codes["same"] == 0


def test_what_is_unrelated_costs_what_it_costs_alone():
    found = conditional(BASE, UNRELATED).whole
    assert 1 <= found.ratio < 1.002
    assert 1 <= found.error_ratio < 1.01
    assert found.unchanged_share == 0


def test_what_was_tuned_costs_far_less_than_both():
    tuned = moved(0.001)
    found = conditional(BASE, tuned)
    assert found.whole.ratio < 0.65
    assert found.whole.error_bits <= 2 * 5  # moved by less than the error itself
    few = conditional(BASE, moved(0.3, share=0.05)).whole
    assert few.ratio < 0.15
    assert few.unchanged_share == pytest.approx(0.95, abs=0.01)
    assert few.error_ratio < 0.5


def test_no_reference_makes_anything_longer():
    for other in (UNRELATED, moved(0.01)):
        for row in conditional(BASE, other).rows:
            assert row.bits <= row.alone_bits + 1  # one more bit for the larger choice
            assert row.error_bits <= row.alone_error_bits + 1
            assert row.error_bits <= row.bits + 1


def test_the_quantised_difference_has_the_others_error():
    """Decode it from its definition: reference + level * step."""
    other = moved(0.5)
    row = conditional(BASE, other).rows[0]
    assert row.error_code.startswith("difference")
    assert row.relative_mse <= 0.01
    w0, w1 = BASE["w"].astype(float).ravel(), other["w"].astype(float).ravel()
    difference = Difference.of(tensor_of(w0), tensor_of(w1)).read()
    share = np.sum(difference**2) / np.sum(w1**2)
    score = kc.score({"w": difference}, specs=[f"entropy:two-part@rd{float(0.01 / share)!r}"]).rows[
        0
    ]
    step = score.level_step
    decoded = w0 + np.rint(difference / step) * step
    assert np.sum((decoded - w1) ** 2) / np.sum(w1**2) == pytest.approx(row.relative_mse, rel=1e-3)
    assert row.codes["difference entropy:two-part"] == pytest.approx(score.bits, rel=1e-3)


def test_sums_are_over_the_tensors():
    found = conditional(BASE, moved(0.01))
    for name in ("bits", "alone_bits", "error_bits", "raw_bits"):
        assert getattr(found.whole, name) == pytest.approx(
            sum(getattr(row, name) for row in found.rows)
        )


@pytest.mark.parametrize("code", ["f2", "i4", "u1", "?"])
def test_every_dtype_is_coded(code):
    rng = np.random.default_rng(0)
    before = rng.integers(0, 2 if code == "?" else 100, 500).astype(code)
    after_ = before.copy()
    after_[::50] = ~before[::50] if code == "?" else before[::50] + np.dtype(code).type(1)
    row = conditional({"w": before}, {"w": after_}).rows[0]
    assert row.status == "ok"
    assert row.ratio < 0.7
    assert row.unchanged_share == pytest.approx(0.98)


def test_weights_that_are_not_finite_are_coded_without_loss():
    other = {name: w.copy() for name, w in BASE.items()}
    other["w"][0, 0] = np.nan
    row = conditional(BASE, other).rows[0]
    assert row.ratio < 0.05
    assert row.unchanged_share == pytest.approx(1 - 1 / 3000)


def test_a_side_stored_otherwise_is_a_row_with_the_reason():
    other = BASE | {"b": BASE["b"].astype("f2")}
    found = conditional(BASE, other)
    assert [row.status for row in found.rows] == ["ok", "skipped"]
    assert "F16 100 cannot be compared with F32 100" in found.rows[1].reason
    assert found.whole.n_weights == 3000


def test_no_figure_depends_on_threads():
    one, three = (conditional(BASE, moved(0.1), threads=n) for n in (1, 3))
    assert one.rows == three.rows


# --- The noise floor ---------------------------------------------------------------------------


def test_a_rerun_that_learned_the_same_leaves_nothing_above_the_floor_but_noise():
    signal = {name: (w + 0.6 * np.sign(w)).astype("f4") for name, w in BASE.items()}
    rng = np.random.default_rng(3)
    one, two = (
        {name: (w + 0.05 * rng.normal(size=w.shape)).astype("f4") for name, w in signal.items()}
        for _ in range(2)
    )
    found = conditional(BASE, one, rerun=two)
    assert found.whole.floor_error_bits < 0.5 * found.whole.error_bits
    assert "noise floor" in " ".join(found.headline)


def test_an_unrelated_rerun_explains_nothing():
    found = conditional(BASE, moved(0.3), rerun=UNRELATED).whole
    assert found.floor_error_bits <= found.error_bits + 2  # a bit a tensor tells which
    assert found.floor_error_bits == pytest.approx(found.error_bits, rel=0.01)


# --- One window over both ----------------------------------------------------------------------


@over(st.binary(max_size=3000), st.binary(max_size=3000), st.integers(0, 2000))
@settings(max_examples=25, deadline=None)
def test_a_decoder_with_the_reference_gets_the_other_back(reference, tail, start):
    other = reference[start:] + tail
    stream = _compressor()
    _flushed(stream, reference)
    code = stream.compress(other) + stream.flush()
    # The decoder makes the first part of the stream from the reference itself.
    begun = _flushed(_compressor(), reference)
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
    assert decoder.decompress(begun + code) == reference + other


def test_the_window_reaches_across_what_zstd_alone_would_forget():
    rng = np.random.default_rng(0)
    big = rng.normal(size=2_000_000).astype("f4")  # 8 MB, beyond the window of level 3
    with Pool(2) as pool:
        same: Any = compressed_together(tensor_of(big), tensor_of(big), pool)
        apart: Any = compressed_together(tensor_of(big), tensor_of(big[::-1].copy()), pool)
    assert same.second_after_first < 0.001 * same.second
    assert apart.second_after_first > 0.95 * apart.second
    assert (ncd(same) or 1) < 0.001
    assert 0.95 < (ncd(apart) or 0) < 1.01


def test_a_tensor_without_weights_has_no_distance():
    empty = tensor_of([], "F32")
    with Pool(1) as pool:
        assert ncd(compressed_together(empty, empty, pool)) is None


# --- The command -------------------------------------------------------------------------------


def test_the_command_adds_it_to_a_comparison(tmp_path):
    for name, weights in {"base": BASE, "tuned": moved(0.01), "again": moved(0.01, seed=2)}.items():
        save_file(weights, tmp_path / f"{name}.safetensors")
    files = [str(tmp_path / f"{name}.safetensors") for name in ("base", "tuned", "again")]
    args = ["compare", *files[:2], "--rerun", files[2], "-e", "l2"]
    shown = run(*args)
    assert shown.exit_code == 0, shown.stderr
    for words in ("given the reference it needs", "noise floor", "exactly unchanged", "ncd"):
        assert words in shown.stdout, words
    document = json.loads(run(*args, "--json").stdout)
    Draft202012Validator(load_schema("compare")).validate(document)
    assert [row["tensor"] for row in document["conditional"]] == ["b", "w", None]
    assert len(document["checkpoints"]) == 2
    alone = kc.conditional(files[0], files[1], rerun=files[2])
    Draft202012Validator(load_schema("conditional")).validate(
        json.loads(json.dumps(alone.to_dict()))
    )
    assert document["conditional"][-1]["bits"] == alone.whole.bits
    for kind in ("csv", "md", "json"):
        alone.save(tmp_path / f"given.{kind}")
    assert "<table>" in alone._repr_html_()


def test_it_is_not_of_several_runs():
    with pytest.raises(SpecError, match="needs a single reference"):
        kc.compare([BASE, BASE], [BASE, BASE], over_runs=True, conditional=True)
