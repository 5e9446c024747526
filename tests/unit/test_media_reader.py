# SPDX-License-Identifier: Apache-2.0
"""ContainerReader: the pixels of every kind of file, durations, and files that are damaged."""

import math
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from ascend_venc import MediaError
from ascend_venc.media import ContainerReader, open_video
from helpers import clips, video

FULL = 2


def read(path, **options):
    with open_video(path, **options) as reader:
        return reader, list(reader)


def planar(frames, pix_fmt="yuv420p", color_range=None):
    return [clips.av_frame(frame, pix_fmt, color_range) for frame in frames]


def seconds(reader, frames):
    return [(frame.pts * reader.time_base, frame.duration * reader.time_base) for frame in frames]


# ---- pixels ----------------------------------------------------------------------------------------------------------


def test_container_frames_are_the_pictures_of_the_file(tmp_path):
    frames = video.synthetic(64, 48, 4)
    reader, found = read(clips.write_pictures(tmp_path / "a.mkv", planar(frames)))
    assert (reader.width, reader.height, reader.pixel_format, reader.fps) == (64, 48, "nv12", 25)
    assert [np.array_equal(frame.data, expected) for frame, expected in zip(found, frames)] == [True] * 4


@pytest.mark.parametrize("ratio", [None, Fraction(16, 11)])
def test_container_facts_are_fractions_or_none(tmp_path, ratio):
    options = {} if ratio is None else {"sample_aspect_ratio": ratio}
    pictures = planar(video.synthetic(64, 48, 2))
    with open_video(clips.write_pictures(tmp_path / "a.mp4", pictures, codec="libx264", **options)) as reader:
        assert reader.sample_aspect_ratio == ratio
        assert {type(reader.fps), type(reader.time_base)} == {Fraction}
        assert type(reader.sample_aspect_ratio) in (Fraction, type(None))


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p"])
def test_container_of_full_range_is_scaled_to_limited_range(tmp_path, pix_fmt):
    white = np.full((72, 64), 255, np.uint8)
    white[48:] = 128
    codec = "mjpeg" if pix_fmt == "yuvj420p" else "ffv1"
    path = clips.write_pictures(tmp_path / "a.mkv", planar([white], pix_fmt, FULL), codec=codec, color_range=FULL)
    (frame,) = read(path)[1]
    assert set(np.unique(frame.data[:48])) == {235}
    assert set(np.unique(frame.data[48:])) == {128}


def test_container_of_limited_range_is_left_alone(tmp_path):
    values = np.tile(np.arange(16, 236, 4, dtype=np.uint8)[:48, None], (1, 64))
    frame = np.concatenate([values, np.full((24, 64), 128, np.uint8)])
    (found,) = read(clips.write_pictures(tmp_path / "a.mkv", planar([frame], color_range=1), color_range=1))[1]
    assert np.array_equal(found.data, frame)


@pytest.mark.parametrize(("height", "red"), [(64, (81, 90, 240)), (720, (63, 102, 240))])
def test_container_of_rgb_is_converted_as_players_expect_it(tmp_path, height, red):
    rgb = np.zeros((height, 64, 3), np.uint8)
    rgb[..., 0] = 255
    pictures = [av.VideoFrame.from_ndarray(rgb, format="rgb24")]
    reader, (frame,) = read(clips.write_pictures(tmp_path / "a.mov", pictures, codec="png"))
    found = frame.data[0, 0], frame.data[height, 0], frame.data[height, 1]
    assert all(abs(int(a) - b) <= 1 for a, b in zip(found, red)), found
    assert reader.color.matrix == (1 if height == 720 else 6)


