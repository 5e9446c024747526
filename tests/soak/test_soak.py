# SPDX-License-Identifier: Apache-2.0
"""What has to stay flat for minutes. Chosen with `-m soak`; frames are small, so that the binding is what works."""

import gc
import os
from pathlib import Path

import pytest

import ascend_venc as venc
from helpers import video

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]


def resident_kib():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


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

    for _ in range(200):
        cycle()
    gc.collect()
    before = resident_kib(), file_descriptors(), threads()
    for _ in range(2000):
        cycle()
    gc.collect()
    after = resident_kib(), file_descriptors(), threads()
    assert after[1:] == before[1:]
    assert after[0] - before[0] <= 1024, f"{after[0] - before[0]} KiB"
