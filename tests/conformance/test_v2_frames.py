# SPDX-License-Identifier: Apache-2.0
"""DVPP V2's C functions: frames in, packets out, waiting for many (statements 6.3 to 6.5)."""

import ctypes
import select
import threading

import pytest

from helpers import annexb, himpi, mpi_program, processes, simulator
from helpers.decode import unit_frames
from helpers.himpi import error
from helpers.mpi_program import ADD, DEL, EDGE, H264, H265, IN, MOD, Event, Program
from helpers.video import psnr, read_watermark, swap_chroma, synthetic
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

TIMEOUT, SIZE_NOT_ENOUGH = ctypes.c_int32(0xA0088014).value, ctypes.c_int32(0xA0088013).value
BOTH = pytest.mark.parametrize(("codec", "name"), [(H264, "h264"), (H265, "h265")], ids=["h264", "h265"])


@pytest.fixture
def sim():
    with simulator.isolated(null_codec=500, watermark=1) as device:
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


def kinds(sim):
    return [text.split("]")[0][1:] for text in sim.take_reports()]


# ---- 6.3: frames in ----


@pytest.mark.statement("6.3.1")
@pytest.mark.parametrize("size", [(128, 130), (144, 128), (0, 0)])
def test_picture_of_another_size_is_illegal(program, size):
    chn = program.channel()
    info = program.picture()
    info.v_frame.width, info.v_frame.height = size
    program.send(chn, info, expect=error("ILLEGAL_PARAM"))


@BOTH
@pytest.mark.statement("6.3.2")
def test_nv12_and_nv21_with_a_stride(codec, name):
    frames = synthetic(200, 144, 6, watermark=True)
    units = []
    with simulator.isolated() as sim, Program(sim) as program:
        chn = program.channel(codec, 200, 144)
        for number, frame in enumerate(frames):
            stride, nv21 = 208 + 16 * (number % 2), number >= 3
            rows = (swap_chroma(frame) if nv21 else frame).tobytes()
            padded = b"".join(rows[at : at + 200] + bytes([number]) * (stride - 200) for at in range(0, len(rows), 200))
            address = program.memory(len(padded))
            program.fill(address, padded)
            info = program.picture(200, 144, address=address)
            info.v_frame.width_stride[0] = info.v_frame.width_stride[1] = stride
            info.v_frame.virt_addr[1] = address + stride * 144
            info.v_frame.pixel_format = 2 if nv21 else 1
            units.append(program.encode(chn, info, number, codec).data)
    decoded = unit_frames(units, name)
    assert [read_watermark(frame) for frame in decoded] == list(range(6))
    assert min(psnr(*pair) for pair in zip(frames, decoded)) > 30


@pytest.mark.statement("6.3.2")
def test_other_formats_and_strides_are_refused(program):
    chn = program.channel()
    info = program.picture()
    for pixel_format in (0, 3, 12):
        info.v_frame.pixel_format = pixel_format
        program.send(chn, info, expect=error("NOT_SUPPORT"))
    info.v_frame.pixel_format = 1
    for stride in (0, 112, 136):
        info.v_frame.width_stride[0] = stride
        program.send(chn, info, expect=error("ILLEGAL_PARAM"))


@pytest.mark.statement("6.3.3")
@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("field", "ILLEGAL_PARAM"),
        ("color_gamut", "ILLEGAL_PARAM"),
        ("compress_mode", "NOT_SUPPORT"),
        ("video_format", "NOT_SUPPORT"),
        ("dynamic_range", "NOT_SUPPORT"),
    ],
)
def test_stray_bytes_in_a_frame_are_refused_and_reported(program, member, code):
    chn = program.channel()
    info = program.picture()
    setattr(info.v_frame, member, 0x5A5A5A5A)
    program.send(chn, info, expect=error(code))
    assert kinds(program.sim) == ["uninitialised"]
    assert program.sim.hi_mpi_venc_send_frame(chn, None, 0) == error("NULL_PTR")


@pytest.mark.statement("6.3.4")
def test_picture_has_to_be_in_device_memory(program):
    sim = program.sim
    chn = program.channel()
    own = ctypes.create_string_buffer(128 * 192)
    program.send(chn, program.picture(address=ctypes.addressof(own)), expect=error("BAD_ADDR"))
    small = program.memory(128 * 192 - 64)
    program.send(chn, program.picture(address=small), expect=error("BAD_ADDR"))
    assert kinds(sim) == ["foreign-memory"] * 2
    info = program.picture()
    info.v_frame.virt_addr[0] = None
    program.send(chn, info, expect=error("NULL_PTR"))