def test_container_with_ten_bits_is_converted(tmp_path):
    picture = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, value in zip(picture.planes, (940, 512, 512)):
        plane.update(np.full(plane.buffer_size // 2, value, "<u2").tobytes())
    (frame,) = read(clips.write_pictures(tmp_path / "a.mkv", [picture]))[1]
    assert set(np.unique(frame.data[:48])) == {235}


IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def matrix(a, b, c, d):
    a, b, c, d = (round(each * 0x10000) for each in (a, b, c, d))
    return struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)


@pytest.mark.parametrize(
    ("abcd", "turn"),
    [
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # a phone held upright: a quarter clockwise
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), np.fliplr),
        ((0.01, 1, -1, 0.01), lambda p: np.rot90(p, -1)),  # half a degree from it
        ((1, -0.01, 0.01, 1), np.array),
    ],
)
def test_container_that_is_to_be_turned_is_turned(tmp_path, abcd, turn):
    (frame,) = video.synthetic(64, 48, 1)
    path = clips.write_pictures(tmp_path / "a.mp4", planar([frame]), codec="libx264")
    plain = read(path)[1][0].data
    data = path.read_bytes()
    place = data.index(IDENTITY, data.index(b"tkhd"))
    path.write_bytes(data[:place] + matrix(*abcd) + data[place + len(IDENTITY) :])
    reader, (found,) = read(path)
    assert reader.left_out == ()
    assert np.array_equal(found.data[: reader.height], turn(plain[:48]))
    chroma = turn(np.ascontiguousarray(plain[48:]).view(np.uint16))
    assert np.array_equal(found.data[reader.height :], np.ascontiguousarray(chroma).view(np.uint8))


@pytest.mark.parametrize("degrees", [3, 45, 100, 200])
def test_rotation_that_is_no_quarter_turn_is_left_out_and_told(tmp_path, degrees):
    path = clips.write_pictures(tmp_path / "a.mp4", planar(video.synthetic(64, 48, 1)), codec="libx264")
    plain = read(path)[1][0].data
    data = path.read_bytes()
    place = data.index(IDENTITY, data.index(b"tkhd"))
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    path.write_bytes(data[:place] + matrix(cosine, sine, -sine, cosine) + data[place + len(IDENTITY) :])
    reader, (found,) = read(path)
    assert reader.left_out == ("a rotation that is no quarter turn",)
    assert np.array_equal(found.data, plain)


def test_container_that_changes_its_size_is_refused_with_the_frame(tmp_path):
    path = tmp_path / "a.h264"
    parts = []
    for index, (width, height) in enumerate([(64, 48), (96, 64)]):
        part = clips.write_pictures(
            tmp_path / f"{index}.h264", planar(video.synthetic(width, height, 3)), codec="libx264"
        )
        parts.append(part.read_bytes())
    path.write_bytes(b"".join(parts))
    with pytest.raises(MediaError, match="frame 3 is 96x64, those before it are 64x48"):
        read(path)


def test_container_of_odd_size_opens_and_refuses_to_be_iterated(tmp_path):
    picture = av.VideoFrame(65, 47, "yuv444p")
    for plane in picture.planes:
        plane.update(bytes(plane.buffer_size))
    path = clips.write_pictures(tmp_path / "a.mkv", [picture])
    with open_video(path) as reader:
        assert (reader.width, reader.height) == (65, 47)
        with pytest.raises(MediaError, match=r"65x47.*even"):
            next(iter(reader))


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "ffv1")])
def test_container_with_uneven_times_keeps_them(tmp_path, suffix, codec):
    times = [0, 40, 140, 160, 500, 520]
    path = clips.write_pictures(
        tmp_path / f"a.{suffix}",
        planar(video.synthetic(64, 48, 6)),
        codec=codec,
        times=times,
        time_base=Fraction(1, 1000),
    )
    reader, found = read(path)
    assert [frame.pts * reader.time_base * 1000 for frame in found] == times
    assert [frame.duration * reader.time_base * 1000 for frame in found][:-1] == [40, 100, 20, 340, 20]
    assert found[-1].duration > 0


def test_container_that_begins_late_is_counted_from_its_first_frame(tmp_path):
    path = clips.write_pictures(
        tmp_path / "a.ts", planar(video.synthetic(64, 48, 5)), codec="libx264", times=range(100, 105)
    )
    reader, found = read(path)
    assert [time for time, _ in seconds(reader, found)] == [Fraction(i, 25) for i in range(5)]


