# SPDX-License-Identifier: Apache-2.0
"""Conversion of other pixel formats to NV12 and NV21: exactness, rows and their padding, refusals, threads."""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ascend_venc import errors
from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.convert import Converter
from ascend_venc.pixel_formats import MATRICES, PIXEL_FORMATS, RANGES, default_matrix
from helpers import color
from helpers.waiting import eventually

HEADER = Path(__file__).resolve().parents[2] / "csrc" / "include" / "avenc.h"
SIZES = [(128, 128), (130, 66), (1920, 136), (16, 16), (18, 16), (144, 130)]
RGB = [name for name, info in PIXEL_FORMATS.items() if info.color == "rgb"]
CONVERTED = [name for name, info in PIXEL_FORMATS.items() if info.source is not None]
TOLERANCE = 2


def converter(pixel_format, width, height, **options):
    try:
        return Converter(pixel_format, width, height, **options)
    except errors.AclNotSupportedError as error:
        pytest.skip(f"no library for this conversion on this machine: {str(error)[:120]}")


def packed_rgb(rgb, pixel_format):
    picture = rgb[..., color.ORDER[pixel_format]].astype(np.uint8)
    if PIXEL_FORMATS[pixel_format].bytes_per_pixel == 4:
        alpha = np.random.default_rng(1).integers(0, 256, (*picture.shape[:2], 1), np.uint8)
        picture = np.concatenate([picture, alpha], -1)
    return np.ascontiguousarray(picture)


def padded(array, extra):
    """The same pixels with rows `extra` bytes further apart."""
    rows = array.reshape(array.shape[0], -1)
    memory = np.full((rows.shape[0], rows.shape[1] + extra), 77, np.uint8)
    memory[:, : rows.shape[1]] = rows
    return np.lib.stride_tricks.as_strided(memory, array.shape, (memory.shape[1], *array.strides[1:]), writeable=False)


def convert(one, picture, stride_extra=0):
    """Convert into padded rows; fails if a byte between the rows changes."""
    rows, width = one.height * 3 // 2, one.width
    memory = np.full((rows, width + stride_extra), 91, np.uint8)
    one.convert(picture, memory[:, :width])
    assert (memory[:, width:] == 91).all(), "wrote between the rows"
    return memory[:, :width].astype(float)


def worst(found, wanted):
    return np.abs(found - wanted).max()


