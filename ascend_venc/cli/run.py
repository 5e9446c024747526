# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc run`: a program written for pyACL, unchanged, on the facade."""

from __future__ import annotations

import argparse
import builtins
import errno
import importlib.machinery
import importlib.util
import os
import sys
import traceback
import types
import zipimport
from typing import Any

from ..errors import VencError

NAME = "run"
HELP = "Run a Python program that was written for pyACL (import acl)."
# Its threads and what it has registered for the exit outlive its code, with the signals and warnings that it has set.
IS_A_PROGRAM = True


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", action="store_true", help="use the installed pyACL, not ascend_venc.acl")
    parser.add_argument(
        "--backend", metavar="B", help="auto, ascend, sim, sim:CHIP or a path (default: $ASCEND_VENC_BACKEND or auto)"
    )
    # One argument of all words from the program on: argparse would take a "--" behind a word of its own for itself.
    parser.add_argument(
        "words",
        metavar="PROGRAM",
        nargs=argparse.PARSER,
        help="path of the program, or of a folder or zip file with __main__.py; what follows it is the program's, as "
        "sys.argv[1:]",
    )
    parser.set_defaults(quiet=False)


def run(args: argparse.Namespace) -> int:
    """Run the program as `python PROGRAM` would. Returns its exit code; SystemExit passes through."""
    words = args.words[1:] if args.words[0] == "--" and len(args.words) > 1 else args.words
    program = words[0]
    archive = _open_archive(program)
    path = os.path.join(program, "__main__.py") if archive or os.path.isdir(program) else program
    source = b""
    if not archive:
        with open(path, "rb") as file:
            source = file.read()
    if args.backend is not None:
        os.environ["ASCEND_VENC_BACKEND"] = args.backend
    is_safe = getattr(sys.flags, "safe_path", False)
    if path != program:  # absolute: the program may go to another folder before it imports its parts
        sys.path[: 0 if is_safe else 1] = [os.path.abspath(program)]
    elif not is_safe:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    _provide_acl(args.real)
    sys.argv[:] = words
    return _run_as_main(archive, source, path)


def _open_archive(program: str) -> zipimport.zipimporter | None:
    try:
        archive = zipimport.zipimporter(os.path.abspath(program))
    except zipimport.ZipImportError:
        return None
    try:
        archive.is_package("__main__")  # raises where it is not there
    except zipimport.ZipImportError:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.path.join(program, "__main__.py")) from None
    return archive


def _provide_acl(real: bool) -> None:
    from . import say

    # The program's child processes find the facade by this folder: multiprocessing hands them sys.path, others inherit
    # the environment. In such a child it is no installed acl.
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_pyacl")
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    inherited = os.environ.get("PYTHONPATH")
    paths = [entry for entry in inherited.split(os.pathsep) if entry != folder] if inherited else []
    spec = importlib.util.find_spec("acl")
    found = (spec.origin or "a namespace package") if spec is not None else None
    if real:
        if found is None:
            raise VencError("--real: there is no acl module on the path; source CANN's set_env.sh first")
        say(f"acl is {found}")
        if inherited:
            os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        return
    from .. import acl

    acl.install()
    sys.path.insert(1, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *paths])
    if found is not None:
        say(f"acl is ascend_venc.acl; --real chooses {found}")


def _run_as_main(archive: zipimport.zipimporter | None, source: bytes, path: str) -> int:
    # The module stays __main__ to the end of the process: threads and atexit functions of the program outlive its code.
    main = types.ModuleType("__main__")
    file = os.path.abspath(path)
    is_compiled = path.endswith(".pyc") or source.startswith(importlib.util.MAGIC_NUMBER)
    loader_type = importlib.machinery.SourcelessFileLoader if is_compiled else importlib.machinery.SourceFileLoader
    loader = archive or loader_type("__main__", file)
    main.__dict__.update(
        __file__=file,
        __loader__=loader,
        __cached__=None,
        __builtins__=builtins,  # the module, which only __main__ has under that name
    )
    if archive:  # by which multiprocessing knows that there is no file for its child processes to run
        main.__dict__.update(__spec__=importlib.util.spec_from_loader("__main__", archive), __package__="")
    sys.modules["__main__"] = main
    failure: BaseException | None = None
    try:
        code: Any = (
            loader.get_code("__main__") if archive or is_compiled else compile(source, file, "exec", dont_inherit=True)
        )
        exec(code, main.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        failure = error
    if failure is None:
        return 0
    _print_traceback(failure)
    if isinstance(failure, KeyboardInterrupt):
        # On to the interpreter, which ends itself by SIGINT behind everything else: a shell then ends its loop, too.
        sys.excepthook = lambda *shown: None
        failure.of_program = True  # type: ignore[attr-defined]
        raise failure
    return 1


def _print_traceback(error: BaseException) -> None:
    """Print what the interpreter would print, without this file's own frames, and keep it where that does."""
    shown = _shown(error)
    sys.last_type, sys.last_value, sys.last_traceback = shown
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        hook = getattr(sys, "excepthook", None)
        if hook is not None:
            hook(*shown)
            return
        why = "sys.excepthook is missing"
    except SystemExit:
        raise
    except BaseException as raised:
        told = "".join(traceback.format_exception(*_shown(raised)))
        why = f"Error in sys.excepthook:\n{told}\nOriginal exception was:"
    if sys.stderr is not None:
        print(why, file=sys.stderr)
    sys.__excepthook__(*shown)


def _shown(error: BaseException) -> tuple[type[BaseException], BaseException, Any]:
    """Return the three parts of an exception, without this file's own frames."""
    frames: Any = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return type(error), error.with_traceback(frames), frames
