# SPDX-License-Identifier: Apache-2.0
"""What becomes of a stream's tasks when its subscription, the stream, its device or their memory ends before them."""

import ctypes
import mmap
import threading
from pathlib import Path

import pytest

from helpers import abi, native, simulator
from helpers.acl_program import DEVICE_TO_HOST, HOST_TO_DEVICE, Program, new
from helpers.simulator import CALLBACK
from helpers.waiting import outcome, started

pytestmark = pytest.mark.sim_only

SOURCE = Path(__file__).resolve().parent / "native" / "stream_ends.c"
BLOCK, NO_BLOCK = 1, 0

nothing = CALLBACK(lambda _: None)


@pytest.fixture
def sim():
    with simulator.isolated() as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim, pump=False) as running:
        yield running


def subscribed(sim):
    """A new stream whose callbacks run on this thread."""
    code, stream = new(sim.aclrtCreateStream)
    assert code == 0
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    return stream


def unsubscribe(sim, stream):
    assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0


def query(function, handle):
    status = ctypes.c_int32(9)
    assert function(handle, ctypes.byref(status)) == 0
    return status.value


@pytest.mark.parametrize("variant", ["thread", "address"])
def test_streams_that_end_while_a_callback_returns_are_clean_under_sanitizers(builds, variant):
    assert native.run(builds.linked(variant, SOURCE), 2000, timeout=100) == "ok\n"


def test_what_was_queued_behind_a_lost_callback_is_done(program):
    sim, back = program.sim, ctypes.create_string_buffer(64)
    stream, memory = subscribed(sim), program.memory(64)
    _, event = new(sim.aclrtCreateEvent)
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 5, 64, stream) == 0
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, stream) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert back.raw == bytes(64)
    unsubscribe(sim, stream)
    abi.assert_misuses(sim, "callback-lost")
    assert back.raw == b"\5" * 64
    assert (query(sim.aclrtQueryEvent, event), query(sim.aclrtStreamQuery, stream)) == (0, 0)
    assert sim.aclrtSynchronizeEvent(event) == 0
    assert sim.aclrtDestroyEvent(event) == 0
    assert sim.aclrtDestroyStream(stream) == 0


def test_callback_that_runs_when_its_stream_is_unsubscribed_keeps_what_is_behind_it_waiting(program):
    sim, back = program.sim, ctypes.create_string_buffer(64)
    stream, memory = subscribed(sim), program.memory(64)
    assert sim.aclrtMemset(memory, 64, 5, 64) == 0
    inside = []

    @CALLBACK
    def callback(_):
        unsubscribe(sim, stream)
        inside.append((back.raw, query(sim.aclrtStreamQuery, stream)))

    assert sim.aclrtLaunchCallback(callback, None, BLOCK, stream) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, stream) == 0
    assert sim.aclrtProcessReport(20_000) == 0
    assert inside == [(bytes(64), 1)]
    assert (back.raw, query(sim.aclrtStreamQuery, stream)) == (b"\5" * 64, 0)
    abi.assert_misuses(sim)
    assert sim.aclrtDestroyStream(stream) == 0


def test_event_that_a_stream_destroyed_by_force_was_to_record_keeps_nobody_waiting(program):
    sim = program.sim
    stream = subscribed(sim)
    _, other = new(sim.aclrtCreateStream)
    _, event = new(sim.aclrtCreateEvent)
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtStreamWaitEvent(other, event) == 0

    def synchronize():
        assert sim.aclrtSetCurrentContext(program.context) == 0
        return sim.aclrtSynchronizeEvent(event), sim.aclrtSynchronizeStream(other)

    waiting = started(synchronize)
    assert query(sim.aclrtStreamQuery, other) == 1
    assert sim.aclrtDestroyStreamForce(stream) == 0
    assert outcome(waiting) == (0, 0)
    abi.assert_misuses(sim, "callback-lost", "still-subscribed")
    assert sim.aclrtDestroyStream(other) == 0
    assert sim.aclrtDestroyEvent(event) == 0


def test_stream_that_waits_for_an_event_which_ends_goes_on_when_it_would_have_been_recorded(program):
    """And not when it would have been the next time."""
    sim, back, between = program.sim, ctypes.create_string_buffer(64), []
    stream, memory = subscribed(sim), program.memory(64)
    _, other = new(sim.aclrtCreateStream)
    _, event = new(sim.aclrtCreateEvent)
    look = CALLBACK(lambda _: between.append((back.raw, query(sim.aclrtStreamQuery, other))))
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 5, 64, stream) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtStreamWaitEvent(other, event) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, other) == 0
    assert sim.aclrtLaunchCallback(look, None, BLOCK, stream) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtDestroyEvent(event) == 0
    assert (back.raw, query(sim.aclrtStreamQuery, other)) == (bytes(64), 1)
    while query(sim.aclrtStreamQuery, stream) == 1:
        assert sim.aclrtProcessReport(20_000) == 0
    assert between == [(b"\5" * 64, 0)]
    assert sim.aclrtSynchronizeStream(other) == 0
    unsubscribe(sim, stream)
    abi.assert_misuses(sim)
    for handle in (stream, other):
        assert sim.aclrtDestroyStream(handle) == 0


