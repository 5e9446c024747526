# SPDX-License-Identifier: Apache-2.0
"""Programs written against acl.himpi, one for each subject: see tests/conformance/test_himpi_device.py.

    python himpi_program.py NAME [ARGUMENT...]

V1 and V2 must not be mixed in one process, so none of this can run beside the other tests. Raises, or prints "ok".
"""

import ctypes
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ascend_venc import acl, diagnosis
from helpers import himpi, himpi_names, live, simulator, waiting
from helpers.pyacl import function, ok

H264, H265 = 96, 265
CODECS = {"h264": H264, "h265": H265}
MODES = ("cbr", "vbr", "avbr", "qvbr", "cvbr", "fixqp")
ADD, DEL, IN = 1, 3, 1
SIZE = 128 * 128 * 3 // 2


def code(name):
    """A code as acl.himpi gives it."""
    return himpi.error(name) & 0xFFFFFFFF


def subject(function):
    """A subject for any device."""
    function.is_subject = True
    return function


def simulated(function):
    """One that asks the simulated device what hardware cannot tell, or of which hardware may do otherwise."""
    function.is_simulated = True
    return subject(function)


# ---- a program -------------------------------------------------------------------------------------------------------


def attributes(codec="h264", mode="cbr", **rate):
    values = {"gop": 30, "stats_time": 1, "src_frame_rate": 25, "dst_frame_rate": 25}
    if mode == "fixqp":
        values = {"gop": 30, "src_frame_rate": 25, "dst_frame_rate": 25, "i_qp": 26, "p_qp": 28}
    elif mode == "cvbr":
        values.update(max_bit_rate=1000, short_term_stats_time=1, long_term_stats_time=1)
        values.update(long_term_max_bit_rate=1000, long_term_min_bit_rate=500)
    else:
        values[{"cbr": "bit_rate", "qvbr": "target_bit_rate"}.get(mode, "max_bit_rate")] = 1000
    venc = {"type": CODECS[codec], "profile": 0, "buf_size": 1 << 20, "is_by_frame": 1}
    venc.update(max_pic_width=128, max_pic_height=128, pic_width=128, pic_height=128)
    number = MODES.index(mode) + (1 if codec == "h264" else 11)
    return {
        "venc_attr": venc,
        "rc_attr": {"rc_mode": number, f"{codec}_{mode}": {**values, **rate}},
        "gop_attr": {"gop_mode": 0, "normal_p": {"ip_qp_delta": 3}},
    }


class Session:
    """Initialised, with a context and one picture; `channel` makes one that works. Everything is torn down."""

    def __enter__(self):
        ok(acl.init())
        ok(acl.rt.set_device(0))
        self.context = ok(acl.rt.get_context())
        ok(acl.himpi.sys_init())
        self.memory = ok(acl.himpi.dvpp_malloc(0, SIZE))
        self.channels = []
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            return
        for chn in self.channels:
            ok(acl.himpi.venc_stop_chn(chn))
            ok(acl.himpi.venc_destroy_chn(chn))
        ok(acl.himpi.dvpp_free(self.memory))
        ok(acl.himpi.sys_exit())
        ok(acl.rt.reset_device(0))
        ok(acl.finalize())

    def channel(self, chn=0, **attr):
        ok(acl.himpi.venc_create_chn(chn, attributes(**attr)))
        ok(acl.himpi.venc_start_chn(chn, {"recv_pic_num": -1}))
        self.channels.append(chn)
        return chn

    def frame(self, number=0):
        frame = {"width": 128, "height": 128, "field": 4, "pixel_format": 1, "width_stride": [128, 128]}
        frame.update(virt_addr=[self.memory, self.memory + 128 * 128], time_ref=2 * number, pts=1000 * number)
        return {"v_frame": frame, "pool_id": 0, "mod_id": 8}

    def send(self, chn, number=0):
        ok(acl.himpi.venc_send_frame(chn, self.frame(number), -1))

    def get(self, chn):
        """Get a stream when it is there; its packs' bytes."""
        waiting.eventually(lambda: ok(acl.himpi.venc_query_status(chn))["cur_packs"] > 0)
        status = ok(acl.himpi.venc_query_status(chn))
        return ok(acl.himpi.venc_get_stream(chn, {"pack_cnt": status["cur_packs"]}, 1000))

    def take(self, chn):
        stream = self.get(chn)
        ok(acl.himpi.venc_release_stream(chn, stream))
        return stream


def assert_reported(what, name):
    """Strict mode has reported one misuse, and names this file, a line of it and the function."""
    if simulator.is_loaded():
        (report,) = simulator.shared().take_reports()
        assert re.search(rf"{re.escape(what)}, called from {re.escape(__file__)}:\d+ in {name}:", report), report


# ---- the table -------------------------------------------------------------------------------------------------------


def letters(result, row):
    words = result if isinstance(result, tuple) else (result,)
    kinds = {int: "n", dict: "D", list: "o"}
    return "".join(kinds[type(word)] for word in words) == row.returns.replace("r", "n")


# What the simulated device has only so that programs link.
REFUSED = ("slice_split", "cu_pred", "streamcopy_param", "jpeg_param", "jpeg_huffman_param")
REFUSED += ("jpege_frame", "jpege_predicted_size", "jpeg_tables")


