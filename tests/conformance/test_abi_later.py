# SPDX-License-Identifier: Apache-2.0
"""AscendCL's C functions that older runtimes lack: matrices, caches, queries, time-outs, events with flags."""

import ctypes
import threading

import pytest

from helpers import abi
from helpers.acl_program import (
    DEVICE_TO_DEVICE,
    DEVICE_TO_HOST,
    HOST_TO_DEVICE,
    HOST_TO_HOST,
    Program,
    in_thread,
    new,
)
from helpers.simulator import CALLBACK

INVALID, UNSUPPORTED = 100000, 207000
SYNC, PROGRESS, TIME_LINE = 1, 2, 8
EVERY_KIND = range(-1, 8)

pytestmark = pytest.mark.sim_only  # the runtime of this host may lack them

nothing = CALLBACK(lambda _: None)


@pytest.fixture
def sim():
    with abi.device() as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim, pump=False) as running:
        yield running


@pytest.fixture
def stream(program):
    """A stream whose callbacks run on this thread, when it processes reports."""
    _, handle = new(program.sim.aclrtCreateStream)
    assert program.sim.aclrtSubscribeReport(threading.get_ident(), handle) == 0
    yield handle
    assert program.sim.aclrtUnSubscribeReport(threading.get_ident(), handle) == 0
    assert program.sim.aclrtDestroyStream(handle) == 0


def block(program, stream):
    """From now on the stream waits, until `go_on`."""
    assert program.sim.aclrtLaunchCallback(nothing, None, 1, stream) == 0


def go_on(program):
    assert program.sim.aclrtProcessReport(20_000) == 0


def query(function, handle):
    status = ctypes.c_int32(9)
    code = function(handle, ctypes.byref(status))
    return status.value if code == 0 else code


# ---- copies of rows ----


def rows(data, pitch, width, height):
    return [bytes(data[row * pitch : row * pitch + width]) for row in range(height)]


@pytest.mark.statement("3.5.22")
@pytest.mark.parametrize("name", ["aclrtMemcpy2d", "aclrtMemcpy2dAsync"])
@pytest.mark.parametrize(("width", "height"), [(48, 6), (64, 6), (1, 1), (48, 1)])
def test_rows_are_copied_between_pitches_and_nothing_else(program, stream, name, width, height):
    sim, behind = program.sim, (stream,) if name.endswith("Async") else ()
    memory = program.memory(80 * 6)
    source = bytes(i % 251 for i in range(64 * 6))
    back = ctypes.create_string_buffer(b"." * 100 * 6, 100 * 6)
    assert sim.aclrtMemset(memory, 80 * 6, ord("-"), 80 * 6) == 0
    assert getattr(sim, name)(memory, 80, source, 64, width, height, HOST_TO_DEVICE, *behind) == 0
    assert getattr(sim, name)(back, 100, memory, 80, width, height, DEVICE_TO_HOST, *behind) == 0
    assert sim.aclrtSynchronizeStream(stream) == 0
    assert rows(back.raw, 100, width, height) == rows(source, 64, width, height)
    assert back.raw.count(b".") == 600 - width * height + b"".join(rows(source, 64, width, height)).count(b".")
    device = ctypes.create_string_buffer(80 * 6)
    assert sim.aclrtMemcpy(device, 480, memory, 480, DEVICE_TO_HOST) == 0
    assert device.raw[80 * (height - 1) + width :] == b"-" * (480 - 80 * (height - 1) - width)
    assert all(device.raw[80 * row + width : 80 * (row + 1)] == b"-" * (80 - width) for row in range(height))


def test_rows_wait_for_what_is_before_them_on_the_stream(program, stream):
    sim, memory = program.sim, program.memory(64)
    back = ctypes.create_string_buffer(16)
    assert sim.aclrtMemset(memory, 64, 1, 64) == 0
    block(program, stream)
    assert sim.aclrtMemcpy2dAsync(back, 8, memory, 32, 8, 2, DEVICE_TO_HOST, stream) == 0
    assert back.raw == bytes(16)
    go_on(program)
    assert sim.aclrtSynchronizeStream(stream) == 0
    assert back.raw == b"\1" * 16


