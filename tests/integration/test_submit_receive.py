# SPDX-License-Identifier: Apache-2.0
"""Frames in and packets out, each at its own pace."""

import copy
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc._lowlevel import core, stream
from helpers import annexb, decode, processes, simulator, video
from helpers.waiting import eventually, is_inside, outcome, started, until_asleep

COUNT = 24


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT, watermark=True)


@pytest.fixture
def enc(backend):
    with venc.Encoder(128, 128, codec="h264", bitrate="2M", backend=backend) as encoder:
        yield encoder


def numbers_of(packets):
    """Which pictures a stream shows: the number that each frame carries."""
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


def test_packets_come_in_order_with_what_was_given_with_their_frames(enc, frames):
    tokens = [object() for _ in frames]
    assert [enc.submit(f, pts=7 * i, token=t) for i, (f, t) in enumerate(zip(frames, tokens))] == list(range(COUNT))
    packets = [enc.receive() for _ in frames]
    assert [packet.frame_index for packet in packets] == list(range(COUNT))
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets] == [7 * i for i in range(COUNT)]
    assert all(packet.token is token for packet, token in zip(packets, tokens))
    assert [packet.time for packet in packets] == pytest.approx([7 * i / 25 for i in range(COUNT)])
    assert numbers_of(packets) == list(range(COUNT))


def test_the_only_submitting_thread_is_told_of_the_end(enc, frames):
    assert enc.submit(frames[0]) == 0
    assert enc.receive().frame_index == 0
    with pytest.raises(venc.EncoderDrained):
        enc.receive()
    assert enc.submit(frames[1]) == 1, "the encoder goes on"
    assert [packet.frame_index for packet in enc.packets()] == [1]


def test_thread_that_got_the_ident_of_one_that_submitted_is_another_one(enc, frames):
    """Python's idents are used again: a consumer that has submitted nothing waits for frames."""
    warm = started(lambda: enc.submit(frames[0]))
    assert outcome(warm) == 0
    received, go, threads = [], threading.Event(), []

    def consume():
        go.wait()
        if threading.get_ident() == warm.ident:
            received.extend(enc.packets())

    while len(threads) < 50 and (not threads or threads[-1].ident != warm.ident):
        threads.append(started(consume))  # those that have another one stay, so that the next gets yet another
    go.set()
    if threads[-1].ident == warm.ident:
        eventually(lambda: is_inside(threads[-1], "receive_many"))
    for frame in frames[1:4]:
        enc.submit(frame)
    enc.drain()
    for thread in threads:
        assert outcome(thread, 20) is None
    if threads[-1].ident != warm.ident:
        pytest.skip("this system gave no thread the ident of one that has ended")
    assert [packet.frame_index for packet in received] == [0, 1, 2, 3]


def test_consumer_thread_gets_everything_up_to_drain(enc, frames):
    received = []
    consumer = threading.Thread(target=lambda: received.extend(enc.packets()))
    consumer.start()  # before any frame
    for frame in frames:
        enc.submit(frame)
        time.sleep(0.002)
    assert consumer.is_alive()
    enc.drain()
    consumer.join(10)
    assert not consumer.is_alive()
    assert numbers_of(received) == list(range(COUNT))
    with pytest.raises(venc.EncoderDrained):
        enc.receive()
    with pytest.raises(venc.EncoderClosedError, match=r"drain\(\)"):
        enc.submit(frames[0])


def test_encode_iter_gives_every_packet(enc, frames):
    assert numbers_of(enc.encode_iter(iter(frames))) == list(range(COUNT))


@pytest.mark.parametrize("batch", [1, 5, COUNT])
def test_batches(enc, frames, batch):
    sent, packets = [], []
    for start in range(0, COUNT, batch):
        part = frames[start : start + batch]
        sent += enc.submit_many(
            part,
            pts=range(start, start + len(part)),
            key_frames=[number % 10 == 3 for number in range(start, start + len(part))],
            tokens=[str(number) for number in range(start, start + len(part))],
        )
    while len(packets) < COUNT:
        some = enc.receive_many(7, timeout=10)
        assert 1 <= len(some) <= 7
        packets += some
    assert sent == [packet.frame_index for packet in packets] == list(range(COUNT))
    assert [packet.token for packet in packets] == [str(number) for number in range(COUNT)]
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == [0, 3, 13, 23]
    assert numbers_of(packets) == list(range(COUNT))


