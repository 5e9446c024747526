# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode` takes the sound and the title of a film along, or says in one note what it does not."""

import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.cli import main
from ascend_venc.media import Muxer
from helpers import clips, pictures, processes, sound

av = pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return sound.write_film(path, metadata={"title": "A film", "artist": "Somebody"})


def encode(source, target, backend, *args):
    return main(["encode", str(source), str(target), "--backend", backend, "--json", *args])


def report(capsys):
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
def test_sound_and_title_are_kept(tmp_path, backend, film, capsys, suffix):
    target = tmp_path / f"film.{suffix}"
    assert encode(film, target, backend) == 0
    told, errors = report(capsys)
    assert (told["left_out"], told["sound"], errors) == ([], ["aac"], "")
    wanted = [data for time, data in sound.packets(film) if time >= 0]
    found = [data for _, data in sound.packets(target)]
    assert len(found) == len(wanted) and all(f.endswith(w) for f, w in zip(found, wanted))
    assert len(clips.read_video(target)[2]) == 50
    if suffix != "ts":  # whose tables FFmpeg fills with other names
        with av.open(str(target)) as container:
            tags = {name.lower(): text for name, text in container.metadata.items()}
        assert tags["title"] == "A film"
        assert "major_brand" not in tags or suffix in ("mp4", "mov")


def test_flv_is_h264_unless_asked_for_more(tmp_path, backend, film, capsys):
    assert encode(film, tmp_path / "film.flv", backend) == 0
    assert report(capsys)[0]["codec"] == "h264"
    assert encode(film, tmp_path / "other.flv", backend, "-c", "h265") == 2
    assert "the suffix .flv stands for h264" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("-frames:v", "10"), ("-t", "0.4")])
def test_sound_ends_with_the_pictures_that_were_asked_for(tmp_path, backend, film, capsys, option):
    target = tmp_path / "part.mkv"
    assert encode(film, target, backend, *option) == 0
    assert len(clips.read_video(target)[2]) == 10
    assert 0.3 < max(time for time, _ in sound.packets(target)) < 0.4
    capsys.readouterr()


@pytest.mark.parametrize("flag", ["-an", "--no-sound"])
def test_sound_that_is_not_wanted_is_left_out_without_a_note(tmp_path, backend, film, capsys, flag):
    assert encode(film, tmp_path / "film.mp4", backend, flag) == 0
    told, errors = report(capsys)
    assert (told["left_out"], told["sound"], errors) == ([], [], "")
    assert sound.packets(tmp_path / "film.mp4") == []


def test_what_is_left_out_is_said_with_the_reason(tmp_path, backend, film, capsys):
    pcm = sound.write_film(tmp_path / "pcm.mkv", seconds=0.4, codec="pcm_s24le")
    other = sound.write_film(tmp_path / "other.mov", seconds=0.4, codec="pcm_s16be")
    opus = sound.write_film(tmp_path / "opus.mkv", seconds=0.4, codec="libopus")
    unknown = sound.make_unknown(sound.write_film(tmp_path / "a.mp4", seconds=0.4), tmp_path / "unknown.mp4")
    for source, name, args, wanted in (
        (film, "film.h264", [], ["sound", "title"]),
        (film, "film.mp4", ["-r", "50"], ["sound (-r changes the times of the pictures)"]),
        (pcm, "film.ts", [], ["sound in pcm_s24le (OUTPUT cannot hold it)"]),
        (other, "film.flv", [], ["sound in pcm_s16be (OUTPUT cannot hold it)"]),
        (opus, "film.mov", [], ["sound in opus (OUTPUT cannot hold it)"]),
        (unknown, "unknown.ts", [], ["sound in a codec that PyAV does not know"]),
    ):
        assert encode(source, tmp_path / name, backend, *args) == 0
        told, errors = report(capsys)
        assert told["left_out"] == wanted
        assert errors == f"ascend-venc: note: {source}: not carried over: {', '.join(wanted)}\n"
        assert not name.endswith(("mp4", "mov", "flv", "ts")) or sound.packets(tmp_path / name) == []


def test_sound_of_a_recording_that_begins_anywhere_stays_with_its_pictures(tmp_path, backend, capsys):
    part = sound.write_film(tmp_path / "part.ts", format="mpegts", video="mpeg2video")
    assert encode(part, tmp_path / "film.mkv", backend) == 0
    before, after = sound.packets(part), sound.packets(tmp_path / "film.mkv")
    with av.open(str(part)) as container:
        first = next(container.decode(video=0))
        start = float(first.pts * first.time_base)
    kept = [time - start for time, _ in before if time - start >= -0.0005]
    assert len(after) == len(kept)
    assert all(abs(time - wanted) < 0.002 for (time, _), wanted in zip(after, kept))
    twice = tmp_path / "twice.ts"
    twice.write_bytes(part.read_bytes() * 2)
    assert encode(twice, tmp_path / "twice.mkv", backend) == 0
    times = [time for time, _ in sound.packets(tmp_path / "twice.mkv")]
    assert len(times) > 1.8 * len(after)
    assert max(later - time for time, later in zip(times, times[1:])) < 0.1, "the clock that starts anew is no gap"
    assert times[-1] == pytest.approx(2 * after[-1][0], abs=0.2)
    assert "not carried over" not in capsys.readouterr().err


