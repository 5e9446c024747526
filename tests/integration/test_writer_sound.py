# SPDX-License-Identifier: Apache-2.0
"""Sound of a file beside pictures that are encoded anew: copied bit by bit, at its times."""

import io

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import Muxer, open_video
from helpers import clips, pictures, sound

av = pytest.importorskip("av", reason="PyAV is not installed")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return sound.write_film(tmp_path_factory.mktemp("source") / "source.mp4")


def film(path, backend, source, frames=50, **options):
    with venc.VideoWriter(path, fps=25, copy_audio_from=source, backend=backend, **options) as writer:
        for number in range(frames):
            writer.write(pictures.rgb(160, 144, number % 12))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv"])
def test_sound_is_copied_as_it_is_with_its_times(tmp_path, backend, source, suffix):
    path = film(tmp_path / f"film.{suffix}", backend, source)
    before, after = sound.packets(source), sound.packets(path)
    offset = after[0][0] - max(0.0, before[0][0]) if suffix == "ts" else 0  # it begins where the format likes
    kept = [packet for packet in before if packet[0] >= -0.0001]
    assert len(after) == len(kept) > 90
    for (time, data), (wanted, whole) in zip(after, kept):
        assert abs(time - offset - wanted) < 0.0015
        assert data.endswith(whole), "MPEG-TS has a header before each"
    assert len(clips.read_video(path)[2]) == 50


def test_picture_and_sound_alternate_in_the_file(tmp_path, backend, source):
    path = film(tmp_path / "film.mp4", backend, source)
    with av.open(str(path)) as container:
        order = sorted((packet.pos, packet.stream.type) for packet in container.demux() if packet.size)
    runs = sum(first[1] != second[1] for first, second in zip(order, order[1:]))
    assert runs > 3


def test_sound_that_begins_late_or_before_the_pictures(tmp_path, backend):
    late = sound.write_film(tmp_path / "late.mkv", late=0.5)
    path = film(tmp_path / "film.mkv", backend, late)
    times = [time for time, _ in sound.packets(path)]
    assert times[0] == pytest.approx(sound.packets(late)[0][0], abs=0.002) and times[0] > 0.4
    early = sound.write_film(tmp_path / "early.ts", format="mpegts")  # its clock begins at 1.4 s or so
    path = film(tmp_path / "early.mkv", backend, early)
    assert 0 <= sound.packets(path)[0][0] < 0.1


def test_several_languages_and_those_that_a_format_cannot_hold(tmp_path, backend):
    two = sound.write_film(tmp_path / "two.mkv", tracks=2)
    path = film(tmp_path / "film.mkv", backend, two)
    assert len(sound.packets(path, 1)) == len(sound.packets(path, 0)) > 90
    with av.open(str(path)) as container:
        assert [stream.metadata.get("language") for stream in container.streams.audio] == ["deu", "deu"]
    assert not sound.packets(film(tmp_path / "film.flv", backend, two), 1)


def test_sound_ends_with_the_pictures_where_they_end_by_an_exception(tmp_path, backend, source):
    path = tmp_path / "film.mp4"
    with pytest.raises(RuntimeError), venc.VideoWriter(path, fps=25, copy_audio_from=source, backend=backend) as writer:
        for _ in range(20):
            writer.write(pictures.rgb(160, 144))
        raise RuntimeError
    assert len(clips.read_video(path)[2]) == 20
    assert sound.packets(path)[-1][0] < 0.8
    film(path, backend, source, frames=20)
    assert sound.packets(path)[-1][0] > 1.9


def test_transcoding_in_one_call_keeps_picture_and_sound_together(tmp_path, backend, source):
    with open_video(source) as reader:
        tags = {"title": "A film", "date": 2024}
        venc.write(tmp_path / "film.mp4", reader, copy_audio_from=source, metadata=tags, backend=backend)
    assert [data for _, data in sound.packets(tmp_path / "film.mp4")] == [
        data for time, data in sound.packets(source) if time >= 0
    ]
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert (container.metadata["title"], container.metadata["date"]) == ("A film", "2024")
    loudness = np.abs(sound.heard(tmp_path / "film.mp4")[0])
    assert loudness[:10000].mean() < loudness[-20000:-10000].mean() / 3, "it swells"


