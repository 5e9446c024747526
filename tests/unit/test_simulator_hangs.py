# SPDX-License-Identifier: Apache-2.0
"""The simulated device made to hang: calls that never return; calls that do their work and fail all the same."""

import ctypes
import os
import threading
import time

import pytest

from helpers import processes, simulator
from helpers.acl_program import Program
from helpers.waiting import eventually, is_inside

pytestmark = pytest.mark.sim_only

CODE = 507899
NAMES = [entry[3] for entry in simulator.FUNCTIONS]


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500) as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


def null_arguments(function):
    pointers = (ctypes.c_void_p, ctypes.c_char_p)
    return [None if kind in pointers else 0 for kind in function.argtypes]


class Call(threading.Thread):
    """A call in a thread of its own, with the program's context current there."""

    def __init__(self, sim, name, *arguments, context=None):
        super().__init__(name=name, daemon=True)
        self.sim, self.function, self.arguments, self.context = sim, getattr(sim, name), arguments, context
        self.result = None
        self.start()

    def run(self):
        if self.context is not None:
            self.sim.aclrtSetCurrentContext(self.context)
        self.result = self.function(*self.arguments)

    def end(self):
        self.join(20)
        assert not self.is_alive()
        return self.result


# ---- never returning ----


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", NAMES)
def test_any_function_can_hang_and_goes_on_when_released(sim, name, when):
    function = getattr(sim, name)
    arguments = null_arguments(function)
    count = ctypes.c_uint32()
    normal = Call(sim, name, *arguments).end()
    with sim.hanging_call(name, after=when == "after") as wait:
        call = Call(sim, name, *arguments)
        wait()
        assert sim.hung_calls(name) == sim.hung_calls() == 1
        assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0, "others go on"
        function(*arguments)  # so do others in the same function
        assert call.is_alive()
        assert sim.aclsim_release_hung() == 1
        result = call.end()
    assert sim.hung_calls() == 0
    repeated = {"aclInit": 100002, "aclFinalize": 100037}  # the call in the other thread came between
    assert result in (normal, repeated.get(name))
    sim.aclFinalize()
    sim.take_reports()


def test_every_function_of_the_interface_is_in_the_sweep():
    assert len(NAMES) > 100
    assert {"aclvencSendFrame", "aclrtProcessReport", "aclGetRecentErrMsg"} <= set(NAMES)


def test_hung_call_has_not_done_its_work_and_does_it_when_released(program):
    sim, address = program.sim, ctypes.c_void_p()
    before = sim.live()
    with sim.hanging_call("acldvppMalloc") as wait:
        call = Call(sim, "acldvppMalloc", ctypes.byref(address), 100, context=program.context)
        wait()
        assert sim.live() == before
        sim.aclsim_release_hung()
        assert call.end() == 0
    assert sim.live()["device memory"] == before["device memory"] + 1
    assert sim.acldvppFree(address) == 0


def test_call_that_hangs_behind_its_work_has_done_it(program):
    sim, address = program.sim, ctypes.c_void_p()
    before = sim.live()["device memory"]
    with sim.hanging_call("acldvppMalloc", after=True) as wait:
        call = Call(sim, "acldvppMalloc", ctypes.byref(address), 100, context=program.context)
        wait()
        assert sim.live()["device memory"] == before + 1
        assert sim.acldvppFree(address) == 0
    assert call.end() == 0


def test_send_that_hangs_holds_up_no_other_channel_and_no_report(program):
    sim = program.sim
    first, second, picture = program.channel(), program.channel(), program.picture()
    program.send(first, picture, 1)
    config = program.config()
    with sim.hanging_call("aclvencSendFrame") as wait:
        call = Call(sim, "aclvencSendFrame", first, picture, None, config, 2, context=program.context)
        wait()
        for number in range(10, 15):
            program.send(second, picture, number)
        program.end_of_stream(second)
        program.send(first, picture, 3)
        program.end_of_stream(first)
        assert [seen.user_data for seen in program.delivered if seen.user_data < 10] == [1, 3]
        sim.aclsim_release_hung()
        assert call.end() == 0
    program.end_of_stream(first)
    assert [seen.user_data for seen in program.delivered if seen.user_data < 10] == [1, 3, 2]


