# SPDX-License-Identifier: Apache-2.0
"""DVPP V2's C functions: settings that change while a channel runs (statements 6.6)."""

import ctypes
import itertools

import pytest

from helpers import annexb, himpi, simulator, video
from helpers.decode import unit_frames
from helpers.himpi import error
from helpers.mpi_program import AVBR, CBR, CVBR, FIXQP, H264, H265, QVBR, VBR, Program

pytestmark = pytest.mark.sim_only

BOTH = pytest.mark.parametrize(("codec", "name"), [(H264, "h264"), (H265, "h265")], ids=["h264", "h265"])
RoiAttr = himpi.structure("hi_venc_roi_attr")
IntraRefresh = himpi.structure("hi_venc_intra_refresh")
GOP = 65536


@pytest.fixture
def program():
    with simulator.isolated(null_codec=500) as sim, Program(sim) as running:
        yield running


@pytest.fixture(scope="module")
def clip():
    """Pictures that go on smoothly for as long as one likes."""
    forth = list(video.clip())
    return forth + forth[-2:0:-1]


class Encoding:
    """A channel with the real codec that is fed from the clip; `units` is what came out."""

    def __init__(self, program, codec, name, clip, **settings):
        self.program, self.codec, self.name = program, codec, name
        self.chn = program.channel(codec, 640, 360, gop=GOP, **settings)
        self.infos = [program.picture(640, 360, data=frame.tobytes()) for frame in clip]
        self.got = []

    def run(self, count):
        """Encode so many frames more; returns their sizes in bytes."""
        first = len(self.got)
        for number in range(first, first + count):
            info = self.infos[number % len(self.infos)]
            self.got.append(self.program.encode(self.chn, info, number, self.codec))
        return [len(got.data) for got in self.got[first:]]

    def idrs(self):
        units = annexb.access_units(b"".join(got.data for got in self.got), self.name)
        return [number for number, unit in enumerate(units) if unit.is_idr]


@pytest.fixture
def encoding(request, clip):
    codec, name = request.param
    with simulator.isolated() as sim, Program(sim) as program:
        yield Encoding(program, codec, name, clip)


REAL = pytest.mark.parametrize("encoding", [(H264, "h264"), (H265, "h265")], ids=["h264", "h265"], indirect=True)


def kbit(sizes, fps=25):
    return sum(sizes) * 8 / 1000 * fps / len(sizes)


@pytest.mark.statement("6.6.1")
@REAL
def test_bit_rate_changes_at_once_and_without_an_idr(encoding):
    rates = [500, 2000, 1000, 3000, 800]
    means = []
    for rate in rates:
        encoding.program.change(encoding.chn, gop=GOP, kbit=rate)
        means.append(kbit(encoding.run(25)))
    assert encoding.idrs() == [0]
    assert [round(mean / rate, 1) for mean, rate in zip(means, rates)] == pytest.approx([1] * 5, abs=0.25)
    assert len(unit_frames([got.data for got in encoding.got], encoding.name)) == 125


@pytest.mark.statement("6.6.21")
@BOTH
def test_bytes_depend_on_pictures_and_settings_only(codec, name, clip):
    def run(program, chn):
        encoding = Encoding(program, codec, name, clip[:8], chn=chn)
        encoding.run(4)
        program.change(chn, gop=GOP, kbit=300, fps=10)
        encoding.run(4)
        return [got.data for got in encoding.got]

    with simulator.isolated() as sim, Program(sim) as program:
        program.channel(codec, 160, 128, chn=9)  # company
        program.encode(9, program.picture(160, 128), codec=codec)
        first = run(program, 3)
        program.encode(9, program.picture(160, 128), codec=codec)
    with simulator.isolated() as sim, Program(sim) as program:
        assert run(program, 0) == first


@pytest.mark.statement("6.6.2")
@REAL
def test_frame_rate_changes_the_bits_of_a_frame(encoding):
    encoding.run(30)  # the first second pays for the IDR
    slow = kbit(encoding.run(25))
    encoding.program.change(encoding.chn, gop=GOP, fps=10)
    encoding.run(5)
    fast = kbit(encoding.run(25))
    assert encoding.idrs() == [0]
    assert fast / slow == pytest.approx(2.5, abs=0.6)


