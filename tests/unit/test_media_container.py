# SPDX-License-Identifier: Apache-2.0
"""Containers: timestamps in, timestamps out, and nothing encoded twice."""

import errno
import io
import struct
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.errors import InvalidArgumentError
from ascend_venc.media import ColorTags, ContainerReader, MediaError, Muxer
from ascend_venc.media.formats import CLOCKS
from helpers import annexb, clips

UNEVEN = [0, 40, 80, 200, 210, 213, 1000, 1040]  # ms
TAGS = {("h264", "mp4"): "avc1", ("h264", "mov"): "avc1", ("h265", "mp4"): "hvc1", ("h265", "mov"): "hvc1"}


def encode(backend, codec, frames, gop=4):
    packets = []
    with venc.Encoder(128, 128, codec=codec, gop=gop, bitrate="2M", backend=backend) as enc:
        for index in range(frames):
            packets += enc.encode(clips.nv12(128, 128, index))
        return packets + enc.flush()


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_muxer_keeps_every_frame_pts_and_duration(backend, tmp_path, codec, container):
    path = tmp_path / f"a.{container}"
    with Muxer(path, codec=codec, fps=25, time_base=Fraction(1, 1000)) as muxer:
        for packet, pts in zip(encode(backend, codec, len(UNEVEN)), UNEVEN):
            muxer.write(packet, pts=pts, duration=77)
    facts, times, pictures = clips.read_video(path)
    assert times == [Fraction(pts, 1000) for pts in UNEVEN]
    for index, picture in enumerate(pictures):
        assert clips.psnr(picture, clips.i420(128, 128, index)[0]) > 25, index
    if container == "ts":  # stores no durations: the reader guesses the last frame's
        assert Fraction(UNEVEN[-1], 1000) <= facts["duration"] <= Fraction(UNEVEN[-1] + 77, 1000)
    else:
        assert facts["duration"] == Fraction(UNEVEN[-1] + 77, 1000)
        assert facts["extradata"][0] == 1, "avcC or hvcC"
    if (codec, container) in TAGS:
        assert facts["tag"] == TAGS[codec, container]
        assert facts["frames"] == len(UNEVEN)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_muxer_marks_key_frames_and_keeps_the_slices(backend, tmp_path, codec):
    import av

    packets = encode(backend, codec, 9)
    with Muxer(tmp_path / "a.mp4", codec=codec, fps=25) as muxer:
        for packet in packets:
            muxer.write(packet)
    with av.open(str(tmp_path / "a.mp4")) as container:
        muxed = [packet for packet in container.demux() if packet.size]
        assert [packet.is_keyframe for packet in muxed] == [index % 4 == 0 for index in range(9)]
        assert [packet.pts * packet.time_base for packet in muxed] == [Fraction(index, 25) for index in range(9)]
    for packet, sent in zip(muxed, packets):
        # The last NAL unit of a packet is its slice; Annex B and mp4 differ in what stands before it only.
        assert bytes(packet).endswith(bytes(sent).rpartition(b"\0\0\1")[2])


def test_muxer_without_pts_takes_the_packets_own_times(backend, tmp_path):
    with venc.Encoder(128, 128, fps=Fraction(30000, 1001), backend=backend) as enc:
        packets = enc.encode(clips.nv12(128, 128, 0), pts=0) + enc.encode(clips.nv12(128, 128, 1), pts=5)
        packets += enc.flush()
    with Muxer(tmp_path / "a.mp4", codec="h265", fps=Fraction(30000, 1001)) as muxer:
        for packet in packets:
            muxer.write(packet)
    assert clips.read_video(tmp_path / "a.mp4")[1] == [0, 5 * Fraction(1001, 30000)]