def test_other_device_goes_on_beside_hung_calls_of_every_kind():
    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim, finalize=False) as program:
        channel, picture, config = program.channel(), program.picture(), program.config()
        made, address = ctypes.c_void_p(), ctypes.c_void_p()
        calls = {
            "aclrtProcessReport": None,  # the report thread of this program
            "aclrtCreateContext": (ctypes.byref(made), 0),
            "aclvencSendFrame": (channel, picture, None, config, 1),
            "acldvppMalloc": (ctypes.byref(address), 100),
            "aclrtSynchronizeDevice": (),
        }
        for name in calls:
            assert sim.aclsim_hang_call(name.encode(), 1, 0) == 0
        sim.wait_hung("aclrtProcessReport")
        stuck = [Call(sim, name, *arguments, context=program.context) for name, arguments in calls.items() if arguments]
        stuck.append(Call(sim, "aclrtSynchronizeDevice", context=program.context))
        sim.wait_hung(count=len(calls))
        with Program(sim, device=1, finalize=False) as other:
            second, another = other.channel(), other.picture()
            for number in range(5):
                other.send(second, another, number)
            other.end_of_stream(second)
            assert sim.aclrtSynchronizeDevice() == 0
            assert [seen.user_data for seen in other.delivered] == list(range(5))
        assert sim.hung_calls() == len(calls)
        assert sim.aclsim_clear_faults() == len(calls)
        assert [call.end() for call in stuck] == [0] * len(stuck)
        assert sim.aclrtSetCurrentContext(program.context) == 0
        program.end_of_stream(channel)
        assert [seen.user_data for seen in program.delivered] == [1]
        assert sim.acldvppFree(address) == sim.aclrtDestroyContext(made) == 0
    sim.aclFinalize()


def test_call_that_is_at_its_work_when_faults_are_cleared_does_not_hang(program):
    sim = program.sim
    with sim.options(input_slots=1, stall=1):
        channel, picture, config = program.channel(), program.picture(), program.config()
        program.send(channel, picture, 0, config)
        sim.aclsim_count_calls(1)
        with sim.hanging_call("aclvencSendFrame", after=True):
            call = Call(sim, "aclvencSendFrame", channel, picture, None, config, 1, context=program.context)
            # It is struck, and waits for room.
            eventually(lambda: sim.aclsim_calls(b"aclvencSendFrame") == 1 and is_inside(call, "run"))
            assert sim.hung_calls() == 0
        sim.aclsim_count_calls(0)
    assert call.end() == 0


def test_wait_limit_does_not_end_a_hang(program):
    sim = program.sim
    with sim.options(wait_limit_ms=1), sim.hanging_call("aclrtSynchronizeDevice") as wait:
        call = Call(sim, "aclrtSynchronizeDevice", context=program.context)
        wait()
        time.sleep(0.1)
        assert call.is_alive()
        assert sim.hung_calls("aclrtSynchronizeDevice") == 1
    assert call.end() == 0


def test_send_that_hangs_behind_its_work_is_reported(program):
    sim = program.sim
    channel, picture, config = program.channel(), program.picture(), program.config()
    with sim.hanging_call("aclvencSendFrame", after=True) as wait:
        call = Call(sim, "aclvencSendFrame", channel, picture, None, config, 7, context=program.context)
        wait()
        eventually(lambda: [seen.user_data for seen in program.delivered] == [7])
        assert call.is_alive()
    assert call.end() == 0


def test_report_thread_that_hangs_behind_its_work_has_run_the_callbacks(sim):
    with Program(sim, pump=False) as program:
        channel, picture = program.channel(), program.picture()
        picked = threading.Event()
        program.on_delivery = lambda seen: picked.set()
        with sim.hanging_call("aclrtProcessReport", after=True) as wait:
            program.send(channel, picture, 1)
            releaser = threading.Thread(target=lambda: (wait(), picked.wait(20), sim.aclsim_release_hung()))
            releaser.start()
            assert sim.aclrtProcessReport(20_000) == 0  # comes back only when it is released, behind the callback
            releaser.join()
            assert sim.aclsim_clear_faults() == 1
        assert [seen.user_data for seen in program.delivered] == [1]


def test_nth_call_hangs_once_and_with_persistent_each_later_one(sim):
    count = ctypes.c_uint32()
    with sim.hanging_call("aclrtGetDeviceCount", nth=3) as wait:
        for _ in range(2):
            assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
        call = Call(sim, "aclrtGetDeviceCount", ctypes.byref(count))
        wait()
        assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
    assert call.end() == 0
    with sim.hanging_call("aclrtGetDeviceCount", nth=2, persistent=True) as wait:
        assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
        calls = [Call(sim, "aclrtGetDeviceCount", ctypes.byref(count)) for _ in range(3)]
        wait(3)
        assert sim.aclsim_release_hung() == 3
        assert [call.end() for call in calls] == [0, 0, 0]
        calls = [Call(sim, "aclrtGetDeviceCount", ctypes.byref(count))]
        wait(1)
    assert calls[0].end() == 0


