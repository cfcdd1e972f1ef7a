"""The contract of an estimator: symbols (or weights) in, one measured value out.

An estimator is a frozen dataclass whose fields are its parameters, in the order of the spec's
grammar; the first may be written without its name (``zstd:19``). It says with class variables what
its number is - a code length a decoder could use, an estimate, a statistic - and which way is
simpler. Then it does two things:

``reducer(alphabet, shape)``
    The recipe that gathers what it needs from one stream of symbols: see
    :class:`kcomplexity.parallel.Reducer`. Chunks are arrays of unsigned symbols below
    ``alphabet.size``, a whole number of the reducer's cuts long. An estimator without a view
    (``default_view = None``) gets ``alphabet = None`` and chunks that are
    :class:`~kcomplexity.parallel.Piece`: the weights themselves.
``measure(states, alphabets)``
    The value, from the final state of each stream.

An estimator that needs more of the tensor than its matrix form - which weights make a kernel -
overrides ``reducers(encoder, tensor)``. One that codes weights rather than a view's symbols, at the
error of the view, sets ``sees_weights`` as well: its chunks are
:class:`~kcomplexity.parallel.Piece`.

States hold integers, or one float per leaf, so that figures never depend on how the work was cut.

To add one: a class here or in a package of yours with an entry point in the group
``kcomplexity.estimators``; it is then listed, scored and tested against this contract by name. A
name means one definition for ever: changed maths gets a new name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

from kcomplexity.parallel import Reducer, State
from kcomplexity.registry import class_problem
from kcomplexity.results.account import Account
from kcomplexity.tensors.checkpoint import Tensor
from kcomplexity.views.base import Alphabet, Encoder

Kind = Literal["code", "estimate", "statistic"]


@dataclass(frozen=True)
class Measure:
    """The value that an estimator returns, and what is needed to read it.

    Attributes
    ----------
    value : float
        In the estimator's unit; for codes and estimates the bits of all streams.
    n_ignored : int
        Weights that the definition leaves out, such as a remainder shorter than a block.
    n_blocks, n_codes_seen : int or None
        Blocks counted, and how many different ones.
    saturated : bool or None
        Whether blocks so outnumber codes that the value has stopped growing with complexity.
    stream_bits : dict of str to float, or None
        Bits of each stream that has a name; see :func:`bits_by_stream`.
    account : Account or None
        Of a code that sees arrangement: its order-0 bits, and what each stage saves.
    squared_error, sum_of_squares : float or None
        Of a code of weights (not of a view's symbols): what decoding loses, and of how much.
    side_bits : float
        What a decoder needs beside the symbols. Like the next two, it is filled in by what runs
        the estimator, from the view.
    relative_mse : float or None
        `squared_error` over `sum_of_squares`.
    level_step : float or None
        What one level of the view is in weights.
    details : dict
        Anything else worth keeping in the row; JSON values that no code depends on.
    """

    value: float
    n_ignored: int = 0
    n_blocks: int | None = None
    n_codes_seen: int | None = None
    saturated: bool | None = None
    stream_bits: dict[str, float] | None = None
    account: Account | None = None
    squared_error: float | None = None
    sum_of_squares: float | None = None
    side_bits: float = 0.0
    relative_mse: float | None = None
    level_step: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def bits(self) -> float:
        """Bits of a code or an estimate, side information included."""
        return self.value + self.side_bits


@dataclass(frozen=True)
class Estimator(ABC):
    """Base of every estimator; the fields of a subclass are its parameters."""

    #: One line for ``kcomplexity estimators``.
    summary: ClassVar[str]
    #: ``code``: something can decode it; ``estimate``: nothing can; ``statistic``: not in bits.
    kind: ClassVar[Kind]
    #: Whether the value can change when values trade places.
    positional: ClassVar[bool]
    #: The view of a spec that names none; None for those that see the weights themselves.
    default_view: ClassVar[str | None]
    #: Where the definition comes from.
    reference: ClassVar[str]
    #: Whether the bits of a sample, scaled up, stand for the bits of the whole. Where they do not
    #: (BDM counts a repeated block once, an alphabet as wide as the tensor is long shows ever more
    #: of its symbols), everything is always measured.
    additive: ClassVar[bool] = True
    #: Whether its chunks are the weights even though it has a view.
    sees_weights: ClassVar[bool] = False
    #: Whether it uses ``scipy.linalg``, whose BLAS has to be loaded before it can be kept to one
    #: thread: last digits would depend on how many there are.
    linear_algebra: ClassVar[bool] = False
    #: Which part of structure S its bits count: ``"context"`` for a code that keeps an account and
    #: sees what lies beside what, ``"low rank"`` for one that sees rank; None for all others.
    structure_part: ClassVar[Literal["context", "low rank"] | None] = None
    #: Whether its value may differ between two machines with equal library versions, so that a
    #: cached value is of use on the same machine only.
    machine_dependent: ClassVar[bool] = False
    unit: ClassVar[str] = "bits"
    direction: ClassVar[str] = "lower = simpler"

    @property
    def rate(self) -> float:
        """Rough speed of one core in symbols a second, for ``--dry-run`` and nothing else."""
        return 3e8

    @property
    def cap(self) -> int | None:
        """Weights measured in full, replicates of controls counted in; None: any number.

        Above it a seeded sample is measured. Fixed, so that no figure depends on the machine.
        """
        return None

    @property
    def target_mse(self) -> float | None:
        """Relative squared error that it codes weights at by a parameter of its own.

        None where the view alone decides the error: see
        :attr:`~kcomplexity.views.base.View.target_mse`.
        """
        return None

    @abstractmethod
    def reducer(self, alphabet: Alphabet | None, shape: tuple[int, int]) -> Reducer:
        """Return what gathers one stream over a tensor whose matrix form is `shape`.

        Raises
        ------
        UnmeasurableError
            If such a stream or shape has no such value.
        """

    def reducers(self, encoder: Encoder | None, tensor: Tensor) -> tuple[Reducer, ...]:
        """Return what gathers each stream of `tensor`; by default the matrix form says enough.

        Raises
        ------
        UnmeasurableError
            If such a view, stream or shape has no such value.
        """
        shape = tensor.matrix_shape
        if encoder is None:
            return (self.reducer(None, shape),)
        return tuple(self.reducer(alphabet, shape) for alphabet in encoder.streams)

    @abstractmethod
    def measure(self, states: Sequence[State], alphabets: Sequence[Alphabet]) -> Measure:
        """Return the value, from the final state of each stream.

        Raises
        ------
        UnmeasurableError
            If the states have no such value.
        """

    def whole(self, values: Sequence[float], n_weights: Sequence[int]) -> float | None:
        """Return the value of all tensors together; None if their values do not combine.

        Bits are added without it. Every statistic must define it.
        """
        return None


def check_estimator(_name: str, thing: Any) -> str | None:
    """Return what `thing` lacks to be registered as an estimator, or None."""
    required = ("summary", "kind", "positional", "default_view", "reference")
    if problem := class_problem(thing, Estimator, required):
        return problem
    kinds = get_args(Kind)
    # A kind that depends on a parameter is a property, which has no value yet.
    if isinstance(thing.kind, str) and thing.kind not in kinds:
        return f"{thing.__name__}.kind is {thing.kind!r}; expected one of {', '.join(kinds)}"
    if thing.kind == "statistic" and thing.whole is Estimator.whole:
        return (
            f"{thing.__name__} is a statistic and does not define whole; return None from it if "
            "the values of tensors do not combine"
        )
    return None


def weighted_mean(values: Sequence[float], n_weights: Sequence[int]) -> float:
    """Return the mean of one value a tensor, weighted by the number of weights."""
    return math.fsum(v * n for v, n in zip(values, n_weights, strict=True)) / sum(n_weights)


def bits_by_stream(alphabets: Sequence[Alphabet], bits: Sequence[float]) -> dict[str, float] | None:
    """Return the bits of each stream that has a name; None where no stream has one."""
    return {a.name: b for a, b in zip(alphabets, bits, strict=True) if a.name} or None