def test_muxer_refuses_what_it_cannot_write(backend, tmp_path):
    packets = encode(backend, "h264", 3)
    with pytest.raises(InvalidArgumentError, match="suffix"):
        Muxer(tmp_path / "a.xyz", codec="h264", fps=25)
    with pytest.raises(InvalidArgumentError, match="codec"):
        Muxer(tmp_path / "a.mp4", codec="vp9", fps=25)
    for base, words in (
        ("1/0", "time_base is '1/0'; give seconds per unit"),
        (-1, "time_base is -1; it must be greater"),
    ):
        with pytest.raises(InvalidArgumentError, match=words):
            Muxer(tmp_path / "a.mp4", codec="h264", fps=25, time_base=base)
    assert not (tmp_path / "a.mp4").exists()
    with pytest.raises(MediaError, match="parameter sets"), Muxer(tmp_path / "a.mp4", codec="h264", fps=25) as muxer:
        muxer.write(packets[1])
    with pytest.raises(MediaError, match="grow"), Muxer(tmp_path / "b.mp4", codec="h264", fps=25) as muxer:
        muxer.write(packets[0], pts=3)
        muxer.write(packets[1], pts=3)
    with pytest.raises(MediaError, match="closed"):
        muxer.write(packets[2], pts=4)


def test_mp4_of_h265_has_the_parameter_sets_in_its_header_only(backend, tmp_path):
    import av

    packets = encode(backend, "h265", 9)
    with Muxer(tmp_path / "a.mp4", codec="h265", fps=25) as muxer:
        muxer.write_all(packets)
    parameter_sets = annexb.nal_units(packets[0])[:3]
    with av.open(str(tmp_path / "a.mp4")) as container:
        header = bytes(container.streams.video[0].codec_context.extradata)
        assert all(nal in header for nal in parameter_sets)
        for packet in container.demux():
            assert not any(nal in bytes(packet) for nal in parameter_sets)  # the tag hvc1 promises it


