# SPDX-License-Identifier: Apache-2.0
"""One connection to a network, in a process of its own: told what to send by its standard input.

PyAV keeps the GIL while FFmpeg connects, writes a header or ends a stream, bounds none of that, and gives no way to
interrupt it: in the program's own process a server that does not answer would stop every thread of it for ever. Here
the kernel ends the process at the deadline (SIGALRM), whatever FFmpeg waits for, and a parent that is gone is the end
of standard input.

Both directions are pickles. In: the settings, a key frame for the header, then (pts, duration, whether it is a key
frame, data) for each access unit, None for the end. Out: ("ready",), ("sent",) for each, ("ended",), or
("failed", text, whether another try can help), after which it ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from .container import import_av, reason_of, speaking_of
from .muxer import Muxer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What FFmpeg was built without, or does not know: the next try would end the same way.
_HOPELESS = (b"\xf8PRO", b"\xf8MUX", b"\xf8OPT", b"PAWE")


class _AccessUnit(bytes):
    is_keyframe = False


class _Connection(Muxer):
    """A muxer whose file is opened by FFmpeg itself."""

    _last_ticks: Mapping[str, int] = {}  # a network's clock may begin at 0 again

    def __init__(self, url: str, **settings: Any) -> None:
        super().__init__(url, **settings)
        self.cause: BaseException | None = None  # of the last failure, where it is FFmpeg's

    def _opened(self, file: Any, mode: str) -> Any:
        return file

    def connect(self, key_frame: Any, pts: int) -> None:
        """Open the connection and write the header, with the parameter sets of a key frame that is not sent."""
        try:
            with speaking_of("it cannot be opened"):
                self._start(key_frame, pts)
        except MediaError as error:
            raise self._failure(error) from None

    def _failure(self, error: MediaError) -> Exception:
        self.cause = error.__cause__
        return error


def _unit(data: bytes, is_keyframe: bool) -> _AccessUnit:
    unit = _AccessUnit(data)
    unit.is_keyframe = is_keyframe
    return unit


@contextlib.contextmanager
def _within(seconds: float) -> Iterator[None]:
    """End the process by SIGALRM where the block takes longer, also within a call that holds the GIL."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to decide
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    receive = sys.stdin.buffer
    send = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(*words: Any) -> None:
        send.write(pickle.dumps(words))

    connection: _Connection | None = None
    try:
        url, timeout, settings = pickle.load(receive)
        pts, _, _, data = pickle.load(receive)
        import_av()
        with _within(timeout):
            connection = _Connection(url, **settings)
            connection.connect(_unit(data, True), pts)
        answer("ready")
        while True:
            message = pickle.load(receive)
            if message is None:
                break
            pts, duration, is_keyframe, data = message
            with _within(timeout):
                connection.write(_unit(data, is_keyframe), pts=pts, duration=duration)
            answer("sent")
        with _within(timeout):
            connection.close()
        answer("ended")
    except (EOFError, BrokenPipeError):  # the parent is gone
        with _within(timeout), contextlib.suppress(Exception):
            if connection is not None:
                connection.close()
    except Exception as error:
        cause = error if connection is None else connection.cause
        with contextlib.suppress(OSError):
            answer("failed", reason_of(cause or error), _may_help(cause))
        os._exit(1)  # without a word of FFmpeg's, whose connection is gone


def _may_help(cause: BaseException | None) -> bool:
    """Say whether FFmpeg's failure may be another the next time."""
    from av.error import FFmpegError, tag_to_code

    if not isinstance(cause, FFmpegError):
        return False
    return getattr(cause, "errno", 0) not in [tag_to_code(tag) for tag in _HOPELESS]