@pytest.mark.statement("3.5.22")
def test_refusals_of_rows_come_in_order(program, stream):
    sim, memory, host = program.sim, program.memory(4096), ctypes.create_string_buffer(4096)
    for name, behind in (("aclrtMemcpy2d", ()), ("aclrtMemcpy2dAsync", (stream,))):
        copy = getattr(sim, name)
        for arguments in (
            (None, 64, host, 64, 64, 2),
            (memory, 64, None, 64, 64, 2),
            (memory, 64, host, 64, 0, 2),
            (memory, 64, host, 64, 64, 0),
            (memory, 63, host, 64, 64, 2),
            (memory, 64, host, 63, 64, 2),
        ):
            assert copy(*arguments, HOST_TO_DEVICE, *behind) == INVALID, arguments
        codes = {kind: copy(memory, 64, host, 64, 64, 2, kind, *behind) for kind in EVERY_KIND if kind not in (1, 2)}
        assert set(codes.values()) == {INVALID} and {HOST_TO_HOST, DEVICE_TO_DEVICE} < set(codes)
        assert "allowed are 1 (host to device) and 2 (device to host)" in sim.error_text()
        assert copy(memory, 2**63, host, 64, 64, 3, HOST_TO_DEVICE, *behind) == 107000, "no size"
        arguments = (memory, 64, host, 64, 64, 2, HOST_TO_DEVICE, *behind)
        assert in_thread(lambda copy=copy, arguments=arguments: copy(*arguments)) == 107002
        assert copy(memory, 64, host, 64, 64, 65, HOST_TO_DEVICE, *behind) == 107000, "beyond the allocation"
        abi.assert_misuses(sim, "out-of-bounds")
        assert copy(memory, 64, host, 64, 64, 64, HOST_TO_DEVICE, *behind) == 0
        assert copy(0x41414141, 64, host, 64, 64, 2, HOST_TO_DEVICE, *behind) == 107000, "no memory"
        abi.assert_misuses(sim, "foreign-memory")
    most = 5 * 1024 * 1024
    assert sim.aclrtMemcpy2dAsync(memory, 1, host, 1, 1, most + 1, HOST_TO_DEVICE, stream) == 107000
    assert f"at most {most}" in sim.error_text()


def test_rows_may_end_where_the_allocation_does(program):
    """The last row has no pitch behind it."""
    memory, host = program.memory(0), ctypes.create_string_buffer(96)  # 32 bytes
    assert program.sim.aclrtMemcpy2d(memory, 24, host, 24, 8, 2, HOST_TO_DEVICE) == 0
    assert program.sim.aclrtMemcpy2d(memory, 25, host, 25, 8, 2, HOST_TO_DEVICE) == 107000
    abi.assert_misuses(program.sim, "out-of-bounds")


def test_rows_in_the_wrong_direction_are_reported(program):
    memory, host = program.memory(64), ctypes.create_string_buffer(64)
    assert program.sim.aclrtMemcpy2d(host, 8, memory, 8, 8, 2, HOST_TO_DEVICE) == 0
    abi.assert_misuses(program.sim, "wrong-direction", "wrong-direction")


@pytest.mark.statement("3.5.23")
def test_board_has_no_copies_of_rows():
    with abi.device(soc="Ascend310B4") as sim, Program(sim, pump=False) as program:
        memory, host = program.memory(64), ctypes.create_string_buffer(64)
        assert sim.aclrtMemcpy2d(memory, 8, host, 8, 8, 2, HOST_TO_DEVICE) == UNSUPPORTED
        assert sim.aclrtMemcpy2dAsync(memory, 8, host, 8, 8, 2, HOST_TO_DEVICE, None) == UNSUPPORTED
        assert "copy each row with aclrtMemcpy" in sim.error_text()


# ---- caches ----


