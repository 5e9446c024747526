# SPDX-License-Identifier: Apache-2.0
"""AscendCL's C functions: memory, initialising, devices, contexts, streams, events, reports (statements 3.5, 3.10)."""

import ctypes
import mmap
import threading
import time

import numpy
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
from helpers.waiting import eventually, is_inside

INVALID = 100000


@pytest.fixture
def sim():
    with abi.device() as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim, pump=False) as running:
        yield running


# ---- 5: memory ------------------------------------------------------------------------------------------------------


def free_memory(sim):
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    assert sim.aclrtGetMemInfo(0, ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value


@pytest.mark.statement("3.5.1")
@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000, 3110400])
def test_dvpp_malloc_takes_two_more_multiples_of_32(program, size):
    sim = program.sim
    before = free_memory(sim)
    code, address = new(sim.acldvppMalloc, size)
    assert (code, before - free_memory(sim)) == (0, (size + 63) // 32 * 32)
    assert address % 128 == 0
    assert sim.acldvppFree(address) == 0
    assert free_memory(sim) == before


def test_dvpp_malloc_refusals(program):
    sim = program.sim
    assert sim.acldvppMalloc(None, 100) == INVALID
    assert new(sim.acldvppMalloc, 2**64 - 1)[0] == INVALID
    assert in_thread(lambda: new(sim.acldvppMalloc, 100)) == (107002, None)


@pytest.mark.statement("3.5.2")
def test_free_of_null_is_100000(program):
    for name in ("acldvppFree", "aclrtFree", "aclrtFreeHost"):
        assert getattr(program.sim, name)(None) == INVALID, name


@pytest.mark.statement("3.5.3")
@pytest.mark.sim_only
def test_free_of_what_is_no_allocation_is_a_code(program):
    sim = program.sim
    _, device = new(sim.acldvppMalloc, 4096)
    _, host = new(sim.aclrtMallocHost, 4096)
    for free in (sim.acldvppFree, sim.aclrtFree, sim.aclrtFreeHost):
        assert free(0x1000) == 107000
        assert free(device + 16) == 107000
    assert sim.aclrtFreeHost(device) == 107000
    assert sim.acldvppFree(host) == 107000
    assert sim.acldvppFree(device) == 0
    assert sim.acldvppFree(device) == 107000
    _, again = new(sim.acldvppMalloc, 4096)
    assert sim.acldvppFree(device) == 107000, "the freed address is not given out again at once"
    assert sim.acldvppFree(again) == 0
    assert sim.aclrtFreeHost(host) == 0
    kinds = [text.split("]")[0][1:] for text in sim.take_reports()]
    assert kinds == ["wrong-free"] * 8 + ["double-free"] * 2


@pytest.mark.statement("3.5.4")
def test_runtime_malloc_refusals(program):
    sim = program.sim
    assert sim.aclrtMalloc(None, 100, 0) == INVALID
    assert new(sim.aclrtMalloc, 0, 0)[0] == INVALID
    assert new(sim.aclrtMalloc, 100, 99)[0] == INVALID
    assert in_thread(lambda: new(sim.aclrtMalloc, 100, 0))[0] == 107002
    assert sim.aclrtMallocHost(None, 100) == INVALID
    assert new(sim.aclrtMallocHost, 0)[0] == INVALID
    code, address = in_thread(lambda: new(sim.aclrtMallocHost, 100))
    assert code == 0
    ctypes.memset(address, 7, 100)  # ordinary memory of the process
    assert sim.aclrtFreeHost(address) == 0


@pytest.mark.statement("3.5.5")
def test_memcpy_checks_in_order(program):
    sim = program.sim
    memory = program.memory(256)
    host = ctypes.create_string_buffer(bytes(range(256)), 256)
    back = ctypes.create_string_buffer(256)
    assert sim.aclrtMemcpy(None, 0, None, 0, 99) == 0
    assert sim.aclrtMemcpy(None, 256, host, 256, 99) == INVALID
    assert sim.aclrtMemcpy(memory, 0, host, 256, 99) == INVALID
    assert [sim.aclrtMemcpy(memory, 256, host, 256, kind) for kind in (-1, 6, 7)] == [INVALID] * 3
    assert sim.aclrtMemcpy(memory, 0, host, 256, HOST_TO_DEVICE) == 107000
    assert sim.aclrtMemcpy(memory, 255, host, 256, HOST_TO_DEVICE) == 107000
    assert in_thread(lambda: sim.aclrtMemcpy(memory, 256, host, 256, HOST_TO_DEVICE)) == 107002
    assert sim.aclrtMemcpy(memory, 256, host, 256, HOST_TO_DEVICE) == 0
    assert sim.aclrtMemcpy(back, 256, memory, 256, DEVICE_TO_HOST) == 0
    assert back.raw == bytes(range(256))
    assert sim.aclrtMemcpy(back, 256, back, 256, HOST_TO_HOST) == 0
    assert back.raw == bytes(range(256))


@pytest.mark.statement("3.5.29")
@pytest.mark.sim_only  # documented since 8.0
@pytest.mark.parametrize(("soc", "code"), [("Ascend310", 207000), ("Ascend310P3", 207000), ("Ascend310B4", 0)])
def test_copy_within_the_host_is_no_task_of_a_stream(soc, code):
    with abi.device(soc=soc) as sim, Program(sim, pump=False):
        source, target = ctypes.create_string_buffer(b"abc", 16), ctypes.create_string_buffer(16)
        _, stream = new(sim.aclrtCreateStream)
        assert sim.aclrtMemcpyAsync(target, 2, source, 16, HOST_TO_HOST, stream) == 107000, "its numbers count first"
        assert sim.aclrtMemcpyAsync(target, 16, source, 16, HOST_TO_HOST, stream) == code
        assert code == 0 or "host to host" in sim.error_text()
        assert sim.aclrtSynchronizeStream(stream) == 0
        assert target.value == (b"abc" if code == 0 else b"")
        assert sim.aclrtMemcpy(target, 16, source, 16, HOST_TO_HOST) == 0
        assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.statement("3.5.6")
@pytest.mark.sim_only
def test_memcpy_beyond_an_allocation_is_refused(program):
    sim = program.sim
    memory = program.memory(64)
    host = ctypes.create_string_buffer(4096)
    assert sim.aclrtMemcpy(memory, 4096, host, 4096, HOST_TO_DEVICE) == 107000
    assert sim.aclrtMemcpy(host, 4096, memory, 4096, DEVICE_TO_HOST) == 107000
    assert sim.aclrtMemset(memory, 4096, 1, 4096) == 107000
    assert [text.split("]")[0] for text in sim.take_reports()] == ["[out-of-bounds"] * 3


def nowhere(program):
    """Addresses at which nothing is: never allocated, freed, inaccessible."""
    freed = ctypes.c_void_p()
    assert program.sim.acldvppMalloc(ctypes.byref(freed), 4096) == 0
    assert program.sim.acldvppFree(freed) == 0
    return [0x41414141, freed.value, 2**64 - 4096]


@pytest.mark.statement("3.5.21")
@pytest.mark.sim_only
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3", "Ascend310B4"])
def test_address_that_is_no_memory_is_refused(soc, strict):
    with abi.device(soc=soc, strict=strict, null_codec=500) as sim, Program(sim, pump=False) as program:
        good, host = program.memory(4096), ctypes.create_string_buffer(4096)
        code, stream = new(sim.aclrtCreateStream)
        assert code == 0
        calls = 0
        for bad in nowhere(program):
            for dst, src, kind in (
                (host, bad, DEVICE_TO_HOST),
                (bad, host, HOST_TO_DEVICE),
                (good, bad, DEVICE_TO_DEVICE),
                (bad, good, DEVICE_TO_DEVICE),
            ):
                assert sim.aclrtMemcpy(dst, 4096, src, 4096, kind) == 107000
                assert "is not device memory" in sim.error_text()
                assert sim.aclrtMemcpyAsync(dst, 4096, src, 4096, kind, stream) == 107000
            assert sim.aclrtMemset(bad, 4096, 1, 4096) == 107000
            assert sim.aclrtMemsetAsync(bad, 4096, 1, 4096, stream) == 107000
            calls += 10
            if soc != "Ascend310":  # it has no buffer of the program's
                desc = program.channel_desc(BufAddr=bad, BufSize=5 << 20)
                assert sim.aclvencCreateChannel(desc) == 107000
                assert sim.aclvencDestroyChannelDesc(desc) == 0
                calls += 1
        abi.assert_misuses(sim, *["foreign-memory"] * (calls if strict else 0))
        assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.sim_only
def test_read_only_memory_is_no_destination(program):
    memory = numpy.frombuffer(mmap.mmap(-1, 4096, prot=mmap.PROT_READ), numpy.uint8)
    address = memory.ctypes.data
    host = ctypes.create_string_buffer(4096)
    assert program.sim.aclrtMemcpy(address, 4096, host, 4096, HOST_TO_DEVICE) == 107000
    assert program.sim.aclrtMemcpy(host, 4096, address, 4096, DEVICE_TO_HOST) == 0
    abi.assert_misuses(program.sim, "foreign-memory", "wrong-direction")


@pytest.mark.statement("3.5.7")
def test_memset_sets_device_memory(program):
    sim = program.sim
    memory = program.memory(64)
    back = ctypes.create_string_buffer(64)
    assert sim.aclrtMemset(None, 0, 1, 0) == 0
    assert sim.aclrtMemset(None, 64, 1, 64) == INVALID
    assert sim.aclrtMemset(memory, 63, 1, 64) == 107000
    assert sim.aclrtMemset(memory, 64, 0x5A, 64) == 0
    assert sim.aclrtMemcpy(back, 64, memory, 64, DEVICE_TO_HOST) == 0
    assert back.raw == b"\x5a" * 64


@pytest.mark.statement("3.5.30")
@pytest.mark.parametrize("at_once", [True, False])
def test_memset_sets_memory_of_the_hosts_that_the_runtime_gave(program, at_once):
    sim = program.sim
    _, host = new(sim.aclrtMallocHost, 64)
    _, stream = new(sim.aclrtCreateStream)
    more = () if at_once else (stream,)
    assert (sim.aclrtMemset if at_once else sim.aclrtMemsetAsync)(host, 64, 0x5A, 64, *more) == 0
    assert sim.aclrtSynchronizeStream(stream) == 0
    assert ctypes.string_at(host, 64) == b"\x5a" * 64
    assert sim.aclrtDestroyStream(stream) == 0
    assert sim.aclrtFreeHost(host) == 0
    abi.assert_misuses(sim)


@pytest.mark.sim_only
def test_memory_beyond_the_limit_is_207001(sim):
    with Program(sim, pump=False) as program, sim.options(memory_limit=1 << 20):
        program.memory(1 << 19)
        assert new(sim.acldvppMalloc, 1 << 20)[0] == 207001
        assert "no memory" in sim.error_text()
        program.memory(1 << 18)


@pytest.mark.statement("3.5.8")
def test_mem_info_knows_ddr(program):
    sim = program.sim
    free, total = ctypes.c_size_t(1), ctypes.c_size_t(1)
    assert sim.aclrtGetMemInfo(0, None, ctypes.byref(total)) == INVALID
    assert sim.aclrtGetMemInfo(99, ctypes.byref(free), ctypes.byref(total)) == INVALID
    assert sim.aclrtGetMemInfo(1, ctypes.byref(free), ctypes.byref(total)) == 0
    assert (free.value, total.value) == (0, 0)
    assert sim.aclrtGetMemInfo(0, ctypes.byref(free), ctypes.byref(total)) == 0
    assert free.value == total.value > 1 << 30


@pytest.mark.statement("3.5.9")
def test_board_memcpy_needs_no_context():
    with abi.device(soc="Ascend310B4") as sim, Program(sim, pump=False):
        a, b = ctypes.create_string_buffer(b"abc", 16), ctypes.create_string_buffer(16)
        assert in_thread(lambda: sim.aclrtMemcpy(b, 16, a, 16, DEVICE_TO_HOST)) == 0
        assert b.value == b"abc"
        assert in_thread(lambda: sim.aclrtProcessReport(1)) == 107012


# ---- 5: initialising, devices, contexts -----------------------------------------------------------------------------


@pytest.mark.statement("3.5.10", "3.5.19")
@pytest.mark.sim_only  # aclInit and aclFinalize of hardware belong to the process: test_process.py
def test_init_and_finalize_count_references(sim):
    count = ctypes.c_uint64(99)
    assert sim.aclFinalize() == 100037
    assert sim.aclInit(None) == 0
    assert sim.aclInit(b"") == 100002
    assert sim.aclInit(None) == 100002
    assert sim.aclFinalizeReference(ctypes.byref(count)) == 0
    assert count.value == 2
    assert sim.aclFinalize() == 0
    assert sim.aclFinalize() == 100037
    assert sim.aclFinalizeReference(ctypes.byref(count)) == 100037
    assert sim.aclInit(b"") == 0
    assert sim.aclFinalizeReference(ctypes.byref(count)) == 0
    assert count.value == 0


@pytest.mark.statement("3.5.11")
@pytest.mark.sim_only  # as above
def test_init_reads_its_configuration_file(sim, tmp_path):
    path = tmp_path / "acl.json"
    deep = '{"a": [' * 6 + "]}" * 6
    for text, code in (("{}", 0), ("", 100006), ("{", 100006), ("nonsense", 100006), (deep, 100006)):
        path.write_text(text)
        assert sim.aclInit(str(path).encode()) == code, text
        assert sim.aclFinalize() == (100037 if code else 0)
    assert sim.aclInit(str(tmp_path / "none.json").encode()) == 100003


@pytest.mark.statement("3.5.12")
def test_devices_are_counted_and_checked():
    with abi.device(devices=2) as sim:
        count, mode, device = ctypes.c_uint32(), ctypes.c_int32(9), ctypes.c_int32(9)
        assert sim.aclrtGetDeviceCount(None) == INVALID
        assert sim.aclrtGetRunMode(None) == INVALID
        assert sim.aclrtGetDeviceCount(ctypes.byref(count)) == 0
        assert sim.aclrtGetRunMode(ctypes.byref(mode)) == 0
        assert (count.value, mode.value) == (2, 1)
        assert sim.aclInit(None) == 0
        assert [sim.aclrtSetDevice(number) for number in (-1, 2, 99)] == [107001] * 3
        assert [sim.aclrtResetDevice(number) for number in (-1, 2)] == [107001] * 2
        assert sim.aclrtGetDevice(ctypes.byref(device)) == 107002
        assert sim.aclrtSetDevice(1) == 0
        assert sim.aclrtGetDevice(ctypes.byref(device)) == 0
        assert device.value == 1
        assert sim.aclrtResetDevice(1) == 0
        assert sim.aclrtGetDevice(ctypes.byref(device)) == 107002
        assert sim.aclFinalize() == 0


@pytest.mark.statement("3.5.13")
def test_default_context_is_shared_and_counted(sim):
    def current():
        return new(sim.aclrtGetCurrentContext)

    def set_and_get():
        assert sim.aclrtSetDevice(0) == 0
        return current()

    with abi.initialised(sim):
        code, context = set_and_get()
        assert code == 0
        assert in_thread(set_and_get) == (0, context)
        assert sim.aclrtResetDevice(0) == 0
        assert current() == (0, context)
        assert sim.aclrtResetDevice(0) == 0
        assert current() == (107002, None)


@pytest.mark.statement("3.5.18")
def test_default_context_cannot_be_destroyed(sim):
    with abi.initialised(sim):
        assert sim.aclrtSetDevice(0) == 0
        _, context = new(sim.aclrtGetCurrentContext)
        assert sim.aclrtDestroyContext(context) == 107000
        assert new(sim.aclrtGetCurrentContext) == (0, context)
        assert sim.aclrtResetDevice(0) == 0


@pytest.mark.statement("3.5.14")
def test_contexts_are_current_per_thread(sim):
    with abi.initialised(sim):
        assert sim.aclrtCreateContext(None, 0) == INVALID
        assert new(sim.aclrtCreateContext, 99)[0] == 107001
        _, first = new(sim.aclrtCreateContext, 0)
        _, second = new(sim.aclrtCreateContext, 0)
        assert new(sim.aclrtGetCurrentContext) == (0, second)
        assert sim.aclrtGetCurrentContext(None) == INVALID
        assert in_thread(lambda: new(sim.aclrtGetCurrentContext)) == (107002, None)
        assert sim.aclrtSetCurrentContext(None) == INVALID
        assert sim.aclrtSetCurrentContext(first) == 0
        assert sim.aclrtDestroyContext(second) == 0
        assert new(sim.aclrtGetCurrentContext) == (0, first)
        assert sim.aclrtDestroyContext(first) == 0
        assert new(sim.aclrtGetCurrentContext)[0] == 107002
        assert sim.aclrtDestroyContext(None) == INVALID


@pytest.mark.statement("3.5.17")
def test_stale_context_is_107002(sim):
    with abi.initialised(sim):
        _, context = new(sim.aclrtCreateContext, 0)
        assert sim.aclrtDestroyContext(context) == 0
        assert sim.aclrtSetCurrentContext(context) == 107002
        assert sim.aclrtDestroyContext(context) == 107002
    abi.assert_misuses(sim, "stale-handle", "stale-handle")


def test_context_destroyed_elsewhere_is_no_current_context_any_more(sim):
    with Program(sim, pump=False) as program:
        _, other = new(sim.aclrtCreateContext, 0)
        assert in_thread(lambda: sim.aclrtDestroyContext(other)) == 0
        assert new(sim.aclrtCreateStream)[0] == 107002
        assert sim.aclrtSetCurrentContext(program.context) == 0


@pytest.mark.statement("3.5.34")
@pytest.mark.sim_only
@pytest.mark.parametrize("reset", ["aclrtResetDevice", "aclrtResetDeviceForce"])
def test_resetting_a_device_completes_and_ends_the_streams_of_its_default_context(sim, reset):
    seen, codes, back = [], [], ctypes.create_string_buffer(64)
    callback = CALLBACK(seen.append)
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    _, context = new(sim.aclrtGetCurrentContext)
    _, memory = new(sim.aclrtMalloc, 64, 0)
    _, made = new(sim.aclrtCreateStream)
    assert sim.aclrtMemset(memory, 64, 7, 64) == 0
    for number, stream in ((1, None), (2, made)):
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtLaunchCallback(callback, number, 1, stream) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, made) == 0

    def end():
        codes.append(sim.aclrtSetCurrentContext(context))
        codes.append(getattr(sim, reset)(0))

    ending = threading.Thread(target=end)
    ending.start()
    eventually(lambda: len(codes) == 1 and is_inside(ending, "end"))
    assert (seen, back.raw) == ([], bytes(64))
    while len(seen) < 2:
        assert sim.aclrtProcessReport(20_000) == 0
    ending.join()
    assert (codes, sorted(seen), back.raw) == ([0, 0], [1, 2], b"\7" * 64)
    abi.assert_misuses(sim, "still-subscribed", "still-subscribed")
    assert sim.aclrtSetCurrentContext(context) == 107002
    assert sim.aclrtDestroyStream(made) == 107017
    abi.assert_misuses(sim, "stale-handle", "stale-handle")
    assert sim.aclrtFree(memory) == 0
    assert sim.live()["stream"] == 0
    with sim.options(stream_limit=1):
        for _ in range(3):
            assert sim.aclrtSetDevice(0) == 0
            assert new(sim.aclrtCreateStream)[0] == 0
            assert getattr(sim, reset)(0) == 0
    assert sim.aclFinalize() == 0
    abi.assert_misuses(sim)


