"""`striate`: the verbs together, and what an error looks like to the user."""

from __future__ import annotations

import json
import signal
import sys
import traceback
import types
import warnings
from typing import TextIO

import typer

from striate import __version__
from striate.cli import demo, doctor, models, report
from striate.cli.runs import make_command
from striate.core.allocator import keep_freed_memory
from striate.core.errors import StriateError
from striate.verbs import VERBS

ABOUT = "Build image models of the visual cortex and find out, honestly, how good they are."


def make_app() -> typer.Typer:
    """The command line with every verb that is registered by now."""
    app = typer.Typer(
        name="striate",
        help=ABOUT,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=ABOUT)(_take_options)
    app.command(name="demo")(demo.run)
    app.command(name="doctor")(doctor.run)
    for verb in VERBS.values():
        app.command(name=verb.name, help=verb.help)(make_command(verb))
    app.command(name="report")(report.run)
    app.command(name="models")(models.run)
    return app


def _print_version(value: bool) -> None:
    if value:
        print(f"striate {__version__}")
        raise typer.Exit


def _take_options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True,
        help="Say the version and exit.",
    ),
) -> None:  # fmt: skip
    """Those of `striate` itself."""


def main() -> None:
    """Run a verb; exit code 0 done, 2 bad input, 1 a fault of ours, 130 and 143 stopped."""
    keep_freed_memory()
    warnings.showwarning = _print_warning
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        make_app()()
    except StriateError as error:
        _report_error(type(error).__name__, str(error), error.exit_code)
        sys.exit(error.exit_code)
    except MemoryError:
        _report_error("MemoryError", "out of memory. Use a smaller batch_size or fewer taps.", 1)
        sys.exit(1)
    except Exception as error:
        traceback.print_exc()
        _report_error(
            type(error).__name__, f"{error}\nThis is a fault in striate, not in your input.", 1
        )
        sys.exit(1)


def _stop(number: int, frame: types.FrameType | None) -> None:
    """Leave through every `finally`, so that nothing half-written stays behind."""
    print("stopped; call the same command again to go on.", file=sys.stderr)
    raise SystemExit(128 + number)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say what a user should know; where in the code it was noticed is of use for faults alone."""
    text = f"note: {message}"
    if not issubclass(category, UserWarning):
        text = warnings.formatwarning(message, category, filename, lineno, line).rstrip()
    print(text, file=file or sys.stderr)


def _report_error(kind: str, message: str, code: int) -> None:
    """Say what went wrong; with `--json` also as JSON on standard output."""
    print(f"error: {message}", file=sys.stderr)
    if "--json" in sys.argv:
        print(json.dumps({"error": kind, "message": message, "exit_code": code}))
