# SPDX-License-Identifier: Apache-2.0
"""Deliberately wrong programs: strict mode reports each of them, with the object's history and what to do."""

import ctypes
import mmap
import signal
import subprocess
import sys
import threading

import pytest

from helpers import processes, simulator
from helpers.acl_program import (
    DEVICE_TO_DEVICE,
    DEVICE_TO_HOST,
    HOST_TO_DEVICE,
    HOST_TO_HOST,
    Program,
    new,
)
from helpers.simulator import CALLBACK
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

SIZE = 128 * 128 * 3 // 2


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500) as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


@pytest.fixture
def board():
    with simulator.isolated(soc="Ascend310B4", null_codec=500) as device, Program(device) as running:
        yield running


def the_report(sim, kind, *words):
    """The one report there is; it is of this kind, and its text holds these words and a fix."""
    found = sim.take_reports()
    assert len(found) == 1, found
    assert found[0].startswith(f"[{kind}] acl"), found
    assert "| fix: " in found[0]
    for word in words:
        assert word in found[0], (word, found)
    return found[0]


def new_memory(sim):
    address = ctypes.c_void_p()
    assert sim.acldvppMalloc(ctypes.byref(address), SIZE) == 0
    return address.value


# ---- pictures in flight ----


def test_right_program_is_not_reported(program):
    channel, picture = program.channel(), program.picture()
    for _ in range(5):
        program.send(channel, picture)
    program.end_of_stream(channel)
    assert program.sim.reports() == []


@pytest.mark.parametrize("free", ["acldvppFree", "aclrtFree"])
def test_early_free_is_reported(program, free):
    sim = program.sim
    channel, memory = program.channel(), new_memory(sim)
    picture = program.picture(address=memory, size=SIZE)
    with sim.options(stall=1):
        program.send(channel, picture)
        program.send(channel, picture)
        assert getattr(sim, free)(memory) == 0
    program.end_of_stream(channel)
    assert [seen.ret_code for seen in program.delivered] == [0, 0], "the device still reads what was there"
    reports = sim.take_reports()
    assert reports[0].startswith(f"[early-free] {free}: ")
    assert "2 frames" in reports[0]
    assert "created by acldvppMalloc" in reports[0]
    assert len(reports) == (1 if free == "acldvppFree" else 2)


def test_picture_overwritten_by_a_copy_while_in_flight_is_reported(program):
    sim = program.sim
    channel, memory = program.channel(), program.memory(SIZE)
    picture = program.picture(address=memory, size=SIZE)
    with sim.options(stall=1):
        program.send(channel, picture)
        program.fill(memory, b"\1" * SIZE)
        at_once = sim.take_reports()
        assert len(at_once) == 1
        assert at_once[0].startswith("[input-modified] aclrtMemcpy: ")
    program.end_of_stream(channel)
    the_report(sim, "input-modified", "frame 0", "between its send and its callback")


def test_picture_set_while_in_flight_is_reported(program):
    sim = program.sim
    channel, memory = program.channel(), program.memory(SIZE)
    picture = program.picture(address=memory, size=SIZE)
    with sim.options(stall=1):
        program.send(channel, picture)
        assert sim.aclrtMemset(memory, SIZE, 0, SIZE) == 0
        the_report(sim, "input-modified", "aclrtMemset")
    program.end_of_stream(channel)
    sim.take_reports()


def test_pictures_that_share_an_allocation_are_told_apart(program):
    sim = program.sim
    channel, pool = program.channel(), program.memory(3 * SIZE)
    picture = program.picture(address=pool + SIZE, size=SIZE)
    with sim.options(stall=1):
        program.send(channel, picture)
        program.fill(pool, b"\1" * SIZE)
        assert sim.aclrtMemset(pool + 2 * SIZE, SIZE, 0, SIZE) == 0
        assert sim.reports() == []
        program.fill(pool, bytes(SIZE + 1))
        the_report(sim, "input-modified", "aclrtMemcpy")
        assert sim.aclrtMemset(pool + 2 * SIZE - 1, SIZE, 0, SIZE) == 0
        the_report(sim, "input-modified", "aclrtMemset")
    program.end_of_stream(channel)
    program.fill(pool, bytes(3 * SIZE))
    assert sim.reports() == [], "the bytes were 0 before, and the device is done"


def test_picture_overwritten_directly_while_in_flight_is_reported(board):
    sim = board.sim
    channel, memory = board.channel(), board.memory(SIZE)
    picture = board.picture(address=memory, size=SIZE)
    with sim.options(stall=1):
        board.send(channel, picture)
        ctypes.memset(memory + 5000, 1, 1)
    board.end_of_stream(channel)
    the_report(sim, "input-modified", "frame 0")


def test_own_memory_overwritten_while_in_flight_is_reported(board):
    sim = board.sim
    own = ctypes.create_string_buffer(SIZE + 16)
    address = (ctypes.addressof(own) + 15) // 16 * 16
    channel, picture = board.channel(), board.picture(address=address, size=SIZE)
    with sim.options(stall=1):
        board.send(channel, picture)
        own[8000] = b"x"
    board.end_of_stream(channel)
    the_report(sim, "input-modified")


