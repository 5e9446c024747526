# SPDX-License-Identifier: Apache-2.0
"""Edit lists of MP4 and MOV of which FFmpeg makes something else."""

from fractions import Fraction

import numpy as np
import pytest

from ascend_venc.media import open_video
from ascend_venc.media.inspection import inspect
from helpers import clips

pytest.importorskip("av", reason="PyAV is not installed")

EMPTY = -1
HOLES = {
    "a hole": ([(0, 1), (EMPTY, 0), (1, 2)], [*range(25), *range(50, 75)]),
    "a long hole": ([(0, 1), (EMPTY, 19), (1, 2)], [*range(25), *range(525, 550)]),
    "a delay and a hole": ([(EMPTY, 0), (1, 2), (EMPTY, 0), (0, 1)], [*range(25), *range(50, 75)]),
    "a hole at the end": ([(1, 2), (EMPTY, 1)], list(range(25))),
    "a hole that is no picture long": ([(0, 1), (EMPTY, Fraction(-19, 20)), (1, 2)], None),
}


def film(tmp_path, parts, count=50):
    """A film of so many pictures, each of its own grey."""
    grey = [np.full((192, 128), 20 + 4 * index, np.uint8) for index in range(count)]
    for picture in grey:
        picture[128:] = 128
    path = tmp_path / "a.mp4"
    clips.write_pictures(path, [clips.av_frame(picture) for picture in grey], codec="mpeg4", codec_options={"g": "5"})
    path.write_bytes(clips.with_edits(path.read_bytes(), parts))
    return path


@pytest.mark.parametrize("name", HOLES)
def test_holes_of_an_edit_list_show_nothing(tmp_path, name):
    """FFmpeg fills them with pictures of the beginning."""
    parts, places = HOLES[name]
    path = film(tmp_path, parts)
    wanted = [n for begin, end in parts if begin >= 0 for n in range(25 * begin, 25 * end)]
    with open_video(path) as reader:
        frames = [(int(np.median(frame.data[:128])), frame.pts * reader.time_base * 25) for frame in reader]
        assert reader.notes == ()
    assert len(frames) == len(wanted)
    assert all(abs(grey - 20 - 4 * number) <= 8 for (grey, _), number in zip(frames, wanted))
    if places is not None:
        assert [place for _, place in frames] == places
    found = inspect(path)
    assert len(found.pictures) == len(wanted)
    with open_video(path, fps=50) as reader:
        assert [frame.pts for frame in reader] == list(range(len(wanted)))
    with open_video(path) as reader:
        assert reader.moments() is None
    with open_video(path, start=Fraction(99, 100)) as reader:
        assert len(list(reader)) == len(wanted) - 25


@pytest.mark.parametrize("speed", [0, Fraction(1, 2), 2])
def test_speed_that_an_edit_list_asks_for_is_told(tmp_path, speed):
    path = film(tmp_path, [(0, 1), (1, 2, speed)])
    with open_video(path) as reader:
        list(reader)
        assert reader.notes == ("its edit list asks for another speed, which is not followed",)


@pytest.mark.parametrize("parts", [[(0, 2)], [(EMPTY, 0), (0, 2)], [(EMPTY, 0), (EMPTY, 0), (0, 2)], [(1, 2), (0, 1)]])
def test_usual_edit_lists_are_followed_without_a_word(tmp_path, parts):
    path = film(tmp_path, parts)
    with open_video(path) as reader:
        assert [frame.pts * reader.time_base * 25 for frame in reader] == list(range(50))
        assert reader.notes == () and len(inspect(path).pictures) == 50