@pytest.mark.statement("3.5.24")
def test_cached_memory_is_memory_and_its_cache_needs_nothing(program):
    sim = program.sim
    assert sim.aclrtMallocCached(None, 64, 0) == INVALID
    assert new(sim.aclrtMallocCached, 0, 0)[0] == INVALID
    assert new(sim.aclrtMallocCached, 64, 99)[0] == INVALID
    assert in_thread(lambda: new(sim.aclrtMallocCached, 64, 0))[0] == 107002
    code, memory = new(sim.aclrtMallocCached, 64, 0)
    assert code == 0
    for name in ("aclrtMemFlush", "aclrtMemInvalidate"):
        tend = getattr(sim, name)
        assert [tend(None, 64), tend(memory, 0)] == [INVALID] * 2
        assert tend(memory, 1 << 20) == 107000
        assert tend(0x41414141, 64) == 107000
        abi.assert_misuses(sim, "foreign-memory")
        assert in_thread(lambda tend=tend: tend(memory, 64)) == 107002
        assert tend(memory, 64) == 0
    assert sim.aclrtFree(memory) == 0
    assert sim.aclrtMemFlush(memory, 64) == 107000, "it is freed"
    abi.assert_misuses(sim, "foreign-memory")


@pytest.mark.statement("3.5.31")
@pytest.mark.parametrize(("size", "room"), [(1, 32), (32, 32), (100, 128)])
def test_memory_of_malloc_align32_has_no_room_beside(program, size, room):
    sim, host = program.sim, ctypes.create_string_buffer(256)
    assert sim.aclrtMallocAlign32(None, 64, 0) == INVALID
    assert new(sim.aclrtMallocAlign32, 0, 0)[0] == INVALID
    assert new(sim.aclrtMallocAlign32, 2**64 - 1, 0)[0] == INVALID
    code, memory = new(sim.aclrtMallocAlign32, size, 0)
    assert code == 0
    assert sim.aclrtMemcpy(memory, room, host, room, HOST_TO_DEVICE) == 0
    assert sim.aclrtMemcpy(memory, room + 1, host, room + 1, HOST_TO_DEVICE) == 107000
    abi.assert_misuses(sim, "out-of-bounds")
    assert sim.aclrtFree(memory) == 0


# ---- errors and devices ----


@pytest.mark.statement("3.5.32")
def test_last_error_is_the_threads_and_is_taken_once(program):
    sim = program.sim
    sim.aclrtGetLastError(0)
    assert sim.aclrtGetLastError(0) == 0
    assert new(sim.aclrtMalloc, 0, 0)[0] == INVALID
    assert sim.aclrtSetDevice(99) == 107001
    code, memory = new(sim.aclrtMalloc, 64, 0)
    assert (code, sim.aclrtFree(memory)) == (0, 0), "success leaves it"
    assert in_thread(lambda: sim.aclrtPeekAtLastError(0)) == 0
    assert [sim.aclrtPeekAtLastError(0), sim.aclrtPeekAtLastError(0)] == [107001] * 2
    assert [sim.aclrtGetLastError(0), sim.aclrtGetLastError(0)] == [107001, 0]
    assert [sim.aclrtPeekAtLastError(1), sim.aclrtGetLastError(-1)] == [INVALID] * 2


@pytest.mark.statement("3.5.33")
def test_device_is_asked_whether_it_is_well(program):
    sim = program.sim
    assert sim.aclrtQueryDeviceStatus(0, None) == INVALID
    assert query(sim.aclrtQueryDeviceStatus, 1) == query(sim.aclrtQueryDeviceStatus, -1) == 107001
    assert query(sim.aclrtQueryDeviceStatus, 0) == 0
    with sim.lost_device():
        assert query(sim.aclrtQueryDeviceStatus, 0) == 1
    assert query(sim.aclrtQueryDeviceStatus, 0) == 0


# ---- streams ----


def test_stream_with_a_configuration_is_a_stream(program):
    sim = program.sim
    for priority, flag in ((0, 0), (7, 3), (0, 0x100)):
        code, stream = new(sim.aclrtCreateStreamWithConfig, priority, flag)
        assert code == 0
        assert sim.aclrtSynchronizeStream(stream) == 0
        assert sim.aclrtDestroyStream(stream) == 0
    assert new(sim.aclrtCreateStreamWithConfig, 8, 0)[0] == 107000
    assert "priority is 8, allowed are 0 to 7" in sim.error_text()
    assert sim.aclrtCreateStreamWithConfig(None, 0, 0) == INVALID
    assert in_thread(lambda: new(sim.aclrtCreateStreamWithConfig, 0, 0))[0] == 107002
    with sim.options(stream_limit=1):
        _, stream = new(sim.aclrtCreateStream)
        assert new(sim.aclrtCreateStreamWithConfig, 0, 0)[0] == 207008
        assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.statement("3.5.25")
