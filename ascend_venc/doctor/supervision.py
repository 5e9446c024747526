# SPDX-License-Identifier: Apache-2.0
"""Trials in child processes: what hangs, crashes or ends the process there is a result here."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

STARTING = "starting Python"
LAST_WORDS = 2000  # characters of a child's own output that are kept
SECONDS_TO_START = 60.0  # for Python and the imports, which read disks
SECONDS_BETWEEN_LOOKS = 0.1
SECONDS_TO_END = 5.0  # for a child that has told its result
SECONDS_TO_DIE = 2.0  # after SIGKILL; a process inside a driver's call may not die at all


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    result : dict or None
        What it found.
    parts : tuple of dict
        What it told before its end.
    error : dict or None
        The exception that ended it: "type", "text", and an AclError's "code", "name", "call", "hint", "detail".
    end : str
        "hung", "crashed" or "left" where it did not end as it should, perhaps after its result; else "".
    step : str
        What it was doing then.
    how : str
        In words, such as "SIGSEGV" or "exit code 3".
    output : str
        The end of what the libraries printed.
    """

    result: dict[str, Any] | None = None
    parts: tuple[dict[str, Any], ...] = ()
    error: dict[str, Any] | None = None
    end: str = ""
    step: str = ""
    how: str = ""
    output: str = ""

    @property
    def problem(self) -> str:
        """What went wrong, in a line; "" if nothing did."""
        if self.error is not None:
            return " ".join(self.error["text"].split())
        if self.end == "hung":
            return f"{self.step}: no answer in {self.how}"
        if self.end:
            return f"{self.step}: the process ended with {self.how}"
        return ""


def run_trial(request: dict[str, Any], timeout: float) -> Outcome:
    """Run a trial in a child process of this interpreter; `timeout` bounds each step that it announces, in seconds,
    and SECONDS_TO_START its beginning.

    Blocks; an exception, such as Ctrl-C's, ends the child first.
    """
    reader, writer = os.pipe()
    program = f"import sys; sys.path[:] = {sys.path!r}; from ascend_venc.doctor.trial import main; main()"
    with tempfile.TemporaryFile() as output, open(reader, "rb", buffering=0) as lines:
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", program, str(writer), json.dumps(request)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,  # so that what the libraries start ends with it
            )
        finally:
            os.close(writer)
        outcome = Outcome(end="hung", step=STARTING)
        try:
            outcome = _follow(child, lines, timeout)
        finally:
            code = end_process(child, 0 if outcome.end == "hung" else SECONDS_TO_END)
        if outcome.end == "hung":
            seconds = max(timeout, SECONDS_TO_START) if outcome.step == STARTING else timeout
            killed = "" if code is not None else ", and it cannot be killed"
            return dataclasses.replace(outcome, how=f"{seconds:g} s{killed}", output=_tail(output))
        if outcome.end or code != 0:  # it may crash at its end, too
            end = "crashed" if code is not None and code < 0 else "left"
            return dataclasses.replace(outcome, end=end, how=_words(code), output=_tail(output))
        return outcome


def _follow(child: subprocess.Popen[bytes], lines: Any, timeout: float) -> Outcome:
    """Read a child's lines until its result, its end, or a step that takes too long."""
    step, rest = STARTING, b""
    parts: list[dict[str, Any]] = []
    deadline = time.monotonic() + max(timeout, SECONDS_TO_START)
    while True:
        ended = _has_ended(child)  # what it started may keep the pipe open
        left = 0.0 if ended else min(deadline - time.monotonic(), SECONDS_BETWEEN_LOOKS)
        data = lines.read(1 << 16) if select.select([lines], [], [], max(0.0, left))[0] else None
        if data == b"" or (ended and data is None):
            return Outcome(None, tuple(parts), end="left", step=step)
        if data is None and time.monotonic() >= deadline:
            return Outcome(None, tuple(parts), end="hung", step=step)
        *whole, rest = (rest + (data or b"")).split(b"\n")
        for line in whole:
            told = json.loads(line)
            if "step" in told:
                step, deadline = told["step"], time.monotonic() + timeout
            elif "part" in told:
                parts.append(told["part"])
            else:
                return Outcome(told.get("result"), tuple(parts), told.get("error"), step=step)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether a child is over; it is not reaped, so that the number of its group stays its own."""
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def end_process(child: subprocess.Popen[bytes], seconds: float) -> int | None:
    """Give a child time to end, then kill it and whatever it started. Return its exit code; None: it does not die."""
    deadline = time.monotonic() + seconds
    while not _has_ended(child) and time.monotonic() < deadline:
        time.sleep(0.005)
    with contextlib.suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    try:
        return child.wait(SECONDS_TO_DIE)
    except subprocess.TimeoutExpired:
        return None


def _words(code: int | None) -> str:
    if code is None:
        return "no exit code"
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _tail(output: Any) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - LAST_WORDS))
    return str(output.read().decode("utf-8", "replace")).strip()
