# SPDX-License-Identifier: Apache-2.0
"""`open_video(start=, stop=)`: the same frames as of the whole film, found without reading what is before."""

from fractions import Fraction

import numpy as np
import pytest

from ascend_venc.errors import InvalidArgumentError
from ascend_venc.media import MediaError, open_video, write
from ascend_venc.media.container import listening_to_ffmpeg
from helpers import clips, sound

SECTIONS = [
    (None, 0.4),
    (0.4, None),
    (0.4, 0.8),
    (1.0, 1.04),
    (0.39, 0.41),
    (Fraction(1, 3), 1.9),
    (0.001, 2),
    (1.96, 9),
]


def film(folder, name, options=()):
    path, options = folder / name, dict(options)
    if name.endswith("y4m"):
        path.write_bytes(clips.y4m(frames=50))
    elif name.endswith("nv12"):
        path.write_bytes(b"".join(clips.nv12(128, 128, index) for index in range(50)))
    else:
        pictures = [
            clips.av_frame(np.frombuffer(clips.nv12(128, 128, n), np.uint8).reshape(192, 128)) for n in range(50)
        ]
        clips.write_pictures(path, pictures, codec=options.pop("codec", "mpeg4"), codec_options=options)
    return path


OPEN = {"x264-params": "open-gop=1:keyint=8:bframes=3"}
KINDS = {
    "mp4": ("a.mp4", {"g": "6"}),
    "mp4 with B frames": ("a.mp4", {"codec": "libx264", "g": "10", "bf": "3"}),
    "mp4, open GOPs": ("a.mp4", {"codec": "libx264", **OPEN}),
    "mkv": ("a.mkv", {"g": "7"}),
    "mkv, H.265": ("a.mkv", {"codec": "libx265", "x265-params": "open-gop=1:keyint=8:log-level=none"}),
    "ts": ("a.ts", {"codec": "mpeg2video", "g": "12", "bf": "2"}),
    "ts, H.264": ("a.ts", {"codec": "libx264", **OPEN}),
    "avi": ("a.avi", {}),
    "avi with B frames": ("a.avi", {"codec": "libx264", "g": "10", "bf": "3"}),
    "asf with B frames": ("a.asf", {"codec": "libx264", "g": "10", "bf": "3"}),
    "mxf with B frames": ("a.mxf", {"codec": "libx264", "g": "10", "bf": "3"}),
    "flv": ("a.flv", {"codec": "flv"}),
    "bare": ("a.h264", {"codec": "libx264", **OPEN}),
    "y4m": ("a.y4m", {}),
    "raw": ("a.nv12", {}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_section_has_the_frames_of_the_whole_film(tmp_path, kind):
    name, options = KINDS[kind]
    path = film(tmp_path, name, options)
    more = {"size": (128, 128)} if name.endswith("nv12") else {}
    with open_video(path, **more) as reader:
        whole = [(frame.pts * reader.time_base, bytes(np.asarray(frame.data)), frame.duration) for frame in reader]
        begin = reader.start
    assert len(whole) == 50
    with open_video(path, **more) as reader:
        assert reader.moments() == [time for time, *_ in whole]
    for start, stop in SECTIONS:
        near = Fraction(1, 2000)
        wanted = [
            frame for frame in whole if frame[0] + near >= (start or 0) and (stop is None or frame[0] + near < stop)
        ]
        with open_video(path, start=start, stop=stop, **more) as reader:
            frames = list(reader)
            assert (reader.width, reader.height, reader.fps) == (128, 128, 25)
            found = [(frame.pts * reader.time_base, bytes(np.asarray(frame.data)), frame.duration) for frame in frames]
            if reader.start is not None and start:
                assert reader.start - begin == wanted[0][0]
        assert [data for _, data, _ in found] == [data for _, data, _ in wanted], (start, stop)
        assert [duration for *_, duration in found] == [duration for *_, duration in wanted]
        assert [time for time, *_ in found] == [time - wanted[0][0] for time, *_ in wanted]
        assert reader.notes == () and reader.damaged == 0
        if reader.frame_count is not None:
            assert abs(reader.frame_count - len(frames)) <= 1 + kind.startswith("asf")  # its length counts the delay


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_end_of_a_transport_stream_of_a_second_is_found(tmp_path, codec):
    """FFmpeg finds nothing where it is asked for a place behind the only key frame's time of decoding."""
    pictures = [clips.av_frame(np.frombuffer(clips.nv12(128, 128, n), np.uint8).reshape(192, 128)) for n in range(16)]
    path = clips.write_pictures(
        tmp_path / "a.ts", pictures, codec=codec, time_base=Fraction(1, 15), rate=15,
        codec_options={"g": "50", "bf": "4", "x265-params": "log-level=none"},
    )  # fmt: skip
    for number in range(1, 16):
        with open_video(path, start=Fraction(2 * number - 1, 30)) as reader:
            assert len(list(reader)) == 16 - number


def test_place_is_searched_for_and_what_is_before_is_not_read(tmp_path):
    path = film(tmp_path, "a.mp4", {"g": "5"})
    data = bytearray(path.read_bytes())
    with open_video(path) as reader:
        wanted = [bytes(np.asarray(frame.data)) for frame in reader][40:]
    import av

    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    for place in places[2:6]:
        data[place + 10 : place + 60] = bytes(50)
    path.write_bytes(data)
    with open_video(path) as reader, pytest.raises(MediaError):
        list(reader)
    with open_video(path, start=1.6) as reader:
        assert [bytes(np.asarray(frame.data)) for frame in reader] == wanted


def test_times_of_the_file_are_kept_from_the_first_frame_on(tmp_path):
    times = [0, 40, 90, 100, 300, 310, 500]
    path = clips.write_video(tmp_path / "a.mkv", times)
    with open_video(path, start=0.09, stop=0.5) as reader:
        assert [frame.pts for frame in reader] == [0, 10, 210, 220]


def test_other_rate_counts_in_its_own_seconds(tmp_path):
    path = film(tmp_path, "a.mp4")
    with open_video(path, fps=50) as reader:
        whole = [bytes(np.asarray(frame.data)) for frame in reader]
    with open_video(path, fps=50, start=0.2, stop=0.3) as reader:
        frames = list(reader)
        assert reader.start is None
    assert [bytes(np.asarray(frame.data)) for frame in frames] == whole[10:15]
    assert [frame.pts for frame in frames] == list(range(5))


@pytest.mark.parametrize("name", ["a.mp4", "a.y4m"])
def test_section_behind_the_end_is_empty(tmp_path, name):
    with open_video(film(tmp_path, name), start=10) as reader:
        assert list(reader) == [] and reader.frame_count == 0


def test_place_in_a_film_whose_clock_wraps_is_found_by_reading_from_the_beginning(tmp_path):
    pictures = [clips.av_frame(np.full((192, 128), 40 + n, np.uint8)) for n in range(150)]
    times = [(2**33 // 90_000 - 3) * 25 + n for n in range(150)]  # 33 bits of 1/90000 s end three seconds later
    options = {"g": "250", "bf": "2"}
    path = clips.write_pictures(tmp_path / "a.ts", pictures, codec="libx264", times=times, codec_options=options)
    with open_video(path) as reader:
        assert len(list(reader)) == 150
    for start in (1, 4, 5):
        with open_video(path, start=start, stop=5.5) as reader:
            frames = list(reader)
            assert [frame.pts for frame in frames[:2]] == [0, 3600]
            assert len(frames) == (5.5 - start) * 25 + 0.5
            assert abs(int(frames[0].data[0, 0]) - (40 + 25 * start)) <= 2


def test_moments_that_cannot_be_are_refused(tmp_path):
    path = film(tmp_path, "a.y4m")
    for options, error, text in (
        ({"start": -1}, InvalidArgumentError, "start is -1; it must be 0 or more"),
        ({"stop": float("nan")}, InvalidArgumentError, "stop is nan; give a finite"),
        ({"start": 2, "stop": 2}, InvalidArgumentError, "stop is 2 s, and start 2 s"),
        ({"start": "1"}, TypeError, "start must be a number of seconds"),
        ({"stop": True}, TypeError, "got bool"),
    ):
        with pytest.raises(error, match=text):
            open_video(path, **options)


def test_progress_is_told_after_each_frame(tmp_path):
    told = []
    with open_video(film(tmp_path, "a.mp4"), start=1.6) as reader:
        for index, _ in enumerate(reader.frames(lambda done, total: told.append((done, total)))):
            assert len(told) == index
    assert told == [(done, 10) for done in range(1, 11)]


def test_sound_of_a_section_whose_place_is_not_known_needs_its_beginning(tmp_path, backend):
    source = sound.write_film(tmp_path / "source.mkv", seconds=2)
    with open_video(source, fps=50, start=0.5) as reader:
        with pytest.raises(InvalidArgumentError, match="audio_start is missing"):
            write(tmp_path / "film.mkv", reader, copy_audio_from=source, backend=backend)
        write(tmp_path / "film.mkv", reader, copy_audio_from=source, audio_start=1, backend=backend)
    assert 0.9 < sound.packets(tmp_path / "film.mkv")[-1][0] < 1.1
    with open_video(source, start=0.0001) as reader:
        assert reader.start == 0


def test_section_is_written_with_its_own_sound(tmp_path, backend):
    source = sound.write_film(tmp_path / "source.mkv", seconds=3)
    with open_video(source, start=1, stop=2) as reader:
        assert write(tmp_path / "film.mkv", reader, copy_audio_from=source, backend=backend) == 25
    wanted = [(time, data) for time, data in sound.packets(source) if 1 <= time + 0.0005 < 2]
    found = sound.packets(tmp_path / "film.mkv")
    assert [data for _, data in found] == [data for _, data in wanted]
    for (time, _), (original, _) in zip(found, wanted):
        assert time == pytest.approx(original - 1, abs=0.002)


def test_what_ffmpeg_says_of_pictures_before_a_section_is_not_said_of_it(tmp_path):
    """Where a decoder begins at an open GOP, its first pictures lack those that they refer to."""
    rng = np.random.default_rng(0)
    noise, moving = (rng.integers(60, 180, (360, 320), dtype=np.uint8) for _ in range(2))
    frames = [clips.av_frame((noise // 4 * 3 + np.roll(moving, 3 * n, 1) // 4).astype(np.uint8)) for n in range(200)]
    options = {"preset": "medium", "x264-params": "open-gop=1:keyint=25:bframes=3:b-pyramid=normal"}
    path = clips.write_pictures(tmp_path / "a.mkv", frames, codec="libx264", codec_options=options)
    with listening_to_ffmpeg(), open_video(path, start=5) as reader:
        assert sum(1 for _ in reader) == 75
        assert reader.notes == ()


def recordings(path, codec, first, second):
    """Write two recordings of 4 s one behind the other, whose own clocks begin at `first` and `second`."""
    data = b""
    for number, begin in enumerate((first, second)):
        pictures = [clips.av_frame(np.full((192, 128), 30 + 2 * n + number, np.uint8)) for n in range(100)]
        times = [25 * begin + n for n in range(100)]
        part = path.with_name(f"{number}{path.suffix}")
        clips.write_pictures(part, pictures, codec=codec, times=times, codec_options={"g": "10", "bf": "0"})
        data += part.read_bytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "codec", "second"),
    [
        *[("a.ts", "mpeg2video", second) for second in (100, 5000, 10)],
        *[("a.mpg", "mpeg2video", second) for second in (100, 5000, 10)],
        *[("a.mkv", "libx264", second) for second in (100, 10)],
    ],
)
def test_place_in_recordings_put_together_is_that_of_the_film(tmp_path, name, codec, second):
    """A clock that starts anew has some times twice, and some that a seek finds in the wrong one of them."""
    path = recordings(tmp_path / name, codec, 100, second)
    with open_video(path) as reader:
        whole = [int(frame.data[0, 0]) for frame in reader]
    assert len(whole) == 200 and len(set(whole[:100])) > 90
    for start in (1, 2.4, 3.6, 4, 5, 7.6):
        with open_video(path, start=start) as reader:
            frames = list(reader)
        assert [int(frame.data[0, 0]) for frame in frames] == whole[round(25 * start) :], start
        assert frames[0].pts == 0
