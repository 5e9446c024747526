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
    """Whether a thread sleeps in a native call that `function`, by its name the innermost Python function, has made.

    One that waits for the GIL sleeps too, also on its way into that function: it is woken while this thread sleeps.
    """

    def place():
        frame = sys._current_frames().get(thread.ident)
        return None if frame is None else (frame.f_code.co_name, frame.f_lasti)

    where, sleeps = place(), sleep_of(thread.native_id)
    if where is None or where[0] != function or sleeps is None:
        return False
    time.sleep(0.003)
    return (place(), sleep_of(thread.native_id)) == (where, sleeps)


def sleep_of(task, process="self"):
    """Which one of its sleeps a thread is in, by number; None: it is awake, or gone."""
    try:
        status = Path(f"/proc/{process}/task/{task}/status").read_text()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in status.splitlines())
    return int(found["voluntary_ctxt_switches"]) if found["State"].split()[0] == "S" else None


def until_asleep(process, seconds=60):
    """Return when the main thread of a process sleeps, and has for longer than a wait for the GIL lasts in one piece.

    Where it never does, because it is at work, return all the same.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = sleep_of(process.pid, process.pid)
        time.sleep(0.02)
        if process.poll() is not None or (before is not None and sleep_of(process.pid, process.pid) == before):
            return


def until_futures_are_served(seconds=20):
    """Return when the thread that sets Futures has ended: it holds on to the last packet for a moment."""
    for thread in threading.enumerate():
        if thread.name == "ascend-venc-futures":
            thread.join(seconds)
            assert not thread.is_alive(), f"a Future is pending still after {seconds} s"


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
