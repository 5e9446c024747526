# SPDX-License-Identifier: Apache-2.0
"""AscendCL's C functions: channels, frames, callbacks, end of stream, ranges (statements 3.6 to 3.9, 3.11, 3.12)."""

import ctypes
import threading
import time

import pytest

from helpers import abi, annexb, processes, simulator
from helpers.acl_program import H264_BASELINE, H264_HIGH, H264_MAIN, H265_MAIN, NV12, NV21, Program
from helpers.simulator import CALLBACK
from helpers.waiting import eventually, is_inside

INVALID, OUT_OF_RANGE, STUCK = 100000, 507018, 507046
SOCS_WITH_ENCODER = ["Ascend310", "Ascend310P3", "Ascend310B4"]


@pytest.fixture
def sim():
    with abi.device(null_codec=500) as device:
        yield device


@pytest.fixture(params=SOCS_WITH_ENCODER)
def any_sim(request):
    with abi.device(soc=request.param, null_codec=500) as device:
        device.soc = request.param
        yield device


@pytest.fixture
def program(sim):
    with Program(sim) as running:
        yield running


@pytest.fixture
def still(sim):
    """A program whose own thread is to process the reports."""
    with Program(sim, pump=False) as running:
        yield running
        while sim.aclrtProcessReport(1) == 0:
            pass


def kinds(sim):
    return [text.split("]")[0][1:] for text in sim.take_reports()]


# ---- 6: creating ----


@pytest.mark.statement("3.6.1")
def test_create_channel_refuses_null(program):
    assert program.sim.aclvencCreateChannel(None) == INVALID


@pytest.mark.statement("3.6.12")
def test_create_channel_refuses_a_stale_descriptor(program):
    sim = program.sim
    desc = program.channel_desc()
    program.destroy_desc(desc)
    assert sim.aclvencCreateChannel(desc) == INVALID
    assert kinds(sim) == ["stale-handle"]


@pytest.mark.statement("3.6.2", "3.6.13")
@pytest.mark.sim_only
def test_create_channel_needs_two_streams_and_a_channel(program):
    sim = program.sim
    desc = program.channel_desc()
    with sim.options(stream_limit=1):
        assert sim.aclvencCreateChannel(desc) == 207008
    with sim.options(stream_limit=4):
        first, second = program.channel(), program.channel()
        assert sim.aclvencCreateChannel(desc) == 207008
        program.destroy(first)
        program.destroy(second)
    with sim.options(channel_limit=1):
        first = program.channel()
        assert sim.aclvencCreateChannel(desc) == 207005
        program.destroy(first)
        program.destroy(program.channel())
    program.destroy_desc(desc)


CHANNELS = {"Ascend310": 16, "Ascend310P3": 128, "Ascend310B4": 128}


@pytest.mark.statement("3.6.17", "3.6.18")
@pytest.mark.sim_only
def test_device_has_the_channels_of_its_chip(any_sim):
    with Program(any_sim) as program:
        for _ in range(CHANNELS[any_sim.soc]):
            program.channel()
        desc = program.channel_desc()
        assert any_sim.aclvencCreateChannel(desc) == 207005
        program.destroy(program.channels[0])
        program.destroy_desc(desc)
        program.channel()


@pytest.mark.statement("3.6.3")
def test_create_channel_subscribes_without_looking_at_thread_and_callback():
    with abi.device(null_codec=500, devices=2) as sim, Program(sim) as program:
        for attributes in ({"ThreadId": 0}, {"ThreadId": 12345}, {"Callback": None}):
            program.destroy(program.channel(**attributes))
        keeper = program.channel()
        context = ctypes.c_void_p()
        assert sim.aclrtCreateContext(ctypes.byref(context), 1) == 0
        desc = program.channel_desc()
        assert sim.aclvencCreateChannel(desc) == 107012
        program.destroy_desc(desc)
        assert sim.aclrtDestroyContext(context) == 0
        assert sim.aclrtSetCurrentContext(program.context) == 0
        program.destroy(keeper)


@pytest.mark.statement("3.6.4")
def test_create_channel_with_half_a_buffer_is_500003(program):
    sim = program.sim
    for attributes in ({"BufAddr": program.memory(6 << 20)}, {"BufSize": 6 << 20}):
        desc = program.channel_desc(**attributes)
        assert sim.aclvencCreateChannel(desc) == 500003
        program.destroy_desc(desc)


@pytest.mark.statement("3.6.5")
def test_output_is_in_the_program_s_buffer(program):
    address = program.memory(6 << 20)
    channel, picture = program.channel(BufAddr=address, BufSize=6 << 20), program.picture()
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert address <= program.delivered[0].address < address + (6 << 20)
    assert program.delivered[0].data[:4] == b"\0\0\0\1"


def create_with(program, **attributes):
    """The code of creating a channel with these attributes; the descriptor and a channel are gone again."""
    names = {"width": "PicWidth", "height": "PicHeight", "gop": "KeyFrameInterval"}
    desc = program.channel_desc(**{key: value for key, value in attributes.items() if key not in names})
    for key, name in names.items():
        if key in attributes:
            assert getattr(program.sim, f"aclvencSetChannelDesc{name}")(desc, attributes[key]) == 0
    code = program.sim.aclvencCreateChannel(desc)
    text = program.sim.error_text() if code else ""
    if code == 0:
        assert program.sim.aclvencDestroyChannel(desc) == 0
    program.destroy_desc(desc)
    return code, text


LIMITS = {  # soc: {attribute: (good values, bad values)}
    "Ascend310": {
        "width": ((128, 1920), (0, 126, 1922)),
        "height": ((128, 1920), (0, 126, 1922)),
        "SrcRate": ((0, 1, 120), (121,)),
        "MaxBitRate": ((0, 10, 30000), (1, 9, 30001)),
        "RcMode": ((0, 1, 2), (3,)),
    },
    "Ascend310P3": {
        "width": ((128, 4096), (0, 126, 4098)),
        "height": ((128, 4096), (0, 126, 4098)),
        "SrcRate": ((0, 1, 240), (241,)),
        "MaxBitRate": ((0, 2, 614400), (1, 614401, 2000000)),
        "RcMode": ((0, 1, 2), ()),
    },
    "Ascend310B4": {
        "width": ((114, 8192), (0, 112, 8194)),
        "height": ((114, 8192), (0, 112, 8194)),
        "SrcRate": ((0, 1, 240), (241,)),
        "MaxBitRate": ((0, 2, 614400), (1, 614401)),
        "RcMode": ((0, 1, 2), ()),
    },
}


