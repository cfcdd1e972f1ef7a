"""Made tensors whose complexity is known: what each measure sees, and what it does not.

A :class:`Case` makes seeded tensors and lists, for the measures that matter, the :class:`Known`
answer that theory gives: a value with its tolerance, or a range. :func:`calibrate` measures them
through the same pipeline as any checkpoint and holds the two against each other. That is the page
``kcomplexity demo --calibrate``.

To add one: a function that makes the tensors, and an entry in :data:`CASES`. A case draws from a
generator of its own, so the figures of the others stay.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import ml_dtypes
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from kcomplexity.records import SCHEMA_VERSION, Provenance, Score, plain
from kcomplexity.score import score
from kcomplexity.units import Scope

__all__ = ["CASES", "Answer", "Calibrated", "Case", "Known", "calibrate", "document"]

Arrays = dict[str, NDArray[Any]]
#: What is compared: bits, bits a weight, stored bits over coded bits, or bits over those of the
#: same weights shuffled.
Quantity = Literal["bits", "bits/weight", "raw/comp", "of shuffled"]
#: Whether a measure finds the structure that was put in: all of it, some, none; or seems to find
#: one that is not there. Empty where there is nothing to find.
Sees = Literal["sees", "partly", "blind", "misled", ""]

_SHUFFLE = "shuffle:5"


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a measure must give for a made tensor.

    Attributes
    ----------
    spec : str
        Canonical.
    low, high : float
        The answer lies between them, both included.
    value : float or None
        The answer itself, where theory gives one; the limits are then its tolerance.
    why : str
        The formula, or the reason, in a few words.
    sees : {"sees", "partly", "blind", "misled", ""}
    tensor : str or None
        The tensor measured; None for all that the case makes.
    scope : {"tensor", "group", "model"}
    quantity : {"bits", "bits/weight", "raw/comp", "of shuffled"}
    """

    spec: str
    low: float
    high: float
    value: float | None = None
    why: str
    sees: Sees = ""
    tensor: str | None = None
    scope: Scope = "tensor"
    quantity: Quantity = "bits/weight"

    def admits(self, measured: float) -> bool:
        """Whether a measured value is the known one."""
        return self.low <= measured <= self.high


@dataclass(frozen=True)
class Case:
    """Made tensors and what is known of them.

    Attributes
    ----------
    name, what : str
    make : callable
        From a seeded generator to the tensors by name.
    expect : tuple of Known
    """

    name: str
    what: str
    make: Callable[[Generator], Arrays]
    expect: tuple[Known, ...]


@dataclass(frozen=True)
class Answer:
    """One known answer and what was measured.

    Attributes
    ----------
    known : Known
    measured : float or None
        In ``known.quantity``; None if it could not be measured.
    reason : str or None
        Why it could not.
    """

    known: Known
    measured: float | None
    reason: str | None = None

    @property
    def met(self) -> bool:
        """Whether the measured value is the known one."""
        return self.measured is not None and self.known.admits(self.measured)


