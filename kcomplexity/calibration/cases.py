"""Every case: made tensors, and what each measure must give for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from numpy.random import Generator

from kcomplexity.calibration import tensors, theory
from kcomplexity.calibration.records import Arrays, Case, Known, Quantity, Sees


def _case(name: str, what: str, make: Callable[[Generator], Arrays], *expect: Known) -> Case:
    return Case(name, what, make, expect)


def _near(spec: str, value: float, tolerance: float, why: str, sees: Sees = "") -> Known:
    low, high = value - tolerance, value + tolerance
    return Known(spec=spec, low=low, high=high, value=value, why=why, sees=sees)


def _within(spec: str, low: float, high: float, why: str, sees: Sees = "") -> Known:
    return Known(spec=spec, low=low, high=high, why=why, sees=sees)


def _least(spec: str, low: float, why: str, sees: Sees = "") -> Known:
    return Known(spec=spec, low=low, why=why, sees=sees)


def _on(tensor: str, *answers: Known) -> tuple[Known, ...]:
    return tuple(replace(known, tensor=tensor) for known in answers)


def _as_one(*answers: Known) -> tuple[Known, ...]:
    return tuple(replace(known, scope="model") for known in answers)


def _of_shuffled(*answers: Known) -> tuple[Known, ...]:
    return _as("of shuffled", *answers)


def _as(quantity: Quantity, *answers: Known) -> tuple[Known, ...]:
    return tuple(replace(known, quantity=quantity) for known in answers)


_FIELDS = "entropy@bytes/fields"
#: A measured entropy lies some sqrt(variance of log2 p / n) from the true one: for 2**16 weights
#: and a variance of at most 2 bits squared 0.0055. Three of those.
_SPREAD = 0.017
#: What a compressor adds to 2**18 coin flips: 64 bytes at most.
_COIN = 1.002
_LEVELS = theory.fifteen_levels()
_ONE_IN_16 = theory.entropy((1 / 16, 15 / 16))
_SCALES = theory.scale_share()

#: Every case, from the plainest to the traps.
CASES: tuple[Case, ...] = (
    _case(
        "noise",
        "independent normal weights: nothing to see, so nothing may be seen",
        tensors.noise,
        # Most mantissas differ: values and counts together cost 23 bits to within 0.01.
        _near(
            "entropy:two-part@bytes/fields",
            24 + theory.EXPONENT,
            _SPREAD,
            "24 + exponent's bits",
        ),
        _least("zstd@bytes/planes", 23 + theory.FLOAT, "no code beats entropy"),
        _least("gzip@bytes", 23 + theory.FLOAT, "no code beats entropy"),
        # The counts and values of some 40 levels add 0.006.
        _near("entropy:two-part@rd0.01", theory.AT_1_PERCENT, 0.02, "log2(pi e / 6 E) / 2"),
        _within("zstd:9@sign", 1, _COIN, "coin flips, container"),
        *_of_shuffled(
            # Shuffles of noise are noise: they scatter by 0.02 % and, for BDM, by 0.25 %.
            _near("zstd@bytes", 1, 0.001, "order means nothing"),
            _near("bdm2d@sign", 1, 0.01, "order means nothing"),
            # Codes fall back on order-0, whose length does not depend on order.
            _near("ctx@rd0.1", 1, 0.0005, "order means nothing"),
            _near("lowrank@rd0.1", 1, 0.0005, "order means nothing"),
        ),
        # Some 20 codes of about 32 bits go unseen, give or take 4.4: 0.0005. Four of those.
        _near("bdm1d@sign", theory.saturated_bdm(2**18), 0.002, "saturated: not 1 bit", "misled"),
    ),
    _case(
        "eight levels",
        "each of 8 values equally often, in random order, as float32",
        tensors.eight_levels,
        _near("entropy@l8", 3, 1e-9, "log2 8", "sees"),
        _near("entropy@words", 3, 1e-9, "log2 8", "sees"),
        _within("zstd:9@l8", 3, 3.004, "packed to 3 bits", "sees"),
        _least("xz@bytes", 3, "bytes are not levels", "partly"),
        _least("zstd@bytes", 3, "bytes are not levels", "partly"),
    ),
    _case(
        "four-bit",
        "normal weights rounded to 15 levels, stored as float32",
        tensors.four_bit,
        _near("entropy@q4", _LEVELS, _SPREAD, "that of its levels", "sees"),
        _near("entropy@words", _LEVELS, _SPREAD, "that of its levels", "sees"),
        # Huffman codes of pairs of levels lose at most p + 0.086 bits a pair (Gallager 1978),
        # where p = 0.04 is the chance of the commonest pair; the rest is for the tables.
        _within("zstd:9@q4", _LEVELS - _SPREAD, _LEVELS + 0.1, "packed", "sees"),
        _least("gzip@bytes", _LEVELS, "bytes are not levels", "partly"),
        _least(_FIELDS, _LEVELS, "fields depend", "partly"),
    ),
    _case(
        "constant",
        "one value, 262,144 times",
        tensors.constant,
        *(
            _within(spec, 0, 0.05, "scale or container", "sees")
            for spec in ("gzip@bytes", "zstd@bytes", _FIELDS, "entropy:two-part@q8")
        ),
    ),
    _case(
        "repeated",
        "65,536 random int8 weights, 16 times over: the same again every 64 KiB",
        tensors.repeated,
        # Stored blocks and containers add 0.01 at most.
        _near("gzip@bytes", 8, 0.01, "its window is 32 KiB", "blind"),
        # Plug-in entropy of 65,536 draws of 256 symbols falls short by 255 / (2 n ln 2).
        _near("entropy@bytes", 8, 0.01, "sees no positions", "blind"),
        _near("zstd:19@bytes", 0.5, 0.01, "8 / 16: one copy", "sees"),
        _near("xz@bytes", 0.5, 0.01, "8 / 16: one copy", "sees"),
        _within("bz2@bytes", 0.5, 7.99, "blocks of 900 kB", "partly"),
    ),
    _case(
        "tied",
        "two equal tensors of random int8 weights, one by one and laid end to end",
        tensors.tied,
        *_on("tied 2", _near("zstd:19@bytes", 8, 0.01, "one by one: 8 and 8", "blind")),
        *_as_one(
            _near("zstd:19@bytes", 4, 0.01, "8 / 2: second is free", "sees"),
            _near("xz@bytes", 4, 0.01, "8 / 2: second is free", "sees"),
            _near("gzip@bytes", 8, 0.01, "256 KiB apart", "blind"),
            _near("entropy@bytes", 8, 0.01, "sees no positions", "blind"),
        ),
    ),
    _case(
        "low rank",
        "262,144 weights that are products of 1,024 normal numbers (rank 1), of 8,192 (rank 8)",
        tensors.low_rank,
        # Each row is a pattern of 512 signs or its opposite: 1,023 bits describe all of them.
        *_on("rank 1", _within("zstd:9@sign", 1023 / 2**18, 0.05, "rows repeat", "sees")),
        *_on(
            "rank 8",
            _within("zstd:9@sign", 1 / _COIN, _COIN, "looks like coin flips", "blind"),
            *_of_shuffled(
                # Rows that lean the same way show in blocks of four rows.
                _within("bdm2d@sign", 0.95, 0.995, "rows lean", "partly"),
                # Rows' scales save at most this of 2.4 bits; shuffles scatter by 0.2 %.
                _within(
                    "zstd:9@q4", 1 - theory.rank_8_less() / 2.4, 0.995, "rows' scales", "partly"
                ),
            ),
            # The variances of 512 rows and columns scatter their mean log2 by about 0.02.
            _within(
                "entropy:two-part@rd0.01",
                theory.AT_1_PERCENT - theory.rank_8_less() - 0.02,
                theory.AT_1_PERCENT + 0.02,
                "as if independent",
                "blind",
            ),
        ),
    ),
    _case(
        "upcast",
        "the same bf16 weights, stored as bf16 and as float32",
        tensors.upcast,
        # The seven bits that the mantissa keeps are not quite uniform: up to 0.04 less.
        *_on("bf16", _near(_FIELDS, 8 + theory.EXPONENT, 0.04, "8 + exponent's bits", "sees")),
        *_on(
            "float32",
            _near(_FIELDS, 8 + theory.EXPONENT, 0.04, "the same: half is 0", "sees"),
            _least("zstd@bytes/planes", 7 + theory.FLOAT, "two planes are 0", "sees"),
        ),
        *_as(
            "raw/comp",
            *_on("bf16", _within("gzip@bytes", 1, 16 / (7 + theory.FLOAT), "16 / entropy")),
            *_on(
                "float32",
                _within("gzip@bytes", 2, 32 / (7 + theory.FLOAT), "no simpler", "misled"),
            ),
        ),
    ),
    _case(
        "permuted",
        "signs in 16 blocks on the diagonal, and the same network with its units renumbered",
        tensors.permuted,
        *_on(
            "blocks",
            _near("entropy@sign", _ONE_IN_16, 1e-9, "H(1/16) either way", "blind"),
            _within("zstd:19@sign", 0, 0.01, "rows repeat", "sees"),
            *_as("bits", _near("bdm2d@sign", theory.bdm_of_blocks(), 1e-6, "two codes", "sees")),
        ),
        *_on(
            "renumbered",
            _near("entropy@sign", _ONE_IN_16, 1e-9, "H(1/16) either way", "blind"),
            _within("zstd:19@sign", theory.orders_of_blocks(), 0.1, "which order it is", "misled"),
            *_as("bits", _least("bdm2d@sign", 640, "ten times, and more", "misled")),
        ),
    ),
    _case(
        "signs",
        "random signs: one bit a weight, however they are stored",
        tensors.signs,
        *_as(
            "raw/comp",
            *_on(
                "one byte",
                _within("gzip@bytes", 6, 8, "7 of 8 bits empty", "misled"),
                _within("bz2@bytes", 6, 8, "7 of 8 bits empty", "misled"),
            ),
            *_on("float32", _within("zstd@bytes", 8, 32, "31 of 32 bits empty", "misled")),
        ),
        *_on(
            "float32",
            _within("gzip@sign", 1, _COIN, "packed: noise stays", "sees"),
            # bz2 spends tables and indices on noise that the others store as it is.
            _within("bz2@sign", 1, 1.02, "packed: noise stays", "sees"),
        ),
    ),
    *(
        _case(
            law,
            f"independent {law} weights: no code that sees order may save anything",
            make,
            *_of_shuffled(
                *(
                    _near(spec, 1, 0.0005, "order means nothing")
                    for spec in ("ctx@rd0.1", "ctx@sign", "lowrank@rd0.1")
                ),
            ),
        )
        for law, make in (("Laplace", tensors.laplace), ("Student-t", tensors.student_t))
    ),
    _case(
        "scales",
        "normal weights whose rows are of two scales, in random order",
        tensors.row_scales,
        *_of_shuffled(
            # A tenth of the saving: a row's scale is known only after some of its weights.
            _near("ctx@q8", 1 - _SCALES, 0.1 * _SCALES, "h(all) - h(parts)", "sees"),
            _near("lowrank@rd0.1", 1, 0.001, "all directions count", "blind"),
            _near("bdm2d@sign", 1, 0.01, "sees no sizes"),
        ),
    ),
    _case(
        "chain",
        "normal magnitudes whose signs change along a row one time in five",
        tensors.chain,
        # Binomial: sqrt(p (1 - p)) log2(4) / sqrt(n) is 0.0016; three of those, and the code's.
        _near("ctx@sign", theory.entropy((0.2, 0.8)), 0.006, "H(1/5)", "sees"),
        *_of_shuffled(
            _within("bdm2d@sign", 0.3, 0.7, "runs of a sign"),
            _within("zstd:9@q4", 0.95, 0.995, "sizes hide signs"),
            _near("lowrank@rd0.1", 1, 0.001, "full rank", "blind"),
        ),
    ),
    _case(
        "noisy rank",
        "a product of rank 8 with noise of a fifth of the variance",
        tensors.low_rank_and_noise,
        # At an error of a tenth, the noise alone needs log2(0.2 / 0.1) / 2; then the factors.
        _within("lowrank@rd0.1", 0.5, 1.4, "noise, and factors", "sees"),
        *_of_shuffled(
            _within("ctx@rd0.1", 0.9, 0.995, "rows' scales"),
            _within("bdm2d@sign", 0.97, 1.005, "rows lean"),
        ),
    ),
    _case(
        "kernels",
        "a convolution of 16 different kernels in random order",
        tensors.kernels,
        _within("zstd:19@bytes", 4 / 9, 1.4, "log2 16 a kernel"),
        *_of_shuffled(
            _within("ctx@rd0.1", 0.85, 0.98, "places in a kernel", "partly"),
            _near("lowrank@rd0.1", 1, 0.002, "full rank"),
            _within("bdm2d@sign", 0.85, 1, "repeats off its grid"),
        ),
    ),
    _case(
        "motifs",
        "a matrix laid of 64 different runs of eight weights",
        tensors.motifs,
        _within("xz@bytes", 6 / 8, 2.2, "log2 64 a run", "sees"),
        *_of_shuffled(
            _within("ctx@rd0.1", 0.98, 1.0005, "looks at neighbours", "blind"),
            _near("lowrank@rd0.1", 1, 0.002, "full rank"),
        ),
    ),
)
