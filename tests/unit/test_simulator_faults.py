# SPDX-License-Identifier: Apache-2.0
"""The simulated device made to fail, to be slow, to be lost; its counters, trace and null codec."""

import ctypes
import json
import threading
import time

import pytest

from helpers import annexb, processes, simulator
from helpers.acl_program import H264_BASELINE, H264_HIGH, H264_MAIN, H265_MAIN, Program, new
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only

CODE = 507899


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500) as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


# ---- calls ----


@pytest.mark.parametrize(("result", "name"), [entry[2:4] for entry in simulator.FUNCTIONS])
def test_any_function_can_be_made_to_fail(sim, result, name):
    function = getattr(sim, name)
    pointers = (ctypes.c_void_p, ctypes.c_char_p)
    arguments = [None if kind in pointers else 1 for kind in function.argtypes]
    with Program(sim, pump=False):  # a pump calls aclrtProcessReport, and could be the one whose call fails
        before = sim.live()
        with sim.failing_call(name, code=CODE):
            returned = function(*arguments)
        if result == "aclError":
            assert returned == CODE
            assert "on purpose" in sim.error_text()
        else:
            assert not returned
        assert sim.live() == before


def test_nth_call_fails_once(sim):
    with sim.failing_call("aclrtGetDeviceCount", nth=3, code=CODE):
        count = ctypes.c_uint32()
        codes = [sim.aclrtGetDeviceCount(ctypes.byref(count)) for _ in range(5)]
    assert codes == [0, 0, CODE, 0, 0]


def test_nth_call_and_all_later_ones_fail(sim):
    count = ctypes.c_uint32()
    with sim.failing_call("aclrtGetDeviceCount", nth=3, code=CODE, persistent=True):
        codes = [sim.aclrtGetDeviceCount(ctypes.byref(count)) for _ in range(5)]
        assert sim.aclrtGetRunMode(ctypes.byref(count)) == 0
    assert codes == [0, 0, CODE, CODE, CODE]
    assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0


def test_nth_call_of_any_function_fails(sim):
    count = ctypes.c_uint32()
    with sim.failing_call("*", nth=2, code=CODE):
        assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
        assert sim.aclrtGetRunMode(ctypes.byref(count)) == CODE
        assert sim.aclrtGetRunMode(ctypes.byref(count)) == 0


def test_faults_are_checked_and_counted(sim):
    assert sim.aclsim_fail_call(b"aclNoSuchFunction", 1, CODE, 0) == -1
    assert sim.aclsim_fail_call(b"aclInit", 0, CODE, 0) == -1
    assert sim.aclsim_fail_call(b"aclInit", 1, 0, 0) == -1
    assert sim.aclsim_fail_call(None, 1, CODE, 0) == -1
    assert [sim.aclsim_fail_call(b"aclInit", nth, CODE, 0) for nth in range(1, 18)] == [0] * 16 + [-1]
    assert [sim.aclInit(None) for _ in range(3)] == [CODE] * 3
    assert sim.aclsim_clear_faults() == 3
    assert sim.aclsim_clear_faults() == 0
    assert sim.aclInit(None) == 0
    assert sim.aclFinalize() == 0


# ---- frames ----


def frames_with(program, action, value=0, nth=3, persistent=False):
    channel, picture = program.channel(), program.picture()
    with program.sim.failing_frame(action, nth, value, persistent):
        for number in range(1, 6):
            program.send(channel, picture, number)
        program.end_of_stream(channel)
    return [(seen.user_data, seen.ret_code, seen.size) for seen in program.delivered]


GOOD = [(number, 0, 500) for number in range(1, 6)]


def test_frame_with_ret_code(program):
    assert frames_with(program, simulator.FRAME_RET_CODE, 77) == [*GOOD[:2], (3, 77, 0), *GOOD[3:]]


def test_all_later_frames_with_ret_code(program):
    assert frames_with(program, simulator.FRAME_RET_CODE, 7, persistent=True) == GOOD[:2] + [
        (n, 7, 0) for n in (3, 4, 5)
    ]


def test_frame_whose_callback_never_comes(program):
    assert frames_with(program, simulator.FRAME_DROP) == GOOD[:2] + GOOD[3:]


def test_last_frame_whose_callback_never_comes_does_not_block_the_end(program):
    assert frames_with(program, simulator.FRAME_DROP, nth=5) == GOOD[:4]


