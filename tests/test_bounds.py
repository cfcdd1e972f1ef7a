"""The bounds give the published figures to the printed digits, and refuse what cannot be."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from safetensors.numpy import save_file

import kcomplexity as kc
from kcomplexity.bounds.descriptions import describe_length
from kcomplexity.bounds.generalisation import (
    METHODS,
    kl_inverse,
    occam_bound,
    prefix_free_bits,
    smoothed_range,
)
from kcomplexity.errors import CheckpointNotFoundError, ResultError, SpecError
from kcomplexity.schemas import load_schema
from tests import run as invoke

# Training error, L, then the bound by each method; n = 50,000, delta = 0.05.
VECTORS = [
    (0.13624, 8488.0942, {"chernoff": 0.350731, "hoeffding": 0.378861, "catoni": 0.351236}),
    (0.29996, 3095.1718, {"chernoff": 0.442860, "hoeffding": 0.446534, "catoni": 0.443663}),
    (0.32160, 8258.0148, {"chernoff": 0.559158, "hoeffding": 0.560912, "catoni": 0.559651}),
]
# Samples and classes: L below which a bound says anything, at no training error.
BUDGETS = {
    "MNIST": (60_000, 10, 199_311),
    "CIFAR-10": (50_000, 10, 166_092),
    "CIFAR-100": (50_000, 100, 332_188),
}


@pytest.mark.parametrize(
    ("error", "bits", "method", "expected"),
    [(e, bits, m, v) for e, bits, found in VECTORS for m, v in found.items()],
)
def test_the_published_bounds_to_the_printed_digits(error, bits, method, expected):
    found = occam_bound(error, bits, 50_000, 0.05, method=method).bound
    assert round(found, 6) == expected


@pytest.mark.parametrize(("bits", "expected"), [(10, 0.090453), (100, 0.210145)])
def test_hoeffding_for_a_prior_of_two_to_the_minus_bits(bits, expected):
    assert round(occam_bound(0.02, bits, 1000, method="hoeffding").bound, 6) == expected


def test_zhous_bound_for_imagenet():
    found = occam_bound(0.35, 2_867_200, 1_281_167, method="catoni")
    assert round(found.bound, 4) == 0.9654


@pytest.mark.parametrize("name", BUDGETS)
def test_the_bits_below_which_a_bound_says_anything(name):
    n_samples, classes, expected = BUDGETS[name]
    found = occam_bound(0.0, 0.0, n_samples, classes=classes)
    assert round(found.budget_bits) == expected


def test_the_budget_of_imagenet():
    assert round(occam_bound(0, 0, 1_281_167, classes=1000).budget_bits / 1e6, 2) == 12.77


@pytest.mark.parametrize("method", METHODS)
def test_the_budget_is_where_the_bound_becomes_vacuous(method):
    budget = occam_bound(0.1, 0, 5000, classes=10, method=method).budget_bits
    assert not occam_bound(0.1, budget * 0.999, 5000, classes=10, method=method).vacuous
    assert occam_bound(0.1, budget * 1.001, 5000, classes=10, method=method).vacuous


@given(st.floats(0, 0.99), st.floats(1e-6, 5))
@settings(max_examples=50, deadline=None)
def test_the_inverse_of_kl_is_its_definition(e, limit):
    p = kl_inverse(e, limit)
    assert e <= p < 1 or p == 1

    def kl(q):
        first = e * math.log(e / q) if e else 0.0
        return first + (1 - e) * math.log((1 - e) / (1 - q))

    if p < 1 - 1e-9:
        assert kl(p) <= limit + 1e-7
        assert kl(min(p + 1e-7, 1 - 1e-12)) >= limit - 1e-7


@given(st.floats(0, 1), st.floats(0, 1e6), st.integers(1, 10**7), st.sampled_from(METHODS))
@settings(max_examples=60, deadline=None)
def test_a_bound_is_no_lower_than_the_error_and_rises_with_the_bits(error, bits, n, method):
    one = occam_bound(error, bits, n, method=method).bound
    more = occam_bound(error, bits + 1000, n, method=method).bound
    assert one >= error - 1e-9
    assert more >= one - 1e-9


def test_chernoff_is_never_above_hoeffding_and_maurer_pays_more():
    for error, bits, _ in VECTORS:
        chernoff, hoeffding, maurer, _ = (
            occam_bound(error, bits, 50_000, method=method).bound for method in METHODS
        )
        assert chernoff < hoeffding
        assert chernoff < maurer < chernoff + 0.001


def test_the_lengths_of_a_prefix_free_code_obey_kraft():
    """Strings of n bits, 2**n of them, each 2**-L: the sum over n is 1, from below."""
    kraft = math.fsum(2.0 ** (n - prefix_free_bits(n)) for n in range(1, 20_000))
    assert 0.9999 < kraft <= 1


def test_what_is_added_is_shown():
    found = occam_bound(0.1, 1000, 60_000, prefix_free=False, grid_bits=3)
    assert found.raw_bits == 1000
    assert found.prefix_bits == pytest.approx(math.log2(1000) + math.log2(1001))
    assert found.bits == pytest.approx(1000 + found.prefix_bits + 3)


def test_a_range_scales_the_loss_and_the_bound():
    plain, wide = occam_bound(0.1, 500, 9000), occam_bound(2.5, 500, 9000, loss_range=(2, 7))
    assert wide.bound == pytest.approx(2 + 5 * plain.bound)


def test_a_smoothed_loss_has_the_published_width():
    low, high = smoothed_range(50_257, 0.1)
    assert high - low == pytest.approx(math.log2(1 + 0.9 * 50_257 / 0.1))
    assert 2**-low == pytest.approx(0.9 + 0.1 / 50_257)
    hoeffding = occam_bound(4.0, 1e5, 10**8, method="hoeffding", loss_range=(low, high))
    width = math.sqrt((1e5 * math.log(2) + math.log(20)) / (2 * 10**8))
    assert hoeffding.bound == pytest.approx(4 + (high - low) * width)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_error": 1.2}, "train error 1.2: expected a number from 0 to 1"),
        ({"train_error": -0.1}, "train error -0.1"),
        ({"train_error": math.nan}, "train error nan"),
        ({"bits": -1}, "expected 0 or more"),
        ({"n_samples": 0}, "0 samples: expected at least 1"),
        ({"delta": 0}, "delta 0"),
        ({"delta": 1}, "delta 1"),
        ({"method": "magic"}, "expected one of chernoff"),
        ({"classes": 1}, "1 classes"),
        ({"loss_range": (1, 1)}, "the smaller number first"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change, words):
    options = {"train_error": 0.1, "bits": 10, "n_samples": 100} | change
    with pytest.raises(SpecError, match=words):
        occam_bound(**options)


def test_a_vocabulary_of_one_is_refused():
    with pytest.raises(SpecError, match="at least 2"):
        smoothed_range(1, 0.1)


# --- Where the bits come from ------------------------------------------------------------------


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return {"w": rng.normal(size=(30, 30)).astype("f4"), "n": np.arange(5)}


def test_a_file_is_its_own_description(tmp_path, weights):
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    assert describe_length(path).bits == 8 * path.stat().st_size


def test_a_score_gives_its_code_and_what_it_could_not_code(tmp_path, weights):
    path = tmp_path / "scores.json"
    report = kc.score(weights, specs=["entropy:two-part@q4", "bdm2d@sign"])
    report.save(path)
    found = describe_length(path, "entropy:two-part@q4")
    coded = next(row for row in report.rows if row.status == "ok")
    assert coded.bits is not None
    assert found.bits == coded.bits + 64 * 5 + 2  # five int64 as stored, a flag for each tensor
    assert "1 tensor as stored" in found.what
    assert describe_length(path).bits == found.bits  # the only code there
    with pytest.raises(SpecError, match="bdm2d@sign is not a code"):
        describe_length(path, "bdm2d@sign")
    with pytest.raises(SpecError, match="--spec gzip@bytes is not there"):
        describe_length(path, "gzip@bytes")


def test_several_codes_or_checkpoints_must_be_distinguished(tmp_path, weights):
    path = tmp_path / "scores.json"
    kc.score(weights, specs=["zstd@bytes", "gzip@bytes"]).save(path)
    with pytest.raises(SpecError, match="--spec is needed: expected one of zstd@bytes, gzip@bytes"):
        describe_length(path)
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for file in files:
        np.savez(file, **weights)
    kc.score([str(file) for file in files], specs=["zstd@bytes"]).save(path)
    with pytest.raises(SpecError, match="--checkpoint is needed"):
        describe_length(path)
    assert describe_length(path, checkpoint=str(files[0])).bits > 0


def test_a_sample_is_not_a_description(tmp_path):
    big = {"w": np.zeros((1 << 22) * 5, np.uint8)}
    path = tmp_path / "scores.json"
    kc.score(big, specs=["zstd@bytes"], sample=0.4).save(path)
    with pytest.raises(SpecError, match="--exact"):
        describe_length(path)


def test_a_fit_gives_its_size_on_disk(tmp_path):
    path = tmp_path / "fit.json"
    fit = {"schema_version": 1, "block_shape": "4", "bits": {"file": 4096, "total_coded": 4000}}
    path.write_text(json.dumps(fit))
    assert describe_length(path).bits == 4096
    path.write_text(json.dumps({"nothing": 1}))
    with pytest.raises(ResultError, match="is not a result"):
        describe_length(path)
    with pytest.raises(CheckpointNotFoundError):
        describe_length(tmp_path / "missing")


def test_json_lines_of_a_score_and_a_trajectory_have_codes_too(tmp_path, weights):
    path, run_path = tmp_path / "scores.jsonl", tmp_path / "run.json"
    report = kc.score({"w": weights["w"]}, specs=["zstd@bytes"])
    report.save(path)
    assert describe_length(path).bits == report.rows[0].bits
    kc.trajectory([{"w": weights["w"]}], specs=["zstd@bytes"], cache=False).save(run_path)
    assert describe_length(run_path).bits == report.rows[0].bits


def test_another_result_is_refused_by_what_it_is(tmp_path, weights):
    start = {"w": weights["w"]}
    comparison = kc.compare(start, {"w": 2 * weights["w"]}, specs=["zstd@bytes"])
    for name in ("compare.json", "compare.jsonl"):
        comparison.save(tmp_path / name)
        with pytest.raises(SpecError, match="is the result of 'compare', which is not the length"):
            describe_length(tmp_path / name)
        found = run(tmp_path / name, "--train-error", "0.1", "--samples", "100")
        assert found.exit_code == 2
        assert found.stderr.count("\n") == 1


def test_a_file_that_only_begins_like_json_is_a_description(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"{" + bytes(range(99)))
    assert describe_length(path).bits == 800


@pytest.mark.parametrize("choice", [{"spec": "entropy@q8"}, {"checkpoint": "m"}])
def test_a_choice_of_codes_is_refused_where_there_is_none(tmp_path, choice):
    fit = b'{"schema_version": 1, "block_shape": "4", "bits": {"file": 80}}'
    for name, content in (("m.bin", b"1" * 9), ("fit.json", fit)):
        path = tmp_path / name
        path.write_bytes(content)
        assert describe_length(path).bits in (72, 80)
        with pytest.raises(SpecError, match=f"{name} is not a score: --spec and --checkpoint"):
            describe_length(path, **choice)


# --- The command -------------------------------------------------------------------------------


run = partial(invoke, "bound")


def test_the_command_says_what_holds_and_what_it_assumes():
    found = run(
        *("--bits", "8488.0942", "--prefix-free", "--train-error", "0.13624"),
        *("--samples", "50000", "--method", "all"),
    )
    assert found.exit_code == 0
    for words in ("0.350731", "0.378861", "0.351236", "as decoded", "independently"):
        assert words in found.stdout, words


def test_vacuous_is_said_with_the_bits_that_would_be_needed():
    found = run("--bits", "1e9", "--train-error", "0", "--samples", "60000", "--classes", "10")
    assert found.exit_code == 0
    assert found.stdout.startswith("vacuous")
    assert "199,311 bits would be needed" in found.stdout
    hopeless = run("--bits", "1", "--train-error", "0.95", "--samples", "9", "--classes", "10")
    assert "no description is short enough" in hopeless.stdout


def test_what_a_bound_is_better_than_is_named():
    common = ("--bits", "1000", "--train-error", "0.01", "--samples", "50000")
    assert "bits a bound is better than 0.9 (guessing among 10 classes)" in (
        run(*common, "--classes", "10").stdout
    )
    unknown = run(*common).stdout
    assert "better than 0.99998 (all wrong but one in as many samples: " in unknown
    assert "says something" not in unknown


def test_without_classes_a_hopeless_bound_is_vacuous_too():
    found = run("--bits", "1e9", "--train-error", "0.01", "--samples", "1000")
    assert found.stdout.startswith("vacuous")


def test_the_command_prints_a_document_of_its_schema(tmp_path, weights):
    path = tmp_path / "model.safetensors"
    save_file(weights, path)
    args = (str(path), "--train-error", "0.1", "--samples", "60000", "--grid-bits", "2", "--json")
    document = json.loads(run(*args).stdout)
    Draft202012Validator(load_schema("bound")).validate(document)
    (one,) = document["bounds"]
    assert one["bits"] == pytest.approx(one["raw_bits"] + one["prefix_bits"] + 2)


def test_a_language_models_loss_is_bounded_in_bits_a_token():
    found = run(
        *("--bits", "1e6", "--train-error", "6", "--samples", "1e9"),
        *("--vocabulary", "50257", "--smoothing", "0.1"),
    )
    assert found.exit_code == 0
    assert " bits a token with probability" in found.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "either a file or --bits"),
        (("x", "--bits", "1"), "either a file or --bits"),
        (("--bits", "1", "--spec", "nonsense"), "give that file instead of --bits"),
        (("--bits", "1", "--checkpoint", "m"), "--spec and --checkpoint choose a code of SCORE"),
        (("--bits", "1", "--vocabulary", "9"), "go together"),
        (("--bits", "1", "--samples", "1.5"), "expected a whole number"),
        (("--bits", "1", "--samples", "nan"), "expected a whole number"),
        (("--bits", "nan"), "expected 0 or more"),
        (("--bits", "1", "--train-error", "1.5"), "expected a number from 0 to 1"),
        (("--bits", "1", "--samples", "0"), "expected at least 1"),
    ],
)
def test_wrong_usage_is_one_message(args, words):
    found = run("--train-error", "0.1", "--samples", "100", *args)
    assert found.exit_code == 2
    assert words in found.stderr