def test_stream_is_asked_whether_it_has_anything_to_do(program, stream):
    sim = program.sim
    assert sim.aclrtStreamQuery(stream, None) == INVALID
    assert query(sim.aclrtStreamQuery, stream) == 0
    assert query(sim.aclrtStreamQuery, None) == 0, "the default stream"
    block(program, stream)
    assert query(sim.aclrtStreamQuery, stream) == 1
    go_on(program)
    assert query(sim.aclrtStreamQuery, stream) == 0
    _, other = new(sim.aclrtCreateStream)
    assert sim.aclrtDestroyStream(other) == 0
    assert query(sim.aclrtStreamQuery, other) == 107017
    abi.assert_misuses(sim, "stale-handle")


# ---- waits with a time-out ----


@pytest.mark.statement("3.5.25")
def test_wait_for_a_device_ends_with_its_time(program, stream):
    sim = program.sim
    assert [sim.aclrtSynchronizeDeviceWithTimeout(time) for time in (0, -2)] == [INVALID] * 2
    assert "allowed are -1 and positive numbers of ms" in sim.error_text()
    assert [sim.aclrtSynchronizeDeviceWithTimeout(time) for time in (1, -1)] == [0, 0]
    assert in_thread(lambda: sim.aclrtSynchronizeDeviceWithTimeout(1)) == 107002
    block(program, stream)
    assert sim.aclrtSynchronizeDeviceWithTimeout(1) == 507046
    go_on(program)
    assert sim.aclrtSynchronizeDeviceWithTimeout(20_000) == 0


@pytest.mark.statement("3.5.25")
def test_wait_for_a_device_includes_its_channels():
    with abi.device(null_codec=500) as sim, Program(sim) as program:
        program.stop_pump()  # the callback has nobody who would run it; its thread is gone, and not this one
        desc = program.channel_desc(ThreadId=12345)
        assert sim.aclvencCreateChannel(desc) == 0
        program.send(desc, program.picture())
        with sim.options(wait_limit_ms=1):
            assert sim.aclrtSynchronizeDeviceWithTimeout(60) == 507046
            assert "the time is over, and 1 frame(s)" in sim.error_text()
            abi.assert_misuses(sim)  # the program's own limit: no report of nobody who processes reports
            assert sim.aclvencDestroyChannel(desc) == 507046
        abi.assert_misuses(sim, "no-pump")
        program.destroy_desc(desc)


@pytest.mark.statement("3.5.25")
def test_wait_for_an_event_ends_with_its_time(program, stream):
    sim = program.sim
    _, event = new(sim.aclrtCreateEvent)
    assert [sim.aclrtSynchronizeEventWithTimeout(event, time) for time in (0, -2)] == [INVALID] * 2
    assert [sim.aclrtSynchronizeEventWithTimeout(event, time) for time in (1, -1)] == [0, 0], "nothing was recorded"
    block(program, stream)
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtSynchronizeEventWithTimeout(event, 1) == 507047
    go_on(program)
    assert sim.aclrtSynchronizeEventWithTimeout(event, 20_000) == 0
    assert sim.aclrtDestroyEvent(event) == 0
    assert sim.aclrtSynchronizeEventWithTimeout(event, 1) == 107017
    abi.assert_misuses(sim, "stale-handle")


def test_ascend310_waits_for_an_event_for_ever_only():
    with abi.device(soc="Ascend310") as sim, Program(sim, pump=False):
        _, event = new(sim.aclrtCreateEvent)
        assert sim.aclrtSynchronizeEventWithTimeout(event, 100) == UNSUPPORTED
        assert sim.aclrtSynchronizeEventWithTimeout(event, -1) == 0
        assert sim.aclrtDestroyEvent(event) == 0


