# SPDX-License-Identifier: Apache-2.0
"""Strict decoding and watermarks notice damage, loss and exchange; watermarks survive hard compression."""

import shutil

import av
import numpy as np
import pytest

from helpers import codec, decode, video

pytestmark = pytest.mark.skipif(codec.COMPILER is None, reason="no C compiler (cc, or $CC) for csrc/sim/codec.c")
TYPES = {"h264": codec.H264_HIGH, "h265": codec.H265_MAIN}
FRAMES = video.synthetic(144, 128, 20, watermark=True)


@pytest.fixture(scope="module")
def units():
    return {name: codec.encode_all(FRAMES, en_type, gop=10, bit_rate=800) for name, en_type in TYPES.items()}


def marks(frames):
    return [video.read_watermark(frame) for frame in frames]


@pytest.mark.parametrize("name", TYPES)
def test_decoding_of_a_stream_and_of_its_units_agree(units, name):
    whole = decode.frames(b"".join(units[name]), name)
    assert marks(whole) == list(range(20))
    assert all(np.array_equal(*pair) for pair in zip(whole, decode.unit_frames(units[name], name)))
    assert min(video.psnr(*pair) for pair in zip(FRAMES, whole)) > 30


@pytest.mark.parametrize("name", TYPES)
def test_exchanged_units_raise_or_show_in_the_watermarks(units, name):
    swapped = list(units[name])
    swapped[4], swapped[5] = swapped[5], swapped[4]
    try:
        found = marks(decode.unit_frames(swapped, name))
    except (av.error.FFmpegError, ValueError):  # damage seen by the decoder, a wrong count, no watermark
        return
    assert found != list(range(20))


@pytest.mark.parametrize("name", TYPES)
def test_exchanged_frames_show_in_the_watermarks(name):
    frames = list(FRAMES[:10])
    frames[3], frames[4] = frames[4], frames[3]
    decoded = decode.unit_frames(codec.encode_all(frames, TYPES[name]), name)
    assert marks(decoded) == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", TYPES)
def test_watermarks_survive_compression_below_thirty_db(name):
    rng = np.random.default_rng(3)
    frames = video.synthetic(128, 128, 40)
    for number, frame in enumerate(frames):
        frame[...] = np.clip(frame + rng.integers(-20, 21, frame.shape), 0, 255)
        video.write_watermark(frame, 2000 + number)
    units = codec.encode_all(frames, TYPES[name], gop=20, bit_rate=64)
    decoded = decode.unit_frames(units, name)
    assert min(video.psnr(*pair) for pair in zip(frames, decoded)) < 30
    assert marks(decoded) == list(range(2000, 2040))


def test_watermark_beyond_its_bits_raises():
    with pytest.raises(ValueError, match="12 bits"):
        video.write_watermark(FRAMES[0].copy(), 4096)


def test_truncated_h264_unit_raises(units):
    damaged = [units["h264"][0][: len(units["h264"][0]) // 2], *units["h264"][1:]]
    with pytest.raises(av.error.FFmpegError):
        decode.unit_frames(damaged, "h264")


def test_flipped_bits_of_h264_are_often_seen(units):
    rng = np.random.default_rng(2)
    stream = b"".join(units["h264"])
    seen = 0
    for _ in range(20):
        damaged = bytearray(stream)
        damaged[int(rng.integers(100, len(damaged)))] ^= 1 << int(rng.integers(8))
        try:
            frames = decode.frames(damaged, "h264")
            seen += len(frames) != len(FRAMES) or min(video.psnr(*pair) for pair in zip(FRAMES, frames)) < 28
        except av.error.FFmpegError:
            seen += 1
    assert seen >= 6


@pytest.mark.parametrize("name", TYPES)
def test_start_in_the_middle_of_a_gop_raises(units, name):
    with pytest.raises((av.error.FFmpegError, ValueError)):
        decode.unit_frames(units[name][3:9], name)


@pytest.mark.parametrize("name", TYPES)
def test_unit_of_two_pictures_or_of_none_raises(units, name):
    joined = [units[name][0] + units[name][1], *units[name][2:]]
    with pytest.raises(ValueError, match="access unit 0 has 2 pictures"):
        decode.unit_frames(joined, name)
    with pytest.raises(ValueError, match="access unit 20 has 0 pictures"):
        decode.unit_frames([*units[name], b""], name)


def test_file_frames_of_the_clip_are_at_their_times():
    found = decode.file_frames(video.CLIP)
    assert [float(time) for time, _ in found] == pytest.approx([number / 25 for number in range(60)])
    assert {frame.shape for _, frame in found} == {(540, 640)}


def test_file_frames_of_a_damaged_file_raise(tmp_path):
    damaged = tmp_path / "damaged.mp4"
    shutil.copy(video.CLIP, damaged)
    data = bytearray(damaged.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    damaged.write_bytes(data)
    with pytest.raises(av.error.FFmpegError):
        decode.file_frames(damaged)