@pytest.mark.sim_only
def test_reset_that_waits_for_ever_ends_with_the_option_and_releases_all_the_same(sim):
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    for stream in (None, new(sim.aclrtCreateStream)[1]):
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtLaunchCallback(CALLBACK(lambda _: None), None, 1, stream) == 0
    with sim.options(wait_limit_ms=1):
        assert sim.aclrtResetDevice(0) == 507046
    found = sim.take_reports()
    assert all("] aclrtResetDevice: " in text for text in found), found
    kinds = ["no-pump", *["callback-lost", "still-subscribed"] * 2]
    assert [text.split("]")[0][1:] for text in found] == kinds
    assert (sim.live()["stream"], sim.live()["subscription"]) == (0, 0)
    assert sim.aclFinalize() == 0


@pytest.mark.statement("3.5.35")
@pytest.mark.sim_only
def test_force_reset_of_a_device_that_is_not_set_is_refused(sim):
    assert sim.aclInit(None) == 0
    assert sim.aclrtResetDeviceForce(0) == 507007
    for _ in range(2):
        assert sim.aclrtSetDevice(0) == 0
    assert [sim.aclrtResetDeviceForce(0) for _ in range(2)] == [0, 507007]
    assert sim.aclrtResetDevice(0) == 0
    assert sim.aclFinalize() == 0