def test_several_packets_at_once_are_waited_for_until_no_more_come(enc, frames):
    """As many as were asked for, or what there is: never none, and never a wait for frames that nobody has sent."""
    packets = []
    for start in range(0, COUNT, 6):
        enc.submit_many(frames[start : start + 6])
        packets += enc.receive_many(6, at_least=6)
        assert len(packets) == start + 6
    assert numbers_of(packets) == list(range(COUNT))
    enc.submit_many(frames[:3])
    came = enc.receive_many(at_least=64)
    assert [packet.frame_index for packet in came] == [COUNT, COUNT + 1, COUNT + 2]
    with pytest.raises(venc.EncoderDrained):
        enc.receive_many(at_least=2)


@pytest.mark.sim_only
def test_thread_that_waits_for_several_packets_gets_them_at_once(frames):
    sim = simulator.shared()
    with venc.Encoder(128, 128, codec="h264", backend="sim", depth=8) as enc:
        with sim.options(stall=1):
            enc.submit_many(frames[:4])
            receiver = started(lambda: enc.receive_many(at_least=4))
            eventually(lambda: is_inside(receiver, "receive_many"))
        assert [packet.frame_index for packet in outcome(receiver)] == [0, 1, 2, 3]
        del receiver.outcome


@pytest.mark.sim_only
def test_fewer_packets_than_asked_for_after_the_time(frames):
    sim = simulator.shared()
    with venc.Encoder(128, 128, codec="h264", backend="sim", depth=8) as enc:
        enc.submit(frames[0])
        eventually(lambda: enc.stats.ready == 1)
        with sim.options(stall=1):
            enc.submit(frames[1])
            assert [packet.frame_index for packet in enc.receive_many(timeout=0.05, at_least=2)] == [0]
        assert [packet.frame_index for packet in enc.flush()] == [1]


def test_batch_with_a_bad_frame_says_how_many_were_taken(enc, frames):
    with pytest.raises(venc.InvalidArgumentError, match="shape") as caught:
        enc.submit_many([frames[0], frames[1][:10]])
    assert caught.value.accepted == 0
    with pytest.raises(venc.InvalidArgumentError, match="pts has 1 items for 2 frames"):
        enc.submit_many(frames[:2], pts=[1])
    assert enc.stats.submitted == 0


@pytest.mark.parametrize("copy_now", [True, False])
def test_async_frames_mix_with_others_in_order(enc, frames, copy_now):
    packets = []
    for number, frame in enumerate(frames):
        if number % 3:
            assert enc.submit_async(frame, copy=copy_now, token=number) == number
        else:
            assert enc.submit(frame, token=number) == number
        packets += enc.receive_many() if number % 5 == 4 else []
    packets += enc.flush()
    assert [packet.token for packet in packets] == list(range(COUNT))
    assert numbers_of(packets) == list(range(COUNT))


def test_copied_frame_is_free_at_once_and_a_borrowed_one_with_its_packet(enc, frames):
    buffer = bytearray(frames[0].tobytes())
    enc.submit_async(buffer)
    buffer.append(0)  # a buffer that is exported cannot grow
    del buffer[-1]
    enc.submit_async(buffer, copy=False)
    with pytest.raises(BufferError):
        buffer.append(0)
    assert len(enc.flush()) == 2
    buffer.append(0)


@pytest.mark.sim_only
def test_timeouts(backend, frames):
    with venc.Encoder(128, 128, codec="h264", depth=1, queue=0, timeout=0.8, backend=backend) as enc:
        with simulator.shared().options(stall=1):
            enc.submit(frames[0])
            with pytest.raises(TimeoutError, match="no packet"):
                enc.receive(timeout=0.05)
            with pytest.raises(TimeoutError, match="in flight"):  # nothing finished for `timeout` seconds
                enc.receive()
            with pytest.raises(venc.AclTimeoutError, match="no room"):
                enc.submit(frames[1], timeout=0.05)
            with pytest.raises(venc.AclTimeoutError, match="no room"):
                enc.submit_async(frames[1], timeout=0.05)
            with pytest.raises(venc.AclTimeoutError, match="no room"):
                enc.submit_many(frames[:2], timeout=0.05)
            with pytest.raises(venc.AclTimeoutError, match="no room"):
                enc.acquire(timeout=0.05)
            with pytest.raises(venc.InvalidArgumentError, match="timeout is -1"):
                enc.submit(frames[1], timeout=-1)
        assert [packet.frame_index for packet in enc.flush()] == [0]