def test_frame_with_an_empty_access_unit(program):
    assert frames_with(program, simulator.FRAME_EMPTY) == [*GOOD[:2], (3, 0, 0), *GOOD[3:]]


def test_frame_with_a_huge_access_unit_is_filled_up(program):
    assert frames_with(program, simulator.FRAME_HUGE, 1_000_000) == [*GOOD[:2], (3, 0, 1_000_000), *GOOD[3:]]
    units = annexb.nal_units(program.delivered[2].data)
    assert sum(len(unit) for unit in units) > 990_000
    assert units[-1][0] & 31 == 12  # filler data


def test_frame_larger_than_the_output_buffer_only_says_so(program):
    size = (8 << 20) + 1000
    assert frames_with(program, simulator.FRAME_HUGE, size) == [*GOOD[:2], (3, 0, size), *GOOD[3:]]
    assert program.delivered[2].data == b""  # the copy was refused
    (report,) = program.sim.take_reports()
    assert report.startswith("[out-of-bounds] aclrtMemcpy")


def test_frame_without_output_descriptor(program):
    assert frames_with(program, simulator.FRAME_NO_OUTPUT) == [*GOOD[:2], (3, 0, 0), *GOOD[3:]]
    assert [seen.output != 0 for seen in program.delivered] == [True, True, False, True, True]


def test_frame_reported_twice(program):
    assert frames_with(program, simulator.FRAME_TWICE) == [*GOOD[:3], *GOOD[2:]]


def test_frame_reported_late_holds_up_those_behind_it(program):
    begin = time.monotonic()
    assert frames_with(program, simulator.FRAME_DELAY, 150_000) == GOOD
    assert time.monotonic() - begin >= 0.15


# ---- timing ----


def test_encode_time_models_the_chip(program):
    sim = program.sim
    with sim.options(encode_time_us=10_000):
        channel, picture = program.channel(), program.picture()
        begin = time.monotonic()
        for number in range(20):
            program.send(channel, picture, number)
        program.end_of_stream(channel)
        elapsed = time.monotonic() - begin
    assert 0.19 <= elapsed < 10
    assert [seen.user_data for seen in program.delivered] == list(range(20))


def test_send_time_and_callback_delay(program):
    sim = program.sim
    channel, picture = program.channel(), program.picture()
    with sim.options(send_time_us=20_000):
        begin = time.monotonic()
        program.send(channel, picture)
        assert time.monotonic() - begin >= 0.02
    with sim.options(callback_delay_us=50_000):
        begin = time.monotonic()
        program.send(channel, picture)
        program.end_of_stream(channel)
        assert time.monotonic() - begin >= 0.05


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_device_runs_ahead_of_a_callback_by_its_output_slots(sim, slots):
    with Program(sim, pump=False) as program, sim.options(output_slots=slots, input_slots=16):
        channel, picture = program.channel(), program.picture()
        for number in range(10):
            program.send(channel, picture, number)
        eventually(
            lambda: sim.channel_stats(channel)["host_idle_ns"] >= 50_000_000
        )  # it stands still because of the host
        stats = sim.channel_stats(channel)
        assert (stats["sent"], stats["encoded"], stats["delivered"]) == (10, slots, 0)
        while len(program.delivered) < 10:
            assert sim.aclrtProcessReport(20_000) == 0
        idle = sim.channel_stats(channel)["host_idle_ns"]
        time.sleep(0.02)
        assert sim.channel_stats(channel)["host_idle_ns"] == idle, "nothing to do is not the host's doing"


def test_slow_callback_is_accounted_as_time_lost_on_the_host(program):
    sim = program.sim

    def lose_12_ms(seen):
        if seen.user_data < 10:  # after the last frame the device has nothing to stand still with
            until = sim.channel_stats(channel)["host_idle_ns"] + 12_000_000
            eventually(lambda: sim.channel_stats(channel)["host_idle_ns"] >= until)

    program.on_delivery = lose_12_ms
    with sim.options(output_slots=1, encode_time_us=1000):
        channel, picture = program.channel(), program.picture()
        begin = time.monotonic_ns()
        for number in range(1, 11):
            program.send(channel, picture, number)
        program.end_of_stream(channel)
        took = time.monotonic_ns() - begin
    assert 0.1e9 <= sim.channel_stats(channel)["host_idle_ns"] <= took


