# SPDX-License-Identifier: Apache-2.0
"""Frames that the device refuses, before and after it has begun with them: no picture under another's number."""

import gc

import numpy as np
import pytest

import ascend_venc as venc
from helpers import decode, dlpack, interface, simulator, video
from helpers.waiting import eventually, until_futures_are_served

pytestmark = pytest.mark.sim_only

SYNC_TIMEOUT = 507046  # what the synchronise after the launch may return
REFUSED = (venc.AclError,)


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, 12, watermark=True)


def encoder(**options):
    return venc.Encoder(
        128,
        128,
        **{"codec": "h264", "backend": "sim", "bitrate": "2M", "gop": 1000, "timeout": 10, "depth": 4, **options},
    )


def shown(packets):
    """What each packet shows, decoded from the last key frame on: the stream must not need what nobody got."""
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


@pytest.mark.parametrize("nth", [1, 2, 5])
@pytest.mark.parametrize("way", ["submit", "encode", "acquire"])
def test_send_that_fails_after_its_launch_costs_this_frame_only(frames, way, nth):
    """Its report comes all the same: it is nobody's, and not the next frame's."""
    sim = simulator.shared()
    refused, packets = [], []
    frames = frames[:6]  # DVPP V2 takes no more while it encodes none
    with encoder(depth=12) as enc:  # room for all: a frame that has to be queued is refused by receive()
        # Stalled: a report that comes before the code counts, and such a frame is not refused.
        with sim.options(stall=1), sim.failing_call(interface.SEND, nth=nth, code=SYNC_TIMEOUT, after=True):
            for number, frame in enumerate(frames):
                try:
                    if way == "encode":
                        packets += enc.encode(frame, token=number)
                        continue
                    if way == "acquire":
                        held = enc.acquire()
                        held.array[:] = frame
                    enc.submit(held if way == "acquire" else frame, token=number)
                except REFUSED as error:
                    assert error.code == SYNC_TIMEOUT
                    refused.append(number)
        packets += enc.flush()
        stats = enc.stats
    tokens = [number for number in range(len(frames)) if number != nth - 1]
    assert refused == [nth - 1]
    assert [packet.token for packet in packets] == tokens
    assert [packet.frame_index for packet in packets] == list(range(len(tokens)))
    assert shown(packets) == tokens
    assert packets[nth - 1].is_keyframe  # the device has encoded with the refused frame in mind
    assert (stats.failed, stats.submitted) == (0, len(tokens))


def test_queued_send_that_fails_after_its_launch_costs_this_frame_only(frames):
    sim = simulator.shared()
    failing = sim.failing_call(interface.SEND, nth=3, code=SYNC_TIMEOUT, after=True)
    with encoder() as enc, sim.options(stall=1), failing:
        for number, frame in enumerate(frames[:4]):
            enc.submit_async(frame, token=number)
        eventually(lambda: enc.stats.refused_sends == 1)
        sim.set_options(stall=0)
        packets, failed = [], []
        while len(packets) + len(failed) < 4:
            try:
                packets.append(enc.receive(10))
            except venc.FrameError as error:
                failed.append(error.token)
    assert failed == [2]
    assert [packet.token for packet in packets] == [0, 1, 3]
    assert shown(packets) == [0, 1, 3]


@pytest.mark.parametrize(
    ("code", "after"),
    [(SYNC_TIMEOUT, False), (SYNC_TIMEOUT, True), (507018, False), (507018, True), (interface.INVALID, False)],
)
def test_encoder_works_after_twenty_refusals_in_a_row(frames, code, after):
    sim = simulator.shared()
    with encoder() as enc:
        packets = enc.encode(frames[0], token=0)
        # V1 is stalled: a report that comes before the code counts, and such a frame is not refused. V2 is not, since
        # the IDR that is owed behind a refused frame waits until the device has encoded what it has.
        failing = sim.failing_call(interface.SEND, code=interface.fault(code), persistent=True, after=after)
        with sim.options(stall=int(after and not interface.V2)), failing:
            packets += refuse(enc, frames[11], code, times=20)
        if not after and code != interface.INVALID:  # no report frees the pictures: the device may read them still
            try:
                enc.submit(frames[1], token=1)
            except REFUSED as error:
                assert "reconfigure()" in str(error)
                enc.reconfigure()
                enc.submit(frames[1], token=1)
        else:
            eventually(lambda: submits(enc, frames[1], 1))
        for number in range(2, 10):
            enc.submit(frames[number], token=number)
        packets += enc.flush()
    tokens = [packet.token for packet in packets]
    assert [token for token in tokens if token != 11] == list(range(10))
    assert shown(packets) == tokens


def test_encoder_whose_picture_buffers_all_went_with_refused_frames_says_so_at_once(frames):
    """It does not wait for what nothing will bring back."""
    sim = simulator.shared()
    with encoder(timeout=30) as enc:
        with sim.failing_call(interface.SEND, code=507018, persistent=True):
            for _ in range(200):
                with pytest.raises(venc.AclError) as caught:
                    enc.submit(frames[1])
                assert not isinstance(caught.value, venc.AclTimeoutError)
                if "reconfigure() opens the channel anew" in str(caught.value):
                    break
            else:
                pytest.fail("they never ran out")
        enc.reconfigure()
        assert len(enc.encode(frames[1]) + enc.flush()) == 1