def test_sound_stays_with_its_pictures_behind_each_joint_of_a_recording(tmp_path, backend):
    parts = {"late": 0.4, "early": -0.4}  # when the sound begins; the pictures begin at 0, and all ends at 2
    places = {}
    for name, late in parts.items():
        part = sound.write_film(tmp_path / f"{name}.ts", late=late, format="mpegts", video="mpeg2video")
        with av.open(str(part)) as container:
            first = next(container.decode(video=0))
        start = float(first.pts * first.time_base)
        places[name] = {data[7:]: time - start for time, data in sound.packets(part)}  # without the header of ADTS
    for number, names in enumerate((["late"] * 3, ["early", "late", "early", "late"])):
        joined = tmp_path / f"{number}.ts"
        joined.write_bytes(b"".join((tmp_path / f"{name}.ts").read_bytes() for name in names))
        assert encode(joined, tmp_path / f"{number}.mkv", backend) == 0
        found = sound.packets(tmp_path / f"{number}.mkv")
        for place, name in enumerate(names):
            here = [(time, data) for time, data in found if 2 * place + 0.5 < time < 2 * place + 1.9]
            assert len(here) > 60
            assert all(abs(2 * place + places[name][data] - time) < 0.05 for time, data in here), (names, place)


def test_pause_of_the_sound_alone_stays_a_pause(tmp_path, backend):
    source = sound.write_film(tmp_path / "whole.ts", seconds=16, format="mpegts", video="mpeg2video")
    with av.open(str(source)) as container, av.open(str(tmp_path / "pause.ts"), "w") as output:
        add = getattr(output, "add_stream_from_template", lambda stream: output.add_stream(template=stream))
        copies = {stream.index: add(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size and (packet.stream.type == "video" or not 2 < packet.dts * packet.time_base < 14):
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    assert encode(tmp_path / "pause.ts", tmp_path / "film.mkv", backend) == 0
    times = [time for time, _ in sound.packets(tmp_path / "film.mkv")]
    assert max(later - time for time, later in zip(times, times[1:])) == pytest.approx(12, abs=0.1)
    assert 15.5 < times[-1] < 16


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_last_packet_is_heard_where_the_input_does_not_tell_how_long_it_lasts(tmp_path, backend, suffix):
    source = sound.write_film(tmp_path / "film.mkv", codec="alac")
    assert encode(source, tmp_path / f"film.{suffix}", backend) == 0
    wanted, _ = sound.heard(source)
    found, _ = sound.heard(tmp_path / f"film.{suffix}")
    assert len(found) == len(wanted) == 2 * sound.RATE and (found == wanted).all()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_signal_while_the_rest_of_the_sound_is_copied_keeps_the_film(tmp_path, backend, capsys, monkeypatch, suffix):
    sounding = sound.write_film(tmp_path / "sound.mkv", seconds=4)
    source = tmp_path / "source.mkv"
    with venc.VideoWriter(source, fps=10, copy_audio_from=sounding, backend=backend) as writer:
        for number in range(10):
            writer.write(pictures.rgb(128, 128, number))
    copied = []

    def copy(self, packet, original=Muxer.copy):
        copied.append(packet.dts * packet.time_base)
        original(self, packet)
        if copied[-1] > 2.5 and number > 0:
            copied.append(-1)
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Muxer, "copy", copy)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (0, 0)):  # noqa: B007 - `copy` reads it
        target = tmp_path / f"{code}.{suffix}"
        assert encode(source, target, backend, "--keep-partial") == code
        told, errors = report(capsys)
        assert (told["complete"], told["frames"]) == (code == 0, 10)
        wanted = f"interrupted; all 10 frames (0:01) are kept in {target}, and its sound up to there"
        assert (wanted in errors) == (code != 0)
        assert len(clips.read_video(target)[2]) == 10
        assert (2.4 < sound.packets(target)[-1][0] < 2.7) == (code != 0)
    number = signal.SIGINT
    assert encode(source, tmp_path / f"none.{suffix}", backend) == 130
    assert not (tmp_path / f"none.{suffix}").exists()


