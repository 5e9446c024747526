# SPDX-License-Identifier: Apache-2.0
"""Frames in steady state cost the engine no allocation."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from helpers import processes, simulator

pytestmark = pytest.mark.sim_only  # a real device's speed would make this long

SOURCE = Path(__file__).resolve().parents[1] / "unit" / "native" / "count_allocations.c"

PROGRAM = """
    import ctypes, sys
    sys.path.insert(0, "tests")
    import ascend_venc as venc
    from helpers import simulator

    counter = ctypes.CDLL({counter!r})
    counter.allocation_count.restype = ctypes.c_ulong
    counter.allocation_watch.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    with open("/proc/self/maps") as maps:
        rows = [line.split() for line in maps if "libavenc.so" in line]
    (text,) = [row[0] for row in rows if "x" in row[1]]
    counter.allocation_watch(*(int(edge, 16) for edge in text.split("-")))

    frames = [bytes([number]) * (128 * 128 * 3 // 2) for number in range(8)]

    def submit_receive(enc):
        for frame in frames:
            enc.submit(frame)
        for _ in frames:
            enc.receive().release()

    def many(enc):
        enc.submit_many(frames)
        received = 0
        while received < 8:
            received += len(enc.receive_many())

    def queued(enc):
        for frame in frames:
            enc.submit_async(frame)
        assert len(enc.flush()) == 8

    def in_place(enc):
        for _ in range(8):
            picture = enc.acquire()
            enc.submit(picture)
        assert len(enc.flush()) == 8

    venc.Encoder(128, 128, backend="sim").close()
    before = counter.allocation_count()
    with simulator.shared().options(null_codec=20000):
        for flow in (submit_receive, many, queued, in_place):
            with venc.Encoder(128, 128, codec="h264", gop=65536, depth=8, backend="sim") as enc:
                opened = counter.allocation_count()
                for _ in range(50):
                    flow(enc)
                warm, buffers = counter.allocation_count(), enc.stats.packet_buffers
                for _ in range(1250):
                    flow(enc)
                grown = enc.stats.packet_buffers - buffers
                print(flow.__name__, warm - before > 0, counter.allocation_count() - warm, grown)
"""


def test_ten_thousand_frames_allocate_nothing(tmp_path):
    counter = tmp_path / "count.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", counter, SOURCE, "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM).format(counter=str(counter))],
        env=processes.environment(LD_PRELOAD=counter, ASCEND_VENC_SIM_STRICT="0"),
        cwd=simulator.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["submit_receive", "many", "queued", "in_place"]
    for name, counted, allocations, grown in rows:
        assert counted == "True", "the counter sees what opening an encoder allocates"
        # A packet buffer, two calls, is added only where more packets wait at once than ever before.
        assert int(allocations) <= 2 * int(grown), name
        assert int(grown) <= 8, name