@pytest.mark.statement("3.6.6", "3.6.7", "3.11.1")
def test_create_channel_checks_the_ranges_of_the_chip(any_sim):
    with Program(any_sim) as program:
        limits = {"gop": ((1, 65536), (0, 65537)), "EnType": ((0, 1, 2, 3), (4, -1)), **LIMITS[any_sim.soc]}
        for name, (good, bad) in limits.items():
            for value in good:
                assert create_with(program, **{name: value}) == (0, ""), (name, value)
            for value in bad:
                code, text = create_with(program, **{name: value})
                assert code == OUT_OF_RANGE, (name, value)
                assert f"{value}" in text, text
        assert create_with(program, PicFormat=None)[0] == OUT_OF_RANGE
        assert (
            create_with(program, gop=0)[1]
            == f"aclvencCreateChannel: gop 0 err, should be in [1, 65536] on {any_sim.soc}"
        )


@pytest.mark.statement("3.11.2")
def test_create_channel_checks_parity_and_area(program):
    assert create_with(program, width=129)[0] == OUT_OF_RANGE
    assert create_with(program, height=129)[0] == OUT_OF_RANGE
    assert create_with(program, width=4096, height=2304, en_type=H264_HIGH)[0] == 0
    assert create_with(program, width=4096, height=2306, en_type=H264_HIGH)[0] == OUT_OF_RANGE
    assert create_with(program, width=4096, height=4096, en_type=H265_MAIN)[0] == 0