def test_event_that_ends_behind_its_recording_keeps_no_stream_waiting(program):
    sim = program.sim
    stream, other = subscribed(sim), subscribed(sim)
    _, event = new(sim.aclrtCreateEvent)
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, other) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtStreamWaitEvent(other, event) == 0
    assert sim.aclrtDestroyEvent(event) == 0
    assert sim.aclrtProcessReport(20_000) == 0
    assert sim.aclrtSynchronizeStream(other) == 0
    for handle in (stream, other):
        unsubscribe(sim, handle)
        assert sim.aclrtDestroyStream(handle) == 0
    abi.assert_misuses(sim)


@pytest.mark.parametrize("end", ["aclrtUnSubscribeReport", "aclrtDestroyStreamForce", "aclrtDestroyStream"])
def test_callback_that_no_stream_waits_for_is_lost_with_its_subscription_and_said_to_be(program, end):
    """Also with another stream subscribed to the thread, which goes on."""
    sim, seen = program.sim, []
    callback = CALLBACK(seen.append)
    keeper, stream = subscribed(sim), subscribed(sim)
    for number, on in ((1, keeper), (2, stream), (3, stream), (4, keeper)):
        assert sim.aclrtLaunchCallback(callback, number, NO_BLOCK, on) == 0
    assert sim.aclrtSynchronizeStream(stream) == 0
    if end == "aclrtUnSubscribeReport":
        unsubscribe(sim, stream)
        abi.assert_misuses(sim, "callback-lost")
        assert sim.aclrtDestroyStream(stream) == 0
    else:
        assert getattr(sim, end)(stream) == 0
        abi.assert_misuses(sim, "callback-lost", "still-subscribed")
    assert sim.aclrtProcessReport(20_000) == 0
    assert seen == [1, 4]
    unsubscribe(sim, keeper)
    abi.assert_misuses(sim)
    assert sim.aclrtDestroyStream(keeper) == 0


# ---- memory ----


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("what", ["device", "host", "set"])
def test_memory_freed_before_the_stream_gets_to_its_task_is_there_until_then(what, strict):
    with simulator.isolated(strict=strict) as sim, Program(sim, pump=False):
        stream, size, back = subscribed(sim), 1 << 20, ctypes.create_string_buffer(64)
        (_, device), (_, host) = new(sim.aclrtMalloc, size, 0), new(sim.aclrtMallocHost, size)
        assert sim.aclrtMemset(device, size, 9, size) == 0
        assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
        if what == "set":
            assert sim.aclrtMemsetAsync(device, size, 7, size, stream) == 0
        else:
            assert sim.aclrtMemcpyAsync(device, size, host, size, HOST_TO_DEVICE, stream) == 0
        if what == "device":
            assert sim.aclrtMemcpyAsync(back, 64, device, 64, DEVICE_TO_HOST, stream) == 0
        if what != "host":
            assert sim.aclrtFree(device) == 0
        assert sim.aclrtFreeHost(host) == 0
        abi.assert_misuses(sim, *["early-free"] * (strict * {"device": 2, "host": 1, "set": 1}[what]))
        assert sim.aclrtProcessReport(20_000) == 0
        assert sim.aclrtSynchronizeStream(stream) == 0
        assert back.raw == bytes(64), "of the host's memory, which was copied first"
        if what == "host":
            assert sim.aclrtFree(device) == 0
        unsubscribe(sim, stream)
        assert sim.aclrtDestroyStream(stream) == 0


def test_memory_freed_behind_its_task_is_no_misuse(program):
    sim = program.sim
    stream, (_, memory) = subscribed(sim), new(sim.aclrtMalloc, 64, 0)
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 7, 64, stream) == 0
    unsubscribe(sim, stream)
    abi.assert_misuses(sim, "callback-lost")
    assert sim.aclrtMemsetAsync(memory, 64, 7, 64, stream) == 0
    assert sim.aclrtFree(memory) == 0
    assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.parametrize("direction", [HOST_TO_DEVICE, DEVICE_TO_HOST])
def test_program_s_own_memory_that_vanished_is_not_touched(program, direction):
    sim = program.sim
    stream, memory, back = subscribed(sim), program.memory(64), ctypes.create_string_buffer(64)
    own = mmap.mmap(-1, mmap.PAGESIZE)
    view = ctypes.c_char.from_buffer(own)
    address = ctypes.addressof(view)
    pair = (memory, 64, address) if direction == HOST_TO_DEVICE else (address, 64, memory)
    assert sim.aclrtLaunchCallback(nothing, None, BLOCK, stream) == 0
    assert sim.aclrtMemcpyAsync(*pair, 64, direction, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 7, 64, stream) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, stream) == 0
    del view
    own.close()
    assert sim.aclrtProcessReport(20_000) == 0
    assert back.raw == b"\7" * 64
    abi.assert_misuses(sim, "foreign-memory")
    unsubscribe(sim, stream)
    assert sim.aclrtDestroyStream(stream) == 0
