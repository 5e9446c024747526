# SPDX-License-Identifier: Apache-2.0
"""Several simulated devices: contexts, streams, memory and channels belong to one of them."""

import contextlib
import ctypes
import threading

import pytest

from helpers import processes, simulator
from helpers.acl_program import DEVICE_TO_HOST, HOST_TO_DEVICE, Program

pytestmark = pytest.mark.sim_only

SIZE = 128 * 128 * 3 // 2


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500, devices=2) as device:
        yield device


@contextlib.contextmanager
def programs(sim):
    """A program on each device, each with its report thread; `on(program)` makes its context current."""
    with Program(sim, device=0, finalize=False) as first, Program(sim, device=1, finalize=False) as second:
        yield first, second
        assert sim.aclrtSetCurrentContext(second.context) == 0
    assert sim.aclFinalize() == 0


def on(program):
    assert program.sim.aclrtSetCurrentContext(program.context) == 0
    return program


def free_memory(sim):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert sim.aclrtGetMemInfo(0, ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value


def current_device(sim):
    device = ctypes.c_int32(-1)
    assert sim.aclrtGetDevice(ctypes.byref(device)) == 0
    return device.value


def test_context_decides_the_device(sim):
    with programs(sim) as (first, second):
        for program, number in ((first, 0), (second, 1), (first, 0)):
            on(program)
            assert current_device(sim) == number


def test_memory_is_taken_from_the_device_of_the_context(sim):
    with programs(sim) as both:
        before = [free_memory(on(program).sim) for program in both]
        on(both[1]).memory(1 << 20)
        after = [free_memory(on(program).sim) for program in both]
        assert after[0] == before[0]
        assert before[1] - after[1] >= 1 << 20


def test_memory_limit_is_one_for_each_device(sim):
    with programs(sim) as (first, second), sim.options(memory_limit=1 << 20):
        on(first).memory(900 << 10)
        address = ctypes.c_void_p()
        assert sim.acldvppMalloc(ctypes.byref(address), 900 << 10) == 207001
        on(second).memory(900 << 10)


def test_streams_and_channels_are_counted_for_each_device(sim):
    with programs(sim) as (first, second), sim.options(stream_limit=2, channel_limit=1):
        channels = [on(program).channel() for program in (first, second)]
        assert [sim.aclvencGetChannelDescChannelId(channel) for channel in channels] == [0, 0]
        for program in (first, second):
            stream, desc = ctypes.c_void_p(), on(program).channel_desc()
            assert sim.aclrtCreateStream(ctypes.byref(stream)) == 207008
            assert sim.aclvencCreateChannel(desc) == 207008
            program.destroy_desc(desc)


def test_channels_of_two_devices_encode_side_by_side(sim):
    with programs(sim) as both:
        work = [(on(program), program.channel(), program.picture()) for program in both]
        for number in range(10):
            for program, channel, picture in work:
                on(program).send(channel, picture, number)
        for program, channel, _ in work:
            on(program).end_of_stream(channel)
            assert [seen.user_data for seen in program.delivered] == list(range(10))
            assert all(seen.ret_code == 0 and seen.size == 500 for seen in program.delivered)
        threads = [{seen.thread for seen in program.delivered} for program in both]
        assert all(len(thread) == 1 for thread in threads)
        assert threads[0] != threads[1]


def test_lost_device_leaves_the_other_alone(sim):
    with programs(sim) as (first, second):
        channel, picture, config = on(first).channel(), first.picture(), first.config()
        gone = on(second).channel()
        other, settings = second.picture(), second.config()
        with sim.lost_device(device=1, code=507010):
            assert sim.aclvencSendFrame(gone, other, None, settings, None) == 507010
            on(first).send(channel, picture, 1, config)
            first.end_of_stream(channel)
            on(second)
            assert sim.aclvencDestroyChannel(gone) == 507010
        second.destroy_desc(gone)
        assert [seen.user_data for seen in first.delivered] == [1]


def test_copy_between_devices_keeps_the_bytes(sim):
    with programs(sim) as (first, second):
        there = on(second).memory(256)
        here = on(first).memory(256)
        data = bytes(range(256))
        back = ctypes.create_string_buffer(256)
        on(second)
        assert sim.aclrtMemcpy(there, 256, data, 256, HOST_TO_DEVICE) == 0
        on(first)
        assert sim.aclrtMemcpy(here, 256, there, 256, 3) == 0
        assert sim.aclrtMemcpy(back, 256, here, 256, DEVICE_TO_HOST) == 0
        assert back.raw == data


# ---- handles at reused addresses ----


@pytest.fixture
def ready(sim):
    assert sim.aclInit(None) == 0
    yield sim
    assert sim.aclFinalize() == 0


def new_context(sim):
    context = ctypes.c_void_p()
    assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
    return context.value


def test_destroyed_handle_is_not_handed_out_again_unless_asked_for(ready):
    sim = ready
    contexts = [new_context(sim) for _ in range(3)]
    for context in contexts:
        assert sim.aclrtDestroyContext(context) == 0
    again = [new_context(sim) for _ in range(5)]
    assert not set(again) & set(contexts)
    for context in again:
        assert sim.aclrtDestroyContext(context) == 0


def test_reused_handle_is_the_last_one_of_its_kind_that_was_destroyed(ready):
    sim = ready
    with sim.options(reuse_handles=1):
        first, second = new_context(sim), new_context(sim)
        assert sim.aclrtDestroyContext(first) == 0
        assert sim.aclrtSetCurrentContext(first) == 107002, "not alive meanwhile"
        assert len(sim.take_reports()) == 1
        assert new_context(sim) == first
        assert sim.aclrtDestroyContext(second) == sim.aclrtDestroyContext(first) == 0
        assert [new_context(sim), new_context(sim)] == [first, second]
        assert sim.aclrtDestroyContext(first) == 0
        stream = ctypes.c_void_p()
        streams = set()
        for _ in range(3):
            assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
            streams.add(stream.value)
            assert sim.aclrtDestroyStream(stream) == 0
        assert len(streams) == 1
    assert sim.aclrtDestroyContext(second) == 0


def test_thread_whose_context_is_gone_is_in_the_one_that_got_its_address(ready):
    """What a library does whose contexts are addresses: a stale current context is the new one."""
    sim = ready
    with sim.options(reuse_handles=1):
        context = new_context(sim)

        def replace():
            assert sim.aclrtDestroyContext(context) == 0
            replaced.append(new_context(sim))

        replaced = []
        thread = threading.Thread(target=replace)
        thread.start()
        thread.join()
        current = ctypes.c_void_p()
        assert sim.aclrtGetCurrentContext(ctypes.byref(current)) == 0
        assert [current.value] == replaced == [context]
        assert sim.aclrtDestroyContext(context) == 0


# ---- what the environment chooses ----

ASK = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
lib.aclsim_get_option.restype = ctypes.c_uint64
count = ctypes.c_uint32()
lib.aclInit(None), lib.aclrtGetDeviceCount(ctypes.byref(count))
print(count.value, *(lib.aclsim_get_option(name.encode()) for name in ("wait_limit_ms", "null_codec", "stall")))
"""


def ask(**variables):
    """Number of devices, and three options, of a device that is loaded with these variables; what it said."""
    env = {f"ASCEND_VENC_SIM_{name}": text for name, text in variables.items()}
    done = processes.run(ASK, simulator.path(), env=env)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()], done.stderr.splitlines()


def test_environment_that_is_right_is_taken_without_a_word(tmp_path):
    trace = tmp_path / "trace"
    variables = {"DEVICES": "3", "OPTIONS": "wait_limit_ms=5,null_codec=1000,stall=1,", "TRACE": trace}
    assert ask(**variables) == ([3, 5, 1000, 1], [])
    assert "aclInit" in trace.read_text()


@pytest.mark.parametrize("wrong", [*(f"null_codec={text}" for text in ("1k", "-1", " 7", "")), "null_codec", "x=1"])
def test_option_that_is_none_is_left_out_with_a_word_and_the_others_count(wrong):
    values, said = ask(OPTIONS=f"wait_limit_ms=5,{wrong},stall=1")
    assert values == [1, 5, 0, 1]
    (line,) = said
    assert "ASCEND_VENC_SIM_OPTIONS" in line and f'"{wrong}"' in line and "left out" in line


@pytest.mark.parametrize("wrong", ["two", "-1", "2x", "65", str(1 << 70)])
def test_number_of_devices_that_is_none_is_no_device(wrong):
    assert ask(DEVICES=wrong)[0][0] == 0


def test_trace_that_cannot_be_written_is_told(tmp_path):
    _, (line,) = ask(TRACE=tmp_path / "nowhere" / "trace")
    assert "ASCEND_VENC_SIM_TRACE" in line and "nowhere/trace" in line and "No such file or directory" in line