@pytest.mark.statement("6.6.3")
@REAL
def test_mode_of_rate_control_changes_without_an_idr(encoding):
    program, chn = encoding.program, encoding.chn
    for mode in (VBR, FIXQP, AVBR, QVBR, CVBR, CBR):
        program.change(chn, mode=mode, gop=GOP, kbit=1000, **({"qp": (20, 31)} if mode == FIXQP else {}))
        encoding.run(5)
        if mode == FIXQP:
            assert [got.mean_qp for got in encoding.got[-5:]] == [31] * 5
    assert encoding.idrs() == [0]
    assert program.attr_of(chn).rc_attr.rc_mode == (CBR if encoding.codec == H264 else CBR + 10)


@pytest.mark.statement("6.6.4")
@REAL
def test_gop_changes_without_an_idr_of_its_own(encoding):
    encoding.run(10)
    encoding.program.change(encoding.chn, gop=15)
    encoding.run(40)
    encoding.program.change(encoding.chn, gop=GOP)
    encoding.run(10)
    assert encoding.idrs() == [0, 15, 30, 45]


@pytest.mark.statement("6.6.5")
@BOTH
def test_hundred_changes_in_a_thousand_frames(codec, name):
    """With the null codec every access unit says what rate it was made for."""
    with simulator.isolated(null_codec=400, watermark=1, v2_null_rate=1) as sim, Program(sim) as program:
        chn = program.channel(codec, gop=GOP)
        info = program.picture()
        got, expected = [], []
        settings = itertools.cycle(itertools.product((500, 2000, 1200), (25, 10, 50, 30)))
        for number in range(1000):
            if number % 10 == 0:
                rate, fps = next(settings)
                program.change(chn, gop=GOP, fps=fps, kbit=rate)
            got.append(program.encode(chn, info, number, codec))
            expected.append(rate * 1000 // fps // 8)
        assert [len(one.data) for one in got] == expected
        assert [one.seq for one in got] == list(range(1000))
        assert [one.pts for one in got] == [1000 * number for number in range(1000)]
        assert [number for number, one in enumerate(got) if len(one.types) > 1] == [0]
        assert got[-1].changes == 100


@pytest.mark.statement("6.6.6")
def test_parameters_of_rate_control_go_back_to_defaults_with_new_rates(program):
    sim = program.sim
    chn = program.channel()
    first = program.rc_param(chn)
    param = program.rc_param(chn)
    param.h264_cbr_param.min_qp, param.h264_cbr_param.max_qp = 20, 40
    program.ok(sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)))
    assert bytes(program.rc_param(chn)) == bytes(param)
    program.ok(sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(program.attr_of(chn))))
    assert bytes(program.rc_param(chn)) == bytes(param), "nothing of rate control or GOP has changed"
    program.change(chn, kbit=1001)
    assert bytes(program.rc_param(chn)) == bytes(first)


@pytest.mark.statement("6.6.7")
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("type", H265),
        ("max_pic_width", 256),
        ("max_pic_height", 256),
        ("buf_size", 1 << 21),
        ("profile", 1),
        ("is_by_frame", 0),
    ],
)
def test_static_attributes_cannot_change(program, member, value):
    chn = program.channel()
    attr = program.attr_of(chn)
    setattr(attr.venc_attr, member, value)
    assert program.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)) == error("NOT_PERM")
    attr = program.attr_of(chn)
    attr.rc_attr.h264_cbr.gop = 0
    assert program.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)) == error("ILLEGAL_PARAM")
    assert program.attr_of(chn).rc_attr.h264_cbr.gop == 30


