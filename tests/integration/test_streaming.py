# SPDX-License-Identifier: Apache-2.0
"""`Encoder.submit` and `receive`, each at its own pace: what comes out, in which order, with what, and how it ends."""

import copy
import pickle
import threading
import time
from fractions import Fraction

import pytest

import ascend_venc as venc
from ascend_venc._lowlevel import packet as packet_module
from helpers import annexb, decode, interface, processes, simulator, video


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(160, 128, 24, watermark=True)


def encoder(backend, **options):
    return venc.Encoder(160, 128, **{"codec": "h264", "bitrate": "2M", "backend": backend, **options})


def watermarks(packets, codec="h264"):
    return [video.read_watermark(picture) for picture in decode.unit_frames(packets, codec)]


def indices(packets):
    return [packet.frame_index for packet in packets]


class Thread(threading.Thread):
    """A thread whose exception is raised, and whose result is returned, by `result`."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self._call = function, args
        self._result = self._error = None
        self.start()

    def run(self):
        function, args = self._call
        try:
            self._result = function(*args)
        except BaseException as error:
            self._error = error

    def result(self, timeout=30):
        self.join(timeout)
        assert not self.is_alive(), "the thread is still blocked"
        if self._error is not None:
            raise self._error
        return self._result


# ---- one thread ------------------------------------------------------------------------------------------------------


def test_submit_numbers_frames_and_receive_returns_their_packets_in_order(backend, frames):
    packets = []
    with encoder(backend, depth=4, gop=6) as enc:
        for start in range(0, 24, 4):
            assert [enc.submit(frame) for frame in frames[start : start + 4]] == list(range(start, start + 4))
            packets += [enc.receive() for _ in range(4)]
        with pytest.raises(venc.EncoderDrained):
            enc.receive()
    assert indices(packets) == list(range(24))
    assert [packet.is_keyframe for packet in packets] == [index % 6 == 0 for index in range(24)]
    assert watermarks(packets) == list(range(24))


def test_only_submitter_learns_that_nothing_can_come_and_may_go_on(backend, frames):
    with encoder(backend) as enc:
        with pytest.raises(venc.AclTimeoutError):  # nobody has submitted: somebody may
            enc.receive(timeout=0.01)
        assert enc.submit(frames[0]) == 0
        assert indices(enc.packets()) == [0]
        for _ in range(2):
            with pytest.raises(venc.EncoderDrained, match="all packets have been received"):
                enc.receive()
        assert enc.submit(frames[1]) == 1
        assert indices(enc.packets()) == [1]


def test_packets_of_what_was_submitted_then_drained(backend, frames):
    with encoder(backend, queue=20) as enc:
        for frame in frames:
            enc.submit_async(frame)
        enc.drain()
        packets = list(enc.packets())
        assert indices(packets) == list(range(24))
        assert list(enc.packets()) == []
        for call in (enc.submit, enc.submit_async, enc.encode, lambda frame: enc.submit_many([frame])):
            with pytest.raises(venc.EncoderClosedError, match=r"drain\(\)"):
                call(frames[0])
        with pytest.raises(venc.EncoderClosedError, match=r"drain\(\)"):
            enc.acquire()
        assert enc.flush() == []
        enc.drain()  # idempotent
    assert watermarks(packets) == list(range(24))


def test_encode_iter_yields_every_packet_of_any_iterable(backend, frames):
    with encoder(backend) as enc:
        packets = list(enc.encode_iter(frame for frame in frames))
        assert indices(packets) == list(range(24))
        assert indices(enc.encode_iter(frames[:2])) == [24, 25]
        assert list(enc.encode_iter([])) == []
    assert watermarks(packets) == list(range(24))


def test_encode_iter_left_early_loses_nothing(backend, frames):
    with encoder(backend) as enc:
        got = []
        for packet in enc.encode_iter(iter(frames)):
            got.append(packet)
            if len(got) == 3:
                break
        got += enc.flush()
        assert indices(got) == list(range(enc.stats.submitted))


def test_packets_left_early_loses_nothing(backend, frames):
    with encoder(backend, depth=24) as enc:
        enc.submit_many(frames[:12])
        while enc.stats.ready < 12:
            time.sleep(0.001)
        for packet in enc.packets():
            if packet.frame_index == 2:
                break
        assert enc.stats.ready == 9
        assert enc.receive().frame_index == 3
        assert indices(enc.packets()) == list(range(4, 12))


def test_submit_many_sends_in_order_with_its_pts_key_frames_and_tokens(backend, frames):
    with encoder(backend, depth=24) as enc:
        sent = enc.submit_many(
            frames[:6], pts=range(100, 160, 10), key_frames=[i == 4 for i in range(6)], tokens="abcdef"
        )
        assert sent == list(range(6))
        assert enc.submit_many([]) == []
        packets = enc.receive_many(2)
        assert 1 <= len(packets) <= 2
        while len(packets) < 6:
            packets += enc.receive_many(100)
    assert indices(packets) == list(range(6))
    assert [packet.pts for packet in packets] == list(range(100, 160, 10))
    assert [packet.is_keyframe for packet in packets] == [i in (0, 4) for i in range(6)]
    assert "".join(packet.token for packet in packets) == "abcdef"
    assert watermarks(packets) == list(range(6))


@pytest.mark.parametrize("name", ["pts", "key_frames", "tokens"])
def test_submit_many_wants_one_item_for_each_frame(backend, frames, name):
    with encoder(backend) as enc:
        with pytest.raises(venc.InvalidArgumentError, match=f"{name} has 1 items for 2 frames"):
            enc.submit_many(frames[:2], **{name: [1]})
        assert enc.stats.submitted == 0


def test_submit_many_with_one_bad_frame_sends_none(backend, frames):
    with encoder(backend) as enc:
        with pytest.raises(venc.InvalidArgumentError, match="shape") as caught:
            enc.submit_many([frames[0], frames[1][:10], frames[2]])
        assert caught.value.accepted == 0
        with pytest.raises(TypeError, match="buffer protocol"):
            enc.submit_many([frames[0], object()])
        assert enc.stats.submitted == 0
        assert enc.submit(frames[0]) == 0
        assert indices(enc.packets()) == [0]


@pytest.mark.sim_only
def test_submit_many_without_room_says_how_many_were_sent(backend, frames):
    with encoder(backend, depth=3, queue=0) as enc:
        with simulator.shared().options(stall=1), pytest.raises(venc.AclTimeoutError) as caught:
            enc.submit_many(frames[:5], tokens=range(5), timeout=0.1)
        assert caught.value.accepted == 3
        packets = enc.flush()
    assert [packet.token for packet in packets] == [0, 1, 2]


@pytest.mark.sim_only
def test_submit_many_that_the_device_refuses_in_the_middle(backend, frames):
    with encoder(backend, depth=8) as enc:
        failing = simulator.shared().failing_call(interface.SEND, nth=3, code=507018)
        with failing, pytest.raises(venc.AclError) as caught:
            enc.submit_many(frames[:5], tokens=range(5))
        assert (caught.value.accepted, caught.value.code) == (2, 507018)
        assert enc.submit_many(frames[2:4], tokens=[2, 3]) == [2, 3]
        assert [(packet.frame_index, packet.token) for packet in enc.flush()] == [(i, i) for i in range(4)]


@pytest.mark.parametrize("bad", [0, -1, 1 << 31])
def test_receive_many_bounds(backend, bad):
    with encoder(backend) as enc, pytest.raises(venc.InvalidArgumentError, match=f"max is {bad}"):
        enc.receive_many(bad)


def test_submit_async_copies_now_or_borrows(backend, frames):
    with encoder(backend, depth=2, queue=8) as enc:
        scratch = frames[0].copy()
        enc.submit_async(scratch)
        scratch[:] = 0  # copied: ours again
        borrowed = bytearray(frames[1].tobytes())
        enc.submit_async(borrowed, copy=False)
        with pytest.raises(BufferError):
            borrowed.append(0)
        packets = [enc.receive(), enc.receive()]
        borrowed.append(0)  # its packet is here: released
        assert indices(packets) == [0, 1]
    assert watermarks(packets) == [0, 1]


def test_submit_and_submit_async_mixed_keep_the_order(backend, frames):
    with encoder(backend, depth=3, queue=6) as enc:
        packets = []
        for index, frame in enumerate(frames):
            assert (enc.submit_async if index % 3 else enc.submit)(frame, token=index) == index
            if index % 4 == 3:
                packets += enc.receive_many()
        packets += enc.flush()
    assert [packet.token for packet in packets] == indices(packets) == list(range(24))
    assert watermarks(packets) == list(range(24))


# ---- what travels with a frame ---------------------------------------------------------------------------------------


def test_token_is_the_same_object_and_is_let_go_of_with_its_packet(backend, frames):
    class Token:
        alive = 0

        def __init__(self):
            Token.alive += 1

        def __del__(self):
            Token.alive -= 1

    with encoder(backend) as enc:
        token = Token()
        enc.submit(frames[0], token=token)
        packet = enc.receive()
        assert packet.token is token
        del token
        assert Token.alive == 1
        del packet
        assert Token.alive == 0
        enc.submit(frames[1], token=Token())
        enc.flush()
        with pytest.raises(venc.InvalidArgumentError):
            enc.submit(frames[1][:2], token=Token())
        assert Token.alive == 0
        enc.submit(frames[2], token=Token())
        enc._close(warn=False)
    assert Token.alive == 0


@pytest.mark.parametrize("token", [0, "", False, (), 7.5])
def test_token_may_be_anything(backend, frames, token):
    with encoder(backend) as enc:
        enc.submit(frames[0], token=token)
        assert enc.receive().token == token
        enc.submit(frames[0])
        assert enc.receive().token is None


def test_pts_default_to_the_frames_number(backend, frames):
    with encoder(backend, fps=29.97) as enc:
        for frame, pts in zip(frames, (None, 500, None, -(2**63), 2**63 - 1)):
            enc.submit(frame, pts=pts)
            packet = enc.receive()
            expected = packet.frame_index if pts is None else pts
            assert (packet.pts, packet.dts) == (expected, expected)
            assert packet.time == float(expected * Fraction(1001, 30000))


@pytest.mark.parametrize(("pts", "error"), [(1 << 63, venc.InvalidArgumentError), ("1", TypeError), (1.5, TypeError)])
def test_bad_pts_sends_nothing(backend, frames, pts, error):
    with encoder(backend) as enc:
        for call in (enc.submit, enc.submit_async, enc.encode):
            with pytest.raises(error, match="pts"):
                call(frames[0], pts=pts, token=object())
        assert enc.stats.submitted == 0


@pytest.mark.parametrize("call", ["submit", "submit_async", "encode"])
def test_forced_key_frame_is_exactly_that_frame(backend, frames, call):
    with encoder(backend, gop=100, depth=24) as enc:
        packets = []
        for index, frame in enumerate(frames[:10]):
            result = getattr(enc, call)(frame, key_frame=index == 5)
            packets += result if call == "encode" else []
        packets += enc.flush()
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == [0, 5]


# ---- packets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_packet_facts(backend, frames, codec):
    with encoder(backend, codec=codec, gop=4) as enc:
        before = time.monotonic()
        enc.submit(frames[0])
        enc.submit(frames[1])
        packets = list(enc.packets())
        after = time.monotonic()
    assert [packet.kind for packet in packets] == ["IDR", "P"]
    for packet in packets:
        assert before <= packet.submitted_at < packet.emitted_at <= after
        assert packet.latency == pytest.approx(packet.emitted_at - packet.submitted_at, abs=1e-6)
        units = packet.nal_units()
        assert [bytes(unit) for unit in units] == annexb.nal_units(bytes(packet))
        assert all(unit.readonly for unit in units)
        with pytest.raises(BufferError, match="live view"):
            packet.release()
        del units
        packet.release()


FIELDS = (
    *("pts", "dts", "time", "time_base", "duration", "frame_index", "is_keyframe", "kind", "size"),
    *("submitted_at", "emitted_at", "latency", "token", "device_kind", "mean_qp", "picture_bits"),
)


def test_packet_pickles_and_copies_with_its_fields_and_memory_of_its_own(backend, frames):
    with encoder(backend, fps=50) as enc:
        enc.submit(frames[0])
        enc.submit(frames[1], pts=700, token={"camera": "door"})
        packets = [enc.receive(), enc.receive()]
    for packet in packets:
        assert packet.duration == 1 and packet.time_base == Fraction(1, 50)
        wanted = [getattr(packet, name) for name in FIELDS]
        data, units = bytes(packet), [bytes(unit) for unit in packet.nal_units()]
        made = [pickle.loads(pickle.dumps(packet, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
        made += [copy.copy(packet), copy.deepcopy(packet)]
        made.append(pickle.loads(pickle.dumps(made[0])))
        packet.release()
        for other in made:
            assert type(other) is venc.Packet
            assert [getattr(other, name) for name in FIELDS] == wanted
            assert (bytes(other), [bytes(unit) for unit in other.nal_units()]) == (data, units)
            assert memoryview(other).readonly and len(other) == len(data)
            view = memoryview(other)
            with pytest.raises(BufferError, match="live view"):
                other.release()
            view.release()
            other.release()
            with pytest.raises(ValueError, match="released"):
                bytes(other)
    with pytest.raises(ValueError, match="released"):
        pickle.dumps(packets[0])


def test_view_of_a_copied_packet_outlives_it(backend, frames):
    with encoder(backend) as enc:
        enc.submit(frames[0])
        packet = enc.receive()
    view = memoryview(copy.copy(packet))
    assert view.tobytes() == bytes(packet)


def test_forged_pickle_of_a_packet_is_refused():
    for arguments in ((None, 0, 0, 1, 0, 0, Fraction(1), None), (b"", 0, 0, 77, 0, 0, Fraction(1), None)):
        with pytest.raises((TypeError, ValueError)):
            packet_module._restore(*arguments)


# ---- producer and consumer -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["submit", "submit_async"])
@pytest.mark.parametrize("delivery", ["immediate", "coalesced"])
def test_producer_and_consumer_threads(backend, frames, call, delivery):
    with encoder(backend, depth=3, delivery=delivery, max_queued=8) as enc:

        def produce():
            sent = [getattr(enc, call)(frames[i % 24], token=i) for i in range(120)]
            enc.drain()
            return sent

        producer = Thread(produce)
        packets = [(packet.frame_index, packet.token) for packet in enc.packets()]
        assert producer.result() == list(range(120))
        stats = enc.stats
    assert packets == [(i, i) for i in range(120)]
    assert (stats.submitted, stats.encoded, stats.in_flight, stats.ready) == (120, 120, 0, 0)


def test_several_producers_and_consumers_share_an_encoder(backend, frames):
    with encoder(backend, depth=4) as enc:

        def produce(name):
            return [enc.submit(frames[i], token=(name, i)) for i in range(20)]

        def consume():
            return [(packet.frame_index, packet.token) for packet in enc.packets()]

        consumers = [Thread(consume) for _ in range(3)]
        producers = [Thread(produce, name) for name in "abc"]
        sent = [producer.result() for producer in producers]
        enc.drain()
        got = [consumer.result() for consumer in consumers]
    assert sorted(number for numbers in sent for number in numbers) == list(range(60))
    number_of = {(name, i): number for name, numbers in zip("abc", sent) for i, number in enumerate(numbers)}
    assert {token: index for part in got for index, token in part} == number_of
    assert all(numbers == sorted(numbers) for numbers in sent)
    assert all([index for index, _ in part] == sorted(index for index, _ in part) for part in got)


def test_consumer_of_another_thread_waits_for_frames_until_drain(backend, frames):
    with encoder(backend) as enc:
        consumer = Thread(lambda: [packet.frame_index for packet in enc.packets()])
        time.sleep(0.05)
        enc.submit(frames[0])
        time.sleep(0.15)  # all is received, and yet it is not the end
        assert consumer.is_alive()
        enc.submit(frames[1])
        enc.drain()
        assert consumer.result() == [0, 1]


def test_once_two_threads_submit_nobody_concludes_the_end(backend, frames):
    with encoder(backend) as enc:
        assert Thread(enc.submit, frames[0]).result() == 0
        assert enc.submit(frames[1]) == 1
        assert indices([enc.receive(), enc.receive()]) == [0, 1]
        with pytest.raises(venc.AclTimeoutError, match="no packet came within"):
            enc.receive(timeout=0.05)
        enc.drain()
        with pytest.raises(venc.EncoderDrained):
            enc.receive()


def test_close_wakes_a_blocked_receive(backend):
    enc = encoder(backend)
    consumer = Thread(enc.receive)
    time.sleep(0.1)
    enc.close()
    with pytest.raises((venc.EncoderClosedError, venc.EncoderDrained)):
        consumer.result(5)


@pytest.mark.sim_only
def test_close_wakes_a_blocked_submit(backend, frames):
    enc = encoder(backend, depth=1, timeout=20)
    with simulator.shared().options(stall=1):
        enc.submit(frames[0])
        producer = Thread(enc.submit, frames[1])
        time.sleep(0.1)
        closer = Thread(enc._close, False)
        with pytest.raises(venc.EncoderClosedError):
            producer.result(5)
        assert closer.is_alive(), "frame 0 is still in the device"
    closer.result(10)


def test_closed_encoder_refuses_every_call(backend, frames):
    enc = encoder(backend)
    enc.submit(frames[0])
    packets = enc.flush()
    enc.close()
    calls = {
        "submit": lambda: enc.submit(frames[0]),
        "submit_async": lambda: enc.submit_async(frames[0]),
        "submit_many": lambda: enc.submit_many(frames[:2]),
        "encode": lambda: enc.encode(frames[0]),
        "acquire": enc.acquire,
        "receive": enc.receive,
        "receive_many": enc.receive_many,
        "drain": enc.drain,
        "flush": enc.flush,
        "packets": lambda: list(enc.packets()),
        "encode_future": lambda: enc.encode_future(frames[0]),
        "reconfigure": lambda: enc.reconfigure(gop=3),
    }
    for name, call in calls.items():
        with pytest.raises(venc.EncoderClosedError, match="closed"):
            call()
            pytest.fail(name)
    assert enc.stats.encoded == 1
    assert bytes(packets[0])


# ---- waiting ---------------------------------------------------------------------------------------------------------


@pytest.mark.sim_only
def test_timeouts_name_what_is_waited_for_and_lose_nothing(backend, frames):
    with encoder(backend, depth=2, queue=1) as enc:
        with simulator.shared().options(stall=1):
            assert [enc.submit(frames[0]), enc.submit(frames[1])] == [0, 1]
            with pytest.raises(TimeoutError, match=r"2 in flight \(depth 2\)"):
                enc.submit(frames[2], timeout=0.05)
            assert enc.submit_async(frames[2], timeout=0.05) == 2
            with pytest.raises(venc.AclTimeoutError, match=r"1 queued \(queue 1\)"):
                enc.submit_async(frames[3], timeout=0.05)
            with pytest.raises(venc.AclTimeoutError):
                enc.acquire(timeout=0)
            with pytest.raises(venc.AclTimeoutError, match=r"3 frame\(s\) are in flight"):
                enc.receive(timeout=0.05)
            with pytest.raises(venc.AclTimeoutError):
                enc.receive_many(5, timeout=0)
            with pytest.raises(venc.AclTimeoutError, match=r"within 0\.05 s: 3 frame\(s\) are in flight"):
                enc.receive_many(5, timeout=0.05, at_least=2)
            assert (enc.stats.in_flight, enc.stats.queued) == (3, 1)
            assert enc.stats.blocked > 0.04
        assert indices(enc.flush()) == [0, 1, 2]


@pytest.mark.sim_only
def test_encoders_timeout_bounds_waits_that_were_given_none(backend, frames):
    with encoder(backend, depth=1, timeout=0.6) as enc:
        with simulator.shared().options(stall=1):
            enc.submit(frames[0])
            for call in (lambda: enc.submit(frames[1]), enc.receive, enc.flush, lambda: list(enc.packets())):
                with pytest.raises(venc.AclTimeoutError):
                    call()
        assert indices(enc.flush()) == [0]


@pytest.mark.sim_only
def test_receive_without_timeout_outlasts_the_encoders_while_the_device_makes_progress(backend, frames):
    with encoder(backend, depth=16, timeout=1) as enc, simulator.shared().options(encode_time_us=100_000):
        for frame in frames[:14]:  # 1.4 s of work
            enc.submit(frame)
        assert indices(enc.flush()) == list(range(14))


@pytest.mark.parametrize(("value", "error"), [(-1, venc.InvalidArgumentError), ("1", TypeError), (True, TypeError)])
def test_bad_timeout(backend, frames, value, error):
    with encoder(backend) as enc:
        for call in (lambda: enc.submit(frames[0], timeout=value), lambda: enc.acquire(timeout=value)):
            with pytest.raises(error, match="timeout"):
                call()
        for call in (lambda: enc.receive(timeout=value), lambda: enc.receive_many(timeout=value)):
            with pytest.raises(error, match="timeout"):
                call()


@pytest.mark.sim_only
def test_lost_device_wakes_a_blocked_submit_and_receive_with_what_was_ready_kept(backend, frames):
    enc = encoder(backend, depth=1, timeout=None)
    enc.submit(frames[0])
    while not enc.stats.ready:
        time.sleep(0.001)
    with simulator.shared().options(stall=1):
        enc.submit(frames[1])
        producer = Thread(enc.submit, frames[2])
        time.sleep(0.1)
        with simulator.shared().lost_device():
            with pytest.raises(venc.DeviceLostError):
                producer.result(5)
            packet = enc.receive()
            assert packet.frame_index == 0
            assert watermarks([packet]) == [0]
            with pytest.raises(venc.DeviceLostError):
                enc.receive()
            enc._close(warn=False)


INTERRUPTED = """
import ctypes, os, signal, sys, threading, time
import ascend_venc as venc
from ascend_venc._lowlevel import core
enc = venc.Encoder(128, 128, backend="sim", depth=1, queue=1, timeout=None)
device = ctypes.CDLL(core.simulated_device_path())
device.aclsim_set_option.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
assert device.aclsim_set_option(b"stall", 1) == 0
frame = bytes(128 * 192)
enc.submit(frame)
sent = None
def interrupt():
    global sent
    time.sleep(0.3)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
