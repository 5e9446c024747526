# SPDX-License-Identifier: Apache-2.0
"""Sending frames: what programs do, and what comes out."""

import threading
import time

import numpy
import pytest

from helpers import annexb, decode, pyacl, simulator, video

CODECS = {pyacl.H265: "h265", pyacl.H264_BASELINE: "h264", pyacl.H264_MAIN: "h264", pyacl.H264_HIGH: "h264"}


def encode(made, frames, **send):
    """Send frames one by one, each after the callback of the one before, as the picture's memory is reused."""
    for index, frame in enumerate(frames):
        made.fill(frame)
        pyacl.ok(made.send(index, **send))
        made.wait_for(len(made.packets[:index]) + 1)


@pytest.mark.statement("3.8.16")
@pytest.mark.parametrize("entype", CODECS)
@pytest.mark.parametrize("param", [False, True], ids=["classic", "param"])
def test_channel_encodes_every_format_with_either_family_of_setters(acl, context, entype, param):
    frames = video.synthetic(160, 128, 5, watermark=True)
    with pyacl.encoding(acl, context, width=160, height=128, entype=entype, gop=3, param=param) as made:
        encode(made, frames)
        pyacl.ok(made.end_of_stream())
    assert [user_data for user_data, _, _ in made.packets] == list(range(5))
    assert [code for _, code, _ in made.packets] == [0] * 5
    units = annexb.access_units(made.stream, CODECS[entype])
    assert [unit.data for unit in units] == [data for _, _, data in made.packets]
    assert [unit.is_idr for unit in units] == [True, False, False, True, False]
    decoded = decode.frames(made.stream, CODECS[entype])
    assert [video.read_watermark(frame) for frame in decoded] == list(range(5))


@pytest.mark.statement("3.8.4")
def test_same_description_sent_sixteen_times_gives_sixteen_frames_in_order(encoding):
    encoding.fill(video.synthetic(128, 128, 1)[0])
    for index in range(16):
        pyacl.ok(encoding.send(index))
    pyacl.ok(encoding.end_of_stream())
    assert [user_data for user_data, _, _ in encoding.packets] == list(range(16))
    assert len(decode.frames(encoding.stream, "h264")) == 16


@pytest.mark.statement("3.9.1", "3.8.3")
def test_end_of_stream_waits_for_every_callback_and_has_none(acl, context):
    finished = []

    def slow(picture, stream, user_data):
        time.sleep(0.02)
        finished.append(user_data)

    with pyacl.encoding(acl, context, on_frame=slow) as made:
        for index in range(8):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
        assert finished == list(range(8))
        time.sleep(0.1)
        assert finished == list(range(8))


def test_end_of_stream_with_a_picture_ignores_it(encoding):
    media = encoding.acl.media
    pyacl.ok(encoding.send(0))
    pyacl.ok(media.venc_set_frame_config_eos(encoding.config, 1))
    for picture in (encoding.picture, 0, 12345):
        pyacl.ok(media.venc_send_frame(encoding.desc, picture, 0, encoding.config, "unused"))
    assert [user_data for user_data, _, _ in encoding.packets] == [0]


def test_frames_after_end_of_stream_are_accepted(encoding):
    for round_ in range(3):
        pyacl.ok(encoding.send(round_))
        pyacl.ok(encoding.end_of_stream())
    assert [user_data for user_data, _, _ in encoding.packets] == [0, 1, 2]
    assert len(decode.frames(encoding.stream, "h264")) == 3