@pytest.mark.parametrize("pixel_format", CONVERTED)
def test_ctypes_memory_is_taken_as_numpys(pixel_format):
    """ctypes gives no strides, and formats with a byte order."""
    one = converter(pixel_format, 130, 66)
    shape = PIXEL_FORMATS[pixel_format].shape(130, 66)
    picture = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    kind = ctypes.c_uint8
    for length in reversed(shape):
        kind = kind * length
    flat = (ctypes.c_char * picture.nbytes).from_buffer_copy(picture.tobytes())
    wanted = convert(one, picture)
    assert (convert(one, kind.from_buffer_copy(picture.tobytes())) == wanted).all()
    assert (convert(one, flat) == wanted).all()
    into = (ctypes.c_ubyte * 130 * (66 * 3 // 2))()
    one.convert(picture, into)
    assert (np.ctypeslib.as_array(into) == wanted).all()


# ---- RGB ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["limited", "full"])
@pytest.mark.parametrize(("library", "matrix"), [("libyuv", "bt601"), ("libswscale", "bt601"), ("libswscale", "bt709")])
@pytest.mark.parametrize("pixel_format", RGB)
def test_rgb_is_within_two_of_the_standard(pixel_format, matrix, target, library):
    for width, height in SIZES:
        for destination in ("nv12", "nv21"):
            one = converter(
                pixel_format, width, height, destination=destination, matrix=matrix, range=target, library=library
            )
            assert one.by == library
            for name, rgb in color.pictures(width, height):
                wanted = color.semi_planar(color.planes_of_rgb(rgb, matrix, target == "full"), destination)
                picture = packed_rgb(rgb, pixel_format)
                for extra in (0, 13):
                    found = convert(one, padded(picture, extra), extra)
                    assert worst(found, wanted) <= TOLERANCE, (name, width, height, destination, extra)


def test_rgb_reference_tells_the_matrices_ranges_and_orders_apart():
    rgb = dict(color.pictures(64, 64))["noise"]
    right = color.semi_planar(color.planes_of_rgb(rgb, "bt601", False))
    for wrong in (
        color.semi_planar(color.planes_of_rgb(rgb, "bt709", False)),
        color.semi_planar(color.planes_of_rgb(rgb, "bt601", True)),
        color.semi_planar(color.planes_of_rgb(rgb[..., ::-1], "bt601", False)),
        color.semi_planar(color.planes_of_rgb(rgb, "bt601", False), "nv21"),
    ):
        assert worst(right, wrong) > 5 * TOLERANCE


# ---- YUV and grey: no library -----------------------------------------------------------------------


def random_yuv(width, height, pixel_format):
    """Return (array of that format, (Y, Cb, Cr) at 4:2:0 as floats)."""
    random = np.random.default_rng(width * height)
    y = random.integers(0, 256, (height, width), np.uint8)
    if pixel_format == "gray8":
        return y, [y, np.full((height // 2, width // 2), 128), np.full((height // 2, width // 2), 128)]
    if pixel_format in ("i420", "yv12"):
        cb, cr = random.integers(0, 256, (2, height // 2, width // 2), np.uint8)
        order = (y, cb, cr) if pixel_format == "i420" else (y, cr, cb)
        flat = np.concatenate([plane.ravel() for plane in order])
        return flat.reshape(height * 3 // 2, width), [y, cb, cr]
    cb, cr = random.integers(0, 256, (2, height, width // 2), np.uint8)
    chroma = np.stack([cb, cr], -1).reshape(height, width)
    picture = np.stack([y, chroma] if pixel_format == "yuyv422" else [chroma, y], -1)
    halved = [(plane[0::2].astype(int) + plane[1::2] + 1) // 2 for plane in (cb, cr)]
    return picture, [y, *halved]


@pytest.mark.parametrize("ranges", [("limited", "limited"), ("full", "full"), ("full", "limited"), ("limited", "full")])
@pytest.mark.parametrize("destination", ["nv12", "nv21"])
@pytest.mark.parametrize("pixel_format", [name for name in CONVERTED if name not in RGB])
def test_yuv_is_moved_exactly_and_rescaled_to_the_nearest(pixel_format, destination, ranges):
    for width, height in SIZES:
        one = Converter(pixel_format, width, height, destination=destination, source_range=ranges[0], range=ranges[1])
        assert (one.by, one.library) == ("engine", "")
        picture, planes = random_yuv(width, height, pixel_format)
        wanted = color.semi_planar(color.change_range(planes, *ranges), destination)
        for extra in (0, 13):
            source = picture if pixel_format in ("i420", "yv12") else padded(picture, extra)
            found = convert(one, source, extra)
            assert worst(found, wanted) <= (0 if ranges[0] == ranges[1] else 0.51), (width, height, extra)


@pytest.mark.parametrize("pixel_format", ["i420", "yv12"])
def test_planes_with_strides_of_their_own_give_the_same_picture(pixel_format):
    width, height = 130, 66
    one = Converter(pixel_format, width, height)
    picture, (y, cb, cr) = random_yuv(width, height, pixel_format)
    planes = (y, cb, cr) if pixel_format == "i420" else (y, cr, cb)
    separate = tuple(padded(plane, extra) for plane, extra in zip(planes, (1, 30, 7)))
    np.testing.assert_array_equal(convert(one, separate, 5), convert(one, picture))


def test_gray_is_taken_as_full_range_unless_said_otherwise():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    assert convert(Converter("gray8", 256, 16), ramp)[0, [0, 255]].tolist() == [16, 235]
    assert convert(Converter("gray8", 256, 16, source_range="limited"), ramp)[0, [0, 255]].tolist() == [0, 255]


# ---- memory ------------------------------------------------------------------------------------------

GUARDED = """
import sys
import numpy as np
from helpers import color
from ascend_venc._lowlevel.convert import Converter
from ascend_venc.pixel_formats import PIXEL_FORMATS
pixel_format, library, matrix = sys.argv[1], sys.argv[2] or None, sys.argv[3]
info = PIXEL_FORMATS[pixel_format]
widths = (128, 130, 1920, 16, 18, 22, 30, 48, 144, 1936)
for width, height in zip(widths, (128, 66, 16, 16, 16, 18, 16, 16, 18, 16)):
    one = Converter(pixel_format, width, height, matrix=matrix, library=library)
    for extra in (0, 3):
        size = info.nbytes(width, height)
        source = color.GuardedMemory(size)
        stride = width + extra
        target = color.GuardedMemory(stride * (height * 3 // 2 - 1) + width)
        one.convert(source.bytes, target.strided(height * 3 // 2, width, stride))
print("ok")
"""


@pytest.mark.parametrize(
    ("pixel_format", "library", "matrix"),
    [(name, "", "bt601") for name in CONVERTED if name not in RGB]
    + [(name, library, "bt601") for name in RGB for library in ("libyuv", "libswscale")],
)
def test_nothing_is_touched_beyond_the_last_row(pixel_format, library, matrix):
    converter(pixel_format, 128, 128, matrix=matrix, library=library or None)
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, pixel_format, library, matrix],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-2000:]


@pytest.mark.parametrize("library", ["libyuv", "libswscale"])
def test_picture_does_not_depend_on_the_conversion_thread(library):
    for width, height in ((1920, 1080), (1922, 362)):
        rgb = packed_rgb(dict(color.pictures(width, height))["noise"], "rgb24")
        made = []
        for threads in (1, 2):
            before = core.live()["THREAD"]
            one = converter("rgb24", width, height, matrix="bt601", library=library, threads=threads)
            other = converter("rgb24", width, height, matrix="bt601", library=library, threads=threads)
            assert core.live()["THREAD"] == before + threads - 1  # the task queue's first one
            made += [convert(one, rgb), convert(other, rgb)]
            del one, other
            eventually(lambda count=before: core.live()["THREAD"] == count)
        for picture in made[1:]:
            np.testing.assert_array_equal(picture, made[0])


def test_a_converter_of_the_parent_is_dead_in_a_forked_child():
    one = converter("rgb24", 1920, 1080, threads=2)
    picture, into = np.zeros((1080, 1920, 3), np.uint8), np.zeros((1620, 1920), np.uint8)
    one.convert(picture, into)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            one.convert(picture, into)
        except errors.ForkedProcessError:
            own = Converter("rgb24", 1920, 1080, threads=2)
            own.convert(picture, into)
            del one, own
            eventually(lambda: core.live()["THREAD"] == core.live()["CONVERTER"] == 0)
            code = 0
        finally:
            os._exit(code)
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("library", ["libyuv", "libswscale"])
def test_threads_on_one_converter_give_whole_pictures(library):
    one = converter("rgb24", 640, 360, matrix="bt601", library=library)
    sources = [np.full((360, 640, 3), value, np.uint8) for value in (0, 85, 170, 255)]
    expected = [convert(one, source) for source in sources]
    wrong = []

    def work(index):
        for _ in range(30):
            if not (convert(one, sources[index]) == expected[index]).all():
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(sources))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({picture[0, 0] for picture in expected}) == len(sources)


# ---- which library ---------------------------------------------------------------------------------------

CHOICE = """
import sys
from ascend_venc import errors
from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.convert import Converter
if "no-pyav" in sys.argv:
    core.find_swscale = lambda: None
if "no-opencv" in sys.argv:
    core.find_libyuv = lambda: None
for matrix in ("bt601", "bt709"):
    try:
        print(Converter("rgb24", 128, 128, matrix=matrix).by)
    except errors.AclNotSupportedError as error:
        print(str(error).replace("\\n", " "))
"""


def choose(tmp_path, *absent):
    """What is chosen for BT.601 and BT.709 where the system's libraries are broken and those named are absent."""
    for soname in ("libyuv.so.0", "libyuv.so", *(f"libswscale.so.{major}" for major in range(5, 11))):
        (tmp_path / soname).write_bytes(b"not a library")
    path = os.pathsep.join([str(HEADER.parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CHOICE, *absent],
        env=dict(os.environ, PYTHONPATH=path, LD_LIBRARY_PATH=str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_library_of_the_pyav_wheel_is_taken_without_libyuv(tmp_path):
    if core.find_swscale() is None:
        pytest.skip("PyAV is not installed as a wheel")
    assert choose(tmp_path, "no-opencv") == ["libswscale", "libswscale"]


def test_libyuv_of_the_opencv_wheel_is_taken_where_the_system_has_none(tmp_path):
    if core.find_libyuv() is None:
        pytest.skip("OpenCV is not installed as a wheel with libavif")
    assert choose(tmp_path)[0] == "libyuv"


def test_without_any_library_the_error_names_what_was_tried(tmp_path):
    for text in choose(tmp_path, "no-opencv", "no-pyav"):
        assert "neither libyuv nor libswscale was found" in text
        assert "libswscale.so.8 by the system's search" in text and "file too short" in text
        assert "Install PyAV" in text


# ---- refusals, data -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("nv12", 128, 128), "pixel_format is 'nv12'; what can be converted is \"i420\""),
        (("rgb48", 128, 128), "pixel_format is 'rgb48'"),
        (("i420", 127, 128), "127 x 128; allowed are even numbers from 16 to 16384"),
        (("i420", 128, -2), "128 x 0"),
        (("i420", 128, 20000), "allowed are even"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_allowed(arguments, text):
    with pytest.raises(errors.InvalidArgumentError, match=re.escape(text)):
        Converter(*arguments)


@pytest.mark.parametrize(
    "options", [{"destination": "i420"}, {"matrix": "bt2020"}, {"range": "tv"}, {"source_range": 1}, {"library": "x"}]
)
def test_wrong_options_are_refused_by_name(options):
    with pytest.raises(errors.InvalidArgumentError, match=f"{next(iter(options))} is .*allowed are"):
        Converter("i420", 128, 128, **options)


def test_libyuv_is_refused_for_what_it_has_no_routine_for():
    with pytest.raises(errors.AclNotSupportedError, match="libyuv has no routine for source 3 with matrix 1"):
        Converter("rgb24", 128, 128, matrix="bt709", library="libyuv")


def test_frames_of_another_shape_or_order_are_refused():
    one = Converter("yuyv422", 128, 64)
    good = np.zeros((64, 128, 2), np.uint8)
    into = np.zeros((96, 128), np.uint8)
    one.convert(good, into)
    one.convert(good.tobytes(), into)
    for bad in (good[:-1], good.reshape(64, 256), good.tobytes()[1:]):
        with pytest.raises(errors.InvalidArgumentError, match=r"needs shape \(64, 128, 2\)"):
            one.convert(bad, into)
    for bad in (good[:, ::-1], good[::-1], good[..., ::-1]):
        with pytest.raises(errors.InvalidArgumentError, match=r"has strides .* use numpy.ascontiguousarray\(frame\)$"):
            one.convert(bad, into)
    for bad in (good.astype(np.uint16), 5, None):
        with pytest.raises(TypeError, match="uint8"):
            one.convert(bad, into)
    for bad in (into[:-1], into[::-1], into[:, ::-1]):
        with pytest.raises(errors.InvalidArgumentError, match=r"needed is \(96, 128\)"):
            one.convert(good, bad)
    with pytest.raises(TypeError, match=r"into must support .* writable"):
        one.convert(good, into.tobytes())


def shaped(rows, columns):
    return memoryview(bytearray(rows * columns)).cast("B", (rows, columns))


@pytest.mark.parametrize(
    ("planes", "into", "error"),
    [
        ([(24, 16)], (24, 16), None),
        ([(16, 16), (8, 8), (8, 8)], (24, 16), None),
        ([(24, 16)], (23, 16), ValueError),
        ([(23, 16)], (24, 16), ValueError),
        ([(16, 16), (8, 8), (8, 9)], (24, 16), ValueError),
        ([(16, 16), (7, 8), (8, 8)], (24, 16), ValueError),
    ],
)
def test_memory_of_both_pictures_is_let_go_of_whatever_the_outcome(planes, into, error):
    planes, into = [shaped(*plane) for plane in planes], shaped(*into)
    picture = planes[0] if len(planes) == 1 else tuple(planes)
    one = Converter("i420", 16, 16)
    if error is None:
        one.convert(picture, into)
    else:
        with pytest.raises(error):
            one.convert(picture, into)
    del picture
    for view in (*planes, into):
        view.release()  # BufferError: somebody uses it still


def test_planar_frames_with_padded_rows_are_told_to_come_as_planes():
    one = Converter("i420", 128, 64)
    into = np.zeros((96, 128), np.uint8)
    with pytest.raises(errors.InvalidArgumentError, match="give its three planes"):
        one.convert(padded(np.zeros((96, 128), np.uint8), 16), into)
    with pytest.raises(errors.InvalidArgumentError, match="2 planes; i420 has 3"):
        one.convert((into, into), into)
    with pytest.raises(errors.InvalidArgumentError, match=r"plane 1 of frame .* needs \(32, 64\)"):
        one.convert((np.zeros((64, 128), np.uint8), into, into), into)
    with pytest.raises(TypeError):
        pickle.dumps(one)


def test_a_live_converter_is_counted():
    before = core.live()["CONVERTER"]
    one = Converter("i420", 128, 128)
    assert core.live()["CONVERTER"] == before + 1
    del one
    assert core.live()["CONVERTER"] == before


def test_pixel_formats_are_those_of_the_header():
    listed = re.search(r"#define AVENC_SOURCES\(X\)(.*?)\n\n", HEADER.read_text(), re.S).group(1)
    wanted = {name.lower(): int(value) for name, value in re.findall(r"X\((\w+), (\d+)\)", listed)}
    assert {name: info.source for name, info in PIXEL_FORMATS.items() if info.source is not None} == wanted
    text = HEADER.read_text()
    for names, prefix in ((MATRICES, "AVENC_"), (RANGES, "AVENC_RANGE_")):
        for name, value in names.items():
            assert f"{prefix}{name.upper()} = {value}" in text


@pytest.mark.parametrize("pixel_format", list(PIXEL_FORMATS))
def test_shape_and_bytes_of_a_picture_agree(pixel_format):
    info = PIXEL_FORMATS[pixel_format]
    assert np.zeros(info.shape(130, 66), np.uint8).size == info.nbytes(130, 66)


def test_default_matrix_is_what_players_assume():
    sizes = [(720, 576), (704, 480), (1278, 576), (1280, 576), (1024, 578), (1920, 1080)]
    assert [default_matrix(*size) for size in sizes] == ["bt601"] * 3 + ["bt709"] * 3
