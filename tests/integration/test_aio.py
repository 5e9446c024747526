# SPDX-License-Identifier: Apache-2.0
"""Encoders on an event loop."""

import asyncio
import contextvars
import inspect
import threading

import numpy as np
import pytest

from ascend_venc import (
    AclTimeoutError,
    BitRateWarning,
    DeviceFrame,
    DeviceLostError,
    DroppedPacketsWarning,
    EncoderClosedError,
    EncoderDrained,
    InvalidArgumentError,
    aio,
    bitstream,
)
from helpers import decode, interface, simulator, video

COUNT = 24
LOOPS = ["asyncio"]
try:
    import uvloop
except ImportError:
    uvloop = None
else:
    LOOPS.append("uvloop")


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT, watermark=True)


@pytest.fixture(scope="module", autouse=True)
def uvloop_has_its_pipe():
    """It opens one for the process, with the first loop that runs."""
    if uvloop is not None:
        loop = uvloop.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.fixture(params=LOOPS)
def run(request):
    """Run a coroutine on a loop of its own, with a bound."""

    def run_on_loop(coroutine):
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        loop = factory()
        try:
            return loop.run_until_complete(asyncio.wait_for(coroutine, 30))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    return run_on_loop


def encoder(backend, **options):
    return aio.Encoder(128, 128, codec="h264", bitrate="2M", backend=backend, **options)


def shown(packets):
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


async def produce(enc, frames, name=None):
    for number, frame in enumerate(frames):
        assert await enc.submit(frame, token=(name, number)) == number
    enc.drain()


def test_one_task_submits_and_another_receives(run, backend, frames):
    async def main():
        async with encoder(backend) as enc:
            task = asyncio.ensure_future(produce(enc, frames))
            packets = [packet async for packet in enc]
            await task
            with pytest.raises(EncoderDrained):
                await enc.receive()
            return packets

    packets = run(main())
    assert [packet.token for packet in packets] == [(None, number) for number in range(COUNT)]
    assert shown(packets) == list(range(COUNT))


