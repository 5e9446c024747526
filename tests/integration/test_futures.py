# SPDX-License-Identifier: Apache-2.0
"""Packets as Futures."""

import concurrent.futures
import gc
import itertools
import queue
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import pytest

import ascend_venc as venc
from ascend_venc import futures
from ascend_venc._lowlevel import stream
from helpers import processes, simulator, video, waiting

COUNT = 20


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT)


@pytest.fixture
def enc(backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as encoder:
        yield encoder


def collectors():
    return [thread for thread in threading.enumerate() if thread.name == "ascend-venc-futures"]


def test_each_future_gets_the_packet_of_its_frame(enc, frames):
    futures = [enc.encode_future(frame, token=number, pts=3 * number) for number, frame in enumerate(frames)]
    waiting.eventually(lambda: len(collectors()) <= 1)  # one that had nothing more to serve may be just ending
    packets = [future.result(10) for future in futures]
    assert [(packet.frame_index, packet.token, packet.pts) for packet in packets] == [
        (number, number, 3 * number) for number in range(COUNT)
    ]
    for thread in collectors():
        thread.join(60)
    assert collectors() == [], "alive while a Future is pending"


def begin_together(enc, frame, monkeypatch):
    """Six threads make the first Future at the same moment: each has found that nobody serves them. The device finishes
    none of their frames before all have been handed over, or who serves them might end in between."""
    together, made, handed = threading.Barrier(6), [], []
    inner, hand_over = futures.WaitSet, futures.hand_over

    def wait_set():
        together.wait(60)
        return inner()

    def make():
        try:
            made.append(enc.encode_future(frame).result(60).frame_index)
        except Exception as error:
            made.append(str(error))

    monkeypatch.setattr(futures, "WaitSet", wait_set)
    monkeypatch.setattr(futures, "hand_over", lambda *args: (hand_over(*args), handed.append(args)))
    threads = [threading.Thread(target=make) for _ in range(6)]
    with simulator.shared().options(stall=1):
        for thread in threads:
            thread.start()
        waiting.eventually(lambda: len(handed) == 6, 60)
    handed.clear()
    for thread in threads:
        thread.join(60)
    return made


@pytest.mark.sim_only
def test_first_futures_of_several_threads_are_served_by_one(backend, frames, monkeypatch):
    for thread in collectors():
        thread.join(60)
    begun = []
    inner = futures._Server.begin
    monkeypatch.setattr(futures._Server, "begin", lambda *args: (begun.append(id(args[0])), inner(*args)))
    with venc.Encoder(128, 128, codec="h264", depth=6, backend=backend) as enc:
        assert sorted(begin_together(enc, frames[0], monkeypatch)) == list(range(6))
    assert len(begun) == 1
    for thread in collectors():
        thread.join(60)


def test_thread_that_cannot_be_started_is_told_to_each_whose_future_it_was_to_serve(enc, frames, monkeypatch):
    class Unstartable:
        def __init__(self, *args, **kwargs):
            pass

        def start(self):
            raise RuntimeError("can't start new thread")

    server = futures._Server()
    waiting = concurrent.futures.Future()
    server.submitted.put((enc._open_channel(), waiting))
    monkeypatch.setitem(futures._servers, futures._FOUND, server)
    monkeypatch.setattr(threading, "Thread", Unstartable)
    with pytest.raises(RuntimeError, match="can't start"):
        server.begin(enc._open_channel(), concurrent.futures.Future())
    with pytest.raises(RuntimeError, match="can't start"):
        waiting.result(0)
    assert server.ended and futures._servers == {}
    monkeypatch.undo()
    assert enc.encode_future(frames[0]).result(60).frame_index == 0
    for thread in collectors():
        thread.join(60)


@pytest.mark.sim_only
@pytest.mark.parametrize("step", ["adopt_one", "serve", "patience", "give_up_on_stalled"])
def test_thread_that_serves_runs_out_of_memory_and_goes_on(enc, frames, monkeypatch, step):
    shown, left = [], [MemoryError(), MemoryError()]
    inner = getattr(futures._Server, step)

    def short_of_memory(*args):
        if left:
            raise left.pop()
        return inner(*args)

    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))
    monkeypatch.setattr(futures._Server, step, short_of_memory)
    with simulator.shared().options(stall=1):  # a thread that is never idle takes no step of one that is
        made = [enc.encode_future(frames[0])]
        waiting.eventually(lambda: len(left) < 2)
    made += [enc.encode_future(frame) for frame in frames[1:]]
    assert [future.result(10).frame_index for future in made] == list(range(COUNT))
    for thread in collectors():
        thread.join(60)
    assert shown == [MemoryError] * (2 - len(left)) != []


