# SPDX-License-Identifier: Apache-2.0
"""Packets of files in which a stream begins that was not there before."""

import struct

import numpy as np
import pytest

from ascend_venc.media import ContainerReader
from ascend_venc.media.packets import ANOTHER_STREAM, packets_of
from helpers import clips

FRAMES = 24  # of noise: more bytes than FFmpeg looks at in the beginning, and in the end


def late_subtitle(path):
    """A DVD's stream whose only subtitle comes late."""
    rng = np.random.default_rng(1)
    pictures = [clips.av_frame(rng.integers(16, 235, (720, 640)).astype(np.uint8)) for _ in range(FRAMES)]
    clips.write_pictures(path, pictures, codec="mpeg2video", codec_options={"qmin": "1", "qmax": "1", "g": "1"})
    data = path.read_bytes()
    place = data.index(b"\0\0\1\xba", len(data) * 9 // 10)
    stamp = bytes([0x21, 0x00, 0x07, 0x75, 0x31])  # about a second
    unit = b"\x81\x80\x05" + stamp + b"\x20\x00\x20\x00\x18" + bytes(28)
    piece = data[place : place + 14] + b"\0\0\1\xbd" + struct.pack(">H", len(unit)) + unit
    path.write_bytes(data[:place] + piece + data[place:])
    return path


def test_stream_that_begins_within_the_film_is_no_error(tmp_path):
    path = late_subtitle(tmp_path / "a.vob")
    with ContainerReader(path) as reader:
        assert "subtitles" not in reader.left_out
        assert len(reader.moments()) == FRAMES
        assert len(list(reader)) == FRAMES
        assert set(reader.notes) <= {ANOTHER_STREAM}


class Container:
    """Ends as PyAV does where a stream began that it had not known."""

    def demux(self, streams):
        yield from streams
        raise IndexError("list index out of range")


def test_failure_behind_the_last_packets_is_the_end_and_is_noted_once():
    notes = []
    for _ in range(2):
        assert list(packets_of(Container(), [1, 2], notes)) == [1, 2]
    assert notes == [ANOTHER_STREAM]
    assert list(packets_of(Container(), [1, 2])) == [1, 2]


def test_other_errors_are_let_through():
    class Broken:
        def demux(self, streams):
            raise ValueError("stream index 3 out of range")

    with pytest.raises(ValueError, match="out of range"):
        list(packets_of(Broken(), []))
