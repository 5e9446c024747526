# SPDX-License-Identifier: Apache-2.0
"""Several outputs of one encoder, films in several files, and the last seconds kept in memory."""

import errno
import io
import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import PacketRing, Target
from helpers import clips, pictures, simulator, sound

av = pytest.importorskip("av", reason="PyAV is not installed")

W, H = 160, 144


def grey(level):
    return np.full((H, W, 3), level, np.uint8)


def levels(path):
    """Mean luma of each picture of a film; it grows with `grey`'s level."""
    return [round(float(picture.mean())) for picture in clips.read_video(path)[2]]


def write(file, count, backend, **options):
    with venc.VideoWriter(file, backend=backend, **{"fps": 10, "bitrate": "4M", **options}) as writer:
        for number in range(count):
            writer.write(grey(4 * number))
    return writer


# ---- several outputs -------------------------------------------------------------------------------------------------


def test_all_outputs_get_the_packets_of_one_encoder(tmp_path, backend):
    memory = io.BytesIO()
    files = [
        tmp_path / "film.mp4",
        str(tmp_path / "film.ts"),
        tmp_path / "film.h264",
        Target(tmp_path / "live.mp4", fragmented=True),
        Target(memory, format="mkv", metadata={"title": "A film"}),
    ]
    writer = write(files, 24, backend, gop=6)
    assert writer.encoder.stats.encoded == 24
    assert writer.files == [str(tmp_path / name) for name in ("film.mp4", "film.ts", "film.h264", "live.mp4")]
    for path in writer.files:
        assert levels(path) == levels(tmp_path / "film.mp4") and len(levels(path)) == 24
    memory.seek(0)
    with av.open(memory) as container:
        assert container.metadata["title"] == "A film"
        assert len(list(container.decode(video=0))) == 24


def test_codec_is_what_the_names_settle_and_has_to_be_one(tmp_path, backend):
    writer = write([tmp_path / "film.mp4", tmp_path / "film.hevc"], 3, backend)
    assert writer.encoder.config.codec == "h265"
    for names, options, text in (
        (["a.h264", "b.h265"], {}, "the files are for h264 and h265"),
        (["a.mp4", "b.flv"], {"codec": "h265"}, "stands for h264"),
        ([], {}, "empty list"),
        (["a.mp4", "b.xyz"], {}, "suffix .xyz is not known"),
    ):
        with pytest.raises(venc.InvalidArgumentError, match=text):
            venc.VideoWriter([tmp_path / name for name in names], **options)


def test_one_file_named_twice_is_refused_before_anything_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = tmp_path / "old.mp4"
    old.write_bytes(b"an older film")
    os.link(old, tmp_path / "hard.mp4")
    (tmp_path / "link.mp4").symlink_to(old)
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "new.mp4")
    (tmp_path / "folder").symlink_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    memory, ring = io.BytesIO(), PacketRing(1)
    for first, second in (
        ("new.mp4", "new.mp4"),
        ("new.mp4", tmp_path / "new.mp4"),
        ("new.mp4", "folder/./folder/new.mp4"),
        ("new.mp4", tmp_path / "folder" / "new.mp4"),
        ("new.mp4", "dangling.mp4"),
        ("old.mp4", "hard.mp4"),
        ("hard.mp4", "link.mp4"),
        ("new.mp4", Target(tmp_path / "new.mp4", fragmented=True)),
        (Target(memory, format="ts"), Target(memory, format="mp4")),
        (ring, ring),
    ):
        with pytest.raises(venc.InvalidArgumentError, match="twice, which is one file"):
            venc.VideoWriter([first, "other.mkv", second])
    split = {"split_seconds": 1}
    for first, second in (("a-%d.ts", "a-%d.ts"), ("a-%d.ts", Target("a-12.ts")), (Target("a-007.ts"), "a-%03d.ts")):
        with pytest.raises(venc.InvalidArgumentError, match="twice"):
            venc.VideoWriter([first, second], **split)
    venc.VideoWriter(["a-%d.ts", Target("a-012.ts"), Target("a-x.ts"), "b-%d.ts"], **split).close()
    assert sorted(tmp_path.iterdir()) == before and old.read_bytes() == b"an older film"


