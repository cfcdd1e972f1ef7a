"""Initialisations: every weight is drawn anew, from a law that the tensor or its shape gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from kcomplexity.controls.base import Control, is_signed
from kcomplexity.errors import SpecError, UnmeasurableError
from kcomplexity.parallel import Cut, Every, Failed, Piece, State, fold, leaf_sums
from kcomplexity.parallel.pool import Pool
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.tensors.derived import origins, rebuilt
from kcomplexity.tensors.pieces import LEAF
from kcomplexity.tensors.random import Law, Reinit

#: Laws that match a tensor's own mean and standard deviation.
_MATCHED: dict[str, Callable[[float, float], Law]] = {
    "normal": lambda mean, sd: Law("normal", mean, sd),
    "uniform": lambda mean, sd: Law("uniform", mean, math.sqrt(3) * sd),
}
#: A normal law cut off at two standard deviations keeps this share of its standard deviation.
_KEPT_BY_TRUNCATION = 0.87962566103423978


class _Fans(NamedTuple):
    """Connections into and out of one unit."""

    ins: int
    outs: int


#: Laws that follow from the shape.
_FROM_FANS: dict[str, Callable[[_Fans], Law]] = {
    "torch": lambda fans: Law("uniform", 0.0, math.sqrt(1 / fans.ins)),
    "glorot-uniform": lambda fans: Law("uniform", 0.0, math.sqrt(6 / (fans.ins + fans.outs))),
    "he-normal": lambda fans: _truncated(math.sqrt(2 / fans.ins)),
    "lecun-normal": lambda fans: _truncated(math.sqrt(1 / fans.ins)),
}


def _truncated(sd: float) -> Law:
    """Return the truncated normal law that has this standard deviation once truncated."""
    return Law("truncated", 0.0, sd / _KEPT_BY_TRUNCATION)


@dataclass(frozen=True)
class Init(Control):
    """Each tensor is drawn anew as at an initialisation.

    Attributes
    ----------
    scheme : str
        ``normal``, ``uniform``
            With the tensor's own mean and (population) standard deviation.
        ``torch``
            Uniform within 1/sqrt(fan_in): what ``torch.nn.Linear`` and ``ConvNd`` do, which is
            ``kaiming_uniform_(a=sqrt(5))``.
        ``glorot-uniform``
            Uniform within sqrt(6/(fan_in + fan_out)) (Glorot & Bengio, AISTATS 2010).
        ``he-normal``, ``lecun-normal``
            Standard deviation sqrt(2/fan_in) (He et al., ICCV 2015) and sqrt(1/fan_in) (LeCun et
            al., Efficient BackProp, 1998): a normal law cut off at two of its standard deviations
            and widened by 1/.8796 to make up for it, as in Keras' and JAX' initialisers of these
            names. PyTorch's ``kaiming_normal_`` is not cut off.

    Notes
    -----
    Fans follow the tensor's layout: (out, in, *kernel), fans times the kernel's size, or
    (*kernel, in, out). An embedding, which usually starts otherwise, cannot be recognised by its
    shape.

    Left as they are: tensors that do not hold signed floating-point numbers and, for schemes from
    the shape, tensors of fewer than two dimensions, since biases and norms start at constants.
    """

    scheme: str

    summary: ClassVar[str] = f"drawn anew: {', '.join([*_MATCHED, *_FROM_FANS])}"
    keeps_values: ClassVar[bool] = False
    lazy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.scheme not in _MATCHED and self.scheme not in _FROM_FANS:
            known = ", ".join([*_MATCHED, *_FROM_FANS])
            raise SpecError(
                f"control init: unknown scheme {self.scheme!r}: expected one of {known}"
            )
        super().__post_init__()

    def changes(self, tensor: Tensor) -> bool:
        has_shape = self.scheme in _MATCHED or len(tensor.shape) > 1
        return is_signed(tensor) and tensor.n_weights > 0 and has_shape

    def law(self, tensor: Tensor, pool: Pool) -> Law:
        """Return what one tensor is drawn from; reads it twice to match its moments.

        Raises
        ------
        UnmeasurableError
            If the moments are to be matched and some weights are not finite.
        """
        if self.scheme in _MATCHED:
            return _MATCHED[self.scheme](*_moments(tensor, pool))
        return _FROM_FANS[self.scheme](_fans(tensor))

    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        changed = filter(self.changes, origins(tensor))
        laws = {origin: self.law(origin, pool) for origin in changed}
        for i in range(self.n):

            def drawn(origin: Tensor, i: int = i) -> Tensor:
                if origin not in laws:
                    return origin
                return Reinit.like(origin, laws[origin], self.key(origin, seed, i))

            yield rebuilt(tensor, drawn)


def _fans(tensor: Tensor) -> _Fans:
    """Return the fans of a tensor of two or more dimensions."""
    if tensor.layout == "out-in":
        outs, ins, *kernel = tensor.shape
    else:
        *kernel, ins, outs = tensor.shape
    size = math.prod(kernel)
    return _Fans(ins * size, outs * size)


def _moments(tensor: Tensor, pool: Pool) -> tuple[float, float]:
    """Return mean and population standard deviation, in float64 and two passes."""
    mean = _mean_of(tensor, _PowerSums(), pool)
    variance = _mean_of(tensor, _PowerSums(mean, 2), pool)
    if not math.isfinite(variance):
        raise UnmeasurableError(
            f"{tensor.name}: the weights are too large for a standard deviation in float64"
        )
    return mean, math.sqrt(variance)


def _mean_of(tensor: Tensor, reducer: _PowerSums, pool: Pool) -> float:
    (state,) = fold(tensor, [reducer], pool, work=0)
    if isinstance(state, Failed):
        raise UnmeasurableError(f"{tensor.name}: {state.reason}")
    assert isinstance(state, _PowerSumsState)  # noqa: S101 - our own reducer
    if state.n_nan or state.n_inf:
        raise UnmeasurableError(
            f"{tensor.name}: {state.n_nan} NaN and {state.n_inf} infinite weights: there is "
            "no mean and standard deviation to match; shuffle and init:torch need none"
        )
    return math.fsum(state.sums) / tensor.n_weights


@dataclass(frozen=True)
class _PowerSums:
    """Sum of (w - centre) to a power, leaf by leaf."""

    centre: float = 0.0
    power: int = 1
    cut: Cut = field(default=Every(), init=False)
    memory: int = field(default=24 * LEAF, init=False)

    def start(self) -> _PowerSumsState:
        return _PowerSumsState(self)


@dataclass
class _PowerSumsState(State):
    reducer: _PowerSums
    sums: list[float] = field(default_factory=list)
    n_nan: int = 0
    n_inf: int = 0

    def update(self, chunk: Piece, at: Any) -> None:
        flat = chunk.weights.reshape(-1)
        for i in range(0, flat.size, LEAF):
            with np.errstate(over="ignore", invalid="ignore"):
                leaf = flat[i : i + LEAF].astype(np.float64)
                sums = leaf_sums((leaf - self.reducer.centre) ** self.reducer.power)
            if not math.isfinite(sums[0]):
                self.n_nan += int(np.isnan(leaf).sum())
                self.n_inf += int(np.isinf(leaf).sum())
            self.sums += sums

    def __add__(self, other: _PowerSumsState) -> _PowerSumsState:
        n_nan, n_inf = self.n_nan + other.n_nan, self.n_inf + other.n_inf
        return _PowerSumsState(self.reducer, self.sums + other.sums, n_nan, n_inf)
