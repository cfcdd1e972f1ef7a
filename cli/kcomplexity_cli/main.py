"""The command group: what every subcommand shares is how it ends.

Exit codes: 0 ok, 1 failure, 2 usage, 3 some rows failed, 4 nothing was measured, 130 interrupted.
An error is one line on stderr; ``--debug`` shows the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import Any, NoReturn

import click

from kcomplexity_cli.demo import demo
from kcomplexity_cli.estimators import estimators
from kcomplexity_cli.expand import expand
from kcomplexity_cli.fit import fit
from kcomplexity_cli.inspect import inspect
from kcomplexity_cli.schema import schema
from kcomplexity_cli.score import score
from kcomplexity_cli.sweep import sweep

__all__ = ["cli"]

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


class Commands(click.Group):
    """A group whose commands end in one line and an exit code, whatever happens."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run a command and exit."""
        debug = "--debug" in sys.argv
        try:
            super().main(*args, **kwargs | {"standalone_mode": False})
            sys.stdout.flush()
            code = 0
        except click.exceptions.Exit as stop:
            code = stop.exit_code
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except (KeyboardInterrupt, click.Abort):
            click.echo("kcomplexity: interrupted", err=True)
            code = INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has had enough: that is no failure.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except Exception as error:  # noqa: BLE001 - the last line of defence shows one line
            if debug:
                traceback.print_exc()
            code = _tell(error)
        sys.exit(code)


def _tell(error: Exception) -> int:
    """Print one line about an error and return the exit code it has."""
    from kcomplexity.errors import KComplexityError, SpecError
    from kcomplexity.text import printable

    expected = isinstance(error, KComplexityError | OSError)
    what = str(error) if expected else f"{type(error).__name__}: {error} (a bug: see --debug)"
    click.echo(f"kcomplexity: error: {printable(what)}", err=True)
    return USAGE if isinstance(error, SpecError) else FAILURE


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from kcomplexity.text import printable

    click.echo(f"kcomplexity: warning: {printable(message)}", err=True)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  kcomplexity inspect model.safetensors
  kcomplexity score model.safetensors
  kcomplexity score run/*.safetensors --panel fast --json > scores.json
  kcomplexity fit model.safetensors --relative-mse 0.1 -o model.mosaic.safetensors
  kcomplexity estimators
""",
)
@click.version_option(package_name="kcomplexity")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
def cli() -> None:
    """Measure how complex a neural network's weights really are, from the checkpoint file alone."""
    warnings.showwarning = _show_warning


for command in (inspect, score, fit, expand, sweep, estimators, schema, demo):
    cli.add_command(command)
