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

_PLACE = "{checkpoint}"
#: A number on its own, or after the = or : of a name, but not inside a word or a path.
_NUMBER = re.compile(
    r"(?:(?<!\S)|(?<=\w[=:]))[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=[,;%]?(?:\s|$))"
)


@dataclass(frozen=True)
class Evaluation:
    """The last number that one run of the command printed, or the reason why the run failed."""

    metric: float | None
    reason: str | None = None


def parse_command(text: str) -> list[str]:
    """Split a command as a shell would; SpecError if it has no place for the checkpoint."""
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
    """Run the command on one checkpoint; a failure is a result with a reason, not an error."""
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
        stdout, stderr = running.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(running)
        return Evaluation(None, f"no answer within {timeout:g} s")
    except BaseException:
        _end(running)
        raise
    if running.returncode:
        last = (stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        return Evaluation(None, f"exit code {running.returncode}: {last[:200]}")
    numbers = _NUMBER.findall(stdout)
    if not numbers:
        return Evaluation(None, "it printed no number")
    return Evaluation(float(numbers[-1]))


def _end(running: subprocess.Popen[str]) -> None:
    """Kill the command and its children, which would keep its output open."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    else:
        running.kill()
    running.communicate()