@pytest.mark.parametrize("text", ["x" * 300, "é" * 300, "short"])
def test_title_that_is_too_long_for_mpegts_is_shortened(backend, text):
    file = io.BytesIO()
    with Muxer(
        file, codec="h264", fps=25, format="mpegts", metadata={"title": text, "Service_Provider": text}
    ) as muxer:
        muxer.write_all(encode(backend, "h264", 2))
    data = file.getvalue()
    table = next(data[at + 5 : at + 188] for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x40\x11")
    more = next(
        (data[at + 4 : at + 188] for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x00\x11"), b""
    )
    kind, length, _, size = (table + more)[16:20]
    assert kind == 0x48  # the service's descriptor
    provider, name = (table + more)[20 : 20 + size], (table + more)[21 + size : 18 + length]
    assert (table + more)[20 + size] == len(name)
    for found in (provider, name):
        assert text.startswith(found.lstrip(b"\x15").decode()) and len(found) >= min(len(text), 59)


def test_muxer_lets_the_packets_go(backend, tmp_path):
    packets = encode(backend, "h264", 3)
    with Muxer(tmp_path / "a.mp4", codec="h264", fps=25) as muxer:
        muxer.write_all(packets)
        for packet in packets:
            packet.release()  # BufferError if the muxer kept a view
    assert len(clips.read_video(tmp_path / "a.mp4")[2]) == 3


def test_muxer_writes_aspect_ratio_and_color(backend, tmp_path):
    import av

    path = tmp_path / "a.mp4"
    options = {"sample_aspect_ratio": Fraction(16, 11), "color": ColorTags(1, 1, 1)}
    with Muxer(path, codec="h264", fps=25, **options) as muxer:
        muxer.write_all(encode(backend, "h264", 3))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert stream.sample_aspect_ratio == Fraction(16, 11)
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)


@pytest.mark.parametrize("container", ["mkv", "ts"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_muxer_tells_the_shape_of_pixels_in_the_stream_where_pyav_gives_no_other_place(
    backend, tmp_path, codec, container
):
    import av

    path = tmp_path / f"a.{container}"
    with Muxer(path, codec=codec, fps=25, sample_aspect_ratio=Fraction(16, 11)) as muxer:
        muxer.write_all(encode(backend, codec, 9))
    with av.open(str(path)) as film:
        assert film.streams.video[0].sample_aspect_ratio == Fraction(16, 11)
        assert len(list(film.decode(video=0))) == 9


def ticks(seconds, unit):
    return max(1, round(Fraction(seconds) / unit))


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska", "mpegts", "flv", "fragmented mp4", "fragmented mov"])
@pytest.mark.parametrize(
    "name", ["plain", "late", "far", "day", "pause", "hour", "half-day", "day-pause", "weeks", "edge", "close"]
)
@pytest.mark.parametrize(
    "unit", [Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 10**6), Fraction(1, 10**9), Fraction(1001, 30000)]
)
def test_muxer_writes_the_times_or_raises_at_the_packet(backend, format, name, unit):
    import av

    step = ticks("0.04", unit)
    first, gap = {
        "plain": (0, step),
        "late": (step + 1, step),
        "far": (ticks(3601, unit) + 7, step),
        "day": (ticks(90000, unit), step),
        "pause": (0, ticks("2.3", unit)),
        "hour": (0, ticks(3600, unit)),
        "half-day": (0, ticks(50000, unit)),
        "day-pause": (0, ticks(100000, unit)),
        "weeks": (ticks(20 * 86400, unit), ticks(20 * 86400, unit)),
        "edge": (0, 2**31 - 1),
        "close": (0, 1),
    }[name]
    times = [first, first + gap, first + gap + step]
    file = io.BytesIO()
    written = 0
    fragmented, format = format.startswith("fragmented"), format.rpartition(" ")[2]
    try:
        with Muxer(file, codec="h264", fps=25, format=format, time_base=unit, fragmented=fragmented) as muxer:
            for packet, pts in zip(encode(backend, "h264", 3), times):
                muxer.write(packet, pts=pts)
                written += 1
    except MediaError as error:
        assert written in (0, 1, 2) and str(times[written]) in str(error)
    if not written:
        return
    file.seek(0)
    with av.open(file, format="mov" if format == "mov" else format) as container:
        stream = container.streams.video[0]
        seen = [packet.pts * stream.time_base for packet in container.demux(stream) if packet.size]
    wanted = [pts * unit for pts in times[:written]]
    if format == "mpegts":  # it begins where it likes
        seen, wanted = [time - seen[0] for time in seen], [time - wanted[0] for time in wanted]
    clock = CLOCKS.get(format, max(unit, Fraction(1, 10**6)))
    assert len(seen) == written
    assert all(abs(time - right) <= clock for time, right in zip(seen, wanted))


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska", "mpegts"])
def test_muxer_refuses_times_that_no_file_holds(backend, format):
    (packet,) = encode(backend, "h264", 1)
    for pts, words in ((-1, "negative"), (2**62, "years")):
        muxer = Muxer(io.BytesIO(), codec="h264", fps=25, format=format)
        with muxer, pytest.raises(MediaError, match=words):
            muxer.write(packet, pts=pts)


@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_muxer_of_a_format_that_seeks_refuses_a_file_that_cannot(tmp_path, format):
    import os

    read, write = os.pipe()
    with open(read, "rb"), open(write, "wb") as pipe, pytest.raises(MediaError, match="seek"):
        Muxer(pipe, codec="h264", fps=25, format=format)


def test_parameter_sets_are_taken_out_of_whatever_comes(backend):
    from ascend_venc.media.parameter_sets import without_parameter_sets

    assert without_parameter_sets(b"\0\0\0\1") == b""
    assert without_parameter_sets(b"\0\0\0\1\x40\1a\0\0\1") == b""
    assert without_parameter_sets(b"") == b""
    assert without_parameter_sets(b"\0\0\1\x40\1a\0\0\1\x26\1b") == b"\0\0\0\1\x26\1b"


class FileThatBreaks(io.BytesIO):
    broken = False

    def write(self, data):
        if self.broken:
            raise OSError(errno.ENOSPC, "full")
        return super().write(data)


@pytest.mark.parametrize("format", ["mp4", "matroska", "mpegts", "flv"])
def test_file_that_breaks_for_good_is_told_once_and_nothing_is_printed(backend, format, capsys):
    class File(FileThatBreaks):
        def seek(self, *place):
            if self.broken:
                raise OSError(errno.ENOSPC, "full")
            return super().seek(*place)

    file, packets = File(), encode(backend, "h264", 60)
    with pytest.raises(OSError, match="full"), Muxer(file, codec="h264", fps=25, format=format) as muxer:
        muxer.write(packets[0])
        file.broken = True
        for packet in packets[1:]:
            muxer.write(packet)
        muxer.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("first", [None, KeyError])
def test_muxer_with_a_file_that_breaks_at_the_end_raises_what_came_first(backend, first):
    file = FileThatBreaks()
    (packet,) = encode(backend, "h264", 1)

    def write():
        with Muxer(file, codec="h264", fps=25, format="mp4") as muxer:
            muxer.write(packet)
            file.broken = True
            if first is not None:
                raise first

    with pytest.raises(first or OSError) as caught:
        write()
    assert first is not None or caught.value.errno == errno.ENOSPC


def test_muxer_with_a_file_that_breaks_on_the_way_raises_its_error(backend):
    file = FileThatBreaks()
    (packet,) = encode(backend, "h264", 1)

    def write():
        with Muxer(file, codec="h264", fps=25, format="mpegts", time_base=Fraction(1, 25)) as muxer:
            for pts in range(500):
                muxer.write(packet, pts=pts)
                file.broken = pts > 10

    with pytest.raises(OSError, match="full"):
        write()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_colors_of_the_container_count_where_the_stream_tells_a_range_only(backend, tmp_path, codec):
    path, entry = tmp_path / "a.mp4", {"h264": b"avc1", "h265": b"hvc1"}[codec]
    with Muxer(path, codec=codec, fps=25, color=ColorTags()) as muxer:
        muxer.write_all(encode(backend, codec, 3))
    box = struct.pack(">I4s4s3HB", 19, b"colr", b"nclx", 5, 6, 6, 0)
    path.write_bytes(clips.with_sample_entry_box(path.read_bytes(), entry, box))
    with ContainerReader(path) as reader:
        assert reader.color == ColorTags(5, 6, 6)


def test_container_reader_keeps_a_variable_frame_rate(tmp_path):
    path = clips.write_video(tmp_path / "a.mkv", UNEVEN)
    with ContainerReader(path) as source:
        assert (source.width, source.height, source.pixel_format) == (128, 128, "nv12")
        frames = list(source)
        assert [frame.pts * source.time_base for frame in frames] == [Fraction(pts, 1000) for pts in UNEVEN]
    for index, frame in enumerate(frames):
        luma = np.asarray(frame.data)[:128]
        assert clips.psnr(luma, clips.i420(128, 128, index)[0]) > 25
        assert frame.data.shape == (192, 128) and frame.data.flags.c_contiguous


def test_container_reader_counts_from_the_first_frame(tmp_path):
    path = clips.write_video(tmp_path / "a.mkv", [5000, 5040, 5080])
    with ContainerReader(path) as source:
        assert [frame.pts * source.time_base for frame in source] == [0, Fraction(40, 1000), Fraction(80, 1000)]


def test_container_reader_with_b_frames_gives_presentation_order(tmp_path):
    path = clips.write_video(tmp_path / "a.mp4", range(20), Fraction(1, 25), options={"bf": "2"})
    with ContainerReader(path) as source:
        frames = list(source)
        assert [frame.pts * source.time_base for frame in frames] == [Fraction(index, 25) for index in range(20)]
        assert source.frame_count == 20 and source.fps == 25


def lumas_and_times(path):
    with ContainerReader(path) as reader:
        frames = [(int(np.median(frame.data[:128])), frame.pts * reader.time_base) for frame in reader]
    return [luma for luma, _ in frames], [time for _, time in frames]


@pytest.mark.parametrize("p_frames", [1, 15])
@pytest.mark.parametrize(
    ("suffix", "codec", "fps"),
    [
        ("avi", "libx264", 25),
        ("avi", "libx264", Fraction(30000, 1001)),
        ("avi", "mpeg1video", 25),
        ("asf", "libx264", 25),
        ("wmv", "mpeg2video", 25),
        ("mxf", "libx264", 25),
        ("mxf", "mpeg2video", 25),
    ],
)
def test_container_reader_of_times_of_decoding_gives_each_picture_its_own(tmp_path, suffix, codec, fps, p_frames):
    """AVI and ASF hold these only, MXF for some codecs; FFmpeg gives them to other pictures."""
    import av

    path = tmp_path / f"a.{suffix}"
    options = {"bf": "3", "b_strategy": "0", "b": "2M", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        for index in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((192, 128), 20 + 7 * index, np.uint8), format="yuv420p")
            picture.pts, picture.pict_type = index, 0 if index >= p_frames else 2 if index else 1
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    lumas, times = lumas_and_times(path)
    assert len(lumas) == 30
    assert all(abs(luma - 20 - 7 * index) <= 3 for index, luma in enumerate(lumas))
    assert all(abs(time - index / Fraction(fps)) <= Fraction(1, 1000) for index, time in enumerate(times))


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "ts"])
def test_container_whose_packager_counted_packets_shows_pictures_in_step(tmp_path, suffix):
    """Pictures that are reordered, each packet of which has the time of its place: every second one came too late."""
    import av

    with av.open(io.BytesIO(), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3", "x264-params": "b-adapt=0"})
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        packets = []
        for index in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((192, 128), 20 + 7 * index, np.uint8), format="yuv420p")
            picture.pts = index
            packets += stream.encode(picture)
        packets += stream.encode()
        with av.open(str(tmp_path / f"a.{suffix}"), "w") as output:
            copy = output.add_stream("libx264", rate=25)
            copy.width, copy.height, copy.pix_fmt = 128, 128, "yuv420p"
            for index, packet in enumerate(packets):
                packet.pts = packet.dts = index
                packet.time_base, packet.stream = Fraction(1, 25), copy
                output.mux(packet)
    lumas, times = lumas_and_times(tmp_path / f"a.{suffix}")
    assert all(abs(luma - 20 - 7 * index) <= 3 for index, luma in enumerate(lumas))
    assert times == [Fraction(index, 25) for index in range(30)]


