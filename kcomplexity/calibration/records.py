"""Records of calibration: cases, their known answers, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from numpy.random import Generator
from numpy.typing import NDArray

from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION, plain
from kcomplexity.results.records import Provenance
from kcomplexity.tensors.groups import Scope

Arrays = dict[str, NDArray[Any]]
#: What is compared: bits, bits a weight, stored bits over coded bits, or bits over those of the
#: shuffled weights.
Quantity = Literal["bits", "bits/weight", "raw/comp", "of shuffled"]
#: Whether a measure finds the structure that was put in: all of it, part, none; or appears to find
#: structure that is not there. Empty where there is nothing to find.
Sees = Literal["sees", "partly", "blind", "misled", ""]


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
    """Made tensors and their known answers.

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

    def checked(self) -> CheckedCase:
        """Return what a report keeps of the case."""
        return CheckedCase(
            name=self.case.name,
            what=self.case.what,
            tensors=tuple(
                MadeTensor(tensor=name, dtype=str(array.dtype), shape=array.shape)
                for name, array in self.arrays.items()
            ),
            answers=tuple(
                CheckedAnswer(
                    **plain(answer.known),
                    measured=answer.measured,
                    met=answer.met,
                    reason=answer.reason,
                )
                for answer in self.answers
            ),
        )


@dataclass(frozen=True, kw_only=True)
class MadeTensor:
    """What was made."""

    tensor: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CheckedAnswer:
    """A known answer and what was measured: the fields of `Known` and of `Answer`.

    ``low`` and ``high`` are None where there is no limit.
    """

    spec: str
    low: float | None
    high: float | None
    value: float | None
    why: str
    sees: Sees
    tensor: str | None
    scope: Scope
    quantity: Quantity
    measured: float | None
    met: bool
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class CheckedCase:
    """A case as a report keeps it, without its arrays."""

    name: str
    what: str
    tensors: tuple[MadeTensor, ...]
    answers: tuple[CheckedAnswer, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationReport(Document):
    """All known answers, and what was measured: the document of ``demo --calibrate``.

    Attributes
    ----------
    provenance : Provenance
    n_answers, n_met : int
    cases : tuple of CheckedCase
    """

    provenance: Provenance
    n_answers: int
    n_met: int
    cases: tuple[CheckedCase, ...]
    schema_version: int = SCHEMA_VERSION

    kind: ClassVar[str] = "calibrate"
    rows_name: ClassVar[str] = "cases"

    @classmethod
    def of(cls, results: Iterable[Calibrated], provenance: Provenance) -> Self:
        """Return the report on calibrated cases."""
        cases = tuple(result.checked() for result in results)
        met = [answer.met for case in cases for answer in case.answers]
        return cls(provenance=provenance, n_answers=len(met), n_met=sum(met), cases=cases)