@pytest.mark.sim_only
def test_force_reset_ends_explicit_contexts_too(sim):
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    _, context = new(sim.aclrtCreateContext, 0)
    assert sim.aclrtResetDeviceForce(0) == 0
    assert new(sim.aclrtGetCurrentContext)[0] == 107002
    assert sim.aclrtSetCurrentContext(context) == 107002
    assert sim.aclFinalize() == 0
    assert len(sim.take_reports()) == 1


@pytest.mark.sim_only
def test_force_reset_ends_the_streams_of_explicit_contexts_with_them(sim):
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    for _ in range(2):
        assert new(sim.aclrtCreateContext, 0)[0] == 0
        _, stream = new(sim.aclrtCreateStream)
    assert sim.aclrtResetDeviceForce(0) == 0
    abi.assert_misuses(sim, "context-in-use", "context-in-use")
    assert sim.live()["stream"] == 0
    assert sim.aclrtSetDevice(0) == 0
    assert sim.aclrtDestroyStream(stream) == 107017
    abi.assert_misuses(sim, "stale-handle")
    assert sim.aclrtResetDevice(0) == 0
    assert sim.aclFinalize() == 0


def test_version_and_chip_name_are_told(sim):
    numbers = [ctypes.c_int32() for _ in range(3)]
    assert sim.aclrtGetVersion(*map(ctypes.byref, numbers)) == 0
    assert [number.value for number in numbers] == [1, 16, 0]
    assert sim.aclrtGetVersion(None, None, None) == INVALID
    assert sim.aclrtGetSocName() == b"Ascend310P3"