def test_stalled_device_takes_frames_and_finishes_none(program):
    sim = program.sim
    channel, picture = program.channel(), program.picture()
    with sim.options(stall=1):
        for number in range(5):
            program.send(channel, picture, number)
        time.sleep(0.03)
        assert program.delivered == []
        assert sim.channel_stats(channel)["encoded"] == 0
    program.end_of_stream(channel)
    assert len(program.delivered) == 5


def test_options_are_checked(sim):
    assert sim.aclsim_set_option(b"no_such_option", 1) == -1
    assert sim.aclsim_set_option(b"output_slots", 0) == -1
    assert sim.aclsim_set_option(b"output_slots", 65) == -1
    assert sim.aclsim_set_option(b"output_slots", 3) == 0
    assert sim.aclsim_get_option(b"output_slots") == 3
    assert sim.aclsim_get_option(b"no_such_option") == 0
    header = (simulator.ROOT / "csrc" / "sim" / "aclsim.h").read_text()
    for name in sim.names("option"):
        assert f" {name} " in header, name


def test_options_come_from_the_environment():
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from helpers import simulator
sim = simulator.shared()
print(sim.aclsim_get_option(b"encode_time_us"), sim.aclsim_get_option(b"output_slots"), sim.aclrtGetSocName(),
      sim.aclsim_set_devices(3))
"""
    tests = str(simulator.ROOT / "tests")
    env = {"ASCEND_VENC_SIM_OPTIONS": "encode_time_us=40,output_slots=7", "ASCEND_VENC_SIM_SOC": "310b4"}
    done = processes.run(program, tests, env=env)
    assert done.stdout == "40 7 b'Ascend310B4' 0\n", done.stderr


def test_unknown_chip_in_the_environment_is_said_by_every_first_call():
    program = """
import ctypes, sys
lib = ctypes.CDLL(sys.argv[1])
lib.aclGetRecentErrMsg.restype = ctypes.c_char_p
print(lib.aclrtGetDeviceCount(ctypes.byref(ctypes.c_uint32())), lib.aclGetRecentErrMsg().decode())
print(lib.aclInit(None), lib.aclrtSetDevice(0))
"""
    done = processes.run(program, simulator.path(), env={"ASCEND_VENC_SIM_SOC": "Ascend999"})
    first, second = done.stdout.splitlines()
    assert first.startswith("507008 ")
    assert all(name in first for name in ("Ascend310 and", "Ascend310P3", "Ascend310B4", "Ascend910"))
    assert second == "507008 507008"


def test_no_function_crashes_with_an_unknown_chip():
    """Called with NULL for each address and 1 for each number: aclrtSynchronizeEventWithTimeout asked for the chip."""
    program = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from helpers import himpi, simulator
sim = simulator.Simulator(simulator.path())
for *_, name, _ in [*simulator.FUNCTIONS, *himpi.FUNCTIONS]:
    print(name, flush=True)
    function = getattr(sim, name)
    function(*(None if kind is ctypes.c_char_p or not issubclass(kind, ctypes._SimpleCData) or kind is ctypes.c_void_p
               else 1 for kind in function.argtypes))
"""
    tests = str(simulator.ROOT / "tests")
    done = processes.run(program, tests, env={"ASCEND_VENC_SIM_SOC": "Ascend999"})
    assert (done.returncode, done.stdout.split()) == (0, simulator.NAMES), done.stderr


def test_chip_can_be_chosen_while_no_device_is_in_use(sim):
    assert list(sim.names("soc")) == ["Ascend310P3", "Ascend310B4", "Ascend310", "Ascend910"]
    assert sim.aclsim_set_soc(b"Ascend311") == -1
    assert sim.aclsim_set_soc(b"310B4") == 0
    assert sim.aclrtGetSocName() == b"Ascend310B4"
    with Program(sim, pump=False):
        assert sim.aclsim_set_soc(b"Ascend310B4") == 0
        assert sim.aclsim_set_soc(b"Ascend310") == -1
        assert sim.aclsim_set_devices(0) == -1
    assert sim.aclsim_set_soc(None) == 0
    assert sim.aclrtGetSocName() == b"Ascend310P3"
    assert sim.aclsim_set_devices(65) == -1


# ---- lost device ----


