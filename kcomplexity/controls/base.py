"""Randomised controls: the same measure of weights of which one property is randomised.

A :class:`Control` is a recipe for seeded replicate tensors that run through the same pipeline as
the tensor itself: shuffled (everything kept but the order), with random signs (magnitudes kept in
place), or drawn anew as at initialisation. Which control answers which question:

* any order at all: ``shuffle``; order along rows or columns: ``shuffle-rows``, ``shuffle-cols``;
* the sign pattern, in sign views: ``signs``;
* the histogram: ``init:KIND``;
* the layout of hidden units: ``unit-permutation``.

``name[:N]`` gives N replicates. Replicate i depends on the seed, the kind, the tensor's name and i
alone, so ``shuffle:5`` is the beginning of ``shuffle:19``, and a tensor has the same replicates
alone as among others: of several tensors laid end to end, each is randomised on its own.

To add one: a frozen dataclass deriving from :class:`Control` whose fields are its words in the
text (``init:KIND``), registered in this package's ``__init__``, or by an entry point in the group
``kcomplexity.controls`` of your package.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Self

from kcomplexity.errors import SpecError
from kcomplexity.parallel.pool import Pool
from kcomplexity.registry import Registry, class_problem
from kcomplexity.results.control_results import FEWEST_FOR_Z
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.derived import origins

#: 999 replicates give p down to .001; more of them add nothing and take days.
_MOST = 999


@dataclass(frozen=True)
class Control(ABC):
    """Base of every control; the fields of a subclass are the words of its text.

    Attributes
    ----------
    n : int
        Replicates, 1 to 999.
    """

    n: int = field(default=FEWEST_FOR_Z, kw_only=True)

    #: One line for listings.
    summary: ClassVar[str]
    #: Whether weights only trade places: a view's encoder for the tensor then holds for its
    #: replicates, and estimators that see no positions are not repeated.
    keeps_values: ClassVar[bool]
    #: Whether a replicate costs nothing until it is read. A sample of the tensor is then cut from
    #: replicates of the whole of it, else replicates are made of the sample.
    lazy: ClassVar[bool]
    #: Whether a sample of the tensor can be controlled at all.
    samples: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.n <= _MOST:
            raise SpecError(f"{self}: expected 1 to {_MOST} replicates, e.g. {self.kind}:5")

    def __str__(self) -> str:
        return f"{self.kind}:{self.n}"

    @property
    def kind(self) -> str:
        """The canonical text without the number of replicates, e.g. ``"init:torch"``."""
        words = [str(getattr(self, f.name)) for f in words_of(type(self))]
        return ":".join([CONTROLS.name_of(type(self)), *words])

    def key(self, tensor: Tensor, seed: int, i: int) -> int:
        """Return the 128-bit key of replicate `i` of one tensor."""
        text = f"{seed}\0{self.kind}\0{tensor.name}\0{i}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")

    def for_checkpoints(self, checkpoints: Iterable[Checkpoint]) -> Self:
        """Return the control as it applies to tensors of some checkpoints; most are the same."""
        return self

    def depends_on(self, tensor: Tensor) -> list[str]:
        """Return all that replicates of a tensor depend on besides it, the seed and the text.

        Part of the key that a row is cached under; what :meth:`for_checkpoints` adds belongs here.
        """
        return []

    @abstractmethod
    def changes(self, tensor: Tensor) -> bool:
        """Whether the control means anything for a tensor that is not made from others."""

    def applies(self, tensor: Tensor) -> bool:
        """Whether replicates can differ from `tensor`; those that cannot are `tensor` itself."""
        return any(self.changes(origin) for origin in origins(tensor))

    @abstractmethod
    def replicates(self, tensor: Tensor, seed: int, pool: Pool) -> Generator[Tensor, None, None]:
        """Yield `n` replicates, each of which lives until the next is asked for.

        Parameters
        ----------
        tensor : Tensor
            Addressable. What is laid end to end is controlled member by member, each by its own
            name; members that the control does not change stay as they are, so that sums over a
            whole network are complete.
        seed : int
        pool : Pool
            Its budget counts what a replicate holds in memory; its temporary folder takes what is
            too big for that. Close the generator to give both back early.

        Raises
        ------
        UnmeasurableError
            If weights that are not finite leave nothing to match.
        """


def words_of(cls: type[Control]) -> list[Field[Any]]:
    """Return the fields that are words of the text, in order; the number of replicates is not."""
    return [f for f in fields(cls) if not f.kw_only]


def usage(name: str, cls: type[Control]) -> str:
    """Return how the control is written, e.g. ``"init:SCHEME[:N]"``."""
    return ":".join([name, *(f.name.upper() for f in words_of(cls))]) + "[:N]"


def check_control(_name: str, thing: object) -> str | None:
    """Return what `thing` lacks to be registered as a control, or None."""
    return class_problem(thing, Control, ("summary", "keeps_values", "lazy"))


#: Every control by the name it has in a text; here because a control's text begins with it.
CONTROLS: Registry[type[Control]] = Registry("kcomplexity.controls", "control", check_control)


def parse_control(text: str) -> Control:
    """Parse ``name[:word][:N]``.

    Raises
    ------
    SpecError
        If it names no control, or a word or a number is missing, wrong or too much.

    Examples
    --------
    >>> str(parse_control("shuffle"))
    'shuffle:5'
    >>> parse_control("INIT:torch:8").kind
    'init:torch'
    """
    name, *texts = text.strip().lower().split(":")
    cls = CONTROLS.lookup(name)
    words = words_of(cls)
    expected = usage(name, cls)
    if len(texts) > len(words) + 1:
        raise SpecError(
            f"control {text!r}: {texts[-1]!r} is one word too many: expected {expected}"
        )
    # A missing word is passed as an empty one: the class itself says which words it takes.
    values: dict[str, Any] = {f.name: "" for f in words if f.default is MISSING}
    values |= {f.name: word for f, word in zip(words, texts, strict=False)}
    if len(texts) > len(words):
        if not texts[-1].isdecimal():
            raise SpecError(f"control {text!r}: {texts[-1]!r} is not a number: expected {expected}")
        values["n"] = int(texts[-1])
    return cls(**values)


def is_signed(tensor: Tensor) -> bool:
    """Whether it holds signed floating-point numbers, complex ones included."""
    return bool(tensor.dtype.sign_bits) and tensor.dtype.numpy is not None