@simulated
def every_function():
    """Each gives what pyACL's does: numbers, dicts, and the code as an unsigned int."""
    with Session() as session:
        chn = session.channel()
        memory = ok(acl.himpi.dvpp_malloc(0, 4096))
        epoll = ok(acl.himpi.sys_create_epoll(10))
        event = {"events": IN, "data": 5}
        fd = acl.himpi.venc_get_fd(chn)
        assert 0 <= fd < 1 << 31
        vui = {"vui_time_info": {"timing_info_present_flag": 1, "num_units_in_tick": 1, "time_scale": 50}}
        rc_param = ok(acl.himpi.venc_get_rc_param(chn, 1))
        roi = {"idx": 1, "enable": 1, "is_abs_qp": 1, "qp": 30, "rect": {"x": 0, "y": 0, "width": 16, "height": 16}}
        working = {
            "sys_exit": None,  # last
            "dvpp_malloc": (0, 64),
            "dvpp_free": (memory,),
            "sys_create_epoll": (1,),
            "sys_ctl_epoll": (epoll, ADD, fd, event),
            "sys_wait_epoll": (epoll, 2, 0),
            "sys_close_epoll": None,
            "venc_create_chn": (5, attributes("h265", "vbr")),
            "venc_destroy_chn": None,
            "venc_set_chn_attr": (chn, attributes(bit_rate=2000)),
            "venc_start_chn": (chn, {"recv_pic_num": -1}),
            "venc_stop_chn": None,
            "venc_send_frame": (chn, session.frame(), 100),
            "venc_send_frame_ex": (chn, {"user_frame": session.frame(1)}, 100),
            "venc_get_stream": None,
            "venc_release_stream": None,
            "venc_close_fd": None,
            "venc_set_mod_param": None,
            "venc_get_mod_param": ({"mod_type": 2},),
            "venc_set_rc_param": (chn, rc_param),
            "venc_get_rc_param": (chn, 1),
            "venc_set_h264_vui": (chn, vui),
            "venc_set_h265_vui": (5, vui),
            "venc_get_h265_vui": (5,),
            "venc_set_roi_attr": (chn, roi),
            "venc_get_roi_attr": (chn, 1),
            "venc_set_ref_param": (chn, {"base": 1}),
            "venc_get_qpmap_stride": (128,),
            "venc_get_qpmap_size": (H264, 128, 128),
        }
        seen = set()

        def call(name, *arguments, expect=0):
            row = himpi_names.BY_NAME[f"acl.himpi.{name}"]
            result = function(acl, row.name)(*arguments)
            assert letters(result, row), (name, result)
            if "r" in row.returns:
                ret = result[-1] if isinstance(result, tuple) else result
                assert ret == expect, (name, hex(ret), acl.get_recent_err_msg())
            seen.add(row.name)
            return result

        for row in himpi_names.ROWS:
            name = row.name.rpartition(".")[2]
            arguments = working.get(name, tuple(himpi_names.plain_arguments(row)))
            if arguments is not None:
                result = call(name, *arguments, expect=code("NOT_SUPPORT") if name.endswith(REFUSED) else 0)
                if name == "dvpp_malloc":
                    ok(acl.himpi.dvpp_free(result[0]))
                if name == "sys_create_epoll":
                    ok(acl.himpi.sys_close_epoll(result[0]))
        for _ in range(2):
            stream = call("venc_get_stream", chn, {"pack_cnt": 8}, 20_000)[0]
            call("venc_release_stream", chn, stream)
        call("sys_ctl_epoll", epoll, DEL, fd, event)
        call("venc_close_fd", chn)
        call("venc_stop_chn", 5)
        call("venc_destroy_chn", 5)
        call("sys_close_epoll", epoll)
        call("venc_set_mod_param", {"mod_type": 2}, expect=code("NOT_PERM"))  # a channel is there
        seen.add("acl.himpi.sys_exit")  # Session's last call
        assert seen == set(himpi_names.BY_NAME)


@simulated
def codes_are_unsigned_and_explained():
    with Session() as session:
        assert acl.himpi.venc_destroy_chn(7) == code("UNEXIST") == 0xA0088005
        text = acl.get_recent_err_msg()
        assert text.startswith(f"acl.himpi.venc_destroy_chn(7) returned {0xA0088005} HI_ERR_VENC_UNEXIST"), text
        assert "encoder" not in text.lower(), text
        assert acl.himpi.venc_get_fd(7) == code("UNEXIST")
        assert "acl.himpi.venc_get_fd(7) returned" in acl.get_recent_err_msg()
        chn = session.channel()
        assert acl.himpi.venc_create_chn(chn, attributes()) == code("EXIST")
        wanted = {"pack_cnt": 8, "kept": session}
        for ms in (0, 20):
            stream, ret = acl.himpi.venc_get_stream(chn, wanted, ms)
            assert stream is wanted, "on failure the dict that was given"
            assert ret in (code("BUF_EMPTY"), 0xA0088014), hex(ret)
        assert acl.himpi.venc_release_stream(chn, {"pack_cnt": 1, "seq": 0, "pack": [{}]}) == code("ILLEGAL_PARAM")
        with simulator.shared().options(stall=1):
            full = [acl.himpi.venc_send_frame(chn, session.frame(i), 0) for i in range(12)]
            assert full.count(0) > 0 and set(full) == {0, code("NO_BUF")}, full
        for _ in range(full.count(0)):
            session.take(chn)
        freed = ok(acl.himpi.dvpp_malloc(0, 64))
        ok(acl.himpi.dvpp_free(freed))
        for address in (freed, 12345):
            assert acl.himpi.dvpp_free(address) == code("SYS_ILLEGAL_PARAM")
            assert "is not live device memory" in acl.get_recent_err_msg()
        assert acl.himpi.dvpp_free(0) == code("SYS_NULL_PTR")
    assert_reported("[not-held] hi_mpi_venc_release_stream", "codes_are_unsigned_and_explained")