def test_own_memory_unmapped_while_in_flight_is_reported(board):
    sim = board.sim
    own = mmap.mmap(-1, SIZE + 4096)
    address = ctypes.addressof(ctypes.c_char.from_buffer(own))
    channel, picture = board.channel(), board.picture(address=address, size=SIZE)
    with sim.options(stall=1):
        board.send(channel, picture)
        own.close()
    board.end_of_stream(channel)
    the_report(sim, "input-unmapped", "frame 0")


def test_picture_descriptor_destroyed_while_in_flight_is_reported(program):
    sim = program.sim
    channel, memory = program.channel(), program.memory(SIZE)
    picture = sim.acldvppCreatePicDesc()
    assert sim.acldvppSetPicDescData(picture, memory) == 0
    assert sim.acldvppSetPicDescSize(picture, SIZE) == 0
    with sim.options(stall=1):
        program.send(channel, picture)
        assert sim.acldvppDestroyPicDesc(picture) == 0
    program.end_of_stream(channel)
    assert program.delivered[0].input == picture
    the_report(sim, "descriptor-in-flight", "created by acldvppCreatePicDesc")


def test_picture_outside_device_memory_is_reported(program):
    sim = program.sim
    host = program.memory(SIZE, host=True)
    channel, picture = program.channel(), program.picture(address=host, size=SIZE)
    program.send(channel, picture)
    program.end_of_stream(channel)
    the_report(sim, "foreign-memory", "acldvppMalloc")


def test_picture_in_memory_of_another_device_is_reported():
    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim) as program:
        context = ctypes.c_void_p()
        assert sim.aclrtCreateContext(ctypes.byref(context), 1) == 0
        memory = new_memory(sim)
        assert sim.aclrtDestroyContext(context) == 0
        assert sim.aclrtSetCurrentContext(program.context) == 0
        channel = program.channel()
        program.send(channel, program.picture(address=memory, size=SIZE))
        program.end_of_stream(channel)
        the_report(sim, "foreign-memory", "device 1")
        assert sim.acldvppFree(memory) == 0


def test_misaligned_picture_is_reported(program):
    memory = program.memory(SIZE + 64)
    channel, picture = program.channel(), program.picture(address=memory + 8, size=SIZE)
    program.send(channel, picture)
    program.end_of_stream(channel)
    the_report(program.sim, "bad-picture", "16 bytes")


