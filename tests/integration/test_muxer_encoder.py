# SPDX-License-Identifier: Apache-2.0
"""A `Muxer` that knows its encoder: codec, rate, times and colours come out right without being said twice."""

import io
import warnings
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import AnnexBWriter, ColorTags, Muxer
from helpers.color import LUMA_WEIGHTS

av = pytest.importorskip("av", reason="PyAV is not installed")

pytestmark = pytest.mark.sim_only

COLORS = ((200, 30, 30), (30, 160, 60), (20, 40, 180))
REPEAT = {"ts": 12}  # a shorter film of one colour is too small for FFmpeg to see that it is MPEG-TS


def film(target, size=(1280, 720), codec="h264", fps=25, muxer=None, repeat=1, **options):
    """Encode pictures of each colour and write them; return the file."""
    width, height = size
    options = {"pixel_format": "rgb24", "bitrate": "8M", **options}
    enc = venc.Encoder(width, height, codec=codec, fps=fps, backend="sim", **options)
    with enc, Muxer(target, **(muxer or {"encoder": enc})) as mux:
        for color in (color for color in COLORS for _ in range(repeat)):
            mux.write_all(enc.encode(np.full((height, width, 3), color, np.uint8)))
        mux.write_all(enc.flush())
    return target


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        colors = [mean_color(frame) for frame in frames]
        return frames, colors


def mean_color(frame):
    """The colour of a picture that has one only. An older PyAV converts as it likes: then by what the frame says."""
    if hasattr(frame, "color_primaries"):
        return frame.to_ndarray(format="rgb24").mean(axis=(0, 1))
    planes = frame.to_ndarray().astype(float)
    y, u, v = planes[: frame.height].mean(), *(part.mean() for part in np.array_split(planes[frame.height :], 2))
    luma, chroma, floor = (1, 1, 0) if int(frame.color_range) == 2 else (219 / 255, 224 / 255, 16)
    red, blue = LUMA_WEIGHTS["bt709" if int(frame.colorspace) == 1 else "bt601"]
    y, cb, cr = (y - floor) / luma, (u - 128) / chroma, (v - 128) / chroma
    r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
    return np.array([r, (y - red * r - blue * b) / (1 - red - blue), b])


def tags_of(frame):
    """Primaries, transfer, matrix; an older PyAV tells the matrix of a frame only."""
    names = [name for name in ("color_primaries", "color_trc", "colorspace") if hasattr(frame, name)]
    return [int(getattr(frame, name)) for name in names]


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("size", [(1280, 144), (1278, 144)])  # the width from which it is BT.709
def test_rgb_comes_back_in_its_colours(tmp_path, suffix, codec, size):
    repeat = REPEAT.get(suffix, 2)
    frames, colors = decoded(film(tmp_path / f"film.{suffix}", size, codec, repeat=repeat, gop=2))
    assert len(frames) == len(COLORS) * repeat
    for seen, wanted in zip(colors[::repeat], COLORS):
        assert np.abs(seen - wanted).max() <= 3, (seen, wanted)
    assert {int(frame.colorspace) for frame in frames} == {1 if size[0] == 1280 else 6}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(("matrix", "code"), [("bt601", 6), ("bt709", 1)])
@pytest.mark.parametrize("color_range", ["limited", "full"])
def test_the_matrix_and_range_of_the_conversion_are_told(tmp_path, suffix, matrix, code, color_range):
    options = {"color_matrix": matrix, "color_range": color_range, "gop": 2}
    repeat = REPEAT.get(suffix, 2)
    frames, colors = decoded(film(tmp_path / f"film.{suffix}", (256, 144), repeat=repeat, **options))
    assert {int(frame.colorspace) for frame in frames} == {code}
    assert {int(frame.color_range) for frame in frames} <= ({2} if color_range == "full" else {0, 1})
    for seen, wanted in zip(colors[::repeat], COLORS):
        assert np.abs(seen - wanted).max() <= 3, (seen, wanted)


