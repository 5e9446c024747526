# SPDX-License-Identifier: Apache-2.0
"""Strict decoding notices damage."""

from __future__ import annotations

import shutil

import av
import numpy as np
import pytest
from helpers import annexb
from helpers.codec import COMPILER, H264_HIGH, H265_MAIN, codec_name, encode_all
from helpers.decode import decode, decode_file, decode_units
from helpers.video import (
    CLIP,
    CLIP_FRAMES,
    CLIP_HEIGHT,
    CLIP_RATE,
    CLIP_WIDTH,
    psnr_per_frame,
    read_watermarks,
    synthetic,
    watermarked,
)

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, or $CC)")
BOTH = pytest.mark.parametrize("en_type", [H264_HIGH, H265_MAIN], ids=["h264", "h265"])
FRAMES = list(watermarked(synthetic(144, 128, 20)))


@pytest.fixture(scope="module")
def units() -> dict[int, list[bytes]]:
    return {en_type: encode_all(FRAMES, en_type, gop=10, bit_rate=800) for en_type in (H264_HIGH, H265_MAIN)}


@BOTH
def test_decode_of_a_stream_and_of_its_units_agree(units, en_type):
    whole = decode(b"".join(units[en_type]), codec_name(en_type))
    single = decode_units(units[en_type], codec_name(en_type))
    assert read_watermarks(whole) == list(range(len(FRAMES)))
    assert all(np.array_equal(a, b) for a, b in zip(whole, single))
    assert min(psnr_per_frame(whole, FRAMES)) > 30


@BOTH
def test_decode_of_exchanged_units_gives_other_watermarks_or_raises(units, en_type):
    swapped = list(units[en_type])
    swapped[4], swapped[5] = swapped[5], swapped[4]
    try:
        marks = read_watermarks(decode_units(swapped, codec_name(en_type)))
    except (av.error.FFmpegError, ValueError):  # damage seen by the decoder, a wrong count, no watermark
        return
    assert marks != list(range(len(FRAMES)))


@BOTH
def test_decode_of_a_truncated_unit_raises(units, en_type):
    damaged = list(units[en_type])
    damaged[0] = damaged[0][: len(damaged[0]) // 2]
    if en_type == H264_HIGH:
        with pytest.raises(av.error.FFmpegError):
            decode_units(damaged, codec_name(en_type))
    else:  # no checksum in the stream: the decoder conceals, the pictures tell
        try:
            frames = decode_units(damaged, codec_name(en_type))
        except (av.error.FFmpegError, ValueError):
            return
        assert min(psnr_per_frame(frames, FRAMES)) < 30


def test_decode_of_h264_bit_flips_often_shows(units):
    rng = np.random.default_rng(2)
    caught = 0
    for _ in range(20):
        damaged = bytearray(b"".join(units[H264_HIGH]))
        damaged[int(rng.integers(100, len(damaged)))] ^= 1 << int(rng.integers(8))
        try:
            frames = decode(bytes(damaged), "h264")
            caught += len(frames) != len(FRAMES) or min(psnr_per_frame(frames, FRAMES)) < 28
        except av.error.FFmpegError:
            caught += 1
    assert caught >= 6


@BOTH
def test_decode_from_the_middle_of_a_gop_raises_or_loses_pictures(units, en_type):
    with pytest.raises((av.error.FFmpegError, ValueError)):
        decode_units(units[en_type][3:9], codec_name(en_type))


@BOTH
def test_decode_units_of_two_pictures_in_one_unit_raises(units, en_type):
    joined = [units[en_type][0] + units[en_type][1], *units[en_type][2:]]
    with pytest.raises(ValueError, match="access unit 0 has 2 pictures"):
        decode_units(joined, codec_name(en_type))


def test_decode_units_with_an_empty_unit_raises(units):
    with pytest.raises(ValueError, match="start code"):
        decode_units([*units[H264_HIGH], b""], "h264")


def test_decode_file_of_the_clip_reports_what_it_is():
    clip = decode_file(CLIP)
    assert (clip.codec, clip.width, clip.height, clip.rate) == ("h264", CLIP_WIDTH, CLIP_HEIGHT, CLIP_RATE)
    assert len(clip.frames) == CLIP_FRAMES
    assert clip.duration == pytest.approx(CLIP_FRAMES / CLIP_RATE)
    assert clip.timestamps == pytest.approx([number / CLIP_RATE for number in range(CLIP_FRAMES)])


def test_decode_file_with_damage_raises(tmp_path):
    damaged = tmp_path / "damaged.mp4"
    shutil.copy(CLIP, damaged)
    data = bytearray(damaged.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    damaged.write_bytes(data)
    with pytest.raises(av.error.FFmpegError):
        decode_file(damaged)


@BOTH
def test_decode_file_of_a_raw_stream_reads_it(units, en_type, tmp_path):
    name = codec_name(en_type)
    path = tmp_path / f"raw.{name}"
    path.write_bytes(b"".join(units[en_type]))
    raw = decode_file(path)
    assert raw.codec == name
    assert read_watermarks(raw.frames) == list(range(len(FRAMES)))
    assert len(annexb.access_units(path.read_bytes(), name)) == len(FRAMES)