@subject
def dicts_of_a_channel():
    """What was set is told again, in pyACL's shape, for each mode of rate control in both codecs."""
    with Session():
        for codec in CODECS:
            for mode in MODES:
                given = attributes(codec, mode)
                ok(acl.himpi.venc_create_chn(3, given))
                got = ok(acl.himpi.venc_get_chn_attr(3))
                assert set(got) == {"venc_attr", "rc_attr", "gop_attr"}
                assert {key: got["venc_attr"][key] for key in given["venc_attr"]} == given["venc_attr"]
                assert f"{codec}_attr" in got["venc_attr"]
                assert set(got["rc_attr"]) == {"rc_mode", f"{codec}_{mode}"}
                rate = got["rc_attr"][f"{codec}_{mode}"]
                expected = given["rc_attr"][f"{codec}_{mode}"]
                assert {key: rate[key] for key in expected} == expected
                assert set(got["gop_attr"]) == {"gop_mode", "normal_p", "dual_p", "smart_p"}
                number = given["rc_attr"]["rc_mode"]
                param = ok(acl.himpi.venc_get_rc_param(3, number))
                words = {"threshold_i", "threshold_p", "threshold_b", "direction", "row_qp_delta"}
                words |= {"first_frame_start_qp", "scene_chg_detect"}
                assert set(param) - {f"{codec}_{mode}_param"} == words, param
                assert (f"{codec}_{mode}_param" in param) == (mode != "fixqp"), param
                assert len(param["threshold_p"]) == 16
                ok(acl.himpi.venc_set_rc_param(3, param))
                assert ok(acl.himpi.venc_get_rc_param(3, number)) == param
                assert set(ok(acl.himpi.venc_get_rc_param(3, 99))) == words
                ok(acl.himpi.venc_destroy_chn(3))
        for number, name in ((1, "venc"), (2, "h264"), (3, "h265"), (4, "jpeg")):
            got, ret = acl.himpi.venc_get_mod_param({"mod_type": number})
            assert set(got) == {"mod_type", f"{name}_mod_param"}, (got, ret)
        param = ok(acl.himpi.venc_get_mod_param({"mod_type": 2}))
        param["h264_mod_param"]["one_stream_buf"] = 1
        ok(acl.himpi.venc_set_mod_param(param))
        assert ok(acl.himpi.venc_get_mod_param({"mod_type": 2})) == param


def changed(place, value, codec="h264", mode="cbr"):
    """Attributes with one number that is another, by "part.member"."""
    attr = attributes(codec, mode)
    part, member = place.split(".")
    target = attr[part]
    if part == "rc_attr" and member != "rc_mode":
        target = target[f"{codec}_{mode}"]
    if member == "ip_qp_delta":
        target = target["normal_p"]
    target[member] = value
    return attr


REFUSED_ATTRIBUTES = [
    ("venc_attr.type", 3, "type is 3; allowed are 96 (H.264) and 265 (H.265); 3 is a mod_type: 265 is meant"),
    ("venc_attr.profile", 4, "profile is 4; H.264 has "),
    ("venc_attr.pic_width", 126, "pic_width is 126; allowed are 128 to 128 (max_pic_width)"),
    ("venc_attr.max_pic_height", 5000, "max_pic_height is 5000; allowed are 128 to 4096 pixels"),
    ("venc_attr.buf_size", 1000, "buf_size is 1000; allowed are 32768 to 1073741824 bytes"),
    ("venc_attr.buf_size", 65537, "buf_size is 65537; it must be a multiple of 64"),
    ("rc_attr.rc_mode", 11, "rc_mode is 11; H.264 has 1 to 6"),
    ("rc_attr.gop", 0, "gop is 0; allowed are 1 to 65536"),
    ("rc_attr.stats_time", 61, "stats_time is 61; allowed are 1 to 60 s"),
    ("rc_attr.src_frame_rate", 241, "src_frame_rate is 241; allowed are 1 to 240"),
    ("rc_attr.dst_frame_rate", 26, "dst_frame_rate is 26; allowed are 1 to 25 (src_frame_rate)"),
    ("rc_attr.bit_rate", 1, "bit_rate is 1; allowed are 2 to 614400 kbit/s"),
    ("gop_attr.gop_mode", 1, "gop_mode is 1; 0 (NORMAL_P) works"),
    ("gop_attr.ip_qp_delta", 31, "ip_qp_delta is 31; allowed are -10 to 30"),
    ("venc_attr.is_by_frame", 2, "is_by_frame is 2; allowed are 0 to 1"),
]
REFUSED_RATES = [
    ("cvbr", "short_term_stats_time", 121, "1 to 120 s"),
    ("cvbr", "long_term_stats_time", 0, "1 to 1440 units"),
    ("cvbr", "long_term_max_bit_rate", 0, "2 to 614400 kbit/s"),
    ("cvbr", "long_term_min_bit_rate", 1001, "0 to 1000 kbit/s (long_term_max_bit_rate)"),
    ("fixqp", "b_qp", 52, "0 to 51"),
]


@subject
def attributes_that_are_refused_are_named():
    """The reason names member, value and range, which the code does not; nothing of them if something else is wrong."""
    with Session() as session:
        for place, value, text in REFUSED_ATTRIBUTES:
            attr = changed(place, value)
            if place == "rc_attr.rc_mode":
                attr["rc_attr"]["h265_cbr"] = attr["rc_attr"]["h264_cbr"]
            ret = acl.himpi.venc_create_chn(0, attr)
            assert ret in (code("ILLEGAL_PARAM"), code("NOT_SUPPORT")), (place, value, hex(ret))
            told = acl.get_recent_err_msg()
            assert f": {text}" in told, (text, told)
        for mode, member, value, text in REFUSED_RATES:
            ret = acl.himpi.venc_create_chn(0, changed(f"rc_attr.{member}", value, mode=mode))
            assert ret == code("ILLEGAL_PARAM"), (member, hex(ret))
            told = acl.get_recent_err_msg()
            assert f": {member} is {value}; allowed are {text}" in told, (text, told)
        session.channel()
        for member, value in (("type", 265), ("max_pic_width", 256), ("buf_size", 1 << 21), ("is_by_frame", 0)):
            attr = changed(f"venc_attr.{member}", value)
            attr["rc_attr"] |= {"h265_cbr": attr["rc_attr"]["h264_cbr"], "rc_mode": 11 if member == "type" else 1}
            assert acl.himpi.venc_set_chn_attr(0, attr) == code("NOT_PERM")
            told, was = acl.get_recent_err_msg(), attributes()["venc_attr"][member]
            assert f": {member} is {value}; it was {was}, and cannot change while the channel is there" in told, told
        assert acl.himpi.venc_set_chn_attr(0, attributes(bit_rate=0)) == code("ILLEGAL_PARAM")
        assert "bit_rate is 0; allowed are 2 to" in acl.get_recent_err_msg()
        assert acl.himpi.venc_create_chn(0, attributes(bit_rate=0)) != 0
        assert acl.himpi.venc_create_chn(0, attributes()) == code("EXIST")
        assert "allowed are" not in acl.get_recent_err_msg()
        for codec in CODECS:
            for mode in MODES:
                ok(acl.himpi.venc_create_chn(1, attributes(codec, mode)))
                got = ok(acl.himpi.venc_get_chn_attr(1))
                assert diagnosis.of_v2_channel(acl.get_soc_name(), got) is None
                ok(acl.himpi.venc_destroy_chn(1))