def test_hung_call_can_fail_when_it_is_released(sim):
    count = ctypes.c_uint32()
    with sim.hanging_call("aclrtGetDeviceCount") as wait:
        assert sim.aclsim_fail_call(b"aclrtGetDeviceCount", 1, CODE, 0) == 0
        call = Call(sim, "aclrtGetDeviceCount", ctypes.byref(count))
        wait()
    assert call.end() == CODE


def test_hangs_are_checked_and_counted(sim):
    for arm in (sim.aclsim_hang_call, sim.aclsim_hang_call_after):
        assert arm(b"aclNoSuchFunction", 1, 0) == -1
        assert arm(b"aclInit", 0, 0) == -1
        assert arm(None, 1, 0) == -1
    assert [arm(b"aclInit", 9, 0) for _ in range(17)] == [0] * 16 + [-1]
    assert sim.aclsim_clear_faults() == 0
    assert sim.aclsim_hung_calls(b"aclNoSuchFunction") == 0
    assert sim.aclsim_wait_hung(b"aclNoSuchFunction", 0, 1) == -1
    assert sim.aclsim_wait_hung(b"*", 1, 1) == -1
    assert sim.aclsim_release_hung() == 0
    count = ctypes.c_uint32()
    with sim.hanging_call("aclrtGetDeviceCount") as wait:
        call = Call(sim, "aclrtGetDeviceCount", ctypes.byref(count))
        wait()
        assert sim.aclsim_clear_faults() == 1
        assert call.end() == 0


@pytest.mark.parametrize("function", ["aclrtGetDeviceCount", "aclrtProcessReport"])
def test_process_with_hung_threads_ends(function):
    program = """
import ctypes, sys, threading
sys.path.insert(0, sys.argv[1])
from helpers import simulator
sim = simulator.shared()
sim.aclsim_hang_call(sys.argv[2].encode(), 1, 1)
argument = 5 if sys.argv[2] == "aclrtProcessReport" else ctypes.byref(ctypes.c_uint32())
for _ in range(3):
    threading.Thread(target=getattr(sim, sys.argv[2]), args=(argument,), daemon=True).start()
sim.wait_hung(sys.argv[2], 3)
print(sim.hung_calls())
"""
    done = processes.run(program, str(simulator.ROOT / "tests"), function, timeout=30)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


def test_forked_child_has_no_hung_calls(sim):
    count = ctypes.c_uint32()
    with sim.hanging_call("aclrtGetDeviceCount") as wait:
        call = Call(sim, "aclrtGetDeviceCount", ctypes.byref(count))
        wait()
        child = os.fork()
        if child == 0:
            good = sim.hung_calls() == 0 and sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert call.end() == 0


# ---- doing its work and failing ----


def pointer_of(function, *arguments):
    pointer = ctypes.c_void_p()
    assert function(ctypes.byref(pointer), *arguments) == 0
    return pointer.value


ENDED = {
    "aclrtDestroyContext": ("context", lambda p: pointer_of(p.sim.aclrtCreateContext, 0)),
    "aclrtDestroyStream": ("stream", lambda p: pointer_of(p.sim.aclrtCreateStream)),
    "aclrtDestroyStreamForce": ("stream", lambda p: pointer_of(p.sim.aclrtCreateStream)),
    "aclrtDestroyEvent": ("event", lambda p: pointer_of(p.sim.aclrtCreateEvent)),
    "aclrtFree": ("device memory", lambda p: pointer_of(p.sim.aclrtMalloc, 100, 0)),
    "aclrtFreeHost": ("host memory", lambda p: pointer_of(p.sim.aclrtMallocHost, 100)),
    "acldvppFree": ("device memory", lambda p: pointer_of(p.sim.acldvppMalloc, 100)),
    "acldvppDestroyPicDesc": ("picture descriptor", lambda p: p.sim.acldvppCreatePicDesc()),
    "acldvppDestroyBatchPicDesc": ("batch of picture descriptors", lambda p: p.sim.acldvppCreateBatchPicDesc(2)),
    "acldvppDestroyStreamDesc": ("stream descriptor", lambda p: p.sim.acldvppCreateStreamDesc()),
    "aclvencDestroyFrameConfig": ("frame config", lambda p: p.sim.aclvencCreateFrameConfig()),
    "aclvencDestroyChannelDesc": ("channel descriptor", lambda p: p.sim.aclvencCreateChannelDesc()),
}
OTHERS = {
    "aclvencDestroyChannel",
    "aclvencSendFrame",
    "aclrtUnSubscribeReport",
    "aclrtProcessReport",
    "aclrtResetDevice",
    "aclrtResetDeviceForce",
    "aclFinalize",
    "aclFinalizeReference",
}