@pytest.mark.statement("6.3.5")
def test_memory_of_aclrtmalloc_is_taken_or_refused_by_an_option(program):
    sim = program.sim
    chn = program.channel()
    memory = ctypes.c_void_p()
    assert sim.aclrtMalloc(ctypes.byref(memory), 128 * 192, 0) == 0
    info = program.picture(address=memory.value)
    program.encode(chn, info)
    with sim.options(v2_own_memory=1):
        program.send(chn, info, 1, expect=error("BAD_ADDR"))
        program.encode(chn, program.picture(), 1)
    assert kinds(sim) == ["foreign-memory"]
    assert sim.aclrtFree(memory) == 0


@pytest.mark.statement("6.3.6")
def test_six_frames_wait_and_one_more_has_no_buffer(program):
    chn = program.channel()
    info = program.picture()
    with program.sim.options(stall=1):
        for number in range(6):
            program.send(chn, info, number, ms=0)
        program.send(chn, info, 6, ms=0, expect=error("NO_BUF"))
        assert program.status(chn).left_enc_pics == 6
    assert [program.get(chn).seq for _ in range(6)] == list(range(6))
    program.send(chn, info, 6, ms=0)
    assert program.get(chn).seq == 6


@pytest.mark.statement("6.3.7")
def test_send_waits_for_room_as_long_as_it_is_told(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    with sim.options(stall=1, v2_send_timeout=20):
        for number in range(6):
            program.send(chn, info, number)
        program.send(chn, info, 6, ms=20, expect=TIMEOUT)
        program.send(chn, info, 6, ms=-2, expect=error("ILLEGAL_PARAM"))
        sender = threading.Thread(target=lambda: (program.bind(), program.send(chn, info, 6, ms=-1)))
        sender.start()
    sender.join(20)
    assert [program.get(chn).pts for _ in range(7)] == [1000 * number for number in range(7)]
    with sim.options(stall=1):
        for number in range(6):
            program.send(chn, info, number)
        program.send(chn, info, 6, ms=20, expect=error("NO_BUF"))


@pytest.mark.statement("6.3.8")
def test_picture_freed_before_its_packet_is_reported(program):
    sim = program.sim
    chn = program.channel()
    memory = ctypes.c_void_p()
    program.ok(sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 128 * 192))
    program.send(chn, program.picture(address=memory.value))
    assert program.status(chn).left_stream_frames == 1, "encoded already, and still not the program's"
    program.ok(sim.hi_mpi_dvpp_free(memory))
    assert kinds(sim) == ["early-free"]
    program.get(chn)
    program.ok(sim.hi_mpi_dvpp_malloc(0, ctypes.byref(memory), 128 * 192))
    program.send(chn, program.picture(address=memory.value))
    program.get(chn)
    program.ok(sim.hi_mpi_dvpp_free(memory))


@pytest.mark.statement("6.3.8")
def test_picture_changed_before_its_packet_is_reported(program):
    chn = program.channel()
    info = program.picture()
    program.send(chn, info)
    program.fill(info.v_frame.virt_addr[0], b"changed")
    program.get(chn)
    written, found = program.sim.take_reports()
    assert written.startswith("[input-modified] aclrtMemcpy")
    assert found.startswith("[input-modified] hi_mpi_venc_get_stream")


@pytest.mark.statement("6.3.8")
def test_copies_on_a_stream_that_nothing_waits_for_are_reported(program):
    sim, chn, info = program.sim, program.channel(), program.picture()
    stream, host = ctypes.c_void_p(), ctypes.c_void_p()
    program.ok(sim.aclrtCreateStream(ctypes.byref(stream)))
    program.ok(sim.aclrtMallocHost(ctypes.byref(host), 4096))
    for waits in (True, False):
        program.ok(sim.aclrtMemcpyAsync(info.v_frame.virt_addr[0], 4096, host, 4096, 1, stream))
        if waits:
            program.ok(sim.aclrtSynchronizeStream(stream))
        program.send(chn, info, 2 * (not waits))
        got = program.take(chn)
        pack = got.packs[0]
        program.ok(sim.aclrtMemcpyAsync(host, 4096, pack.addr, pack.len, 2, stream))
        if waits:
            program.ok(sim.aclrtSynchronizeStream(stream))
        program.release(chn, got)
        assert kinds(sim) == ([] if waits else ["unsynchronised", "late-output"])
    program.ok(sim.aclrtDestroyStream(stream))
    program.ok(sim.aclrtFreeHost(host))


@pytest.mark.statement("6.3.8")
def test_pictures_of_one_allocation_are_told_apart(program):
    size = 128 * 192
    chn, pool = program.channel(), program.memory(2 * size)
    program.send(chn, program.picture(address=pool))
    program.fill(pool + size, bytes(size))
    assert program.sim.reports() == []
    program.fill(pool + size - 1, bytes(size))
    assert kinds(program.sim) == ["input-modified"]
    program.get(chn)
    program.fill(pool, bytes(2 * size))


