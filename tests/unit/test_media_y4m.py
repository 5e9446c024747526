# SPDX-License-Identifier: Apache-2.0
"""The .y4m reader: what it takes, and one clear sentence for everything else."""

import io
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_venc.media import MediaError, Y4MReader
from helpers import clips


def read(data, **options):
    with Y4MReader(io.BytesIO(data), **options) as source:
        return source, list(source)


def test_y4m_420_frames_become_nv12():
    source, frames = read(clips.y4m(frames=3, tags="F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG"))
    assert (source.width, source.height, source.pixel_format) == (128, 128, "nv12")
    assert source.fps == Fraction(30000, 1001) and source.time_base == Fraction(1001, 30000)
    assert [bytes(frame.data) for frame in frames] == [clips.nv12(128, 128, index) for index in range(3)]
    assert [(frame.pts, frame.duration) for frame in frames] == [(0, 1), (1, 1), (2, 1)]


@pytest.mark.parametrize("tags", ["F25:1 C420jpeg", "F25:1 C420mpeg2", "F25:1 C420paldv", "F25:1 C420", "F25:1"])
def test_y4m_siting_of_chroma_does_not_change_the_samples(tags):
    assert bytes(read(clips.y4m(frames=1, tags=tags))[1][0].data) == clips.nv12(128, 128, 0)


def test_y4m_limited_range_is_left_alone():
    body = b"FRAME\n" + bytes([0, 255] * 192)
    _, frames = read(b"YUV4MPEG2 W16 H16 F25:1 XCOLORRANGE=LIMITED\n" + body)
    assert set(bytes(frames[0].data)) == {0, 255}


@pytest.mark.parametrize(("tag", "ratio"), [("A16:11", Fraction(16, 11)), ("A0:0", None), ("A1:", None), ("Ip", None)])
def test_y4m_aspect_ratio_is_handed_on(tag, ratio):
    assert read(clips.y4m(frames=1, tags=f"F25:1 {tag}"))[0].sample_aspect_ratio == ratio


@pytest.mark.parametrize("size", ["W15 H16", "W16 H15"])
def test_y4m_of_odd_size_opens_and_refuses_to_be_iterated(size):
    source = Y4MReader(io.BytesIO(f"YUV4MPEG2 {size} F25:1\nFRAME\n".encode() + bytes(1000)))
    with pytest.raises(MediaError, match="must be even"):
        next(iter(source))


def test_y4m_mono_frames_get_grey_chroma():
    luma = bytes(range(256)) * 64
    _, frames = read(b"YUV4MPEG2 W128 H128 F25:1 Cmono\nFRAME\n" + luma)
    assert bytes(frames[0].data) == luma + b"\x80" * 8192


@pytest.mark.parametrize(("sampling", "across", "down"), [("422", 2, 1), ("444", 1, 1)])
def test_y4m_finer_chroma_is_averaged_to_420(sampling, across, down):
    wide, high = 16 // across, 16 // down
    blue = np.arange(wide * high, dtype=np.uint8).reshape(high, wide)
    red = 255 - blue
    luma = bytes(range(256))
    data = f"YUV4MPEG2 W16 H16 F25:1 C{sampling}\nFRAME\n".encode() + luma + blue.tobytes() + red.tobytes()
    _, frames = read(data)
    picture = np.frombuffer(frames[0].data, np.uint8)
    assert picture[:256].tobytes() == luma
    for got, plane in ((picture[256::2], blue), (picture[257::2], red)):
        mean = plane.reshape(8, 2 // down, 8, 2 // across).mean(axis=(1, 3))
        assert np.abs(got.reshape(8, 8) - mean).max() <= 0.5


def test_y4m_full_range_becomes_limited():
    luma, chroma = bytes([0, 255] * 128), bytes([0, 255] * 32)
    _, frames = read(b"YUV4MPEG2 W16 H16 F25:1 C420 XCOLORRANGE=FULL\nFRAME\n" + luma + chroma + chroma)
    picture = bytes(frames[0].data)
    assert set(picture[:256]) == {16, 235} and set(picture[256:]) == {16, 240}


def test_y4m_frame_header_with_parameters_is_read():
    data = clips.y4m(frames=2).replace(b"FRAME\n", b"FRAME Ip Xcomment\n")
    assert len(read(data)[1]) == 2


@pytest.mark.parametrize("tags", ["Ip", "F0:0"])
def test_y4m_without_a_rate_needs_one(tags):
    with pytest.raises(MediaError, match="frame rate"):
        read(clips.y4m(tags=tags))
    assert read(clips.y4m(tags=tags), fps=Fraction(24))[0].fps == 24


def test_y4m_given_rate_replaces_the_header():
    assert read(clips.y4m(tags="F10:1"), fps=Fraction(50))[0].fps == 50


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "empty"),
        (b"RIFFxxxx\n", "YUV4MPEG2"),
        (b"YUV4MPEG2W128 H128 F25:1\n", "YUV4MPEG2"),
        (b"YUV4MPEG2 W128 H128 F25:1", "header"),
        (b"YUV4MPEG2 W128 H128 " + b"X" * 5000 + b"\n", "header"),
        (b"YUV4MPEG2 H128 F25:1\n", "width"),
        (b"YUV4MPEG2 W128 F25:1\n", "height"),
        (b"YUV4MPEG2 W0 H128 F25:1\n", "width"),
        (b"YUV4MPEG2 W-128 H128 F25:1\n", "width"),
        (b"YUV4MPEG2 W128 H" + b"9" * 500 + b" F25:1\n", "height"),
        (b"YUV4MPEG2 W100000 H128 F25:1\n", "width"),
        (b"YUV4MPEG2 W128 H128 F25:0\n", "25:0"),
        (b"YUV4MPEG2 W128 H128 F0:1\n", "frame rate"),
        (b"YUV4MPEG2 W128 H128 F25\n", "frame rate"),
        (b"YUV4MPEG2 W128 H128 F9999999999:1\n", "frame rate"),
        (b"YUV4MPEG2 W128 H128 F25:1 C411\n", "C411"),
        (b"YUV4MPEG2 W128 H128 F25:1 C444alpha\n", "C444alpha"),
        (b"YUV4MPEG2 W128 H128 F25:1 C420p10\n", "8 bit"),
        (b"YUV4MPEG2 W128 H128 F25:1 C422p12\n", "8 bit"),
        (b"YUV4MPEG2 W128 H128 F25:1 Cmono16\n", "8 bit"),
    ],
)
def test_y4m_unreadable_header_is_named(header, words):
    with pytest.raises(MediaError) as caught:
        read(header)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