class Full(io.BytesIO):
    room = 20_000

    def write(self, data):
        if self.tell() > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_output_that_fails_is_said_once_and_the_others_go_on(tmp_path, backend):
    noise = np.random.default_rng(1).integers(0, 256, (H, W, 3), np.uint8)
    told = []
    with venc.VideoWriter([tmp_path / "film.ts", Target(Full(), format="ts")], bitrate="4M", backend=backend) as writer:
        while not told:
            try:
                writer.write(noise)
            except OSError as error:
                told.append(error.errno)
        before = writer.frames
        for _ in range(10):
            writer.write(noise)
    assert told == [errno.ENOSPC]
    assert len(levels(tmp_path / "film.ts")) == before + 10


def test_sound_goes_into_each_output(tmp_path, backend):
    source = sound.write_film(tmp_path / "source.mp4", seconds=1)
    files = [tmp_path / "a.mp4", tmp_path / "b.mkv"]
    write(files, 10, backend, copy_audio_from=source)
    found = [[data for _, data in sound.packets(path)] for path in files]
    assert found[0] == found[1] and len(found[0]) > 40


# ---- several files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "h265"])
def test_film_is_split_at_exact_times_with_a_key_frame_there(tmp_path, backend, suffix):
    writer = write(tmp_path / f"film-%03d.{suffix}", 35, backend, split_seconds=1, gop=100)
    assert writer.files == [str(tmp_path / f"film-{number:03d}.{suffix}") for number in range(4)]
    assert [len(levels(path)) for path in writer.files] == [10, 10, 10, 5]
    whole = write(tmp_path / "whole.mp4", 35, backend, gop=10)
    parts = [level for path in writer.files for level in levels(path)]
    assert parts == pytest.approx(levels(whole.files[0]), abs=2)
    for path in writer.files:
        times = clips.read_video(path)[1]
        with av.open(path) as container:
            first = next(packet for packet in container.demux(video=0))
            assert first.is_keyframe and (suffix in ("ts", "h265") or first.pts == 0)
        if suffix != "h265":
            assert [float(time) for time in times] == pytest.approx([n / 10 for n in range(len(times))], abs=0.002)