def test_picture_size_less_than_its_geometry_is_reported(program):
    channel, picture = program.channel(132, 128), program.picture(132, 128, size=132 * 128 * 3 // 2)
    program.send(channel, picture)
    program.end_of_stream(channel)
    report = program.sim.take_reports()
    assert "stride 144" in report[0]


def test_picture_beyond_its_allocation_is_reported(program):
    channel = program.channel()
    picture = program.picture(address=program.memory(SIZE - 1000), size=SIZE)
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert program.delivered[0].ret_code != 0
    the_report(program.sim, "bad-picture", "allocation ends")


# ---- copies on a stream that nothing waits for ----

WAYS_TO_WAIT = ["synchronize", "with_timeout", "event", "stream_query", "event_query", "callback", "destroy"]


def wait_for(sim, stream, way):
    """In each way in which a program may learn that a stream is done."""
    if way == "synchronize":
        assert sim.aclrtSynchronizeStream(stream) == 0
    elif way == "with_timeout":
        assert sim.aclrtSynchronizeStreamWithTimeout(stream, 1000) == 0
    elif way == "destroy":
        assert sim.aclrtDestroyStream(stream) == 0
    elif way == "stream_query":
        assert sim.aclrtStreamQuery(stream, ctypes.byref(ctypes.c_int())) == 0
    elif way == "callback":
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        launched = CALLBACK(lambda _: None)
        assert sim.aclrtLaunchCallback(launched, None, 0, stream) == 0
        assert sim.aclrtProcessReport(20_000) == 0
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0
    else:
        _, event = new(sim.aclrtCreateEvent)
        assert sim.aclrtRecordEvent(event, stream) == 0
        if way == "event":
            assert sim.aclrtSynchronizeEvent(event) == 0
        else:
            assert sim.aclrtQueryEventStatus(event, ctypes.byref(ctypes.c_int())) == 0
        assert sim.aclrtDestroyEvent(event) == 0


@pytest.mark.parametrize("write", ["copy", "set"])
@pytest.mark.parametrize("way", [None, *WAYS_TO_WAIT])
def test_picture_sent_before_anything_waited_for_the_copy_of_it_is_reported(program, write, way):
    sim, channel, memory = program.sim, program.channel(), program.memory(SIZE)
    picture = program.picture(address=memory, size=SIZE)
    _, stream = new(sim.aclrtCreateStream)
    host = program.memory(SIZE, host=True)
    if write == "copy":
        assert sim.aclrtMemcpyAsync(memory, SIZE, host, SIZE, HOST_TO_DEVICE, stream) == 0
    else:
        assert sim.aclrtMemsetAsync(memory, SIZE, 1, SIZE, stream) == 0
    if way is not None:
        wait_for(sim, stream, way)
    program.send(channel, picture)
    if way is None:
        the_report(sim, "unsynchronised", "aclrtMemcpyAsync" if write == "copy" else "aclrtMemsetAsync")
    if way != "destroy":
        assert sim.aclrtDestroyStream(stream) == 0
    program.end_of_stream(channel)
    assert sim.reports() == []


def test_another_picture_of_the_allocation_that_is_copied_to_is_not_reported(program):
    sim, channel, pool = program.sim, program.channel(), program.memory(2 * SIZE)
    program.fill(pool, b"\1" * SIZE)
    picture = program.picture(address=pool, size=SIZE)
    _, stream = new(sim.aclrtCreateStream)
    host = program.memory(SIZE, host=True)
    assert sim.aclrtMemcpyAsync(pool + SIZE, SIZE, host, SIZE, HOST_TO_DEVICE, stream) == 0
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert sim.aclrtDestroyStream(stream) == 0
    assert sim.reports() == []


@pytest.mark.parametrize("waits", [True, False])
def test_callback_that_returns_before_the_copy_of_its_output_is_waited_for_is_reported(program, waits):
    sim, channel = program.sim, program.channel()
    _, stream = new(sim.aclrtCreateStream)
    host = program.memory(SIZE, host=True)

    def copy(seen):
        assert sim.aclrtMemcpyAsync(host, SIZE, seen.address, seen.size, DEVICE_TO_HOST, stream) == 0
        if waits:
            assert sim.aclrtSynchronizeStream(stream) == 0

    program.on_delivery = copy
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    assert sim.aclrtDestroyStream(stream) == 0
    if not waits:
        the_report(sim, "late-output", "aclrtMemcpyAsync")
    assert sim.reports() == []


# ---- output ----


def test_output_copied_after_the_callback_is_reported(program):
    sim = program.sim
    channel = program.channel()
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    seen = program.delivered[0]
    buffer = ctypes.create_string_buffer(seen.size)
    assert sim.aclrtMemcpy(buffer, seen.size, seen.address, seen.size, DEVICE_TO_HOST) == 0
    assert buffer.raw == b"\xdb" * seen.size
    the_report(sim, "late-output", "inside the callback")


def test_output_descriptor_read_after_the_callback_is_reported(program):
    sim = program.sim
    channel = program.channel()
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    sim.acldvppGetStreamDescSize(program.delivered[0].output)
    the_report(sim, "late-output", "acldvppGetStreamDescSize")


def test_output_descriptor_destroyed_by_the_program_is_reported(program):
    sim = program.sim
    channel = program.channel()
    program.on_delivery = lambda seen: sim.acldvppDestroyStreamDesc(seen.output)
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    the_report(sim, "output-destroyed", "] acldvppDestroyStreamDesc: ", "belongs to the library")


def test_output_overwritten_by_the_program_is_reported(program):
    sim = program.sim
    channel = program.channel()
    program.on_delivery = lambda seen: sim.aclrtMemcpy(seen.address, 4, b"abcd", 4, HOST_TO_DEVICE)
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    the_report(sim, "output-written")
    program.on_delivery = lambda seen: sim.aclrtMemset(seen.address, 4, 0, 4)
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    the_report(sim, "output-written", "] aclrtMemset: ")


def test_output_buffer_larger_than_its_allocation_is_reported(program):
    program.channel(BufAddr=program.memory(5 << 20), BufSize=6 << 20)
    the_report(program.sim, "out-of-bounds", "bufSize")


def test_output_buffer_outside_device_memory_is_reported(program):
    own = ctypes.create_string_buffer(5 << 20)
    program.destroy(program.channel(BufAddr=ctypes.addressof(own), BufSize=5 << 20))
    the_report(program.sim, "foreign-memory", "bufAddr")


# ---- threads and order ----


def test_report_thread_without_context_is_reported(sim):
    with Program(sim, bind=False) as program:
        channel = program.channel()
        program.send(channel, program.picture())
        program.end_of_stream(channel)
    the_report(sim, "no-context", "aclrtSetCurrentContext")


def test_channel_without_callback_is_reported(program):
    channel = program.channel(Callback=None)
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    the_report(program.sim, "no-callback", "aclvencSetChannelDescCallback")


@pytest.mark.parametrize("call", ["aclvencDestroyChannel", "aclvencSendFrame"])
def test_waiting_in_a_callback_is_reported(program, call):
    sim = program.sim
    channel, eos = program.channel(), program.config(eos=1)
    arguments = (channel,) if call == "aclvencDestroyChannel" else (channel, None, None, eos, None)
    program.on_delivery = lambda seen: getattr(sim, call)(*arguments)
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    the_report(sim, "destroy-in-callback", call)


def test_waiting_with_nobody_to_pump_is_reported(sim):
    with Program(sim, pump=False) as program, sim.options(wait_limit_ms=50):
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        channel = program.channel(ThreadId=thread.ident)
        program.send(channel, program.picture())
        program.end_of_stream(channel, expect=507046)
        the_report(sim, "no-pump", f"{thread.ident:#x}", "nobody runs aclrtProcessReport")
        with sim.lost_device():
            assert sim.aclvencDestroyChannel(channel) == 507010
        program.destroy_desc(channel)


@pytest.mark.parametrize("null_codec", [0, 100])
def test_waiting_for_frames_that_fill_the_output_buffer_is_reported_too(sim, null_codec):
    """Of 8 MiB: the second one is encoded, and waits for the first one's callback."""
    with sim.options(wait_limit_ms=50, null_codec=null_codec), Program(sim, pump=False) as program:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        channel, picture = program.channel(ThreadId=thread.ident), program.picture()
        with sim.failing_frame(simulator.FRAME_HUGE, value=5 << 20, persistent=True):
            for _ in range(2):
                program.send(channel, picture)
        program.end_of_stream(channel, expect=507046)
        the_report(sim, "no-pump", "2 frame(s)", "nobody runs aclrtProcessReport")
        with sim.lost_device():
            assert sim.aclvencDestroyChannel(channel) == 507010
        program.destroy_desc(channel)


def test_synchronize_with_nobody_to_pump_is_reported(sim):
    with Program(sim, pump=False), sim.options(wait_limit_ms=50):
        stream, callback = ctypes.c_void_p(), CALLBACK(lambda data: None)
        assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtLaunchCallback(callback, None, 1, stream) == 0
        assert sim.aclrtSynchronizeStream(stream) == 507046
        the_report(sim, "no-pump", "aclrtSynchronizeStream")
        assert sim.aclrtProcessReport(20_000) == 0
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtDestroyStream(stream) == 0


def test_descriptor_used_for_two_channels_is_reported(program):
    sim = program.sim
    channel = program.channel()
    assert sim.aclvencCreateChannel(channel) != 0
    the_report(sim, "descriptor-reuse", "has an open channel")


def test_descriptor_destroyed_before_its_channel_is_reported():
    with simulator.isolated(null_codec=500) as sim:
        program = Program(sim)
        program.__enter__()
        program.destroy_desc(program.channel())
        the_report(sim, "channel-open", "aclvencDestroyChannel before")
        program.stop_pump()
        assert sim.aclFinalize() == 0
        found = sim.take_reports()
        assert any("1 channel is left open" in text for text in found), found
        sim.aclsim_reset()


@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3"])
def test_channel_that_lost_its_descriptor_still_delivers(soc):
    with simulator.isolated(soc=soc, null_codec=500) as sim:
        program = Program(sim)
        program.__enter__()
        channel, picture = program.channel(), program.picture()
        with sim.options(stall=1):
            program.send(channel, picture, 1)
            program.send(channel, picture, 2)
            program.destroy_desc(channel)
        the_report(sim, "channel-open", "created by aclvencCreateChannelDesc")
        eventually(lambda: len(program.delivered) == 2)
        assert [(seen.user_data, len(seen.data)) for seen in program.delivered] == [(1, 500), (2, 500)]
        program.stop_pump()
        sim.aclsim_reset()


def test_timeout_zero_is_reported(program):
    assert program.sim.aclrtProcessReport(0) == 100000
    the_report(program.sim, "timeout-zero")


def test_device_before_aclinit_is_reported(sim):
    context = ctypes.c_void_p()
    assert sim.aclrtSetDevice(0) == 0
    the_report(sim, "not-initialised", "aclrtSetDevice")
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    the_report(sim, "not-initialised", "aclrtCreateContext")
    assert sim.aclrtDestroyContext(context) == 0
    assert sim.aclrtResetDevice(0) == 0


def test_device_behind_an_aclinit_that_failed_is_told_so(sim, tmp_path):
    assert sim.aclInit(str(tmp_path / "none.json").encode()) == 100003
    assert sim.aclrtSetDevice(0) == 0
    the_report(sim, "not-initialised", "it has failed", "look at its code")
    assert sim.aclrtResetDevice(0) == 0


@pytest.mark.parametrize("call", ["aclvencDestroyChannel", "aclvencSendFrame"])
def test_channel_used_after_its_end_is_reported(program, call):
    sim = program.sim
    channel, picture, config = program.channel(), program.picture(), program.config()
    assert sim.aclvencDestroyChannel(channel) == 0
    arguments = (channel,) if call == "aclvencDestroyChannel" else (channel, picture, None, config, None)
    assert getattr(sim, call)(*arguments) == 100000
    the_report(sim, "no-channel", f"] {call}: ", "has had its channel", "created by aclvencCreateChannelDesc")
    program.destroy_desc(channel)


def test_channel_destroyed_but_never_created_is_reported(program):
    desc = program.channel_desc()
    assert program.sim.aclvencDestroyChannel(desc) == 100000
    the_report(program.sim, "no-channel", "has no channel", "aclvencCreateChannel and aclvencDestroyChannel")
    program.destroy_desc(desc)


def test_two_threads_that_send_to_one_channel_are_reported(sim):
    with Program(sim) as program, sim.options(input_slots=1):
        channel, picture, config = program.channel(), program.picture(), program.config()
        threads = []
        with sim.options(stall=1):
            program.send(channel, picture, 0, config)  # the device's queue is full: the next two block in their send
            for number in (1, 2):

                def send(number=number):
                    assert sim.aclrtSetCurrentContext(program.context) == 0
                    program.send(channel, picture, number, config)

                threads.append(threading.Thread(target=send))
                threads[-1].start()
            eventually(sim.reports)
        for thread in threads:
            thread.join()
        program.end_of_stream(channel)
        assert len(program.delivered) == 3
        the_report(sim, "concurrent-send", "] aclvencSendFrame: ", "created by aclvencCreateChannel", "from one thread")


def test_frame_sent_with_the_context_of_another_device_is_reported():
    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim) as program:
        channel, picture, config = program.channel(), program.picture(), program.config()
        assert sim.aclrtSetDevice(1) == 0
        assert sim.aclvencSendFrame(channel, picture, None, config, None) == 107003
        the_report(sim, "wrong-context", "on device 0", "on device 1", "created by aclvencCreateChannel")
        assert sim.aclrtResetDevice(1) == 0


