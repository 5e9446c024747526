# SPDX-License-Identifier: Apache-2.0
"""Inputs that may stall: waits that a signal or a time-out ends, whatever the other side does."""

from __future__ import annotations

import contextlib
import io
import math
import os
import queue
import select
import stat
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Callable


def silence(timeout: float) -> MediaError:
    """Build the error of an input that sent nothing for so long."""
    return MediaError(f"nothing came for {timeout:g} s (timeout)")


class Stalled(Exception):
    """A call on a `Worker` did not come back in time."""


def is_endless(file: BinaryIO) -> bool:
    """Say whether a file object has no length: a pipe, a socket, a terminal, a device. Unknown kinds have one."""
    try:
        return not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False


def open_without_waiting(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file to read. A FIFO is open before it has a writer: use `with_timeout`, which waits for that one too."""
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def with_timeout(file: BinaryIO, timeout: float | None) -> BinaryIO:
    """Return a file that gives what an endless one gives, and waits so many seconds for more; None: for ever."""
    if timeout is None and os.get_blocking(file.fileno()):
        return file
    return io.BufferedReader(PatientPipe(file.fileno(), timeout), 1 << 20)  # nothing was read of it yet


LONGEST = 2_000_000  # s; poll() takes no number of milliseconds beyond that
LOOK = 0.25  # s between two looks for a signal that reached Python too late to end the wait it came before


class Worker:
    """One thread for calls that may never return. The caller's wait ends by the answer, a signal, or the time-out.

    FFmpeg waits for a network or a pipe outside Python, where no signal handler runs. A call that was given up goes on
    on the thread, which is a daemon: it ends with the call, and never keeps the process. One that had not begun never
    does: nobody would close what it opens.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._busy = False
        threading.Thread(target=self._run, name="ascend-venc-input", daemon=True).start()

    def call(self, function: Callable[[], Any], timeout: float | None, heard: Callable[[], float]) -> Any:
        """Run the function on the thread and return what it returns.

        Stalled when `timeout` seconds have passed since the time.monotonic() that `heard` tells.
        """
        task, before = _Task(function), self._busy
        self._busy = True  # before the thread can begin; it stays so if an exception ends the wait
        try:
            self._tasks.put(task)
            while True:
                left = LOOK if timeout is None else min(LOOK, max(0.0, heard() + timeout - time.monotonic()))
                try:
                    result, error = task.answer.get(timeout=left)
                    break
                except queue.Empty:
                    if timeout is not None and time.monotonic() >= heard() + timeout:
                        raise Stalled from None
        except BaseException:
            if task.begun.acquire(blocking=False):
                self._busy = before
            raise
        self._busy = False
        if error is not None:
            raise error
        return result

    def end(self, last: Callable[[], Any]) -> None:
        """End the thread after it has run `last`. Waits for it, unless it is in a call that was given up."""
        task = _Task(last)
        self._tasks.put(task)
        self._tasks.put(None)
        if not self._busy:
            task.answer.get()

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            if task.begun.acquire(blocking=False):
                task.run()
            del task  # nothing is kept alive between two calls


class _Task:
    """A call of a `Worker`; who gets its lock `begun` first decides whether it is made."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.begun = threading.Lock()
        self.answer: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run(self) -> None:
        answer: tuple[Any, BaseException | None]
        try:
            answer = self.function(), None
        except BaseException as error:
            answer = None, error
        self.answer.put(answer)
        del answer  # an exception's traceback leads here


class PatientPipe(io.RawIOBase):
    """Read a pipe, or whatever else poll() knows, with a bound for the silence between two pieces.

    A FIFO that no writer has opened yet is silent; one that its writers have left is at its end.

    Parameters
    ----------
    descriptor : int
        It is not closed.
    timeout : float or None
        Seconds; None: no bound.
    """

    def __init__(self, descriptor: int, timeout: float | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._timeout = timeout
        self._ready = select.poll()
        self._ready.register(descriptor, select.POLLIN)
        self._head = b""

    def look(self, count: int) -> bytes:
        """Return the first bytes, which are read again after that; fewer at the end of the file."""
        while len(self._head) < count:
            buffer = bytearray(count - len(self._head))
            head, self._head = self._head, b""
            got = self.readinto(buffer)
            self._head = head + bytes(buffer[:got])
            if not got:
                break
        return self._head

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def readinto(self, buffer: Any) -> int:
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
            buffer[: len(data)] = data
            return len(data)
        while True:
            if self._timeout is None or self._timeout > LONGEST:
                self._ready.poll()
            elif not self._ready.poll(max(0, math.ceil(self._timeout * 1000))):
                raise silence(self._timeout)
            with contextlib.suppress(BlockingIOError):  # another reader of the same pipe was quicker
                data = os.read(self._descriptor, len(buffer))
                buffer[: len(data)] = data
                return len(data)
