"""LZ76 equals its definition, and C_LZ the published values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcomplexity.algorithms.lempel_ziv import (
    binarise_outputs,
    lz76_complexity,
    lz76_entropy_rate,
    lz76_phrases,
    parse,
)
from kcomplexity.errors import SpecError, UnmeasurableError


def phrases_by_definition(text):
    """The exhaustive history of text or bytes, searched for in the most obvious way."""
    n_phrases = start = 0
    while start < len(text):
        length = 1
        # The phrase grows while it occurs earlier; the occurrence may reach into the phrase.
        while (
            start + length <= len(text)
            and text[start : start + length] in text[: start + length - 1]
        ):
            length += 1
        start += length
        n_phrases += 1
    return n_phrases


def fibonacci_word(n):
    shorter, word = "0", "01"
    while len(word) < n:
        shorter, word = word, word + shorter
    return word[:n]


# --- the vectors ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vector:
    text: str
    n_phrases: int
    n_phrases_reversed: int
    complexity: float


VECTORS = {
    "random": Vector("0001101001000101", 6, 6, 24),
    "another": Vector("1001111011000010", 6, 7, 26),
    "constant": Vector("00000000", 2, 2, 3),
    "alternating": Vector("01010101", 3, 3, 9),
    "palindrome": Vector("0110", 3, 3, 6),
    "one at the end": Vector("0001", 2, 3, 5),
    "length not a power of two": Vector("010101", 3, 3, 7.7549),
    "(01)^64": Vector("01" * 64, 3, 3, 21),
    "0^127 1": Vector("0" * 127 + "1", 2, 3, 17.5),
    "Thue-Morse": Vector("01101001100101101001011001101001", 9, 9, 45),
}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_published_values(vector):
    assert lz76_phrases(vector.text) == vector.n_phrases
    assert lz76_phrases(vector.text[::-1]) == vector.n_phrases_reversed
    assert lz76_complexity(vector.text) == pytest.approx(vector.complexity, abs=5e-5)


def test_random_bits_score_more_than_one_bit_each():
    random = np.random.default_rng(0)
    scores = [lz76_complexity(random.integers(0, 2, 128)) for _ in range(1_000)]
    assert np.mean(scores) == pytest.approx(148.8, abs=1)


@pytest.mark.parametrize("text", ["0000", "1111", [7, 7, 7, 7], [True] * 4])
def test_a_constant_is_as_simple_whatever_its_symbol(text):
    assert lz76_complexity(text) == 2


# --- the definition -------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    motif=st.lists(st.integers(0, 255), min_size=1, max_size=150),
    n_symbols=st.sampled_from([1, 2, 2, 2, 3, 4, 5, 17, 256]),
    n=st.integers(1, 600),
    changes=st.lists(st.tuples(st.integers(0, 599), st.integers(0, 255)), max_size=4),
)
def test_any_sequence_has_the_phrases_of_the_definition(motif, n_symbols, n, changes):
    symbols = np.resize(np.array(motif) % n_symbols, n).astype(np.uint8)
    for at, symbol in changes:
        symbols[at % n] = symbol % n_symbols
    assert lz76_phrases(symbols) == phrases_by_definition(symbols.tobytes())


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1 << 16), st.integers(1, 1_500), st.floats(0.001, 0.5))
def test_random_bits_have_the_phrases_of_the_definition(seed, n, probability):
    bits = (np.random.default_rng(seed).random(n) < probability).astype(np.uint8)
    assert lz76_phrases(bits) == phrases_by_definition(bits.tobytes())


@pytest.mark.parametrize("n", [1, 2, 3, 62, 63, 64, 65, 66, 127, 128, 129, 1_000])
@pytest.mark.parametrize(
    "text",
    [
        lambda n: "0" * n,
        lambda n: "0" * (n - 1) + "1",
        lambda n: "1" + "0" * (n - 1),
        lambda n: ("01" * n)[:n],
        lambda n: ("0" * 40 + "1" + "0" * 30 + "11") * 20 + "0" * n,
        fibonacci_word,
    ],
    ids=["zeros", "one at the end", "one at the start", "alternating", "long runs", "Fibonacci"],
)
def test_repeats_about_the_length_of_a_machine_word(text, n):
    assert lz76_phrases(text(n)) == phrases_by_definition(text(n))


def bits_with_a_long_repeat(random):
    half = random.integers(0, 2, 100_000, dtype=np.uint8)
    return np.concatenate([half, half])


LARGE = {
    "fair bits": lambda random: random.integers(0, 2, 300_000, dtype=np.uint8),
    "rare ones": lambda random: (random.random(300_000) < 0.003).astype(np.uint8),
    "200 symbols": lambda random: random.integers(0, 200, 100_000).astype(np.uint8),
    "a period": lambda random: np.resize(random.integers(0, 2, 997).astype(np.uint8), 200_000),
    "a long repeat": bits_with_a_long_repeat,
    "Fibonacci": lambda _: np.frombuffer(fibonacci_word(300_000).encode(), dtype=np.uint8) - 48,
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_large_sequences_have_the_phrases_of_lzcomplexity(make):
    lzcomplexity = pytest.importorskip("lzcomplexity")
    symbols = make(np.random.default_rng(1))
    # Its count leaves an unfinished last phrase out; its list of boundaries has it.
    _, boundaries = lzcomplexity.factorization(bytes(symbols + 32))
    assert lz76_phrases(symbols) == len(boundaries) - 1


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_work_grows_almost_as_the_length(make, monkeypatch):
    handled: list[int] = []

    def counting(function):
        def counted(*given):
            handled.extend(np.size(array) for array in given)
            return function(*given)

        return counted

    heavy = ("argsort", "flatnonzero", "where", "append")
    counted = vars(np) | {name: counting(getattr(np, name)) for name in heavy}
    monkeypatch.setattr(parse, "np", SimpleNamespace(**counted))

    def work(symbols):
        handled.clear()
        lz76_phrases(symbols)
        return sum(handled)

    symbols = make(np.random.default_rng(2))[:100_000]
    few = work(symbols[: symbols.size // 16])
    assert 5 * symbols.size / 16 < few
    # 16 times as many: quadratic would be 256.
    assert work(symbols) < 32 * few


# --- input ----------------------------------------------------------------------------------------

TEXT = "0010201102"


@pytest.mark.parametrize(
    "symbols",
    [
        TEXT,
        TEXT.encode(),
        [int(symbol) for symbol in TEXT],
        np.array([int(symbol) for symbol in TEXT], dtype=">i4"),
        np.array([int(symbol) for symbol in TEXT], dtype=np.int8) - 1,
        np.array([10**12 * int(symbol) for symbol in TEXT]),
        np.repeat([int(symbol) for symbol in TEXT], 3)[::3],
        TEXT.replace("2", "\N{GREEK SMALL LETTER BETA}"),
    ],
    ids=[
        "text",
        "bytes",
        "list",
        "big-endian",
        "negative",
        "large",
        "strided",
        "not ASCII",
    ],
)
def test_only_which_symbols_are_equal_matters(symbols):
    assert lz76_phrases(symbols) == phrases_by_definition(TEXT)


def test_booleans_are_symbols_and_stay_as_they_are():
    bits = np.random.default_rng(3).random(500) < 0.3
    bits.flags.writeable = False
    assert lz76_complexity(bits) == lz76_complexity(bits.astype(int)) == lz76_complexity(~bits)


@pytest.mark.parametrize("n_symbols", [2, 3, 10, 300, 70_000])
def test_alphabets_of_any_size(n_symbols):
    symbols = np.random.default_rng(4).integers(0, n_symbols, 300)
    text = "".join(chr(0x10000 + int(symbol)) for symbol in symbols)
    assert lz76_phrases(symbols) == lz76_phrases(text) == phrases_by_definition(text)


@pytest.mark.parametrize("function", [lz76_phrases, lz76_complexity, lz76_entropy_rate])
@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([0.0, 1.0], "given float64"),
        ([math.nan], "given float64"),
        (np.zeros((2, 2), dtype=int), r"shape \(2, 2\).*ravel"),
        (1, r"shape \(\)"),
        ("", "empty"),
    ],
    ids=["floats", "not a number", "a matrix", "a number", "empty"],
)
def test_what_is_no_sequence_of_symbols_is_refused(function, symbols, message):
    with pytest.raises(UnmeasurableError, match=message):
        function(symbols)


@pytest.mark.parametrize("function", [lz76_complexity, lz76_entropy_rate])
def test_one_symbol_is_refused_rather_than_given_zero_bits(function):
    with pytest.raises(UnmeasurableError, match="expected at least two symbols"):
        function("0")


# --- the entropy rate -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probabilities", "bits"), [([0.5, 0.5], 1.0), ([0.9, 0.1], 0.469), ([0.25] * 4, 2.0)]
)
def test_the_entropy_rate_is_near_that_of_the_source(probabilities, bits):
    symbols = np.random.default_rng(5).choice(len(probabilities), 200_000, p=probabilities)
    assert lz76_entropy_rate(symbols) == pytest.approx(bits, rel=0.04)


def test_the_entropy_rate_counts_forward_phrases():
    assert lz76_entropy_rate("0001") == 2 * math.log2(4) / 4
    assert lz76_entropy_rate("1000") == 3 * math.log2(4) / 4


# --- outputs of networks --------------------------------------------------------------------------


def test_outputs_above_the_threshold_are_ones():
    outputs = np.array([-1, -0.0, 0.0, 1e-30, np.inf, -np.inf], dtype=np.float32)
    assert binarise_outputs(outputs).tolist() == [0, 0, 0, 1, 1, 0]
    assert binarise_outputs([0.2, 0.5, 0.8], 0.5).tolist() == [0, 0, 1]


def test_several_outputs_of_an_input_follow_each_other():
    assert binarise_outputs([[-1, 1], [1, 1], [-1, -1]]).tolist() == [0, 1, 1, 1, 0, 0]


def test_the_largest_output_names_the_symbol_and_the_first_wins_a_tie():
    assert binarise_outputs([[0, 3, 1], [2, 2, 1], [0, 0, 5]], "argmax").tolist() == [1, 0, 2]
    assert binarise_outputs(np.eye(300), "argmax").dtype == np.uint16


def test_a_truth_table_saved_as_logits_can_be_scored():
    inputs = np.arange(128)
    first_bit = np.where(inputs >= 64, 3.2, -1.7)
    parity = np.array([1.0 if int(i).bit_count() % 2 else -1.0 for i in inputs])
    simple, complicated = (lz76_complexity(binarise_outputs(o)) for o in (first_bit, parity))
    assert simple < complicated


@pytest.mark.parametrize(
    ("outputs", "threshold", "error", "message"),
    [
        ([0.0, math.nan], 0.0, UnmeasurableError, "1 of 2 outputs are NaN"),
        (np.zeros((2, 2, 2)), 0.0, UnmeasurableError, r"shape \(2, 2, 2\)"),
        (["yes", "no"], 0.0, UnmeasurableError, "expected real outputs"),
        ([0.0, 1.0], "argmax", UnmeasurableError, "at least two outputs"),
        ([[0.0], [1.0]], "argmax", UnmeasurableError, "at least two outputs"),
        ([0.0, 1.0], "median", SpecError, "'median'.*argmax"),
        ([0.0, 1.0], math.nan, SpecError, "threshold=nan"),
    ],
)
def test_outputs_that_are_no_symbols_are_refused(outputs, threshold, error, message):
    with pytest.raises(error, match=message):
        binarise_outputs(outputs, threshold)
