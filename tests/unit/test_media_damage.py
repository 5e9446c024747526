# SPDX-License-Identifier: Apache-2.0
"""Files that are damaged, cut off, or strange: the right film, or one exception that says what is wrong."""

import io
import re
import struct
from fractions import Fraction

import numpy as np
import pytest

from ascend_venc.media import ContainerReader, MediaError, open_video
from ascend_venc.media.container import listening_to_ffmpeg
from ascend_venc.media.transport_stream import ends_within_a_unit
from helpers import clips, processes

CAVLC = {"preset": "ultrafast", "bf": "0", "g": "250"}


def noise(index, width=128, height=128):
    """A picture that moves and takes some bytes in every frame."""
    rng = np.random.default_rng(index)
    luma = clips.i420(width, height, index)[0].astype(int) + rng.integers(-20, 20, (height, width))
    chroma = np.full((height // 2, width), 128)
    return np.concatenate([np.clip(luma, 16, 235), chroma]).astype(np.uint8)


def film(path, count=30, codec="libx264", options=None, mux_options=None):
    pictures = [clips.av_frame(noise(index)) for index in range(count)]
    return clips.write_pictures(path, pictures, codec=codec, options=mux_options, codec_options=options or CAVLC)


def read(path, **options):
    with open_video(path, **options) as source:
        frames = [(frame.pts, frame.duration) for frame in source]
        return source, frames


def spoil(path, begin, count=80):
    data = bytearray(path.read_bytes())
    data[begin : begin + count] = b"\x5a" * count
    path.write_bytes(data)
    return path


def packet_places(path):
    import av

    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]


# ---- what PyAV lets out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "mpeg4"), ("a.mkv", "mpeg4"), ("a.mov", "mpeg4"), ("a.ts", "mpeg2video")]
)
def test_tags_that_are_not_utf8_are_no_obstacle(tmp_path, name, codec):
    tag = {"a.mov": "handler_name", "a.ts": "service_name"}.get(name, "title")
    path = clips.write_pictures(
        tmp_path / name,
        [clips.av_frame(noise(index)) for index in range(3)],
        codec=codec,
        metadata={tag: "cafeXX"},
    )
    data = path.read_bytes()
    assert b"cafeXX" in data
    path.write_bytes(data.replace(b"cafeXX", b"caf\xe9\xce\xe1"))
    assert len(read(path)[1]) == 3


def photo(orientation, order="<"):
    import av

    picture = clips.av_frame(np.zeros((96, 96), np.uint8), "yuvj420p")
    luma = np.full((64, 96), 40, np.uint8)
    luma[:32, :48] = 200  # top left
    luma[:32, 48:] = 120  # top right
    for plane, data in zip(picture.planes, (luma, np.full((32, 48), 128, np.uint8), np.full((32, 48), 128, np.uint8))):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = data
        plane.update(padded.tobytes())
    picture.pts, picture.color_range = 0, 2
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 96, 64, "yuvj420p", Fraction(1, 25)
    data = b"".join(bytes(packet) for packet in [*context.encode(picture), *context.encode(None)])
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + mark + entry
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("orientation", "corners"),  # top left, top right, bottom left of what is shown: 1 bright, 2 middle, 3 dark
    [(1, "123"), (2, "213"), (3, "332"), (4, "331"), (5, "132"), (6, "313"), (7, "323"), (8, "231")],
)
def test_exif_turns_a_photo(tmp_path, orientation, corners, order):
    path = tmp_path / "a.jpg"
    path.write_bytes(photo(orientation, order))
    with ContainerReader(path) as source:
        (frame,) = source
        assert (source.width, source.height) == ((64, 96) if orientation > 4 else (96, 64))
    luma = np.asarray(frame.data)[: source.height]
    shown = "".join(
        "1" if value > 150 else "2" if value > 90 else "3" for value in (luma[8, 8], luma[8, -8], luma[-8, 8])
    )
    assert shown == corners