@pytest.mark.statement("6.6.8")
@BOTH
def test_picture_size_changes_within_the_largest(codec, name):
    sizes = [(176, 144), (160, 128), (176, 144)]
    frames = [frame for width, height in sizes for frame in video.synthetic(width, height, 3, watermark=True)]
    units = []
    with simulator.isolated() as sim, Program(sim) as program:
        chn = program.channel(codec, 176, 144, gop=GOP)
        for number, frame in enumerate(frames):
            height, width = frame.shape[0] * 2 // 3, frame.shape[1]
            if number % 3 == 0:
                attr = program.attr_of(chn)
                attr.venc_attr.pic_width, attr.venc_attr.pic_height = width, height
                program.ok(sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)))
            units.append(program.encode(chn, program.picture(width, height, data=frame.tobytes()), number, codec).data)
        attr = program.attr_of(chn)
        attr.venc_attr.pic_width = 178
        assert sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)) == error("ILLEGAL_PARAM")
    parsed = [annexb.access_units(unit, name)[0] for unit in units]
    assert [unit.is_idr for unit in parsed] == [True, False, False] * 3
    assert [(unit.sps.width, unit.sps.height) for unit in parsed[::3]] == sizes


@pytest.mark.statement("6.6.8")
@pytest.mark.parametrize(("width", "height"), [(160, 144), (176, 128)], ids=["width", "height"])
def test_device_begins_another_size_with_an_idr_by_itself(program, width, height):
    """Also where only one side differs. A real codec, which is opened anew, would do it in any case."""
    chn = program.channel(width=176, height=144, gop=GOP)
    kinds = []
    for number, size in enumerate([(176, 144), (176, 144), (width, height), (width, height)]):
        attr = program.attr_of(chn)
        attr.venc_attr.pic_width, attr.venc_attr.pic_height = size
        program.ok(program.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)))
        kinds.append(program.encode(chn, program.picture(*size), number).types[-1])
    assert kinds == [5, 1, 5, 1]


@pytest.mark.statement("6.6.9")
@pytest.mark.parametrize("instant", [0, 1])
def test_requested_idr_is_the_next_frame(program, instant):
    chn = program.channel(gop=4)
    info = program.picture()
    kinds = []
    for number in range(10):
        if number == 2:
            program.ok(program.sim.hi_mpi_venc_request_idr(chn, instant))
        kinds.append(program.encode(chn, info, number).types[-1])
    assert kinds == [5, 1, 5, 1, 1, 1, 5, 1, 1, 1]
    assert program.sim.hi_mpi_venc_request_idr(chn, 2) == error("ILLEGAL_PARAM")


@pytest.mark.statement("6.6.10")
@REAL
def test_limits_of_the_quantiser_show_from_the_next_frame(encoding):
    program, chn = encoding.program, encoding.chn
    encoding.run(3)
    param = program.rc_param(chn)
    member = param.h264_cbr_param if encoding.codec == H264 else param.h265_cbr_param
    member.min_qp, member.max_qp = 40, 45
    program.ok(program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)))
    encoding.run(5)
    assert all(40 <= got.mean_qp <= 45 for got in encoding.got[3:])
    assert all(got.mean_qp < 40 for got in encoding.got[1:3])


@pytest.mark.statement("6.6.11")
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("first_frame_start_qp", 52),
        ("row_qp_delta", 11),
        ("direction", 17),
        ("h264_cbr_param.max_i_proportion", 101),
        ("h264_cbr_param.min_i_proportion", 0),
        ("h264_cbr_param.max_qp", 52),
        ("h264_cbr_param.min_qp", 52),
        ("h264_cbr_param.max_reencode_times", 4),
        ("h264_cbr_param.qpmap_en", 2),
    ],
)
def test_parameters_of_rate_control_out_of_range(program, member, value):
    chn = program.channel()
    param = program.rc_param(chn)
    *path, name = member.split(".")
    setattr(getattr(param, path[0]) if path else param, name, value)
    assert program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)) == error("ILLEGAL_PARAM")


# What only one mode has, and its range.
OF_ONE_MODE = {
    AVBR: ("avbr", {"min_still_percent": (5, 100), "max_still_qp": (0, 51)}),
    QVBR: (
        "qvbr",
        {
            "max_bit_percent": (30, 180),
            "min_bit_percent": (30, 180),
            "max_psnr_fluctuate": (18, 40),
            "min_psnr_fluctuate": (18, 40),
        },
    ),
    CVBR: ("cvbr", {"extra_bit_percent": (0, 1000), "long_term_stats_time_unit": (1, 1800)}),
}