@pytest.mark.misuse
def test_description_and_config_destroyed_right_after_the_send_are_not_needed(acl, context, handles):
    got = []

    def on_frame(picture, stream, user_data):
        got.append((picture, acl.media.dvpp_get_pic_desc_size(picture), made.output(stream)[1]))

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        sent = []
        for _ in range(6):
            picture = handles.make("pic_desc")
            config = handles.make("frame_config")
            pyacl.ok(acl.media.dvpp_set_pic_desc_data(picture, made.buffer))
            pyacl.ok(acl.media.dvpp_set_pic_desc_size(picture, made.size))
            pyacl.ok(acl.media.venc_send_frame(made.desc, picture, 0, config, None))
            handles.destroy("pic_desc", picture)
            handles.destroy("frame_config", config)
            sent.append(picture)
        pyacl.ok(made.end_of_stream())
    assert [picture for picture, _, _ in got] == sent  # the very handles, though their descriptions are gone
    assert {size for _, size, _ in got} <= {0, made.size}  # as the callback or the destroying came first
    assert len(decode.frames(b"".join(data for _, _, data in got), "h264")) == 6


def test_description_destroyed_in_its_callback_and_again_later_fails_softly(acl, context, handles):
    codes = []

    def on_frame(picture, stream, user_data):
        codes.append(acl.media.dvpp_destroy_pic_desc(picture))

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        pictures = []
        for _ in range(4):
            picture = acl.media.dvpp_create_pic_desc()
            pyacl.ok(acl.media.dvpp_set_pic_desc_data(picture, made.buffer))
            pyacl.ok(acl.media.dvpp_set_pic_desc_size(picture, made.size))
            pyacl.ok(acl.media.venc_send_frame(made.desc, picture, 0, made.config, None))
            pictures.append(picture)
        pyacl.ok(made.end_of_stream())
        assert codes == [0] * 4
        assert [acl.media.dvpp_destroy_pic_desc(picture) for picture in pictures] == [pyacl.INVALID_PARAM] * 4


def test_memory_freed_in_its_callback_by_user_data_works(acl, context):
    freed = []

    def on_frame(picture, stream, user_data):
        freed.append(acl.media.dvpp_free(user_data))

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for _ in range(4):
            memory = pyacl.ok(acl.media.dvpp_malloc(made.size))
            pyacl.ok(acl.media.dvpp_set_pic_desc_data(made.picture, memory))
            pyacl.ok(made.send(memory))
        pyacl.ok(made.end_of_stream())
    assert freed == [0] * 4