@pytest.mark.sim_only
def test_packet_that_came_when_memory_ran_out_is_looked_for_again(enc, frames, monkeypatch):
    """Nothing else wakes the thread: the frame was the last one."""
    left = [MemoryError(), MemoryError()]
    inner = futures._Server.serve

    def short_of_memory(server, channel):
        if left and sys._getframe(1).f_code.co_name == "turn":
            raise left.pop()
        return inner(server, channel)

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(futures._Server, "serve", short_of_memory)
    with simulator.shared().options(stall=1):
        future = enc.encode_future(frames[0])
        waiting.eventually(lambda: any(waiting.is_inside(thread, "turn") for thread in collectors()))
    assert future.result(20).frame_index == 0
    assert left == []


@pytest.mark.sim_only
def test_future_is_served_while_that_of_another_encoder_waits(enc, frames, backend):
    """The thread sleeps, and nothing of the other one's will wake it."""
    with venc.Encoder(128, 128, codec="h264", backend=backend, timeout=60) as other:
        with simulator.shared().failing_frame(simulator.FRAME_DROP):
            lost = other.encode_future(frames[0])
        waiting.eventually(lambda: any(waiting.is_inside(thread, "turn") for thread in collectors()))
        assert enc.encode_future(frames[1]).result(20).frame_index == 0
        assert not lost.done()
        other.encode(frames[1])  # whose report shows that the other one will not come
        with pytest.raises(venc.FrameError):
            lost.result(20)
        other.flush()


def test_futures_one_after_the_other_leave_no_wait_set_at_their_encoder(enc, frames):
    """Each has a thread of its own, and an encoder takes four wait sets."""
    for number in range(6):
        assert enc.encode_future(frames[0]).result(20).frame_index == number
        for thread in collectors():
            thread.join(20)
        assert collectors() == []


def test_future_that_waits_for_long_on_a_device_that_works_is_not_given_up(monkeypatch):
    class Channel:
        stalled = 0.25

    channel = Channel()
    server = SimpleNamespace(since={channel: 100.0})
    monkeypatch.setattr(futures, "time", SimpleNamespace(monotonic=lambda: 200.0))
    assert futures._Server.stalled(server, channel) == 0.25
    server.since = {channel: 199.9}
    assert futures._Server.stalled(server, channel) == pytest.approx(0.1)


def test_futures_and_receive_share_an_encoder(enc, frames):
    futures = []
    for number, frame in enumerate(frames):
        if number % 2:
            futures.append(enc.encode_future(frame))
        else:
            enc.submit(frame)
    assert [packet.frame_index for packet in enc.flush()] == list(range(0, COUNT, 2))
    assert [future.result(10).frame_index for future in futures] == list(range(1, COUNT, 2))


def test_many_encoders_share_one_thread(backend, frames):
    encoders = [venc.Encoder(128, 128, codec="h264", backend=backend) for _ in range(5)]
    futures = {enc.encode_future(frame): enc for frame in frames[:5] for enc in encoders}
    waiting.eventually(lambda: len(collectors()) <= 1)
    done, pending = concurrent.futures.wait(futures, timeout=10)
    assert not pending
    for enc in encoders:
        assert [future.result().frame_index for future in futures if futures[future] is enc] == list(range(5))
        enc.close()
    done.clear()


@pytest.mark.sim_only
def test_failed_frame_fails_its_future_only(enc, frames):
    with simulator.shared().failing_frame(0, 2, 9):
        futures = [enc.encode_future(frame, token=number) for number, frame in enumerate(frames[:4])]
        errors = [future.exception(10) for future in futures]
    assert [type(error) for error in errors] == [type(None), venc.FrameError, type(None), type(None)]
    assert (errors[1].frame_index, errors[1].token) == (1, 1)