def test_stream_of_another_context_is_reported(program):
    sim = program.sim
    stream, context = ctypes.c_void_p(), ctypes.c_void_p()
    assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    assert sim.aclrtSynchronizeStream(stream) == 107003
    the_report(sim, "wrong-context", "] aclrtSynchronizeStream: ", "another context", "created by aclrtCreateStream")
    assert sim.aclrtDestroyContext(context) == 0
    assert sim.aclrtSetCurrentContext(program.context) == 0
    assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.parametrize("reset", ["aclrtResetDevice", "aclrtResetDeviceForce"])
def test_device_reset_with_a_live_channel_is_reported(program, reset):
    sim = program.sim
    assert sim.aclrtSetDevice(0) == 0
    channel = program.channel()
    if reset == "aclrtResetDeviceForce":  # ends the program's other context too, in which there is nothing
        program.stop_pump()
    assert getattr(sim, reset)(0) == 0
    the_report(sim, "context-in-use", f"] {reset}: ", "1 channel and 0 streams", "created by aclrtSetDevice")
    context = ctypes.c_void_p(program.context)
    if reset == "aclrtResetDeviceForce":
        assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
        program.context = context.value
    assert sim.aclrtSetCurrentContext(context) == 0
    program.destroy(channel)


def test_context_destroyed_before_its_stream_is_reported(program):
    sim = program.sim
    stream, context = ctypes.c_void_p(), ctypes.c_void_p()
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
    assert sim.aclrtDestroyContext(context) == 0
    the_report(sim, "context-in-use", "0 channels and 1 stream of it", "created by aclrtCreateContext")
    assert sim.aclrtSetCurrentContext(program.context) == 0
    assert sim.aclrtDestroyStream(stream) == 0


