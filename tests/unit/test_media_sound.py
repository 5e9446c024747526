# SPDX-License-Identifier: Apache-2.0
"""When sound that is copied is heard: whatever the stamps of its packets, it does not run away from the pictures."""

import random
import struct

import pytest

from ascend_venc.media import sound as sound_module
from ascend_venc.media.sound import Sound
from ascend_venc.media.transport_stream import pids_of_other_programs
from helpers import clips, sound

av = pytest.importorskip("av", reason="PyAV is not installed")


class Film:
    """In place of a `Muxer`: it keeps (seconds, bytes) of what is copied to it."""

    def __init__(self):
        self.copied = []

    def add_stream_like(self, stream, first=None):
        pass

    def copy(self, packet):
        self.copied.append((float(packet.dts * packet.time_base), bytes(packet)))


def copied(path, step=0.2, end=30, **options):
    """Copy the sound of a file piece by piece, as pictures do that are written meanwhile; return what came."""
    track, film = Sound(path, "matroska", **options), Film()
    try:
        track.attach(film)
        for number in range(round(end / step)):
            track.until(number * step)
        track.until(None)
    finally:
        track.close()
    times = [time for time, _ in film.copied]
    assert all(before < after for before, after in zip(times, times[1:]))
    return film.copied


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    options = {"max_interleave_delta": "0"}  # sound is written when all pictures are
    made = {
        suffix: sound.write_film(folder / f"film.{suffix}", seconds=24, fps=5, video=video, options=options)
        for suffix, video in (("flv", "flv"), ("ts", "mpeg2video"))
    }
    made["flv alone"] = sound.alone(made["flv"], folder / "alone.flv")
    return made


def shifted(numbers, seconds):
    return lambda number, time: time + seconds * (number in numbers)


def frozen(numbers):
    """Each of these has the stamp of the first of them."""
    kept = []

    def change(number, time):
        if number not in numbers:
            return time
        kept.append(time)
        return kept[0]

    return change


WRONG = {
    "one too early": shifted([100], -2),
    "one too late": shifted([100], 2),
    "one a little too early": shifted([100], -0.022),
    "one a little too late": shifted([100], 0.03),
    "one far too late": shifted([100], 15),
    "one later than all": shifted([100], 40),
    "one beyond what a film can last": shifted([100], 2e6),
    "some in a row too early": shifted(range(100, 110), -2),
    "some in a row too late": shifted(range(100, 110), 2),
    "some at once": frozen(range(100, 106)),
    "each second one has the stamp before": lambda number, time: time - 1024 / 48000 * (number > 1 and number % 2 == 0),
    "again and again": shifted(range(100, 1000, 70), -1.5),
}


@pytest.mark.parametrize("name", WRONG)
def test_stamps_that_are_wrong_move_their_own_packets_alone(films, tmp_path, name):
    wanted = copied(films["flv"])
    found = copied(sound.restamp(films["flv"], tmp_path / "film.flv", WRONG[name]))
    assert [data for _, data in found] == [data for _, data in wanted]
    assert max(abs(time - before) for (time, _), (before, _) in zip(found, wanted)) < 0.06


def test_stamp_that_is_wrong_soon_after_a_pause_moves_its_own_packet_alone(films, tmp_path):
    def paused(number, time):
        return time + 2 * (number >= 400)

    wanted = copied(sound.restamp(films["flv"], tmp_path / "a.flv", paused))
    early = shifted([403], -0.055)  # behind the first one after the pause
    found = copied(sound.restamp(tmp_path / "a.flv", tmp_path / "b.flv", early))
    assert max(abs(time - before) for (time, _), (before, _) in zip(found, wanted)) < 0.06


@pytest.mark.parametrize("seconds", [-3, -0.5, 0.5, 3])
def test_stamps_that_are_wrong_beside_the_clock_of_the_pictures(films, tmp_path, seconds):
    wanted = copied(films["ts"])
    for numbers in ([300], range(300, 306)):
        found = copied(sound.restamp(films["ts"], tmp_path / "film.ts", shifted(numbers, seconds)))
        assert [data for _, data in found] == [data for _, data in wanted]
        apart = [abs(time - before) for (time, _), (before, _) in zip(found, wanted)]
        assert apart[-1] < 0.001 and sum(far > 0.3 for far in apart) == 0


def test_clock_that_jumps_for_good_goes_on_without_a_step(films, tmp_path):
    wanted = [time for time, _ in copied(films["flv alone"])]
    for seconds in (-2, -0.5, 2e6):
        path = sound.restamp(films["flv alone"], tmp_path / "film.flv", shifted(range(200, 10000), seconds))
        assert [time for time, _ in copied(path)] == pytest.approx(wanted, abs=0.01)


