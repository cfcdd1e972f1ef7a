"""Made tensors: the known answers are right, and the measures give them."""

from __future__ import annotations

import bz2
import gzip
import json
import math
import time
from dataclasses import replace

import numpy as np
import pytest

from kcomplexity.algorithms.bdm import bdm1d
from kcomplexity.calibration import (
    CASES,
    Calibrated,
    CalibrationReport,
    Case,
    Known,
    calibrate,
)
from kcomplexity.results.provenance import provenance
from kcomplexity.scoring.specs import parse_spec

BY_NAME = {case.name: case for case in CASES}
ANSWERS = [(case.name, i) for case in CASES for i in range(len(case.expect))]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def measured() -> dict[str, Calibrated]:
    return {result.case.name: result for result in calibrate()}


def known(case: str, spec: str, tensor: str | None = None) -> Known:
    (found,) = (k for k in BY_NAME[case].expect if (k.spec, k.tensor) == (spec, tensor))
    return found


def value(case: str, spec: str, tensor: str | None = None) -> float:
    found = known(case, spec, tensor).value
    assert found is not None
    return found


def bits_per_weight(measured: dict[str, Calibrated], case: str, i: int) -> float:
    answer = measured[case].answers[i]
    assert answer.quantity == "bits/weight"
    assert answer.measured is not None
    return answer.measured


# --- The answers are met -------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "i"), ANSWERS, ids=str)
def test_a_known_answer_is_met(measured: dict[str, Calibrated], case: str, i: int) -> None:
    answer = measured[case].answers[i]
    assert answer.reason is None
    assert answer.met, f"{answer.spec}: {answer.measured} is not in {answer}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_tolerances_hold_for_other_seeds(seed: int) -> None:
    missed = [
        (result.case.name, answer)
        for result in calibrate(seed=seed)
        for answer in result.answers
        if not answer.met
    ]
    assert missed == []


# --- The answers are right: each by another road than the module's ------------------------------


def test_noise_at_one_percent_lies_a_quarter_bit_above_what_any_code_needs() -> None:
    # Gaussian rate-distortion function, and the space-filling loss of a scalar quantiser.
    least, loss = 0.5 * math.log2(1 / 0.01), 0.5 * math.log2(math.pi * math.e / 6)
    assert [least, loss] == pytest.approx([3.3219, 0.2546], abs=1e-4)
    assert value("noise", "entropy:two-part@rd0.01") == pytest.approx(least + loss, abs=1e-12)


def test_exponents_of_normal_weights_have_the_entropy_that_a_fine_sum_gives() -> None:
    size = np.abs(np.arange(-8, 8, 1e-5) + 0.5e-5)
    density = np.exp(-0.5 * size**2)
    octave = np.floor(np.log2(size)).astype(int)
    chance = np.bincount(octave - octave.min(), density)
    chance = chance[chance > 0] / chance.sum()
    exponent = -(chance * np.log2(chance)).sum()
    # The sum's first octaves are as narrow as its step: that is worth a few 1e-5.
    assert value("noise", "entropy:two-part@bytes/fields") - 24 == pytest.approx(exponent, abs=1e-4)
    assert value("upcast", "entropy@bytes/fields", "bf16") - 8 == pytest.approx(exponent, abs=1e-4)


def test_no_float_code_beats_the_words_of_a_small_sample() -> None:
    # bf16 has few enough values for a plug-in entropy: (m - 1) / (2 n ln 2) short, m some 3,000.
    words = BY_NAME["upcast"].make(np.random.default_rng(5))["bf16"].view(np.uint16)
    _, counts = np.unique(words, return_counts=True)
    chance = counts / words.size
    entropy = -(chance * np.log2(chance)).sum() + (counts.size - 1) / (2 * words.size * math.log(2))
    low = known("upcast", "zstd@bytes/planes", "float32").low
    assert low == pytest.approx(entropy, abs=0.02)
    assert known("noise", "gzip@bytes").low == pytest.approx(low + 16, abs=1e-12)


