# SPDX-License-Identifier: Apache-2.0
"""process_report, subscriptions, contexts, streams and events."""

import threading
import time

import pytest

from helpers import pyacl
from helpers.waiting import eventually, is_inside, outcome, started


@pytest.mark.statement("3.10.2")
def test_process_report_without_subscription_gives_107012_at_once(acl, context):
    begin = time.monotonic()
    for _ in range(20):
        assert acl.rt.process_report(5000) == pyacl.THREAD_SUBSCRIBE
    assert time.monotonic() - begin < 10


@pytest.mark.statement("3.10.1")
@pytest.mark.misuse
@pytest.mark.parametrize("timeout", [0, -2, -1000, -(2**31)])
def test_process_report_with_a_timeout_out_of_range_gives_100000(acl, context, timeout):
    assert acl.rt.process_report(timeout) == pyacl.INVALID_PARAM


@pytest.mark.statement("3.10.3")
def test_process_report_without_a_report_gives_507012_after_its_timeout(acl, context, handles):
    stream = handles.make("stream")
    pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))
    for timeout in (1, 40, 120):  # the last is waited for in slices
        begin = time.monotonic()
        assert acl.rt.process_report(timeout) == pyacl.REPORT_TIMEOUT
        assert timeout / 1000 - 0.002 <= time.monotonic() - begin < 10
    pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))
    assert acl.rt.process_report(10) == pyacl.THREAD_SUBSCRIBE


@pytest.mark.parametrize("main", [True, False], ids=["main_thread", "other_thread"])
def test_process_report_without_bound_returns_when_something_is_reported(acl, context, handles, main):
    got = []

    def wait():
        pyacl.ok(acl.rt.set_context(context))
        stream = pyacl.ok(acl.rt.create_stream())
        pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))

        def launch():
            pyacl.ok(acl.rt.set_context(context))
            got.append(acl.rt.launch_callback(got.append, "ran", 0, stream))

        timer = threading.Timer(0.2, launch)
        begin = time.monotonic()
        timer.start()
        code = acl.rt.process_report(-1)
        took = time.monotonic() - begin
        timer.join()
        pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))
        pyacl.ok(acl.rt.destroy_stream(stream))
        return code, took

    code, took = wait() if main else pyacl.in_thread(wait)
    assert code == 0
    assert took >= 0.2
    assert sorted(map(str, got)) == ["0", "ran"]


def test_report_loop_that_starts_before_the_channel_delivers(acl, context):
    pump = pyacl.Pump(acl, context)
    try:
        eventually(lambda: pump.codes)
        assert pump.codes == {pyacl.THREAD_SUBSCRIBE}
        made = pyacl.Encoding(acl, context, thread_id=pump.id).create()
        pyacl.ok(made.send(0))
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
        made.close()
        pump.codes.clear()
        eventually(lambda: pyacl.THREAD_SUBSCRIBE in pump.codes)  # again without a channel
    finally:
        pump.stop()


def test_thread_subscribed_for_a_stream_of_its_own_serves_a_channel_too(acl, context, handles):
    got = []
    stream = handles.make("stream")
    pump = pyacl.Pump(acl, context)
    try:
        pyacl.ok(acl.rt.subscribe_report(pump.id, stream))
        made = pyacl.Encoding(acl, context, thread_id=pump.id).create()
        pyacl.ok(made.send(0))
        pyacl.ok(acl.rt.launch_callback(got.append, "own", 1, stream))
        pyacl.ok(acl.rt.synchronize_stream(stream))
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
        assert got == ["own"]
        made.close()
        pyacl.ok(acl.rt.unsubscribe_report(pump.id, stream))
    finally:
        pump.stop()


def test_stream_subscribed_twice_gives_107011(acl, context, handles):
    stream = handles.make("stream")
    pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))
    assert acl.rt.subscribe_report(threading.get_ident(), stream) == 107011
    pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))
    assert acl.rt.unsubscribe_report(threading.get_ident(), stream) in (107011, 107012)


def test_process_report_on_another_thread_delivers_nothing(encoding):
    pyacl.ok(encoding.send(0))
    assert pyacl.in_thread(encoding.acl.rt.process_report, 1000) in (pyacl.THREAD_SUBSCRIBE, pyacl.CONTEXT_NULL)
    pyacl.ok(encoding.end_of_stream())
    assert len(encoding.packets) == 1


def test_process_report_lets_other_threads_run(acl, context, handles):
    """The GIL is released: what ends this thread's wait is a report that another thread of Python's launches."""
    stream = handles.make("stream")
    pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))
    waiter = threading.current_thread()

    def wait():
        return acl.rt.process_report(30_000)

    def launch():
        pyacl.ok(acl.rt.set_context(context))
        eventually(lambda: is_inside(waiter, "wait"))
        pyacl.ok(acl.rt.launch_callback(lambda _: None, None, 0, stream))

    thread = started(launch)
    assert wait() == 0
    assert outcome(thread) is None
    pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))