# ---- 5: errors ------------------------------------------------------------------------------------------------------


@pytest.mark.statement("3.5.15")
def test_error_text_is_per_thread_and_cleared_by_reading(sim):
    assert sim.aclGetRecentErrMsg() is None
    assert sim.aclrtSetDevice(7) == 107001
    assert sim.aclrtGetDeviceCount(None) == INVALID
    assert in_thread(sim.aclGetRecentErrMsg) is None
    first, second = sim.aclGetRecentErrMsg().decode().split("\n")
    assert "aclrtGetDeviceCount" in first
    assert "aclrtSetDevice" in second
    assert sim.aclGetRecentErrMsg() is None


@pytest.mark.statement("3.5.20")
@pytest.mark.sim_only  # aclInit belongs to the process
@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ('{"err_msg_mode": "1"}', True),
        ('{"dump": {"x": ["err_msg_mode"]}, "err_msg_mode" : "1", "y": "0"}', True),
        ('{"err_msg_mode": "0"}', False),
        ('{"x": "err_msg_mode", "y": {"err_msg_mode": "1"}, "z": "1"}', False),
    ],
)
def test_error_text_can_be_that_of_the_process(sim, tmp_path, text, shared):
    config = tmp_path / "acl.json"
    config.write_text(text)
    assert sim.aclInit(str(config).encode()) == 0
    assert sim.aclrtSetDevice(7) == 107001
    elsewhere = in_thread(sim.aclGetRecentErrMsg)
    here = sim.aclGetRecentErrMsg()
    told, other = (elsewhere, here) if shared else (here, elsewhere)
    assert told.startswith(b"aclrtSetDevice: device 7")
    assert other is None
    assert sim.aclFinalize() == 0
    assert sim.aclrtSetDevice(7) == 107001
    assert in_thread(sim.aclGetRecentErrMsg) is None, "aclFinalize ends it"
    assert sim.aclGetRecentErrMsg() is not None


