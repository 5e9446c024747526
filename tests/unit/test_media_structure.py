# SPDX-License-Identifier: Apache-2.0
"""What MP4, Matroska and AVI files say about themselves: how long they are, and what is cropped off."""

import io
import os
import random
import struct
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import ColorTags, ContainerReader, Muxer, open_video, structure
from ascend_venc.media.structure import Cropping, another_film, declared_size, track_header
from helpers import clips, sound

av = pytest.importorskip("av", reason="PyAV is not installed")

MOV, MATROSKA = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"


@pytest.fixture
def mp4(tmp_path):
    return clips.write_video(
        tmp_path / "a.mp4", range(30), Fraction(1, 25), container_options={"movflags": "faststart"}
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_whole_file_declares_its_own_size(tmp_path, name):
    path = clips.write_video(tmp_path / name, range(5), Fraction(1, 25))
    declared = declared_size(path, {"mp4": MOV, "mkv": MATROSKA, "avi": "avi"}[name[2:]])
    assert declared == os.path.getsize(path)


def test_index_tells_of_samples_that_are_not_there(mp4):
    data = mp4.read_bytes()
    end = len(data)
    at = data.index(b"mdat") - 4
    for cut in (at + 8, at + (end - at) // 2, end - 1):
        open_ended = bytearray(data[:cut])
        open_ended[at : at + 4] = bytes(4)  # the box reaches to the end of the file, however long that is
        mp4.write_bytes(open_ended)
        assert declared_size(mp4, MOV) == end


def test_box_that_ends_beyond_the_file_lacks_nothing_where_the_index_lists_nothing_there(mp4):
    data = bytearray(mp4.read_bytes())
    at = data.index(b"mdat") - 4
    (size,) = struct.unpack_from(">I", data, at)
    for more in (8, 100_000):
        struct.pack_into(">I", data, at, size + more)
        mp4.write_bytes(data)
        assert declared_size(mp4, MOV) == len(data)
        mp4.write_bytes(data[:-1])
        assert declared_size(mp4, MOV) == len(data)


@pytest.mark.parametrize("missing", [1, 100, "the sound's track"])
def test_file_that_ends_within_its_index_is_cut_off(tmp_path, missing):
    data = sound.write_film(tmp_path / "a.mp4", 0.5).read_bytes()
    second = data.rindex(b"trak") - 4
    assert data.index(b"moov") < data.index(b"trak") < second
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: second if isinstance(missing, str) else -missing])
    assert declared_size(path, MOV) == len(data)
    with pytest.raises(venc.MediaError, match="cut off"):
        open_video(path)


def test_avi_whose_size_counts_its_header_too_lacks_nothing(tmp_path):
    path = clips.write_video(tmp_path / "a.avi", range(5), Fraction(1, 25))
    data = bytearray(path.read_bytes())
    (size,) = struct.unpack_from("<I", data, 4)
    assert size == len(data) - 8
    struct.pack_into("<I", data, 4, size + 8)
    path.write_bytes(data)
    assert declared_size(path, "avi") == len(data)
    with open_video(path) as reader:
        assert len(list(reader)) == 5
    struct.pack_into("<I", data, 4, size)
    path.write_bytes(data[:-8])
    assert declared_size(path, "avi") == len(data), "that one is cut off by 8 bytes"
    with pytest.raises(venc.MediaError, match="cut off"):
        open_video(path)


@pytest.mark.parametrize("spacing", [188, 192, 204])
@pytest.mark.parametrize("before", [0, 5])  # bytes of a packet whose begin is not there
def test_transport_stream_that_ends_within_a_packet_lacks_its_rest(tmp_path, spacing, before):
    lead, tail = (4, 0) if spacing == 192 else (0, spacing - 188)
    packet = b"\0" * lead + b"\x47" + b"\x11" * 187 + b"\0" * tail
    data = b"\x11" * before + packet * 40
    path = tmp_path / "a.ts"
    for missing in (0, 1, 100, spacing - 1):
        path.write_bytes(data[: len(data) - missing])
        assert declared_size(path, "mpegts") == len(data), missing
    path.write_bytes(data + b"\0" * 30)  # what is behind is no packet
    assert declared_size(path, "mpegts") is None
    path.write_bytes(packet[:-1] * 40)
    assert declared_size(path, "mpegts") is None


def test_beginning_of_another_film_is_found_across_the_pieces_that_are_read(tmp_path, monkeypatch):
    beginning = b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    path = tmp_path / "a.flv"
    monkeypatch.setattr(structure, "_PIECE", 32)
    for place in range(13, 90):
        path.write_bytes(beginning + b"x" * (place - 13) + beginning + b"x" * 40)
        assert another_film(path, "flv", 13) == place
    assert another_film(path, "flv", place + 1) is None
    assert another_film(path, "matroska,webm", 0) is None


