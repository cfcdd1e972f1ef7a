"""Records of calibration: cases, their known answers, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from numpy.random import Generator
from numpy.typing import NDArray

from kcomplexity.results.documents import Document
from kcomplexity.results.json_form import SCHEMA_VERSION
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
        The answer lies between them, both included; a `high` of None is no limit.
    value : float or None
        The answer itself, where theory gives one; the limits are then its tolerance.
    why : str
        The formula, or the reason, in a few words.
    tensor : str or None
        The tensor measured; None for all that the case makes.
    """

    spec: str
    low: float
    high: float | None = None
    value: float | None = None
    why: str
    sees: Sees = ""
    tensor: str | None = None
    scope: Scope = "tensor"
    quantity: Quantity = "bits/weight"

    def admits(self, measured: float) -> bool:
        """Whether a measured value is the known one."""
        return self.low <= measured and (self.high is None or measured <= self.high)


@dataclass(frozen=True, kw_only=True)
class Answer(Known):
    """A known answer and what was measured, in its `quantity`.

    `measured` is None if it could not be measured, and `reason` says why; `met` says whether the
    known answer admits it.
    """

    measured: float | None
    met: bool
    reason: str | None

    @classmethod
    def of(cls, known: Known, measured: float | None, reason: str | None = None) -> Self:
        """Compare a measured value with the known one."""
        met = measured is not None and known.admits(measured)
        return cls(**vars(known), measured=measured, met=met, reason=reason)


@dataclass(frozen=True)
class Case:
    """Made tensors and their known answers; `make` gives the tensors from a seeded generator."""

    name: str
    what: str
    make: Callable[[Generator], Arrays]
    expect: tuple[Known, ...]


@dataclass(frozen=True)
class Calibrated:
    """A case with its tensors and answers, in the order of ``case.expect``."""

    case: Case
    arrays: Arrays
    answers: tuple[Answer, ...]

    def checked(self) -> CheckedCase:
        """Return what a report keeps of the case."""
        made = tuple(MadeTensor(n, str(a.dtype), a.shape) for n, a in self.arrays.items())
        return CheckedCase(self.case.name, self.case.what, made, self.answers)


@dataclass(frozen=True)
class MadeTensor:
    """What was made."""

    tensor: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class CheckedCase:
    """A case as a report keeps it, without its arrays."""

    name: str
    what: str
    tensors: tuple[MadeTensor, ...]
    answers: tuple[Answer, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationReport(Document):
    """All known answers, and what was measured: the document of ``demo --calibrate``."""

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