@pytest.mark.parametrize("name", NAMES)
def test_functions_that_can_fail_behind_their_work(sim, name):
    expected = 0 if name in ENDED or name in OTHERS else -1
    assert sim.aclsim_fail_call_after(name.encode(), 1, CODE, 0) == expected


@pytest.mark.parametrize("name", sorted(ENDED))
def test_ending_call_that_fails_behind_its_work_has_freed_the_object(program, name):
    sim = program.sim
    kind, make = ENDED[name]
    before = sim.live()[kind]
    handle = make(program)
    assert sim.live()[kind] == before + 1
    with sim.failing_call(name, code=CODE, after=True):
        assert getattr(sim, name)(handle) == CODE
    assert "aclsim_fail_call_after" in sim.error_text()
    assert sim.live()[kind] == before
    assert sim.aclrtSetCurrentContext(program.context) == 0
    assert sim.take_reports() == []
    assert getattr(sim, name)(handle) not in (0, CODE), "a second ending call on the same address"
    (report,) = sim.take_reports()
    assert report.startswith(("[stale-handle]", "[double-free]"))
    assert name in report


def test_channel_destroyed_with_a_code_is_freed_and_a_second_call_is_reported(program):
    sim = program.sim
    for after in (False, True):
        channel = program.channel()
        with sim.failing_call("aclvencDestroyChannel", code=CODE, after=after):
            assert sim.aclvencDestroyChannel(channel) == CODE
        assert sim.live()["channel"] == 0
        assert sim.aclvencDestroyChannel(channel) == 100000
        (report,) = sim.take_reports()
        assert report.startswith("[no-channel] aclvencDestroyChannel")
        program.destroy_desc(channel)


def test_unsubscribing_that_fails_behind_its_work_has_unsubscribed(program):
    sim = program.sim
    stream = pointer_of(sim.aclrtCreateStream)
    assert sim.aclrtSubscribeReport(program.report_thread, stream) == 0
    with sim.failing_call("aclrtUnSubscribeReport", code=CODE, after=True):
        assert sim.aclrtUnSubscribeReport(program.report_thread, stream) == CODE
    assert sim.live()["subscription"] == 0
    assert sim.aclrtDestroyStream(stream) == 0


def test_finalizing_and_resetting_that_fail_behind_their_work_have_done_it(sim):
    references = ctypes.c_uint64()
    for name, arguments in (("aclFinalize", ()), ("aclFinalizeReference", (ctypes.byref(references),))):
        assert sim.aclInit(None) == 0
        with sim.failing_call(name, code=CODE, after=True):
            assert getattr(sim, name)(*arguments) == CODE
        assert getattr(sim, name)(*arguments) == 100037
    assert sim.aclInit(None) == 0
    for name in ("aclrtResetDevice", "aclrtResetDeviceForce"):
        assert sim.aclrtSetDevice(0) == 0
        with sim.failing_call(name, code=CODE, after=True):
            assert getattr(sim, name)(0) == CODE
        assert sim.aclrtGetDevice(ctypes.byref(ctypes.c_int32())) == 107002
    assert sim.aclFinalize() == 0


def test_work_that_fails_by_itself_gives_its_own_code(program):
    sim = program.sim
    with sim.failing_call("acldvppFree", code=CODE, after=True):
        assert sim.acldvppFree(None) == 100000


def test_reports_are_processed_by_a_call_that_fails_behind_its_work(sim):
    with Program(sim, pump=False) as program:
        channel, picture = program.channel(), program.picture()
        program.send(channel, picture, 5)
        with sim.failing_call("aclrtProcessReport", code=CODE, after=True):
            assert sim.aclrtProcessReport(20_000) == CODE
        assert [seen.user_data for seen in program.delivered] == [5]