# ---- subscriptions ----


@pytest.fixture
def stream(sim):
    with Program(sim, pump=False):
        created = ctypes.c_void_p()
        assert sim.aclrtCreateStream(ctypes.byref(created)) == 0
        assert sim.aclrtSubscribeReport(threading.get_ident(), created) == 0
        yield created


@pytest.mark.parametrize("destroy", ["aclrtDestroyStream", "aclrtDestroyStreamForce"])
def test_stream_destroyed_before_it_is_unsubscribed_is_reported(sim, stream, destroy):
    assert getattr(sim, destroy)(stream) == 0
    the_report(sim, "still-subscribed", destroy, f"{threading.get_ident():#x}", "created by aclrtCreateStream")
    assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) != 0
    the_report(sim, "stale-handle", "aclrtUnSubscribeReport")


def test_default_stream_left_subscribed_by_its_context_is_reported(program):
    sim, context = program.sim, ctypes.c_void_p()
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    assert sim.aclrtSubscribeReport(program.report_thread, None) == 0
    assert sim.aclrtDestroyContext(context) == 0
    the_report(sim, "still-subscribed", "aclrtDestroyContext")
    assert sim.aclrtSetCurrentContext(program.context) == 0


def test_stream_that_a_fault_kept_subscribed_is_not_the_programs_doing(sim, stream):
    with sim.failing_call("aclrtUnSubscribeReport"):
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 507899
    assert sim.aclrtDestroyStream(stream) == 0
    assert sim.reports() == []