@pytest.mark.parametrize("seconds", [0.4, np.float32(0.5), Fraction(3, 10)])
def test_seconds_of_a_split_are_the_decimal_number(tmp_path, backend, seconds):
    writer = write(tmp_path / "film-%d.mkv", 16, backend, split_seconds=seconds, gop=100)
    count = round(float(seconds) * 10)
    assert [len(levels(path)) for path in writer.files[:-1]] == [count] * (15 // count)


def test_film_is_split_by_size_at_key_frames(tmp_path, backend):
    noise = [np.random.default_rng(n).integers(0, 256, (H, W, 3), np.uint8) for n in range(24)]
    with venc.VideoWriter(
        tmp_path / "film%d.ts", split_bytes=1, gop=6, fps=10, bitrate="8M", backend=backend
    ) as writer:
        for picture in noise:
            writer.write(picture)
    assert [len(levels(path)) for path in writer.files] == [6, 6, 6, 6]


def test_times_that_are_given_decide_where_a_film_is_split(tmp_path, backend):
    with venc.VideoWriter(tmp_path / "%d.mkv", times="given", split_seconds=2.5, gop=100, backend=backend) as writer:
        for seconds in (100, 101, 102.4, 102.5, 103, 111, 112):
            writer.write(grey(10), time=seconds)
    times = [[float(time) for time in clips.read_video(path)[1]] for path in writer.files]
    assert times == [pytest.approx([0, 1, 2.4]), pytest.approx([0, 0.5]), pytest.approx([0, 1])]


def test_sound_is_split_with_the_pictures(tmp_path, backend):
    source = sound.write_film(tmp_path / "source.mp4", seconds=3)
    writer = write(tmp_path / "film-%d.mkv", 30, backend, split_seconds=1, copy_audio_from=source)
    parts = [sound.packets(path) for path in writer.files]
    wanted = [(time, data) for time, data in sound.packets(source) if time >= 0]
    assert [data for part in parts for _, data in part] == [data for _, data in wanted]
    begin = 0
    for number, part in enumerate(parts):
        assert part[0][0] < 0.03 and (number == 2 or 0.9 < part[-1][0] < 1)
        for (moment, _), (original, _) in zip(part, wanted[begin:]):
            assert moment + number == pytest.approx(original, abs=0.003)
        begin += len(part)


def test_no_track_loses_sound_where_a_film_is_split(tmp_path, backend):
    options = {"max_interleave_delta": "1"}  # one track behind the other in the file, as in chunks
    source = sound.write_film(tmp_path / "source.mkv", seconds=0.9, tracks=2, options=options)
    write(tmp_path / "whole.mkv", 9, backend, copy_audio_from=source)
    writer = write(tmp_path / "film-%d.mkv", 9, backend, split_seconds=0.3, copy_audio_from=source)
    assert len(writer.files) == 3
    for track in (0, 1):
        wanted = sound.packets(tmp_path / "whole.mkv", track)
        parts = [sound.packets(path, track) for path in writer.files]
        assert len(wanted) > 35
        assert [data for part in parts for _, data in part] == [data for _, data in wanted]
        times = [time + 0.3 * number for number, part in enumerate(parts) for time, _ in part]
        assert times == pytest.approx([time for time, _ in wanted], abs=0.003)


def test_what_cannot_be_split_is_said_early(tmp_path):
    for file, options, error, text in (
        ("film.mp4", {"split_seconds": 1}, venc.InvalidArgumentError, "needs one number in its name"),
        ("a%d-%d.mp4", {"split_bytes": 9}, venc.InvalidArgumentError, "needs one number in its name"),
        ("a%d.mp4", {"split_seconds": 0}, venc.InvalidArgumentError, "split_seconds is 0"),
        ("a%d.mp4", {"split_seconds": 10**400}, venc.InvalidArgumentError, "split_seconds is an integer of 1329 bits"),
        ("a%d.mp4", {"split_bytes": -1}, venc.InvalidArgumentError, "split_bytes is -1"),
        ("a%d.mp4", {"split_seconds": "1"}, TypeError, "split_seconds must be a number"),
        ("missing/a%d.mp4", {"split_seconds": 1}, FileNotFoundError, "a0.mp4"),
    ):
        with pytest.raises(error, match=text):
            venc.VideoWriter(tmp_path / file, **options)
    with pytest.raises(venc.InvalidArgumentError, match="for paths"):
        venc.VideoWriter(io.BytesIO(), format="ts", split_seconds=1)
    assert list(tmp_path.iterdir()) == []


# ---- a ring ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_ring_keeps_the_last_seconds_and_is_dumped_again_and_again(tmp_path, backend, codec):
    ring = PacketRing(seconds=1)
    writer = venc.VideoWriter([ring, tmp_path / "all.mkv"], fps=10, gop=4, codec=codec, backend=backend)
    with pytest.raises(venc.MediaError, match="nothing is kept yet"):
        ring.dump(tmp_path / "none.mp4")
    with writer:
        for number in range(50):
            writer.write(grey(4 * number))
    assert 1 <= ring.duration < 1.4 and ring.size > 0
    for name in ("event.mp4", "event.ts", f"event.{codec}"):
        count = ring.dump(tmp_path / name)
        assert count == round(ring.duration * 10) and 10 <= count < 14
        assert levels(tmp_path / name) == levels(tmp_path / "all.mkv")[-count:]
    times = [float(time) for time in clips.read_video(tmp_path / "event.mp4")[1]]
    assert times == pytest.approx([n / 10 for n in range(count)])
    assert not (tmp_path / "none.mp4").exists()


def test_ring_is_dumped_by_another_thread_while_encoding_goes_on(tmp_path, backend):
    ring = PacketRing(seconds=Fraction(1, 2))
    dumped, stop = [], threading.Event()

    def dump():
        while not stop.is_set():
            file = io.BytesIO()
            try:
                dumped.append((ring.dump(file, format="mkv"), file))
            except venc.MediaError:
                continue

    thread = threading.Thread(target=dump)
    thread.start()
    try:
        with venc.VideoWriter(ring, fps=10, gop=3, backend=backend) as writer:
            while len(dumped) < 5:
                writer.write(grey(writer.frames % 200))
    finally:
        stop.set()
        thread.join()
    for count, file in dumped:
        file.seek(0)
        with av.open(file) as container:
            assert len(list(container.decode(video=0))) == count


def test_ring_is_bounded_in_memory_and_of_one_writer(backend):
    ring = PacketRing(3600, max_bytes=60_000)
    with venc.VideoWriter(ring, fps=10, gop=2, bitrate="4M", backend=backend) as writer:
        for number in range(60):
            writer.write(np.random.default_rng(number).integers(0, 256, (H, W, 3), np.uint8))
    assert 0 < ring.size <= 60_000 and ring.duration < 6
    with pytest.raises(venc.MediaError, match="of one writer"), venc.VideoWriter(ring, backend=backend) as other:
        while True:
            other.write(grey(1))
    for wrong in (0, -1, float("inf"), 10**400):
        with pytest.raises(venc.InvalidArgumentError, match="seconds is"):
            PacketRing(wrong)
    with pytest.raises(venc.InvalidArgumentError, match="max_bytes is -5; it must be 1 or more"):
        PacketRing(1, max_bytes=-5)
    for arguments in (("1",), (1, "2")):
        with pytest.raises(TypeError):
            PacketRing(arguments[0], **({"max_bytes": arguments[1]} if len(arguments) > 1 else {}))


def test_small_pictures_are_cut_in_a_dump_too(tmp_path, backend):
    ring = PacketRing(1)
    wanted = [pictures.rgb(64, 48, number) for number in range(5)]
    venc.write(ring, wanted, bitrate="8M", backend=backend)
    ring.dump(tmp_path / "event.mp4")
    shown, _ = pictures.decoded(tmp_path / "event.mp4")
    assert shown[0].shape == (48, 64, 3) and pictures.psnr(wanted[4], shown[4]) >= 38


def test_dump_that_fails_leaves_no_file(tmp_path, backend):
    ring = PacketRing(1)
    venc.write(ring, [grey(1)] * 3, backend=backend)
    with pytest.raises(FileNotFoundError):
        ring.dump(tmp_path / "missing" / "event.mp4")
    with pytest.raises(venc.InvalidArgumentError, match="is not known"):
        ring.dump(tmp_path / "event.xyz")
    full = Full()
    full.room = -1
    with pytest.raises(OSError, match="No space left"):
        ring.dump(full, format="ts")
    assert list(tmp_path.iterdir()) == []


# ---- pictures that are dropped ---------------------------------------------------------------------------------------


@pytest.mark.sim_only
@pytest.mark.parametrize("on_full", ["drop_newest", "drop_oldest"])
def test_dropped_pictures_leave_gaps_and_no_segment_without_its_key_frame(tmp_path, backend, on_full):
    options = {"split_seconds": 0.5, "on_full": on_full, "depth": 1, "queue": 1, "gop": 1000, "fps": 10}
    files = [tmp_path / "%d.mkv", Target(tmp_path / "whole.ts")]
    with venc.VideoWriter(files, backend=backend, **options) as writer:
        for first in range(0, 60, 6):
            with simulator.shared().options(stall=1):  # the device stands still
                for number in range(first, first + 4):
                    writer.write(grey(4 * number))
            for number in (first + 4, first + 5):
                while writer.encoder.stats.in_flight:
                    time.sleep(0.001)
                writer.write(grey(4 * number))
    dropped = sum(writer.encoder.stats.dropped.values())
    assert writer.frames == 60 and writer.dropped == dropped > 0
    parts = sorted((path for path in writer.files if path.endswith(".mkv")), key=lambda path: int(Path(path).stem))
    for path in parts:
        with av.open(path) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
            assert packets[0].is_keyframe and sum(packet.is_keyframe for packet in packets) == 1
        for moment, level in zip(clips.read_video(path)[1], levels(path)):
            # A picture is 4 brighter than the one before it.
            assert level - levels(path)[0] == pytest.approx(10 * float(moment) * 4, abs=1.9)
    counts = [len(levels(path)) for path in parts]
    assert sum(counts) == len(levels(tmp_path / "whole.ts")) == 60 - dropped and len(counts) > 2