@simulated
def values_that_count_as_lacking_are_named():
    """As a program gives them that has its numbers of OpenCV or NumPy: the reason is not only that they are 0."""
    import numpy

    cases = (25.0, numpy.float32(25), numpy.int64(25), numpy.array(25))
    with Session() as session:
        for value in cases:
            for place in ("rc_attr.src_frame_rate", "venc_attr.pic_width"):
                ret = acl.himpi.venc_create_chn(0, changed(place, value))
                assert ret == code("ILLEGAL_PARAM"), (place, value, hex(ret))
                word, kind = place.rpartition(".")[2], type(value).__name__
                told = acl.get_recent_err_msg()
                assert f"{word} is of type {kind}, and counts as lacking: give " in told, told
                assert f"; {word} is 0; allowed are " in told, told
        chn = session.channel()
        frame = session.frame()
        frame["v_frame"]["virt_addr"] = tuple(frame["v_frame"]["virt_addr"])
        assert acl.himpi.venc_send_frame(chn, frame, 0) == code("NULL_PTR")
        assert "virt_addr is of type tuple, and counts as lacking: give a list" in acl.get_recent_err_msg()
        frame = session.frame()
        frame["itself"] = [frame]
        frame["v_frame"]["width"] += 2
        assert acl.himpi.venc_send_frame(chn, frame, 0) == code("ILLEGAL_PARAM")
        assert "lacking" not in acl.get_recent_err_msg()


@simulated
def streams():
    """A stream's dict has pyACL's members; packs are in the device's memory; times and addresses come back."""
    with Session() as session:
        chn = session.channel()
        session.send(chn, 3)
        stream = session.get(chn)
        assert set(stream) == {"pack_cnt", "seq", "pack"}
        assert stream["pack_cnt"] == len(stream["pack"]) > 1
        members = {"phys_addr", "input_addr", "addr", "len", "pts", "is_frame_end", "offset", "data_num"}
        assert all(set(pack) == members for pack in stream["pack"])
        assert {pack["pts"] for pack in stream["pack"]} == {3000}
        assert {pack["input_addr"] for pack in stream["pack"]} == {session.memory}
        assert [pack["is_frame_end"] for pack in stream["pack"]] == [0] * (stream["pack_cnt"] - 1) + [1]
        pack = stream["pack"][0]
        start = bytes(4)
        ok(acl.rt.memcpy(acl.util.bytes_to_ptr(start), 4, pack["addr"] + pack["offset"], 4, 2))
        assert start == b"\0\0\0\1"
        ok(acl.himpi.venc_release_stream(chn, stream))
        assert acl.himpi.venc_release_stream(chn, stream) == code("ILLEGAL_PARAM"), "it is released"
        status = ok(acl.himpi.venc_query_status(chn))
        assert isinstance(status["stream_info"]["psnr_val"], float)
        assert (status["cur_packs"], status["left_stream_frames"]) == (0, 0)
    assert_reported("[not-held] hi_mpi_venc_release_stream", "streams")


@subject
def events():
    """As many dicts as were asked for; the first `count` mean something; a wait ends when its time is over."""
    with Session() as session:
        epoll = ok(acl.himpi.sys_create_epoll(10))
        for chn in (0, 1):
            session.channel(chn)
            fd = acl.himpi.venc_get_fd(chn)
            ok(acl.himpi.sys_ctl_epoll(epoll, ADD, fd, {"events": IN, "data": 100 + chn}))
        for timeout in (0, 1, 120):
            begin = time.monotonic()
            found, count, ret = acl.himpi.sys_wait_epoll(epoll, 3, timeout)
            assert (count, ret) == (0, 0)
            assert time.monotonic() - begin >= timeout / 1000
            assert found == [{"events": 0, "data": 0}] * 3
        assert acl.himpi.sys_wait_epoll(epoll, 0, 0)[0] == []
        session.send(1)
        for timeout in (-1, 1000, 0):
            found, count, ret = acl.himpi.sys_wait_epoll(epoll, 3, timeout)
            assert (count, ret, len(found)) == (1, 0, 3)
            assert found[0] == {"events": IN, "data": 101}
        session.take(1)
        for chn in (0, 1):
            ok(acl.himpi.sys_ctl_epoll(epoll, DEL, acl.himpi.venc_get_fd(chn), {}))
        ok(acl.himpi.sys_close_epoll(epoll))


@subject
def ctrl_c_in_a_wait():
    """KeyboardInterrupt comes out of sys_wait_epoll for ever, and the call can be made again."""
    with Session() as session:
        chn = session.channel()
        epoll = ok(acl.himpi.sys_create_epoll(10))
        fd = acl.himpi.venc_get_fd(chn)
        ok(acl.himpi.sys_ctl_epoll(epoll, ADD, fd, {"events": IN, "data": 7}))
        for timeout in (-1, 600_000):
            interrupted(acl.himpi.sys_wait_epoll, epoll, 1, timeout)
        session.send(chn)
        assert acl.himpi.sys_wait_epoll(epoll, 1, -1)[1] == 1
        session.take(chn)
        ok(acl.himpi.sys_ctl_epoll(epoll, DEL, fd, {}))
        ok(acl.himpi.sys_close_epoll(epoll))


def interrupted(call, *args):
    """Ctrl-C comes out of a call that would wait for nothing."""
    main = threading.main_thread()

    def interrupt():
        waiting.eventually(lambda: waiting.is_inside(main, "interrupted"))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        call(*args)
        raise AssertionError("the wait for nothing has returned")
    except KeyboardInterrupt:
        thread.join()