@pytest.mark.statement("6.3.9")
def test_packet_names_its_input_and_time(program):
    chn = program.channel()
    infos = [program.picture() for _ in range(3)]
    for number in (2, 0, 1):
        infos[number].v_frame.pts = 1 << 63 | number
        program.ok(program.sim.hi_mpi_venc_send_frame(chn, ctypes.byref(infos[number]), 0))
    for number in (2, 0, 1):
        got = program.get(chn)
        assert (got.pts, got.input_addr) == (1 << 63 | number, infos[number].v_frame.virt_addr[0])


@pytest.mark.statement("6.3.10")
def test_odd_time_ref_is_illegal(program):
    chn = program.channel()
    info = program.picture()
    info.v_frame.time_ref = 3
    assert program.sim.hi_mpi_venc_send_frame(chn, ctypes.byref(info), 0) == error("ILLEGAL_PARAM")


@pytest.mark.statement("6.3.11")
@pytest.mark.parametrize(("value", "member"), [(1, "time_ref"), (2, "pts"), (3, "pool_id")])
def test_second_frame_with_zeros_fails_by_an_option(program, value, member):
    sim = program.sim
    chn = program.channel()
    info = program.picture()

    def send():
        return sim.hi_mpi_venc_send_frame(chn, ctypes.byref(info), 0)

    assert send() == send() == 0
    program.destroy(chn)
    program.channel()
    with sim.options(v2_second_frame=value):
        assert send() == 0
        assert send() == error("ILLEGAL_PARAM")
        assert member in sim.error_text()
        setattr(info if member == "pool_id" else info.v_frame, member, 2)
        assert send() == 0


@pytest.mark.statement("6.3.4")
def test_luma_has_to_be_in_its_allocation_wherever_the_chroma_is(program):
    chn = program.channel()
    for rows, code in ((127, error("BAD_ADDR")), (128, 0)):
        address = program.memory(128 * rows)
        info = program.picture(address=address)
        for row in (0, 63):
            info.v_frame.virt_addr[1] = address + 128 * row
            program.send(chn, info, expect=code)
            if code == 0:
                program.get(chn)
    assert kinds(program.sim) == ["foreign-memory"] * 2


@pytest.mark.statement("6.3.12")
def test_chroma_is_where_the_structure_says(program):
    chn = program.channel()
    address = program.memory(128 * 256)
    program.fill(address, bytes([50]) * (128 * 128) + bytes([99]) * (128 * 64) + bytes([60]) * (128 * 64))
    info = program.picture(address=address)
    marks = []
    for place in (128 * 128, 128 * 192, None):
        info.v_frame.virt_addr[1] = None if place is None else address + place
        marks.append(simulator.mark_of(program.encode(chn, info).data)[2])
    assert marks[0] == marks[2] != marks[1]


# ---- 6.4: packets out ----