def test_rgb_of_hd_without_an_encoder_is_told_as_players_take_it(tmp_path):
    frames, colors = decoded(film(tmp_path / "film.mp4", muxer={"codec": "h264", "fps": 25}, vui=False))
    assert {int(frame.colorspace) for frame in frames} == {1}
    assert np.abs(colors[0] - COLORS[0]).max() <= 3
    frames, _ = decoded(film(tmp_path / "small.mp4", (640, 360), muxer={"codec": "h264", "fps": 25}, vui=False))
    assert {int(frame.colorspace) for frame in frames} == {2}
    frames, _ = decoded(
        film(tmp_path / "none.mp4", muxer={"codec": "h264", "fps": 25, "color": ColorTags()}, vui=False)
    )
    assert {int(frame.colorspace) for frame in frames} == {2}


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("size", [(1280, 720), (128, 128)])
def test_what_the_stream_tells_is_told_by_the_container_too(tmp_path, codec, size):
    options = {"color": venc.ColorInfo(1, 13, 6, "full"), "sample_aspect_ratio": "4:3"}
    for suffix in ("mp4", "mov", "mkv"):
        path = film(tmp_path / f"film.{suffix}", size, codec, muxer={"codec": codec, "fps": 25}, **options)
        with av.open(str(path)) as container:  # before anything is decoded
            context = container.streams.video[0].codec_context
            found = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        assert found == (1, 13, 6, 2)
        frames, colors = decoded(path)
        assert np.abs(colors[0] - COLORS[0]).max() <= 3
        for frame in frames:
            assert tags_of(frame) == [1, 13, 6][-len(tags_of(frame)) :]


def test_yuv_frames_keep_what_is_said_of_them(tmp_path):
    path = tmp_path / "film.mp4"
    enc = venc.Encoder(640, 360, codec="h264", backend="sim", color_matrix="bt709")
    with enc, Muxer(path, encoder=enc) as mux:
        mux.write_all(enc.encode(bytes(640 * 540)) + enc.flush())
    frames, _ = decoded(path)
    assert int(frames[0].colorspace) == 2, "the matrix is that of a conversion, and there was none"
    enc = venc.Encoder(640, 360, codec="h264", backend="sim")
    with enc, Muxer(path, encoder=enc, color=ColorTags(9, 18, 9)) as mux:
        mux.write_all(enc.encode(bytes(640 * 540)) + enc.flush())
    frames, _ = decoded(path)
    assert tags_of(frames[0]) == [9, 18, 9][-len(tags_of(frames[0])) :]


@pytest.mark.parametrize("fps", [25, 29.97, "23.976", 480])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_codec_rate_and_times_are_the_encoder_s(tmp_path, fps, codec):
    path = film(tmp_path / "film.mp4", (128, 128), codec, fps)
    rate = venc.config.parse_fps(fps)
    with av.open(str(path)) as container:  # open while its stream is asked
        stream = container.streams.video[0]
        assert stream.codec_context.name == {"h264": "h264", "h265": "hevc"}[codec]
        assert stream.average_rate == rate
        assert stream.duration * stream.time_base == 3 / rate, "the last packet's own duration"
        frames = list(container.decode(stream))
        assert [frame.pts * stream.time_base for frame in frames] == [Fraction(n) / rate for n in range(3)]


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_h265_in_mp4_takes_no_pictures_of_another_size(tmp_path, suffix):
    """There is one parameter set for all, in the header: they were decoded by that of the first, as something else."""
    path = tmp_path / f"film.{suffix}"
    with venc.Encoder(128, 128, codec="h265", backend="sim") as enc, Muxer(path, encoder=enc) as mux:
        mux.write_all(enc.encode(bytes(128 * 192)) + enc.encode(bytes(128 * 192)) + enc.flush())
        enc.reconfigure(width=192, height=160)
        (packet,) = enc.encode(bytes(192 * 240)) + enc.flush()
        with pytest.raises(venc.MediaError, match=f"size: H.265 in {suffix} keeps one set for all; write mkv or ts"):
            mux.write(packet)
        enc.reconfigure(width=128, height=128)
        mux.write_all(enc.encode(bytes(128 * 192)) + enc.flush())
    frames, _ = decoded(path)
    assert [(frame.width, frame.height) for frame in frames] == [(128, 128)] * 3


@pytest.mark.parametrize(
    "change", [{"fps": 240, "bitrate": "100M"}, {"fps": 1, "bitrate": "2k"}, {"gop": 1, "rc": "cbr"}]
)
def test_h265_in_mp4_takes_pictures_behind_other_changes(tmp_path, change):
    """Whatever level, tier and frame rate the new parameter sets tell."""
    path = tmp_path / "film.mp4"
    clip = [np.random.default_rng(n).integers(60, 200, (192, 128), np.uint8) for n in range(2)]
    with venc.Encoder(128, 128, codec="h265", bitrate="4M", backend="sim") as enc, Muxer(path, encoder=enc) as mux:
        packets = enc.encode(clip[0]) + enc.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", venc.BitRateWarning)
            enc.reconfigure(**change)
        packets += enc.encode(clip[1], key_frame=True) + enc.flush()
        mux.write_all(packets)
    assert [packet.is_keyframe for packet in packets] == [True, True]
    assert len(decoded(path)[0]) == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("rates", [(25, 50, 30), (30, 10, 60), (29.97, 59.94, 25)])
