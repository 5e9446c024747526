# SPDX-License-Identifier: Apache-2.0
"""HLS playlists and concat lists: what they name is there and whole, or it is said."""

from fractions import Fraction

import numpy as np
import pytest

from ascend_venc.media import ContainerReader, MediaError
from ascend_venc.media.playlists import read_playlist, what_is_missing
from ascend_venc.media.section import SectionReader
from helpers import clips

KINDS = {
    "ts": {},
    "fmp4": {"hls_segment_type": "fmp4", "hls_fmp4_init_filename": "init.mp4"},
    "one file": {"hls_flags": "single_file"},
}
SIZE = (128, 128)


def pictures(count, first=0):
    frames = (np.frombuffer(clips.nv12(*SIZE, first + n), np.uint8).reshape(192, 128) for n in range(count))
    return [clips.av_frame(frame) for frame in frames]


def playlist(folder, kind="ts"):
    """Write a film of 8 s in four segments; return its playlist and the names of its segments."""
    folder.mkdir()
    suffix = "m4s" if kind == "fmp4" else "ts"
    options = {"hls_time": "2", "hls_playlist_type": "vod", "hls_segment_filename": str(folder / f"s%d.{suffix}")}
    path = folder / "film.m3u8"
    clips.write_pictures(
        path, pictures(200), codec="libx264", options=options | KINDS[kind], codec_options={"g": "25", "bf": "0"}
    )
    return path, sorted(folder.glob("s*"))


def read(path, **options):
    with ContainerReader(path, **options) as reader:
        return len(list(reader)), reader.notes


@pytest.mark.parametrize("kind", KINDS)
def test_playlist_whose_segments_are_there_is_read_without_a_note(tmp_path, kind):
    path, segments = playlist(tmp_path / "film", kind)
    assert read(path) == (200, ())
    assert len(segments) == (1 if kind == "one file" else 4)
    assert len(read_playlist(path, "hls").parts) == 4 + (kind == "fmp4")


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("kind", ["ts", "fmp4"])
def test_segment_that_is_not_there_is_an_error_or_a_note(tmp_path, kind, number):
    path, segments = playlist(tmp_path / "film", kind)
    segments[number].unlink()
    with pytest.raises(MediaError, match=f"{segments[number].name}, which it names, is not there"):
        read(path)
    count, notes = read(path, tolerant=True)
    assert count < 200 and "not there" in notes[0]


@pytest.mark.parametrize(("kind", "number"), [("fmp4", 1), ("fmp4", 3), ("ts", 2), ("one file", 0)])
def test_segment_that_is_cut_off_is_an_error(tmp_path, kind, number):
    path, segments = playlist(tmp_path / "film", kind)
    segments[number].write_bytes(segments[number].read_bytes()[: segments[number].stat().st_size * 2 // 3])
    with pytest.raises(MediaError, match="is cut off"):
        read(path)


def test_last_segment_that_ends_early_between_two_packets_is_noted(tmp_path):
    path, segments = playlist(tmp_path / "film")
    data = segments[3].read_bytes()
    cut = [place for place in range(0, len(data), 188) if data[place + 1] & 0x5F == 0x41 and data[place + 2] == 0]
    segments[3].write_bytes(data[: cut[12]])  # before the thirteenth picture
    count, notes = read(path)
    assert count == 162 and "its playlist tells 8.00 s" in notes[0]


def test_variant_that_misses_something_is_noted(tmp_path):
    playlist(tmp_path / "one")
    second, segments = playlist(tmp_path / "two")
    name = tmp_path / "all.m3u8"
    name.write_text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100000,RESOLUTION=128x128\none/film.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=90000,RESOLUTION=128x128\ntwo/film.m3u8\n"
    )
    assert read(name) == (200, ())
    segments[1].unlink()
    assert any("s1.ts, which it names, is not there" in note for note in read(name, tolerant=True)[1])
    second.unlink()
    assert what_is_missing(str(name), "hls") == ["two/film.m3u8, which it names, is not there"]


def test_files_of_a_concat_list_are_looked_at(tmp_path):
    for number in range(3):
        path = tmp_path / f"a {number}.mp4"
        clips.write_pictures(path, pictures(10), codec="mpeg4", options={"movflags": "faststart"})
    name = tmp_path / "all.ffconcat"
    name.write_text("ffconcat version 1.0\nfile 'a 0.mp4'\nfile a\\ 1.mp4\n\n# more\nfile 'a 2'.mp4\n")
    assert read(name, options={"safe": "0"}) == (30, ())
    whole = (tmp_path / "a 1.mp4").read_bytes()
    (tmp_path / "a 1.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError, match=r"a 1\.mp4, which it names, is cut off"):
        read(name, options={"safe": "0"})
    (tmp_path / "a 1.mp4").unlink()
    with pytest.raises(MediaError, match=r"a 1\.mp4, which it names, is not there"):
        ContainerReader(name, options={"safe": "0"})


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (["#EXTINF:2.0,", "https://example.org/a.ts"], 0),
        (["#EXTINF:2.0,", "crypto+file:a.ts"], 0),
        (["#EXT-X-GAP", "#EXTINF:2.0,", "gone.ts"], 0),
        (["#EXTINF:2.0,", "gone.ts?token=1"], 1),
        (["#EXTINF:2.0,", "there%20it%20is.ts"], 0),
        (["#EXTINF:2.0,", "there it is.ts?token=1"], 0),
        (["#EXT-X-BYTERANGE:60@30", "#EXTINF:2.0,", "there it is.ts"], 0),
        (["#EXT-X-BYTERANGE:60@30", "#EXTINF:2.0,", "there it is.ts", "#EXT-X-BYTERANGE:11", "there it is.ts"], 1),
        (['#EXT-X-MAP:URI="init.mp4"', "#EXTINF:2.0,", "there it is.ts"], 1),
        (["#EXT-X-BYTERANGE:x@y", "#EXTINF:nan,", "there it is.ts", "#EXTINF:", ""], 0),
        (["#EXT-X-STREAM-INF:BANDWIDTH=1", "list.m3u8"], 0),  # itself
    ],
)
def test_names_in_a_playlist_are_what_they_mean(tmp_path, lines, missing):
    (tmp_path / "there it is.ts").write_bytes(bytes(100))
    path = tmp_path / "list.m3u8"
    path.write_text("\n".join(["#EXTM3U", *lines]))
    assert len(what_is_missing(str(path), "hls")) == missing