@pytest.mark.sim_only
def test_pending_futures_of_a_closed_encoder_are_cancelled(backend, frames):
    enc = venc.Encoder(128, 128, codec="h264", timeout=5, depth=2, on_full="drop_newest", backend=backend)
    with simulator.shared().options(stall=1):
        futures = [enc.encode_future(frame) for frame in frames[:3]]
        assert futures[2].cancelled(), "dropped"
        closer = threading.Thread(target=lambda: enc._close(warn=False))
        closer.start()
        closer.join(0.1)
    closer.join(10)
    for future in futures:
        assert future.cancelled() or future.done()
    with pytest.raises(venc.EncoderClosedError):
        enc.encode_future(frames[0])


@pytest.mark.sim_only
def test_lost_device_fails_pending_futures(backend, frames):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc, simulator.shared().options(stall=1):
        futures = [enc.encode_future(frame) for frame in frames[:3]]
        with simulator.shared().lost_device():
            assert [type(future.exception(10)) for future in futures] == [venc.DeviceLostError] * 3
            enc._close(warn=False)


def test_cancelled_future_loses_its_packet_only(enc, frames):
    futures = [enc.encode_future(frame) for frame in frames[:3]]
    cancelled = futures[1].cancel()
    assert futures[0].result(10).frame_index == 0
    assert futures[2].result(10).frame_index == 2
    assert futures[1].cancelled() == cancelled


def test_callback_of_a_future_may_use_the_encoder(enc, frames):
    done = threading.Event()
    chain = []

    def next_frame(future):
        chain.append(future.result().frame_index)
        if len(chain) == 5:
            done.set()
        else:
            enc.encode_future(frames[len(chain)]).add_done_callback(next_frame)

    enc.encode_future(frames[0]).add_done_callback(next_frame)
    assert done.wait(10)
    assert chain == list(range(5))


@pytest.mark.sim_only
def test_whoever_waits_for_futures_of_dropped_frames_wakes(frames, backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=1, on_full="drop_oldest") as enc:
        with simulator.shared().options(stall=1):
            promised = [enc.encode_future(frame) for frame in frames[:6]]
        _, pending = concurrent.futures.wait(promised, timeout=10)
        assert not pending
        assert sum(future.cancelled() for future in promised) == enc.stats.dropped["frame_replaced"] > 0
    with venc.Encoder(128, 128, codec="h264", backend=backend, on_full="drop_newest", depth=1, queue=0) as enc:
        with simulator.shared().options(stall=1):
            promised = [enc.encode_future(frame) for frame in frames[:6]]
            _, pending = concurrent.futures.wait(promised[1:], timeout=10)
            assert not pending
        assert promised[0].result(10).frame_index == 0


@pytest.mark.parametrize("call", ["nothing", "flush", "receive", "encode"])
def test_callback_of_a_future_may_close_the_encoder(frames, backend, call):
    enc = venc.Encoder(128, 128, codec="h264", backend=backend)
    closed = threading.Event()

    def close(_):
        enc._close(warn=False)
        closed.set()

    enc.encode_future(frames[0]).add_done_callback(close)
    try:
        if call == "encode":
            while True:
                enc.encode(frames[0])
        elif call == "receive":
            enc.receive(10)
        elif call == "flush":
            enc.flush()
    except (venc.EncoderClosedError, venc.EncoderDrained):  # closed before, or behind its last packet
        pass
    assert closed.wait(10)
    assert enc.closed


