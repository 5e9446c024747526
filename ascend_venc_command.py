# SPDX-License-Identifier: Apache-2.0
"""How `ascend-venc` begins: Ctrl-C is handled before the package, which takes a moment, is imported."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any


def _interrupted(signum: int, frame: Any) -> None:
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, b"ascend-venc: interrupted\n")
    os._exit(128 + signum)  # there is nothing yet, or nothing left, to be tidied up


def main() -> int:
    """Run `ascend_venc.cli.main`. Returns the exit code."""
    is_default = signal.getsignal(signal.SIGINT) == signal.default_int_handler  # else the caller ignores it
    # Whose program, which gets sys.argv, may have threads, and a handler of its own.
    is_a_program = next((word for word in sys.argv[1:] if not word.startswith("-")), None) == "run"
    if is_default:
        signal.signal(signal.SIGINT, _interrupted)
    from ascend_venc.cli import main as command

    try:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = command()
        if is_default and not is_a_program:
            signal.signal(signal.SIGINT, _interrupted)
    except KeyboardInterrupt as interrupted:
        if hasattr(interrupted, "of_program"):
            raise
        return 128 + signal.SIGINT
    return code