@pytest.mark.statement("6.6.11")
@pytest.mark.parametrize("codec", [H264, H265])
@pytest.mark.parametrize("mode", OF_ONE_MODE)
def test_parameters_of_one_mode_have_their_range(program, mode, codec):
    """What the device begins with is within it."""
    chn = program.channel(codec, mode=mode)
    name, ranges = OF_ONE_MODE[mode]
    for member, (least, most) in ranges.items():
        param = program.rc_param(chn)
        own = getattr(param, f"{'h264' if codec == H264 else 'h265'}_{name}_param")
        assert least <= getattr(own, member) <= most
        for value in (least, most):
            setattr(own, member, value)
            program.ok(program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)))
        for value in (least - 1, most + 1):
            setattr(own, member, value)
            assert program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)) == error("ILLEGAL_PARAM")


@pytest.mark.statement("6.6.11")
@pytest.mark.parametrize("member", ["threshold_i", "threshold_p", "threshold_b"])
def test_thresholds_of_rate_control_end_at_255(program, member):
    chn = program.channel()
    param = program.rc_param(chn)
    getattr(param, member)[15] = 255
    program.ok(program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)))
    getattr(param, member)[15] = 256
    assert program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)) == error("ILLEGAL_PARAM")


@pytest.mark.statement("6.6.6")
@pytest.mark.parametrize("where", ["rc_attr", "gop_attr"])
def test_bytes_that_mean_nothing_change_no_rate_control(program, where):
    """Of the unions only the member of the mode counts."""
    chn = program.channel()
    param = program.rc_param(chn)
    param.h264_cbr_param.min_qp = 25
    program.ok(program.sim.hi_mpi_venc_set_rc_param(chn, ctypes.byref(param)))
    attr = program.attr_of(chn)
    union = getattr(attr, where)
    ctypes.memset(ctypes.addressof(union) + ctypes.sizeof(union) - 4, 0x5A, 4)
    program.ok(program.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)))
    assert program.rc_param(chn).h264_cbr_param.min_qp == 25


@pytest.mark.statement("6.6.12")
@pytest.mark.parametrize("delay", [0, 3])
def test_change_shows_after_the_frames_that_an_option_says(delay):
    with simulator.isolated(null_codec=100, v2_null_rate=1) as sim, Program(sim) as program:
        chn = program.channel(kbit=1000)
        info = program.picture()
        sizes = [len(program.encode(chn, info).data)]
        with sim.options(v2_change_delay=delay):
            program.change(chn, kbit=2000)
            sizes += [len(program.encode(chn, info).data) for _ in range(6)]
        assert sizes == [5000] * (1 + delay) + [10000] * (6 - delay)


@pytest.mark.statement("6.6.13")
def test_change_with_frames_waiting_is_busy_by_an_option(program):
    sim = program.sim
    chn = program.channel()
    attr = program.attr_of(chn)
    with sim.options(stall=1):
        program.send(chn, program.picture())
        program.change(chn, kbit=900)
        with sim.options(v2_change_idle=1):
            assert sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)) == error("BUSY")
    program.get(chn)
    with sim.options(v2_change_idle=1):
        program.ok(sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)))


@pytest.mark.statement("6.6.14")
@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend310B4"])
def test_vui_has_the_documented_defaults_and_keeps_what_is_set(soc):
    with simulator.isolated(soc=soc, null_codec=500) as sim, Program(sim) as program:
        for chn, codec, member in ((0, H264, "h264_vui"), (1, H265, "h265_vui")):
            program.channel(codec, chn=chn)
            vui = himpi.structure(f"hi_venc_{member}")()
            ctypes.memset(ctypes.byref(vui), 0x77, ctypes.sizeof(vui))
            program.ok(getattr(sim, f"hi_mpi_venc_get_{member}")(chn, ctypes.byref(vui)))
            assert vui.vui_time_info.timing_info_present_flag == 0
            assert (vui.vui_time_info.num_units_in_tick, vui.vui_time_info.time_scale) == (1, 60)
            assert vui.vui_video_signal.video_format == 5
            assert vui.vui_video_signal.video_full_range_flag == (codec == H264 and soc == "Ascend310B4")
            assert set(vui.unknown_tail) == {0x77777777}, "nothing is written behind the documented members"
            vui.vui_time_info.time_scale = 50
            program.ok(getattr(sim, f"hi_mpi_venc_set_{member}")(chn, ctypes.byref(vui)))
            again = himpi.structure(f"hi_venc_{member}")()
            program.ok(getattr(sim, f"hi_mpi_venc_get_{member}")(chn, ctypes.byref(again)))
            assert again.vui_time_info.time_scale == 50
            assert getattr(sim, f"hi_mpi_venc_set_{member}")(1 - chn if chn else 0, None) == error("NULL_PTR")
        vui = himpi.structure("hi_venc_h264_vui")()
        assert sim.hi_mpi_venc_set_h264_vui(1, ctypes.byref(vui)) == error("NOT_SUPPORT")


