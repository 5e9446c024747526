# SPDX-License-Identifier: Apache-2.0
"""No room for a frame: what `on_full` makes of it."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ascend_venc as venc
from helpers import decode, interface, simulator, video
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only  # the device is stalled on purpose

COUNT = 30
NO_MEMORY = interface.of(207001, 0xA002800C)  # of the device, as `AclError.code`


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT, watermark=True)


@pytest.fixture
def make(backend):
    made = []

    def open_encoder(**options):
        enc = venc.Encoder(128, 128, codec="h264", bitrate="2M", gop=1000, backend=backend, **options)
        made.append(enc)
        return enc

    yield open_encoder
    for enc in made:
        enc._close(warn=False)


def shown(packets):
    """Numbers of the pictures, from the first key frame on; the decoder refuses a stream with holes."""
    packets = list(packets)
    while packets and not packets[0].is_keyframe:
        packets.pop(0)
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


def stalled():
    return simulator.shared().options(stall=1)


def test_error(make, frames):
    enc = make(depth=2, on_full="error")
    with stalled():
        assert [enc.submit(frame) for frame in frames[:2]] == [0, 1]
        begin = time.monotonic()
        with pytest.raises(venc.EncoderFullError, match=r"2 in flight \(depth 2\)") as caught:
            enc.submit(frames[2])
        assert time.monotonic() - begin < 10, "of the 30 s for which it would wait"
        assert not isinstance(caught.value, TimeoutError)
        with pytest.raises(venc.EncoderFullError):
            enc.encode(frames[2])
        with pytest.raises(venc.EncoderFullError) as caught:
            enc.submit_many(frames[2:6])  # two of them wait natively
        assert caught.value.accepted == 2
        with pytest.raises(venc.EncoderFullError):
            enc.acquire()
    assert shown(enc.flush()) == [0, 1, 2, 3]
    assert enc.stats.dropped == {"no_room": 0, "frame_replaced": 0, "packet_replaced": 0}


def test_drop_newest_keeps_the_oldest_and_the_stream_whole(make, frames):
    enc = make(depth=3, queue=0, on_full="drop_newest")
    with stalled():
        numbers = [enc.submit(frame, key_frame=index == 5) for index, frame in enumerate(frames[:8])]
        assert numbers == [0, 1, 2, None, None, None, None, None]
        assert enc.acquire() is None
        assert enc.submit_many(frames[:2]) == [None, None]
        assert enc.submit_async(frames[0]) is None
    packets = enc.flush()
    assert enc.submit(frames[8]) == 3
    packets += enc.flush()
    assert shown(packets) == [0, 1, 2, 8]
    assert [packet.is_keyframe for packet in packets] == [True, False, False, True], (
        "the dropped key frame is made up for"
    )
    assert enc.stats.dropped["no_room"] == 9, "acquire() counts: its caller has to drop a frame"


@pytest.mark.parametrize("call", ["submit", "submit_async", "submit_many"])
def test_drop_oldest_keeps_the_newest(make, frames, call):
    enc = make(depth=2, queue=3, on_full="drop_oldest")
    tokens = [object() for _ in frames]
    with stalled():
        if call == "submit_many":
            assert enc.submit_many(frames, tokens=tokens) == list(range(COUNT))
        else:
            for number, frame in enumerate(frames):
                assert getattr(enc, call)(frame, token=tokens[number]) == number
                time.sleep(0.001)  # so that the sender thread can take the first two
        stats = enc.stats
        assert stats.in_flight <= 5
        assert stats.dropped["frame_replaced"] >= COUNT - 5
    packets = enc.flush()
    numbers = [packet.frame_index for packet in packets]
    assert numbers[-3:] == [COUNT - 3, COUNT - 2, COUNT - 1]
    assert len(numbers) == COUNT - enc.stats.dropped["frame_replaced"]
    assert shown(packets) == numbers, "frames go before they are encoded: the stream is whole"
    assert all(packet.token is tokens[packet.frame_index] for packet in packets)


def test_dropped_key_frame_is_made_up_for(make, frames):
    enc = make(depth=1, queue=1, on_full="drop_oldest")
    with stalled():
        enc.submit(frames[0])
        eventually(lambda: not enc.stats.queued)
        enc.submit(frames[1], key_frame=True)
        enc.submit(frames[2])
        assert enc.stats.dropped["frame_replaced"] == 1
    packets = enc.flush()
    assert [(packet.frame_index, packet.is_keyframe) for packet in packets] == [(0, True), (2, True)]


@pytest.mark.parametrize("key_frame", [False, True])
def test_dropped_key_frame_is_made_up_for_behind_a_frame_that_is_none(make, frames, key_frame):
    enc = make(depth=1, queue=0, on_full="drop_newest")
    with stalled():
        assert enc.submit(frames[0]) == 0
        assert enc.submit(frames[1], key_frame=True) is None
        with pytest.raises(venc.InvalidArgumentError):
            enc.submit(b"none", key_frame=key_frame)
    assert [packet.is_keyframe for packet in enc.flush()] == [True]
    enc.submit(frames[2])
    assert [packet.is_keyframe for packet in enc.flush()] == [True]


@pytest.mark.parametrize("key_frame", [False, True])
@pytest.mark.parametrize("way", ["submit_async", "submit_many"])
def test_dropped_key_frame_is_made_up_for_behind_a_frame_that_finds_no_memory(make, frames, way, key_frame):
    enc = make(depth=1, queue=1, on_full="drop_newest")
    with stalled():
        assert enc.submit(frames[0]) == 0
        assert enc.submit(frames[1], key_frame=True) is None  # sent at once or not at all
        failing = simulator.shared().failing_call(interface.MALLOC, code=interface.fault(NO_MEMORY))
        with failing, pytest.raises(venc.AclMemoryError):  # of the queue, which is made now
            if way == "submit_async":
                enc.submit_async(frames[2], key_frame=key_frame)
            else:
                enc.submit_many([frames[2]], key_frames=[key_frame])
    assert [packet.is_keyframe for packet in enc.flush()] == [True]
    for is_key in (True, False):
        enc.submit(frames[3])
        assert [packet.is_keyframe for packet in enc.flush()] == [is_key]


def test_packets_that_nobody_receives_are_bounded(make, frames):
    enc = make(max_queued=5, timeout=2)
    with pytest.raises(venc.AclTimeoutError, match=r"5 packets wait to be received, of 5|packets wait"):
        for frame in frames:
            enc.submit(frame)
    sent = enc.stats.submitted
    assert 5 <= sent <= 5 + enc.config.depth
    assert shown(enc.receive() for _ in range(sent)) == list(range(sent)), "none is lost"
    assert enc.submit(frames[0]) == sent


def test_a_receiver_makes_room_for_a_blocked_submitter(make, frames):
    enc = make(max_queued=2, depth=2)
    received, producer = [], threading.current_thread()

    def consume():
        eventually(lambda: enc.stats.ready >= 2 and is_inside(producer, "submit"))
        time.sleep(0.02)
        received.extend(enc.packets())

    consumer = threading.Thread(target=consume)
    consumer.start()
    for frame in frames:
        enc.submit(frame)
    enc.drain()
    consumer.join(20)
    assert shown(received) == list(range(COUNT))
    assert enc.stats.blocked > 0.01


def test_drop_newest_at_the_bound_of_packets_loses_no_packet(make, frames):
    enc = make(max_queued=4, on_full="drop_newest")
    numbers = []
    for frame in frames:
        numbers.append(enc.submit(frame))
        time.sleep(0.001)
    assert None in numbers
    packets = enc.flush()
    assert [packet.frame_index for packet in packets] == [number for number in numbers if number is not None]
    assert len(shown(packets)) == len(packets)
    assert enc.stats.dropped["no_room"] == numbers.count(None)


def test_drop_oldest_at_the_bound_of_packets_goes_on_with_a_key_frame(make, frames):
    enc = make(max_queued=4, on_full="drop_oldest")
    tokens = [object() for _ in frames]
    for number, frame in enumerate(frames):
        enc.submit(frame, token=tokens[number])
        eventually(lambda: not enc.stats.in_flight)
    packets = enc.flush()
    assert [packet.frame_index for packet in packets] == list(range(COUNT - 4, COUNT))
    assert enc.stats.dropped["packet_replaced"] == COUNT - 4
    assert all(packet.is_keyframe for packet in packets), "each follows a packet that was dropped"
    assert all(packet.token is tokens[packet.frame_index] for packet in packets)


@pytest.mark.parametrize("on_full", ["block", "error", "drop_newest"])
@pytest.mark.parametrize("way", ["submit_async", "submit_many", "acquire"])
def test_memory_that_the_device_refuses_is_said_and_not_asked_for_again(make, frames, way, on_full):
    sim = simulator.shared()
    enc = make(depth=1, queue=1, on_full=on_full, timeout=None)
    calls = {
        "submit_async": lambda: enc.submit_async(frames[1]),
        "submit_many": lambda: enc.submit_many(frames[1:2]),
        "acquire": enc.acquire,
    }
    with stalled():
        assert enc.submit(frames[0]) == 0
        with sim.failing_call(interface.MALLOC, code=interface.fault(NO_MEMORY), persistent=True):
            sim.lib.aclsim_count_calls(1)
            thread = started(calls[way])
            assert isinstance(outcome(thread), venc.AclMemoryError)
            assert sim.lib.aclsim_calls(interface.MALLOC.encode()) == 1
            sim.lib.aclsim_count_calls(0)
    assert len(enc.flush()) == 1


def test_queue_gives_its_memory_only_when_used(make, frames):
    enc = make(depth=2, queue=6)
    assert enc.stats.picture_buffers == 2
    held = [enc.acquire() for _ in range(8)]
    assert enc.stats.picture_buffers == 8
    with pytest.raises(venc.AclTimeoutError, match="8 held by the program"):
        enc.acquire(timeout=0.05)
    held.clear()
    enc.encode(frames[0])
    assert enc.stats.picture_buffers == 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"on_full": "wait"}, 'on_full is \'wait\'; allowed are "block", "drop_newest", "drop_oldest", "error"'),
        ({"max_queued": 0}, "max_queued is 0, allowed is 1 to 65536"),
        ({"queue": 257}, "queue is 257, allowed is 0 to 256"),
        ({"queue": 0, "on_full": "drop_oldest"}, "queue is 0, allowed is 1 to 256"),
        ({"delivery": "late"}, "delivery is 'late'"),
        ({"max_latency": 0}, "max_latency is 0"),
    ],
)
def test_bad_options(make, options, text):
    with pytest.raises(venc.InvalidArgumentError, match=text):
        make(**options)


@pytest.mark.parametrize("delivery", ["immediate", "coalesced"])
def test_delivery_gives_everything_in_order(make, frames, delivery):
    enc = make(delivery=delivery, max_latency=0.25)
    received, wakes = [], 0

    def produce():
        with simulator.shared().options(encode_time_us=1000):
            for frame in frames * 6:
                enc.submit(frame)
            enc.drain()

    producer = threading.Thread(target=produce)
    producer.start()
    while True:
        try:
            received += enc.receive_many(1000)
            wakes += 1
        except venc.EncoderDrained:
            break
    producer.join()
    assert [packet.frame_index for packet in received] == list(range(6 * COUNT))
    if delivery == "coalesced":
        assert wakes < len(received) / 3, "about 200 packets come in 250 ms"


WAYS = {
    "submit_async": lambda enc, frame: enc.submit_async(frame),
    "submit": lambda enc, frame: enc.submit(frame),  # of padded rows: by pinned memory
    "submit_many": lambda enc, frame: enc.submit_many([frame]),
    "encode": lambda enc, frame: enc.encode(frame),
    "acquire": lambda enc, frame: enc.acquire(),
}


@pytest.mark.parametrize("on_full", ["block", "error", "drop_newest"])
@pytest.mark.parametrize("way", WAYS)
def test_memory_that_cannot_be_had_is_asked_for_once_and_told(backend, way, on_full):
    sim, frame = simulator.shared(), bytes(130 * 128 * 3 // 2)
    with venc.Encoder(130, 128, codec="h264", depth=2, queue=2, on_full=on_full, timeout=10, backend=backend) as enc:
        if simulator.is_a_board():
            pytest.skip("on a board no staging memory is allocated (aclrtGetRunMode says ACL_DEVICE)")
        sim.lib.aclsim_count_calls(1)
        failing = sim.failing_call("aclrtMallocHost", code=207001, persistent=True)
        with failing, pytest.raises(venc.AclMemoryError) as caught:
            WAYS[way](enc, frame)
        sim.lib.aclsim_count_calls(0)
        assert (caught.value.code, caught.value.call) == (207001, "aclrtMallocHost")
        assert sim.lib.aclsim_calls(b"aclrtMallocHost") == 1
        assert enc.submit(frame) == 0
        assert len(enc.flush()) == 1


@pytest.mark.parametrize("on_full", ["error", "drop_newest"])
def test_room_is_room_while_another_thread_sends(frames, backend, on_full):
    sim = simulator.shared()
    with venc.Encoder(128, 128, codec="h264", depth=8, queue=0, on_full=on_full, timeout=10, backend=backend) as enc:
        with sim.hanging_call(interface.SEND) as wait_hung:
            thread = threading.Thread(target=enc.submit, args=(frames[0],))
            thread.start()
            wait_hung()
            assert enc.submit(frames[1]) == 1
            assert enc.submit_many(frames[2:4]) == [2, 3]
            assert enc.encode(frames[4]) == []
        thread.join()
        assert shown(enc.flush()) == [0, 1, 2, 3, 4]


def test_key_frame_that_is_dropped_while_another_thread_sends_is_made_up_for(frames, backend):
    sim = simulator.shared()
    with venc.Encoder(128, 128, codec="h264", gop=100, depth=1, queue=0, on_full="drop_newest", backend=backend) as enc:
        enc.submit(frames[0])
        enc.flush()
        with sim.options(stall=1, send_time_us=300_000):
            sim.lib.aclsim_count_calls(1)
            thread = threading.Thread(target=enc.submit_many, args=([frames[1]],))
            thread.start()
            eventually(lambda: sim.lib.aclsim_calls(interface.SEND.encode()))
            sim.lib.aclsim_count_calls(0)
            assert enc.submit(frames[2], key_frame=True) is None
            thread.join()
        enc.flush()
        for is_key in (True, False):
            enc.submit(frames[3])
            assert [packet.is_keyframe for packet in enc.flush()] == [is_key]


@pytest.mark.parametrize("way", ["submit", "encode", "submit_async"])
@pytest.mark.parametrize("on_full", ["drop_newest", "error"])
def test_time_stamp_is_asked_for_once_also_where_there_is_no_room(frames, backend, way, on_full):
    asked = []

    class Stamp:
        def __index__(self):
            asked.append(self)
            return len(asked)

    device = simulator.shared().options(null_codec=500, stall=1)
    with device, venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=0, on_full=on_full) as encoder:
        for _ in range(3):
            with contextlib.suppress(venc.EncoderFullError):
                getattr(encoder, way)(frames[0], pts=Stamp())
        simulator.shared().set_options(stall=0)
        received = [packet.pts for packet in encoder.flush()]
    assert len(asked) == 3 and received == [1]


@pytest.mark.parametrize("on_full", ["block", "drop_newest", "error"])
def test_encode_returns_everything_that_is_ready(frames, backend, on_full):
    device = simulator.shared().options(null_codec=500)
    with device, venc.Encoder(128, 128, codec="h264", backend=backend, on_full=on_full, max_queued=4096) as encoder:
        for number in range(100):
            encoder.submit(frames[0])
            eventually(lambda number=number: encoder.stats.ready == number + 1)
        found = encoder.encode(frames[0])
        assert [packet.frame_index for packet in found][:100] == [*range(100)]
        encoder.flush()


def test_encode_gives_back_what_it_has_taken_where_a_failure_comes_behind(frames, backend):
    device = simulator.shared().options(null_codec=500)
    with device, venc.Encoder(128, 128, codec="h264", backend=backend, max_queued=4096) as encoder:
        for number in range(80):
            if number == 70:
                with simulator.shared().failing_frame(0, 1, 3):
                    encoder.submit(frames[0])
                    eventually(lambda: encoder.stats.failed == 1)
            else:
                encoder.submit(frames[0])
                eventually(lambda: encoder.stats.in_flight == 0)
        with pytest.raises(venc.FrameError) as caught:
            encoder.encode(frames[0])
        assert caught.value.frame_index == 70
        assert [packet.frame_index for packet in encoder.flush()] == [*range(70), *range(71, 81)]


def test_encode_waits_for_no_packet_where_a_frame_that_failed_was_in_the_way(make, frames):
    enc = make(depth=3, max_queued=1, timeout=20)
    device = simulator.shared()
    with device.failing_frame(0, 1, 3), device.hanging_call(interface.SEND, nth=2):
        with stalled():
            enc.submit(frames[0])
            enc.submit_async(frames[1])
            device.wait_hung(interface.SEND)
        eventually(lambda: enc.stats.failed == 1)
        with ThreadPoolExecutor(1) as other:  # which no signal brings back from its wait
            failure = other.submit(enc.encode, frames[2]).exception(10)  # of the 20 s for which it would wait
    assert isinstance(failure, venc.FrameError) and failure.frame_index == 0
    assert [packet.frame_index for packet in enc.flush()] == [1, 2]