def test_error_text_of_many_failures_keeps_the_newest(sim):
    for number in range(2, 1002):
        assert sim.aclrtSetDevice(number) == 107001
    text = sim.error_text()
    assert text.startswith("aclrtSetDevice: device 1001 ")
    assert len(text) < 2048


@pytest.mark.statement("3.5.16")
@pytest.mark.sim_only
def test_runtime_codes_reach_the_caller_unchanged(program):
    sim = program.sim
    for code in (107002, 207001, 507010, 507899, 1):
        with sim.failing_call("acldvppMalloc", code=code):
            assert new(sim.acldvppMalloc, 100)[0] == code


# ---- 10: reports ----------------------------------------------------------------------------------------------------


@pytest.fixture
def stream(program):
    code, handle = new(program.sim.aclrtCreateStream)
    assert code == 0
    yield handle
    assert program.sim.aclrtUnSubscribeReport(threading.get_ident(), handle) in (0, 107011)  # or was not subscribed
    assert program.sim.aclrtDestroyStream(handle) == 0


@pytest.mark.statement("3.10.1")
def test_process_report_refuses_0_and_below_minus_1(program):
    sim = program.sim
    assert [sim.aclrtProcessReport(timeout) for timeout in (0, -2, -(2**31))] == [INVALID] * 3
    abi.assert_misuses(sim, "timeout-zero")