def test_change_of_rate_keeps_each_packet_s_own_time(tmp_path, suffix, rates):
    """In units of the first packet's time base, packets of a higher rate would come together in pairs."""
    path, packets = tmp_path / f"film.{suffix}", []
    with venc.Encoder(128, 128, codec="h264", fps=rates[0], backend="sim") as enc, Muxer(path, encoder=enc) as mux:
        for rate in rates:
            enc.reconfigure(fps=rate)
            for _ in range(3):
                packets += enc.encode(bytes(128 * 192))
        packets += enc.flush()
        mux.write_all(packets)
    with av.open(str(path)) as file:
        found = [float(packet.pts * packet.time_base) for packet in file.demux(video=0) if packet.size]
    expected = [float(packet.pts * packet.time_base) for packet in packets]
    assert np.allclose(np.array(found) - found[0], expected, atol={"mkv": 0.0006}.get(suffix, 0.0001))


def test_change_of_rate_keeps_each_packet_s_own_duration(tmp_path):
    path = tmp_path / "film.mkv"
    with venc.Encoder(128, 128, codec="h264", fps=50, backend="sim") as enc, Muxer(path, encoder=enc) as mux:
        mux.write_all(enc.encode(bytes(128 * 192)))
        enc.reconfigure(fps=10)
        mux.write_all(enc.encode(bytes(128 * 192)) + enc.flush())
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(video=0) if packet.size]
        assert float(packets[-1].duration * packets[-1].time_base) == pytest.approx(0.1, abs=0.002)


def test_names_that_others_use_are_taken_in_any_case():
    for codec in ("hevc", "HEVC", "H.265", "h265"):
        with Muxer(io.BytesIO(), codec=codec, fps="29.97", format="MKV") as mux:
            assert (mux._codec, mux._fps, mux._format) == ("h265", Fraction(30000, 1001), "matroska")
    with Muxer(io.BytesIO(), codec="AVC", fps=25.0, format="ts") as mux:
        assert (mux._codec, mux._format) == ("h264", "mpegts")
    with pytest.raises(venc.InvalidArgumentError, match='did you mean "h264"'):
        Muxer(io.BytesIO(), codec="libx264", fps=25, format="mp4")


def test_what_contradicts_the_encoder_or_is_missing_is_refused(tmp_path):
    with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
        with pytest.raises(venc.InvalidArgumentError, match="'h265', and the encoder's is 'h264'"):
            Muxer(tmp_path / "film.mp4", encoder=enc, codec="hevc")
        with pytest.raises(venc.InvalidArgumentError, match="codec and fps are missing"):
            Muxer(tmp_path / "film.mp4", codec="h264")
    assert not (tmp_path / "film.mp4").exists()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_bare_stream_tells_its_colours_at_each_key_frame_and_nothing_else_changes(tmp_path, codec):
    with venc.Encoder(128, 128, codec=codec, gop=2, backend="sim") as enc:
        packets = [packet for n in range(4) for packet in enc.encode(bytes([60 + n]) * (128 * 192))] + enc.flush()
    plain, told = tmp_path / f"plain.{codec}", tmp_path / f"told.{codec}"
    for path, color in ((plain, None), (told, ColorTags(9, 18, 9))):
        with AnnexBWriter(path, codec=codec, color=color) as out:
            for packet in packets:
                out.write(packet)
    assert plain.read_bytes() == b"".join(map(bytes, packets))
    pictures = []
    for path, tags in ((plain, [2, 2, 2]), (told, [9, 18, 9])):
        with av.open(str(path)) as file:
            frames = list(file.decode(video=0))
        assert len(frames) == 4
        for frame in (frames[0], frames[2]):
            assert tags_of(frame) == tags[-len(tags_of(frame)) :]
        pictures.append([bytes(plane) for frame in frames for plane in frame.planes])
    assert pictures[0] == pictures[1]
    with pytest.raises(venc.InvalidArgumentError, match="codec is missing"):
        AnnexBWriter(io.BytesIO(), color=ColorTags(1, 1, 1))
