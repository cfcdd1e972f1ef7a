"""What is measured by what: the options of every call that scores."""

from __future__ import annotations

from collections.abc import Iterable

from kcomplexity.loaders.selecting import Reading
from kcomplexity.parallel.running import Running
from kcomplexity.tensors.groups import Scope


class Measuring(Reading, Running, total=False):
    """Keyword arguments of ``score``, ``compare`` and ``trajectory``.

    Those of :class:`~kcomplexity.loaders.selecting.Reading` and
    :class:`~kcomplexity.parallel.running.Running` are among them.

    Attributes
    ----------
    panel : str
        A named list of specs with their controls; ``"default"`` unless given.
    specs : str or iterable of str or None
        Specs instead of a panel: ``"zstd:19@bytes/planes,entropy@q8"`` or a list.
    controls : str or iterable of str or None
        Controls for every spec that can see them, as ``["shuffle:19"]``; the panel's own by
        default, none with `specs`.
    scope : {"tensor", "group", "model"} or None
        What is measured as one; by default what the panel says, mostly each tensor.
    seed : int
        Of controls and samples.
    sample : float or None
        Share of each big tensor to measure, 0 to 1, for every spec.
    exact : bool
        Forbid sampling; expensive specs then take as long as they take.
    """

    panel: str
    specs: str | Iterable[str] | None
    controls: str | Iterable[str] | None
    scope: Scope | None
    seed: int
    sample: float | None
    exact: bool