@pytest.mark.statement("3.10.2")
def test_process_report_without_subscription_does_not_wait(program):
    begin = time.monotonic()
    assert program.sim.aclrtProcessReport(60_000) == 107012
    assert program.sim.aclrtProcessReport(-1) == 107012
    assert time.monotonic() - begin < 10


@pytest.mark.statement("3.10.3")
def test_process_report_without_callback_times_out(program, stream):
    sim = program.sim
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    begin = time.monotonic()
    assert sim.aclrtProcessReport(60) == 507012
    assert 0.055 <= time.monotonic() - begin < 10


@pytest.mark.statement("3.10.4")
def test_process_report_runs_all_available_callbacks(program, stream):
    sim = program.sim
    seen = []
    callback = CALLBACK(lambda data: seen.append((data, threading.get_ident())))
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    for number in range(1, 6):
        assert sim.aclrtLaunchCallback(callback, number, number % 2, stream) == 0
    assert seen == []
    assert sim.aclrtProcessReport(20_000) == 0
    while len(seen) < 5:
        assert sim.aclrtProcessReport(20_000) == 0
    assert seen == [(number, threading.get_ident()) for number in range(1, 6)]
    assert sim.aclrtProcessReport(1) == 507012


@pytest.mark.statement("3.10.5")
def test_subscribe_refuses_a_second_time_and_another_device():
    with abi.device(devices=2) as sim, Program(sim, pump=False) as program:
        me = threading.get_ident()
        _, first = new(sim.aclrtCreateStream)
        _, second = new(sim.aclrtCreateStream)
        assert sim.aclrtSubscribeReport(me, first) == 0
        assert sim.aclrtSubscribeReport(me, first) == 107011
        assert sim.aclrtSubscribeReport(me + 1, first) == 107011
        assert sim.aclrtSubscribeReport(me, second) == 0
        _, elsewhere = new(sim.aclrtCreateContext, 1)
        _, third = new(sim.aclrtCreateStream)
        assert sim.aclrtSubscribeReport(me, third) == 107012
        assert sim.aclrtSubscribeReport(me + 1, third) == 0
        assert sim.aclrtUnSubscribeReport(me + 1, third) == 0
        assert sim.aclrtDestroyStream(third) == 0
        assert sim.aclrtDestroyContext(elsewhere) == 0
        assert sim.aclrtSetCurrentContext(program.context) == 0
        for stream in (first, second):
            assert sim.aclrtUnSubscribeReport(me, stream) == 0
            assert sim.aclrtDestroyStream(stream) == 0


@pytest.mark.statement("3.10.6")
def test_unsubscribe_of_what_is_not_subscribed(program, stream):
    sim = program.sim
    me = threading.get_ident()
    assert sim.aclrtUnSubscribeReport(me, stream) == 107011
    assert sim.aclrtSubscribeReport(me, stream) == 0
    assert sim.aclrtUnSubscribeReport(me + 1, stream) == 107012
    assert sim.aclrtUnSubscribeReport(me, stream) == 0
    assert sim.aclrtUnSubscribeReport(me, stream) == 107011
    assert sim.aclrtProcessReport(1000) == 107012


@pytest.mark.statement("3.10.7")
def test_launch_callback_refusals(program, stream):
    sim = program.sim
    callback = CALLBACK(lambda data: None)
    assert sim.aclrtLaunchCallback(callback, None, 0, stream) == 107015
    assert sim.aclrtLaunchCallback(None, None, 0, stream) == INVALID
    assert sim.aclrtLaunchCallback(callback, None, 2, stream) == INVALID


@pytest.mark.statement("3.10.8")
@pytest.mark.sim_only
def test_process_report_ends_with_the_last_subscription(program, stream):
    sim = program.sim
    codes = []

    def process():
        codes.append(sim.aclrtProcessReport(-1))

    thread = threading.Thread(target=process)
    sim.set_options(wait_unsubscribed=1)
    thread.start()
    assert sim.aclrtSubscribeReport(thread.ident, stream) == 0
    eventually(lambda: is_inside(thread, "process"))  # begun after the last subscription, it would wait for another
    sim.set_options(wait_unsubscribed=0)
    assert sim.aclrtUnSubscribeReport(thread.ident, stream) == 0
    thread.join(10)
    assert codes == [107012]