def refuse(enc, frame, code, times):
    """Submit it until it was refused so often, by `submit` or as a packet where it had to be queued; what came else."""
    packets = []
    while times:
        try:
            number = enc.submit(frame, token=11, timeout=5)
            while not packets or packets[-1].frame_index != number:
                packets.append(enc.receive(5))
        except REFUSED as error:
            assert error.code == code
            times -= 1
    return packets


def submits(enc, frame, token):
    """Once the reports of what was refused have come."""
    try:
        enc.submit(frame, token=token)
    except REFUSED:
        return False
    return True


def test_memory_of_a_refused_frame_is_not_used_again_while_the_device_may_read_it(frames):
    """The picture of the refused frame is encoded late; it must not be another frame's by then."""
    sim = simulator.shared()
    with sim.options(stall=1), encoder(depth=2) as enc:
        with sim.failing_call(interface.SEND, code=SYNC_TIMEOUT, after=True), pytest.raises(REFUSED):
            enc.submit(frames[0])
        enc.submit(frames[1], token=1)
        enc.submit(np.ascontiguousarray(frames[2]), token=2)
        sim.set_options(stall=0)
        packets = enc.flush()
    assert [packet.token for packet in packets] == [1, 2]
    assert shown(packets) == [1, 2]


def of_a_future(enc, frame):
    future = enc.encode_future(frame)
    return lambda: future.result(20)


SUBMITTED = {  # submit it, and what tells of its failure where it was queued
    "receive": lambda enc, frame: enc.submit(frame) and (lambda: enc.receive(20)),
    "receive_many": lambda enc, frame: enc.submit(frame) and (lambda: enc.receive_many(4, 20)),
    "encode": lambda enc, frame: enc.submit(frame) and (lambda: enc.encode(bytes(128 * 192))),
    "future": of_a_future,
}


@pytest.mark.filterwarnings("ignore::ascend_venc.SimulatedDeviceWarning")  # of what makes the memory
@pytest.mark.parametrize("way", SUBMITTED)
@pytest.mark.parametrize("code", [SYNC_TIMEOUT, interface.of(507018, 0xA0088012)])
@pytest.mark.parametrize("queued", [False, True])
def test_memory_of_a_refused_frame_is_kept_until_the_device_cannot_read_it(queued, code, way):
    sim = simulator.shared()
    with encoder() as enc, dlpack.DeviceMemory(128 * 192, bytes(128 * 192)) as memory:
        tensor = dlpack.Tensor(memory.address, (192, 128))
        with (
            sim.options(stall=1),
            sim.failing_call(interface.SEND, nth=1 + queued, code=interface.fault(code), after=True),
        ):
            if queued:  # behind a frame whose sending does not return yet
                assert sim.lib.aclsim_hang_call(interface.SEND.encode(), 1, 0) == 0
                enc.submit_async(bytes(128 * 192))
                sim.wait_hung(interface.SEND)
                tell = SUBMITTED[way](enc, venc.DeviceFrame.from_dlpack(tensor))
                sim.lib.aclsim_release_hung()
                eventually(lambda: enc.stats.refused_sends == 1)
                with pytest.raises(venc.FrameError) as caught:
                    tell()
            else:
                with pytest.raises(venc.AclError) as caught:
                    SUBMITTED[way](enc, venc.DeviceFrame.from_dlpack(tensor))
            del caught
            tell = None
            until_futures_are_served()
            gc.collect()
            assert tensor.deleted == [], "the device has it, and may read it"
        enc.submit(bytes(128 * 192))
        enc.flush()
        enc.submit(bytes(128 * 192))
        gc.collect()
        assert len(tensor.deleted) == 1, "a later frame was reported"
        enc.flush()


@pytest.mark.filterwarnings("ignore::ascend_venc.SimulatedDeviceWarning")  # of what makes the memory
def test_collector_leaves_memory_of_a_refused_frame_whose_packet_nobody_has_taken():
    sim = simulator.shared()

    def hang():
        assert sim.lib.aclsim_hang_call(interface.SEND.encode(), 1, 0) == 0

    with encoder() as enc, dlpack.DeviceMemory(128 * 192, bytes(128 * 192)) as memory:
        tensor = dlpack.Tensor(memory.address, (192, 128))
        with sim.failing_call(interface.SEND, nth=2, code=interface.fault(SYNC_TIMEOUT), after=True):
            hang()
            enc.submit_async(bytes(128 * 192))
            sim.wait_hung(interface.SEND)
            enc.submit(venc.DeviceFrame.from_dlpack(tensor))  # behind it
            hang()
            sim.lib.aclsim_release_hung()
            assert enc.receive(20).frame_index == 0
            sim.wait_hung(interface.SEND)
            with sim.options(stall=1):
                sim.lib.aclsim_release_hung()
                eventually(lambda: enc.stats.refused_sends == 1 and enc.stats.in_flight == 0)
                gc.collect()
                assert tensor.deleted == [], "the device has it, and may read it"
        with pytest.raises(venc.FrameError):
            enc.receive(20)
        enc.submit(bytes(128 * 192))
        enc.flush()
        enc.submit(bytes(128 * 192))
        gc.collect()
        assert len(tensor.deleted) == 1, "a later frame was reported"
        enc.flush()