def test_stream_that_a_lost_device_kept_subscribed_is_not_the_programs_doing(sim, stream):
    with sim.lost_device(code=507010):
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 507010
        assert sim.aclrtDestroyStream(stream) == 0
    assert sim.reports() == []


@pytest.mark.parametrize("end", ["aclrtUnSubscribeReport", "aclrtDestroyStream", "aclrtDestroyStreamForce"])
def test_callbacks_that_were_launched_and_never_run_are_reported(sim, stream, end):
    callback, seen = CALLBACK(lambda _: seen.append(1)), []
    for _ in range(2):
        assert sim.aclrtLaunchCallback(callback, None, 1, stream) == 0
    if end == "aclrtUnSubscribeReport":
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0
        the_report(sim, "callback-lost", "aclrtUnSubscribeReport: 2 callbacks", "created by aclrtCreateStream")
        assert sim.aclrtDestroyStream(stream) == 0
    else:
        with sim.options(wait_limit_ms=1):  # aclrtDestroyStream waits for them, and nobody processes reports
            assert getattr(sim, end)(stream) == (507046 if end == "aclrtDestroyStream" else 0)
        *waited, lost, subscribed = sim.take_reports()
        assert [text.split("]")[0] for text in waited] == (["[no-pump"] if end == "aclrtDestroyStream" else [])
        assert lost.startswith(f"[callback-lost] {end}: 2 callbacks")
        assert subscribed.startswith("[still-subscribed]")
    assert seen == []


def test_callbacks_that_have_run_are_not_reported(sim, stream):
    callback, seen = CALLBACK(lambda _: seen.append(1)), []
    for block in (0, 1):
        assert sim.aclrtLaunchCallback(callback, None, block, stream) == 0
    assert sim.aclrtProcessReport(20_000) == 0
    assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0
    assert sim.aclrtDestroyStream(stream) == 0
    assert (seen, sim.reports()) == ([1, 1], [])


# ---- memory ----


@pytest.mark.parametrize("kind", [HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE])
def test_wrong_copy_direction_is_reported(program, kind):
    sim = program.sim
    device, host = program.memory(64), ctypes.create_string_buffer(64)
    real = {HOST_TO_DEVICE: (device, host), DEVICE_TO_HOST: (host, device), HOST_TO_HOST: (host, host)}
    for right, (dst, src) in {**real, DEVICE_TO_DEVICE: (device, device)}.items():
        assert sim.aclrtMemcpy(dst, 64, src, 64, kind) == 0, "as met in real programs, it works"
        reports = sim.take_reports()
        assert len(reports) == bin(right ^ kind).count("1")
        assert all(text.startswith("[wrong-direction] aclrtMemcpy: ") for text in reports)


def test_copy_direction_does_not_matter_on_a_board(board):
    memory, host = board.memory(64), ctypes.create_string_buffer(64)
    for kind in (HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE):
        assert board.sim.aclrtMemcpy(memory, 64, host, 64, kind) == 0
    assert board.sim.reports() == []


def test_copy_beyond_an_allocation_is_reported(program):
    host = ctypes.create_string_buffer(5000)
    memory = program.memory(100)
    assert program.sim.aclrtMemcpy(memory, 5000, host, 5000, HOST_TO_DEVICE) == 107000
    the_report(program.sim, "out-of-bounds", "destination", "created by acldvppMalloc")


def test_memset_of_the_programs_own_memory_is_reported(program):
    host = ctypes.create_string_buffer(64)
    assert program.sim.aclrtMemset(host, 64, 1, 64) == 0
    the_report(program.sim, "foreign-memory")


def test_copy_from_freed_memory_is_reported_with_where_it_came_from(program):
    sim, host = program.sim, ctypes.create_string_buffer(64)
    memory = new_memory(sim)
    assert sim.acldvppFree(memory) == 0
    assert sim.aclrtMemcpy(host, 64, memory, 64, DEVICE_TO_HOST) == 107000
    the_report(sim, "foreign-memory", "has been freed", "created by acldvppMalloc")
    assert "has been freed" in sim.error_text()


def test_double_free_is_reported_with_where_it_came_from(program):
    sim = program.sim
    memory = new_memory(sim)
    assert sim.acldvppFree(memory) == 0
    assert sim.acldvppFree(memory) != 0
    the_report(sim, "double-free", "created by acldvppMalloc", "called from")


@pytest.mark.parametrize(("allocate", "free"), [("acldvppMalloc", "aclrtFree"), ("aclrtMalloc", "acldvppFree")])
def test_free_by_the_other_function_is_reported(program, allocate, free):
    sim = program.sim
    address = ctypes.c_void_p()
    more = (0,) if allocate == "aclrtMalloc" else ()
    assert getattr(sim, allocate)(ctypes.byref(address), 100, *more) == 0
    assert getattr(sim, free)(address.value) == 0
    the_report(sim, "wrong-free", allocate, free)


