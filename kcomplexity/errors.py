"""Every exception and warning kcomplexity raises on purpose.

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
