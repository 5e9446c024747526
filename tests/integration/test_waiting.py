# SPDX-License-Identifier: Apache-2.0
"""Waits: what wakes them, what they cost, what ends them, and what their errors say."""

import asyncio
import gc
import os
import sys
import threading
import time

import pytest

import ascend_venc as venc
from ascend_venc import aio
from helpers import dlpack, interface, live, processes, simulator
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)


def encoder(**options):
    return venc.Encoder(128, 128, **{"codec": "h264", "backend": "sim", "timeout": 10, **options})


def close(enc):
    enc._close(warn=False)


# ---- encode takes before it waits ----


def test_encode_makes_its_own_room_at_max_queued():
    with encoder(max_queued=1) as enc:
        count = sum(len(enc.encode(FRAME)) for _ in range(30))
        assert count + len(enc.flush()) == 30


def test_encode_of_device_memory_makes_its_own_room_at_max_queued(monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", "sim")  # of the facade, which allocates
    with dlpack.DeviceMemory(len(FRAME), FRAME) as memory, encoder(max_queued=1) as enc:
        picture = venc.DeviceFrame(memory.address, 128, 128)
        count = sum(len(enc.encode(picture)) for _ in range(30))
        assert count + len(enc.flush()) == 30


@pytest.mark.parametrize("pixel_format", ["nv12", "i420"])
def test_asyncio_encode_makes_its_own_room_at_max_queued(pixel_format):
    async def main():
        options = {"codec": "h264", "backend": "sim", "timeout": 10, "max_queued": 1, "pixel_format": pixel_format}
        async with aio.Encoder(128, 128, **options) as enc:
            count = sum([len(await enc.encode(FRAME)) for _ in range(30)])
            return count + len(await enc.flush())

    assert asyncio.run(main()) == 30


def test_asyncio_encode_that_finds_an_earlier_failure_has_sent_its_frame_and_keeps_packets():
    async def main():
        sim = simulator.shared()
        async with aio.Encoder(128, 128, codec="h264", backend="sim", timeout=10, max_queued=2) as enc:
            with sim.failing_frame(simulator.FRAME_RET_CODE, nth=2, value=5):
                await enc.submit(FRAME)
                await enc.submit(FRAME, token="failed")
                while enc.stats.ready < 2:
                    await asyncio.sleep(0.001)
            with pytest.raises(venc.FrameError) as caught:
                await enc.encode(FRAME)
            assert caught.value.token == "failed"
            return [packet.frame_index for packet in await enc.flush()]

    assert asyncio.run(main()) == [0, 2]


def test_encode_takes_what_submit_has_left():
    with simulator.shared().options(null_codec=100), encoder(max_queued=64) as enc:
        for _ in range(64):
            enc.submit(FRAME)
        eventually(lambda: enc.stats.ready == 64)
        count = len(enc.encode(FRAME))
        assert count + len(enc.flush()) == 65


@pytest.mark.parametrize(("width", "pixel_format"), [(130, "nv12"), (128, "rgb24")])
def test_encode_that_waits_for_memory_of_a_picture_waits_for_no_packet(width, pixel_format):
    """Rows that are to be padded, and pictures that are converted, go through memory that a native thread makes."""
    frame = bytes(width * 128 * 3 // (2 if pixel_format == "nv12" else 1))
    sim = simulator.shared()
    options = {"codec": "h264", "backend": "sim", "pixel_format": pixel_format, "depth": 4, "timeout": 60}
    with venc.Encoder(width, 128, **options) as enc, sim.options(stall=1):
        if simulator.is_a_board():
            pytest.skip("on a board no staging memory is allocated (aclrtGetRunMode says ACL_DEVICE)")
        assert enc.encode(frame) == []
        with sim.hanging_call("aclrtMallocHost"):
            thread = started(enc.encode, frame)
            sim.wait_hung("aclrtMallocHost")
            eventually(lambda: is_inside(thread, "encode"))
            sim.lib.aclsim_release_hung()
            assert outcome(thread) == []  # within 10 s of its 60: the device has given nothing back
        assert enc.stats.in_flight == 2
        sim.set_options(stall=0)
        assert len(enc.flush()) == 2


# ---- a device that stands still: every face ends as the synchronous one does ----


def test_future_on_a_stalled_device_ends():
    sim = simulator.shared()
    enc = encoder(timeout=1)
    with sim.options(stall=1):
        future = enc.encode_future(FRAME)
        with pytest.raises(venc.AclTimeoutError, match=r"for 1 s"):
            future.result(10)
    assert enc.encode_future(FRAME).result(10).frame_index == 1
    close(enc)


def test_group_on_a_stalled_device_ends():
    """Each call that waits so long tells of another of the stalled encoders; all stay in the group and go on."""
    sim = simulator.shared()
    with venc.EncoderGroup(backend="sim") as group:
        encoders = [group.add(128, 128, codec="h264", timeout=0.8) for _ in range(2)]
        with sim.options(stall=1):
            for enc in encoders:
                enc.submit(FRAME)
            group.drain()
            told = []
            for _ in range(4):
                with pytest.raises(venc.AclTimeoutError) as caught:
                    outcome_of(started(lambda: list(group.packets())))
                told.append(caught.value.encoder)
            assert told[:2] == told[2:]
            assert set(told) == set(encoders)
            del caught
        assert {enc for enc, packet in group.packets()} == set(encoders)
        del told


def outcome_of(thread):
    result = outcome(thread)
    if isinstance(result, BaseException):
        raise result
    return result


@pytest.mark.parametrize("call", ["receive", "packets", "flush", "encode"])
def test_asyncio_on_a_stalled_device_ends(call):
    sim = simulator.shared()

    async def main():
        enc = aio.Encoder(128, 128, codec="h264", backend="sim", timeout=0.8, depth=1, queue=0)
        async with enc:
            try:
                await enc.submit(FRAME)
                if call == "packets":
                    async for _ in enc:
                        pass
                elif call == "encode":
                    await enc.encode(FRAME)
                else:
                    await getattr(enc, call)()
            finally:
                sim.set_options(stall=0)

    with sim.options(stall=1), pytest.raises(venc.AclTimeoutError):
        asyncio.run(asyncio.wait_for(main(), 10))


def test_exception_in_a_callback_of_a_future_stops_nothing(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))
    enc, other = encoder(), encoder()

    def raising(kind):
        def callback(future):
            raise kind(1)

        return callback

    for kind in (SystemExit, KeyboardInterrupt, GeneratorExit):
        with simulator.shared().options(stall=1):  # so that it is not done yet, and the callback not this thread's
            future = enc.encode_future(FRAME)
            future.add_done_callback(raising(kind))
        future.result(10)
        assert other.encode_future(FRAME).result(10).size > 0
    eventually(lambda: {SystemExit, KeyboardInterrupt, GeneratorExit} <= set(seen))  # shown, as a thread's are
    close(enc)
    close(other)


# ---- beside a reconfigure ----


@pytest.mark.skipif(interface.V2, reason="V2 changes the channel that is there: test_v2_live.py")
def test_bounds_hold_beside_a_reconfigure_that_does_not_come_to_an_end():
    sim = simulator.shared()
    enc = encoder(depth=1, queue=0, timeout=30)
    with sim.options(stall=1):
        enc.submit(FRAME)
        with sim.hanging_call(interface.CREATE) as wait_hung:
            thread = started(lambda: enc.reconfigure(bitrate=500_000))
            wait_hung()
            assert enc.stats.in_flight == 1
            for call in (lambda: enc.receive(0.05), lambda: enc.submit(FRAME, timeout=0.05)):
                with pytest.raises(venc.AclTimeoutError):
                    outcome_of(started(call))
            assert sim.hung_calls() == 1
        assert outcome(thread) == 1
    close(enc)


@pytest.mark.skipif(interface.V2, reason="V2 changes the channel that is there: test_v2_live.py")
def test_the_loop_runs_on_during_a_reconfigure():
    sim = simulator.shared()

    async def main():
        async with aio.Encoder(128, 128, codec="h264", backend="sim", timeout=20) as enc:
            with sim.hanging_call(interface.CREATE) as wait_hung:
                changing = asyncio.ensure_future(enc.reconfigure(bitrate=500_000))
                await asyncio.get_running_loop().run_in_executor(None, wait_hung)
                receiving = asyncio.ensure_future(enc.receive())
                for turns in range(50):
                    await enc.submit(FRAME)
                    packet = await receiving
                    assert packet.frame_index == turns
                    receiving = asyncio.ensure_future(enc.receive())
                assert sim.hung_calls() == 1
                assert not changing.done()
            assert await changing == 50
            receiving.cancel()

    asyncio.run(asyncio.wait_for(main(), 30))


# ---- the collector ----


def test_encoders_in_cycles_are_collected_while_futures_are_served():
    before = gc.get_threshold()
    with simulator.shared().options(null_codec=200):
        busy = encoder()
        busy.encode_future(FRAME).result(10)

        class Camera:
            pass

        with pytest.warns(ResourceWarning, match="unclosed"):
            gc.set_threshold(1)
            try:
                for number in range(150):
                    camera = Camera()
                    camera.encoder = encoder(depth=1, queue=0)
                    camera.itself = camera
                    if number % 2:
                        camera.encoder.encode_future(FRAME)
                    camera = None
                    assert busy.encode_future(FRAME).result(10).size > 0
                    if number % 10 == 0:
                        gc.collect()  # a large process collects its oldest generation seldom
            finally:
                gc.set_threshold(*before)
            gc.collect()
        close(busy)


# ---- what waiting costs ----


IDLE = """
import resource, sys, threading, time
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from helpers.waiting import eventually, is_inside
encoders = [venc.Encoder(128, 128, codec="h264", backend="sim", depth=1, timeout=None) for _ in range(32)]

def wait(enc):
    try:
        enc.receive(60)
    except venc.EncoderClosedError:
        pass

threads = [threading.Thread(target=wait, args=(enc,)) for enc in encoders]
for thread in threads:
    thread.start()
eventually(lambda: all(is_inside(thread, "receive") for thread in threads))
main = venc.Encoder(128, 128, codec="h264", backend="sim", depth=1)

def is_quiet():  # what has opened the encoders sleeps again
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    time.sleep(0.1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before <= 2

eventually(is_quiet)
before, spent = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.process_time()
if sys.argv[1] == "main":
    try:
        main.receive(2)
    except venc.AclTimeoutError:
        pass
else:
    time.sleep(2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before, time.process_time() - spent)
for enc in [*encoders, main]:
    enc.close()
"""


@pytest.mark.parametrize(("who", "most"), [("nobody", 16), ("main", 40)])
def test_idle_waiters_are_not_woken(who, most, request):
    """In two seconds: the report thread looks around once a second, the main thread for signals ten times a second."""
    done = processes.run(IDLE.format(tests=str(request.config.rootpath / "tests")), who)
    assert done.returncode == 0, done.stderr
    switches, spent = done.stdout.split()
    assert int(switches) <= most
    assert float(spent) < 0.5, "processor time: none turns in a circle"


def cost_of_receiving(count, way):
    """Processor time of a packet, in seconds, where `count` wait."""
    token = object()
    with encoder(depth=64, queue=200, max_queued=65536) as enc:
        for _ in range(count // 200):
            enc.submit_many([FRAME] * 200, tokens=[token] * 200)
        eventually(lambda: enc.stats.ready == count, 60)
        if way == "put back":
            for _ in enc.encode_iter([]):  # leaves all but one
                break
        begin = time.thread_time()
        if way == "flush":
            assert len(enc.flush()) == count
            return (time.thread_time() - begin) / count
        for _ in range(1000):
            enc.receive()
        spent = time.thread_time() - begin
        enc.flush()
        return spent / 1000


@pytest.mark.parametrize("way", ["flush", "receive", "put back"])
def test_packet_costs_as_much_where_many_wait(way):
    """Where it grew with their number it would be 30 times as much."""
    with simulator.shared().options(null_codec=16):
        few = min(cost_of_receiving(2_000, way) for _ in range(2))
        many = cost_of_receiving(60_000, way)
    assert many < 6 * few


def test_queued_sends_of_sixteen_channels_are_in_the_device_at_the_same_time():
    """As those of sixteen threads are: one slow send delays no other channel."""
    sim = simulator.shared()
    encoders = [encoder(depth=2, queue=4, timeout=30) for _ in range(16)]
    with sim.hanging_call(interface.SEND, persistent=True) as wait_hung:
        for enc in encoders:
            for _ in range(4):
                enc.submit_async(FRAME)
        wait_hung(16)
        assert sim.hung_calls(interface.SEND) == 16
    for enc in encoders:
        assert len(enc.flush()) == 4
        enc.close()


# ---- what errors say ----


def test_errors_name_the_bound_that_was_given_and_who_is_in_the_way():
    sim = simulator.shared()
    enc = encoder(timeout=0.8, depth=2, queue=1)
    with sim.options(stall=1):
        enc.submit(FRAME)
        said = []
        for call in (enc.flush, lambda: enc.receive(0.1), lambda: enc.submit_many([FRAME] * 4), lambda: close(enc)):
            with pytest.raises(venc.AclTimeoutError) as caught:
                call()
            said.append(str(caught.value))
    flush, receive, submit, ended = said
    assert "has finished no frame for 0.8 s: 1 frame(s) are in flight" in flush
    assert "no packet came within 0.1 s" in receive
    assert "no room for another frame within 0.8 s: 2 in flight (depth 2), 1 queued (queue 1)" in submit
    assert "2 frame(s) are still in the device after 0.8 s" in ended
    assert not any("npu-smi" in text for text in said)  # it is a simulated one
    enc._timeout = 10
    enc.close()


def test_errors_of_calls_that_want_room_say_so():
    sim = simulator.shared()
    with sim.options(stall=1), encoder(timeout=0.8, depth=2, queue=0) as enc:
        enc.submit_many([FRAME] * 2)
        with pytest.raises(venc.AclTimeoutError) as caught:
            enc.encode(FRAME)
        assert "no room for another frame within 0.8 s: 2 in flight (depth 2)" in str(caught.value)
        sim.set_options(stall=0)
        enc.flush()


@pytest.mark.parametrize("call", ["submit", "encode", "receive"])
def test_errors_of_asyncio_name_the_bound_and_what_is_missing(call):
    sim = simulator.shared()

    async def main():
        options = {"codec": "h264", "backend": "sim", "timeout": 10, "depth": 1, "queue": 1}
        async with aio.Encoder(128, 128, **options) as enc:
            await enc.submit(FRAME)
            await enc.submit(FRAME)
            enc._inner._timeout = 0.2  # of the calls; that of a stall stays
            with pytest.raises(venc.AclTimeoutError) as caught:
                await (enc.receive(0.2) if call == "receive" else getattr(enc, call)(FRAME))
            sim.set_options(stall=0)
            enc._inner._timeout = 10
            await enc.flush()
            return str(caught.value)

    with sim.options(stall=1):
        text = asyncio.run(main())
    missing = "no packet came" if call == "receive" else "no room for another frame"
    assert f"{missing} within 0.2 s: 2 frame(s) are in flight" in text


def test_destroy_that_does_not_return_is_named_by_the_reconfigure_that_waits_for_it():
    sim = simulator.shared()
    with encoder(timeout=0.8) as enc, sim.hanging_call(interface.DESTROY):
        if interface.V2:  # which changes the channel that is there
            sim.aclsim_fail_call(interface.CHANGE.encode(), 1, 507899, 1)
        sim.aclsim_fail_call(interface.CREATE.encode(), 1, 507899, 0)  # there is no second channel
        with pytest.raises(venc.AclTimeoutError) as caught:
            enc.reconfigure(bitrate="1M")
        assert "the device has not destroyed the channel after 0.8 s" in str(caught.value)
        enc._timeout = 10
        enc.reconfigure(bitrate="1M")  # another try
        assert enc.submit(FRAME) == 0
        assert len(enc.flush()) == 1


def test_full_queue_of_packets_is_not_blamed_on_the_device():
    enc = encoder(max_queued=1, timeout=0.8)
    enc.submit(FRAME)
    eventually(lambda: enc.stats.ready == 1)
    with pytest.raises(venc.AclTimeoutError, match="1 packets wait to be received, of 1 that may") as caught:
        enc.submit(FRAME)
    assert "npu-smi" not in str(caught.value)
    close(enc)


def test_slow_reader_of_a_sink_is_named():
    reader, writer = os.pipe()
    try:
        with simulator.shared().options(null_codec=100_000):
            enc = encoder(sink=writer, timeout=0.8)
            for _ in range(3):
                enc.submit(FRAME)
            with pytest.raises(venc.AclTimeoutError, match="the reader of the sink") as caught:
                enc.flush()
            assert "0 frame(s)" not in str(caught.value)
            with pytest.warns(venc.DroppedPacketsWarning, match="dropped"):
                enc.close()
    finally:
        os.close(reader)
        os.close(writer)


# ---- descriptors ----


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def use_asyncio():
    async def main():
        async with aio.Encoder(128, 128, codec="h264", backend="sim") as enc:
            await enc.submit(FRAME)
            await enc.receive()

    asyncio.run(main())


def use_group():
    with venc.EncoderGroup(backend="sim") as group:
        enc = group.add(128, 128, codec="h264")
        enc.submit(FRAME)
        group.drain()
        assert enc.receive(10).frame_index == 0  # the group has told of it once; the encoder goes on


def use_future():
    with encoder() as enc:
        enc.encode_future(FRAME).result(10)


def use_sink():
    with open(os.devnull, "wb") as file, encoder(sink=file) as enc:
        enc.submit(FRAME)
        enc.flush()


@pytest.mark.parametrize("use", [use_asyncio, use_group, use_future, use_sink])
def test_no_descriptor_is_left(use):
    use()
    eventually(lambda: live.counts()["engine DEVICE"] == 0)
    before = descriptors()
    for _ in range(10):
        use()
    eventually(lambda: descriptors() <= before)  # some of the first use may have been closing still


def test_waiter_is_woken_by_the_packet_and_by_nothing_else():
    enc = encoder(timeout=None)
    thread = started(enc.receive)
    eventually(lambda: is_inside(thread, "receive"))
    enc.submit(FRAME)
    assert outcome(thread).frame_index == 0
    assert sys.getrefcount(enc) < 10
    enc.close()
