# SPDX-License-Identifier: Apache-2.0
"""DVPP V2's C functions: the system, threads and channels (statements 6.1 and 6.2)."""

import ctypes
import threading

import pytest

from helpers import mpi_program, simulator
from helpers.himpi import error
from helpers.mpi_program import H264, H265, ModParam, Program, StartParam, attributes
from helpers.waiting import eventually, is_inside

pytestmark = pytest.mark.sim_only

BAD_DEVICE_VENC, BAD_DEVICE_SYS = ctypes.c_int32(0xA0088001).value, ctypes.c_int32(0xA0028001).value


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500) as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


def kinds(sim):
    return [text.split("]")[0][1:] for text in sim.take_reports()]


def create(sim, chn=0, attr=None, **settings):
    attr = attributes(**settings) if attr is None else attr
    return sim.hi_mpi_venc_create_chn(chn, ctypes.byref(attr))


def in_thread(function):
    """Run a function on a thread of its own that has no context."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join(20)
    return result[0]


# ---- 6.1: process and threads ----


@pytest.mark.statement("6.1.1")
def test_system_can_be_initialised_again(program):
    assert program.sim.hi_mpi_sys_init() == 0
    program.channel()


@pytest.mark.statement("6.1.2")
def test_calls_without_system_are_not_ready(sim):
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    memory, fd = ctypes.c_void_p(), ctypes.c_int32()
    assert create(sim) == error("SYS_NOT_READY") == ctypes.c_int32(0xA0088010).value
    assert sim.hi_mpi_venc_stop_chn(0) == ctypes.c_int32(0xA0088010).value
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 64) == ctypes.c_int32(0xA0028010).value
    assert sim.hi_mpi_sys_create_epoll(1, ctypes.byref(fd)) == ctypes.c_int32(0xA0028010).value
    assert sim.aclrtResetDevice(0) == 0
    assert sim.aclFinalize() == 0


@pytest.mark.statement("6.1.3")
def test_thread_without_context_is_refused_on_a_host(program):
    chn = program.channel()
    sim = program.sim
    assert in_thread(lambda: sim.hi_mpi_venc_stop_chn(chn)) == BAD_DEVICE_VENC
    assert in_thread(sim.hi_mpi_sys_init) == BAD_DEVICE_SYS
    assert in_thread(lambda: (program.bind(), sim.hi_mpi_venc_stop_chn(chn))[1]) == 0


@pytest.mark.statement("6.1.3")
def test_thread_without_context_is_device_0_on_a_board():
    with simulator.isolated(soc="Ascend310B4", null_codec=500) as sim, Program(sim) as program:
        chn = program.channel()
        assert in_thread(lambda: sim.hi_mpi_venc_stop_chn(chn)) == 0


@pytest.mark.statement("6.1.4")
def test_exit_ends_the_channels_of_all_and_waiting_threads_leave(sim):
    with Program(sim) as program:
        chn = program.channel()
        fd = ctypes.c_int32()
        program.ok(sim.hi_mpi_sys_create_epoll(1, ctypes.byref(fd)))
        codes, inside = {}, threading.Barrier(3)

        def get():
            program.bind()
            inside.wait()
            codes["get"] = sim.hi_mpi_venc_get_stream(chn, *program.get_arguments(), -1)

        def wait():
            event, count = mpi_program.Event(), ctypes.c_int32()
            inside.wait()
            codes["wait"] = sim.hi_mpi_sys_wait_epoll(fd.value, ctypes.byref(event), 1, -1, ctypes.byref(count))

        threads = [threading.Thread(target=get), threading.Thread(target=wait)]
        for thread in threads:
            thread.start()
        inside.wait()
        program.ok(sim.hi_mpi_sys_exit())
        for thread in threads:
            thread.join(20)
        assert codes["get"] in (error("UNEXIST"), error("SYS_NOT_READY"))
        assert codes["wait"] == ctypes.c_int32(0xA0028010).value
        assert kinds(sim) == ["exit-in-use"]
        program.channels.clear()
        program.ok(sim.hi_mpi_sys_close_epoll(fd.value))
        program.ok(sim.hi_mpi_sys_init())
        program.channel()


@pytest.mark.statement("6.1.5")
@pytest.mark.parametrize("first", ["v1", "v2"])
def test_use_of_both_interfaces_is_reported_once(sim, first):
    assert sim.aclInit(None) == 0
    assert sim.aclrtSetDevice(0) == 0
    memory = ctypes.c_void_p()
    for which in ("v1", "v2", "v1") if first == "v1" else ("v2", "v1", "v2"):
        if which == "v2":
            assert sim.hi_mpi_sys_init() == 0
        else:
            assert sim.acldvppMalloc(ctypes.byref(memory), 64) == 0
            assert sim.acldvppFree(memory) == 0
    [report] = sim.take_reports()
    assert report.startswith(f"[mixed-interfaces] {'hi_mpi_sys_init' if first == 'v1' else 'acldvppMalloc'}: ")
    assert sim.hi_mpi_sys_exit() == 0
    assert sim.aclrtResetDevice(0) == 0
    assert sim.aclFinalize() == 0


@pytest.mark.statement("6.1.6")
def test_one_thread_sends_and_another_gets(program):
    chn = program.channel()
    infos = [program.picture() for _ in range(4)]
    got = []

    def receive():
        program.bind()
        for _ in range(300):
            got.append(program.get(chn))

    thread = threading.Thread(target=receive)
    thread.start()
    for number in range(300):
        program.send(chn, infos[number % 4], number)
    thread.join(30)
    assert [one.seq for one in got] == list(range(300))
    assert [one.pts for one in got] == [1000 * number for number in range(300)]


@pytest.mark.statement("6.1.7")
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend910"])
def test_chips_without_v2_refuse_it(soc):
    with simulator.isolated(soc=soc) as sim:
        assert sim.aclInit(None) == 0
        assert sim.aclrtSetDevice(0) == 0
        assert sim.hi_mpi_sys_init() == ctypes.c_int32(0xA0028008).value
        assert soc in sim.error_text()
        assert sim.aclrtResetDevice(0) == 0
        assert sim.aclFinalize() == 0


@pytest.mark.statement("6.1.8")
def test_memory_of_v2(program):
    sim = program.sim
    memory = ctypes.c_void_p()
    assert sim.hi_mpi_dvpp_malloc(0, None, 64) == ctypes.c_int32(0xA0028006).value
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 0) == ctypes.c_int32(0xA0028003).value
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 2**64 - 1) == ctypes.c_int32(0xA0028003).value
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 1 << 50) == ctypes.c_int32(0xA002800C).value
    assert sim.hi_mpi_dvpp_free(None) == ctypes.c_int32(0xA0028006).value
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 64) == 0
    assert sim.hi_mpi_dvpp_free(memory) == 0
    assert sim.hi_mpi_dvpp_free(memory) == ctypes.c_int32(0xA0028003).value
    assert kinds(sim) == ["double-free"]
    assert sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 64) == 0
    assert sim.aclrtFree(memory) == 0
    assert kinds(sim) == ["wrong-free"]
    assert sim.aclrtMalloc(ctypes.byref(memory), 64, 0) == 0
    assert sim.hi_mpi_dvpp_free(memory) == 0, "another allocator's"
    assert kinds(sim) == ["wrong-free"]
    numbers = [ctypes.c_int32(-1) for _ in range(3)]
    assert sim.hi_mpi_dvpp_get_version(*map(ctypes.byref, numbers)) == 0
    assert all(number.value >= 0 for number in numbers)


@pytest.mark.statement("6.1.10")
@pytest.mark.parametrize("given", [0, 1, 77])
def test_memory_of_v2_is_of_the_threads_device_whatever_it_is_given(given):
    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim, device=1) as program:
        memory = ctypes.c_void_p()
        program.ok(sim.hi_mpi_dvpp_malloc(given, ctypes.byref(memory), 128 * 192))
        program.channel()
        program.encode(0, program.picture(address=memory.value))
        assert in_thread(lambda: sim.hi_mpi_dvpp_malloc(given, ctypes.byref(memory), 64)) == BAD_DEVICE_SYS
        program.ok(sim.hi_mpi_dvpp_free(memory))


@pytest.mark.statement("6.1.10")
@pytest.mark.parametrize(("size", "room"), [(1, 64), (32, 64), (100, 160)])
def test_memory_of_v2_takes_two_more_multiples_of_32(program, size, room):
    address = program.memory(size)
    program.fill(address, bytes(room))
    assert program.sim.aclrtMemcpy(address, room + 1, bytes(room + 1), room + 1, 1) == 107000
    assert kinds(program.sim) == ["out-of-bounds"]


@pytest.mark.statement("6.1.9")
def test_lost_device_answers_wakes_and_frees(program):
    sim = program.sim
    chn = program.channel()
    codes = []

    def get():
        program.bind()
        codes.append(sim.hi_mpi_venc_get_stream(chn, *program.get_arguments(), -1))

    def wait():
        event, count = mpi_program.Event(), ctypes.c_int32()
        codes.append(sim.hi_mpi_sys_wait_epoll(epoll.value, ctypes.byref(event), 1, -1, ctypes.byref(count)))

    epoll = ctypes.c_int32()
    program.ok(sim.hi_mpi_sys_create_epoll(1, ctypes.byref(epoll)))
    threads = [threading.Thread(target=target) for target in (get, wait)]
    for thread in threads:
        thread.start()
    eventually(lambda: is_inside(threads[0], "get") and is_inside(threads[1], "wait"))
    with sim.lost_device():
        for thread in threads:
            thread.join(20)
        assert sorted(codes) == sorted([error("SYS_ERROR"), error("SYS_ERR")])
        program.ok(sim.hi_mpi_sys_close_epoll(epoll.value))
        assert sim.hi_mpi_venc_query_status(chn, ctypes.byref(mpi_program.Status())) == error("SYS_ERROR")
        assert sim.hi_mpi_venc_stop_chn(chn) == error("SYS_ERROR")
        assert sim.hi_mpi_venc_destroy_chn(chn) == error("SYS_ERROR")
        program.channels.remove(chn)
        assert sim.live()["V2 channel"] == 0
    assert program.channel() == chn


# ---- 6.2: channels ----


@pytest.mark.statement("6.2.1")
@pytest.mark.parametrize(("soc", "channels"), [("Ascend310P3", 256), ("Ascend310B4", 128)])
def test_channel_ids_are_those_of_the_chip(soc, channels):
    with simulator.isolated(soc=soc, null_codec=500) as sim, Program(sim) as program:
        for chn in (-1, channels, 1 << 20):
            assert create(sim, chn) == error("INVALID_CHN_ID")
            assert sim.hi_mpi_venc_stop_chn(chn) == error("INVALID_CHN_ID")
        program.channel(chn=0)
        program.channel(chn=channels - 1)


@pytest.mark.statement("6.2.2")
def test_id_in_use_exists_until_it_is_destroyed(program):
    program.channel(chn=3)
    assert create(program.sim, 3) == error("EXIST")
    program.destroy(3)
    program.channel(chn=3)


@pytest.mark.statement("6.2.3")
def test_ids_count_for_a_device_or_with_an_option_for_all():
    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim) as program:
        program.channel(chn=5)
        assert sim.aclrtSetDevice(1) == 0
        assert sim.hi_mpi_sys_init() == 0
        with sim.options(v2_shared_ids=1):
            assert create(sim, 5) == error("EXIST")
        assert create(sim, 5) == 0
        assert sim.hi_mpi_venc_destroy_chn(5) == 0
        assert sim.hi_mpi_sys_exit() == 0
        assert sim.aclrtResetDevice(1) == 0


WRONG = [
    {"type": 3},
    {"profile": 4},
    {"is_by_frame": 2},
    {"buf_size": 32 * 1024 - 64},
    {"buf_size": (1 << 20) + 1},
    {"buf_size": (1 << 30) + 64},
    {"max_pic_width": 4098},
    {"pic_width": 126},
    {"pic_width": 130},
    {"pic_height": 4098},
    {"max_pic_height": 256, "pic_height": 129},
]


@pytest.mark.statement("6.2.4")
@pytest.mark.parametrize("members", WRONG, ids=str)
def test_attributes_out_of_range_are_illegal(program, members):
    assert create(program.sim, **members) == error("ILLEGAL_PARAM")
    assert program.sim.live()["V2 channel"] == 0


@pytest.mark.statement("6.2.4")
def test_attributes_of_rate_control_out_of_range_are_illegal(program):
    sim = program.sim
    for member, values in {
        "gop": (0, 65537),
        "stats_time": (0, 61),
        "src_frame_rate": (0, 241, 24),
        "dst_frame_rate": (0, 26),
        "bit_rate": (1, 614401),
    }.items():
        for value in values:
            attr = attributes()
            setattr(attr.rc_attr.h264_cbr, member, value)
            assert create(sim, attr=attr) == error("ILLEGAL_PARAM"), (member, value)
    attr = attributes()
    attr.rc_attr.rc_mode = 11  # of H.265
    assert create(sim, attr=attr) == error("ILLEGAL_PARAM")
    for member in ("i_qp", "p_qp", "b_qp"):
        attr = attributes(mode=mpi_program.FIXQP)
        setattr(attr.rc_attr.h264_fixqp, member, 52)
        assert create(sim, attr=attr) == error("ILLEGAL_PARAM"), member
    for member, values in {"short_term_stats_time": (0, 121), "long_term_stats_time": (0, 1441)}.items():
        for value in values:
            attr = attributes(mode=mpi_program.CVBR)
            setattr(attr.rc_attr.h264_cvbr, member, value)
            assert create(sim, attr=attr) == error("ILLEGAL_PARAM"), (member, value)
    attr = attributes()
    attr.gop_attr.normal_p.ip_qp_delta = 31
    assert create(sim, attr=attr) == error("ILLEGAL_PARAM")
    assert sim.hi_mpi_venc_create_chn(0, None) == error("NULL_PTR")


@pytest.mark.statement("6.2.4")
@pytest.mark.parametrize("codec", [H264, H265])
@pytest.mark.parametrize("mode", range(1, 7))
def test_every_mode_of_rate_control_can_be_created(program, codec, mode):
    chn = program.channel(codec, mode=mode)
    assert program.encode(chn, program.picture(), codec=codec).data


@pytest.mark.statement("6.2.17")
@pytest.mark.parametrize("codec", [H264, H265])
def test_stray_bytes_where_attributes_are_reserved_are_reported(program, codec):
    attr = attributes(codec)
    ctypes.memset(ctypes.byref(attr.venc_attr.h264_attr), 0x5A, ctypes.sizeof(attr.venc_attr.h264_attr))
    program.channel(codec, attr=attr)
    assert kinds(program.sim) == ["uninitialised"]


@pytest.mark.statement("6.2.5")
def test_largest_pictures(program):
    sim = program.sim
    assert create(sim, width=4096, height=2304) == 0
    sim.hi_mpi_venc_destroy_chn(0)
    assert create(sim, width=4096, height=2306) == error("ILLEGAL_PARAM")
    assert create(sim, codec=H265, width=4096, height=4096) == 0
    sim.hi_mpi_venc_destroy_chn(0)


@pytest.mark.statement("6.2.6")
def test_what_is_not_supported_says_so(program):
    sim = program.sim
    assert create(sim, type=26) == error("NOT_SUPPORT")
    assert create(sim, profile=3) == error("NOT_SUPPORT")
    assert create(sim, codec=H265, profile=1) == error("NOT_SUPPORT")
    for gop_mode in range(1, 6):
        attr = attributes()
        attr.gop_attr.gop_mode = gop_mode
        assert create(sim, attr=attr) == error("NOT_SUPPORT")
    attr = attributes()
    attr.rc_attr.rc_mode = 7
    assert create(sim, attr=attr) == error("NOT_SUPPORT")


@pytest.mark.statement("6.2.7")
def test_memory_is_taken_for_the_largest_picture(program):
    sim = program.sim
    with sim.options(memory_limit=1 << 20):
        assert create(sim, max_pic_width=4096, max_pic_height=2304) == error("NO_MEM")
        assert create(sim, buf_size=32 * 1024) == 0
        assert sim.hi_mpi_venc_destroy_chn(0) == 0


@pytest.mark.statement("6.2.8")
def test_start_takes_a_number_of_pictures_and_may_be_repeated(program):
    chn = program.channel(start=False)
    for wrong in (0, -2):
        program.start(chn, wrong, expect=error("ILLEGAL_PARAM"))
    assert program.sim.hi_mpi_venc_start_chn(chn, None) == error("NULL_PTR")
    info = program.picture()
    program.start(chn, 2)
    assert program.status(chn).left_recv_pics == 2
    program.encode(chn, info, 0)
    assert program.status(chn).left_recv_pics == 1
    program.start(chn, 1)
    program.encode(chn, info, 1)
    program.send(chn, info, 2, ms=0, expect=error("NOT_PERM"))
    program.start(chn)
    program.encode(chn, info, 2)


@pytest.mark.statement("6.2.9")
def test_stop_may_be_repeated_and_keeps_what_was_encoded(program):
    chn = program.channel()
    info = program.picture()
    for number in range(3):
        program.send(chn, info, number)
    for _ in range(2):
        program.ok(program.sim.hi_mpi_venc_stop_chn(chn))
    assert [program.get(chn).seq for _ in range(3)] == [0, 1, 2]
    program.start(chn)
    assert program.encode(chn, info, 3).seq == 3


@pytest.mark.statement("6.2.10")
@pytest.mark.parametrize("drops", [0, 1])
def test_stop_goes_on_with_what_waits_or_drops_it_by_an_option(program, drops):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    with sim.options(stall=1, v2_stop_drops=drops):
        for number in range(3):
            program.send(chn, info, number)
        program.ok(sim.hi_mpi_venc_stop_chn(chn))
        assert program.status(chn).left_enc_pics == (0 if drops else 3)
    assert program.status(chn).left_stream_frames == (0 if drops else 3)


@pytest.mark.statement("6.2.11")
def test_destroy_needs_a_stop_before(program):
    chn = program.channel()
    assert program.sim.hi_mpi_venc_destroy_chn(chn) == error("NOT_PERM")
    program.encode(chn, program.picture())


@pytest.mark.statement("6.2.12")
def test_module_parameters_only_while_there_is_no_channel(program):
    sim = program.sim
    program.ok(program.one_stream_buf())
    program.ok(program.one_stream_buf(H265))
    param = ModParam(mod_type=2)
    program.ok(sim.hi_mpi_venc_get_mod_param(ctypes.byref(param)))
    assert (param.mod_type, param.h264_mod_param.one_stream_buf) == (2, 1)
    assert sim.hi_mpi_venc_set_mod_param(ctypes.byref(ModParam(mod_type=6))) == error("ILLEGAL_PARAM")
    assert sim.hi_mpi_venc_set_mod_param(None) == error("NULL_PTR")
    chn = program.channel()
    assert program.one_stream_buf(value=0) == error("NOT_PERM")
    program.destroy(chn)
    program.ok(program.one_stream_buf(value=0))


@pytest.mark.statement("6.2.12")
def test_each_device_has_its_module_parameters():
    def one_stream_buf(sim):
        param = ModParam(mod_type=2)
        assert sim.hi_mpi_venc_get_mod_param(ctypes.byref(param)) == 0
        return param.h264_mod_param.one_stream_buf

    with simulator.isolated(null_codec=500, devices=2) as sim, Program(sim) as program:
        assert sim.aclrtSetDevice(1) == 0
        assert sim.hi_mpi_sys_init() == 0
        program.ok(program.one_stream_buf())
        assert one_stream_buf(sim) == 1
        assert sim.hi_mpi_sys_exit() == 0
        assert sim.aclrtResetDevice(1) == 0
        program.bind()
        assert one_stream_buf(sim) == 0


@pytest.mark.statement("6.2.13")
def test_calls_on_a_channel_that_is_not_there(program):
    sim = program.sim
    calls = {
        "start_chn": [ctypes.byref(StartParam(-1))],
        "stop_chn": [],
        "destroy_chn": [],
        "get_fd": [],
        "query_status": [ctypes.byref(mpi_program.Status())],
        "send_frame": [ctypes.byref(mpi_program.FrameInfo()), 0],
        "get_stream": [*program.get_arguments(), 0],
        "release_stream": program.get_arguments(),
        "request_idr": [1],
        "get_chn_attr": [ctypes.byref(mpi_program.ChnAttr())],
        "get_rc_param": [ctypes.byref(mpi_program.RcParam())],
    }
    for name, arguments in calls.items():
        assert getattr(sim, f"hi_mpi_venc_{name}")(7, *arguments) == error("UNEXIST"), name


@pytest.mark.statement("6.2.14")
def test_destroy_wakes_threads_that_wait_inside(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    codes = []

    def get():
        program.bind()
        codes.append(sim.hi_mpi_venc_get_stream(chn, *program.get_arguments(), -1))

    with sim.options(stall=1):
        for number in range(6):
            program.send(chn, info, number)
        threads = [threading.Thread(target=get) for _ in range(3)]
        for thread in threads:
            thread.start()
        program.destroy(chn)
        for thread in threads:
            thread.join(20)
        assert codes == [error("UNEXIST")] * 3
    assert sim.live()["V2 channel"] == 0


@pytest.mark.statement("6.2.14")
def test_stop_ends_the_wait_of_a_thread_that_sends(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    codes = []

    def send():
        program.bind()
        codes.append(sim.hi_mpi_venc_send_frame(chn, ctypes.byref(info), -1))

    with sim.options(stall=1):
        for number in range(6):
            program.send(chn, info, number)
        sender = threading.Thread(target=send)
        sender.start()
        program.destroy(chn)
        sender.join(20)
        # whichever call of this thread it met
        assert codes[0] in (error("NOT_PERM"), error("UNEXIST"))


@pytest.mark.statement("6.2.16")
def test_streams_that_are_held_end_with_the_channel(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    for number in range(3):
        program.send(chn, info, number)
    held = [program.take(chn) for _ in range(2)]
    program.destroy(chn)
    program.release(chn, held[0], expect=error("UNEXIST"))
    program.channel()
    program.release(chn, held[1], expect=error("ILLEGAL_PARAM"))
    assert kinds(sim) == ["not-held"]
    assert program.encode(chn, info).seq == 0


@pytest.mark.statement("6.2.15")
def test_frames_are_refused_while_the_channel_is_not_started(program):
    chn = program.channel(start=False)
    program.send(chn, program.picture(), expect=error("NOT_PERM"))