@pytest.mark.statement("3.10.9")
@pytest.mark.sim_only
def test_process_report_can_be_told_to_wait_for_a_subscription(program, stream):
    sim = program.sim
    with sim.options(wait_unsubscribed=1):
        begin = time.monotonic()
        assert sim.aclrtProcessReport(60) == 507012
        assert time.monotonic() - begin >= 0.055


@pytest.mark.statement("3.10.9")
@pytest.mark.sim_only
def test_process_report_can_be_told_to_wait_for_the_next_subscription_too(program, stream):
    """As between two channels of a program that takes 107012 for the end."""
    sim, codes = program.sim, []
    callback = CALLBACK(lambda data: None)

    def process():
        codes.append(sim.aclrtProcessReport(20_000))
        codes.append(sim.aclrtProcessReport(150))

    thread = threading.Thread(target=process)
    with sim.options(wait_unsubscribed=1):
        thread.start()
        for _ in range(2):
            assert sim.aclrtSubscribeReport(thread.ident, stream) == 0
            eventually(lambda: is_inside(thread, "process"))
            assert sim.aclrtUnSubscribeReport(thread.ident, stream) == 0
        assert codes == []
        assert sim.aclrtSubscribeReport(thread.ident, stream) == 0
        assert sim.aclrtLaunchCallback(callback, None, 0, stream) == 0
        eventually(lambda: codes)
        assert sim.aclrtUnSubscribeReport(thread.ident, stream) == 0
        thread.join(20)
    assert codes == [0, 507012]


@pytest.mark.statement("3.5.28")
def test_callbacks_of_a_stream_destroyed_by_force_are_lost(program):
    sim = program.sim
    seen = []
    callback = CALLBACK(seen.append)
    _, keeper = new(sim.aclrtCreateStream)
    _, stream = new(sim.aclrtCreateStream)
    for handle in (keeper, stream):
        assert sim.aclrtSubscribeReport(threading.get_ident(), handle) == 0
    for number in (1, 2):
        assert sim.aclrtLaunchCallback(callback, number, 1, stream) == 0
    assert sim.aclrtDestroyStreamForce(stream) == 0
    assert sim.aclrtProcessReport(1) == 507012
    assert seen == []
    abi.assert_misuses(sim, "callback-lost", "still-subscribed")
    assert sim.aclrtUnSubscribeReport(threading.get_ident(), keeper) == 0
    assert sim.aclrtDestroyStream(keeper) == 0


@pytest.mark.statement("3.5.28")
@pytest.mark.sim_only
@pytest.mark.parametrize(
    ("soc", "destroy"),
    [
        ("Ascend310P3", "aclrtDestroyStream"),
        ("Ascend310", "aclrtDestroyStream"),
        ("Ascend310", "aclrtDestroyStreamForce"),  # the same there
    ],
)
def test_destroying_a_stream_completes_what_is_on_it(soc, destroy):
    with abi.device(soc=soc) as sim, Program(sim, pump=False) as program:
        seen, codes = [], []
        callback = CALLBACK(seen.append)
        memory, back = program.memory(64), ctypes.create_string_buffer(64)
        _, stream = new(sim.aclrtCreateStream)
        assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
        assert sim.aclrtMemset(memory, 64, 7, 64) == 0
        for number in (1, 2):
            assert sim.aclrtLaunchCallback(callback, number, 1, stream) == 0
        assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, stream) == 0

        def end():
            codes.append(sim.aclrtSetCurrentContext(program.context))
            codes.append(getattr(sim, destroy)(stream))

        ending = threading.Thread(target=end)
        ending.start()
        eventually(lambda: len(codes) == 1 and is_inside(ending, "end"))
        assert (seen, back.raw) == ([], bytes(64))
        while len(seen) < 2:
            assert sim.aclrtProcessReport(20_000) == 0
        ending.join()
        assert (codes, seen, back.raw) == ([0, 0], [1, 2], b"\7" * 64)
        abi.assert_misuses(sim, "still-subscribed")


@pytest.mark.sim_only
def test_stream_whose_device_is_lost_is_destroyed_at_once(program):
    sim = program.sim
    _, stream = new(sim.aclrtCreateStream)
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    assert sim.aclrtLaunchCallback(CALLBACK(lambda _: None), None, 1, stream) == 0
    with sim.lost_device(code=507010):
        assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 507010
        assert sim.aclrtDestroyStream(stream) == 0
    abi.assert_misuses(sim, "callback-lost")


# ---- streams and events ---------------------------------------------------------------------------------------------