@pytest.mark.sim_only
def test_futures_that_have_their_end_do_not_stop_those_of_other_encoders(backend, frames):
    """Encoders closed while threads use their Futures: the thread that serves all Futures goes on."""
    for _ in range(15):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, depth=2, queue=2, timeout=10)
        promised = []

        def use(call):
            try:
                while True:
                    call()
            except (venc.EncoderClosedError, venc.FrameError):
                pass

        calls = [
            lambda enc=enc, promised=promised: promised.append(enc.encode_future(frames[0])),
            lambda enc=enc: enc.submit_async(frames[1]),
            lambda enc=enc: enc.receive(),
        ]
        threads = [threading.Thread(target=use, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        threads[0].join(0.02)
        enc._close(warn=False)
        for thread in threads:
            thread.join()
        assert not concurrent.futures.wait(promised, timeout=10).not_done
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        assert enc.encode_future(frames[0]).result(10).frame_index == 0


@pytest.mark.sim_only
def test_callback_of_a_dropped_future_may_use_the_encoder_during_reconfigure(backend, frames):
    with (
        simulator.shared().options(encode_time_us=100_000),
        venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=1, on_full="drop_oldest") as enc,
    ):
        busy, go_on = threading.Event(), threading.Event()
        with simulator.shared().options(stall=1):  # or it might be done before it has its callback, and call that here
            enc.encode_future(frames[0]).add_done_callback(lambda _: (busy.set(), go_on.wait(60)))
        assert busy.wait(10)  # the thread that would serve the others
        sent = []

        def send_another(future):
            if future.cancelled() and not sent:
                sent.append(enc.submit_async(frames[0]))

        changing = threading.Thread(target=lambda: [enc.reconfigure(gop=gop) for gop in (7, 8, 9)])
        changing.start()
        for frame in frames[1:6] * 3:
            enc.encode_future(frame).add_done_callback(send_another)
        changing.join(60)
        assert sent, "one that was dropped"
        go_on.set()
        enc.flush()


class Token:
    pass


@pytest.fixture
def busy(backend, frames):
    """The thread of Futures is in a callback, until the test sets this event."""
    entered, go_on = threading.Event(), threading.Event()
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        with simulator.shared().options(stall=1):  # or it might be done before it has its callback, and call that here
            enc.encode_future(frames[0]).add_done_callback(lambda _: (entered.set(), go_on.wait(60)))
        assert entered.wait(10)
        yield go_on
        go_on.set()
        for thread in collectors():
            thread.join(60)


@pytest.mark.parametrize("step", ["SimpleQueue", "WaitSet", "put", "start"])
def test_memory_that_runs_out_for_a_future_sends_no_frame_and_stops_no_later_one(enc, frames, monkeypatch, step):
    for thread in collectors():
        thread.join(60)

    def short_of_memory(*args, **kwargs):
        raise MemoryError

    with monkeypatch.context() as short:
        if step == "put":
            none = SimpleNamespace(put=short_of_memory, get_nowait=queue.SimpleQueue().get_nowait)
            short.setattr(futures, "queue", SimpleNamespace(SimpleQueue=lambda: none, Empty=queue.Empty))
        elif step == "SimpleQueue":
            short.setattr(futures, "queue", SimpleNamespace(SimpleQueue=short_of_memory, Empty=queue.Empty))
        elif step == "WaitSet":
            short.setattr(futures, "WaitSet", short_of_memory)
        else:
            short.setattr(threading.Thread, "start", short_of_memory)
        with pytest.raises(MemoryError):
            enc.encode_future(frames[0])
    assert enc.stats.submitted == 0
    assert enc.encode_future(frames[0]).result(10).frame_index == 0


def test_future_that_cannot_be_passed_on_has_the_reason(enc, monkeypatch):
    server = futures._Server()
    ones = [concurrent.futures.Future() for _ in range(3)]
    for future in ones:
        server.submitted.put((enc._open_channel(), future))

    def short_of_memory(channel, future):
        raise MemoryError

    monkeypatch.setattr(futures, "hand_over", short_of_memory)
    server.pass_on()
    assert [type(future.exception(0)) for future in ones] == [MemoryError] * 3


@pytest.mark.parametrize("when", ["served", "before"])
@pytest.mark.sim_only
def test_packets_of_cancelled_futures_leave_room(backend, frames, busy, when):
    """Also of those that the thread of Futures has never seen alive."""
    tokens = [Token() for _ in range(2)]
    alive = weakref.WeakSet(tokens)
    if when == "served":
        busy.set()
    control, apart = simulator.shared(), 300_000 if when == "served" else 0  # µs: one is looked at without the other
    with (
        control.options(encode_time_us=apart),
        venc.Encoder(128, 128, codec="h264", backend=backend, max_queued=2, timeout=20) as enc,
    ):
        with control.options(stall=1):
            promised = [enc.encode_future(frames[0], token=token) for token in tokens]
            if when == "served":
                waiting.eventually(lambda: any(waiting.is_inside(thread, "turn") for thread in collectors()))
            assert all(future.cancel() for future in promised)
            tokens.clear()
        if when == "before":
            waiting.eventually(lambda: enc.stats.ready == 2)
        busy.set()
        waiting.eventually(lambda: enc.stats.in_flight == enc.stats.ready == 0)
        for thread in collectors():
            thread.join(60)
        assert collectors() == []
        enc.submit(frames[0])
        assert [packet.frame_index for packet in enc.flush()] == [2]
        assert len(alive) == 0


@pytest.mark.sim_only
def test_packets_of_futures_that_were_given_up_leave_room(backend, frames, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_value))
    with venc.Encoder(128, 128, codec="h264", backend=backend, max_queued=2, timeout=1) as enc:
        with simulator.shared().options(stall=1):
            promised = [enc.encode_future(frame) for frame in frames[:2]]
            assert promised[0].cancel()
            with pytest.raises(venc.AclTimeoutError):
                promised[1].result(10)
            assert enc.stats.in_flight == 2
        assert concurrent.futures.wait(promised, timeout=10).not_done == set()
        waiting.eventually(lambda: enc.stats.in_flight == enc.stats.ready == 0)
        for thread in collectors():
            thread.join(60)
        assert collectors() == []
        assert enc.encode_future(frames[0]).result(10).frame_index == 2
    assert shown == []