@pytest.mark.statement("6.4.1")
def test_status_tells_what_waits_and_what_can_be_got(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    assert sim.hi_mpi_venc_query_status(chn, None) == error("NULL_PTR")
    assert program.status(chn).cur_packs == 0
    with sim.options(stall=1):
        for number in range(3):
            program.send(chn, info, number)
        status = program.status(chn)
        assert (status.left_pics, status.left_enc_pics, status.left_stream_frames, status.cur_packs) == (3, 3, 0, 0)
    status = program.status(chn)
    assert (status.left_pics, status.left_enc_pics, status.left_stream_frames, status.cur_packs) == (0, 0, 3, 3)
    assert status.left_stream_bytes == 1500
    assert (status.stream_info.pic_bytes, status.stream_info.ref_type) == (500, 0)
    program.get(chn)
    status = program.status(chn)
    assert (status.left_stream_frames, status.cur_packs, status.stream_info.ref_type) == (2, 1, 2)
    assert status.release_pic_pts == 0
    program.get(chn)
    assert program.status(chn).release_pic_pts == 1000


@pytest.mark.statement("6.4.2")
def test_room_for_packs_is_the_callers(program):
    sim = program.sim
    chn = program.channel()
    program.send(chn, program.picture())
    program.take(chn, room=2, expect=SIZE_NOT_ENOUGH)
    stream = program.take(chn, room=3)
    assert stream.pack_cnt == 3
    program.release(chn, stream)
    assert sim.hi_mpi_venc_get_stream(chn, None, 0) == error("NULL_PTR")
    assert sim.hi_mpi_venc_get_stream(chn, ctypes.byref(mpi_program.Stream()), 0) == error("NULL_PTR")


@pytest.mark.statement("6.4.3")
def test_get_waits_as_long_as_it_is_told(program):
    sim = program.sim
    chn = program.channel()
    program.take(chn, ms=0, expect=error("BUF_EMPTY"))
    program.take(chn, ms=20, expect=TIMEOUT)
    program.take(chn, ms=-2, expect=error("ILLEGAL_PARAM"))
    with sim.options(v2_get_timeout=14):
        program.take(chn, ms=20, expect=error("BUF_EMPTY"))
    got = []
    receiver = threading.Thread(target=lambda: (program.bind(), got.append(program.get(chn, ms=-1))))
    receiver.start()
    program.send(chn, program.picture())
    receiver.join(20)
    assert got[0].seq == 0


@pytest.mark.statement("6.4.4")
@pytest.mark.parametrize(("by_frame", "pictures", "packs"), [(1, 1, 3), (0, 3, 1)])
def test_status_counts_what_the_next_call_gives(program, by_frame, pictures, packs):
    """pic_cnt: frames where they are whole, else the packs of the one that is next (as the headers describe it)."""
    chn = program.channel(is_by_frame=by_frame)
    program.send(chn, program.picture())
    eventually(lambda: program.status(chn).cur_packs)
    status = program.status(chn)
    assert (status.cur_packs, status.stream_info.pic_cnt) == (packs, pictures)
    for _ in range(pictures):
        program.get(chn)


@pytest.mark.statement("6.4.4")
def test_one_unit_at_a_time_where_is_by_frame_is_0(program):
    chn = program.channel(is_by_frame=0)
    info = program.picture()
    units, ends, numbers = [], [], []
    for number in range(2):
        program.send(chn, info, number)
        for _ in range(3 if number == 0 else 1):
            assert program.status(chn).cur_packs == 1
            got = program.get(chn)
            units.append((got.types, got.data[:5]))
            ends.append(got.end)
            numbers.append(got.seq)
    assert numbers == [0, 1, 2, 3], "of packets, not of frames"
    assert [types for types, _ in units] == [[7], [8], [5], [1]]
    assert all(data[:4] == b"\0\0\0\1" for _, data in units)
    assert ends == [False, False, True, True]


@pytest.mark.statement("6.4.5")
@BOTH
def test_a_frame_is_a_pack_for_each_unit_or_one_for_all(program, codec, name):
    chn = program.channel(codec)
    info = program.picture()
    split = program.encode(chn, info, codec=codec)
    types = [7, 8, 5] if codec == H264 else [32, 33, 34, 19]
    assert split.types == types
    assert split.parts == [[]] * len(types)
    program.destroy(chn)
    program.ok(program.one_stream_buf(codec))
    program.channel(codec)
    whole = program.encode(chn, info, codec=codec)
    assert whole.types == types[-1:]
    assert whole.data == split.data
    (parts,) = whole.parts
    assert [kind for kind, _, _ in parts] == types
    assert b"".join(whole.data[offset : offset + size] for _, offset, size in parts) == whole.data
    assert program.encode(chn, info, 1, codec).types == [1]


@pytest.mark.statement("6.4.6")
@pytest.mark.parametrize("one", [0, 1])
def test_data_begin_at_the_offset(program, one):
    chn = program.channel()
    info = program.picture()
    plain = program.encode(chn, info).data
    program.destroy(chn)
    program.ok(program.one_stream_buf(value=one))
    with program.sim.options(v2_pack_offset=48):
        program.channel()
    program.send(chn, info)
    stream = program.take(chn)
    assert {pack.offset for pack in stream.packs[: stream.pack_cnt]} == {48}
    assert program.read(stream).data == plain
    program.release(chn, stream)


@pytest.mark.statement("6.4.7")
@pytest.mark.parametrize("action", [simulator.FRAME_RET_CODE, simulator.FRAME_EMPTY])
def test_frame_that_failed_has_a_packet_of_len_0(program, action):
    chn = program.channel()
    info = program.picture()
    with program.sim.failing_frame(action, nth=2, value=9):
        for number in range(3):
            program.send(chn, info, number)
    got = [program.get(chn) for _ in range(3)]
    assert [one.failed for one in got] == [False, True, False]
    assert [one.seq for one in got] == [0, 1, 2]
    assert (got[1].pts, got[1].input_addr, got[1].data) == (1000, info.v_frame.virt_addr[0], b"")


@pytest.mark.statement("6.4.8")
def test_packets_are_in_device_memory_and_the_programs_until_released(program):
    sim = program.sim
    chn = program.channel()
    program.send(chn, program.picture())
    stream = program.take(chn)
    address, size = stream.packs[0].addr, stream.packs[0].len
    data = program.read(stream).data
    assert annexb.access_units(data, "h264")[0].is_idr
    program.release(chn, stream)
    buffer = ctypes.create_string_buffer(size)
    assert sim.aclrtMemcpy(buffer, size, address, size, 2) == 0
    assert kinds(sim) == ["late-output"]
    assert set(buffer.raw) == {0xDB}


@pytest.mark.statement("6.4.9")
def test_full_stream_buffer_stops_encoding_until_packets_are_released(sim):
    with sim.options(null_codec=30000), Program(sim) as program:
        chn = program.channel(buf_size=1 << 17)
        info = program.picture()
        for number in range(4):
            program.send(chn, info, number)
        program.send(chn, info, 4)
        assert program.status(chn).left_enc_pics == 1
        held = [program.take(chn) for _ in range(4)]
        assert program.status(chn).left_stream_frames == 0, "getting makes no room"
        program.take(chn, 10, expect=TIMEOUT)
        assert "1 frame(s) wait in channel 0, 0 can be got, 4 are not released" in sim.error_text()
        program.release(chn, held[0])
        assert program.status(chn).left_stream_frames == 1
        for stream in held[1:]:
            program.release(chn, stream)
        for number in range(5, 100):
            program.send(chn, info, number)
            got = program.get(chn)
            assert got.seq == number - 1
            assert len(got.data) == 30000
            assert simulator.mark_of(got.data)[:2] == (128, 128)
        program.get(chn)


@pytest.mark.statement("6.4.9")
def test_full_stream_buffer_stops_the_real_codec_too():
    frames = synthetic(176, 144, 40, watermark=True)
    with simulator.isolated() as sim, Program(sim) as program:
        chn = program.channel(H264, 176, 144, mode=mpi_program.FIXQP, buf_size=64 * 1024, gop=1)
        infos = [program.picture(176, 144, data=frame.tobytes()) for frame in frames]
        units, number = [], 0
        while len(units) < len(frames):
            while number < len(frames):
                code = sim.hi_mpi_venc_send_frame(chn, ctypes.byref(infos[number]), 0)
                if code == error("NO_BUF"):
                    break
                program.ok(code)
                number += 1
            units.append(program.get(chn).data)
    assert [read_watermark(frame) for frame in unit_frames(units, "h264")] == list(range(40))


@pytest.mark.statement("6.4.10")
def test_release_is_in_the_order_got(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    for number in range(3):
        program.send(chn, info, number)
    first, second = program.take(chn), program.take(chn)
    program.release(chn, second, expect=error("ILLEGAL_PARAM"))
    assert kinds(sim) == ["release-order"]
    program.release(chn, first)
    program.release(chn, first, expect=error("ILLEGAL_PARAM"))
    program.release(chn, mpi_program.Stream(), expect=error("NULL_PTR"))
    assert kinds(sim) == ["not-held"]
    program.release(chn, second)
    program.get(chn)


@pytest.mark.statement("6.4.10")
def test_packets_of_one_frame_are_released_in_the_order_got(program):
    sim = program.sim
    chn = program.channel(is_by_frame=0)
    program.send(chn, program.picture())
    first, second = program.take(chn), program.take(chn)  # the frame has a third
    assert (first.seq, second.seq) == (0, 1)
    program.release(chn, second, expect=error("ILLEGAL_PARAM"))
    assert "packet 1 of channel" in sim.error_text()
    assert kinds(sim) == ["release-order"]
    program.release(chn, first)
    program.release(chn, second)
    third = program.take(chn)
    third.seq = 0  # as a frame's would be
    program.release(chn, third, expect=error("ILLEGAL_PARAM"))
    assert kinds(sim) == ["not-held"]
    third.seq = 2
    program.release(chn, third)


@pytest.mark.statement("6.4.11")
@BOTH
def test_stream_tells_what_a_frame_is(codec, name):
    frames = synthetic(176, 144, 5)
    with simulator.isolated() as sim, Program(sim) as program:
        chn = program.channel(codec, 176, 144, gop=3, mode=mpi_program.FIXQP)
        seen = []
        for number, frame in enumerate(frames):
            program.send(chn, program.picture(176, 144, data=frame.tobytes()), number)
            stream = program.take(chn)
            info = stream.h264_info if codec == H264 else stream.h265_info
            seen.append((stream.packs[stream.pack_cnt - 1].data_type.h264_type, info.ref_type, info.mean_qp))
            assert info.pic_bytes == sum(pack.len for pack in stream.packs[: stream.pack_cnt])
            program.release(chn, stream)
    key = 5 if codec == H264 else 19
    assert seen == [(key, 0, 26), (1, 2, 28), (1, 2, 28), (key, 0, 26), (1, 2, 28)]


@pytest.mark.statement("6.4.12")
def test_access_unit_that_the_buffer_cannot_hold_fails(sim):
    with sim.options(null_codec=40000), Program(sim) as program:
        chn = program.channel(buf_size=32 * 1024)
        info = program.picture()
        for number in range(2):
            assert program.encode(chn, info, number).failed


@pytest.mark.statement("6.4.13")
def test_frames_that_go_wrong_on_purpose(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    with sim.failing_frame(simulator.FRAME_DROP, nth=2):
        for number in range(3):
            program.send(chn, info, number)
    assert [program.get(chn).seq for _ in range(2)] == [0, 2]
    program.take(chn, ms=0, expect=error("BUF_EMPTY"))
    with sim.failing_frame(simulator.FRAME_TWICE):
        program.send(chn, info, 3)
    twice = [program.get(chn) for _ in range(2)]
    assert [one.seq for one in twice] == [3, 3] and twice[0].data == twice[1].data
    with sim.failing_frame(simulator.FRAME_HUGE, value=20000):
        program.send(chn, info, 4)
    assert len(program.get(chn).data) == 20000
    with sim.failing_frame(simulator.FRAME_HUGE, value=1 << 30):
        program.send(chn, info, 5)
    assert program.get(chn).failed
    with sim.failing_frame(simulator.FRAME_NO_OUTPUT):
        program.send(chn, info, 6)
    stream = program.take(chn)
    assert (stream.packs[0].addr, stream.packs[0].len) == (None, 500)
    program.release(chn, stream)
    with sim.failing_frame(simulator.FRAME_DELAY, value=1000):
        program.send(chn, info, 7)
        assert program.get(chn).seq == 7


@pytest.mark.statement("6.4.14")
def test_calls_can_fail_and_hang_as_those_of_v1(program):
    sim = program.sim
    chn = program.channel()
    info = program.picture()
    for _, _, name, _ in himpi.FUNCTIONS:
        assert sim.aclsim_fail_call(name.encode(), 1, -5, 0) == 0
        assert sim.aclsim_hang_call(name.encode(), 1, 0) == 0
        sim.aclsim_clear_faults()
    with sim.failing_call("hi_mpi_venc_send_frame", code=error("NO_BUF")):
        program.send(chn, info, expect=error("NO_BUF"))
    with sim.failing_call("hi_mpi_venc_get_fd", code=507899):
        assert sim.hi_mpi_venc_get_fd(chn) == -1
    with sim.failing_call("hi_mpi_venc_send_frame", code=error("BUSY"), after=True):
        program.send(chn, info, expect=error("BUSY"))
    assert program.get(chn).seq == 0
    done = []
    with sim.hanging_call("hi_mpi_venc_get_stream") as wait_hung:
        receiver = threading.Thread(target=lambda: (program.bind(), done.append(program.get(chn))))
        receiver.start()
        wait_hung()
        assert program.encode(chn, info).seq == 1
        program.send(chn, info)
        assert done == []
    receiver.join(20)
    assert done[0].seq == 2


# ---- 6.5: waiting for many ----


class Poll:
    """An epoll of the vendor's with the channels' descriptors in it."""

    def __init__(self, program):
        self.program, self.sim = program, program.sim
        fd = ctypes.c_int32()
        program.ok(self.sim.hi_mpi_sys_create_epoll(10, ctypes.byref(fd)))
        self.fd = fd.value
        self.fds = {}

    def control(self, operation, fd, data=0, events=IN):
        event = Event(events, data)
        return self.sim.hi_mpi_sys_ctl_epoll(self.fd, operation, fd, ctypes.byref(event))

    def add(self, chn, data=None, events=IN):
        self.fds[chn] = self.sim.hi_mpi_venc_get_fd(chn)
        assert self.fds[chn] > 0
        self.program.ok(self.control(ADD, self.fds[chn], chn if data is None else data, events))

    def wait(self, ms=0, most=64):
        events, count = (Event * most)(), ctypes.c_int32(-1)
        self.program.ok(self.sim.hi_mpi_sys_wait_epoll(self.fd, events, most, ms, ctypes.byref(count)))
        return [(event.data or 0) for event in events[: count.value]]

    def close(self):
        for fd in self.fds.values():
            self.program.ok(self.control(DEL, fd))
        self.program.ok(self.sim.hi_mpi_sys_close_epoll(self.fd))


@pytest.fixture
def poll(program):
    made = Poll(program)
    yield made
    made.close()


@pytest.mark.statement("6.5.1")
def test_wait_gives_the_channels_with_frames_and_0_without(program, poll):
    for chn in range(3):
        program.channel(chn=chn)
        poll.add(chn)
    info = program.picture()
    assert poll.wait(0) == poll.wait(20) == []
    program.send(2, info)
    program.send(0, info)
    assert poll.wait(-1) == [2, 0]
    program.get(2)
    assert poll.wait(5000) == [0]
    program.get(0)
    assert poll.wait(0) == []


@pytest.mark.statement("6.5.1")
def test_wait_is_woken_by_a_frame(program, poll):
    program.channel(chn=1)
    poll.add(1, data=77)
    seen = []
    waiter = threading.Thread(target=lambda: seen.append(poll.wait(-1)))
    waiter.start()
    program.send(1, program.picture())
    waiter.join(20)
    assert seen == [[77]]
    program.get(1)


@pytest.mark.statement("6.5.2")
def test_level_and_edge_triggered(program, poll):
    program.channel(chn=1)
    program.channel(chn=2)
    poll.add(1)
    poll.add(2, events=IN | EDGE)
    info = program.picture()
    for chn in (1, 2):
        program.send(chn, info)
    assert sorted(poll.wait()) == [1, 2]
    assert poll.wait() == [1], "the edge is over, the level stays"
    program.send(2, info)
    assert sorted(poll.wait()) == [1, 2]
    program.ok(poll.control(MOD, poll.fds[2], 9))
    assert sorted(poll.wait()) == [1, 9]
    assert [poll.wait(most=1)[0] for _ in range(4)] in ([1, 9, 1, 9], [9, 1, 9, 1]), "in turns"
    program.get(1)
    for _ in range(2):
        program.get(2)
    assert poll.wait() == []


@pytest.mark.statement("6.5.3")
def test_descriptor_is_not_the_kernels_on_a_host(program):
    program.channel()
    fd = program.sim.hi_mpi_venc_get_fd(0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        select.epoll().register(fd)


@pytest.mark.statement("6.5.3")
def test_descriptor_can_be_polled_by_the_kernel_on_a_board():
    with simulator.isolated(soc="Ascend310B4", null_codec=500) as sim, Program(sim) as program:
        program.channel()
        fd = sim.hi_mpi_venc_get_fd(0)
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(0) == []
        program.send(0, program.picture())
        assert poller.poll(5000) == [(fd, select.POLLIN)]
        program.get(0)
        assert poller.poll(0) == []
        program.ok(sim.hi_mpi_venc_close_fd(0))


@pytest.mark.statement("6.5.4")
def test_codes_of_epoll(program, poll):
    sim = program.sim
    program.channel()
    poll.add(0)
    fd, count, event = ctypes.c_int32(), ctypes.c_int32(), Event()
    assert sim.hi_mpi_sys_create_epoll(0, ctypes.byref(fd)) == error("SYS_ILLEGAL_PARAM")
    assert sim.hi_mpi_sys_create_epoll(1, None) == error("SYS_NULL_PTR")
    assert sim.hi_mpi_sys_ctl_epoll(poll.fd, 4, poll.fds[0], ctypes.byref(event)) == error("SYS_ILLEGAL_PARAM")
    assert sim.hi_mpi_sys_ctl_epoll(poll.fd, ADD, poll.fds[0], None) == error("SYS_NULL_PTR")
    assert sim.hi_mpi_sys_ctl_epoll(poll.fd, ADD, 12345, ctypes.byref(event)) == error("SYS_ILLEGAL_PARAM")
    assert sim.hi_mpi_sys_ctl_epoll(12345, ADD, poll.fds[0], ctypes.byref(event)) == error("SYS_UNEXIST")
    assert poll.control(ADD, poll.fds[0]) == error("SYS_EXIST")
    program.ok(sim.hi_mpi_sys_ctl_epoll(poll.fd, DEL, poll.fds.pop(0), None))
    assert poll.control(DEL, sim.hi_mpi_venc_get_fd(0)) == error("SYS_UNEXIST")
    for arguments, code in (
        ((12345, ctypes.byref(event), 1, 0, ctypes.byref(count)), "SYS_UNEXIST"),
        ((poll.fd, None, 1, 0, ctypes.byref(count)), "SYS_NULL_PTR"),
        ((poll.fd, ctypes.byref(event), 1, 0, None), "SYS_NULL_PTR"),
        ((poll.fd, ctypes.byref(event), 0, 0, ctypes.byref(count)), "SYS_ILLEGAL_PARAM"),
        ((poll.fd, ctypes.byref(event), 1, -2, ctypes.byref(count)), "SYS_ILLEGAL_PARAM"),
    ):
        assert sim.hi_mpi_sys_wait_epoll(*arguments) == error(code)
    assert sim.hi_mpi_sys_close_epoll(12345) == error("SYS_UNEXIST")


@pytest.mark.statement("6.5.5")
def test_closing_an_epoll_wakes_who_waits_in_it(program):
    poll = Poll(program)
    program.channel()
    poll.add(0)
    codes = []

    def wait():
        event, count = Event(), ctypes.c_int32()
        while True:  # until it is closed, whichever call meets it
            code = program.sim.hi_mpi_sys_wait_epoll(poll.fd, ctypes.byref(event), 1, -1, ctypes.byref(count))
            if code != 0:
                codes.append(code)
                return

    waiters = [threading.Thread(target=wait) for _ in range(2)]
    for waiter in waiters:
        waiter.start()
    poll.close()
    for waiter in waiters:
        waiter.join(20)
    assert codes == [error("SYS_UNEXIST")] * 2


@pytest.mark.statement("6.5.6")
def test_descriptor_lives_until_it_is_closed_or_its_channel_destroyed(program):
    sim = program.sim
    poll = Poll(program)
    program.channel()
    poll.add(0)
    assert sim.hi_mpi_venc_get_fd(0) == poll.fds[0]
    program.ok(sim.hi_mpi_venc_close_fd(0))
    assert kinds(sim) == ["still-in-epoll"]
    assert sim.hi_mpi_venc_close_fd(0) == error("UNEXIST")
    assert poll.control(DEL, poll.fds[0]) == error("SYS_ILLEGAL_PARAM")
    poll.add(0)
    program.send(0, program.picture())
    program.destroy(0)
    assert kinds(sim) == ["still-in-epoll"]
    assert poll.wait() == [], "what is gone is not ready"
    poll.fds.clear()
    poll.close()


@pytest.mark.statement("6.5.11")
def test_descriptor_can_be_closed_behind_its_channel(program):
    sim = program.sim
    assert program.channel() == 0
    assert sim.hi_mpi_venc_get_fd(0) > 0
    program.destroy(0)
    program.ok(sim.hi_mpi_venc_close_fd(0))
    assert sim.hi_mpi_venc_close_fd(-1) == error("INVALID_CHN_ID")


@pytest.mark.statement("6.5.12")
def test_descriptor_on_a_board_is_never_standard_input():
    program = """
import os, sys
sys.path.insert(0, sys.argv[1])
from helpers import simulator
from helpers.mpi_program import Program
with simulator.isolated(soc="Ascend310B4", null_codec=500) as sim, Program(sim) as program:
    program.channel()
    os.close(0)
    descriptor = sim.hi_mpi_venc_get_fd(0)
    assert descriptor > 0, descriptor
    assert sim.hi_mpi_venc_get_fd(0) == descriptor
    assert os.dup(descriptor) == 0, "it is free again"
"""
    done = processes.run(program, simulator.ROOT / "tests")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.statement("6.5.7")
def test_channel_wakes_with_its_first_frame_whatever_number_it_is_told(program, poll):
    sim = program.sim
    program.channel()
    poll.add(0)
    param = mpi_program.ChnParam()
    program.ok(sim.hi_mpi_venc_get_chn_param(0, ctypes.byref(param)))
    param.poll_wake_up_frame_cnt = 3
    program.ok(sim.hi_mpi_venc_set_chn_param(0, ctypes.byref(param)))
    program.ok(sim.hi_mpi_venc_get_chn_param(0, ctypes.byref(param)))
    assert param.poll_wake_up_frame_cnt == 3
    program.send(0, program.picture())
    assert poll.wait() == [0]


@pytest.mark.statement("6.5.9")
def test_channel_parameters_that_are_reserved_are_kept_and_change_nothing(program):
    sim = program.sim
    program.channel()
    param, kept = mpi_program.ChnParam(), mpi_program.ChnParam()
    ctypes.memset(ctypes.byref(param), 0x5A, ctypes.sizeof(param))
    assert sim.hi_mpi_venc_set_chn_param(0, ctypes.byref(param)) == error("ILLEGAL_PARAM")
    param.priority = 1
    program.ok(sim.hi_mpi_venc_set_chn_param(0, ctypes.byref(param)))
    assert kinds(sim) == ["uninitialised"], "the priority's"
    program.ok(sim.hi_mpi_venc_get_chn_param(0, ctypes.byref(kept)))
    assert bytes(kept) == bytes(param)
    program.encode(0, program.picture())


@pytest.mark.statement("6.5.10")
def test_encoding_goes_on_whatever_number_of_streams_a_channel_may_hold(program):
    sim = program.sim
    program.channel()
    param = mpi_program.ChnParam(max_stream_cnt=2, poll_wake_up_frame_cnt=1)
    program.ok(sim.hi_mpi_venc_set_chn_param(0, ctypes.byref(param)))
    info = program.picture()
    for number in range(4):
        program.send(0, info, number)
    assert (program.status(0).left_stream_frames, program.status(0).left_enc_pics) == (4, 0)
    assert [program.get(0).seq for _ in range(4)] == [0, 1, 2, 3]


@pytest.mark.statement("6.5.8")
def test_one_thread_serves_many_channels(sim):
    with sim.options(encode_time_us=200), Program(sim) as program:
        poll = Poll(program)
        infos = [program.picture() for _ in range(16)]
        for chn in range(16):
            program.channel(chn=chn)
            poll.add(chn)
        got = {chn: [] for chn in range(16)}

        def serve():
            program.bind()
            while sum(map(len, got.values())) < 16 * 20:
                for chn in poll.wait(-1):
                    stream = program.take(chn, ms=0)
                    got[chn].append(program.read(stream).pts)
                    program.release(chn, stream)

        server = threading.Thread(target=serve)
        server.start()
        for number in range(20):
            for chn in range(16):
                program.send(chn, infos[chn], number)
        server.join(60)
        assert got == {chn: [1000 * number for number in range(20)] for chn in range(16)}
        poll.close()
        eventually(lambda: sim.live()["V2 epoll"] == 0)
