# SPDX-License-Identifier: Apache-2.0
"""The Annex B parser, on streams whose structure is known and that our own encoder does not make."""

import av
import pytest

from helpers import annexb, video

SPS = {"h264": 7, "h265": 33}
AUD = {"h264": 9, "h265": 35}
SEI = {"h264": 6, "h265": 39}


def encode(codec, frames=12, size=(160, 128), **options):
    """Encode with PyAV: B pictures, several slices and delimiters are only to be had there."""
    context = av.CodecContext.create({"h264": "libx264", "h265": "libx265"}[codec], "w")
    context.width, context.height = size
    context.pix_fmt = "yuv420p"
    context.framerate = 25
    context.thread_count = 1
    context.options = options
    packets = []
    for frame in video.synthetic(*size, frames):
        packets += context.encode(av.VideoFrame.from_ndarray(frame, "nv12").reformat(format="yuv420p"))
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


@pytest.fixture(scope="module")
def clip_stream():
    with av.open(str(video.CLIP)) as container:
        stream = container.streams.video[0]
        to_annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [out for packet in container.demux(stream) for out in to_annexb.filter(packet)]
        return b"".join(bytes(packet) for packet in packets)


def test_access_units_of_the_clip_are_its_frames(clip_stream):
    units = annexb.access_units(clip_stream, "h264")
    assert b"".join(unit.data for unit in units) == clip_stream
    assert len(units) == 60
    assert [unit.is_idr for unit in units] == [True] + [False] * 59
    assert [unit.has_parameter_sets for unit in units] == [True] + [False] * 59
    assert set(units[0].slice_types) == {"I"}
    sps = units[0].sps
    assert (sps.profile_idc, sps.width, sps.height) == (100, 640, 360)


@pytest.mark.parametrize("size", [(128, 128), (130, 134), (200, 130), (1920, 1080)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_sps_of_sizes_that_need_cropping_gives_the_picture_size(codec, size):
    (unit,) = annexb.access_units(encode(codec, 1, size, preset="ultrafast"), codec)
    assert (unit.sps.width, unit.sps.height) == size


@pytest.mark.parametrize(
    ("codec", "profile", "profile_idc", "constrained"),
    [
        ("h264", "baseline", 66, True),
        ("h264", "main", 77, True),
        ("h264", "high", 100, False),
        ("h265", "main", 1, False),
    ],
)
def test_sps_names_the_profile(codec, profile, profile_idc, constrained):
    options = {"x264-params": "cabac=1:8x8dct=1"} if profile == "high" else {}
    sps = annexb.access_units(encode(codec, 2, profile=profile, preset="veryfast", **options), codec)[0].sps
    assert (sps.profile_idc, sps.constrained) == (profile_idc, constrained)


@pytest.mark.parametrize(("level", "number"), [("4.0", 4.0), ("5.1", 5.1)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_sps_names_the_level(codec, level, number):
    options = {"level": level} if codec == "h264" else {"x265-params": f"level-idc={level}:log-level=none"}
    sps = annexb.access_units(encode(codec, 1, **options), codec)[0].sps
    assert sps.level_idc == round(number * (10 if codec == "h264" else 30))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_slice_types_of_a_stream_with_b_pictures_have_b(codec):
    stream = encode(codec, 24, preset="medium", **{"x265-params": "log-level=none:bframes=3:b-adapt=0"})
    types = [unit.slice_types for unit in annexb.access_units(stream, codec)]
    assert len(types) == 24
    assert types[0] == ["I"]
    assert {kind for kinds in types for kind in kinds} == {"I", "P", "B"}


def test_access_units_with_several_slices_stay_together():
    units = annexb.access_units(encode("h264", 5, (256, 256), slices="3"), "h264")
    assert [len(unit.slice_types) for unit in units] == [3] * 5


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_access_units_with_delimiters_and_sei_begin_at_the_delimiter(codec):
    options = {"x264-params": "aud=1"} if codec == "h264" else {"x265-params": "aud=1:log-level=none"}
    units = annexb.access_units(encode(codec, 5, preset="ultrafast", **options), codec)
    assert [unit.types[0] for unit in units] == [AUD[codec]] * 5
    assert SEI[codec] in units[0].types


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_missing_parameter_set_is_noticed(codec):
    nals = annexb.nal_units(encode(codec, 2, preset="ultrafast"))
    kinds = [unit.types[0] for nal in nals for unit in annexb.access_units(b"\0\0\1" + nal, codec)]
    assert SPS[codec] in kinds
    without = b"".join(b"\0\0\0\1" + nal for nal, kind in zip(nals, kinds) if kind != SPS[codec])
    assert not annexb.access_units(without, codec)[0].has_parameter_sets


def test_nal_units_leave_out_start_codes_of_both_lengths():
    assert annexb.nal_units(b"\0\0\0\1\x67\x42\0\0\1\x68\xce\0\0\0\1\x65") == [b"\x67\x42", b"\x68\xce", b"\x65"]


def test_bits_read_exp_golomb_across_emulation_prevention():
    # 1 | 010 | 011 | 00100 | 0000, then the bytes 00 00 03 01, of which 03 is no payload
    bits = annexb.Bits(bytes([0x67, 0b10100110, 0b01000000, 0, 0, 3, 1]), 1)
    assert [bits.ue() for _ in range(4)] == [0, 1, 2, 3]
    assert bits.u(4) == 0
    assert bits.u(24) == 1