def test_packet_tells_all(enc, frames):
    begin = time.monotonic()
    enc.submit(frames[0], token={"a": 1})
    packet = enc.receive()
    assert begin <= packet.submitted_at <= packet.emitted_at <= time.monotonic()
    assert packet.latency == pytest.approx(packet.emitted_at - packet.submitted_at, abs=1e-6)
    assert (packet.kind, packet.token) == ("IDR", {"a": 1})
    units = packet.nal_units()
    assert [bytes(unit) for unit in units] == annexb.nal_units(bytes(packet))
    assert {unit[0] & 0x1F for unit in units} >= {5, 7, 8}
    with pytest.raises(BufferError, match="live view"):
        packet.release()
    units.clear()
    for other in (copy.copy(packet), copy.deepcopy(packet), pickle.loads(pickle.dumps(packet))):
        assert type(other) is venc.Packet
        assert bytes(other) == bytes(packet) and other.token == {"a": 1}
    packet.release()
    with pytest.raises(ValueError, match="released"):
        packet.nal_units()


def test_many_threads_each_get_back_what_they_submitted(enc, frames):
    def produce(name):
        for number in range(COUNT):
            enc.submit(frames[number], token=(name, number))

    received = []
    consumer = threading.Thread(target=lambda: received.extend(enc.packets()))
    producers = [threading.Thread(target=produce, args=(name,)) for name in range(4)]
    for thread in (consumer, *producers):
        thread.start()
    for thread in producers:
        thread.join()
    enc.drain()
    consumer.join()
    assert [packet.frame_index for packet in received] == list(range(4 * COUNT))
    for name in range(4):
        assert [number for who, number in (packet.token for packet in received) if who == name] == list(range(COUNT))


@pytest.mark.sim_only
@pytest.mark.parametrize(
    "call", ["enc.submit(frame)", "enc.submit_async(frame)", "enc.receive()", "enc.acquire()", "enc.flush()"]
)
def test_interrupt_wakes_a_blocked_call_soon(call):
    """A stalled device and Ctrl-C: the call ends within 50 ms and a margin for a busy machine; close() still works."""
    program = f"""
        import sys, time
        sys.path.insert(0, "tests")
        import ascend_venc as venc
        from helpers import simulator
        frame = bytes(128 * 128 * 3 // 2)
        enc = venc.Encoder(128, 128, codec="h264", depth=1, queue=0, timeout=None, backend="sim")
        simulator.shared().set_options(stall=1)
        enc.submit(frame)
        try:
            print("blocked", flush=True)
            {call}
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        simulator.shared().set_options(stall=0)
        print(len(enc.flush()))
        enc.close()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=processes.environment(),
        cwd=simulator.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "blocked\n"
        until_asleep(process)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert float(process.stdout.readline()) - sent < 10  # it would wait for ever
        assert process.stdout.read() == "1\n"
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_array_of_any_producer(enc, frames):
    """What is left over of an array's class does not matter: subclass, Fortran base, offset, read-only."""
    base = np.zeros((200, 300), np.uint8)
    base[4:196, 50:178] = frames[3]
    base.flags.writeable = False
    for frame in (base[4:196, 50:178], memoryview(frames[3]), frames[3].tobytes(), (frames[3][:128], frames[3][128:])):
        enc.submit(frame, key_frame=True)
    pictures = decode.frames(b"".join(map(bytes, enc.flush())), "h264")
    assert [video.read_watermark(picture) for picture in pictures] == [3] * 4


@pytest.mark.sim_only
def test_packets_that_a_loop_leaves_come_before_those_that_are_ready_by_then(backend):
    frame = bytes(128 * 192)
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        for _ in range(3):
            enc.submit(frame)
        eventually(lambda: enc.stats.ready == 3)
        for packet in enc.encode_iter([frame]):
            assert packet.frame_index == 0
            eventually(lambda: enc.stats.in_flight == 0)  # the one that it sent is ready
            enc.submit(frame)
            eventually(lambda: enc.stats.in_flight == 0)
            break
        assert [packet.frame_index for packet in enc.flush()] == [1, 2, 3, 4]


