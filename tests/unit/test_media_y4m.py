# SPDX-License-Identifier: Apache-2.0
"""The y4m and raw readers: what they give, and what they refuse."""

import io
import random
from fractions import Fraction

import numpy as np
import pytest

from ascend_venc import InvalidArgumentError, MediaError
from ascend_venc.media import RawReader, Y4MReader, open_video
from helpers import files, video

HEADER = b"YUV4MPEG2 W16 H8 F25:1"


def planar(sampling, width, height, seed=1):
    rng = np.random.default_rng(seed)
    across, down = {"420": (width // 2, height // 2), "422": (width // 2, height), "444": (width, height)}[sampling]
    return [rng.integers(0, 256, shape).astype(np.uint8) for shape in ((height, width), (down, across), (down, across))]


def nv12(planes):
    luma, blue, red = planes
    frame = np.empty((luma.shape[0] * 3 // 2, luma.shape[1]), np.uint8)
    frame[: luma.shape[0]] = luma
    frame[luma.shape[0] :, 0::2] = blue
    frame[luma.shape[0] :, 1::2] = red
    return frame


def read(data, **options):
    reader = Y4MReader(io.BytesIO(data), **options)
    return reader, list(reader)


@pytest.mark.parametrize("tags", ["C420jpeg", "C420mpeg2", "C420paldv", "C420", "", "Ip A0:0 C420jpeg XYSCSS=420JPEG"])
def test_y4m_of_every_420_siting_gives_the_same_nv12(tags):
    frames = video.synthetic(16, 8, 3)
    reader, found = read(files.y4m(frames, f"F30000:1001 {tags}"))
    assert (reader.width, reader.height, reader.fps, reader.time_base) == (
        16,
        8,
        Fraction(30000, 1001),
        Fraction(1001, 30000),
    )
    assert [(frame.pts, frame.duration) for frame in found] == [(0, 1), (1, 1), (2, 1)]
    for frame, expected in zip(found, frames):
        assert bytes(frame.data) == expected.tobytes()


def test_y4m_frames_with_parameters_are_read():
    frames = video.synthetic(16, 8, 2)
    assert len(read(files.y4m(frames, frame_tag=" Ip XTIME=3"))[1]) == 2


@pytest.mark.parametrize(("sampling", "step"), [("422", (2, 1)), ("444", (2, 2))])
def test_y4m_with_more_chroma_is_averaged_down(sampling, step):
    luma, blue, red = planar(sampling, 16, 8)
    data = HEADER + f" C{sampling}\nFRAME\n".encode() + luma.tobytes() + blue.tobytes() + red.tobytes()
    (frame,) = read(data)[1]

    def averaged(plane):
        down, across = step
        blocks = plane.reshape(plane.shape[0] // down, down, plane.shape[1] // across, across)
        return np.floor(blocks.mean(axis=(1, 3)) + 0.5)

    expected = nv12([luma, averaged(blue), averaged(red)])
    assert bytes(frame.data) == expected.tobytes()


def test_y4m_mono_has_neutral_chroma():
    luma = planar("420", 16, 8)[0]
    (frame,) = read(HEADER + b" Cmono\nFRAME\n" + luma.tobytes())[1]
    assert bytes(frame.data) == luma.tobytes() + bytes([128]) * 64


def test_y4m_of_full_range_is_scaled_to_limited_range():
    planes = [np.full((8, 16), 255, np.uint8), np.full((4, 8), 255, np.uint8), np.full((4, 8), 0, np.uint8)]
    body = b"\nFRAME\n" + b"".join(plane.tobytes() for plane in planes)
    (full,) = read(HEADER + b" XCOLORRANGE=FULL" + body)[1]
    assert (full.data[0], full.data[128], full.data[129]) == (235, 240, 16)
    (limited,) = read(HEADER + b" XCOLORRANGE=LIMITED" + body)[1]
    assert (limited.data[0], limited.data[128], limited.data[129]) == (255, 255, 0)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"", "empty"),
        (b"RIFF....", "not YUV4MPEG2"),
        (b"YUV4MPEG2 " + b"X" * 5000, "no end within 4096 bytes"),
        (b"YUV4MPEG2 W16 H8 F25:1", "no end within"),
        (b"YUV4MPEG2 H8 F25:1\n", "no width"),
        (b"YUV4MPEG2 W16 F25:1\n", "no height"),
        (b"YUV4MPEG2 W0 H8 F25:1\n", "width '0'"),
        (b"YUV4MPEG2 W-16 H8 F25:1\n", "width '-16'"),
        (b"YUV4MPEG2 W16 H16385 F25:1\n", "height '16385'; it must be 1 to 16384"),
        (b"YUV4MPEG2 W99999999999999999999 H8 F25:1\n", "width"),
        (b"YUV4MPEG2 W1e3 H8 F25:1\n", "width '1e3'"),
        ("YUV4MPEG2 W\u0661\u0666 H8 F25:1\n".encode(), "width"),
        (b"YUV4MPEG2 W16 H8 F0:0\n", "does not tell the frame rate"),
        (b"YUV4MPEG2 W16 H8 F0:1\n", "does not tell the frame rate"),
        (b"YUV4MPEG2 W16 H8\n", "does not tell the frame rate"),
        (b"YUV4MPEG2 W16 H8 F25:0\n", "'25:0'"),
        (b"YUV4MPEG2 W16 H8 F25\n", "'25'"),
        (b"YUV4MPEG2 W16 H8 F-25:1\n", "'-25:1'"),
        (b"YUV4MPEG2 W16 H8 F99999999999:1\n", "frame rate"),
        (b"YUV4MPEG2 W16 H8 F25:1 C420p10\n", "C420p10 is not supported"),
        (b"YUV4MPEG2 W16 H8 F25:1 C411\n", "C411 is not supported"),
    ],
)
def test_y4m_header_that_cannot_be_is_refused_with_the_reason(header, text):
    with pytest.raises(MediaError, match=text):
        Y4MReader(io.BytesIO(header + b"FRAME\n"[: 6 if header.endswith(b"\n") else 0]))


@pytest.mark.parametrize("rate", [b"F0:0", b"F25:0", b""])
def test_y4m_rate_that_is_given_replaces_the_header(rate):
    reader, _ = read(b"YUV4MPEG2 W16 H8 " + rate + b"\n", fps=Fraction(50))
    assert (reader.fps, reader.time_base) == (50, Fraction(1, 50))


def test_y4m_aspect_ratio_is_handed_on():
    assert read(HEADER + b" A16:11\n")[0].sample_aspect_ratio == Fraction(16, 11)
    assert read(HEADER + b" A0:0\n")[0].sample_aspect_ratio is None


@pytest.mark.parametrize(
    ("kept", "text"),
    [(1, "within its header"), (5, "within its header"), (6, "0 of 192"), (7, "1 of 192"), (197, "191 of 192")],
)
def test_y4m_cut_within_a_frame_gives_the_frames_before_it_then_its_number(kept, text):
    data = files.y4m(video.synthetic(16, 8, 3))
    reader = Y4MReader(io.BytesIO(data[: len(data) - (6 + 192) + kept]))
    found = []
    with pytest.raises(MediaError, match=f"frame 2 is cut off: .*{text}"):
        for frame in reader:
            found.append(frame)
    assert len(found) == 2


def test_y4m_that_loses_its_place_is_refused_with_the_frame():
    data = files.y4m(video.synthetic(16, 8, 2))
    with pytest.raises(MediaError, match="frame 1 does not begin with FRAME"):
        read(data[: -198 - 5] + data[-198:])


@pytest.mark.parametrize("tags", ["W15 H8", "W16 H7"])
def test_y4m_of_odd_size_opens_and_refuses_to_be_iterated(tags):
    reader = Y4MReader(io.BytesIO(f"YUV4MPEG2 {tags} F25:1\nFRAME\n".encode() + bytes(1000)))
    with pytest.raises(MediaError, match="must be even"):
        next(iter(reader))


def test_y4m_damaged_anywhere_raises_nothing_but_media_errors():
    rng = random.Random(7)
    good = files.y4m(video.synthetic(16, 8, 3))
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(60) if rng.random() < 0.8 else rng.randrange(len(data))
            data[place] = rng.choice(b"0123456789:WHFCAIX \n\x00\xff") if rng.random() < 0.8 else rng.randrange(256)
        data = data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data
        try:
            reader = Y4MReader(io.BytesIO(bytes(data)))
            for frame in reader:
                assert len(frame.data) == reader.width * reader.height * 3 // 2
        except MediaError:
            pass


def test_y4m_file_tells_how_many_frames_it_has(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(files.y4m(video.synthetic(16, 8, 3)))
    with open_video(path) as reader:
        assert reader.frame_count == 3
        assert len(list(reader)) == 3


def test_y4m_reader_leaves_a_file_object_open():
    file = io.BytesIO(files.y4m(video.synthetic(16, 8, 1)))
    Y4MReader(file).close()
    assert not file.closed


# ---- raw -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "pixel_format"), [(".nv12", "nv12"), (".nv21", "nv21"), (".yuv", "nv12")])
def test_raw_file_gives_its_frames_in_the_format_of_its_suffix(tmp_path, suffix, pixel_format):
    frames = video.synthetic(16, 8, 3)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"".join(b"".join(files.planes_of(f)) if suffix == ".yuv" else f.tobytes() for f in frames))
    with open_video(path, size=(16, 8), fps=Fraction(30)) as reader:
        found = list(reader)
    assert (reader.pixel_format, reader.fps, reader.frame_count) == (pixel_format, 30, 3)
    assert [bytes(frame.data) for frame in found] == [frame.tobytes() for frame in frames]
    assert [frame.pts for frame in found] == [0, 1, 2]


def test_raw_file_that_is_no_whole_number_of_frames_is_refused_with_the_frame(tmp_path):
    path = tmp_path / "a.nv12"
    path.write_bytes(bytes(192 * 2 + 100))
    with RawReader(path, 16, 8) as reader, pytest.raises(MediaError, match="frame 2 is cut off: 100 of 192"):
        list(reader)


@pytest.mark.parametrize("size", [(0, 8), (16, -8), (16385, 8)])
def test_raw_size_that_cannot_be_is_refused(tmp_path, size):
    path = tmp_path / "a.nv12"
    path.write_bytes(b"")
    with pytest.raises(InvalidArgumentError, match="1 to 16384"):
        RawReader(path, *size)


def test_raw_without_size_and_others_with_one_are_refused(tmp_path):
    with pytest.raises(InvalidArgumentError, match="size is missing"):
        open_video(tmp_path / "a.nv12")
    with pytest.raises(InvalidArgumentError, match="nothing is scaled"):
        open_video(tmp_path / "a.mp4", size=(16, 8))
