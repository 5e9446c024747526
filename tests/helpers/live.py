# SPDX-License-Identifier: Apache-2.0
"""Counts of live native objects: the engine's, and the simulated device's where it is loaded."""

import contextlib
import gc
import os
import threading
import time


def counts():
    """Return {kind: number} of everything native that is alive."""
    from ascend_venc._lowlevel import core, stream  # not at import: tests of the sources alone need no build

    stream.let_go_of_ended()
    found = {f"engine {kind}": number for kind, number in core.live().items()}
    found.update({f"device {kind}": number for kind, number in _device_counts().items()})
    return found


def _device_counts():
    from helpers import simulator

    return simulator.live_counts() if simulator.is_loaded() else {}


def settled(patience=10.0):
    """counts(), once the device of the last channel that was closed, which ends natively, has ended."""
    deadline = time.monotonic() + patience
    while True:
        found = counts()
        ending = found["engine CHANNEL"] == 0 and (found["engine DEVICE"] or found["engine THREAD"])
        if not ending or time.monotonic() > deadline:
            return found
        time.sleep(0.005)


def differences(before):
    now = counts()
    return {
        kind: (before.get(kind, 0), now.get(kind, 0))
        for kind in sorted({*before, *now})
        if before.get(kind, 0) != now.get(kind, 0)
    }


def _looks(patience):
    """Looks at what ends natively, most often within a few ms: once for each, until `patience` s are over. Garbage,
    which costs more than to look, is collected where that was not enough."""
    begin = time.monotonic()
    yield
    while time.monotonic() < begin + 0.03:
        time.sleep(0.001)
        yield
    while True:
        gc.collect()
        yield
        if time.monotonic() > begin + patience:
            return
        time.sleep(0.01)


def assert_unchanged(before, patience=10.0):
    """Fail if a count differs from `before` after garbage collection; native threads get `patience` s to finish."""
    for _ in _looks(patience):
        found = differences(before)
        if not found:
            return
    raise AssertionError(f"live native objects changed (kind: before, now): {found}")


def descriptors():
    """{descriptor: what it leads to} of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists them
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


def opened():
    """What this process has open: descriptors, and Python's threads."""
    return descriptors(), set(threading.enumerate())


def assert_nothing_opened(before, patience=10.0):
    """Fail if there are more descriptors or threads than `before`, an `opened()`, after `patience` s."""
    for _ in _looks(patience):
        now, threads = descriptors(), set(threading.enumerate()) - before[1]
        if len(now) <= len(before[0]) and not threads:
            return
    more = {number: what for number, what in now.items() if before[0].get(number) != what}
    names = sorted(thread.name for thread in threads)
    raise AssertionError(f"left open: {more if len(now) > len(before[0]) else 'no descriptor'}, threads {names}")
