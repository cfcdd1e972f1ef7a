"""Every exception and warning kcomplexity raises on purpose.

::

    KComplexityError
    ├── CheckpointError (ValueError)          the file cannot be read as a checkpoint
    │   ├── CheckpointNotFoundError (FileNotFoundError)
    │   ├── UnknownFormatError                no loader reads the file
    │   ├── CorruptCheckpointError            cut, overlapping or lying headers
    │   ├── ForbiddenGlobalError              a pickle refers to more than tensors
    │   ├── MissingExtraError (ImportError)   the format needs a package that is not installed
    │   ├── RemoteError (OSError)             a server did not send what was requested
    │   └── ShardError                        an index and its shards disagree
    ├── SpecError (ValueError)                an invalid spec, panel, control or option
    ├── UnmeasurableError (ValueError)        this tensor cannot be measured this way: a skipped row
    ├── ResultError (ValueError)              a file is not a result, or has nothing to show
    ├── OutputError (OSError)                 a result could not be written
    └── CtmTableError (RuntimeError)          pybdm's tables are missing or unknown

    KComplexityWarning (UserWarning)
    ├── CacheWarning                          figures are measured again
    ├── JournalWarning                        rows of an interrupted run are replaced
    └── ShardWarning                          unusual, but nothing is lost

Leaves also inherit the builtin a caller would expect, so ``except FileNotFoundError`` works.
A message names the subject, the problem and the next step.
"""

from __future__ import annotations


class KComplexityError(Exception):
    """Base of every error raised on purpose by kcomplexity."""


class CheckpointError(KComplexityError, ValueError):
    """A checkpoint cannot be read as what it claims to be."""


class CheckpointNotFoundError(CheckpointError, FileNotFoundError):
    """There is no checkpoint at the path."""


class UnknownFormatError(CheckpointError):
    """No loader recognises the content of the file."""


class CorruptCheckpointError(CheckpointError):
    """The format is recognised, but the file breaks its own rules."""


class ForbiddenGlobalError(CheckpointError):
    """A pickle refers to something that is neither a tensor nor a container; nothing was run."""


class MissingExtraError(CheckpointError, ImportError):
    """A format needs an optional package; the message says how to install it."""


class RemoteError(CheckpointError, OSError):
    """A server ignored a range, stalled, or sent something other than announced."""


class ShardError(CheckpointError):
    """The index of a sharded checkpoint and its shards disagree."""


class SpecError(KComplexityError, ValueError):
    """A spec, panel, control or option is invalid."""


class UnmeasurableError(KComplexityError, ValueError):
    """A tensor cannot be measured this way; it becomes a row with ``status="skipped"``."""


class ResultError(KComplexityError, ValueError):
    """A file is not a result of this tool, or lacks what is needed from it."""


class OutputError(KComplexityError, OSError):
    """A result could not be written; nothing half-written was left behind."""


class CtmTableError(KComplexityError, RuntimeError):
    """pybdm's CTM tables are missing, or are not the files that this version knows."""


class KComplexityWarning(UserWarning):
    """Base of every warning issued by kcomplexity."""


class CacheWarning(KComplexityWarning):
    """The cache of rows cannot be used; everything is measured."""


class JournalWarning(KComplexityWarning):
    """The rows of an interrupted run are replaced: nobody asked to resume it."""


class ShardWarning(KComplexityWarning):
    """A sharded checkpoint is unusual in a way that loses nothing."""