@pytest.mark.sim_only
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_callback_that_exits_where_an_encoder_is_closed_leaves_no_future_pending(backend, frames, monkeypatch, kind):
    shown = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    def leave(_):
        raise kind

    for on_main in (True, False):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, timeout=60)
        with simulator.shared().options(stall=1):
            promised = [enc.encode_future(frame) for frame in frames[:3]]
            for future in promised:
                future.add_done_callback(leave)
            enc._timeout = 0.2  # of `close`: the thread of Futures is not to give them up before that
            if on_main:
                with pytest.raises(kind) as raised:
                    enc.close()
                assert isinstance(raised.value.__cause__, venc.AclTimeoutError)
            else:
                assert isinstance(waiting.outcome(waiting.started(enc.close)), venc.AclTimeoutError)
            assert not concurrent.futures.wait(promised, timeout=0).not_done
            assert all(future.cancelled() for future in promised)
        assert shown == [kind] * (2 if on_main else 3), "the first is raised on the main thread"
        shown.clear()
        enc._timeout = 60
        enc.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_future_that_is_cancelled_has_its_end_where_a_callback_exits(kind):
    future = concurrent.futures.Future()

    def leave(_):
        raise kind

    future.add_done_callback(leave)
    with pytest.raises(kind):
        stream.cancel(future)
    assert not concurrent.futures.wait([future], timeout=0).not_done
    assert future.cancelled()


@pytest.mark.sim_only
def test_callback_that_exits_where_a_frame_is_dropped_hides_nothing(backend, frames, monkeypatch):
    shown = []
    monkeypatch.setattr(threading, "excepthook", lambda args: shown.append(args.exc_type))

    def leave(_):
        raise SystemExit

    with venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=1, on_full="drop_oldest") as enc:
        with simulator.shared().options(stall=1):
            enc.submit(frames[0])
            waiting.eventually(lambda: not enc.stats.queued)  # it is in the device, and not the oldest in the queue
            promised = []
            for number in (1, 3):
                promised.append(enc.encode_future(frames[number]))
                promised[-1].add_done_callback(leave)
                if number == 1:
                    assert waiting.outcome(waiting.started(enc.submit, frames[2])) == 2
                    assert shown == [SystemExit]
                else:
                    with pytest.raises(SystemExit):
                        enc.submit(frames[4])
            assert not concurrent.futures.wait(promised, timeout=0).not_done
        assert [packet.frame_index for packet in enc.flush()] == [0, 4]


@pytest.mark.sim_only
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_callback_that_is_interrupted_by_ctrl_c_in_close_leaves_no_future_pending(backend, frames, busy, kind):
    enc = venc.Encoder(128, 128, codec="h264", backend=backend, depth=4)
    promised = [enc.encode_future(frame) for frame in frames[:3]]
    waiting.eventually(lambda: enc.stats.ready == 3)

    def leave(_):
        raise kind

    promised[0].add_done_callback(leave)
    with simulator.shared().options(stall=1):
        promised.append(enc.encode_future(frames[3]))
        with pytest.raises(kind):
            enc.close()  # and waits for nothing
        assert [future.result(0).frame_index for future in promised[:3]] == [0, 1, 2]
        assert promised[3].cancelled()
        assert enc.closed
    enc.close()