@pytest.mark.statement("3.11.4")
@pytest.mark.parametrize(
    ("en_type", "codec", "profile"),
    [(H265_MAIN, "h265", 1), (H264_BASELINE, "h264", 66), (H264_MAIN, "h264", 77), (H264_HIGH, "h264", 100)],
)
def test_encoding_type_gives_its_profile(en_type, codec, profile):
    with abi.device() as sim, Program(sim) as program:
        channel = program.channel(256, 128, en_type=en_type)
        for number in range(3):
            program.send(channel, program.picture(256, 128, data=noise(256 * 128 * 3 // 2, number)))
        program.end_of_stream(channel)
        units = [annexb.access_units(seen.data, codec) for seen in program.delivered]
    assert [len(unit) for unit in units] == [1] * 3
    sps = units[0][0].sps
    assert (sps.profile_idc, sps.width, sps.height) == (profile, 256, 128)
    assert [set(unit[0].slice_types) for unit in units] == [{"I"}, {"P"}, {"P"}]


@pytest.mark.statement("3.11.5")
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310B4"])
def test_ip_proportion_is_checked_when_the_channel_is_created(soc):
    with abi.device(soc=soc, null_codec=500) as sim, Program(sim) as program:
        for value, expected in ((0, 0), (1, 0), (100, 0), (101, OUT_OF_RANGE)):
            desc = program.channel_desc()
            data = ctypes.c_uint32(value)
            assert sim.aclvencSetChannelDescParam(desc, 12, 4, ctypes.byref(data)) == 0
            assert sim.aclvencCreateChannel(desc) == expected, value
            if expected == 0:
                assert sim.aclvencDestroyChannel(desc) == 0
            program.destroy_desc(desc)


@pytest.mark.statement("3.6.8")
@pytest.mark.sim_only
def test_failed_create_channel_leaves_nothing_behind(any_sim):
    sim = any_sim
    with Program(sim) as program:
        before = sim.live()
        for _ in range(3):
            desc = program.channel_desc(gop=0)
            assert sim.aclvencCreateChannel(desc) == OUT_OF_RANGE
            program.destroy_desc(desc)
        assert sim.live() == before


def opens_and_encodes(program, desc):
    assert program.sim.aclvencCreateChannel(desc) == 0
    program.send(desc, program.picture())
    program.end_of_stream(desc)
    assert program.sim.aclvencDestroyChannel(desc) == 0
    assert program.delivered.pop().size > 0


@pytest.mark.statement("3.6.14", "3.6.16")
@pytest.mark.sim_only
def test_descriptor_whose_channel_was_refused_or_has_ended_takes_another(any_sim):
    """It works; but with a buffer of the library's own, later chips use and free it again: strict mode says so."""
    sim = any_sim
    reports = [] if sim.soc == "Ascend310" else ["descriptor-reuse"]
    with Program(sim) as program:
        desc = program.channel_desc(gop=0)
        assert sim.aclvencCreateChannel(desc) == OUT_OF_RANGE
        assert kinds(sim) == []
        assert sim.aclvencCreateChannel(desc) == OUT_OF_RANGE
        assert kinds(sim) == reports
        assert sim.aclvencSetChannelDescKeyFrameInterval(desc, 10) == 0
        opens_and_encodes(program, desc)
        assert kinds(sim) == reports
        program.destroy_desc(desc)
        desc = program.channel_desc()
        opens_and_encodes(program, desc)
        assert kinds(sim) == []
        for _ in range(2):
            opens_and_encodes(program, desc)
            assert kinds(sim) == reports
        program.destroy_desc(desc)


@pytest.mark.statement("3.6.16")
@pytest.mark.sim_only
def test_descriptor_without_a_buffer_of_the_librarys_own_is_clean_when_used_again(program):
    sim = program.sim
    size = 5 << 20
    desc = program.channel_desc(BufAddr=program.memory(size), BufSize=size)
    for _ in range(2):
        opens_and_encodes(program, desc)
    program.destroy_desc(desc)
    with sim.options(stream_limit=1):  # refused before the buffer is there
        desc = program.channel_desc()
        assert sim.aclvencCreateChannel(desc) == 207008
    opens_and_encodes(program, desc)
    program.destroy_desc(desc)


@pytest.mark.statement("3.6.9")
def test_channel_id_appears_in_the_descriptor(program):
    channels = [program.channel() for _ in range(3)]
    assert len({program.sim.aclvencGetChannelDescChannelId(channel) for channel in channels}) == 3


@pytest.mark.statement("3.6.15")
def test_channel_ids_are_the_lowest_free_ones(program):
    channels = [program.channel() for _ in range(3)]
    read = program.sim.aclvencGetChannelDescChannelId
    assert [read(channel) for channel in channels] == [0, 1, 2]
    program.destroy(channels[1])
    assert read(program.channel()) == 1


@pytest.mark.statement("3.12.1")
@pytest.mark.sim_only
def test_second_channel_on_a_descriptor_with_an_open_one_is_refused(program):
    sim = program.sim
    channel, picture = program.channel(), program.picture()
    assert sim.aclvencCreateChannel(channel) == INVALID
    assert kinds(sim) == ["descriptor-reuse"]
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert len(program.delivered) == 1


@pytest.mark.statement("3.6.10")
def test_create_channel_without_context_is_107002(program):
    codes = []
    desc = program.channel_desc()
    thread = threading.Thread(target=lambda: codes.append(program.sim.aclvencCreateChannel(desc)))
    thread.start()
    thread.join()
    assert codes == [107002]
    program.destroy_desc(desc)


@pytest.mark.statement("3.6.11")
@pytest.mark.sim_only
def test_create_channel_without_codec_says_what_to_install():
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from helpers import abi
from helpers.acl_program import Program
with abi.device() as sim, Program(sim) as program:
    desc = program.channel_desc()
    print(sim.aclvencCreateChannel(desc), sim.error_text())
    program.destroy_desc(desc)
"""

    tests = str(simulator.ROOT / "tests")
    done = processes.run(code, tests, env={"ASCEND_VENC_SIM_AVCODEC": "/nonexistent/libavcodec.so"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("507018 aclvencCreateChannel: the encoder cannot be opened:")
    assert "/nonexistent/libavcodec.so" in done.stdout
    assert "pip install" in done.stdout


@pytest.mark.statement("3.12.2")
@pytest.mark.parametrize("soc", ["Ascend910", "Ascend910B1", "Ascend910_9391"])
def test_chip_without_encoder_refuses_channels(soc):
    with abi.device(soc=soc) as sim, Program(sim) as program:
        assert sim.aclrtGetSocName() == soc.encode()
        assert create_with(program) == (200001, f"aclvencCreateChannel: {soc} has no video encoder")


@pytest.mark.statement("3.11.3")
@pytest.mark.parametrize(
    ("soc", "rc_mode", "bit_rate"), [("Ascend310", 2, 300), ("Ascend310P3", 1, 2000), ("Ascend310B4", 1, 2000)]
)
def test_defaults_encode_like_the_values_they_stand_for(soc, rc_mode, bit_rate):
    def encode(**attributes):
        with abi.device(soc=soc) as sim, Program(sim) as program:
            channel = program.channel(256, 256, **attributes)
            for number in range(6):
                program.send(channel, program.picture(256, 256, data=noise(256 * 256 * 3 // 2, number)))
            program.end_of_stream(channel)
            return [seen.data for seen in program.delivered]

    default = encode()
    assert default == encode(RcMode=rc_mode, SrcRate=30, MaxBitRate=bit_rate)
    assert default != encode(RcMode=3 - rc_mode, SrcRate=30, MaxBitRate=bit_rate)
    assert default != encode(RcMode=rc_mode, SrcRate=30, MaxBitRate=bit_rate // 4)


def noise(size, seed):
    block = bytes((i * i * 31 + i * (seed * 7 + 3)) % 199 for i in range(4096))
    return (block * (size // 4096 + 1))[:size]


# ---- 7: sending ----


@pytest.mark.statement("3.7.1")
def test_send_frame_refusals(program):
    sim = program.sim
    picture, config = program.picture(), program.config()
    desc = program.channel_desc()
    channel = program.channel()
    for arguments in (
        (None, picture, config),
        (desc, picture, config),
        (channel, picture, None),
        (channel, None, config),
    ):
        code = sim.aclvencSendFrame(arguments[0], arguments[1], None, arguments[2], None)
        assert code == INVALID, arguments
    assert sim.aclvencDestroyChannel(channel) == 0
    assert sim.aclvencSendFrame(channel, picture, None, config, None) == INVALID
    program.destroy_desc(channel)
    program.destroy_desc(desc)
    assert program.delivered == []
    abi.assert_misuses(sim, "no-channel", "no-channel")


@pytest.mark.statement("3.7.16")
def test_send_frame_refuses_handles_of_another_kind(program):
    sim = program.sim
    channel, picture, config = program.channel(), program.picture(), program.config()
    for arguments in ((picture, picture, config), (channel, config, config), (channel, picture, picture)):
        assert sim.aclvencSendFrame(arguments[0], arguments[1], None, arguments[2], None) == INVALID
    assert kinds(sim) == ["wrong-handle"] * 3


@pytest.mark.statement("3.7.17")
@pytest.mark.sim_only
@pytest.mark.parametrize("code", [507046, 507018])
def test_send_that_fails_behind_its_launch_is_encoded_and_reported(any_sim, code):
    with Program(any_sim) as program:
        channel, picture, config = program.channel(), program.picture(), program.config()
        program.send(channel, picture, 1, config)
        with any_sim.failing_call("aclvencSendFrame", code=code, after=True):
            program.send(channel, picture, 2, config, expect=code)
        program.send(channel, picture, 3, config)
        with any_sim.failing_call("aclvencSendFrame", code=code):
            program.send(channel, picture, 4, config, expect=code)  # before its launch: without a report
        with any_sim.failing_call("aclvencSendFrame", code=code, after=True):
            program.send(channel, None, 5, config, expect=INVALID)  # never launched
        program.end_of_stream(channel)
        assert [seen.user_data for seen in program.delivered] == [1, 2, 3]
        assert all(seen.ret_code == 0 and seen.size == len(seen.data) > 0 for seen in program.delivered)
        assert any_sim.channel_stats(channel)["sent"] == 3


@pytest.mark.statement("3.7.2")
def test_eos_ignores_the_other_arguments(program):
    channel, picture = program.channel(), program.picture()
    eos = program.config(eos=1)
    for arguments in ((None, None, None), (picture, 5, 6), (12345, 0, 0)):
        assert program.sim.aclvencSendFrame(channel, *arguments[:2], eos, arguments[2]) == 0
    assert program.delivered == []


@pytest.mark.statement("3.7.3")
def test_send_frame_checks_the_picture_size_by_chip(any_sim):
    with Program(any_sim) as program:
        channel = program.channel(160, 128)
        size = 160 * 128 * 3 // 2
        memory = program.memory(3 * size)
        picture = program.picture(address=memory, size=size)
        strict = any_sim.soc == "Ascend310"
        for value, expected in ((size, 0), (2 * size - 1, 0), (size - 1, INVALID), (2 * size, INVALID)):
            assert any_sim.acldvppSetPicDescSize(picture, value) == 0
            program.send(channel, picture, expect=expected if strict else 0)
        program.end_of_stream(channel)
        assert len(program.delivered) == (2 if strict else 4)
        any_sim.take_reports()  # too small a size is reported


@pytest.mark.statement("3.7.4")
def test_descriptors_may_be_changed_after_the_send(program):
    sim = program.sim
    channel, picture = program.channel(), program.picture()
    other = program.memory(128 * 128 * 3 // 2)
    config = sim.aclvencCreateFrameConfig()
    with abi.stalled(sim):
        program.send(channel, picture, 1, config)
        assert sim.aclvencSetFrameConfigEos(config, 1) == 0
        assert sim.aclvencDestroyFrameConfig(config) == 0
        assert sim.acldvppSetPicDescData(picture, other) == 0
        assert sim.acldvppSetPicDescSize(picture, 1) == 0
    program.end_of_stream(channel)
    assert [seen.ret_code for seen in program.delivered] == [0]


@pytest.mark.statement("3.7.5")
@pytest.mark.sim_only
def test_pixels_are_read_when_the_device_encodes():
    size = 128 * 128 * 3 // 2
    streams = []
    for late in (False, True):
        with abi.device(strict=False) as sim, Program(sim) as program:
            channel, memory = program.channel(), program.memory(size)
            picture = program.picture(address=memory, size=size)
            program.fill(memory, bytes(size) if late else noise(size, 1))
            with sim.options(stall=1):
                program.send(channel, picture)
                if late:
                    program.fill(memory, noise(size, 1))
            program.end_of_stream(channel)
            streams.append(program.delivered[0].data)
    assert streams[0] == streams[1]


@pytest.mark.statement("3.7.6")
def test_picture_format_of_the_channel_counts():
    size = 128 * 128 * 3 // 2
    streams = {}
    for channel_format in (NV12, NV21):
        for picture_format in (NV12, NV21, 0):
            with abi.device() as sim, Program(sim) as program:
                channel = program.channel(pic_format=channel_format)
                program.send(channel, program.picture(data=noise(size, 2), Format=picture_format))
                program.end_of_stream(channel)
                streams.setdefault(channel_format, set()).add(program.delivered[0].data)
    assert {key: len(value) for key, value in streams.items()} == {NV12: 1, NV21: 1}
    assert streams[NV12] != streams[NV21]


@pytest.mark.statement("3.7.7")
@pytest.mark.sim_only
def test_send_frame_blocks_while_the_queue_is_full():
    with abi.device(null_codec=500, input_slots=3) as sim, Program(sim) as program:
        channel, picture, config = program.channel(), program.picture(), program.config()
        sent = []

        def send_six():
            assert sim.aclrtSetCurrentContext(program.context) == 0
            for number in range(6):
                program.send(channel, picture, number, config)
                sent.append(number)

        def is_full():
            return len(sent) == 3 and is_inside(thread, "send")

        with sim.options(stall=1):
            thread = threading.Thread(target=send_six)
            thread.start()
            eventually(is_full)
            time.sleep(0.1)
            assert sent == [0, 1, 2]
            assert program.delivered == []
        thread.join(10)
        program.end_of_stream(channel)
        assert [seen.user_data for seen in program.delivered] == list(range(6))
        assert sim.channel_stats(channel)["send_blocked_ns"] > 90_000_000


@pytest.mark.statement("3.7.8")
def test_send_and_pump_on_one_thread(still):
    channel, picture = still.channel(), still.picture()
    for number in range(20):
        still.send(channel, picture, number)
        assert still.sim.aclrtProcessReport(20_000) == 0
    assert [seen.user_data for seen in still.delivered] == list(range(20))
    still.end_of_stream(channel)


@pytest.mark.statement("3.7.9")
def test_reserve_is_ignored(program):
    sim = program.sim
    channel, picture, config = program.channel(), program.picture(), program.config()
    stream = sim.acldvppCreateStreamDesc()
    for reserve in (None, stream, 12345):
        assert sim.aclvencSendFrame(channel, picture, reserve, config, 1) == 0
    program.end_of_stream(channel)
    assert len(program.delivered) == 3
    assert stream not in {seen.output for seen in program.delivered}
    assert sim.acldvppDestroyStreamDesc(stream) == 0


@pytest.mark.statement("3.7.10")
def test_send_frame_without_context_is_107002(program):
    channel, picture, config = program.channel(), program.picture(), program.config()
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(program.sim.aclvencSendFrame(channel, picture, None, config, None))
    )
    thread.start()
    thread.join()
    assert codes == [107002]
    assert program.delivered == []


@pytest.mark.statement("3.7.15")
def test_send_frame_with_the_context_of_another_device_is_107003():
    with abi.device(null_codec=500, devices=2) as sim, Program(sim) as program:
        channel, picture, config = program.channel(), program.picture(), program.config()
        codes = []

        def send(device):
            if device is not None:
                assert sim.aclrtSetDevice(device) == 0
            codes.append(sim.aclvencSendFrame(channel, picture, None, config, None))
            if device is not None:
                assert sim.aclrtResetDevice(device) == 0

        for device in (1, 0):
            thread = threading.Thread(target=send, args=(device,))
            thread.start()
            thread.join()
        assert codes == [107003, 0]
        abi.assert_misuses(sim, "wrong-context")


PLAIN = 128 * 128 * 3 // 2


@pytest.mark.statement("3.7.11", "3.7.12", "3.7.13")
@pytest.mark.parametrize(
    ("width", "stride", "rows", "fields"),
    [
        (128, 128, 128, {}),
        (132, 144, 128, {}),
        (128, 128, 128, {"WidthStride": 128, "HeightStride": 128, "Width": 128, "Height": 128}),
        (128, 128, 128, {"WidthStride": 128, "HeightStride": 144}),
        (128, 128, 144, {"WidthStride": 128, "HeightStride": 144}),
        (128, 128, 136, {}),
        (128, 256, 128, {"WidthStride": 256}),
        (132, 132, 128, {"WidthStride": 132}),
        (132, 134, 128, {"WidthStride": 134, "HeightStride": 128}),
    ],
)
def test_geometry_of_a_picture_as_real_programs_set_it(width, stride, rows, fields):
    luma, chroma = noise(width * 128, 3), noise(width * 64, 4)

    def encode(stride, rows, fields):
        data = bytearray(b"\xee" * (stride * rows * 3 // 2))
        for row in range(128):
            data[row * stride : row * stride + width] = luma[row * width : (row + 1) * width]
        for row in range(64):
            start = stride * rows + row * stride
            data[start : start + width] = chroma[row * width : (row + 1) * width]
        with abi.device() as sim, Program(sim) as program:
            channel = program.channel(width, 128)
            program.send(channel, program.picture(data=bytes(data), size=len(data), **fields))
            program.end_of_stream(channel)
            assert program.delivered[0].ret_code == 0
            return program.delivered[0].data

    aligned = (width + 15) // 16 * 16
    assert encode(stride, rows, fields) == encode(aligned, 128, {"WidthStride": aligned, "HeightStride": 128})


@pytest.mark.statement("3.7.12")
@pytest.mark.parametrize(
    ("rows", "fields"),
    [(128, {}), (128, {"HeightStride": 128}), (128, {"HeightStride": 400}), (144, {"HeightStride": 144})],
)
@pytest.mark.parametrize("more", [1000, 20480])
def test_geometry_of_a_picture_whose_size_is_that_of_a_larger_buffer(rows, fields, more):
    """Such as one of whole pages, or one for the largest of several pictures."""
    luma, chroma = noise(128 * 128, 3), noise(128 * 64, 4)

    def encode(rows, fields, more):
        data = luma + b"\xee" * (128 * (rows - 128)) + chroma + b"\xee" * (64 * (rows - 128) + more)
        with abi.device() as sim, Program(sim) as program:
            channel = program.channel(128, 128)
            program.send(channel, program.picture(data=data, size=len(data), **fields))
            program.end_of_stream(channel)
            assert program.delivered[0].ret_code == 0
            return program.delivered[0].data

    assert encode(rows, fields, more) == encode(128, {}, 0)


@pytest.mark.statement("3.7.14")
@pytest.mark.sim_only
def test_bad_pictures_fail_their_frame_only(program):
    sim = program.sim
    channel, good, config = program.channel(), program.picture(), program.config()
    empty = sim.acldvppCreatePicDesc()
    small = program.picture(address=program.memory(1000), size=PLAIN)
    narrow = program.picture(WidthStride=64)
    unmapped = program.picture(address=0x10, size=PLAIN)
    nothing = program.picture()
    assert sim.acldvppSetPicDescSize(nothing, 0) == 0
    bad = [empty, small, narrow, unmapped, nothing]
    for picture in bad:
        program.send(channel, good, 1, config)
        program.send(channel, picture, 2, config)
    program.end_of_stream(channel)
    assert [(seen.user_data, seen.ret_code, bool(seen.size)) for seen in program.delivered] == [
        (1, 0, True),
        (2, 1, False),
    ] * len(bad)
    assert sim.acldvppDestroyPicDesc(empty) == 0
    assert set(kinds(sim)) == {"bad-picture", "foreign-memory"}


@pytest.mark.statement("3.7.14")
@pytest.mark.sim_only
@pytest.mark.parametrize("soc", ["Ascend310", "Ascend310P3"])
def test_picture_that_is_nowhere_fails_its_frame_without_codec_and_strict_mode_too(soc):
    with abi.device(soc=soc, strict=False, null_codec=500) as sim, Program(sim) as program:
        channel, nowhere = program.channel(), program.picture(address=0x41414140, size=PLAIN)
        program.send(channel, nowhere, 2)
        program.end_of_stream(channel)
        assert [(seen.user_data, seen.ret_code, seen.size) for seen in program.delivered] == [(2, 1, 0)]


@pytest.mark.sim_only
def test_picture_in_the_program_s_own_memory_is_copied_at_once():
    size = 128 * 128 * 3 // 2
    with abi.device(strict=False) as sim, Program(sim) as program:
        channel = program.channel()
        own = ctypes.create_string_buffer(noise(size, 5), size)
        with sim.options(stall=1):
            program.send(channel, program.picture(address=ctypes.addressof(own), size=size))
            ctypes.memset(own, 0, size)
        program.send(channel, program.picture(data=noise(size, 5)), config=program.config(force_i_frame=1))
        program.end_of_stream(channel)
        first, second = (seen.data for seen in program.delivered)
    assert len(first) > 1000
    assert abs(len(first) - len(second)) < len(first) // 4, "the picture of before the memset"


# ---- 8: callbacks ----


@pytest.mark.statement("3.8.1")
def test_callbacks_run_inside_process_report_of_the_channel_s_thread(still):
    channel, picture = still.channel(), still.picture()
    for number in range(3):
        still.send(channel, picture, number)
    time.sleep(0.05)
    assert still.delivered == []
    while len(still.delivered) < 3:
        assert still.sim.aclrtProcessReport(20_000) == 0
    assert {seen.thread for seen in still.delivered} == {threading.get_ident()}


@pytest.mark.statement("3.8.2", "3.8.3")
def test_callback_arguments_are_those_of_the_send(program):
    channel = program.channel()
    pictures = [program.picture() for _ in range(3)]
    values = [2**64 - 1, 0, 0x1234, 7, 7, 1]
    for number, value in enumerate(values):
        program.send(channel, pictures[number % 3], value)
    program.end_of_stream(channel)
    program.end_of_stream(channel)
    assert [(seen.input, seen.user_data) for seen in program.delivered] == [
        (pictures[number % 3], value) for number, value in enumerate(values)
    ]
    assert all(seen.output for seen in program.delivered)


@pytest.mark.statement("3.8.4")
def test_one_picture_descriptor_sent_sixteen_times(program):
    channel, picture = program.channel(), program.picture()
    for number in range(16):
        program.send(channel, picture, number)
    program.end_of_stream(channel)
    assert [seen.user_data for seen in program.delivered] == list(range(16))


@pytest.mark.statement("3.8.5", "3.8.17")
@pytest.mark.sim_only
def test_callback_is_taken_at_send_time(sim):
    with Program(sim) as program:
        channel, picture = program.channel(Callback=None), program.picture()
        program.send(channel, picture, 1)
        callback = ctypes.cast(program._callback, ctypes.c_void_p)
        assert sim.aclvencSetChannelDescCallback(channel, callback) == 0
        program.send(channel, picture, 2)
        program.end_of_stream(channel)
        assert [seen.user_data for seen in program.delivered] == [2]
        assert sim.channel_stats(channel)["skipped"] == 1
        assert kinds(sim) == ["no-callback"]


LEFT_OUT = """
import sys
sys.path.insert(0, sys.argv[1])
from helpers import simulator
from helpers.acl_program import Program
sim = simulator.shared()
sim.set_options(null_codec=500)
for _ in range(2):
    with Program(sim, bind=False, finalize=False) as program:
        channel, picture = program.channel(), program.picture()
        for _ in range(3):
            program.send(channel, picture)
        program.end_of_stream(channel)
        assert program.delivered == []
"""


@pytest.mark.statement("3.8.6")
@pytest.mark.sim_only
@pytest.mark.parametrize(
    ("variable", "lines"),
    [
        ({}, 1),
        ({"ASCEND_VENC_SIM_OPTIONS": "quiet=1"}, 0),
        ({"ASCEND_VENC_SIM_LOG": "1"}, 6),
        ({"ASCEND_VENC_SIM_STRICT": "1"}, 6),
        ({"ASCEND_VENC_SIM_SOC": "Ascend310B4"}, 0),
    ],
)
def test_callback_left_out_for_want_of_a_context_is_said_once(variable, lines):
    program = LEFT_OUT.replace("assert program.delivered == []", "pass") if "Ascend310B4" in str(variable) else LEFT_OUT
    env = {"ASCEND_VENC_SIM_STRICT": "0", **variable}
    done = processes.run(program, str(simulator.ROOT / "tests"), env=env)
    said = [line for line in done.stderr.splitlines() if "is left out" in line]
    assert (done.returncode, len(said)) == (0, lines), done.stderr
    assert all("no current context" in line for line in said)


@pytest.mark.statement("3.8.6")
def test_host_mode_without_context_leaves_the_callback_out(sim):
    if getattr(sim, "board", False):
        pytest.skip("says what a host does")
    with Program(sim, bind=False) as program:
        channel, picture = program.channel(), program.picture()
        program.send(channel, picture)
        program.end_of_stream(channel)
        assert program.delivered == []
        abi.assert_misuses(sim, "no-context")


@pytest.mark.statement("3.8.7")
def test_board_without_context_runs_the_callback():
    with abi.device(soc="Ascend310B4", null_codec=500) as sim, Program(sim, bind=False) as program:
        channel = program.channel()
        program.send(channel, program.picture())
        program.end_of_stream(channel)
        assert [seen.size for seen in program.delivered] == [500]


@pytest.mark.statement("3.8.8")
def test_output_descriptor_is_one_per_channel_or_one_per_frame(any_sim):
    with Program(any_sim) as program:
        channel, picture = program.channel(), program.picture()
        for _ in range(3):
            program.send(channel, picture)
        program.end_of_stream(channel)
        outputs = {seen.output for seen in program.delivered}
        assert len(outputs) == (3 if any_sim.soc == "Ascend310" else 1)


@pytest.mark.sim_only
def test_output_descriptor_of_ascend310_is_gone_after_its_callback():
    with abi.device(soc="Ascend310", null_codec=500) as sim, Program(sim) as program:
        channel = program.channel()
        program.send(channel, program.picture())
        program.end_of_stream(channel)
        assert sim.acldvppGetStreamDescSize(program.delivered[0].output) == 0
        assert kinds(sim) == ["stale-handle"]


@pytest.mark.statement("3.8.9")
def test_output_data_is_in_the_one_buffer_of_the_channel(program):
    first, second, picture = program.channel(), program.channel(), program.picture()
    for channel in (first, second, first, second):
        program.send(channel, picture, channel)
    program.end_of_stream(first)
    program.end_of_stream(second)
    seen = {channel: [one for one in program.delivered if one.user_data == channel] for channel in (first, second)}
    spans = sorted((min(one.address for one in frames), max(one.address for one in frames)) for frames in seen.values())
    assert all(last - begin < 8 << 20 for begin, last in spans)
    assert spans[0][1] < spans[1][0], "the channels' buffers are apart"
    assert all(one.data.startswith((b"\0\0\0\1", b"\0\0\1")) for one in program.delivered)


@pytest.mark.statement("3.8.14")
@pytest.mark.sim_only
def test_output_is_overwritten_after_the_callback():
    with abi.device(null_codec=500, strict=False) as sim, Program(sim) as program:
        channel = program.channel()
        program.send(channel, program.picture())
        program.end_of_stream(channel)
        seen = program.delivered[0]
        assert seen.data[:4] == b"\0\0\0\1"
        assert ctypes.string_at(seen.address, 64) == b"\xdb" * 64


@pytest.mark.statement("3.8.10")
@pytest.mark.sim_only
def test_forgiving_device_memory_can_be_read_by_the_program():
    with abi.device(strict=False) as sim, Program(sim, pump=False) as program:
        memory = program.memory(64)
        program.fill(memory, b"abcd" * 16)
        assert ctypes.string_at(memory, 64) == b"abcd" * 16


@pytest.mark.statement("3.12.3")
def test_output_descriptor_fields():
    with abi.device() as sim, Program(sim) as program:
        channel, picture = program.channel(en_type=H264_MAIN, gop=3), program.picture()
        for _ in range(5):
            program.send(channel, picture)
        program.end_of_stream(channel)
        assert [(seen.ret_code, seen.format, seen.timestamp, seen.eos) for seen in program.delivered] == [
            (0, H264_MAIN, number, 0) for number in range(5)
        ]
        assert [seen.data[4] & 31 for seen in program.delivered] == [7, 1, 1, 7, 1]


@pytest.mark.statement("3.12.4")
def test_forced_idr_restarts_the_interval():
    with abi.device() as sim, Program(sim) as program:
        channel, picture, forced = program.channel(gop=4), program.picture(), program.config(force_i_frame=1)
        for number in range(12):
            program.send(channel, picture, number, forced if number == 6 else None)
        program.end_of_stream(channel)
        assert [n for n, seen in enumerate(program.delivered) if seen.data[4] & 31 == 7] == [0, 4, 6, 10]


@pytest.mark.statement("3.8.11")
def test_callback_may_free_its_picture(program):
    sim = program.sim
    channel = program.channel()
    codes = []

    def release(seen):
        codes.append(sim.acldvppFree(seen.user_data))
        codes.append(sim.acldvppDestroyPicDesc(seen.input))

    program.on_delivery = release
    for _ in range(3):
        address, desc = ctypes.c_void_p(), sim.acldvppCreatePicDesc()
        assert sim.acldvppMalloc(ctypes.byref(address), PLAIN) == 0
        assert sim.acldvppSetPicDescData(desc, address.value) == 0
        assert sim.acldvppSetPicDescSize(desc, PLAIN) == 0
        program.send(channel, desc, address.value)
    program.end_of_stream(channel)
    assert codes == [0] * 6


@pytest.mark.statement("3.8.12")
@pytest.mark.sim_only
def test_callback_cannot_destroy_the_output_descriptor(program):
    sim = program.sim
    channel = program.channel()
    codes = []
    program.on_delivery = lambda seen: codes.append(sim.acldvppDestroyStreamDesc(seen.output))
    program.send(channel, program.picture())
    program.end_of_stream(channel)
    assert codes == [INVALID]
    assert kinds(sim) == ["output-destroyed"]


@pytest.mark.statement("3.8.13")
@pytest.mark.sim_only
def test_eos_and_destroy_in_a_callback_are_refused(program):
    sim = program.sim
    channel, picture, eos = program.channel(), program.picture(), program.config(eos=1)
    codes = []

    def end(_):
        codes.append(sim.aclvencDestroyChannel(channel))
        codes.append(sim.aclvencSendFrame(channel, None, None, eos, None))

    program.on_delivery = end
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert codes == [STUCK, STUCK]
    program.on_delivery = None
    program.send(channel, picture)
    program.end_of_stream(channel)
    assert len(program.delivered) == 2
    assert kinds(sim) == ["destroy-in-callback", "destroy-in-callback"]


@pytest.mark.statement("3.8.15")
def test_slow_callback_stalls_the_sender(program):
    channel, picture, config = program.channel(), program.picture(), program.config()
    release, sent = threading.Event(), []
    program.on_delivery = lambda seen: release.wait(20)

    def send_many():
        assert program.sim.aclrtSetCurrentContext(program.context) == 0
        for number in range(2000):
            program.send(channel, picture, number, config)
            sent.append(number)

    thread = threading.Thread(target=send_many)
    thread.start()
    eventually(lambda: sent and is_inside(thread, "send"))
    before = -1
    while len(sent) != before:  # until sending stands still
        before = len(sent)
        time.sleep(0.3)
    assert thread.is_alive()
    assert 1 <= len(sent) < 2000
    release.set()
    thread.join(60)
    program.end_of_stream(channel)
    assert [seen.user_data for seen in program.delivered] == list(range(2000))


def test_callback_may_send_the_next_frame(program):
    channel, picture, config = program.channel(), program.picture(), program.config()

    one_sends = threading.Lock()  # the first frame's callback may come before its send has returned

    def send_next(seen):
        if seen.user_data < 20:
            with one_sends:
                program.send(channel, picture, seen.user_data + 1, config)

    program.on_delivery = send_next
    with one_sends:
        program.send(channel, picture, 1)
    eventually(lambda: len(program.delivered) == 20)


# ---- 9: end of stream, destroying ----


@pytest.mark.statement("3.9.1")
def test_eos_returns_after_all_callbacks(program):
    channel, picture = program.channel(), program.picture()
    program.on_delivery = lambda seen: time.sleep(0.01)
    for round_number in (1, 2, 3):
        for _ in range(5):
            program.send(channel, picture)
        program.end_of_stream(channel)
        assert len(program.delivered) == 5 * round_number


@pytest.mark.statement("3.9.2")
def test_destroy_channel_waits_for_callbacks(program):
    assert program.sim.aclvencDestroyChannel(None) == INVALID
    channel, picture = program.channel(), program.picture()
    program.on_delivery = lambda seen: time.sleep(0.01)
    for _ in range(8):
        program.send(channel, picture)
    program.destroy(channel)
    assert len(program.delivered) == 8


@pytest.mark.statement("3.9.3")
def test_destroy_with_nothing_pending_needs_no_report_thread(still):
    channel = still.channel()
    begin = time.monotonic()
    still.end_of_stream(channel)
    still.destroy(channel)
    assert time.monotonic() - begin < 10, "of the 20 s of wait_limit_ms"


@pytest.mark.statement("3.9.4")
@pytest.mark.sim_only
def test_destroy_without_report_thread_ends_with_a_diagnosis(sim):
    with Program(sim) as program, sim.options(wait_limit_ms=100):
        channel, picture = program.channel(), program.picture()
        program.stop_pump()
        program.send(channel, picture)
        begin = time.monotonic()
        program.end_of_stream(channel, expect=STUCK)
        assert sim.aclvencDestroyChannel(channel) == STUCK
        assert 0.19 < time.monotonic() - begin < 20
        assert "nobody runs aclrtProcessReport" in sim.error_text()
        assert kinds(sim) == ["no-pump", "no-pump"]
        assert sim.live()["channel"] == 0
        assert program.delivered == []
        program.destroy_desc(channel)


@pytest.mark.sim_only
def test_destroy_does_not_leave_a_channel_behind_whose_callback_never_seems_to_return(sim):
    with Program(sim) as program, sim.options(wait_limit_ms=50):
        channel, picture = program.channel(), program.picture()
        entered, leave = threading.Event(), threading.Event()

        def hold(_):
            entered.set()
            assert leave.wait(20)

        program.on_delivery = hold
        for _ in range(3):
            program.send(channel, picture)
        assert entered.wait(10)
        assert sim.aclvencDestroyChannel(channel) == STUCK
        assert "its callback has not returned" in sim.error_text()
        assert kinds(sim) == ["no-pump"]
        assert (sim.live()["channel"], sim.live()["subscription"]) == (0, 1)
        program.destroy_desc(channel)
        leave.set()
        eventually(lambda: sim.live()["subscription"] == 0)
        assert len(program.delivered) == 1, "the others went with their channel"


@pytest.mark.statement("3.9.5")
@pytest.mark.sim_only
def test_eos_on_the_report_thread_with_frames_pending_is_refused(still):
    sim = still.sim
    channel, picture = still.channel(), still.picture()
    still.send(channel, picture)
    still.end_of_stream(channel, expect=STUCK)
    assert sim.aclvencDestroyChannel(channel) == STUCK
    assert kinds(sim) == ["no-pump", "no-pump"]
    while not still.delivered:
        assert sim.aclrtProcessReport(20_000) == 0
    still.end_of_stream(channel)


@pytest.mark.statement("3.12.5")
def test_destroy_channel_without_channel_is_refused(program):
    sim = program.sim
    desc = program.channel_desc()
    assert sim.aclvencDestroyChannel(desc) == INVALID
    program.destroy_desc(desc)
    channel = program.channel()
    assert sim.aclvencDestroyChannel(channel) == 0
    assert sim.aclvencDestroyChannel(channel) == INVALID
    program.destroy_desc(channel)
    abi.assert_misuses(sim, "no-channel", "no-channel")


@pytest.mark.statement("3.9.6")
@pytest.mark.sim_only
def test_descriptor_destroyed_first_loses_the_channel(sim):
    sim.aclsim_set_strict(1)
    with Program(sim) as program:
        channel = program.channel()
        program.destroy_desc(channel)
        assert sim.aclvencDestroyChannel(channel) == INVALID
        assert sim.live()["channel"] == 1
        assert kinds(sim) == ["channel-open", "stale-handle"]
        sim.aclsim_reset()
        sim.set_options(quiet=1)
        program.__enter__()


@pytest.mark.statement("3.9.9")
@pytest.mark.sim_only
@pytest.mark.parametrize("how", ["lost device", "failing call"])
def test_destroy_channel_that_fails_frees_the_channel_all_the_same(program, how):
    sim = program.sim
    before = sim.live()
    channel = program.channel()
    if how == "lost device":
        with sim.lost_device(code=507010):
            assert sim.aclvencDestroyChannel(channel) == 507010
    else:
        with sim.failing_call("aclvencDestroyChannel", code=507018):
            assert sim.aclvencDestroyChannel(channel) == 507018
    program.destroy_desc(channel)
    assert sim.live() == before
    with sim.options(stream_limit=2):  # its two streams are back
        program.destroy(program.channel())


@pytest.mark.statement("3.9.10")
def test_teardown_in_the_documented_order_leaves_nothing(sim):
    with Program(sim) as program:
        channel, picture = program.channel(), program.picture()
        for number in range(4):
            program.send(channel, picture, number)
        program.end_of_stream(channel)
        assert sim.aclvencDestroyChannel(channel) == 0
        assert sim.aclvencDestroyChannelDesc(channel) == 0
        program.channels.remove(channel)
        program.stop_pump()
        assert len(program.delivered) == 4
        assert set(program.codes) <= {107012}, "the report thread met nothing but the end of its subscription"
    assert sim.reports() == []  # after finalize: no leak


class Waiting(threading.Thread):
    """A call that waits for callbacks, in a thread of its own."""

    def __init__(self, program, function, *arguments):
        super().__init__(daemon=True)
        self.program, self.function, self.arguments, self.code = program, function, arguments, None
        self.start()

    def run(self):
        self.program.sim.aclrtSetCurrentContext(self.program.context)
        self.code = self.function(*self.arguments)

    def end(self):
        self.join(20)
        assert not self.is_alive()
        return self.code


@pytest.mark.statement("3.9.11")
@pytest.mark.sim_only
@pytest.mark.parametrize("why", ["no report thread", "reports fail"])
@pytest.mark.parametrize("what", ["EOS", "DestroyChannel"])
def test_waiting_for_callbacks_that_nobody_processes_never_ends(sim, why, what):
    nobody = why == "no report thread"
    with Program(sim, pump=not nobody) as program:
        channel, picture, eos = program.channel(), program.picture(), program.config(eos=1)
        dead = sim.options(wait_limit_ms=0) if nobody else sim.dead_reports()
        arguments = (channel, None, None, eos, None) if what == "EOS" else (channel,)
        with dead:
            if not nobody:
                eventually(lambda: 507010 in program.codes)  # the call that was inside has returned
            program.send(channel, picture)
            call = Waiting(program, sim.aclvencSendFrame if what == "EOS" else sim.aclvencDestroyChannel, *arguments)
            time.sleep(0.3)
            assert call.is_alive()
            assert sim.channel_stats(channel)["delivered"] == 0
        if nobody:
            assert sim.aclrtProcessReport(20_000) == 0
        assert call.end() == 0
        assert len(program.delivered) == 1
        if what == "DestroyChannel":
            program.destroy_desc(channel)


@pytest.mark.statement("3.9.12")
@pytest.mark.sim_only
def test_lost_device_keeps_nobody_waiting(sim):
    with Program(sim, pump=False) as program, sim.options(wait_limit_ms=0):
        channel, picture, eos = program.channel(), program.picture(), program.config(eos=1)
        program.send(channel, picture)
        call = Waiting(program, sim.aclvencSendFrame, channel, None, None, eos, None)
        with sim.lost_device(code=507010):
            assert call.end() == 507010
            assert sim.aclvencDestroyChannel(channel) == 507010
        assert sim.live()["channel"] == 0
        program.destroy_desc(channel)


@pytest.mark.statement("3.9.7")
def test_report_thread_is_unsubscribed_by_destroy(still):
    sim = still.sim
    assert sim.aclrtProcessReport(10) == 107012
    channel = still.channel()
    assert sim.aclrtProcessReport(10) == 507012
    still.destroy(channel)
    assert sim.aclrtProcessReport(10) == 107012


@pytest.mark.statement("3.9.8")
def test_thread_may_have_a_stream_of_its_own_beside_the_channel(still):
    sim = still.sim
    stream, seen = ctypes.c_void_p(), []
    callback = CALLBACK(seen.append)
    assert sim.aclrtCreateStream(ctypes.byref(stream)) == 0
    assert sim.aclrtSubscribeReport(threading.get_ident(), stream) == 0
    channel, picture = still.channel(), still.picture()
    still.send(channel, picture)
    assert sim.aclrtLaunchCallback(callback, 5, 1, stream) == 0
    while not (seen and still.delivered):
        assert sim.aclrtProcessReport(20_000) == 0
    assert sim.aclrtUnSubscribeReport(threading.get_ident(), stream) == 0
    assert sim.aclrtDestroyStream(stream) == 0
    assert sim.aclrtProcessReport(10) == 507012
    still.end_of_stream(channel)


def test_synchronize_device_waits_for_the_channels(program):
    channel, picture = program.channel(), program.picture()
    program.on_delivery = lambda seen: time.sleep(0.02)
    for _ in range(4):
        program.send(channel, picture)
    assert program.sim.aclrtSynchronizeDevice() == 0
    assert len(program.delivered) == 4