@pytest.mark.parametrize(("allocate", "free"), [("acldvppMalloc", "aclrtFreeHost"), ("aclrtMallocHost", "acldvppFree")])
def test_free_of_the_other_kind_of_memory_is_reported_and_refused(program, allocate, free):
    sim = program.sim
    address = ctypes.c_void_p()
    assert getattr(sim, allocate)(ctypes.byref(address), 100) == 0
    assert getattr(sim, free)(address.value) == 107000
    the_report(
        sim, "wrong-free", f"] {free}: ", f"created by {allocate}", "the function that belongs to its allocation"
    )
    assert getattr(sim, "aclrtFreeHost" if allocate == "aclrtMallocHost" else "acldvppFree")(address.value) == 0


def test_free_of_an_open_channel_s_output_buffer_is_reported(program):
    sim = program.sim
    address = ctypes.c_void_p()
    assert sim.acldvppMalloc(ctypes.byref(address), 5 << 20) == 0
    channel = program.channel(BufAddr=address.value, BufSize=5 << 20)
    assert sim.acldvppFree(address.value) == 0
    the_report(sim, "early-free", "] acldvppFree: ", "an open channel writes its output there", "aclvencDestroyChannel")
    program.destroy(channel)


def test_free_inside_an_allocation_is_reported(program):
    assert program.sim.acldvppFree(program.memory(100) + 32) == 107000
    the_report(program.sim, "wrong-free", "32 bytes inside")


# ---- handles ----


STALE = {
    "acldvppCreatePicDesc": ("acldvppDestroyPicDesc", "acldvppSetPicDescSize", (1,)),
    "acldvppCreateStreamDesc": ("acldvppDestroyStreamDesc", "acldvppGetStreamDescSize", ()),
    "aclvencCreateFrameConfig": ("aclvencDestroyFrameConfig", "aclvencSetFrameConfigEos", (1,)),
    "aclvencCreateChannelDesc": ("aclvencDestroyChannelDesc", "aclvencSetChannelDescEnType", (1,)),
}


@pytest.mark.parametrize("create", STALE)
def test_descriptor_destroyed_twice_is_reported_with_its_history(program, create):
    sim = program.sim
    destroy = STALE[create][0]
    handle = getattr(sim, create)()
    assert getattr(sim, destroy)(handle) == 0
    assert getattr(sim, destroy)(handle) == 100000
    the_report(sim, "stale-handle", f"] {destroy}: ", f"was destroyed by {destroy} before", f"created by {create}")


@pytest.mark.parametrize("kind", ["Stream", "Event", "Context"])
def test_runtime_object_destroyed_twice_is_reported_with_its_history(program, kind):
    sim = program.sim
    handle = ctypes.c_void_p()
    more = (0,) if kind == "Context" else ()
    assert getattr(sim, f"aclrtCreate{kind}")(ctypes.byref(handle), *more) == 0
    assert getattr(sim, f"aclrtDestroy{kind}")(handle) == 0
    assert getattr(sim, f"aclrtDestroy{kind}")(handle) != 0
    the_report(sim, "stale-handle", f"was destroyed by aclrtDestroy{kind} before", f"created by aclrtCreate{kind}")
    assert sim.aclrtSetCurrentContext(program.context) == 0


def test_context_made_current_after_its_end_is_reported(program):
    sim = program.sim
    context = ctypes.c_void_p()
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    assert sim.aclrtDestroyContext(context) == 0
    assert sim.aclrtSetCurrentContext(context) != 0
    the_report(sim, "stale-handle", "] aclrtSetCurrentContext: ", "destroyed by aclrtDestroyContext")
    assert sim.aclrtSetCurrentContext(program.context) == 0


@pytest.mark.parametrize("create", STALE)
def test_stale_handle_is_reported_with_its_history(program, create):
    sim = program.sim
    destroy, use, arguments = STALE[create]
    handle = getattr(sim, create)()
    assert getattr(sim, destroy)(handle) == 0
    getattr(sim, use)(handle, *arguments)
    the_report(sim, "stale-handle", use, f"destroyed by {destroy}", f"created by {create}")


def test_handle_of_another_kind_is_reported(program):
    config = program.config()
    assert program.sim.acldvppSetPicDescSize(config, 1) == 100000
    the_report(program.sim, "wrong-handle", "is a frame config, not a picture descriptor")


def test_forged_handles_are_reported_and_refused(program):
    sim = program.sim
    picture = program.picture()
    forged = [1, 8, 0x7FFF12345678, 2**64 - 1]
    forged += [picture + 1, picture + 16, picture - 16, picture ^ 1 << 24, picture ^ 1 << 40]
    for handle in forged:
        assert sim.acldvppSetPicDescSize(handle, 1) == 100000
    assert len(sim.take_reports()) == len(forged)


# ---- leaks ----