def test_lost_device_answers_with_its_code_and_comes_back(program):
    sim = program.sim
    channel, picture = program.channel(), program.picture()
    for _ in range(2):
        program.send(channel, picture)
    program.end_of_stream(channel)
    address = ctypes.c_void_p()
    with sim.lost_device(code=507010):
        program.send(channel, picture, expect=507010)
        program.end_of_stream(channel, expect=507010)
        assert sim.acldvppMalloc(ctypes.byref(address), 10) == 507010
        assert sim.aclrtCreateStream(ctypes.byref(address)) == 507010
        assert sim.aclrtSetDevice(0) == 507010
        assert sim.acldvppCreatePicDesc() is None
        eventually(lambda: 507010 in program.codes)
        assert "is lost" in sim.error_text()
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert len(program.delivered) == 3


def test_lost_device_answers_every_call_that_means_it(sim):
    """Also where nothing is to be waited for. What only frees an object does so."""
    with Program(sim, pump=False) as program:
        memory, status, sizes = program.memory(64), ctypes.c_int32(), (ctypes.c_size_t(), ctypes.c_size_t())
        (_, stream), (_, event) = new(sim.aclrtCreateStream), new(sim.aclrtCreateEvent)
        assert sim.aclrtRecordEvent(event, stream) == 0
        calls = {
            "aclrtGetMemInfo": (0, *map(ctypes.byref, sizes)),
            "aclrtCreateEvent": (ctypes.byref(ctypes.c_void_p()),),
            "aclrtCreateEventWithFlag": (ctypes.byref(ctypes.c_void_p()), 1),
            "aclrtCreateEventExWithFlag": (ctypes.byref(ctypes.c_void_p()), 1),
            "aclrtRecordEvent": (event, stream),
            "aclrtResetEvent": (event, stream),
            "aclrtStreamWaitEvent": (stream, event),
            "aclrtQueryEvent": (event, ctypes.byref(status)),
            "aclrtQueryEventStatus": (event, ctypes.byref(status)),
            "aclrtQueryEventWaitStatus": (event, ctypes.byref(status)),
            "aclrtEventElapsedTime": (ctypes.byref(ctypes.c_float()), event, event),
            "aclrtSynchronizeEvent": (event,),
            "aclrtSynchronizeEventWithTimeout": (event, 1),
            "aclrtSynchronizeStream": (stream,),
            "aclrtSynchronizeStreamWithTimeout": (stream, 1),
            "aclrtStreamQuery": (stream, ctypes.byref(status)),
            "aclrtSynchronizeDevice": (),
            "aclrtSynchronizeDeviceWithTimeout": (1,),
            "aclrtMemset": (memory, 64, 1, 64),
            "aclrtMemsetAsync": (memory, 64, 1, 64, stream),
            "aclrtMemFlush": (memory, 64),
        }
        with sim.lost_device(code=507010):
            assert {name: getattr(sim, name)(*given) for name, given in calls.items()} == dict.fromkeys(calls, 507010)
            assert [sim.aclrtDestroyEvent(event), sim.aclrtDestroyStream(stream)] == [0, 0]
        assert sim.aclrtSynchronizeDevice() == 0


def test_device_lost_in_mid_stream_wakes_every_waiting_call(sim):
    with Program(sim, pump=False) as program, sim.options(input_slots=2, output_slots=1, wait_limit_ms=0):
        channel, picture, eos = program.channel(), program.picture(), program.config(eos=1)
        codes = {}
        (_, stream), (_, event) = new(sim.aclrtCreateStream), new(sim.aclrtCreateEvent)
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtLaunchCallback(simulator.CALLBACK(lambda _: None), None, 1, stream) == 0
        assert sim.aclrtRecordEvent(event, stream) == 0

        def run(name, function, *arguments):
            sim.aclrtSetCurrentContext(program.context)
            codes[name] = function(*arguments)

        config = program.config()
        for number in range(3):
            program.send(channel, picture, number, config)
        calls = {
            "send": (sim.aclvencSendFrame, channel, picture, None, config, None),
            "eos": (sim.aclvencSendFrame, channel, None, None, eos, None),
            "synchronize": (sim.aclrtSynchronizeDevice,),
            "stream": (sim.aclrtSynchronizeStream, stream),
            "event": (sim.aclrtSynchronizeEvent, event),
            "event with a time": (sim.aclrtSynchronizeEventWithTimeout, event, 60_000),
        }
        threads = [threading.Thread(target=run, args=(name, *call)) for name, call in calls.items()]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        assert codes == {}
        with sim.lost_device(code=507010):
            for thread in threads:
                thread.join(10)
            assert codes == dict.fromkeys(calls, 507010)
            assert sim.aclvencDestroyChannel(channel) == 507010
            assert [sim.aclrtDestroyEvent(event), sim.aclrtDestroyStreamForce(stream)] == [0, 0]
        assert [text.split("]")[0] for text in sim.take_reports()] == ["[callback-lost", "[still-subscribed"]
        program.destroy_desc(channel)
        assert sim.live()["channel"] == 0