def test_pause_that_is_as_long_as_a_jump_long_before_is_a_pause(films, tmp_path):
    """Soon after the jump it might be the end of stamps that were wrong."""
    first, pause = 200, 900
    path = sound.restamp(
        films["flv alone"],
        tmp_path / "film.flv",
        lambda number, time: time - 3 * (number >= first) + 3 * (number >= pause),
    )
    wanted = [time for time, _ in copied(films["flv alone"])]
    found = [time for time, _ in copied(path)]
    gaps = [after - before for before, after in zip(found, found[1:])]
    assert max(gaps) == pytest.approx(3.02, abs=0.01)
    assert found[-1] == pytest.approx(wanted[-1] + 3, abs=0.02)


@pytest.mark.parametrize("name", ["flv", "ts"])
@pytest.mark.parametrize("seconds", [-0.5, -2])
def test_sound_whose_stamps_go_back_for_good_comes_back_to_its_pictures(films, tmp_path, name, seconds):
    """As where a recording goes on by the same clock, and what was before has sound beyond its last picture."""
    wanted = {data: time for time, data in copied(films[name])}
    path = sound.restamp(films[name], tmp_path / f"film.{name}", shifted(range(200, 10000), seconds))
    found = copied(path)
    late = [time - wanted[data] - seconds for time, data in found if wanted[data] > 10]
    assert len(late) > 600 and max(map(abs, late)) < 0.03
    assert len(found) == pytest.approx(len(wanted) + seconds * sound.RATE / 1024, abs=3)


@pytest.mark.parametrize("suffix", ["mkv", "flv", "ts"])
def test_sound_beyond_the_last_picture_moves_none_of_the_recording_behind(tmp_path, suffix):
    video, codec = "flv" if suffix == "flv" else "mpeg2video", "mp2" if suffix == "ts" else "mp3"
    part = sound.write_film(tmp_path / f"part.{suffix}", video=video, codec=codec, rate=44100, longer=0.7)
    joined = tmp_path / f"joined.{suffix}"
    data = part.read_bytes()
    joined.write_bytes(data + data[13 if suffix == "flv" else 0 :])  # a publisher that came back: no second header
    ends = [times[-1] for times in ([time for time, _ in copied(path)] for path in (part, joined))]
    assert ends[1] == pytest.approx(ends[0] + 2, abs=0.06)


@pytest.mark.parametrize("suffix", ["mkv", "ts", "mpg", "avi"])
def test_recordings_put_together_follow_each_other(tmp_path, suffix):
    video, codec = ("mpeg2video", "mp2") if suffix == "mpg" else ("mpeg4", "mp3" if suffix == "avi" else "aac")
    part = sound.write_film(tmp_path / f"part.{suffix}", video=video, codec=codec)
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(part.read_bytes() * 2)
    one, both = copied(part), copied(joined)
    times = [time for time, _ in both]
    assert len(times) > 1.9 * len(one)
    assert max(after - before for before, after in zip(times, times[1:])) < 0.1
    assert times[-1] - times[0] == pytest.approx(2 * (one[-1][0] - one[0][0]), abs=0.2)


@pytest.mark.parametrize("seconds", [-3, 3])
def test_wrong_stamp_of_a_picture_long_before_moves_no_sound(films, tmp_path, seconds):
    """The clock of the pictures is the one that sound goes back to."""
    path = sound.restamp(films["ts"], tmp_path / "a.ts", shifted([40], seconds), kind=[0xE0])
    found = copied(sound.restamp(path, tmp_path / "b.ts", frozen([900, 901])))
    wanted = copied(films["ts"])
    assert [data for _, data in found] == [data for _, data in wanted]
    assert max(abs(time - before) for (time, _), (before, _) in zip(found, wanted)) < 0.06


@pytest.mark.parametrize("of", ["first", "second"])
def test_sound_of_another_program_is_by_another_clock_and_not_taken(tmp_path, monkeypatch, of):
    pictures = 256 if of == "first" else 512
    films = []
    for name, options in (("first", {}), ("second", clips.OF_THE_SECOND_PROGRAM)):
        path, tone = tmp_path / f"{name}.ts", 440 * (1 + len(films))
        films.append(sound.write_film(path, format="mpegts", video="mpeg2video", tone=tone, options=options))
    own, other = films if of == "first" else films[::-1]
    wanted = copied(own)
    later = sound.restamp(other, tmp_path / "later.ts", lambda _, time: time + 1000, kind=range(0xC0, 0xF0))
    parts = [path.read_bytes() for path in ((own, later) if of == "first" else (later, own))]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(clips.two_programs(*parts))
    with av.open(str(joined)) as container:
        assert {stream.id for stream in container.streams.audio} == {257, 513}
    assert pids_of_other_programs(joined, pictures) == ({512, 513} if of == "first" else {256, 257})
    monkeypatch.setattr(
        sound_module, "pictures_of", lambda container: next(s for s in container.streams.video if s.id == pictures)
    )
    track = Sound(joined, "matroska")
    assert (track.names, track.refused) == (("aac",), ["sound of other programs"])
    film = Film()
    track.attach(film)
    track.until(None)
    track.close()
    assert film.copied == wanted