@subject
def ctrl_c_in_get_stream():
    """KeyboardInterrupt comes out of venc_get_stream, and the next call gets the stream."""
    with Session() as session:
        chn = session.channel()
        for milli_sec in (-1, 600_000):
            interrupted(acl.himpi.venc_get_stream, chn, {"pack_cnt": 8}, milli_sec)
        session.send(chn)
        stream = ok(acl.himpi.venc_get_stream(chn, {"pack_cnt": 8}, -1))
        assert stream["pack_cnt"] >= 1
        ok(acl.himpi.venc_release_stream(chn, stream))


@simulated
def time_that_is_over_is_told_once():
    """The slices of a wait leave no text behind: neither beside the failure of that call, nor of a later one."""
    with Session() as session:
        chn = session.channel()
        assert acl.himpi.venc_get_stream(chn, {"pack_cnt": 8}, 220)[1] == 0xA0088014
        assert acl.get_recent_err_msg().count("the time is over") == 1
        context = ok(acl.rt.get_context())

        def send_late():
            ok(acl.rt.set_context(context))
            time.sleep(0.2)
            session.send(chn)

        sender = threading.Thread(target=send_late)
        sender.start()
        stream = ok(acl.himpi.venc_get_stream(chn, {"pack_cnt": 8}, -1))
        sender.join()
        ok(acl.himpi.venc_release_stream(chn, stream))
        assert acl.rt.destroy_stream(0x1234567890) != 0
        assert "the time is over" not in acl.get_recent_err_msg()


@simulated
def ctrl_c_in_send_frame():
    """KeyboardInterrupt comes out of venc_send_frame where there is no room; the frame was not sent."""
    sim = simulator.shared()
    sim.set_options(null_codec=500, input_slots=2)
    with Session() as session:
        chn = session.channel()
        with sim.options(stall=1):
            sent = 0
            while acl.himpi.venc_send_frame(chn, session.frame(sent), 0) == 0:
                sent += 1
            for milli_sec in (-1, 600_000):
                interrupted(acl.himpi.venc_send_frame, chn, session.frame(99), milli_sec)
        for number in range(sent):
            assert session.take(chn)["pack"][0]["pts"] == 1000 * number
        session.send(chn, sent)
        assert session.take(chn)["pack"][0]["pts"] == 1000 * sent


@simulated
def times_of_waits():
    """A time is waited for whole, whatever code says that it is over; in slices on the main thread, else in one."""
    sim = simulator.shared()
    sim.set_options(null_codec=500, input_slots=1)
    with Session() as session:
        chn = session.channel()
        calls = {
            "hi_mpi_venc_get_stream": lambda ms: acl.himpi.venc_get_stream(chn, {"pack_cnt": 8}, ms)[1],
            "hi_mpi_venc_send_frame": lambda ms: acl.himpi.venc_send_frame(chn, session.frame(), ms),
        }
        sim.aclsim_count_calls(1)

        def timed(name, ms):
            before, begin = sim.aclsim_calls(name.encode()), time.monotonic()
            ret = calls[name](ms)
            return ret, time.monotonic() - begin, sim.aclsim_calls(name.encode()) - before

        def elsewhere(name, ms, found):
            ok(acl.rt.set_context(session.context))
            found.append(timed(name, ms))

        for late in (13, 14, 20, 63):
            for name in calls:
                with sim.options(v2_get_timeout=late, v2_send_timeout=late, stall=1):
                    sent = 0
                    while name.endswith("frame") and acl.himpi.venc_send_frame(chn, session.frame(), 0) == 0:
                        sent += 1
                    for _ in range(20):  # a slice of 50 ms that took 20 ms more, on a busy machine, is the last but one
                        ret, seconds, count = timed(name, 120)
                        assert ret == 0xA0088000 | late and seconds >= 0.12 and count <= 3, (name, ret, seconds, count)
                        if count == 3:
                            break
                    assert count == 3, name
                    found = []
                    thread = threading.Thread(target=elsewhere, args=(name, 120, found))
                    thread.start()
                    thread.join()
                    ((ret, seconds, count),) = found
                    assert ret == 0xA0088000 | late and seconds >= 0.12 and count == 1
                for _ in range(sent):
                    session.take(chn)
        with sim.failing_call(
            "hi_mpi_venc_get_stream", code=himpi.error("VENC_SYS_ERROR")
        ):  # an internal error is nobody's time-out
            assert timed("hi_mpi_venc_get_stream", -1)[0] == 0xA0088015
        assert timed("hi_mpi_venc_get_stream", -2)[0] == code("VENC_ILLEGAL_PARAM")
        assert acl.himpi.venc_get_stream(99, {"pack_cnt": 8}, -1)[1] == code("VENC_UNEXIST")


@simulated
def threads():
    """One thread sends, one gets: neither holds the GIL while it waits, so all frames come, with waits for ever."""
    frames = 300
    simulator.shared().set_options(null_codec=500)
    with Session() as session:
        chn = session.channel()
        got = []

        def receive():
            ok(acl.rt.set_context(session.context))
            while len(got) < frames:
                stream = ok(acl.himpi.venc_get_stream(chn, {"pack_cnt": 8}, -1))
                got.append(stream["pack"][0]["pts"])
                ok(acl.himpi.venc_release_stream(chn, stream))

        receiver = threading.Thread(target=receive)
        receiver.start()
        for number in range(frames):
            session.send(chn, number)
        receiver.join(60)
        assert got == [1000 * number for number in range(frames)]


