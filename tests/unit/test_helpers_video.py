# SPDX-License-Identifier: Apache-2.0
"""Frame sources, layouts, watermarks and PSNR."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import video
from helpers.codec import CBR, COMPILER, H264_BASELINE, H264_HIGH, H265_MAIN, codec_name, encode_all
from helpers.decode import decode_units

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, or $CC)")


def test_layouts_convert_there_and_back():
    frame = next(video.synthetic(24, 12, 1))
    y, u, v = video.planes(frame)
    assert (y.shape, u.shape, v.shape) == ((12, 24), (6, 12), (6, 12))
    assert np.array_equal(video.i420_to_nv12(video.nv12_to_i420(frame)), frame)
    assert np.array_equal(video.nv12_to_i420(frame)[12:15].ravel(), u.ravel())
    _, swapped_u, swapped_v = video.planes(video.nv12_to_nv21(frame))
    assert np.array_equal(swapped_u, v)
    assert np.array_equal(swapped_v, u)
    assert not np.array_equal(u, v)


def test_frame_size_of_other_arrays_raises():
    for array in (np.zeros((9, 8)), np.zeros((8, 8), np.uint8), np.zeros(96, np.uint8)):
        with pytest.raises(ValueError, match="not a 4:2:0 frame"):
            video.frame_size(array)


def test_synthetic_frames_are_repeatable_and_move():
    first, again = (list(video.synthetic(64, 48, 4, seed=3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not np.array_equal(first[0], next(video.synthetic(64, 48, 1, seed=4)))
    assert all(video.psnr(a, b) < 45 for a, b in zip(first, first[1:]))
    assert all(frame.min() >= 16 and frame.max() <= 240 for frame in first)


def test_clip_is_sixty_distinct_frames():
    frames = video.read_clip()
    assert len(frames) == video.CLIP_FRAMES
    assert {video.frame_size(frame) for frame in frames} == {(video.CLIP_WIDTH, video.CLIP_HEIGHT)}
    assert all(video.psnr(a, b) < 40 for a, b in zip(frames, frames[1:]))
    assert video.CLIP.stat().st_size <= 400_000
    assert len(list(video.looped(frames, 150))) == 150


def test_psnr_of_known_differences_is_exact():
    black, grey = np.zeros((6, 4), np.uint8), np.full((6, 4), 16, np.uint8)
    assert video.psnr(black, black) == video.LOSSLESS_DB
    assert video.psnr(black, grey) == pytest.approx(24.048, abs=0.001)
    one_plane = black.copy()
    one_plane[4:, 0::2] = 255
    assert video.psnr_planes(one_plane, black) == pytest.approx((video.LOSSLESS_DB, 0, video.LOSSLESS_DB))
    with pytest.raises(ValueError, match="1 frames against 2"):
        video.psnr_per_frame([black], [black, black])


@pytest.mark.parametrize("number", [0, 1, 255, 256, 4095, 0xAAAA, 65535])
def test_watermark_reads_back(number):
    frame = next(video.synthetic(160, 128, 1))
    before = frame.copy()
    marked = video.watermark(frame, number)
    assert video.read_watermark(marked) == number
    assert np.array_equal(frame, before)


def test_watermark_out_of_range_or_in_a_small_frame_raises():
    with pytest.raises(ValueError, match="16 bits"):
        video.watermark(next(video.synthetic(128, 64, 1)), 65536)
    with pytest.raises(ValueError, match="too small"):
        video.watermark(next(video.synthetic(126, 64, 1)), 1)


def test_watermark_of_an_unmarked_or_mixed_picture_raises():
    frame = next(video.synthetic(160, 128, 1))
    with pytest.raises(video.WatermarkError):
        video.read_watermark(frame)
    one, other = (video.watermark(frame, number).astype(int) for number in (5, 90))
    with pytest.raises(video.WatermarkError):
        video.read_watermark(((one + other) // 2).astype(np.uint8))


def test_watermark_with_any_single_block_inverted_raises():
    marked = video.watermark(next(video.synthetic(128, 64, 1)), 1234)
    for row in range(video.MARK_ROWS):
        for column in range(video.MARK_COLUMNS):
            damaged = marked.copy()
            top, left = row * video.MARK_BLOCK, column * video.MARK_BLOCK
            block = damaged[top : top + video.MARK_BLOCK, left : left + video.MARK_BLOCK]
            block[...] = video.MARK_LOW + video.MARK_HIGH - block
            with pytest.raises(video.WatermarkError):
                video.read_watermark(damaged)


def test_watermark_survives_noise_of_twenty_db():
    rng = np.random.default_rng(1)
    for number in range(0, 65536, 1771):
        frame = video.watermark(next(video.synthetic(128, 96, 1)), number)
        noisy = np.clip(frame + rng.normal(0, 26, frame.shape), 0, 255).astype(np.uint8)
        assert video.psnr(noisy, frame) < 21
        assert video.read_watermark(noisy) == number


@needs_compiler
@pytest.mark.parametrize("en_type", [H264_BASELINE, H264_HIGH, H265_MAIN])
def test_watermarks_survive_compression_below_thirty_db(en_type):
    frames = list(video.watermarked(video.synthetic(128, 128, 40, noise=12), start=250))
    units = encode_all(frames, en_type, gop=20, rc_mode=CBR, bit_rate=64)
    decoded = decode_units(units, codec_name(en_type))
    assert min(video.psnr_per_frame(decoded, frames)) < 30
    assert video.read_watermarks(decoded) == list(range(250, 290))


@needs_compiler
@pytest.mark.parametrize("en_type", [H264_HIGH, H265_MAIN])
def test_watermarks_of_exchanged_frames_show_the_exchange(en_type):
    frames = list(video.watermarked(video.synthetic(128, 128, 10)))
    frames[3], frames[4] = frames[4], frames[3]
    decoded = decode_units(encode_all(frames, en_type), codec_name(en_type))
    assert video.read_watermarks(decoded) == [0, 1, 2, 4, 3, 5, 6, 7, 8, 9]