def test_fifteen_levels_have_the_entropy_that_a_fine_sum_gives() -> None:
    x = np.arange(-9, 9, 1e-5) + 0.5e-5
    level = np.clip(np.rint(2 * x), -7, 7).astype(int) + 7
    density = np.exp(-0.5 * x**2)
    chance = np.bincount(level, density / density.sum())
    entropy = -(chance * np.log2(chance)).sum()
    assert value("four-bit", "entropy@q4") == pytest.approx(entropy, abs=1e-6)


def test_blocks_cost_the_entropy_of_one_in_sixteen() -> None:
    expected = math.log2(16) / 16 + 15 / 16 * math.log2(16 / 15)
    assert value("permuted", "entropy@sign", "blocks") == pytest.approx(expected, abs=1e-12)


def test_the_bdm_of_a_saturated_coin_is_that_of_the_published_sizes() -> None:
    # Recomputed with pybdm for 1,000, 10,000, ... fair bits; here the sum over codes is exact.
    rng = np.random.default_rng(0)
    n = 2**18
    direct = bdm1d(rng.integers(0, 2, n)) / n
    assert value("noise", "bdm1d@sign") == pytest.approx(direct, abs=0.002)


def test_the_orders_of_blocks_are_counted_as_a_small_case_by_hand() -> None:
    # Two blocks of two: 4! / (2! 2!) = 6 orders of the rows, as many of the columns, and which of
    # the two blocks comes first does not matter: 6 * 6 / 2 = 18 matrices.
    blocks = np.kron(np.eye(2, dtype=int), np.ones((2, 2), int))
    orders = np.array(np.meshgrid(*[range(4)] * 4)).reshape(4, -1).T
    orders = orders[[len(set(order)) == 4 for order in orders.tolist()]]
    found = {blocks[np.ix_(rows, columns)].tobytes() for rows in orders for columns in orders}
    assert len(found) == 18
    # The same formula for sixteen blocks of sixteen, by whole numbers.
    ways = math.factorial(256) // math.factorial(16) ** 16
    expected = math.log2(ways**2 // math.factorial(16)) / 256**2
    assert known("permuted", "zstd:19@sign", "renumbered").low == pytest.approx(expected, rel=1e-9)


# --- The measures are those of the libraries -----------------------------------------------------


def test_compressors_give_what_the_bare_libraries_give(measured: dict[str, Calibrated]) -> None:
    repeated = measured["repeated"].arrays["repeated"]
    packed = len(gzip.compress(repeated.tobytes(), 9, mtime=0))
    assert bits_per_weight(measured, "repeated", 0) == 8 * packed / repeated.size
    signs = measured["signs"].arrays["float32"]
    packed = len(bz2.compress(np.packbits(signs > 0).tobytes(), 9))
    assert bits_per_weight(measured, "signs", 4) == 8 * packed / signs.size


def test_one_byte_a_sign_makes_noise_look_six_times_simpler(
    measured: dict[str, Calibrated],
) -> None:
    signs = measured["signs"]
    trap, packed = signs.answers[0], signs.answers[3]
    assert trap.quantity == "raw/comp"
    assert trap.measured is not None
    assert trap.measured > 6
    assert packed.measured == pytest.approx(1, abs=0.002)


# --- The tensors are what they are said to be ----------------------------------------------------


def test_made_tensors_have_the_structure_of_their_case(measured: dict[str, Calibrated]) -> None:
    arrays = {name: result.arrays for name, result in measured.items()}
    assert np.unique(arrays["constant"]["constant"]).size == 1
    assert (
        np.unique(arrays["eight levels"]["levels"], return_counts=True)[1].tolist() == [2**13] * 8
    )
    assert np.unique(arrays["four-bit"]["four-bit"]).size == 15
    repeated = arrays["repeated"]["repeated"].reshape(16, -1)
    assert (repeated == repeated[0]).all()
    assert (arrays["tied"]["tied 1"] == arrays["tied"]["tied 2"]).all()
    corners = [arrays["low rank"][f"rank {rank}"][:32, :32] for rank in (1, 8)]
    assert [np.linalg.matrix_rank(corner) for corner in corners] == [1, 8]
    assert (arrays["upcast"]["bf16"].astype(np.float32) == arrays["upcast"]["float32"]).all()


def test_renumbered_units_are_the_same_blocks(measured: dict[str, Calibrated]) -> None:
    blocks, renumbered = measured["permuted"].arrays.values()
    assert (blocks != renumbered).any()
    assert (np.sort(blocks, axis=None) == np.sort(renumbered, axis=None)).all()
    # Sixteen different rows, sixteen times each, as before.
    rows, counts = np.unique(renumbered, axis=0, return_counts=True)
    assert len(rows) == 16
    assert counts.tolist() == [16] * 16


# --- The machinery -------------------------------------------------------------------------------


@each_case
def test_a_case_is_well_formed(case: Case) -> None:
    made = set(case.make(np.random.default_rng(0)))
    assert case.what
    assert len(set(case.expect)) == len(case.expect)
    for answer in case.expect:
        assert str(parse_spec(answer.spec)) == answer.spec
        assert answer.high is None or answer.low <= answer.high
        assert answer.why
        assert answer.value is None or answer.admits(answer.value)
        assert answer.tensor is None or answer.tensor in made
        # A row is looked up by its spec: only all tensors as one, or one tensor, give one row.
        assert answer.scope == "model" or answer.tensor or len(made) == 1


def test_case_names_are_different() -> None:
    assert len(BY_NAME) == len(CASES)


def test_a_case_gives_the_same_figures_alone_and_with_any_threads(
    measured: dict[str, Calibrated],
) -> None:
    (alone,) = calibrate([BY_NAME["permuted"]], threads=1)
    assert alone.answers == measured["permuted"].answers


def test_another_seed_gives_other_tensors() -> None:
    case = BY_NAME["four-bit"]
    (first,), (second,) = calibrate([case], seed=1), calibrate([case], seed=2)
    assert (first.arrays["four-bit"] != second.arrays["four-bit"]).any()


def test_a_wrong_answer_is_not_met() -> None:
    case = BY_NAME["constant"]
    wrong = replace(case, expect=(replace(case.expect[0], low=1, high=2),))
    (result,) = calibrate([wrong])
    assert [answer.met for answer in result.answers] == [False]


def test_what_cannot_be_measured_is_not_met_and_says_why() -> None:
    case = BY_NAME["repeated"]
    int8_signs = Known(spec="entropy@sign", low=0, high=1, why="no float")
    (result,) = calibrate([replace(case, expect=(int8_signs,))])
    (answer,) = result.answers
    assert (answer.measured, answer.met) == (None, False)
    assert answer.reason is not None
    assert "I8" in answer.reason


def test_the_document_is_plain_json_without_nan(measured: dict[str, Calibrated]) -> None:
    made = provenance("kcomplexity demo", 0, 1, time.time())
    found = CalibrationReport.of(measured.values(), made).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found
    assert found["n_answers"] == found["n_met"] == len(ANSWERS)
    assert [case["name"] for case in found["cases"]] == list(BY_NAME)
    noise = found["cases"][0]
    assert noise["tensors"] == [{"tensor": "noise", "dtype": "float32", "shape": [512, 512]}]
    limits = {answer["spec"]: answer["high"] for answer in noise["answers"]}
    assert limits["gzip@bytes"] is None


def test_row_scales_save_the_information_that_a_monte_carlo_estimate_gives() -> None:
    # Mutual information of a weight and its row's scale, by sampling, not by the module's sum.
    rng = np.random.default_rng(0)
    scale = np.repeat([1.0, 4.0], 200_000)
    x = rng.normal(size=scale.size) * scale

    def density(scale: float) -> np.ndarray:
        return np.exp(-((x / scale) ** 2) / 2) / scale

    own = np.where(scale == 1, density(1), density(4))
    saved = float(np.log2(own / ((density(1) + density(4)) / 2)).mean())
    # Bits of the levels at q8: 2.05 of a normal of scale 1, a bit more for scale 4, less the step.
    bits = 0.5 * math.log2(2 * math.pi * math.e) + 1 + saved - math.log2(4 * 4.3 / 127)
    expected = 1 - saved / bits
    assert value("scales", "ctx@q8") == pytest.approx(expected, abs=0.001)