# ---- events with flags ----


def codes_of_uses(program, stream, event):
    sim = program.sim
    ms = ctypes.c_float()
    return {
        "record": sim.aclrtRecordEvent(event, stream),
        "wait": sim.aclrtStreamWaitEvent(stream, event),
        "query": query(sim.aclrtQueryEvent, event),
        "status": query(sim.aclrtQueryEventStatus, event),
        "waited": query(sim.aclrtQueryEventWaitStatus, event),
        "synchronize": sim.aclrtSynchronizeEvent(event),
        "time": sim.aclrtEventElapsedTime(ctypes.byref(ms), event, event),
        "reset": sim.aclrtResetEvent(event, stream),
    }


GOOD = {"record": 0, "wait": 0, "query": 0, "status": 1, "waited": 0, "synchronize": 0, "time": 0, "reset": 0}
NO_SYNC = {"wait": UNSUPPORTED, "waited": UNSUPPORTED, "reset": UNSUPPORTED}
EX = {"query": UNSUPPORTED, "waited": UNSUPPORTED, "reset": UNSUPPORTED}
NO_TIME = {"time": 107006}


@pytest.mark.statement("3.5.26")
@pytest.mark.parametrize(
    ("create", "flag", "refused"),
    [
        ("aclrtCreateEvent", None, {}),
        ("aclrtCreateEventWithFlag", SYNC | TIME_LINE, {}),
        ("aclrtCreateEventWithFlag", SYNC, NO_TIME),
        ("aclrtCreateEventWithFlag", TIME_LINE, NO_SYNC),
        ("aclrtCreateEventWithFlag", PROGRESS, {**NO_SYNC, **NO_TIME}),
        ("aclrtCreateEventExWithFlag", SYNC | PROGRESS | TIME_LINE, EX),
        ("aclrtCreateEventExWithFlag", TIME_LINE, {**NO_SYNC, **EX}),
        ("aclrtCreateEventExWithFlag", SYNC, {**EX, **NO_TIME}),
    ],
)
def test_event_serves_for_what_it_was_created(program, stream, create, flag, refused):
    code, event = new(getattr(program.sim, create), *(() if flag is None else (flag,)))
    assert code == 0
    assert codes_of_uses(program, stream, event) == {**GOOD, **refused}
    assert program.sim.aclrtDestroyEvent(event) == 0


@pytest.mark.parametrize("create", ["aclrtCreateEventWithFlag", "aclrtCreateEventExWithFlag"])
def test_refusals_of_an_event_s_creation(program, create):
    function = getattr(program.sim, create)
    assert function(None, SYNC) == INVALID
    assert [new(function, flag)[0] for flag in (0, 4, SYNC | 0x80)] == [107000] * 3
    assert "flag is 0x81, allowed are ACL_EVENT_SYNC (1)" in program.sim.error_text()
    assert in_thread(lambda: new(function, SYNC))[0] == 107002


@pytest.mark.statement("3.5.27")
def test_event_is_asked_whether_every_stream_that_waits_has_got_it(program, stream):
    sim = program.sim
    streams = [new(sim.aclrtCreateStream)[1] for _ in range(2)]
    _, event = new(sim.aclrtCreateEvent)
    assert sim.aclrtQueryEventWaitStatus(event, None) == INVALID
    assert query(sim.aclrtQueryEventWaitStatus, event) == 0
    block(program, stream)
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert query(sim.aclrtQueryEventWaitStatus, event) == 0
    for waiting in streams:
        assert sim.aclrtStreamWaitEvent(waiting, event) == 0
        assert query(sim.aclrtQueryEventWaitStatus, event) == 1
    assert sim.aclrtDestroyStreamForce(streams[0]) == 0
    assert query(sim.aclrtQueryEventWaitStatus, event) == 1
    go_on(program)
    assert query(sim.aclrtQueryEventWaitStatus, event) == 0
    assert sim.aclrtDestroyStream(streams[1]) == 0
    assert sim.aclrtDestroyEvent(event) == 0
