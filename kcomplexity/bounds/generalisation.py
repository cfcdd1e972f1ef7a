"""What a description length says about generalisation: Occam and PAC-Bayes bounds.

R is the true risk and e the training risk *of the decoded model*, n the number of training samples
(independent, and none of them used to choose the code), 1 - delta the confidence, L the bits of a
prefix-free code for the model, fixed before the data were seen. Then with probability 1 - delta:

``chernoff``
    R <= sup{p : kl(e || p) <= (L ln 2 + ln(1 / delta)) / n}   (Langford 2005)
``hoeffding``
    R <= e + sqrt((L ln 2 + ln(1 / delta)) / (2 n))   (Blumer et al. 1987)
``maurer``
    as chernoff with (L ln 2 + ln(2 sqrt(n) / delta)) / n   (Maurer 2004, PAC-Bayes-kl)
``catoni``
    inf over lambda > 1 of a bound of Catoni's (2007), in the form of Zhou et al. 2019, Theorem 4.1,
    with its union bound over lambda.

A loss between low and high is moved to [0, 1] first. A language model's log-loss is bounded after
its predictions are mixed with the uniform ones: :func:`smoothed_range` (Lotfi et al. 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kcomplexity.errors import SpecError
from kcomplexity.results.json_form import plain

#: What must hold for the bound to hold; nothing here can check it.
ASSUMPTIONS = (
    "the training error is that of the model as decoded from these bits",
    (
        "the code (prior) was fixed independently of the training data; what was searched is paid "
        "for with --grid-bits"
    ),
    "the samples are independent and from the distribution that the risk is about",
)
#: The ratio of neighbouring lambdas that Catoni's union bound pays for; as published with the
#: figures that the tests hold.
_ALPHA = 1 + 1e-4
_HALVINGS = 200


@dataclass(frozen=True, kw_only=True)
class Bound:
    """An upper bound on the true risk, and what it was made from.

    Attributes
    ----------
    method : str
    bound : float
        In the units of the loss; holds with probability 1 - delta.
    train_error : float
    n_samples : int
    delta : float
    raw_bits : float or None
        The length before it was made prefix-free; None when it was already.
    prefix_bits, grid_bits : float
        What making it prefix-free, and saying which of the searched models it is, add.
    bits : float
        L: all of them together.
    low, high : float
        The range of the loss.
    chance : float
        The loss of guessing: at or above it a bound says nothing.
    vacuous : bool
    budget_bits : float
        L below which the bound would say something at this training error; 0 if no L does.
    """

    method: str
    bound: float
    train_error: float
    n_samples: int
    delta: float
    raw_bits: float | None
    prefix_bits: float
    grid_bits: float
    bits: float
    low: float
    high: float
    chance: float
    vacuous: bool
    budget_bits: float

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        record: dict[str, Any] = plain(self)
        return record


def occam_bound(
    train_error: float,
    bits: float,
    n_samples: int,
    delta: float = 0.05,
    *,
    method: str = "chernoff",
    prefix_free: bool = True,
    grid_bits: float = 0.0,
    classes: int | None = None,
    loss_range: tuple[float, float] = (0.0, 1.0),
    chance: float | None = None,
) -> Bound:
    """Bound the true risk of a model by the bits that describe it.

    Parameters
    ----------
    train_error : float
        Mean loss of the decoded model on the training samples.
    bits : float
        Length of its description.
    n_samples : int
        Training samples.
    delta : float
        The bound fails with at most this probability.
    method : {"chernoff", "hoeffding", "maurer", "catoni"}
    prefix_free : bool
        Whether no description is the beginning of another; if not (a file of some size), its
        length comes first: see :func:`prefix_free_bits`.
    grid_bits : float
        log2 of how many models were tried to find this one.
    classes : int, optional
        Of a classifier: guessing errs at 1 - 1/classes.
    loss_range : (float, float)
        Smallest and largest loss; an error rate has (0, 1).
    chance : float, optional
        The loss of guessing, where it does not follow from `classes`. By default the bound must
        promise less than one right answer in `n_samples` to be called vacuous.

    Returns
    -------
    Bound

    Raises
    ------
    SpecError
        If a number is outside its range.

    Examples
    --------
    >>> round(occam_bound(train_error=0.13624, bits=8488.0942, n_samples=50_000).bound, 6)
    0.350731
    >>> occam_bound(0.1, 1e9, 50_000, classes=10).vacuous
    True
    """
    low, high = loss_range
    share = f"expected a number from {low:g} to {high:g} (a share: 1 % is 0.01)"
    wrong_bits = f"{bits:g} bits and {grid_bits:g} of a grid: expected 0 or more"
    for holds, problem in (
        (method in METHODS, f"method {method!r}: expected one of {', '.join(METHODS)}"),
        (low < high, f"a loss from {low:g} to {high:g}: expected the smaller number first"),
        (low <= train_error <= high, f"train error {train_error:g}: {share}"),
        (all(0 <= n < math.inf for n in (bits, grid_bits)), wrong_bits),
        (n_samples >= 1, f"{n_samples} samples: expected at least 1"),
        (0 < delta < 1, f"delta {delta:g}: expected a number between 0 and 1, e.g. 0.05"),
        (classes is None or classes >= 2, f"{classes} classes: expected at least 2"),
    ):
        if not holds:
            raise SpecError(problem)
    if chance is None:
        guessing = 1 / classes if classes else 1 / n_samples
        chance = low + (1 - guessing) * (high - low)
    prefix_bits = 0.0 if prefix_free else prefix_free_bits(bits) - bits
    total = bits + prefix_bits + grid_bits
    e, limit = ((x - low) / (high - low) for x in (train_error, chance))

    def risk(length: float) -> float:
        return _METHODS[method](e, length, n_samples, delta)

    bound = low + (high - low) * risk(total)
    return Bound(
        method=method,
        bound=bound,
        train_error=train_error,
        n_samples=n_samples,
        delta=delta,
        raw_bits=None if prefix_free else bits,
        prefix_bits=prefix_bits,
        grid_bits=grid_bits,
        bits=total,
        low=low,
        high=high,
        chance=chance,
        vacuous=bound >= chance,
        budget_bits=_budget(risk, limit, n_samples),
    )


def prefix_free_bits(n_bits: float) -> float:
    """Return the length of a prefix-free code for a string of `n_bits`: the length comes first.

    n + log2 n + log2(n + 1): the weights 1 / (n (n + 1)) of the lengths sum to 1 (Kraft).

    Examples
    --------
    >>> round(prefix_free_bits(1000), 3)
    1019.933
    """
    n = max(n_bits, 1.0)
    return n_bits + math.log2(n) + math.log2(n + 1)


def smoothed_range(vocabulary: int, smoothing: float) -> tuple[float, float]:
    """Return the range, in bits, of the log-loss of predictions mixed with uniform ones.

    With (1 - a) p + a / V every token has a probability between a / V and 1 - a + a / V: the range
    has a width of log2(1 + (1 - a) V / a) (Lotfi et al., Non-vacuous generalization bounds for
    large language models, ICML 2024). The training loss has to be that of the mixture.

    Examples
    --------
    >>> [round(x, 4) for x in smoothed_range(50_257, 0.1)]
    [0.152, 18.939]
    """
    if vocabulary < 2 or not 0 < smoothing < 1:
        raise SpecError(
            f"a vocabulary of {vocabulary} and a smoothing of {smoothing:g}: expected at least 2 "
            "tokens and a share between 0 and 1"
        )
    floor = smoothing / vocabulary
    return -math.log2(1 - smoothing + floor), -math.log2(floor)


def kl_inverse(e: float, limit: float) -> float:
    """Return the largest p with kl(e || p) <= limit, for Bernoulli laws, in nats.

    Examples
    --------
    >>> round(kl_inverse(0.0, math.log(2)), 12)
    0.5
    """
    return _last(lambda p: _kl(e, p) <= limit, e, 1.0)


def _last(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Return the largest number from `low`, at which `holds` is true, to `high`, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _kl(e: float, p: float) -> float:
    divergence = 0.0
    if e > 0:
        divergence += e * math.log(e / p)
    if e < 1:
        divergence += (1 - e) * (math.log1p(-e) - math.log1p(-p)) if p < 1 else math.inf
    return divergence


def _chernoff(e: float, bits: float, n: int, delta: float) -> float:
    return kl_inverse(e, (bits * math.log(2) - math.log(delta)) / n)


def _hoeffding(e: float, bits: float, n: int, delta: float) -> float:
    return e + math.sqrt((bits * math.log(2) - math.log(delta)) / (2 * n))


def _maurer(e: float, bits: float, n: int, delta: float) -> float:
    return kl_inverse(e, (bits * math.log(2) + math.log(2 * math.sqrt(n) / delta)) / n)


def _catoni(e: float, bits: float, n: int, delta: float) -> float:
    """Minimise over lambda: a coarse grid, then golden sections around its best point."""

    def risk(log_lambda: float) -> float:
        scale = math.exp(log_lambda)
        union = 2 * math.log(math.log(_ALPHA**2 * scale) / math.log(_ALPHA))
        x = e + _ALPHA / scale * (bits * math.log(2) - math.log(delta) + union)
        gamma = scale / n
        return math.expm1(-gamma * x) / math.expm1(-gamma)

    top = math.log(1e3 * n)
    points = [top * (i + 1) / 400 for i in range(400)]
    best = min(range(400), key=lambda i: risk(points[i]))
    a, b = points[max(best - 1, 0)], points[min(best + 1, 399)]
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(80):
        c, d = b - golden * (b - a), a + golden * (b - a)
        a, b = (a, d) if risk(c) <= risk(d) else (c, b)
    return min(risk((a + b) / 2), 1.0)


_METHODS: dict[str, Callable[[float, float, int, float], float]] = {
    "chernoff": _chernoff,
    "hoeffding": _hoeffding,
    "maurer": _maurer,
    "catoni": _catoni,
}
METHODS = tuple(_METHODS)


def _budget(risk: Callable[[float], float], limit: float, n: int) -> float:
    """Return the L at which the risk reaches `limit`; the risk rises with L."""
    if risk(0.0) >= limit:
        return 0.0
    low, high = 0.0, float(n)
    while risk(high) < limit and high < 1e300:
        low, high = high, 2 * high
    return _last(lambda bits: risk(bits) < limit, low, high)