@pytest.mark.statement("6.6.15")
def test_scene_mode_and_vui_behind_the_start_are_refused_by_an_option(program):
    sim = program.sim
    chn = program.channel(start=False)
    mode = ctypes.c_int32(-1)
    vui = himpi.structure("hi_venc_h264_vui")()
    with sim.options(v2_early_settings=1):
        program.ok(sim.hi_mpi_venc_set_scene_mode(chn, 2))
        program.ok(sim.hi_mpi_venc_set_h264_vui(chn, ctypes.byref(vui)))
        program.start(chn)
        assert sim.hi_mpi_venc_set_scene_mode(chn, 1) == error("NOT_PERM")
        assert sim.hi_mpi_venc_set_h264_vui(chn, ctypes.byref(vui)) == error("NOT_PERM")
    program.ok(sim.hi_mpi_venc_get_scene_mode(chn, ctypes.byref(mode)))
    assert mode.value == 2
    assert sim.hi_mpi_venc_set_scene_mode(chn, 3) == error("ILLEGAL_PARAM")
    program.ok(sim.hi_mpi_venc_set_scene_mode(chn, 1))


@pytest.mark.statement("6.6.16")
@REAL
def test_region_of_interest_has_its_own_quality(encoding, clip):
    program, chn, sim = encoding.program, encoding.chn, encoding.program.sim
    program.change(chn, mode=FIXQP, gop=GOP, qp=(45, 45))
    roi = RoiAttr(idx=0, enable=1, is_abs_qp=1, qp=50)
    roi.rect.x, roi.rect.y, roi.rect.width, roi.rect.height = 0, 0, 320, 352
    program.ok(sim.hi_mpi_venc_set_roi_attr(chn, ctypes.byref(roi)))
    roi.idx, roi.qp = 3, 15  # the higher index wins
    program.ok(sim.hi_mpi_venc_set_roi_attr(chn, ctypes.byref(roi)))
    encoding.run(4)
    decoded = unit_frames([got.data for got in encoding.got], encoding.name)[-1]
    left = video.psnr(clip[3][:352, :320], decoded[:352, :320])
    right = video.psnr(clip[3][:352, 320:], decoded[:352, 320:])
    assert left > right + 5
    for roi.rect.x, roi.rect.y in ((8, 0), (0, 8), (-16, 0), (0, -16)):
        assert sim.hi_mpi_venc_set_roi_attr(chn, ctypes.byref(roi)) == error("ILLEGAL_PARAM")
    roi.idx = 8
    assert sim.hi_mpi_venc_set_roi_attr(chn, ctypes.byref(roi)) == error("ILLEGAL_PARAM")
    program.ok(sim.hi_mpi_venc_get_roi_attr(chn, 3, ctypes.byref(roi)))
    assert (roi.idx, roi.enable, roi.qp, roi.rect.x) == (3, 1, 15, 0)
    assert sim.hi_mpi_venc_get_roi_attr(chn, 8, ctypes.byref(roi)) == error("ILLEGAL_PARAM")


