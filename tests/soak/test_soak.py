# SPDX-License-Identifier: Apache-2.0
"""What has to stay flat for minutes. Chosen with `-m soak`; frames are small, so that the binding is what works."""

import ctypes
import gc
import os
import sys
from pathlib import Path

import pytest

import ascend_venc as venc
from helpers import video, waiting

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def resident_kib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def allocated():
    """(objects of Python's allocator, KiB that malloc has given out); 0 where the C library does not tell."""

    class Told(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ("a", "b", "c", "d", "mapped", "e", "f", "in_use", "g", "h")]

    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2  # glibc 2.33
    except AttributeError:
        return sys.getallocatedblocks(), 0
    mallinfo2.restype = Told
    told = mallinfo2()
    return sys.getallocatedblocks(), (told.in_use + told.mapped) // 1024


def file_descriptors():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


def test_memory_stays_flat_over_100_000_frames(backend):
    frames = video.synthetic(128, 128, 16)
    with venc.Encoder(128, 128, codec="h264", gop=100, backend=backend) as enc:
        received = 0
        for index in range(100_000):
            received += len(enc.encode(frames[index % 16]))
            if index == 10_000:
                gc.collect()
                before = resident_kib()
        received += len(enc.flush())
        gc.collect()
        drift = resident_kib() - before
    assert received == 100_000
    assert drift <= 512, f"{drift} KiB"


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_opening_and_closing_2_000_times_leaves_memory_threads_and_files(backend, codec):
    frame = video.synthetic(128, 128, 1)[0]

    def cycle():
        with venc.Encoder(128, 128, codec=codec, backend=backend) as enc:
            assert len(enc.encode(frame) + enc.flush()) == 1

    for _ in range(1000):
        cycle()
    gc.collect()
    before = allocated(), resident_kib(), file_descriptors(), threads()
    for _ in range(2000):
        cycle()
    gc.collect()
    waiting.eventually(lambda: threads() <= before[3])  # those of the device and of the task queue end by themselves
    (blocks, in_use), resident = allocated(), resident_kib()
    assert file_descriptors() == before[2]
    assert blocks - before[0][0] <= 500, "objects of Python"
    assert in_use - before[0][1] <= 512, f"{in_use - before[0][1]} KiB"
    # Which arenas have it goes up and down by 2 MiB, as threads take turns.
    assert resident - before[1] <= 4096, f"{resident - before[1]} KiB"
