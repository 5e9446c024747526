# SPDX-License-Identifier: Apache-2.0
"""Waiting in a test for what another thread or process brings about."""

import time


def eventually(condition, seconds=10):
    """Return when `condition()` is true; fail the test when it still is not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.002)