def test_device_lost_ends_process_report(program):
    sim = program.sim
    program.channel()
    eventually(lambda: True)
    with sim.lost_device(code=507899):
        eventually(lambda: 507899 in program.codes)


# ---- a channel that ends without its callbacks ----


def waits_for_a_callback(program, call):
    """A channel with a frame whose callback nobody runs, and a thread that waits for it in a call."""
    desc, eos = program.channel_desc(ThreadId=12345), program.config(eos=1)
    assert program.sim.aclvencCreateChannel(desc) == 0
    program.send(desc, program.picture())

    def wait():
        assert program.sim.aclrtSetCurrentContext(program.context) == 0
        if call == "aclvencSendFrame":
            return program.sim.aclvencSendFrame(desc, None, None, eos, None)
        return program.sim.aclrtSynchronizeDeviceWithTimeout(30_000)

    thread = started(wait)
    eventually(lambda: is_inside(thread, "wait"))
    return desc, thread


def test_destroyed_channel_keeps_nobody_who_waits_for_its_device(sim):
    with Program(sim, pump=False) as program:
        desc, thread = waits_for_a_callback(program, "aclrtSynchronizeDeviceWithTimeout")
        with sim.options(wait_limit_ms=1):
            assert sim.aclvencDestroyChannel(desc) == 507046
        assert outcome(thread) == 0
        assert [text.split("]")[0] for text in sim.take_reports()] == ["[no-pump"]
        program.destroy_desc(desc)


@pytest.mark.parametrize(("call", "code"), [("aclrtSynchronizeDeviceWithTimeout", 0), ("aclvencSendFrame", 100000)])
def test_reset_lets_go_who_waits_for_a_callback(sim, call, code):
    program = Program(sim, pump=False)
    program.__enter__()  # the reset ends all that is in it
    _, thread = waits_for_a_callback(program, call)
    assert sim.aclsim_reset() == 0
    assert outcome(thread) == code


# ---- null codec ----


@pytest.mark.parametrize("en_type", [H265_MAIN, H264_BASELINE, H264_MAIN, H264_HIGH])
@pytest.mark.parametrize("size", [1, 64, 2000, 300_000])
def test_null_codec_gives_access_units_that_can_be_parsed(en_type, size):
    import av

    with simulator.isolated(null_codec=size) as sim, Program(sim) as program:
        channel, picture = program.channel(320, 196, en_type=en_type, gop=3), program.picture(320, 196)
        for _ in range(7):
            program.send(channel, picture)
        program.end_of_stream(channel)
        units = [annexb.nal_units(seen.data) for seen in program.delivered]
        assert all(seen.size == max(size, len(seen.data)) for seen in program.delivered)
        key = [len(unit) > 1 for unit in units]
        assert key == [True, False, False, True, False, False, True]
        if en_type == H265_MAIN:
            assert [[nal[0] >> 1 for nal in unit] for unit in units[:2]] == [[32, 33, 34, 20], [1]]
        else:
            assert [[nal[0] & 31 for nal in unit] for unit in units[:2]] == [[7, 8, 5], [1]]
        parser = av.CodecContext.create("hevc" if en_type == H265_MAIN else "h264", "r")
        packets = parser.parse(b"".join(seen.data for seen in program.delivered)) + parser.parse()
        assert len(packets) == 7
        stream = b"".join(seen.data for seen in program.delivered)
        codec = "h265" if en_type == H265_MAIN else "h264"
        assert [unit.is_idr for unit in annexb.access_units(stream, codec)] == key
        assert (parser.width, parser.height) == (320, 196)


