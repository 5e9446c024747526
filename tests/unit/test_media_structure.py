# SPDX-License-Identifier: Apache-2.0
"""What MP4, Matroska and AVI files say about themselves: how long they are, and what is cropped off."""

import os
import random
import struct
from fractions import Fraction

import pytest

from ascend_venc.media.structure import Cropping, cropping, declared_size
from helpers import clips

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
            assert min(cropping(mp4, name, 0)) >= 0


def with_clean_aperture(data, *numbers):
    """Put a clap box into the sample entry of an MP4 whose index stands at its end."""
    box = struct.pack(">I4s8I", 40, b"clap", *(number & 0xFFFFFFFF for number in numbers))
    entry = data.index(b"mp4v") - 4
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v"):
        at = data.index(kind) - 4
        size = struct.unpack_from(">I", data, at)[0]
        data = data[:at] + struct.pack(">I", size + 40) + data[at + 4 :]
    end = entry + struct.unpack_from(">I", data, entry)[0] - 40
    return data[:end] + box + data[end:]


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
    path.write_bytes(with_clean_aperture(path.read_bytes(), *numbers))
    assert cropping(path, MOV, 0) == crop
    assert cropping(path, MOV, 1) == Cropping()


def test_pixel_crop_of_matroska_is_read(tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(clips.with_pixel_crop(clips.write_video(path, range(3), Fraction(1, 25)).read_bytes(), 8, 2, 4, 6))
    assert cropping(path, MATROSKA, 0) == Cropping(8, 2, 4, 6)
    assert cropping(path, MATROSKA, 1) == Cropping()


def test_file_without_cropping_has_none(tmp_path):
    for name, format_name in (("a.mp4", MOV), ("a.mkv", MATROSKA), ("a.avi", "avi")):
        assert cropping(clips.write_video(tmp_path / name, range(2), Fraction(1, 25)), format_name, 0) == Cropping()