@pytest.mark.sim_only
def test_truth_of_a_key_frame_is_asked_for_once(backend):
    class Once:
        asked = 0

        def __bool__(self):
            self.asked += 1
            if self.asked > 1:
                raise RuntimeError("asked again")
            return True

    with venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=0, on_full="error") as enc:
        with simulator.shared().options(stall=1), pytest.raises(venc.EncoderFullError) as caught:
            enc.submit_many([bytes(128 * 192)] * 4, key_frames=[Once() for _ in range(4)], tokens=list("abcd"))
        assert caught.value.accepted == 1
        assert [packet.token for packet in enc.flush()] == ["a"]
        assert core.live()["TICKET"] == 0


BAD_ARGUMENTS = [
    ({"timeout": -1}, "timeout is -1; give seconds >= 0"),
    ({"timeout": float("nan")}, "timeout is nan; give seconds >= 0"),
    ({"timeout": float("inf")}, "timeout is inf; give seconds >= 0"),
    ({"timeout": "1"}, "timeout must be a number of seconds or None, got str"),
    ({"timeout": True}, "timeout must be a number of seconds or None, got bool"),
    ({"max": 0}, "max is 0, allowed is 1 to 1073741824"),
    ({"max": 1 << 70}, "max is an integer of 71 bits, allowed is 1 to 1073741824"),
    ({"max": 1.5}, "max must be an int, got float"),
    ({"max": 4, "at_least": 5}, "at_least is 5, allowed is 1 to 4"),
    ({"at_least": 0}, "at_least is 0, allowed is 1 to 64"),
]


@pytest.mark.parametrize(
    ("whose", "arguments", "error"),
    [("encoder", *bad) for bad in BAD_ARGUMENTS]
    + [("group", *bad) for bad in BAD_ARGUMENTS if "at_least" not in bad[0]],
    ids=str,
)
def test_what_receives_packets_refuses_bad_arguments_also_while_packets_are_ready(backend, whose, arguments, error):
    with venc.EncoderGroup(backend=backend) as group:
        encoder = group.add(128, 128, codec="h264")
        encoder.submit(bytes(128 * 128 * 3 // 2))
        eventually(lambda: encoder.stats.ready == 1)
        receive = (encoder if whose == "encoder" else group).receive_many
        with pytest.raises((TypeError, venc.InvalidArgumentError), match=re.escape(error)):
            receive(**arguments)
        assert len(receive(max=np.int64(4), timeout=np.float32(10))) == 1, "any kind of number is taken"


@pytest.mark.sim_only
def test_many_packets_are_put_back_in_front_of_others(backend):
    """In their order; what that costs is no test's to time."""
    count = 20_000
    with simulator.shared().options(null_codec=16):
        encoder = venc.Encoder(128, 128, codec="h264", backend=backend, max_queued=65536)
        picture = bytes(128 * 128 * 3 // 2)
        for _ in range(count):
            encoder.submit(picture)
        eventually(lambda: encoder.stats.ready == count, 60)
        received = encoder.receive_many(count)
        encoder.submit(picture)
        eventually(lambda: encoder.stats.ready == 1)
        encoder._channel.put_back(received)
        del received
        assert [packet.frame_index for packet in encoder.receive_many(2 * count)] == [*range(count + 1)]
        encoder.close()


def test_streams_are_counted_while_other_threads_open_and_close(backend):
    """Listing them is one step: a WeakSet's loop raises where another thread changes it."""
    interval, failures, ended = sys.getswitchinterval(), [], []

    def open_and_close():
        while not ended:
            try:
                venc.Encoder(128, 128, codec="h264", backend=backend)._close(warn=False)
            except venc.DeviceFullError:
                continue
            except Exception as error:
                failures.append(error)
                return

    def count():
        with venc.Encoder(128, 128, codec="h264", backend=backend) as encoder:
            for _ in range(20_000):
                stream.open_channels(encoder._device)

    sys.setswitchinterval(1e-5)
    try:
        threads = [started(open_and_close) for _ in range(3)]
        counting = started(count)
        assert outcome(counting, 60) is None
    finally:
        sys.setswitchinterval(interval)
        ended.append(True)
        for thread in threads:
            outcome(thread)
    assert failures == []
