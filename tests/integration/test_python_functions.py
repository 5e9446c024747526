# SPDX-License-Identifier: Apache-2.0
"""How many functions of Python a frame runs: after each sleep the caches are cold, and each costs microseconds then
(docs/benchmarks/profiles.md)."""

import sys

import numpy as np
import pytest

import ascend_venc as venc
from helpers.waiting import eventually

FRAME = np.full(128 * 128 * 3 // 2, 128, np.uint8)


def functions_of(call, *args, **options):
    """(what the call returned, names of the functions of Python that it ran)"""
    names = []

    def note(frame, event, argument):
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        result = call(*args, **options)
    finally:
        sys.setprofile(None)
    return result, names


@pytest.fixture
def encoder(backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend, queue=4) as encoder:
        yield encoder
        encoder.flush()


@pytest.mark.parametrize("way", ["submit", "submit_async", "encode"])
def test_frame_is_sent_by_one_function(encoder, way):
    assert functions_of(getattr(encoder, way), FRAME)[1] == [way]


def test_frame_of_the_encoder_s_own_memory_is_sent_by_one_function_each(encoder):
    frame, names = functions_of(encoder.acquire)
    assert (names, functions_of(encoder.submit, frame)[1]) == (["acquire"], ["submit"])


@pytest.mark.parametrize("way", ["receive", "receive_many"])
@pytest.mark.parametrize("options", [{}, {"timeout": 10.0}], ids=["without a bound", "with one"])
def test_packet_is_received_by_one_function(encoder, way, options):
    encoder.submit(FRAME)
    assert functions_of(getattr(encoder, way), **options)[1] == [way]


@pytest.mark.parametrize("options", [{}, {"max": 256, "timeout": 10.0}], ids=["without a bound", "with one"])
def test_packet_of_a_group_is_received_by_one_function(backend, options):
    with venc.EncoderGroup(backend=backend) as group:
        cameras = [group.add(128, 128, codec="h264") for _ in range(2)]
        with pytest.raises(venc.AclTimeoutError):
            group.receive_many(timeout=0.0)  # looks for encoders that are stalled, for the first time
        for camera in cameras:
            camera.submit(FRAME)
            eventually(lambda camera=camera: camera.stats.ready == 1)
        found, names = functions_of(group.receive_many, **options)
        assert ([encoder for encoder, _ in found], names) == (cameras, ["receive_many"])
