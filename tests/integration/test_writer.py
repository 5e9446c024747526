# SPDX-License-Identifier: Apache-2.0
"""`VideoWriter` and `write`: pictures of any library into a film, in its colours, at its times, and whole."""

import contextlib
import errno
import io
import pickle
import signal
import subprocess
import sys
import threading
import time
import uuid
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import open_video
from ascend_venc.media.picture_times import PictureTimes
from helpers import clips, color, pictures, processes, waiting

av = pytest.importorskip("av", reason="PyAV is not installed")

W, H = 160, 144
RATE = "20M"  # so high that what is lost was lost before the encoder
RGB = pictures.rgb(W, H)
CONTAINERS = ("mp4", "mov", "mkv", "ts", "flv")


@pytest.fixture(params=["h264", "h265"])
def codec(request):
    return request.param


def planes(rgb=RGB, matrix="bt601"):
    """Y, Cb and Cr of a picture, limited range, uint8."""
    y, cb, cr = color.planes_of_rgb(rgb, matrix, False)
    return [plane.round().clip(0, 255).astype(np.uint8) for plane in (y, cb, cr)]


def semi_planar(rgb=RGB, swap=False):
    y, cb, cr = planes(rgb)
    return np.vstack([y, np.stack((cr, cb) if swap else (cb, cr), -1).reshape(len(y) // 2, -1)])


def i420(rgb=RGB):
    return np.concatenate([plane.ravel() for plane in planes(rgb)]).reshape(len(rgb) * 3 // 2, -1)


def av_frame(format):
    return av.VideoFrame.from_ndarray(RGB, format="rgb24").reformat(
        format=format, dst_colorspace="ITU601", src_colorspace="ITU601"
    )


def film(file, frames, backend, **options):
    options = {"bitrate": RATE, "fps": 25, **options}
    with venc.VideoWriter(file, backend=backend, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return file


ARRAYS = {
    "HWC": (RGB, {}),
    "CHW": (np.ascontiguousarray(RGB.transpose(2, 0, 1)), {}),
    "CHW view": (RGB.transpose(2, 0, 1), {}),
    "padded rows": (np.pad(RGB, ((0, 0), (0, 16), (0, 0)))[:, :W], {}),
    "backwards": (np.ascontiguousarray(RGB[::-1, ::-1])[::-1, ::-1], {}),
    "bgr": (np.ascontiguousarray(RGB[:, :, ::-1]), {"pixel_format": "bgr24"}),
    "bgr view": (RGB[:, :, ::-1], {"pixel_format": "BGR"}),
    "rgba": (np.dstack([RGB, RGB[:, :, :1]]), {}),
    "bgra CHW": (np.dstack([RGB[:, :, ::-1], RGB[:, :, :1]]).transpose(2, 0, 1), {"pixel_format": "bgra"}),
    "nv12": (semi_planar(), {"pixel_format": "nv12"}),
    "nv21": (semi_planar(swap=True), {"pixel_format": "nv21"}),
    "i420": (i420(), {"pixel_format": "yuv420p"}),
    "planes y, uv": ((semi_planar()[:H], semi_planar()[H:].reshape(H // 2, W // 2, 2)), {}),
    "planes y, u, v": (tuple(planes()), {}),
    "bytes": (RGB.tobytes(), {"pixel_format": "rgb24", "size": (W, H)}),
    "memoryview": (memoryview(RGB), {}),
    "__array__": (pictures.ArrayOnly(RGB), {}),
    "DLPack, CHW": (pictures.DLPackOnly(np.ascontiguousarray(RGB.transpose(2, 0, 1))), {}),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_back_as_they_were(tmp_path, backend, name):
    frame, options = ARRAYS[name]
    shown, times = pictures.decoded(film(tmp_path / "film.mp4", [frame] * 3, backend, **options))
    assert times == [0, 0.04, 0.08]
    assert min(pictures.psnr(RGB, picture) for picture in shown) >= 40


AV_FORMATS = ["rgb24", "bgr24", "rgba", "yuv420p", "nv12", "yuv444p", "yuv422p", "yuv420p10le", "gbrp", "yuvj420p"]


@pytest.mark.parametrize("format", AV_FORMATS)
def test_frames_of_pyav_come_back_as_they_were(tmp_path, backend, format):
    shown, _ = pictures.decoded(film(tmp_path / "film.mp4", [av_frame(format)] * 2, backend))
    assert pictures.psnr(RGB, shown[0]) >= 38, "conversion by FFmpeg's bilinear scaler, there and back"


@pytest.mark.parametrize("format", [*AV_FORMATS, "bgra", "argb", "abgr", "gray", "nv21"])
def test_frames_of_pyav_whose_rows_are_stored_from_the_bottom_up(tmp_path, backend, format):
    upside_down = av.VideoFrame.from_ndarray(np.ascontiguousarray(RGB[::-1]), format="rgb24").reformat(
        format=format, dst_colorspace="ITU601", src_colorspace="ITU601"
    )
    shown, _ = pictures.decoded(film(tmp_path / "film.mp4", [clips.from_the_bottom(upside_down)] * 2, backend))
    as_usual, _ = pictures.decoded(film(tmp_path / "usual.mp4", [av_frame(format)] * 2, backend))
    assert pictures.psnr(as_usual[0], shown[0]) >= 45


def test_frames_of_pyav_keep_their_colour_tags_and_are_not_changed(tmp_path, backend):
    with av.open(str(clips.CLIP)) as container:
        frame = next(container.decode(video=0))
    frame.colorspace, frame.color_range = 1, 2
    film(tmp_path / "film.mp4", [frame, frame], backend)
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 2)
    with av.open(str(tmp_path / "film.mp4")) as container:
        shown = next(container.decode(video=0))
    assert (int(shown.colorspace), int(shown.color_range)) == (1, 2)
    before, after = (np.frombuffer(f.planes[0], np.uint8).reshape(f.height, -1)[:, :640] for f in (frame, shown))
    assert after.std() == pytest.approx(before.std(), rel=0.03), "another range would make it 1.16 times that"


@pytest.mark.parametrize("shape", ["HW", "HW1", "1HW", "av"])
def test_grey_comes_back_grey(tmp_path, backend, shape):
    grey = RGB[:, :, 0].copy()
    frame = {"HW": grey, "HW1": grey[:, :, None], "1HW": grey[None], "av": av.VideoFrame.from_ndarray(grey, "gray")}
    options = {"pixel_format": "gray"} if shape == "HW" else {}
    shown, _ = pictures.decoded(film(tmp_path / "film.mp4", [frame[shape]] * 2, backend, **options))
    assert pictures.psnr(np.dstack([grey] * 3), shown[0]) >= 40


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "1", "LA", "CMYK"])
def test_images_of_pillow(tmp_path, backend, mode):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    image = image_module.fromarray(RGB)
    image = image.quantize(256, dither=0) if mode == "P" else image.convert(mode, dither=0)
    shown, _ = pictures.decoded(film(tmp_path / "film.mp4", [image] * 2, backend))
    wanted = np.asarray(image.convert("L" if mode in ("1", "LA") else "RGB").convert("RGB"))
    assert pictures.psnr(wanted, shown[0]) >= (35 if mode in ("1", "P") else 40), "their edges are finer than chroma"
    with pytest.raises(venc.InvalidArgumentError, match='mode "F"'):
        film(tmp_path / "none.mp4", [image_module.fromarray(RGB).convert("F")], backend)
    assert not (tmp_path / "none.mp4").exists()


@pytest.mark.parametrize("layout", ["HWC", "CHW", "TCHW"])
def test_tensors_of_torch(tmp_path, backend, layout):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.from_numpy(RGB.copy())
    if layout != "HWC":
        tensor = tensor.permute(2, 0, 1)
    frames = torch.stack([tensor] * 2) if layout == "TCHW" else [tensor] * 2
    assert venc.write(tmp_path / "film.mp4", frames, fps=25, bitrate=RATE, backend=backend) == 2
    shown, _ = pictures.decoded(tmp_path / "film.mp4")
    assert pictures.psnr(RGB, shown[0]) >= 40
    with pytest.raises(TypeError, match="float32, and must have uint8"):
        venc.write(tmp_path / "none.mp4", [tensor / 255], backend=backend)


@pytest.mark.sim_only
@pytest.mark.parametrize("kind", ["DeviceFrame", "tensor"])
def test_pictures_in_device_memory_are_encoded_from_there(tmp_path, monkeypatch, kind):
    from helpers import dlpack

    monkeypatch.setenv("ASCEND_VENC_BACKEND", "sim")
    data = semi_planar()
    # Another encoder keeps the device open, whose memory it is.
    with venc.Encoder(W, H), dlpack.DeviceMemory(data.size, data) as memory:
        if kind == "tensor":
            frame, options = dlpack.Tensor(memory.address, data.shape), {}
            frame.shape = data.shape
        else:
            frame, options = venc.DeviceFrame(memory.address, W, H), {"size": (W, H)}
            with pytest.raises(venc.InvalidArgumentError, match="size is missing"):
                film(tmp_path / "none.mp4", [frame], "sim")
        with venc.VideoWriter(tmp_path / "film.mp4", bitrate=RATE, backend="sim", **options) as writer:
            for _ in range(3):
                writer.write(frame)
        assert writer.encoder.stats.host_copies_in == 0
        with pytest.raises(venc.InvalidArgumentError, match='only "nv12" and "nv21"'):
            film(tmp_path / "none.mp4", [frame], "sim", pixel_format="rgb24", **options)
    shown, _ = pictures.decoded(tmp_path / "film.mp4")
    assert len(shown) == 3 and pictures.psnr(RGB, shown[0]) >= 40
    assert not (tmp_path / "none.mp4").exists()


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_each_container_holds_the_film_with_its_times(tmp_path, backend, codec, suffix):
    if (suffix, codec) == ("flv", "h265"):
        with pytest.raises(venc.InvalidArgumentError, match="stands for h264"):
            venc.VideoWriter(tmp_path / "film.flv", codec="h265")
        return
    for file in (tmp_path / f"film.{suffix}", io.BytesIO()):
        named = {"format": suffix} if isinstance(file, io.BytesIO) else {}
        film(file, [pictures.rgb(W, H, n) for n in range(12)], backend, codec=codec, gop=4, fps=50, **named)
        if named:
            file.seek(0)
        shown, times = pictures.decoded(
            file, {"mkv": "matroska", "ts": "mpegts"}.get(suffix, suffix) if named else None
        )
        assert np.allclose(np.diff(times), 0.02, atol=0.0011) and len(times) == 12
        for number, picture in enumerate(shown):
            assert pictures.psnr(pictures.rgb(W, H, number), picture) >= 40


def test_shortest_transport_streams_can_be_opened(tmp_path, backend, codec):
    for count in (1, 2, 3, 5):
        path = film(tmp_path / f"{count}.ts", [np.full((H, W, 3), 90, np.uint8)] * count, backend, codec=codec)
        assert path.stat().st_size < 4000 and path.stat().st_size % 188 == 0
        assert len(pictures.decoded(path)[0]) == count
    file = io.BytesIO(b"something else")
    file.seek(0, io.SEEK_END)
    film(file, [np.full((H, W, 3), 90, np.uint8)] * 2, backend, codec=codec, format="ts")
    assert len(pictures.decoded(io.BytesIO(file.getvalue()[14:]))[0]) == 2


@pytest.mark.parametrize("suffix", ["h264", "264", "h265", "hevc"])
def test_bare_bitstreams(tmp_path, backend, suffix):
    codec = "h264" if suffix.endswith("264") else "h265"
    path = film(tmp_path / f"film.{suffix}", [RGB] * 3, backend)
    file = film(io.BytesIO(), [RGB] * 3, backend, format=codec)
    assert path.read_bytes() == file.getvalue()
    assert clips.read_video(path)[0]["codec"] == {"h264": "h264", "h265": "hevc"}[codec]
    assert pictures.psnr(RGB, pictures.decoded(path)[0][0]) >= 40


def boxes(data):
    """Types of the boxes of an mp4, in order."""
    found, place = [], 0
    while place < len(data):
        found.append(data[place + 4 : place + 8].decode())
        place += int.from_bytes(data[place : place + 4], "big")
    return found


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_index_stands_in_front(tmp_path, backend, codec, suffix):
    for file in (tmp_path / f"film.{suffix}", io.BytesIO()):
        named = {} if not isinstance(file, io.BytesIO) else {"format": suffix}
        film(file, [pictures.rgb(W, H, n // 3) for n in range(30)], backend, codec=codec, **named)
        data = file.getvalue() if named else file.read_bytes()
        assert boxes(data).index("moov") < boxes(data).index("mdat")
        shown, times = pictures.decoded(io.BytesIO(data))
        assert np.allclose(times, np.arange(30) / 25)
        assert pictures.psnr(pictures.rgb(W, H, 9), shown[29]) >= 40
    film(tmp_path / f"late.{suffix}", [RGB] * 3, backend, faststart=False)
    late = boxes((tmp_path / f"late.{suffix}").read_bytes())
    assert late.index("moov") > late.index("mdat")


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


def test_fragmented_mp4_needs_no_seeking(backend, codec):
    file = Pipe()
    film(file, [pictures.rgb(W, H, n) for n in range(20)], backend, codec=codec, format="mp4", fragmented=True, gop=5)
    assert boxes(file.data).count("moof") == 4 and boxes(file.data)[:2] == ["ftyp", "moov"]
    shown, times = pictures.decoded(io.BytesIO(file.data))
    assert np.allclose(times, np.arange(20) / 25)
    assert pictures.psnr(pictures.rgb(W, H, 19), shown[19]) >= 40
    with pytest.raises(venc.MediaError, match="needs a file that can seek"):
        venc.VideoWriter(Pipe(), format="mp4")
    with pytest.raises(venc.MediaError, match="mode w\\+b"):
        venc.VideoWriter(WriteOnly(), format="mp4", faststart=True)


class WriteOnly(io.BytesIO):
    def readable(self):
        return False


def test_file_that_cannot_be_read_gets_its_index_at_the_end(backend):
    file = film(WriteOnly(), [RGB] * 2, backend, format="mp4")
    assert boxes(file.getvalue())[-1] == "moov"
    assert not file.closed


def test_muxer_options_are_ffmpeg_s(tmp_path, backend):
    options = {"movflags": "frag_every_frame+empty_moov"}
    film(tmp_path / "film.mp4", [RGB] * 6, backend, muxer_options=options)
    assert boxes((tmp_path / "film.mp4").read_bytes()).count("moof") == 6


@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize(
    ("flags", "front", "fragments"),
    [
        ("frag_keyframe", True, 1),  # without empty_moov the first one is in the index, and none is the death of FFmpeg
        ("frag_keyframe+default_base_moof", True, 1),
        ("faststart+frag_keyframe", True, 1),
        ("frag_every_frame", True, 5),
        ("cmaf+frag_keyframe", True, 2),
        ("faststart", True, 0),
        ("+faststart+write_colr", True, 0),  # the file is opened a second time to move its index
        ("use_metadata_tags", False, 0),
        ("frag_custom-frag_custom+write_colr", False, 0),
    ],
)
def test_flags_of_mp4_make_fragments_where_they_say_so_and_only_there(
    tmp_path, backend, suffix, flags, front, fragments
):
    path = tmp_path / f"film.{suffix}"
    film(path, [RGB] * 6, backend, gop=3, muxer_options={"movflags": flags})
    kinds = boxes(path.read_bytes())
    assert kinds.count("moof") == fragments
    assert (kinds.index("moov") < kinds.index("mdat")) is front
    assert len(pictures.decoded(path)[0]) == 6
    file = Pipe()
    if fragments:
        film(file, [RGB] * 6, backend, format=suffix, gop=3, muxer_options={"movflags": flags})
        assert len(pictures.decoded(io.BytesIO(file.data))[0]) == 6
    else:
        with pytest.raises(venc.MediaError, match="needs a file that can seek"):
            venc.VideoWriter(file, format=suffix, muxer_options={"movflags": flags})


@pytest.mark.parametrize("flags", ["frag_keyframe+global_sidx", "rtphint+frag_keyframe", "isml+rtphint"])
def test_flags_of_which_ffmpeg_makes_no_file_that_can_be_read_are_refused(tmp_path, flags):
    with pytest.raises(venc.InvalidArgumentError, match=r"global_sidx|rtphint"):
        venc.VideoWriter(tmp_path / "film.mp4", muxer_options={"movflags": flags})


def test_index_that_is_to_be_moved_needs_a_file_that_can_be_read():
    with pytest.raises(venc.MediaError, match="mode w\\+b"):
        venc.VideoWriter(WriteOnly(), format="mp4", muxer_options={"movflags": "faststart+write_colr"})


# ---- sizes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 48), (34, 200), (300, 18), (2, 2), (130, 100)])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "bare"])
def test_sizes_below_the_chip_s_are_shown_as_they_are(tmp_path, backend, codec, size, suffix):
    path = tmp_path / f"film.{codec if suffix == 'bare' else suffix}"
    wanted = [pictures.rgb(*size, n) for n in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        film(path, wanted, backend, codec=codec, gop=4)
    shown, _ = pictures.decoded(path)
    assert len(shown) == 12
    for picture, given in zip(shown, wanted):
        assert picture.shape == given.shape
        assert pictures.psnr(given, picture) >= 38 or min(size) < 8
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.width, context.height) == size


@pytest.mark.parametrize("size", [(161, 145), (161, 144), (160, 145), (35, 21)])
@pytest.mark.parametrize("kind", ["rgb", "gray", "planes", "av", "image"])
def test_odd_sides_are_rounded_up_by_repeating_the_edge_and_said_once(tmp_path, backend, size, kind):
    given = pictures.rgb(*size)
    width, height = size[0] + size[0] % 2, size[1] + size[1] % 2
    whole = np.pad(given, ((0, height - size[1]), (0, width - size[0]), (0, 0)), mode="edge")
    frame, options = given, {}
    if kind == "gray":
        frame, options, whole = given[:, :, 0], {"pixel_format": "gray8"}, np.dstack([whole[:, :, 0]] * 3)
    elif kind == "planes":
        y, cb, cr = planes(whole)
        frame = (y[: size[1], : size[0]], cb, cr)
    elif kind == "av":
        frame = av.VideoFrame(*size, "yuv420p")
        y, cb, cr = planes(whole)
        for plane, data in zip(frame.planes, (y[: size[1], : size[0]], cb, cr)):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[: len(data), : data.shape[1]] = data
            plane.update(padded.tobytes())
    elif kind == "image":
        frame = pytest.importorskip("PIL.Image", reason="Pillow is not installed").fromarray(given)
    with pytest.warns(venc.PictureSizeWarning, match=f"the file shows {width} x {height}") as caught:
        film(tmp_path / "film.mp4", [frame] * 4, backend, **options)
    assert len(caught) == 1 and caught[0].filename == __file__
    shown, _ = pictures.decoded(tmp_path / "film.mp4")
    assert shown[0].shape == whole.shape
    assert pictures.psnr(whole, shown[0]) >= (34 if min(size) < 64 else 38)


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_times_that_are_given_are_kept(tmp_path, backend, suffix):
    given = [Fraction(n * n, 50) + 1_700_000_000 for n in range(1, 13)]
    path = tmp_path / f"film.{suffix}"
    with venc.VideoWriter(path, times="given", fps=10, bitrate=RATE, gop=4, backend=backend) as writer:
        for number, moment in enumerate(given):
            writer.write(pictures.rgb(W, H, number), time=moment, duration=0.5)
    _, times = pictures.decoded(path)
    assert np.allclose(np.array(times) - times[0], [float(moment - given[0]) for moment in given], atol=0.0006)
    if suffix in ("mp4", "mov"):
        with av.open(str(path)) as container:
            assert container.duration / 1e6 == pytest.approx(float(given[-1] - given[0]) + 0.5, abs=0.002)


def test_wall_clock_times(tmp_path, backend):
    path = tmp_path / "film.mkv"
    before = time.monotonic()
    with venc.VideoWriter(path, times="wall-clock", fps=25, backend=backend) as writer:
        writer.write(RGB)
        writer.write(RGB)
        time.sleep(0.3)
        writer.write(RGB)
    elapsed = time.monotonic() - before
    _, times = pictures.decoded(path)
    assert len(times) == 3 and times[1] > 0
    assert 0.3 <= times[2] - times[1] + 0.001 <= elapsed + 0.002


def test_stream_tells_a_fixed_rate_only_where_the_rate_is_fixed(backend):
    found = {}
    for times in ("fps", "given"):
        file = io.BytesIO()
        with venc.VideoWriter(file, format="h264", times=times, backend=backend) as writer:
            writer.write(RGB, **({} if times == "fps" else {"time": 0}))
        (found[times],) = [bytes(nal) for nal in venc.bitstream.nal_units(file.getvalue()) if nal[0] & 31 == 7]
    assert found["fps"] == venc.bitstream.describe(found["given"], "h264", fixed_rate=True) != found["given"]


def test_times_that_cannot_be_are_refused_and_the_film_goes_on(tmp_path, backend):
    with venc.VideoWriter(tmp_path / "film.mp4", times="given", backend=backend) as writer:
        with pytest.raises(venc.InvalidArgumentError, match="time of frame 0 is missing"):
            writer.write(RGB)
        writer.write(RGB, time=5)
        for wrong in (10**400, -(10**400), Decimal("sNaN")):
            with pytest.raises((venc.InvalidArgumentError, TypeError), match=r"time (is|must be a number)"):
                writer.write(RGB, time=wrong)
        for wrong in (5, 4.9, 5.000001):
            with pytest.raises(venc.InvalidArgumentError, match=r"time of frame 1 is .* times must grow"):
                writer.write(RGB, time=wrong)
        with pytest.raises(venc.InvalidArgumentError, match="finite"):
            writer.write(RGB, time=float("nan"))
        with pytest.raises(TypeError, match="number of seconds, got str"):
            writer.write(RGB, time="6")
        for wrong, error in (("1", TypeError), (float("nan"), ValueError), (-1, ValueError), ([1], TypeError)):
            with pytest.raises(error, match="duration"):
                writer.write(RGB, time=6, duration=wrong)
        writer.write(RGB, time=np.float32(6), duration=np.float32(0.5))
    assert pictures.decoded(tmp_path / "film.mp4")[1] == [0, 1]
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(1.5, abs=0.002)
    writer = venc.VideoWriter(tmp_path / "other.mp4", backend=backend)
    with writer, pytest.raises(venc.InvalidArgumentError, match='make the writer with times="given"'):
        writer.write(RGB, time=0)


def test_times_further_apart_than_every_float_are_refused():
    times = PictureTimes("given", Fraction(1, 1000), False)
    times.took(*times.of(0, 1.7e308))
    with pytest.raises(venc.InvalidArgumentError, match="time of frame 1 is -inf s after the first"):
        times.of(1, -1.7e308)


def test_clock_is_the_decimal_number_or_the_text(tmp_path, backend):
    for number, base in enumerate((0.001, "1/1000", Decimal("0.001"), Fraction(1, 1000))):
        path = tmp_path / f"{number}.mp4"
        with venc.VideoWriter(path, times="given", time_base=base, backend=backend) as writer:
            for time in (0, 0.0404, 0.08):
                writer.write(RGB, time=time)
        assert pictures.decoded(path)[1] == [0, 0.04, 0.08]


@pytest.mark.parametrize("on_full", ["block", "drop_newest"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_rate_that_changes_keeps_each_picture_s_own_time(tmp_path, backend, suffix, on_full):
    path = tmp_path / f"film.{suffix}"
    with venc.VideoWriter(path, fps=25, on_full=on_full, backend=backend) as writer:
        for fps in (25, 50, 10, 30):
            if fps != 25:
                waiting.eventually(lambda: writer.encoder.stats.in_flight == 0)  # so that nothing is left out
                writer.encoder.reconfigure(fps=fps)
            for _ in range(2):
                writer.write(RGB)
    # those of 50 end at 0.12 s; the next one at 10 a second is at 0.2 s
    expected = [0, 0.04, 0.08, 0.1, 0.2, 0.3, 0.4, 0.4 + 1 / 30]
    assert np.allclose(pictures.decoded(path)[1], expected, atol=0.0011)


@pytest.mark.parametrize("on_full", ["block", "drop_newest"])
def test_files_are_as_long_as_asked_for_behind_a_change_of_rate(tmp_path, backend, on_full):
    """Where a file ends a key frame is made, by the pictures' times and not by their number at the first rate."""
    options = {"fps": 10, "on_full": on_full, "gop": 1000, "backend": backend}
    with venc.VideoWriter(tmp_path / "film-%d.mp4", split_seconds=1, **options) as writer:
        writer.write(RGB)
        writer.encoder.reconfigure(fps=50)
        for _ in range(120):
            waiting.eventually(lambda: writer.encoder.stats.in_flight < 3)
            writer.write(RGB)
    # one is shown for 0.1 s, so that 45 more fit into the first second
    assert [len(pictures.decoded(path)[1]) for path in writer.files] == [46, 50, 25]


WARNED = """
import io, sys, warnings
import numpy as np
import ascend_venc as venc
warnings.simplefilter("always")
frames = [np.zeros((361, 640, 3), np.uint8)] * 2
with warnings.catch_warnings(record=True) as caught:
    venc.write(io.BytesIO(), frames, format="mp4", bitrate=2000)  # LINE
    with venc.VideoWriter(io.BytesIO(), format="mp4", bitrate=2000) as writer:
        writer.write_all(frames)  # LINE
    encoder = venc.Encoder(640, 360, bitrate=2000)  # LINE
    encoder.submit(bytes(640 * 540))  # whose packet nobody takes, however quick the device is
    encoder.close()  # LINE
for warning in caught:
    print(warning.filename, warning.lineno, warning.category.__name__)
"""


@pytest.mark.sim_only
def test_warnings_name_the_line_of_the_program(backend):
    env = {"ASCEND_VENC_BACKEND": "auto", "ASCEND_VENC_INTERFACE": "v1"}
    process = processes.run(WARNED, env=env)
    lines = [number for number, line in enumerate(WARNED.splitlines(), 1) if line.endswith("# LINE")]
    kinds = [
        (lines[0], "BitRateWarning"),
        (lines[0], "SimulatedDeviceWarning"),
        (lines[0], "PictureSizeWarning"),
        (lines[1], "BitRateWarning"),
        (lines[1], "PictureSizeWarning"),
        (lines[2], "BitRateWarning"),
        (lines[3], "DroppedPacketsWarning"),
    ]
    found = sorted(process.stdout.splitlines())
    assert found == sorted(f"<string> {line} {kind}" for line, kind in kinds), process.stderr


# ---- write -----------------------------------------------------------------------------------------------------------


def test_write_takes_whatever_gives_pictures(tmp_path, backend):
    stack = np.stack([pictures.rgb(W, H, n) for n in range(5)])
    seen = []
    options = {"fps": 30, "bitrate": RATE, "backend": backend}
    assert venc.write(tmp_path / "a.mp4", stack, progress=seen.append, **options) == 5
    assert seen == [1, 2, 3, 4, 5]
    assert venc.write(tmp_path / "b.mp4", (picture for picture in stack), **options) == 5
    assert venc.write(str(tmp_path / "c.mp4"), list(stack), **options) == 5
    films = [pictures.decoded(tmp_path / f"{name}.mp4") for name in "abc"]
    for shown, times in films:
        assert np.allclose(times, np.arange(5) / 30)
        assert all(np.array_equal(*pair) for pair in zip(shown, films[0][0]))
        assert min(pictures.psnr(*pair) for pair in zip(stack, shown)) >= 40


def test_write_without_pictures_makes_no_file(tmp_path, backend):
    with pytest.raises(venc.InvalidArgumentError, match="frames is empty"):
        venc.write(tmp_path / "film.mp4", [], backend=backend)
    with pytest.raises(venc.InvalidArgumentError, match="which is one picture: give \\[frame\\]"):
        venc.write(tmp_path / "film.mp4", RGB, backend=backend)
    with venc.VideoWriter(tmp_path / "film.mp4", backend=backend):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sim_only
def test_write_of_a_reader_keeps_times_colours_and_shape(tmp_path, backend):
    times = [0, 40, 50, 90, 200]
    source = clips.write_video(tmp_path / "source.mkv", times, Fraction(1, 1000), codec="libx264")
    for name in ("film.mp4", "film.mkv"):
        with open_video(source) as reader:
            options = {"vui": False} if name == "film.mkv" else {}
            assert venc.write(tmp_path / name, reader, backend=backend, bitrate=RATE, **options) == 5
        seconds = clips.read_video(tmp_path / name)[1]
        assert [float(moment) for moment in seconds] == [moment / 1000 for moment in times]
    with open_video(clips.CLIP) as reader:
        venc.write(tmp_path / "clip.mp4", reader, fps=50, backend=backend)
    assert np.allclose(np.diff([float(t) for t in clips.read_video(tmp_path / "clip.mp4")[1]]), 0.02)


def test_frames_of_a_reader_keep_its_times_however_they_are_handed_on(tmp_path, backend):
    times = [0, 40, 50, 90, 200, 280]
    source = clips.write_video(tmp_path / "source.mkv", times, Fraction(1, 1000), codec="libx264")
    told = []
    ways = {
        "frames": lambda reader: reader.frames(lambda done, total: told.append((done, total))),
        "list": list,
        "iter": iter,
        "generator": lambda reader: (frame._replace(duration=0) for frame in reader),
        "choice": lambda reader: [frame for number, frame in enumerate(reader) if number % 2 == 0],
    }
    for name, way in ways.items():
        with open_video(source) as reader:
            frames = way(reader)
            count = venc.write(tmp_path / f"{name}.mp4", frames, backend=backend, bitrate=RATE)
        wanted = times[::2] if name == "choice" else times
        assert count == len(wanted)
        seconds = clips.read_video(tmp_path / f"{name}.mp4")[1]
        assert [float(moment) for moment in seconds] == [moment / 1000 for moment in wanted]
    assert [done for done, _ in told] == [1, 2, 3, 4, 5, 6]
    with open_video(source) as reader:
        frames = list(reader)
    with venc.VideoWriter(tmp_path / "by hand.mkv", times="given", backend=backend) as writer:
        writer.write(frames[0])
        writer.write(frames[2], time=0.3)
        writer.write(pickle.loads(pickle.dumps(frames[3])), time=1)
    assert [float(t) for t in clips.read_video(tmp_path / "by hand.mkv")[1]] == [0, 0.3, 1]
    with open_video(source) as reader, pytest.raises(venc.InvalidArgumentError, match="frame 6 is of another reader"):
        venc.write(tmp_path / "two.mkv", [*frames, *reader], backend=backend)
    assert len(clips.read_video(tmp_path / "two.mkv")[1]) == 6
    with open_video(source) as reader:
        assert venc.write(tmp_path / "even.mkv", [*frames, *reader], fps=50, backend=backend) == 12
    with open_video(source) as reader, pytest.raises(venc.InvalidArgumentError, match="is read, and would be written"):
        venc.write(source, list(reader), backend=backend)
    data, pts, duration = frames[1]
    assert (pts, duration) == (40, 10) and frames[1] == (data, 40, 10)


def test_frames_of_a_reader_keep_its_colours_and_shape(tmp_path, backend):
    with av.open(str(tmp_path / "source.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 144, 128, "yuv420p"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 5, 6, 5
        context.sample_aspect_ratio = Fraction(16, 11)
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(144, 128, "yuv420p")))
        container.mux(stream.encode(None))
    with open_video(tmp_path / "source.mkv", start=0.1) as reader:
        assert venc.write(tmp_path / "film.ts", list(reader), backend=backend) == 2
    with open_video(tmp_path / "film.ts") as reader:
        assert (tuple(reader.color), reader.sample_aspect_ratio, reader.fps) == ((5, 6, 5), Fraction(16, 11), 10)


@pytest.mark.parametrize("name", ["a.nv12", "a.nv21", "a.yuv", "a.y4m"])
def test_raw_pictures_of_a_reader_are_written_in_their_colours(tmp_path, backend, name):
    y, cb, cr = planes()
    chroma = {"a.nv12": semi_planar()[H:], "a.nv21": semi_planar(swap=True)[H:]}.get(name)
    data = y.tobytes() + (cb.tobytes() + cr.tobytes() if chroma is None else chroma.tobytes())
    if name == "a.y4m":
        data = b"YUV4MPEG2 W%d H%d F25:1 C420\nFRAME\n" % (W, H) + data
    (tmp_path / name).write_bytes(data)
    size = None if name == "a.y4m" else (W, H)
    with open_video(tmp_path / name, size=size) as reader:
        assert venc.write(tmp_path / "a.mkv", reader, bitrate=RATE, backend=backend) == 1
    writer = venc.VideoWriter(tmp_path / "b.mkv", bitrate=RATE, backend=backend)
    with open_video(tmp_path / name, size=size) as reader, writer:
        writer.write_all(reader)
    for file in ("a.mkv", "b.mkv"):
        assert pictures.psnr(RGB, pictures.decoded(tmp_path / file)[0][0]) >= 34


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "error", "text"),
    [
        ("film.avi", {}, venc.InvalidArgumentError, r"the suffix .avi is not known; known are .h264 .* .mp4 .* .flv"),
        ("film", {}, venc.InvalidArgumentError, "there is no suffix"),
        ("gopher://host/film.flv", {}, venc.InvalidArgumentError, "its scheme is not known; rtsp, "),
        ("film.h264", {"codec": "h265"}, venc.InvalidArgumentError, "stands for h264"),
        ("film.mkv", {"fragmented": True}, venc.InvalidArgumentError, "fragmented is for mp4 and mov"),
        ("film.mp4", {"fragmented": True, "faststart": True}, venc.InvalidArgumentError, "fragmented and faststart"),
        ("film.h264", {"fragmented": True}, venc.InvalidArgumentError, "for containers, not bare"),
        ("film.mp4", {"fps": 0}, venc.InvalidArgumentError, "fps is 0"),
        ("film.mp4", {"bitrate": "fast"}, venc.InvalidArgumentError, "bitrate is 'fast'"),
        ("film.mp4", {"profile": "heigh"}, venc.InvalidArgumentError, 'did you mean "high"'),
        ("film.mp4", {"pixel_format": "rgb25"}, venc.InvalidArgumentError, "pixel_format is 'rgb25'"),
        ("film.mp4", {"times": "clock"}, venc.InvalidArgumentError, 'did you mean "wall-clock"'),
        ("film.mp4", {"bit_rate": 1}, TypeError, "no setting 'bit_rate'; those of Encoder are .*bitrate"),
        ("film.mp4", {"sink": 1}, TypeError, "no setting 'sink'"),
        ("film.mp4", {"size": 3}, TypeError, "size must be a pair"),
        ("film.mp4", {"size": (0, 3)}, venc.InvalidArgumentError, "size is 0 x 3"),
        ("film.mp4", {"size": (True, 3)}, TypeError, "size must be a pair"),
        ("film.mp4", {"time_base": "x"}, venc.InvalidArgumentError, r"time_base is 'x'; .*such as Fraction\(1, 1000\)"),
        ("film.mp4", {"time_base": "1/0"}, venc.InvalidArgumentError, "time_base is '1/0'; give seconds per unit"),
        ("film.mp4", {"time_base": float("nan")}, venc.InvalidArgumentError, "time_base is nan; give a finite number"),
        ("film.mp4", {"time_base": 0}, venc.InvalidArgumentError, "time_base is 0; it must be greater than 0"),
        ("film.mp4", {"time_base": -1}, venc.InvalidArgumentError, "time_base is -1; it must be greater than 0"),
        ("film.mp4", {"time_base": True}, TypeError, "time_base must be a number of seconds, got bool"),
        ("film.mp4", {"time_base": 10**400}, venc.InvalidArgumentError, "time_base is an integer of 1329 bits"),
        ("film.mp4", {"metadata": "abc"}, TypeError, r'metadata must be a mapping of str, .*"A film"}, got str'),
        ("film.mp4", {"muxer_options": "abc"}, TypeError, "muxer_options must be a mapping"),
        ("film.mp4", {"muxer_options": [("a", "b")]}, TypeError, "got list"),
        *(
            (f"film.{suffix}", {"muxer_options": {"flush_packets": 1, "flush": 1}}, venc.InvalidArgumentError, text)
            for suffix, text in (
                ("mp4", r"muxer option 'flush' is 1: FFmpeg's mp4 muxer has no such option"),
                ("mkv", "FFmpeg's matroska muxer has no such"),
                ("ts", "mpegts muxer has no such"),
                ("flv", "flv muxer has no such"),
            )
        ),
        ("film.mp4", {"muxer_options": {"movflags": "x"}}, venc.InvalidArgumentError, "'movflags' is 'x': .* not take"),
        ("film.mkv", {"muxer_options": {"movflags": "faststart"}}, venc.InvalidArgumentError, "no such option"),
        ("missing/film.mp4", {}, FileNotFoundError, "missing"),
        ("", {}, IsADirectoryError, "Is a directory"),
    ],
)
def test_what_is_wrong_is_said_before_the_first_picture(tmp_path, name, options, error, text):
    path = name if "://" in name else tmp_path / name
    with pytest.raises(error, match=text):
        venc.VideoWriter(path, **{"format": "mp4"} if not name else {}, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frame", "options", "error", "text"),
    [
        (RGB / 255, {}, TypeError, r"float64, and must have uint8: .*255"),
        (RGB.astype(np.uint16), {}, TypeError, ">> 8"),
        (RGB > 100, {}, TypeError, r"astype\(.uint8.\) \* 255"),
        (RGB.astype(np.int32), {}, TypeError, 'astype."uint8"'),
        (None, {}, TypeError, "frame is NoneType"),
        ("picture", {}, TypeError, "uint8"),
        (RGB[None], {}, venc.InvalidArgumentError, "which is 1 pictures: .*write_all"),
        (RGB[:, :, 0], {}, venc.InvalidArgumentError, 'pixel_format="gray8".* "nv12"'),
        (RGB[:, :, :2], {}, venc.InvalidArgumentError, "give pixel_format"),
        (RGB, {"pixel_format": "bgra"}, venc.InvalidArgumentError, r"bgra is \(height, width, 4\)"),
        (RGB[:, :, 0][:, :99], {"pixel_format": "nv12"}, venc.InvalidArgumentError, "even width and height"),
        (RGB.tobytes(), {}, venc.InvalidArgumentError, "give pixel_format and size"),
        (b"123", {"pixel_format": "rgb24", "size": (W, H)}, venc.InvalidArgumentError, "frame has 3 bytes; 160 x 144"),
        (RGB, {"size": (W, W)}, venc.InvalidArgumentError, "frame is 160 x 144 rgb24; size says 160 x 160"),
        (np.zeros((16, 20000, 3), np.uint8), {}, venc.InvalidArgumentError, "width is 20000"),
    ],
)
def test_first_picture_that_cannot_be_leaves_nothing(tmp_path, backend, frame, options, error, text):
    (tmp_path / "old.mp4").write_bytes(b"an older film")
    for name in ("new.mp4", "old.mp4"):
        with venc.VideoWriter(tmp_path / name, backend=backend, **options) as writer:
            with pytest.raises(error, match=text):
                writer.write(frame)
            assert writer.frames == 0
    assert [path.name for path in tmp_path.iterdir()] == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"an older film"


def test_film_goes_on_after_a_first_picture_that_was_refused(tmp_path, backend):
    with venc.VideoWriter(tmp_path / "film.mp4", backend=backend) as writer:
        with pytest.raises(TypeError):
            writer.write(RGB / 255)
        writer.write(RGB)
    assert len(pictures.decoded(tmp_path / "film.mp4")[0]) == 1


def test_later_picture_of_another_size_or_format_names_both(tmp_path, backend):
    with venc.VideoWriter(tmp_path / "film.mp4", backend=backend) as writer:
        writer.write(RGB)
        with pytest.raises(venc.InvalidArgumentError, match=r"frame 1 is 144 x 144 rgb24, .* are 160 x 144 rgb24"):
            writer.write(RGB[:, :144])
        with pytest.raises(venc.InvalidArgumentError, match=r"frame 1 is 160 x 144 rgba, .* are 160 x 144 rgb24"):
            writer.write(np.dstack([RGB, RGB[:, :, :1]]))
        writer.write(RGB)
    assert len(pictures.decoded(tmp_path / "film.mp4")[0]) == 2


def test_threads_share_a_writer_and_no_picture_is_lost(tmp_path, backend):
    for number in range(3):
        writer = venc.VideoWriter(tmp_path / f"{number}.mkv", fps=25, backend=backend)
        begin = threading.Barrier(3)

        def write(writer=writer, begin=begin):
            begin.wait()
            for _ in range(15):
                writer.write(RGB)

        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        writer.close()
        times = pictures.decoded(tmp_path / f"{number}.mkv")[1]
        assert writer.frames == len(times) == 45
        assert np.allclose(times, np.arange(45) / 25, atol=0.001)


def test_closing_is_idempotent_and_ends_writing(tmp_path, backend):
    writer = venc.VideoWriter(tmp_path / "film.mp4", backend=backend)
    writer.write(RGB)
    assert (writer.size, writer.closed, writer.encoder.config.codec) == ((W, H), False, "h264")
    for _ in range(3):
        writer.close()
    assert writer.closed and writer.encoder.closed and "closed" in repr(writer)
    with pytest.raises(venc.MediaError, match="the writer is closed"):
        writer.write(RGB)
    assert len(pictures.decoded(tmp_path / "film.mp4")[0]) == 1


@pytest.mark.parametrize("suffix", [*CONTAINERS, "h264"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_inside_with_keeps_what_was_written(tmp_path, backend, suffix, error):
    path = tmp_path / f"film.{suffix}"
    with pytest.raises(error), venc.VideoWriter(path, bitrate=RATE, gop=4, backend=backend) as writer:
        for number in range(12):
            writer.write(pictures.rgb(W, H, number))
        raise error
    assert writer.closed and writer.encoder.closed
    shown, _ = pictures.decoded(path)
    assert len(shown) == 12
    assert pictures.psnr(pictures.rgb(W, H, 11), shown[11]) >= 40


class Full(io.BytesIO):
    """A disk that is full after some bytes."""

    room = 30_000

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("format", ["mp4", "mkv", "h264"])
def test_file_that_fails_is_said_by_a_later_write_and_again(backend, format):
    noise = np.random.default_rng(1).integers(0, 256, (H, W, 3), np.uint8)
    writer = venc.VideoWriter(Full(), format=format, bitrate=RATE, backend=backend)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left") as caught:
            for _ in range(2000):
                writer.write(noise)
        assert caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    writer.close()
    assert writer.encoder.closed


def test_file_that_cannot_be_finished_is_kept_where_it_plays_and_removed_where_not(tmp_path, backend):
    for name in ("film.mp4", "film.mov", "film.mkv", "film.ts", "film.h264", "fragmented.mp4"):
        process, output, errors = child(tmp_path / name, backend, FULL_DISK, name == "fragmented.mp4")
        assert (process.returncode, output) == (0, f"{errno.EFBIG} {errno.EFBIG}\n"), errors
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["film.h264", "film.mkv", "film.ts", "fragmented.mp4"]
    for name in kept:
        with av.open(str(tmp_path / name)) as container:
            assert next(container.decode(video=0)).width == W


FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
codes = []
try:
    for n in range(2000):
        writer.write(np.random.default_rng(n).integers(0, 256, (144, 160, 3), np.uint8))
except OSError as error:
    codes.append(error.errno)
try:
    writer.close()
except OSError as error:
    codes.append(error.errno)
print(*codes)
"""

CHILD = """
import sys, time
import numpy as np
import ascend_venc as venc
{before}
writer = venc.VideoWriter(sys.argv[1], fps=25, gop=10, backend=sys.argv[2], bitrate="8M", fragmented={fragmented})
{body}
"""


def child(path, backend, body, fragmented=False, before="", signum=None, timeout=60):
    program = CHILD.format(body=body, fragmented=fragmented, before=before)
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, str(path), backend],
        env=processes.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if signum is not None:
            for line in process.stdout:
                if line == "ready\n":
                    break
            process.send_signal(signum)
        return process, *process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise


FOR_EVER = """
with writer:
    n = 0
    while True:
        writer.write(np.full((144, 160, 3), 83 * n % 251, np.uint8))
        n += 1
        if n == 100:
            while writer._delivery.packets < 96:
                time.sleep(0.01)
            print("ready", flush=True)
"""


def are_in_order(means):
    """Whether these are the pictures of FOR_EVER, by the mean of their luma."""
    return all(abs(mean - (83 * number % 251)) < 5 for number, mean in enumerate(means))


@pytest.mark.parametrize("suffix", [*CONTAINERS, "h264"])
def test_ctrl_c_leaves_a_film_that_is_whole(tmp_path, backend, suffix):
    path = tmp_path / f"film.{suffix}"
    process, _, errors = child(path, backend, FOR_EVER, signum=signal.SIGINT)
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in errors
    _, times, shown = clips.read_video(path)
    assert len(shown) >= 100
    assert are_in_order([float(picture.mean()) for picture in shown[:100]]), "each picture is there"
    if times[0] is not None:
        assert np.allclose(np.diff([float(moment) for moment in times]), 0.04, atol=0.0011)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "ts", "flv", "h264"])
def test_killed_process_leaves_a_film_that_plays(tmp_path, backend, suffix):
    path = tmp_path / f"film.{suffix}"
    process, _, errors = child(path, backend, FOR_EVER, fragmented=suffix in ("mp4", "mov"), signum=signal.SIGKILL)
    assert (process.returncode, errors) == (-signal.SIGKILL, "")
    with av.open(str(path)) as container:
        shown = []
        try:
            for frame in container.decode(video=0):
                shown.append(frame.to_ndarray(format="gray").mean())
        except av.error.FFmpegError:
            pass  # the last picture may be cut off
    assert len(shown) >= (90 if suffix in ("ts", "flv", "h264") else 70), "all but the last fragment or cluster"
    assert are_in_order(shown[:100])


def test_writer_that_nobody_closed_is_finished_at_the_end_of_the_process(tmp_path, backend):
    body = "for n in range(30):\n    writer.write(np.full((144, 160, 3), n, np.uint8))\n"
    process, _, errors = child(tmp_path / "film.mp4", backend, body)
    assert process.returncode == 0 and "ResourceWarning: unclosed <VideoWriter" in errors
    assert len(clips.read_video(tmp_path / "film.mp4")[2]) == 30


def test_writer_that_is_dropped_finishes_its_film_and_warns(tmp_path, backend):
    writer = venc.VideoWriter(tmp_path / "film.mp4", backend=backend)
    for _ in range(5):
        writer.write(RGB)
    thread = writer._delivery._thread
    with pytest.warns(ResourceWarning, match="unclosed <VideoWriter .*film.mp4 5 frames open>"):
        del writer
    thread.join(30)
    assert len(clips.read_video(tmp_path / "film.mp4")[2]) == 5


@pytest.mark.sim_only
def test_writer_that_is_dropped_right_before_the_end_of_the_process_is_finished(tmp_path, backend):
    body = (
        "for n in range(30):\n    writer.write(np.full((144, 160, 3), n, np.uint8))\n"
        "del writer  # as a function does that forgets to close it\n"
    )
    slow = "import os\nos.environ['ASCEND_VENC_SIM_OPTIONS'] = 'encode_time_us=30000'\n"
    process, _, errors = child(tmp_path / "film.mp4", backend, body, before=slow)
    assert process.returncode == 0 and "ResourceWarning: unclosed <VideoWriter" in errors
    assert len(clips.read_video(tmp_path / "film.mp4")[2]) == 30


@pytest.mark.sim_only
def test_device_that_fails_one_picture_loses_that_one_only(tmp_path):
    from helpers import simulator

    with venc.VideoWriter(tmp_path / "film.mp4", backend="sim", gop=100) as writer:
        for _ in range(3):
            writer.write(RGB)
        while writer.encoder.stats.encoded < 3:
            time.sleep(0.005)
        failing = simulator.shared().failing_frame(simulator.FRAME_RET_CODE, 1, 77)
        with failing, pytest.raises(venc.FrameError, match="frame 3"):
            for _ in range(2000):
                writer.write(RGB)
        count = writer.frames
        writer.write(RGB)
    assert len(clips.read_video(tmp_path / "film.mp4")[2]) == count


def test_settings_of_the_encoder_pass_through(tmp_path, backend):
    options = {"codec": "hevc", "gop": 7, "rc": "cbr", "color": "bt709", "sample_aspect_ratio": "4:3", "depth": 2}
    with venc.VideoWriter(tmp_path / "film.mkv", backend=backend, **options) as writer:
        writer.write(RGB)
        config = writer.encoder.config
    assert (config.codec, config.gop, config.rc, config.depth) == ("h265", 7, "cbr", 2)
    with av.open(str(tmp_path / "film.mkv")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.colorspace) == ("hevc", 1)
        assert stream.sample_aspect_ratio == Fraction(4, 3)


def test_the_same_picture_comes_from_numpy_opencv_pillow_and_torch(tmp_path, backend):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    image_module = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    torch = pytest.importorskip("torch", reason="torch is not installed")
    source = tmp_path / "source.mkv"
    wanted = [pictures.rgb(W, H, n) for n in range(6)]
    clips.write_pictures(
        source, [av.VideoFrame.from_ndarray(p[:, :, ::-1].copy(), "bgr24").reformat(format="bgr0") for p in wanted]
    )

    def captured():
        capture = cv2.VideoCapture(str(source))
        while True:
            there, picture = capture.read()
            if not there:
                return
            yield picture

    films = {
        "numpy": (wanted, {}),
        "opencv": (captured(), {"pixel_format": "bgr24"}),
        "pillow": ([image_module.fromarray(p) for p in wanted], {}),
        "torch": (torch.from_numpy(np.stack(wanted)).permute(0, 3, 1, 2), {}),
    }
    shown = {}
    for name, (frames, options) in films.items():
        path = tmp_path / f"{name}.mp4"
        assert venc.write(path, frames, fps=25, bitrate=RATE, backend=backend, **options) == 6
        shown[name], _ = pictures.decoded(path)
        assert min(pictures.psnr(*pair) for pair in zip(wanted, shown[name])) >= 40, name
    for name in films:
        assert all(np.array_equal(*pair) for pair in zip(shown["numpy"], shown[name])), name


def names_and_types(annotations):
    return {name: getattr(kind, "__forward_arg__", kind) for name, kind in annotations.items()}


def test_typed_settings_are_those_of_the_signatures():
    from ascend_venc.media import writer_settings

    ours = names_and_types(writer_settings.EncoderSettings.__annotations__)
    taken = {"width", "height", "codec", "pixel_format", "fps", "sink", "return"}
    assert ours == {name: kind for name, kind in venc.Encoder.__init__.__annotations__.items() if name not in taken}
    every = names_and_types(writer_settings.EncoderKeywords.__annotations__)
    taken = {"width", "height", "return"}
    assert every == {name: kind for name, kind in venc.Encoder.__init__.__annotations__.items() if name not in taken}
    grouped = names_and_types(writer_settings.GroupSettings.__annotations__)
    assert grouped == {name: kind for name, kind in every.items() if name not in ("backend", "device")}
    changed = names_and_types(writer_settings.ChangedSettings.__annotations__)
    assert {**changed, "return": "int"} == venc.Encoder.reconfigure.__annotations__
    own = names_and_types(writer_settings.WriterSettings.__annotations__)
    taken = {"file", "fps", "settings", "return"}
    wanted = {name: kind for name, kind in venc.VideoWriter.__init__.__annotations__.items() if name not in taken}
    assert {name: kind for name, kind in own.items() if name not in ours} == wanted


def test_sei_goes_into_the_picture_s_access_unit(backend):
    file, message = io.BytesIO(), venc.bitstream.UserDataUnregistered(uuid.UUID(int=7), b"hello")
    with venc.VideoWriter(file, format="h264", backend=backend) as writer:
        writer.write(RGB, sei=[message])
        writer.write(RGB)
    assert [found.content for found in venc.bitstream.sei_messages(file.getvalue(), "h264")].count(message) == 1


def test_nothing_of_other_libraries_is_imported():
    done = processes.run(
        "import sys, ascend_venc as venc\n"
        "print(sorted({'numpy', 'av', 'PIL', 'torch'} & set(sys.modules)))\n"
        "venc.VideoWriter, venc.write\n"
        "print(sorted({'av', 'PIL', 'torch'} & set(sys.modules)), {'VideoWriter', 'write'} <= set(dir(venc)))\n"
        "print(venc.media.VideoWriter is venc.VideoWriter)\n"
    )
    assert (done.stdout, done.stderr) == ("[]\n[] True\nTrue\n", "")


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: of fork with threads, which is the subject
import numpy as np
import ascend_venc as venc
with venc.VideoWriter(sys.argv[1], fps=25, bitrate="8M", backend=sys.argv[2]) as writer:
    for n in range(40):
        writer.write(np.full((144, 160, 3), 6 * n, np.uint8))
        if n == 20:
            child = os.fork()
            if not child:
                try:
                    writer.write(np.full((144, 160, 3), n, np.uint8))
                except venc.ForkedProcessError:
                    writer.close()
                    sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "h264"])
def test_child_process_leaves_the_film_alone(tmp_path, backend, suffix):
    path = tmp_path / f"film.{suffix}"
    done = processes.run(FORK, path, backend)
    assert (done.returncode, done.stderr) == (0, "")
    means = [float(picture.mean()) for picture in clips.read_video(path)[2]]
    assert means == pytest.approx(range(0, 240, 6), abs=2.9)


@pytest.mark.sim_only
# The device is asked to destroy the channel, perhaps, before the engine knows that it is lost: `close` waits no more.
@pytest.mark.filterwarnings("ignore:an encoder whose end nobody waited for:RuntimeWarning")
def test_lost_device_is_said_and_what_was_encoded_is_kept(tmp_path):
    from helpers import simulator

    writer = venc.VideoWriter(tmp_path / "film.mp4", backend="sim", timeout=20)
    for _ in range(6):
        writer.write(RGB)
    while writer._delivery.packets < 6:
        time.sleep(0.005)
    with simulator.shared().lost_device():
        for _ in range(2):
            with pytest.raises(venc.DeviceLostError):
                for _ in range(2000):
                    writer.write(RGB)
        with contextlib.suppress(venc.DeviceLostError):  # said already, unless a picture went down with it
            writer.close()
    assert len(clips.read_video(tmp_path / "film.mp4")[2]) == 6
