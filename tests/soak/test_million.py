# SPDX-License-Identifier: Apache-2.0
"""A million frames: memory stays where it was."""

import os

import pytest

import ascend_venc as venc
from helpers import simulator

pytestmark = [pytest.mark.soak, pytest.mark.sim_only]

FRAMES = 1_000_000
BATCH = 8


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def test_a_million_frames_leave_memory_where_it_was(backend):
    frames = [bytes([number]) * (128 * 128 * 3 // 2) for number in range(BATCH)]
    venc.Encoder(128, 128, backend=backend).close()
    options = simulator.shared().options(null_codec=2000)
    with options, venc.Encoder(128, 128, codec="h264", gop=65536, depth=BATCH, backend=backend) as enc:
        received = 0
        for round_number in range(FRAMES // BATCH):
            enc.submit_many(frames)
            received += len(enc.receive_many())
            if round_number == FRAMES // BATCH // 20:
                start, buffers = resident_kib(), (enc.stats.packet_buffers, enc.stats.picture_buffers)
        received += len(enc.flush())
        assert received == FRAMES
        # Buffers are added, 4 KiB each here, only where more packets wait at once than ever before.
        added = enc.stats.packet_buffers - buffers[0]
        assert resident_kib() - start <= 64 + 4 * added
        assert added <= 4 * BATCH
        assert enc.stats.picture_buffers == buffers[1]
