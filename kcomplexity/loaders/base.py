"""The contract of a loader.

A loader reads one file format. It is an object with three things:

``extensions``
    Endings that files of this format usually have, in lower case, e.g. ``(".npz",)``. They decide
    nothing: they only say which format a file *claims* to be when nothing recognises its content,
    so that the message can say what is wrong with it, and let a misleading ending be noted.

``sniff(path, head)``
    Whether `path` is a file of this format. `head` holds the first bytes of the file (up to
    :data:`HEAD`; empty for a folder). The content decides, so look at the extension only if the
    content leaves it open. It must be quick, raise nothing, and say yes only when it is certain:
    the first loader that does gets the file.

``load(path, options)``
    Open the file and return a :class:`~kcomplexity.tensors.checkpoint.Checkpoint`. Read headers
    only: the tensors read their own bytes when asked. The file is hostile until checked: bound what
    is read before it is checked, execute nothing it contains, follow no path that leaves its
    folder, and never allocate what a number in the file asks for. Raise a subclass of
    :class:`~kcomplexity.errors.CheckpointError` whose message is one line that names the file, what
    was expected and what to do; names out of the file pass through
    :func:`kcomplexity.text.printable`. What cannot be decoded but whose bytes are known becomes a
    tensor with an opaque dtype; what is left out altogether is reported in ``notes``.

Two more may be left out:

``nested``
    True if ``Options.root`` means something to the format.

``in_folders``
    The endings by which a folder is searched for files of this format, which are then read as
    the shards of one checkpoint; by default all of ``extensions``, and ``()`` for none.

An optional dependency is imported inside ``load``, by :func:`import_extra`; where it is missing,
the error names the extra that installs it. The loader is registered under the name that
``Checkpoint.format`` shows, in the block at the end of ``kcomplexity/loaders/__init__.py`` (as a
:class:`~kcomplexity.loaders.deferred.Deferred`, so that it is imported for its own files alone),
or as an entry point of the group ``kcomplexity.loaders`` that points to the object.

`path` may be a URL (:class:`kcomplexity.files.urls.UrlPath`). Read it only through
:func:`kcomplexity.files.opening.open_for_loading`: its tensors are then read by range as well.
"""

from __future__ import annotations

import fnmatch
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from kcomplexity.errors import MissingExtraError, SpecError
from kcomplexity.registry import Registry
from kcomplexity.tensors.checkpoint import Checkpoint, Tensor
from kcomplexity.tensors.dtypes import DTYPES
from kcomplexity.text import printable

#: Bytes of a file that :meth:`Loader.sniff` is shown.
HEAD = 4096


@dataclass(frozen=True)
class Options:
    """What the user states about a checkpoint that the file itself does not.

    Attributes
    ----------
    dtypes : mapping of str to str
        Glob on tensor names -> dtype code of their values. The last match wins.
    root : str or None
        In a file that nests its tensors, the keys of the part to read, joined with dots.
    dequantize : bool
        Whether quantised blocks are read as the weights they stand for, not as stored codes.
    stored : bool
        Open the arrays that a mosaic file holds, not the weights that they stand for.

    Raises
    ------
    SpecError
        If a code is not one of safetensors'.
    """

    dtypes: Mapping[str, str] = field(default_factory=dict)
    root: str | None = None
    dequantize: bool = False
    stored: bool = False

    def __post_init__(self) -> None:
        for glob, code in self.dtypes.items():
            if code not in DTYPES:
                raise SpecError(
                    f"dtype {code!r} for {glob!r} is unknown; expected one of {', '.join(DTYPES)}"
                )

    def dtype_of(self, name: str) -> str | None:
        """Return the code that the user stated for the tensor `name`, or None."""
        codes = [code for glob, code in self.dtypes.items() if fnmatch.fnmatchcase(name, glob)]
        return codes[-1] if codes else None

    def apply(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return `checkpoint` with the dtypes that the user stated.

        Raises
        ------
        SpecError
            If a glob matches nothing, or a code is not as wide as what is stored.
        """
        for glob in self.dtypes:
            if not any(fnmatch.fnmatchcase(name, glob) for name in checkpoint):
                raise SpecError(
                    f"no tensor of {printable(checkpoint.path)} matches {glob!r}, "
                    "for which a dtype was given"
                )
        tensors = {name: self._apply_to(tensor) for name, tensor in checkpoint.items()}
        return replace(checkpoint, tensors=tensors)

    def _apply_to(self, tensor: Tensor) -> Tensor:
        code = self.dtype_of(tensor.name)
        if code is None:
            return tensor
        dtype = DTYPES[code]
        if dtype.bits != tensor.dtype.bits:
            raise SpecError(
                f"{printable(tensor.name)} stores {tensor.dtype.bits} bits a value "
                f"({tensor.dtype.code}), and {code} has {dtype.bits}; give a code as wide"
            )
        return replace(tensor, dtype=dtype)


class Loader(Protocol):
    """Reads one file format; the contract is the prose above."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """Endings that files of this format usually have."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether `path`, which starts with `head`, is a file of this format."""

    def load(self, path: Path, options: Options) -> Checkpoint:
        """Open `path`, reading headers only."""


def check_loader(_name: str, thing: object) -> str | None:
    """Return what `thing` lacks to be registered as a loader, or None."""
    if isinstance(thing, type):
        return f"{thing.__name__} is a class; register an instance of it"
    # Looked up without evaluating a property: `Deferred.extensions` would import its loader.
    required = ("extensions", "sniff", "load")
    missing = [part for part in required if inspect.getattr_static(thing, part, None) is None]
    return f"{type(thing).__name__} does not define {', '.join(missing)}" if missing else None


#: Every file format by the name that ``Checkpoint.format`` shows, in the order in which the loaders
#: are asked. They are registered in ``kcomplexity/loaders/__init__.py``.
LOADERS: Registry[Loader] = Registry("kcomplexity.loaders", "file format", check_loader)


def known_endings() -> set[str]:
    """Return the endings of checkpoint files in all formats, in lower case.

    That of an index of shards is not among them: most JSON files are something else.
    """
    formats = (loader for name, loader in LOADERS.items() if name != "sharded")
    return {ending for loader in formats for ending in loader.extensions}


def without_ending(name: str) -> str:
    """Return a file name without the longest ending of a known format.

    Examples
    --------
    >>> without_ending("digits.mosaic.safetensors"), without_ending("step-1.5")
    ('digits', 'step-1.5')
    """
    ending = max((e for e in known_endings() if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)]


def import_extra(module: str, extra: str, what: str) -> Any:
    """Import an optional package, or say how to install it.

    Parameters
    ----------
    module : str
        Name of the package.
    extra : str
        Name of the extra of kcomplexity that installs it.
    what : str
        What needs it and for which file, printable, to begin the message.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: pip install 'kcomplexity[{extra}]'"
        ) from None