@pytest.mark.parametrize("stride", [0, 144, 256], ids=["no_stride", "aligned_to_16", "aligned_to_128"])
@pytest.mark.parametrize("height_stride", [0, 128, 144], ids=["no_height_stride", "exact", "disagrees"])
@pytest.mark.parametrize("pic_format", [pyacl.NV12, pyacl.NV21], ids=["nv12", "nv21"])
def test_picture_layout_is_understood(acl, context, stride, height_stride, pic_format):
    width, height = 130, 128
    frame = video.synthetic(width, height, 1, pixel_format="nv21" if pic_format == pyacl.NV21 else "nv12")[0]
    row = stride or 144  # no stride: the width rounded up to 16
    padded = numpy.zeros((height * 3 // 2, row), numpy.uint8)
    padded[:, :width] = frame
    media = acl.media
    with pyacl.encoding(acl, context, width=width, height=height, pic_format=pic_format, max_bit_rate=20000) as made:
        memory = pyacl.ok(media.dvpp_malloc(padded.nbytes))
        data = padded.tobytes()
        pyacl.ok(acl.rt.memcpy(memory, padded.nbytes, acl.util.bytes_to_ptr(data), padded.nbytes, 1))
        pyacl.ok(media.dvpp_set_pic_desc_data(made.picture, memory))
        pyacl.ok(media.dvpp_set_pic_desc_size(made.picture, padded.nbytes))
        if stride:
            pyacl.ok(media.dvpp_set_pic_desc_width(made.picture, width))
            pyacl.ok(media.dvpp_set_pic_desc_height(made.picture, height))
            pyacl.ok(media.dvpp_set_pic_desc_width_stride(made.picture, stride))
        pyacl.ok(media.dvpp_set_pic_desc_height_stride(made.picture, height_stride))
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
        pyacl.ok(media.dvpp_free(memory))
    expected = video.swap_chroma(frame) if pic_format == pyacl.NV21 else frame
    assert video.psnr(expected, decode.frames(made.stream, "h264")[0]) > 30


def test_buffer_with_padded_rows_of_chroma_is_understood(acl, context):
    """Height stride 144 and a buffer that has those rows: luma 144 rows, then chroma."""
    width, height, rows = 128, 128, 144
    frame = video.synthetic(width, height, 1)[0]
    padded = numpy.zeros((rows * 3 // 2, width), numpy.uint8)
    padded[:height] = frame[:height]
    padded[rows : rows + height // 2] = frame[height:]
    media = acl.media
    with pyacl.encoding(acl, context, max_bit_rate=20000) as made:
        memory = pyacl.ok(media.dvpp_malloc(padded.nbytes))
        data = padded.tobytes()
        pyacl.ok(acl.rt.memcpy(memory, padded.nbytes, acl.util.bytes_to_ptr(data), padded.nbytes, 1))
        pyacl.ok(media.dvpp_set_pic_desc_data(made.picture, memory))
        pyacl.ok(media.dvpp_set_pic_desc_size(made.picture, padded.nbytes))
        pyacl.ok(media.dvpp_set_pic_desc_width_stride(made.picture, width))
        pyacl.ok(media.dvpp_set_pic_desc_height_stride(made.picture, rows))
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
        pyacl.ok(media.dvpp_free(memory))
    assert video.psnr(frame, decode.frames(made.stream, "h264")[0]) > 30


def test_force_i_frame_with_a_bool_makes_a_key_frame(encoding):
    media = encoding.acl.media
    for index in range(4):
        pyacl.ok(media.venc_set_frame_config_force_i_frame(encoding.config, index == 2))
        pyacl.ok(media.venc_send_frame(encoding.desc, encoding.picture, False, encoding.config, index))
    pyacl.ok(encoding.end_of_stream())
    assert [unit.is_idr for unit in annexb.access_units(encoding.stream, "h264")] == [True, False, True, False]


@pytest.mark.statement("3.7.9")
def test_reserve_is_ignored_whatever_it_is(encoding, handles):
    media = encoding.acl.media
    for reserve in (0, handles.make("stream_desc"), 1, 2**64 - 1):
        pyacl.ok(media.venc_send_frame(encoding.desc, encoding.picture, reserve, encoding.config, None))
    pyacl.ok(encoding.end_of_stream())
    assert len(encoding.packets) == 4
    with pytest.raises(TypeError, match=r"^acl.media.venc_send_frame args parse failed!$"):
        media.venc_send_frame(encoding.desc, encoding.picture, None, encoding.config, None)


@pytest.mark.misuse
def test_pictures_in_ordinary_host_memory_are_encoded(encoding):
    frame = video.synthetic(128, 128, 1)[0].tobytes()
    encoding.acl.media.dvpp_set_pic_desc_data(encoding.picture, encoding.acl.util.bytes_to_ptr(frame))
    pyacl.ok(encoding.send())
    pyacl.ok(encoding.end_of_stream())
    assert len(decode.frames(encoding.stream, "h264")) == 1


def test_one_report_thread_serves_channels_of_different_sizes_and_codecs(acl, context):
    pump = pyacl.Pump(acl, context)
    made = []
    try:
        for index in range(6):
            size = 128 + 32 * index
            made.append(
                pyacl.Encoding(
                    acl, context, width=size, height=128, entype=index % 4, thread_id=pump.id, max_bit_rate=2000
                ).create()
            )
        frames = [video.synthetic(channel.width, 128, 1, watermark=True, seed=3)[0] for channel in made]
        for channel, frame in zip(made, frames):
            channel.fill(frame)
        for index in range(5):
            for channel in made:
                pyacl.ok(channel.send((id(channel), index)))
        for channel in made:
            pyacl.ok(channel.end_of_stream())
            assert [user_data for user_data, _, _ in channel.packets] == [(id(channel), index) for index in range(5)]
            decoded = decode.frames(channel.stream, CODECS[channel.entype])
            assert [frame.shape for frame in decoded] == [(192, channel.width)] * 5
            assert video.psnr(frames[made.index(channel)], decoded[0]) > 25
    finally:
        for channel in made:
            channel.close()
        pump.stop()


def test_channels_of_different_report_threads_run_side_by_side(acl, context):
    def encode_one(index):
        pyacl.ok(acl.rt.set_context(context))
        with pyacl.encoding(acl, context, width=128 + 16 * index) as made:
            for number in range(10):
                pyacl.ok(made.send(number))
            pyacl.ok(made.end_of_stream())
            assert [user_data for user_data, _, _ in made.packets] == list(range(10))
            results.append(made.stream)

    results = []
    threads = [threading.Thread(target=encode_one, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(len(decode.frames(stream, "h264")) == 10 for stream in results)


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_send_before_the_channel_exists_gives_100000(acl, context):
    made = pyacl.Encoding(acl, context)
    try:
        assert made.send() == pyacl.INVALID_PARAM
        assert "venc_create_channel" in acl.get_recent_err_msg()
    finally:
        made.close()


def test_send_after_destroy_raises_because_the_callback_is_unset(encoding):
    encoding.destroy()
    with pytest.raises(RuntimeError, match=r"^did not set callback, failed$"):
        encoding.send()
    pyacl.ok(encoding.acl.media.venc_set_channel_desc_callback(encoding.desc, encoding.on_frame))
    assert encoding.send() == pyacl.INVALID_PARAM


def test_send_without_callback_raises_and_sends_nothing(acl, context):
    made = pyacl.Encoding(acl, context, callback=None)
    try:
        with pytest.raises(RuntimeError, match=r"^did not set callback, failed$"):
            made.send()
        made.create()
        with pytest.raises(RuntimeError, match=r"^did not set callback, failed$"):
            made.send()
        pyacl.ok(acl.media.venc_set_channel_desc_callback(made.desc, made.on_frame))
        pyacl.ok(made.send("now"))
        pyacl.ok(made.end_of_stream())
        assert [user_data for user_data, _, _ in made.packets] == ["now"]
    finally:
        made.close()


@pytest.mark.parametrize("position", [1, 3], ids=["picture", "config"])
def test_send_with_null_gives_100000(encoding, position):
    arguments = [encoding.desc, encoding.picture, 0, encoding.config, None]
    arguments[position] = 0
    assert encoding.acl.media.venc_send_frame(*arguments) == pyacl.INVALID_PARAM
    assert "is 0" in encoding.acl.get_recent_err_msg()


def test_channel_created_twice_gives_100000_and_stays_usable(encoding):
    assert encoding.acl.media.venc_create_channel(encoding.desc) == pyacl.INVALID_PARAM
    pyacl.ok(encoding.send())
    pyacl.ok(encoding.end_of_stream())
    assert len(encoding.packets) == 1


def test_channel_destroyed_twice_or_never_created_gives_100000(acl, context, encoding, handles):
    encoding.destroy()
    assert acl.media.venc_destroy_channel(encoding.desc) == pyacl.INVALID_PARAM
    assert acl.media.venc_destroy_channel(handles.make("channel_desc")) == pyacl.INVALID_PARAM


def test_description_of_a_channel_with_frames_to_deliver_cannot_be_destroyed(acl, context):
    made = pyacl.Encoding(acl, context, thread_id=threading.get_ident())
    try:
        made.create()
        pyacl.ok(made.send(0))
        assert acl.media.venc_destroy_channel_desc(made.desc) == pyacl.INVALID_PARAM
        assert "venc_destroy_channel first" in acl.get_recent_err_msg()
        pyacl.ok(acl.rt.process_report(20_000))
        assert len(made.packets) == 1
    finally:
        made.close()


@pytest.mark.sim_only
def test_description_of_a_channel_is_refused_at_once_while_its_frame_is_in_the_device(encoding):
    with simulator.shared().options(stall=1):
        pyacl.ok(encoding.send(0))
        assert encoding.acl.media.venc_destroy_channel_desc(encoding.desc) == pyacl.INVALID_PARAM
        assert encoding.packets == []
    encoding.wait_for(1)
    pyacl.ok(encoding.end_of_stream())


@pytest.mark.misuse  # strict mode says what was forgotten: tests/integration/test_pyacl_programs.py
def test_description_of_an_idle_channel_takes_the_channel_with_it(encoding):
    """The vendor's page forgets venc_destroy_channel."""
    pyacl.ok(encoding.send(0))
    pyacl.ok(encoding.end_of_stream())
    assert encoding.acl.media.venc_destroy_channel_desc(encoding.desc) == 0
    assert encoding.acl.media.venc_destroy_channel_desc(encoding.desc) == pyacl.INVALID_PARAM
    encoding.created, encoding.desc = False, 0


REFUSED_BY_THE_DEVICE = {
    "key_frame_interval": (0, 65537),
    "max_bit_rate": (700000, 5000000),
    "src_rate": (241,),
    "pic_width": (0, 64, 8194, 129),
    "pic_height": (0, 64, 8194, 129),
    "entype": (4, -1),
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in REFUSED_BY_THE_DEVICE.items() for value in values]
)
def test_attribute_outside_the_chips_range_is_507018_with_its_reason(acl, context, name, value):
    made = pyacl.Encoding(acl, context)
    try:
        pyacl.ok(getattr(acl.media, f"venc_set_channel_desc_{name}")(made.desc, value))
        assert acl.media.venc_create_channel(made.desc) == pyacl.AICPU_EXCEPTION
        text = acl.get_recent_err_msg()
        assert f"{name} is {value}" in text
        assert "507018 ACL_ERROR_RT_AICPU_EXCEPTION" in text
    finally:
        made.close()


@pytest.mark.sim_only
def test_reason_names_the_chip_and_its_range(acl, context):
    made = pyacl.Encoding(acl, context, gop=0, max_bit_rate=2000000)
    try:
        assert acl.media.venc_create_channel(made.desc) == pyacl.AICPU_EXCEPTION
        text = acl.get_recent_err_msg()
        assert f"{acl.get_soc_name()} takes 1 to 65536" in text
        assert "kbit/s: is 2000000 meant as bit/s?" in text
    finally:
        made.close()


def test_channel_after_a_refused_one_is_created_on_another_description(acl, context):
    refused = pyacl.Encoding(acl, context, gop=0)
    try:
        assert acl.media.venc_create_channel(refused.desc) == pyacl.AICPU_EXCEPTION
    finally:
        refused.close()
    made = pyacl.Encoding(acl, context, gop=16)
    try:
        made.create()
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
    finally:
        made.close()


@pytest.mark.misuse
@pytest.mark.sim_only
def test_channel_after_a_refused_one_on_the_same_description_works_and_is_reported(acl, context):
    """The facade passes on what the library does: the buffer of the refused one is used again (statement 3.6.16)."""
    made = pyacl.Encoding(acl, context, gop=0)
    try:
        assert acl.media.venc_create_channel(made.desc) == pyacl.AICPU_EXCEPTION
        pyacl.ok(acl.media.venc_set_channel_desc_key_frame_interval(made.desc, 16))
        made.create()
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
        assert any("[descriptor-reuse]" in text for text in simulator.shared().take_reports())
    finally:
        made.close()


# ---- attributes ------------------------------------------------------------------------------------------------------

ATTRIBUTES = {
    0: ("thread_id", 0x7F0000001234),
    2: ("pic_format", 2),
    3: ("entype", 3),
    4: ("pic_width", 1920),
    5: ("pic_height", 1080),
    6: ("key_frame_interval", 50),
    8: ("buf_size", 8 << 20),
    9: ("rc_mode", 2),
    10: ("src_rate", 25),
    11: ("max_bit_rate", 4000),
}


@pytest.mark.parametrize("number", ATTRIBUTES)
def test_attribute_set_one_way_reads_back_both_ways(acl, handles, number):
    name, value = ATTRIBUTES[number]
    if name == "buf_size":
        pyacl.skip_on_the_310(acl, name)
    media = acl.media
    setter = getattr(media, f"venc_set_channel_desc_{name}")
    getter = getattr(media, f"venc_get_channel_desc_{name}")
    first, second = handles.make("channel_desc"), handles.make("channel_desc")
    assert getter(first) == 0
    assert media.venc_get_channel_desc_param(first, number) == (0, 0)
    assert setter(first, value) == 0
    assert media.venc_set_channel_desc_param(second, number, value) == 0
    for desc in (first, second):
        assert getter(desc) == value
        assert media.venc_get_channel_desc_param(desc, number) == (value, 0)


def test_buffer_address_of_ones_own_is_set_once_and_used(acl, context, handles):
    pyacl.skip_on_the_310(acl, "buf_addr")
    media = acl.media
    size = 5 << 20
    memory = pyacl.ok(media.dvpp_malloc(size))
    made = pyacl.Encoding(acl, context, buf_addr=memory, buf_size=size)
    try:
        assert media.venc_get_channel_desc_buf_addr(made.desc) == memory
        assert media.venc_get_channel_desc_param(made.desc, 7) == (memory, 0)
        assert media.venc_set_channel_desc_buf_addr(made.desc, memory) == pyacl.INVALID_PARAM
        assert media.venc_set_channel_desc_param(made.desc, 7, memory) == pyacl.INVALID_PARAM
        made.create()
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
    finally:
        made.close()
        pyacl.ok(media.dvpp_free(memory))


@pytest.mark.parametrize(
    ("name", "number", "value"),
    [("pic_format", 2, 0), ("pic_format", 2, 3), ("rc_mode", 9, 3), ("buf_size", 8, 4 << 20), ("buf_addr", 7, 0)],
)
def test_setter_refuses_what_no_chip_takes_and_says_what_is_allowed(acl, handles, name, number, value):
    pyacl.skip_on_the_310(acl, name)
    desc = handles.make("channel_desc")
    for refuse in (
        lambda: getattr(acl.media, f"venc_set_channel_desc_{name}")(desc, value),
        lambda: acl.media.venc_set_channel_desc_param(desc, number, value),
    ):
        assert refuse() == pyacl.INVALID_PARAM
        text = acl.get_recent_err_msg()
        assert f"{name} is {value}" in text
        assert "allowed" in text


@pytest.mark.parametrize("number", [13, 100, -1, 2**31 - 1])
def test_unknown_param_type_gives_100000(acl, handles, number):
    desc = handles.make("channel_desc")
    assert acl.media.venc_set_channel_desc_param(desc, number, 1) == pyacl.INVALID_PARAM
    assert f"param_type is {number}" in acl.get_recent_err_msg()
    assert acl.media.venc_get_channel_desc_param(desc, number) == (0, pyacl.INVALID_PARAM)


@pytest.mark.parametrize("number", [0, 2, 7])
@pytest.mark.parametrize("value", [None, "1", 1.5, b"1"])
def test_param_of_a_wrong_type_raises_pyacls_text(acl, handles, number, value):
    with pytest.raises(TypeError, match=r"^acl.media.venc_set_channel_desc_param args parse failed!$"):
        acl.media.venc_set_channel_desc_param(handles.make("channel_desc"), number, value)


def test_channel_id_is_known_once_the_channel_exists(acl, context):
    with pyacl.encoding(acl, context) as first, pyacl.encoding(acl, context) as second:
        numbers = {acl.media.venc_get_channel_desc_channel_id(made.desc) for made in (first, second)}
        assert len(numbers) == 2
