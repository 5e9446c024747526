# SPDX-License-Identifier: Apache-2.0
"""Muxer and AnnexBWriter: every frame, its time and the parameter sets arrive in the file, whatever its format."""

import errno
import functools
import io
from fractions import Fraction

import av
import pytest

import ascend_venc as venc
from ascend_venc import InvalidArgumentError, MediaError
from ascend_venc.media import AnnexBWriter, Muxer
from helpers import annexb, decode, files, video

COUNT = 12


class Unit(bytes):
    """A packet as `Muxer` needs it, kept apart from the device."""

    pts = 0
    time_base = Fraction(1, 25)
    is_keyframe = False


@functools.cache
def units(codec, backend, fps=Fraction(25)):
    with venc.Encoder(128, 128, codec=codec, fps=fps, gop=5, bitrate="1M", backend=backend) as enc:
        packets = []
        for frame in video.synthetic(128, 128, COUNT, watermark=True):
            packets += enc.encode(frame)
        packets += enc.flush()
    found = []
    for packet in packets:
        unit = Unit(packet)
        unit.pts, unit.time_base, unit.is_keyframe = packet.pts, packet.time_base, packet.is_keyframe
        found.append(unit)
    return tuple(found)


def demuxed(path):
    with av.open(str(path)) as source:
        return [packet for packet in source.demux(video=0) if packet.size]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001)])
def test_muxed_file_has_every_frame_at_its_time_and_the_right_length(tmp_path, backend, codec, suffix, fps):
    path = tmp_path / f"a.{suffix}"
    with Muxer(path, codec=codec, fps=fps) as mux:
        mux.write_all(units(codec, backend, fps))
    found = decode.file_frames(path)
    assert [video.read_watermark(frame) for _, frame in found] == list(range(COUNT))
    exact = [index / fps for index in range(COUNT)]
    # Matroska counts milliseconds, MPEG-TS 1/90000 s.
    resolution = {"mkv": Fraction(1, 1000), "ts": Fraction(1, 90000)}.get(suffix, 0)
    assert all(abs(time - expected) <= resolution for (time, _), expected in zip(found, exact))
    count, size, seconds = files.video_facts(path)
    assert (count, size) == (COUNT, (128, 128))
    assert abs(seconds - COUNT / fps) <= max(resolution, Fraction(1, 1000))
    assert [packet.is_keyframe for packet in demuxed(path)] == [index % 5 == 0 for index in range(COUNT)]
    assert all(packet.pts == packet.dts for packet in demuxed(path))


@pytest.mark.parametrize(("codec", "tag"), [("h264", "avc1"), ("h265", "hvc1")])
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_mp4_has_the_parameter_sets_in_its_header(tmp_path, backend, codec, tag, suffix):
    path = tmp_path / f"a.{suffix}"
    with Muxer(path, codec=codec, fps=25) as mux:
        mux.write_all(units(codec, backend))
    with av.open(str(path)) as source:
        context = source.streams.video[0].codec_context
        assert context.codec_tag == tag
        assert context.extradata[0] == 1, "avcC and hvcC begin with their version"
        parameter_sets = annexb.nal_units(units(codec, backend)[0])[:2]
        assert all(nal in context.extradata for nal in parameter_sets)
    for packet in demuxed(path):
        data, types = bytes(packet), []
        while data:  # NAL units with their length before them
            size = int.from_bytes(data[:4], "big")
            types.append(data[4] >> 1 & 63 if codec == "h265" else data[4] & 31)
            data = data[4 + size :]
        if codec == "h265":
            assert not {32, 33, 34} & set(types), "hvc1: parameter sets in the header only"


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_muxed_file_with_uneven_times_keeps_them_and_the_last_duration(tmp_path, backend, suffix):
    path = tmp_path / f"a.{suffix}"
    times = [0, 40, 60, 200, 210, 300, 340, 350, 400, 1000, 1040, 1100]
    with Muxer(path, codec="h264", fps=10, time_base=Fraction(1, 1000)) as mux:
        for unit, pts in zip(units("h264", backend), times):
            mux.write(unit, pts=pts, duration=250)
    assert [time * 1000 for time, _ in decode.file_frames(path)] == times
    if suffix != "ts":  # it has no place for durations
        assert files.video_facts(path)[2] == Fraction(1350, 1000)


def test_muxer_rescales_the_packets_own_times(backend):
    file = io.BytesIO()
    with Muxer(file, codec="h264", fps=25, format="mp4", time_base=Fraction(1, 90000)) as mux:
        mux.write_all(units("h264", backend)[:3])
    assert not file.closed
    with av.open(io.BytesIO(file.getvalue())) as source:
        assert [p.pts * p.time_base for p in source.demux(video=0) if p.size] == [0, Fraction(1, 25), Fraction(2, 25)]