def test_sound_of_a_playlist_is_that_of_its_variant(tmp_path):
    listed = "#EXTM3U\n"
    for name in "12":
        (tmp_path / name).mkdir()
        options = {"hls_playlist_type": "vod", "hls_segment_filename": f"{tmp_path}/{name}/%d.ts"}
        sound.write_film(tmp_path / name / "p.m3u8", format="hls", video="mpeg2video", options=options)
        listed += f"#EXT-X-STREAM-INF:BANDWIDTH={name}00000\n{name}/p.m3u8\n"
    path = tmp_path / "all.m3u8"
    path.write_text(listed)
    track = Sound(path, "matroska")
    assert (track.names, track.refused) == (("aac",), ["sound of other variants"])
    track.close()


@pytest.mark.parametrize("spacing", [188, 192])
def test_programs_are_told_by_tables_of_any_length(tmp_path, spacing):
    def streams(*pids):
        each = [struct.pack(">BHH", 27, 0xE000 | pid, 0xF000) for pid in pids]
        return struct.pack(">HH", 0xE100, 0xF003) + b"abc" + b"".join(each)

    path = tmp_path / "a.ts"
    listed = clips.table(0, 1, 0, struct.pack(">8H", 0, 16, 1, 0x1000, 2, 0x1100, 3, 0x1200), spacing)
    many = clips.table(0x1100, 2, 2, streams(*range(0x200, 0x260)), spacing)
    path.write_bytes(
        (clips.table(0x1000, 1, 2, streams(0x90), spacing) + listed) * 3
        + clips.table(0x1000, 1, 2, streams(0x100, 0x101, 0x300), spacing)
        + many
        + clips.table(0x1200, 3, 2, streams(0x300, 0x301), spacing)
        + clips.table(0x1000, 1, 2, streams(0x260), spacing)
    )
    assert pids_of_other_programs(path, 0x100) == {*range(0x200, 0x260), 0x301}
    assert pids_of_other_programs(path, 0x25F) == {0x90, 0x100, 0x101, 0x300, 0x301}
    assert pids_of_other_programs(path, 0x300) == set(range(0x200, 0x260))
    assert pids_of_other_programs(path, 0x400) == set()
    rng = random.Random(0)
    data = path.read_bytes()
    for _ in range(300):
        spoilt = bytearray(data[: rng.randrange(len(data))])
        for _ in range(rng.randrange(20)):
            if spoilt:
                spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        path.write_bytes(spoilt)
        assert all(0 <= pid < 1 << 13 for pid in pids_of_other_programs(path, 0x100))


@pytest.mark.parametrize("parts", [[(0, 1), (2, 3)], [(2, 3), (0, 1)], [(0, 1), (0, 1), (0, 1)]])
def test_sound_that_an_edit_list_cuts_out_is_not_copied(tmp_path, parts):
    whole = sound.write_film(tmp_path / "whole.mp4", seconds=4)
    path = tmp_path / "cut.mp4"
    path.write_bytes(clips.with_edits(whole.read_bytes(), parts))
    times = [time for time, _ in copied(path)]
    seconds = sum(end - begin for begin, end in parts)
    assert len(times) == pytest.approx(seconds * sound.RATE / 1024, abs=2 * len(parts))
    assert seconds - 0.1 < times[-1] < seconds


@pytest.mark.parametrize(("late", "told"), [(0.4, "0.4 s of its sound are before its first picture"), (0.06, "")])
def test_sound_before_the_first_picture_is_said(tmp_path, late, told):
    whole = sound.write_film(tmp_path / "whole.mkv", seconds=1)
    path = sound.delay_pictures(whole, tmp_path / "late.mkv", late)
    for begins_within in (False, True):
        track = Sound(path, "matroska")
        track.begins_within = begins_within
        track.attach(Film())
        track.until(None)
        track.close()
        notes = "; ".join(track.notes)
        assert notes == "" if begins_within or not told else told in notes
