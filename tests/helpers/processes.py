# SPDX-License-Identifier: Apache-2.0
"""Programs run in a process of their own, against this checkout's or the installed package."""

import os
import signal
import subprocess
import sys
import time

import ascend_venc
from helpers import waiting

PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.abspath(ascend_venc.__file__)))


def environment(**extra):
    env = dict(os.environ, **{key: str(value) for key, value in extra.items()})
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
    return env


def run(program, *args, timeout=60, env=None, **kwargs):
    """Run Python source text; return the finished process with text output."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        **kwargs,
    )


def interrupt_when(program, ready_line, *args, timeout=60, signum=signal.SIGINT, busy=False):
    """Start a program, send a signal when it has printed a line and its main thread sleeps; `busy`: at once, since it
    may never sleep. A program that catches the signal prints the line where it is caught already.
    Return (process, output, errors, seconds it took)."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.strip() == ready_line:
                break
        if not busy:
            waiting.until_asleep(process)
        process.send_signal(signum)
        begin = time.monotonic()
        output, errors = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process, output, errors, time.monotonic() - begin