calls = {
    "submit": lambda: enc.submit(frame),
    "submit_many": lambda: enc.submit_many([frame] * 3),
    "submit_async": lambda: [enc.submit_async(frame) for _ in range(2)],
    "acquire": lambda: [enc.acquire() for _ in range(2)],
    "receive": enc.receive,
    "packets": lambda: list(enc.packets()),
    "flush": enc.flush,
    "reconfigure": lambda: enc.reconfigure(gop=3),
}
if sys.argv[1] == "reconfigure":
    assert device.aclsim_hang_call(sys.argv[2].encode(), 1, 0) == 0
try:
    threading.Thread(target=interrupt).start()
    calls[sys.argv[1]]()
except KeyboardInterrupt:
    print(time.monotonic() - sent)
device.aclsim_release_hung()
assert device.aclsim_set_option(b"stall", 0) == 0
while True:
    enc.flush()
    if enc.stats.in_flight == 0 and enc.stats.ready == 0:
        break
enc.submit(frame)
enc.flush()
enc.close()
"""


@pytest.mark.sim_only
@pytest.mark.parametrize(
    "call", ["submit", "submit_many", "submit_async", "acquire", "receive", "packets", "flush", "reconfigure"]
)
def test_ctrl_c_wakes_a_blocked_call_and_the_encoder_goes_on(call):
    done = processes.run(INTERRUPTED, call, interface.CREATE)
    assert (done.returncode, done.stderr) == (0, "")
    # 50 ms by contract; the rest is what a busy machine may take to run the thread. Without the signal it is for ever.
    assert float(done.stdout) < 10
