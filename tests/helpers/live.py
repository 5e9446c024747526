# SPDX-License-Identifier: Apache-2.0
"""Counts of live native objects: the engine's, and the simulated device's where it is loaded."""

import gc
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


def settled(patience=2.0):
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


def assert_unchanged(before, patience=2.0):
    """Fail if a count differs from `before` after garbage collection; native threads get `patience` s to finish."""
    deadline = time.monotonic() + patience
    while True:
        found = differences(before)
        if not found:
            return
        gc.collect()
        if time.monotonic() > deadline:
            raise AssertionError(f"live native objects changed (kind: before, now): {differences(before) or found}")
        time.sleep(0.01)
