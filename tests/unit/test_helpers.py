# SPDX-License-Identifier: Apache-2.0
"""The tools of the other tests: each finds what it is there to find."""

import threading
from pathlib import Path

import numpy as np
import pytest

import ascend_venc as venc
from helpers import annexb, decode, live, peers, processes, video, waiting


@pytest.fixture(scope="module")
def streams(backend):
    frames = video.synthetic(192, 144, 8, watermark=True)
    found = {}
    for codec in ("h264", "h265"):
        with venc.Encoder(192, 144, codec=codec, gop=4, bitrate="1M", backend=backend) as enc:
            packets = []
            for frame in frames:
                packets += enc.encode(frame)
            packets += enc.flush()
            found[codec] = [bytes(packet) for packet in packets]
            del packets
    return frames, found


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_access_units_are_found_where_the_packets_end(streams, codec):
    _, found = streams
    units = annexb.access_units(b"".join(found[codec]), codec)
    assert [unit.data for unit in units] == found[codec]
    assert [unit.is_idr for unit in units] == [True, False, False, False] * 2
    assert (units[0].sps.width, units[0].sps.height) == (192, 144)
    swapped = annexb.access_units(b"".join([found[codec][4], *found[codec][1:4]]), codec)
    assert [unit.data for unit in swapped] != found[codec][:4]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_strict_decoder_gives_the_frames_and_notices_a_missing_key_frame(streams, codec):
    frames, found = streams
    decoded = decode.frames(b"".join(found[codec]), codec)
    assert [video.read_watermark(frame) for frame in decoded] == list(range(8))
    assert min(video.psnr(a, b) for a, b in zip(frames, decoded)) > 30
    damaged = bytearray(b"".join(found[codec]))
    damaged[len(found[codec][0]) // 2 : len(found[codec][0]) // 2 + 40] = bytes(range(40))
    try:
        worst = min((video.psnr(a, b) for a, b in zip(frames, decode.frames(damaged, codec))), default=0)
    except Exception:
        worst = 0
    assert worst < 25, "damage is seen by the decoder or by the picture"


def test_watermark_tells_frames_apart_and_refuses_what_is_none():
    frames = video.synthetic(128, 128, 5, watermark=True)
    assert [video.read_watermark(frame) for frame in frames] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="watermark"):
        video.read_watermark(np.full((192, 128), 128, np.uint8))


def test_psnr_of_known_differences():
    black = np.zeros((192, 128), np.uint8)
    assert video.psnr(black, black) == float("inf")
    assert video.psnr(black, black + 255) == pytest.approx(0)
    assert video.psnr(black, black + 8) == pytest.approx(30.07, abs=0.01)
    frame = video.synthetic(128, 128, 1)[0]
    assert video.psnr(frame, video.swap_chroma(frame)) < 25
    assert np.array_equal(video.swap_chroma(video.swap_chroma(frame)), frame)


def test_live_check_notices_an_object_that_was_left(backend):
    before = live.settled()
    enc = venc.Encoder(128, 128, backend=backend)
    with pytest.raises(AssertionError, match="CHANNEL"):
        live.assert_unchanged(before, patience=0)
    enc.close()
    live.assert_unchanged(before)


def test_thread_is_inside_a_call_where_it_sleeps_there_and_not_where_it_waits_for_the_gil():
    going, lock = [True], threading.Lock()

    def turn():
        while going:
            pass

    def wait():
        lock.acquire()

    turning = waiting.started(turn)
    assert not any(waiting.is_inside(turning, "turn") for _ in range(30))
    going.clear()
    lock.acquire()
    sleeping = waiting.started(wait)
    waiting.eventually(lambda: waiting.is_inside(sleeping, "wait"))
    assert not waiting.is_inside(sleeping, "turn")
    lock.release()
    assert waiting.outcome(turning) is waiting.outcome(sleeping) is None
    assert not waiting.is_inside(sleeping, "wait")


def test_program_is_interrupted_where_it_sleeps():
    program = (
        "import time\ntry:\n    print('ready', flush=True)\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print(1)"
    )
    process, output, errors, _ = processes.interrupt_when(program, "ready")
    assert (process.returncode, output, errors) == (0, "1\n", "")


def test_free_ports_are_outside_of_those_that_the_system_gives():
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if first <= 2048:
        pytest.skip(f"the system gives ports from {first} on: there are none below them")
    assert not any(first <= peers.free_port() <= last for _ in range(20))