@dataclass(frozen=True)
class Calibrated:
    """A case with its answers, in the order of ``case.expect``."""

    case: Case
    arrays: Arrays
    answers: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form: the case, its tensors, and per answer what :class:`Known` holds."""
        return {
            "name": self.case.name,
            "what": self.case.what,
            "tensors": [
                {"tensor": name, "dtype": str(array.dtype), "shape": list(array.shape)}
                for name, array in self.arrays.items()
            ],
            "answers": [
                plain(answer.known)
                | {"measured": answer.measured, "met": answer.met, "reason": answer.reason}
                for answer in self.answers
            ],
        }


def calibrate(
    cases: Iterable[Case] | None = None, *, seed: int = 0, threads: int | None = None
) -> Iterator[Calibrated]:
    """Make the tensors of each case, measure them, and yield the case with its answers.

    Parameters
    ----------
    cases : iterable of Case, optional
        All of :data:`CASES` by default.
    seed : int
        Of the tensors and of the shuffles.
    threads : int, optional
        Workers; no figure depends on it.

    Examples
    --------
    >>> found = next(calibrate(case for case in CASES if case.name == "constant"))
    >>> [answer.met for answer in found.answers]
    [True, True, True, True]
    """
    for case in CASES if cases is None else cases:
        # The name is part of the seed: a case gives the same tensors whatever stands before it.
        arrays = case.make(np.random.default_rng([seed, *case.name.encode()]))
        yield Calibrated(case, arrays, _answers(case, arrays, seed, threads))


def document(results: Iterable[Calibrated], provenance: Provenance) -> dict[str, Any]:
    """Return all results as one JSON document.

    Returns
    -------
    dict
        ``schema_version``, ``provenance``, ``n_answers``, ``n_met`` and ``cases``, each as
        :meth:`Calibrated.to_dict` gives it. A limit that is not there is null.
    """
    found = list(results)
    met = [answer.met for result in found for answer in result.answers]
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": plain(provenance),
        "n_answers": len(met),
        "n_met": sum(met),
        "cases": [result.to_dict() for result in found],
    }


def _answers(case: Case, arrays: Arrays, seed: int, threads: int | None) -> tuple[Answer, ...]:
    """Measure together what is asked of the same tensors in the same way."""
    together: dict[tuple[str | None, Scope, bool], list[Known]] = {}
    for known in case.expect:
        key = (known.tensor, known.scope, known.quantity == "of shuffled")
        together.setdefault(key, []).append(known)
    answers: dict[Known, Answer] = {}
    for (tensor, scope, shuffled), members in together.items():
        report = score(
            arrays if tensor is None else {tensor: arrays[tensor]},
            specs=[known.spec for known in members],
            controls=[_SHUFFLE] if shuffled else (),
            scope=scope,
            seed=seed,
            exact=True,
            threads=threads,
        )
        rows = {row.spec: row for row in report.rows}
        answers |= {known: _answer(known, rows[known.spec]) for known in members}
    return tuple(answers[known] for known in case.expect)


def _answer(known: Known, row: Score) -> Answer:
    found: dict[Quantity, float | None] = {
        "bits": row.bits,
        "bits/weight": row.bits_per_weight,
        "raw/comp": row.ratio_raw_over_comp,
        "of shuffled": row.controls[0]["ratio"] if row.controls else None,
    }
    return Answer(known, found[known.quantity], row.reason)


# --- What theory says --------------------------------------------------------------------------


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _entropy(probabilities: Iterable[float]) -> float:
    return -math.fsum(p * math.log2(p) for p in probabilities if p > 0)


#: Chance that a standard normal lies between 2**e and 2**(e+1) in size: that of its exponent.
_OCTAVES = {e: 2 * (_normal_cdf(2.0 ** (e + 1)) - _normal_cdf(2.0**e)) for e in range(-40, 4)}
_EXPONENT = _entropy(_OCTAVES.values())
#: Differential entropy of a standard normal.
_NORMAL = 0.5 * math.log2(2 * math.pi * math.e)
#: Entropy of a normal stored as a float, to which each mantissa bit adds one: differential entropy
#: minus the mean log2 of the spacing of floats.
_FLOAT = _NORMAL - math.fsum(p * e for e, p in _OCTAVES.items())
#: A finely and uniformly quantised normal at relative squared error E = 1 %: the step is
#: sqrt(12 E); 0.5 * log2(pi e / 6) = 0.2546 bits above the least that any code needs.
_AT_1_PERCENT = _NORMAL - 0.5 * math.log2(12 * 0.01)


def _fifteen_levels() -> float:
    """Entropy of a standard normal rounded to multiples of a half, at most seven either way."""
    edges = [-math.inf, *((i + 0.5) / 2 for i in range(-7, 7)), math.inf]
    return _entropy(_normal_cdf(b) - _normal_cdf(a) for a, b in itertools.pairwise(edges))


def _rank_8_less() -> float:
    """Bits a weight that the variances in a product of rank 8 can save (Jensen).

    A row mixes normals whose variance is chi-squared with 8 degrees of freedom, of which
    E ln = digamma(4) + ln 2, digamma(4) = 11/6 - gamma.
    """
    return 0.5 * (math.log(8) - (11 / 6 - 0.5772156649015329 + math.log(2))) / math.log(2)


def _orders_of_blocks() -> float:
    """Bits a weight that name one of the distinct orders of the rows and columns of 16 blocks."""
    ways = math.lgamma(257) - 16 * math.lgamma(17)  # rows alone: 256! / (16!)**16
    return (2 * ways - math.lgamma(17)) / math.log(2) / 256**2  # blocks have no names


def _bdm_of_blocks() -> float:
    """Bits of 2-D BDM of 256 blocks of ones among 3,840 of zeros, 4x4 each.

    Both have the same CTM value: that of ones((12, 12)), of nine such blocks, less log2 9.
    """
    ctm = 25.176631293734488 - math.log2(9)
    return 2 * ctm + math.log2(256) + math.log2(3840)


def _saturated_bdm(n: int) -> float:
    """Bits a weight of the 1-D BDM of n fair coin flips, far more than it has codes.

    Each of the 4,096 codes of 12 bits is seen a Poisson number of times; their CTM values, which
    add up to 133,138.5, are paid once, and log2 of how often.
    """
    mean = n / 12 / 4096
    seen = {k: math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(1, 100)}
    counts = 4096 * math.fsum(p * math.log2(k) for k, p in seen.items())
    return (133_138.5 * -math.expm1(-mean) + counts) / n


# --- The tensors -------------------------------------------------------------------------------


def _normal(rng: Generator) -> NDArray[Any]:
    # A power of two as the scale moves the exponents and changes nothing else.
    return (rng.normal(size=(512, 512)) / 32).astype(np.float32)


def _noise(rng: Generator) -> Arrays:
    return {"noise": _normal(rng)}


def _eight_levels(rng: Generator) -> Arrays:
    levels = rng.permutation(np.arange(1 << 16) % 8)
    return {"levels": (levels.reshape(256, 256) / 7 - 0.5).astype(np.float32)}


def _four_bit(rng: Generator) -> Arrays:
    levels = np.clip(np.rint(rng.normal(size=(256, 256)) * 2), -7, 7)
    # Adding zero makes +0.0 of -0.0, which is another word.
    return {"four-bit": (levels / 64 + 0.0).astype(np.float32)}


def _constant(_: Generator) -> Arrays:
    return {"constant": np.full((512, 512), 0.5, np.float32)}


def _random_bytes(rng: Generator, shape: tuple[int, ...]) -> NDArray[np.int8]:
    return rng.integers(-128, 128, shape, np.int8)


def _repeated(rng: Generator) -> Arrays:
    return {"repeated": np.tile(_random_bytes(rng, (64, 1024)), (16, 1))}


def _tied(rng: Generator) -> Arrays:
    first = _random_bytes(rng, (512, 512))
    return {"tied 1": first, "tied 2": first.copy()}


def _low_rank(rng: Generator) -> Arrays:
    def product(rank: int) -> NDArray[Any]:
        factors = rng.normal(size=(512, rank)), rng.normal(size=(rank, 512))
        return (factors[0] @ factors[1]).astype(np.float32)

    return {"rank 1": product(1), "rank 8": product(8)}


def _upcast(rng: Generator) -> Arrays:
    native = _normal(rng).astype(ml_dtypes.bfloat16)
    return {"bf16": native, "float32": native.astype(np.float32)}


def _permuted(rng: Generator) -> Arrays:
    blocks = 2 * np.kron(np.eye(16), np.ones((16, 16))).astype(np.float32) - 1
    rows, columns = rng.permutation(256), rng.permutation(256)
    return {"blocks": blocks, "renumbered": blocks[np.ix_(rows, columns)]}


def _signs(rng: Generator) -> Arrays:
    signs = rng.integers(0, 2, (512, 512), np.uint8)
    return {"one byte": signs, "float32": 2 * signs.astype(np.float32) - 1}


# --- Cases -------------------------------------------------------------------------------------


def _near(spec: str, value: float, tolerance: float, why: str, sees: Sees = "") -> Known:
    low, high = value - tolerance, value + tolerance
    return Known(spec=spec, low=low, high=high, value=value, why=why, sees=sees)


def _within(spec: str, low: float, high: float, why: str, sees: Sees = "") -> Known:
    return Known(spec=spec, low=low, high=high, why=why, sees=sees)


def _on(tensor: str, *answers: Known) -> tuple[Known, ...]:
    return tuple(replace(known, tensor=tensor) for known in answers)


def _as_one(*answers: Known) -> tuple[Known, ...]:
    return tuple(replace(known, scope="model") for known in answers)


def _as(quantity: Quantity, known: Known) -> Known:
    return replace(known, quantity=quantity)


_FIELDS = "entropy@bytes/fields"
_MORE = math.inf
#: A measured entropy lies some sqrt(variance of log2 p / n) from the true one: for 2**16 weights
#: and a variance of at most 2 bits squared 0.0055. Three of those.
_SPREAD = 0.017
#: What a compressor adds to 2**18 coin flips: 64 bytes at most.
_COIN = 1.002

CASES: tuple[Case, ...] = (
    Case(
        "noise",
        "independent normal weights: nothing to see, so nothing may be seen",
        _noise,
        (
            # Most mantissas differ: values and counts together cost 23 bits to within 0.01.
            _near("entropy:two-part@bytes/fields", 24 + _EXPONENT, _SPREAD, "24 + exponent's bits"),
            _within("zstd@bytes/planes", 23 + _FLOAT, _MORE, "no code beats entropy"),
            _within("gzip@bytes", 23 + _FLOAT, _MORE, "no code beats entropy"),
            # The counts and values of some 40 levels add 0.006.
            _near("entropy:two-part@rd0.01", _AT_1_PERCENT, 0.02, "log2(pi e / 6 E) / 2"),
            _within("zstd:9@sign", 1, _COIN, "coin flips, container"),
            # Shuffles of noise are noise: they scatter by 0.02 % and, for BDM, by 0.25 %.
            _as("of shuffled", _near("zstd@bytes", 1, 0.001, "order means nothing")),
            _as("of shuffled", _near("bdm2d@sign", 1, 0.01, "order means nothing")),
            # Some 20 codes of about 32 bits go unseen, give or take 4.4: 0.0005. Four of those.
            _near("bdm1d@sign", _saturated_bdm(2**18), 0.002, "saturated: not 1 bit", "misled"),
        ),
    ),
    Case(
        "eight levels",
        "each of 8 values equally often, in random order, as float32",
        _eight_levels,
        (
            _near("entropy@l8", 3, 1e-9, "log2 8", "sees"),
            _near("entropy@words", 3, 1e-9, "log2 8", "sees"),
            _within("zstd:9@l8", 3, 3.004, "packed to 3 bits", "sees"),
            _within("xz@bytes", 3, _MORE, "bytes are not levels", "partly"),
            _within("zstd@bytes", 3, _MORE, "bytes are not levels", "partly"),
        ),
    ),
    Case(
        "four-bit",
        "normal weights rounded to 15 levels, stored as float32",
        _four_bit,
        (
            _near("entropy@q4", _fifteen_levels(), _SPREAD, "that of its levels", "sees"),
            _near("entropy@words", _fifteen_levels(), _SPREAD, "that of its levels", "sees"),
            # Huffman codes of pairs of levels lose at most p + 0.086 bits a pair (Gallager 1978),
            # where p = 0.04 is the chance of the commonest pair; the rest is for the tables.
            _within(
                "zstd:9@q4", _fifteen_levels() - _SPREAD, _fifteen_levels() + 0.1, "packed", "sees"
            ),
            _within("gzip@bytes", _fifteen_levels(), _MORE, "bytes are not levels", "partly"),
            _within(_FIELDS, _fifteen_levels(), _MORE, "fields depend", "partly"),
        ),
    ),
    Case(
        "constant",
        "one value, 262,144 times",
        _constant,
        tuple(
            _within(spec, 0, 0.05, "scale or container", "sees")
            for spec in ("gzip@bytes", "zstd@bytes", _FIELDS, "entropy:two-part@q8")
        ),
    ),
    Case(
        "repeated",
        "65,536 random int8 weights, 16 times over: the same again every 64 KiB",
        _repeated,
        (
            # Stored blocks and containers add 0.01 at most.
            _near("gzip@bytes", 8, 0.01, "its window is 32 KiB", "blind"),
            # Plug-in entropy of 65,536 draws of 256 symbols falls short by 255 / (2 n ln 2).
            _near("entropy@bytes", 8, 0.01, "sees no positions", "blind"),
            _near("zstd:19@bytes", 0.5, 0.01, "8 / 16: one copy", "sees"),
            _near("xz@bytes", 0.5, 0.01, "8 / 16: one copy", "sees"),
            _within("bz2@bytes", 0.5, 7.99, "blocks of 900 kB", "partly"),
        ),
    ),
    Case(
        "tied",
        "two equal tensors of random int8 weights, one by one and laid end to end",
        _tied,
        (
            *_on("tied 2", _near("zstd:19@bytes", 8, 0.01, "one by one: 8 and 8", "blind")),
            *_as_one(
                _near("zstd:19@bytes", 4, 0.01, "8 / 2: second is free", "sees"),
                _near("xz@bytes", 4, 0.01, "8 / 2: second is free", "sees"),
                _near("gzip@bytes", 8, 0.01, "256 KiB apart", "blind"),
                _near("entropy@bytes", 8, 0.01, "sees no positions", "blind"),
            ),
        ),
    ),
    Case(
        "low rank",
        "262,144 weights that are products of 1,024 normal numbers (rank 1), of 8,192 (rank 8)",
        _low_rank,
        (
            # Each row is a pattern of 512 signs or its opposite: 1,023 bits tell all of them.
            *_on("rank 1", _within("zstd:9@sign", 1023 / 2**18, 0.05, "rows repeat", "sees")),
            *_on(
                "rank 8",
                _within("zstd:9@sign", 1 / _COIN, _COIN, "looks like coin flips", "blind"),
                # Rows that lean the same way show in blocks of four rows.
                _as("of shuffled", _within("bdm2d@sign", 0.95, 0.995, "rows lean", "partly")),
                # Rows' scales save at most this of 2.4 bits; shuffles scatter by 0.2 %.
                _as(
                    "of shuffled",
                    _within("zstd:9@q4", 1 - _rank_8_less() / 2.4, 0.995, "rows' scales", "partly"),
                ),
                # The variances of 512 rows and columns scatter their mean log2 by about 0.02.
                _within(
                    "entropy:two-part@rd0.01",
                    _AT_1_PERCENT - _rank_8_less() - 0.02,
                    _AT_1_PERCENT + 0.02,
                    "as if independent",
                    "blind",
                ),
            ),
        ),
    ),
    Case(
        "upcast",
        "the same bf16 weights, stored as bf16 and as float32",
        _upcast,
        (
            # The seven bits that the mantissa keeps are not quite uniform: up to 0.04 less.
            *_on("bf16", _near(_FIELDS, 8 + _EXPONENT, 0.04, "8 + exponent's bits", "sees")),
            *_on(
                "float32",
                _near(_FIELDS, 8 + _EXPONENT, 0.04, "the same: half is 0", "sees"),
                _within("zstd@bytes/planes", 7 + _FLOAT, _MORE, "two planes are 0", "sees"),
            ),
            _as(
                "raw/comp",
                *_on("bf16", _within("gzip@bytes", 1, 16 / (7 + _FLOAT), "16 / entropy")),
            ),
            _as(
                "raw/comp",
                *_on(
                    "float32", _within("gzip@bytes", 2, 32 / (7 + _FLOAT), "no simpler", "misled")
                ),
            ),
        ),
    ),
    Case(
        "permuted",
        "signs in 16 blocks on the diagonal, and the same network with its units renumbered",
        _permuted,
        (
            *_on(
                "blocks",
                _near(
                    "entropy@sign", _entropy((1 / 16, 15 / 16)), 1e-9, "H(1/16) either way", "blind"
                ),
                _within("zstd:19@sign", 0, 0.01, "rows repeat", "sees"),
                _as("bits", _near("bdm2d@sign", _bdm_of_blocks(), 1e-6, "two codes", "sees")),
            ),
            *_on(
                "renumbered",
                _near(
                    "entropy@sign", _entropy((1 / 16, 15 / 16)), 1e-9, "H(1/16) either way", "blind"
                ),
                _within("zstd:19@sign", _orders_of_blocks(), 0.1, "which order it is", "misled"),
                _as("bits", _within("bdm2d@sign", 640, _MORE, "ten times, and more", "misled")),
            ),
        ),
    ),
    Case(
        "signs",
        "random signs: one bit a weight, however they are stored",
        _signs,
        (
            *_on(
                "one byte",
                _as("raw/comp", _within("gzip@bytes", 6, 8, "7 of 8 bits empty", "misled")),
                _as("raw/comp", _within("bz2@bytes", 6, 8, "7 of 8 bits empty", "misled")),
            ),
            *_on(
                "float32",
                _as("raw/comp", _within("zstd@bytes", 8, 32, "31 of 32 bits empty", "misled")),
                _within("gzip@sign", 1, _COIN, "packed: noise stays", "sees"),
                # bz2 spends tables and indices on noise that the others store as it is.
                _within("bz2@sign", 1, 1.02, "packed: noise stays", "sees"),
            ),
        ),
    ),
)
"""Every case, from the plainest to the traps."""
