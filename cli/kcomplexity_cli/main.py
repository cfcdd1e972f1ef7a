"""The command group, and how every command ends.

The exit codes are in :class:`kcomplexity_cli.ending.ExitCode`.
An error is one line on stderr; ``--debug`` shows the traceback.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from kcomplexity_cli.bound import bound
from kcomplexity_cli.compare import compare
from kcomplexity_cli.convert import convert
from kcomplexity_cli.demo import demo
from kcomplexity_cli.ending import ExitCode
from kcomplexity_cli.estimators import estimators
from kcomplexity_cli.expand import expand
from kcomplexity_cli.fit import fit
from kcomplexity_cli.inspect import inspect
from kcomplexity_cli.plot import plot
from kcomplexity_cli.report import report
from kcomplexity_cli.schema import schema
from kcomplexity_cli.score import score
from kcomplexity_cli.sweep import sweep
from kcomplexity_cli.terminal import note
from kcomplexity_cli.trajectory import trajectory

#: A full disk, quota or file.
_FULL = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


class Commands(click.Group):
    """A group whose commands end every error in one line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        if sys.stdout is None:  # closed before we came: nobody reads, which is not a failure
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - for good
        code = self._run(*args, **kwargs)
        failure = _stdout_failure()
        sys.exit(code if failure is None else _report_error(failure))

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _reader_may_leave():  # help is printed here
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _reader_may_leave():
            return super().invoke(ctx)

    def _run(self, *args: Any, **kwargs: Any) -> int:
        debug = "--debug" in sys.argv
        try:
            # What Context.exit() is given is returned; no command returns anything else.
            return super().main(*args, **kwargs | {"standalone_mode": False}) or 0
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" (try '{context.command_path} -h')" if context else ""
            note(f"error: {error.format_message().rstrip('.')}{hint}")
            return error.exit_code
        except (KeyboardInterrupt, click.Abort) as error:
            # click raises Abort from the interruption, which carries the notes.
            for text in getattr(error.__cause__ or error, "__notes__", ()):
                note(text)
            note("interrupted")
            return ExitCode.INTERRUPTED
        except Exception as error:  # noqa: BLE001 - the last line of defence shows one line
            if debug:
                traceback.print_exc()
            return _report_error(_stdout_failure() or error)


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Exit 0 when the reader of stdout closes it; click's own handler would exit 1."""
    try:
        yield
    except BrokenPipeError:
        _abandon_stdout()
        raise click.exceptions.Exit(ExitCode.OK) from None


def _stdout_failure() -> OSError | None:
    """Return why the last output could not be written; None if it was, or nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _abandon_stdout()
    except OSError as error:
        _abandon_stdout()
        return error
    return None


def _abandon_stdout() -> None:
    """Discard stdout: Python's own flush at exit would fail again and report it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report_error(error: Exception) -> int:
    """Print one line about an error and return its exit code."""
    from kcomplexity.errors import KComplexityError, SpecError

    if isinstance(error, KComplexityError):
        what = str(error)
    elif isinstance(error, OSError):
        # An error without a file name is about an open file, most likely stdout.
        name = "cannot write" if error.errno in _FULL else error.filename
        what = f"{name}: {error.strerror or error}" if name else str(error)
        what += "; make room or send the result elsewhere" if error.errno in _FULL else ""
    elif isinstance(error, MemoryError):
        what = "out of memory; lower --threads or --max-memory"
    else:
        what = f"{type(error).__name__}: {error} (a bug: 'kcomplexity --debug ...' shows where)"
    note(f"error: {what}")
    return ExitCode.USAGE if isinstance(error, SpecError) else ExitCode.FAILURE


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    note(f"warning: {message}")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  kcomplexity inspect model.safetensors
  kcomplexity score model.safetensors
  kcomplexity score run/*.safetensors --panel fast --json > scores.json
  kcomplexity compare init.safetensors trained.safetensors
  kcomplexity trajectory run/*.safetensors
  kcomplexity fit model.safetensors --relative-mse 0.1 -o model.mosaic.safetensors
  kcomplexity estimators
""",
)
@click.version_option(package_name="kcomplexity")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Measure how complex a neural network's weights really are, from the checkpoint file alone."""
    click.get_current_context().with_resource(warnings.catch_warnings())
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", UserWarning)  # all of ours are


for _command in (
    *(inspect, score, compare, trajectory, bound, fit, expand, sweep),
    *(plot, report, convert, estimators, schema, demo),
):
    cli.add_command(_command)
