# SPDX-License-Identifier: Apache-2.0
"""In steady state the engine allocates nothing for a frame, whichever way it goes in and out."""

import json
import platform
import subprocess
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import processes

pytestmark = pytest.mark.sim_only

FRAMES = 10_000

PROGRAM = """
import ctypes, json, os, re, sys, time
from pathlib import Path
import ascend_venc as venc

way, frames = sys.argv[1], int(sys.argv[2])
preloaded = ctypes.CDLL(None)
preloaded.count_from.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
preloaded.counted.restype = ctypes.c_ulong
ranges = 0
for line in Path("/proc/self/maps").read_text().splitlines():
    # The engine, and the Cython modules on top of it: Python's own allocator is neither.
    if re.search(r"r-xp .*/(libavenc\\.so|_lowlevel/\\w+\\.[\\w-]+\\.so)$", line):
        begin, end = (int(part, 16) for part in line.split()[0].split("-"))
        assert preloaded.count_from(begin, end) == 0
        ranges += 1

BATCH = 8
picture = bytes(128 * 128 * 3 // 2)
batch = [picture] * BATCH
kept = []

def run(enc, count):
    received = 0
    if way == "submit":
        for _ in range(count):
            enc.submit(picture)
            received += enc.receive().size > 0
    elif way == "submit_many":
        for _ in range(count // BATCH):
            enc.submit_many(batch)
            got = 0
            while got < BATCH:
                got += len(enc.receive_many())
            received += got
    elif way == "submit_async":
        for _ in range(count):
            enc.submit_async(picture)
            received += enc.receive().size > 0
    elif way == "acquire":
        for _ in range(count):
            frame = enc.acquire()
            frame.y[0, 0] = 1
            enc.submit(frame)
            received += enc.receive().size > 0
    elif way == "kept":
        for _ in range(count):
            enc.submit(picture)
            kept.append(enc.receive())
            received += 1
    elif way == "encode":
        for _ in range(count):
            received += len(enc.encode(picture))
        received += len(enc.flush())
    return received

def buffers(enc):
    stats = enc.stats
    return [stats.packet_buffers, stats.picture_buffers]

def fill(enc):
    # As many packets at once as any way can have: a thread that does not run for a while would else be the first.
    for _ in range(BATCH):
        enc.submit(picture)
    while enc.stats.ready < BATCH:
        time.sleep(0.001)
    assert len(enc.encode(picture)) + len(enc.flush()) == BATCH + 1

with venc.Encoder(128, 128, gop=60, depth=BATCH, backend="sim") as enc:
    fill(enc)
    opening = preloaded.counted()
    assert run(enc, 800) == 800
    before, held = preloaded.counted(), buffers(enc)
    received = run(enc, frames)
    after, grown = preloaded.counted(), buffers(enc)
print(json.dumps({"ranges": ranges, "opening": opening, "allocations": after - before, "received": received,
                  "buffers": [held, grown]}))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """Path of the library that counts allocations, to be preloaded."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the counter stands on glibc's own names of malloc")
    engine = Path(core.simulated_device_path()).with_name("libavenc.so").read_bytes()
    if b"\0__asan_" in engine or b"\0__tsan_" in engine:
        pytest.skip("a sanitizer has its own malloc, which the counter would replace")
    built = tmp_path_factory.mktemp("count") / "count_allocations.so"
    source = Path(__file__).resolve().parent / "native" / "count_allocations.c"
    command = ["gcc", "-std=gnu11", "-O1", "-fno-builtin", "-fPIC", "-shared", str(source), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


def count(counter, way, frames):
    env = {
        "LD_PRELOAD": counter,
        "ASCEND_VENC_SIM_OPTIONS": "null_codec=2000",
        "ASCEND_VENC_SIM_STRICT": "0",
    }
    done = processes.run(PROGRAM, way, frames, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["ranges"] >= 2 and found["opening"] > 0, "the counter sees what opening an encoder allocates"
    assert found["received"] == frames
    return found


@pytest.mark.parametrize("way", ["encode", "submit", "submit_many", "submit_async", "acquire"])
def test_steady_state_allocates_nothing_for_a_frame(counter, way):
    found = count(counter, way, FRAMES)
    assert found["allocations"] == 0
    held, grown = found["buffers"]
    assert grown == held


def test_packets_that_are_kept_cost_a_buffer_each(counter):
    found = count(counter, "kept", 100)
    assert found["allocations"] == 2 * 100  # the packet, and address space for its data
    held, grown = found["buffers"]
    assert grown[0] == held[0] + 100
