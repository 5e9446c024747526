# SPDX-License-Identifier: Apache-2.0
"""Setter and getter of a picture's width through every peer, as pytest-benchmark shows them.

Here a call's loop and pytest-benchmark's own are in the figure; `run.py --group calls` leaves them out.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from groups import calls

CALLS = 1000
PEERS = ("ascend_venc.acl", calls.SHAPE, "hand-written FASTCALL", "ctypes.CDLL", "ctypes.PyDLL")


@pytest.fixture(scope="module")
def peers():
    with calls.pic_descs(SimpleNamespace(pyacl=False)) as found:
        yield found


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("call", ["setter", "getter"])
def bench_call(benchmark, peers, peer, call):
    set_width, get_width, desc = peers[peer]

    def set_many():
        for _ in range(CALLS):
            set_width(desc, 640)

    def get_many():
        for _ in range(CALLS):
            get_width(desc)

    assert set_width(desc, 640) == 0
    benchmark.extra_info["calls"] = CALLS
    benchmark(set_many if call == "setter" else get_many)
    assert get_width(desc) == 640
