# SPDX-License-Identifier: Apache-2.0
"""The Annex B parser, on streams whose structure is known."""

from __future__ import annotations

import av
import pytest
from helpers import annexb
from helpers.video import CLIP, CLIP_FRAMES, CLIP_HEIGHT, CLIP_WIDTH, nv12_to_i420, synthetic


def encode(codec: str, frames: int = 12, size: tuple[int, int] = (160, 128), **options: str) -> bytes:
    """Encode with PyAV, not with our codec: B pictures, several slices and delimiters are only to be had there."""
    context = av.CodecContext.create({"h264": "libx264", "h265": "libx265"}[codec], "w")
    context.width, context.height = size
    context.pix_fmt = "yuv420p"
    context.framerate = 25
    context.thread_count = 1
    context.options = options
    packets = []
    for frame in synthetic(*size, frames):
        packets += context.encode(av.VideoFrame.from_ndarray(nv12_to_i420(frame), "yuv420p"))
    return b"".join(bytes(packet) for packet in [*packets, *context.encode(None)])


@pytest.fixture(scope="module")
def clip_stream() -> bytes:
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        to_annexb = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [out for packet in container.demux(stream) for out in to_annexb.filter(packet)]
        return b"".join(bytes(packet) for packet in packets)


def test_access_units_of_the_clip_are_its_frames(clip_stream):
    units = annexb.access_units(clip_stream, "h264")
    assert len(units) == CLIP_FRAMES
    assert [unit.is_idr for unit in units] == [True] + [False] * (CLIP_FRAMES - 1)
    assert "".join(unit.slice_type for unit in units) == "I" + "P" * (CLIP_FRAMES - 1)
    assert units[0].has_parameter_sets
    assert not units[1].has_parameter_sets
    assert sum(unit.size for unit in units) == len(clip_stream)


def test_sps_of_the_clip_gives_profile_and_cropped_size(clip_stream):
    sps = annexb.first_sps(clip_stream, "h264")
    assert (sps.profile_idc, sps.width, sps.height) == (100, CLIP_WIDTH, CLIP_HEIGHT)
    assert sps.level == 3.1


@pytest.mark.parametrize("size", [(128, 128), (130, 134), (200, 130), (1920, 1080)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_sps_of_sizes_that_need_cropping_gives_the_picture_size(codec, size):
    sps = annexb.first_sps(encode(codec, 1, size, preset="ultrafast"), codec)
    assert (sps.width, sps.height) == size


@pytest.mark.parametrize(
    ("codec", "profile", "profile_idc"),
    [("h264", "baseline", 66), ("h264", "main", 77), ("h264", "high", 100), ("h265", "main", 1)],
)
def test_sps_names_the_profile(codec, profile, profile_idc):
    options = {"x264-params": "cabac=1:8x8dct=1"} if profile == "high" else {}
    stream = encode(codec, 2, profile=profile, preset="veryfast", **options)
    assert annexb.first_sps(stream, codec).profile_idc == profile_idc


@pytest.mark.parametrize(("level", "expected"), [("4.0", 4.0), ("5.1", 5.1)])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_sps_names_the_level(codec, level, expected):
    options = {"level": level} if codec == "h264" else {"x265-params": f"level-idc={level}:log-level=none"}
    assert annexb.first_sps(encode(codec, 1, **options), codec).level == pytest.approx(expected)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_slice_type_of_a_stream_with_b_pictures_says_b(codec):
    stream = encode(codec, 24, preset="medium", **{"x265-params": "log-level=none:bframes=3:b-adapt=0"})
    types = [unit.slice_type for unit in annexb.access_units(stream, codec)]
    assert len(types) == 24
    assert types[0] == "I"
    assert set(types) == {"I", "P", "B"}


def test_access_units_with_several_slices_stay_together():
    units = annexb.access_units(encode("h264", 5, (256, 256), slices="3"), "h264")
    assert [len(unit.slices) for unit in units] == [3] * 5


def test_access_units_with_a_second_h265_slice_segment_stay_together():
    nals = []
    for nal in annexb.iter_nals(encode("h265", 5), "h265"):
        nals.append(nal.data)
        if nal.is_slice:  # first_slice_segment_in_pic_flag is the first bit after the header
            nals.append(nal.data[:2] + bytes([nal.data[2] & 0x7F]) + nal.data[3:])
    units = annexb.access_units(b"".join(b"\0\0\1" + data for data in nals), "h265")
    assert [len(unit.slices) for unit in units] == [2] * 5


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_access_units_with_delimiters_and_sei_begin_at_the_delimiter(codec):
    options = {"x264-params": "aud=1"} if codec == "h264" else {"x265-params": "aud=1:log-level=none:hash=1"}
    units = annexb.access_units(encode(codec, 5, **options), codec)
    assert len(units) == 5
    assert {unit.names[0] for unit in units} == {"AUD"}
    assert "SEI" in units[0].names


def test_parameter_sets_out_of_order_or_missing_are_noticed(clip_stream):
    sps, pps, *rest = [nal for nal in annexb.iter_nals(clip_stream, "h264") if nal.name != "SEI"]
    assert (sps.name, pps.name) == ("SPS", "PPS")
    for nals in ([pps, sps, *rest], [sps, *rest], [pps, *rest]):
        stream = b"".join(b"\0\0\0\1" + nal.data for nal in nals)
        assert not annexb.access_units(stream, "h264")[0].has_parameter_sets


def test_start_codes_of_both_lengths_are_told_apart():
    nals = list(annexb.iter_nals(b"\0\0\0\1\x67\x42\0\0\1\x68\xce", "h264"))
    assert [(nal.name, nal.start_code, nal.data) for nal in nals] == [
        ("SPS", 4, b"\x67\x42"),
        ("PPS", 3, b"\x68\xce"),
    ]


def test_bit_reader_reads_exp_golomb_across_emulation_prevention():
    # 1 | 010 | 011 | 00100 | 00000000... : 0, 1, 2, 3, then bytes 00 00 03 01, of which 03 is not payload
    bits = annexb.BitReader(annexb.Nal("h264", bytes([0x67, 0b10100110, 0b01000000, 0, 0, 3, 1]), 4))
    assert [bits.ue() for _ in range(4)] == [0, 1, 2, 3]
    assert bits.u(4) == 0
    assert bits.u(24) == 1
    with pytest.raises(annexb.BitstreamError):
        bits.u(1)


@pytest.mark.parametrize(
    "stream",
    [b"", b"abc", b"x\0\0\1\x67", b"\0\0\1", b"\0\0\1\xe7\0", b"\0\0\0\1\x67\x42\0\x1e"],
    ids=["empty", "no start code", "leading bytes", "empty NAL", "forbidden bit", "no slice"],
)
def test_malformed_stream_raises(stream):
    with pytest.raises(annexb.BitstreamError):
        annexb.access_units(stream, "h264")


def test_stream_that_starts_in_the_middle_of_a_picture_raises():
    stream = encode("h264", 1, (256, 256), slices="3")
    nals = list(annexb.iter_nals(stream, "h264"))
    first = next(number for number, nal in enumerate(nals) if nal.is_slice)
    del nals[first]
    with pytest.raises(annexb.BitstreamError):
        annexb.access_units(b"".join(b"\0\0\0\1" + nal.data for nal in nals), "h264")