def test_sound_of_another_file_begins_at_its_own_beginning(tmp_path, backend, source):
    late = sound.write_film(tmp_path / "late.ts", seconds=1, format="mpegts", options={"output_ts_offset": "100"})
    with open_video(late) as reader:
        assert reader.start >= 100
        venc.write(tmp_path / "film.mkv", reader, copy_audio_from=source, backend=backend)
    wanted = [data for time, data in sound.packets(source) if time >= 0]
    assert [data for _, data in sound.packets(tmp_path / "film.mkv")] == wanted


def test_file_that_is_read_is_not_written(tmp_path, backend, source):
    path = tmp_path / "film.mp4"
    path.write_bytes(source.read_bytes())
    link = tmp_path / "link.mp4"
    link.symlink_to(path)
    for name in (path, link, str(path)):
        with pytest.raises(venc.InvalidArgumentError, match=r"film.mp4 is read, and would be written"):
            venc.VideoWriter(name, copy_audio_from=path)
        for options in ({}, {"start": 0.5}):
            files = [tmp_path / "other.mkv", name] if options else name
            refused = pytest.raises(venc.InvalidArgumentError, match=r"film.mp4 is read, and would be written")
            with open_video(path, **options) as reader, refused:
                venc.write(files, reader, backend=backend)
    assert path.read_bytes() == source.read_bytes() and not (tmp_path / "other.mkv").exists()


def test_what_cannot_be_copied_is_said_before_the_first_picture(tmp_path):
    silent = clips.write_video(tmp_path / "silent.mkv", range(3))
    pcm = sound.write_film(tmp_path / "pcm.mkv", seconds=0.2, codec="pcm_s24le")
    unknown = sound.make_unknown(sound.write_film(tmp_path / "a.mp4", seconds=0.2), tmp_path / "unknown.mp4")
    (tmp_path / "text.mp4").write_text("no film")
    for path, name, error, text in (
        (silent, "film.mp4", venc.MediaError, "it has no sound"),
        (pcm, "film.ts", venc.MediaError, r"mpegts cannot hold its sound \(pcm_s24le\)"),
        (unknown, "film.mp4", venc.MediaError, r"its sound is not copied \(a codec that PyAV does not know\)"),
        (tmp_path / "text.mp4", "film.mp4", venc.MediaError, "cannot be read"),
        (tmp_path / "none.mp4", "film.mp4", FileNotFoundError, "none.mp4"),
        (pcm, "film.h264", venc.InvalidArgumentError, "holds no sound"),
    ):
        with pytest.raises(error, match=text):
            venc.VideoWriter(tmp_path / name, copy_audio_from=path)
        assert not (tmp_path / name).exists()


def test_streams_of_another_container_are_added_by_hand(tmp_path, backend, source):
    file = io.BytesIO()
    with av.open(str(source)) as other, venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        with Muxer(file, encoder=enc, format="mp4", metadata={"comment": "by hand"}) as mux:
            (track,) = other.streams.audio
            mux.add_stream_like(track)
            with pytest.raises(venc.InvalidArgumentError, match="added already"):
                mux.add_stream_like(track)
            copied = [packet for packet in other.demux(track) if packet.size and packet.dts >= 0]
            wanted = [bytes(packet) for packet in copied]
            for packet in copied[:10]:  # before there is a header
                mux.copy(packet)
            for _ in range(50):
                mux.write_all(enc.encode(bytes(128 * 192)))
            mux.write_all(enc.flush())
            for packet in copied[10:]:
                mux.copy(packet)
            with pytest.raises(venc.MediaError, match="before the first packet"):
                mux.add_stream_like(other.streams.video[0])
            with pytest.raises(venc.InvalidArgumentError, match="was not added"):
                mux.copy(next(packet for packet in other.demux(other.streams.video[0])))
        with pytest.raises(venc.MediaError, match="closed"):
            mux.copy(copied[0])
    file.seek(0)
    with av.open(file) as container:
        assert [bytes(packet) for packet in container.demux(audio=0) if packet.size] == wanted
        assert container.metadata["comment"] == "by hand"