@pytest.mark.parametrize("missing", [1, 100, 128 * 128 * 3 // 2])
def test_y4m_truncated_last_frame_is_named_after_the_whole_ones(missing):
    frames = iter(Y4MReader(io.BytesIO(clips.y4m(frames=5)[:-missing])))
    assert [next(frames).pts for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(MediaError, match="frame 4 is cut off"):
        next(frames)


def test_y4m_cut_within_a_frame_header_is_named():
    with pytest.raises(MediaError, match="frame 4"):
        read(clips.y4m(frames=5)[: -128 * 128 * 3 // 2 - 2])


def test_y4m_garbage_between_frames_is_named():
    with pytest.raises(MediaError, match="frame 2"):
        read(clips.y4m(frames=2) + b"garbage\n")


def test_y4m_frame_count_of_a_file_is_exact(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(clips.y4m(frames=7))
    with Y4MReader(path) as source:
        assert source.frame_count == 7
    with Y4MReader(io.BytesIO(clips.y4m())) as source:
        assert source.frame_count is None


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=100).map(lambda rest: b"YUV4MPEG2 " + rest),
        st.lists(
            st.sampled_from(["W16", "H16", "F25:1", "F0:0", "F1:0", "Cmono", "C420", "C", "W", "H", "F", "\nFRAME\n"]),
            max_size=8,
        ).map(lambda words: ("YUV4MPEG2 " + " ".join(words) + "\nFRAME\n").encode() + bytes(384)),
    )
)
def test_y4m_any_bytes_are_read_or_refused_with_media_error(data):
    try:
        _, frames = read(data)
    except MediaError:
        return
    assert all(len(frame.data) for frame in frames)


def test_y4m_damaged_anywhere_is_read_or_refused_with_media_error():
    rng = random.Random(7)
    good = clips.y4m(16, 8, frames=3, tags="F25:1 Ip A1:1 C420jpeg")
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(60) if rng.random() < 0.8 else rng.randrange(len(data))
            data[place] = rng.choice(b"0123456789:WHFCAIX \n\x00\xff")
        try:
            source, frames = read(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data))
        except MediaError:
            continue
        assert all(len(frame.data) == source.width * source.height * 3 // 2 for frame in frames)


@pytest.mark.parametrize(
    ("tags", "chroma"),
    [
        ("XYSCSS=444", 2),
        ("XYSCSS=422", 1),
        ("XYSCSS=420JPEG", 0.5),
        ("XYSCSS=420MPEG2", 0.5),
        ("C420jpeg XYSCSS=444", 0.5),
    ],
)
def test_y4m_older_sampling_comment_is_understood(tags, chroma):
    size = int(64 * 64 * (1 + chroma))
    data = f"YUV4MPEG2 W64 H64 F25:1 {tags}\n".encode() + (b"FRAME\n" + bytes([90]) * size) * 2
    with Y4MReader(io.BytesIO(data)) as source:
        assert len(list(source)) == 2


@pytest.mark.parametrize("comment", ["XYSCSS=411", "XYSCSS=420P10", "XYSCSS=444P16"])
def test_y4m_older_sampling_comment_that_is_not_supported_is_named(comment):
    with pytest.raises(MediaError, match=comment[7:].lower()):
        Y4MReader(io.BytesIO(f"YUV4MPEG2 W64 H64 F25:1 {comment}\n".encode()))


def test_y4m_interlacing_is_told():
    for tag, told in (("It", 1), ("Ib", 1), ("Im", 1), ("Ip", 0), ("I?", 0), ("", 0)):
        with Y4MReader(io.BytesIO(f"YUV4MPEG2 W64 H64 F25:1 {tag}\n".encode())) as source:
            assert len(source.left_out) == told


def test_y4m_tolerant_leaves_out_the_frame_that_is_cut_off():
    for cut in (1, 5000):
        with Y4MReader(io.BytesIO(clips.y4m(frames=3)[:-cut]), tolerant=True) as source:
            assert (len(list(source)), source.damaged) == (2, 1)
