"""A user's own evaluation of an expanded checkpoint: a command, its exit code, its last number."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kcomplexity.errors import SpecError

__all__ = ["Evaluation", "evaluate", "parse_command"]

_PLACE = "{checkpoint}"
#: A number by itself, or after the = or : of a name; none inside a word or a path.
_NUMBER = re.compile(
    r"(?:(?<!\S)|(?<=\w[=:]))[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=[,;%]?(?:\s|$))"
)


@dataclass(frozen=True)
class Evaluation:
    """What a run of the command gave.

    Attributes
    ----------
    metric : float or None
        The last number that it printed; None where it failed.
    reason : str or None
        Why there is none.
    """

    metric: float | None
    reason: str | None = None


def parse_command(text: str) -> list[str]:
    """Split a command as a shell would; nothing is given to a shell.

    Raises
    ------
    SpecError
        If it has no place for the checkpoint, or its quotes do not match.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SpecError(f"--eval {text!r}: {error}") from None
    if not any(_PLACE in word for word in words):
        raise SpecError(
            f"--eval {text!r}: expected {_PLACE} where the checkpoint's path goes, "
            f"e.g. 'python evaluate.py {_PLACE}'"
        )
    return words


def evaluate(words: list[str], checkpoint: Path, timeout: float) -> Evaluation:
    """Run the command on one checkpoint; a failure is an answer, not an error."""
    command = [word.replace(_PLACE, str(checkpoint)) for word in words]
    try:
        running = subprocess.Popen(  # noqa: S603 - the user's own command, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return Evaluation(None, f"{command[0]}: {error.strerror}")
    try:
        said, complained = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(running)
        return Evaluation(None, f"no answer within {timeout:g} s")
    except BaseException:
        _end(running)
        raise
    if running.returncode:
        last = (complained.strip().splitlines() or ["nothing on stderr"])[-1]
        return Evaluation(None, f"exit code {running.returncode}: {last[:200]}")
    numbers = _NUMBER.findall(said)
    if not numbers:
        return Evaluation(None, "it printed no number")
    return Evaluation(float(numbers[-1]))


def _end(running: subprocess.Popen[str]) -> None:
    """End the command and what it started: a script's own children hold its output open."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.communicate()