@pytest.mark.parametrize(
    "raised",
    [
        UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"),
        ValueError("31 is not a valid Type"),
        AssertionError("Container is not open"),
        RuntimeError("odd"),
        NotImplementedError(),
        OverflowError("too large"),
        KeyError("x"),
        TypeError("argument"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("where", ["open", "decode", "convert"])
def test_whatever_pyav_raises_is_a_media_error_that_tells_it(tmp_path, monkeypatch, raised, where):
    import av

    def fail(*args, **kwargs):
        raise raised

    path = film(tmp_path / "a.mp4", 5)
    if where == "open":
        monkeypatch.setattr(av, "open", fail)
        with pytest.raises(MediaError, match=type(raised).__name__):
            ContainerReader(path)
        return
    with ContainerReader(path) as source:
        if where == "decode":
            monkeypatch.setattr(source, "_read_ahead", fail)
        else:
            monkeypatch.setattr(source, "_to_nv12", fail)
        with pytest.raises(MediaError, match=type(raised).__name__):
            list(source)


@pytest.mark.parametrize("where", ["open", "decode", "convert"])
def test_memory_that_a_file_claims_is_its_damage_and_memory_that_python_lacks_is_not(tmp_path, monkeypatch, where):
    """FFmpeg asks for as much as a damaged length says; where a limit is in the way its error is like Python's."""
    import av

    path = film(tmp_path / "a.mp4", 5)
    for raised, kind in (
        (av.error.MemoryError(12, "Cannot allocate memory", str(path)), MediaError),
        (MemoryError(), MemoryError),
    ):

        def fail(*args, raised=raised, **kwargs):
            raise raised

        if where == "open":
            with monkeypatch.context() as patched, pytest.raises(kind) as caught:
                patched.setattr(av, "open", fail)
                ContainerReader(path)
        else:
            with ContainerReader(path) as source:
                monkeypatch.setattr(source, "_read_ahead" if where == "decode" else "_to_nv12", fail)
                with pytest.raises(kind) as caught:
                    list(source)
        assert type(caught.value) is kind
        assert kind is MemoryError or "Cannot allocate memory" in str(caught.value)


def test_another_package_named_av_is_told_from_pyav(tmp_path, monkeypatch):
    import sys
    import types

    path = film(tmp_path / "a.mp4", 2)
    other = types.ModuleType("av")
    other.__path__ = []
    monkeypatch.setitem(sys.modules, "av", other)
    monkeypatch.setitem(sys.modules, "av.logging", types.ModuleType("av.logging"))
    with pytest.raises(MediaError, match="PyAV"):
        ContainerReader(path)


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 10, 29])
def test_damaged_slice_is_an_error_or_is_counted(tmp_path, number):
    path = film(tmp_path / "a.mp4")
    place, size = packet_places(path)[number]
    spoil(path, place + size // 3, min(80, size // 3))
    with pytest.raises(MediaError, match=r"frame \d+ (is damaged|cannot be decoded)"):
        read(path)
    source, frames = read(path, tolerant=True)
    assert source.damaged >= 1
    assert len(frames) >= 29


def test_damaged_header_of_the_last_packet_is_an_error(tmp_path):
    path = film(tmp_path / "a.mp4")
    place, _ = packet_places(path)[-1]
    spoil(path, place, 8)
    with pytest.raises(MediaError, match="frame 29 cannot be decoded"):
        read(path)
    source, frames = read(path, tolerant=True)
    assert (source.damaged, len(frames)) == (1, 29)


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mpg"])
def test_file_that_ends_within_a_frame_is_an_error_or_is_counted(tmp_path, name):
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    path = film(tmp_path / name, codec=codec, options={} if codec == "mpeg2video" else None)
    place, size = packet_places(path)[15]
    end = place + max(size // 2, 200)
    if name == "a.ts":
        end = end // 188 * 188  # at the end of a packet
    path.write_bytes(path.read_bytes()[:end])
    told = {"a.ts": r"frame \d+ ", "a.flv": "cut off: its last packet lacks", "a.mpg": "cut off within its last"}
    with pytest.raises(MediaError, match=told[name]):
        read(path)
    source, frames = read(path, tolerant=True)
    assert source.damaged >= 1 or source.notes
    assert 14 <= len(frames) <= 16


def test_samples_that_are_not_there_are_an_error_or_are_noted(tmp_path):
    path = clips.write_video(
        tmp_path / "a.mp4", range(30), Fraction(1, 25), container_options={"movflags": "faststart"}
    )
    data = path.read_bytes()
    at = data.index(b"mdat") - 4
    cut = bytearray(data[: at + (len(data) - at) // 2])
    cut[at : at + 4] = bytes(4)
    path.write_bytes(cut)
    with pytest.raises(MediaError, match=f"cut off: {len(cut)} of {len(data)} bytes"):
        read(path)
    source, frames = read(path, tolerant=True)
    assert 0 < len(frames) < 30
    assert any("cut off" in note for note in source.notes)


def test_film_of_which_no_frame_can_be_decoded_says_so(tmp_path):
    """FFmpeg gives no picture of a PNG that is cut off, nor an error."""
    picture = clips.av_frame(noise(0)).reformat(format="rgb24")
    path = clips.write_pictures(tmp_path / "a.png", [picture], codec="png", options={"update": "1"})
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(MediaError, match="none of its frames can be decoded"):
        open_video(path)


def test_stream_that_is_joined_midway_begins_at_its_first_key_frame(tmp_path):
    path = film(tmp_path / "a.ts", 60, options={**CAVLC, "g": "20"})
    places = [place for place, _ in packet_places(path)]
    path.write_bytes(path.read_bytes()[: 188 * 2] + path.read_bytes()[places[7] :])  # with its tables
    source, frames = read(path)
    assert len(frames) == 40
    assert [pts for pts, _ in frames[:3]] == [0, 3600, 7200]
    assert source.damaged == 0
    assert any("running stream" in note for note in source.notes)


def test_two_transport_streams_in_one_are_no_damage(tmp_path):
    data = film(tmp_path / "a.ts", 20).read_bytes()
    (tmp_path / "b.ts").write_bytes(data * 3)
    source, frames = read(tmp_path / "b.ts")
    assert [pts for pts, _ in frames] == [3600 * index for index in range(60)]
    assert {duration for _, duration in frames} == {3600}
    assert source.damaged == 0


def test_reading_damage_with_pyavs_log_turned_on_ends(tmp_path):
    path = film(tmp_path / "a.mp4")
    place, size = packet_places(path)[10]
    spoil(path, place + size // 3, size // 3)
    program = (
        "import sys, av.logging; from ascend_venc.media import open_video\n"
        "av.logging.set_level(av.logging.VERBOSE)\n"
        "with open_video(sys.argv[1], tolerant=True) as source: print(len(list(source)))\n"
    )
    assert processes.run(program, path, timeout=30).stdout.strip() in ("29", "30")  # as the FFmpeg has it


@pytest.mark.parametrize("number", [20, 28, 29])
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_sample_of_no_bytes_shows_the_picture_before_it_longer(tmp_path, name, number):
    path = clips.write_pictures(
        tmp_path / name, [clips.av_frame(noise(n), "yuvj420p") for n in range(30)], codec="mjpeg"
    )
    data = bytearray(path.read_bytes())
    sizes = data.index(b"stsz") + 16
    for at in range(sizes + 4 * number, sizes + 4 * min(number + 2, 30), 4):  # its bytes are the sample's before it
        before = int.from_bytes(data[sizes + 4 * number - 4 : sizes + 4 * number], "big")
        before += int.from_bytes(data[at : at + 4], "big")
        data[sizes + 4 * number - 4 : sizes + 4 * number] = before.to_bytes(4, "big")
        data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    empty = min(2, 30 - number)
    source, frames = read(path)
    assert len(frames) == 30 - empty and source.notes == () and source.damaged == 0
    ticks = Fraction(1, 25) / source.time_base
    assert frames[number - 1] == ((number - 1) * ticks, (1 + empty) * ticks)
    assert sum(frames[-1]) == 30 * ticks
    assert read(path, tolerant=True)[1] == frames
    with open_video(path) as source:
        assert len(source.moments()) == 30 - empty


# ---- times -----------------------------------------------------------------------------------------------------------


def test_last_frame_lasts_as_long_as_it_says_and_not_what_another_films_header_leaves_over(tmp_path):
    path = film(tmp_path / "a.mp4", 10)
    data = bytearray(path.read_bytes())
    for kind in (b"mvhd", b"mdhd"):
        at = data.index(kind) + 4
        scale = int.from_bytes(data[at + 12 : at + 16], "big")
        data[at + 16 : at + 20] = (60 * scale).to_bytes(4, "big")
    at = data.index(b"tkhd") + 4
    data[at + 20 : at + 24] = (60 * 1000).to_bytes(4, "big")
    at = data.find(b"elst")
    if at >= 0:
        data[at + 12 : at + 16] = (60 * 1000).to_bytes(4, "big")
    path.write_bytes(data)
    source, frames = read(path)
    assert (frames[-1][0] + frames[-1][1]) * source.time_base == Fraction(10, 25)


def test_last_frame_of_an_mp4_with_b_frames_ends_with_its_track(tmp_path):
    path = clips.write_video(tmp_path / "a.mp4", [0, 40, 80, 200, 240], Fraction(1, 1000), options={"bf": "2"})
    source, frames = read(path)
    end = (frames[-1][0] + frames[-1][1]) * source.time_base
    assert Fraction(28, 100) <= end <= Fraction(36, 100)


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
@pytest.mark.parametrize("rate", [Fraction(50), Fraction(30000, 1001)])
def test_bare_stream_is_read_at_the_rate_that_it_tells(tmp_path, name, codec, rate):
    options = {"x265-params": "log-level=none", "preset": "ultrafast"} if codec == "libx265" else CAVLC
    pictures = [clips.av_frame(noise(index)) for index in range(10)]
    path = clips.write_pictures(
        tmp_path / name, pictures, codec=codec, time_base=1 / rate, rate=rate, codec_options=options
    )
    source, frames = read(path)
    assert source.fps == rate
    assert (frames[-1][0] + frames[-1][1]) * source.time_base == 10 / rate


@pytest.mark.parametrize(
    ("rate", "size", "pix_fmt"), [(Fraction(30000, 1001), (720, 480), "yuv411p"), (25, (720, 576), "yuv420p")]
)
def test_raw_dv_is_read_at_its_own_rate(tmp_path, rate, size, pix_fmt):
    import av

    pictures = [av.VideoFrame(*size, pix_fmt) for _ in range(5)]
    path = clips.write_pictures(tmp_path / "a.dv", pictures, codec="dvvideo", time_base=1 / Fraction(rate), rate=rate)
    source, frames = read(path)
    assert source.fps == rate
    assert [pts * source.time_base for pts, _ in frames] == [index / Fraction(rate) for index in range(5)]


def test_jump_ahead_of_a_clock_is_told_and_a_clock_that_starts_anew_is_not(tmp_path):
    pictures = [clips.av_frame(noise(index)) for index in range(6)]
    times = [0, 1, 2, 300, 301, 302]
    path = clips.write_pictures(tmp_path / "a.ts", pictures, codec="mpeg2video", times=times)
    source, frames = read(path)
    assert frames[-1][0] * source.time_base == Fraction(5, 25)
    assert source.notes == ("its clock jumps ahead, by 11.88 s in all, which are left out",)
    path = clips.write_pictures(tmp_path / "b.ts", pictures, codec="mpeg2video")
    path.write_bytes(path.read_bytes() * 2)
    source, frames = read(path)
    assert (len(frames), source.notes) == (12, ())


@pytest.mark.parametrize("repeated", [False, True])
def test_bare_mpeg2_whose_pictures_are_meant_for_unequal_times_tells_it(tmp_path, repeated):
    path = film(tmp_path / "a.m2v", 20, codec="mpeg2video", options={"flags": "+ildct", "bf": "0"})
    data = bytearray(path.read_bytes())
    extensions = [at for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\xb5" and data[at + 4] >> 4 == 8]
    assert len(extensions) == 20  # of the pictures
    for at in extensions[::2] if repeated else ():
        data[at + 7] |= 0x02  # repeat_first_field
        data[at + 8] |= 0x80  # progressive_frame, without which it cannot be
    path.write_bytes(data)
    source, frames = read(path)
    assert frames == [(index, 1) for index in range(20)]
    told = [note for note in source.notes if "unequal times" in note]
    assert told == ["its pictures are meant for unequal times, 1.00 s in all: they are evenly spaced"] * repeated
    assert [note for note in read(path, fps=25)[0].notes if "unequal" in note] == []


# ---- what the picture is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le"])
@pytest.mark.parametrize("color_range", [1, 2, None])
def test_grey_is_full_range_unless_it_is_tagged_limited(tmp_path, color_range, pix_fmt):
    import av

    samples = np.zeros((64, 64), np.uint8)
    samples[:, :32], samples[:, 32:] = (16, 235) if color_range == 1 else (0, 255)
    picture = av.VideoFrame(64, 64, pix_fmt)
    picture.planes[0].update((samples if pix_fmt == "gray" else samples.astype("<u2") << 2).tobytes())
    context = {"color_range": color_range} if color_range else {}
    path = clips.write_pictures(tmp_path / "a.mkv", [picture], **context)
    with ContainerReader(path) as source:
        (frame,) = source
    seen = np.asarray(frame.data)
    assert (seen[5, 5], seen[5, 40]) == (16, 235)
    assert set(seen[64:].reshape(-1).tolist()) == {128}


def test_cropping_that_the_container_tells_is_done(tmp_path):
    path = tmp_path / "a.mkv"
    clips.write_pictures(path, [clips.av_frame(noise(0))])
    path.write_bytes(clips.with_pixel_crop(path.read_bytes(), 8, 2, 4, 6))
    with ContainerReader(path) as source:
        (frame,) = source
        assert (source.width, source.height) == (116, 120)
    picture = np.asarray(frame.data)
    assert picture.shape == (180, 116)
    assert np.array_equal(picture[:120], noise(0)[2:122, 8:124])


def test_what_is_left_out_is_told(tmp_path):
    import av

    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A film"
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=8000)
        picture = av.VideoFrame(64, 64, "yuv420p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        container.mux(video.encode(picture))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        samples.sample_rate, samples.pts = 8000, 0
        container.mux(sound.encode(samples))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    with ContainerReader(path) as source:
        assert source.left_out == ("sound", "title")
    assert read(film(tmp_path / "b.mp4", 2))[0].left_out == ()


@pytest.mark.parametrize(("alpha", "told"), [(255, ()), (254, ("transparency",))])
def test_transparency_is_told_where_something_shows_through(tmp_path, alpha, told):
    import av

    pixels = np.full((64, 64, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[63, 63, 3] = alpha
    path = clips.write_pictures(tmp_path / "a.mov", [av.VideoFrame.from_ndarray(pixels, "rgba")], codec="png")
    assert read(path)[0].left_out == told


@pytest.mark.parametrize("side", [64, 512])
@pytest.mark.parametrize(("alpha", "told"), [(255, ()), (254, ("transparency",))])
@pytest.mark.parametrize("pix_fmt", ["bgra", "bgr24"])
def test_avi_that_is_stored_from_the_bottom_up(tmp_path, pix_fmt, alpha, told, side):
    import av

    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    pixels[side - 1, side - 1, 3] = alpha
    given = [
        av.VideoFrame.from_ndarray(np.ascontiguousarray(rows), "bgra").reformat(format=pix_fmt)
        for rows in (pixels, pixels[::-1])
    ]
    usual = clips.write_pictures(tmp_path / "usual.avi", given[:1], codec="rawvideo")
    path = clips.write_pictures(tmp_path / "a.avi", given[1:], codec="rawvideo", options={"flipped_raw_rgb": "1"})
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).planes[0].line_size < 0
    films = []
    for name in (usual, path):
        with open_video(name) as source:
            assert source.left_out == (told if pix_fmt == "bgra" else ())
            films.append([frame.data.copy() for frame in source])
    assert np.array_equal(*films)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("png", "rgba"), ("qtrle", "argb"), ("ffv1", "bgra"), ("ffv1", "yuva420p")]
)
def test_transparency_that_comes_later_is_noted(tmp_path, codec, pix_fmt):
    import av

    pixels = np.full((6, 64, 64, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[4:, 32:, :, 3] = 0
    pictures = [av.VideoFrame.from_ndarray(each, "rgba").reformat(format=pix_fmt) for each in pixels]
    # NUT: FFmpeg 7.1 notes of YUV with transparency in Matroska that some is there, whatever the samples are.
    path = clips.write_pictures(tmp_path / ("a.nut" if codec == "ffv1" else "a.mov"), pictures, codec=codec)
    source, _ = read(path)
    assert "transparency" not in source.left_out
    assert source.notes == ("not carried over from frame 4 on: transparency",)


INTERLACED = {"flags": "+ildct+ilme"}
HDR = {"color_primaries": 9, "color_trc": 16, "colorspace": 9}
SDR = {"color_primaries": 1, "color_trc": 1, "colorspace": 1}
COLORS_CHANGE = ("its colours change within the film, and are told as in its beginning",)


@pytest.mark.parametrize(
    ("first", "second", "notes"),
    [
        ({}, {"codec_options": INTERLACED}, ("not carried over from frame 5 on: interlacing",)),
        ({"codec_options": INTERLACED}, {}, ()),
        (
            {"sample_aspect_ratio": Fraction(16, 15)},
            {"sample_aspect_ratio": Fraction(64, 45)},
            ("the shapes of its pixels change within the film",),
        ),
        (SDR, HDR, COLORS_CHANGE),
        ({}, HDR, COLORS_CHANGE),
        ({}, SDR, ()),
        (SDR, {}, ()),
        (HDR, HDR, ()),
    ],
)
def test_what_changes_within_the_film_is_noted(tmp_path, first, second, notes):
    data = b""
    for settings in (first, second):
        pictures = [clips.av_frame(noise(index)) for index in range(5)]
        data += clips.write_pictures(tmp_path / "a.ts", pictures, codec="mpeg2video", **settings).read_bytes()
    (tmp_path / "b.ts").write_bytes(data)
    source, frames = read(tmp_path / "b.ts")
    assert len(frames) in (9, 10)  # FFmpeg 7.1 loses the last one before the shape of its pixels changes
    assert len(source.notes) == len(notes)
    assert all(note.startswith(beginning) for note, beginning in zip(source.notes, notes))


@pytest.mark.parametrize(
    ("tags", "color"),
    [({**HDR, "colorspace": 0}, (9, 16, 6)), ({}, (6, 6, 6)), ({"color_trc": 13}, (6, 13, 6)), (SDR, (1, 1, 6))],
)
def test_colors_of_rgb_are_its_own_but_for_the_matrix_of_the_conversion(tmp_path, tags, color):
    picture = clips.av_frame(noise(0)).reformat(format="gbrp10le")
    path = clips.write_pictures(tmp_path / "a.mkv", [picture], **tags)
    assert read(path)[0].color == color


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_chapters_data_and_attachments_are_told(tmp_path, suffix):
    import av

    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        if not hasattr(container, "set_chapters"):
            pytest.skip("this PyAV knows no chapters")
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        if suffix == "mkv":
            container.add_attachment("font.ttf", "font/ttf", b"font")
        chapter = {"id": 1, "start": 0, "end": 40, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}
        container.set_chapters([chapter])
        picture = av.VideoFrame(64, 64, "yuv420p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        container.mux(video.encode(picture))
        container.mux(video.encode(None))
    assert read(path)[0].left_out == (("chapters", "attachments") if suffix == "mkv" else ("chapters",))


def test_light_levels_of_hdr_are_told(tmp_path):
    settings = "log-level=none:bframes=0:hdr10=1:max-cll=1000,400"  # with B pictures x265 gives a single one no dts
    pictures = [clips.av_frame(noise(0)).reformat(format="yuv420p10le")]
    path = clips.write_pictures(tmp_path / "a.mkv", pictures, codec="libx265", codec_options={"x265-params": settings})
    assert read(path)[0].left_out == ("more than 8 bits a sample", "HDR light levels")


# ---- transport streams that end early ----


def ts_packets(data):
    """(PID, whether a unit begins in it) of each packet."""
    return [
        ((data[at + 1] & 0x1F) << 8 | data[at + 2], bool(data[at + 1] & 0x40)) for at in range(0, len(data) - 187, 188)
    ]


def cut_places(data, pid, step):
    """Numbers of packets after which to cut: within frames, and between them."""
    kinds = ts_packets(data)
    within, between = [], []
    for number in range(12, len(kinds), step):
        rest = [begins for found, begins in kinds[number:] if found == pid]
        if rest:
            (between if rest[0] else within).append(number)
    between += [number for number, (found, begins) in enumerate(kinds) if found == pid and begins and number > 12]
    return within, sorted(set(between))


HEVC = {"x265-params": "log-level=none"}


@pytest.mark.parametrize(("codec", "options"), [("libx264", CAVLC), ("libx265", HEVC), ("mpeg2video", {"b": "8M"})])
def test_transport_stream_that_ends_within_a_frame_is_noticed_and_one_that_does_not_is_read(tmp_path, codec, options):
    data = film(tmp_path / "whole.ts", 12, codec=codec, options=options).read_bytes()
    within, between = cut_places(data, 0x100, step=max(1, len(data) // 188 // 40))
    assert len(within) > 10 and len(between) >= 11
    path = tmp_path / "cut.ts"
    missed = []
    for number in within:
        path.write_bytes(data[: 188 * number])
        try:
            source, _ = read(path)
        except MediaError:
            source, _ = read(path, tolerant=True)
            assert source.damaged >= 1
        else:
            if not any("perhaps the file was cut off" in note for note in source.notes):
                missed.append(number)
    assert missed == []
    for number in between:  # what cannot be told from a film that ends there
        count = ts_packets(data[: 188 * number]).count((0x100, True))
        path.write_bytes(data[: 188 * number])
        source, frames = read(path)
        assert (len(frames), source.damaged, source.notes) == (count, 0, ())
    path.write_bytes(data)
    source, frames = read(path)
    assert (len(frames), source.damaged, source.notes) == (12, 0, ())


def test_transport_stream_of_small_frames_is_cut_off_at_any_byte_of_a_packet(tmp_path):
    """Each frame fits in one packet, which FFmpeg leaves out where it is not whole."""
    pictures = [clips.av_frame(np.full((192, 128), 128, np.uint8)) for _ in range(12)]
    path = clips.write_pictures(tmp_path / "a.ts", pictures, codec="libx264", codec_options=CAVLC)
    data = path.read_bytes()
    for missing in (1, 94, 187):
        path.write_bytes(data[:-missing])
        with pytest.raises(MediaError, match=f"cut off: its last packet lacks {missing} bytes"):
            read(path)
        source, frames = read(path, tolerant=True)
        assert len(frames) == 11
        assert any("cut off" in note for note in source.notes)
    path.write_bytes(data[:-188])  # at the end of one: as if it were meant to end there
    assert read(path)[0].notes == ()


class Pipe:
    """A file object that can only be read once."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


@pytest.mark.parametrize("missing", [0, 1, 94, 187, 188])
def test_transport_stream_that_comes_by_a_pipe_and_ends_within_a_packet_is_cut_off(tmp_path, missing):
    pictures = [clips.av_frame(np.full((192, 128), 128, np.uint8)) for _ in range(12)]
    data = clips.write_pictures(tmp_path / "a.ts", pictures, codec="libx264", codec_options=CAVLC).read_bytes()
    data = data[: len(data) - missing]
    words = f"cut off: its last packet lacks {missing} bytes"
    with ContainerReader(Pipe(data), tolerant=True) as source:
        assert len(list(source)) == 12 - (missing > 0)
        assert any(words in note for note in source.notes) == (0 < missing < 188)
    if 0 < missing < 188:
        with ContainerReader(Pipe(data)) as source, pytest.raises(MediaError, match=words):
            list(source)


@pytest.mark.parametrize("name", ["mp4", "mov", "matroska"])
def test_format_that_is_named_is_looked_at_as_one_that_is_found(tmp_path, name):
    """FFmpeg's readers of these have several names, and tell the one that they were asked for by."""
    options = {} if name == "matroska" else {"movflags": "faststart"}
    path = film(tmp_path / f"a.{'mkv' if name == 'matroska' else name}", 12, mux_options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    said = []
    for options in ({}, {"format": name}):
        with pytest.raises(MediaError) as caught:
            read(path, **options)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("piece", [None, 1000])
@pytest.mark.parametrize("where", ["size of a fragment", "fragment", "size of its samples", "samples", "nowhere"])
def test_fragments_that_come_by_a_pipe_and_end_within_a_box_are_cut_off(tmp_path, where, piece):
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    data = film(tmp_path / "a.mp4", 12, options={**CAVLC, "g": "4"}, mux_options=options).read_bytes()
    last = data.rindex(b"moof") - 4
    samples = data.index(b"mdat", last) - 4
    end = {
        "size of a fragment": last + 5,
        "fragment": last + 40,
        "size of its samples": samples + 3,
        "samples": samples + 400,
        "nowhere": len(data),
    }[where]

    def source(**how):
        pipe = Pipe(data[:end])
        if piece:
            read = pipe.read
            pipe.read = lambda size=-1: read(min(size, piece) if size > 0 else piece)
        return ContainerReader(pipe, format="mp4" if piece else None, **how)

    if where == "nowhere":
        with source() as whole:
            assert (len(list(whole)), whole.notes) == (12, ())
        return
    with source() as cut, pytest.raises(MediaError, match=f"cut off: {end} of [0-9]+ bytes are there|frame 8 "):
        list(cut)
    with source(tolerant=True) as cut:
        assert len(list(cut)) <= 12
        assert any("cut off" in note for note in cut.notes)


@pytest.mark.parametrize("marked", [True, False])
def test_camera_whose_jpegs_lack_bits_in_front_of_their_end_mark_goes_on(tmp_path, marked):
    """Of a file, which can be looked at again, that is damage in any case."""
    noise = np.random.default_rng(0)
    frames = [clips.av_frame(noise.integers(0, 256, (192, 128), np.uint8), "yuvj420p") for _ in range(3)]
    data = clips.write_pictures(tmp_path / "a.avi", frames, codec="mjpeg").read_bytes()
    begins = [found.start() for found in re.finditer(b"\xff\xd8\xff", data)]
    pictures = [data[begin : data.index(b"\xff\xd9", begin) + 2] for begin in begins]
    pictures[1] = pictures[1][: len(pictures[1]) // 2] + (b"\xff\xd9" if marked else b"")
    stream = b"".join(pictures)
    words = "frame 1 is damaged: its data end before the picture does"
    (tmp_path / "a.mjpeg").write_bytes(stream)
    with listening_to_ffmpeg(), ContainerReader(Pipe(stream), format="mjpeg") as source:
        assert source.live
        if marked:
            assert len(list(source)) == 3
            assert any("overread" in note for note in source.notes)
        else:
            with pytest.raises(MediaError, match=words):
                list(source)
    with listening_to_ffmpeg(), pytest.raises(MediaError, match=words):
        read(tmp_path / "a.mjpeg")


def test_unit_that_tells_its_length_is_damaged_once_where_the_file_ends_before(tmp_path):
    data = film(
        tmp_path / "whole.ts", 6, codec="libx265", options=HEVC, mux_options={"omit_video_pes_length": "0"}
    ).read_bytes()
    last = max(n for n, (pid, begins) in enumerate(ts_packets(data)) if pid == 0x100 and begins)
    path = tmp_path / "cut.ts"
    path.write_bytes(data)
    assert read(path)[0].damaged == 0
    path.write_bytes(data[: 188 * (last + 1)])
    with pytest.raises(MediaError, match="is damaged: "):
        read(path)
    assert read(path, tolerant=True)[0].damaged == 1


@pytest.mark.parametrize(
    "content", [b"", b"G" * 100, b"\x00" * 1880, b"\x47" + b"\xff" * 187, b"\x47\x41\x00\x30\xff" * 376]
)
def test_what_is_no_transport_stream_does_not_seem_to_end_early(tmp_path, content):
    (tmp_path / "a.ts").write_bytes(content)
    assert ends_within_a_unit(tmp_path / "a.ts", 0x100) is False


def test_piece_of_an_avi_that_cannot_be_found_is_told(tmp_path):
    path = film(tmp_path / "a.avi", codec="mpeg4", options={"g": "5"})
    assert not read(path)[0].notes
    headers = [place for place in range(path.stat().st_size) if path.read_bytes()[place : place + 4] == b"00dc"]
    source, frames = read(spoil(path, headers[8], 8))
    assert len(frames) == 29
    assert source.notes[0].startswith("1 of the 30 pictures that its header counts were not found")


def test_pictures_that_an_avi_shows_longer_are_none_that_it_misses(tmp_path):
    import av

    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 128, 128
        for number in (0, 1, 2, 7, 8):
            picture = clips.av_frame(noise(number))
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    source, frames = read(path)
    assert (len(frames), source.notes) == (5, ())


@pytest.mark.parametrize("kind", ["bytes", "file"])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.flv", "a.avi", "a.mxf", "a.gif"])
def test_file_object_that_is_cut_off_is_told_as_a_file_is(tmp_path, name, kind):
    if name == "a.gif":
        pictures = [clips.av_frame(noise(index)).reformat(format="rgb8") for index in range(20)]
        path = clips.write_pictures(tmp_path / name, pictures, codec="gif")
    else:
        front = {"movflags": "faststart"} if name == "a.mp4" else {}
        codec = "mpeg4" if name == "a.avi" else "libx264"
        path = film(tmp_path / name, 20, codec=codec, options={"g": "1"}, mux_options=front)
    data = path.read_bytes()
    for share in (1, 0.9):
        path.write_bytes(data[: int(len(data) * share) // 188 * 188 - 5 if share < 1 else len(data)])
        with open(path, "rb") as opened:
            file = opened if kind == "file" else io.BytesIO(opened.read())
            if share < 1:
                with pytest.raises(MediaError, match="cut off"):
                    ContainerReader(file).close()
                file.seek(0)
            with ContainerReader(file, tolerant=True) as source:
                assert (len(list(source)) == 20) == (share == 1)
                assert any("cut off" in note for note in source.notes) == (share < 1)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_mxf_that_is_cut_off_tells_how_many_pictures_are_missing(tmp_path, codec):
    path = film(tmp_path / "a.mxf", codec=codec, options={"bf": "2"} if codec == "mpeg2video" else CAVLC)
    source, frames = read(path)
    assert (len(frames), source.notes) == (30, ())
    data, (end, _) = path.read_bytes(), packet_places(path)[20]
    path.write_bytes(data[: end // 512 * 512])
    with pytest.raises(MediaError, match=rf"cut off: {end // 512 * 512} of \d+ bytes are there"):
        open_video(path)
    source, frames = read(path, tolerant=True)
    assert len(frames) == 20 and "cut off" in source.notes[0]
    assert source.notes[1].startswith("10 of the 30 pictures that its header counts were not found")
    footer = data.rindex(b"\x0d\x01\x02\x01\x01\x04") - 8
    header = data.index(b"\x0d\x01\x02\x01\x01\x02") - 8
    at = data.index(footer.to_bytes(8, "big"), header, header + 64)
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 : end // 512 * 512])  # a writer that never came to its end
    source, frames = read(path)
    assert len(frames) == 20
    assert source.notes[0].startswith("10 of the 30 pictures that its header counts were not found")


WMV = {"codec": "wmv2", "options": {"b": "1M"}}


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.flv", "a.wmv", "a.wtv"])
def test_film_that_follows_another_in_one_file_is_told(tmp_path, name):
    path = film(tmp_path / name, 10, **(WMV if name == "a.wmv" else {}))
    source, frames = read(path)
    assert (len(frames), source.notes) == (10, ())
    path.write_bytes(path.read_bytes() * 2)
    source, frames = read(path)
    assert (len(frames), source.notes) == (10, ("another film follows in it, and is not read",))


def test_film_in_fragments_that_follows_another_is_told_as_far_as_it_may_be_read(tmp_path):
    fragments = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = film(tmp_path / "a.mp4", 10, options={**CAVLC, "g": "5"}, mux_options=fragments)
    source, frames = read(path)
    assert (len(frames), source.notes) == (10, ())
    path.write_bytes(path.read_bytes() * 2)
    source, frames = read(path)
    assert 10 <= len(frames) < 20
    assert source.notes == ("another film follows in it, and perhaps some of it is not read",)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_wmv_that_is_cut_off_is_refused(tmp_path, share):
    path = film(tmp_path / "a.wmv", **WMV)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match="cut off: "):
        read(path)
    source, frames = read(path, tolerant=True)
    assert len(frames) < 30
    assert "cut off" in source.notes[0]


def under_other_pids(data):
    """Give the streams of an MPEG-TS that PyAV wrote other PIDs, by the same tables."""
    data = bytearray(data)
    for place in range(0, len(data), 188):
        packet = data[place : place + 188]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if pid == 0x1000:
            begin = 5 + packet[4]
            length = (packet[begin + 1] & 0x0F) << 8 | packet[begin + 2]
            table = bytearray(packet[begin : begin + 3 + length])
            table[5] = table[5] & 0xC1 | 2  # the next version
            table[9] += 0x40
            table[12 + table[11] + 2] += 0x40
            table[-4:] = mpeg_crc(table[:-4]).to_bytes(4, "big")
            packet[begin : begin + len(table)] = table
        elif pid == 0x100:
            packet[2] += 0x40
        data[place : place + 188] = packet
    return bytes(data)


def mpeg_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


def test_recording_that_goes_on_with_other_pids_is_noted(tmp_path):
    first = film(tmp_path / "a.ts", 20).read_bytes()
    (tmp_path / "b.ts").write_bytes(first + under_other_pids(first))
    source, frames = read(tmp_path / "b.ts")
    assert len(frames) == 20 and any("goes on in another stream" in note for note in source.notes)
    (tmp_path / "b.ts").write_bytes(under_other_pids(first))
    source, frames = read(tmp_path / "b.ts")
    assert len(frames) == 20 and source.notes == ()


def test_second_program_beside_the_first_is_no_film_that_follows(tmp_path):
    first = film(tmp_path / "a.ts", 20).read_bytes()
    second = under_other_pids(first)
    pieces = [[data[place : place + 188] for place in range(0, len(data), 188)] for data in (first, second)]
    tables = {b"\x40\x00", b"\x50\x00", b"\x40\x11"}
    woven = [packet for pair in zip(*pieces) for packet in pair if packet[1:3] not in tables or packet is pair[0]]
    (tmp_path / "b.ts").write_bytes(b"".join([*woven, *pieces[1][-9:]]))
    assert not any("goes on" in note for note in read(tmp_path / "b.ts", tolerant=True)[0].notes)


@pytest.mark.parametrize(("share", "whole"), [(1, True), (0.97, False), (0.6, False)])
def test_bare_h265_that_ends_within_a_slice_is_damaged(tmp_path, share, whole):
    options = {"x265-params": "log-level=none:bframes=0:crf=12"}
    path = film(tmp_path / "a.hevc", 12, "libx265", options)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    if whole:
        source, frames = read(path)
        assert len(frames) == 12 and source.notes == ()
        return
    with pytest.raises(MediaError, match="the file ends within one"):
        read(path)
    assert read(path, tolerant=True)[0].damaged == 1
