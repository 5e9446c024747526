# SPDX-License-Identifier: Apache-2.0
"""Waiting in a test for what another thread or process brings about."""

import sys
import threading
import time
from pathlib import Path


def eventually(condition, seconds=10):
    """Return when `condition()` is true; fail the test when it still is not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.002)


def is_inside(thread, function):
    """Whether a thread sleeps in a native call that `function`, by its name the innermost Python function, has made."""
    frame = sys._current_frames().get(thread.ident)
    if frame is None or frame.f_code.co_name != function:
        return False
    state = Path(f"/proc/self/task/{thread.native_id}/stat").read_text()
    return state.rpartition(")")[2].split()[0] == "S"


def started(function, *args):
    """A thread that runs a function and keeps what came of it, as `outcome`: its result, or the exception it raised."""

    def run():
        try:
            thread.outcome = function(*args)
        except BaseException as error:
            thread.outcome = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def outcome(thread, seconds=10):
    """What came of a `started` thread; fail the test if it still runs after `seconds`."""
    thread.join(seconds)
    assert not thread.is_alive(), f"a call has not returned after {seconds} s"
    return thread.outcome
