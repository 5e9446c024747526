# SPDX-License-Identifier: Apache-2.0
"""Allocations of Python that fail, by _testcapi.set_nomemory: where a test may ask for them."""

import functools
import sys

import pytest

from helpers import processes

# Some of CPython 3.12 and 3.13 crash here by themselves: seen with 3.12.1 and 3.13.0, not with 3.11, 3.13.15 and 3.14.
PROBE = """
import _testcapi, threading
lock = threading.Lock()

def compute():
    with lock:
        rows = sorted({1: 2, 3: 4}.items(), key=lambda row: row[1])
    return [row for row in rows]

compute()
for place in range(40):
    _testcapi.set_nomemory(place, place + 1)
    try:
        compute()
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
"""


@functools.cache
def crashes():
    done = processes.run(PROBE)
    assert done.returncode <= 0, done.stderr
    return done.returncode < 0


def need():
    """Skip the test where this Python has no such faults, or crashes there by itself."""
    pytest.importorskip("_testcapi", reason="this Python has no _testcapi, which makes allocations fail")
    if crashes():
        assert (3, 12) <= sys.version_info < (3, 14), "another Python crashes where memory runs out"
        pytest.skip("this Python crashes where its memory runs out, with nothing of ours loaded (memory_faults.PROBE)")