def test_bare_bitstream_is_evenly_spaced(tmp_path):
    path = clips.write_pictures(tmp_path / "a.h264", planar(video.synthetic(64, 48, 5)), codec="libx264")
    reader, found = read(path)
    assert seconds(reader, found) == [(i / reader.fps, 1 / reader.fps) for i in range(5)]


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "libx264", {"movflags": "faststart"}), ("a.mkv", "ffv1", {}), ("a.avi", "ffv1", {})],
)
def test_container_that_is_cut_off_is_refused(tmp_path, name, codec, options):
    path = clips.write_pictures(tmp_path / name, planar(video.synthetic(64, 48, 12)), codec=codec, options=options)
    assert len(read(path)[1]) == 12
    data = path.read_bytes()
    for size in (len(data) * 3 // 4, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(MediaError, match=f"cut off: {size} of {len(data)} bytes"):
            read(path)
    path.write_bytes(data + b"\0" * 100)  # something behind it does no harm
    assert len(read(path)[1]) == 12


def test_container_with_a_damaged_picture_is_refused_with_the_frame(tmp_path):
    pictures = [picture.reformat(format="rgb24") for picture in planar(video.synthetic(64, 48, 6))]
    path = clips.write_pictures(tmp_path / "a.mov", pictures, codec="png")
    data = bytearray(path.read_bytes())
    place = [i for i in range(len(data)) if data.startswith(b"\x89PNG", i)][3]
    data[place : place + 60] = bytes(60)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="frame 3 cannot be decoded"):
        read(path)


def test_missing_file_and_directory_raise_what_open_raises(tmp_path):
    with pytest.raises(FileNotFoundError):
        ContainerReader(tmp_path / "none.mp4")
    with pytest.raises(IsADirectoryError):
        ContainerReader(tmp_path)


def test_file_name_that_looks_like_a_protocol_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.write_pictures(tmp_path / "a.mkv", planar(video.synthetic(64, 48, 2))).rename("concat:a.mkv")
    assert len(read("concat:a.mkv")[1]) == 2


TURNED = b"\0\0\0\1\x06\x2f\x03\x08\0\x14\x80"  # H.264's SEI: by a quarter


@pytest.mark.parametrize(("first", "later", "notes"), [(b"", TURNED, 1), (TURNED, b"", 0), (TURNED, TURNED, 0)])
def test_orientation_that_changes_within_the_film_is_noted(tmp_path, first, later, notes):
    pictures = [clips.av_frame(np.frombuffer(clips.nv12(128, 96, n), np.uint8).reshape(144, 128)) for n in range(10)]
    data = clips.write_pictures(
        tmp_path / "a.h264", pictures, codec="libx264", codec_options={"g": "5", "bf": "0", "x264-params": "scenecut=0"}
    ).read_bytes()
    before, rest = data.split(b"\x65", 1)  # the first key frame's slice
    start = before.rindex(b"\0\0\1")
    middle = rest.index(b"\0\0\0\1\x67")  # the second one's parameter sets
    behind = rest.index(b"\0\0\1\x65", middle)
    rest = rest[:behind] + later[1:] + rest[behind:]
    (tmp_path / "a.h264").write_bytes(before[:start] + first[1:] + before[start:] + b"\x65" + rest)
    with open_video(tmp_path / "a.h264") as reader:
        assert len(list(reader)) == 10
        assert (reader.width, reader.height) == ((96, 128) if first else (128, 96))
        assert len([note for note in reader.notes if "turned otherwise" in note]) == notes
        assert not notes or "from frame 5 on" in reader.notes[0]


def test_cover_picture_before_the_track_does_not_take_its_place(tmp_path):
    import av

    path = clips.write_pictures(tmp_path / "a.mp4", [clips.av_frame(np.full((192, 128), 90, np.uint8))], codec="mpeg4")
    aperture = struct.pack(">IIIIiIiI", 96, 1, 112, 1, 0, 1, 0, 1)
    data = clips.with_sample_entry_box(path.read_bytes(), b"mp4v", box(b"clap", aperture))
    small = [av.VideoFrame(16, 16, "rgb24")]
    cover = clips.write_pictures(tmp_path / "a.png", small, codec="png", options={"update": "1"})
    picture = box(b"covr", box(b"data", struct.pack(">II", 14, 0) + cover.read_bytes()))
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    told = box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", picture)))
    at = data.index(b"moov")
    size = int.from_bytes(data[at - 4 : at], "big") + len(told)
    path.write_bytes(data[: at - 4] + size.to_bytes(4, "big") + b"moov" + told + data[at + 4 :])
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams.video] == ["png", "mpeg4"]
        if not hasattr(container.streams[0], "disposition"):
            pytest.skip("this PyAV does not tell covers")
    with open_video(path) as reader:
        assert (reader.width, reader.height) == (96, 112)


def box(kind, content):
    return struct.pack(">I4s", 8 + len(content), kind) + content