def count_anew(path):
    """Number the packets of each stream of an MPEG-TS from 0."""
    data = bytearray(path.read_bytes())
    counts = {}
    for place in range(0, len(data), 188):
        pid = bytes(data[place + 1 : place + 3])[0] & 0x1F, data[place + 2]
        if data[place + 3] & 0x10:
            counts[pid] = (counts.get(pid, -1) + 1) % 16
        data[place + 3] = data[place + 3] & 0xF0 | counts.get(pid, 0)
    path.write_bytes(data)


def without_a_packet(path, place):
    data = path.read_bytes()
    path.write_bytes(data[:place] + data[place + 188 :])


def test_packets_that_are_counted_anew_in_each_segment_are_no_damage(tmp_path):
    path, segments = playlist(tmp_path / "film")
    for segment in segments:
        count_anew(segment)
    assert read(path) == (200, ())
    together = tmp_path / "film.ts"
    together.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    assert read(together) == (200, ())
    whole = segments[1].read_bytes()
    video = [place for place in range(0, len(whole), 188) if whole[place + 1] & 0x1F == 1 and whole[place + 2] == 0]
    for place in (video[-1], video[-2], video[-3]):
        segments[1].write_bytes(whole)
        without_a_packet(segments[1], place)
        with pytest.raises(MediaError, match="is damaged"):
            read(path)
        together.write_bytes(b"".join(segment.read_bytes() for segment in segments))
        with pytest.raises(MediaError, match="is damaged"):
            read(together)


@pytest.mark.parametrize(
    ("lengths", "last"),
    [
        (("1", "2", "3"), 3),
        (("00:00:01", "2000ms", "2520000us"), Fraction(63, 25)),
        (("1s", "0:02", "0.02"), Fraction(1, 25)),  # shorter than a picture
        (("1", "2", ""), Fraction(1, 25)),
        (("", "2", "3"), Fraction(1, 25)),  # nobody knows when the last one begins
    ],
)
def test_last_picture_of_a_concat_list_is_shown_as_long_as_it_says(tmp_path, lengths, last):
    for number, picture in enumerate(pictures(3)):
        clips.write_pictures(tmp_path / f"{number}.png", [picture.reformat(format="rgb24")], codec="png")
    path = tmp_path / "show.ffconcat"
    lines = [f"file {number}.png\n" + f"duration {length}\n" * bool(length) for number, length in enumerate(lengths)]
    path.write_text("ffconcat version 1.0\n" + "".join(lines))
    with ContainerReader(path) as reader:
        frames = list(reader)
        assert frames[2].duration * reader.time_base == last
        assert len(frames) == 3 and reader.notes == ()
    with SectionReader(ContainerReader(path), frames[2].pts * reader.time_base, None) as part:
        (frame,) = part
        assert frame.duration * part.time_base == last


def test_numbered_pictures_behind_a_gap_are_told(tmp_path):
    frame = clips.av_frame(np.frombuffer(clips.nv12(*SIZE, 0), np.uint8).reshape(192, 128)).reformat(format="rgb24")
    data = clips.write_pictures(tmp_path / "0.png", [frame], codec="png").read_bytes()
    for number in (2, 3, 4, 7, 8, 1000):
        (tmp_path / f"shot_{number:03d}.png").write_bytes(data)
    (tmp_path / "shot_9.png").write_bytes(data)  # not by that pattern
    told = ("shot_005.png is not there, and 3 pictures with greater numbers are not read",)
    pattern = str(tmp_path / "shot_%03d.png")
    assert read(pattern) == (3, told)
    assert read(pattern, format="image2") == (3, told)
    assert read(pattern, options={"start_number": "4"}) == (1, told)
    assert read(pattern, options={"start_number": "7"}) == (
        2,
        ("shot_009.png is not there, and 1 pictures with greater numbers are not read",),
    )
    assert read(str(tmp_path / "shot_*.png"), options={"pattern_type": "glob"}) == (7, ())
    for number in (7, 8, 1000):
        (tmp_path / f"shot_{number:03d}.png").unlink()
    assert read(pattern) == (3, ())


@pytest.mark.parametrize(("codec", "told"), [("mpeg4", True), ("mjpeg", False)])
@pytest.mark.parametrize("line", ["inpoint 0.12", "outpoint 0.4", ""])
def test_concat_list_that_cuts_within_a_group_of_pictures_is_told(tmp_path, codec, told, line):
    frames = [picture.reformat(format="yuvj420p") for picture in pictures(20)] if codec == "mjpeg" else pictures(20)
    clips.write_pictures(tmp_path / "a.mov", frames, codec=codec, codec_options={"g": "10"})
    path = tmp_path / "some.ffconcat"
    path.write_text(f"ffconcat version 1.0\nfile a.mov\n{line}\n")
    count, notes = read(path)
    assert notes == () if not (told and line) else "some pictures more are shown" in notes[0]
    assert count == {"inpoint 0.12": 20 if told else 17, "outpoint 0.4": 10, "": 20}[line]