def test_objects_left_at_finalize_are_reported_with_where_they_were_made():
    with simulator.isolated(null_codec=500) as sim:
        program = Program(sim, pump=False)
        program.__enter__()
        stream, event, memory, host = (ctypes.c_void_p() for _ in range(4))
        assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
        assert sim.aclrtCreateEvent(ctypes.byref(event)) == 0
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.acldvppMalloc(ctypes.byref(memory), 100) == 0
        assert sim.aclrtMallocHost(ctypes.byref(host), 100) == 0
        for create in STALE:
            assert getattr(sim, create)()
        assert sim.acldvppCreatePicDesc()
        program.channel()
        assert sim.aclFinalize() == 0
        found = sim.take_reports()
        sim.aclsim_reset()
    kinds = {text.split(": ")[1].split(";")[0] for text in found}
    assert kinds == {
        "1 context is left",
        "1 stream is left",
        "1 event is left",
        "2 picture descriptor objects are left",
        "1 stream descriptor is left",
        "1 frame config is left",
        "2 channel descriptor objects are left",
        "1 device memory is left",
        "1 host memory is left",
        "1 channel is left open",
        "1 stream is left subscribed",
    }
    assert all(text.startswith("[leak] aclFinalize: ") for text in found)
    made_by = {
        "context": "aclrtCreateContext",
        "picture descriptor": "acldvppCreatePicDesc",
        "host memory": "aclrtMallocHost",
        "left open": "aclvencCreateChannel",
    }
    for words, function in made_by.items():
        text = next(text for text in found if words in text)
        assert f"the first was created by {function} (object " in text
        assert "called from" in text


# ---- programs that fault ----


TOUCH = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from helpers import simulator
from helpers.acl_program import Program
with simulator.isolated(soc=sys.argv[2], null_codec=500) as sim, Program(sim) as program:
    memory = program.memory(4096)
    channel = program.channel()
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    print("so far", flush=True)
    exec(sys.argv[3])
"""


IN_CALLBACK = "program.on_delivery"
SEND = "program.send(channel, program.picture()); program.end_of_stream(channel)"


def touch(soc, statement):
    tests = str(simulator.ROOT / "tests")
    return processes.run(TOUCH, tests, soc, statement)


@pytest.mark.parametrize(
    ("soc", "statement", "kind"),
    [
        ("Ascend310P3", "ctypes.string_at(memory + 100, 1)", "device-memory-touched"),
        ("Ascend310P3", "ctypes.memset(memory, 1, 1)", "device-memory-touched"),
        ("Ascend310P3", "ctypes.string_at(program.delivered[0].address, 1)", "late-output"),
        (
            "Ascend310P3",
            f"{IN_CALLBACK} = lambda seen: ctypes.string_at(seen.address, 1); {SEND}",
            "device-memory-touched",
        ),
        ("Ascend310B4", "ctypes.string_at(program.delivered[0].address, 1)", "late-output"),
        ("Ascend310B4", "ctypes.memset(program.delivered[0].address, 1, 1)", "late-output"),
        ("Ascend310B4", "a = program.memory(64); program._cleanup.pop_all().close(); ctypes.string_at(a, 1)", "freed"),
    ],
)
def test_stray_access_to_device_memory_faults_and_is_explained(soc, statement, kind):
    done = touch(soc, statement)
    assert done.stdout == "so far\n", done.stderr
    assert done.returncode == -signal.SIGSEGV
    assert kind in done.stderr
    assert "| fix: " in done.stderr


@pytest.mark.parametrize("handler", ["", "signal.signal(signal.SIGSEGV, lambda *_: sys.exit(7)); "])
def test_fault_signal_that_somebody_sends_is_the_programs(handler):
    done = touch("Ascend310P3", f"import os, signal; {handler}os.kill(os.getpid(), signal.SIGSEGV)")
    assert (done.stdout, done.stderr) == ("so far\n", "")
    assert done.returncode == (7 if handler else -signal.SIGSEGV)


def test_device_memory_of_a_board_is_ordinary_memory_in_strict_mode_too():
    done = touch("Ascend310B4", "ctypes.memset(memory, 7, 4096); assert ctypes.string_at(memory, 1) == b'\\7'")
    assert (done.returncode, done.stderr) == (0, "")


def test_reports_go_to_standard_error_by_default():
    program = "import ctypes, sys; lib = ctypes.CDLL(sys.argv[1]); lib.aclInit(None); lib.aclrtProcessReport(0)"
    for strict, expected in (("1", True), ("0", False), ("", False)):
        done = subprocess.run(
            [sys.executable, "-c", program, simulator.path()],
            env=processes.environment(ASCEND_VENC_SIM_STRICT=strict),
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("strict mode: [timeout-zero] aclrtProcessReport: " in done.stderr) == expected
        assert done.stdout == ""


def test_counting_goes_on_when_the_texts_are_full(program):
    for _ in range(300):
        program.sim.aclrtProcessReport(0)
    assert program.sim.aclsim_report_count() == 300
    assert len(program.sim.reports()) == 256
    assert program.sim.aclsim_report_text(256) is None
    program.sim.aclsim_clear_reports()
    assert program.sim.aclsim_report_count() == 0