def test_null_codec_on_64_channels(sim):
    with Program(sim) as program:
        picture = program.picture()
        channels = [program.channel(en_type=number % 4) for number in range(64)]
        for number in range(320):
            program.send(channels[number % 64], picture, number)
        for channel in channels:
            program.end_of_stream(channel)
        by_channel = {}
        for seen in program.delivered:
            by_channel.setdefault(seen.user_data % 64, []).append(seen.user_data // 64)
        assert by_channel == {number: [0, 1, 2, 3, 4] for number in range(64)}


# ---- counters and trace ----


def test_live_objects_are_counted_by_kind(program):
    sim = program.sim
    before = sim.live()
    channel = program.channel()
    assert {kind: sim.live()[kind] - number for kind, number in before.items() if sim.live()[kind] != number} == {
        "channel descriptor": 1,
        "channel": 1,
        "subscription": 1,
    }
    program.destroy(channel)
    assert sim.live() == before
    assert sim.aclsim_live(b"no such kind") == -1


def test_calls_are_counted_while_asked_for(sim):
    count = ctypes.c_uint32()
    sim.aclrtGetDeviceCount(ctypes.byref(count))
    sim.aclsim_count_calls(1)
    for _ in range(3):
        sim.aclrtGetDeviceCount(ctypes.byref(count))
    sim.aclrtGetRunMode(ctypes.byref(count))
    sim.aclsim_count_calls(0)
    sim.aclrtGetRunMode(ctypes.byref(count))
    assert [sim.aclsim_calls(name) for name in (b"aclrtGetDeviceCount", b"aclrtGetRunMode", b"*", b"x")] == [3, 1, 4, 0]


def test_trace_is_json_lines(program, tmp_path):
    sim = program.sim
    path = tmp_path / "trace.jsonl"
    assert sim.aclsim_trace(str(tmp_path).encode()) == -1
    assert sim.aclsim_trace(str(path).encode()) == 0
    channel, picture = program.channel(), program.picture()
    program.send(channel, picture)
    program.send(channel, 12345, expect=100000)
    program.end_of_stream(channel)
    assert sim.aclsim_trace(None) == 0
    sim.take_reports()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    sends = [line["code"] for line in lines if line.get("call") == "aclvencSendFrame"]
    assert sends == [0, 100000, 0]
    (callback,) = [line for line in lines if line.get("event") == "callback"]
    assert (callback["frame"], callback["bytes"], callback["idr"]) == (0, 500, True)
    assert all(line["t"] > 0 and line["thread"] > 0 for line in lines)
    assert len({line["thread"] for line in lines}) == 2


def test_reset_ends_everything(sim):
    program = Program(sim)
    program.__enter__()
    channel, picture = program.channel(), program.picture()
    with sim.options(stall=1):
        for _ in range(4):
            program.send(channel, picture)
    sim.set_options(stall=1)
    program.send(channel, picture)
    assert sim.aclsim_reset() == 0
    assert not any(sim.live().values())
    assert sim.aclvencDestroyChannel(channel) == 500000
    assert sim.aclsim_get_option(b"stall") == 0
    program.stop_pump()


# ---- determinism ----


def encode_one(program, en_type, number):
    sim = program.sim
    size = 192 * 128 * 3 // 2
    delivered = []
    channel = program.channel(192, 128, en_type=en_type, gop=5, MaxBitRate=300, RcMode=1 + number % 2)
    program.on_delivery = delivered.append
    for frame in range(8):
        data = bytes((i * (frame + 3) * (number + 1) // 7) % 223 for i in range(1024)) * (size // 1024)
        program.send(channel, program.picture(192, 128, data=data), number)
    program.end_of_stream(channel)
    assert sim.aclvencDestroyChannel(channel) == 0
    program.destroy_desc(channel)
    return [seen.data for seen in delivered if seen.user_data == number]


@pytest.mark.parametrize("en_type", [H265_MAIN, H264_HIGH])
def test_same_input_gives_the_same_bytes_with_any_other_channels_active(en_type):
    with simulator.isolated() as sim:
        with Program(sim) as program:
            alone = encode_one(program, en_type, 1)
            again = encode_one(program, en_type, 1)
        assert alone == again
        assert len(alone) == 8
        results = {}

        def run(number):
            with Program(sim, finalize=False) as other:
                results[number] = encode_one(other, en_type if number < 4 else number % 4, number % 2)

        assert sim.aclInit(None) == 0
        threads = [threading.Thread(target=run, args=(number,)) for number in range(1, 7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sim.aclFinalize() == 0
        assert results[1] == results[3] == alone