# ---- contexts --------------------------------------------------------------------------------------------------------


def test_get_context_with_an_argument_works_as_without(acl, context):
    assert acl.rt.get_context(0) == acl.rt.get_context() == (context, 0)


def test_default_context_of_set_device_can_be_handed_to_another_thread(acl):
    default, ret = acl.rt.get_context()
    assert ret == 0
    assert default > 0
    assert pyacl.in_thread(acl.rt.set_context, default) == 0


def test_set_context_with_0_fails_and_the_thread_goes_on(acl, context):
    """A program that takes element 1 of get_context's result, the code 0, for the context."""
    assert acl.rt.set_context(0) != 0
    pointer = pyacl.ok(acl.rt.malloc_host(64))
    pyacl.ok(acl.rt.free_host(pointer))
    assert acl.rt.process_report(1) == pyacl.THREAD_SUBSCRIBE


def test_context_destroyed_is_dead_for_every_thread(acl, handles):
    made = handles.make("context")
    assert pyacl.in_thread(acl.rt.set_context, made) == 0
    handles.destroy("context", made)
    assert pyacl.in_thread(acl.rt.set_context, made) == pyacl.INVALID_PARAM


@pytest.mark.parametrize("device", [-1, 64, 2**31 - 1])
def test_device_that_is_not_there_is_refused(acl, context, device):
    assert acl.rt.set_device(device) != 0
    created, ret = acl.rt.create_context(device)
    assert (created, ret != 0) == (0, True)


def test_device_and_version_are_told(acl, context):
    assert acl.rt.get_device() == (0, 0)
    count, ret = acl.rt.get_device_count()
    assert ret == 0
    assert count >= 1
    assert acl.rt.get_run_mode() in ((0, 0), (1, 0))
    assert acl.get_soc_name().startswith("Ascend")
    assert acl.get_version()[3] == 0
    free, total, ret = acl.rt.get_mem_info(0)
    assert ret == 0
    assert 0 < free <= total


# ---- streams and events ----------------------------------------------------------------------------------------------


def test_default_stream_is_0(acl, context):
    pyacl.ok(acl.rt.synchronize_stream(0))
    pyacl.ok(acl.rt.synchronize_device())


def test_memory_operations_on_a_stream_are_done_when_it_is_synchronised(acl, handles):
    stream, memory = handles.make("stream"), handles.make("device_memory")
    source, target = bytes(range(256)), bytes(256)
    util, rt = acl.util, acl.rt
    pyacl.ok(rt.memcpy_async(memory, 4096, util.bytes_to_ptr(source), 256, 1, stream))
    pyacl.ok(rt.memset_async(memory, 4096, 7, 16, stream))
    pyacl.ok(rt.memcpy_async(util.bytes_to_ptr(target), 256, memory, 256, 2, stream))
    pyacl.ok(rt.synchronize_stream(stream))
    assert target == b"\x07" * 16 + source[16:]


def test_events_tell_where_a_stream_is(acl, handles):
    rt = acl.rt
    stream, other = handles.make("stream"), handles.make("stream")
    start, end = handles.make("event"), handles.make("event")
    pyacl.ok(rt.record_event(start, stream))
    pyacl.ok(rt.record_event(end, stream))
    pyacl.ok(rt.stream_wait_event(other, end))
    pyacl.ok(rt.synchronize_event(end))
    pyacl.ok(rt.synchronize_stream(other))
    assert rt.query_event(end) == (0, 0)
    assert rt.query_event_status(end) == (1, 0)
    elapsed, ret = rt.event_elapsed_time(start, end)
    assert ret == 0
    assert elapsed >= 0
    pyacl.ok(rt.reset_event(end, stream))


@pytest.mark.misuse
def test_stream_destroyed_by_another_thread_during_a_wait_is_dead_at_once_and_ends_softly(acl, context, handles):
    """Thread A waits for a stream whose callback has not run; thread B destroys it; then the callback runs."""
    rt = acl.rt
    stream = pyacl.ok(rt.create_stream())
    pyacl.ok(rt.subscribe_report(threading.get_ident(), stream))
    pyacl.ok(rt.launch_callback(lambda argument: None, None, 1, stream))
    codes = []
    entered = threading.Event()

    def wait():
        rt.set_context(context)
        entered.set()
        codes.append(rt.synchronize_stream(stream))

    waiter = threading.Thread(target=wait)
    waiter.start()
    entered.wait()
    eventually(lambda: is_inside(waiter, "wait"))
    assert rt.destroy_stream(stream) == 0
    assert rt.synchronize_stream(stream) == pyacl.INVALID_PARAM
    assert rt.destroy_stream(stream) == pyacl.INVALID_PARAM
    assert rt.process_report(20_000) == 0
    waiter.join(10)
    assert codes == [0]
