"""Panels: named lists of specs with their controls, for the questions people ask.

A panel's own controls name no number of replicates: there are as many as the size of the
checkpoint affords (:func:`affordable`), so that the default stays interactive on a big one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kcomplexity.errors import SpecError
from kcomplexity.tensors.groups import Scope


@dataclass(frozen=True)
class Panel:
    """A named list of specs with their controls.

    Attributes
    ----------
    name, summary : str
    specs : tuple of str
        Canonical.
    controls : dict of str to tuple of str
        The controls of each spec, without a number, unless the user names others for all.
    scope : {"tensor", "group", "model"}
        What is measured as one, unless the user says otherwise.
    exclude : tuple of str
        Globs of tensors that are left out.
    warning : str
        What a reader has to know before any figure; empty for most.
    """

    name: str
    summary: str
    specs: tuple[str, ...]
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scope: Scope = "tensor"
    exclude: tuple[str, ...] = ()
    warning: str = ""


def panel(name: str) -> Panel:
    """Return the panel called `name`.

    Raises
    ------
    SpecError
        If there is none; the message lists them.
    """
    if name not in PANELS:
        raise SpecError(f"unknown panel {name!r}: expected one of {', '.join(PANELS)}")
    return PANELS[name]


def affordable(n_weights: int) -> int:
    """Return how many replicates a panel's own control has, by the size of the checkpoint.

    19 can give p = .05, since p = (1 + number of controls at or below it) / (N + 1); a big network
    needs few, because its shuffles hardly differ. The steps are fixed, so that figures do not
    depend on the machine.
    """
    return 19 if n_weights <= 1 << 22 else 5 if n_weights <= 1 << 26 else 1


_QUBD = "qubd@q8:clip=99.9/bits"
_FAST = ("zstd@bytes/planes", "entropy:two-part@q8", "nonzero")
_DEFAULT = (
    "zstd@bytes",
    "zstd@bytes/planes",
    "entropy:two-part@bytes/fields",
    "entropy:two-part@q8",
    "entropy:two-part@rd0.01",
    "entropy@sign",
    "zstd:9@q4",
    "bdm2d@sign",
    _QUBD,
    "ctx@rd0.1",
    "lowrank@rd0.1",
    "nonzero",
    "l2",
)
# lowrank goes without: shuffled weights have no rank that pays, so its shuffles say nothing new.
_ORDER = dict.fromkeys(("zstd:9@q4", "bdm2d@sign", _QUBD, "ctx@rd0.1"), ("shuffle",))
_STRUCTURE = (
    "entropy:two-part@rd0.1",
    "ctx@rd0.1",
    "lowrank@rd0.1",
    "ctx@sign",
    "ctx@rd0.01",
    "bdm2d@sign",
    "stable-rank",
    "spectral-entropy",
)
_LOSSLESS = (
    "gzip@bytes",
    "zstd@bytes",
    "zstd@bytes/planes",
    "zstd:19@bytes/planes",
    "brotli@bytes",
    "bz2@bytes/planes",
    "xz@bytes/planes",
    "entropy:two-part@bytes/planes",
    "entropy:two-part@bytes/fields",
    "entropy@words",
)
# What training does not touch, or keeps as a running average: MoMos measures parameters alone.
_NOT_TRAINED = ("*running_mean", "*running_var", "*num_batches_tracked")

_ALL = (
    Panel("fast", "one pass: lossless size, 8-bit size, zeros; no controls", _FAST),
    Panel(
        "default",
        "lossless size, size at 1 % error, signs; order and layout against shuffles",
        _DEFAULT,
        _ORDER,
    ),
    Panel("lossless", "every lossless code: what the stored bytes need", _LOSSLESS),
    Panel(
        "momos",
        "the six metrics of MoMos (arXiv 2602.14896) on float32 laid end to end",
        ("gzip:frame=0@f32", "bz2:frame=0@f32", "xz:9:frame=0@f32", "bdm1d@sign", "nonzero", "l2"),
        scope="model",
        exclude=_NOT_TRAINED,
    ),
    Panel(
        "momos-binarised",
        "MoMos' compressors on signs stored as one byte each",
        ("gzip:frame=0@sign-byte", "bz2:frame=0@sign-byte", "xz:9:frame=0@sign-byte"),
        scope="model",
        exclude=_NOT_TRAINED,
        warning="one byte holds one sign here, so that even noise compresses sevenfold: "
        "compare these figures with one bit a weight, not with the stored bytes",
    ),
    Panel(
        "qubd",
        "QuBD and the signs' BDM against shuffles and a matched re-initialisation",
        (_QUBD, "bdm2d@sign"),
        dict.fromkeys((_QUBD, "bdm2d@sign"), ("shuffle", "init:normal")),
    ),
    Panel(
        "structure",
        "what arrangement saves: context and low-rank codes against shuffles",
        _STRUCTURE,
        dict.fromkeys(_STRUCTURE[1:6], ("shuffle",))
        | dict.fromkeys(("ctx@rd0.1", "bdm2d@sign"), ("shuffle", "unit-permutation")),
    ),
    Panel(
        "all",
        "every spec of default and lossless",
        tuple(dict.fromkeys(_DEFAULT + _LOSSLESS)),
        _ORDER,
    ),
)

#: Every panel by its name.
PANELS: Mapping[str, Panel] = MappingProxyType({entry.name: entry for entry in _ALL})
