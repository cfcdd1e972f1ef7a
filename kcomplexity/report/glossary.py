"""What the words and specs on the page mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kcomplexity.errors import SpecError

#: What the words on the page mean, for the glossary and for the heads of columns.
TERMS: Mapping[str, str] = {
    "bits/weight": "bits, side information included, over the number of weights; lower = simpler",
    "code": "bits that a decoder needs, side information included",
    "estimate": "a figure in bits that nothing can decode",
    "statistic": "a measure that is not in bits",
    "raw/comp": "stored bits over the bits of the code; higher = smaller than stored",
    "error": "sum of squared errors over the sum of squares of the weights (the mean included), "
    "of codes that keep a quantised view of them",
    "vs shuffled": "bits over the mean bits of the same weights in random order: below 1, their "
    "arrangement makes them simpler; lower = more structure",
    "total %": "bits over those of the reference, less one; negative = simpler",
    "histogram %": "the same of the shuffled weights: what the values alone changed",
    "arrangement %": "the rest, which is the order of the values: (1 + total) = (1 + histogram) "
    "(1 + arrangement)",
    "sampled": "share of the weights that was measured, where it was not all of them",
    "spec": "estimator@view: how weights become symbols, and what is measured of those",
}


def definitions(specs: Sequence[str]) -> dict[str, str]:
    """Return what each spec measures, where its estimator is known here."""
    from kcomplexity.scoring.specs import parse_spec

    meanings = {}
    for spec in specs:
        try:
            estimator = parse_spec(spec).estimator
        except SpecError:  # measured with a package that is not installed here
            continue
        meanings[spec] = f"{estimator.summary}; {estimator.kind}, {estimator.direction}"
    return meanings
