# SPDX-License-Identifier: Apache-2.0
"""The `ascend-venc` command.

A subcommand is a module of this package with NAME, HELP, `configure(parser)` and `run(args) -> exit code`, listed in
COMMANDS; with IS_A_PROGRAM it has signals, warnings and output for itself, to the end of the process. Exit codes: 0 all
done; 1 it could not be done, said in one line on stderr; 2 wrong usage; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import importlib
import os
import signal
import sys
import traceback
import warnings
from typing import TYPE_CHECKING, Any

from ..errors import (
    BitRateWarning,
    InterfaceFallbackWarning,
    LibraryPathWarning,
    SimulatedDeviceWarning,
    VencError,
)
from .interruption import Terminated, by_exception, code_of
from .parser import Parser
from .versions import VersionAction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMANDS = (
    "bench",
    "caps",
    "completion",
    "concat",
    "doctor",
    "encode",
    "explain",
    "plot",
    "probe",
    "run",
    "sim",
    "top",
    "verify",
)

BROKEN_PIPE = 128 + signal.SIGPIPE


class UsageError(VencError):
    """The command line asks for something that cannot be: exit code 2."""


def say(text: str) -> None:
    """Print one line on stderr, as this command."""
    line = " ".join(text.split())
    if sys.stderr is None:  # print() would take stdout instead
        return
    with contextlib.suppress(OSError):  # where nobody reads stderr, the exit code is what is left
        print(f"ascend-venc: {line}", file=sys.stderr, flush=True)


def report_error(error: Exception) -> None:
    """Say in a line why something could not be done."""
    if isinstance(error, OSError) and not isinstance(error, VencError):
        say(f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror or str(error))
    else:
        say(str(error) or "out of memory")


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ascend-venc", description="Video encoding on Huawei Ascend NPUs, or on a simulated one.")
    parser.add_argument("--version", action=VersionAction)
    parser.add_argument("--debug", action="store_true", help="show the traceback of what fails (also after COMMAND)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module_name in COMMANDS:
        module = importlib.import_module(f"{__name__}.{module_name}")
        aliases = getattr(module, "ALIASES", ())
        command = commands.add_parser(module.NAME, aliases=aliases, help=module.HELP, description=module.HELP)
        module.configure(command)
        command.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.set_defaults(run=module.run, is_a_program=getattr(module, "IS_A_PROGRAM", False))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. `argv` defaults to the process's arguments. Returns the exit code."""
    args = argparse.Namespace(debug=False, is_a_program=False)
    try:
        args = make_parser().parse_args(argv)
        with contextlib.ExitStack() as settings:
            if not args.is_a_program:
                settings.enter_context(by_exception())
                settings.enter_context(warnings.catch_warnings())
                settings.enter_context(_any_text())
            _show_warnings(quiet=getattr(args, "quiet", False))
            code = int(args.run(args))
        if sys.stdout is not None and not args.is_a_program:
            sys.stdout.flush()  # so that a full disk is noticed here, and not at exit
        return code
    except UsageError as error:
        _show_traceback(args)
        say(f"{error} (ascend-venc --help)")
        return 2
    except BrokenPipeError:
        return BROKEN_PIPE
    except (VencError, OSError, MemoryError) as error:
        _show_traceback(args)
        report_error(error)
        return 1
    except (KeyboardInterrupt, Terminated) as signalled:
        if hasattr(signalled, "of_program"):
            raise
        _show_traceback(args)
        return code_of(signalled)
    finally:
        if not args.is_a_program:  # whose output is the interpreter's business, and a loss of it an exit code
            _settle_stdout()


@contextlib.contextmanager
def _any_text() -> Iterator[None]:
    """Standard output takes every text: what its encoding lacks is written as an escape, a file's name as its bytes."""
    out: Any = sys.stdout
    before = getattr(out, "errors", None)
    if before not in ("strict", "surrogateescape") or not hasattr(out, "reconfigure"):
        yield
        return
    whole = codecs.lookup(out.encoding).name == "utf-8"
    out.reconfigure(errors="surrogateescape" if whole else "backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):  # it writes what is left: `main` looks whether that can be
            out.reconfigure(errors=before)


def _show_traceback(args: argparse.Namespace) -> None:
    """Print the traceback of the exception that is handled, if --debug asks for it."""
    if args.debug and sys.stderr is not None:
        with contextlib.suppress(OSError):
            traceback.print_exc()


def _show_warnings(quiet: bool) -> None:
    """Make our own warnings notes of one line; leave everybody else's alone."""
    ours = (SimulatedDeviceWarning, LibraryPathWarning, InterfaceFallbackWarning, BitRateWarning)
    others = warnings.showwarning

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        if not issubclass(category, ours):
            others(message, category, filename, lineno, file, line)
        elif not quiet:
            say(f"note: {message}")

    for category in ours:
        warnings.simplefilter("always", category)
    warnings.showwarning = show


def _settle_stdout() -> None:
    """Drop what standard output does not take: the interpreter would try again at exit, and complain there."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