@pytest.mark.sim_only
@pytest.mark.parametrize(("height", "elsewhere"), [(1024, False), (1536, True)])
def test_large_frame_is_not_copied_by_the_loop(run, backend, height, elsewhere):
    """Its memory is asked for by the thread that copies it."""
    threads = []

    class Tensor:
        def __init__(self, array):
            self.array = array

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        def __dlpack__(self, **options):
            threads.append(threading.get_ident())
            return self.array.__dlpack__(**options)

    async def main():
        async with aio.Encoder(2048, height, codec="h264", backend=backend) as enc:
            await enc.submit(Tensor(np.zeros((height * 3 // 2, 2048), np.uint8)))
            assert len(await enc.flush()) == 1

    with simulator.shared().options(null_codec=500):
        run(main())
    assert threads and {thread != threading.get_ident() for thread in threads} == {elsewhere}


def test_encoder_with_a_sink_takes_frames_and_flushes(run, backend, frames, tmp_path):
    """What is written is received by nobody; the loop hears of room and of the end all the same."""

    async def main(delivery):
        with open(tmp_path / delivery, "wb") as file:
            async with encoder(backend, depth=2, queue=0, sink=file, delivery=delivery) as enc:
                for _ in range(10):
                    for frame in frames:
                        await enc.submit(frame)
                await enc.flush()
                stats = enc.stats
        assert (stats.encoded, stats.bytes_out) == (10 * len(frames), (tmp_path / delivery).stat().st_size)

    for delivery in ("immediate", "coalesced"):
        run(main(delivery))


def test_frames_that_are_not_copied_are_refused_with_the_call_that_takes_them(run, backend, frames):
    """Not with `submit`, which is what was called."""

    async def main():
        async with encoder(backend) as enc:
            for frame in (DeviceFrame(4096, 128, 128), enc._inner.acquire()):
                for call in (enc.submit, enc.encode):
                    with pytest.raises((TypeError, InvalidArgumentError), match=r"ascend_venc\.Encoder\.submit"):
                        await call(frame)
            await enc.submit(frames[0])
            assert len(await enc.flush()) == 1

    run(main())


def test_many_encoders_on_one_loop_need_no_thread_each(run, backend, frames):
    async def one(name, enc):
        task = asyncio.ensure_future(produce(enc, frames, name))
        packets = [packet async for packet in enc]
        await task
        assert [packet.token for packet in packets] == [(name, number) for number in range(COUNT)]

    async def main():
        before = set(threading.enumerate())
        encoders = [encoder(backend) for _ in range(12)]
        for enc in encoders:
            await enc.__aenter__()
        while set(threading.enumerate()) - before:  # those that have opened an encoder are just ending
            await asyncio.sleep(0.002)
        await asyncio.gather(*(one(name, enc) for name, enc in enumerate(encoders)))
        assert set(threading.enumerate()) <= before
        await asyncio.gather(*(enc.close() for enc in encoders))

    run(main())


def test_encode_flush_and_iterators(run, backend, frames):
    async def source():
        for frame in frames[12:]:
            await asyncio.sleep(0)
            yield frame

    async def main():
        async with encoder(backend) as enc:
            packets = []
            for frame in frames[:6]:
                packets += await enc.encode(frame)
            packets += await enc.flush()
            packets += [packet async for packet in enc.encode_iter(frames[6:12])]
            packets += [packet async for packet in enc.encode_iter(source())]
            assert enc.stats.encoded == COUNT
            return packets

    assert shown(run(main())) == list(range(COUNT))


@pytest.mark.sim_only
def test_waiting_does_not_block_the_loop_and_has_a_bound(run, backend, frames):
    async def main():
        async with encoder(backend, depth=1, queue=0, timeout=0.8) as enc:
            with simulator.shared().options(stall=1):
                await enc.submit(frames[0])
                ticks = 0

                async def tick():
                    nonlocal ticks
                    while True:
                        await asyncio.sleep(0.01)
                        ticks += 1

                ticker = asyncio.ensure_future(tick())
                calls = lambda: enc.submit(frames[1]), lambda: enc.receive(timeout=0.1), enc.flush
                for call in calls:
                    for _ in range(5):  # a machine that stood still during the wait has shown nothing
                        before = ticks
                        with pytest.raises(AclTimeoutError):
                            await call()
                        if ticks > before + 1:  # once the loop may have run it before the call waited, or behind it
                            break
                    else:
                        pytest.fail("the loop stands still while a call waits")
                ticker.cancel()
            assert len(await enc.flush()) == 1

    run(main())


@pytest.mark.sim_only
@pytest.mark.parametrize("rounds", range(3))
def test_cancelling_anywhere_loses_nothing(run, backend, frames, rounds):
    """Every coroutine is cancelled again and again, at whatever await it has come to, and started anew."""

    async def main():
        received, accepted = [], []
        async with encoder(backend, depth=2, queue=1) as enc:

            async def submit_all():
                while len(accepted) < COUNT:
                    accepted.append(await enc.submit(frames[len(accepted)]))
                enc.drain()

            async def receive_all():
                async for packet in enc:
                    received.append(packet)

            async def insist(coroutine, pause):
                while True:
                    task = asyncio.ensure_future(coroutine())
                    await asyncio.sleep(pause)
                    if task.done():
                        return task.result()
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    if not task.cancelled():
                        return task.result()

            with simulator.shared().options(encode_time_us=2000):
                await asyncio.gather(
                    insist(submit_all, 0.0007 * (rounds + 1)), insist(receive_all, 0.0011 * (rounds + 1))
                )
            assert not enc._waiters, "none is kept"
        return accepted, received

    accepted, received = run(main())
    assert accepted == [packet.frame_index for packet in received] == list(range(COUNT))
    assert shown(received) == list(range(COUNT))


@pytest.mark.sim_only
def test_cancelling_flush_close_and_opening_leaves_nothing_behind(run, backend, frames):
    async def cancelled_soon(awaitable):
        task = asyncio.ensure_future(awaitable)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task

    async def main():
        await cancelled_soon(encoder(backend).__aenter__())
        enc = encoder(backend, depth=6)
        async with enc:
            with simulator.shared().options(stall=1):  # or flush might have all of them before it is cancelled
                for frame in frames[:6]:
                    await enc.submit(frame)
                assert (await cancelled_soon(enc.flush())).cancelled()
            packets = await enc.flush()
            assert shown(packets) == list(range(6))
            await cancelled_soon(enc.close())
        assert enc.closed

    run(main())


def test_opening_that_is_cancelled_in_the_moment_in_which_it_is_done_closes_what_it_opened(backend):
    async def main():
        loop = asyncio.get_running_loop()
        tell, opened = loop.call_soon_threadsafe, []

        def tell_and_cancel(call, result, error):
            def both():
                call(result, error)
                opened.append(result)
                task.cancel()

            tell(both)

        task = asyncio.ensure_future(encoder(backend).__aenter__())
        loop.call_soon_threadsafe = tell_and_cancel
        try:
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            loop.call_soon_threadsafe = tell
        while not opened[0].closed:
            await asyncio.sleep(0.001)

    loop = asyncio.new_event_loop()  # not uvloop's, whose methods stay as they are
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
    finally:
        loop.close()


@pytest.mark.sim_only
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_coroutine_that_ends_the_loop_leaves_no_other_asleep(backend, frames, error):
    """One frame wakes all three at once: each goes on, in another run of the loop if it has to be."""

    async def flush_and_end(enc):
        await enc.flush()
        raise error

    async def until_asleep(enc):
        while len(enc._waiters) < 3:
            await asyncio.sleep(0.001)

    loop = asyncio.new_event_loop()
    enc = encoder(backend, timeout=60)
    try:
        loop.run_until_complete(enc.__aenter__())
        with simulator.shared().options(stall=1):
            loop.run_until_complete(enc.submit(frames[0]))
            tasks = [loop.create_task(flush_and_end(enc)) for _ in range(3)]
            loop.run_until_complete(asyncio.wait_for(until_asleep(enc), 20))
        for _ in tasks:
            timer = loop.call_later(20, loop.stop)
            with pytest.raises(error):
                loop.run_forever()
            timer.cancel()
        assert [type(task.exception()) for task in tasks] == [error] * 3
        loop.run_until_complete(enc.close())
    finally:
        loop.close()


@pytest.mark.sim_only
def test_progress_that_was_made_while_a_frame_was_offered_is_not_waited_for(run, backend, frames):
    """A large frame is offered on a thread: what it did not find there may have come by the time that it says so."""

    async def main():
        async with encoder(backend, depth=1, queue=0, timeout=60) as enc:
            offer, sim = enc._offer, simulator.shared()

            async def offer_in_vain(*frame):
                enc._offer = offer
                with sim.options(stall=0):
                    while enc.stats.ready == 0 or enc._seen == seen:
                        await asyncio.sleep(0.001)
                return False

            with sim.options(stall=1):
                await enc.submit(frames[0])
                seen = enc._seen
                enc._offer = offer_in_vain
                assert await asyncio.wait_for(enc.submit(frames[1]), 20) == 1
            assert len(await enc.flush()) == 2

    run(main())


@pytest.mark.sim_only
def test_messages_of_an_iterator_are_there_when_room_had_to_be_waited_for(run, backend, frames):
    async def main():
        async with encoder(backend, depth=1, queue=0) as enc:
            with simulator.shared().options(stall=1):
                await enc.submit(frames[0])
                task = asyncio.ensure_future(enc.submit(frames[1], sei=iter([bitstream.FrameTime(7)])))
                while not enc._waiters:
                    await asyncio.sleep(0.001)
            assert await task == 1
            return await enc.flush()

    contents = [[message.content for message in packet.sei()] for packet in run(main())]
    assert [bitstream.FrameTime(7) in each for each in contents] == [False, True]


@pytest.mark.sim_only
def test_lost_device_wakes_everybody_and_ready_packets_come_first(run, backend, frames):
    async def main():
        async with encoder(backend, depth=1, queue=0) as enc:
            await enc.submit(frames[0])
            while not enc.stats.ready:
                await asyncio.sleep(0.001)
            with simulator.shared().options(stall=1):
                await enc.submit(frames[1])
                blocked = asyncio.ensure_future(enc.submit(frames[2]))
                flushing = asyncio.ensure_future(enc.flush())
                await asyncio.sleep(0.05)
                with simulator.shared().lost_device():
                    done, _ = await asyncio.wait([blocked, flushing], timeout=20)
                    assert {type(task.exception()) for task in done} == {DeviceLostError}
                    assert len(done) == 2
                    assert (await enc.receive()).frame_index == 0
                    with pytest.raises(DeviceLostError):
                        await enc.receive()
                    with pytest.warns(DroppedPacketsWarning, match="dropped"):
                        await enc.close()

    run(main())


def test_warnings_are_about_the_programs_lines(run, backend, frames, recwarn):
    """Also those of the threads that open and close an encoder: of several, each shows its own."""

    async def main():
        first = aio.Encoder(1280, 720, codec="h264", bitrate=3000, backend=backend)
        second = encoder(backend)
        async with first, second:
            for enc, frame in ((first, bytes(1280 * 1080)), (second, frames[0])):
                await enc.submit(frame)
                while not enc.stats.ready:
                    await asyncio.sleep(0.001)
            await first.close()
            await second.close()

    lines = inspect.getsourcelines(main)
    recwarn.clear()
    run(main())
    shown = [(warning.category, warning.filename) for warning in recwarn.list]
    assert shown == [(BitRateWarning, __file__), (DroppedPacketsWarning, __file__), (DroppedPacketsWarning, __file__)]
    told = [lines[0][warning.lineno - lines[1]].strip() for warning in recwarn.list]
    assert told == ["async with first, second:", "await first.close()", "await second.close()"]


def test_warnings_of_tasks_are_about_the_lines_that_made_them(run, backend, frames, recwarn):
    async def main():
        async with encoder(backend) as first, encoder(backend) as second:
            await second.submit(frames[0])
            while not second.stats.ready:
                await asyncio.sleep(0.001)
            await asyncio.gather(first.reconfigure(bitrate=3000, fps=240))
            await asyncio.create_task(second.close())

    lines = inspect.getsourcelines(main)
    recwarn.clear()
    run(main())
    assert [warning.category for warning in recwarn.list] == [BitRateWarning, DroppedPacketsWarning]
    assert {warning.filename for warning in recwarn.list} == {__file__}
    told = [lines[0][warning.lineno - lines[1]].strip() for warning in recwarn.list]
    assert told == [
        "await asyncio.gather(first.reconfigure(bitrate=3000, fps=240))",
        "await asyncio.create_task(second.close())",
    ]


def test_reconfigure(run, backend, frames):
    async def main():
        async with encoder(backend) as enc:
            for frame in frames[:5]:
                await enc.submit(frame)
            assert await enc.reconfigure(bitrate="1M") == 5
            assert enc.config.bitrate == 1_000_000
            await enc.submit(frames[5])
            packets = await enc.flush()
            assert [packet.frame_index for packet in packets if packet.is_keyframe] == interface.of([0, 5], [0])
            assert shown(packets) == list(range(6))

    run(main())


def test_use_outside_its_block_is_an_error(run, backend, frames):
    async def main():
        enc = encoder(backend)
        with pytest.raises(EncoderClosedError, match="async with"):
            await enc.submit(frames[0])
        assert "not open" in repr(enc)
        async with enc:
            assert "Encoder 128x128" in repr(enc)
        with pytest.raises(EncoderClosedError):
            await enc.submit(frames[0])
        with pytest.raises(EncoderClosedError, match="once"):
            await enc.__aenter__()
        with pytest.raises(InvalidArgumentError, match="width is 3"):
            await aio.Encoder(3, 128, backend=backend).__aenter__()

    run(main())


def test_waiting_coroutine_keeps_its_context_and_its_task(run, backend, frames):
    place = contextvars.ContextVar("place")

    async def receive(enc, name):
        place.set(name)
        task = asyncio.current_task()
        for _ in range(4):
            await enc.receive()
            assert place.get() == name
            assert asyncio.current_task() is task
        return name

    async def main():
        place.set("main")
        async with encoder(backend) as one, encoder(backend) as two:
            tasks = [asyncio.ensure_future(receive(enc, name)) for enc, name in ((one, "one"), (two, "two"))]
            await asyncio.sleep(0.01)  # both wait
            for frame in frames[:4]:
                await one.submit(frame)
                await two.submit(frame)
            assert await asyncio.gather(*tasks) == ["one", "two"]
        assert place.get() == "main"

    run(main())


def test_coroutine_that_fails_when_woken_leaves_the_others_waiting_for_theirs(run, backend, frames):
    async def fail(enc):
        packet = await enc.receive()
        raise LookupError(packet.frame_index)

    async def main():
        async with encoder(backend) as enc:
            tasks = [asyncio.ensure_future(fail(enc)) for _ in range(3)]
            await asyncio.sleep(0.01)
            for frame in frames[:3]:
                await enc.submit(frame)
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert sorted(error.args[0] for error in done) == [0, 1, 2]
            assert {type(error) for error in done} == {LookupError}

    run(main())


def test_cancelling_says_why_and_a_waiter_of_a_closed_encoder_wakes(run, backend):
    async def main():
        async with encoder(backend) as enc:
            task = asyncio.ensure_future(enc.receive())
            await asyncio.sleep(0.01)
            assert task.cancel("enough")
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert caught.value.args in (("enough",), ())  # Python 3.9 and 3.10 lose it on the way
            task = asyncio.ensure_future(enc.receive())
            await asyncio.sleep(0.01)
            await enc.close()
            with pytest.raises(EncoderClosedError):
                await task

    run(main())
