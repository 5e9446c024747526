# SPDX-License-Identifier: Apache-2.0
"""SIGINT, SIGTERM and SIGHUP as exceptions, held back while something must not be torn, and outputs that know that."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived. `signum` is which. Not an Exception, so that only clean-up sees it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


_held: list[int] = []  # signals that came within `shielded`
_came: list[int] = []  # all signals since `by_exception` began
_shields: list[float | None] = []  # of the `shielded` blocks that are open: how long each holds a signal back


@contextlib.contextmanager
def by_exception() -> Iterator[None]:
    """Let the signals unwind the stack, so that unfinished files go away: KeyboardInterrupt or Terminated."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Where the caller ignores a signal (nohup), it stays ignored.
    ours = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: default for number, default in ours.items() if signal.getsignal(number) == default}
    for number in before:
        signal.signal(number, _arrive)
    if signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
        before[signal.SIGALRM] = signal.SIG_DFL
        signal.signal(signal.SIGALRM, _run_out)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for table in (_held, _came, _shields):
            table.clear()


@contextlib.contextmanager
def shielded(patience: float | None = None) -> Iterator[None]:
    """Hold signals back. They are raised by the next `check`, or by the one that arrives next outside.

    After `patience` seconds they are raised within the block after all; None: never; 0: at once. Of nested blocks the
    innermost counts.
    """
    depth = len(_shields)
    try:  # a signal may be raised at any line
        _shields.append(patience)
        if _held and patience is not None:  # it came within the block around this one
            if patience == 0:
                check()
            _set_alarm(patience)
        yield
    finally:
        del _shields[depth:]
        if _held:
            _set_alarm(0.0)


def check() -> None:
    """Raise what was held back."""
    if _held:
        _raise(_held.pop(0))


def take_back() -> BaseException | None:
    """Return the exception of what was held back and will not be raised any more; None if nothing came."""
    return _exception_of(_held.pop(0)) if _held else None


@contextlib.contextmanager
def as_if_held(error: BaseException | None) -> Iterator[None]:
    """Let a signal that was raised before bound the `shielded` blocks within as one that is held back."""
    if not isinstance(error, (KeyboardInterrupt, Terminated)):
        yield
        return
    signum = code_of(error) - 128
    _held.insert(0, signum)
    try:
        yield
    finally:
        if signum in _held:  # it was not raised again
            _held.remove(signum)


class PipeOutput:
    """A pipe that is written to without ever waiting in the kernel: a signal ends the wait, also one that is held back.

    FFmpeg calls `write`, and loses the exception of a signal that is raised there. OSError (EINTR) takes its place
    where the reader takes nothing for `patience` seconds after a signal; nothing is written after that.
    """

    def __init__(self, file: Any, patience: float) -> None:
        file.flush()
        self._file = file
        self._patience = patience
        self._given_up = False
        self._ready = select.poll()
        self._ready.register(file.fileno(), select.POLLOUT)

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), select.PIPE_BUF):  # so much is taken at once where there is room
            piece = view[begin : begin + select.PIPE_BUF]
            while piece:
                self._wait()
                piece = piece[os.write(self._file.fileno(), piece) :]
        return len(view)

    def _wait(self) -> None:
        since: float | None = None
        while not self._given_up and not self._ready.poll(100):
            if _came:
                since = time.monotonic() if since is None else since
                self._given_up = time.monotonic() - since >= self._patience
        if self._given_up:
            raise OSError(errno.EINTR, os.strerror(errno.EINTR))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def code_of(error: BaseException) -> int:
    """Return the exit code for an exception of a signal; 1 for others."""
    if isinstance(error, Terminated):
        return 128 + error.signum
    return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _arrive(signum: int, frame: Any) -> None:
    _came.append(signum)
    if _shields and _shields[-1] != 0:
        _held.append(signum)
        if _shields[-1] is not None:
            _set_alarm(_shields[-1])
    else:
        _held.clear()
        _raise(signum)


def _set_alarm(seconds: float) -> None:
    if signal.getsignal(signal.SIGALRM) == _run_out:  # else it is somebody else's
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _run_out(signum: int, frame: Any) -> None:
    if _shields and _shields[-1] is not None:
        check()


def _raise(signum: int) -> None:
    raise _exception_of(signum)


def _exception_of(signum: int) -> BaseException:
    return KeyboardInterrupt() if signum == signal.SIGINT else Terminated(signum)