def test_stream_waits_for_a_blocking_callback(program, stream):
    sim = program.sim
    seen = []
    callback = CALLBACK(seen.append)
    memory = program.memory(64)
    back = ctypes.create_string_buffer(64)
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 1, 64, stream) == 0
    assert sim.aclrtLaunchCallback(callback, 1, 1, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 2, 64, stream) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, stream) == 0
    assert sim.aclrtSynchronizeStreamWithTimeout(stream, 20) == 507046
    assert back.raw == bytes(64)
    assert sim.aclrtProcessReport(20_000) == 0
    assert sim.aclrtSynchronizeStream(stream) == 0
    assert back.raw == b"\x02" * 64


def test_event_orders_two_streams(program, stream):
    sim = program.sim
    _, other = new(sim.aclrtCreateStream)
    _, event = new(sim.aclrtCreateEvent)
    status = ctypes.c_int32(9)
    memory = program.memory(64)
    back = ctypes.create_string_buffer(64)
    callback = CALLBACK(lambda data: None)
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    assert sim.aclrtLaunchCallback(callback, None, 1, stream) == 0
    assert sim.aclrtMemsetAsync(memory, 64, 3, 64, stream) == 0
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtStreamWaitEvent(other, event) == 0
    assert sim.aclrtMemcpyAsync(back, 64, memory, 64, DEVICE_TO_HOST, other) == 0
    assert sim.aclrtQueryEvent(event, ctypes.byref(status)) == 0
    assert status.value == 1
    assert sim.aclrtQueryEventStatus(event, ctypes.byref(status)) == 0
    assert status.value == 0
    assert back.raw == bytes(64)
    assert sim.aclrtProcessReport(20_000) == 0
    assert sim.aclrtSynchronizeEvent(event) == 0
    assert sim.aclrtSynchronizeStream(other) == 0
    assert back.raw == b"\x03" * 64
    assert sim.aclrtQueryEvent(event, ctypes.byref(status)) == 0
    assert status.value == 0
    assert sim.aclrtDestroyEvent(event) == 0
    assert sim.aclrtDestroyStream(other) == 0


@pytest.mark.sim_only
def test_event_is_not_ready_before_its_first_record_and_after_a_reset(program, stream):
    sim = program.sim
    _, event = new(sim.aclrtCreateEvent)
    old, recorded = ctypes.c_int32(9), ctypes.c_int32(9)

    def states():
        assert sim.aclrtQueryEvent(event, ctypes.byref(old)) == 0
        assert sim.aclrtQueryEventStatus(event, ctypes.byref(recorded)) == 0
        return old.value, recorded.value

    assert states() == (1, 0)
    assert sim.aclrtRecordEvent(event, stream) == 0
    assert sim.aclrtSynchronizeEvent(event) == 0
    assert states() == (0, 1)
    assert sim.aclrtResetEvent(event, stream) == 0
    assert states() == (1, 0)
    assert sim.aclrtDestroyEvent(event) == 0


@pytest.mark.sim_only
def test_event_times_are_measured(program, stream):
    sim = program.sim
    events = [new(sim.aclrtCreateEvent)[1] for _ in range(2)]
    ms = ctypes.c_float()
    assert sim.aclrtEventElapsedTime(ctypes.byref(ms), *events) == 107006
    assert sim.aclrtRecordEvent(events[0], stream) == 0
    time.sleep(0.03)
    assert sim.aclrtRecordEvent(events[1], stream) == 0
    assert sim.aclrtEventElapsedTime(ctypes.byref(ms), *events) == 0
    assert 28 <= ms.value < 5000
    assert sim.aclrtEventElapsedTime(ctypes.byref(ms), *events[::-1]) == 107007
    assert sim.aclrtResetEvent(events[0], stream) == 0
    assert sim.aclrtEventElapsedTime(ctypes.byref(ms), *events) == 107006
    for event in events:
        assert sim.aclrtDestroyEvent(event) == 0
        assert sim.aclrtDestroyEvent(event) == 107017
    assert sim.aclrtDestroyEvent(None) == INVALID
    assert len(sim.take_reports()) == 2


@pytest.mark.sim_only
def test_streams_belong_to_a_context_and_are_limited(sim):
    with Program(sim, pump=False) as program:
        _, stream = new(sim.aclrtCreateStream)
        assert sim.aclrtSynchronizeStream(None) == 0, "the context's default stream"
        assert in_thread(lambda: sim.aclrtSynchronizeStream(stream)) == 107002
        _, other = new(sim.aclrtCreateContext, 0)
        assert sim.aclrtSynchronizeStream(stream) == 107003
        assert sim.aclrtDestroyContext(other) == 0
        assert sim.aclrtSetCurrentContext(program.context) == 0
        with sim.options(stream_limit=1):
            assert new(sim.aclrtCreateStream)[0] == 207008
        assert sim.aclrtSynchronizeDevice() == 0
        assert sim.aclrtDestroyStream(None) == INVALID
        assert sim.aclrtDestroyStreamForce(stream) == 0
        assert sim.aclrtDestroyStream(stream) == 107017
        assert sim.aclrtSynchronizeStream(stream) == 107017
        abi.assert_misuses(sim, "wrong-context", "stale-handle", "stale-handle")