def test_interrupted_film_keeps_no_more_sound_than_pictures(tmp_path, backend):
    source = sound.write_film(tmp_path / "long.mp4", seconds=20)
    target = tmp_path / "film.mkv"
    env = processes.environment(ASCEND_VENC_BACKEND=backend, ASCEND_VENC_SIM_OPTIONS="encode_time_us=30000")
    process = subprocess.Popen(
        [sys.executable, "-m", "ascend_venc", "encode", str(source), str(target), "--keep-partial", "--json"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not any(path.stat().st_size > 20_000 for path in tmp_path.glob(".ascend-venc-*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    except BaseException:
        process.kill()
        process.wait()
        raise
    assert process.returncode == 130, errors
    told = json.loads(output)
    assert not told["complete"] and told["frames"] < 500
    assert sound.packets(target)[-1][0] <= told["duration"]
    assert sound.packets(target)[-1][0] > told["duration"] - 0.2


def test_damaged_sound_of_mpegts_is_left_out_where_damage_is_tolerated(tmp_path, backend, capsys):
    """Without the beginning of a packet there is no ADTS header in front of the rest."""
    whole = sound.write_film(tmp_path / "whole.ts").read_bytes()
    path, target = tmp_path / "a.ts", tmp_path / "a.mp4"
    for place in range(188 * 60, len(whole) // 2, 188):
        path.write_bytes(whole[:place] + whole[place + 188 :])
        if any(data[:1] != b"\xff" for _, data in sound.packets(path)):
            break
    assert main(["encode", "--backend", backend, str(path), str(target), "-c", "h264", "--tolerant"]) == 0
    assert "packets of its sound are damaged, and left out" in capsys.readouterr().err
    kept = [data for _, data in sound.packets(path) if data[:2] == b"\xff\xf1"]
    assert 50 < len(sound.packets(target)) <= len(kept) + 1


def test_sound_that_changes_where_the_output_tells_once_what_it_is(tmp_path, backend, capsys):
    parts = [sound.write_film(tmp_path / f"{rate}.ts", seconds=1, rate=rate) for rate in (48000, 24000)]
    path = tmp_path / "film.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    change = "changes from 48000 Hz, 1 channel, object type 2 to 24000 Hz, 1 channel, object type 2"
    for suffix in ("mp4", "mkv", "flv"):
        assert encode(path, tmp_path / f"a.{suffix}", backend) == 1
        errors = capsys.readouterr().err
        assert f"the AAC sound {change}" in errors and "write .ts, or leave the sound out (-an" in errors
        assert not (tmp_path / f"a.{suffix}").exists()
        target = tmp_path / f"b.{suffix}"
        assert encode(path, target, backend, "--tolerant") == 0
        told, errors = report(capsys)
        assert told["notes"] == [f"its sound {change}: such packets are left out"] and told["notes"][0] in errors
        assert len(sound.packets(target)) == pytest.approx(47, abs=2)
        assert len(sound.heard(target)[0]) == pytest.approx(48000, abs=3000)
    assert encode(path, tmp_path / "a.ts", backend, "--tolerant") == 0
    assert report(capsys)[0]["notes"] == []
    assert len(sound.packets(tmp_path / "a.ts")) == pytest.approx(47 + 23, abs=4)


def test_what_ffmpeg_says_of_an_output_is_no_damage_of_the_input(tmp_path, backend, capsys):
    """A trial of the output's format, which the silent track ends, logs an error under the name of the input's."""
    path = tmp_path / "silent.ts"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg2video", rate=25)
        picture.width = picture.height = 128
        picture.pix_fmt = "yuv420p"
        container.add_stream("aac", rate=48000)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((192, 128), 10 * index, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
    assert encode(path, tmp_path / "film.ts", backend) == 0
    told, _ = report(capsys)
    assert (told["frames"], told["damaged"], told["notes"]) == (20, 0, [])
    assert told["left_out"] == ["sound in aac (FFmpeg found none of it in the beginning)"]


def test_sound_before_the_first_picture_is_left_out_with_a_note(tmp_path, backend, film, capsys):
    path = sound.delay_pictures(film, tmp_path / "late.mkv", 0.5)
    note = "0.5 s of its sound are before its first picture, and left out"
    for options, wanted in (([], [note]), (["-ss", "0.3"], []), (["-an"], [])):
        assert encode(path, tmp_path / "film.mp4", backend, "-y", *options) == 0
        told, errors = report(capsys)
        assert told["notes"] == wanted
        assert (note in errors) == bool(wanted)


@pytest.mark.parametrize("format", ["mpegts", "matroska"])
def test_full_disk_is_the_outputs_failure_and_not_the_sounds(backend, film, capsys, format):
    """The sound is what comes first and last."""
    assert main(["encode", str(film), "/dev/full", "-f", format, "--backend", backend]) == 1
    assert capsys.readouterr().err == "ascend-venc: /dev/full: No space left on device\n"


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ([], 2),
        (["-t", "1.5"], 1.5),
        (["-ss", "0.4", "-t", "1.1"], 1.1),
        (["-to", "100"], 2),
        (["-frames:v", "1000"], 2),
        (["-frames:v", "20", "-t", "1.5"], 0.8),
    ],
)
def test_sound_beyond_the_last_picture_ends_where_the_film_is_to_end(tmp_path, backend, options, end):
    path = sound.write_film(tmp_path / "a.mp4", seconds=1, longer=1)
    assert encode(path, tmp_path / "b.mkv", backend, *options) == 0
    assert max(time for time, _ in sound.packets(tmp_path / "b.mkv")) == pytest.approx(end - 0.01, abs=0.03)