def test_packet_becomes_one_of_pyav(backend):
    with venc.Encoder(128, 128, codec="h264", fps=30, backend=backend) as enc:
        packets = [packet for n in range(3) for packet in enc.encode(bytes(128 * 192), pts=7 * n)] + enc.flush()
    made = [packet.to_av() for packet in packets]
    assert [bytes(packet) for packet in made] == [bytes(packet) for packet in packets]
    assert [(p.pts, p.dts, p.duration, p.is_keyframe) for p in made] == [
        (0, 0, 1, True),
        (7, 7, 1, False),
        (14, 14, 1, False),
    ]
    assert {packet.time_base for packet in made} == {enc.time_base}
    context = av.CodecContext.create("h264", "r")
    assert sum(len(context.decode(packet)) for packet in [*made, None]) == 3
    packets[0].release()
    with pytest.raises(ValueError, match="released"):
        packets[0].to_av()


# ---- sound that its packets alone describe ---------------------------------------------------------------------------


class Pipe(io.RawIOBase):
    """A file object that can neither seek nor be read."""

    def __init__(self):
        super().__init__()
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data)
        return len(data)


@pytest.fixture(scope="module", params=["aac", "ac3", "eac3"])
def broadcast(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / f"{request.param}.ts"
    return sound.write_film(path, seconds=0.8, codec=request.param, format="mpegts", video="mpeg2video")


@pytest.mark.parametrize("format", ["mp4", "mov", "mkv"])
def test_sound_of_mpegts_goes_into_fragments_and_pipes(backend, broadcast, format):
    file = Pipe()
    options = {} if format == "mkv" else {"fragmented": True}
    film(file, backend, broadcast, frames=20, format=format, gop=5, **options)
    with av.open(io.BytesIO(file.data)) as container:
        (track,) = container.streams.audio
        assert track.codec_context.name != "aac" or len(track.codec_context.extradata) == 2
        found = [(packet.pts * packet.time_base, bytes(packet)) for packet in container.demux(track) if packet.size]
    with av.open(str(broadcast)) as container:
        start = container.streams.video[0].start_time * container.streams.video[0].time_base
        track = container.streams.audio[0]
        packets = [packet for packet in container.demux(track) if packet.size]
        wanted = [(packet.pts * packet.time_base - start, bytes(packet)) for packet in packets]
    wanted = [(time, data) for time, data in wanted if time >= 0]
    assert len(found) == len(wanted) > 20
    for number, ((time, data), (moment, whole)) in enumerate(zip(found, wanted)):
        # FFmpeg lets a track begin at 0 where its header is written before it.
        assert abs(time - moment) < 0.0015 or (number == 0 and format == "mov" and time == 0)
        assert data == (whole[7:] if track.codec_context.name == "aac" else whole)
    with av.open(io.BytesIO(file.data)) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0.7 * 48000
    with av.open(io.BytesIO(file.data)) as container:
        assert len(list(container.decode(video=0))) == 20


def test_fragments_can_be_read_whose_sound_begins_or_ends_elsewhere(tmp_path, backend):
    late = sound.write_film(tmp_path / "late.mkv", seconds=0.8, codec="ac3", late=0.6)
    path = tmp_path / "early end.mp4"
    options = {"fragmented": True, "copy_audio_from": late}
    with pytest.raises(RuntimeError), venc.VideoWriter(path, fps=25, backend=backend, **options) as writer:
        for _ in range(3):
            writer.write(pictures.rgb(128, 128))
        raise RuntimeError
    assert len(clips.read_video(path)[2]) == 3
    assert [time for time, _ in sound.packets(path)] == [pytest.approx(0.595, abs=0.002)], "the one that has to be"
    options["split_seconds"] = 0.4
    with venc.VideoWriter(tmp_path / "%d.mp4", fps=25, gop=100, backend=backend, **options) as writer:
        for _ in range(40):
            writer.write(pictures.rgb(128, 128))
    assert [len(clips.read_video(path)[2]) for path in writer.files] == [10, 10, 10, 10]
    found = [data for path in writer.files for _, data in sound.packets(path)]
    assert found == [data for _, data in sound.packets(late)]


def test_fragments_that_lack_the_sound_which_describes_them_are_an_error(backend, tmp_path):
    source = sound.write_film(tmp_path / "source.mkv", seconds=0.2, codec="eac3")
    with av.open(str(source)) as other, venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        mux = Muxer(io.BytesIO(), encoder=enc, format="mp4", fragmented=True)
        mux.add_stream_like(other.streams.audio[0])
        mux.write_all(enc.encode(bytes(128 * 192)))
        mux.write_all(enc.flush())
        with pytest.raises(venc.MediaError, match="needs a packet of its eac3 sound, and none came: write mkv"):
            mux.close()
        mux.close()


@pytest.mark.sim_only
def test_pause_of_the_pictures_alone_stays_a_pause(tmp_path, backend):
    """In MPEG-TS a step of more than 10 s is a jump of the clock, unless the sound goes on."""
    whole = sound.write_film(tmp_path / "whole.mkv", seconds=40, fps=2)
    shown = [0, 0.5, 1, 13, 13.5, 30, 30.5]
    path = tmp_path / "pause.ts"
    with venc.VideoWriter(path, times="given", copy_audio_from=whole, backend=backend) as writer:
        for moment in shown:
            writer.write(pictures.rgb(128, 128, round(moment)), time=moment)
    for source, copies in ((path, 1), (tmp_path / "twice.ts", 2)):
        source.write_bytes(path.read_bytes() * copies)
        target = tmp_path / f"{copies}.mkv"
        with open_video(source) as reader:
            venc.write(target, reader, copy_audio_from=source, backend=backend)
        times = [float(time) for time in clips.read_video(target)[1]]
        second = [times[len(shown)] + moment for moment in shown] if copies == 2 else []
        assert times == pytest.approx([*shown, *second], abs=0.002)
        heard = [time for time, _ in sound.packets(target)]
        if copies == 1:
            assert len(heard) == len(sound.packets(source)) == 1875
            assert heard[-1] == pytest.approx(40, abs=0.1)
        else:
            assert 30.5 < second[0] < 31.1, "the next recording follows the last picture"
            assert heard[-1] == pytest.approx(second[0] + 40, abs=0.2)


@pytest.mark.parametrize(("codec", "source"), [("pcm_s16le", "mkv"), ("pcm_s24le", "mov")])
def test_samples_in_packets_of_any_size_are_copied(tmp_path, backend, codec, source):
    path = sound.write_pcm(tmp_path / f"source.{source}", [1024, 333, 2048, 1, 777], codec=codec)
    wanted = sound.samples(path)
    assert len(wanted) > 2 * 40_000
    for suffix, options in (("mp4", {}), ("mp4", {"fragmented": True}), ("mov", {}), ("mkv", {})):
        target = film(tmp_path / f"film.{suffix}", backend, path, frames=20, **options)
        assert np.array_equal(sound.samples(target), wanted)
        assert sound.packets(target)[-1][0] == pytest.approx(sound.packets(path)[-1][0], abs=0.05)


def test_more_channels_than_an_mp4_can_name_are_said_early(tmp_path):
    try:
        path = sound.write_pcm(tmp_path / "source.mkv", [1024], layout="16 channels", channels=16)
    except ValueError:
        pytest.skip("this version of PyAV knows no channels without names")
    with pytest.raises(venc.MediaError, match=r"mp4 cannot hold its sound \(pcm_s16le\)"):
        venc.VideoWriter(tmp_path / "film.mp4", copy_audio_from=path)
    assert not (tmp_path / "film.mp4").exists()