@pytest.mark.statement("6.6.17")
def test_intra_refresh_begins_with_an_i_picture(program):
    sim = program.sim
    chn = program.channel(gop=GOP)
    info = program.picture()
    kinds = [program.encode(chn, info).types[-1] for _ in range(2)]
    program.ok(sim.hi_mpi_venc_set_intra_refresh(chn, ctypes.byref(IntraRefresh(1, 0, 4, 30))))
    kinds += [program.encode(chn, info).types[-1] for _ in range(2)]
    program.ok(sim.hi_mpi_venc_set_intra_refresh(chn, ctypes.byref(IntraRefresh(0, 0, 4, 30))))
    kinds += [program.encode(chn, info).types[-1] for _ in range(2)]
    assert kinds == [5, 1, 5, 1, 1, 1]
    found = IntraRefresh()
    program.ok(sim.hi_mpi_venc_get_intra_refresh(chn, ctypes.byref(found)))
    assert (found.refresh_enable, found.refresh_num) == (0, 4)


@pytest.mark.misuse
@pytest.mark.statement("6.6.22")
def test_intra_refresh_of_nothing_is_refused(program):
    sim = program.sim
    chn = program.channel(gop=GOP)
    for wrong in (IntraRefresh(1, 2, 4, 30), IntraRefresh(1, 0, 0, 30), IntraRefresh(1, 1, 4, 52)):
        assert sim.hi_mpi_venc_set_intra_refresh(chn, ctypes.byref(wrong)) == error("ILLEGAL_PARAM")
    assert [report.split("]")[0] for report in sim.take_reports()] == ["[uninitialised"]
    for right in (IntraRefresh(1, 1, 1, 51), IntraRefresh(0, 9, 0, 99)):
        program.ok(sim.hi_mpi_venc_set_intra_refresh(chn, ctypes.byref(right)))


@pytest.mark.statement("6.6.18")
def test_functions_that_the_simulated_device_lacks_say_so(program):
    sim = program.sim
    chn = program.channel()
    room = ctypes.create_string_buffer(1024)
    for name in ("slice_split", "cu_pred", "streamcopy_param", "jpeg_param", "jpeg_huffman_param"):
        for verb in ("set", "get"):
            assert getattr(sim, f"hi_mpi_venc_{verb}_{name}")(chn, room) == error("NOT_SUPPORT")
    assert sim.hi_mpi_venc_send_jpege_frame(chn, room, room, 0) == error("NOT_SUPPORT")
    assert sim.hi_mpi_venc_get_jpege_predicted_size(room, room, room) == error("NOT_SUPPORT")
    assert sim.hi_mpi_venc_compact_jpeg_tables(chn, 0, 1) == error("NOT_SUPPORT")
    assert room.raw == bytes(1024)


@pytest.mark.statement("6.6.19")
def test_reference_parameters_and_maps_of_quantisers_are_taken(program):
    sim = program.sim
    chn = program.channel()
    reference = himpi.structure("hi_venc_ref_param")(1, 2, 1)
    program.ok(sim.hi_mpi_venc_set_ref_param(chn, ctypes.byref(reference)))
    found = himpi.structure("hi_venc_ref_param")()
    program.ok(sim.hi_mpi_venc_get_ref_param(chn, ctypes.byref(found)))
    assert (found.base, found.enhance, found.pred_en) == (1, 2, 1)
    info = himpi.structure("hi_user_frame_info")()
    info.user_frame = program.picture()
    program.ok(sim.hi_mpi_venc_send_frame_ex(chn, ctypes.byref(info), 0))
    assert program.get(chn).seq == 0
    assert sim.hi_mpi_venc_send_frame_ex(chn, None, 0) == error("NULL_PTR")
    assert sim.hi_mpi_venc_get_qpmap_stride(640) >= 40
    assert sim.hi_mpi_venc_get_qpmap_size(H264, 640, 360) == 23 * sim.hi_mpi_venc_get_qpmap_stride(640)


@pytest.mark.statement("6.6.20")
def test_change_that_fails_behind_its_work_has_been_made(program):
    """What a program that writes the old settings back has to reckon with."""
    chn = program.channel(kbit=1000)
    attr = program.attr_of(chn)
    attr.rc_attr.h264_cbr.bit_rate = 2000
    for after, rate in ((False, 1000), (True, 2000)):
        with program.sim.failing_call("hi_mpi_venc_set_chn_attr", code=error("BUSY"), after=after):
            assert program.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)) == error("BUSY")
        assert program.attr_of(chn).rc_attr.h264_cbr.bit_rate == rate