def test_muxer_takes_packets_of_an_encoder_and_lets_them_go(tmp_path, backend):
    path = tmp_path / "a.mp4"
    with venc.Encoder(128, 128, codec="h265", fps=25, backend=backend) as enc, Muxer(path, codec="h265", fps=25) as mux:
        for frame in video.synthetic(128, 128, 5):
            mux.write_all(enc.encode(frame))
        (last, *_) = rest = enc.flush()
        mux.write_all(rest)
        last.release()  # BufferError if the muxer had kept a view
    assert files.video_facts(path)[0] == 5


def test_muxer_writes_aspect_ratio_and_color(tmp_path, backend):
    path = tmp_path / "a.mp4"
    with Muxer(path, codec="h264", fps=25, sample_aspect_ratio=Fraction(16, 11), color=(1, 1, 1)) as mux:
        mux.write_all(units("h264", backend))
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        assert stream.sample_aspect_ratio == Fraction(16, 11)
        context = stream.codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)


@pytest.mark.parametrize("pts", [1, 0, -3])
def test_muxer_refuses_times_that_do_not_grow(tmp_path, backend, pts):
    first, second = units("h264", backend)[:2]
    with Muxer(tmp_path / "a.mp4", codec="h264", fps=25) as mux:
        mux.write(first, pts=1)
        with pytest.raises(MediaError, match=f"pts {pts} follows 1"):
            mux.write(second, pts=pts)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_muxer_refuses_to_begin_without_parameter_sets(tmp_path, backend, codec):
    with Muxer(tmp_path / "a.mp4", codec=codec, fps=25) as mux, pytest.raises(MediaError):
        mux.write(units(codec, backend)[1])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("a.avi", {}, "allowed are .*mp4"),
        ("a", {}, "suffixes .mp4"),
        ("a.mp4", {"format": "webm"}, "webm"),
        ("a.mp4", {"codec": "vp9"}, "vp9"),
    ],
)
def test_muxer_refuses_unknown_formats_and_codecs_and_makes_no_file(tmp_path, name, options, text):
    with pytest.raises(InvalidArgumentError, match=text):
        Muxer(tmp_path / name, **{"codec": "h264", "fps": 25, **options})
    assert list(tmp_path.iterdir()) == []


def test_muxer_after_close_refuses_and_close_is_idempotent(tmp_path, backend):
    mux = Muxer(tmp_path / "a.mp4", codec="h264", fps=25)
    mux.close()
    mux.close()
    with pytest.raises(MediaError, match="closed"):
        mux.write(units("h264", backend)[0])


@pytest.mark.parametrize("format_name", ["mp4", "matroska", "mpegts"])
def test_muxer_reports_a_full_disk(backend, format_name):
    def write_until_it_is_full():
        with open("/dev/full", "wb", buffering=0) as file, Muxer(file, codec="h264", fps=25, format=format_name) as mux:
            for repeat in range(20):
                for index, unit in enumerate(units("h264", backend)):
                    mux.write(unit, pts=repeat * COUNT + index)

    with pytest.raises(OSError, match="No space left") as caught:
        write_until_it_is_full()
    assert caught.value.errno == errno.ENOSPC


class FileThatBreaks(io.BytesIO):
    broken = False

    def write(self, data):
        if self.broken:
            raise OSError(errno.EIO, "broken")
        return super().write(data)


def test_muxer_shows_the_first_exception_when_the_file_is_broken_too(backend):
    file = FileThatBreaks()

    def write():
        with Muxer(file, codec="h264", fps=25, format="mp4") as mux:
            mux.write(units("h264", backend)[0])
            file.broken = True
            raise KeyError

    with pytest.raises(KeyError):
        write()


def test_muxer_reports_a_file_that_breaks_at_the_end(backend):
    file = FileThatBreaks()

    def write():
        with Muxer(file, codec="h264", fps=25, format="mp4") as mux:
            mux.write(units("h264", backend)[0])
            file.broken = True

    with pytest.raises(OSError, match="broken"):
        write()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_annexb_writer_writes_the_packets_one_after_another(tmp_path, backend, codec):
    path = tmp_path / "a.bin"
    with AnnexBWriter(path) as writer:
        for unit in units(codec, backend):
            writer.write(unit, pts=3, duration=1)
    assert path.read_bytes() == b"".join(units(codec, backend))
    assert len(decode.frames(path.read_bytes(), codec)) == COUNT