@simulated
def without_memory():
    """Python's memory runs out at each place in turn: a stream that nobody could release is given back."""
    import _testcapi

    simulator.shared().set_options(null_codec=500)
    with Session() as session:
        chn = session.channel()
        struck = lost = 0
        for place in range(150):
            session.send(chn, place)
            waiting.eventually(lambda: ok(acl.himpi.venc_query_status(chn))["cur_packs"] > 0)
            wanted = {"pack_cnt": 8}
            _testcapi.set_nomemory(place, place + 1)
            try:
                stream, ret = acl.himpi.venc_get_stream(chn, wanted, 1000)
            except MemoryError:
                stream, ret = None, None
            finally:
                _testcapi.remove_mem_hooks()
            if stream is None:
                struck += 1
                left = ok(acl.himpi.venc_query_status(chn))["left_stream_frames"]
                lost += left == 0
                if left:  # it struck before the device gave the stream
                    session.take(chn)
            else:
                assert ret == 0
                ok(acl.himpi.venc_release_stream(chn, stream))
        assert struck > 3 and lost > 0, (struck, lost)  # one that was left would have to be released before the next
        for make, end in (
            (lambda: acl.himpi.dvpp_malloc(0, 64), acl.himpi.dvpp_free),
            (lambda: acl.himpi.sys_create_epoll(1), acl.himpi.sys_close_epoll),
        ):
            struck = 0
            for place in range(20):  # what is left is counted at the end, and reported by strict mode
                _testcapi.set_nomemory(place, place + 1)
                try:
                    made = make()
                except MemoryError:
                    made, struck = None, struck + 1
                finally:
                    _testcapi.remove_mem_hooks()
                if made is not None:
                    ok(end(ok(made)))
            assert struck
        for call, arguments in (
            ("venc_query_status", (chn,)),
            ("venc_get_chn_attr", (chn,)),
            ("venc_set_chn_param", (chn, ok(acl.himpi.venc_get_chn_param(chn)))),
            ("venc_get_rc_param", (chn, 1)),
            ("venc_send_frame", (chn, session.frame(), 0)),
        ):
            struck = 0
            for place in range(60):
                _testcapi.set_nomemory(place, place + 1)
                try:
                    ret = getattr(acl.himpi, call)(*arguments)
                except MemoryError:
                    ret, struck = None, struck + 1
                finally:
                    _testcapi.remove_mem_hooks()
                if ret is not None:
                    assert (ret[-1] if isinstance(ret, tuple) else ret) == 0
                    if call == "venc_send_frame":
                        session.take(chn)
            assert struck or call in ("venc_set_chn_param", "venc_send_frame"), call


@simulated
def nothing_is_left():
    """Calls that work, that the device refuses, and that raise, again and again: Python's memory does not grow."""
    simulator.shared().set_options(null_codec=500)
    with Session() as session:
        chn = session.channel()

        def raising(error, call, *arguments):
            try:
                getattr(acl.himpi, call)(*arguments)
                raise AssertionError(f"{call} has not raised")
            except error:
                pass

        def once():
            session.send(chn)
            session.take(chn)
            ok(acl.himpi.venc_set_chn_attr(chn, ok(acl.himpi.venc_get_chn_attr(chn))))
            ok(acl.himpi.venc_set_rc_param(chn, ok(acl.himpi.venc_get_rc_param(chn, 1))))
            ok(acl.himpi.venc_get_mod_param({"mod_type": 2}))
            ok(acl.himpi.dvpp_free(ok(acl.himpi.dvpp_malloc(0, 64))))
            assert acl.himpi.venc_get_stream(chn, {"pack_cnt": 4}, 0)[1] == code("BUF_EMPTY")
            assert acl.himpi.venc_get_chn_attr(9)[1] == code("UNEXIST")
            assert acl.himpi.sys_wait_epoll(1, 8, 0)[2] != 0
            raising(ValueError, "venc_send_frame", chn, {"v_frame": {"virt_addr": [1, "x"]}}, 0)
            raising(TypeError, "venc_create_chn", 1, {"rc_attr": {"rc_mode": 1, "h264_cbr": 5}})
            raising(TypeError, "venc_release_stream", chn, {"pack_cnt": 2, "pack": [{}, 5]})
            raising(ValueError, "venc_get_stream", chn, {"pack_cnt": -1}, 0)
            raising(TypeError, "venc_get_stream", chn, {"pack_cnt": 2**32 - 1}, 0)

        for _ in range(50):
            once()
        before = sys.getallocatedblocks()
        for _ in range(300):
            once()
        assert sys.getallocatedblocks() - before < 100, sys.getallocatedblocks() - before


# ---- members ---------------------------------------------------------------------------------------------------------

CHOICES = {
    "hi_venc_attr": ("type", {"h264_attr": H264, "h265_attr": H265}),
    "hi_venc_rc_attr": (
        "rc_mode",
        {f"{codec}_{mode}": i + 1 + 10 * j for i, mode in enumerate(MODES) for j, codec in enumerate(CODECS)},
    ),
    "hi_venc_gop_attr": ("gop_mode", {"normal_p": 0, "dual_p": 1, "smart_p": 2}),
    "hi_venc_mod_param": (
        "mod_type",
        {"venc_mod_param": 1, "h264_mod_param": 2, "h265_mod_param": 3, "jpeg_mod_param": 4},
    ),
}


def members_of(kind):
    """(name, ctypes type, whether in a union) of each member that the dicts of a structure have."""
    absent = himpi_names.ABSENT.get(kind.__name__, ())
    for name, member in kind._fields_:
        if name.startswith("_union"):
            yield from ((inner, of, True) for inner, of in member._fields_ if inner not in absent)
        elif name == "unknown_tail":
            if kind.__name__ == "hi_venc_slice_split":
                yield name, member, False
        elif name not in absent:
            yield name, member, False


def value_of(value, result):
    if isinstance(value, (ctypes.Structure, ctypes.Union)):
        return dict_of(value, result)
    if isinstance(value, ctypes.Array):
        return [value_of(each, result) or 0 for each in value]
    return value


def dict_of(structure, result):
    """The dict of a structure: all that pyACL's has. Of a union what counts, or in results of a GOP all."""
    kind = type(structure)
    choice, values = CHOICES.get(kind.__name__, (None, {}))
    found = {}
    for name, _, in_union in members_of(kind):
        everything = result and kind.__name__ == "hi_venc_gop_attr"
        if in_union and values and not everything and values[name] != getattr(structure, choice):
            continue
        if in_union and kind.__name__ == "hi_venc_rc_param":
            continue  # by the function's argument: of its own below
        found["reserved" if name == "unknown_tail" else name] = value_of(getattr(structure, name), result)
    return found


