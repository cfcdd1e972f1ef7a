"""Every exception and warning kcomplexity raises on purpose.

::

    KComplexityError
    ├── CheckpointError (ValueError)          the file is not what it says it is
    │   ├── CheckpointNotFoundError (FileNotFoundError)
    │   ├── UnknownFormatError                nothing here reads such a file
    │   ├── CorruptCheckpointError            truncated, overlapping, lying headers
    │   ├── ForbiddenGlobalError              a pickle asks for something that is no tensor
    │   ├── MissingExtraError (ImportError)   the format needs a package that is not installed
    │   ├── RemoteError (OSError)             a server did not give what was asked for
    │   └── ShardError                        an index and its shards disagree
    ├── SpecError (ValueError)                a spec, panel, control or option that means nothing
    ├── UnmeasurableError (ValueError)        this tensor cannot be measured this way: a skipped row
    ├── ResultError (ValueError)              a file is no result, or has nothing to show
    ├── OutputError (OSError)                 a result could not be written
    └── CtmTableError (RuntimeError)          pybdm's tables are missing or not the ones we know

    KComplexityWarning (UserWarning)
    ├── CacheWarning                          figures are measured anew
    ├── JournalWarning                        rows of an interrupted run are replaced
    └── ShardWarning                          odd, but nothing is lost

Leaves also inherit the builtin a caller would expect, so ``except FileNotFoundError`` works.
A message says what was given, what was expected and what to do next.
"""

from __future__ import annotations

__all__ = [
    "CacheWarning",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CorruptCheckpointError",
    "CtmTableError",
    "ForbiddenGlobalError",
    "JournalWarning",
    "KComplexityError",
    "KComplexityWarning",
    "MissingExtraError",
    "OutputError",
    "RemoteError",
    "ResultError",
    "ShardError",
    "ShardWarning",
    "SpecError",
    "UnknownFormatError",
    "UnmeasurableError",
]


class KComplexityError(Exception):
    """Base of every error raised on purpose by kcomplexity."""


class CheckpointError(KComplexityError, ValueError):
    """A checkpoint cannot be read as what it claims to be."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """The path given does not exist."""


class UnknownFormatError(CheckpointError):
    """No loader recognises the content of the file."""


class CorruptCheckpointError(CheckpointError):
    """The format is recognised, but the file breaks its own rules."""


class ForbiddenGlobalError(CheckpointError):
    """A pickle refers to something that is neither a tensor nor a container; nothing was run."""


class MissingExtraError(CheckpointError, ImportError):
    """A format needs an optional package; the message says how to install it."""


class RemoteError(CheckpointError, OSError):
    """A server ignored a range, stalled, or sent something else than it said."""


class ShardError(CheckpointError):
    """The index of a sharded checkpoint and its shards disagree."""


class SpecError(KComplexityError, ValueError):
    """A spec, panel, control or option that does not name anything that can be done."""


class UnmeasurableError(KComplexityError, ValueError):
    """A tensor cannot be measured this way; it becomes a row with ``status="skipped"``."""


class ResultError(KComplexityError, ValueError):
    """A file is no result of this tool, or holds nothing of what is asked of it."""


class OutputError(KComplexityError, OSError):
    """A result could not be written; nothing half-written was left behind."""


class CtmTableError(KComplexityError, RuntimeError):
    """pybdm's CTM tables are absent, or are not the files this version knows."""


class KComplexityWarning(UserWarning):
    """Base of every warning issued by kcomplexity."""


class CacheWarning(KComplexityWarning):
    """The cache of rows cannot be used; everything is measured."""


class JournalWarning(KComplexityWarning):
    """The rows of an interrupted run are replaced: nobody asked to resume it."""


class ShardWarning(KComplexityWarning):
    """A sharded checkpoint is odd in a way that loses nothing."""