@pytest.mark.parametrize("other", [stream.cancel, lambda future: futures.resolve(future, "another packet", None)])
@pytest.mark.parametrize("end", [stream.cancel, lambda future: futures.resolve(future, "packet", None)])
def test_a_future_that_two_threads_end_at_once_has_one_end_and_nothing_is_shown(end, other, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    for place in range(1, 20):
        future = futures._PacketFuture()
        condition = future._condition

        class Overtaken:
            """The Future's lock: the other thread has it first, the nth time that it is wanted and not had."""

            wanted = held = 0

            def __enter__(self):
                self.wanted += not self.held
                if self.wanted == place and not self.held:  # noqa: B023 - within this turn
                    future._condition = condition  # noqa: B023
                    stream.settle(None, other, future)  # noqa: B023
                self.held += 1
                return condition.__enter__()  # noqa: B023

            def __exit__(self, *how):
                self.held -= 1
                return condition.__exit__(*how)  # noqa: B023

            def __getattr__(self, name):
                return getattr(condition, name)  # noqa: B023

        future._condition = Overtaken()
        stream.settle(None, end, future)
        overtaken = future._condition is condition
        assert future.done() and not concurrent.futures.wait([future], timeout=0).not_done
        assert not shown and not caplog.records, place
        if not overtaken:
            break
    assert 2 < place < 19


HANDED_OUT_BY = ("deliver", "resolve", "running", "set_running_or_notify_cancel", "set_result", "_invoke_callbacks")
# Between any two steps of the interpreter; the others: any two lines. CPython 3.9 raises SystemError at some steps.
HANDED_OUT_BY_STEP = ("deliver", "resolve") if sys.version_info >= (3, 10) else ()


def interrupted_at(place, call):
    """Whether KeyboardInterrupt came at that place, of those where a signal's handler may raise, out of a call."""
    passed = 0

    def trace(frame, event, _):
        nonlocal passed
        if frame.f_code.co_name in HANDED_OUT_BY:
            frame.f_trace_opcodes = frame.f_code.co_name in HANDED_OUT_BY_STEP
            if event in ("line", "opcode"):
                passed += 1
                if passed == place:
                    sys.settrace(None)
                    raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.sim_only
def test_ctrl_c_anywhere_in_close_leaves_no_future_pending(backend, frames, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    for place in itertools.count(1):
        with simulator.shared().options(null_codec=100):
            enc = venc.Encoder(128, 128, codec="h264", backend=backend, depth=4)
            promised = [futures._PacketFuture() for _ in range(3)]
            channel = enc._open_channel()  # without the thread that serves Futures, which comes late here
            for frame, future in zip(frames, promised):
                channel.submit(frame, None, False, None, 10, future)
            waiting.eventually(lambda enc=enc: enc.stats.ready == 3)
            interrupted = interrupted_at(place, enc.close)
            enc.close()
        assert not concurrent.futures.wait(promised, timeout=0).not_done, place
        if not interrupted:
            break
        assert place < 2000
    assert place > (100 if HANDED_OUT_BY_STEP else 50)
    assert [future.result(0).frame_index for future in promised] == [0, 1, 2]


@pytest.mark.sim_only
def test_close_ends_while_callbacks_send_the_next_frame(backend, frames, busy):
    enc = venc.Encoder(128, 128, codec="h264", backend=backend)
    chain = []

    def again(future):
        if future.cancelled() or len(chain) == 3:
            return
        try:
            enc.encode_future(frames[0]).add_done_callback(again)
        except venc.EncoderClosedError:
            chain.append("closed")
        else:
            chain.append("sent")
            waiting.eventually(lambda: enc.stats.in_flight == 0)

    enc.encode_future(frames[0]).add_done_callback(again)
    waiting.eventually(lambda: enc.stats.ready == 1)
    enc.close()
    assert chain == ["closed"]


@pytest.mark.sim_only
def test_close_delivers_no_longer_than_its_timeout(backend, frames, busy):
    enc = venc.Encoder(128, 128, codec="h264", backend=backend, timeout=1)
    promised = [enc.encode_future(frame) for frame in frames[:3]]
    waiting.eventually(lambda: enc.stats.ready == 3)
    over = []

    def take_long(_):
        over.append(time.monotonic() + 1)  # from here on, which is later than the call
        waiting.eventually(lambda: time.monotonic() > over[0])

    promised[0].add_done_callback(take_long)
    with pytest.warns(venc.DroppedPacketsWarning, match=r"^2 packet"):
        enc.close()
    assert promised[0].result(0).frame_index == 0
    assert promised[1].cancelled() and promised[2].cancelled()


def test_future_of_an_encoder_with_a_sink_is_refused_before_its_frame_is_sent(backend, frames, tmp_path):
    with (
        (tmp_path / "film.h264").open("wb") as file,
        venc.Encoder(128, 128, codec="h264", backend=backend, sink=file) as enc,
    ):
        enc.submit(frames[0])
        with pytest.raises(venc.InvalidArgumentError, match="sink"):
            enc.encode_future(frames[1])
        enc.submit(frames[2])
        enc.flush()
        assert (enc.stats.submitted, enc.stats.written) == (2, 2)


FIRST_IMPORT = """
import signal, sys, threading
import ascend_venc as venc
enc = venc.Encoder(128, 128, codec="h264", backend=sys.argv[1])
handled, main = threading.Event(), threading.get_ident()
found = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[2] and not handled.is_set():
            signal.pthread_kill(main, signal.SIGUSR1)
            handled.wait(20)

def handle(*_):
    handled.set()
    found.append(enc.encode_future(bytes(128 * 192)).result(20).frame_index)

signal.signal(signal.SIGUSR1, handle)
sys.meta_path.insert(0, Finder())
found.append(enc.encode_future(bytes(128 * 192)).result(20).frame_index)
assert sorted(found) == [0, 1], found
enc.close()
"""


@pytest.mark.parametrize("module", ["ascend_venc.futures", "concurrent.futures", "logging"])
def test_signal_handler_may_make_a_future_while_the_first_one_is_made(backend, module):
    done = processes.run(FIRST_IMPORT, backend, module)
    assert (done.returncode, done.stderr) == (0, "")


INSIDE_AN_IMPORT = """
import sys, types
import ascend_venc as venc
enc = venc.Encoder(128, 128, codec="h264", backend=sys.argv[1])

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "logging" and not found:  # which the module of Futures needs
            found.append(name)
            try:
                enc.encode_future(bytes(128 * 192))
            except ImportError:  # of a circular import, or, where the import goes on behind this, none
                pass

found = []
sys.meta_path.insert(0, Finder())
import logging
assert enc.encode_future(bytes(128 * 192)).result(20).size > 0
enc.close()
"""


def test_future_that_is_made_inside_an_import_waits_for_no_other_thread(backend):
    """That thread would wait for this import."""
    done = processes.run(INSIDE_AN_IMPORT, backend)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_future_of_an_encoder_that_is_let_go_has_its_end_although_its_thread_finds_nothing_more_to_serve(
    backend, frames, monkeypatch
):
    """The thread that serves Futures looks at the encoder between two steps of whoever lets go of it."""

    class Slow:
        def put(self, future):
            sim.set_options(stall=0)  # a packet wakes that thread
            deadline = time.monotonic() + 0.5
            while thread.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            orphans.put(future)

        def __getattr__(self, name):
            return getattr(orphans, name)

    sim, orphans = simulator.shared(), stream.orphans
    with sim.options(stall=1):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend)
        future = enc.encode_future(frames[0])
        (thread,) = [each for each in threading.enumerate() if each.name == "ascend-venc-futures"]
        waiting.eventually(lambda: waiting.is_inside(thread, "turn"))
        monkeypatch.setattr(stream, "orphans", Slow())
        del enc
        gc.collect()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(20)


@pytest.mark.sim_only
def test_encoder_whose_callbacks_submit_on_and_on_keeps_no_other_one_waiting(frames):
    """The next packet is there whenever a callback returns."""
    chained, results = [], []
    with (
        venc.Encoder(128, 128, codec="h264", backend="sim", timeout=30) as busy,
        venc.Encoder(128, 128, codec="h264", backend="sim", timeout=30) as other,
    ):

        def submit_the_next(future):
            waiting.eventually(lambda: len(results) == 2 and other.stats.in_flight == 0)
            chained.append(future)
            if len(chained) < 200 and not results[1].done():
                busy.encode_future(frames[0]).add_done_callback(submit_the_next)
                waiting.eventually(lambda: busy.stats.in_flight == 0)

        with simulator.shared().options(stall=1):
            results.append(busy.encode_future(frames[0]))
            results[0].add_done_callback(submit_the_next)
            results.append(other.encode_future(frames[1]))
        assert results[1].result(60).frame_index == 0
        waiting.until_futures_are_served()
    assert len(chained) < 20, "in turns"