def store(structure, given):
    """The other way: what a C structure of zeros is when the dict's members are in it."""
    ignored = himpi_names.IGNORED.get(type(structure).__name__, ())
    for name, value in given.items():
        if name in ignored:
            continue
        target = "unknown_tail" if name == "reserved" and hasattr(structure, "unknown_tail") else name
        if isinstance(value, dict):
            store(getattr(structure, target), value)
        elif isinstance(value, list):
            for i, each in enumerate(value):
                if isinstance(each, dict):
                    store(getattr(structure, target)[i], each)
                else:
                    getattr(structure, target)[i] = each
        else:
            setattr(structure, target, value)
    return structure


def patterned(kind):
    structure = kind()
    pattern = bytes(i % 100 + 1 for i in range(ctypes.sizeof(kind)))
    ctypes.memmove(ctypes.byref(structure), pattern, len(pattern))
    return structure


def variants(kind):
    """Structures full of a pattern, one for each alternative that it has."""
    made = patterned(kind)
    if kind.__name__ == "hi_venc_chn_attr":
        for mode in CHOICES["hi_venc_rc_attr"][1].values():
            made.rc_attr.rc_mode = mode
            made.venc_attr.type = H264 if mode < 10 else H265
            made.gop_attr.gop_mode = mode % 3
            yield made
    elif kind.__name__ in CHOICES:
        choice, values = CHOICES[kind.__name__]
        for value in values.values():
            setattr(made, choice, value)
            yield made
    else:
        yield made


def members(path):
    """Every member of every dict goes to its place of the C structure, and comes from it."""
    recorder = ctypes.CDLL(path)
    recorder.recorder_take.restype = ctypes.c_size_t
    buffer = ctypes.create_string_buffer(4096)
    seen = 0

    def taken():
        size = recorder.recorder_take(buffer)
        return buffer.raw[:size]

    for _, _, name, parameters in himpi.FUNCTIONS:
        call = getattr(acl.himpi, name[len("hi_mpi_") :])
        row = himpi_names.BY_NAME[f"acl.himpi.{name[len('hi_mpi_') :]}"]
        kinds = [himpi.structure(kind) for kind in re.findall(r"(hi_\w+) \*\w+", parameters)]
        kinds = [kind for kind in kinds if issubclass(kind, ctypes.Structure)]
        if not kinds or name.endswith(("get_stream", "release_stream", "wait_epoll", "rc_param", "get_mod_param")):
            continue
        for structure in variants(kinds[0]):
            if "D" in row.args:
                given = [dict_of(structure, False), *(dict_of(patterned(kind), False) for kind in kinds[1:])]
                dicts = iter(given)
                ok(
                    (call(*(next(dicts) if letter == "D" else 0 for letter in row.args)),)
                    if row.returns == "r"
                    else call(*(next(dicts) if letter == "D" else 0 for letter in row.args))
                )
                expected = b"".join(bytes(store(kind(), each)) for kind, each in zip(kinds, given))
                assert taken() == expected, name
            else:
                recorder.recorder_give(ctypes.byref(structure), ctypes.sizeof(structure))
                got, ret = call(*[0] * len(row.args))
                assert (got, ret) == (dict_of(structure, True), 0), name
            seen += 1
    assert seen > 50, seen

    for structure in variants(himpi.structure("hi_venc_mod_param")):
        recorder.recorder_give(ctypes.byref(structure), ctypes.sizeof(structure))
        assert acl.himpi.venc_get_mod_param({"mod_type": structure.mod_type}) == (dict_of(structure, True), 0)

    param = patterned(himpi.structure("hi_venc_rc_param"))
    recorder.recorder_give(ctypes.byref(param), ctypes.sizeof(param))
    for word, mode in CHOICES["hi_venc_rc_attr"][1].items():
        got = ok(acl.himpi.venc_get_rc_param(0, mode))
        expected = dict_of(param, True)
        if "fixqp" not in word:
            expected[f"{word}_param"] = dict_of(getattr(param, f"{word}_param"), True)
        assert got == expected, word
        ok(acl.himpi.venc_set_rc_param(0, got))
        assert taken() == bytes(store(type(param)(), got)), word

    pack = himpi.structure("hi_venc_pack")
    two = (pack * 2)(patterned(pack), patterned(pack))
    two[1].len = 77
    recorder.recorder_give(ctypes.byref(two), ctypes.sizeof(two))
    stream = ok(acl.himpi.venc_get_stream(0, {"pack_cnt": 3}, 0))
    assert stream == {"pack_cnt": 2, "seq": 7, "pack": [dict_of(each, True) for each in two]}
    ok(acl.himpi.venc_release_stream(0, stream))
    head = himpi.structure("hi_venc_stream")
    kept = head.from_buffer_copy(taken())
    assert (kept.pack_cnt, kept.seq) == (2, 7)
    assert taken()[ctypes.sizeof(head) :] == b"".join(bytes(store(pack(), each)) for each in stream["pack"])
    # Only as many packs as there is room for are told of, whatever the library says.
    assert len(ok(acl.himpi.venc_get_stream(0, {"pack_cnt": 1}, 0))["pack"]) == 1

    # What is lacking, or no int, is 0; lists may be shorter, and end where no int follows.
    ok(
        acl.himpi.venc_send_frame(
            0, {"pool_id": "5", "v_frame": {"width": None, "width_stride": [9, None, 9], "virt_addr": [None]}}, 0
        )
    )
    expected = himpi.structure("hi_video_frame_info")()
    expected.v_frame.width_stride[0] = 9
    assert taken() == bytes(expected)
    # Ints are converted as C does it, once they fit 64 bits.
    ok(acl.himpi.venc_start_chn(0, {"recv_pic_num": 2**32 + 5}))
    assert taken() == (5).to_bytes(4, "little")
    ok(acl.himpi.venc_set_roi_attr(0, {"idx": 2**32 + 6, "qp": -3}))
    assert himpi.structure("hi_venc_roi_attr").from_buffer_copy(taken()).idx == 6