def test_flv_that_ends_within_a_tag_lacks_its_rest(tmp_path):
    path = clips.write_video(tmp_path / "a.flv", range(8), Fraction(1, 25), codec="flv")
    data = path.read_bytes()
    assert declared_size(path, "flv") == len(data)
    ends, end = [], 13
    while end < len(data):
        end += 15 + int.from_bytes(data[end + 1 : end + 4], "big")
        ends.append(end)
    assert end == len(data) and len(ends) > 8
    for cut in range(14, len(data)):
        path.write_bytes(data[:cut])
        end = next(end for end in ends if end >= cut)
        begin = max((end for end in ends if end < cut), default=13)
        if cut >= end - 4:  # at most the length behind the tag is missing
            assert declared_size(path, "flv") == cut
        else:
            assert cut < declared_size(path, "flv") <= (end if cut >= begin + 11 else begin + 11), cut
    path.write_bytes(data + b"\0" * 50)
    assert declared_size(path, "flv") in (None, len(data))


ENDINGS = {
    "dv": {"codec": "dvvideo", "width": 720, "height": 576},
    "gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "ivf": {"codec": "libvpx"},
    "mjpeg": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpg": {"codec": "mpeg2video"},
    "vob": {"codec": "mpeg2video"},
}


@pytest.mark.parametrize("suffix", ENDINGS)
def test_file_without_a_length_that_ends_within_a_part_is_cut_off(tmp_path, suffix):
    options = {"width": 128, "height": 128, "pix_fmt": "yuv420p", **ENDINGS[suffix]}
    width, height, pix_fmt = (options.pop(name) for name in ("width", "height", "pix_fmt"))
    given = []
    for index in range(6):
        planes = np.concatenate([plane.reshape(-1) for plane in clips.i420(width, height, index)])
        picture = av.VideoFrame.from_ndarray(planes.reshape(height * 3 // 2, width), format="yuv420p")
        given.append(picture.reformat(format=pix_fmt))
    whole = clips.write_pictures(tmp_path / f"a.{suffix}", given, **options)
    data = whole.read_bytes()
    with open_video(whole) as source:
        assert len(list(source)) == 6 and not source.notes
    path = tmp_path / f"cut.{suffix}"
    for cut in (len(data) - 100, len(data) * 3 // 4 + 50):
        path.write_bytes(data[:cut])
        with pytest.raises(venc.MediaError, match="cut off within its last"):
            open_video(path)
        with open_video(path, tolerant=True) as source:
            assert "cut off within its last" in source.notes[0]
    path.write_bytes(data + bytes(4096))  # what fills up the last sector
    with open_video(path) as source:
        assert not any("cut off" in note for note in source.notes)
    rng = random.Random(0)
    for _ in range(200):
        spoilt = bytearray(data[: rng.randrange(len(data))])
        for _ in range(20):
            if spoilt:
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt)
        end = declared_size(path, {"mpg": "mpeg", "vob": "mpeg"}.get(suffix, suffix))
        assert end is None or end >= len(spoilt)


def test_sound_that_is_not_there_does_not_count(mp4):
    data = bytearray(mp4.read_bytes())
    data[data.index(b"hdlr") + 12 : data.index(b"hdlr") + 16] = b"soun"
    at = data.index(b"mdat") - 4
    data[at : at + 4] = bytes(4)
    mp4.write_bytes(data[:-500])
    assert declared_size(mp4, MOV) is None


def test_file_of_random_changes_is_never_more_than_a_number(mp4):
    data = mp4.read_bytes()
    for seed in range(300):
        rng = random.Random(seed)
        changed = bytearray(data)
        for _ in range(rng.randrange(1, 20)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        mp4.write_bytes(changed[: rng.randrange(len(changed))])
        for name in (MOV, MATROSKA, "avi"):
            assert declared_size(mp4, name) is None or declared_size(mp4, name) > 0
            assert min(track_header(mp4, name, 0).crop) >= 0


@pytest.mark.parametrize(
    ("numbers", "crop"),
    [
        ((96, 1, 64, 1, 0, 1, 0, 1), Cropping(16, 32, 16, 32)),
        ((100, 1, 128, 1, -14, 1, 0, 1), Cropping(0, 0, 28, 0)),
        ((128, 1, 120, 1, 0, 1, -4, 1), Cropping(0, 0, 0, 8)),
        ((200, 1, 128, 1, 0, 1, 0, 1), Cropping()),  # larger than the picture
        ((96, 0, 64, 1, 0, 1, 0, 1), Cropping()),
    ],
)
def test_clean_aperture_of_mp4_is_read(tmp_path, numbers, crop):
    path = clips.write_video(tmp_path / "a.mp4", range(3), Fraction(1, 25))
    box = struct.pack(">I4s8I", 40, b"clap", *(number & 0xFFFFFFFF for number in numbers))
    path.write_bytes(clips.with_sample_entry_box(path.read_bytes(), b"mp4v", box))
    assert track_header(path, MOV, 0).crop == crop
    assert track_header(path, MOV, 1).crop == Cropping()


def test_pixel_crop_of_matroska_is_read(tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(clips.with_pixel_crop(clips.write_video(path, range(3), Fraction(1, 25)).read_bytes(), 8, 2, 4, 6))
    assert track_header(path, MATROSKA, 0).crop == Cropping(8, 2, 4, 6)
    assert track_header(path, MATROSKA, 1).crop == Cropping()


@pytest.mark.parametrize(
    ("shown", "unit", "shape"),
    [((160, 128), 0, 1), ((320, 128), 0, 2), ((4, 3), 3, Fraction(16, 15)), ((160, 128), 4, 1), (None, 0, 1)],
)
def test_shape_of_cropped_pixels_is_by_what_is_left(tmp_path, shown, unit, shape):
    path = tmp_path / "a.mkv"
    data = clips.write_video(path, range(3), Fraction(1, 25), width=192).read_bytes()
    path.write_bytes(clips.with_pixel_crop(data, 16, 0, 16, 0, shown, unit))
    with open_video(path) as source:
        assert (source.width, source.sample_aspect_ratio) == (160, shape)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_file_object_is_cropped_and_coloured_as_the_file_is(tmp_path, name):
    data = clips.write_video(tmp_path / name, range(3), Fraction(1, 25), width=192).read_bytes()
    if name == "a.mkv":
        data = clips.with_pixel_crop(data, 16, 0, 16, 0)
    else:
        aperture = struct.pack(">I4s8I", 40, b"clap", 160, 1, 128, 1, 0, 1, 0, 1)
        colour = struct.pack(">I4s4s3HB", 19, b"colr", b"nclx", 9, 16, 9, 0)
        data = clips.with_sample_entry_box(data, b"mp4v", aperture + colour)
    (tmp_path / name).write_bytes(data)
    with open(tmp_path / name, "rb") as file:
        for source in (tmp_path / name, file, io.BytesIO(data)):
            with ContainerReader(source) as reader:
                assert (reader.width, reader.height, len(list(reader))) == (160, 128, 3)
                assert reader.color == (ColorTags(9, 16, 9) if name == "a.mp4" else ColorTags())


def test_file_without_cropping_has_none(tmp_path):
    for name, format_name in (("a.mp4", MOV), ("a.mkv", MATROSKA), ("a.avi", "avi")):
        path = clips.write_video(tmp_path / name, range(2), Fraction(1, 25))
        assert track_header(path, format_name, 0).crop == Cropping()


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
@pytest.mark.parametrize("color", [ColorTags(9, 18, 9), ColorTags(5, 6, 6), ColorTags(2, 2, 6), ColorTags()])
def test_colors_of_a_track_are_read(backend, tmp_path, name, color):
    path = tmp_path / name
    if name == "a.avi":  # has no place for them
        clips.write_video(path, range(2), Fraction(1, 25))
        assert track_header(path, "avi", 0).color == ColorTags()
        return
    encoder = venc.Encoder(128, 128, codec="h264", vui=False, backend=backend)
    with encoder as enc, Muxer(path, encoder=enc, color=color) as mux:
        mux.write_all(enc.encode(clips.nv12(128, 128, 0)) + enc.flush())
    if name != "a.mkv" and color[:2] == (2, 2):
        color = ColorTags()  # FFmpeg writes no matrix alone there
    assert track_header(path, MATROSKA if name == "a.mkv" else MOV, 0).color == color
    assert track_header(path, MATROSKA if name == "a.mkv" else MOV, 1).color == ColorTags()


def test_colors_that_no_table_has_are_unspecified(tmp_path):
    path = clips.write_video(tmp_path / "a.mp4", range(2), Fraction(1, 25))
    box = struct.pack(">I4s4s3HB", 19, b"colr", b"nclx", 300, 0, 6, 0)
    path.write_bytes(clips.with_sample_entry_box(path.read_bytes(), b"mp4v", box))
    assert track_header(path, MOV, 0).color == ColorTags(2, 2, 6)
