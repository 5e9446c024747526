# SPDX-License-Identifier: Apache-2.0
"""The process that holds a connection to a network (`live_connection`), as the one that starts it sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

PATIENCE = 2.0  # seconds that a process may take to be gone once it was killed
GRACE = 20.0  # seconds after its deadline at which a process is given up that the kernel did not end: it was stopped


class ConnectionLost(Exception):
    """A connection failed, or was not made: (text, whether another try can help)."""


class LiveProcess:
    """A Python process that connects to a network and sends. `kill` from any thread; the rest is one thread's.

    Parameters
    ----------
    timeout : float
        Seconds after which it ends by SIGALRM where FFmpeg takes longer.

    Raises
    ------
    ConnectionLost
        It cannot be started.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._killed = False
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        # Not multiprocessing, which imports the program's own main module again.
        program = f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}\n{self.program()}"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,  # Ctrl-C is the program's
            )
            assert self._process.stdin is not None
            os.set_blocking(self._process.stdin.fileno(), False)
        except OSError as error:
            self._complaints.close()
            raise ConnectionLost(f"the process that sends cannot be started: {error.strerror}", True) from None

    @staticmethod
    def program() -> str:
        return f"from {__package__}.live_connection import main\nmain()"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, *messages: Any) -> None:
        """Send messages, and wait for the answer that all were carried out. Raises ConnectionLost."""
        assert self._process.stdin is not None and self._process.stdout is not None
        deadline = time.monotonic() + self._timeout + GRACE
        try:
            for message in messages:
                data = memoryview(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
                while data:
                    self._wait_for(self._process.stdin, select.POLLOUT, deadline)
                    data = data[os.write(self._process.stdin.fileno(), data) :]
            self._wait_for(self._process.stdout, select.POLLIN, deadline)
            answer = pickle.load(self._process.stdout)
        except (OSError, EOFError):
            self._wait()
            raise ConnectionLost(*self._why_gone()) from None
        if answer[0] == "failed":
            raise ConnectionLost(*answer[1:])

    def _wait_for(self, pipe: Any, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(pipe, event)
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise ConnectionLost("the process that sends does not answer", True)

    def kill(self) -> None:
        """End it now, wherever it is."""
        self._killed = True
        if self._process.poll() is None:
            self._process.kill()

    def close(self, killed: bool) -> None:
        """Wait until it is gone; `killed`: end it now."""
        if killed:
            self.kill()
        self._wait()
        self.kill()
        self._wait()
        for pipe in (self._process.stdin, self._process.stdout, self._complaints):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not take is lost
                    pipe.close()

    def _wait(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):  # in a call of the kernel's that cannot be ended
            self._process.wait(PATIENCE)

    def _why_gone(self) -> tuple[str, bool]:
        """Return what ended the process, and whether another one may get further."""
        code = self._process.poll()
        if self._killed:
            return f"it was cut off: what was queued was not sent within {self._timeout:g} s (timeout)", True
        if code == -signal.SIGALRM:
            return f"it takes no data: nothing went on for {self._timeout:g} s (timeout)", True
        self._complaints.seek(0)
        said = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that sends has ended with exit code {code}{f': {said}' if said else ''}", code != 1