# ---- V1 and V2 -------------------------------------------------------------------------------------------------------


def without_v2():
    ok(acl.init())
    for row in himpi_names.ROWS:
        result = function(acl, row.name)(*himpi_names.plain_arguments(row))
        if "r" in row.returns:
            ret = result[-1] if isinstance(result, tuple) else result
            module = "" if "venc_" in row.name else "SYS_"
            assert ret == code(f"{module}NOT_SUPPORT"), (row.name, result)
            assert "libacl_dvpp_mpi.so is not there" in acl.get_recent_err_msg(), row.name


def make_v1_channel(expect=0):
    desc = acl.media.venc_create_channel_desc()
    for word, value in {
        "thread_id": threading.get_ident(),
        "callback": print,
        "pic_format": 1,
        "entype": 1,
        "pic_width": 128,
        "pic_height": 128,
        "key_frame_interval": 10,
    }.items():
        ok(getattr(acl.media, f"venc_set_channel_desc_{word}")(desc, value))
    assert acl.media.venc_create_channel(desc) == expect, acl.get_recent_err_msg()
    text = acl.get_recent_err_msg()
    if not expect:
        ok(acl.media.venc_destroy_channel(desc))
    ok(acl.media.venc_destroy_channel_desc(desc))
    return text


def chip_without_v2(chip):
    ok(acl.init())
    ok(acl.rt.set_device(0))
    assert acl.himpi.sys_init() == code("SYS_NOT_SUPPORT")
    assert f"{chip} has no DVPP V2" in acl.get_recent_err_msg()
    if chip == "Ascend310":
        make_v1_channel()
    ok(acl.rt.reset_device(0))
    ok(acl.finalize())


@subject
def v1_first():
    """Once acl.media has made a channel, acl.himpi is refused, and the reason is told."""
    import ascend_venc as venc

    ok(acl.init())
    ok(acl.rt.set_device(0))
    make_v1_channel()
    assert acl.himpi.sys_init() == code("SYS_NOT_SUPPORT")
    text = acl.get_recent_err_msg()
    assert "this process uses DVPP V1" in text and "they must not be mixed" in text, text
    with venc.Encoder(128, 128, codec="h264", interface="auto") as enc:
        assert enc.interface == "v1"
    try:
        venc.Encoder(128, 128, codec="h264", interface="v2")
        raise AssertionError("both interfaces in one process")
    except venc.errors.AclStateError as error:
        assert 'interface="v1"' in str(error), error
    waiting.eventually(lambda: live.counts()["engine DEVICE"] == 0)
    ok(acl.rt.reset_device(0))
    ok(acl.finalize())


@subject
def v2_first():
    """Once acl.himpi was initialised, acl.media makes no channel, and an Encoder is V2."""
    import ascend_venc as venc

    with Session() as session:
        text = make_v1_channel(expect=200006)
        assert "this process uses DVPP V2" in text and 'interface="v1"' in text, text
        session.channel()
        with venc.Encoder(128, 128, codec="h264", interface="auto") as enc:
            assert enc.interface == "v2"
        try:
            venc.Encoder(128, 128, codec="h264", interface="v1")
            raise AssertionError("both interfaces in one process")
        except venc.errors.AclStateError as error:
            assert 'interface="v2"' in str(error), error
        waiting.eventually(lambda: live.counts()["engine DEVICE"] == 0)


@simulated
def exit_beside_an_encoder():
    """sys_exit, which would end an Encoder's channel, waits for it: it is not forwarded."""
    import ascend_venc as venc

    sim = simulator.shared()
    ok(acl.init())
    ok(acl.rt.set_device(0))
    ok(acl.himpi.sys_init())
    sim.aclsim_count_calls(1)
    with venc.Encoder(128, 128, codec="h264", interface="v2", timeout=20) as enc:
        packets = enc.encode(bytes(SIZE))
        ok(acl.himpi.sys_exit())
        assert sim.aclsim_calls(b"hi_mpi_sys_exit") == 0
        packets += enc.encode(bytes(SIZE)) + enc.flush()
        assert len(packets) == 2
        del packets
    waiting.eventually(lambda: live.counts()["engine DEVICE"] == 0)
    ok(acl.himpi.sys_exit())
    assert sim.aclsim_calls(b"hi_mpi_sys_exit") == 1
    ok(acl.rt.reset_device(0))
    ok(acl.finalize())


@simulated
def exit_that_is_under_way():
    """While sys_exit runs on another thread, no Encoder is opened for it to end; afterwards one is."""
    import ascend_venc as venc

    sim = simulator.shared()
    ok(acl.init())
    ok(acl.rt.set_device(0))
    context = ok(acl.rt.get_context())
    ok(acl.himpi.sys_init())

    def leave():
        ok(acl.rt.set_context(context))
        ok(acl.himpi.sys_exit())

    thread = threading.Thread(target=leave)
    with sim.hanging_call("hi_mpi_sys_exit") as wait_hung:
        thread.start()
        wait_hung()
        try:
            venc.Encoder(128, 128, codec="h264", interface="v2", timeout=20)
            raise AssertionError("an Encoder was opened while sys_exit runs")
        except venc.errors.AclStateError as error:
            assert "acl.himpi.sys_exit is under way" in str(error), error
    thread.join()
    with venc.Encoder(128, 128, codec="h264", interface="v2", timeout=20) as enc:
        packets = enc.encode(bytes(SIZE)) + enc.flush()
        assert len(packets) == 1
        del packets
    waiting.eventually(lambda: live.counts()["engine DEVICE"] == 0)
    ok(acl.himpi.sys_exit())
    ok(acl.rt.reset_device(0))
    ok(acl.finalize())


def main():
    before = live.counts()
    globals()[sys.argv[1]](*sys.argv[2:])
    live.assert_unchanged(before, patience=10)
    if simulator.is_loaded():
        assert simulator.shared().take_reports() == []
    print("ok")


if __name__ == "__main__":
    main()