def test_container_reader_given_rate_replaces_the_times(tmp_path):
    path = clips.write_video(tmp_path / "a.mkv", UNEVEN)
    with ContainerReader(path, fps=Fraction(50)) as source:
        assert [frame.pts * source.time_base for frame in source] == [Fraction(n, 50) for n in range(len(UNEVEN))]


def test_container_reader_truncated_file_is_named(tmp_path):
    path = clips.write_video(
        tmp_path / "a.mp4", range(20), Fraction(1, 25), container_options={"movflags": "faststart"}
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(MediaError, match="cut off"):
        ContainerReader(path)


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 50, bytes(range(256)) * 64])
def test_container_reader_of_no_video_is_named(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(MediaError, match="not a video"):
        ContainerReader(tmp_path / "a.mp4")


def test_container_reader_of_audio_alone_is_named(tmp_path):
    import wave

    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    with pytest.raises(MediaError, match="no video"):
        ContainerReader(tmp_path / "a.wav")


def test_container_reader_last_picture_of_a_slide_show_stays_as_long_as_it_says(tmp_path):
    """Ten seconds are a jump in formats alone whose clock may start anew."""
    pictures = [clips.av_frame(np.full((192, 128), 60 * index, np.uint8)).reformat(format="rgb8") for index in range(4)]
    path = clips.write_pictures(tmp_path / "a.gif", pictures, codec="gif", rate=10, time_base=Fraction(1, 10))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"\x21\xf9\x04") + 4
    data[at : at + 2] = (3000).to_bytes(2, "little")  # hundredths of a second
    path.write_bytes(data)
    with ContainerReader(path) as source:
        frames = [(frame.pts * source.time_base, frame.duration * source.time_base) for frame in source]
    assert frames == [(Fraction(index, 10), Fraction(1, 10)) for index in range(3)] + [(Fraction(3, 10), 30)]
